"""Appends without an offset, for clients that send a piece again when its answer does not come.

Such a piece counts wholly or not at all: what was cut off midway is taken back, by the next start at the latest, for
nothing of it is recorded before its last byte is durable.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from casd.auth import Principal
from casd.errors import OffsetConflict, StorageFailed, TooLarge, UploadBusy, UploadNotFound
from casd.model import Upload
from casd.tasks import to_the_end
from casd.uploads.turns import Session
from casd.uploads.uploads import Uploads


@asynccontextmanager
async def appending_whole(
    uploads: Uploads,
    principal: Principal,
    uuid: UUID,
    limit_bytes: int,
    *,
    offset: int | None = None,
    driver: str | None = None,
) -> AsyncIterator["WholeAppending"]:
    """Take bytes where the upload ends; behind the block they are durable and recorded. After an error none is there.

    Raises OffsetConflict if it does not end at `offset`, where that is told, UploadNotFound, for one that is finished
    too, Forbidden, UploadBusy when another request has it or takes over, StorageFull, StorageFailed.
    """
    async with uploads.turn(principal, uuid, driver=driver, takes_bytes=True) as session:
        turn, start = session.turn, session.upload.offset
        assert turn is not None
        if offset is not None and (session.upload.blob is not None or offset != start):
            raise OffsetConflict(offset, start)
        if session.upload.blob is not None:
            raise UploadNotFound(f"upload {uuid} is finished: begin another")
        await to_the_end(uploads.steps.open(session))
        is_whole = False
        try:
            async with turn.waiting_for_bytes():
                yield WholeAppending(session, limit_bytes)
                is_whole = True
        finally:
            await to_the_end(uploads.steps.settle(session) if is_whole else uploads.steps.cut_back(session, start))
        if not is_whole:
            raise UploadBusy("a newer request goes on with this upload", start)


class WholeAppending:
    """One request's bytes on their way into an upload, which may have `limit_bytes` in all."""

    def __init__(self, session: Session, limit_bytes: int) -> None:
        self._session = session
        size = session.upload.size
        self.limit_bytes = limit_bytes if size is None else min(size, limit_bytes)

    @property
    def upload(self) -> Upload:
        """As it was last recorded."""
        return self._session.upload

    async def expect(self, size: int | None) -> None:
        """So many bytes are announced to follow; None where that is not told. Raises QuotaExceeded."""
        staged = self._session.staged
        if size is not None and staged is not None:
            await staged.cover(staged.size + size)

    async def append(self, data: bytes) -> None:
        """Raises TooLarge, QuotaExceeded, StorageFull, StorageFailed."""
        session = self._session
        staged, turn = session.staged, session.turn
        assert staged is not None
        assert turn is not None
        if staged.size + len(data) > self.limit_bytes:
            raise TooLarge("the upload", self.limit_bytes)
        turn.progressed()
        try:
            await staged.append(data)
        except StorageFailed:
            session.staged = None  # it was suspended: the next turn cuts it back to what was told
            raise
