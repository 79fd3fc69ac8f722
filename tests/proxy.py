"""A TCP proxy that fails as it is told: cuts or stalls a connection after so many bytes. For tests of resuming."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, Self
from urllib.parse import urlsplit

PATIENCE_S = 60.0  # what has not happened by then never will: the test fails
_CHUNK = 16 << 10
_RECORDED = 64 << 10  # bytes of requests kept for a test to look at: heads, not uploads


@dataclass(frozen=True)
class Fault:
    """What goes wrong on one connection, after `after` bytes of the answers (heads included) or the requests."""

    kind: Literal["cut", "stall"]
    after: int
    of: Literal["answers", "requests"] = "answers"


@dataclass
class Seen:
    """One connection as the proxy saw it."""

    requests: bytearray = field(default_factory=bytearray)
    answers: int = 0  # bytes passed on


class Proxy:
    """`async with Proxy(daemon.url) as proxy`, then speak to `proxy.url`.

    The first connection takes the first of `faults`, and so on; those after the last work. A cut is an orderly
    end of the stream, so that exactly the bytes before it arrive. `seen` has one entry for each connection.
    """

    def __init__(self, upstream: str, *faults: Fault | None) -> None:
        self._upstream = upstream
        self._faults = list(faults)
        self._connections: set[asyncio.Task[None]] = set()
        self.seen: list[Seen] = []
        self._stalled = asyncio.Event()
        self._ended = asyncio.Event()

    @property
    def url(self) -> str:
        host, port = self._server.sockets[0].getsockname()
        return f"http://{host}:{port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._drop()
        await self._server.wait_closed()

    async def stalled(self) -> None:
        """Returns once a connection has stalled."""
        await asyncio.wait_for(self._stalled.wait(), PATIENCE_S)

    async def ended(self) -> None:
        """Returns once a connection has ended, by a cut or otherwise."""
        await asyncio.wait_for(self._ended.wait(), PATIENCE_S)

    async def retarget(self, upstream: str) -> None:
        """Every connection is closed; those to come go to `upstream`, such as a daemon that was started again."""
        self._upstream = upstream
        await self._drop()

    async def _drop(self) -> None:
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._connection(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = self._faults.pop(0) if self._faults else None
        seen = Seen()
        self.seen.append(seen)
        address = urlsplit(self._upstream)
        up_reader, up_writer = await asyncio.open_connection(address.hostname, address.port)
        pumps = [
            asyncio.create_task(self._pump(reader, up_writer, seen, fault, "requests")),
            asyncio.create_task(self._pump(up_reader, writer, seen, fault, "answers")),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
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
        limit = fault.after if fault and fault.of == of else None
        passed = 0
        while chunk := await reader.read(_CHUNK if limit is None else min(_CHUNK, limit - passed)):
            writer.write(chunk)
            await writer.drain()
            passed += len(chunk)
            if of == "requests":
                seen.requests += chunk[: _RECORDED - len(seen.requests)]
            else:
                seen.answers = passed
            if limit is not None and passed == limit:
                break
        if fault and limit == passed and fault.kind == "stall":
            self._stalled.set()
            await asyncio.Event().wait()  # until the client has had enough, or the test ends
