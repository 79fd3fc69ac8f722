"""Bytes to send: from a path, an open file or descriptor, or any async iterable. Read off the loop.

What can be read again is sent as what it is: the daemon may have it already, or some of it. What comes once, from a
pipe or an iterable, is sent as it comes.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import aiofiles
from aiofiles.threadpool.binary import AsyncBufferedReader

from casd.client.rereading import Descriptor, Opened, Rereadable
from casd.errors import InvalidInput

PIECE = 1 << 20  # bytes a hop to a thread; hashing in 64 KiB hops costs 1.7 times as much


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes that can be read once, and how many there are; a size of None is not known before the end."""

    pieces: AsyncIterable[bytes]
    size: int | None = None
    again: Rereadable | None = None  # the same bytes, where they can be read again; then `pieces` need not be used


class Readable(Protocol):
    """A file that is open for reading bytes. One that can `tell` and `seek` is sent with its length."""

    def read(self, size: int, /) -> bytes: ...


Sendable: TypeAlias = "str | os.PathLike[str] | Readable | Source"
"""What can be uploaded: a path (`~` is a home folder), a file that is open for reading bytes, or a Source."""


@asynccontextmanager
async def open_any(file: Sendable) -> AsyncIterator[Source]:
    """The bytes of whatever can be uploaded. What was open stays open. Raises OSError."""
    if isinstance(file, Source):
        yield file
    elif isinstance(file, str | os.PathLike):
        async with open_path(expanded(file)) as source:
            yield source
    else:
        yield from_file(file)


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path, with a home folder for a `~` at its start."""
    return Path(path).expanduser()


def from_file(file: Readable) -> Source:
    """What is left to read of a file that is open for reading bytes; it stays open."""
    place = _place(file)
    if place is None:
        return Source(_read_pieces(file))
    return Source(_read_pieces(file), place[1], Opened(file, *place))  # type: ignore[arg-type]  # it has a place


async def _read_pieces(file: Readable) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, PIECE):
        if not isinstance(piece, bytes | bytearray | memoryview):
            raise InvalidInput(f"the file reads as {type(piece).__name__}, not as bytes; open it in binary mode")
        yield bytes(piece)


def _place(file: object) -> tuple[int, int] | None:
    """Where it stands, and how many bytes are left; None where the file does not know."""
    try:
        at = int(file.tell())  # type: ignore[attr-defined]  # what has none is what is asked for
        stop: int = file.seek(0, os.SEEK_END)  # type: ignore[attr-defined]
        file.seek(at)  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return None
    return at, max(0, stop - at)


@asynccontextmanager
async def open_path(path: Path) -> AsyncIterator[Source]:
    """The bytes at `path`: a regular file with its size, or a pipe or device without. Raises OSError."""
    async with aiofiles.open(path, "rb") as file:
        facts = os.fstat(file.fileno())
        if stat.S_ISREG(facts.st_mode):
            yield Source(_file_pieces(file), facts.st_size, Descriptor(file.fileno()))
        else:
            yield Source(_pipe_pieces(file.fileno()))


@asynccontextmanager
async def open_descriptor(descriptor: int) -> AsyncIterator[Source]:
    """What is left to read from a descriptor that is open already, such as standard input; it stays open."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        yield Source(_pipe_pieces(descriptor))
        return
    async with aiofiles.open(descriptor, "rb", closefd=False) as file:
        again = Descriptor(descriptor, os.lseek(descriptor, 0, os.SEEK_CUR))
        yield Source(_file_pieces(file), again.size, again)


async def _file_pieces(file: AsyncBufferedReader) -> AsyncIterator[bytes]:
    while piece := await file.read(PIECE):
        yield piece


async def _pipe_pieces(descriptor: int) -> AsyncIterator[bytes]:
    # Not in a thread: one that waits for a silent pipe cannot be cancelled, and Ctrl-C would hang on it.
    piece = bytearray()
    while part := await _next_part(descriptor):
        piece += part
        if len(piece) >= PIECE:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


async def _next_part(descriptor: int) -> bytes:
    """What the pipe holds now, once it holds something; empty at its end."""
    while True:
        await _readable(descriptor)
        try:
            return os.read(descriptor, PIECE)
        except BlockingIOError:  # somebody else reads the same pipe and was quicker
            continue


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    try:
        loop.add_reader(descriptor, wake)
    except PermissionError:  # epoll refuses what never blocks, such as /dev/zero
        return
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
