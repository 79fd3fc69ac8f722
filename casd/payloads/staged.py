"""A stage on local disk: bytes are hashed once, while they are written, and named only when they are safe.

Work crosses into threads once per batch, not per call. The write and the two groups of hashes run side by side in
three threads (0.7 GB/s for SHA-512, 1.4 for SHA-256, 11 for XXH3; a write costs as much as both on a slow disk).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, TypeVarTuple

from casd.errors import SizeMismatch, StorageFailed
from casd.model import Digest, Expected, Receipt
from casd.payloads.base import ANYTHING
from casd.payloads.behind import HashingBehind
from casd.payloads.folders import disk_call
from casd.payloads.hashing import PayloadHasher, check_digests
from casd.payloads.space import Claim, Space
from casd.payloads.stage_file import StageFile
from casd.tasks import to_the_end

log = logging.getLogger(__name__)

SMALL_BYTES = 64 << 10  # what is smaller waits in memory and is written by `seal`: one thread hop, not three
SPLIT_BYTES = 128 << 10  # below this a second thread costs more than it saves (a hop is 40-80 us, SHA-512 0.7 GB/s)
REREAD_BYTES = 4 << 20  # how much a catch-up reads at a time
CATCH_UP_BYTES = 4 << 20  # a longer unhashed prefix is hashed behind the writes, so that no append takes long
FLUSH_BYTES = 64 << 20  # so much is on its way to the disk while more arrives; the kernel alone would begin at `seal`


Args = TypeVarTuple("Args")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Place:
    """What a stage needs of its store."""

    incoming: Path
    commit: Callable[[Path, Digest, bool], Hashable]  # blocking; the name is durable, the stage's kept if told to
    space: Space
    disk: ThreadPoolExecutor
    hashing: ThreadPoolExecutor
    remember: Callable[[str, PayloadHasher], None]  # for when a stage of that id is opened again


class LocalStaged:
    """See `payloads.base.Staged`."""

    def __init__(
        self,
        id: str,
        place: Place,
        claim: Claim,
        *,
        is_kept: bool = False,
        file: int | None = None,
        size: int = 0,
        hasher: PayloadHasher | None = None,
    ) -> None:
        """`file` is an open descriptor with `size` durable bytes, None for a stage without a file yet.

        `hasher` has seen its first bytes, as many as it says.
        """
        self._id = id
        self._place = place
        self._claim = claim
        self._file = StageFile(place.incoming / id, place.space, claim, file)
        self._size = size
        self._held: list[bytes] = []  # the first SMALL_BYTES, while nothing is on disk
        self._hasher = hasher or PayloadHasher()
        self._behind = HashingBehind(self._hasher, place.hashing, self._start)
        self._is_hashing = False  # on the way in: if that was cut short, the hasher has seen nobody knows what
        self._is_kept = is_kept
        self._durable = size
        self._durable_digest = self._digest()
        self._flushing = 0  # what the flush under way will have made durable
        self._flushing_digest: Digest | None = None
        self._in_flight: set[asyncio.Future[Any]] = set()
        self._flush: asyncio.Future[None] | None = None
        self._unflushed = 0  # bytes written since the last flush began
        self._failure: StorageFailed | None = None  # of a disk call, whether anybody waited for it or not
        self._is_torn = False  # a cancelled call left its threads at work: see `_ready`
        self._is_sealed = False  # or was to be: what is left is `commit` or `discard`
        self._receipt: Receipt | None = None
        self._is_spent = False  # committed, suspended or discarded

    @property
    def id(self) -> str:
        return self._id

    @property
    def size(self) -> int:
        return self._size

    @property
    def durable_size(self) -> int:
        return self._durable

    @property
    def durable_digest(self) -> Digest | None:
        if self._durable_digest is None and self._durable == self._size and not self._is_hashing:
            self._durable_digest = self._digest()
        return self._durable_digest

    # -- writing ------------------------------------------------------------------------------------------

    async def reserve(self, size: int) -> None:
        await self._ready()
        self._claim.raise_by(size, await self._run("free space", self._place.space.free_bytes))

    def release(self, size: int) -> None:
        self._claim.written(size)

    async def append(self, data: bytes) -> None:
        await self._put(self._size, data, catches_up=True)

    async def write_at(self, offset: int, data: bytes) -> None:
        await self._put(offset, data)

    async def _put(self, offset: int, data: bytes, *, catches_up: bool = False) -> None:
        await self._ready()
        if not data:
            return
        if not self._file.is_open:
            if offset == self._size and self._size + len(data) <= SMALL_BYTES and not self._is_kept:
                self._held.append(data)
                self._size += len(data)
                return
            await self._spill()
        await self._guarded(self._write(offset, data, catches_up))

    async def _write(self, offset: int, data: bytes, catches_up: bool = False) -> None:
        if self._unflushed >= FLUSH_BYTES:
            await self._flush_behind()
        self._forget_durable(offset)
        hasher = self._hasher
        if offset < self._size:
            await self._behind.stop()  # it may be reading what is overwritten now
        if offset < hasher.size:
            hasher.rewind(offset)
        if catches_up and hasher.size < offset and self._file.is_open:
            if offset - hasher.size > CATCH_UP_BYTES:
                self._behind.begin(self._file.read, lambda: self._size)
            elif not self._behind.is_running:
                await self._hash_inline(self._run("read", self._catch_up, offset))
        if offset != hasher.size or self._behind.is_running:  # it is read again, behind this or by `seal`
            await self._run("write", self._file.write, offset, data)
        elif len(data) < SPLIT_BYTES:
            await self._hash_inline(self._run("write", self._write_and_hash, offset, data))
        else:
            pool = self._place.hashing
            lanes = [
                self._start(pool, "hash", hasher.update_sha512, data, offset),
                self._start(pool, "hash", hasher.update_rest, data, offset),
                self._start(self._place.disk, "write", self._file.write, offset, data),
            ]
            await self._hash_inline(asyncio.shield(asyncio.gather(*lanes)))
            hasher.size += len(data)
        self._size = max(self._size, offset + len(data))
        self._claim.written(len(data))
        self._unflushed += len(data)

    async def _hash_inline(self, work: Awaitable[object]) -> None:
        self._is_hashing = True
        await work
        self._is_hashing = False

    async def _flush_behind(self) -> None:
        """Have the disk work while more arrives, one flush at a time; its failure is the stage's."""
        # Before the next write and not after the last one: who is cancelled while waiting here has written nothing.
        if self._flush is not None:
            await asyncio.shield(self._flush)
        self._unflushed = 0
        if not self._is_kept:  # nobody looks for its entry after a power cut
            self._flush = self._start(self._place.disk, "fdatasync", self._file.flush)
            return
        self._flush = self._start(self._place.disk, "fdatasync", self._file.sync)
        self._flushing, self._flushing_digest = self._size, self._digest()
        self._flush.add_done_callback(self._flushed)

    def _flushed(self, flush: asyncio.Future[None]) -> None:
        if not flush.cancelled() and flush.exception() is None and self._flushing > self._durable:
            self._durable, self._durable_digest = self._flushing, self._flushing_digest

    def _forget_durable(self, offset: int) -> None:
        """What follows `offset` changes: neither an earlier sync nor the flush under way covers it."""
        if offset < self._durable:
            self._durable, self._durable_digest = offset, None
        if offset < self._flushing:
            self._flushing, self._flushing_digest = offset, None

    def _digest(self) -> Digest | None:
        return self._hasher.digest() if self._hasher.size == self._size else None

    async def _spill(self) -> None:
        """Make the file and write what was held in memory."""
        await self._guarded(self._run("stage", self._file.create))
        if self._held:
            await self._guarded(self._write(0, b"".join(self._held)))
        self._held.clear()  # not earlier: a cancelled call must not lose them

    async def truncate(self, size: int) -> None:
        await self._ready()
        if size > self._size:
            raise ValueError(f"a stage of {self._size} bytes cannot be truncated to {size}")
        if not self._file.is_open:
            self._held = [b"".join(self._held)[:size]]
        else:
            await self._behind.stop()
            if size < self._hasher.size:
                self._hasher.rewind(size)
            self._forget_durable(size)
            self._size = size  # before the call: if it is cancelled it happens all the same
            await self._guarded(self._run("truncate", self._file.truncate, size))
        self._size = size

    async def sync(self) -> int:
        await self._ready()
        if not self._file.is_open:
            await self._spill()
        if self._flush is not None:
            await self._guarded(asyncio.shield(self._flush))
        await self._guarded(self._run("fdatasync", self._file.sync))
        self._durable, self._durable_digest = self._size, self._digest()
        if self._durable_digest is not None:
            self._hasher.keep()
        return self._size

    async def hash_all(self) -> None:
        await self._ready()
        if self._file.is_open:
            await self._hash_rest()

    async def _hash_rest(self) -> None:
        try:
            await self._behind.finish(self._file.read, lambda: self._size)
        except StorageFailed:
            await self._give_up()
            raise

    # -- the end ------------------------------------------------------------------------------------------

    async def seal(self, expected: Expected = ANYTHING) -> Receipt:
        await self._ready()
        self._is_sealed = True
        if expected.size is not None and expected.size != self._size:
            raise SizeMismatch(f"{self._size} bytes arrived, {expected.size} were announced; nothing was kept")
        if self._flush is not None:
            await self._guarded(asyncio.shield(self._flush))
        if self._file.is_open:
            await self._hash_rest()
        receipt = await self._guarded(self._run("write and fsync", self._seal, expected))
        self._durable, self._durable_digest = self._size, receipt.digest
        self._receipt = receipt
        return receipt

    async def commit(self) -> Hashable:
        if self._receipt is None or self._is_spent:
            raise RuntimeError("commit wants a sealed stage, once")
        try:
            identity = await self._guarded(
                self._run("commit", self._place.commit, self._file.path, self._receipt.digest, self._is_kept)
            )
        except asyncio.CancelledError:
            if self._in_flight:  # the caller holds the digest's lock: it must not let go before the thread is done
                await asyncio.wait(self._in_flight)
            raise
        self._is_spent = True
        self._file.has_entry = self._is_kept
        self._claim.release()
        return identity

    async def suspend(self) -> None:
        assert self._is_kept
        is_sound = not (self._is_spent or self._is_torn or self._is_hashing or self._failure)
        await self._let_go(self._file.close)
        if is_sound:
            if self._hasher.size > self._durable:
                self._hasher.rewind(self._durable)
            self._place.remember(self._id, self._hasher)

    async def discard(self) -> None:
        await self._let_go(self._file.drop)

    async def _let_go(self, how: Callable[[], None]) -> None:
        """Spend the stage, to the end even if the caller is cancelled."""
        self._claim.release()
        self._is_spent = True
        self._held.clear()
        if not self._file.has_entry and not self._in_flight:
            return
        await to_the_end(self._after_threads(how))

    async def _after_threads(self, how: Callable[[], None]) -> None:
        await self._behind.stop()
        if self._in_flight:
            # A thread may still write: closing its descriptor now would let it write to whoever gets the number next.
            await asyncio.wait(self._in_flight)
        if self._file.has_entry:
            try:
                await self._run("letting go of a stage", how)
            except StorageFailed as error:  # the next start removes it
                log.warning("stage not let go of id=%s error=%s", self._id, error)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.discard()

    # -- in threads ---------------------------------------------------------------------------------------

    def _write_and_hash(self, offset: int, data: bytes) -> None:
        self._file.write(offset, data)
        self._hasher.update(data)

    def _catch_up(self, stop: int) -> None:
        while (start := self._hasher.size) < stop:
            self._hasher.update(self._file.read(start, min(REREAD_BYTES, stop - start)))

    def _seal(self, expected: Expected) -> Receipt:
        if not self._file.is_open:
            self._file.create()
            self._write_and_hash(0, b"".join(self._held))
        receipt = self._hasher.receipt()
        check_digests(receipt, expected)
        self._file.seal()
        return receipt

    def _restore(self) -> None:
        self._file.truncate(self._size)
        if self._held:
            self._file.write(0, b"".join(self._held))

    # -- helpers ------------------------------------------------------------------------------------------

    async def _ready(self) -> None:
        """Raise StorageFailed unless bytes may come; what a cancelled call left half done is undone first.

        Its threads went on when it was cancelled: the hashes may be ahead of `size` (the next append would be
        stored under a wrong digest), the file longer, and an fsync may have failed that nobody heard of.
        """
        if self._is_spent or self._is_sealed:
            raise StorageFailed(f"stage {self._id} takes no more bytes")
        if not self._is_torn:
            return
        if self._in_flight:
            await asyncio.wait(self._in_flight)
        if self._failure is not None:
            await self._give_up()
            raise self._failure
        if self._is_hashing:
            self._hasher.rewind()  # at or before whatever the cancelled call began to write
            self._is_hashing = False
        if self._file.is_open:
            await self._guarded(self._run("undoing a cancelled write", self._restore))
            self._held.clear()
        self._is_torn = False

    def _start(
        self, pool: ThreadPoolExecutor, what: str, call: Callable[[*Args], R], *args: *Args
    ) -> asyncio.Future[R]:
        future = asyncio.get_running_loop().run_in_executor(pool, lambda: disk_call(what, call, *args))
        self._in_flight.add(future)
        future.add_done_callback(self._landed)
        return future

    def _landed(self, future: asyncio.Future[Any]) -> None:
        self._in_flight.discard(future)
        if not future.cancelled() and isinstance(error := future.exception(), StorageFailed):
            self._failure = error

    async def _run(self, what: str, call: Callable[[*Args], R], *args: *Args) -> R:
        # Shielded: when the task is cancelled the thread goes on, and `discard` must be able to wait for it.
        return await asyncio.shield(self._start(self._place.disk, what, call, *args))

    async def _give_up(self) -> None:
        """After a failed disk call: what was not synced before is gone.

        So is a file whose entry was never synced: the kernel may have dropped it and call the folder clean.
        """
        await self._let_go(self._file.close if self._is_kept and self._file.is_named else self._file.drop)

    async def _guarded(self, work: Awaitable[R]) -> R:
        """Return what `work` gives; if a disk call failed in it, the bytes are gone and so is the stage."""
        try:
            return await work
        except StorageFailed:
            await self._give_up()
            raise
        except asyncio.CancelledError:
            self._is_torn = True
            raise
