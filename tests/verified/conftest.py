"""A store whose payloads are spoiled behind its back, on real files and a real catalogue."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from casd.auth import Principal
from casd.catalogue.sqlite import SqliteCatalogue
from casd.locks import DigestLocks
from casd.model import Blob, BlobState, Digest, Quarantined, Role
from casd.payloads.local import LocalPayloads
from casd.store import BlobStore, Description
from tests.contracts.oracle import digest_of
from tests.fakes import NOW, Clock
from tests.payloads.disk_spy import DiskSpy
from tests.payloads.local_backend import emptied, path_of

ALICE = Principal(uuid4(), "alice's", Role.WRITER, ("alice",))
BOB = Principal(uuid4(), "bob's", Role.WRITER, ("bob",))


@dataclass
class House:
    root: Path
    payloads: LocalPayloads
    catalogue: SqliteCatalogue
    locks: DigestLocks
    clock: Clock
    store: BlobStore

    async def add(self, data: bytes, who: Principal = ALICE) -> Blob:
        async with await self.store.stage(who.home, len(data)) as staged:
            await staged.append(data)
            return await self.store.add(who, who.home, staged, Description())

    async def read(self, blob: Blob) -> bytes:
        """As a reader gets it who asks now."""
        payload = await self.store.open_payload(await self.now(blob))
        try:
            return await payload.read(0, payload.size)
        finally:
            payload.close()

    async def now(self, blob: Blob) -> Blob:
        found = await self.catalogue.blob(blob.uuid, self.clock())
        assert found is not None
        return found

    async def states(self, *blobs: Blob) -> set[BlobState]:
        return {(await self.now(blob)).state for blob in blobs}

    def restarted(self, **rules: Any) -> "House":
        """The same with a memory that is empty, as after a restart."""
        store = BlobStore(self.payloads, self.catalogue, self.locks, **common(self.clock), **rules)
        return House(self.root, self.payloads, self.catalogue, self.locks, self.clock, store)

    def path(self, blob: Blob | Digest) -> Path:
        return path_of(self.root, (blob if isinstance(blob, Digest) else blob.digest).hex)

    def flip(self, blob: Blob, offset: int) -> None:
        """One bit of the file is another, and nothing tells of it but the bit: its times are as before."""
        path = self.path(blob)
        facts = path.stat()
        with path.open("r+b") as file:
            file.seek(offset)
            byte = file.read(1)
            file.seek(offset)
            file.write(bytes([byte[0] ^ 1]))
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    async def quarantined(self) -> list[Quarantined]:
        return await self.payloads.quarantined(1000)

    def in_quarantine(self) -> list[bytes]:
        return [path.read_bytes() for path in (self.root / "quarantine").iterdir() if path.suffix != ".json"]


def common(clock: Clock) -> dict[str, Any]:
    return {"now": clock, "new_uuid": uuid4, "grace": timedelta(hours=1), "share_by_uuid": True}


@pytest.fixture(scope="module")
def module_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("verified") / "data"


@pytest.fixture
def root(module_root: Path) -> Iterator[Path]:
    with emptied(module_root) as root:
        yield root


@pytest.fixture
async def house(root: Path, tmp_path: Path) -> AsyncIterator[House]:
    clock, locks = Clock(), DigestLocks()
    payloads = await LocalPayloads.create(root, reserve_bytes=0)
    catalogue = await SqliteCatalogue.open(tmp_path / "catalogue.sqlite3", uuid4, payloads_exist=False)
    await asyncio.gather(*(catalogue.ensure_namespace(name, NOW) for name in ("alice", "bob")))
    store = BlobStore(payloads, catalogue, locks, **common(clock))
    yield House(root, payloads, catalogue, locks, clock, store)
    await store.close()
    await catalogue.close()
    await payloads.close()
    assert len(locks) == 0, "a digest's lock was left behind"


@pytest.fixture
def spy(house: House, monkeypatch: pytest.MonkeyPatch) -> DiskSpy:
    return DiskSpy(monkeypatch, house.root)


def orphan(house: House, data: bytes) -> Path:
    """A file that no row tells of."""
    path = house.path(digest_of(data))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path
