"""How commands print: for people without surprises on their terminal, for programs as JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import click

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def printable(text: str) -> str:
    """`text` with everything escaped that a terminal obeys instead of showing: control and format characters.

    Names and details come from others. An ESC in one could rewrite the screen, a right-to-left override
    show `exe.gnp` for `png.exe`.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def human_size(size: int) -> str:
    """Three or four digits and a binary unit: `0 B`, `1.5 KiB`, `1023 MiB`."""
    value, unit = float(size), 0
    while value >= 1023.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    digits = 1 if unit and value < 99.95 else 0
    return f"{value:.{digits}f} {_UNITS[unit]}"


def utc(at: datetime) -> str:
    """A time as casd takes it back in `--as-of`, to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def echo_json(value: Any) -> None:
    """One JSON document on one line of standard output, ASCII only."""
    click.echo(json_line(value))


def json_line(value: Any) -> str:
    return json.dumps(value)


async def echo_listing(items: AsyncIterator[Mapping[str, Any]]) -> None:
    """A listing as the daemon writes one, all pages in it: a valid document, an item a line, written as they come."""
    click.echo('{"items": [', nl=False)
    separator = "\n"
    async for item in items:
        click.echo(separator + json.dumps(item), nl=False)
        separator = ",\n"
    click.echo('\n], "next": null}')


def yes_or_no(claim: bool) -> str:
    return "yes" if claim else "no"


def counted(count: int, noun: str) -> str:
    """`1 blob`, `2 blobs`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def human_span(seconds: float) -> str:
    """A time span in its largest units: `45 s`, `12 min`, `3 h 5 min`, `12 d 4 h`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    large, small, unit_s = ("h", "min", 3600) if whole < 86400 else ("d", "h", 86400)
    rest = whole % unit_s // (60 if small == "min" else 3600)
    return f"{whole // unit_s} {large}" + (f" {rest} {small}" if rest else "")
