"""What is told later: repeats are counted, and nobody fills the disk by being refused."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from casd.audit import Actor, AuditFilter, Deed, Entry, Verb, acting
from casd.catalogue.sqlite import SqliteCatalogue
from casd.trail import Trail
from tests.fakes import Clock, counting_uuids


@pytest.fixture
async def catalogue(tmp_path: Path) -> AsyncIterator[SqliteCatalogue]:
    catalogue = await SqliteCatalogue.open(tmp_path / "catalogue.sqlite3", counting_uuids(), payloads_exist=False)
    yield catalogue
    await catalogue.close()


async def entries(catalogue: SqliteCatalogue) -> list[Entry]:
    return list((await catalogue.audit(AuditFilter(), 100_000, None)).items)


async def test_repeats_become_one_row_with_a_count(catalogue: SqliteCatalogue) -> None:
    trail = Trail(catalogue, Clock())
    for request in ("a", "b", "c"):
        with acting(Actor("ci", request_id=request)):
            trail.denied(Deed(Verb.ACCESS_DENIED, subject="PUT /x"), "forbidden")
    with acting(Actor("other")):
        trail.denied(Deed(Verb.ACCESS_DENIED, subject="PUT /x"), "forbidden")
    await trail.flush()
    await trail.flush()

    found = [
        (entry.told.actor.principal, entry.told.actor.request_id, entry.told.count)
        for entry in (await entries(catalogue))
    ]

    assert found == [("other", None, 1), ("ci", "a", 3)]


async def test_what_waited_is_told_with_its_own_time(catalogue: SqliteCatalogue) -> None:
    clock = Clock()
    trail = Trail(catalogue, clock)
    trail.denied(Deed(Verb.ACCESS_DENIED, subject="PUT /x"), "forbidden")
    refused_at = clock()
    clock.move(seconds=6)
    await trail.done(Deed(Verb.UPKEEP_RUN))
    clock.move(seconds=6)
    await trail.flush()

    found = [(entry.told.deed.verb, entry.told.at) for entry in await entries(catalogue)]

    assert found == [
        (Verb.UPKEEP_RUN, refused_at + timedelta(seconds=6)),
        (Verb.ACCESS_DENIED, refused_at),
    ]


async def test_who_is_refused_in_ever_new_ways_is_only_counted_in_the_end(catalogue: SqliteCatalogue) -> None:
    clock = Clock()
    trail = Trail(catalogue, clock)
    for number in range(100_000):
        trail.denied(Deed(Verb.AUTH_DENIED, subject=f"GET /{number}"), "unauthenticated")
    await trail.flush()
    first = len(await entries(catalogue))
    clock.move(minutes=1)
    for number in range(1000):
        trail.denied(Deed(Verb.AUTH_DENIED, subject=f"PUT /{number}"), "unauthenticated")
    await trail.flush()
    rows = await entries(catalogue)

    assert (first, len(rows)) == (601, 608)
    assert sum(entry.told.count for entry in rows) == 101_000
    assert [entry.told.actor.principal for entry in rows].count("several") == 2


async def test_a_reader_who_signs_without_end_is_counted_under_its_name(catalogue: SqliteCatalogue) -> None:
    trail = Trail(catalogue, Clock())
    with acting(Actor("reader", address="192.0.2.1")):
        for number in range(6000):
            trail.signed(f"/v1/blobs/{number}/data")
    await trail.flush()

    rows = await entries(catalogue)
    (several,) = [entry.told for entry in rows if entry.told.count > 1]

    assert len(rows) == 5001
    assert (several.actor.principal, several.count, several.deed) == ("reader", 1000, Deed(Verb.URL_SIGN))


async def test_without_a_log_nothing_waits(catalogue: SqliteCatalogue) -> None:
    trail = Trail(catalogue, Clock(), is_kept=False, tells_reads=True)
    trail.denied(Deed(Verb.AUTH_DENIED), "unauthenticated")
    await trail.done(Deed(Verb.UPKEEP_RUN))
    await trail.flush()

    assert await entries(catalogue) == []
    assert not trail.tells_reads
