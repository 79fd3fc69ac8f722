"""The hot path: what is cached is never staler than the last commit, and expiry is judged after the cache."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from casd.catalogue.sqlite import SqliteCatalogue, lookups
from casd.catalogue.sqlite.lookups import LRU
from casd.catalogue.sqlite.writer import EVERYTHING
from casd.errors import StorageFailed
from tests.catalogue.plans import record
from tests.contracts.catalogue_reading import LookupContract
from tests.contracts.desk import ALICE, Desk
from tests.fakes import counting_uuids


class TestLookupsOfALargeCatalogue(LookupContract):
    """What does not fit into memory is looked up in a thread; the contract is the same."""

    @pytest.fixture
    async def desk(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
        monkeypatch.setattr(lookups, "WARM_LIMIT_BYTES", 0)
        catalogue = await SqliteCatalogue.open(path, counting_uuids(), payloads_exist=False)
        assert not catalogue._lookups._is_small
        yield await Desk(catalogue).open()
        await catalogue.close()


# -- the cache ----------------------------------------------------------------------------------------------------


def test_the_cache_drops_what_was_used_longest_ago() -> None:
    cache = LRU(limit=2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1

    cache.put("c", 3)

    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)


def test_the_cache_drops_what_was_touched_and_no_more() -> None:
    cache = LRU()
    for key in ("a", "b", "c"):
        cache.put(key, key)

    cache.drop({"a", "never cached"})
    assert (cache.get("a"), cache.get("b")) == (None, "b")
    cache.drop({EVERYTHING})

    assert (cache.get("b"), cache.get("c")) == (None, None)


def test_each_drop_is_a_new_generation_whatever_it_dropped() -> None:
    cache = LRU()
    before = cache.generation

    cache.drop(set())

    assert cache.generation != before


async def test_a_second_look_up_asks_no_sql(catalogue: SqliteCatalogue, desk: Desk) -> None:
    blob = await desk.add()
    await desk.bind(blob)
    look_ups = (lambda: desk.blob(blob.uuid), desk.newest, lambda: catalogue.namespace(ALICE))
    first = [await look_up() for look_up in look_ups]
    statements = record(catalogue)

    second = [await look_up() for look_up in look_ups]

    assert second == first
    assert statements == {}


async def test_a_write_to_one_blob_keeps_the_others_in_the_cache(catalogue: SqliteCatalogue, desk: Desk) -> None:
    one, other = await desk.add(), await desk.add()
    for blob in (one, other):
        await desk.blob(blob.uuid)
    await desk.bind(one)
    statements = record(catalogue)

    assert await desk.blob(other.uuid) == other
    assert statements == {}
    assert (await desk.blob(one.uuid)).version_count == 1
    assert len(statements) == 1


async def test_absence_is_not_cached(desk: Desk) -> None:
    new = desk.new_blob()
    assert await desk.blob(new.uuid) is None
    assert await desk.newest() is None
    assert await desk.catalogue.namespace("new") is None

    await desk.catalogue.ensure_namespace("new", desk.clock())
    await desk.publish()

    assert await desk.newest() is not None
    assert await desk.catalogue.namespace("new") is not None


async def test_expiry_is_judged_after_the_cache(desk: Desk) -> None:
    blob = await desk.add(expires_in_s=60)
    held = await desk.add(expires_in_s=60)
    await desk.bind(held)
    assert await desk.blob(blob.uuid) == blob
    assert (await desk.blob(held.uuid)).holds_itself

    desk.clock.move(seconds=60)

    assert await desk.blob(blob.uuid) is None
    assert not (await desk.blob(held.uuid)).holds_itself
    desk.clock.move(seconds=-1)
    assert await desk.blob(blob.uuid) == blob  # upkeep did not run, so moving the clock back brings it back


async def test_what_upkeep_ended_does_not_come_back_when_the_clock_goes_back(desk: Desk) -> None:
    blob = await desk.add(expires_in_s=60)
    assert await desk.blob(blob.uuid) == blob
    desk.clock.move(seconds=60)
    await desk.expire()

    desk.clock.move(seconds=-30)

    assert await desk.blob(blob.uuid) is None


class SlowReads:
    """Looks rows up like a cold disk: the row is read, and comes only when it is let go."""

    def __init__(self, catalogue: SqliteCatalogue) -> None:
        self._read = catalogue._listings.first
        self.has_read = asyncio.Event()
        self.go_on = asyncio.Event()
        catalogue._lookups._slow = self.first
        catalogue._lookups._is_small = False

    async def first(self, sql: str, values: dict[str, Any]) -> Any:
        row = await self._read(sql, values)
        self.has_read.set()
        await self.go_on.wait()
        return row


async def test_what_a_slow_look_up_read_before_a_commit_is_not_kept(catalogue: SqliteCatalogue, desk: Desk) -> None:
    blob = await desk.add()
    slow = SlowReads(catalogue)
    look_up = asyncio.create_task(desk.blob(blob.uuid))
    await slow.has_read.wait()

    await desk.drop(blob)
    slow.go_on.set()

    assert await look_up == blob  # as it was when it was asked for
    assert await desk.blob(blob.uuid) is None


async def test_what_a_slow_look_up_read_is_kept_if_nothing_was_committed(
    catalogue: SqliteCatalogue, desk: Desk
) -> None:
    blob = await desk.add()
    slow = SlowReads(catalogue)
    slow.go_on.set()
    await desk.blob(blob.uuid)
    statements = record(catalogue)

    assert await desk.blob(blob.uuid) == blob
    assert statements == {}


async def test_a_slow_look_up_of_a_version_does_not_bring_a_removed_one_back(
    catalogue: SqliteCatalogue, desk: Desk
) -> None:
    await desk.publish(data=b"one")
    await desk.publish(data=b"two")
    slow = SlowReads(catalogue)
    look_up = asyncio.create_task(desk.newest())
    await slow.has_read.wait()

    await desk.remove(2)
    slow.go_on.set()

    assert (await look_up).number == 2
    assert (await desk.newest()).number == 1


async def test_a_catalogue_that_grew_is_measured_again_by_its_check(
    catalogue: SqliteCatalogue, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert catalogue._lookups._is_small
    monkeypatch.setattr(lookups, "WARM_LIMIT_BYTES", 0)

    await catalogue.check()

    assert not catalogue._lookups._is_small


async def test_a_check_of_a_broken_catalogue_fails(catalogue: SqliteCatalogue) -> None:
    await catalogue._writer.write(lambda db, touched: db.execute("DELETE FROM schema_migration"))
    with pytest.raises(StorageFailed):
        await catalogue.check()

    await catalogue._writer.write(lambda db, touched: db.execute("DROP TABLE schema_migration"))
    with pytest.raises(StorageFailed) as caught:
        await catalogue.check()

    assert isinstance(caught.value.__cause__, sqlite3.Error)
