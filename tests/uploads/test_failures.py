"""Disks and catalogues that fail at each step: never less than was told, never wrong bytes; trying again succeeds."""

import asyncio
import errno
import logging
import os
import sqlite3
from typing import Any

import pytest

from casd.catalogue.sqlite import SqliteCatalogue
from casd.errors import StorageFailed, StorageFull, UploadMismatch, UploadNotFound
from casd.payloads import staged
from casd.store import BlobStore
from casd.uploads import uploads
from tests.catalogue.faults import FaultyConnection, sqlite_error
from tests.contracts.oracle import digest_of, some_bytes
from tests.fakes import MemoryDisk, MemoryPayloads
from tests.payloads.disk_spy import DiskSpy
from tests.uploads.house import ALICE, House, Sender

DATA = some_bytes(500_000)
KINDS = {errno.EIO: StorageFailed, errno.ENOSPC: StorageFull}


@pytest.fixture
def faults(house: House) -> FaultyConnection:
    return FaultyConnection(house.catalogue)


# -- while bytes arrive -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", KINDS)
@pytest.mark.parametrize("told", [0, 1000, 200_000])
@pytest.mark.parametrize(("call", "path"), [("pwrite", "incoming/*"), ("fdatasync", "incoming/*")])
async def test_a_disk_that_fails_while_bytes_arrive_costs_what_was_not_told(
    house: House, spy: DiskSpy, call: str, path: str, told: int, error: int
) -> None:
    upload = await house.create(len(DATA))
    if told:
        await house.append(upload, DATA[:told])
    spy.fail(call, path, error)

    with pytest.raises(KINDS[error]):
        await house.append(upload, DATA[told:400_000])

    assert await house.told(upload) == told
    assert house.descriptors() == 0
    assert house.payloads.reserved_bytes == 0
    await house.append(upload, DATA[told:], at=told)
    assert await house.became(await house.complete(upload)) == DATA


async def test_a_file_whose_entry_was_not_synced_is_made_anew(house: House, spy: DiskSpy) -> None:
    """The kernel may have dropped the entry and call the folder clean: a second fsync of it would mean nothing."""
    upload = await house.create(len(DATA))
    spy.fail("fsync", "incoming")

    with pytest.raises(StorageFailed):
        await house.append(upload, DATA[:1000])

    assert house.staged() == []
    await house.append(upload, DATA, at=0)
    synced = spy.named("fsync")
    assert synced[-1] == ("fsync", "incoming")
    assert await house.became(await house.complete(upload)) == DATA


async def test_a_flush_that_fails_behind_a_request_fails_the_request(
    house: House, spy: DiskSpy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staged, "FLUSH_BYTES", 100_000)
    upload = await house.create(len(DATA))
    sender = await Sender(house, upload, 0).began()
    await sender.send(DATA[:150_000])
    spy.fail("fdatasync", "incoming/*")
    await sender.send(DATA[150_000:200_000])  # the flush begins behind it

    with pytest.raises(StorageFailed):
        await sender.end()

    assert await house.told(upload) == 0
    await house.append(upload, DATA, at=0)
    assert await house.became(await house.complete(upload)) == DATA


@pytest.mark.parametrize(("code", "kind"), [(sqlite3.SQLITE_IOERR, StorageFailed), (sqlite3.SQLITE_FULL, StorageFull)])
async def test_an_offset_that_cannot_be_recorded_is_not_told(
    house: House, faults: FaultyConnection, code: int, kind: type[StorageFailed]
) -> None:
    upload = await house.create(len(DATA))
    await house.append(upload, DATA[:1000])
    faults.fail("COMMIT", sqlite_error(code))

    with pytest.raises(kind):
        await house.append(upload, DATA[1000:300_000])

    assert await house.told(upload) == 1000
    await house.append(upload, DATA[1000:], at=1000)
    assert await house.became(await house.complete(upload)) == DATA


async def test_bytes_are_cut_off_only_when_no_commit_that_failed_can_come_back_and_tell_of_them(
    house: House, faults: FaultyConnection
) -> None:
    """What it wrote may be read after a crash, until another commit has succeeded (`catalogue/sqlite/writer.py`)."""
    upload = await house.create(len(DATA))
    await house.append(upload, DATA[:1000])
    for _ in range(2):
        faults.fail("COMMIT", sqlite_error(sqlite3.SQLITE_IOERR))
    with pytest.raises(StorageFailed):
        await house.append(upload, DATA[1000:300_000])

    with pytest.raises(StorageFailed):
        await house.append(upload, DATA[1000:2000])

    assert house.stage_of(upload).stat().st_size == 300_000
    await house.append(upload, DATA[1000:2000])
    assert house.stage_of(upload).stat().st_size == 2000


async def test_a_full_catalogue_is_not_asked_with_every_piece(
    house: House, faults: FaultyConnection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(staged, "FLUSH_BYTES", 100_000)
    upload = await house.create()
    sender = await Sender(house, upload, 0).began()
    for _ in range(100):
        faults.fail("COMMIT", sqlite_error(sqlite3.SQLITE_FULL))

    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await sender.send(bytes(50_000))
        while "offset not recorded" not in caplog.text:
            await sender.send(b"x")
        for _ in range(50):
            await sender.send(b"x")

    assert caplog.text.count("offset not recorded") == 1
    faults._failures.clear()
    assert await sender.end() >= 150_050


async def test_what_came_before_a_client_hung_up_does_not_count_if_the_disk_fails_too(
    house: House, spy: DiskSpy
) -> None:
    upload = await house.create()
    await house.append(upload, b"abc")
    spy.fail("fdatasync", "incoming/*")

    async def hang_up() -> None:
        async with house.uploads.appending(ALICE, upload.uuid, 3) as appending:
            await appending.append(b"def")
            raise ConnectionResetError

    with pytest.raises(StorageFailed):
        await hang_up()

    assert await house.told(upload) == 3


# -- at the end ---------------------------------------------------------------------------------------------------

ENDINGS = [
    ("fsync", "incoming/*"),
    ("link", "incoming/*.commit"),
    ("replace", "payloads/*"),
    ("fsync", "payloads/??/??"),
    ("mkdir", "payloads/*"),
    ("fsync", "payloads/??"),
]


@pytest.mark.parametrize("name", [None, "a/b"])
@pytest.mark.parametrize(("call", "path"), ENDINGS)
@pytest.mark.parametrize("restarts", [False, True])
async def test_a_disk_that_fails_at_the_end_costs_nothing_but_another_try(
    house: House, spy: DiskSpy, call: str, path: str, name: str | None, restarts: bool
) -> None:
    data = os.urandom(100_000)  # so that its folder is not there yet
    upload = await house.create(len(data), name=name)
    await house.append(upload, data)
    spy.fail(call, path)

    with pytest.raises(StorageFailed):
        await house.complete(upload)

    assert house.staged() == [str(upload.uuid)]
    assert await house.told(upload) == len(data)
    if restarts:
        await house.restart()
    assert await house.became(await house.complete(upload)) == data
    assert house.files() == {digest_of(data)}
    assert (await house.catalogue.totals()).blobs == 1


@pytest.mark.parametrize("name", [None, "a/b"])
@pytest.mark.parametrize("restarts", [False, True])
async def test_a_crash_between_the_payload_and_its_row_costs_nothing(
    house: House, faults: FaultyConnection, name: str | None, restarts: bool
) -> None:
    upload = await house.create(len(DATA), name=name)
    await house.append(upload, DATA)
    faults.fail("COMMIT", sqlite_error(sqlite3.SQLITE_IOERR))
    with pytest.raises(StorageFailed):
        await house.complete(upload)
    assert house.files() == {digest_of(DATA)}
    if restarts:
        await house.restart()

    row = await house.recorded(upload)
    assert row is not None
    assert (row.offset, row.blob) == (len(DATA), None)
    assert await house.became(await house.complete(upload)) == DATA

    assert house.files() == {digest_of(DATA)}
    assert house.staged() == []


async def test_an_upload_whose_payload_was_committed_can_still_be_cut_back(
    house: House, faults: FaultyConnection
) -> None:
    """The payload is also another blob's: what happens to the upload must not change it."""
    upload, other = await house.create(), await house.create()
    for each in (upload, other):
        await house.append(each, DATA)
    done = await house.complete(other)
    faults.fail("COMMIT", sqlite_error(sqlite3.SQLITE_IOERR))
    with pytest.raises(StorageFailed):
        await house.complete(upload)

    await house.uploads.truncate(ALICE, upload.uuid, 1000)
    await house.append(upload, b"other bytes")

    assert await house.became(done) == DATA
    assert await house.became(await house.complete(upload)) == DATA[:1000] + b"other bytes"


async def test_a_copy_that_does_not_fit_leaves_nothing_of_itself(
    house: House, faults: FaultyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await house.create()
    await house.append(upload, DATA)
    faults.fail("COMMIT", sqlite_error(sqlite3.SQLITE_IOERR))
    with pytest.raises(StorageFailed):
        await house.complete(upload)

    def full(*args: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "sendfile", full)
        with pytest.raises(StorageFull):
            await house.complete(upload)
    assert house.staged() == [str(upload.uuid)]
    assert house.descriptors() == 0

    assert await house.became(await house.complete(upload)) == DATA


async def test_a_mismatch_that_cannot_be_recorded_is_found_again(house: House, faults: FaultyConnection) -> None:
    upload = await house.create(3, digest=digest_of(b"abc"))
    await house.append(upload, b"abd")
    faults.fail("COMMIT", sqlite_error(sqlite3.SQLITE_FULL))
    with pytest.raises(StorageFull):
        await house.complete(upload)

    with pytest.raises(UploadMismatch):
        await house.complete(upload)

    assert house.staged() == []


async def test_an_upload_that_could_not_be_ended_can_be_ended_later(house: House, faults: FaultyConnection) -> None:
    upload = await house.create()
    await house.append(upload, b"abc")
    faults.fail("COMMIT", sqlite_error(sqlite3.SQLITE_FULL))
    with pytest.raises(StorageFull):
        await house.uploads.terminate(ALICE, upload.uuid)

    assert await house.told(upload) == 3
    await house.uploads.terminate(ALICE, upload.uuid)
    assert house.staged() == []


async def test_a_stage_that_cannot_be_removed_is_removed_by_the_next_start(house: House, spy: DiskSpy) -> None:
    upload = await house.create()
    await house.append(upload, b"abc")
    spy.fail("unlink", "incoming/*")

    await house.uploads.terminate(ALICE, upload.uuid)

    with pytest.raises(UploadNotFound):
        await house.told(upload)
    assert house.staged() == [str(upload.uuid)]
    await house.restart()
    assert house.staged() == []


@pytest.mark.parametrize("size", [0, 1000])
async def test_a_cut_that_fails_is_carried_out_when_the_upload_goes_on(house: House, spy: DiskSpy, size: int) -> None:
    upload = await house.create()
    await house.append(upload, DATA)
    spy.fail("ftruncate", "incoming/*")

    with pytest.raises(StorageFailed):
        await house.uploads.truncate(ALICE, upload.uuid, size)

    assert await house.told(upload) == size  # recorded before the cut
    await house.append(upload, b"more")
    assert await house.became(await house.complete(upload)) == DATA[:size] + b"more"


@pytest.mark.parametrize("call", ["ftruncate", "fsync"])
async def test_a_stage_that_cannot_be_opened_again_can_be_later(house: House, spy: DiskSpy, call: str) -> None:
    upload = await house.create(len(DATA))
    await house.append(upload, DATA[:1000])
    await house.restart()
    spy.fail(call, "incoming*")

    with pytest.raises(StorageFailed):
        await house.append(upload, DATA[1000:])

    assert house.descriptors() == 0
    assert house.payloads.reserved_bytes == 0
    await house.append(upload, DATA[1000:])
    assert await house.became(await house.complete(upload)) == DATA


# -- no room ------------------------------------------------------------------------------------------------------


async def test_an_upload_for_which_there_is_no_room_goes_on_when_there_is(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await house.create(len(DATA))
    await house.append(upload, DATA[:1000])
    await house.restart()

    with monkeypatch.context() as full:
        full.setattr(house.payloads._space, "free_bytes", lambda: 10_000)
        with pytest.raises(StorageFull):
            await house.append(upload, DATA[1000:])
        with pytest.raises(StorageFull):
            await house.create(len(DATA))
        assert await house.told(upload) == 1000

    await house.append(upload, DATA[1000:])
    assert await house.became(await house.complete(upload)) == DATA


# -- a store that can be held up at each step ---------------------------------------------------------------------


async def test_every_step_of_a_fake_store_may_fail(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same through the contract alone: nothing rests on how LocalPayloads fails."""
    disk = MemoryDisk()
    store = BlobStore(
        MemoryPayloads(disk),
        house.catalogue,
        house.locks,
        now=house.clock,
        new_uuid=house.store.new_uuid,
        grace=house.store.grace,
        share_by_uuid=True,
    )
    house.store, house.uploads = store, uploads.Uploads(store, lifetime=uploads.timedelta(days=7), limit_per_token=9)
    for calls in range(8):  # so many calls of the stage work before one fails
        upload = await house.create(len(DATA))
        fail_after(disk, calls, monkeypatch)

        async def send() -> None:
            for start, stop in ((0, 1000), (1000, 300_000), (300_000, 500_000)):
                await house.append(upload, DATA[start:stop], at=start)  # noqa: B023
            await house.complete(upload)  # noqa: B023

        with pytest.raises(StorageFailed):
            await send()
        monkeypatch.undo()

        offset = await house.told(upload)
        assert offset in (0, 1000, 300_000, 500_000)
        await house.append(upload, DATA[offset:], at=offset)
        assert await house.became(await house.complete(upload)) == DATA
        assert disk.stages == {}
    await house.uploads.close()


def fail_after(disk: MemoryDisk, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests import fakes

    real, left = fakes.MemoryStaged._fail_if_told, [calls]

    def fail_if_told(stage: fakes.MemoryStaged) -> None:
        if not left[0]:
            disk.failure = StorageFailed("the disk failed")
        left[0] -= 1
        real(stage)

    monkeypatch.setattr(fakes.MemoryStaged, "_fail_if_told", fail_if_told)


async def test_a_slow_commit_is_waited_for_at_the_end_of_a_turn(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("casd.uploads.appending.RECORD_S", 0.0)
    gate = asyncio.Event()
    record = SqliteCatalogue.set_upload_offset

    async def slowly(*args: Any) -> None:
        await gate.wait()
        await record(*args)

    monkeypatch.setattr(SqliteCatalogue, "set_upload_offset", slowly)
    upload = await house.create()
    sender = await Sender(house, upload, 0).began()
    await sender.send(b"abc")
    await sender.send(b"def")
    ending = asyncio.create_task(sender.end())
    for _ in range(20):
        await asyncio.sleep(0)

    assert not ending.done()
    gate.set()
    assert await ending == 6
    row = await house.recorded(upload)
    assert row is not None
    assert row.offset == 6
