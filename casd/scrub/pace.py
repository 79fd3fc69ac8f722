"""How fast scrub may read."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

BUSY_SHARE = 0.25  # of the rate, while somebody is served
PAYLOAD_COST_BYTES = 64 << 10  # opening a small payload costs a disk as much time as reading that
SLEEP_S = 0.05  # no shorter: a sleep of a millisecond costs as much as reading 100 KiB


class Pace:
    """So many bytes per second, and a share of that while somebody is served."""

    def __init__(
        self,
        bytes_per_s: float,
        is_busy: Callable[[], bool],
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`clock` and `sleep` are in seconds."""
        self._bytes_per_s = bytes_per_s
        self._is_busy = is_busy
        self._clock = clock
        self._sleep = sleep
        self._free_at = clock()

    async def __call__(self, count: int) -> None:
        """Wait as long as reading `count` bytes may take; whoever shares the pace waits behind."""
        rate = self._bytes_per_s * (BUSY_SHARE if self._is_busy() else 1)
        now = self._clock()
        self._free_at = max(self._free_at, now) + count / rate
        if self._free_at - now >= SLEEP_S:
            await self._sleep(self._free_at - now)

    async def payload(self) -> None:
        """The same for opening a payload, whatever its size."""
        await self(PAYLOAD_COST_BYTES)

    def longest(self, count: int) -> timedelta:
        """How long it takes to read so many bytes while somebody is served all the time."""
        return timedelta(seconds=count / (self._bytes_per_s * BUSY_SHARE))
