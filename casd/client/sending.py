"""One request body on its way: hashed while it is sent, watched for progress, checked against the answer."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp

from casd.client.errors import ConnectionLost, SourceChanged
from casd.client.progress import Gauge, OnProgress
from casd.client.source import Source
from casd.client.transport import Query, Transport
from casd.model import Digest

SLICE = 64 << 10  # bytes between two looks at the clock: a line of 1 KiB/s still counts as moving
ANSWER_TIMEOUT_S = 600.0  # after the last byte: the daemon syncs gigabytes to a slow disk before its 201


async def send(
    transport: Transport,
    method: str,
    path: str,
    source: Source,
    query: Query,
    headers: Mapping[str, str],
    progress: OnProgress | None = None,
) -> tuple[Any, Digest]:
    """The daemon has stored the source's bytes: its JSON, and the digest of what was sent.

    The body waits for the daemon's consent (Expect: 100-continue), so that a refusal costs no upload.
    Raises what `Transport.open` raises, SourceChanged, and OSError where the source cannot be read.
    """
    body = _Body(source, transport.idle_timeout_s, progress)
    framing = {} if source.size is None else {"Content-Length": str(source.size)}
    try:
        async with asyncio.timeout(transport.idle_timeout_s) as body.deadline:
            response = await transport.open(
                method,
                path,
                query,
                {**headers, **framing},
                data=body.slices(),
                expect100=True,
                # aiohttp's read deadline runs while we send, when the daemon has nothing to say.
                timeout=aiohttp.ClientTimeout(total=None, sock_read=None),
            )
            async with response:
                return await transport.read_json(response), await body.digest()
    except TimeoutError as error:
        raise body.lost(transport.stalled()) from error
    except ConnectionLost as error:
        # aiohttp wraps what the source raised in a connection error; the cause is what can be acted on.
        if body.failure is not None:
            raise body.failure from None
        raise body.lost(error) from error


class _Body:
    def __init__(self, source: Source, idle_timeout_s: float, progress: OnProgress | None) -> None:
        self.deadline: asyncio.Timeout
        self.failure: Exception | None = None
        self._source = source
        self._idle_timeout_s = idle_timeout_s
        self._gauge = Gauge(source.size, progress)
        self._hash = hashlib.sha512()
        self._hashing: asyncio.Future[None] | None = None  # of the newest piece; those before it are hashed
        self._sent = 0
        self._is_sent = False

    async def digest(self) -> Digest:
        """Of all that was sent. The answer may be here before the last piece is hashed."""
        if self._hashing is not None:
            await self._hashing
        return Digest(self._hash.digest())

    def lost(self, error: ConnectionLost) -> ConnectionLost:
        """The error, told with what it leaves open: a whole body may be stored although its answer was lost."""
        if not self._is_sent and self._sent != self._source.size:
            return error
        return ConnectionLost(f"{error}; all of it was sent, so look whether it is stored before sending it again")

    async def slices(self) -> AsyncIterator[memoryview]:
        try:
            async for piece in self._checked_pieces():
                # The hash of a piece is made in a thread while its slices leave.
                self._hashing = asyncio.get_running_loop().run_in_executor(None, self._hash.update, piece)
                for start in range(0, len(piece), SLICE):
                    yield self._counted(memoryview(piece)[start : start + SLICE])
                # Shielded: aiohttp may end this generator when it has the answer, and `digest` waits for the hash.
                await asyncio.shield(self._hashing)
        except Exception as error:
            self.failure = error
            raise
        self._is_sent = True
        self._gauge.tell()
        self._allow(ANSWER_TIMEOUT_S)

    async def _checked_pieces(self) -> AsyncIterator[bytes]:
        size = self._source.size
        self._allow(None)  # a slow source is not a stalled daemon
        async for piece in self._source.pieces:
            if size is not None and self._sent + len(piece) > size:
                raise SourceChanged(f"what is sent grew beyond {size} bytes while it was sent; nothing was kept")
            self._allow(self._idle_timeout_s)
            yield piece
            self._allow(None)
        if size is not None and self._sent < size:
            raise SourceChanged(f"what is sent shrank to {self._sent} of {size} bytes; nothing was kept")

    def _counted(self, part: memoryview) -> memoryview:
        self._sent += len(part)
        self._allow(self._idle_timeout_s)
        self._gauge.moved(len(part))
        return part

    def _allow(self, seconds: float | None) -> None:
        now = asyncio.get_running_loop().time()
        self.deadline.reschedule(None if seconds is None else now + seconds)
