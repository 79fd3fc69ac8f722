"""Folders and names that survive a power cut, and how a failing disk call is told apart from a full disk.

Blocking functions, for threads.
"""

import errno
import os
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from casd.errors import CasdError, OutOfDescriptors, StorageFailed, StorageFull

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
NO_MORE_FILES = frozenset({errno.EMFILE, errno.ENFILE})

Args = TypeVarTuple("Args")
R = TypeVar("R")


def disk_call(what: str, call: Callable[[*Args], R], *args: *Args) -> R:
    """Return `call(...)`, which makes disk calls only; its OSError comes out as StorageFull or StorageFailed.

    Never wrap anything that touches a socket: a client hanging up is ConnectionResetError, which *is* an OSError.
    """
    try:
        return call(*args)
    except CasdError:
        raise
    except OSError as error:
        raise storage_error(what, error) from error


def storage_error(what: str, error: OSError) -> StorageFailed:
    """What a failing disk call means to a caller."""
    kind = StorageFull if error.errno in FULL else OutOfDescriptors if error.errno in NO_MORE_FILES else StorageFailed
    return kind(f"{what}: {error.strerror or error}")


def fsync_folder(path: Path) -> None:
    """The entries that `path` has now survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class DurableFolders:
    """Knows which folders are safe: *existing is not durable*.

    A folder counts as safe only after its parent's fsync has succeeded once in this process; an earlier process
    may have made it and lost the power before its own fsync.
    """

    def __init__(self) -> None:
        self._safe: set[Path] = set()
        self._parents: defaultdict[Path, threading.Lock] = defaultdict(threading.Lock)

    def ensure(self, path: Path) -> None:
        """Make `path` (its parent exists and is safe) unless it is there; afterwards it survives a power cut."""
        if path in self._safe:
            return
        # One thread at a time for each parent: beside a failing fsync another one may succeed and mean nothing, and
        # the folder that is taken back below would be missing for whoever found it there.
        with self._parents[path.parent]:
            if path not in self._safe:
                self._make(path)

    def forget(self, path: Path) -> None:
        """Look at `path` again the next time."""
        self._safe.discard(path)

    def _make(self, path: Path) -> None:
        try:
            path.mkdir(mode=0o700)
            is_new = True
        except FileExistsError:
            is_new = False
        try:
            fsync_folder(path.parent)
        except OSError:
            # The kernel may have dropped the entry and call the parent clean. Without the folder the next try makes
            # a new entry, so that its fsync has something to write.
            if is_new:
                path.rmdir()
            raise
        self._safe.add(path)

    def ensure_all(self, parent: Path, names: list[str]) -> None:
        """The same for many folders in one parent, with one fsync."""
        for name in names:
            (parent / name).mkdir(mode=0o700, exist_ok=True)
        fsync_folder(parent)
        self._safe.update(parent / name for name in names)


def make_durable_tree(path: Path) -> None:
    """Make `path` and its missing parents; afterwards all that were made survive a power cut.

    A parent that somebody else made and that may not be read (systemd's StateDirectory) is theirs to keep.
    """
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
        fsync_folder(folder.parent)


def write_durably(file: Path, text: str) -> None:
    """Put `text` there for the owner's eyes alone; a reader, or a power cut, never sees half of it."""
    draft = file.with_name(file.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    draft.replace(file)
    fsync_folder(file.parent)
