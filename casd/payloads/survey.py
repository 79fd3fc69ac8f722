"""What lies in a data folder, payload or not: for tools that look at a store which no daemon has, and for its start.

Nothing is changed here. Blocking; one of the 256 first-level folders at a time, so memory is bounded.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from casd.errors import InvalidInput
from casd.model import Digest
from casd.payloads.local import list_shard

SHARDS = frozenset(f"{number:02x}" for number in range(256))
OF_OTHERS = stat.S_IWGRP | stat.S_IWOTH  # who may write a payload without being its owner may spoil it


@dataclass(frozen=True, slots=True)
class Lying:
    """A payload's file in its place."""

    path: Path
    size: int
    mode: int


@dataclass(frozen=True, slots=True)
class Stray:
    """Something in `payloads/` that is no payload in its place; `digest` if it bears the name of one elsewhere."""

    path: Path
    why: str
    digest: Digest | None = None


def holds_payloads(root: Path) -> bool:
    """Whether there is any payload below `root`, whose folders may be missing. Raises OSError."""
    payloads = root / "payloads"
    return payloads.is_dir() and any(list_shard(folder) for folder in payloads.iterdir() if folder.is_dir())


def payload_path(root: Path, digest: Digest) -> Path:
    """Where DESIGN.md section 4 puts it."""
    name = digest.hex
    return root / "payloads" / name[:2] / name[2:4] / name


def lying(root: Path, first_byte: int) -> dict[Digest, Lying]:
    """The payloads whose digest begins with that byte."""
    found: dict[Digest, Lying] = {}
    for entry, digest in _leaves(root / "payloads" / f"{first_byte:02x}"):
        facts = entry.stat(follow_symlinks=False)
        if digest is not None and stat.S_ISREG(facts.st_mode):
            found[digest] = Lying(Path(entry.path), facts.st_size, stat.S_IMODE(facts.st_mode))
    return found


def strays(root: Path) -> Iterator[Stray]:
    """Everything in `payloads/` that is no payload in its place."""
    for entry in _entries(root / "payloads"):
        if entry.name not in SHARDS or not entry.is_dir(follow_symlinks=False):
            yield _stray(entry, "only folders of two hex digits belong there")
            continue
        for inner in _entries(Path(entry.path)):
            if inner.name not in SHARDS or not inner.is_dir(follow_symlinks=False):
                yield _stray(inner, "only folders of two hex digits belong there")
        for leaf, digest in _leaves(Path(entry.path)):
            if digest is None:
                yield _stray(leaf, "it is not in the folder of its name" if _digest(leaf) else "its name is no SHA-512")
            elif not leaf.is_file(follow_symlinks=False):
                yield Stray(Path(leaf.path), "it is no plain file")


def _stray(entry: os.DirEntry[str], why: str) -> Stray:
    is_payload = entry.is_file(follow_symlinks=False)
    return Stray(Path(entry.path), why, _digest(entry) if is_payload else None)


def _leaves(shard: Path) -> Iterator[tuple[os.DirEntry[str], Digest | None]]:
    """What lies in the second-level folders of one first-level folder; with its digest if that is its place."""
    for folder in _entries(shard):
        if folder.name in SHARDS and folder.is_dir(follow_symlinks=False):
            for entry in _entries(Path(folder.path)):
                digest = _digest(entry)
                is_home = entry.name.startswith(shard.name + folder.name)
                yield entry, digest if is_home else None


def _digest(entry: os.DirEntry[str]) -> Digest | None:
    try:
        digest = Digest.parse(entry.name)
    except InvalidInput:
        return None
    return digest if digest.hex == entry.name else None  # upper case is another name to a file system


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
