"""Bytes to send that can be read more than once, from any place: an open file, or what fits in memory.

All of it blocks.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Protocol, TypeAlias

from casd.client.errors import SourceChanged
from casd.errors import InvalidInput

HOP_BYTES = 64 << 20  # of a thread that hashes: some 30 ms from the page cache, so a cancelled one ends soon
STEP_BYTES = 256 << 10  # what is hashed where it was read, from the processor's own cache

Update: TypeAlias = Callable[[memoryview], object]


class Rereadable(Protocol):
    """Bytes that can be read again. Not for two threads at once."""

    @property
    def size(self) -> int: ...

    def read(self, start: int, size: int) -> bytes:
        """Exactly those bytes. Raises SourceChanged where there are fewer, OSError."""

    def feed(self, update: Update, start: int, stop: int) -> None:
        """`update` gets those bytes, in order. Raises as `read`."""

    def check(self) -> None:
        """Raises SourceChanged if it is known to be another content than it was at first."""


class Descriptor:
    """A regular file from where it stands to its end. Its own place is left alone."""

    def __init__(self, descriptor: int, start: int = 0) -> None:
        self._descriptor = descriptor
        self._start = start
        self._facts = self._look()
        self.size = max(0, os.fstat(descriptor).st_size - start)

    def read(self, start: int, size: int) -> bytes:
        piece = os.pread(self._descriptor, size, self._start + start)
        while len(piece) < size:
            more = os.pread(self._descriptor, size - len(piece), self._start + start + len(piece))
            if not more:
                raise _shrank(start + len(piece), self.size)
            piece += more
        return piece

    def feed(self, update: Update, start: int, stop: int) -> None:
        # Into one small buffer: a new one for each piece costs page faults, 1.4 times as much in all.
        buffer = memoryview(bytearray(STEP_BYTES))
        while start < stop:
            count = os.preadv(self._descriptor, [buffer[: stop - start]], self._start + start)
            if not count:
                raise _shrank(start, self.size)
            update(buffer[:count])
            start += count

    def check(self) -> None:
        if self._look() != self._facts:
            raise SourceChanged("the file was written to while it was sent; nothing was stored of it")

    def _look(self) -> tuple[int, ...]:
        facts = os.fstat(self._descriptor)
        return facts.st_ino, facts.st_size, facts.st_mtime_ns


class Seekable(Protocol):
    """A file that is open for reading bytes, and goes where it is told."""

    def read(self, size: int, /) -> bytes: ...

    def seek(self, offset: int, whence: int = 0, /) -> int: ...


class Opened:
    """What is left of an open file, by the file's own methods; it stands at its end when all was read."""

    def __init__(self, file: Seekable, start: int, size: int) -> None:
        self._file = file
        self._start = start
        self.size = size

    def read(self, start: int, size: int) -> bytes:
        self._file.seek(self._start + start)
        pieces: list[bytes] = []
        while size:
            piece = self._file.read(size)
            if not isinstance(piece, bytes | bytearray | memoryview):
                raise InvalidInput(f"the file reads as {type(piece).__name__}, not as bytes; open it in binary mode")
            if not piece:
                raise _shrank(start + sum(map(len, pieces)), self.size)
            pieces.append(bytes(piece))
            size -= len(piece)
        return b"".join(pieces)

    def feed(self, update: Update, start: int, stop: int) -> None:
        while start < stop:
            piece = self.read(start, min(STEP_BYTES, stop - start))
            update(memoryview(piece))
            start += len(piece)

    def check(self) -> None:
        size = self._file.seek(0, os.SEEK_END) - self._start
        if size != self.size:
            raise SourceChanged(f"the file has {size} bytes instead of {self.size} by now; nothing was stored of it")


class InMemory:
    """Bytes that are there."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, start: int, size: int) -> bytes:
        return self._data[start : start + size]

    def feed(self, update: Update, start: int, stop: int) -> None:
        update(memoryview(self._data)[start:stop])

    def check(self) -> None:
        pass


class RunningDigest:
    """The SHA-512 of the first bytes of something, as far as it has been read. Not for two threads at once."""

    def __init__(self, source: Rereadable) -> None:
        self._source = source
        self._hash = hashlib.sha512()
        self.position = 0

    def advance(self, stop: int) -> bytes:
        """The digest of the first `stop` bytes, none of which is behind `position`; at most HOP_BYTES at a call."""
        self._source.feed(self._hash.update, self.position, stop)
        self.position = stop
        return self._hash.digest()

    def take(self, start: int, piece: bytes) -> None:
        """The piece was read at `start`, where or before this stands: what is new of it is hashed."""
        fresh = memoryview(piece)[self.position - start :]
        self._hash.update(fresh)
        self.position += len(fresh)

    def digest(self) -> bytes:
        return self._hash.digest()


def _shrank(to: int, size: int) -> SourceChanged:
    return SourceChanged(f"what is sent shrank to {to} of {size} bytes; nothing was stored of it")
