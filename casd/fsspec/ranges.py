"""Many ranges as few reads of each payload: checked by whole blocks, so what shares a block comes with one read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from casd.client import Reader
from casd.fsspec.failures import translated
from casd.model import BLOCK_SIZE

SPAN_BYTES = 32 << 20  # nothing is added to a read that is so long: others can go on beside it


Range = tuple[str, int | None, int | None]  # path, start and stop as fsspec means them
Found = list[bytes | OSError]


@dataclass(slots=True)
class Span:
    """One read, and which of the ranges it brings."""

    start: int
    stop: int
    brings: list[int] = field(default_factory=list)


def limits(start: int | None, stop: int | None, size: int) -> tuple[int, int]:
    """A range as fsspec means it: from the end where it is negative, and clipped. Empty where it has nothing."""
    first = 0 if start is None else start if start >= 0 else size + start
    last = size if stop is None else stop if stop >= 0 else size + stop
    first, last = max(0, first), min(size, last)
    return first, max(first, last)


def spans(ranges: Sequence[tuple[int, int]], gap: int = 0) -> list[Span]:
    """Reads for those that are not empty. Where no more than `gap` bytes lie between two, they are one read."""
    found: list[Span] = []
    for start, stop, index in sorted((start, stop, index) for index, (start, stop) in enumerate(ranges)):
        if start == stop:
            continue
        first, last = start - start % BLOCK_SIZE, stop + -stop % BLOCK_SIZE
        if found and first <= found[-1].stop + gap and found[-1].stop - found[-1].start < SPAN_BYTES:
            found[-1].stop = max(found[-1].stop, last)
            found[-1].brings.append(index)
        else:
            found.append(Span(first, last, [index]))
    return found


async def many_ranges(
    reader_at: Callable[[str], Awaitable[Reader]], wanted: Sequence[Range], gap: int, at_once: int
) -> Found:
    """Each range's bytes, or what kept them; all of a path are of one version."""
    found: Found = [b""] * len(wanted)
    gate = asyncio.Semaphore(at_once)

    async def fetch(path: str, mine: Sequence[int]) -> None:
        try:
            async with gate:
                reader = await reader_at(path)
        except OSError as error:
            _fill(found, mine, error)
            return
        ranges = [limits(wanted[index][1], wanted[index][2], reader.content.size) for index in mine]
        await asyncio.gather(*(read(path, reader, span, mine, ranges) for span in spans(ranges, gap)))

    async def read(
        path: str, reader: Reader, span: Span, mine: Sequence[int], ranges: Sequence[tuple[int, int]]
    ) -> None:
        try:
            async with gate:
                with translated(path):
                    data = await reader.read(span.start, span.stop)
        except OSError as error:
            _fill(found, [mine[at] for at in span.brings], error)
            return
        for at in span.brings:
            start, stop = ranges[at]
            found[mine[at]] = data[start - span.start : stop - span.start]

    by_path: dict[str, list[int]] = {}
    for index, (path, _, _) in enumerate(wanted):
        by_path.setdefault(path, []).append(index)
    await asyncio.gather(*(fetch(path, mine) for path, mine in by_path.items()))
    return found


def _fill(found: Found, places: Sequence[int], error: OSError) -> None:
    for index in places:
        found[index] = error
