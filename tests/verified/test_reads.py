"""When bytes are compared with their checksums, and how often: counted at the system call, by block."""

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from casd.errors import PayloadDamaged, PayloadMissing, PayloadUnreadable
from casd.judging import Verdict
from casd.model import BlobState, VerifyReads
from casd.payloads.reading import LocalPayload
from casd.verified import Ahead
from tests.contracts.oracle import MIB, some_bytes
from tests.payloads.disk_spy import DiskSpy
from tests.verified.conftest import BOB, House

LARGE = some_bytes(5 * MIB + 7, seed=2)
SMALL = b"a few bytes"


class Reads:
    """Bytes that were read of each MiB of the payload's file, whichever call asked for them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, digest: str) -> None:
        self._digest = digest
        self.bytes: Counter[int] = Counter()
        for name in ("pread", "preadv"):
            monkeypatch.setattr(os, name, self._counting(name, getattr(os, name)))

    def _counting(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def read(file: int, what: Any, offset: int, *flags: int) -> Any:
            found = real(file, what, offset, *flags)
            count = len(found) if name == "pread" else found
            if os.readlink(f"/proc/self/fd/{file}").endswith(self._digest):
                self.bytes[offset // MIB] += count
            return found

        return read

    @property
    def touched(self) -> list[int]:
        return sorted(block for block in self.bytes if self.bytes[block])


async def check_all(house: House, blob: Any, start: int = 0, stop: int | None = None) -> None:
    payload = await house.store.open_payload(await house.now(blob))
    try:
        await payload.check(start, payload.size if stop is None else stop)
    finally:
        payload.close()


async def test_each_block_is_checked_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = await house.add(LARGE)
    later = house.restarted()
    reads = Reads(monkeypatch, blob.digest.hex)

    for _ in range(3):
        await check_all(later, blob)

    assert sum(reads.bytes.values()) == len(LARGE)
    assert later.store.reads.counts.blocks == 6


async def test_readers_at_once_share_their_checks(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = await house.add(LARGE)
    later = house.restarted()
    reads = Reads(monkeypatch, blob.digest.hex)

    parts = [(start * 300_000, start * 300_000 + 2 * MIB) for start in range(10)] + [(0, len(LARGE))] * 10
    await asyncio.gather(*(check_all(later, blob, start, min(stop, len(LARGE))) for start, stop in parts))

    assert sum(reads.bytes.values()) == len(LARGE)


@pytest.mark.parametrize(
    ("start", "stop", "blocks"),
    [(0, 1, [0]), (MIB - 1, MIB + 1, [0, 1]), (2 * MIB, 3 * MIB, [2]), (5 * MIB, 5 * MIB + 7, [5]), (5, 5, [])],
)
async def test_a_range_has_its_own_blocks_checked_and_no_others(
    house: House, monkeypatch: pytest.MonkeyPatch, start: int, stop: int, blocks: list[int]
) -> None:
    blob = await house.add(LARGE)
    later = house.restarted()
    reads = Reads(monkeypatch, blob.digest.hex)

    await check_all(later, blob, start, stop)

    assert reads.touched == blocks


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
async def test_what_was_stored_a_moment_ago_is_not_read_to_be_checked(
    house: House, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    blob = await house.add(data)
    reads = Reads(monkeypatch, blob.digest.hex)

    await check_all(house, blob)

    assert reads.touched == []


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
async def test_damage_that_left_no_trace_is_found_after_a_restart(house: House, data: bytes) -> None:
    blob = await house.add(data)
    house.flip(blob, len(data) - 1)

    with pytest.raises(PayloadDamaged):
        await house.restarted().read(blob)


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
async def test_a_file_that_was_written_to_is_checked_again(house: House, data: bytes) -> None:
    blob = await house.add(data)
    assert await house.read(blob) == data
    spoiled = bytes([data[0] ^ 1]) + data[1:]
    house.path(blob).write_bytes(spoiled)
    os.utime(house.path(blob), ns=(1, 1))  # the clock of files may stand still for some milliseconds

    with pytest.raises(PayloadDamaged):
        await house.read(blob)


async def test_a_file_that_was_replaced_is_checked_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = await house.add(LARGE)
    draft = house.root / "draft"
    shutil.copy2(house.path(blob), draft)
    draft.replace(house.path(blob))
    reads = Reads(monkeypatch, blob.digest.hex)

    await check_all(house, blob)

    assert reads.touched == list(range(6))


async def test_files_that_changed_places_are_not_taken_for_each_other(house: House) -> None:
    one, other = await house.add(b"abc"), await house.add(b"def")
    between = house.path(one).rename(house.root / "between")
    house.path(other).rename(house.path(one))
    between.rename(house.path(other))

    for blob in (one, other):
        with pytest.raises(PayloadDamaged):
            await house.read(blob)


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
async def test_after_its_days_a_payload_is_checked_again(house: House, data: bytes) -> None:
    blob = await house.add(data)
    await house.read(blob)
    house.flip(blob, 0)

    house.clock.move(days=6.9)
    unnoticed = await house.read(blob)
    house.clock.move(days=0.2)

    assert unnoticed[1:] == data[1:]
    with pytest.raises(PayloadDamaged):
        await house.read(blob)


async def test_always_means_each_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = await house.add(LARGE)
    always = house.restarted(verify_reads=VerifyReads.ALWAYS)
    reads = Reads(monkeypatch, blob.digest.hex)

    for _ in range(3):
        await check_all(always, blob)

    assert sum(reads.bytes.values()) == 3 * len(LARGE)


async def test_never_means_never_and_sizes_are_looked_at_all_the_same(house: House) -> None:
    blob, short = await house.add(LARGE), await house.add(SMALL)
    house.flip(blob, 0)
    os.truncate(house.path(short), 3)
    never = house.restarted(verify_reads=VerifyReads.NEVER)

    assert (await never.read(blob))[1:] == LARGE[1:]
    with pytest.raises(PayloadDamaged):
        await never.read(short)


async def test_many_readers_of_a_damaged_payload_cause_one_judgement(house: House) -> None:
    blobs = [await house.add(LARGE), await house.add(LARGE, BOB)]
    house.flip(blobs[0], 2 * MIB)
    later = house.restarted()

    results = await asyncio.gather(*(later.read(blobs[turn % 2]) for turn in range(20)), return_exceptions=True)

    assert {type(result) for result in results} == {PayloadDamaged}
    assert len(await house.quarantined()) == 1
    assert later.store.judge.verdicts.total() == 1
    assert await house.states(*blobs) == {BlobState.ERROR}


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("listed", [b"", bytes(8), bytes(48)], ids=["none", "short", "wrong"])
async def test_readers_go_on_where_the_block_list_was_wrong(house: House, data: bytes, listed: bytes) -> None:
    blob = await house.add(data)
    await house.catalogue.set_good(blob.digest, listed, house.clock())
    later = house.restarted()

    assert await asyncio.gather(*(later.read(blob) for _ in range(5))) == [data] * 5

    assert later.store.judge.rewritten == 1
    assert await house.quarantined() == []


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
async def test_bytes_that_were_wrong_in_memory_alone_are_read_again(
    house: House, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    """A page cache cannot be spoiled from here, so the first look at it is made to lie."""
    blob = await house.add(data)
    later, lies = house.restarted(), iter([True])
    real_blocks, real_read = LocalPayload._from_cache, LocalPayload.read

    def blocks(self: LocalPayload, start: int, stop: int) -> bytes:
        found = real_blocks(self, start, stop)
        return bytes(len(found)) if next(lies, False) else found

    async def read(self: LocalPayload, start: int, stop: int) -> bytes:
        found = await real_read(self, start, stop)
        return bytes(len(found)) if next(lies, False) else found

    monkeypatch.setattr(LocalPayload, "_from_cache", blocks)
    monkeypatch.setattr(LocalPayload, "read", read)

    assert await later.read(blob) == data
    assert later.store.reads.counts.reread == 1
    assert later.store.judge.verdicts.total() == 0


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
async def test_a_disk_that_fails_once_is_an_error_and_no_proof(house: House, spy: DiskSpy, data: bytes) -> None:
    blob = await house.add(data)
    later = house.restarted()
    for call in ("preadv", "pread"):  # a small payload is looked for in memory first
        if call == "preadv" or data is SMALL:
            spy.fail(call, f"*{blob.digest.hex}")

    with pytest.raises(PayloadUnreadable):
        await later.read(blob)
    await later.store.judge.verdict(blob.digest, "the judgement under way")

    assert later.store.judge.verdicts[Verdict.GOOD] >= 1
    assert await later.read(blob) == data
    assert await house.states(blob) == {BlobState.CREATED}
    assert await house.quarantined() == []


async def test_a_payload_that_is_removed_under_a_reader_has_nothing_to_be_compared_with(house: House) -> None:
    blob = await house.add(LARGE)
    later = house.restarted()
    payload = await later.store.open_payload(blob)
    await house.catalogue.drop_own_hold(blob.uuid, house.clock(), house.clock())
    house.clock.move(hours=2)
    assert await house.catalogue.forget_payload(blob.digest, house.clock())

    with pytest.raises(PayloadMissing):
        await payload.check(0, MIB)
    payload.close()


async def test_what_is_remembered_is_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("casd.verified.reads.KNOWN_FILES", 3)
    blobs = [await house.add(bytes([number])) for number in range(5)]
    reads = [Reads(monkeypatch, blob.digest.hex) for blob in blobs]

    for blob in reversed(blobs):
        await check_all(house, blob)

    assert [bool(of.touched) for of in reads] == [True, True, False, False, False]


async def test_a_sender_has_the_next_blocks_checked_while_it_sends(house: House) -> None:
    blob = await house.add(LARGE)
    later = house.restarted()
    payload = await later.store.open_payload(blob)

    async with Ahead(payload, 0, payload.size) as ahead:
        await ahead.reach(MIB)
        while not payload.is_checked(MIB, 5 * MIB):
            await asyncio.sleep(0)
        assert not payload.is_checked(5 * MIB, payload.size)
        await ahead.reach(payload.size)
        assert payload.is_checked(0, payload.size)
    payload.close()


async def test_a_sender_who_gives_up_leaves_no_check_behind(house: House) -> None:
    blob = await house.add(LARGE)
    later = house.restarted()
    payload = await later.store.open_payload(blob)

    async with Ahead(payload, 0, payload.size) as ahead:
        await ahead.reach(1)

    payload.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not [task for task in others if "check" in repr(task.get_coro())]
    await check_all(later, blob)


@pytest.mark.parametrize("damaged", range(6))
async def test_a_sender_gets_as_far_as_the_bytes_are_right(house: House, damaged: int) -> None:
    blob = await house.add(LARGE)
    house.flip(blob, damaged * MIB)
    payload = await house.restarted().store.open_payload(blob)
    sent = bytearray()

    async def send() -> None:
        async with Ahead(payload, 0, payload.size) as ahead:
            for start in range(0, payload.size, 256 << 10):
                stop = min(payload.size, start + (256 << 10))
                await ahead.reach(stop)
                sent.extend(await payload.read(start, stop))

    with pytest.raises(PayloadDamaged):
        await send()
    payload.close()

    assert LARGE.startswith(sent)
    assert damaged - 4 <= len(sent) // MIB <= damaged  # what is checked together is refused together
