"""The whole store against a dictionary: any sequence of writes, upkeep, damage and crashes, read back after each.

Real files, real SQLite. A crash is a copy of the data folder as it stands between two operations, served by a new
process' objects: what was acknowledged is there, and nothing else is. Crashes in mid operation are `tests/crash`.
CASD_MODEL_EXAMPLES=200 makes it long.
"""

import asyncio
import os
import random
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from casd import changes
from casd.auth import Principal
from casd.catalogue.sqlite import SqliteCatalogue
from casd.errors import BlobNotFound, NameNotFound, PayloadDamaged, PayloadMissing, VersionNotFound
from casd.expiry import Rules
from casd.locks import DigestLocks
from casd.model import BlobState, Role
from casd.payloads.local import LocalPayloads
from casd.repair import Repair
from casd.store import BlobStore, Description
from casd.upkeep import Upkeep
from casd.uploads import NewUpload, Uploads
from tests.contracts.oracle import digest_of
from tests.fakes import Clock
from tests.payloads.local_backend import path_of
from tests.web.house import rounds_of

GRACE = timedelta(hours=1)
HIDDEN = timedelta(hours=3)
WRITER = Principal(UUID(int=1), "writer", Role.WRITER, ("alice",))
NAMES = ("a", "b/c")
MIB = 1 << 20
# Empty, small, and of three blocks with a short last one: damage in each is another path.
CONTENTS = (b"", b"small", random.Random(1).randbytes(2 * MIB + 7))
PARTS = 3  # an upload arrives in so many pieces


@dataclass
class Row:
    data: bytes
    is_own: bool
    expires_at: datetime | None = None
    versions: int = 0

    def lives(self, now: datetime) -> bool:
        return self.versions > 0 or (self.is_own and (self.expires_at is None or self.expires_at > now))


class Truth:
    """What was acknowledged."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.blobs: dict[UUID, Row] = {}
        self.names: dict[str, list[tuple[int, UUID | None]]] = {}
        self.counters: dict[str, int] = {}
        self.hidden_at: dict[str, datetime] = {}
        self.kept: dict[bytes, datetime] = {}  # keep-until
        self.damaged: set[bytes] = set()

    def keep(self, data: bytes) -> None:
        self.kept[data] = max(self.kept.get(data, self.clock()), self.clock() + GRACE)

    def store(self, data: bytes) -> None:
        self.keep(data)
        self.damaged.discard(data)

    def sweep(self, uuid: UUID) -> None:
        if not self.blobs[uuid].lives(self.clock()):
            self.keep(self.blobs.pop(uuid).data)

    def add_version(self, name: str, uuid: UUID | None) -> int:
        self.counters[name] = self.counters.get(name, 0) + 1
        self.names.setdefault(name, []).append((self.counters[name], uuid))
        if uuid is not None:
            self.blobs[uuid].versions += 1
        self.settle(name)
        return self.counters[name]

    def remove(self, name: str, gone: list[tuple[int, UUID | None]]) -> None:
        self.names[name] = [version for version in self.names[name] if version not in gone]
        for _, uuid in gone:
            if uuid is not None:
                self.blobs[uuid].versions -= 1
                self.sweep(uuid)
        self.settle(name)

    def settle(self, name: str) -> None:
        versions = self.names[name]
        if not any(uuid for _, uuid in versions):
            del self.names[name]
            self.hidden_at.pop(name, None)
        elif versions[-1][1] is not None:
            self.hidden_at.pop(name, None)
        else:
            self.hidden_at.setdefault(name, self.clock())

    def newest(self, name: str) -> UUID | None:
        return self.names[name][-1][1] if name in self.names else None


class StoreMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name) / "data0"
        self.root.mkdir()
        self.runner = asyncio.Runner()
        self.clock = Clock()
        self.truth = Truth(self.clock)
        self.made: list[UUID] = []
        self.upload: tuple[UUID, bytes, int] | None = None  # what arrives, and the offset that was told
        self.run(self.start(payloads_exist=False))
        self.run(self.catalogue.ensure_namespace("alice", self.clock()))

    async def start(self, *, payloads_exist: bool = True) -> None:
        self.stack = AsyncExitStack()
        payloads = await LocalPayloads.create(self.root, reserve_bytes=0)
        self.stack.push_async_callback(payloads.close)
        self.catalogue = await SqliteCatalogue.open(
            self.root / "catalogue.sqlite3", uuid4, payloads_exist=payloads_exist
        )
        self.stack.push_async_callback(self.catalogue.close)
        locks = DigestLocks()
        self.store = BlobStore(
            payloads, self.catalogue, locks, now=self.clock, new_uuid=uuid4, grace=GRACE, share_by_uuid=True
        )
        self.stack.push_async_callback(self.store.close)
        self.uploads = Uploads(self.store, lifetime=timedelta(days=7), limit_per_token=9)
        await self.uploads.start()
        self.stack.push_async_callback(self.uploads.close)
        rules = Rules(grace=GRACE, hidden=HIDDEN, ended=timedelta(days=30))
        rounds, repairs = rounds_of(self.store), Repair(self.store, [])
        self.upkeep = Upkeep(payloads, self.catalogue, locks, self.uploads, rules, self.clock, rounds, repairs)
        self.stack.push_async_callback(self.upkeep.close)

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.run(self.stack.aclose())
            self.runner.close()
            self.folder.cleanup()

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(call)

    def pick(self, number: int) -> UUID:
        return self.made[-1 - number % min(4, len(self.made))]

    # -- storing ------------------------------------------------------------------------------------------

    @rule(data=st.sampled_from(CONTENTS), expires_in_s=st.sampled_from([None, 600]))
    def add(self, data: bytes, expires_in_s: int | None) -> None:
        expires_at = None if expires_in_s is None else self.clock() + timedelta(seconds=expires_in_s)

        async def add() -> Any:
            async with await self.store.stage("alice", len(data)) as staged:
                await staged.append(data)
                return await self.store.add(WRITER, "alice", staged, Description(expires_at=expires_at))

        blob = self.run(add())
        self.truth.blobs[blob.uuid] = Row(data, True, expires_at)
        self.truth.store(data)
        self.made.append(blob.uuid)

    @rule(data=st.sampled_from(CONTENTS), name=st.sampled_from(NAMES))
    def publish(self, data: bytes, name: str) -> None:
        async def publish() -> Any:
            async with await self.store.stage("alice") as staged:
                await staged.append(data)
                return await self.store.publish(WRITER, "alice", name, staged, Description())

        version = self.run(publish())
        self.truth.blobs[version.blob.uuid] = Row(data, False)
        self.truth.store(data)
        self.made.append(version.blob.uuid)
        assert version.number == self.truth.add_version(name, version.blob.uuid)

    @precondition(lambda self: self.upload is None)
    @rule(data=st.sampled_from(CONTENTS[1:]))
    def begin_an_upload(self, data: bytes) -> None:
        upload = self.run(self.uploads.create(WRITER, NewUpload("alice", len(data))))
        self.upload = (upload.uuid, data, 0)

    @precondition(lambda self: self.upload is not None)
    @rule()
    def go_on_with_the_upload(self) -> None:
        assert self.upload is not None
        uuid, data, told = self.upload
        stop = min(len(data), told + -(-len(data) // PARTS))

        async def append() -> None:
            offset = (await self.uploads.upload(WRITER, uuid)).offset
            assert offset == told, "an offset that was told is not what is there"
            async with self.uploads.appending(WRITER, uuid, offset) as appending:
                await appending.append(data[told:stop])

        self.run(append())
        self.upload = (uuid, data, stop)
        if stop == len(data):
            blob = self.run(self.uploads.complete(WRITER, uuid)).blob
            self.truth.blobs[blob] = Row(data, True)
            self.truth.store(data)
            self.made.append(blob)
            self.upload = None

    @precondition(lambda self: self.made)
    @rule(name=st.sampled_from(NAMES), number=st.integers(0, 3))
    def bind(self, name: str, number: int) -> None:
        uuid = self.pick(number)
        row = self.truth.blobs.get(uuid)
        call = self.store.bind(WRITER, uuid, "alice", name)
        if row is None or not row.lives(self.clock()) or row.data in self.truth.damaged:
            with pytest.raises(BlobNotFound):
                self.run(call)
        else:
            assert self.run(call).number == self.truth.add_version(name, uuid)

    # -- removing -----------------------------------------------------------------------------------------

    @precondition(lambda self: self.made)
    @rule(number=st.integers(0, 3))
    def delete(self, number: int) -> None:
        uuid = self.pick(number)
        row, now = self.truth.blobs.get(uuid), self.clock()
        if row is not None and row.is_own and (row.expires_at is None or row.expires_at > now):
            self.run(changes.delete(self.store, WRITER, uuid))
            row.is_own, row.expires_at = False, None
            self.truth.sweep(uuid)

    @rule(name=st.sampled_from(NAMES))
    def hide_or_undelete(self, name: str) -> None:
        if self.truth.newest(name) is not None:
            self.run(changes.hide(self.store, WRITER, "alice", name))
            self.truth.add_version(name, None)
        elif name in self.truth.names:
            self.run(changes.undelete(self.store, WRITER, "alice", name))
            while self.truth.names[name][-1][1] is None:
                self.truth.remove(name, self.truth.names[name][-1:])

    @rule(name=st.sampled_from(NAMES), whole=st.booleans())
    def remove_the_oldest_version_or_all(self, name: str, whole: bool) -> None:
        if name not in self.truth.names:
            return
        versions = self.truth.names[name]
        if whole:
            self.run(changes.purge(self.store, WRITER, "alice", name))
            self.truth.remove(name, versions)
        else:
            self.run(changes.remove_version(self.store, WRITER, "alice", name, versions[0][0]))
            self.truth.remove(name, versions[:1])

    # -- time, damage, crashes ----------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 600, 4000, 12000]))
    def move_the_clock(self, seconds: int) -> None:
        self.clock.move(seconds=seconds)

    @rule()
    def keep_up(self) -> None:
        """Expiry, then collection: what nothing refers to is gone after its grace, and nothing else."""
        now = self.clock()
        for uuid, row in list(self.truth.blobs.items()):
            if row.expires_at is not None and row.expires_at <= now:
                row.is_own, row.expires_at = False, None
                self.truth.sweep(uuid)
        for name, hidden_at in list(self.truth.hidden_at.items()):
            if hidden_at < now - HIDDEN:
                self.truth.remove(name, self.truth.names[name])

        self.run(self.upkeep.expire())
        self.run(self.upkeep.collect_garbage(force=True))

        referred = {row.data for row in self.truth.blobs.values()}
        self.truth.kept = {data: until for data, until in self.truth.kept.items() if data in referred or until > now}
        self.truth.damaged &= self.truth.kept.keys()
        files = {path.name for path in (self.root / "payloads").rglob("*") if path.is_file()}
        assert files <= {digest_of(data).hex for data in self.truth.kept}
        assert files >= {digest_of(data).hex for data in self.truth.kept.keys() - self.truth.damaged}

    @precondition(lambda self: self.truth.kept.keys() - self.truth.damaged)
    @rule(number=st.integers(0, 2), kind=st.sampled_from(["flip", "cut", "lost"]))
    def damage(self, number: int, kind: str) -> None:
        whole = [data for data in CONTENTS if data in self.truth.kept and data not in self.truth.damaged]
        data = whole[number % len(whole)]
        path = path_of(self.root, digest_of(data).hex)
        if kind == "lost" or not data:
            path.unlink()
        else:
            position = len(data) // 2
            path.write_bytes(data[:-1] if kind == "cut" else flipped(data, position))
        self.truth.damaged.add(data)

    @rule()
    def crash(self) -> None:
        after = self.root.with_name(f"data{int(self.root.name[4:]) + 1}")
        shutil.copytree(self.root, after)
        self.run(self.stack.aclose())
        shutil.rmtree(self.root)
        self.root = after
        self.run(self.start())

    # -- what is there ------------------------------------------------------------------------------------

    @invariant()
    def every_blob_is_read_as_it_was_stored_or_not_at_all(self) -> None:
        for uuid in self.made:
            row = self.truth.blobs.get(uuid)
            if row is None or not row.lives(self.clock()):
                with pytest.raises(BlobNotFound):
                    self.run(self.store.readable_blob(WRITER, uuid))
            elif row.data in self.truth.damaged:
                with pytest.raises((PayloadDamaged, PayloadMissing)):
                    self.run(self.read(uuid))
                assert self.run(self.store.readable_blob(WRITER, uuid)).state is BlobState.ERROR
            else:
                assert self.run(self.read(uuid)) == row.data

    @invariant()
    def every_name_has_the_versions_that_it_was_given(self) -> None:
        for name in NAMES:
            for number, uuid in self.truth.names.get(name, []):
                version = self.run(self.catalogue.version("alice", name, number))
                assert (version.blob.uuid if version.blob else None) == uuid
            newest = self.truth.newest(name)
            call = self.store.readable_version(WRITER, "alice", name)
            if newest is None:
                with pytest.raises((NameNotFound, VersionNotFound)):
                    self.run(call)
            else:
                assert self.run(call)[1].uuid == newest

    async def read(self, uuid: UUID) -> bytes:
        blob = await self.store.readable_blob(WRITER, uuid)
        payload = await self.store.open_payload(blob)
        try:
            return await payload.read(0, payload.size)
        finally:
            payload.close()


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


@pytest.mark.slow
class TestStoreAgainstADictionary(StoreMachine.TestCase):
    settings = settings(
        max_examples=int(os.environ.get("CASD_MODEL_EXAMPLES", "8")),
        stateful_step_count=30,
        deadline=None,
        phases=(Phase.reuse, Phase.generate),  # to shrink what moves so many files takes minutes
        suppress_health_check=[HealthCheck.too_slow],
    )
