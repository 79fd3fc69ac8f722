"""The client of a file system, connected when it is first needed, and not longer than that lives."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from contextlib import suppress

from casd.client import Client

CLOSE_S = 1.0  # what a forgotten file system has to hang up


class Session:
    """One client for the loop that uses it. Nothing is opened before that, so a file system costs nothing to make."""

    def __init__(self, owner: object, connect: Callable[[], Client]) -> None:
        self._owner = weakref.ref(owner)
        self._connect = connect
        self._opened: tuple[asyncio.AbstractEventLoop, Client] | None = None

    async def client(self) -> Client:
        """On another loop than before (a second `asyncio.run`) it is another one."""
        loop = asyncio.get_running_loop()
        if self._opened is None or self._opened[0] is not loop:
            client = self._connect()
            self._opened = loop, client
            await client.__aenter__()  # waits for nothing, so nobody comes in between
            weakref.finalize(self._owner(), _hang_up, loop, client)
        return self._opened[1]

    async def close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened[1].__aexit__(None, None, None)


def _hang_up(loop: asyncio.AbstractEventLoop, client: Client) -> None:
    if loop.is_closed() or not loop.is_running():
        return
    closing = asyncio.run_coroutine_threadsafe(client.__aexit__(None, None, None), loop)
    if loop is not asyncio._get_running_loop():
        with suppress(Exception):
            closing.result(CLOSE_S)
