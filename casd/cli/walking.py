"""A folder's files one by one, in the order in which a daemon lists the names that they would have.

Blocking; whoever walks does it in a thread. Memory holds the filenames of the folders on the way down, nothing more.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass

_UNFINISHED = re.compile(rb"\..*\.casd-part", re.DOTALL)  # our own downloads that were interrupted


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file, as it was when it was looked at."""

    name: str  # its path below the folder, parts joined by "/"
    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What stands in the folder and has no place under a prefix: a link, a socket, an empty folder."""

    path: str
    kind: str  # such as "symbolic link", for people


@dataclass(frozen=True, slots=True)
class Unwalkable:
    """What should have been found, and could not be: the walk is incomplete."""

    path: str
    why: str


Step = Found | LeftOut | Unwalkable


def walk(folder: str, *, follow_links: bool = False) -> Iterator[Step]:
    """Every file below `folder`, which may be a link itself, ordered by the bytes of its name.

    Links are followed only if asked for, and never around in a circle. What vanishes while it is walked is passed
    over. Raises OSError where `folder` itself cannot be read.
    """
    root = os.fsencode(folder)
    levels = [_Level(root, b"", sorted(_entries(root, follow_links)), _identity(os.stat(root)))]
    while levels:
        level = levels[-1]
        if (entry := level.next()) is None:
            levels.pop()
        elif not entry.endswith(b"/"):
            yield from _file(level, entry, follow_links)
        else:
            below = _below(level, entry[:-1], follow_links, [each.identity for each in levels])
            if isinstance(below, _Level):
                levels.append(below)
            elif below is not None:
                yield below


class _Level:
    """A folder on the way down, and what of it is still to be visited."""

    def __init__(self, path: bytes, name: bytes, entries: list[bytes], identity: tuple[int, int]) -> None:
        self.path = path
        self.name = name  # with a "/" at its end, but for the root's
        self.identity = identity
        self._entries = iter(entries)

    def next(self) -> bytes | None:
        return next(self._entries, None)


def _entries(path: bytes, follow_links: bool) -> Iterator[bytes]:
    """Filenames; a folder's with a "/", which puts what is in it where names sort it: `a-b`, `a/b`, `a0`."""
    with os.scandir(path) as entries:
        for entry in entries:
            yield entry.name + b"/" if _is_folder(entry, follow_links) else entry.name


def _is_folder(entry: os.DirEntry[bytes], follow_links: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow_links)
    except OSError:  # a link to itself: told when it is looked at
        return False


def _below(
    level: _Level, entry: bytes, follow_links: bool, above: list[tuple[int, int]]
) -> _Level | LeftOut | Unwalkable | None:
    path = os.path.join(level.path, entry)
    if (why := _unspeakable(entry)) is not None:
        return Unwalkable(os.fsdecode(path), why)
    try:
        identity = _identity(os.stat(path, follow_symlinks=follow_links))
        if identity in above:
            return Unwalkable(os.fsdecode(path), "this link leads back to a folder that it is in")
        entries = sorted(_entries(path, follow_links))
    except FileNotFoundError:
        return None
    except OSError as error:
        return Unwalkable(os.fsdecode(path), error.strerror or str(error))
    if not entries:
        return LeftOut(os.fsdecode(path), "empty folder")
    return _Level(path, level.name + entry + b"/", entries, identity)


def _file(level: _Level, entry: bytes, follow_links: bool) -> Iterator[Step]:
    path = os.path.join(level.path, entry)
    try:
        facts = os.stat(path, follow_symlinks=follow_links)
    except FileNotFoundError:
        if follow_links and os.path.islink(path):
            yield LeftOut(os.fsdecode(path), "symbolic link to nowhere")
        return
    except OSError as error:
        yield Unwalkable(os.fsdecode(path), error.strerror or str(error))
        return
    if not stat.S_ISREG(facts.st_mode):
        yield LeftOut(os.fsdecode(path), _kind(facts.st_mode))
    elif (why := _unspeakable(entry)) is not None:
        yield Unwalkable(os.fsdecode(path), why)
    elif not _UNFINISHED.fullmatch(entry):
        yield Found(
            (level.name + entry).decode(),
            os.fsdecode(path),
            facts.st_size,
            facts.st_mtime_ns,
            facts.st_ctime_ns,
            facts.st_ino,
            facts.st_dev,
        )


def _unspeakable(entry: bytes) -> str | None:
    try:
        entry.decode()
    except UnicodeDecodeError:
        return "its filename is not UTF-8, and names are; rename it"
    return None


def _kind(mode: int) -> str:
    kinds = {stat.S_IFLNK: "symbolic link", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
    return kinds.get(stat.S_IFMT(mode), "device")


def _identity(facts: os.stat_result) -> tuple[int, int]:
    return facts.st_dev, facts.st_ino
