"""What every payload store must do, backends and fakes alike: derive from PayloadStoreContract, give a `backend`.

Each test ends by looking for stages that were left behind.
"""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from casd.errors import DigestMismatch, PayloadDamaged, PayloadMissing, SizeMismatch, StageMissing, StorageFailed
from casd.locks import DigestLocks
from casd.model import Digest, Expected, Receipt
from casd.payloads.base import PayloadStore, Staged
from tests.contracts.oracle import MIB, digest_of, receipt_of, some_bytes

KIB = 1 << 10
SIZES = (0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 128 * KIB, MIB - 1, MIB, MIB + 1, 3 * MIB + 7)
POOL = some_bytes(4 * MIB, seed=99)  # sequences take slices of it: making bytes anew would be most of their time


class Backend(Protocol):
    """A store, and raw access to what lies behind it."""

    async def open(self) -> PayloadStore:
        """A store over what is there; a second one is what the next process sees."""

    def abandon(self, staged: Staged) -> None:
        """What the death of its process does to a stage: descriptors close, bytes stay."""

    def stages(self) -> set[str]:
        """The ids of all stages that are there."""

    def stored(self) -> dict[Digest, bytes]: ...

    def damage(self, digest: Digest, data: bytes | None) -> None:
        """Put other bytes in the payload's place; None: nothing."""

    def add_strangers(self) -> None:
        """Put things beside the payloads that are none."""

    def quarantined(self) -> list[tuple[Digest, bytes, str]]:
        """Digest, bytes and reason of each payload in quarantine."""


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def store_bytes(store: PayloadStore, data: bytes, id: str = "a-stage") -> Receipt:
    """Stage, seal and commit `data` in one piece."""
    async with await store.stage(id) as staged:
        await staged.append(data)
        receipt = await staged.seal()
        await staged.commit()
    return receipt


async def read_all(store: PayloadStore, digest: Digest) -> bytes:
    payload = await store.open(digest)
    try:
        return await payload.read(0, payload.size)
    finally:
        payload.close()


async def scanned(store: PayloadStore) -> dict[Digest, int]:
    return {stored.digest: stored.size async for stored in store.scan()}


async def turns(count: int) -> None:
    """Let the event loop turn so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


SIZE = st.one_of(
    st.integers(0, 3000),
    st.sampled_from([64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 128 * KIB - 1, 128 * KIB, 200_001, MIB - 1, MIB, MIB + 1]),
)
STEP = st.one_of(
    st.tuples(st.just("append"), SIZE, st.just(0.0)),
    st.tuples(st.just("write_at"), SIZE, st.floats(0, 1.3)),  # a share of the present size: over it, behind it
    st.tuples(st.just("truncate"), st.just(0), st.floats(0, 1)),
    st.tuples(st.just("sync"), st.just(0), st.just(0.0)),
    st.tuples(st.just("restart"), st.just(0), st.floats(0, 1)),
    st.tuples(st.just("cancel"), SIZE, st.floats(0, 1)),  # an append, after up to ten turns of the loop
)


class PayloadStoreContract:
    """Subclasses give the fixture `backend`."""

    @pytest.fixture
    async def store(self, backend: Backend) -> AsyncIterator[PayloadStore]:
        store = await backend.open()
        yield store
        await store.close()
        assert backend.stages() == set(), "a stage was left behind"

    # -- receipts -----------------------------------------------------------------------------------------

    @pytest.mark.parametrize("size", SIZES)
    async def test_a_receipt_has_every_checksum_of_the_bytes(self, store: PayloadStore, size: int) -> None:
        data = some_bytes(size)

        receipt = await store_bytes(store, data)

        assert receipt == receipt_of(data)
        assert await read_all(store, receipt.digest) == data

    @pytest.mark.parametrize("chunk", [1021, 65_537, 131_073, MIB + 13])
    async def test_a_receipt_does_not_depend_on_the_chunks_that_arrived(self, store: PayloadStore, chunk: int) -> None:
        data = some_bytes(3 * MIB + 101, seed=chunk)

        async with await store.stage("chunks") as staged:
            for start in range(0, len(data), chunk):
                await staged.append(data[start : start + chunk])
            receipt = await staged.seal()

        assert receipt == receipt_of(data)

    @given(steps=st.lists(STEP, max_size=12), start=st.integers(0, 1000))
    @settings(
        max_examples=120,
        deadline=None,
        # Each example brings its own stage, and the suite runs once for each backend: neither is a mistake here.
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    async def test_any_sequence_of_writes_and_cuts_leaves_what_a_bytearray_holds(
        self, store: PayloadStore, backend: Backend, steps: list[tuple[str, int, float]], start: int
    ) -> None:
        model = bytearray()
        staged = await store.stage("sequence")
        for call, size, share in steps:
            start = (start + 7919) % (len(POOL) - MIB - 1)
            data = POOL[start : start + size]
            offset = int(len(model) * share)
            if call == "append":
                await staged.append(data)
                model += data
            elif call == "write_at":
                await staged.write_at(offset, data)
                if data:
                    model.extend(bytes(max(0, offset - len(model))))
                    model[offset : offset + size] = data
            elif call == "truncate":
                await staged.truncate(offset)
                del model[offset:]
            elif call == "sync":
                assert await staged.sync() == len(model)
            elif call == "cancel":
                task = asyncio.create_task(staged.append(data))
                await turns(int(share * 10))
                task.cancel()
                await asyncio.wait([task])
                if not task.cancelled():
                    model += data
            else:
                await staged.sync()
                backend.abandon(staged)
                staged = await store.reopen("sequence", offset)
                del model[offset:]
            assert staged.size == len(model)

        async with staged:
            receipt = await staged.seal()
            await staged.commit()

        assert receipt == receipt_of(bytes(model))
        assert await read_all(store, receipt.digest) == bytes(model)

    # -- staging ------------------------------------------------------------------------------------------

    async def test_a_stage_grows_by_what_is_appended(self, store: PayloadStore) -> None:
        async with await store.stage("one") as staged:
            await staged.append(b"abc")
            await staged.append(b"")
            await staged.append(b"de")

            assert (staged.id, staged.size) == ("one", 5)

    async def test_bytes_that_are_staged_are_no_payload_yet(self, store: PayloadStore, backend: Backend) -> None:
        data = some_bytes(200_000)
        async with await store.stage("one") as staged:
            await staged.append(data)
            await staged.seal()

            assert await scanned(store) == {}
            assert backend.stored() == {}
            with pytest.raises(PayloadMissing):
                await store.open(digest_of(data))

    async def test_pieces_may_come_out_of_order(self, store: PayloadStore) -> None:
        data = some_bytes(MIB + 300_000)
        third = len(data) // 3
        async with await store.stage("parts") as staged:
            await staged.write_at(2 * third, data[2 * third :])
            await staged.write_at(0, data[:third])
            await staged.write_at(third, data[third : 2 * third])

            receipt = await staged.seal()

        assert receipt == receipt_of(data)

    async def test_a_hole_may_be_filled_after_bytes_behind_it_were_appended(self, store: PayloadStore) -> None:
        data = some_bytes(500_000)
        async with await store.stage("hole") as staged:
            await staged.append(data[:100_000])
            await staged.write_at(300_000, data[300_000:400_000])
            await staged.append(data[400_000:])  # hashes the hole on its way
            await staged.write_at(100_000, data[100_000:300_000])

            receipt = await staged.seal()

        assert receipt == receipt_of(data)

    async def test_bytes_may_be_overwritten(self, store: PayloadStore) -> None:
        data = bytearray(some_bytes(300_000))
        async with await store.stage("again") as staged:
            await staged.append(bytes(data))
            await staged.write_at(150_000, b"other bytes")
            data[150_000:150_011] = b"other bytes"

            receipt = await staged.seal()

        assert receipt == receipt_of(bytes(data))

    async def test_a_small_stage_may_be_overwritten_before_it_has_a_file(self, store: PayloadStore) -> None:
        async with await store.stage("small") as staged:
            await staged.append(b"abcdef")
            await staged.write_at(2, b"XY")

            receipt = await staged.seal()

        assert receipt == receipt_of(b"abXYef")

    @pytest.mark.parametrize("cut", [0, 1, 149_999, 150_000, 150_001, 400_000])
    async def test_a_stage_that_was_cut_back_goes_on_from_there(self, store: PayloadStore, cut: int) -> None:
        data, tail = some_bytes(400_000), some_bytes(250_000, seed=1)
        async with await store.stage("cut") as staged:
            await staged.append(data[:150_000])
            await staged.sync()
            await staged.append(data[150_000:])
            await staged.truncate(cut)
            await staged.append(tail)

            receipt = await staged.seal()

        assert receipt == receipt_of(data[:cut] + tail)

    async def test_a_stage_cannot_be_cut_to_more_than_it_has(self, store: PayloadStore) -> None:
        async with await store.stage("cut") as staged:
            await staged.append(b"abc")

            with pytest.raises(ValueError, match="3 bytes"):
                await staged.truncate(4)

            assert staged.size == 3

    async def test_a_hundred_syncs_and_cuts_back_to_any_of_them_hash_right(self, store: PayloadStore) -> None:
        data = some_bytes(100_000)
        async with await store.stage("syncs") as staged:
            for start in range(0, 100_000, 1000):
                await staged.append(data[start : start + 1000])
                await staged.sync()
            for cut in (99_000, 50_000, 3000, 1000):
                await staged.truncate(cut)
                await staged.append(data[cut : cut + 500])

            receipt = await staged.seal()

        assert receipt == receipt_of(data[:1500])

    async def test_a_discarded_stage_leaves_nothing(self, store: PayloadStore, backend: Backend) -> None:
        before = open_descriptors()
        for size in (0, 10, 500_000):
            staged = await store.stage("gone")
            await staged.append(some_bytes(size))

            await staged.discard()
            await staged.discard()

            assert backend.stages() == set()
            assert open_descriptors() == before

    @pytest.mark.parametrize("size", [0, 10, 500_000])
    async def test_leaving_without_a_commit_leaves_nothing(
        self, store: PayloadStore, backend: Backend, size: int
    ) -> None:
        before = open_descriptors()

        async with await store.stage("left") as staged:
            await staged.append(some_bytes(size))
            await staged.seal()

        assert (backend.stages(), backend.stored()) == (set(), {})
        assert open_descriptors() == before

    @pytest.mark.parametrize("step", range(12))
    async def test_a_task_cancelled_anywhere_leaves_nothing(
        self, store: PayloadStore, backend: Backend, step: int
    ) -> None:
        before = open_descriptors()

        async def send() -> None:
            async with await store.stage("cancelled") as staged:
                for _ in range(3):
                    await staged.append(some_bytes(300_000))
                await staged.sync()
                await staged.seal()

        task = asyncio.create_task(send())
        await turns(step)
        task.cancel()
        await asyncio.wait([task])

        assert (backend.stages(), backend.stored()) == (set(), {})
        assert open_descriptors() == before

    @pytest.mark.parametrize("step", range(1, 12))
    @pytest.mark.parametrize("size", [1000, 90_000, 700_000])
    async def test_a_cancelled_append_did_not_happen(self, store: PayloadStore, step: int, size: int) -> None:
        first, second = some_bytes(40_000), some_bytes(size, seed=1)
        async with await store.stage("again") as staged:
            await staged.append(first)
            task = asyncio.create_task(staged.append(second))
            await turns(step)
            task.cancel()
            await asyncio.wait([task])
            expected = first if task.cancelled() else first + second
            assert staged.size == len(expected)
            await staged.append(b"the next one")

            receipt = await staged.seal()
            await staged.commit()

        assert receipt == receipt_of(expected + b"the next one")
        assert await read_all(store, receipt.digest) == expected + b"the next one"

    # -- sealing and committing ---------------------------------------------------------------------------

    @pytest.mark.parametrize("size", [0, 1000, 700_000])
    async def test_announced_size_and_digests_that_are_right_are_accepted(self, store: PayloadStore, size: int) -> None:
        right = receipt_of(some_bytes(size))
        async with await store.stage("announced", size) as staged:
            await staged.append(some_bytes(size))

            receipt = await staged.seal(Expected(size=size, sha512=right.digest.raw, sha256=right.sha256))

        assert receipt == right

    @pytest.mark.parametrize("size", [1000, 700_000])
    @pytest.mark.parametrize(
        ("wrong", "error"),
        [
            ({"size": 999}, SizeMismatch),
            ({"size": 0}, SizeMismatch),
            ({"sha512": bytes(64)}, DigestMismatch),
            ({"sha256": bytes(32)}, DigestMismatch),
        ],
        ids=["shorter", "empty", "sha512", "sha256"],
    )
    async def test_bytes_that_are_not_the_announced_ones_are_not_kept(
        self, store: PayloadStore, backend: Backend, size: int, wrong: dict[str, Any], error: type[Exception]
    ) -> None:
        data = some_bytes(size)
        right = receipt_of(data)
        announced = Expected(size=size, sha512=right.digest.raw, sha256=right.sha256)
        before = open_descriptors()

        async with await store.stage("wrong") as staged:
            await staged.append(data)
            with pytest.raises(error):
                await staged.seal(replace(announced, **wrong))

        assert (backend.stages(), backend.stored()) == (set(), {})
        assert open_descriptors() == before

    async def test_a_sealed_stage_takes_no_more_bytes(self, store: PayloadStore) -> None:
        async with await store.stage("sealed") as staged:
            await staged.append(b"abc")
            await staged.seal()

            for write in (staged.append(b"d"), staged.write_at(0, b"d"), staged.truncate(1), staged.sync()):
                with pytest.raises(StorageFailed):
                    await write

    async def test_only_a_sealed_stage_can_be_committed_and_only_once(self, store: PayloadStore) -> None:
        async with await store.stage("once") as staged:
            await staged.append(b"abc")
            with pytest.raises(RuntimeError):
                await staged.commit()
            await staged.seal()
            await staged.commit()

            with pytest.raises(RuntimeError):
                await staged.commit()

    async def test_a_commit_makes_the_payload_visible(self, store: PayloadStore, backend: Backend) -> None:
        data = some_bytes(300_000)

        receipt = await store_bytes(store, data)

        assert await scanned(store) == {receipt.digest: len(data)}
        assert backend.stored() == {digest_of(data): data}

    async def test_discarding_after_a_commit_keeps_the_payload(self, store: PayloadStore) -> None:
        staged = await store.stage("kept")
        await staged.append(b"abc")
        receipt = await staged.seal()
        await staged.commit()

        await staged.discard()

        assert await read_all(store, receipt.digest) == b"abc"

    async def test_equal_bytes_are_stored_once(self, store: PayloadStore, backend: Backend) -> None:
        data = some_bytes(200_000)

        receipts = [await store_bytes(store, data, id) for id in ("first", "second")]

        assert receipts[0] == receipts[1]
        assert list(backend.stored()) == [digest_of(data)]

    @pytest.mark.parametrize("size", [1000, 200_000])
    async def test_tasks_that_race_to_store_the_same_bytes_all_succeed(
        self, store: PayloadStore, backend: Backend, size: int
    ) -> None:
        data, locks = some_bytes(size), DigestLocks()

        async def race(id: str) -> Digest:
            async with await store.stage(id) as staged:
                await staged.append(data)
                receipt = await staged.seal()
                async with locks.hold(receipt.digest):
                    await staged.commit()
            return receipt.digest

        digests = await asyncio.gather(*(race(f"racer-{number}") for number in range(8)))

        assert set(digests) == {digest_of(data)}
        assert backend.stored() == {digest_of(data): data}

    @pytest.mark.parametrize(
        "spoil",
        [lambda data: None, lambda data: data[:-1], lambda data: b"", lambda data: data[:9] + b"\0\1" + data[11:]],
        ids=["missing", "short", "empty", "flipped"],
    )
    async def test_storing_the_bytes_again_heals_a_damaged_copy(
        self, store: PayloadStore, backend: Backend, spoil: Callable[[bytes], bytes | None]
    ) -> None:
        data = some_bytes(150_000)
        receipt = await store_bytes(store, data)
        backend.damage(receipt.digest, spoil(data))

        await store_bytes(store, data)

        assert backend.stored() == {receipt.digest: data}
        assert await read_all(store, receipt.digest) == data

    # -- reading ------------------------------------------------------------------------------------------

    async def test_a_payload_is_read_by_range(self, store: PayloadStore) -> None:
        data = some_bytes(2 * MIB)
        receipt = await store_bytes(store, data)

        payload = await store.open(receipt.digest)

        assert payload.size == len(data)
        for start, stop in itertools.pairwise([0, 0, 1, 65_536, 700_000, 2 * MIB]):
            assert await payload.read(start, stop) == data[start:stop]
            assert payload.read_now(start, stop) in (None, data[start:stop])
            assert payload.is_cached(start, stop) in (True, False)
        payload.close()

    async def test_a_payload_says_what_the_kernel_can_send(self, store: PayloadStore) -> None:
        data = some_bytes(100_000)
        receipt = await store_bytes(store, data)

        payload = await store.open(receipt.digest)

        assert payload.file is None or os.pread(payload.file, len(data) + 1, 0) == data
        payload.close()

    @pytest.mark.parametrize("size", [0, 1000, 600_000])
    async def test_reading_past_the_end_says_that_the_payload_is_damaged(self, store: PayloadStore, size: int) -> None:
        receipt = await store_bytes(store, some_bytes(size))
        payload = await store.open(receipt.digest)

        with pytest.raises(PayloadDamaged):
            await payload.read(0, size + 1)

        assert payload.read_now(0, size + 1) is None
        payload.close()

    async def test_closing_a_payload_twice_is_no_error(self, store: PayloadStore) -> None:
        receipt = await store_bytes(store, b"abc")
        before = open_descriptors()
        payload = await store.open(receipt.digest)

        payload.close()
        payload.close()

        assert open_descriptors() == before

    async def test_an_absent_payload_is_missing(self, store: PayloadStore) -> None:
        with pytest.raises(PayloadMissing):
            await store.open(digest_of(b"never stored"))

    async def test_a_payload_that_vanished_is_missing_even_if_it_was_opened_before(
        self, store: PayloadStore, backend: Backend
    ) -> None:
        receipt = await store_bytes(store, b"abc")
        (await store.open(receipt.digest)).close()

        backend.damage(receipt.digest, None)

        with pytest.raises(PayloadMissing):
            await store.open(receipt.digest)

    # -- removing and quarantine --------------------------------------------------------------------------

    async def test_remove_says_whether_there_was_one(self, store: PayloadStore, backend: Backend) -> None:
        receipt = await store_bytes(store, b"abc")

        removed = [await store.remove(receipt.digest) for _ in range(2)]

        assert removed == [True, False]
        assert backend.stored() == {}
        with pytest.raises(PayloadMissing):
            await store.open(receipt.digest)

    async def test_an_open_payload_survives_its_removal(self, store: PayloadStore) -> None:
        data = some_bytes(700_000)
        receipt = await store_bytes(store, data)
        payload = await store.open(receipt.digest)

        await store.remove(receipt.digest)

        assert await payload.read(0, len(data)) == data
        payload.close()

    async def test_an_open_payload_survives_that_its_bytes_are_stored_again(self, store: PayloadStore) -> None:
        data = some_bytes(700_000)
        receipt = await store_bytes(store, data)
        payload = await store.open(receipt.digest)

        await store_bytes(store, data)

        assert await payload.read(0, len(data)) == data
        payload.close()

    async def test_quarantine_moves_the_payload_and_notes_why(self, store: PayloadStore, backend: Backend) -> None:
        receipt = await store_bytes(store, b"abc")
        (await store.open(receipt.digest)).close()

        moved = [await store.quarantine(receipt.digest, "block 7 is not what it was") for _ in range(2)]

        assert moved == [True, False]
        assert backend.stored() == {}
        assert backend.quarantined() == [(receipt.digest, b"abc", "block 7 is not what it was")]
        with pytest.raises(PayloadMissing):
            await store.open(receipt.digest)

    async def test_a_note_is_kept_where_there_was_no_payload(self, store: PayloadStore, backend: Backend) -> None:
        is_moved = await store.quarantine(digest_of(b"abc"), "it is gone", {"size": 3})

        (kept,) = await store.quarantined(10)
        assert is_moved is False
        assert (kept.digest, kept.why, kept.size, kept.facts) == (digest_of(b"abc"), "it is gone", None, {"size": 3})
        assert backend.quarantined() == []

    async def test_quarantine_is_listed_by_id_in_pages(self, store: PayloadStore) -> None:
        for number in range(5):
            receipt = await store_bytes(store, bytes([number]), f"stage-{number}")
            await store.quarantine(receipt.digest, str(number), {"number": number})

        pages, after = [], None
        while page := await store.quarantined(2, after):
            pages.append(page)
            after = page[-1].id

        items = [item for page in pages for item in page]
        assert [len(page) for page in pages] == [2, 2, 1]
        assert [item.id for item in items] == sorted(item.id for item in items)
        assert sorted((item.why, item.size, item.facts["number"]) for item in items) == [
            (str(number), 1, number) for number in range(5)
        ]
        assert all(item.quarantined_at.utcoffset() is not None for item in items)
        assert [await store.in_quarantine(item.id) for item in items] == items

    async def test_what_is_purged_from_quarantine_is_gone(self, store: PayloadStore, backend: Backend) -> None:
        receipt = await store_bytes(store, b"abc")
        await store.quarantine(receipt.digest, "damaged")
        (kept,) = await store.quarantined(10)

        purged = [await store.purge_quarantined(kept.id) for _ in range(2)]

        assert purged == [True, False]
        assert await store.quarantined(10) == []
        assert await store.in_quarantine(kept.id) is None
        assert backend.quarantined() == []

    @pytest.mark.parametrize("id", ["", "x", "..", "../lock", "0" * 128, f"{'0' * 128}.20260101T000000.000000Z"])
    async def test_an_id_that_is_not_in_quarantine_is_none(self, store: PayloadStore, id: str) -> None:
        assert await store.in_quarantine(id) is None
        assert await store.purge_quarantined(id) is False

    # -- what bytes are worth -----------------------------------------------------------------------------

    @pytest.mark.parametrize("size", SIZES)
    @pytest.mark.parametrize("from_disk", [False, True])
    async def test_block_checksums_are_those_of_the_receipt(
        self, store: PayloadStore, size: int, from_disk: bool
    ) -> None:
        receipt = await store_bytes(store, some_bytes(size))
        payload = await store.open(receipt.digest)

        found = [
            await payload.block_checksums(start, stop, from_disk=from_disk)
            for start, stop in [(0, 100), (0, 1), (1, 2), (1, 3), (2, 100), (50, 60)]
        ]

        payload.close()
        blocks = receipt_of(some_bytes(size)).blocks
        assert found == [
            blocks[start * 8 : stop * 8] for start, stop in [(0, 100), (0, 1), (1, 2), (1, 3), (2, 100), (50, 60)]
        ]

    @pytest.mark.parametrize("size", SIZES)
    async def test_an_examination_finds_what_is_there_whatever_it_is_called(
        self, store: PayloadStore, backend: Backend, size: int
    ) -> None:
        receipt = await store_bytes(store, b"something else")
        backend.damage(receipt.digest, POOL[:size])
        payload = await store.open(receipt.digest)
        paced: list[int] = []

        async def pace(count: int) -> None:
            paced.append(count)

        found = await payload.examine(pace)

        payload.close()
        truth = receipt_of(POOL[:size])
        assert (found.digest, found.size, found.blocks) == (truth.digest, size, truth.blocks)
        assert sum(paced) == size

    async def test_each_copy_of_the_bytes_has_its_own_identity(self, store: PayloadStore, backend: Backend) -> None:
        async def identity() -> Any:
            payload = await store.open(digest_of(b"abc"))
            payload.close()
            return payload.identity

        found = []
        for id in ("one", "two"):
            async with await store.stage(id) as staged:
                await staged.append(b"abc")
                await staged.seal()
                told = await staged.commit()
            found.append(await identity())
            assert told == found[-1]
            assert await identity() == told
        backend.damage(digest_of(b"abc"), b"abcd")

        assert len({*found, await identity()}) == 3

    async def test_forgetting_what_is_cached_changes_nothing(self, store: PayloadStore) -> None:
        receipt = await store_bytes(store, some_bytes(300_000))
        payload = await store.open(receipt.digest)

        await payload.forget_cached()

        assert await payload.read(0, 300_000) == some_bytes(300_000)
        payload.close()

    async def test_bytes_in_quarantine_are_healed_by_storing_them_again(
        self, store: PayloadStore, backend: Backend
    ) -> None:
        receipt = await store_bytes(store, b"abc")
        await store.quarantine(receipt.digest, "damaged")

        await store_bytes(store, b"abc")

        assert await read_all(store, receipt.digest) == b"abc"
        assert len(backend.quarantined()) == 1

    # -- scanning and the start ---------------------------------------------------------------------------

    async def test_a_scan_sees_every_payload_and_no_stranger(self, store: PayloadStore, backend: Backend) -> None:
        contents = [some_bytes(size, seed=size) for size in range(40)]
        for data in contents:
            await store_bytes(store, data)
        backend.add_strangers()

        found = [stored async for stored in store.scan()]

        assert {stored.digest: stored.size for stored in found} == {digest_of(data): len(data) for data in contents}
        assert len(found) == len(contents)
        assert all(stored.modified_at.utcoffset() is not None for stored in found)

    async def test_what_was_committed_is_there_for_the_next_process(
        self, store: PayloadStore, backend: Backend
    ) -> None:
        receipt = await store_bytes(store, b"abc")

        after_restart = await backend.open()

        assert await read_all(after_restart, receipt.digest) == b"abc"
        await after_restart.close()

    @pytest.mark.parametrize("offset", [0, 1, 299_999, 300_000])
    async def test_a_stage_goes_on_after_a_restart_from_any_offset_that_was_synced(
        self, store: PayloadStore, backend: Backend, offset: int
    ) -> None:
        data, tail = some_bytes(300_000), some_bytes(200_000, seed=1)
        staged = await store.stage("upload")
        await staged.append(data)
        assert await staged.sync() == len(data)
        await staged.append(b"and bytes that nobody was told of")
        backend.abandon(staged)
        after_restart = await backend.open()

        async with await after_restart.reopen("upload", offset) as staged:
            assert staged.size == offset
            await staged.append(tail)
            receipt = await staged.seal()

        assert receipt == receipt_of(data[:offset] + tail)
        await after_restart.close()

    async def test_a_stage_that_is_absent_or_short_cannot_be_reopened(
        self, store: PayloadStore, backend: Backend
    ) -> None:
        staged = await store.stage("short")
        await staged.append(b"abc")
        await staged.sync()
        backend.abandon(staged)
        before = open_descriptors()

        for id, offset in (("short", 4), ("absent", 0)):
            with pytest.raises(StageMissing):
                await store.reopen(id, offset)

        assert open_descriptors() == before
        assert backend.stages() == {"short"}
        await store.clear_stages()

    # -- stages that are kept -----------------------------------------------------------------------------

    async def test_a_kept_stage_goes_on_after_it_was_suspended(self, store: PayloadStore, backend: Backend) -> None:
        data = some_bytes(300_000)
        staged = await store.stage("kept", len(data), is_kept=True)
        await staged.append(data[:200_000])
        assert await staged.sync() == staged.durable_size == 200_000
        await staged.suspend()

        assert backend.stages() == {"kept"}
        again = await store.reopen("kept", 200_000, len(data))
        assert (again.size, again.durable_size) == (200_000, 200_000)
        await again.append(data[200_000:])
        receipt = await again.seal(Expected(len(data)))
        await again.commit()
        await again.discard()

        assert receipt == receipt_of(data)
        assert await read_all(store, receipt.digest) == data

    async def test_a_kept_stage_that_was_committed_stays_until_it_is_discarded(
        self, store: PayloadStore, backend: Backend
    ) -> None:
        data = some_bytes(300_000)
        staged = await store.stage("kept", is_kept=True)
        await staged.append(data)
        await staged.seal()
        await staged.commit()

        assert backend.stages() == {"kept"}
        again = await store.reopen("kept", len(data))
        receipt = await again.seal()
        await again.commit()
        await again.discard()

        assert backend.stages() == set()
        assert backend.stored() == {receipt.digest: data}

    async def test_what_happens_to_a_kept_stage_after_its_commit_changes_no_payload(self, store: PayloadStore) -> None:
        """A crash between the commit and its row: the upload goes on, and may be cut back."""
        data = some_bytes(300_000)
        staged = await store.stage("kept", is_kept=True)
        await staged.append(data)
        receipt = await staged.seal()
        await staged.commit()

        again = await store.reopen("kept", 100_000)
        await again.append(b"other bytes")
        await again.sync()
        await again.discard()

        assert await read_all(store, receipt.digest) == data

    async def test_a_suspended_stage_is_dropped_by_its_id(self, store: PayloadStore, backend: Backend) -> None:
        staged = await store.stage("kept", is_kept=True)
        await staged.append(b"abc")
        await staged.sync()
        await staged.suspend()

        await store.drop_stage("kept")
        await store.drop_stage("kept")

        assert backend.stages() == set()

    async def test_what_was_cut_off_or_written_over_is_not_durable(self, store: PayloadStore) -> None:
        staged = await store.stage("kept", is_kept=True)
        await staged.append(some_bytes(300_000))
        await staged.sync()

        await staged.write_at(250_000, b"anew")
        assert staged.durable_size == 250_000
        await staged.truncate(100_000)
        assert staged.durable_size == 100_000
        await staged.append(b"more")
        assert staged.durable_size == 100_000

        assert await staged.sync() == staged.durable_size == 100_004
        await staged.discard()

    async def test_clearing_stages_keeps_the_named(self, store: PayloadStore, backend: Backend) -> None:
        for id in ("one", "two", "three"):
            staged = await store.stage(id)
            await staged.append(b"abc")
            await staged.sync()
            backend.abandon(staged)

        cleared = await store.clear_stages(keep=["two", "not there"])

        assert cleared == 2
        assert backend.stages() == {"two"}
        assert await store.clear_stages() == 1

    async def test_clearing_stages_touches_no_payload(self, store: PayloadStore) -> None:
        receipt = await store_bytes(store, b"abc")

        assert await store.clear_stages() == 0

        assert await read_all(store, receipt.digest) == b"abc"

    async def test_a_store_that_works_can_be_probed_again_and_again(self, store: PayloadStore) -> None:
        assert await store.probe() is None
        assert await store.probe() is None

    async def test_free_bytes_are_not_negative(self, store: PayloadStore) -> None:
        assert await store.free_bytes() >= 0
