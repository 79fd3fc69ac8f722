"""Taking one layer of gzip off what arrives, so that the same file has the same digest whoever sends it."""

import asyncio
import zlib

from casd.errors import InvalidInput, TooLarge
from casd.web.receive import Sink

STEP_BYTES = 1 << 20  # made of what arrived in one hop to a thread, however much it would become: a bomb gets no memory
WINDOW_BYTES = 16 << 10  # zlib copies what follows a member: of a MiB of empty ones that was 4 s of copying, now 0.1
_GZIP = 16 + zlib.MAX_WBITS  # zlib reads the gzip header, and checks CRC and length at the end of each member


class Gunzipped:
    """A sink for gzip (RFC 1952) that appends the plain bytes of all members to another one.

    `finish` must follow the last `append`.
    """

    def __init__(self, into: Sink, limit_bytes: int) -> None:
        """`limit_bytes` is for the plain bytes."""
        self._into = into
        self._limit_bytes = limit_bytes
        self._size = 0
        self._member = zlib.decompressobj(_GZIP)
        self._is_between = False  # a member has ended, and nothing of another one has come
        self._holds_back = False  # zlib took in more than it was let make of it

    async def append(self, data: bytes) -> None:
        """Raises InvalidInput for what is not gzip, TooLarge, and as the other sink."""
        start, view = 0, memoryview(data)
        while start < len(view) or self._holds_back:
            plain, start = await asyncio.to_thread(self._inflate, view, start)
            self._size += len(plain)
            if self._size > self._limit_bytes:
                raise TooLarge("what the gzip holds", self._limit_bytes)
            if plain:
                await self._into.append(plain)

    def _inflate(self, data: memoryview, start: int) -> tuple[bytes, int]:
        """At most STEP_BYTES of plain bytes, of however many members, and where in `data` to go on."""
        made, room = [], STEP_BYTES
        while room and (start < len(data) or self._holds_back):
            if self._is_between:
                self._member = zlib.decompressobj(_GZIP)
                self._is_between = False
            window = data[start : start + WINDOW_BYTES]
            try:
                plain = self._member.decompress(window, room)
            except zlib.error as error:
                raise InvalidInput(f"the part says that it is gzip, but it does not read as such: {error}") from None
            self._is_between = self._member.eof
            left = self._member.unused_data if self._is_between else self._member.unconsumed_tail
            start += len(window) - len(left)
            room -= len(plain)
            self._holds_back = room == 0 and not self._is_between
            made.append(plain)
        return b"".join(made), start

    def finish(self) -> None:
        """Raise InvalidInput unless the last member has ended."""
        if not self._is_between:
            raise InvalidInput("the part says that it is gzip, but it ends too early")
