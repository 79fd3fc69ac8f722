"""Uploads whose bytes arrive in numbered parts, in any order and several at once.

Each part has its place in the upload's one stage, told by whoever takes it. It is recorded, with an ETag of its bytes,
once it is durable, and told after that; what was cut off midway was never there. A part that is sent again takes the
place of the one before, whose record goes before its first byte is overwritten. Beginning, terminating and expiry are
those of all uploads.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import xxhash

from casd.auth import Principal
from casd.counted import CountedStage
from casd.errors import Conflict, PartMismatch, SizeMismatch, StorageFailed, TooLarge, UploadBusy
from casd.model import ByteRange, Upload, UploadPart
from casd.tasks import to_the_end
from casd.uploads.turns import Session, Turn
from casd.uploads.uploads import Uploads

HASHED_INLINE_BYTES = 64 << 10  # 6 us at 11 GB/s; a thread costs 80


async def upload_in_parts(uploads: Uploads, principal: Principal, uuid: UUID) -> Upload:
    """Raises UploadNotFound, Forbidden."""
    return await uploads.own(principal, uuid, is_in_parts=True)


@asynccontextmanager
async def receiving(
    uploads: Uploads, principal: Principal, uuid: UUID, number: int, place: ByteRange, size: int | None = None
) -> AsyncIterator["Receiving"]:
    """Take the part's bytes, exactly as many as its place has; behind the block it is durable and recorded.

    `size` is what all parts have together, if the client tells. Of one that ends with an error nothing is recorded.
    Raises UploadNotFound, Forbidden, UploadBusy when another request sends this part, Conflict where its place is
    another part's or the upload is finished, SizeMismatch for fewer bytes, StorageFull, StorageFailed.
    """
    async with uploads.turn(principal, uuid, is_in_parts=True, part=number, takes_bytes=True) as session:
        turn = session.part_turns[number]
        receiving = Receiving(uploads, session, turn, number, place)
        try:
            await to_the_end(receiving.begin())
            async with turn.waiting_for_bytes():
                yield receiving
            if not turn.is_ended_early:
                await to_the_end(receiving.record(size))
        finally:
            receiving.end()
        if turn.is_ended_early:
            raise UploadBusy("a newer request sends this part", session.upload.offset)


async def complete(uploads: Uploads, principal: Principal, uuid: UUID, etags: Mapping[int, str]) -> Upload:
    """The upload has become a blob of its parts, or a version of its name; doing it again changes nothing.

    Raises as `Uploads.complete`, and PartMismatch unless `etags` are those of all parts, which follow on each other
    without a gap and have together the size that was told, if it was.
    """
    async with uploads.turn(principal, uuid, is_in_parts=True) as session:
        if session.upload.blob is None:
            parts = await uploads.store.catalogue.upload_parts(uuid)
            check_parts(parts, etags)
            check_size(session.upload)
            await to_the_end(finish(uploads, principal, session))
        return session.upload


def check_parts(parts: Sequence[UploadPart], etags: Mapping[int, str]) -> None:
    """Raises PartMismatch."""
    known = {part.number: part for part in parts}
    for number in sorted(known.keys() | etags.keys()):
        if number not in known:
            raise PartMismatch(f"part {number} has not arrived: send it again")
        if number not in etags:
            raise PartMismatch(f"part {number} has arrived, but is not among those that were listed")
        if known[number].etag != etags[number]:
            raise PartMismatch(f"part {number} is not the one that was listed: send it again")
    stop = 0
    for part in parts:
        if part.place.start != stop:
            raise PartMismatch(f"part {part.number} begins at byte {part.place.start}, the one before ends at {stop}")
        stop = part.place.stop


def check_size(upload: Upload) -> None:
    """Raises PartMismatch."""
    if upload.size not in (None, upload.offset):
        raise PartMismatch(f"all parts have {upload.offset} bytes together, {upload.size} were told")


async def finish(uploads: Uploads, principal: Principal, session: Session) -> None:
    staged = await uploads.steps.open(session)
    if staged.size > session.upload.offset:  # what is left of a part that was cut off
        try:
            await staged.truncate(session.upload.offset)
        except StorageFailed:
            session.staged = None
            raise
    await uploads.steps.finish(principal, session)


class Receiving:
    """One part's bytes on their way to their place. Several share a stage, which takes one call at a time."""

    def __init__(self, uploads: Uploads, session: Session, turn: Turn, number: int, place: ByteRange) -> None:
        self._uploads = uploads
        self._session = session
        self._turn = turn
        self._number = number
        self._place = place
        self._staged: CountedStage | None = None
        self._received = 0
        self._hash = xxhash.xxh3_128()

    @property
    def etag(self) -> str:
        """Of the bytes that have arrived."""
        return self._hash.hexdigest()

    async def begin(self) -> None:
        session = self._session
        async with session.lock:
            if session.upload.blob is not None:
                raise Conflict(f"upload {session.upload.uuid} is finished: it takes no more parts")
            parts = await self._known_parts()
            self._check_place(parts)
            staged = await self._uploads.steps.open(session)
            await staged.cover(self._place.stop)
            await staged.reserve(self._place.size)
            self._staged, self._turn.place = staged, self._place
            if self._number in parts:
                await self._forget_older(parts)

    async def append(self, data: bytes) -> None:
        """Raises TooLarge, with nothing of `data` taken, for more than there is place; StorageFull, StorageFailed."""
        start = self._place.start + self._received
        if start + len(data) > self._place.stop:
            raise TooLarge("the part", self._place.size)
        self._turn.progressed()
        async with self._session.lock:
            staged = self._stage()
            await self._on_disk(to_the_end(staged.write_at(start, data)))
        self._received += len(data)
        if len(data) > HASHED_INLINE_BYTES:
            await asyncio.to_thread(self._hash.update, data)
        else:
            self._hash.update(data)

    async def record(self, size: int | None) -> None:
        """What has arrived is durable, and then it is known. Raises SizeMismatch, StorageFailed."""
        if self._received != self._place.size:
            raise SizeMismatch(f"{self._received} bytes of the part arrived, {self._place.size} were announced")
        uploads, session = self._uploads, self._session
        part = UploadPart(self._number, self._place, self.etag)
        async with session.lock:
            await self._on_disk(self._stage().sync())
            expires_at = uploads.store.now() + uploads.lifetime
            parts, session.parts = await self._known_parts(), None  # if it fails nobody knows what is recorded
            await uploads.store.catalogue.add_upload_part(session.upload.uuid, part, size, expires_at)
            told = session.upload.size if size is None else size
            self._take_over(parts | {part.number: part}, told, expires_at)

    def end(self) -> None:
        """What was announced and has not come is free for others."""
        self._turn.place = None
        if self._staged is not None:
            self._staged.release(self._place.size - self._received)
            self._staged = None

    async def _known_parts(self) -> dict[int, UploadPart]:
        session = self._session
        if session.parts is None:
            recorded = await self._uploads.store.catalogue.upload_parts(session.upload.uuid)
            session.parts = {part.number: part for part in recorded}
        return session.parts

    def _check_place(self, parts: Mapping[int, UploadPart]) -> None:
        """Raises Conflict where another part's bytes would be overwritten."""
        taken = {number: part.place for number, part in parts.items()}
        taken |= {number: turn.place for number, turn in self._session.part_turns.items() if turn.place is not None}
        for number, other in taken.items():
            if number != self._number and other.start < self._place.stop and self._place.start < other.stop:
                raise Conflict(f"part {self._number} would lie over part {number}: all but the last are of one size")

    async def _forget_older(self, parts: Mapping[int, UploadPart]) -> None:
        session, older = self._session, parts[self._number]
        session.parts = None
        await self._uploads.store.catalogue.remove_upload_part(session.upload.uuid, self._number)
        left = {number: part for number, part in parts.items() if number != self._number}
        size = None if session.upload.size == older.place.stop else session.upload.size
        self._take_over(left, size, session.upload.expires_at)

    def _take_over(self, parts: dict[int, UploadPart], size: int | None, expires_at: datetime) -> None:
        """Have the session know what its rows say now."""
        offset = max((part.place.stop for part in parts.values()), default=0)
        self._session.parts = parts
        self._session.upload = replace(self._session.upload, offset=offset, size=size, expires_at=expires_at)

    def _stage(self) -> CountedStage:
        """The stage that this part began in. Raises StorageFailed if it was let go, and its bytes with it."""
        if self._staged is None or self._session.staged is not self._staged:
            raise StorageFailed("the disk failed while another part was written: send this one again")
        return self._staged

    async def _on_disk(self, work: Awaitable[object]) -> None:
        try:
            await work
        except StorageFailed:
            self._session.staged = None  # it was suspended: what is not recorded is gone
            raise
