"""One lock per digest, inside this process; the daemon's lock on the data folder makes that enough.

Held by a commit from its rename to its row's commit, by collection from its transaction to the unlink, by
quarantine and repair. Never held while a client is waited for; the catalogue's writer takes none.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from casd.model import Digest


class DigestLocks:
    """Locks that exist while somebody holds them or waits."""

    def __init__(self) -> None:
        self._locks: dict[Digest, asyncio.Lock] = {}
        self._users: dict[Digest, int] = {}

    @asynccontextmanager
    async def hold(self, digest: Digest) -> AsyncIterator[None]:
        """Hold the digest's lock for the length of the block; waiters go in the order in which they came."""
        lock = self._locks.setdefault(digest, asyncio.Lock())
        self._users[digest] = self._users.get(digest, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._users[digest] -= 1
            if not self._users[digest]:
                del self._users[digest], self._locks[digest]

    def __len__(self) -> int:
        return len(self._locks)
