"""What of a file was found right since the start: a bit for each of its blocks."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime


class Known:
    """Which blocks of one file were found right."""

    __slots__ = ("_bits", "_busy", "_left", "is_damaged", "since")

    def __init__(self, blocks: int, since: datetime) -> None:
        """None of `blocks` was, as yet."""
        self._left = blocks
        self._bits: bytearray | None = None
        self._busy: dict[int, asyncio.Future[None]] | None = None
        self.since = since
        self.is_damaged = False

    @property
    def is_complete(self) -> bool:
        return self._left == 0

    def has(self, block: int) -> bool:
        if self._bits is None:
            return self._left == 0
        return block >> 3 < len(self._bits) and bool(self._bits[block >> 3] & (1 << (block & 7)))

    def add(self, start: int, stop: int) -> None:
        bits = self._bits if self._bits is not None else bytearray()
        bits += bytes(max(0, (stop + 7 >> 3) - len(bits)))
        for block in range(start, stop):
            if not self.has(block):
                bits[block >> 3] |= 1 << (block & 7)
                self._left -= 1
        self._bits = bits if self._left else None

    def checker_of(self, block: int) -> "asyncio.Future[None] | None":
        """What ends with the check of the block that is under way."""
        return self._busy.get(block) if self._busy is not None else None

    @contextmanager
    def checking(self, start: int, stop: int) -> Iterator[None]:
        """Others wait for those blocks meanwhile."""
        self._busy = busy = self._busy if self._busy is not None else {}
        done = asyncio.get_running_loop().create_future()
        busy.update(dict.fromkeys(range(start, stop), done))
        try:
            yield
        finally:
            for block in range(start, stop):
                del busy[block]
            self._busy = busy or None
            done.set_result(None)
