"""Uploads that join others: what a failing disk, a crash or a removed piece leaves, and that it goes on from there."""

import itertools
import os
from datetime import timedelta
from typing import Any

import pytest

from casd.errors import Conflict, NamespaceNotFound, StorageFailed, StorageFull, UploadNotFound
from casd.model import Upload
from casd.uploads import NewUpload
from casd.uploads import joining as joining_module
from casd.uploads.joining import join
from tests.contracts.oracle import some_bytes
from tests.payloads.disk_spy import DiskSpy
from tests.uploads.house import ALICE, BOB, HER_OTHER, House

DATA = some_bytes(900_000)
CUTS = (0, 400_000, 400_000, 900_000)


@pytest.fixture
async def parts(house: House) -> list[Upload]:
    """Complete ones, an empty one among them."""
    made = []
    for start, stop in itertools.pairwise(CUTS):
        part = await house.create(stop - start, is_partial=True)
        if stop > start:
            await house.append(part, DATA[start:stop])
        made.append(part)
    return made


async def joined(house: House, parts: list[Upload], **facts: object) -> Upload:
    joins = tuple(part.uuid for part in parts)
    return await join(house.uploads, ALICE, NewUpload("alice", joins=joins, **facts))  # type: ignore[arg-type]


async def test_pieces_become_one_blob_and_go_with_it(house: House, parts: list[Upload]) -> None:
    upload = await joined(house, parts)

    assert await house.became(upload) == DATA
    assert house.staged() == []
    assert [await house.recorded(part) for part in parts] == [None, None, None]
    assert await house.catalogue.unfinished_uploads() == set()


async def test_a_piece_can_be_of_another_token_of_the_namespace(house: House, parts: list[Upload]) -> None:
    other = await house.create(3, who=HER_OTHER, is_partial=True)
    await house.append(other, b"abc", who=HER_OTHER)

    assert await house.became(await joined(house, [*parts, other])) == DATA + b"abc"


async def test_a_partial_upload_alone_becomes_nothing(house: House, parts: list[Upload]) -> None:
    with pytest.raises(Conflict):
        await house.complete(parts[0])

    assert await house.told(parts[0]) == 400_000


@pytest.mark.parametrize("call", ["pwrite", "fdatasync", "fsync"])
async def test_a_disk_that_fails_while_pieces_are_joined_costs_nothing_but_another_try(
    house: House, parts: list[Upload], spy: DiskSpy, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy.fail(call, "incoming/*")

    with pytest.raises(StorageFailed):
        await joined(house, parts)

    assert [await house.told(part) for part in parts] == [400_000, 0, 500_000]
    assert await house.became(await joined(house, parts)) == DATA
    assert house.staged() == []


async def test_what_was_joined_before_a_crash_is_not_copied_again(
    house: House, parts: list[Upload], spy: DiskSpy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining_module, "COPY_BYTES", 100_000)
    parts[2] = await house.uploads.upload(ALICE, parts[2].uuid)
    house.stage_of(parts[2]).rename(house.root / "hidden")
    with pytest.raises(Conflict):
        await joined(house, parts)
    (house.root / "hidden").rename(house.stage_of(parts[2]))
    await house.restart()
    spy.calls.clear()

    assert await house.became(await joined(house, parts)) == DATA

    first = f"incoming/{parts[0].uuid}"
    assert ("pread", first) not in spy.calls


async def test_what_does_not_fit_is_refused_before_it_is_copied_and_the_pieces_stay(
    house: House, parts: list[Upload], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs

    class Full:
        def __init__(self, of: os.statvfs_result) -> None:
            self.f_bavail, self.f_frsize, self.f_blocks = 100_000 // of.f_frsize, of.f_frsize, of.f_blocks

    monkeypatch.setattr(os, "statvfs", lambda path: Full(real(path)))
    with pytest.raises(StorageFull):
        await joined(house, parts)
    monkeypatch.undo()

    assert sorted(house.staged()) == sorted(str(part.uuid) for part in (parts[0], parts[2]))
    assert await house.became(await joined(house, parts)) == DATA


async def test_pieces_that_nobody_joins_expire(house: House, parts: list[Upload]) -> None:
    house.clock.move(days=7)

    assert await house.uploads.expire() == 3

    assert house.staged() == []
    with pytest.raises(UploadNotFound):
        await joined(house, parts)


async def test_what_was_joined_is_told_again_until_it_expires(house: House, parts: list[Upload]) -> None:
    first = await joined(house, parts, name="a/b")
    house.clock.at += timedelta(days=1)

    again = await joined(house, parts, name="a/b")

    assert (again.uuid, again.blob, again.version) == (first.uuid, first.blob, 1)


async def test_who_is_no_member_is_not_told_that_pieces_were_joined_there(house: House, parts: list[Upload]) -> None:
    await joined(house, parts)
    same = NewUpload("alice", joins=tuple(part.uuid for part in parts))

    with pytest.raises(NamespaceNotFound):
        await join(house.uploads, BOB, same)


async def test_a_join_whose_piece_goes_meanwhile_leaves_nothing_behind(
    house: House, parts: list[Upload], monkeypatch: pytest.MonkeyPatch
) -> None:
    create = house.uploads.create

    async def terminated_meanwhile(*args: Any) -> Upload:
        upload = await create(*args)
        await house.uploads.terminate(ALICE, parts[2].uuid)
        return upload

    monkeypatch.setattr(house.uploads, "create", terminated_meanwhile)
    with pytest.raises(UploadNotFound):
        await joined(house, parts)

    assert sorted(house.staged()) == [str(parts[0].uuid)]
    assert await house.catalogue.unfinished_uploads() == {parts[0].uuid, parts[1].uuid}


async def test_a_piece_that_goes_while_it_is_copied_leaves_nothing_behind(
    house: House, parts: list[Upload], monkeypatch: pytest.MonkeyPatch
) -> None:
    read_stage = house.payloads.read_stage

    async def terminated_meanwhile(id: str, start: int, stop: int) -> bytes:
        if id == str(parts[2].uuid):
            await house.uploads.terminate(ALICE, parts[2].uuid)
        return await read_stage(id, start, stop)

    monkeypatch.setattr(house.payloads, "read_stage", terminated_meanwhile)
    with pytest.raises(Conflict):
        await joined(house, parts)

    assert sorted(house.staged()) == [str(parts[0].uuid)]
    assert await house.catalogue.unfinished_uploads() == {parts[0].uuid, parts[1].uuid}
