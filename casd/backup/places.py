"""Folders of a backup or of a data folder that is being filled: made, found fit, and synced once they are filled."""

import os
from pathlib import Path

from casd.errors import FolderUnusable
from casd.model import Digest
from casd.payloads.folders import fsync_folder, make_durable_tree
from casd.payloads.survey import payload_path


class Filling:
    """The payload folders of `root`, for one run that fills them. Used by several threads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._touched: set[Path] = set()

    def prepare(self, *, all_anew: bool) -> None:
        """The folders are there. With `all_anew` all count as touched: an earlier run may have ended unsynced."""
        for folder in (self.root / "payloads", self.root / "incoming"):
            folder.mkdir(mode=0o700, exist_ok=True)
        for draft in (self.root / "incoming").iterdir():
            draft.unlink()
        self._touched = {self.root, self.root / "payloads"}
        for number in range(256):
            shard = self.root / "payloads" / f"{number:02x}"
            shard.mkdir(mode=0o700, exist_ok=True)
            if all_anew:
                self._touched.update((shard, *(path for path in shard.iterdir() if path.is_dir())))

    def size_of(self, digest: Digest) -> int | None:
        """What is there of the payload; None if nothing."""
        try:
            return os.stat(self.path(digest), follow_symlinks=False).st_size
        except FileNotFoundError:
            return None

    def path(self, digest: Digest) -> Path:
        return payload_path(self.root, digest)

    def draft(self, digest: Digest) -> Path:
        return self.root / "incoming" / digest.hex

    def touch(self, digest: Digest) -> None:
        """The payload's folder is there, and is synced in the end."""
        folder = self.path(digest).parent
        if folder not in self._touched:
            if not folder.exists():
                folder.mkdir(mode=0o700, exist_ok=True)
                self._touched.add(folder.parent)
            self._touched.add(folder)

    def sync(self) -> None:
        """All that was put into the folders survives a power cut."""
        for folder in sorted(self._touched, reverse=True):
            fsync_folder(folder)
        self._touched.clear()


def make_folder(path: Path, *, other: Path) -> None:
    """`path` is a folder that survives a power cut. Raises FolderUnusable, also where one lies inside `other`."""
    here, there = path.resolve(), other.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise FolderUnusable(f"{path} and {other} lie in each other: a copy belongs on another disk")
    try:
        make_durable_tree(path)
        if not path.is_dir():
            raise FolderUnusable(f"{path} is not a folder")
    except OSError as error:
        raise FolderUnusable(f"{path} cannot be used: {error.strerror}") from error


def is_empty(path: Path, but: tuple[str, ...] = ()) -> bool:
    return all(entry.name in but for entry in path.iterdir())
