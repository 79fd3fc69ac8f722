"""What stands in a path or a query, parsed once: segments, names, UUIDs, digests, limits, cursors, times.

aiohttp decodes `x%FF` and `x%25FF` alike, so paths are decoded here, from the raw target.
"""

import base64
import binascii
import re
import zlib
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote_to_bytes
from uuid import UUID

from aiohttp import web

from casd.errors import InvalidInput, NotFound
from casd.model import Digest, checked_name, checked_namespace
from casd.web.ranges import number, query_number

PAGE_DEFAULT = 100
PAGE_LIMIT = 1000
MARK_BYTES = 4  # a CRC-32 of path and key, before the key in a cursor
LONGEST_S = 100 * 366 * 86400  # a hundred years: what is longer is a mistake, and overflows a datetime some day

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def raw_segments(request: web.Request) -> list[str]:
    """The path's segments as they were sent, still percent-encoded, without the empty one before the first slash."""
    return request.raw_path.partition("?")[0].split("/")[1:]


def check_query(request: web.Request) -> None:
    """Raise InvalidInput for a query that is no percent-encoded UTF-8, where its text is kept or compared."""
    decode(request.raw_path.partition("?")[2], "query")


def check_parameters(request: web.Request, *known: str) -> None:
    """Raise InvalidInput for a parameter that is unknown or comes twice, where what is ignored could do harm."""
    for name in request.query:
        if name not in known:
            raise InvalidInput(f"unknown parameter {name[:40]!r} here; known: {', '.join(known)}")
        if len(request.query.getall(name)) > 1:
            raise InvalidInput(f"?{name}= comes once")


def decode(text: str, what: str = "path") -> str:
    """A percent-encoded piece of a path. Raises InvalidInput for anything but well-formed UTF-8."""
    for position in range(len(text)):
        if text[position] == "%" and not is_hex(text[position + 1 : position + 3]):
            raise InvalidInput(f"a % in a {what} is followed by two hex digits")
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except (UnicodeDecodeError, UnicodeEncodeError):
        raise InvalidInput(f"a {what} is UTF-8, percent-encoded") from None


def is_hex(text: str) -> bool:
    return len(text) == 2 and all(char in "0123456789abcdefABCDEF" for char in text)


def namespace_and_name(request: web.Request, skip: int) -> tuple[str, str]:
    """Namespace and name after `skip` segments; `%2F` is a slash in a name. Raises InvalidInput."""
    segments = raw_segments(request)[skip:]
    return checked_namespace(decode(segments[0])), checked_name(decode("/".join(segments[1:])))


def uuid_in_path(text: str) -> UUID:
    """A UUID in its usual form of 36. What is malformed is simply not there: NotFound."""
    if _UUID.fullmatch(text):  # UUID() alone takes braces, hyphens anywhere and the digits of all scripts
        return UUID(text)
    raise NotFound("there is nothing at this path: a UUID is written as 8-4-4-4-12 hex digits")


def digest_in_path(text: str) -> Digest:
    """A malformed digest is not there: NotFound."""
    try:
        return Digest.parse(text)
    except InvalidInput as error:
        raise NotFound(f"there is nothing at this path: {error}") from None


def page_limit(request: web.Request, default: int = PAGE_DEFAULT) -> int:
    """`?limit=`, what is above 1000 is clamped. Raises InvalidInput."""
    limit = query_number(request.query, "limit", default)
    if limit == 0:
        raise InvalidInput("?limit= is at least 1")
    return min(limit, PAGE_LIMIT)


def cursor(request: web.Request, parameter: str = "cursor") -> bytes | None:
    """The key in `?cursor=`, as an earlier page of this listing gave it as `next`. Raises InvalidInput."""
    text = request.query.get(parameter)
    if text is None:
        return None
    try:
        key = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)[MARK_BYTES:]
    except (UnicodeEncodeError, binascii.Error):
        key = b""
    if text != cursor_text(request, key):
        raise InvalidInput(f"?{parameter}= is what an earlier page of this listing gave for the next")
    return key


def cursor_text(request: web.Request, key: bytes | None) -> str | None:
    """What `cursor` takes back, on the same path alone."""
    if key is None:
        return None
    path = "/".join(decode(segment) for segment in raw_segments(request))
    # Finds mistakes, not attackers: the names of one namespace would pass for a place among those of another.
    mark = zlib.crc32(path.encode() + b"\0" + key).to_bytes(MARK_BYTES)
    return base64.urlsafe_b64encode(mark + key).decode()


def is_flagged(request: web.Request, name: str) -> bool:
    """`?name=1`. Raises InvalidInput for anything but 0 and 1."""
    text = request.query.get(name, "0")
    if text not in ("0", "1"):
        raise InvalidInput(f"?{name}= is 1 or 0, not {text[:40]!r}")
    return text == "1"


def seconds_from(value: object, what: str, now: datetime) -> datetime:
    """The time that lies `value` seconds ahead: a positive number, or its digits. Raises InvalidInput."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = number(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value <= LONGEST_S:
        raise InvalidInput(f"{what} is a number of seconds, at least 1 and at most {LONGEST_S}")
    return now + timedelta(seconds=value)


def time_in(text: str, what: str) -> datetime:
    """An RFC 3339 time with its offset. Raises InvalidInput."""
    try:
        # A "+" that was not percent-encoded in a query arrives as a space.
        time = datetime.fromisoformat(text.replace(" ", "+") if text.count(" ") == 1 and "T" in text else text)
    except ValueError:
        raise InvalidInput(f"{what} is an RFC 3339 time such as 2026-01-31T12:00:00Z") from None
    if time.tzinfo is None:
        raise InvalidInput(f"{what} says no offset from UTC: end it with Z")
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise InvalidInput(f"{what} is out of range") from None
