"""Which bytes a client asks for: the Range header (RFC 9110, 14) and `?offset=&length=`. No I/O."""

import re
from collections.abc import Mapping, Sequence

from casd.errors import InvalidInput, RangeNotSatisfiable
from casd.model import ByteRange

RANGES_LIMIT = 16  # more than that, after merging, is answered with the whole (RFC 9110, 14.2, allows it)
FAR = 1 << 63  # no payload is as long; a number with more digits means just "far past the end"

_UNIT = re.compile(r"bytes[ \t]*=", re.IGNORECASE | re.ASCII)
_SPEC = re.compile(r"(\d*)-(\d*)", re.ASCII)
_DIGITS = re.compile(r"\d+", re.ASCII)


def requested_ranges(header: str | None, size: int) -> Sequence[ByteRange]:
    """The ranges of a payload of `size` bytes that are asked for: satisfiable, ascending, apart; empty for the whole.

    What does not parse, asks in another unit, or asks for too many pieces means the whole, and so does anything on
    an empty payload. Raises RangeNotSatisfiable if it parses and nothing of it lies inside.
    """
    if header is None or size == 0:
        return ()
    parsed = _parse(header, size)
    if parsed is None:
        return ()
    inside = [part for part in parsed if part.start < part.stop]
    if not inside:
        raise RangeNotSatisfiable(size)
    merged = _merge(inside)
    return merged if len(merged) <= RANGES_LIMIT else ()


def _parse(header: str, size: int) -> list[ByteRange] | None:
    """Every range clipped to the payload, empty ones for what lies outside; None if the header is malformed."""
    unit = _UNIT.match(header)
    if unit is None:
        return None
    found = []
    for text in header[unit.end() :].split(","):
        text = text.strip(" \t")
        if not text:  # RFC 9110, 5.6.1: empty list elements are skipped
            continue
        spec = _SPEC.fullmatch(text)
        if spec is None or text == "-":
            return None
        first, last = spec.groups()
        if not first:
            found.append(ByteRange(max(0, size - number(last)), size))
            continue
        start, stop = number(first), number(last) + 1 if last else size
        if stop <= start and last:
            return None  # "5-2" is not a range at all (RFC 9110, 14.1.1)
        found.append(ByteRange(start, min(stop, size)))
    return found or None


def _merge(ranges: list[ByteRange]) -> list[ByteRange]:
    """Overlapping and touching ranges made one, in ascending order."""
    merged: list[ByteRange] = []
    for part in sorted(ranges, key=lambda part: part.start):
        if merged and part.start <= merged[-1].stop:
            merged[-1] = ByteRange(merged[-1].start, max(merged[-1].stop, part.stop))
        else:
            merged.append(part)
    return merged


def requested_window(query: Mapping[str, str], size: int) -> ByteRange | None:
    """The bytes that `?offset=N` and `?length=M` ask for; None without either.

    N may be `size` (nothing is left), M is clipped. Raises InvalidInput for what is not plain digits, and
    RangeNotSatisfiable for N past the end.
    """
    if "offset" not in query and "length" not in query:
        return None
    start, length = query_number(query, "offset", 0), query_number(query, "length", FAR)
    if start > size:
        raise RangeNotSatisfiable(size)
    return ByteRange(start, min(size, start + length))


def query_number(query: Mapping[str, str], name: str, default: int) -> int:
    """The plain ASCII digits of a query parameter. Raises InvalidInput."""
    text = query.get(name)
    if text is None:
        return default
    if not _DIGITS.fullmatch(text):
        raise InvalidInput(f"?{name}= is a number of plain digits, not {text[:40]!r}")
    return number(text)


def number(digits: str) -> int:
    """The value of decimal digits, FAR for any that is larger (int() refuses more than 4300 of them)."""
    digits = digits.lstrip("0") or "0"
    return min(int(digits), FAR) if len(digits) < 20 else FAR
