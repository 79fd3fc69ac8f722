"""What the text of an option may be: durations, times, sizes, filenames, and `none`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click

from casd.errors import InvalidInput

_DURATION = re.compile(r"([0-9]{1,10})\s*([smhdw]?)", re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LONGEST_S = 100 * 366 * 86400  # as the daemon has it
_SIZE = re.compile(r"([0-9]{1,18})\s*(?:B|([KMGTP])(?:iB)?)?", re.ASCII)
_BYTES = {None: 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
_FILENAME_LIMIT_BYTES = 1024  # as the daemon has it
_DIGITS = re.compile(r"[0-9]{1,18}", re.ASCII)
_PART = re.compile(r"([0-9]{0,18})-([0-9]{0,18})", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class _Nothing:
    """What `none` stands for: an option that was given to take something back, unlike one that was not given."""

    def __repr__(self) -> str:
        return "none"


NOTHING: Final = _Nothing()


class Folder(click.Path):
    """A folder's path. An empty one, as of a variable that is not set, would mean the current folder: it is refused."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("an empty path names no folder; the current one is written as a dot.", param, ctx)
        return super().convert(value, param, ctx)


def duration(text: str) -> int:
    """Seconds, from `90`, `90s`, `15m`, `12h`, `30d` or `2w`. Raises BadParameter."""
    match = _DURATION.fullmatch(text.strip())
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not 1 <= seconds <= _LONGEST_S:
        raise click.BadParameter(f"{text!r} is not a time span; write it as 45s, 15m, 12h, 30d or 2w.")
    return seconds


def overlap(text: str) -> int:
    """As `duration`, and 0. Raises BadParameter."""
    return 0 if text.strip() == "0" else duration(text)


def moment(text: str) -> datetime:
    """A time, or a span before now such as `2h`. Raises BadParameter."""
    if _DURATION.fullmatch(text.strip()):
        return datetime.now(UTC) - timedelta(seconds=duration(text))
    try:
        return point_in_time(text)
    except click.BadParameter as error:
        raise click.BadParameter(f"{error.message.rstrip('.')}, or is a span before now such as 2h or 7d.") from None


def point_in_time(text: str) -> datetime:
    """A time with its offset from UTC (RFC 3339). Raises BadParameter."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a time; one looks like 2026-01-31T12:00:00Z.") from None
    if at.tzinfo is None:
        raise click.BadParameter(f"{text!r} says no offset from UTC; write it as 2026-01-31T12:00:00Z.")
    return at


def size(text: str) -> int:
    """Bytes, from `1000`, `500MiB`, `2 TiB` or `2T`, which is the same. Raises BadParameter."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise click.BadParameter(f"{text!r} is not a size; write it as 1000000, 500MiB or 2T, which is 2TiB.")
    return int(match[1]) * _BYTES[match[2]]


@dataclass(frozen=True, slots=True)
class Part:
    """Which bytes of a payload whose size is not known yet: those from `start`, or its `last` ones."""

    start: int
    stop: int | None  # not included; None: to the end
    last: int | None = None

    def of(self, size: int) -> tuple[int, int]:
        """`start` and `stop` in a payload of that size. Raises InvalidInput where it has none of these bytes."""
        start = self.start if self.last is None else max(0, size - self.last)
        if start >= size:
            raise InvalidInput(f"there are {size} bytes, none of them in this range")
        return start, min(size, self.stop) if self.stop is not None else size


def part(text: str) -> Part:
    """Bytes as HTTP and curl count them: `0-99` is a hundred, `100-` the rest, `-100` the last. Raises BadParameter."""
    match = _PART.fullmatch(text.strip())
    first, last = match.groups() if match else ("", "")
    if first and not last:
        return Part(int(first), None)
    if first and int(first) <= int(last):
        return Part(int(first), int(last) + 1)
    if not first and last and int(last):
        return Part(0, None, int(last))
    raise click.BadParameter(f"{text!r} is not a range; 0-99 is the first hundred bytes, 100- the rest, -100 the last.")


def count_from(least: int) -> Callable[[str], int]:
    """Takes whole numbers that are at least so large. Raises BadParameter."""

    def convert(text: str) -> int:
        if not _DIGITS.fullmatch(text) or int(text) < least:
            raise click.BadParameter(f"{text!r} is not a whole number of at least {least}, nor none.")
        return int(text)

    return convert


def filename(text: str) -> str:
    """A filename as the daemon remembers one. Raises BadParameter."""
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError:
        raise click.BadParameter(f"{text!r} is not UTF-8.") from None
    if not 1 <= size_bytes <= _FILENAME_LIMIT_BYTES or _CONTROL.search(text):
        raise click.BadParameter(f"a filename has 1 to {_FILENAME_LIMIT_BYTES} bytes and no control characters.")
    return text


def or_none(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """What `kind` takes, or `none`, which becomes NOTHING."""
    return lambda text: NOTHING if text == "none" else kind(text)


def given(**options: object) -> dict[str, Any]:
    """The options that were given; NOTHING becomes None."""
    return {name: None if value is NOTHING else value for name, value in options.items() if value is not None}
