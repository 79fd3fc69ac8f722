"""One run of scrub: all damage is found, and nothing else; what was checked is recorded; nobody is in its way."""

import asyncio
import shutil
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from casd import changes
from casd.catalogue.sqlite import blobs
from casd.collection import collect_garbage
from casd.errors import StorageFailed
from casd.judging import Verdict
from casd.model import BlobState
from casd.scrub import Pace, Rounds, ScrubRules
from tests.bench.peers import evict
from tests.conftest import skip_loudly
from tests.scrub.conftest import (
    KINDS,
    LARGE,
    MIB,
    SMALL,
    Ticking,
    a_scrub,
    at_once,
    some_data,
    swap,
)
from tests.verified.conftest import ALICE, House, orphan

Scrubbed = Callable[..., Any]
DEPTHS = pytest.mark.parametrize("is_deep", [False, True], ids=["light", "deep"])


async def spoil_list(house: House, blob: Any, blocks: bytes) -> None:
    """The catalogue has these block checksums of the payload."""

    def put(db: Any, touched: Any) -> None:
        ((id,),) = db.execute("SELECT id FROM payload WHERE digest = ?", (blob.digest.raw,)).fetchall()
        blobs.put_blocks(db, id, blocks)

    await house.catalogue._writer.write(put)


def cached_bytes(path: Path) -> int:
    """How much of the file is in the page cache; probing by a read would fetch it."""
    told = subprocess.run(["fincore", "-b", "-n", "-o", "RES", path], check=True, capture_output=True, text=True)
    return int(told.stdout)


# -- what is found ------------------------------------------------------------------------------------------------


@DEPTHS
async def test_a_store_that_is_right_is_found_right(house: House, scrubbed: Scrubbed, is_deep: bool) -> None:
    data = [some_data(size, size) for size in (0, SMALL, MIB, LARGE)]
    for each in data:
        await house.add(each)

    report = await scrubbed(is_deep=is_deep)

    assert (report.payloads, report.bytes) == (4, sum(map(len, data)))
    assert (report.hurt, report.rewritten, report.failed, report.findings) == (0, 0, 0, ())
    assert report.is_whole
    assert await house.quarantined() == []


@DEPTHS
@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
async def test_damage_of_every_kind_is_found_and_storing_again_heals_it(
    house: House, scrubbed: Scrubbed, size: int, is_deep: bool
) -> None:
    stored = {kind: (data := some_data(size, seed), await house.add(data)) for seed, kind in enumerate(KINDS)}
    good = await house.add(b"good")
    for kind, (_, blob) in stored.items():
        KINDS[kind](house, blob)

    report = await scrubbed(is_deep=is_deep)

    assert {found.digest for found in report.findings} == {blob.digest for _, blob in stored.values()}
    assert (report.damaged, report.missing, report.unreadable) == (len(KINDS) - 1, 1, 0)
    assert await house.states(*(blob for _, blob in stored.values())) == {BlobState.ERROR}
    assert await house.states(good) == {BlobState.CREATED}
    for data, blob in stored.values():
        await house.add(data)
        assert await house.read(blob) == data
    assert (await scrubbed(is_deep=is_deep)).hurt == 0


@DEPTHS
async def test_bytes_behind_the_last_block_are_found(house: House, scrubbed: Scrubbed, is_deep: bool) -> None:
    """All blocks that the catalogue tells of are right."""
    blob = await house.add(some_data(2 * MIB))
    KINDS["longer"](house, blob)

    assert (await scrubbed(is_deep=is_deep)).damaged == 1
    assert await house.states(blob) == {BlobState.ERROR}


async def test_scrub_leaves_nothing_in_the_page_cache(house: House, scrubbed: Scrubbed) -> None:
    if shutil.which("fincore") is None:
        skip_loudly("there is no fincore")
    blob = await house.add(some_data(LARGE))
    evict(house.path(blob))
    if cached_bytes(house.path(blob)):
        skip_loudly("this file system keeps all it has in memory")

    reports = [await scrubbed(is_deep=is_deep) for is_deep in (False, True)]

    assert [report.bytes for report in reports] == [LARGE, LARGE]
    assert cached_bytes(house.path(blob)) == 0


@DEPTHS
async def test_two_files_that_changed_places_are_both_found(house: House, scrubbed: Scrubbed, is_deep: bool) -> None:
    first, second = await house.add(some_data(LARGE, 1)), await house.add(some_data(LARGE, 2))
    swap(house, first, second)

    report = await scrubbed(is_deep=is_deep)

    assert report.damaged == 2
    assert await house.states(first, second) == {BlobState.ERROR}
    assert len(house.in_quarantine()) == 2


@DEPTHS
@pytest.mark.parametrize("wrong", ["other", "short", "long", "none"])
async def test_a_wrong_block_list_is_rewritten_and_its_payload_stays(
    house: House, scrubbed: Scrubbed, wrong: str, is_deep: bool
) -> None:
    data = some_data(LARGE)
    blob = await house.add(data)
    listed = await house.catalogue.block_checksums(blob.digest, 0, 10)
    assert listed is not None
    lists = {"other": bytes(8) + listed[8:], "short": listed[:-8], "long": listed + bytes(8), "none": b""}
    await spoil_list(house, blob, lists[wrong])

    report = await scrubbed(is_deep=is_deep)

    assert (report.rewritten, report.hurt) == (1, 0)
    assert await house.catalogue.block_checksums(blob.digest, 0, 99) == listed
    assert await house.quarantined() == []
    assert await house.read(blob) == data
    assert (await scrubbed(is_deep=is_deep)).rewritten == 0


async def test_a_finding_names_the_blobs_and_the_versions_that_it_hits(house: House, scrubbed: Scrubbed) -> None:
    blob = await house.add(b"abc")
    again = await house.add(b"abc")
    await house.store.bind(ALICE, blob.uuid, "alice", "a/b")
    house.path(blob).unlink()

    (finding,) = (await scrubbed()).findings

    assert (finding.digest, finding.verdict) == (blob.digest, Verdict.MISSING)
    assert set(finding.hit.blobs) == {(blob.uuid, "alice"), (again.uuid, "alice")}
    assert [(ref.namespace, ref.name, ref.number) for ref in finding.hit.versions] == [("alice", "a/b", 1)]
    assert (finding.hit.blob_count, finding.hit.version_count) == (2, 1)


async def test_findings_are_listed_up_to_a_limit_and_counted_beyond_it(
    house: House, scrubbed: Scrubbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("casd.scrub.run.SHOWN", 2)
    for seed in range(4):
        house.path(await house.add(some_data(SMALL, seed))).unlink()

    report = await scrubbed()

    assert (report.missing, len(report.findings)) == (4, 2)


@DEPTHS
async def test_a_dry_run_tells_and_changes_nothing(house: House, scrubbed: Scrubbed, is_deep: bool) -> None:
    await house.add(b"good")
    blob, wrong = await house.add(some_data(LARGE, 1)), await house.add(some_data(LARGE, 2))
    await spoil_list(house, wrong, b"")
    house.flip(blob, LARGE - 1)
    house.clock.move(seconds=1)
    before = await house.catalogue.unchecked(house.clock(), 10, None, is_deep=is_deep)

    report = await scrubbed(is_deep=is_deep, is_dry_run=True)

    assert (report.damaged, report.rewritten, report.is_dry_run) == (1, 1, True)
    assert await house.states(blob) == {BlobState.CREATED}
    assert await house.quarantined() == []
    assert await house.catalogue.block_checksums(wrong.digest, 0, 99) == b""
    assert await house.catalogue.unchecked(house.clock(), 10, None, is_deep=is_deep) == before


async def test_a_file_that_cannot_be_judged_is_told_and_holds_up_no_other(
    house: House, scrubbed: Scrubbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = [await house.add(some_data(SMALL, seed)) for seed in range(3)]
    real = house.payloads.open

    async def refusing(digest: Any) -> Any:
        if digest == blobs[0].digest:
            raise StorageFailed("permission denied")
        return await real(digest)

    monkeypatch.setattr(house.payloads, "open", refusing)
    house.flip(blobs[2], 0)

    report = await scrubbed()

    assert (report.failed, report.payloads, report.damaged) == (1, 2, 1)
    assert await house.states(blobs[0]) == {BlobState.CREATED}


async def test_what_no_row_tells_of_is_not_looked_at(house: House, scrubbed: Scrubbed) -> None:
    stray = orphan(house, b"orphan")

    assert (await scrubbed(is_deep=True)).payloads == 0
    assert stray.exists()


# -- what is deleted or stored meanwhile --------------------------------------------------------------------------


@DEPTHS
async def test_a_payload_that_is_collected_meanwhile_is_no_finding(house: House, is_deep: bool) -> None:
    blobs = [await house.add(some_data(SMALL, seed)) for seed in range(4)]
    for blob in blobs[:-1]:
        await changes.delete(house.store, ALICE, blob.uuid)
    house.clock.move(hours=2)
    removed = 0

    class Meanwhile(Pace):
        async def payload(self) -> None:
            """The page of what is to be read is known, and nothing of it is open."""
            nonlocal removed
            report = await collect_garbage(
                house.payloads, house.catalogue, house.locks, now=house.clock(), grace=timedelta(), force=True
            )
            removed += report.payloads

    report = await a_scrub(house, is_deep=is_deep, pace=Meanwhile(1 << 60, lambda: False, Ticking())).run()

    assert removed == 3
    assert (report.hurt, report.failed, report.findings) == (0, 0, ())
    assert await house.quarantined() == []


async def test_collection_in_a_loop_beside_scrub_makes_no_finding(house: House) -> None:
    kept = await house.add(some_data(LARGE))
    is_over = False

    async def store_and_collect() -> int:
        removed, seed = 0, 0
        while not is_over:
            seed += 1
            blob = await house.add(some_data(SMALL, seed))
            await changes.delete(house.store, ALICE, blob.uuid)
            later = house.clock() + timedelta(days=1)
            report = await collect_garbage(
                house.payloads, house.catalogue, house.locks, now=later, grace=timedelta(), force=True
            )
            removed += report.payloads
        return removed

    working = asyncio.create_task(store_and_collect())
    reports = [await a_scrub(house, is_deep=round % 2 == 0).run() for round in range(20)]
    is_over = True

    assert await working > 0
    assert {(report.hurt, report.failed, report.findings) for report in reports} == {(0, 0, ())}
    assert await house.states(kept) == {BlobState.CREATED}


async def test_scrub_beside_readers_and_writers_finds_nothing_and_disturbs_nobody(house: House) -> None:
    data = [some_data(2 * MIB, seed) for seed in range(4)]
    blobs = [await house.add(each) for each in data]
    is_over = False

    async def read_and_write() -> int:
        count = 0
        while not is_over:
            for each, blob in zip(data, blobs, strict=True):
                assert await house.read(blob) == each
                await house.add(each)
                count += 1
        return count

    working = asyncio.create_task(read_and_write())
    reports = []
    for is_deep in (False, True, False):
        reports.append(await a_scrub(house, is_deep=is_deep).run())
    is_over = True

    assert await working > 0
    assert [(report.payloads, report.hurt, report.rewritten) for report in reports] == [(4, 0, 0)] * 3


async def test_nobody_waits_for_a_lock_while_scrub_reads(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = await house.add(some_data(LARGE))
    reading, go_on = asyncio.Event(), asyncio.Event()

    class Held(Pace):
        async def __call__(self, count: int) -> None:
            reading.set()
            await go_on.wait()

    run = asyncio.create_task(a_scrub(house, pace=Held(1, lambda: False, Ticking())).run())
    await reading.wait()

    async with asyncio.timeout(30), house.locks.hold(blob.digest):
        pass
    assert await house.add(some_data(SMALL)) is not None
    go_on.set()

    assert (await run).hurt == 0


# -- what is recorded ---------------------------------------------------------------------------------------------


async def test_what_was_not_checked_for_longest_goes_first(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = []
    for seed in range(5):
        blobs.append(await house.add(some_data(SMALL, seed)))
        house.clock.move(hours=1)
    await house.catalogue.set_checked([blobs[0].digest], house.clock(), is_deep=False)
    looked_at: list[Any] = []
    real = house.payloads.open

    async def open(digest: Any) -> Any:
        looked_at.append(digest)
        return await real(digest)

    monkeypatch.setattr(house.payloads, "open", open)
    await a_scrub(house).run()

    assert looked_at == [blob.digest for blob in [*blobs[1:], blobs[0]]]


@DEPTHS
async def test_a_run_that_is_stopped_goes_on_where_it_was(
    house: House, monkeypatch: pytest.MonkeyPatch, is_deep: bool
) -> None:
    blobs = [await house.add(some_data(SMALL, seed)) for seed in range(9)]
    before = house.clock.move(seconds=1)
    third = asyncio.Event()

    class Stopping(Pace):
        payloads = 0

        async def payload(self) -> None:
            self.payloads += 1
            if self.payloads == 4:
                third.set()
                await asyncio.Event().wait()

    run = a_scrub(house, is_deep=is_deep, before=before, pace=Stopping(1 << 40, lambda: False, Ticking()))
    task = asyncio.create_task(run.run())
    await third.wait()
    house.clock.move(seconds=1)
    task.cancel()
    await asyncio.wait([task])

    rest = await a_scrub(house, is_deep=is_deep, before=before).run()

    assert task.cancelled()
    assert run.report().payloads == 3
    assert rest.payloads == len(blobs) - 3
    assert rest.is_whole


async def test_a_deep_check_is_a_light_one_too_and_not_the_other_way(house: House) -> None:
    await house.add(b"abc")
    start = house.clock()
    house.clock.move(days=1)
    await a_scrub(house).run()
    after_light = await house.catalogue.oldest_checks()
    house.clock.move(days=1)
    await a_scrub(house, is_deep=True).run()
    after_deep = await house.catalogue.oldest_checks()

    assert after_light == (start + timedelta(days=1, seconds=1), start)
    assert after_deep == (house.clock(), house.clock())


async def test_every_page_is_read_once(house: House, scrubbed: Scrubbed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("casd.scrub.run.PAGE", 3)
    for seed in range(10):
        blob = await house.add(some_data(SMALL, seed))
        if seed % 4 == 0:
            house.path(blob).unlink()

    report = await scrubbed()

    assert (report.payloads, report.missing) == (10, 3)
    assert (await scrubbed()).payloads == 7


# -- how fast -----------------------------------------------------------------------------------------------------


@DEPTHS
@pytest.mark.parametrize(("is_busy", "share"), [(False, 1.0), (True, 0.25)])
async def test_scrub_reads_so_many_bytes_a_second_and_fewer_while_somebody_is_served(
    house: House, is_deep: bool, is_busy: bool, share: float
) -> None:
    await house.add(some_data(LARGE))
    clock = Ticking()
    pace = Pace(MIB, lambda: is_busy, clock, clock.sleep)

    report = await a_scrub(house, is_deep=is_deep, pace=pace).run()

    rate = report.bytes / clock.at
    assert report.bytes == LARGE
    assert 0.9 * MIB * share < rate <= MIB * share


async def test_two_that_share_a_pace_read_no_faster_together() -> None:
    clock = Ticking()
    pace = Pace(1000, lambda: False, clock, clock.sleep)

    for _ in range(10):
        await asyncio.gather(pace(500), pace(500))

    assert clock.at >= 9.5


async def test_many_small_payloads_cost_what_opening_them_does() -> None:
    clock = Ticking()
    pace = Pace(MIB, lambda: False, clock, clock.sleep)

    for _ in range(160):
        await pace.payload()

    assert 9 < clock.at <= 11


async def test_what_was_saved_up_while_nothing_was_read_is_not_spent_at_once() -> None:
    clock = Ticking()
    pace = Pace(1000, lambda: False, clock, clock.sleep)
    clock.at = 1000.0

    await pace(5000)

    assert clock.at == 1005.0


# -- what is due --------------------------------------------------------------------------------------------------


def rounds(house: House, light_days: float, deep_days: float, pace: Pace | None = None) -> Rounds:
    rules = ScrubRules(timedelta(days=light_days), timedelta(days=deep_days))
    return Rounds(house.payloads, house.catalogue, house.store.judge, pace or at_once(), rules, house.clock)


async def kinds_due(of: Rounds) -> list[tuple[bool, int]]:
    """Whether each is deep, and how many payloads it read."""
    reports = [await run.run() async for run in of.due()]
    return [(report.is_deep, report.payloads) for report in reports]


async def test_each_payload_is_due_when_its_days_are_over_and_not_before(house: House) -> None:
    of = rounds(house, 10, 0)
    await house.add(b"first")
    house.clock.move(days=6)
    await house.add(b"second")
    house.clock.move(days=4)
    assert await kinds_due(of) == []

    house.clock.move(microseconds=1)
    assert await kinds_due(of) == [(False, 1)]
    assert await kinds_due(of) == []
    house.clock.move(days=6)
    assert await kinds_due(of) == [(False, 1)]


async def test_nothing_is_ever_due_where_the_days_are_none(house: House) -> None:
    await house.add(b"abc")
    house.clock.move(days=30_000)

    assert await kinds_due(rounds(house, 0, 0)) == []


async def test_a_deep_run_that_is_due_saves_the_light_one(house: House) -> None:
    await house.add(b"abc")
    house.clock.move(days=101)

    assert await kinds_due(rounds(house, 10, 100)) == [(True, 1)]


async def test_a_large_store_is_begun_early_enough_to_be_read_in_time(house: House) -> None:
    """At 1000 bytes a second and a quarter of that while busy, 21,600,000 bytes take a day."""
    pace = Pace(1000, lambda: False, Ticking())
    of = rounds(house, 10, 0, pace)
    await house.add(some_data(21_600_000))
    house.clock.move(days=9)
    assert [run async for run in of.due()] == []
    house.clock.move(microseconds=1)
    assert len([run async for run in of.due()]) == 1


async def test_the_catalogue_is_read_with_deep_runs_once_a_day(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = 0

    async def problems() -> list[str]:
        nonlocal checks
        checks += 1
        return ["row 3 missing from index"]

    monkeypatch.setattr(house.catalogue, "problems", problems)
    of = rounds(house, 1, 100)
    found = [(await run.run()).problems async for run in of.due()]
    for _ in range(23):
        house.clock.move(hours=1)
        await kinds_due(of)
    within = checks
    house.clock.move(hours=1)
    await kinds_due(of)

    assert found == [("row 3 missing from index",)]
    assert (within, checks) == (1, 2)
