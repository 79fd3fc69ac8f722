"""What becomes of a payload that seems to be damaged. The oracle is hashlib, and what lies in the folder."""

import asyncio
import errno
import os
from collections.abc import Callable

import pytest

from casd.errors import PayloadDamaged, PayloadMissing, PayloadUnreadable, StorageFailed
from casd.judging import Verdict
from casd.model import BlobState
from tests.contracts.oracle import MIB, digest_of, receipt_of, some_bytes
from tests.contracts.payload_store import turns
from tests.payloads.disk_spy import DiskSpy
from tests.verified.conftest import BOB, House, orphan

LARGE = some_bytes(3 * MIB + 7, seed=1)
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "flipped": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "truncated": lambda data: data[:-1],
    "extended": lambda data: data + b"\0",
    "emptied": lambda data: b"",
    "zeroed": lambda data: bytes(len(data)),
}


@pytest.mark.parametrize("data", [b"", b"abc", LARGE], ids=["empty", "small", "large"])
async def test_what_is_right_stays_as_it_is(house: House, data: bytes) -> None:
    blob = await house.add(data)

    verdict = await house.store.judge.verdict(blob.digest, "somebody asks")

    assert verdict is Verdict.GOOD
    assert await house.read(blob) == data
    assert await house.states(blob) == {BlobState.CREATED}
    assert await house.quarantined() == []


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("data", [b"abc", LARGE], ids=["small", "large"])
async def test_what_is_damaged_is_marked_and_kept_in_quarantine(house: House, kind: str, data: bytes) -> None:
    blobs = [await house.add(data), await house.add(data, BOB)]
    spoiled = DAMAGE[kind](data)
    house.path(blobs[0]).write_bytes(spoiled)

    verdict = await house.store.judge.verdict(blobs[0].digest, "somebody asks")

    assert verdict is Verdict.DAMAGED
    assert await house.states(*blobs) == {BlobState.ERROR}
    assert not house.path(blobs[0]).exists()
    assert house.in_quarantine() == [spoiled]
    (kept,) = await house.quarantined()
    assert (kept.digest, kept.why, kept.size) == (blobs[0].digest, "somebody asks", len(spoiled))
    assert kept.facts["verdict"] == "damaged"
    assert kept.facts["size"] == len(data)
    assert kept.facts["found_sha512"] == digest_of(spoiled).hex


async def test_the_note_tells_which_blocks_are_damaged(house: House) -> None:
    blob = await house.add(LARGE)
    for offset in (MIB, 3 * MIB):
        house.flip(blob, offset)

    await house.store.judge.verdict(blob.digest, "somebody asks")

    (kept,) = await house.quarantined()
    assert (kept.facts["bad_blocks"], kept.facts["bad_block_count"]) == ([1, 3], 2)


async def test_a_file_that_is_gone_is_marked_once(house: House) -> None:
    blob = await house.add(b"abc")
    house.path(blob).unlink()

    verdicts = [await house.store.judge.verdict(blob.digest, "somebody asks") for _ in range(2)]

    assert verdicts == [Verdict.MISSING] * 2
    assert await house.states(blob) == {BlobState.ERROR}
    (kept,) = await house.quarantined()
    assert (kept.size, kept.facts["verdict"]) == (None, "missing")


async def test_two_files_that_changed_places_are_both_damaged(house: House) -> None:
    blobs = [await house.add(b"abc"), await house.add(b"def")]
    one, other = map(house.path, blobs)
    one.rename(one.with_name("between"))
    other.rename(one)
    one.with_name("between").rename(other)

    verdicts = [await house.store.judge.verdict(blob.digest, "somebody asks") for blob in blobs]

    assert verdicts == [Verdict.DAMAGED] * 2
    assert sorted(house.in_quarantine()) == [b"abc", b"def"]


@pytest.mark.parametrize("listed", [b"", bytes(8), bytes(32)], ids=["none", "short", "wrong"])
async def test_a_wrong_block_list_is_rewritten_and_the_payload_stays(house: House, listed: bytes) -> None:
    blob = await house.add(LARGE)
    assert await house.catalogue.set_good(blob.digest, listed, house.clock())

    verdict = await house.store.judge.verdict(blob.digest, "somebody asks")

    assert verdict is Verdict.GOOD
    assert await house.catalogue.block_checksums(blob.digest, 0, 100) == receipt_of(LARGE).blocks
    assert house.store.judge.rewritten == 1
    assert await house.quarantined() == []


async def test_all_who_ask_at_once_share_one_judgement(house: House, spy: DiskSpy) -> None:
    blob = await house.add(LARGE)
    house.flip(blob, 5)
    spy.calls.clear()

    verdicts = await asyncio.gather(*(house.store.judge.verdict(blob.digest, "x") for _ in range(20)))

    assert set(verdicts) == {Verdict.DAMAGED}
    reads = [path for call, path in spy.calls if call == "preadv" and blob.digest.hex in path]
    assert len(reads) < 2 * 4  # four blocks, and looking for more behind the last one
    assert len(await house.quarantined()) == 1


async def test_storing_the_bytes_again_does_not_wait_for_a_judgement_and_is_not_condemned_by_it(
    house: House, spy: DiskSpy
) -> None:
    blob = await house.add(LARGE)
    house.flip(blob, 5)
    plan = spy.hold("preadv", f"*{blob.digest.hex}")
    judging = asyncio.create_task(house.store.judge.verdict(blob.digest, "somebody asks"))
    await asyncio.to_thread(plan.wait)

    await house.add(LARGE, BOB)
    plan.go_on.set()

    assert await judging is Verdict.GOOD
    assert await house.read(blob) == LARGE
    assert await house.quarantined() == []


async def test_a_judgement_waits_for_a_commit_under_way(house: House) -> None:
    blob = await house.add(b"abc")
    house.flip(blob, 0)
    async with house.locks.hold(blob.digest):
        judging = asyncio.create_task(house.store.judge.verdict(blob.digest, "somebody asks"))
        await asyncio.wait([judging], timeout=0.05)
        assert not judging.done()
        assert await house.states(blob) == {BlobState.CREATED}

    assert await judging is Verdict.DAMAGED


@pytest.mark.parametrize("error", [errno.EIO, errno.EUCLEAN])
async def test_what_cannot_be_read_is_marked_and_kept(house: House, spy: DiskSpy, error: int) -> None:
    blob = await house.add(LARGE)
    spy.fail("preadv", f"*{blob.digest.hex}", error)

    verdict = await house.store.judge.verdict(blob.digest, "somebody asks")

    assert verdict is Verdict.UNREADABLE
    assert await house.states(blob) == {BlobState.ERROR}
    assert house.in_quarantine() == [LARGE]


async def test_damage_that_cannot_be_moved_is_marked_and_judged_no_more(house: House, spy: DiskSpy) -> None:
    blob = await house.add(b"abc")
    house.flip(blob, 0)
    spy.fail("replace", "quarantine/*")

    assert await house.store.judge.verdict(blob.digest, "somebody asks") is Verdict.DAMAGED

    assert await house.states(blob) == {BlobState.ERROR}
    assert house.path(blob).exists()
    spy.calls.clear()
    with pytest.raises(PayloadDamaged):
        await house.read(blob)
    assert spy.calls == []
    await house.add(b"abc")
    assert await house.read(blob) == b"abc"


async def test_a_note_that_cannot_be_written_leaves_the_payload_marked(house: House, spy: DiskSpy) -> None:
    blob = await house.add(b"abc")
    house.flip(blob, 0)
    spy.fail("fsync", "quarantine/*", errno.ENOSPC)

    await house.store.judge.verdict(blob.digest, "somebody asks")

    assert await house.states(blob) == {BlobState.ERROR}


async def test_a_file_without_a_row_is_left_to_collection(house: House) -> None:
    path = orphan(house, b"abc")
    path.write_bytes(b"abd")

    assert await house.store.judge.verdict(digest_of(b"abc"), "somebody asks") is Verdict.UNKNOWN

    assert path.read_bytes() == b"abd"
    assert await house.quarantined() == []


async def test_nothing_is_marked_where_a_whole_folder_is_gone(house: House) -> None:
    """A file system that is not mounted: all payloads look missing, and none is."""
    blob = await house.add(b"abc")
    shard = house.path(blob).parent.parent
    away = shard.rename(house.root / "away")
    try:
        with pytest.raises(StorageFailed, match="mounted"):
            await house.store.judge.verdict(blob.digest, "somebody asks")
        with pytest.raises(StorageFailed, match="mounted"):
            await house.read(blob)
    finally:
        away.rename(shard)

    assert await house.states(blob) == {BlobState.CREATED}
    assert await house.read(blob) == b"abc"


async def test_a_payload_that_is_back_in_its_place_is_good_again_when_it_is_read(house: House) -> None:
    blob = await house.add(LARGE)
    away = house.path(blob).rename(house.root / "away")
    with pytest.raises(PayloadMissing):
        await house.read(blob)
    with pytest.raises(PayloadDamaged):
        await house.read(blob)

    away.rename(house.path(blob))

    assert await house.read(blob) == LARGE
    assert await house.states(blob) == {BlobState.CREATED}


async def test_a_caller_who_goes_away_leaves_the_judgement_to_the_others(house: House, spy: DiskSpy) -> None:
    blob = await house.add(b"abc")
    house.flip(blob, 0)
    plan = spy.hold("preadv", f"*{blob.digest.hex}")
    first = asyncio.create_task(house.store.judge.verdict(blob.digest, "x"))
    await asyncio.to_thread(plan.wait)
    second = asyncio.create_task(house.store.judge.verdict(blob.digest, "x"))
    await turns(3)

    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    plan.go_on.set()

    assert await second is Verdict.DAMAGED


async def test_closing_gives_up_what_is_being_read(house: House, spy: DiskSpy) -> None:
    blob = await house.add(LARGE)
    plan = spy.hold("preadv", f"*{blob.digest.hex}")
    house.store.judge.begin(blob.digest, "x")
    await asyncio.to_thread(plan.wait)

    closing = asyncio.create_task(house.store.judge.close())
    await turns(3)
    plan.go_on.set()
    await closing

    assert house.store.judge.running == 0
    assert await house.states(blob) == {BlobState.CREATED}


async def test_a_reader_waits_for_a_long_judgement_only_so_long(
    house: House, spy: DiskSpy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("casd.judging.PATIENCE_S", 0.0)
    blob = await house.add(LARGE)
    plan = spy.hold("preadv", f"*{blob.digest.hex}")
    house.store.judge.begin(blob.digest, "x")
    await asyncio.to_thread(plan.wait)

    verdict = await house.store.judge.verdict_soon(blob.digest, "x")
    plan.go_on.set()

    assert verdict is None
    assert await house.store.judge.verdict(blob.digest, "x") is Verdict.GOOD


async def test_what_a_disk_cannot_open_is_unreadable(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = await house.add(b"abc")
    real = os.open

    def broken(path: object, *args: int, **more: int) -> int:
        if str(path).endswith(blob.digest.hex):
            raise OSError(errno.EIO, "Input/output error")
        return real(path, *args, **more)  # type: ignore[arg-type] # as it came

    monkeypatch.setattr(os, "open", broken)
    with pytest.raises(PayloadUnreadable):
        await house.read(blob)

    assert await house.states(blob) == {BlobState.ERROR}
    assert house.in_quarantine() == [b"abc"]
