"""What a request that sends bytes to an upload writes through."""

import asyncio
from collections.abc import Callable

from casd.errors import StorageFailed, TooLarge, UploadBusy
from casd.model import Upload
from casd.uploads.turns import Session

RECORD_S = 5.0  # on a slow line the offset is recorded so often; on a fast one whenever the stage's own flush has ended


class Appending:
    """One request's bytes on their way into an upload."""

    def __init__(
        self, session: Session, record_behind: Callable[[Session], None], limit_bytes: int | None = None
    ) -> None:
        """`record_behind` is called after each piece, to record what has become durable while more arrives.

        `limit_bytes` is how many the upload may have while its size is not told.
        """
        self._session = session
        self._record_behind = record_behind
        size = session.upload.size
        self._limit_bytes = limit_bytes if size is None else size
        self.is_over = False

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
        """A caller that is cancelled does not wait, but what it brought is taken all the same.

        Raises TooLarge, for more than was announced, and QuotaExceeded, both with nothing of `data` taken; StorageFull,
        StorageFailed, and UploadBusy when the request is over.
        """
        session = self._session
        if self.is_over:
            raise UploadBusy("this request is over", session.upload.offset)
        if session.writing is not None:
            await asyncio.wait([session.writing])  # its caller was cancelled, and came back
        session.writing = asyncio.create_task(self._append(data))
        await asyncio.shield(session.writing)
        session.writing = None

    async def _append(self, data: bytes) -> None:
        session = self._session
        staged, turn, limit_bytes = session.staged, session.turn, self._limit_bytes
        assert staged is not None
        assert turn is not None
        if limit_bytes is not None and staged.size + len(data) > limit_bytes:
            raise TooLarge("what arrives", limit_bytes)
        now = turn.progressed()
        try:
            await staged.append(data)
            if now - session.recorded_at > RECORD_S:
                await staged.sync()
        except StorageFailed:
            session.staged = None  # it was suspended: the next turn cuts it back to what was told
            raise
        self._record_behind(session)
