"""A download's bytes on disk or in a pipe: each block checked before it counts, the whole by its SHA-512 in the end."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Protocol

from casd.client.blocks import Block, BlockSums, Checked
from casd.client.download import Download
from casd.client.errors import ContentChanged, DigestDiffers
from casd.client.following import Following, Lane
from casd.client.partial import Partial, partial_path
from casd.client.progress import Gauge, OnProgress
from casd.errors import InvalidInput
from casd.model import BLOCK_SIZE, Digest
from casd.tasks import to_the_end

SMALL_BYTES = 64 << 10  # fetched into memory and written in one hop to a thread, not in five
RESTARTS = 5  # of one download whose name keeps moving on
SPAN_BLOCKS = 32  # a request, of several connections: what is quick takes more of them


class Writable(Protocol):
    """A file that is open for writing bytes."""

    def write(self, data: bytes, /) -> object: ...


async def save(
    download: Download,
    target: Path,
    progress: OnProgress | None = None,
    *,
    connections: int = 1,
    sync_folder: bool = True,
) -> None:
    """`target` holds the download's payload: checked block by block and as a whole, synced, put there in one step.

    Of an earlier attempt at the same payload every block that is right is kept. Whatever ends this one early leaves
    `target` as it was and its own bytes in `partial_path`, except of a small payload. A name that means something else
    in the middle is fetched as what it means then, from the beginning: `download.content` tells. Who saves many files
    may sync their folder himself, once. Raises BlockDiffers, DigestDiffers, TargetBusy, OSError, and what
    `Download.pieces` raises.
    """
    if connections < 1:
        raise InvalidInput("a download has at least one connection")
    for left in reversed(range(RESTARTS)):
        gauge = Gauge(download.content.size, progress)
        try:
            if download.content.size <= SMALL_BYTES:
                await _save_small(download, target, gauge, sync_folder)
            else:
                await _save_large(download, target, gauge, connections, sync_folder)
            return
        except ContentChanged:
            if not left:
                raise
        await download.start_over()


async def _save_small(download: Download, target: Path, gauge: Gauge, sync_folder: bool) -> None:
    gauge.moving()
    data = bytearray()
    async with aclosing(download.pieces()) as pieces:
        async for piece in pieces:
            data += piece
            gauge.moved(len(piece))
    actual = Digest(hashlib.sha512(data).digest())
    if actual != download.content.digest:
        raise DigestDiffers(f"{target}, as it arrived", download.content.digest, actual)

    def write() -> None:
        partial = Partial(partial_path(target, actual), len(data))
        try:
            partial.restart()
            partial.write(0, [memoryview(data)] if data else [])
            partial.publish(target, sync_folder=sync_folder)
        except BaseException:
            partial.remove()
            raise
        finally:
            partial.close()

    await to_the_end(asyncio.to_thread(write))
    gauge.tell()


async def _save_large(download: Download, target: Path, gauge: Gauge, connections: int, sync_folder: bool) -> None:
    partial = await asyncio.to_thread(Partial, partial_path(target, download.content.digest), download.content.size)
    try:
        await _Saving(download, partial, gauge, connections).fill(target)
        await to_the_end(asyncio.to_thread(partial.publish, target, sync_folder=sync_folder))
    except ContentChanged:
        partial.remove()  # nobody will ask for it again
        raise
    except BaseException:
        if partial.is_empty:
            partial.remove()
        raise
    finally:
        partial.close()


async def stream(
    download: Download,
    file: Writable,
    progress: OnProgress | None = None,
    *,
    start: int = 0,
    stop: int | None = None,
) -> None:
    """The payload's bytes from `start` to `stop` are written to `file`, in order, and flushed; for pipes.

    Each block is checked before it is written. The SHA-512 is checked at the end, where all was asked for and when all
    is written: DigestDiffers says so. Raises InvalidInput for a range that begins outside of the payload, BlockDiffers,
    and as `Download.pieces`.
    """
    size = download.content.size
    stop = size if stop is None else min(stop, size)
    if not 0 <= start <= stop:
        raise InvalidInput(f"bytes {start} to {stop} are not within the {size} of the payload")
    hash_ = hashlib.sha512()

    def write(pieces: list[memoryview]) -> None:
        for piece in pieces:
            hash_.update(piece)
            while piece:  # a file without a buffer may take less than it is given
                count = file.write(piece)  # type: ignore[arg-type]  # what takes bytes takes a view of them
                piece = piece[count:] if isinstance(count, int) else memoryview(b"")

    gauge = Gauge(stop - start, progress)
    gauge.moving()
    async with aclosing(checked_parts(download, gauge, start, stop)) as parts:
        async for part in parts:
            await asyncio.to_thread(write, part)
    if (flush := getattr(file, "flush", None)) is not None:
        await asyncio.to_thread(flush)
    gauge.tell()
    actual = Digest(hash_.digest())
    if (start, stop) == (0, size) and actual != download.content.digest:
        raise DigestDiffers("what was written", download.content.digest, actual)


async def checked_parts(
    download: Download, gauge: Gauge, start: int, stop: int, sums: BlockSums | None = None
) -> AsyncGenerator[list[memoryview], None]:
    """Those bytes, block by block, each checked whole: up to two blocks more than these bytes are fetched."""
    size = download.content.size
    first = start - start % BLOCK_SIZE
    last = min(size, stop + -stop % BLOCK_SIZE)
    if start == stop:
        return
    async with aclosing(Checked(download, sums or sums_of(download), gauge).blocks(first, last)) as blocks:
        async for block in blocks:
            part, at = [], block.start
            for piece in block.pieces:
                if wanted := memoryview(piece)[max(0, start - at) : max(0, stop - at)]:
                    part.append(wanted)
                at += len(piece)
            yield part


def sums_of(download: Download) -> BlockSums | None:
    """None for what is one block or less: the digest says all, and one request does."""
    return download._sums() if download.content.size > BLOCK_SIZE else None


class _Saving:
    """One attempt at one payload, of which some may be here already."""

    def __init__(self, download: Download, partial: Partial, gauge: Gauge, connections: int) -> None:
        self._download = download
        self._partial = partial
        self._gauge = gauge
        self._connections = connections
        self._size = download.content.size
        self._sums = sums_of(download)
        self._here = bytearray(-(-self._size // BLOCK_SIZE))  # 1 for a block that is right and written
        self._known = b""  # what is here of an unfinished last block
        self._known_start = -1

    async def fill(self, target: Path) -> None:
        content = self._download.content
        digest = await self._filled()
        if digest != content.digest and self._partial.found:
            # What was found may be to blame (a daemon that tells no checksums of blocks, a crash of the machine that
            # left zeros): once more, all of it.
            await asyncio.to_thread(self._partial.restart)
            self._here = bytearray(len(self._here))
            self._known, self._known_start = b"", -1
            digest = await self._filled()
        if digest != content.digest:
            await asyncio.to_thread(self._partial.remove)
            await asyncio.to_thread(self._partial.restart)
            raise DigestDiffers(f"{target}, as it arrived", content.digest, digest)

    async def _filled(self) -> Digest:
        """All blocks are here: the digest of them."""
        if self._partial.found:
            self._download.hang_up()
            await self._judge()
        missing = sum(min(self._size, stop * BLOCK_SIZE) - start * BLOCK_SIZE for start, stop in self._spans())
        self._gauge.moving(self._size - missing + len(self._known))
        hash_, writing = Following(self._partial, self._here, self._size), Lane()
        try:
            hash_.follow()
            await self._fetch(hash_, writing)
            await writing.emptied()
            digest = await hash_.digest()
        finally:
            await to_the_end(writing.close())
            await hash_.close()
        self._gauge.tell()
        return digest

    async def _judge(self) -> None:
        """Find out which blocks of an earlier attempt are right. Of the last, unfinished one nobody can tell yet."""
        found = self._partial.found
        for index in range(found // BLOCK_SIZE + (found == self._size and found % BLOCK_SIZE > 0)):
            start = index * BLOCK_SIZE
            size = min(BLOCK_SIZE, self._size - start)
            expected = await self._sums.of(index) if self._sums else None
            checksum = await asyncio.to_thread(self._partial.checksum, start, size)
            self._here[index] = expected in (None, checksum)
            self._gauge.reading(start + size)
        if found < self._size and (tail := found % BLOCK_SIZE):
            self._known = await asyncio.to_thread(self._partial.read, found - tail, tail)
            self._known_start = found - tail

    async def _fetch(self, hash_: Following, writing: Lane) -> None:
        spans = deque(self._spans())
        if self._connections == 1 or len(spans) == 1:
            await self._take(spans, hash_, writing)
            return
        self._download.hang_up()
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._connections, len(spans))):
                group.create_task(self._take(spans, hash_, writing))

    def _spans(self) -> list[tuple[int, int]]:
        """What is missing, in runs of blocks: short ones where several connections share them."""
        limit = SPAN_BLOCKS if self._connections > 1 else len(self._here)
        spans: list[tuple[int, int]] = []
        for index, is_here in enumerate(self._here):
            if is_here:
                continue
            goes_on = spans and spans[-1][1] == index and index * BLOCK_SIZE != self._known_start
            if goes_on and index - spans[-1][0] < limit:
                spans[-1] = (spans[-1][0], index + 1)
            else:
                spans.append((index, index + 1))
        return spans

    async def _take(self, spans: deque[tuple[int, int]], hash_: Following, writing: Lane) -> None:
        while spans:
            first, behind = spans.popleft()
            start, stop = first * BLOCK_SIZE, min(self._size, behind * BLOCK_SIZE)
            known = self._known if start == self._known_start else b""
            checked = Checked(self._download, self._sums, self._gauge)
            try:
                async with aclosing(checked.blocks(start, stop, known)) as blocks:
                    async for block in blocks:
                        await writing.give(self._write, block)
                        await hash_.took(block)
            finally:
                if (rest := checked.rest) is not None:  # less than a MiB, which need not come again
                    with suppress(OSError):
                        await to_the_end(asyncio.to_thread(self._partial.write, rest.start, rest.pieces))

    def _write(self, block: Block) -> None:
        self._partial.write(block.start, block.pieces)
        self._here[block.start // BLOCK_SIZE] = 1
