"""Upkeep: what is collected and what never is, also while others store the same bytes."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from casd import changes
from casd.auth import Principal
from casd.catalogue.sqlite import SqliteCatalogue
from casd.catalogue.values import Expired
from casd.collection import CollectionReport, collect_garbage
from casd.errors import CollectionRefused, PayloadMissing, StorageFailed
from casd.expiry import Rules, expire
from casd.locks import DigestLocks
from casd.model import Blob, Digest, Role
from casd.payloads.base import PayloadStore
from casd.payloads.local import LocalPayloads
from casd.repair import Repair
from casd.store import BlobStore, Description
from casd.upkeep import Run, Upkeep
from casd.uploads import Uploads
from tests.contracts.oracle import digest_of, some_bytes
from tests.contracts.payload_store import store_bytes, turns
from tests.fakes import NOW, Clock, MemoryDisk, MemoryPayloads, NoLocks
from tests.payloads.local_backend import emptied, path_of
from tests.web.house import rounds_of

WRITER = Principal(uuid4(), "writer", Role.WRITER, ("alice",))
GRACE = timedelta(hours=1)
RULES = Rules(grace=GRACE, hidden=timedelta(days=7), ended=timedelta(days=30))
LONG_AGO = (NOW - timedelta(days=1)).timestamp()


@dataclass
class House:
    payloads: PayloadStore
    catalogue: SqliteCatalogue
    locks: Any
    clock: Clock
    store: BlobStore

    async def add(self, data: bytes) -> Blob:
        async with await self.store.stage("alice") as staged:
            await staged.append(data)
            return await self.store.add(WRITER, "alice", staged, Description())

    async def add_garbage(self, data: bytes) -> Digest:
        """A payload that nothing refers to any more."""
        blob = await self.add(data)
        await changes.delete(self.store, WRITER, blob.uuid)
        return blob.digest

    async def collect(self, grace: timedelta = GRACE, **how: bool) -> CollectionReport:
        return await collect_garbage(self.payloads, self.catalogue, self.locks, now=self.clock(), grace=grace, **how)

    async def stored(self) -> set[Digest]:
        return {stored.digest async for stored in self.payloads.scan()}

    async def read(self, blob: Blob) -> bytes:
        payload = await self.store.open_payload(blob)
        try:
            return await payload.read(0, payload.size)
        finally:
            payload.close()


@pytest.fixture(scope="module")
def module_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("upkeep") / "data"


@pytest.fixture
def root(module_root: Path) -> Iterator[Path]:
    with emptied(module_root) as root:
        yield root


@pytest.fixture
async def local(root: Path) -> AsyncIterator[LocalPayloads]:
    payloads = await LocalPayloads.create(root, reserve_bytes=0)
    yield payloads
    await payloads.close()
    assert os.listdir(root / "incoming") == [], "a stage was left behind"


@pytest.fixture
async def catalogue(tmp_path: Path) -> AsyncIterator[SqliteCatalogue]:
    catalogue = await SqliteCatalogue.open(tmp_path / "catalogue.sqlite3", uuid4, payloads_exist=False)
    await catalogue.ensure_namespace("alice", NOW)
    yield catalogue
    await catalogue.close()


def house_of(payloads: PayloadStore, catalogue: SqliteCatalogue, locks: Any, grace: timedelta = GRACE) -> House:
    clock = Clock()
    store = BlobStore(payloads, catalogue, locks, now=clock, new_uuid=uuid4, grace=grace, share_by_uuid=True)
    return House(payloads, catalogue, locks, clock, store)


@pytest.fixture
async def house(local: LocalPayloads, catalogue: SqliteCatalogue) -> AsyncIterator[House]:
    house = house_of(local, catalogue, DigestLocks())
    yield house
    await house.store.close()
    assert len(house.locks) == 0, "a digest's lock was left behind"


# -- what is collected --------------------------------------------------------------------------------------------


async def test_a_payload_is_collected_once_nothing_refers_to_it_and_its_grace_is_over(house: House) -> None:
    kept = await house.add(b"kept")
    garbage = await house.add_garbage(b"abc")

    house.clock.move(minutes=59)
    early = await house.collect()
    house.clock.move(minutes=1)
    report = await house.collect()

    assert early == CollectionReport(0, 0, 0, False)
    assert report == CollectionReport(payloads=1, bytes=3, orphans=0, is_dry_run=False)
    assert await house.stored() == {kept.digest}
    assert await house.catalogue.known_payloads([garbage]) == set()


@pytest.mark.parametrize("hold", ["own", "version", "another namespace"])
async def test_a_payload_that_any_blob_refers_to_is_never_collected(house: House, hold: str) -> None:
    await house.catalogue.ensure_namespace("bob", NOW)
    blob = await house.add(b"abc")
    if hold != "own":
        both = Principal(uuid4(), "both", Role.WRITER, ("alice", "bob"))
        await house.store.bind(both, blob.uuid, "alice" if hold == "version" else "bob", "name")
        await changes.delete(house.store, WRITER, blob.uuid)
    house.clock.move(days=1000)

    report = await house.collect(force=True)

    assert report.payloads == 0
    assert await house.stored() == {blob.digest}


async def test_storing_the_bytes_again_starts_the_grace_again(house: House) -> None:
    await house.add(b"kept")
    await house.add_garbage(b"abc")
    house.clock.move(minutes=50)
    await house.add_garbage(b"abc")

    house.clock.move(minutes=50)
    assert (await house.collect()).payloads == 0
    house.clock.move(minutes=10)

    assert (await house.collect()).payloads == 1


async def test_a_lease_keeps_a_payload_that_nothing_refers_to(house: House) -> None:
    await house.add(b"kept")
    digest = await house.add_garbage(b"abc")
    await house.catalogue.keep_payload(digest, NOW + timedelta(days=2))

    house.clock.move(days=2, microseconds=-1)
    assert (await house.collect()).payloads == 0
    house.clock.move(microseconds=1)

    assert (await house.collect()).payloads == 1


async def test_what_expired_becomes_garbage_when_expiry_has_run_and_the_grace_is_over(house: House) -> None:
    await house.add(b"kept")
    async with await house.store.stage("alice") as staged:
        await staged.append(b"abc")
        about = Description(expires_at=NOW + timedelta(minutes=1))
        await house.store.add(WRITER, "alice", staged, about)
    house.clock.move(days=1)
    assert (await house.collect()).payloads == 0

    done = await expire(house.catalogue, RULES, now=house.clock())
    house.clock.move(hours=1)

    assert done.blobs == 1
    assert (await house.collect()).payloads == 1


async def test_expiry_goes_on_until_all_is_done(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("casd.expiry.BATCH", 3)
    for number in range(7):
        async with await house.store.stage("alice") as staged:
            await staged.append(b"abc")
            await house.store.publish(WRITER, "alice", f"name {number}", staged, Description())
        await changes.hide(house.store, WRITER, "alice", f"name {number}")
    house.clock.move(days=8)

    done = await expire(house.catalogue, RULES, now=house.clock())

    assert (done.blobs, done.names) == (0, 7)


async def test_a_collection_goes_through_all_of_its_pages(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("casd.collection.BATCH", 3)
    for number in range(10):
        await house.add_garbage(str(number).encode())
    house.clock.move(hours=1)

    assert (await house.collect(force=True)).payloads == 10

    assert await house.stored() == set()


async def test_a_dry_run_reports_and_removes_nothing(house: House, local: LocalPayloads) -> None:
    garbage = await house.add_garbage(b"abc")
    orphan = await store_bytes(local, b"orphan")
    house.clock.move(hours=1)

    report = await house.collect(dry_run=True)

    assert report == CollectionReport(payloads=2, bytes=9, orphans=1, is_dry_run=True)
    assert await house.stored() == {garbage, orphan.digest}
    assert await house.catalogue.known_payloads([garbage]) == {garbage}


async def test_a_payload_whose_file_is_gone_already_is_collected_all_the_same(house: House, root: Path) -> None:
    await house.add(b"kept")
    garbage = await house.add_garbage(b"abc")
    path_of(root, garbage.hex).unlink()
    house.clock.move(hours=1)

    await house.collect()

    assert await house.catalogue.known_payloads([garbage]) == set()


async def test_an_open_payload_is_read_to_its_end_although_it_is_collected(house: House) -> None:
    data = some_bytes(600_000)
    digest = await house.add_garbage(data)
    payload = await house.payloads.open(digest)
    house.clock.move(hours=1)

    await house.collect(force=True)

    assert await payload.read(0, len(data)) == data
    payload.close()


async def test_a_removal_that_fails_leaves_an_orphan_for_the_next_run(
    house: House, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.add(b"kept")
    garbage = await house.add_garbage(b"abc")
    house.clock.move(hours=1)

    async def fail(digest: Digest) -> bool:
        raise StorageFailed("no")

    with monkeypatch.context() as patched:
        patched.setattr(house.payloads, "remove", fail)
        with pytest.raises(StorageFailed):
            await house.collect()
    report = await house.collect()

    assert (report.payloads, report.orphans) == (1, 1)
    assert not path_of(root, garbage.hex).exists()


# -- beside a backup ----------------------------------------------------------------------------------------------


async def test_a_collection_leaves_alone_what_a_backup_has_pinned_until_that_ends(house: House) -> None:
    await house.add(b"kept")
    garbage = await house.add_garbage(b"abc")
    house.clock.move(hours=1)
    pin, now = uuid4(), house.clock()
    await house.catalogue.pin_payloads(pin, now + timedelta(minutes=10), now)

    dry, report = await house.collect(dry_run=True), await house.collect()
    assert [(run.payloads, run.bytes, run.pinned) for run in (dry, report)] == [(0, 0, 1)] * 2
    assert garbage in await house.stored()
    house.clock.move(minutes=10)  # it gave no further sign of life

    assert (await house.collect()).payloads == 1


async def test_a_pin_that_comes_while_a_collection_runs_counts(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.add(b"kept")
    garbage = await house.add_garbage(b"abc")
    house.clock.move(hours=1)
    real, now = house.catalogue.forget_payload, house.clock()

    async def pinned_before(digest: Digest, at: Any) -> bool:
        await house.catalogue.pin_payloads(uuid4(), now + timedelta(minutes=10), now)
        return await real(digest, at)

    monkeypatch.setattr(house.catalogue, "forget_payload", pinned_before)

    assert (await house.collect()).payloads == 0
    assert garbage in await house.stored()


# -- orphans ------------------------------------------------------------------------------------------------------


async def test_a_file_without_a_row_is_collected_when_it_is_older_than_the_grace(
    house: House, local: LocalPayloads, root: Path
) -> None:
    kept = await house.add(b"kept")
    old, young = await store_bytes(local, b"old"), await store_bytes(local, b"y")
    os.utime(path_of(root, old.digest.hex), (LONG_AGO, LONG_AGO))
    barely = (NOW - GRACE + timedelta(seconds=1)).timestamp()
    os.utime(path_of(root, young.digest.hex), (barely, barely))

    report = await house.collect()

    assert report == CollectionReport(payloads=1, bytes=3, orphans=1, is_dry_run=False)
    assert await house.stored() == {kept.digest, young.digest}


async def test_a_run_without_a_scan_leaves_orphans_alone(house: House, local: LocalPayloads) -> None:
    orphan = await store_bytes(local, b"orphan")

    report = await house.collect(scan=False, force=True)

    assert report.payloads == 0
    assert await house.stored() == {orphan.digest}


async def test_more_orphans_than_a_batch_are_all_found(
    house: House, local: LocalPayloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("casd.collection.BATCH", 3)
    for number in range(8):
        await store_bytes(local, str(number).encode())
    await house.add(b"7")  # one of them has a row by now

    dry = await house.collect(dry_run=True)
    report = await house.collect(force=True)

    assert (dry.orphans, report.orphans) == (7, 7)
    assert await house.stored() == {digest_of(b"7")}


async def test_what_is_not_a_payload_in_its_place_is_never_touched(house: House, root: Path) -> None:
    stranger = root / "payloads" / "ab" / "notes.txt"
    stranger.write_text("of an operator")

    await house.collect(grace=timedelta(0), force=True)

    assert stranger.exists()
    stranger.unlink()


async def test_an_orphan_whose_row_comes_while_it_waits_for_its_lock_is_spared(
    house: House, local: LocalPayloads
) -> None:
    """A commit between its rename and its row looks like an orphan to the scan."""
    digest = digest_of(b"abc")
    async with house.locks.hold(digest):
        receipt = await store_bytes(local, b"abc")
        collecting = asyncio.create_task(house.collect(grace=timedelta(0), force=True))
        while house.locks._users[digest] < 2:
            await asyncio.sleep(0)
        new = house.store._new_blob("alice", Description())
        await house.catalogue.add_blob(new, receipt, NOW, NOW)

    report = await collecting

    assert report.payloads == 0
    assert await house.stored() == {digest}


# -- the bound of one half ----------------------------------------------------------------------------------------


async def fill(house: House, kept: list[int], garbage: list[int]) -> None:
    """Payloads of these sizes, past their grace."""
    for number, size in enumerate(kept):
        await house.add(some_bytes(size, seed=number))
    for number, size in enumerate(garbage):
        await house.add_garbage(some_bytes(size, seed=100 + number))
    house.clock.move(hours=1)


@pytest.mark.parametrize(
    ("kept", "garbage", "is_refused"),
    [
        ([10, 10], [10, 10], False),
        ([10], [10, 10], True),
        ([10, 10, 10], [40], True),
        ([10, 10, 10], [30], False),
        ([100], [1, 1], True),
        ([], [10], True),
        ([10], [], False),
        ([], [], False),
    ],
    ids=["half", "of payloads", "of bytes", "half of bytes", "many small", "all", "none", "empty"],
)
async def test_a_run_that_would_remove_more_than_half_is_refused(
    house: House, kept: list[int], garbage: list[int], is_refused: bool
) -> None:
    await fill(house, kept, garbage)
    before = await house.stored()

    if is_refused:
        with pytest.raises(CollectionRefused, match="nothing was removed"):
            await house.collect()
        assert await house.stored() == before
        assert (await house.catalogue.totals()).payloads == len(before)
    else:
        assert (await house.collect()).payloads == len(garbage)
        assert len(await house.stored()) == len(kept)


async def test_force_lifts_the_bound_and_a_dry_run_needs_no_force(house: House) -> None:
    await fill(house, [10], [10, 10, 10])

    assert (await house.collect(dry_run=True)).payloads == 3
    assert (await house.collect(force=True)).payloads == 3


async def test_an_empty_catalogue_in_a_full_ones_place_costs_nothing(
    house: House, local: LocalPayloads, tmp_path: Path
) -> None:
    for number in range(5):
        await house.add(str(number).encode())
    before = await house.stored()
    empty = await SqliteCatalogue.open(tmp_path / "empty.sqlite3", uuid4, payloads_exist=False)

    with pytest.raises(CollectionRefused):
        await collect_garbage(local, empty, house.locks, now=NOW + timedelta(days=9), grace=GRACE)

    await empty.close()
    assert await house.stored() == before


async def test_an_older_catalogue_in_a_newer_ones_place_counts_what_it_does_not_know(
    house: House, local: LocalPayloads
) -> None:
    await house.add(b"known")
    for number in range(2):
        await store_bytes(local, str(number).encode())

    with pytest.raises(CollectionRefused, match="2 of 3 payloads"):
        await house.collect()


# -- beside others ------------------------------------------------------------------------------------------------

CONTENTS = (b"one", b"another", some_bytes(70_000))


async def test_nothing_that_was_acknowledged_is_lost_while_collection_runs_all_the_time(
    local: LocalPayloads, catalogue: SqliteCatalogue
) -> None:
    """Grace 0, a clock past every file's time: whatever is unreferenced or without a row for a moment is garbage."""
    house = house_of(local, catalogue, DigestLocks(), grace=timedelta(0))
    is_done, runs, removed, added = asyncio.Event(), 0, 0, 0

    async def collect() -> None:
        nonlocal runs, removed
        while not is_done.is_set():
            report = await house.collect(grace=timedelta(0), force=True, scan=runs % 8 == 0)
            runs, removed = runs + 1, removed + report.payloads

    async def use(seed: int) -> None:
        nonlocal added
        pick = random.Random(seed)
        while removed < 60 or added < 400:  # so many removals, for else it was no race
            data = pick.choice(CONTENTS)
            blob = await house.add(data)
            added += 1
            assert await house.read(blob) == data
            await turns(pick.randrange(4))
            assert await house.read(blob) == data
            await changes.delete(house.store, WRITER, blob.uuid)

    collecting = asyncio.create_task(collect())
    try:
        await asyncio.gather(*(use(seed) for seed in range(5)))
    finally:
        is_done.set()
        await collecting

    await house.collect(grace=timedelta(0), force=True)
    assert await house.stored() == set()
    assert (await catalogue.totals()).payloads == 0
    assert len(house.locks) == 0


class Intruder(MemoryPayloads):
    """A payload store whose next removal is held up between the row's end and the file's, while `meanwhile` runs."""

    def __init__(self) -> None:
        super().__init__(MemoryDisk())
        self.meanwhile: Any = None

    async def remove(self, digest: Digest) -> bool:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return await super().remove(digest)


async def test_without_the_lock_a_collection_would_lose_what_is_stored_in_its_window(
    catalogue: SqliteCatalogue,
) -> None:
    """This is the loss that the lock prevents: the next test is the same with it."""
    payloads = Intruder()
    house = house_of(payloads, catalogue, NoLocks(), grace=timedelta(0))
    await house.add_garbage(b"abc")
    acknowledged: list[Blob] = []

    async def store_again() -> None:
        acknowledged.append(await house.add(b"abc"))

    payloads.meanwhile = store_again
    await house.collect(grace=timedelta(0), force=True, scan=False)

    (blob,) = acknowledged
    assert await house.store.readable_blob(WRITER, blob.uuid) == blob
    with pytest.raises(PayloadMissing):
        await house.read(blob)


async def test_with_the_lock_what_is_stored_in_the_window_waits_and_is_kept(catalogue: SqliteCatalogue) -> None:
    payloads = Intruder()
    house = house_of(payloads, catalogue, DigestLocks(), grace=timedelta(0))
    digest = await house.add_garbage(b"abc")
    storing: list[asyncio.Task[Blob]] = []

    async def store_again() -> None:
        storing.append(asyncio.create_task(house.add(b"abc")))
        while house.locks._users[digest] < 2:  # until it waits for the lock that the collection holds
            await asyncio.sleep(0)

    payloads.meanwhile = store_again
    report = await house.collect(grace=timedelta(0), force=True, scan=False)

    assert report.payloads == 1
    assert await house.read(await storing[0]) == b"abc"


async def test_without_the_lock_an_orphans_collection_would_lose_what_is_stored_in_its_window(
    catalogue: SqliteCatalogue,
) -> None:
    payloads = Intruder()
    house = house_of(payloads, catalogue, NoLocks(), grace=timedelta(0))
    await store_bytes(payloads, b"abc")
    acknowledged: list[Blob] = []

    async def store_again() -> None:
        acknowledged.append(await house.add(b"abc"))

    payloads.meanwhile = store_again
    await house.collect(grace=timedelta(0), force=True)

    with pytest.raises(PayloadMissing):
        await house.read(acknowledged[0])


async def test_a_removal_whose_run_is_cancelled_has_ended_when_its_lock_is_let_go(
    house: House, local: LocalPayloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the thread would unlink what somebody stored as soon as the lock was free."""
    import threading

    reached, go_on, real = threading.Event(), threading.Event(), local._remove

    def remove(digest: Digest) -> bool:
        reached.set()
        assert go_on.wait(30)
        return real(digest)

    digest = await house.add_garbage(b"abc")
    house.clock.move(hours=1)
    monkeypatch.setattr(local, "_remove", remove)
    collecting = asyncio.create_task(house.collect(force=True))
    await asyncio.to_thread(reached.wait, 30)
    storing = asyncio.create_task(house.add(b"abc"))
    while house.locks._users[digest] < 2:
        await asyncio.sleep(0)

    collecting.cancel()
    await turns(5)
    assert not storing.done()
    go_on.set()
    await asyncio.wait([collecting])

    assert collecting.cancelled()
    assert await house.read(await storing) == b"abc"


# -- by timer or on request ---------------------------------------------------------------------------------------


@pytest.fixture
async def upkeep(house: House) -> AsyncIterator[Upkeep]:
    rules = RULES
    uploads = Uploads(house.store, lifetime=timedelta(days=7), limit_per_token=9)
    rounds, repairs = rounds_of(house.store), Repair(house.store, [])
    upkeep = Upkeep(house.payloads, house.catalogue, house.locks, uploads, rules, house.clock, rounds, repairs)
    yield upkeep
    await upkeep.close()


async def test_two_runs_at_once_are_one(house: House, upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(house, [10, 10], [10])
    runs = 0

    async def counted(*args: Any, **how: Any) -> CollectionReport:
        nonlocal runs
        runs += 1
        return await collect_garbage(*args, **how)

    monkeypatch.setattr("casd.upkeep.collect_garbage", counted)
    reports = await asyncio.gather(*(upkeep.collect_garbage() for _ in range(5)))
    later = await upkeep.collect_garbage()

    assert runs == 2
    assert reports == [CollectionReport(1, 10, 0, False)] * 5
    assert later.payloads == 0


async def test_a_dry_run_beside_a_real_one_is_a_run_of_its_own(house: House, upkeep: Upkeep) -> None:
    await fill(house, [10, 10], [10])

    real, dry = await asyncio.gather(upkeep.collect_garbage(), upkeep.collect_garbage(dry_run=True))

    assert (real.is_dry_run, dry.is_dry_run) == (False, True)
    assert upkeep.last_runs["collect-garbage"].report == real


async def test_a_caller_that_is_cancelled_leaves_the_run_to_the_others(house: House, upkeep: Upkeep) -> None:
    await fill(house, [10, 10], [10])
    first, second = (asyncio.create_task(upkeep.collect_garbage()) for _ in range(2))
    await turns(3)

    first.cancel()

    assert (await second).payloads == 1
    assert first.cancelled()


async def test_every_caller_of_a_run_that_fails_hears_of_it_and_the_next_run_is_new(
    house: House, upkeep: Upkeep
) -> None:
    await fill(house, [], [10])

    outcomes = await asyncio.gather(*(upkeep.collect_garbage() for _ in range(3)), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [CollectionRefused] * 3
    assert upkeep.last_runs["collect-garbage"] == Run(house.clock(), house.clock(), None, str(outcomes[0]))
    assert (await upkeep.collect_garbage(force=True)).payloads == 1


async def test_upkeep_goes_by_its_rules_and_its_clock(house: House, upkeep: Upkeep) -> None:
    async with await house.store.stage("alice") as staged:
        await staged.append(b"abc")
        await house.store.publish(WRITER, "alice", "name", staged, Description())
    await changes.hide(house.store, WRITER, "alice", "name")

    house.clock.move(days=7)
    assert (await upkeep.expire(dry_run=True)).names == 0
    assert (await upkeep.expire()).names == 0
    house.clock.move(seconds=1)
    assert await upkeep.expire(dry_run=True) == Expired(names=1)
    report = await upkeep.expire()
    assert report == Expired(names=1)
    assert upkeep.last_runs == {"expire": Run(house.clock(), house.clock(), report)}
    house.clock.move(minutes=59)
    assert (await upkeep.collect_garbage(force=True)).payloads == 0
    house.clock.move(minutes=1)

    assert (await upkeep.collect_garbage(force=True)).payloads == 1


async def test_versions_are_looked_through_by_a_scan_alone(house: House, upkeep: Upkeep) -> None:
    for data in (b"one", b"two"):
        async with await house.store.stage("alice") as staged:
            await staged.append(data)
            await house.store.publish(WRITER, "alice", "name", staged, Description())
    await house.catalogue.update_namespace("alice", {"keep_versions": 1}, house.clock())

    assert await upkeep.expire(scan=False) == Expired()
    assert await upkeep.expire(dry_run=True) == Expired(versions=1)
    assert await upkeep.expire() == Expired(versions=1)
    assert await upkeep.expire() == Expired()


async def test_closing_ends_what_is_under_way(house: House, upkeep: Upkeep) -> None:
    await fill(house, [10, 10], [10])
    run = asyncio.create_task(upkeep.collect_garbage())
    await turns(2)

    await upkeep.close()

    await asyncio.wait([run])
    assert run.cancelled()
    assert len(house.locks) == 0
