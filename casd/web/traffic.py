"""What all connections of the daemon share: who is there, which requests are under way, and their end."""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from casd.fair import UNBOUNDED, Bounds, FairQueue
from casd.web.origin import Origins
from casd.web.rates import Rates
from casd.web.tallies import Tallies
from casd.web.waiting import ANY_PACE, Pace

if TYPE_CHECKING:
    from casd.web.protocol import Connection

log = logging.getLogger(__name__)


READ_BUFFER_BYTES = 512 << 10  # per connection, twice that at most; what arrives while a batch is being hashed
BODIES_BYTES = 32 << 20  # of all bodies together, while they are few enough
ANSWERS_BYTES = 128 << 20  # of all answers that clients are slow to take; files are not in memory
BUFFERED_TIMES = 4  # twice in the buffer, and as much on its way to the disk
LEAST_BUFFER_BYTES = 128 << 10  # a smaller share is none: the loop reads up to 256 KiB at a time anyway
FIRST_REQUEST_S = 0.5  # it comes right behind the connection, so a slow line's round trip and a busy machine's delay


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """0 connections, requests or bytes a second means no limit."""

    head_timeout_s: float
    send_idle_timeout_s: float
    max_connections: int
    max_connections_per_address: int
    drain_timeout_s: float = 30.0
    slow_request_s: float = 0.0  # a request that casd takes longer for is told as slow; 0 means none is
    pace: Pace = ANY_PACE  # that a transfer must not fall behind
    requests: Bounds = UNBOUNDED  # small ones at a time
    transfers: Bounds = UNBOUNDED
    requests_per_s: float = 0.0  # of one token
    requests_burst: int = 100


@dataclass(slots=True)
class Traffic:
    """What all connections share: how many there are, and which requests are under way."""

    limits: ConnectionLimits
    origins: Origins = field(default_factory=Origins)
    affordable_connections: int = 0  # that the process has descriptors for; 0: as many as `limits` say
    connections: set["Connection"] = field(default_factory=set)
    resting: dict["Connection", None] = field(default_factory=dict)  # without a request, the longest first
    by_address: Counter[str] = field(default_factory=Counter)
    bodies: dict["Connection", StreamReader] = field(default_factory=dict)  # that arrive
    busy: set["Connection"] = field(default_factory=set)
    tallies: Tallies = field(default_factory=Tallies)
    is_draining: bool = False
    turned_away: int = 0  # connections, since the last that was taken
    refused_connections: int = 0  # since the start
    displaced_connections: int = 0  # idle ones that made room for others, since the start
    cut_readers: int = 0  # slow ones, whose answers took too much memory, since the start
    stalled: dict["Connection", int] = field(default_factory=dict)  # bytes that each is to take, the longest first
    stalled_bytes: int = 0
    rates: Rates = field(default_factory=Rates)
    requests: FairQueue = field(init=False)  # small ones
    transfers: FairQueue = field(init=False)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    waits_for_fresh: bool = True  # in a drain: for the first request of who has connected before it
    is_hurried: bool = False  # nobody waits for requests in flight any more

    def __post_init__(self) -> None:
        self.requests = FairQueue(lambda: self.limits.requests)
        self.transfers = FairQueue(lambda: self.limits.transfers)

    @property
    def max_connections(self) -> int:
        """0 means no cap."""
        caps = (self.limits.max_connections, self.affordable_connections)
        return min((cap for cap in caps if cap), default=0)

    def takes(self, connection: "Connection") -> bool:
        """Whether there is room for one more. Where there is none, the one that has been idle for longest makes room.

        Who says nothing keeps nobody out: idle are those that wait for another request, and those that have not sent
        their first whole.
        """
        limits, address = self.limits, connection.counted_as
        per_address = limits.max_connections_per_address
        if per_address and address and self.by_address[address] >= per_address:
            if not self.displaces(address):
                return False
        elif self.max_connections and len(self.connections) >= self.max_connections and not self.displaces():
            return False
        self.connections.add(connection)
        self.by_address[address] += 1
        self.resting[connection] = None
        return True

    def displaces(self, address: str | None = None) -> bool:
        """Whether a connection was idle, of that address or any; the one that was so for longest is closed."""
        longest = next((other for other in self.resting if other.is_idle and address in (None, other.counted_as)), None)
        if longest is None:
            return False
        self.forget(longest)
        longest.force_close()
        self.displaced_connections += 1
        return True

    def forget(self, connection: "Connection") -> None:
        """It is closed, or is going to be; a second time changes nothing."""
        self.resting.pop(connection, None)
        self.bodies.pop(connection, None)
        self.takes_again(connection)
        if connection in self.connections:
            self.connections.discard(connection)
            self.by_address[connection.counted_as] -= 1
            if not self.by_address[connection.counted_as]:
                del self.by_address[connection.counted_as]
        if self.is_draining:
            self.idle.set()

    def waits_for(self, connection: "Connection", size: int) -> None:
        """So many bytes of an answer are in memory until the client takes them.

        A page of a listing can have 8 MiB: of those who take nothing, the one that is waited for longest is cut off.
        """
        self.stalled[connection] = size
        self.stalled_bytes += size
        while self.stalled_bytes > ANSWERS_BYTES and len(self.stalled) > 1:
            longest = next(iter(self.stalled))
            self.takes_again(longest)
            self.cut_readers += 1
            longest.cut_stalled()

    def takes_again(self, connection: "Connection") -> None:
        self.stalled_bytes -= self.stalled.pop(connection, 0)

    def begins(self, connection: "Connection") -> None:
        """A request of the connection is under way."""
        self.resting.pop(connection, None)
        self.busy.add(connection)

    def ends(self, connection: "Connection") -> None:
        """No request of the connection is under way."""
        self.busy.discard(connection)
        self.bodies.pop(connection, None)
        if connection in self.connections:
            self.resting[connection] = None
        if not self.busy:
            self.idle.set()

    def receives(self, connection: "Connection", body: StreamReader) -> None:
        """A body begins to arrive: each may have as much in memory as is its share of what all may have.

        Bodies that arrive faster than they are hashed fill their buffers: 200 of them took 800 MiB.
        """
        if body is EMPTY_PAYLOAD:  # of all requests without one
            return
        self.bodies[connection] = body
        share = BODIES_BYTES // (BUFFERED_TIMES * len(self.bodies))
        limit = min(READ_BUFFER_BYTES, share) if share >= LEAST_BUFFER_BYTES else 0
        for other in self.bodies.values():
            # aiohttp 3.14.5 takes these when a connection begins, and never lowers them.
            other._low_water, other._high_water = max(1, limit), 2 * limit

    async def drain(self, timeout_s: float | None = None) -> bool:
        """Let requests in flight finish, each with `Connection: close`; returns whether all did in time.

        The caller has stopped accepting. Idle connections are closed at once, requests that are not done in time are
        cut off: aiohttp's own shutdown would wait another minute for them. The time is that of the limits unless given.
        Who has just connected is about to ask, and has a moment for it.
        """
        timeout_s = self.limits.drain_timeout_s if timeout_s is None else timeout_s
        self.is_draining = True
        for connection in self.connections - self.busy:
            if not connection.is_fresh:
                connection.close_if_idle()
        closing = asyncio.get_running_loop().call_later(min(FIRST_REQUEST_S, timeout_s), self._close_fresh)
        try:
            async with asyncio.timeout(timeout_s):
                while (self.busy or self._has_fresh()) and not self.is_hurried:
                    self.idle.clear()
                    await self.idle.wait()
        except TimeoutError:
            log.warning("drain deadline passed requests=%d", len(self.busy))
        closing.cancel()
        for connection in self.busy:
            connection.cut_off()
        return not self.busy

    def _has_fresh(self) -> bool:
        return self.waits_for_fresh and any(connection.is_fresh for connection in self.connections)

    def _close_fresh(self) -> None:
        self.waits_for_fresh = False
        for connection in self.connections - self.busy:
            connection.close_if_idle()
        self.idle.set()

    def hurry(self) -> None:
        """Cut off what a drain waits for."""
        self.is_hurried = True
        self.idle.set()


TRAFFIC = web.AppKey("traffic", Traffic)
