"""Payloads as files: the layout, the order of system calls, and what happens when each of them fails."""

import asyncio
import errno
import hashlib
import itertools
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator, Coroutine, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from casd.errors import PayloadMissing, StorageFailed, StorageFull
from casd.model import Receipt
from casd.payloads import staged as staged_module
from casd.payloads.local import LocalPayloads
from casd.payloads.space import EARNED_S, FRESH_S, Claim, Space
from casd.payloads.staged import LocalStaged
from tests.conftest import skip_loudly
from tests.contracts.oracle import MIB, digest_of, receipt_of, some_bytes
from tests.contracts.payload_store import (
    PayloadStoreContract,
    open_descriptors,
    read_all,
    scanned,
    store_bytes,
    turns,
)
from tests.payloads.disk_spy import PATIENCE_S, DiskSpy
from tests.payloads.local_backend import LocalBackend, path_of


class TestLocalPayloads(PayloadStoreContract):
    @pytest.fixture
    def backend(self, root: Path) -> LocalBackend:
        return LocalBackend(root)


@pytest.fixture
async def store(root: Path) -> AsyncIterator[LocalPayloads]:
    store = await LocalPayloads.create(root, reserve_bytes=0)
    yield store
    await store.close()
    assert os.listdir(root / "incoming") == [], "a stage was left behind"


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch, root: Path, store: LocalPayloads) -> DiskSpy:
    """Watches from after the store was opened."""
    return DiskSpy(monkeypatch, root)


def two_in_one_folder() -> tuple[bytes, bytes]:
    """Two contents whose digests share the first four hex digits."""
    seen: dict[bytes, bytes] = {}
    for number in itertools.count():
        data = str(number).encode()
        shard = hashlib.sha512(data).digest()[:2]
        if shard in seen:
            return seen[shard], data
        seen[shard] = data
    raise AssertionError


def places(data: bytes) -> tuple[str, str, str]:
    """First-level folder, folder and file of a content, relative to the root."""
    name = hashlib.sha512(data).hexdigest()
    first, folder = f"payloads/{name[:2]}", f"payloads/{name[:2]}/{name[2:4]}"
    return first, folder, f"{folder}/{name}"


# -- the layout -------------------------------------------------------------------------------------------------


async def test_a_payload_lies_below_the_first_four_digits_of_its_digest(store: LocalPayloads, root: Path) -> None:
    name = hashlib.sha512(b"abc").hexdigest()

    await store_bytes(store, b"abc")

    assert (root / "payloads" / name[:2] / name[2:4] / name).read_bytes() == b"abc"
    assert name.startswith("ddaf35a1")  # FIPS 180-2, C.1


async def test_the_start_makes_all_first_level_folders_and_nothing_else(tmp_path: Path) -> None:
    store = await LocalPayloads.create(tmp_path, reserve_bytes=0)

    assert sorted(os.listdir(tmp_path)) == ["incoming", "payloads", "quarantine"]
    assert sorted(os.listdir(tmp_path / "payloads")) == sorted(f"{number:02x}" for number in range(256))
    await store.close()


async def test_a_stage_bears_its_id_in_incoming(store: LocalPayloads, root: Path) -> None:
    async with await store.stage("0198-id") as staged:
        await staged.append(b"abc")
        await staged.sync()

        assert (root / "incoming" / "0198-id").read_bytes() == b"abc"


async def test_two_stages_cannot_share_an_id(store: LocalPayloads, root: Path) -> None:
    async with await store.stage("same") as first:
        await first.append(some_bytes(200_000))
        second = await store.stage("same")

        with pytest.raises(StorageFailed):
            await second.append(some_bytes(200_000, seed=1))

        assert (root / "incoming" / "same").read_bytes() == some_bytes(200_000)


async def test_nobody_else_may_read_what_is_stored(store: LocalPayloads, root: Path) -> None:
    receipt = await store_bytes(store, b"abc")

    path = path_of(root, receipt.digest.hex)

    assert {place.stat().st_mode & 0o077 for place in (path, path.parent, path.parent.parent)} == {0}


async def test_a_damaged_payload_lies_in_quarantine_beside_a_note(store: LocalPayloads, root: Path) -> None:
    receipt = await store_bytes(store, b"abc")

    await store.quarantine(receipt.digest, "found by a scrub")

    moved, note = sorted(os.listdir(root / "quarantine"), key=len)
    assert re.fullmatch(receipt.digest.hex + r"\.\d{8}T\d{6}\.\d{6}Z", moved)
    assert note == moved + ".json"
    said = json.loads((root / "quarantine" / note).read_text("utf-8"))
    assert (said["sha512"], said["why"]) == (receipt.digest.hex, "found by a scrub")
    assert datetime.fromisoformat(said["quarantined_at"]).strftime("%Y%m%dT%H%M%S.%fZ") == moved.partition(".")[2]


async def test_the_same_payload_can_be_quarantined_again_and_again(store: LocalPayloads, root: Path) -> None:
    for why in ("first", "second"):
        receipt = await store_bytes(store, b"abc")
        await store.quarantine(receipt.digest, why)

    assert len(os.listdir(root / "quarantine")) == 4


async def test_a_scan_tells_when_a_payload_was_written(store: LocalPayloads, root: Path) -> None:
    receipt = await store_bytes(store, b"abc")
    os.utime(path_of(root, receipt.digest.hex), (1_000_000_000, 1_000_000_000))

    (stored,) = [stored async for stored in store.scan()]

    assert stored.modified_at == datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)


# -- the order of calls -----------------------------------------------------------------------------------------


async def test_the_start_makes_the_data_folder_itself_and_all_folders_in_it_durable(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = DiskSpy(monkeypatch, root)

    store = await LocalPayloads.create(root, reserve_bytes=0)

    calls = spy.named("mkdir", "fsync")
    await store.close()
    shards = [("mkdir", f"payloads/{number:02x}") for number in range(256)]
    made = [("mkdir", name) for name in ("payloads", "incoming", "quarantine")]
    assert calls == [("fsync", ".."), *made, ("fsync", "."), *shards, ("fsync", "payloads")]


@pytest.mark.parametrize("folder", ["..", ".", "payloads"])
async def test_a_start_whose_fsync_fails_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    spy = DiskSpy(monkeypatch, root)
    spy.fail("fsync", folder)
    before = open_descriptors()

    with pytest.raises(StorageFailed):
        await LocalPayloads.create(root, reserve_bytes=0)

    assert open_descriptors() == before


async def test_a_data_folder_whose_parent_may_not_be_read_is_accepted(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd's StateDirectory."""
    spy = DiskSpy(monkeypatch, root)
    spy.fail("fsync", "..", errno.EACCES)

    store = await LocalPayloads.create(root, reserve_bytes=0)

    await store_bytes(store, b"abc")
    await store.close()


async def test_a_commit_into_a_new_folder_syncs_file_and_parent_before_the_rename_and_the_folder_after_it(
    store: LocalPayloads, spy: DiskSpy
) -> None:
    first, folder, file = places(b"abc")

    await store_bytes(store, b"abc", "stage")

    assert spy.named("fsync", "mkdir", "replace") == [
        ("fsync", "incoming/stage"),
        ("mkdir", folder),
        ("fsync", first),
        ("replace", file),
        ("fsync", folder),
    ]


async def test_a_second_commit_into_a_folder_syncs_file_then_renames_then_syncs_the_folder(
    store: LocalPayloads, spy: DiskSpy
) -> None:
    one, other = two_in_one_folder()
    await store_bytes(store, one, "one")
    spy.calls.clear()

    await store_bytes(store, other, "other")

    _, folder, file = places(other)
    assert spy.named("fsync", "mkdir", "replace") == [
        ("fsync", "incoming/other"),
        ("replace", file),
        ("fsync", folder),
    ]


async def test_equal_bytes_are_renamed_and_synced_again(store: LocalPayloads, spy: DiskSpy) -> None:
    await store_bytes(store, b"abc")
    spy.calls.clear()

    await store_bytes(store, b"abc", "again")

    _, folder, file = places(b"abc")
    assert spy.named("fsync", "replace") == [("fsync", "incoming/again"), ("replace", file), ("fsync", folder)]


async def test_a_folder_that_an_earlier_process_made_counts_as_safe_only_after_its_parents_fsync(
    store: LocalPayloads, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store_bytes(store, b"abc")
    first, folder, file = places(b"abc")
    after_restart = await LocalPayloads.create(root, reserve_bytes=0)
    spy = DiskSpy(monkeypatch, root)

    await store_bytes(after_restart, b"abc", "again")

    assert spy.named("fsync", "replace") == [
        ("fsync", "incoming/again"),
        ("fsync", first),
        ("replace", file),
        ("fsync", folder),
    ]
    await after_restart.close()


async def test_a_sync_makes_the_bytes_and_once_the_stages_name_durable(store: LocalPayloads, spy: DiskSpy) -> None:
    async with await store.stage("upload") as staged:
        for _ in range(2):
            await staged.append(b"abc")
            await staged.sync()

        calls = spy.named("fdatasync", "fsync")

    assert calls == [("fdatasync", "incoming/upload"), ("fsync", "incoming"), ("fdatasync", "incoming/upload")]


async def test_a_reopened_stage_is_cut_back_before_anything_is_added(store: LocalPayloads, root: Path) -> None:
    (root / "incoming" / "upload").write_bytes(b"told and untold")

    async with await store.reopen("upload", 4):
        assert (root / "incoming" / "upload").read_bytes() == b"told"


# -- one pass ---------------------------------------------------------------------------------------------------


async def test_bytes_that_come_in_order_are_not_read_again(store: LocalPayloads, spy: DiskSpy) -> None:
    async with await store.stage("order") as staged:
        for number in range(5):
            await staged.append(some_bytes(300_000, seed=number))
        await staged.seal()

    assert spy.named("pread") == []


async def test_a_cut_back_to_what_was_synced_costs_no_second_read(store: LocalPayloads, spy: DiskSpy) -> None:
    data = some_bytes(900_000)
    async with await store.stage("cut") as staged:
        await staged.append(data[:500_000])
        await staged.sync()
        await staged.append(data[:400_000])
        await staged.truncate(500_000)
        await staged.append(data[500_000:])

        receipt = await staged.seal()

    assert receipt == receipt_of(data)
    assert spy.named("pread") == []


async def test_a_small_payload_is_written_with_one_call(store: LocalPayloads, spy: DiskSpy) -> None:
    async with await store.stage("small") as staged:
        for _ in range(10):
            await staged.append(b"a few bytes")
        await staged.seal()

        assert spy.named("pwrite") == [("pwrite", "incoming/small")]


async def test_a_short_prefix_that_was_not_hashed_is_read_with_the_next_append(
    store: LocalPayloads, root: Path, spy: DiskSpy
) -> None:
    data = some_bytes(500_000)
    (root / "incoming" / "resumed").write_bytes(data[:200_000])

    async with await store.reopen("resumed", 200_000) as staged:
        await staged.append(data[200_000:])
        spy.calls.clear()
        receipt = await staged.seal()

    assert receipt == receipt_of(data)
    assert spy.named("pread") == []


# -- calls that do less than they were asked --------------------------------------------------------------------


@pytest.mark.parametrize("size", [50_000, 500_000])
async def test_a_write_that_takes_less_than_it_was_given_goes_on(
    store: LocalPayloads, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    real, data = os.pwrite, some_bytes(size)
    monkeypatch.setattr(os, "pwrite", lambda file, view, offset: real(file, view[:7001], offset))

    receipt = await store_bytes(store, data)

    assert receipt == receipt_of(data)
    assert await read_all(store, receipt.digest) == data


async def test_a_read_that_gives_less_than_it_was_asked_goes_on(
    store: LocalPayloads, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = some_bytes(400_000)
    (root / "incoming" / "resumed").write_bytes(data)
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda file, count, offset: real(file, min(count, 7001), offset))

    async with await store.reopen("resumed", len(data)) as staged:
        receipt = await staged.seal()
        await staged.commit()
    payload = await store.open(receipt.digest)

    assert receipt == receipt_of(data)
    assert await payload.read(0, len(data)) == data
    payload.close()


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL, errno.EIO])
async def test_a_read_that_would_wait_or_a_file_system_that_cannot_tell_is_left_to_a_thread(
    store: LocalPayloads, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    receipt = await store_bytes(store, b"abc")
    payload = await store.open(receipt.digest)

    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "preadv", refuse)

    assert payload.read_now(0, 3) is None
    assert not payload.is_cached(0, 3)
    assert await payload.read(0, 3) == b"abc"
    payload.close()


async def test_a_read_that_the_disk_fails_says_that_storage_failed(store: LocalPayloads, spy: DiskSpy) -> None:
    data = some_bytes(400_000)
    receipt = await store_bytes(store, data)
    payload = await store.open(receipt.digest)
    spy.fail("pread", "payloads/*")

    with pytest.raises(StorageFailed):
        await payload.read(0, len(data))

    assert await payload.read(0, len(data)) == data
    payload.close()


async def test_a_stage_whose_bytes_vanished_is_not_sealed(store: LocalPayloads, root: Path) -> None:
    async with await store.stage("robbed") as staged:
        await staged.write_at(100_000, some_bytes(100_000))
        os.truncate(root / "incoming" / "robbed", 150_000)

        with pytest.raises(StorageFailed, match="shorter"):
            await staged.seal()


# -- faults -----------------------------------------------------------------------------------------------------

FAULTS = [
    pytest.param(errno.EIO, StorageFailed, id="EIO"),
    pytest.param(errno.ENOSPC, StorageFull, id="ENOSPC"),
    pytest.param(errno.EDQUOT, StorageFull, id="EDQUOT"),
]
CALLS = [
    ("pwrite", "incoming/stage"),
    ("fdatasync", "incoming/stage"),
    ("fsync", "incoming"),
    ("fsync", "incoming/stage"),
    ("mkdir", "payloads/??/??"),
    ("fsync", "payloads/??"),
    ("replace", "payloads/??/??/*"),
    ("fsync", "payloads/??/??"),
]


async def store_with_a_sync(store: LocalPayloads, data: bytes) -> None:
    async with await store.stage("stage") as staged:
        await staged.append(data)
        await staged.sync()
        await staged.seal()
        await staged.commit()


@pytest.mark.parametrize(("code", "error"), FAULTS)
@pytest.mark.parametrize(("call", "path"), CALLS)
async def test_a_call_that_fails_once_fails_the_store_drops_the_stage_and_spoils_no_retry(
    store: LocalPayloads, root: Path, spy: DiskSpy, call: str, path: str, code: int, error: type[StorageFailed]
) -> None:
    data = some_bytes(300_000)
    before = open_descriptors()
    spy.fail(call, path, code)

    with pytest.raises(StorageFailed) as caught:
        await store_with_a_sync(store, data)

    assert type(caught.value) is error
    assert isinstance(caught.value.__cause__, OSError)
    assert os.listdir(root / "incoming") == []
    assert open_descriptors() == before
    await store_with_a_sync(store, data)
    assert await read_all(store, digest_of(data)) == data


@pytest.mark.parametrize(("call", "path"), CALLS[:-1])
async def test_what_failed_before_its_rename_is_no_payload(
    store: LocalPayloads, spy: DiskSpy, call: str, path: str
) -> None:
    data = some_bytes(300_000)
    spy.fail(call, path)

    with pytest.raises(StorageFailed):
        await store_with_a_sync(store, data)

    assert await scanned(store) == {}
    with pytest.raises(PayloadMissing):
        await store.open(digest_of(data))


@pytest.mark.parametrize("call", ["fsync", "fdatasync"])
async def test_a_file_whose_fsync_failed_is_never_synced_again(store: LocalPayloads, spy: DiskSpy, call: str) -> None:
    """Linux marks the pages clean that it could not write: a second fsync would lie."""
    spy.fail(call, "incoming/stage")
    staged = await store.stage("stage")
    await staged.append(some_bytes(300_000))

    with pytest.raises(StorageFailed):
        await (staged.seal() if call == "fsync" else staged.sync())
    for attempt in (staged.sync, staged.seal):
        with pytest.raises(StorageFailed):
            await attempt()
    await staged.discard()

    assert spy.named("fsync", "fdatasync") == [(call, "incoming/stage")]


async def test_a_failed_fsync_that_its_cancelled_caller_never_heard_of_fails_the_next_call(
    store: LocalPayloads, spy: DiskSpy
) -> None:
    staged = await store.stage("stage")
    await staged.append(some_bytes(300_000))
    plan = spy.hold("fdatasync", "incoming/stage", errno.EIO)
    task = asyncio.create_task(staged.sync())
    await asyncio.to_thread(plan.wait)
    task.cancel()
    await asyncio.wait([task])
    plan.go_on.set()

    with pytest.raises(StorageFailed):
        await staged.sync()

    assert spy.named("fdatasync") == [("fdatasync", "incoming/stage")]


# -- stages that are kept -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("call", "path"), [call for call in CALLS if call[1] != "incoming"])
async def test_a_kept_stage_whose_disk_call_fails_has_what_was_synced_before_for_reopen(
    store: LocalPayloads, spy: DiskSpy, call: str, path: str
) -> None:
    data = some_bytes(400_000)
    before = open_descriptors()
    staged = await store.stage("stage", len(data), is_kept=True)
    await staged.append(data[:200_000])
    await staged.sync()
    spy.fail(call, path)

    async def finish(staged: LocalStaged) -> Receipt:
        await staged.append(data[200_000:])
        await staged.sync()
        receipt = await staged.seal()
        await staged.commit()
        return receipt

    with pytest.raises(StorageFailed):
        await finish(staged)

    assert open_descriptors() == before
    assert await store.free_bytes() > 0
    again = await store.reopen("stage", 200_000, len(data))
    assert await finish(again) == receipt_of(data)
    await again.discard()
    assert await read_all(store, digest_of(data)) == data
    assert open_descriptors() == before


async def test_a_kept_stage_becomes_durable_while_more_arrives(
    store: LocalPayloads, spy: DiskSpy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staged_module, "FLUSH_BYTES", 200_000)
    data = some_bytes(600_000)
    staged = await store.stage("stage", is_kept=True)
    await staged.append(data[:200_000])
    plan = spy.hold("fdatasync", "incoming/stage")

    await staged.append(data[200_000:300_000])  # begins the flush of what was written before
    await asyncio.to_thread(plan.wait)
    assert staged.durable_size == 0
    plan.go_on.set()
    await staged.append(data[300_000:500_000])
    await staged.append(data[500_000:])  # begins the next one, which waits for the first

    assert 200_000 <= staged.durable_size < 600_000
    assert ("fsync", "incoming") in spy.calls
    await staged.discard()


async def test_what_is_missing_of_a_kept_stage_is_reserved_while_it_is_open(store: LocalPayloads) -> None:
    free = await store.free_bytes()
    staged = await store.stage("stage", 10 << 30, is_kept=True)
    await staged.append(b"x" * 1000)
    await staged.sync()
    assert await store.free_bytes() < free - (9 << 30)

    await staged.suspend()
    assert await store.free_bytes() > free - (1 << 30)
    again = await store.reopen("stage", 1000, 10 << 30)
    assert await store.free_bytes() < free - (9 << 30)

    await again.discard()
    assert await store.free_bytes() > free - (1 << 30)


# -- flushing behind the writes -------------------------------------------------------------------------------


@pytest.fixture
def flush_bytes(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(staged_module, "FLUSH_BYTES", 200_000)
    return 200_000


async def test_a_long_payload_is_on_its_way_to_the_disk_while_more_arrives(
    store: LocalPayloads, spy: DiskSpy, flush_bytes: int
) -> None:
    data = some_bytes(5 * flush_bytes)
    async with await store.stage("stage") as staged:
        for start in range(0, len(data), flush_bytes):
            await staged.append(data[start : start + flush_bytes])
        receipt = await staged.seal()

    assert receipt == receipt_of(data)
    assert spy.named("fdatasync", "fsync") == [("fdatasync", "incoming/stage")] * 4 + [("fsync", "incoming/stage")]


@pytest.mark.parametrize("next_call", ["append", "sync", "seal"])
async def test_a_flush_that_failed_fails_the_next_call_that_counts_on_it_and_nothing_is_synced_again(
    store: LocalPayloads, root: Path, spy: DiskSpy, flush_bytes: int, next_call: str
) -> None:
    before = open_descriptors()
    staged = await store.stage("stage")
    await staged.append(some_bytes(flush_bytes))
    spy.fail("fdatasync", "incoming/stage")
    await staged.append(some_bytes(flush_bytes))  # begins the flush of what was written before

    with pytest.raises(StorageFailed):
        await {"append": lambda: staged.append(b"x"), "sync": staged.sync, "seal": staged.seal}[next_call]()

    assert spy.named("fdatasync", "fsync") == [("fdatasync", "incoming/stage")]
    assert os.listdir(root / "incoming") == []
    assert open_descriptors() == before


async def test_an_append_cancelled_while_it_waits_for_a_flush_did_not_happen(
    store: LocalPayloads, spy: DiskSpy, flush_bytes: int
) -> None:
    data = some_bytes(2 * flush_bytes)
    async with await store.stage("stage") as staged:
        await staged.append(data[:flush_bytes])
        plan = spy.hold("fdatasync", "incoming/stage")
        await staged.append(data[flush_bytes:])
        waiting = asyncio.create_task(staged.append(b"never"))
        await asyncio.to_thread(plan.wait)
        waiting.cancel()
        await asyncio.wait([waiting])

        assert (waiting.cancelled(), staged.size) == (True, len(data))
        plan.go_on.set()
        await staged.append(b"the next one")
        receipt = await staged.seal()

    assert receipt == receipt_of(data + b"the next one")


async def test_a_stage_is_not_let_go_while_it_is_flushed(
    store: LocalPayloads, root: Path, spy: DiskSpy, flush_bytes: int
) -> None:
    before = open_descriptors()
    staged = await store.stage("stage")
    await staged.append(some_bytes(flush_bytes))
    plan = spy.hold("fdatasync", "incoming/stage")
    await staged.append(b"more")
    await asyncio.to_thread(plan.wait)

    discarding = asyncio.create_task(staged.discard())
    await turns(5)
    assert not discarding.done()
    plan.go_on.set()
    await discarding

    assert os.listdir(root / "incoming") == []
    assert open_descriptors() == before


# -- folders that fail ------------------------------------------------------------------------------------------


async def test_after_a_failed_fsync_of_the_parent_a_new_folder_is_made_and_synced_anew(
    store: LocalPayloads, spy: DiskSpy
) -> None:
    """The kernel may have dropped the folder's entry and call the parent clean: only a new entry gives it work."""
    first, folder, file = places(b"abc")
    spy.fail("fsync", first)
    with pytest.raises(StorageFailed):
        await store_bytes(store, b"abc")
    failed = spy.named("mkdir", "rmdir", "replace")
    spy.calls.clear()

    await store_bytes(store, b"abc", "again")

    assert failed == [("mkdir", folder), ("rmdir", folder)]
    assert spy.named("mkdir", "fsync", "replace") == [
        ("fsync", "incoming/again"),
        ("mkdir", folder),
        ("fsync", first),
        ("replace", file),
        ("fsync", folder),
    ]


async def test_after_a_failed_fsync_of_the_parent_a_folder_of_an_earlier_process_is_synced_again(
    store: LocalPayloads, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store_bytes(store, b"abc")
    first, _, file = places(b"abc")
    after_restart = await LocalPayloads.create(root, reserve_bytes=0)
    spy = DiskSpy(monkeypatch, root)
    spy.fail("fsync", first)
    with pytest.raises(StorageFailed):
        await store_bytes(after_restart, b"abc")
    assert spy.named("replace") == []
    spy.calls.clear()

    await store_bytes(after_restart, b"abc")

    assert spy.named("fsync", "replace")[1:3] == [("fsync", first), ("replace", file)]
    await after_restart.close()


async def test_a_folder_that_a_failing_commit_took_away_from_a_concurrent_one_is_made_again(
    store: LocalPayloads, spy: DiskSpy
) -> None:
    one, other = two_in_one_folder()
    first, folder, file = places(other)
    failing = spy.hold("fsync", first, errno.EIO)
    async with await store.stage("other") as staged:
        await staged.append(other)
        await staged.seal()
        first_commit = asyncio.create_task(store_bytes(store, one, "one"))
        await asyncio.to_thread(failing.wait)
        second_commit = asyncio.create_task(staged.commit())
        await turns(5)

        failing.go_on.set()
        with pytest.raises(StorageFailed):
            await first_commit
        await second_commit

    assert await scanned(store) == {digest_of(other): len(other)}
    assert spy.named("mkdir", "fsync", "rmdir", "replace")[-7:] == [
        ("mkdir", folder),
        ("fsync", first),
        ("rmdir", folder),
        ("mkdir", folder),
        ("fsync", first),
        ("replace", file),
        ("fsync", folder),
    ]


async def test_an_empty_folder_that_an_operator_removed_fails_one_commit_and_is_made_again(
    store: LocalPayloads, root: Path
) -> None:
    receipt = await store_bytes(store, b"abc")
    await store.remove(receipt.digest)
    path_of(root, receipt.digest.hex).parent.rmdir()

    with pytest.raises(StorageFailed):
        await store_bytes(store, b"abc")
    await store_bytes(store, b"abc")

    assert await read_all(store, receipt.digest) == b"abc"


async def test_a_commit_that_fails_leaves_the_copy_that_was_there(store: LocalPayloads, spy: DiskSpy) -> None:
    await store_bytes(store, b"abc")
    spy.fail("replace", "payloads/*")

    with pytest.raises(StorageFailed):
        await store_bytes(store, b"abc")

    assert await read_all(store, digest_of(b"abc")) == b"abc"


async def test_a_stage_that_cannot_be_removed_is_left_to_the_next_start(
    store: LocalPayloads, root: Path, spy: DiskSpy
) -> None:
    spy.fail("unlink", "incoming/stage")
    before = open_descriptors()
    async with await store.stage("stage") as staged:
        await staged.append(some_bytes(300_000))

    assert os.listdir(root / "incoming") == ["stage"]
    assert open_descriptors() == before
    assert await store.clear_stages() == 1


async def test_a_removal_that_fails_says_so_and_keeps_the_payload(store: LocalPayloads, spy: DiskSpy) -> None:
    receipt = await store_bytes(store, b"abc")
    spy.fail("unlink", "payloads/*")

    with pytest.raises(StorageFailed):
        await store.remove(receipt.digest)

    assert await read_all(store, receipt.digest) == b"abc"


# -- cancelled at the worst moment ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "path"), [("pwrite", "incoming/stage"), ("fdatasync", "incoming/stage"), ("fsync", "incoming/stage")]
)
@pytest.mark.parametrize("cancellations", [1, 2])
async def test_a_task_cancelled_in_the_middle_of_a_call_leaves_nothing(
    store: LocalPayloads, root: Path, spy: DiskSpy, call: str, path: str, cancellations: int
) -> None:
    before = open_descriptors()
    plan = spy.hold(call, path)
    task = asyncio.create_task(store_with_a_sync(store, some_bytes(300_000)))
    await asyncio.to_thread(plan.wait)

    for _ in range(cancellations):
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert not task.done()  # it waits for the thread, which still has the descriptor
    plan.go_on.set()
    await asyncio.wait([task])

    assert task.cancelled()
    assert os.listdir(root / "incoming") == []
    assert await scanned(store) == {}
    assert open_descriptors() == before


async def test_a_small_stage_cancelled_while_it_is_sealed_leaves_nothing(
    store: LocalPayloads, root: Path, spy: DiskSpy
) -> None:
    before = open_descriptors()
    plan = spy.hold("fsync", "incoming/stage")
    task = asyncio.create_task(store_bytes(store, b"abc", "stage"))
    await asyncio.to_thread(plan.wait)

    task.cancel()
    plan.go_on.set()
    await asyncio.wait([task])

    assert os.listdir(root / "incoming") == []
    assert open_descriptors() == before


async def test_a_task_cancelled_during_the_rename_leaves_the_whole_payload_and_no_stage(
    store: LocalPayloads, root: Path, spy: DiskSpy
) -> None:
    plan = spy.hold("replace", "payloads/*")
    task = asyncio.create_task(store_bytes(store, b"abc"))
    await asyncio.to_thread(plan.wait)

    task.cancel()
    plan.go_on.set()
    await asyncio.wait([task])

    assert os.listdir(root / "incoming") == []
    assert await read_all(store, digest_of(b"abc")) == b"abc"


@pytest.mark.parametrize("size", [90_000, 700_000])
@pytest.mark.parametrize("next_size", [1000, 800_000])
async def test_an_append_cancelled_while_it_writes_is_undone_by_the_next_call(
    store: LocalPayloads, spy: DiskSpy, size: int, next_size: int
) -> None:
    first, follower = some_bytes(200_000), some_bytes(next_size, seed=2)
    async with await store.stage("stage") as staged:
        await staged.append(first)
        plan = spy.hold("pwrite", "incoming/stage")
        task = asyncio.create_task(staged.append(some_bytes(size, seed=1)))
        await asyncio.to_thread(plan.wait)
        task.cancel()
        await asyncio.wait([task])
        next_append = asyncio.create_task(staged.append(follower))
        await asyncio.sleep(0)
        assert not next_append.done()
        plan.go_on.set()
        await next_append

        receipt = await staged.seal()
        await staged.commit()

    assert receipt == receipt_of(first + follower)
    assert await read_all(store, receipt.digest) == first + follower


async def test_bytes_held_in_memory_survive_the_cancelled_append_that_was_to_write_them(
    store: LocalPayloads, spy: DiskSpy
) -> None:
    async with await store.stage("stage") as staged:
        await staged.append(b"held in memory")
        plan = spy.hold("pwrite", "incoming/stage")
        task = asyncio.create_task(staged.append(some_bytes(300_000)))
        await asyncio.to_thread(plan.wait)
        task.cancel()
        await asyncio.wait([task])
        plan.go_on.set()

        assert staged.size == 14
        receipt = await staged.seal()
        await staged.commit()

    assert await read_all(store, receipt.digest) == b"held in memory"


async def test_a_removal_that_is_cancelled_ends_before_its_caller_goes_on(store: LocalPayloads, spy: DiskSpy) -> None:
    """The caller holds the digest's lock, and lets go of it when it goes on."""
    digest = (await store_bytes(store, b"abc")).digest

    await cancelled_but_whole(store.remove(digest), spy, "unlink", "payloads/*")

    with pytest.raises(PayloadMissing):
        await store.open(digest)


async def test_a_quarantine_that_is_cancelled_ends_before_its_caller_goes_on(
    store: LocalPayloads, spy: DiskSpy
) -> None:
    digest = (await store_bytes(store, b"abc")).digest

    await cancelled_but_whole(store.quarantine(digest, "damaged"), spy, "replace", "quarantine/*")

    with pytest.raises(PayloadMissing):
        await store.open(digest)


async def test_a_commit_that_is_cancelled_ends_before_its_caller_goes_on(store: LocalPayloads, spy: DiskSpy) -> None:
    async with await store.stage("stage") as staged:
        await staged.append(b"abc")
        receipt = await staged.seal()

        await cancelled_but_whole(staged.commit(), spy, "replace", "payloads/*")

    assert await read_all(store, receipt.digest) == b"abc"


async def cancelled_but_whole(call: Coroutine[Any, Any, Any], spy: DiskSpy, name: str, path: str) -> None:
    """Cancel `call` in the middle of a disk call: it ends only after that."""
    plan = spy.hold(name, path)
    task = asyncio.create_task(call)
    await asyncio.to_thread(plan.wait)
    task.cancel()
    await turns(5)
    assert not task.done()
    plan.go_on.set()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_closing_waits_for_what_is_under_way(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spy = DiskSpy(monkeypatch, root)
    store = await LocalPayloads.create(root, reserve_bytes=0)
    await store_bytes(store, b"abc")
    plan = spy.hold("unlink", "payloads/*")
    removing = asyncio.create_task(store.remove(digest_of(b"abc")))
    await asyncio.to_thread(plan.wait)

    closing = asyncio.create_task(store.close())
    await turns(5)
    assert not closing.done()
    plan.go_on.set()
    await closing

    assert await removing


# -- space ------------------------------------------------------------------------------------------------------


class FixedDisk:
    """Stands in for `os.statvfs`: so much is free, whoever else writes to the real one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free: int, total: int = 1 << 40) -> None:
        self.free = free
        self.asked = 0
        self._total = total
        monkeypatch.setattr(os, "statvfs", self._statvfs)

    def _statvfs(self, path: object) -> os.statvfs_result:
        self.asked += 1
        return os.statvfs_result((4096, 1, self._total, self.free, self.free, 0, 0, 0, 0, 255))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FixedDisk:
    return FixedDisk(monkeypatch, free=10 * MIB)


async def test_a_declared_size_that_does_not_fit_is_refused_at_the_start(store: LocalPayloads, disk: FixedDisk) -> None:
    with pytest.raises(StorageFull):
        await store.stage("too large", 10 * MIB + 1)

    assert await store.free_bytes() == 10 * MIB


async def test_far_from_full_only_large_uploads_ask_the_disk_before_they_begin(
    store: LocalPayloads, disk: FixedDisk
) -> None:
    disk.free = 100 << 30
    assert await store.free_bytes() == 100 << 30
    asked = disk.asked

    async with await store.stage("small", 4096):
        assert disk.asked == asked
    async with await store.stage("large", 10 * MIB):
        assert disk.asked == asked + 1


async def test_a_disk_that_filled_up_unnoticed_refuses_a_small_upload_when_it_is_written(
    store: LocalPayloads, disk: FixedDisk
) -> None:
    disk.free = 100 << 30
    assert await store.free_bytes() == 100 << 30
    disk.free = 0

    async with await store.stage("small", 4096) as staged:
        await staged.append(some_bytes(4096))
        with pytest.raises(StorageFull):
            await staged.seal()

    with pytest.raises(StorageFull):
        await store.stage("next", 4096)


async def test_declared_sizes_count_against_each_other(store: LocalPayloads, disk: FixedDisk) -> None:
    async with await store.stage("first", 6 * MIB):
        with pytest.raises(StorageFull):
            await store.stage("second", 5 * MIB)

        assert await store.free_bytes() == 4 * MIB
    async with await store.stage("third", 5 * MIB):
        assert await store.free_bytes() == 5 * MIB


async def test_what_strangers_declare_and_do_not_send_is_not_kept_for_them(
    store: LocalPayloads, disk: FixedDisk
) -> None:
    silent = [await store.stage(f"silent {number}", 10 * MIB, owner=number) for number in range(20)]

    async with await store.stage("upload", 9 * MIB, owner="us") as staged:
        await staged.append(some_bytes(MIB))
        with pytest.raises(StorageFull):
            await store.stage("another of us", 9 * MIB, owner="us")

    assert await store.free_bytes() == 10 * MIB
    for other in silent:
        await other.discard()
    assert store.reserved_bytes == 0


async def test_what_comes_is_kept_free_for_its_rest_from_everybody(store: LocalPayloads, disk: FixedDisk) -> None:
    async with await store.stage("upload", 8 * MIB, owner="us") as staged:
        await staged.append(some_bytes(MIB))
        disk.free -= MIB

        with pytest.raises(StorageFull):
            await store.stage("stranger", 3 * MIB, owner="them")
        await (await store.stage("small stranger", 2 * MIB, owner="them")).discard()


def test_a_claim_that_nothing_comes_of_stands_for_a_while_before_its_owners_others(disk: FixedDisk) -> None:
    now = 1000.0
    space = Space(Path("/"), 0, lambda: now)
    idle, dripping = Claim(space, "us"), Claim(space, "us")
    idle.raise_by(4 * MIB, 10 * MIB)
    dripping.raise_by(4 * MIB, 10 * MIB)
    with pytest.raises(StorageFull):
        Claim(space, "us").raise_by(4 * MIB, 10 * MIB)

    now += FRESH_S
    dripping.written(10)

    assert space.kept_from("us") == dripping.remaining
    assert space.kept_from("them") == int(10 * EARNED_S / FRESH_S)
    Claim(space, "us").raise_by(6 * MIB, 10 * MIB)


async def test_of_two_that_are_declared_at_once_only_what_fits_is_accepted(
    store: LocalPayloads, disk: FixedDisk
) -> None:
    outcomes = await asyncio.gather(*(store.stage(id, 6 * MIB) for id in ("one", "two")), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes].count(StorageFull) == 1
    for outcome in outcomes:
        if not isinstance(outcome, BaseException):
            await outcome.discard()
    assert await store.free_bytes() == 10 * MIB


async def test_bytes_that_were_written_are_no_longer_claimed(store: LocalPayloads, disk: FixedDisk) -> None:
    async with await store.stage("upload", 6 * MIB) as staged:
        await staged.append(some_bytes(2 * MIB))
        disk.free -= 2 * MIB

        assert await store.free_bytes() == 10 * MIB - 6 * MIB


async def test_more_can_be_announced_to_a_stage_and_taken_back(store: LocalPayloads, disk: FixedDisk) -> None:
    async with await store.stage("upload", 2 * MIB) as staged:
        await staged.reserve(3 * MIB)
        assert await store.free_bytes() == 5 * MIB

        with pytest.raises(StorageFull):
            await staged.reserve(5 * MIB + 1)
        assert await store.free_bytes() == 5 * MIB
        await staged.append(some_bytes(MIB))
        disk.free -= MIB
        assert store.reserved_bytes == 4 * MIB
        staged.release(3 * MIB)
        assert store.reserved_bytes == MIB

    assert store.reserved_bytes == 0


async def test_a_stage_that_was_let_go_announces_nothing_more(store: LocalPayloads, disk: FixedDisk) -> None:
    staged = await store.stage("upload")
    await staged.discard()

    with pytest.raises(StorageFailed):
        await staged.reserve(1)

    assert store.reserved_bytes == 0


@pytest.mark.parametrize("size", [1000, 2 * MIB])
async def test_a_commit_ends_its_claim(store: LocalPayloads, disk: FixedDisk, size: int) -> None:
    staged = await store.stage("upload", size)
    await staged.append(some_bytes(size))
    await staged.seal()

    await staged.commit()

    assert await store.free_bytes() == 10 * MIB


async def test_a_claim_lets_its_owner_write_although_nothing_else_is_free(
    store: LocalPayloads, disk: FixedDisk
) -> None:
    async with await store.stage("owner", 10 * MIB) as owner, await store.stage("other") as other:
        await owner.append(some_bytes(MIB))
        disk.free -= MIB

        with pytest.raises(StorageFull):
            await other.append(some_bytes(MIB))


async def test_a_write_that_would_touch_the_reserve_is_refused_and_drops_its_stage(root: Path, disk: FixedDisk) -> None:
    store = await LocalPayloads.create(root, reserve_bytes=9 * MIB)
    staged = await store.stage("large")
    await staged.append(some_bytes(MIB - 1))

    disk.free -= MIB
    with pytest.raises(StorageFull):
        await staged.append(some_bytes(200_000))

    assert os.listdir(root / "incoming") == []
    await store.close()


async def test_below_the_reserve_nothing_is_stored_and_removals_work(root: Path, disk: FixedDisk) -> None:
    store = await LocalPayloads.create(root, reserve_bytes=MIB)
    receipt = await store_bytes(store, b"abc")
    disk.free = MIB - 1

    for data in (b"", b"x", some_bytes(200_000)):
        with pytest.raises(StorageFull):
            await store_bytes(store, data)

    assert await store.free_bytes() == 0
    assert await store.remove(receipt.digest)
    assert os.listdir(root / "incoming") == []
    await store.close()


@pytest.mark.parametrize(
    ("total", "reserve"), [(1 << 30, 512 * MIB), (100 * 512 * MIB, 512 * MIB), (100 << 30, 1 << 30)]
)
async def test_the_reserve_is_the_larger_of_512_mib_and_a_hundredth(
    root: Path, monkeypatch: pytest.MonkeyPatch, total: int, reserve: int
) -> None:
    FixedDisk(monkeypatch, free=2 << 30, total=total)
    store = await LocalPayloads.create(root)

    assert await store.free_bytes() == (2 << 30) - reserve
    await store.close()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "casd-test", str(place)],
        check=False,
        capture_output=True,
        timeout=PATIENCE_S,
    )
    if made.returncode:
        skip_loudly(f"a really full disk needs the right to mount a tmpfs: {made.stderr.decode()}")
    yield place
    subprocess.run(["umount", str(place)], check=True, timeout=PATIENCE_S)


async def test_a_really_full_disk_stores_nothing_more_and_still_removes(full_disk: Path) -> None:
    store = await LocalPayloads.create(full_disk, reserve_bytes=-(1 << 30))  # so that the disk itself has to say no
    kept = await store_bytes(store, some_bytes(MIB))
    before = open_descriptors()

    with pytest.raises(StorageFull) as caught:
        await store_bytes(store, some_bytes(8 * MIB))

    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert os.listdir(full_disk / "incoming") == []
    assert open_descriptors() == before
    (full_disk / "filler").write_bytes(bytes(os.statvfs(full_disk).f_bavail * os.statvfs(full_disk).f_bsize))
    assert os.statvfs(full_disk).f_bavail == 0
    assert await store.remove(kept.digest)
    await store_bytes(store, some_bytes(MIB // 2))
    await store.close()
