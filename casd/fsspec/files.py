"""Open files: read by ranges that are checked, written as a stream that becomes a version when the file is closed."""

from __future__ import annotations

import asyncio
import logging
import sys
import warnings
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from fsspec.asyn import sync
from fsspec.spec import AbstractBufferedFile

from casd.client import Reader, Source, Version
from casd.fsspec.failures import translated
from casd.fsspec.looking import content_info
from casd.fsspec.places import Place
from casd.model import BLOCK_SIZE

if TYPE_CHECKING:
    from casd.fsspec.filesystem import CasdFileSystem

READ_BYTES = 64 << 10  # fsspec's caches ask for so much more than is read; whole blocks are fetched anyway
AHEAD_BYTES = 8 << 20  # for whoever reads through
WRITE_BYTES = 1 << 20  # a hop to the loop
APPEND_BYTES = 8 << 20  # of what is there already, a read
FRAMES = 8  # from a file's close to the `with` that is left: fsspec's own wrappers, pandas' handles, ExitStack

log = logging.getLogger(__name__)

Store = Callable[[Source], Coroutine[Any, Any, Version]]


class CasdFile(AbstractBufferedFile):
    """A name, open for reading one version of it, or for writing the next.

    What is written is published by `close` as a whole, or not at all: it is thrown away where a `with` is left by an
    exception, and where the file is forgotten without `close`. In a transaction `commit` publishes it.
    """

    closed: bool  # a property of the base, which says no types

    def __init__(
        self,
        fs: CasdFileSystem,
        place: Place,
        mode: str,
        *,
        block_size: int | None = None,
        store: Store | None = None,
        **kwargs: Any,
    ) -> None:
        """`store` publishes what is written; None for reading."""
        self._reader: Reader | None = None
        self._tail: tuple[int, bytes] = (0, b"")
        self._ahead = 0
        self._writing: Writing | None = None
        self._store = store
        self._known_error = sys.exception()
        if mode == "rb" or (mode == "ab" and fs.exists(place.path)):
            self._reader = sync(fs.loop, fs._reader, place)
        if mode == "rb" and self._reader is not None:
            content = self._reader.content
            kwargs["size"] = content.size
            kwargs["version"] = content.version  # whoever opens a pickled file anew reads the same
        block_size = block_size or (READ_BYTES if mode == "rb" else WRITE_BYTES)
        super().__init__(fs, place.path, mode=mode, block_size=block_size, **kwargs)
        if mode == "rb" and self._reader is not None:
            self.details = content_info(place, self._reader.content)
        elif self._reader is not None:
            self.loc = self._reader.content.size

    # -- reading ----------------------------------------------------------------------------------------------

    def _fetch_range(self, start: int, end: int) -> bytes:
        """Those bytes, of whole blocks. What else comes with them is kept for whoever reads on, and whoever does is
        given more each time: a request a MiB would wait for the line as often."""
        at, tail = self._tail
        stop = min(end, self.size)
        if at <= start and stop <= at + len(tail):
            return tail[start - at : stop - at]
        reads_on = at <= start <= at + len(tail) and bool(tail)
        self._ahead = min(2 * self._ahead + BLOCK_SIZE, AHEAD_BYTES) if reads_on else 0
        head = tail[start - at :] if reads_on else b""
        known = start + len(head)
        whole = min(self.size, stop + -stop % BLOCK_SIZE + self._ahead)
        data: bytes = sync(self.fs.loop, self._read, known, whole)
        last = max(known, (stop - 1) // BLOCK_SIZE * BLOCK_SIZE)
        self._tail = last, data[last - known :]
        return head + data[: stop - known]

    async def _read(self, start: int, stop: int) -> bytes:
        assert self._reader is not None
        with translated(self.path):
            return await self._reader.read(start, stop)

    # -- writing ----------------------------------------------------------------------------------------------

    def _initiate_upload(self) -> None:
        self._writing = sync(self.fs.loop, self._begun)

    async def _begun(self) -> Writing:
        assert self._store is not None
        return Writing(self._store, self._reader)

    def _upload_chunk(self, final: bool = False) -> bool:
        assert self._writing is not None
        if data := self.buffer.getvalue():
            self._done(self._writing.write(data))
        if final and self.autocommit:
            self.commit()
        return True

    def commit(self) -> None:
        """What was written is the next version. Once more changes nothing."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            self._done(writing.finish())

    def discard(self) -> None:
        """What was written is thrown away."""
        self.closed = True
        if self._writing is not None:
            writing, self._writing = self._writing, None
            sync(self.fs.loop, writing.abandon)

    def _done(self, work: Coroutine[Any, Any, None]) -> None:
        async def run() -> None:
            with translated(self.path, is_new=True):
                await work

        sync(self.fs.loop, run)

    # -- the end ----------------------------------------------------------------------------------------------

    def close(self) -> None:
        if not self.closed and self.mode != "rb" and self._is_left_by_an_error():
            log.warning("what was written to %s is thrown away: an exception came before its close", self.path)
            self.discard()
        try:
            super().close()
        except BaseException:
            self.discard()
            raise
        finally:
            self._tail = (0, b"")

    def __exit__(self, kind: object, *args: object) -> None:
        if kind is not None and self.mode != "rb":
            self.discard()
        self.close()

    def __del__(self) -> None:
        if self.closed:
            return
        self.closed = True
        if self.mode != "rb":
            warnings.warn(
                f"{self.path} was written to and not closed: it is thrown away", ResourceWarning, stacklevel=2
            )
            if self._writing is not None:
                self.fs.loop.call_soon_threadsafe(self._writing.cancel)

    def _is_left_by_an_error(self) -> bool:
        """Whether this is called as a `with` is left by an exception that came after the file was opened.

        fsspec's OpenFile, and others that wrap files, close them in their `__exit__` without telling why.
        """
        error = sys.exception()
        if error is None or error is self._known_error:
            return False
        frame = sys._getframe(2)
        for _ in range(FRAMES):
            if frame is None:
                return False
            if frame.f_code.co_name == "__exit__":
                return True
            frame = frame.f_back  # type: ignore[assignment]  # None above the first
        return False


class Writing:
    """Bytes on their way from a blocking file to the daemon: a few MiB at a time, the file waits for room."""

    def __init__(self, store: Store, before: Reader | None) -> None:
        """`before` is what the file appends to."""
        self._before = before
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1)
        self._task = asyncio.ensure_future(store(Source(self._arriving())))

    async def write(self, data: bytes | None) -> None:
        """The bytes are taken over; None is their end. Raises what the transfer raised meanwhile."""
        putting = asyncio.ensure_future(self._pieces.put(data))
        await asyncio.wait({putting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if not putting.done():
            putting.cancel()
            await asyncio.gather(putting, return_exceptions=True)
        if self._task.done():
            self._task.result()

    async def finish(self) -> None:
        await self.write(None)
        await self._task

    async def abandon(self) -> None:
        self.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def cancel(self) -> None:
        self._task.cancel()

    async def _arriving(self) -> AsyncGenerator[bytes, None]:
        if self._before is not None:
            for start in range(0, self._before.content.size, APPEND_BYTES):
                yield await self._before.read(start, start + APPEND_BYTES)
        while (piece := await self._pieces.get()) is not None:
            yield piece
