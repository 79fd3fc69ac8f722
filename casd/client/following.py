"""What is done with a download's blocks while the next ones arrive: written, and hashed in order, each in a thread."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from casd.client.blocks import Block
from casd.client.partial import Partial
from casd.model import BLOCK_SIZE, Digest
from casd.tasks import to_the_end

WAITING = 4  # blocks of a MiB: enough that neither the line nor a thread waits for the other's hiccups


class Lane:
    """Work on blocks for a thread of its own, done in the order in which it is given."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "casd-lane")
        self._given: deque[asyncio.Future[None]] = deque()

    async def give(self, work: Callable[[Block], None], block: Block) -> None:
        """The work will be done, whoever is cancelled. Returns when there is room. Raises what earlier work raised."""
        # Given before anything is waited for: of two that wait, the second may wake up first.
        self._given.append(asyncio.get_running_loop().run_in_executor(self._thread, work, block))
        while len(self._given) > WAITING:
            await self._oldest()

    async def emptied(self) -> None:
        """All that was given is done. Raises what it raised."""
        while self._given:
            await self._oldest()

    async def close(self) -> None:
        """As `emptied`, raising nothing; no thread is left."""
        await asyncio.gather(*self._given, return_exceptions=True)
        self._given.clear()
        self._thread.shutdown(wait=False)

    async def _oldest(self) -> None:
        oldest = self._given[0]
        await asyncio.shield(oldest)
        if self._given and self._given[0] is oldest:  # several may wait for the same
            self._given.popleft()


class Following:
    """The SHA-512 of a file that grows, in order: of blocks as they come, or read again where they came too early."""

    def __init__(self, partial: Partial, here: bytearray, size: int) -> None:
        """`here` has a 1 for each block that can be read from `partial`."""
        self._partial = partial
        self._here = here
        self._size = size
        self._hash = hashlib.sha512()
        self._position = 0
        self._lane = Lane()
        self._catching_up: asyncio.Task[None] | None = None

    async def took(self, block: Block) -> None:
        """The block is right, and written soon. It is hashed while the next ones come."""
        if self._catching_up is not None and not self._catching_up.done():
            return
        if block.start != self._position:
            self.follow()
            return
        self._position += block.size
        await self._lane.give(self._update, block)

    def follow(self) -> None:
        """Hash what is here and was passed by, from the file."""
        if self._is_here() and (self._catching_up is None or self._catching_up.done()):
            self._catching_up = asyncio.create_task(self._catch_up())

    async def digest(self) -> Digest:
        """Of all of it, which is here."""
        if self._catching_up is not None:
            await self._catching_up
        await self._catch_up()
        await self._lane.emptied()
        assert self._position == self._size
        return Digest(self._hash.digest())

    async def close(self) -> None:
        if self._catching_up is not None:
            self._catching_up.cancel()
            await asyncio.gather(self._catching_up, return_exceptions=True)
        await self._lane.close()

    def _is_here(self) -> bool:
        return self._position < self._size and bool(self._here[self._position // BLOCK_SIZE])

    async def _catch_up(self) -> None:
        await self._lane.emptied()
        while self._is_here():
            size = min(BLOCK_SIZE, self._size - self._position)
            await to_the_end(asyncio.to_thread(self._read, self._position, size))
            self._position += size

    def _read(self, start: int, size: int) -> None:
        self._hash.update(self._partial.read(start, size))

    def _update(self, block: Block) -> None:
        for piece in block.pieces:
            self._hash.update(piece)
