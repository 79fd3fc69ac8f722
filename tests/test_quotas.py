"""Quotas of namespaces in the store itself: what counts, what is claimed, and that nothing is ever counted twice."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from casd import changes
from casd.auth import Principal
from casd.catalogue.sqlite import SqliteCatalogue
from casd.errors import CasdError, QuotaExceeded, StorageFailed
from casd.held import copy_blob
from casd.locks import DigestLocks
from casd.model import Blob, ByteRange, Role
from casd.payloads.local import LocalPayloads
from casd.store import BlobStore, Description
from casd.uploads import NewUpload, Uploads
from casd.uploads.joining import join
from casd.uploads.parts import receiving
from casd.uploads.whole import appending_whole
from casd.uuids import new_uuid
from tests.fakes import Clock

GRACE = timedelta(hours=1)
ALICE = Principal(new_uuid(), "alice", Role.WRITER, ("alice", "bob"))


class House:
    def __init__(self, root: Path, payloads: LocalPayloads, catalogue: SqliteCatalogue) -> None:
        self.root = root
        self.clock = Clock()
        self.catalogue = catalogue
        self.store = BlobStore(
            payloads, catalogue, DigestLocks(), now=self.clock, new_uuid=new_uuid, grace=GRACE, share_by_uuid=True
        )
        self.uploads = Uploads(self.store, lifetime=timedelta(days=1), limit_per_token=1000)

    async def settings(self, namespace: str = "alice", **changes: int | None) -> None:
        await self.catalogue.update_namespace(namespace, changes, self.clock())

    async def add(self, data: bytes, announced: int | None = None, **about: Any) -> Blob:
        async with await self.store.stage("alice", announced) as staged:
            for at in range(0, len(data), 2):
                await staged.append(data[at : at + 2])
                await asyncio.sleep(0)
            return await self.store.add(ALICE, "alice", staged, Description(**about))

    async def publish(self, data: bytes, name: str = "n") -> Any:
        async with await self.store.stage("alice", len(data), name=name) as staged:
            await staged.append(data)
            return await self.store.publish(ALICE, "alice", name, staged, Description())

    async def upload(self, data: bytes, size: int | None, **more: Any) -> Any:
        upload = await self.uploads.create(ALICE, NewUpload("alice", size, **more))
        async with self.uploads.appending(ALICE, upload.uuid, 0) as appending:
            await appending.append(data)
        return upload

    def now_claimed(self, namespace: str = "alice") -> tuple[int, int]:
        return self.catalogue.claims.reserved(namespace)

    async def used(self, namespace: str = "alice") -> tuple[int, int]:
        use = await self.catalogue.use(namespace, self.clock())
        return use.used_bytes, use.used_blobs

    def staged(self) -> list[Path]:
        return list((self.root / "incoming").iterdir())


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    payloads = await LocalPayloads.create(tmp_path, 0)
    catalogue = await SqliteCatalogue.open(tmp_path / "catalogue.sqlite3", new_uuid, payloads_exist=False)
    house = House(tmp_path, payloads, catalogue)
    await house.settings("alice")
    await house.settings("bob")
    yield house
    await house.uploads.close()
    await house.store.close()
    found = await catalogue._listings.rows(
        """SELECT n.name, n.logical_bytes, n.blob_count,
             (SELECT count(*) FROM blob WHERE namespace_id = n.id),
             (SELECT coalesce(sum(p.size), 0) FROM blob b JOIN payload p ON p.id = b.payload_id
              WHERE b.namespace_id = n.id) FROM namespace n""",
        {},
    )
    uses = {name: catalogue.claims.use(name) for name, *_ in found}
    await catalogue.close()
    await payloads.close()
    for name, total_bytes, total_blobs, blobs, size in found:  # counted again from the rows
        assert (total_bytes, total_blobs) == (size, blobs)
        assert (uses[name].used_bytes, uses[name].used_blobs) == (size, blobs)
        assert catalogue.claims.reserved(name) == (0, 0)


async def outcome(work: Any) -> type[CasdError] | None:
    try:
        await work
    except CasdError as error:
        return type(error)
    return None


# -- what counts ----------------------------------------------------------------------------------------------------


async def test_each_blob_counts_fully_although_its_payload_is_shared(house: House) -> None:
    await house.add(b"abc")
    await house.add(b"abc")

    assert await house.used() == (6, 2)


async def test_a_name_bound_to_a_blob_of_its_namespace_costs_nothing(house: House) -> None:
    blob = await house.add(b"abc")
    await house.settings(quota_bytes=3, quota_blobs=1)

    await house.store.bind(ALICE, blob.uuid, "alice", "n")
    await house.store.bind(ALICE, blob.uuid, "alice", "m")

    assert await house.used() == (3, 1)


async def test_a_blob_of_another_namespace_counts_where_it_is_made(house: House) -> None:
    blob = await house.add(b"abc")
    await house.settings("bob", quota_bytes=5)

    await house.store.bind(ALICE, blob.uuid, "bob", "n")

    assert await outcome(house.store.bind(ALICE, blob.uuid, "bob", "m")) is QuotaExceeded
    assert await outcome(copy_blob(house.store, ALICE, blob.uuid, "bob")) is QuotaExceeded
    assert await house.used("bob") == (3, 1)


async def test_a_blob_whose_time_is_over_makes_room_at_once(house: House) -> None:
    await house.settings(quota_bytes=3)
    await house.add(b"abc", expires_at=house.clock() + timedelta(minutes=1))
    assert await outcome(house.add(b"d")) is QuotaExceeded

    house.clock.move(minutes=1)

    assert await house.used() == (0, 0)
    assert (await house.add(b"def")).size == 3


async def test_what_retention_removes_makes_room_for_what_takes_its_place(house: House) -> None:
    await house.settings(quota_bytes=3, quota_blobs=1, keep_versions=1)
    await house.publish(b"abc")

    assert (await house.publish(b"def")).number == 2
    assert await outcome(house.publish(b"defg")) is QuotaExceeded
    assert await outcome(house.publish(b"g", "another")) is QuotaExceeded
    assert await house.used() == (3, 1)


async def test_a_protected_name_makes_no_room(house: House) -> None:
    await house.settings(quota_bytes=3, keep_versions=1)
    await house.publish(b"abc")
    await changes.hide(house.store, ALICE, "alice", "n")
    await house.catalogue.update_name("alice", "n", {"protected": True})

    assert await outcome(house.publish(b"def")) is not None
    assert await house.used() == (3, 1)


async def test_what_is_gone_makes_room(house: House) -> None:
    await house.settings(quota_bytes=3)
    blob = await house.add(b"abc")

    await changes.delete(house.store, ALICE, blob.uuid)

    assert await outcome(house.add(b"def")) is None


async def test_a_quota_below_use_refuses_what_is_new_and_keeps_what_is_there(house: House) -> None:
    blob = await house.add(b"abc")
    await house.settings(quota_bytes=2)

    with pytest.raises(QuotaExceeded, match=r"may have 2 bytes: 3 are used, 0 reserved .* 1 more are wanted"):
        await house.add(b"d")
    assert await outcome(house.add(b"")) is None  # no byte more
    assert (await house.store.readable_blob(ALICE, blob.uuid)).size == 3
    await changes.delete(house.store, ALICE, blob.uuid)
    assert await outcome(house.add(b"de")) is None


async def test_blobs_are_counted_beside_their_bytes(house: House) -> None:
    await house.settings(quota_blobs=1)
    await house.add(b"")

    with pytest.raises(QuotaExceeded, match="1 blobs: 1 are used"):
        await house.add(b"")


# -- claims ---------------------------------------------------------------------------------------------------------


async def test_what_is_announced_is_claimed_until_it_is_there(house: House) -> None:
    await house.settings(quota_bytes=5)
    async with await house.store.stage("alice", 3) as staged:
        assert house.now_claimed() == (3, 1)
        assert await outcome(house.store.stage("alice", 3)) is QuotaExceeded

        await staged.append(b"abc")
        await house.store.add(ALICE, "alice", staged, Description())
        assert house.now_claimed() == (0, 0)  # before the stage is let go: it is used now

    assert await house.used() == (3, 1)


async def test_what_was_begun_and_given_up_claims_nothing(house: House) -> None:
    async with await house.store.stage("alice", 3):
        pass

    assert house.now_claimed() == (0, 0)


async def test_an_unannounced_stream_is_cut_off_where_it_does_not_fit(house: House) -> None:
    await house.settings(quota_bytes=5)

    assert await outcome(house.add(b"abcdef")) is QuotaExceeded

    assert (house.now_claimed(), house.staged(), await house.used()) == ((0, 0), [], (0, 0))


async def test_an_upload_claims_what_it_announces_until_it_is_let_go(house: House) -> None:
    await house.settings(quota_bytes=5)
    upload = await house.uploads.create(ALICE, NewUpload("alice", 4))

    assert house.now_claimed() == (4, 1)
    assert await outcome(house.uploads.create(ALICE, NewUpload("alice", 2))) is QuotaExceeded
    await house.uploads.terminate(ALICE, upload.uuid)
    assert house.now_claimed() == (0, 0)


async def test_an_idle_upload_claims_again_when_it_goes_on(house: House) -> None:
    await house.settings(quota_bytes=5)
    upload = await house.upload(b"ab", 4)
    await house.uploads._sessions.let_rest_go()  # as after two minutes
    assert house.now_claimed() == (0, 0)
    blob = await house.add(b"abc")

    async def go_on() -> None:
        async with house.uploads.appending(ALICE, upload.uuid, 2) as appending:
            await appending.append(b"cd")
        await house.uploads.complete(ALICE, upload.uuid)

    assert await outcome(go_on()) is QuotaExceeded
    await changes.delete(house.store, ALICE, blob.uuid)
    assert await outcome(go_on()) is None
    assert await house.used() == (4, 1)


async def test_a_piece_that_does_not_fit_leaves_an_upload_as_it_was(house: House) -> None:
    await house.settings(quota_bytes=3)
    upload = await house.upload(b"ab", None)

    async def piece(data: bytes, *, announced: bool) -> None:
        async with appending_whole(house.uploads, ALICE, upload.uuid, 100) as appending:
            await appending.expect(len(data) if announced else None)
            await appending.append(data)

    assert await outcome(piece(b"cd", announced=True)) is QuotaExceeded
    assert await outcome(piece(b"cd", announced=False)) is QuotaExceeded
    assert (await house.uploads.upload(ALICE, upload.uuid)).offset == 2
    assert await outcome(piece(b"c", announced=True)) is None


async def test_parts_claim_their_places_once(house: House) -> None:
    await house.settings(quota_bytes=4)
    upload = await house.uploads.create(ALICE, NewUpload("alice", is_in_parts=True))

    async def part(number: int, start: int, data: bytes) -> None:
        place = ByteRange(start, start + len(data))
        async with receiving(house.uploads, ALICE, upload.uuid, number, place) as taking:
            await taking.append(data)

    for _ in range(2):  # sent again it takes the place that it had
        assert await outcome(part(1, 0, b"ab")) is None
    assert await outcome(part(2, 2, b"cde")) is QuotaExceeded
    assert await outcome(part(2, 2, b"cd")) is None
    assert house.now_claimed() == (4, 1)
    await house.uploads.terminate(ALICE, upload.uuid)


async def test_pieces_count_once_when_they_are_joined(house: House) -> None:
    await house.settings(quota_bytes=4, quota_blobs=2)
    pieces = [await house.upload(data, 2, is_partial=True) for data in (b"ab", b"cd")]
    assert house.now_claimed() == (4, 2)

    joined = await join(house.uploads, ALICE, NewUpload("alice", joins=tuple(piece.uuid for piece in pieces)))

    assert joined.blob is not None
    assert (await house.used(), house.now_claimed()) == ((4, 1), (0, 0))


async def test_a_stage_whose_disk_fails_claims_nothing_any_more(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(data: bytes) -> None:
        raise StorageFailed("the disk is broken")

    staged = await house.store.stage("alice", 3)
    monkeypatch.setattr(staged._staged, "append", fail)

    assert await outcome(staged.append(b"abc")) is StorageFailed
    assert house.now_claimed() == (0, 0)
    await staged.discard()


# -- races ----------------------------------------------------------------------------------------------------------

WRITERS, FIT, SIZE = 64, 10, 6


@pytest.mark.parametrize("is_announced", [True, False])
@pytest.mark.parametrize("quota", [{"quota_bytes": FIT * SIZE + SIZE - 1}, {"quota_blobs": FIT}])
async def test_of_64_writers_at_once_as_many_succeed_as_fit(
    house: House, is_announced: bool, quota: dict[str, int]
) -> None:
    await house.settings(**quota)
    data = [f"{number:06}".encode() for number in range(WRITERS)]

    found = await asyncio.gather(*(outcome(house.add(each, SIZE if is_announced else None)) for each in data))

    assert sorted(map(str, found)).count("None") == FIT
    assert {kind for kind in found if kind} == {QuotaExceeded}
    assert (await house.used(), house.now_claimed(), house.staged()) == ((FIT * SIZE, FIT), (0, 0), [])


async def test_of_64_uploads_at_once_as_many_succeed_as_fit(house: House) -> None:
    await house.settings(quota_bytes=FIT * SIZE)

    async def whole(number: int) -> None:
        upload = await house.uploads.create(ALICE, NewUpload("alice", SIZE))
        async with house.uploads.appending(ALICE, upload.uuid, 0) as appending:
            await appending.append(f"{number:06}".encode())
        await house.uploads.complete(ALICE, upload.uuid)

    found = await asyncio.gather(*(outcome(whole(number)) for number in range(WRITERS)))

    assert (found.count(None), await house.used()) == (FIT, (FIT * SIZE, FIT))


async def test_of_64_copies_at_once_as_many_succeed_as_fit(house: House) -> None:
    blob = await house.add(b"abcdef")
    await house.settings("bob", quota_blobs=FIT)

    copies = [copy_blob(house.store, ALICE, blob.uuid, "bob") for _ in range(WRITERS // 2)]
    binds = [house.store.bind(ALICE, blob.uuid, "bob", f"n{number}") for number in range(WRITERS // 2)]
    found = await asyncio.gather(*map(outcome, [*copies, *binds]))

    assert (found.count(None), await house.used("bob")) == (FIT, (FIT * SIZE, FIT))


async def test_while_some_store_and_others_delete_the_quota_is_never_passed(house: House) -> None:
    await house.settings(quota_bytes=FIT * SIZE)
    most = 0

    async def come_and_go(number: int) -> None:
        nonlocal most
        for _ in range(3):
            blob = await house.add(f"{number:06}".encode(), SIZE)
            most = max(most, (await house.used())[0])
            await changes.delete(house.store, ALICE, blob.uuid)

    await asyncio.gather(*(outcome(come_and_go(number)) for number in range(WRITERS)))

    assert 0 < most <= FIT * SIZE
    assert await house.used() == (0, 0)
