"""Sends what is no good HTTP, each on a connection of its own and many at once, and hears what comes back."""

import asyncio
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from tests.conftest import Daemon
from tests.web.wire import address_of

PATIENCE_S = 60  # a connection that neither answers nor ends by then hangs
TOGETHER = 64
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")


@dataclass(frozen=True)
class Heard:
    """All bytes that came until the connection ended, and the statuses of the answers in them."""

    raw: bytes
    is_hung: bool

    @property
    def statuses(self) -> list[int]:
        return statuses(self.raw)


def statuses(raw: bytes | bytearray) -> list[int]:
    """Of all answers, but interim ones."""
    return [int(found) for found in _STATUS.findall(raw) if found != b"100"]


async def hear_all(daemon: Daemon, sent: Iterable[bytes]) -> list[Heard]:
    """What each is answered with, in their order."""
    gate = asyncio.Semaphore(TOGETHER)

    async def hear(data: bytes) -> Heard:
        async with gate:
            return await heard(address_of(daemon), data)

    return await asyncio.gather(*map(hear, sent))


async def heard(address: tuple[str, int], data: bytes) -> Heard:
    """What comes back until the server closes. The client's own side is closed once it has been answered."""
    reader, writer = await asyncio.open_connection(*address)
    found = bytearray()
    is_hung = False
    writer.write(data)  # whatever of it is taken: a refusal may come before all of it is sent
    try:
        async with asyncio.timeout(PATIENCE_S):
            while more := await reader.read(1 << 16):
                found += more
                if statuses(found):
                    writer.write_eof()
    except TimeoutError:
        is_hung = True
    except OSError:  # a reset is an end too
        pass
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()
    return Heard(bytes(found), is_hung)
