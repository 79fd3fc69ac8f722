"""The file that a download grows in, beside its target: locked, judged block by block, renamed in the end.

All of it blocks.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import xxhash

from casd.client.blocks import Piece
from casd.client.errors import ClientError, TargetBusy
from casd.model import Digest

SUFFIX = ".casd-part"
NAME_LIMIT_BYTES = 255  # NAME_MAX of every file system in common use


def partial_path(target: Path, digest: Digest) -> Path:
    """Where the bytes of an unfinished download are kept. Another payload for the same target has another place."""
    mark = f".{digest.hex[:32]}{SUFFIX}"
    stem = os.fsencode(target.name)[: NAME_LIMIT_BYTES - 1 - len(mark)]
    return target.with_name(f".{os.fsdecode(stem)}{mark}")


class Partial:
    """The bytes that are there so far, ours alone until it is closed: a second download of the same is kept out."""

    def __init__(self, path: Path, size: int) -> None:
        """Raises TargetBusy, ClientError for what is no file, OSError."""
        self._path = path
        self._file = _locked(path)
        self._descriptor = self._file.fileno()
        self.found = os.fstat(self._descriptor).st_size
        if self.found > size:
            self.restart()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is worth keeping."""
        return not os.fstat(self._descriptor).st_size

    def checksum(self, start: int, size: int) -> bytes:
        """The XXH3-64 of those bytes."""
        return xxhash.xxh3_64_digest(self.read(start, size))

    def read(self, start: int, size: int) -> bytes:
        """Exactly those bytes. Raises ClientError where the file has become shorter."""
        piece = os.pread(self._descriptor, size, start)
        while len(piece) < size:
            more = os.pread(self._descriptor, size - len(piece), start + len(piece))
            if not more:
                raise ClientError(f"{self._path} shrank while it was read; start again")
            piece += more
        return piece

    def write(self, start: int, pieces: Sequence[Piece]) -> None:
        try:
            while pieces:
                count = os.pwritev(self._descriptor, pieces[:1024], start)  # IOV_MAX
                start += count
                pieces = _behind(pieces, count)
        except OSError as error:  # a full disk does not say which
            raise OSError(error.errno, error.strerror, str(self._path)) from error

    def restart(self) -> None:
        os.ftruncate(self._descriptor, 0)
        self.found = 0

    def remove(self) -> None:
        with suppress(FileNotFoundError):
            self._path.unlink()

    def publish(self, target: Path, *, sync_folder: bool = True) -> None:
        """What was written is durable, and stands at `target`; durably, too, unless the caller syncs the folder."""
        os.fsync(self._descriptor)
        os.replace(self._path, target)
        if sync_folder:
            synced(target.parent)

    def close(self) -> None:
        """No thread may be at work here: its bytes would go to whatever has the descriptor's number next."""
        self._file.close()


def synced(folder: Path) -> None:
    """What was renamed in the folder stays so over a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _behind(pieces: Sequence[Piece], count: int) -> list[Piece]:
    """The pieces without their first `count` bytes."""
    rest: list[Piece] = []
    for piece in pieces:
        if count < len(piece):
            rest.append(memoryview(piece)[count:])
        count = max(0, count - len(piece))
    return rest


def _locked(path: Path) -> BinaryIO:
    """The file at `path`, made if it is not there, ours alone until it is closed. Raises TargetBusy."""
    while True:
        # O_NOFOLLOW: in a shared folder somebody may have put a link here that leads elsewhere.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        file = os.fdopen(descriptor, "r+b")
        try:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ClientError(f"{path} is in the way; remove it")
            _lock(file, path)
            if _still_there(file, path):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise TargetBusy(f"another download writes {path}; wait for it or stop it") from None
    except OSError:
        # Some cluster file systems have no flock (Lustre mounted without it: ENOSYS). The digest is
        # checked in any case, so the lock only spares two downloads from spoiling each other.
        return


def _still_there(file: BinaryIO, path: Path) -> bool:
    """Whether `path` is this file still: the one who held the lock before may have renamed it to its target."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False
