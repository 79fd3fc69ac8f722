"""The operations that touch both payloads and catalogue, and who may do them."""

import asyncio
import base64
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from casd import changes
from casd.auth import Principal, new_secret, principal_of, secret_hash
from casd.catalogue.sqlite import SqliteCatalogue
from casd.errors import (
    BlobNotFound,
    CasdError,
    Conflict,
    DigestMismatch,
    Forbidden,
    NameNotFound,
    NamespaceNotFound,
    PayloadDamaged,
    PayloadMissing,
    PreconditionFailed,
    SizeMismatch,
    StorageFailed,
    StorageFull,
    TooLarge,
    Unauthenticated,
    VersionNotFound,
)
from casd.locks import DigestLocks
from casd.model import Blob, BlobState, Digest, Expected, Guard, Role, Token
from casd.payloads.local import LocalPayloads
from casd.store import BlobStore, Description
from tests.contracts.oracle import digest_of, receipt_of, some_bytes
from tests.contracts.payload_store import open_descriptors, turns
from tests.fakes import NOW, Clock, MemoryDisk, MemoryPayloads, counting_uuids
from tests.payloads.local_backend import emptied, path_of

NAME = "images/one"


def principal(*namespaces: str, role: Role = Role.WRITER) -> Principal:
    return Principal(UUID(int=7), f"token of {namespaces[0]}", role, namespaces)


ALICE, BOB, CAROL = principal("alice"), principal("bob"), principal("carol", "spare")
ALICE_READS = principal("alice", role=Role.READER)
ADMIN = principal("default", role=Role.ADMIN)


@dataclass
class House:
    """A store with all that belongs to it."""

    root: Path
    payloads: LocalPayloads
    catalogue: SqliteCatalogue
    locks: DigestLocks
    clock: Clock
    store: BlobStore

    async def add(self, data: bytes = b"abc", who: Principal = ALICE, namespace: str = "alice", **about: Any) -> Blob:
        async with await self.store.stage(namespace, len(data)) as staged:
            await staged.append(data)
            return await self.store.add(who, namespace, staged, Description(**about))

    async def publish(self, name: str = NAME, data: bytes = b"abc", who: Principal = ALICE, **more: Any) -> Any:
        async with await self.store.stage("alice") as staged:
            await staged.append(data)
            return await self.store.publish(who, "alice", name, staged, Description(), **more)

    async def read(self, blob: Blob) -> bytes:
        payload = await self.store.open_payload(blob)
        try:
            return await payload.read(0, payload.size)
        finally:
            payload.close()

    def staged(self) -> list[str]:
        return os.listdir(self.root / "incoming")

    def files(self) -> list[str]:
        return [path.name for path in (self.root / "payloads").rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def module_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store") / "data"


@pytest.fixture
def root(module_root: Path) -> Iterator[Path]:
    with emptied(module_root) as root:
        yield root


@pytest.fixture
async def house(root: Path, tmp_path: Path) -> AsyncIterator[House]:
    clock, locks = Clock(), DigestLocks()
    payloads = await LocalPayloads.create(root, reserve_bytes=0)
    new_uuid = counting_uuids()
    catalogue = await SqliteCatalogue.open(tmp_path / "catalogue.sqlite3", new_uuid, payloads_exist=False)
    store = BlobStore(
        payloads, catalogue, locks, now=clock, new_uuid=new_uuid, grace=timedelta(hours=1), share_by_uuid=True
    )
    names = ("alice", "bob", "carol", "default")
    await asyncio.gather(*(catalogue.ensure_namespace(name, NOW) for name in names))
    yield House(root, payloads, catalogue, locks, clock, store)
    await store.close()
    await catalogue.close()
    await payloads.close()
    assert os.listdir(root / "incoming") == [], "a stage was left behind"
    assert len(locks) == 0, "a digest's lock was left behind"


async def outcome(call: Awaitable[Any]) -> type[CasdError] | None:
    """The class of the error, None if there was none."""
    try:
        await call
    except CasdError as error:
        return type(error)
    return None


# -- who may read -------------------------------------------------------------------------------------------------

OPEN_TO_BOB = {"readers": ["bob"]}
OPEN_TO_ALL = {"readers": ["*"]}
ANONYMOUS = {"anonymous_read": True}
CLOSED = {"share_by_uuid": False}
EVERYTHING, NOTHING, BYTES = "uuid name digest namespace", "", "uuid name digest"


@pytest.mark.parametrize(
    ("who", "rules", "open_ways"),
    [
        (ALICE, {}, EVERYTHING),
        (ALICE_READS, {}, EVERYTHING),
        (ADMIN, {}, EVERYTHING),
        (BOB, {}, "uuid"),
        (None, {}, NOTHING),
        (ALICE, CLOSED, EVERYTHING),
        (ADMIN, CLOSED, EVERYTHING),
        (BOB, CLOSED, NOTHING),
        (None, CLOSED, NOTHING),
        (BOB, OPEN_TO_BOB | CLOSED, EVERYTHING),
        (principal("spare", "bob"), OPEN_TO_BOB | CLOSED, EVERYTHING),
        (CAROL, OPEN_TO_BOB, "uuid"),
        (CAROL, OPEN_TO_BOB | CLOSED, NOTHING),
        (None, OPEN_TO_BOB, NOTHING),
        (CAROL, OPEN_TO_ALL | CLOSED, EVERYTHING),
        (None, OPEN_TO_ALL, NOTHING),
        (None, ANONYMOUS | CLOSED, BYTES),
        (BOB, ANONYMOUS | CLOSED, BYTES),
    ],
)
async def test_who_may_read_what(house: House, who: Principal | None, rules: dict[str, Any], open_ways: str) -> None:
    blob = (await house.publish()).blob
    await house.catalogue.update_namespace("alice", rules, NOW)
    store = house.store

    outcomes = {
        "uuid": await outcome(store.readable_blob(who, blob.uuid)),
        "name": await outcome(store.readable_version(who, "alice", NAME)),
        "digest": await outcome(store.readable_payload(who, blob.digest)),
        "namespace": await outcome(store.readable_namespace(who, "alice")) if who else NamespaceNotFound,
    }

    assert {way for way, error in outcomes.items() if error is None} == set(open_ways.split())


@pytest.mark.parametrize(
    ("daemons", "namespaces", "is_shared"),
    [(True, None, True), (True, False, False), (False, None, False), (False, True, True)],
)
async def test_a_namespace_overrules_the_daemon_on_sharing_by_uuid(
    house: House, daemons: bool, namespaces: bool | None, is_shared: bool
) -> None:
    blob = await house.add()
    await house.catalogue.update_namespace("alice", {"share_by_uuid": namespaces}, NOW)
    store = BlobStore(
        house.payloads,
        house.catalogue,
        house.locks,
        now=house.clock,
        new_uuid=counting_uuids(),
        grace=timedelta(0),
        share_by_uuid=daemons,
    )

    assert (await outcome(store.readable_blob(BOB, blob.uuid)) is None) is is_shared
    assert await outcome(store.readable_blob(None, blob.uuid)) is BlobNotFound


@pytest.mark.parametrize(
    ("who", "write"),
    [(ALICE, None), (ADMIN, None), (ALICE_READS, Forbidden), (BOB, BlobNotFound)],
    ids=["member", "admin", "reader", "foreign"],
)
async def test_who_may_write(house: House, who: Principal, write: type[CasdError] | None) -> None:
    blob = await house.add()
    await house.catalogue.update_namespace("alice", OPEN_TO_ALL, NOW)
    store, absent = house.store, NamespaceNotFound if write is BlobNotFound else write

    assert await outcome(store.writable_blob(who, blob.uuid)) is write
    assert await outcome(changes.set_metadata(store, who, blob.uuid, "k", 1)) is write
    assert await outcome(house.publish(who=who)) is absent
    assert await outcome(house.add(who=who)) is absent
    assert await outcome(store.bind(who, blob.uuid, "alice", "bound")) is absent
    await house.publish("there")
    assert await outcome(changes.hide(store, who, "alice", "there")) is absent
    assert await outcome(changes.undelete(store, who, "alice", "there")) is (absent or None)
    assert await outcome(changes.remove_version(store, who, "alice", "there", 1)) is absent
    await house.publish("there")
    assert await outcome(changes.purge(store, who, "alice", "there")) is absent
    assert await outcome(changes.delete_metadata(store, who, blob.uuid, "k")) is write
    assert await outcome(changes.delete(store, who, blob.uuid)) is (write if write else None)


async def test_binding_wants_membership_of_the_blobs_namespace_and_not_only_the_right_to_read(house: House) -> None:
    blob = await house.add()
    await house.catalogue.update_namespace("alice", OPEN_TO_BOB, NOW)

    assert await outcome(house.store.readable_blob(BOB, blob.uuid)) is None
    assert await outcome(house.store.bind(BOB, blob.uuid, "bob", "taken")) is BlobNotFound
    assert await outcome(house.store.bind(principal("bob", "alice"), blob.uuid, "bob", "given")) is None


async def test_what_is_absent_and_what_is_not_ones_own_answer_alike(house: House) -> None:
    """Class and message, but for the id that was asked for."""
    await house.catalogue.update_namespace("alice", CLOSED, NOW)
    blob = (await house.publish()).blob
    own = await house.add(b"of bob", BOB, "bob")
    store, absent_uuid, absent_digest = house.store, UUID(int=1 << 99), digest_of(b"absent")
    no_ns, no_uuid, no_digest = "nobody", absent_uuid, absent_digest
    calls: list[Callable[[str, UUID, Digest], Awaitable[Any]]] = [
        lambda ns, uuid, digest: store.readable_blob(BOB, uuid),
        lambda ns, uuid, digest: store.readable_blob(None, uuid),
        lambda ns, uuid, digest: store.members_blob(BOB, uuid),
        lambda ns, uuid, digest: store.writable_blob(BOB, uuid),
        lambda ns, uuid, digest: changes.delete(store, BOB, uuid),
        lambda ns, uuid, digest: changes.set_metadata(store, BOB, uuid, "k", 1),
        lambda ns, uuid, digest: store.bind(BOB, uuid, "bob", "x"),
        lambda ns, uuid, digest: store.readable_payload(BOB, digest),
        lambda ns, uuid, digest: store.readable_payload(None, digest),
        lambda ns, uuid, digest: store.readable_namespace(BOB, ns),
        lambda ns, uuid, digest: store.writable_namespace(BOB, ns),
        lambda ns, uuid, digest: store.readable_version(BOB, ns, NAME),
        lambda ns, uuid, digest: store.readable_version(BOB, ns, NAME, number=1),
        lambda ns, uuid, digest: store.readable_version(BOB, ns, NAME, as_of=NOW),
        lambda ns, uuid, digest: changes.hide(store, BOB, ns, NAME),
        lambda ns, uuid, digest: changes.purge(store, BOB, ns, NAME),
        lambda ns, uuid, digest: changes.remove_version(store, BOB, ns, NAME, 1),
        lambda ns, uuid, digest: changes.undelete(store, BOB, ns, NAME),
        lambda ns, uuid, digest: store.bind(BOB, own.uuid, ns, NAME),
    ]

    for number, call in enumerate(calls):
        said = []
        for ns, uuid, digest in (("alice", blob.uuid, blob.digest), (no_ns, no_uuid, no_digest)):
            with pytest.raises(CasdError) as caught:
                await call(ns, uuid, digest)
            text = str(caught.value)
            for own_id in (str(uuid), digest.hex, ns):
                text = text.replace(own_id, "ID")
            said.append((type(caught.value), caught.value.code, text))
        assert said[0] == said[1], number


async def test_a_version_that_is_absent_or_a_marker_is_not_found(house: House) -> None:
    await house.publish()
    marker = await changes.hide(house.store, ALICE, "alice", NAME)
    read = house.store.readable_version

    assert await outcome(read(ALICE, "alice", NAME)) is NameNotFound
    assert await outcome(read(ALICE, "alice", NAME, number=2)) is VersionNotFound
    assert await outcome(read(ALICE, "alice", NAME, number=3)) is VersionNotFound
    assert await outcome(read(ALICE, "alice", NAME, as_of=marker.created_at)) is NameNotFound
    assert await outcome(read(ALICE, "alice", NAME, as_of=NOW - timedelta(days=1))) is NameNotFound
    assert await outcome(read(ALICE, "alice", NAME, number=1)) is None
    assert await outcome(read(ALICE, "alice", NAME, as_of=NOW)) is None


async def test_a_version_shows_its_blob_as_it_is_now_whether_upkeep_ran_or_not(house: House) -> None:
    blob = await house.add(expires_at=NOW + timedelta(seconds=60))
    await house.store.bind(ALICE, blob.uuid, "alice", NAME)
    house.clock.move(seconds=60)

    version, shown = await house.store.readable_version(ALICE, "alice", NAME)

    assert version.blob == shown
    assert (shown.holds_itself, shown.expires_at) == (False, None)


async def test_by_digest_one_sees_the_oldest_blob_that_one_may_see_ones_own_first(house: House) -> None:
    alices = await house.add(b"same", ALICE, "alice")
    house.clock.move(seconds=1)
    bobs = await house.add(b"same", BOB, "bob")

    assert await house.store.readable_payload(ALICE, alices.digest) == alices
    assert await house.store.readable_payload(BOB, alices.digest) == bobs
    assert await house.store.readable_payload(ADMIN, alices.digest) == alices
    await house.catalogue.update_namespace("alice", OPEN_TO_BOB, NOW)
    assert await house.store.readable_payload(BOB, alices.digest) == bobs
    await changes.delete(house.store, BOB, bobs.uuid)
    assert await house.store.readable_payload(BOB, alices.digest) == alices


# -- storing ------------------------------------------------------------------------------------------------------


async def test_what_was_added_can_be_read(house: House) -> None:
    data = some_bytes(300_000)

    blob = await house.add(data, content_type="image/png", filename="a.png", expires_at=NOW + timedelta(days=1))

    receipt = receipt_of(data)
    assert await house.read(blob) == data
    assert (blob.digest, blob.sha256, blob.xxh3_128) == (receipt.digest, receipt.sha256, receipt.xxh3_128)
    assert (blob.content_type, blob.filename, blob.expires_at) == ("image/png", "a.png", NOW + timedelta(days=1))
    assert await house.store.readable_blob(ALICE, blob.uuid) == blob


async def test_a_publish_says_whose_token_it_was(house: House) -> None:
    version = await house.publish()

    assert (version.number, version.published_by) == (1, "token of alice")


@pytest.mark.parametrize("count", [64])
async def test_equal_contents_that_are_added_at_once_are_one_payload_and_a_blob_each(house: House, count: int) -> None:
    data = some_bytes(100_000)

    blobs = await asyncio.gather(*(house.add(data) for _ in range(count)))

    assert len({blob.uuid for blob in blobs}) == count
    assert house.files() == [digest_of(data).hex]
    totals = await house.catalogue.totals()
    assert (totals.payloads, totals.blobs) == (1, count)


async def test_different_contents_that_are_added_at_once_are_all_there(house: House) -> None:
    contents = [some_bytes(70_000 + number, seed=number) for number in range(32)]

    blobs = await asyncio.gather(*(house.add(data) for data in contents))

    for blob, data in zip(blobs, contents, strict=True):
        assert await house.read(blob) == data
    assert len(house.files()) == 32


@pytest.mark.parametrize(
    ("expected", "error"),
    [
        (Expected(size=4), SizeMismatch),
        (Expected(sha512=bytes(64)), DigestMismatch),
        (Expected(sha256=bytes(32)), DigestMismatch),
    ],
)
async def test_of_bytes_that_are_not_the_announced_ones_nothing_is_kept(
    house: House, expected: Expected, error: type[CasdError]
) -> None:
    async with await house.store.stage("alice") as staged:
        await staged.append(b"abc")

        with pytest.raises(error):
            await house.store.add(ALICE, "alice", staged, Description(), expected)

    assert house.files() == []
    assert (await house.catalogue.totals()).payloads == 0


async def test_bytes_for_a_namespace_that_is_gone_are_not_even_hashed(house: House) -> None:
    for who, namespace in ((ADMIN, "nobody"), (BOB, "alice")):
        with pytest.raises(NamespaceNotFound):
            await house.add(b"abc", who, namespace)

    assert house.files() == []


async def test_a_guard_that_fails_in_the_transaction_adds_no_version(house: House) -> None:
    await house.publish(data=b"one")
    guard = Guard(match=frozenset({digest_of(b"one")}))

    outcomes = await asyncio.gather(*(outcome(house.publish(data=b"two", guard=guard)) for _ in range(8)))

    assert sorted(outcomes, key=str) == [PreconditionFailed] * 7 + [None]
    assert (await house.catalogue.version("alice", NAME)).number == 2


async def test_a_guard_can_be_checked_before_the_body(house: House) -> None:
    await house.publish(data=b"one")
    check = house.store.check_guard

    assert await outcome(check("alice", NAME, Guard(match=frozenset({digest_of(b"one")})))) is None
    assert await outcome(check("alice", NAME, Guard(none_match_any=True))) is PreconditionFailed
    assert await outcome(check("alice", "absent", Guard(match_any=True))) is PreconditionFailed
    assert await outcome(check("alice", "absent", Guard())) is None


async def test_a_row_that_cannot_be_written_acknowledges_nothing_and_a_retry_works(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> Blob:
        raise StorageFailed("the catalogue's disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(house.catalogue, "add_blob", fail)
        with pytest.raises(StorageFailed):
            await house.add()

    assert (await house.catalogue.totals()).blobs == 0
    assert house.files() == [digest_of(b"abc").hex]  # payload first, row second: collection finds it
    assert await house.read(await house.add()) == b"abc"


@pytest.mark.parametrize("step", ["append", "seal", "commit"])
async def test_bytes_that_cannot_be_stored_make_no_row(house: House, step: str) -> None:
    """Payload first, row second: never a row without its bytes."""
    disk = MemoryDisk()
    house.store.payloads = MemoryPayloads(disk)
    failure = StorageFull("the disk is full")

    async def store() -> None:
        async with await house.store.stage("alice") as staged:
            disk.failure = failure if step == "append" else None
            await staged.append(b"abc")
            if step == "commit":
                receipt = await staged.seal()
                staged.seal = give(receipt)  # type: ignore[method-assign]
            disk.failure = failure
            await house.store.add(ALICE, "alice", staged, Description())

    with pytest.raises(StorageFull):
        await store()

    totals = await house.catalogue.totals()
    assert (totals.blobs, totals.payloads) == (0, 0)
    assert (disk.stages, disk.payloads) == ({}, {})


def give(value: Any) -> Callable[..., Awaitable[Any]]:
    async def call(*_: Any) -> Any:
        return value

    return call


async def test_metadata_of_a_blob_has_a_limit_in_all(house: House) -> None:
    blob = await house.add()
    for number in range(15):
        await changes.set_metadata(house.store, ALICE, blob.uuid, f"{number:02}", "x" * 65_536)

    with pytest.raises(TooLarge):
        await changes.set_metadata(house.store, ALICE, blob.uuid, "one more", "x" * 65_536)


async def test_deleting_a_blob_that_only_a_version_holds_is_a_conflict(house: House) -> None:
    blob = (await house.publish()).blob

    with pytest.raises(Conflict):
        await changes.delete(house.store, ALICE, blob.uuid)

    assert await house.read(await house.store.readable_blob(ALICE, blob.uuid)) == b"abc"


# -- cancelled ----------------------------------------------------------------------------------------------------


class Gate:
    """Stands before an async function and holds its calls up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, target: Any, name: str) -> None:
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()
        self._real = getattr(target, name)
        monkeypatch.setattr(target, name, self._call)

    async def _call(self, *args: Any) -> Any:
        self.reached.set()
        await self.go_on.wait()
        return await self._real(*args)


async def test_a_commit_whose_caller_is_cancelled_before_its_row_ends_whole(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch, house.catalogue, "add_blob")
    task = asyncio.create_task(house.add())
    await gate.reached.wait()

    task.cancel()
    await turns(5)
    gate.go_on.set()
    await asyncio.wait([task])

    assert task.cancelled()
    (view,) = (await house.catalogue.blobs_by_checksum("sha512", digest_of(b"abc").raw, None, 9, None, NOW)).items
    assert await house.read(view.blob) == b"abc"
    assert len(house.locks) == 0


async def test_a_commit_whose_caller_is_cancelled_while_it_waits_for_the_lock_ends_whole(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    async with house.locks.hold(digest_of(b"abc")):
        task = asyncio.create_task(house.add())
        while not house.store._commits:
            await asyncio.sleep(0)
        task.cancel()
        await turns(5)
        assert house.staged() != [], "the stage belongs to the commit until that has ended"
    await asyncio.wait([task])
    await house.store.close()

    assert (await house.catalogue.totals()).blobs == 1
    assert house.files() == [digest_of(b"abc").hex]
    assert house.staged() == []
    assert caplog.text == ""


@pytest.mark.parametrize("step", range(0, 30, 2))
async def test_an_add_that_is_cancelled_anywhere_is_there_whole_or_not_at_all(house: House, step: int) -> None:
    await house.catalogue.totals()  # its connection opens the file at its first statement
    before = open_descriptors()
    task = asyncio.create_task(house.add(some_bytes(200_000)))
    await turns(step)

    task.cancel()
    await asyncio.wait([task])
    await house.store.close()

    totals = await house.catalogue.totals()
    assert (totals.blobs, totals.payloads, len(house.files())) in {(0, 0, 0), (1, 1, 1)}
    assert house.staged() == []
    assert open_descriptors() == before


async def test_closing_waits_for_cancelled_commits(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch, house.catalogue, "add_blob")
    task = asyncio.create_task(house.add())
    await gate.reached.wait()
    for _ in range(2):  # once for the add, once for its wait for the commit
        task.cancel()
        await turns(3)

    closing = asyncio.create_task(house.store.close())
    await turns(5)
    assert not closing.done()
    assert not task.done(), "the commit is not over, so neither is whoever asked for it"
    gate.go_on.set()
    await closing
    await asyncio.wait([task])

    assert task.cancelled()
    assert (await house.catalogue.totals()).blobs == 1


async def test_a_lock_is_let_go_when_a_commit_fails(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> Blob:
        raise StorageFailed("no")

    monkeypatch.setattr(house.catalogue, "add_blob", fail)
    outcomes = await asyncio.gather(*(outcome(house.add()) for _ in range(5)))

    assert outcomes == [StorageFailed] * 5
    assert len(house.locks) == 0


# -- reading ------------------------------------------------------------------------------------------------------


async def test_a_payload_whose_file_is_gone_is_missing_and_storing_it_again_heals_it(house: House) -> None:
    blob = await house.add()
    path_of(house.root, blob.digest.hex).unlink()
    with pytest.raises(PayloadMissing):
        await house.read(blob)

    await house.add(who=BOB, namespace="bob")

    assert await house.read(blob) == b"abc"


@pytest.mark.parametrize("found", [b"", b"ab", b"abcd"])
async def test_a_payload_of_another_size_is_damaged_and_let_go(house: House, found: bytes) -> None:
    blob = await house.add()
    path_of(house.root, blob.digest.hex).write_bytes(found)

    with pytest.raises(PayloadDamaged, match="of 3 bytes"):
        await house.store.open_payload(blob)

    links = [Path(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    assert not [link for link in links if link.is_symlink() and blob.digest.hex in os.readlink(link)]


async def test_a_payload_in_quarantine_is_damaged_and_storing_it_again_heals_all_its_blobs(house: House) -> None:
    blobs = [await house.add(), (await house.publish()).blob]
    async with house.locks.hold(blobs[0].digest):
        await house.catalogue.set_quarantined(blobs[0].digest, NOW)
        await house.payloads.quarantine(blobs[0].digest, "damaged")
    for blob in blobs:
        damaged = await house.store.readable_blob(ALICE, blob.uuid)
        assert damaged.state is BlobState.ERROR
        with pytest.raises(PayloadDamaged, match="quarantine"):
            await house.store.open_payload(damaged)

    await house.add(who=BOB, namespace="bob")

    for blob in blobs:
        healed = await house.store.readable_blob(ALICE, blob.uuid)
        assert await house.read(healed) == b"abc"


# -- tokens -------------------------------------------------------------------------------------------------------


def token(**about: Any) -> Token:
    plain = Token(UUID(int=1), "a token", Role.WRITER, ("alice", "bob"), created_at=NOW, expires_at=None)
    return replace(plain, **about)


def test_a_token_speaks_for_its_name_role_and_namespaces() -> None:
    who = principal_of(token(), NOW)

    assert (who.token, who.name, who.role, who.home) == (UUID(int=1), "a token", Role.WRITER, "alice")
    assert who.is_member("bob")
    assert not who.is_member("carol")


@pytest.mark.parametrize(
    "one",
    [None, token(revoked_at=NOW), token(expires_at=NOW), token(expires_at=NOW - timedelta(days=1))],
    ids=["unknown", "revoked", "expired now", "expired"],
)
def test_a_token_that_is_unknown_revoked_or_expired_speaks_for_nobody(one: Token | None) -> None:
    with pytest.raises(Unauthenticated):
        principal_of(one, NOW)


def test_a_token_is_good_until_its_expiry() -> None:
    assert principal_of(token(expires_at=NOW + timedelta(microseconds=1)), NOW).name == "a token"


@pytest.mark.parametrize(("role", "is_admin"), [(Role.READER, False), (Role.WRITER, False), (Role.ADMIN, True)])
def test_only_an_admin_may_administer(role: Role, is_admin: bool) -> None:
    who = principal("alice", role=role)
    if is_admin:
        who.check_admin()
    else:
        with pytest.raises(Forbidden):
            who.check_admin()


def test_a_secret_is_long_recognisable_and_never_the_same_and_only_its_sha256_is_kept() -> None:
    secrets = {new_secret() for _ in range(100)}

    assert len(secrets) == 100
    for secret in secrets:
        assert len(base64.urlsafe_b64decode(secret.removeprefix("casd_") + "==")) == 32
        assert secret_hash(secret) == hashlib.sha256(secret.encode()).digest()


def test_what_no_token_can_be_has_a_hash_all_the_same() -> None:
    """A header's bytes that are no UTF-8 come as surrogates."""
    assert secret_hash("\udcff") == hashlib.sha256(b"\xff").digest()


# -- locks --------------------------------------------------------------------------------------------------------

ONE, OTHER = digest_of(b"one"), digest_of(b"other")


async def test_a_digests_lock_is_held_by_one_at_a_time_in_the_order_of_coming() -> None:
    locks, order = DigestLocks(), []

    async def hold(number: int) -> None:
        async with locks.hold(ONE):
            order.append((number, "in"))
            await turns(3)
            order.append((number, "out"))

    await asyncio.gather(*(hold(number) for number in range(4)))

    assert order == [(number, what) for number in range(4) for what in ("in", "out")]
    assert len(locks) == 0


async def test_locks_of_two_digests_do_not_wait_for_each_other() -> None:
    locks = DigestLocks()

    async with locks.hold(ONE), locks.hold(OTHER):
        assert len(locks) == 2

    assert len(locks) == 0


async def test_a_lock_leaves_no_residue_when_its_holder_fails_or_a_waiter_is_cancelled() -> None:
    locks = DigestLocks()

    async def wait() -> None:
        async with locks.hold(ONE):
            raise AssertionError("never reached")

    async def fail() -> None:
        async with locks.hold(ONE):
            waiter = asyncio.create_task(wait())
            await turns(2)
            waiter.cancel()
            await asyncio.wait([waiter])
            raise LookupError

    with pytest.raises(LookupError):
        await fail()

    assert len(locks) == 0
    async with locks.hold(ONE):
        assert len(locks) == 1


async def test_a_cancelled_waiter_does_not_let_the_next_one_in_early() -> None:
    locks, inside = DigestLocks(), []

    async def enter(name: str) -> None:
        async with locks.hold(ONE):
            inside.append(name)

    async with locks.hold(ONE):
        first, second = asyncio.create_task(enter("first")), asyncio.create_task(enter("second"))
        await turns(2)
        first.cancel()
        await turns(5)
        assert inside == []

    await asyncio.wait([first, second])
    assert inside == ["second"]
    assert len(locks) == 0
