"""An open payload on local disk: its bytes as the page cache has them, and as the disk has them.

Checksums are made in threads of their own, a few at a time: a queue behind a disk gets no faster with more, and
uploads, which wait for their fsyncs elsewhere, are not kept waiting.
"""

import asyncio
import errno
import hashlib
import mmap
import os
import threading
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from struct import pack
from typing import TypeVar, TypeVarTuple

import xxhash

from casd.errors import PayloadDamaged, PayloadUnreadable
from casd.model import BLOCK_SIZE, Digest, Examined
from casd.payloads.folders import disk_call
from casd.tasks import to_the_end

PROBE_STEP_BYTES = 256 << 10  # twice the usual read-ahead: at 64 KiB probes took a fifth of a warm download's time
READ_NOW_BYTES = 256 << 10  # the most that is copied on the loop in one go (about 30 us)
CHECK_THREADS = 4
# One read of several blocks in a row, which the kernel fetches ahead by itself. A block alone is asked for at once: in
# pieces of 256 KiB it takes twice as long from a disk (3.3 ms beside 1.8). Longer reads in a row make larger folios,
# which a virtual machine seems to fetch from its host anew: see `staged.py`.
RUN_PIECE_BYTES = 256 << 10
EXAMINE_STEP_BYTES = 4 << 20  # one hop into a thread: 6 ms of SHA-512
DIRECT_BYTES = 1 << 20  # one read past the page cache

# What a disk, its driver or a file system that checks itself answers for bytes that it cannot give.
UNREADABLE = frozenset({errno.EIO, errno.EUCLEAN, errno.EBADMSG, errno.ENODATA, errno.EREMOTEIO, errno.EILSEQ})

Args = TypeVarTuple("Args")
R = TypeVar("R")


class Checkers:
    """Threads that make checksums, each with a buffer for one block; the pages of a new one cost more than the hash."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(CHECK_THREADS, "casd-check")
        self._own = threading.local()

    @property
    def buffer(self) -> memoryview:
        """The calling thread's own."""
        found: memoryview | None = getattr(self._own, "buffer", None)
        if found is None:
            found = self._own.buffer = memoryview(bytearray(BLOCK_SIZE))
        return found


class LocalPayload:
    """See `payloads.base.Payload`."""

    def __init__(self, digest: Digest, file: int, disk: ThreadPoolExecutor, checkers: Checkers) -> None:
        self._digest = digest
        self._file = file
        self._disk = disk
        self._checkers = checkers
        facts = os.fstat(file)
        self.size = facts.st_size
        self.identity: Hashable = identity_of(facts)

    @property
    def file(self) -> int:
        return self._file

    async def read(self, start: int, stop: int) -> bytes:
        data = self.read_now(start, stop) if stop - start <= READ_NOW_BYTES else None
        if data is None:
            data = await self._run(self._disk, self._read, start, stop)
        return data

    def _read(self, start: int, stop: int) -> bytes:
        pieces = []
        while start < stop:
            piece = os.pread(self._file, stop - start, start)
            if not piece:
                raise PayloadDamaged(f"payload {self._digest} ends at byte {start}; store it again to heal it")
            pieces.append(piece)
            start += len(piece)
        return b"".join(pieces)

    def read_now(self, start: int, stop: int) -> bytes | None:
        if start == stop:
            return b""
        data = bytearray(stop - start)
        try:
            count = os.preadv(self._file, [data], start, os.RWF_NOWAIT)
        except OSError as error:
            # Not in the page cache (EAGAIN), or a file system that does not know the flag: `read` finds out what else.
            if error.errno in (errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL) or error.errno in UNREADABLE:
                return None
            raise
        return bytes(data) if count == len(data) else None

    def is_cached(self, start: int, stop: int) -> bool:
        # One byte of each step and the last one. A probe costs 1 us; copying the window to find out costs 30.
        probe = bytearray(1)
        try:
            for offset in (*range(start, stop, PROBE_STEP_BYTES), stop - 1):
                if os.preadv(self._file, [probe], offset, os.RWF_NOWAIT) != 1:
                    return False
        except OSError:
            return False
        return True

    # -- what the bytes are worth -------------------------------------------------------------------------

    async def block_checksums(self, start: int, stop: int, *, from_disk: bool = False) -> bytes:
        return await self._run(self._checkers.pool, self._from_disk if from_disk else self._from_cache, start, stop)

    def _from_cache(self, start: int, stop: int) -> bytes:
        found, hasher, buffer = bytearray(), xxhash.xxh3_64(), self._checkers.buffer
        piece = BLOCK_SIZE if stop - start == 1 else RUN_PIECE_BYTES
        offset, end = start * BLOCK_SIZE, stop * BLOCK_SIZE
        while offset < end and (count := os.preadv(self._file, [buffer[: piece - offset % piece]], offset)):
            hasher.update(buffer[:count])
            offset += count
            if offset % BLOCK_SIZE == 0:
                found += hasher.digest()
                hasher.reset()
        return bytes(found + hasher.digest()) if offset % BLOCK_SIZE else bytes(found)

    def _from_disk(self, start: int, stop: int) -> bytes:
        found = bytearray()
        with DiskReader(self._file) as disk:
            for block in range(start, stop):
                data = disk.read(block * BLOCK_SIZE)
                if not data:
                    break
                found += xxhash.xxh3_64_digest(data)
        return bytes(found)

    async def examine(self, pace: Callable[[int], Awaitable[None]] | None = None) -> Examined:
        found = _Examining(self._file)
        try:
            while count := await self._run(self._checkers.pool, found.step):
                if pace is not None:
                    await pace(count)
        finally:
            found.close()
        return found.result()

    async def forget_cached(self) -> None:
        await self._run(self._checkers.pool, os.posix_fadvise, self._file, 0, 0, os.POSIX_FADV_DONTNEED)

    async def _run(self, pool: ThreadPoolExecutor, call: Callable[[*Args], R], *args: *Args) -> R:
        """`call(...)` in a thread, which has left the descriptor alone when this returns, cancelled or not."""

        async def hop() -> R:
            return await asyncio.get_running_loop().run_in_executor(
                pool, disk_call, f"payload {self._digest}", self._readable, call, *args
            )

        return await to_the_end(hop())

    def _readable(self, call: Callable[[*Args], R], *args: *Args) -> R:
        try:
            return call(*args)
        except OSError as error:
            if error.errno in UNREADABLE:
                raise PayloadUnreadable(f"payload {self._digest} cannot be read: {error.strerror}") from error
            raise

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)  # read-only: nothing to flush, so it never waits
            self._file = -1


def identity_of(facts: os.stat_result) -> Hashable:
    """A commit makes another inode; whoever writes into the file leaves a time, and a length."""
    return pack("<QQqq", facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_size)


class _Examining:
    """A whole file's checksums, step by step."""

    def __init__(self, file: int) -> None:
        self._disk = DiskReader(file)
        self._sha512 = hashlib.sha512()
        self._blocks = bytearray()
        self._size = 0

    def step(self) -> int:
        """Go on for a few blocks; returns how many bytes that were, 0 at the end."""
        start = self._size
        while self._size < start + EXAMINE_STEP_BYTES:
            data = self._disk.read(self._size)
            if not data:
                break
            self._sha512.update(data)
            self._blocks += xxhash.xxh3_64_digest(data)
            self._size += len(data)
        return self._size - start

    def result(self) -> Examined:
        return Examined(Digest(self._sha512.digest()), self._size, bytes(self._blocks))

    def close(self) -> None:
        self._disk.close()


class DiskReader:
    """Reads a file in blocks past the page cache: by O_DIRECT, and where a file system has none by dropping pages.

    Dropped are clean pages that nobody maps, so that without O_DIRECT (tmpfs, some network file systems) a page that
    is in use elsewhere may be read once more as it is in memory.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        self._buffer = mmap.mmap(-1, DIRECT_BYTES)  # on a page's boundary, as O_DIRECT wants it
        try:
            self._direct = os.open(f"/proc/self/fd/{file}", os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
        except OSError:
            self._direct = -1

    def read(self, offset: int) -> bytes:
        """The block at `offset`, shorter at the file's end."""
        count = self._fill(offset)
        while 0 < count < BLOCK_SIZE and (more := self._fill_more(offset, count)):
            count += more
        return self._buffer[:count]

    def _fill(self, offset: int) -> int:
        if self._direct >= 0:
            try:
                return os.preadv(self._direct, [self._buffer], offset)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                os.close(self._direct)  # known at open and not at read: some stacked file systems
                self._direct = -1
        os.posix_fadvise(self._file, offset, BLOCK_SIZE, os.POSIX_FADV_DONTNEED)
        return os.preadv(self._file, [self._buffer], offset)

    def _fill_more(self, offset: int, count: int) -> int:
        """What a short read left, which at the file's end is nothing. Through the cache: it may start anywhere."""
        with memoryview(self._buffer) as view, view[count:] as rest:
            return os.preadv(self._file, [rest], offset + count)

    def close(self) -> None:
        self._buffer.close()
        if self._direct >= 0:
            os.close(self._direct)
            self._direct = -1

    def __enter__(self) -> "DiskReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
