"""Uploads in parts: any order, several at once, sent again, across restarts; nothing is told that is not durable."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from casd.auth import Principal
from casd.catalogue.sqlite import SqliteCatalogue
from casd.errors import (
    CasdError,
    Conflict,
    Forbidden,
    PartMismatch,
    SizeMismatch,
    StorageFailed,
    StorageFull,
    TooLarge,
    UploadBusy,
    UploadNotFound,
)
from casd.locks import DigestLocks
from casd.model import Blob, ByteRange, Role, Upload
from casd.payloads.local import LocalPayloads
from casd.store import BlobStore
from casd.uploads import NewUpload, Uploads, parts, turns
from casd.uuids import new_uuid
from tests.contracts.oracle import some_bytes
from tests.fakes import NOW, Clock

KIB = 1 << 10
SIZE = 300 * KIB  # of a part
ALICE = Principal(UUID(int=7 << 100), "alice's", Role.WRITER, ("alice",))
ALICE_TOO = Principal(UUID(int=8 << 100), "her laptop's", Role.WRITER, ("alice",))
READER = Principal(UUID(int=9 << 100), "a reader's", Role.READER, ("alice",))
BOB = Principal(UUID(int=10 << 100), "bob's", Role.WRITER, ("bob",))


@dataclass
class House:
    root: Path
    clock: Clock
    stack: AsyncExitStack
    payloads: LocalPayloads
    catalogue: SqliteCatalogue
    store: BlobStore
    uploads: Uploads

    @classmethod
    async def open(cls, root: Path, clock: Clock) -> "House":
        """What a daemon does at its start."""
        stack = AsyncExitStack()
        payloads = await LocalPayloads.create(root, 0)
        stack.push_async_callback(payloads.close)
        catalogue = await SqliteCatalogue.open(root / "catalogue.sqlite3", new_uuid, payloads_exist=False)
        stack.push_async_callback(catalogue.close)
        store = BlobStore(
            payloads,
            catalogue,
            DigestLocks(),
            now=clock,
            new_uuid=new_uuid,
            grace=timedelta(hours=1),
            share_by_uuid=True,
        )
        stack.push_async_callback(store.close)
        for name in ("alice", "bob"):
            await catalogue.ensure_namespace(name, NOW)
        uploads = Uploads(store, lifetime=timedelta(days=7), limit_per_token=9)
        await uploads.start()
        stack.push_async_callback(uploads.close)
        return cls(root, clock, stack, payloads, catalogue, store, uploads)

    async def again(self) -> "House":
        """The next daemon on the same folder."""
        await self.stack.aclose()
        return await House.open(self.root, self.clock)

    async def begin(self, name: str = "one/object") -> Upload:
        return await self.uploads.create(ALICE, NewUpload("alice", name=name, is_in_parts=True, keep_versions=1))

    async def send(
        self,
        upload: Upload,
        number: int,
        data: bytes,
        *,
        start: int | None = None,
        total: int | None = None,
        who: Principal = ALICE,
        size: int | None = None,
    ) -> str:
        """One part, in pieces as they would arrive; its ETag."""
        at = (number - 1) * SIZE if start is None else start
        place = ByteRange(at, at + (len(data) if size is None else size))
        async with parts.receiving(self.uploads, who, upload.uuid, number, place, total) as receiving:
            for offset in range(0, len(data), 70_001):
                await receiving.append(data[offset : offset + 70_001])
        return receiving.etag

    async def complete(self, upload: Upload, etags: dict[int, str], who: Principal = ALICE) -> bytes:
        done = await parts.complete(self.uploads, who, upload.uuid, etags)
        assert done.blob is not None
        return await self.read(await self.store.readable_blob(who, done.blob))

    async def read(self, blob: Blob) -> bytes:
        payload = await self.store.open_payload(blob)
        try:
            return await payload.read(0, payload.size)
        finally:
            payload.close()

    def staged(self) -> list[str]:
        return os.listdir(self.root / "incoming")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    tmp_path.joinpath("data").mkdir()
    house = await House.open(tmp_path / "data", Clock())
    yield house
    await house.stack.aclose()


DATA = some_bytes(3 * SIZE + 1234, seed=5)
PIECES = {number: DATA[(number - 1) * SIZE : number * SIZE] for number in (1, 2, 3, 4)}


async def send_all(house: House, upload: Upload, order: tuple[int, ...] = (1, 2, 3, 4)) -> dict[int, str]:
    return {number: await house.send(upload, number, PIECES[number]) for number in order}


async def failure(call: Awaitable[object]) -> CasdError:
    with pytest.raises(CasdError) as caught:
        await call
    return caught.value


# -- as they come -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(1, 2, 3, 4), (4, 3, 2, 1), (2, 4, 1, 3)])
async def test_parts_become_one_payload_in_whatever_order_they_come(house: House, order: tuple[int, ...]) -> None:
    upload = await house.begin()

    etags = await send_all(house, upload, order)

    assert await house.complete(upload, etags) == DATA
    assert house.staged() == []
    assert house.payloads.reserved_bytes == 0
    version, _ = await house.store.readable_version(ALICE, "alice", "one/object")
    assert version.number == 1


async def test_parts_can_come_at_once(house: House) -> None:
    upload = await house.begin()

    found = await asyncio.gather(*(house.send(upload, number, PIECES[number]) for number in (3, 1, 4, 2)))

    assert await house.complete(upload, dict(zip((3, 1, 4, 2), found, strict=True))) == DATA


async def test_what_was_sent_survives_a_restart_and_more_can_follow(house: House) -> None:
    upload = await house.begin()
    etags = await send_all(house, upload, (3, 1))

    house = await house.again()
    etags |= await send_all(house, upload, (4,))
    house = await house.again()
    etags |= await send_all(house, upload, (2,))

    assert await house.complete(upload, etags) == DATA
    await house.stack.aclose()


async def test_a_part_that_is_sent_again_takes_the_place_of_the_one_before(house: House) -> None:
    upload = await house.begin()
    first = await house.send(upload, 2, bytes(SIZE))
    etags = await send_all(house, upload)

    assert first != etags[2]
    assert isinstance(await failure(house.complete(upload, etags | {2: first})), PartMismatch)
    assert await house.complete(upload, etags) == DATA


async def test_a_last_part_that_is_sent_again_shorter_leaves_nothing_of_the_longer_one(house: House) -> None:
    upload = await house.begin()
    await house.send(upload, 1, PIECES[1])
    await house.send(upload, 2, PIECES[2], total=2 * SIZE)

    etag = await house.send(upload, 2, b"short", total=SIZE + 5)

    found = await house.complete(upload, {1: (await house.catalogue.upload_parts(upload.uuid))[0].etag, 2: etag})
    assert found == PIECES[1] + b"short"


async def test_equal_parts_have_equal_etags(house: House) -> None:
    upload = await house.begin()

    assert await house.send(upload, 1, PIECES[1]) == await house.send(upload, 1, PIECES[1])


async def test_an_upload_without_parts_is_empty(house: House) -> None:
    upload = await house.begin()

    assert await house.complete(upload, {}) == b""


async def test_a_name_that_an_upload_makes_keeps_one_version(house: House) -> None:
    for data in (b"old", b"new"):
        upload = await house.begin("n")
        await house.complete(upload, {1: await house.send(upload, 1, data)})

    page = await house.catalogue.versions("alice", "n", 9, None, NOW)
    assert [version.number for version in page.items] == [2]


# -- what is cut off ----------------------------------------------------------------------------------------------


async def test_a_part_that_is_cut_off_was_never_there(house: House) -> None:
    upload = await house.begin()
    etags = await send_all(house, upload, (1, 2))

    async def hang_up() -> None:
        async with parts.receiving(house.uploads, ALICE, upload.uuid, 3, ByteRange(2 * SIZE, 3 * SIZE)) as receiving:
            await receiving.append(PIECES[3][:1000])
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await hang_up()

    assert house.payloads.reserved_bytes == 0
    assert [part.number for part in await house.catalogue.upload_parts(upload.uuid)] == [1, 2]
    assert await house.complete(upload, etags) == PIECES[1] + PIECES[2]


async def test_a_part_that_is_cut_off_while_it_replaces_another_leaves_none(house: House) -> None:
    """Half of its bytes are the new ones: the old ETag would promise what is not there."""
    upload = await house.begin()
    etags = await send_all(house, upload)

    with pytest.raises(SizeMismatch):
        await house.send(upload, 2, b"half", size=SIZE)

    assert "part 2 has not arrived" in str(await failure(house.complete(upload, etags)))
    assert await house.complete(upload, etags | await send_all(house, upload, (2,))) == DATA


async def test_a_newer_request_for_a_part_cuts_the_older_one_off(house: House) -> None:
    upload, begun = await house.begin(), asyncio.Event()

    async def stalled() -> None:
        place = ByteRange(0, SIZE)
        async with parts.receiving(house.uploads, ALICE, upload.uuid, 1, place) as receiving:
            await receiving.append(b"x" * 1000)
            begun.set()
            await asyncio.Event().wait()

    older = asyncio.create_task(stalled())
    await begun.wait()
    etag = await house.send(upload, 1, PIECES[1])

    assert isinstance(await failure(older), UploadBusy)
    assert await house.complete(upload, {1: etag}) == PIECES[1]
    assert house.payloads.reserved_bytes == 0


async def test_another_token_takes_no_part_over_while_it_arrives(house: House) -> None:
    upload, begun, go_on = await house.begin(), asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        async with parts.receiving(house.uploads, ALICE, upload.uuid, 1, ByteRange(0, 4)) as receiving:
            await receiving.append(b"ab")
            begun.set()
            await go_on.wait()
            await receiving.append(b"cd")
        return receiving.etag

    older = asyncio.create_task(slow())
    await begun.wait()
    assert isinstance(await failure(house.send(upload, 1, b"wxyz", who=ALICE_TOO)), UploadBusy)
    other = await house.send(upload, 2, b"!", start=4, who=ALICE_TOO)  # another part is nobody's business
    go_on.set()

    assert await house.complete(upload, {1: await older, 2: other}) == b"abcd!"


async def test_completing_cuts_off_what_still_arrives(house: House) -> None:
    upload, begun = await house.begin(), asyncio.Event()
    etags = await send_all(house, upload, (1,))

    async def stalled() -> None:
        async with parts.receiving(house.uploads, ALICE, upload.uuid, 2, ByteRange(SIZE, 2 * SIZE)) as receiving:
            await receiving.append(b"x" * 1000)
            begun.set()
            await asyncio.Event().wait()

    older = asyncio.create_task(stalled())
    await begun.wait()

    assert await house.complete(upload, etags) == PIECES[1]
    assert isinstance(await failure(older), UploadBusy)


async def test_a_disk_that_fails_takes_the_parts_under_way_and_no_other(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await house.begin()
    etags = await send_all(house, upload, (1,))
    real, failing = os.pwrite, [True]

    def pwrite(file: int, data: bytes, offset: int) -> int:
        if failing and offset >= 2 * SIZE:
            failing.clear()
            raise OSError(5, "Input/output error")
        return real(file, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def beside() -> None:
        async with parts.receiving(house.uploads, ALICE, upload.uuid, 2, ByteRange(SIZE, 2 * SIZE)) as receiving:
            await receiving.append(PIECES[2][:1000])
            begun.set()
            await go_on.wait()
            await receiving.append(PIECES[2][1000:])

    other = asyncio.create_task(beside())
    await begun.wait()
    assert isinstance(await failure(house.send(upload, 3, PIECES[3])), StorageFailed)
    go_on.set()
    assert isinstance(await failure(other), StorageFailed)

    etags |= await send_all(house, upload, (2, 3, 4))
    assert await house.complete(upload, etags) == DATA
    assert house.payloads.reserved_bytes == 0


async def test_a_part_for_which_there_is_no_room_is_refused_and_harms_nobody(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await house.begin()
    etags = await send_all(house, upload, (1, 2))
    monkeypatch.setattr("casd.payloads.space.Space.free_bytes", lambda self: SIZE - 1)

    assert isinstance(await failure(house.send(upload, 3, PIECES[3])), StorageFull)
    assert isinstance(await failure(house.send(upload, 2, PIECES[2])), StorageFull)

    assert await house.complete(upload, etags) == PIECES[1] + PIECES[2]


async def test_room_is_kept_for_what_parts_have_announced(house: House) -> None:
    upload = await house.begin()

    async with parts.receiving(house.uploads, ALICE, upload.uuid, 1, ByteRange(0, SIZE)) as receiving:
        assert house.payloads.reserved_bytes == SIZE
        await receiving.append(PIECES[1][:1000])
        assert house.payloads.reserved_bytes == SIZE - 1000
        await receiving.append(PIECES[1][1000:])

    assert house.payloads.reserved_bytes == 0


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_what_was_told_is_there(tmp_path: Path, seed: int) -> None:
    """Parts sent, sent again, sent at once and cut off, with restarts between, against a dict."""
    chance = random.Random(seed)
    tmp_path.joinpath("data").mkdir()
    house = await House.open(tmp_path / "data", Clock())
    upload = await house.begin()
    told: dict[int, tuple[str, bytes]] = {}

    async def send(number: int) -> None:
        data = chance.randbytes(SIZE if number < 5 else 7)
        told.pop(number, None)
        told[number] = (await house.send(upload, number, data), data)

    async def cut(number: int) -> None:
        told.pop(number, None)
        with pytest.raises(SizeMismatch):
            await house.send(upload, number, chance.randbytes(chance.randrange(1, SIZE)), size=SIZE)

    for _ in range(14):
        match chance.choice(("send", "send", "at once", "cut", "restart", "rest")):
            case "send":
                await send(chance.randint(1, 5))
            case "at once":
                await asyncio.gather(*(send(number) for number in chance.sample(range(1, 6), 3)))
            case "cut":
                await cut(chance.randint(1, 4))
            case "restart":
                house = await house.again()
            case "rest":
                await house.uploads._sessions.close()
        recorded = await house.catalogue.upload_parts(upload.uuid)
        assert {part.number: part.etag for part in recorded} == {number: told[number][0] for number in told}
    for number in {1, 2, 3, 4, 5} - told.keys():
        await send(number)

    found = await house.complete(upload, {number: etag for number, (etag, _) in told.items()})

    assert found == b"".join(told[number][1] for number in (1, 2, 3, 4, 5))
    assert house.staged() == []
    assert house.payloads.reserved_bytes == 0
    await house.stack.aclose()


# -- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["missing", "unlisted", "other", "none"])
async def test_parts_are_those_that_were_listed(house: House, wrong: str) -> None:
    upload = await house.begin()
    etags = await send_all(house, upload)
    lists = {
        "missing": etags | {5: "x"},
        "unlisted": {number: etags[number] for number in (1, 2, 3)},
        "other": etags | {2: etags[3]},
        "none": {},
    }

    assert isinstance(await failure(house.complete(upload, lists[wrong])), PartMismatch)

    assert await house.complete(upload, etags) == DATA  # nothing was lost by it


async def test_a_gap_between_parts_is_refused(house: House) -> None:
    upload = await house.begin()
    etags = {1: await house.send(upload, 1, b"ab"), 2: await house.send(upload, 2, b"c", start=3)}

    assert isinstance(await failure(house.complete(upload, etags)), PartMismatch)


async def test_the_size_that_was_told_is_that_of_all_parts(house: House) -> None:
    upload = await house.begin()
    etags = {1: await house.send(upload, 1, b"abc", total=4)}

    assert isinstance(await failure(house.complete(upload, etags)), PartMismatch)
    house_two = await house.again()
    assert isinstance(await failure(house_two.complete(upload, etags)), PartMismatch)
    etags = {1: await house_two.send(upload, 1, b"abcd", total=4)}
    assert await house_two.complete(upload, etags) == b"abcd"
    await house_two.stack.aclose()


@pytest.mark.parametrize(("start", "size"), [(0, SIZE + 1), (SIZE - 1, 5), (10, 5)])
async def test_a_part_does_not_lie_over_another(house: House, start: int, size: int) -> None:
    upload = await house.begin()
    etags = await send_all(house, upload, (1,))

    assert isinstance(await failure(house.send(upload, 2, b"x" * size, start=start)), Conflict)

    assert await house.complete(upload, etags) == PIECES[1]


async def test_a_part_does_not_lie_over_another_that_is_on_its_way(house: House) -> None:
    upload = await house.begin()

    async with parts.receiving(house.uploads, ALICE, upload.uuid, 1, ByteRange(0, 5)) as receiving:
        assert isinstance(await failure(house.send(upload, 2, b"x", start=4)), Conflict)
        await receiving.append(b"abcde")


async def test_more_than_a_part_has_place_for_is_refused(house: House) -> None:
    upload = await house.begin()

    with pytest.raises(TooLarge):
        await house.send(upload, 1, b"abcd", size=3)

    assert await house.catalogue.upload_parts(upload.uuid) == []


async def test_a_finished_upload_takes_no_more_parts_and_can_be_completed_again(house: House) -> None:
    upload = await house.begin()
    etags = await send_all(house, upload)
    assert await house.complete(upload, etags) == DATA

    assert isinstance(await failure(house.send(upload, 5, b"x")), Conflict)
    assert await house.complete(upload, etags) == DATA
    page = await house.catalogue.versions("alice", "one/object", 9, None, NOW)
    assert len(page.items) == 1


async def test_only_writers_of_its_namespace_have_a_part_in_it(house: House) -> None:
    upload = await house.begin()

    assert isinstance(await failure(house.send(upload, 1, b"x", who=BOB)), UploadNotFound)
    assert isinstance(await failure(house.send(upload, 1, b"x", who=READER)), Forbidden)
    assert isinstance(await failure(house.complete(upload, {}, who=BOB)), UploadNotFound)
    assert isinstance(await failure(house.complete(upload, {}, who=READER)), Forbidden)


async def test_the_two_kinds_of_uploads_are_not_mixed_up(house: House) -> None:
    """One whose last part has arrived looks complete by its offset, whatever else is missing."""
    in_parts = await house.begin()
    plain = await house.uploads.create(ALICE, NewUpload("alice", size=4))
    await house.send(in_parts, 2, b"cd", start=2, total=4)

    for call in (
        house.uploads.upload(ALICE, in_parts.uuid),
        house.uploads.complete(ALICE, in_parts.uuid),
        house.uploads.truncate(ALICE, in_parts.uuid, 0),
        house.send(plain, 1, b"abcd"),
        house.complete(plain, {}),
    ):
        assert isinstance(await failure(call), UploadNotFound)
    await house.uploads.terminate(ALICE, plain.uuid)


# -- the end ------------------------------------------------------------------------------------------------------


async def test_an_upload_that_is_terminated_leaves_nothing(house: House) -> None:
    upload = await house.begin()
    await send_all(house, upload, (2,))

    await house.uploads.terminate(ALICE, upload.uuid)

    assert house.staged() == []
    assert await house.catalogue.upload_parts(upload.uuid) == []
    assert isinstance(await failure(house.send(upload, 1, b"x")), UploadNotFound)


async def test_each_part_moves_the_end_and_past_it_nothing_is_left(house: House) -> None:
    upload = await house.begin()
    house.clock.move(days=6)
    await send_all(house, upload, (1,))
    house.clock.move(days=6)

    assert await house.uploads.expire() == 0
    house.clock.move(days=1)

    assert isinstance(await failure(house.send(upload, 2, b"x")), UploadNotFound)
    assert await house.uploads.expire() == 1
    assert house.staged() == []


async def test_an_upload_does_not_expire_under_a_part_that_arrives(house: House) -> None:
    upload = await house.begin()

    async with parts.receiving(house.uploads, ALICE, upload.uuid, 1, ByteRange(0, 1)) as receiving:
        house.clock.move(days=8)
        assert await house.uploads.expire() == 0
        await receiving.append(b"x")

    assert await house.complete(upload, {1: receiving.etag}) == b"x"


async def test_a_stage_at_rest_is_let_go_and_had_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "REST_S", 0.0)
    upload = await house.begin()
    etags = await send_all(house, upload, (3, 1))
    await until(lambda: house.uploads._sessions.get(upload.uuid) is None)

    etags |= await send_all(house, upload, (2, 4))

    assert await house.complete(upload, etags) == DATA


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0)
