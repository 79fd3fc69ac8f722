"""Requests that are wrong, by what is wrong with them, and which statuses may answer each.

Written by hand from the RFCs: a section's statuses are what a client deserves to hear, not what casd happens to say.
`CLOSED` stands for a connection that ends without an answer.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TypeAlias

CLOSED = 0
GOOD = frozenset({200, 201, 204, 206, 304})
REFUSED = frozenset({400, 404, 405, 408, 409, 411, 412, 413, 414, 415, 416, 417, 422, 423, 426, 429, 431, 460})
UUID = "00000000-0000-7000-8000-000000000000"
ZEROS = "0" * 128


@dataclass(frozen=True)
class Known:
    """What is there to be asked for, by paths that need no more escaping."""

    token: str
    blob: str  # a path of its bytes
    name: str
    upload: str  # a tus upload of 10 bytes that stays empty
    uuid: str


@dataclass(frozen=True)
class Case:
    label: str
    sent: bytes
    allowed: Collection[int]


Maker: TypeAlias = Callable[[Known], Iterator[Case]]


def case(label: object, sent: bytes | str, allowed: Collection[int]) -> Case:
    return Case(str(label)[:80], sent if isinstance(sent, bytes) else sent.encode("latin-1"), allowed)


def request(known: Known, line: str, *lines: str, body: bytes | str = b"", is_closing: bool = True) -> bytes:
    """A request that is good but for what the lines say."""
    scheme = "Token" if " /api/blobs/" in line else "Bearer"
    own = ["Host: casd.test", f"Authorization: {scheme} {known.token}", *["Connection: close"] * is_closing]
    head = "\r\n".join([f"{line} HTTP/1.1", *own, *lines, "", ""])
    return head.encode("latin-1") + (body if isinstance(body, bytes) else body.encode("latin-1"))


def with_body(known: Known, line: str, body: bytes, *lines: str) -> bytes:
    return request(known, line, f"Content-Length: {len(body)}", *lines, body=body)
