"""The checksums of a payload's blocks, as the daemon tells them, and bytes checked against them as they arrive."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import xxhash

from casd.client.errors import BlockDiffers, ClientError, Refused, UnexpectedAnswer, UnknownPath
from casd.client.progress import Gauge
from casd.client.remote import Remote
from casd.client.retry import Patience
from casd.client.values import parsed
from casd.model import BLOCK_SIZE

if TYPE_CHECKING:
    from casd.client.download import Download

PAGE_BLOCKS = 4096  # a request: 4 GiB of payload, 80 KB of JSON
ATTEMPTS = 3  # to get a block right: what is wrong as often was damaged before it was sent

Piece: TypeAlias = bytes | memoryview


class BlockSums:
    """The XXH3-64 of each MiB of one payload, fetched page by page when they are first wanted; 8 MB for a TiB."""

    def __init__(self, remote: Remote, patience: Callable[[], Patience]) -> None:
        self._remote = remote
        self._patience = patience
        self._pages: dict[int, bytes] = {}
        self.are_told = True  # False: the daemon is older than they are, or does not tell this caller

    async def of(self, index: int) -> bytes | None:
        """That of one block; None where the daemon tells none. Raises UnexpectedAnswer, and as a download."""
        number, at = divmod(index, PAGE_BLOCKS)
        if not self.are_told:
            return None
        if number not in self._pages:
            await self._fetch(number)
            return await self.of(index)
        return self._pages[number][at * 8 : at * 8 + 8]

    async def _fetch(self, number: int) -> None:
        patience = self._patience()
        while True:
            try:
                self._pages[number] = await self._page(number * PAGE_BLOCKS)
                return
            except UnknownPath:
                self.are_told = False
                return
            except ClientError as error:
                if isinstance(error, Refused) and error.status in (401, 403, 404):
                    self.are_told = False  # the SHA-512 of the whole still stands
                    return
                await patience.after(error)

    async def _page(self, start: int) -> bytes:
        stop = min(start + PAGE_BLOCKS, -(-self._remote.content.size // BLOCK_SIZE))
        page = b""
        while start < stop:  # a daemon may tell fewer at a time than were asked for
            answer = await self._remote.transport.json("GET", self._remote.blocks_path, {"start": start, "stop": stop})
            found = parsed("block list", _block_list, answer)
            if not found or len(found) // 8 > stop - start:
                raise UnexpectedAnswer(f"asked for blocks {start} to {stop}, was told {len(found) // 8}")
            page += found
            start += len(found) // 8
        return page


def _block_list(answer: object) -> bytes:
    assert isinstance(answer, dict)
    if (answer["block_size"], answer["algorithm"]) != (BLOCK_SIZE, "xxh3-64"):
        raise ValueError("of other blocks than this client knows")
    return b"".join(_checksum(text) for text in answer["blocks"])


def _checksum(text: str) -> bytes:
    checksum = bytes.fromhex(text)
    if len(checksum) != 8:
        raise ValueError("a checksum of another length")
    return checksum


@dataclass(frozen=True, slots=True)
class Block:
    """The bytes of one block, in the pieces they came in."""

    start: int
    pieces: Sequence[Piece]

    @property
    def size(self) -> int:
        return sum(map(len, self.pieces))

    @property
    def checksum(self) -> bytes:
        # On the loop: 0.1 ms a MiB, as much as a hop to a thread costs.
        hash_ = xxhash.xxh3_64()
        for piece in self.pieces:
            hash_.update(piece)
        return hash_.digest()


class Checked:
    """The blocks of a download between two places, each right before it is handed on."""

    def __init__(self, download: Download, sums: BlockSums | None, gauge: Gauge) -> None:
        """Without `sums`, or where they are not told, blocks are handed on as they come."""
        self._download = download
        self._sums = sums
        self._gauge = gauge
        self._size = download.content.size
        self.rest: Block | None = None  # of the block that was cut off: what came of it

    async def blocks(self, start: int, stop: int, known: bytes = b"") -> AsyncGenerator[Block, None]:
        """The blocks from `start`, where one begins, to `stop`, where one ends. Of the first, `known`, never all of it,
        is here already.

        A block that is wrong is fetched again before the next is looked at. When this ends early, what came of the
        next block is in `rest`. Raises BlockDiffers, and as `Download.pieces`.
        """
        pieces: list[Piece] = [known] if known else []
        have = len(known)
        wanted = min(BLOCK_SIZE, self._size - start)
        try:
            async with aclosing(self._download.pieces(start + have, stop)) as arriving:
                async for piece in arriving:
                    view = memoryview(piece)
                    while view:
                        part = view[: wanted - have]
                        view = view[len(part) :]
                        pieces.append(part)
                        have += len(part)
                        self._gauge.moved(len(part))
                        if have == wanted:
                            whole, pieces, have = Block(start, pieces), [], 0
                            start += wanted
                            wanted = min(BLOCK_SIZE, self._size - start)
                            yield await self._right(whole)
        finally:
            self.rest = Block(start, pieces) if pieces else None

    async def _right(self, block: Block) -> Block:
        """The block as it is to be. Raises BlockDiffers."""
        expected = await self._sums.of(block.start // BLOCK_SIZE) if self._sums else None
        for _ in range(ATTEMPTS):
            if expected is None or block.checksum == expected:
                return block
            block = await self._again(block)
        if block.checksum != expected:
            raise BlockDiffers(block.start // BLOCK_SIZE, block.start, block.start + block.size)
        return block

    async def _again(self, block: Block) -> Block:
        stop = block.start + block.size
        async with aclosing(self._download.pieces(block.start, stop)) as arriving:
            pieces = [piece async for piece in arriving]
        self._gauge.moved_again(block.size)
        return Block(block.start, pieces)
