"""Bytes that come once, on their way to the daemon: from a pipe, or from whatever yields them.

They go in pieces. What the daemon has not told to be on its disk is kept, so that a lost connection costs nothing but
time: a piece on its way, and the next one while it is read. So memory stays flat, and the source waits for the daemon.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from uuid import UUID

from casd.client.errors import ClientError, DigestDiffers, Refused, SourceChanged, UnexpectedAnswer, Unreachable
from casd.client.progress import Gauge
from casd.client.rereading import InMemory
from casd.client.retry import Patience
from casd.client.source import PIECE, Source
from casd.client.transport import Transport
from casd.client.tus import Destination, Standing, Uploads, expect
from casd.client.uploading import Uploading
from casd.model import Digest
from casd.tasks import to_the_end

KEPT_BYTES = 8 << 20  # a piece; each ends in a sync of the daemon's disk. Two are in memory, and a third while it fills


class Piping:
    """One transfer of bytes that come once."""

    def __init__(
        self, transport: Transport, source: Source, destination: Destination, patience: Patience, gauge: Gauge
    ) -> None:
        self._transport = transport
        self._source = source
        self._destination = destination
        self._patience = patience
        self._gauge = gauge
        self._uploads = Uploads(transport)
        self._hash = hashlib.sha512()
        self._at: Standing | None = None

    async def run(self) -> tuple[UUID, int | None]:
        """As `Uploading.run`. Raises what the source raises, too; then nothing is stored."""
        chunks = _chunks(self._source)
        try:
            first = await anext(chunks)
            following = await anext(chunks, b"")
            if not following:  # all of it is here, so it is sent as what can be read again
                self._check_end(len(first))
                return await Uploading(
                    self._transport, InMemory(first), self._destination, self._patience, self._gauge
                ).run()
            return await self._sent(first, following, chunks)
        except BaseException:
            await to_the_end(self._forget())
            raise
        finally:
            await chunks.aclose()

    async def _sent(
        self, chunk: bytes, following: bytes, chunks: AsyncGenerator[bytes, None]
    ) -> tuple[UUID, int | None]:
        self._gauge.moving()
        start = 0
        while True:
            reading = asyncio.ensure_future(_next(chunks, following))
            try:
                stop = start + len(chunk)
                if self._source.size is not None and stop + len(following) > self._source.size:
                    raise self._changed(f"grew beyond {self._source.size} bytes")
                if not following:
                    self._check_end(stop)
                hashing = asyncio.ensure_future(asyncio.to_thread(self._hash.update, chunk))
                try:
                    await self._taken(start, chunk, is_last=not following)
                finally:
                    await to_the_end(_quiet(hashing))
                if not following:
                    return self._became()
                start, chunk = stop, following
                following = await reading
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def _taken(self, start: int, chunk: bytes, *, is_last: bool) -> None:
        """The daemon has the chunk on its disk; with the last one the upload is complete."""
        stop = start + len(chunk)
        total = stop if is_last and self._source.size is None else None
        is_sure = self._at is not None and start > 0  # where the daemon stands: its last answer said so
        while True:
            try:
                at = self._at if is_sure and self._at else await self._standing()
                is_sure = False
                if not start <= at.offset <= stop:
                    raise UnexpectedAnswer(f"the daemon told {start} bytes to be there, and now {at.offset}")
                if at.offset < stop or (is_last and at.blob is None):
                    rest = chunk[at.offset - start :] if at.offset > start else chunk
                    at = await self._uploads.append(at, _sliced(rest), len(rest), self._gauge, total)
                self._at = at
                self._patience.progressed()
                return
            except Unreachable as error:
                if self._at is None:
                    raise
                await self._patience.after(error)
            except ClientError as error:
                is_conflict = isinstance(error, Refused) and error.status == 409
                await self._patience.after(error, may_help=is_conflict)

    async def _standing(self) -> Standing:
        if self._at is None:
            self._at = await self._uploads.begin(self._destination, self._source.size, None)
            return self._at
        return await self._uploads.ask(self._at.path)

    def _became(self) -> tuple[UUID, int | None]:
        assert self._at is not None
        blob, digest = expect(self._at)
        own = Digest(self._hash.digest())
        if digest != own:
            raise DigestDiffers(f"blob {blob}, as stored", own, digest)
        self._gauge.tell()
        return blob, self._at.version

    def _check_end(self, count: int) -> None:
        if self._source.size is not None and count != self._source.size:
            raise self._changed(f"{'shrank' if count < self._source.size else 'grew'} to {count} bytes")

    def _changed(self, how: str) -> SourceChanged:
        return SourceChanged(f"what is sent {how} while it was sent, from {self._source.size}; nothing was kept")

    async def _forget(self) -> None:
        """Nobody has the bytes to go on with it. It expires if this fails."""
        if self._at is not None and self._at.blob is None:
            with suppress(ClientError):
                await self._uploads.end(self._at.path)


async def _chunks(source: Source) -> AsyncGenerator[bytes, None]:
    """The source in chunks of KEPT_BYTES, the last one smaller; at least one, which may be empty."""
    kept: list[bytes] = []
    count = 0
    async for piece in source.pieces:
        view = memoryview(piece)
        while view:
            part = view[: KEPT_BYTES - count]
            kept.append(bytes(part))
            count += len(part)
            view = view[len(part) :]
            if count == KEPT_BYTES:
                yield b"".join(kept)
                kept, count = [], 0
    yield b"".join(kept)


async def _next(chunks: AsyncIterator[bytes], following: bytes) -> bytes:
    return await anext(chunks, b"") if following else b""


async def _sliced(chunk: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(chunk), PIECE):
        yield chunk[start : start + PIECE]


async def _quiet(work: asyncio.Future[None]) -> None:
    await asyncio.wait([work])
