"""One request body on its way: watched for progress, and told apart by what went wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from types import AsyncGeneratorType
from typing import cast

import aiohttp
from multidict import CIMultiDictProxy

from casd.client.errors import ConnectionLost
from casd.client.progress import Gauge
from casd.client.transport import Transport

SLICE = 64 << 10  # bytes between two looks at the clock: a line of 1 KiB/s still counts as moving
ANSWER_TIMEOUT_S = 600.0  # after the last byte: the daemon syncs gigabytes to a slow disk before it answers
ASKING_BYTES = 1 << 20  # bodies from here on wait for the daemon's consent, so that a refusal costs no upload


async def send(
    transport: Transport,
    method: str,
    path: str,
    headers: Mapping[str, str],
    pieces: AsyncGenerator[bytes, None],
    start: int,
    size: int,
    gauge: Gauge,
) -> CIMultiDictProxy[str]:
    """The daemon has taken a body of `size` bytes, which are those from `start` of a payload: its answer's headers.

    Raises what `Transport.open` raises, and what `pieces` raises.
    """
    body = _Body(pieces, start, transport.idle_timeout_s, gauge)
    try:
        async with asyncio.timeout(transport.idle_timeout_s) as body.deadline:
            response = await transport.open(
                method,
                path,
                headers={**headers, "Content-Length": str(size)},
                data=body.slices,
                expect100=size >= ASKING_BYTES,
                # aiohttp's read deadline runs while we send, when the daemon has nothing to say.
                timeout=aiohttp.ClientTimeout(total=None, sock_read=None),
            )
            async with response:
                return response.headers
    except TimeoutError as error:
        raise transport.stalled() from error
    except ConnectionLost:
        # aiohttp wraps what the source raised in a connection error; the cause is what can be acted on.
        if body.failure is not None:
            raise body.failure from None
        raise
    finally:
        await body.close()


class _Body:
    def __init__(self, pieces: AsyncGenerator[bytes, None], start: int, idle_timeout_s: float, gauge: Gauge) -> None:
        self.deadline: asyncio.Timeout
        self.failure: Exception | None = None
        self._pieces = pieces
        self._position = start
        self._idle_timeout_s = idle_timeout_s
        self._gauge = gauge
        self._is_at_rest = asyncio.Event()
        self.slices = cast("AsyncGeneratorType[memoryview, None]", self._slices())  # which knows when it runs

    async def close(self) -> None:
        """Nothing reads the pieces any longer. aiohttp may still wait for one, in a task that it has cancelled."""
        while self.slices.ag_running:
            await self._is_at_rest.wait()
            await asyncio.sleep(0)
        await self.slices.aclose()
        await self._pieces.aclose()  # if none was ever asked for

    async def _slices(self) -> AsyncGenerator[memoryview, None]:
        try:
            self._allow(None)  # a slow source is not a stalled daemon
            async for piece in self._pieces:
                self._allow(self._idle_timeout_s)
                for start in range(0, len(piece), SLICE):
                    self._is_at_rest.set()
                    yield self._counted(memoryview(piece)[start : start + SLICE])
                    self._is_at_rest.clear()
                self._allow(None)
        except Exception as error:
            self.failure = error
            raise
        finally:
            await self._pieces.aclose()
            self._is_at_rest.set()
        self._allow(ANSWER_TIMEOUT_S)

    def _counted(self, part: memoryview) -> memoryview:
        self._gauge.passed(self._position, self._position + len(part))
        self._position += len(part)
        self._allow(self._idle_timeout_s)
        return part

    def _allow(self, seconds: float | None) -> None:
        now = asyncio.get_running_loop().time()
        self.deadline.reschedule(None if seconds is None else now + seconds)
