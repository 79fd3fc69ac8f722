"""Any sequence of what clients, operators and crashes do to uploads, against a dict of bytearrays."""

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from casd.errors import Conflict, OffsetConflict, StorageFailed, TooLarge, UploadBusy, UploadMismatch, UploadNotFound
from casd.model import Upload
from tests.contracts.oracle import MIB, digest_of, some_bytes
from tests.payloads.disk_spy import DiskSpy
from tests.uploads.house import ALICE, HER_OTHER, House, Sender

POOL = some_bytes(2 * MIB, seed=7)
SIZE = st.sampled_from([0, 1, 1000, 65_536, 131_072, 200_001])
SHARE = st.floats(0, 1)
STEP = st.one_of(
    st.tuples(st.just("create"), SIZE, SHARE),  # above a half: of a length that is announced
    st.tuples(st.just("append"), SIZE, SHARE),
    st.tuples(st.just("append elsewhere"), SIZE, SHARE),
    st.tuples(st.just("fail"), SIZE, SHARE),  # an append, at its write or its sync
    st.tuples(st.just("cut off"), SIZE, SHARE),  # an append, by the next request
    st.tuples(st.just("truncate"), st.just(0), SHARE),
    st.tuples(st.just("restart"), SIZE, SHARE),  # with bytes in the file that nobody was told of
    st.tuples(st.just("rest"), st.just(0), SHARE),
    st.tuples(st.just("complete"), st.just(0), SHARE),
    st.tuples(st.just("terminate"), st.just(0), SHARE),
    st.tuples(st.just("expire"), st.just(0), SHARE),
)


@dataclass
class Expected:
    """What an upload must be."""

    upload: Upload
    data: bytearray = field(default_factory=bytearray)
    is_done: bool = False


class Story:
    def __init__(self, house: House, spy: DiskSpy) -> None:
        self.house = house
        self.spy = spy
        self.model: list[Expected] = []
        self.start = 0

    async def step(self, kind: str, size: int, share: float) -> None:
        if kind == "create":
            announced = size + 1000 if share > 0.5 else None
            self.model.append(Expected(await self.house.create(announced)))
        elif kind == "restart":
            await self.restart(size)
        elif kind == "rest":
            await self.house.uploads.close()
        elif self.model:
            await getattr(self, kind.replace(" ", "_"))(self.model[int(share * (len(self.model) - 1))], size, share)
        await self.check()

    def some(self, size: int, expected: Expected) -> bytes:
        """New bytes, no more than may come."""
        self.start = (self.start + 7919) % MIB
        room = size if expected.upload.size is None else expected.upload.size - len(expected.data)
        return POOL[self.start : self.start + min(size, room)]

    async def append(self, expected: Expected, size: int, share: float) -> None:
        data = self.some(size, expected)
        if expected.is_done:
            with pytest.raises(OffsetConflict):
                await self.house.append(expected.upload, data)
            return
        who = ALICE if share < 0.7 else HER_OTHER
        grown = await self.house.append(expected.upload, data, at=len(expected.data), who=who)
        expected.data += data
        assert grown.offset == len(expected.data)

    async def append_elsewhere(self, expected: Expected, size: int, share: float) -> None:
        with pytest.raises(OffsetConflict) as raised:
            await self.house.append(expected.upload, b"x", at=len(expected.data) + 1 + size)
        assert raised.value.offset == len(expected.data)
        if expected.upload.size is not None and not expected.is_done:
            with pytest.raises(TooLarge):
                await self.house.append(expected.upload, bytes(expected.upload.size + 1), at=len(expected.data))

    async def fail(self, expected: Expected, size: int, share: float) -> None:
        data = self.some(max(size, 1), expected)
        if not data or expected.is_done:
            return
        self.spy.fail("pwrite" if share > 0.5 else "fdatasync", "incoming/*")
        with pytest.raises(StorageFailed):
            await self.house.append(expected.upload, data)

    async def cut_off(self, expected: Expected, size: int, share: float) -> None:
        if expected.is_done:
            return
        data = self.some(size, expected)
        sender = await Sender(self.house, expected.upload, len(expected.data)).began()
        await sender.send(data)
        expected.data += data
        await self.check()
        with pytest.raises(UploadBusy):
            await sender.task

    async def truncate(self, expected: Expected, size: int, share: float) -> None:
        cut = int(len(expected.data) * share)
        if expected.is_done:
            with pytest.raises(OffsetConflict):
                await self.house.uploads.truncate(ALICE, expected.upload.uuid, cut)
            return
        await self.house.uploads.truncate(ALICE, expected.upload.uuid, cut)
        del expected.data[cut:]

    async def restart(self, size: int) -> None:
        for expected in self.model:
            if expected.data and not expected.is_done:
                with self.house.stage_of(expected.upload).open("ab") as file:
                    file.write(bytes(size))
        await self.house.restart()

    async def complete(self, expected: Expected, size: int, share: float) -> None:
        missing = expected.upload.size is not None and len(expected.data) != expected.upload.size
        if missing and not expected.is_done:
            with pytest.raises(Conflict):
                await self.house.complete(expected.upload)
            return
        done = await self.house.complete(expected.upload)
        assert await self.house.became(done) == expected.data
        expected.is_done = True

    async def terminate(self, expected: Expected, size: int, share: float) -> None:
        await self.house.uploads.terminate(ALICE, expected.upload.uuid)
        self.model.remove(expected)
        with pytest.raises(UploadNotFound):
            await self.house.told(expected.upload)

    async def expire(self, expected: Expected, size: int, share: float) -> None:
        """The clock moves by days; each upload that is asked for meanwhile lives on or not as its own time says."""
        self.house.clock.move(days=4)
        rows = [await self.house.recorded(expected.upload) for expected in self.model]
        kept = [row is not None and row.expires_at > self.house.clock() for row in rows]
        assert await self.house.uploads.expire() == kept.count(False)
        self.model = [expected for expected, is_kept in zip(self.model, kept, strict=True) if is_kept]

    async def check(self) -> None:
        """Everybody is told the right offset, and only what is needed lies on the disk."""
        for expected in self.model:
            assert await self.house.told(expected.upload) == len(expected.data)
            row = await self.house.recorded(expected.upload)
            assert row is not None
            assert (row.offset, row.blob is not None) == (len(expected.data), expected.is_done)
        open_ones = {str(expected.upload.uuid) for expected in self.model if not expected.is_done}
        assert set(self.house.staged()) <= open_ones


@given(steps=st.lists(STEP, min_size=3, max_size=14))
@settings(
    max_examples=50,
    deadline=None,
    # Each example tells its own story in the same house; its uploads are ended with it.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_any_story_of_uploads_ends_as_it_should(
    house: House, spy: DiskSpy, steps: list[tuple[str, int, float]]
) -> None:
    story = Story(house, spy)
    try:
        for step in steps:
            await story.step(*step)
        for expected in story.model:
            await story.complete(expected, 0, 0.0)
    finally:
        house.clock.move(days=8)
        await house.uploads.expire()


async def test_a_wrong_digest_is_found_however_the_bytes_came(house: House) -> None:
    upload = await house.create(200_000, digest=digest_of(POOL[:200_000]))
    await house.append(upload, POOL[:100_000])
    await house.restart()
    await house.append(upload, POOL[100_001:200_001])

    with pytest.raises(UploadMismatch):
        await house.complete(upload)
