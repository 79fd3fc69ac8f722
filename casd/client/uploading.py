"""One file on its way to the daemon: not sent if it is there, gone on with if somebody began, else sent anew.

Nothing is kept on this side: what a killed client had sent is found again by the content, by whoever sends it next.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from uuid import UUID

import xxhash

from casd.client.errors import ClientError, DigestDiffers, Refused, SourceChanged, Unreachable
from casd.client.holding import Holdings
from casd.client.progress import Gauge
from casd.client.rereading import HOP_BYTES, InMemory, Rereadable, RunningDigest
from casd.client.retry import Patience
from casd.client.source import PIECE
from casd.client.transport import Transport
from casd.client.tus import Destination, Standing, Unfinished, Uploads, expect
from casd.model import Digest
from casd.tasks import to_the_end

SMALL_BYTES = 256 << 10  # up to here it is sent in one request, unasked: two round trips take longer at 10 Mbit/s
CANDIDATES = 3  # unfinished uploads whose beginning is compared with ours
LOOKS = 4  # for one that nobody sends any longer
LOOK_AGAIN_S = 0.3


class Uploading:
    """One transfer of bytes that can be read again."""

    def __init__(
        self,
        transport: Transport,
        source: Rereadable,
        destination: Destination,
        patience: Patience,
        gauge: Gauge,
    ) -> None:
        self._source = source
        self._destination = destination
        self._patience = patience
        self._gauge = gauge
        self._uploads = Uploads(transport)
        self._holdings = Holdings(transport, patience)
        self._digest = RunningDigest(source)
        self._xxh3_128 = ""
        self._at: Standing | None = None
        self._furthest = 0
        self._is_reached = False
        self._others: set[str] = set()  # uploads that somebody else goes on with

    async def run(self, is_missing: bool | None = None) -> tuple[UUID, int | None]:
        """The blob that it became, and the version of its name. `is_missing`: whether the daemon lacks it, if known.

        Raises SourceChanged (and nothing was stored), DigestDiffers (it is stored then), OSError, and ClientError when
        the patience is over.
        """
        size = self._source.size
        if size <= SMALL_BYTES:  # read once: what changes meanwhile does not matter
            self._source = InMemory(await to_the_end(asyncio.to_thread(self._source.read, 0, size)))
            self._digest = RunningDigest(self._source)
        self._xxh3_128 = await fingerprint_of(self._source, self._gauge)
        if size and await self._is_there(is_missing) and (found := await self._bound()):
            return found
        self._gauge.moving()
        at = await self._sent()
        blob, digest = expect(at)
        own = Digest(await self._hashed(size))
        if digest != own:
            raise DigestDiffers(f"blob {blob}, as stored", own, digest)
        self._gauge.tell()
        return blob, at.version

    # -- what is there already --------------------------------------------------------------------------------

    async def _is_there(self, is_missing: bool | None) -> bool:
        if is_missing is None and self._source.size > SMALL_BYTES:
            return not await self._holdings.missing("xxh3_128", [self._xxh3_128])
        return is_missing is False

    async def _bound(self) -> tuple[UUID, int | None] | None:
        """None where its SHA-512 says that it is not what the daemon has."""
        digest = Digest(await self._hashed(self._source.size))
        await asyncio.to_thread(self._source.check)
        found = await self._holdings.bound(digest, self._destination)
        if found is not None:
            self._gauge.moving(self._source.size)
        return found

    # -- sending ----------------------------------------------------------------------------------------------

    async def _sent(self) -> Standing:
        """The upload, complete."""
        while True:
            try:
                return await self._driven()
            except SourceChanged:
                await self._forget()
                raise
            except Unreachable as error:
                if not self._is_reached:
                    raise
                await self._patience.after(error)
            except Refused as error:
                await self._after(error)
            except ClientError as error:
                await self._patience.after(error)

    async def _driven(self) -> Standing:
        at = self._at = await self._standing()
        self._is_reached = True
        while at.offset < self._source.size:
            if at.offset > self._furthest:
                self._furthest = at.offset
                self._patience.progressed()
            await self._hashed(at.offset)
            pieces = self._pieces(at.offset)
            at = await self._uploads.append(at, pieces, self._source.size - at.offset, self._gauge)
            self._at = at
        return at if at.blob else await self._uploads.ask(at.path)

    async def _standing(self) -> Standing:
        """The upload that is gone on with, or a new one."""
        if self._at is not None:
            return await self._uploads.ask(self._at.path)
        if self._source.size <= SMALL_BYTES:
            data = self._source.read(0, self._source.size)
            pieces = self._pieces(0)
            return await self._uploads.begin_with(self._destination, data, self._xxh3_128, pieces, self._gauge)
        if (begun := await self._begun()) is not None:
            self._gauge.moving(begun.offset)
            return begun
        return await self._uploads.begin(self._destination, self._source.size, self._xxh3_128)

    async def _begun(self) -> Standing | None:
        """The furthest of the unfinished uploads that are of this content, as far as they go, and for the same."""
        if self._destination.expires_in_s is not None or len(self._others) >= CANDIDATES:
            return None
        for other in reversed(await self._unfinished()):
            if other.offset and await self._begins_with(other):
                with suppress(Refused):  # it ended meanwhile
                    at = await self._uploads.ask(other.path)
                    if not at.expires and at.blob is None and at.offset >= other.offset:
                        return at
        return None

    async def _unfinished(self) -> list[Unfinished]:
        """Those that may be gone on with, the furthest last.

        One that somebody sends is left to him. But a client that was killed seems to send for a moment, and one whose
        line went dead for longer: what does not grow is worth an attempt, which the daemon refuses if he is alive.
        """
        first: dict[str, int] = {}
        for looks in range(LOOKS):
            if looks:
                await self._patience.pause(LOOK_AGAIN_S)
            destination, size = self._destination, self._source.size
            found = await self._uploads.unfinished(destination.namespace, size, self._xxh3_128)
            fit = sorted((each for each in found if self._fits(each)), key=lambda each: each.offset)
            free = [each for each in fit if not each.is_active]
            if free or not fit:
                return free[-CANDIDATES:]
            first = first or {each.path: each.offset for each in fit}
        return [each for each in fit if first.get(each.path) == each.offset][-CANDIDATES:]

    def _fits(self, other: Unfinished) -> bool:
        wanted = self._destination.name, self._destination.content_type
        return (
            other.path not in self._others
            and other.prefix is not None
            and (other.is_active or other.offset > 0)  # of a broken connection the offset is told when it has ended
            and (other.name, other.content_type) == wanted
        )

    async def _begins_with(self, other: Unfinished) -> bool:
        we_were_further = other.offset < self._digest.position  # to read it once more costs less than to send it
        digest = RunningDigest(self._source) if we_were_further else self._digest
        return await self._hashed(other.offset, digest) == (other.prefix.raw if other.prefix else None)

    async def _after(self, error: Refused) -> None:
        """What is to be done about a refusal was done; or it is raised."""
        if self._at is None or error.status not in (404, 409, 423, 460):
            await self._patience.after(error)
            return
        if error.status == 460 and await fingerprint_of(self._source) != self._xxh3_128:
            raise SourceChanged("what is sent changed while it was sent; nothing was stored of it") from error
        if error.status == 423:  # somebody else goes on with it, and is let alone
            self._others.add(self._at.path)
        if error.status != 409:
            self._at = None
        await self._patience.after(error, may_help=True)

    async def _forget(self) -> None:
        """Nobody can go on with an upload of what has changed. It expires if this fails."""
        if self._at is not None:
            with suppress(ClientError):
                await self._uploads.end(self._at.path)

    # -- reading ----------------------------------------------------------------------------------------------

    async def _hashed(self, stop: int, digest: RunningDigest | None = None) -> bytes:
        """The SHA-512 of the first bytes, if it is not further than that already."""
        digest = digest or self._digest
        while digest.position < stop:
            step = min(stop, digest.position + HOP_BYTES)
            await to_the_end(asyncio.to_thread(digest.advance, step))
        return digest.digest()

    async def _pieces(self, start: int) -> AsyncGenerator[bytes, None]:
        """The bytes from `start`, hashed while they leave. The last comes only if the source is what it was."""
        size = self._source.size
        reading = self._reading(start)
        try:
            while start < size:
                piece = await reading
                hashing = asyncio.ensure_future(asyncio.to_thread(self._digest.take, start, piece))
                try:
                    if start + len(piece) == size:
                        await asyncio.to_thread(self._source.check)
                    start += len(piece)
                    reading = self._reading(start)
                    yield piece
                finally:
                    await to_the_end(_ended(hashing))
        finally:
            await to_the_end(_ended(reading))

    def _reading(self, start: int) -> asyncio.Task[bytes]:
        size = min(PIECE, self._source.size - start)
        return asyncio.ensure_future(asyncio.to_thread(self._source.read, start, size))


async def fingerprint_of(source: Rereadable, gauge: Gauge | None = None) -> str:
    """The XXH3-128 of all of it, in hex."""
    hash_ = xxhash.xxh3_128()
    for start in range(0, source.size, HOP_BYTES):
        stop = min(source.size, start + HOP_BYTES)
        await to_the_end(asyncio.to_thread(source.feed, hash_.update, start, stop))
        if gauge is not None:
            gauge.reading(stop)
    return hash_.hexdigest()


async def _ended(work: asyncio.Future[bytes] | asyncio.Future[None]) -> None:
    """Whoever closes the source next can be sure that no thread reads it. What failed is told where it is awaited."""
    await asyncio.wait([work])
    if not work.cancelled():
        work.exception()
