"""What a command that moves many files carries along, and how it moves one of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casd.cli import exits
from casd.cli.arguments import what
from casd.cli.progress import Display, Moving
from casd.cli.report import Action, Fate, Report
from casd.cli.walking import Found
from casd.errors import CasdError, InvalidInput
from casd.model import Digest, checked_name

if TYPE_CHECKING:
    from casd.client import Blob, Client, Source, Version


@dataclass(frozen=True, slots=True)
class Errand:
    """One run: with whom, where, and who is told."""

    client: Client
    namespace: str
    display: Display
    report: Report
    is_dry: bool = False

    @contextmanager
    def attempt(self, action: Action, name: str | None, path: str | None, label: str, size: int) -> Iterator[Moving]:
        """One file is moved inside; its failure is told and leaves the others alone, unless they would all fail."""
        with self.display.transfer(label, size) as moving:
            try:
                yield moving
            except (CasdError, OSError) as error:
                if exits.is_hopeless(error):
                    raise
                self.report.failed(error, action, name, path)


async def put(
    errand: Errand,
    moving: Moving,
    path: str,
    name: str | None,
    *,
    content_type: str | None = None,
    is_missing: bool | None = None,
) -> Fate:
    """The file is the next version of the name, or a blob without one. Raises CasdError, OSError."""
    from casd.client import Version, guessed_type, open_path, own_filename

    filename = own_filename(path)
    described = Described(name, filename, content_type or guessed_type(filename or name or ""))
    async with open_path(Path(path)) as source:
        stored = await send(
            errand.client, errand.namespace, source, described, errand.display, moving, is_missing=is_missing
        )
    number = stored.number if isinstance(stored, Version) else None
    blob = stored.blob if isinstance(stored, Version) else stored
    assert blob is not None  # the client looked
    return Fate("put", name, path, blob.size, number, blob, was_there=was_there(moving))


@dataclass(frozen=True, slots=True)
class Described:
    """What is told of bytes that are sent."""

    name: str | None  # None: they become a blob that holds itself
    filename: str | None
    content_type: str


async def send(
    client: Client,
    namespace: str,
    source: Source,
    described: Described,
    display: Display,
    moving: Moving,
    *,
    is_missing: bool | None = None,
) -> Blob | Version:
    """The source's bytes are stored, and watched on their way. Raises as the client does."""
    watched: dict[str, Any] = {"progress": moving.at, "notice": display.retrying, "is_missing": is_missing}
    facts: dict[str, Any] = {"filename": described.filename, "content_type": described.content_type}
    if described.name is None:
        return await client.put_blob(source, namespace=namespace, **facts, **watched)
    return await client.put_name(namespace, described.name, source, **facts, **watched)


def was_there(moving: Moving) -> bool:
    """Whether the daemon had all of it."""
    return bool(moving.total) and moving.skipped == moving.total


async def get(errand: Errand, moving: Moving, version: Version, target: Path) -> Fate:
    """The version's bytes are in `target`, which is replaced in one step; its folder wants to be synced.

    Raises CasdError, OSError.
    """
    from casd.client import save

    download = errand.client.download_name(
        version.namespace, version.name, version=version.number, notice=errand.display.retrying
    )
    async with download:
        await save(download, target, moving.at, sync_folder=False)
        content = download.content
    return Fate("get", version.name, str(target), content.size, content.version, sha512=content.digest.hex)


async def same_digest(moving: Moving, found: Found, known: Digest | None, version: Version) -> Digest | None:
    """The digest that the file and the version's blob share, if they do. `known` is the file's, if somebody knows."""
    if version.blob is None or version.blob.size != found.size:
        return None
    if known is None:
        known = await sha512_of(Path(found.path), moving)
    return known if known == version.blob.digest else None


async def sha512_of(path: Path, moving: Moving) -> Digest:
    """The digest of a file, read off the loop. Raises OSError."""
    import asyncio
    import hashlib

    from casd.client import open_path

    hash_ = hashlib.sha512()
    async with open_path(path) as source:
        moving.expect(source.size or 0)
        moving.is_reading = True
        async for piece in source.pieces:
            await asyncio.to_thread(hash_.update, piece)
            moving.reach(moving.done + len(piece))
    moving.is_reading = False
    return Digest(hash_.digest())


def checked(name: str) -> str:
    """A name that every command takes for one. Raises InvalidInput."""
    checked_name(name)
    if not isinstance(what(name), str):
        raise InvalidInput(f"{name} would be taken for a UUID or a digest by every other command; name it otherwise")
    return name
