"""Stages that were opened again: what is read once more, when, and what is not."""

import asyncio
from pathlib import Path

import pytest

from casd.errors import StorageFailed
from casd.payloads import behind as behind_module
from casd.payloads import local as local_module
from casd.payloads import staged as staged_module
from casd.payloads.local import LocalPayloads
from tests.contracts.oracle import digest_of, receipt_of, some_bytes
from tests.contracts.payload_store import turns
from tests.payloads.disk_spy import DiskSpy
from tests.payloads.test_local import spy as spy
from tests.payloads.test_local import store as store


@pytest.fixture
def behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is more than 50,000 bytes back is hashed behind the writes, in small steps."""
    monkeypatch.setattr(staged_module, "CATCH_UP_BYTES", 50_000)
    monkeypatch.setattr(behind_module, "PIECE_BYTES", 150_001)
    monkeypatch.setattr(behind_module, "READ_BYTES", 70_001)


@pytest.mark.usefixtures("behind")
@pytest.mark.parametrize("size", [1, 7_001, 200_000])
async def test_a_long_prefix_that_was_not_hashed_is_hashed_behind_the_writes(
    store: LocalPayloads, root: Path, spy: DiskSpy, size: int
) -> None:
    data = some_bytes(2_500_000)
    (root / "incoming" / "resumed").write_bytes(data[:1_200_000])

    async with await store.reopen("resumed", 1_200_000) as staged:
        await staged.append(data[1_200_000 : 1_200_000 + size])
        assert staged.durable_digest is None
        await staged.hash_all()
        spy.calls.clear()
        for start in range(1_200_000 + size, len(data), 300_000):
            await staged.append(data[start : start + 300_000])
        await staged.sync()
        assert staged.durable_digest == digest_of(data)
        receipt = await staged.seal()

    assert receipt == receipt_of(data)
    assert spy.named("pread") == []


@pytest.mark.usefixtures("behind")
async def test_what_arrives_while_the_prefix_is_hashed_follows_it(
    store: LocalPayloads, root: Path, spy: DiskSpy
) -> None:
    data = some_bytes(2_500_000)
    (root / "incoming" / "resumed").write_bytes(data[:1_000_000])
    plan = spy.hold("pread", "incoming/*")

    async with await store.reopen("resumed", 1_000_000) as staged:
        for start in range(1_000_000, len(data), 300_000):
            await staged.append(data[start : start + 300_000])  # which waits for no read
        assert await staged.sync() == len(data)
        assert staged.durable_digest is None
        sealing = asyncio.create_task(staged.seal())
        plan.go_on.set()
        receipt = await sealing

    assert receipt == receipt_of(data)


@pytest.mark.usefixtures("behind")
@pytest.mark.parametrize("size", [0, 10, 400_000, 1_000_000])
async def test_what_is_cut_off_while_the_prefix_is_hashed_counts_nowhere(
    store: LocalPayloads, root: Path, size: int
) -> None:
    data = some_bytes(1_500_000)
    (root / "incoming" / "resumed").write_bytes(data[:1_000_000])

    async with await store.reopen("resumed", 1_000_000) as staged:
        await staged.append(b"wrong")
        await staged.truncate(size)
        await staged.append(data[size : size + 200_000])
        await staged.append(data[size + 200_000 :])
        receipt = await staged.seal()

    assert receipt == receipt_of(data)


@pytest.mark.usefixtures("behind")
async def test_an_append_that_is_cancelled_while_the_prefix_is_hashed_did_not_happen(
    store: LocalPayloads, root: Path, spy: DiskSpy
) -> None:
    data = some_bytes(1_500_000)
    (root / "incoming" / "resumed").write_bytes(data[:1_000_000])

    async with await store.reopen("resumed", 1_000_000) as staged:
        plan = spy.hold("pwrite", "incoming/*")
        appending = asyncio.create_task(staged.append(b"x" * 300_000))
        await asyncio.to_thread(plan.wait)
        appending.cancel()
        await asyncio.wait([appending])
        plan.go_on.set()
        await staged.append(data[1_000_000:])
        receipt = await staged.seal()

    assert receipt == receipt_of(data)


@pytest.mark.usefixtures("behind")
@pytest.mark.parametrize("end", ["discard", "suspend"])
async def test_a_stage_that_ends_while_its_prefix_is_hashed_leaves_no_thread_behind(
    store: LocalPayloads, root: Path, spy: DiskSpy, end: str
) -> None:
    (root / "incoming" / "resumed").write_bytes(some_bytes(1_000_000))
    plan = spy.hold("pread", "incoming/*")
    staged = await store.reopen("resumed", 1_000_000)
    await staged.append(b"x")
    await asyncio.to_thread(plan.wait)

    ending = asyncio.create_task(getattr(staged, end)())
    await turns(20)
    assert not ending.done()
    plan.go_on.set()
    await ending

    assert not staged._behind.is_running
    assert not staged._in_flight
    await store.drop_stage("resumed")


@pytest.mark.usefixtures("behind")
@pytest.mark.parametrize("call", ["hash_all", "seal"])
async def test_a_prefix_that_cannot_be_read_again_is_told_at_the_end(
    store: LocalPayloads, root: Path, spy: DiskSpy, call: str
) -> None:
    (root / "incoming" / "resumed").write_bytes(some_bytes(1_000_000))
    for _ in range(4):  # two threads, begun by the append and again by the end
        spy.fail("pread", "incoming/*")
    staged = await store.reopen("resumed", 1_000_000)
    await staged.append(b"x")

    with pytest.raises(StorageFailed):
        await getattr(staged, call)()

    await store.drop_stage("resumed")


@pytest.mark.parametrize("is_synced", [True, False])
async def test_what_was_hashed_of_a_stage_at_rest_is_not_read_again(
    store: LocalPayloads, spy: DiskSpy, is_synced: bool
) -> None:
    data = some_bytes(1_500_000)
    staged = await store.stage("kept", is_kept=True)
    await staged.append(data[:600_000])
    await staged.sync()
    await staged.append(data[600_000:1_000_000])
    if is_synced:
        await staged.sync()
    await staged.suspend()

    offset = 1_000_000 if is_synced else 600_000
    async with await store.reopen("kept", offset) as again:
        assert again.durable_digest == digest_of(data[:offset])
        await again.append(data[offset:])
        receipt = await again.seal()

    assert receipt == receipt_of(data)
    assert spy.named("pread") == []


async def test_what_was_hashed_beyond_where_a_stage_is_cut_back_to_is_forgotten(store: LocalPayloads) -> None:
    data = some_bytes(500_000)
    staged = await store.stage("kept", is_kept=True)
    await staged.append(data)
    await staged.sync()
    await staged.suspend()

    async with await store.reopen("kept", 300_000) as again:
        await again.append(data[300_000:])
        assert await again.seal() == receipt_of(data)


async def test_of_a_stage_that_failed_nothing_hashed_is_remembered(store: LocalPayloads, spy: DiskSpy) -> None:
    staged = await store.stage("kept", is_kept=True)
    await staged.append(b"x" * 300_000)
    await staged.sync()
    spy.fail("fdatasync", "incoming/*")
    await staged.append(b"y" * 300_000)
    with pytest.raises(StorageFailed):
        await staged.sync()
    await staged.suspend()

    async with await store.reopen("kept", 300_000) as again:
        await again.append(b"z")
        assert await again.seal() == receipt_of(b"x" * 300_000 + b"z")


async def test_only_so_many_stages_are_remembered(store: LocalPayloads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_module, "REMEMBERED", 3)

    for number in range(5):
        staged = await store.stage(f"kept-{number}", is_kept=True)
        await staged.append(b"x" * 100_000)
        await staged.sync()
        await staged.suspend()

    assert list(store._hashers) == ["kept-2", "kept-3", "kept-4"]
    for number in range(5):
        await store.drop_stage(f"kept-{number}")
    assert not store._hashers
