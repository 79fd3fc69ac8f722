"""A folder beside a prefix: what stands at the same place in both, and what in one alone.

Both come in the order of their names, so they are walked side by side: memory holds a page of one and a batch of the
other, whatever their number.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from casd.cli.digests import Digests
from casd.cli.walking import Found, LeftOut, Step, Unwalkable, walk
from casd.errors import InvalidInput
from casd.model import Digest, checked_name

if TYPE_CHECKING:
    from casd.client import Client, Version

_BATCH = 256  # files a thread hop


@dataclass(frozen=True, slots=True)
class Pair:
    """One place: the file there, the version there, or both. `place` is the path below the folder and the prefix."""

    place: str
    found: Found | None
    digest: Digest | None  # the file's, where it is known without reading it
    version: Version | None


Side = tuple[Found | LeftOut | Unwalkable, Digest | None]


async def pairs(
    local: AsyncGenerator[Side, None], listed: AsyncGenerator[tuple[str, Version], None]
) -> AsyncGenerator[Pair | LeftOut | Unwalkable, None]:
    """Every place that one of the two has, in order; what the walk could not take along comes in between."""
    async with aclosing(local), aclosing(listed):
        remote = await anext(listed, None)
        async for step, digest in local:
            if not isinstance(step, Found):
                yield step
                continue
            while remote is not None and remote[0] < step.name:
                yield Pair(remote[0], None, None, remote[1])
                remote = await anext(listed, None)
            if remote is not None and remote[0] == step.name:
                yield Pair(step.name, step, digest, remote[1])
                remote = await anext(listed, None)
            else:
                yield Pair(step.name, step, digest, None)
        while remote is not None:
            yield Pair(remote[0], None, None, remote[1])
            remote = await anext(listed, None)


async def walked(folder: str, digests: Digests, *, follow_links: bool = False) -> AsyncGenerator[Side, None]:
    """The walk of a folder, with the digests that are known."""
    import asyncio

    steps = walk(folder, follow_links=follow_links)

    def batch(steps: Iterator[Step]) -> list[Side]:
        digests.flush()
        return [(step, digests.known(step) if isinstance(step, Found) else None) for step in islice(steps, _BATCH)]

    while sides := await asyncio.to_thread(batch, steps):
        for side in sides:
            yield side


async def listed(client: Client, namespace: str, prefix: str) -> AsyncGenerator[tuple[str, Version], None]:
    """The names below a prefix (which ends in "/", or is empty for all), without it, in order.

    Raises UnexpectedAnswer where the daemon lists what cannot be: files would be written and deleted by it.
    """
    from casd.client import UnexpectedAnswer

    before = ""
    async for version in client.names(namespace, prefix):
        place = version.name.removeprefix(prefix)
        if not version.name.startswith(prefix) or place <= before or not _is_name(place):
            raise UnexpectedAnswer(f"the daemon lists {version.name!r} where no name below {prefix!r} can be")
        before = place
        yield place, version


def _is_name(text: str) -> bool:
    try:
        return bool(checked_name(text))
    except InvalidInput:
        return False


def as_prefix(text: str) -> str:
    """What names below `text` start with; `/` stands for the whole namespace. Raises InvalidInput.

    An empty text is refused: it comes from a shell variable that nobody has set.
    """
    if text == "/":
        return ""
    return f"{checked_name(text.rstrip('/'))}/"
