"""How many rows and columns a data frame has: what the footer and the batches' heads of an Arrow file say.

A reader of the few fields of Arrow's flatbuffers that tell it (https://arrow.apache.org/docs/format/Columnar.html,
File.fbs and Message.fbs), so that nothing native parses what strangers sent, and no package is needed for two numbers.
"""

import struct
from dataclasses import dataclass

from casd.model import BLOCK_SIZE
from casd.payloads.base import Payload

CONTENT_TYPE = "application/vnd.apache.arrow+binary"
MAGIC = b"ARROW1"
TAIL_BYTES = 4 + len(MAGIC)  # the footer's size and the magic end the file
FOOTER_LIMIT_BYTES = 8 << 20  # thousands of columns
BATCHES_LIMIT = 256  # a client writes one; each costs a read
RECORD_BATCH = 3  # in the union MessageHeader
_CONTINUATION = b"\xff\xff\xff\xff"


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a data frame."""

    num_rows: int
    num_columns: int


async def shape_of(payload: Payload) -> Shape | None:
    """None for what does not read as an Arrow file, or is in too many pieces. Raises PayloadDamaged."""
    try:
        footer = await _footer(payload)
        if footer is None:
            return None
        schema = footer.table(1)
        blocks = footer.vector(3)
        count = 0 if blocks is None else blocks.length
        if schema is None or count > BATCHES_LIMIT:
            return None
        fields = schema.vector(1)
        rows = 0
        for index in range(count):
            assert blocks is not None
            offset, size = blocks.unpack("<qi", index * 24)
            rows += await _rows(payload, offset, size)
        return Shape(rows, 0 if fields is None else fields.length)
    except (struct.error, ValueError):
        return None


async def _footer(payload: Payload) -> "Table | None":
    if payload.size < 2 * TAIL_BYTES:
        return None
    size, magic = struct.unpack("<i6s", await payload.read(payload.size - TAIL_BYTES, payload.size))
    if magic != MAGIC or not 8 <= size <= min(FOOTER_LIMIT_BYTES, payload.size - TAIL_BYTES):
        return None
    stop = payload.size - TAIL_BYTES
    return Table.root(await payload.read(stop - size, stop))


async def _rows(payload: Payload, offset: int, size: int) -> int:
    """The rows of the record batch whose head stands there. Raises ValueError."""
    if offset < 0 or not 8 <= size <= BLOCK_SIZE or offset + size > payload.size:
        raise ValueError("no record batch stands there")
    head = await payload.read(offset, offset + size)
    message = Table.root(head[8:] if head.startswith(_CONTINUATION) else head[4:])  # as written before Arrow 0.15
    batch = message.table(2)
    if message.number(1, "<B") != RECORD_BATCH or batch is None:
        raise ValueError("this is no record batch")
    rows = batch.number(0, "<q")
    if rows < 0:
        raise ValueError("a negative number of rows")
    return rows


# -- flatbuffers ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a flatbuffer (https://flatbuffers.dev/internals). What points outside raises struct.error."""

    data: bytes
    at: int

    @classmethod
    def root(cls, data: bytes) -> "Table":
        return cls(data, _unpack(data, "<I", 0))

    def _field(self, index: int) -> int | None:
        """Where the field stands; None if it is left out."""
        vtable = self.at - _unpack(self.data, "<i", self.at)
        slot = 4 + 2 * index
        if slot >= _unpack(self.data, "<H", vtable):
            return None
        offset = _unpack(self.data, "<H", vtable + slot)
        return self.at + offset if offset else None

    def number(self, index: int, kind: str) -> int:
        at = self._field(index)
        return 0 if at is None else _unpack(self.data, kind, at)

    def table(self, index: int) -> "Table | None":
        at = self._field(index)
        return None if at is None else Table(self.data, at + _unpack(self.data, "<I", at))

    def vector(self, index: int) -> "Vector | None":
        at = self._field(index)
        return None if at is None else Vector(self.data, at + _unpack(self.data, "<I", at))


@dataclass(frozen=True, slots=True)
class Vector:
    data: bytes
    at: int

    @property
    def length(self) -> int:
        """Raises ValueError for more than there is room for."""
        length = _unpack(self.data, "<I", self.at)
        if self.at + 4 + 4 * length > len(self.data):  # no element here is smaller
            raise ValueError("a vector reaches outside")
        return length

    def unpack(self, kind: str, offset: int) -> tuple[int, ...]:
        return struct.unpack_from(kind, self.data, self.at + 4 + offset)


def _unpack(data: bytes, kind: str, at: int) -> int:
    if at < 0:  # struct would count from the end
        raise struct.error("points outside")
    number: int = struct.unpack_from(kind, data, at)[0]
    return number
