"""A download's bytes on disk: kept beside their target while they arrive, checked, then renamed over it."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import stat
from collections.abc import Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from casd.client.download import Download
from casd.client.errors import ClientError, DigestDiffers, TargetBusy
from casd.client.source import PIECE
from casd.model import Digest

SUFFIX = ".casd-part"
NAME_LIMIT_BYTES = 255  # NAME_MAX of every file system in common use

Progress = Callable[[int], None]
"""Told how many bytes are there so far."""


class Writable(Protocol):
    """A file that is open for writing bytes."""

    def write(self, data: bytes, /) -> object: ...


async def save(download: Download, target: Path, progress: Progress | None = None) -> None:
    """`target` holds the download's payload: checked against its digest, synced, and put there in one step.

    An earlier attempt at the same payload goes on where it stopped. Whatever ends this one early leaves
    `target` as it was and its own bytes in `partial_path`, except bytes that turned out wrong. Raises
    DigestDiffers, TargetBusy, OSError, and what `Download.pieces` raises.
    """
    content = download.content
    partial = await asyncio.to_thread(_Partial, partial_path(target, content.digest))
    try:
        if partial.size:
            download.hang_up()
        if not await _fill(download, partial, progress):
            # What an earlier run left was not the beginning of this payload (a crash of the machine can
            # leave zeros): once more, all of it.
            await asyncio.to_thread(partial.restart)
            await _fill(download, partial, progress)
        if partial.digest != content.digest:
            await asyncio.to_thread(partial.remove)
            raise DigestDiffers(f"{target}, as it arrived", content.digest, partial.digest)
        await asyncio.to_thread(partial.publish, target)
    except BaseException:
        if partial.is_empty:
            partial.remove()
        raise
    finally:
        partial.close()


async def stream(download: Download, file: Writable, progress: Progress | None = None) -> None:
    """The download's payload is written to `file`, in order, and flushed; for pipes, which cannot be taken back.

    Raises DigestDiffers at the end, when all is written: only then is it known. Otherwise as `save`.
    """
    hash_ = hashlib.sha512()
    count = 0

    def write(piece: bytes) -> None:
        hash_.update(piece)
        while piece:  # a file without a buffer may take less than it is given
            count = file.write(piece)
            piece = piece[count:] if isinstance(count, int) else b""

    async with aclosing(download.pieces()) as pieces:
        async for piece in pieces:
            await asyncio.to_thread(write, piece)
            count += len(piece)
            if progress:
                progress(count)
    if (flush := getattr(file, "flush", None)) is not None:
        await asyncio.to_thread(flush)
    actual = Digest(hash_.digest())
    if actual != download.content.digest:
        raise DigestDiffers("what was written", download.content.digest, actual)


def partial_path(target: Path, digest: Digest) -> Path:
    """Where the bytes of an unfinished download are kept. Another payload for the same target has another place."""
    mark = f".{digest.hex[:32]}{SUFFIX}"
    stem = os.fsencode(target.name)[: NAME_LIMIT_BYTES - 1 - len(mark)]
    return target.with_name(f".{os.fsdecode(stem)}{mark}")


async def _fill(download: Download, partial: _Partial, progress: Progress | None) -> bool:
    """The partial holds as many bytes as the payload. Returns False if those found there before are to blame
    for a wrong digest."""
    found = partial.size
    while partial.hashed < found:
        await asyncio.to_thread(partial.hash_next)
    if progress:
        progress(found)
    async with aclosing(download.pieces(found)) as pieces:
        async for piece in pieces:
            await asyncio.to_thread(partial.append, piece)
            if progress:
                progress(partial.size)
    return found == 0 or partial.digest == download.content.digest


class _Partial:
    """The bytes that are there so far, locked against a second download of the same. All of it blocks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _locked(path)
        self._hash = hashlib.sha512()
        self.size = os.fstat(self._file.fileno()).st_size
        self.hashed = 0

    @property
    def digest(self) -> Digest:
        """Of the bytes hashed so far."""
        return Digest(self._hash.digest())

    @property
    def is_empty(self) -> bool:
        """Whether nothing is worth keeping. A thread may write for a cancelled caller still: the file is asked too."""
        return not self.size and not os.fstat(self._file.fileno()).st_size

    def hash_next(self) -> None:
        """Another piece of what was found is hashed; the file stands behind it."""
        piece = self._file.read(PIECE)
        if not piece:
            raise ClientError(f"{self._path} shrank while it was read; start again")
        self._hash.update(piece)
        self.hashed += len(piece)

    def append(self, piece: bytes) -> None:
        try:
            self._file.write(piece)
        except OSError as error:  # a full disk does not say which
            raise OSError(error.errno, error.strerror, str(self._path)) from error
        self._hash.update(piece)
        self.size += len(piece)
        self.hashed += len(piece)

    def restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.sha512()
        self.size = self.hashed = 0

    def remove(self) -> None:
        with suppress(FileNotFoundError):
            self._path.unlink()

    def publish(self, target: Path) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        os.replace(self._path, target)
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        # A thread that still appends for a cancelled caller holds the file's own lock: close waits for it.
        # What a full disk did not take fails here once more; a complete payload was flushed by `publish`.
        with suppress(OSError):
            self._file.close()


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
