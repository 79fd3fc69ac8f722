"""Appends that count wholly or not at all, for clients that send a piece again when its answer does not come."""

import asyncio
from pathlib import Path

import pytest

from casd.errors import Forbidden, NamespaceNotFound, StorageFailed, TooLarge, UploadBusy, UploadNotFound
from casd.model import Naming, Upload
from casd.uploads import Target
from casd.uploads.whole import appending_whole
from tests.contracts.oracle import some_bytes
from tests.payloads.disk_spy import DiskSpy
from tests.uploads.house import ALICE, ALICE_READS, BOB, House, take

DATA = some_bytes(300_000)
LIMIT = 1 << 30


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch, root: Path) -> DiskSpy:
    return DiskSpy(monkeypatch, root)


async def append(house: House, upload: Upload, *pieces: bytes, limit: int = LIMIT) -> int:
    async with appending_whole(house.uploads, ALICE, upload.uuid, limit) as appending:
        for piece in pieces:
            await take(appending, piece)
    return appending.upload.offset


class Broken(Exception):
    """What a request raises whose client has gone."""


async def break_off(house: House, upload: Upload, *pieces: bytes) -> None:
    async with appending_whole(house.uploads, ALICE, upload.uuid, LIMIT) as appending:
        for piece in pieces:
            await take(appending, piece)
        raise Broken


async def test_whole_pieces_follow_on_each_other_and_are_durable_before_they_are_told(house: House) -> None:
    upload = await house.create()

    for start, stop in ((0, 1), (1, 1), (1, 200_000), (200_000, 300_000)):
        assert await append(house, upload, DATA[start:stop]) == stop
        recorded = await house.recorded(upload)
        assert recorded is not None
        assert recorded.offset == stop
        await house.restart()

    assert await house.became(await house.complete(upload)) == DATA


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_a_piece_that_is_cut_off_leaves_the_upload_as_it_was(house: House, is_restarted: bool) -> None:
    upload = await house.create()
    await append(house, upload, DATA[:100_000])

    with pytest.raises(Broken):
        await break_off(house, upload, DATA[:70_000], DATA[:70_000])
    if is_restarted:
        await house.restart()

    assert await house.told(upload) == 100_000
    assert await append(house, upload, DATA[100_000:]) == len(DATA)
    assert await house.became(await house.complete(upload)) == DATA


async def test_nothing_of_a_piece_is_recorded_before_its_end(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the line is: a crash in mid piece must not leave half of it."""
    monkeypatch.setattr("casd.uploads.appending.RECORD_S", -1.0)
    upload = await house.create()

    async with appending_whole(house.uploads, ALICE, upload.uuid, LIMIT) as appending:
        for start in range(0, len(DATA), 50_000):
            await take(appending, DATA[start : start + 50_000])
            recorded = await house.recorded(upload)
            assert recorded is not None
            assert recorded.offset == 0

    assert appending.upload.offset == len(DATA)


async def test_a_piece_that_is_sent_again_cuts_the_one_before_off_and_counts_once(house: House) -> None:
    upload = await house.create()
    has_begun = asyncio.Event()

    async def hang() -> None:
        async with appending_whole(house.uploads, ALICE, upload.uuid, LIMIT) as appending:
            await take(appending, DATA[:100_000])
            has_begun.set()
            await asyncio.Event().wait()

    hanging = asyncio.create_task(hang())
    await has_begun.wait()

    assert await append(house, upload, DATA) == len(DATA)
    with pytest.raises(UploadBusy):
        await hanging
    assert await house.became(await house.complete(upload)) == DATA


@pytest.mark.parametrize("size", [None, 100_000])
async def test_a_piece_that_is_too_large_leaves_the_upload_as_it_was(house: House, size: int | None) -> None:
    upload = await house.create(size)
    await append(house, upload, DATA[:99_000], limit=100_000)

    with pytest.raises(TooLarge):
        await append(house, upload, DATA[:900], DATA[:900], limit=LIMIT if size else 100_000)

    assert await house.told(upload) == 99_000


async def test_a_piece_that_the_disk_refuses_leaves_the_upload_as_it_was(house: House, spy: DiskSpy) -> None:
    upload = await house.create()
    await append(house, upload, DATA[:100_000])
    spy.fail("fdatasync")

    with pytest.raises(StorageFailed):
        await append(house, upload, DATA[:50_000])
    assert await house.told(upload) == 100_000
    assert await append(house, upload, DATA[100_000:]) == len(DATA)
    assert await house.became(await house.complete(upload)) == DATA


async def test_a_finished_upload_and_one_of_somebody_else_are_not_there(house: House) -> None:
    upload, finished = await house.create(), await house.create()
    await house.complete(finished)

    with pytest.raises(UploadNotFound):
        await append(house, finished, b"more")
    for who, error in ((BOB, UploadNotFound), (ALICE_READS, Forbidden)):
        with pytest.raises(error):
            async with appending_whole(house.uploads, who, upload.uuid, LIMIT):
                pass


# -- becoming something that is told at the end -----------------------------------------------------------------------


async def finished(house: House, data: bytes, target: Target) -> Upload:
    upload = await house.create()
    await append(house, upload, data)
    return await house.uploads.complete(ALICE, upload.uuid, target)


async def test_an_upload_becomes_what_is_said_at_its_end(house: House) -> None:
    target = Target("alice", "a/b", Naming(keep_versions=2, unless_same=True))

    first, again, second = [await finished(house, data, target) for data in (b"one", b"one", b"two")]

    assert again.blob == first.blob != second.blob
    version, blob = await house.store.readable_version(ALICE, "alice", "a/b")
    assert (version.number, blob.uuid) == (2, second.blob)
    info = await house.catalogue.name_info("alice", "a/b")
    assert info is not None
    assert info.keep_versions == 2


async def test_an_upload_does_not_become_what_its_owner_may_not_write(house: House) -> None:
    upload = await house.create()

    with pytest.raises(NamespaceNotFound):
        await house.uploads.complete(ALICE, upload.uuid, Target("bob", "a/b"))

    done = await house.complete(upload)
    assert await house.became(done) == b""
