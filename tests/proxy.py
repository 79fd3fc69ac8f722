"""A TCP proxy that fails as it is told: it cuts, stalls or throttles a connection. For tests of resuming."""

import asyncio
import re
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, Self
from urllib.parse import urlsplit

PATIENCE_S = 60.0  # what has not happened by then never will: the test fails
_CHUNK = 16 << 10
_RECORDED = 64 << 10  # bytes of requests kept for a test to look at: heads, not uploads
NO_LINGERING = struct.pack("ii", 1, 0)  # a close is a reset


@dataclass(frozen=True)
class Fault:
    """What goes wrong on one connection, after `after` bytes of the answers (heads included) or the requests.

    A cut is an orderly end of the stream, so that exactly the bytes before it arrive; a reset may take some of them
    along. A stall lasts until the client has had enough. What is throttled goes on at `rate` bytes a second.
    """

    kind: Literal["cut", "reset", "stall", "throttle"]
    after: int
    of: Literal["answers", "requests"] = "answers"
    rate: int = 1 << 20


@dataclass
class Seen:
    """One connection as the proxy saw it."""

    requests: bytearray = field(default_factory=bytearray)
    answers: int = 0  # bytes passed on
    sent: int = 0  # bytes of requests passed on
    is_struck: bool = False  # its fault came to pass, other than a throttling

    @property
    def ranges(self) -> list[str]:
        """Range of each request that had one, without its unit."""
        return re.findall(r"(?im)^range: *bytes=([^\r\n]+)", self.requests.decode("latin-1"))


class Proxy:
    """`async with Proxy(daemon.url) as proxy`, then speak to `proxy.url`.

    The first connection takes the first of `faults`, and so on; those after the last take `then`, or work. `seen` has
    one entry for each connection. With `all_strike`, a fault is on every connection until it has
    struck one that was long enough; two at once may both be struck.
    """

    def __init__(
        self, upstream: str, *faults: Fault | None, then: Fault | None = None, all_strike: bool = False
    ) -> None:
        self._upstream = upstream
        self._faults = list(faults)
        self._then = then
        self._all_strike = all_strike
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._is_closed = False
        self.seen: list[Seen] = []
        self._stalled = asyncio.Event()
        self._ended = asyncio.Event()

    @property
    def url(self) -> str:
        host, port = self._server.sockets[0].getsockname()
        return f"http://{host}:{port}"

    @property
    def ranges(self) -> list[str]:
        """What was asked for by range, connection by connection."""
        return [wanted for seen in self.seen for wanted in seen.ranges]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_closed = True
        self._server.close()
        await self._drop()
        await self._server.wait_closed()

    @property
    def struck(self) -> int:
        """How many faults came to pass."""
        return sum(seen.is_struck for seen in self.seen)

    async def stalled(self) -> None:
        """Returns once a connection has stalled."""
        await asyncio.wait_for(self._stalled.wait(), PATIENCE_S)

    async def ended(self) -> None:
        """Returns once a connection has ended, by a cut or otherwise."""
        await asyncio.wait_for(self._ended.wait(), PATIENCE_S)

    async def mend(self) -> None:
        """Every connection is closed; those to come work."""
        self._faults.clear()
        self._then = None
        self._stalled.clear()
        await self._drop()

    async def retarget(self, upstream: str) -> None:
        """Every connection is closed; those to come go to `upstream`, such as a daemon that was started again."""
        self._upstream = upstream
        await self._drop()

    async def _drop(self) -> None:
        dropped = dict(self._connections)
        for task in dropped:
            task.cancel()
        await asyncio.gather(*dropped, return_exceptions=True)
        for writer in dropped.values():  # a task that was cancelled before it began closed nothing
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_closed:  # accepted before the server closed, told only now
            writer.transport.abort()
            return
        task = asyncio.create_task(self._connection(reader, writer))
        self._connections[task] = writer
        task.add_done_callback(self._connections.pop)

    def _next_fault(self) -> Fault | None:
        if not self._faults:
            return self._then
        return self._faults[0] if self._all_strike else self._faults.pop(0)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = self._next_fault()
        seen = Seen()
        self.seen.append(seen)
        address = urlsplit(self._upstream)
        try:
            up_reader, up_writer = await asyncio.open_connection(address.hostname, address.port)
        except OSError:  # a daemon that was killed; its client learns so at once
            writer.close()
            return
        pumps = [
            asyncio.create_task(self._pump(reader, up_writer, seen, fault, "requests")),
            asyncio.create_task(self._pump(up_reader, writer, seen, fault, "answers")),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            if fault and fault.kind == "reset":
                for end in (writer, up_writer):
                    end.get_extra_info("socket").setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                    )
        finally:
            for end in (writer, up_writer):
                end.close()  # before anything that waits, and so may be cancelled
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for end in (writer, up_writer):
                with suppress(OSError):
                    await end.wait_closed()
            self._ended.set()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        seen: Seen,
        fault: Fault | None,
        of: Literal["answers", "requests"],
    ) -> None:
        """Passes bytes on until one side ends or the fault strikes."""
        own = fault if fault and fault.of == of else None
        is_throttled = own is not None and own.kind == "throttle"
        limit = own.after if own and not is_throttled else None
        passed = 0
        while chunk := await reader.read(_CHUNK if limit is None else min(_CHUNK, limit - passed)):
            writer.write(chunk)
            await writer.drain()
            passed += len(chunk)
            if of == "requests":
                seen.sent += len(chunk)
                seen.requests += chunk[: _RECORDED - len(seen.requests)]
            else:
                seen.answers = passed
            if limit is not None and passed == limit:
                seen.is_struck = True
                if self._all_strike and self._faults:
                    self._faults.pop(0)
                break
            if own and is_throttled and passed > own.after:
                await asyncio.sleep(len(chunk) / own.rate)
        if own and limit == passed and own.kind == "stall":
            self._stalled.set()
            await asyncio.Event().wait()  # until the client has had enough, or the test ends
