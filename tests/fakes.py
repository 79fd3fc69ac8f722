"""Fakes: a payload store in memory, a clock that tests move, UUIDs that count, locks that do not lock.

`MemoryPayloads` passes `tests/contracts/payload_store.py` like a backend does; it is for tests that want to stand
between two steps of the store, or a disk that fails when told to.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Hashable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self
from uuid import UUID

from casd.errors import DigestMismatch, PayloadDamaged, PayloadMissing, SizeMismatch, StageMissing, StorageFailed
from casd.model import JSON, Digest, Examined, Expected, Quarantined, Receipt, Stored
from casd.payloads.base import ANYTHING, Arrivals
from tests.contracts.oracle import digest_of, receipt_of

NOW = datetime(2100, 1, 1, tzinfo=UTC)  # later than the mtime of any file that a test writes


class Clock:
    """A `now` that stands still until it is moved."""

    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def move(self, **by: float) -> datetime:
        """Move by `timedelta(**by)`, backwards too, and return the new time."""
        self.at += timedelta(**by)
        return self.at


def counting_uuids() -> Callable[[], UUID]:
    """A `new_uuid` that gives 1, 2, 3 ..."""
    numbers = itertools.count(1)
    return lambda: UUID(int=next(numbers))


class NoLocks:
    """Stands in for DigestLocks and keeps nobody out: what happens then is what the locks are for."""

    @asynccontextmanager
    async def hold(self, digest: Digest) -> AsyncIterator[None]:
        yield


@dataclass
class MemoryDisk:
    """What outlives a MemoryPayloads, as a disk outlives a process."""

    stages: dict[str, bytearray] = field(default_factory=dict)
    payloads: dict[Digest, bytes] = field(default_factory=dict)
    modified_at: dict[Digest, datetime] = field(default_factory=dict)
    quarantined: dict[str, tuple[Quarantined, bytes | None]] = field(default_factory=dict)
    failure: StorageFailed | None = None  # raised by the next write, cut, sync, seal or commit, once


class MemoryPayload:
    """See `payloads.base.Payload`. The kernel cannot send from it."""

    file = None

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    async def read(self, start: int, stop: int) -> bytes:
        if stop > self.size:
            raise PayloadDamaged(f"the payload ends at byte {self.size}")
        return self._data[start:stop]

    def read_now(self, start: int, stop: int) -> bytes | None:
        return self._data[start:stop] if stop <= self.size else None

    def is_cached(self, start: int, stop: int) -> bool:
        return True

    @property
    def identity(self) -> Hashable:
        return id(self._data)

    async def block_checksums(self, start: int, stop: int, *, from_disk: bool = False) -> bytes:
        return receipt_of(self._data).blocks[start * 8 : stop * 8]

    async def examine(self, pace: Callable[[int], Awaitable[None]] | None = None) -> Examined:
        receipt = receipt_of(self._data)
        if pace is not None and self.size:
            await pace(self.size)
        return Examined(receipt.digest, receipt.size, receipt.blocks)

    async def forget_cached(self) -> None:
        pass

    def close(self) -> None:
        pass


class MemoryStaged:
    """See `payloads.base.Staged`."""

    def __init__(self, id: str, disk: MemoryDisk, is_kept: bool) -> None:
        self._id = id
        self._disk = disk
        self._is_kept = is_kept
        self._durable = self.size
        self._receipt: Receipt | None = None
        self._is_spent = False

    @property
    def id(self) -> str:
        return self._id

    @property
    def size(self) -> int:
        return len(self._data)

    @property
    def durable_size(self) -> int:
        return self._durable

    @property
    def durable_digest(self) -> Digest:
        return digest_of(bytes(self._data[: self._durable]))

    @property
    def _data(self) -> bytearray:
        return self._disk.stages.get(self._id, bytearray())

    async def reserve(self, size: int) -> None:
        pass

    def release(self, size: int) -> None:
        pass

    async def append(self, data: bytes) -> None:
        await self.write_at(self.size, data)

    async def write_at(self, offset: int, data: bytes) -> None:
        await self._step()
        self._durable = min(self._durable, offset)
        if data:
            self._data.extend(bytes(max(0, offset - self.size)))
            self._data[offset : offset + len(data)] = data

    async def truncate(self, size: int) -> None:
        await self._step()
        if size > self.size:
            raise ValueError(f"a stage of {self.size} bytes cannot be truncated to {size}")
        del self._data[size:]
        self._durable = min(self._durable, size)

    async def sync(self) -> int:
        await self._step()
        self._durable = self.size
        return self.size

    async def hash_all(self) -> None:
        await self._step()

    async def seal(self, expected: Expected = ANYTHING) -> Receipt:
        await self._step()
        if expected.size is not None and expected.size != self.size:
            raise SizeMismatch(f"{self.size} bytes arrived, {expected.size} were announced")
        receipt = receipt_of(bytes(self._data))
        if expected.sha512 not in (None, receipt.digest.raw) or expected.sha256 not in (None, receipt.sha256):
            raise DigestMismatch("these are not the bytes that were announced")
        self._receipt = receipt
        return receipt

    async def commit(self) -> Hashable:
        if self._receipt is None or self._is_spent:
            raise RuntimeError("commit wants a sealed stage, once")
        await asyncio.sleep(0)
        self._fail_if_told()
        self._disk.payloads[self._receipt.digest] = data = bytes(self._data)
        if not self._is_kept:
            del self._disk.stages[self._id]
        self._disk.modified_at[self._receipt.digest] = datetime.now(UTC)
        self._is_spent = True
        return id(data)

    async def suspend(self) -> None:
        assert self._is_kept
        self._is_spent = True

    async def discard(self) -> None:
        self._is_spent = True
        self._disk.stages.pop(self._id, None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.discard()

    async def _step(self) -> None:
        """Let others run, as a disk call would, and fail if the test said so."""
        if self._is_spent or self._receipt is not None:
            raise StorageFailed(f"stage {self._id} takes no more bytes")
        await asyncio.sleep(0)
        self._fail_if_told()

    def _fail_if_told(self) -> None:
        failure, self._disk.failure = self._disk.failure, None
        if failure is not None:
            self._is_spent = True
            if not self._is_kept:
                self._disk.stages.pop(self._id, None)
            raise failure


class MemoryPayloads:
    """See `payloads.base.PayloadStore`."""

    def __init__(self, disk: MemoryDisk) -> None:
        self.disk = disk
        self.arrivals = Arrivals()

    async def stage(
        self, id: str, size: int | None = None, *, is_kept: bool = False, owner: object = None
    ) -> MemoryStaged:
        self.disk.stages[id] = bytearray()
        return MemoryStaged(id, self.disk, is_kept)

    async def reopen(self, id: str, offset: int, size: int | None = None, *, owner: object = None) -> MemoryStaged:
        if len(self.disk.stages.get(id, b"")) < offset or id not in self.disk.stages:
            raise StageMissing(f"stage {id} is not there or shorter than {offset} bytes")
        del self.disk.stages[id][offset:]
        return MemoryStaged(id, self.disk, is_kept=True)

    async def open(self, digest: Digest) -> MemoryPayload:
        await asyncio.sleep(0)
        if digest not in self.disk.payloads:
            raise PayloadMissing(f"payload {digest} is not there")
        return MemoryPayload(self.disk.payloads[digest])

    async def remove(self, digest: Digest) -> bool:
        await asyncio.sleep(0)
        self.disk.modified_at.pop(digest, None)
        return self.disk.payloads.pop(digest, None) is not None

    async def quarantine(self, digest: Digest, why: str, facts: Mapping[str, JSON] | None = None) -> bool:
        await asyncio.sleep(0)
        data, now = self.disk.payloads.pop(digest, None), datetime.now(UTC)
        id = f"{digest.hex}.{now:%Y%m%dT%H%M%S.%fZ}"
        size = None if data is None else len(data)
        self.disk.quarantined[id] = (Quarantined(id, digest, why, now, size, dict(facts or {})), data)
        return data is not None

    async def quarantined(self, limit: int, after: str | None = None) -> list[Quarantined]:
        return [self.disk.quarantined[id][0] for id in sorted(self.disk.quarantined) if id > (after or "")][:limit]

    async def in_quarantine(self, id: str) -> Quarantined | None:
        return self.disk.quarantined[id][0] if id in self.disk.quarantined else None

    async def purge_quarantined(self, id: str) -> bool:
        return self.disk.quarantined.pop(id, None) is not None

    async def scan(self) -> AsyncIterator[Stored]:
        for digest, data in list(self.disk.payloads.items()):
            yield Stored(digest, len(data), self.disk.modified_at[digest])

    async def has_stage(self, id: str, size: int) -> bool:
        return id in self.disk.stages and len(self.disk.stages[id]) >= size

    async def read_stage(self, id: str, start: int, stop: int) -> bytes:
        if not await self.has_stage(id, stop):
            raise StageMissing(f"stage {id} is not there or ends before byte {stop}")
        return bytes(self.disk.stages[id][start:stop])

    async def drop_stage(self, id: str) -> None:
        self.disk.stages.pop(id, None)

    async def clear_stages(self, keep: Collection[str] = ()) -> int:
        stale = [id for id in self.disk.stages if id not in keep]
        for id in stale:
            del self.disk.stages[id]
        return len(stale)

    async def probe(self) -> None:
        pass

    async def free_bytes(self) -> int:
        return 1 << 40

    reserved_bytes = 0
    reserve_bytes = 0

    async def close(self) -> None:
        pass
