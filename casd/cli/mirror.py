"""A folder and a prefix made equal, one way or the other: `put -r`, `get -r` and `sync`.

What is equal by digest stays as it is: no new version, no byte moved, so that the same command goes on where it was
interrupted.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Literal

from casd.cli.digests import Digests
from casd.cli.errand import Errand, checked, get, put, same_digest
from casd.cli.landing import Landing
from casd.cli.pairing import Pair, Side, listed, pairs, walked
from casd.cli.pool import work_off
from casd.cli.report import Fate
from casd.cli.walking import LeftOut, Unwalkable
from casd.errors import CasdError

if TYPE_CHECKING:
    from casd.client import Client, Version

SMALL_BYTES = 256 << 10  # files up to here are asked for together whether the daemon has them, not one by one
_TOGETHER = 256  # files, 64 MiB at most

Direction = Literal["up", "down"]


class NotTaken(CasdError):
    """A file or folder that stands in the folder, and could not be taken along."""

    code = "not-taken"


class NothingDeleted(CasdError):
    """A sync that was to delete what the source lacks, and had no source that it could be sure of."""

    code = "nothing-deleted"


@dataclass(slots=True)
class Mirror:
    """A folder and a prefix. A prefix ends in "/", or is empty for a whole namespace."""

    errand: Errand
    folder: str
    prefix: str
    digests: Digests
    follow_links: bool = False
    is_there: bool = True  # the folder; a dry run does not make it

    def pairs(self) -> AsyncGenerator[Pair | LeftOut | Unwalkable, None]:
        local = walked(self.folder, self.digests, follow_links=self.follow_links) if self.is_there else _nothing()
        return pairs(local, listed(self.errand.client, self.errand.namespace, self.prefix))

    def path(self, place: str) -> str:
        return os.path.join(self.folder, place)


async def up(mirror: Mirror, jobs: int) -> None:
    """Every file of the folder is the latest version of its name. Failures of single files are reported."""
    plan = _asked(mirror.errand.client, _files(mirror))
    await work_off(plan, lambda planned: _put(mirror, *planned), jobs)


async def down(mirror: Mirror, jobs: int) -> None:
    """The latest version of every name is a file in the folder. Failures of single names are reported."""
    from casd.client import synced

    landing = Landing(mirror.folder, is_dry=mirror.errand.is_dry)
    try:
        await work_off(_names(mirror, landing), lambda pair: _get(mirror, landing, pair), jobs)
    finally:
        for folder in landing.unsynced():
            synced(folder)


async def delete_extras(mirror: Mirror, direction: Direction, jobs: int, *, even_all: bool) -> None:
    """What the source does not have is gone from the target: names are hidden, files are removed.

    Nothing is deleted before all of the source was seen. Raises NothingDeleted where a part of the folder could not
    be read, or the source holds nothing at all and `even_all` does not say that this is meant.
    """
    in_source = 0
    with tempfile.TemporaryFile("w+", encoding="utf-8") as spool:  # there may be as many as there are names
        async with aclosing(mirror.pairs()) as steps:
            async for step in steps:
                if isinstance(step, Unwalkable):
                    raise NothingDeleted(f"{step.path}: {step.why}; so nothing was deleted")
                if isinstance(step, LeftOut):
                    continue
                if (step.found if direction == "up" else step.version) is not None:
                    in_source += 1
                else:
                    spool.write(json.dumps(step.place) + "\n")
        if spool.tell() and not in_source and not even_all:
            what = f"file in {mirror.folder}" if direction == "up" else f"name below {mirror.prefix or '/'}"
            raise NothingDeleted(f"there is no {what}, so nothing was deleted; --delete-all insists")
        spool.seek(0)
        delete = _hide if direction == "up" else _unlink
        await work_off(_places(mirror, spool), lambda place: delete(mirror, place), jobs)


async def _nothing() -> AsyncGenerator[Side, None]:
    sides: tuple[Side, ...] = ()
    for side in sides:
        yield side


# -- up -----------------------------------------------------------------------------------------------------------


async def _files(mirror: Mirror) -> AsyncGenerator[Pair, None]:
    """The pairs with a file; what the walk could not take along is reported."""
    errand = mirror.errand
    async with aclosing(mirror.pairs()) as steps:
        async for step in steps:
            if isinstance(step, LeftOut):
                errand.report.left_out(step)
            elif isinstance(step, Unwalkable):
                errand.report.failed(NotTaken(step.why), "put", None, step.path)
            elif step.found is not None:
                errand.display.expect(step.found.size)
                yield step
    errand.display.is_all_known = True


async def _asked(client: Client, files: AsyncGenerator[Pair, None]) -> AsyncGenerator[tuple[Pair, bool | None], None]:
    """Each pair, and whether the daemon lacks its bytes, as far as that could be asked for many small files at once."""
    waiting: list[Pair] = []
    async with aclosing(files):
        async for pair in files:
            assert pair.found is not None
            is_new = pair.version is None or pair.version.blob is None or pair.version.blob.size != pair.found.size
            if not is_new or pair.found.size > SMALL_BYTES:
                yield pair, None
                continue
            waiting.append(pair)
            if len(waiting) == _TOGETHER:
                for each in await _answered(client, waiting):
                    yield each
                waiting.clear()
    for each in await _answered(client, waiting):
        yield each


async def _answered(client: Client, files: list[Pair]) -> list[tuple[Pair, bool | None]]:
    import asyncio

    if len(files) < 2:
        return [(pair, None) for pair in files]
    sums = await asyncio.to_thread(lambda: [_xxh3_128(pair.found.path) for pair in files if pair.found])
    missing = (await client.missing(xxh3_128={each for each in sums if each is not None})).digests
    return [(pair, None if sum_ is None else sum_ in missing) for pair, sum_ in zip(files, sums, strict=True)]


def _xxh3_128(path: str) -> str | None:
    """Of a small file; None where it cannot be read: whoever sends it tells why."""
    import xxhash

    try:
        with open(path, "rb") as file:
            return xxhash.xxh3_128_hexdigest(file.read())
    except OSError:
        return None


async def _put(mirror: Mirror, pair: Pair, is_missing: bool | None) -> None:
    errand, found = mirror.errand, pair.found
    assert found is not None
    name = mirror.prefix + pair.place
    with errand.attempt("put", name, found.path, pair.place, found.size) as moving:
        checked(name)
        if pair.version and _is_readable(pair.version) and await same_digest(moving, found, pair.digest, pair.version):
            moving.skipped = found.size
            fate = Fate("none", name, found.path, found.size, pair.version.number, pair.version.blob)
        elif errand.is_dry:
            fate = Fate("put", name, found.path, found.size)
        else:
            fate = await put(errand, moving, found.path, name, is_missing=is_missing)
        if fate.blob and pair.digest is None:
            mirror.digests.remember(found, fate.blob.digest)
        errand.report.done(fate)


def _is_readable(version: Version) -> bool:
    """Whether its bytes are good: those in quarantine are healed by storing them again."""
    return version.blob is not None and version.blob.state != "error"


async def _hide(mirror: Mirror, place: str) -> None:
    errand, name = mirror.errand, mirror.prefix + place
    with errand.attempt("hide", name, None, place, 0):
        if not errand.is_dry:
            await errand.client.delete_name(errand.namespace, name)
        errand.report.done(Fate("hide", name))


# -- down ---------------------------------------------------------------------------------------------------------


async def _names(mirror: Mirror, landing: Landing) -> AsyncGenerator[Pair, None]:
    """The pairs with a name; those that cannot be files beside the others are reported."""
    errand = mirror.errand
    async with aclosing(mirror.pairs()) as steps:
        async for step in steps:
            if not isinstance(step, Pair) or step.version is None:
                continue
            if (why := landing.refusal(step.place)) is not None:
                errand.report.failed(why, "get", step.version.name, None)
                continue
            errand.display.expect(step.version.blob.size if step.version.blob else 0)
            yield step
    errand.display.is_all_known = True


async def _get(mirror: Mirror, landing: Landing, pair: Pair) -> None:
    import asyncio

    from casd.client import synced

    errand, version = mirror.errand, pair.version
    assert version is not None
    assert version.blob is not None  # listed are the names that are not hidden
    size, path = version.blob.size, mirror.path(pair.place)
    with errand.attempt("get", version.name, path, pair.place, size) as moving:
        same = pair.found and await same_digest(moving, pair.found, pair.digest, version)
        if same and pair.found:
            moving.skipped = size
            if pair.digest is None:
                mirror.digests.remember(pair.found, same)
            errand.report.done(Fate("none", version.name, path, size, version.number, version.blob))
        elif errand.is_dry:
            errand.report.done(Fate("get", version.name, path, size, version.number, version.blob))
        else:
            target = await asyncio.to_thread(landing.prepared, pair.place)
            fate = await get(errand, moving, version, target)
            if (folder := landing.landed(target)) is not None:
                await asyncio.to_thread(synced, folder)
            errand.report.done(fate)


async def _unlink(mirror: Mirror, place: str) -> None:
    import asyncio

    errand, path = mirror.errand, mirror.path(place)
    with errand.attempt("remove", None, path, place, 0):
        if not errand.is_dry:
            await asyncio.to_thread(Landing(mirror.folder).remove, place)
        errand.report.done(Fate("remove", path=path))


async def _places(mirror: Mirror, spool: IO[str]) -> AsyncIterator[str]:
    for line in spool:
        mirror.errand.display.expect(0)
        yield json.loads(line)
