"""A thousand hostile clients in one process: it reads what to do as a line of JSON, says `ready` when all of them have
connected, and ends with its input. For tests and for the benchmark.

Each does one thing for as long as it is let, and comes back when it is cut off.
"""

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TypeAlias

TICK_S = 0.25  # of those who send a little now and then
SETTLED_S = 1.0  # after its first connection one has begun
AGAIN_S = 0.5  # before one comes back

Speak: TypeAlias = Callable[["Flood", asyncio.StreamWriter], Awaitable[None]]


@contextmanager
def hostile_clients(flood: "Flood") -> Iterator[None]:
    """All of them, in a process of their own, from the moment when each of them has begun."""
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(asdict(flood)) + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == "ready\n"
            yield
            assert process.poll() is None
            process.stdin.close()
            process.wait(timeout=60)
        finally:
            process.kill()


@dataclass(frozen=True)
class Flood:
    """What all of them know."""

    host: str
    port: int
    token: str
    download: str  # a path whose answer is long
    declared: int  # bytes that will never come
    clients: int

    @property
    def own(self) -> str:
        return f"Host: casd.test\r\nAuthorization: Bearer {self.token}\r\n"

    async def live(self, speak: Speak, begun: asyncio.Event) -> None:
        while True:
            try:
                # A small limit, so that what is sent to one who does not read stays where it came from.
                reader, writer = await asyncio.open_connection(self.host, self.port, limit=1024)
            except OSError:
                begun.set()
                await asyncio.sleep(AGAIN_S)
                continue
            try:
                asyncio.get_running_loop().call_later(SETTLED_S, begun.set)
                await speak(self, writer)
                await (writer.wait_closed() if speak is read_nothing else reader.read())
            except OSError:
                pass
            finally:
                writer.transport.abort()
            await asyncio.sleep(AGAIN_S * random.random())


async def say_nothing(flood: Flood, writer: asyncio.StreamWriter) -> None:
    pass


async def drip_a_head(flood: Flood, writer: asyncio.StreamWriter) -> None:
    await say(writer, "GET / HTTP/1.1\r\nX-Slow: ")
    while True:
        await say(writer, "x")
        await asyncio.sleep(TICK_S)


async def stall_a_body(flood: Flood, writer: asyncio.StreamWriter) -> None:
    await say(writer, f"POST /v1/blobs HTTP/1.1\r\n{flood.own}Content-Length: 1000000\r\n\r\nabc")


async def declare_much(flood: Flood, writer: asyncio.StreamWriter) -> None:
    await say(writer, f"POST /v1/blobs HTTP/1.1\r\n{flood.own}Content-Length: {flood.declared}\r\n\r\n")


async def send_chunks_for_ever(flood: Flood, writer: asyncio.StreamWriter) -> None:
    await say(writer, f"PUT /v1/names/flood/chunks HTTP/1.1\r\n{flood.own}Transfer-Encoding: chunked\r\n\r\n")
    while True:
        await say(writer, "1;an=extension\r\nx\r\n")
        await asyncio.sleep(TICK_S)


async def read_nothing(flood: Flood, writer: asyncio.StreamWriter) -> None:
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a socket's transport
    await say(writer, f"GET {flood.download} HTTP/1.1\r\n{flood.own}\r\n" * 10)
    await asyncio.sleep(3600)


KINDS: tuple[Speak, ...] = (
    say_nothing,
    drip_a_head,
    stall_a_body,
    declare_much,
    send_chunks_for_ever,
    read_nothing,
)


async def say(writer: asyncio.StreamWriter, text: str) -> None:
    if writer.transport.is_closing():
        raise ConnectionResetError
    writer.write(text.encode())
    await writer.drain()


async def main() -> None:
    flood = Flood(**json.loads(await asyncio.to_thread(sys.stdin.readline)))
    begun = [asyncio.Event() for _ in range(flood.clients)]
    lives = [asyncio.create_task(flood.live(KINDS[number % len(KINDS)], event)) for number, event in enumerate(begun)]
    for event in begun:
        await event.wait()
    print("ready", flush=True)  # to whoever started this
    await asyncio.to_thread(sys.stdin.read)
    for life in lives:
        life.cancel()
    await asyncio.gather(*lives, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main())
