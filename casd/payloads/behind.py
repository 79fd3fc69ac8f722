"""Hashing behind the writes: bytes that are on disk and were not hashed on their way in, read once more in their order.

That is the prefix of a stage that was opened again, and what arrives meanwhile. It goes on while more arrives and
between two requests, so that the end waits for little.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

from casd.errors import StorageFailed
from casd.payloads.hashing import PayloadHasher

PIECE_BYTES = 16 << 20  # hashed in two threads side by side; then others who hash have their turn
READ_BYTES = 1 << 20  # in memory, per thread


Read: TypeAlias = Callable[[int, int], bytes]  # some bytes from an offset on, at most so many


class HashingBehind:
    """The task that catches up. Whoever uses the hasher stops it first, or sees that it is not running."""

    def __init__(
        self, hasher: PayloadHasher, pool: ThreadPoolExecutor, start: Callable[..., asyncio.Future[Any]]
    ) -> None:
        """`start` runs a call in a pool, and tells the stage's owner that a thread is at work."""
        self._hasher = hasher
        self._pool = pool
        self._start = start
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._failure: StorageFailed | None = None

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def begin(self, read: Read, size: Callable[[], int]) -> None:
        """Hash until as much is hashed as `size` says then. Doing it again changes nothing."""
        if not self.is_running:
            self._is_stopping = False
            self._failure = None
            self._task = asyncio.create_task(self._catch_up(read, size))

    async def stop(self) -> None:
        """Return when no thread reads any more; the hasher is at some place that it has reached."""
        self._is_stopping = True
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    async def finish(self, read: Read, size: Callable[[], int]) -> None:
        """Return when all is hashed. A caller that is cancelled does not stop it. Raises StorageFailed."""
        while self._hasher.size < size():
            self.begin(read, size)
            assert self._task is not None
            await asyncio.wait([self._task])
            if self._failure is not None:
                raise self._failure

    async def _catch_up(self, read: Read, size: Callable[[], int]) -> None:
        hasher = self._hasher
        while not self._is_stopping and (start := hasher.size) < (stop := size()):
            stop = min(stop, start + PIECE_BYTES)
            lanes = [
                self._start(self._pool, "hash", hash_range, read, start, stop, update)
                for update in (hasher.update_sha512, hasher.update_rest)
            ]
            await asyncio.wait(lanes)
            failures = [error for lane in lanes if (error := lane.exception()) is not None]
            if failures:
                hasher.rewind()
                if not isinstance(failures[0], StorageFailed):
                    raise failures[0]
                self._failure = failures[0]
                return
            hasher.size = stop
            hasher.keep()


def hash_range(read: Read, start: int, stop: int, update: Callable[[bytes, int], None]) -> None:
    while start < stop:
        data = read(start, min(READ_BYTES, stop - start))
        update(data, start)
        start += len(data)
