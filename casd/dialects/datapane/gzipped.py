"""Taking one layer of gzip off what arrives, so that the same file has the same digest whoever sends it."""

import asyncio
import zlib

from casd.errors import InvalidInput, TooLarge
from casd.web.receive import Sink

STEP_BYTES = 1 << 20  # made of what arrived in one hop to a thread, however much it would become: a bomb gets no memory
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

    async def append(self, data: bytes) -> None:
        """Raises InvalidInput for what is not gzip, TooLarge, and as the other sink."""
        is_more = True
        while is_more:
            plain, data, is_more = await asyncio.to_thread(self._inflate, data)
            self._size += len(plain)
            if self._size > self._limit_bytes:
                raise TooLarge("what the gzip holds", self._limit_bytes)
            if plain:
                await self._into.append(plain)

    def _inflate(self, data: bytes) -> tuple[bytes, bytes, bool]:
        """At most STEP_BYTES of plain bytes, the input that is left, and whether there may be more."""
        if self._is_between:
            if not data:
                return b"", b"", False
            self._member = zlib.decompressobj(_GZIP)
            self._is_between = False
        try:
            plain = self._member.decompress(data, STEP_BYTES)
        except zlib.error as error:
            raise InvalidInput(f"the part says that it is gzip, but it does not read as such: {error}") from None
        if self._member.eof:
            self._is_between = True
            left = self._member.unused_data
            return plain, left, bool(left)
        left = self._member.unconsumed_tail
        return plain, left, bool(left) or len(plain) == STEP_BYTES  # zlib may hold back more than it took in

    def finish(self) -> None:
        """Raise InvalidInput unless the last member has ended."""
        if not self._is_between:
            raise InvalidInput("the part says that it is gzip, but it ends too early")
