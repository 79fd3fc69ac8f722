"""A thousand hostile clients in one process: it reads what to do as a line of JSON, says `ready` when all of them have
connected, and ends with its input. For tests and for the benchmark.

Each does one thing for as long as it is let, and comes back when it is cut off.
"""

import asyncio
import json
import random
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

TICK_S = 0.25  # of those who send a little now and then
AGAIN_S = 0.5  # before one comes back

Speak: TypeAlias = Callable[["Hostile", asyncio.StreamWriter], Awaitable[None]]


class Hostile:
    """What all of them know."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.host: str = facts["host"]
        self.port: int = facts["port"]
        self.own = f"Host: casd.test\r\nAuthorization: Bearer {facts['token']}\r\n"
        self.download: str = facts["download"]
        self.declared: int = facts["declared"]

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
                begun.set()
                await speak(self, writer)
                await (writer.wait_closed() if speak is read_nothing else reader.read())
            except OSError:
                pass
            finally:
                writer.transport.abort()
            await asyncio.sleep(AGAIN_S * random.random())


async def say_nothing(hostile: Hostile, writer: asyncio.StreamWriter) -> None:
    pass


async def drip_a_head(hostile: Hostile, writer: asyncio.StreamWriter) -> None:
    await say(writer, "GET / HTTP/1.1\r\nX-Slow: ")
    while True:
        await say(writer, "x")
        await asyncio.sleep(TICK_S)


async def stall_a_body(hostile: Hostile, writer: asyncio.StreamWriter) -> None:
    await say(writer, f"POST /v1/blobs HTTP/1.1\r\n{hostile.own}Content-Length: 1000000\r\n\r\nabc")


async def declare_much(hostile: Hostile, writer: asyncio.StreamWriter) -> None:
    await say(writer, f"POST /v1/blobs HTTP/1.1\r\n{hostile.own}Content-Length: {hostile.declared}\r\n\r\n")


async def send_chunks_for_ever(hostile: Hostile, writer: asyncio.StreamWriter) -> None:
    await say(writer, f"PUT /v1/names/flood/chunks HTTP/1.1\r\n{hostile.own}Transfer-Encoding: chunked\r\n\r\n")
    while True:
        await say(writer, "1;an=extension\r\nx\r\n")
        await asyncio.sleep(TICK_S)


async def read_nothing(hostile: Hostile, writer: asyncio.StreamWriter) -> None:
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a socket's transport
    await say(writer, f"GET {hostile.download} HTTP/1.1\r\n{hostile.own}\r\n" * 10)
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
    facts = json.loads(await asyncio.to_thread(sys.stdin.readline))
    hostile = Hostile(facts)
    begun = [asyncio.Event() for _ in range(facts["clients"])]
    lives = [asyncio.create_task(hostile.live(KINDS[number % len(KINDS)], event)) for number, event in enumerate(begun)]
    for event in begun:
        await event.wait()
    print("ready", flush=True)  # to whoever started this
    await asyncio.to_thread(sys.stdin.read)
    for life in lives:
        life.cancel()
    await asyncio.gather(*lives, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main())
