"""Where names below a prefix become files below a folder: never outside of it, never through a link in it.

A namespace holds names side by side that a folder cannot: `a` and `a/b`, and where the file system does not tell case,
`A` and `a`. The first in the order of names has the place; the others are refused.
"""

from __future__ import annotations

import os
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from casd.errors import CasdError

UNSYNCED = 256  # folders at most


class InTheWay(CasdError):
    """Something stands where a file is to be written, and is neither replaced nor followed."""

    code = "in-the-way"


class Landing:
    """A folder that names are fetched into, given to `refusal` in their order. Blocking."""

    def __init__(self, folder: str, *, is_dry: bool = False) -> None:
        self._folder = Path(folder)
        self._files: list[str] = []  # names that began as this one does: it may want to be a folder where one is a file
        self._prepared: str | None = None  # the folder that was made last
        self._unsynced: dict[Path, None] = {}
        self._folded: set[int] | None = set() if not is_dry and folds_case(self._folder) else None

    def refusal(self, place: str) -> InTheWay | None:
        """Why the name cannot be a file here, if it cannot."""
        self._files = [file for file in self._files if place.startswith(file)]
        for file in self._files:
            if place.startswith(f"{file}/"):
                return InTheWay(f"{file} is a name itself, so it cannot be a folder too; fetch {place} by itself")
        if self._folded is not None:
            key = hash(unicodedata.normalize("NFC", place).casefold())
            if key in self._folded:
                return InTheWay("this file system does not tell it from another name, as they differ in case only")
            self._folded.add(key)
        self._files.append(place)
        return None

    def prepared(self, place: str) -> Path:
        """Where the name's bytes go; the folders above are made. Raises InTheWay and OSError."""
        target = self._folder / place
        above = os.path.dirname(place)
        if above != self._prepared:
            self._make(above)
            self._prepared = above
        if target.is_symlink():
            raise InTheWay("a symbolic link stands there, and is neither followed nor replaced")
        if target.is_dir():
            raise InTheWay("a folder stands there")
        return target

    def landed(self, target: Path) -> Path | None:
        """The file is there. Returns a folder that wants to be synced now; syncing it for each file takes most of the
        time of small ones."""
        self._unsynced[target.parent] = None
        return self._unsynced_first() if len(self._unsynced) > UNSYNCED else None

    def unsynced(self) -> Iterator[Path]:
        """The other folders that want to be."""
        while self._unsynced:
            yield self._unsynced_first()

    def _unsynced_first(self) -> Path:
        first = next(iter(self._unsynced))
        del self._unsynced[first]
        return first

    def remove(self, place: str) -> None:
        """The file is gone, and each folder that it leaves empty. Raises OSError."""
        path = self._folder / place
        with suppress(FileNotFoundError):
            path.unlink()
        for above in list(Path(place).parents)[:-1]:
            try:
                (self._folder / above).rmdir()
            except OSError:
                return

    def _make(self, above: str) -> None:
        path = self._folder
        for part in Path(above).parts:
            path /= part
            with suppress(FileExistsError):
                path.mkdir()
            if path.is_symlink():
                raise InTheWay(f"{path} is a symbolic link, and is not followed")
            if not path.is_dir():
                raise InTheWay(f"{path} is no folder")


def folds_case(folder: Path) -> bool:
    """Whether the file system takes `A` for `a`: asked by a file that is there for a moment."""
    with suppress(OSError), tempfile.NamedTemporaryFile(dir=folder, prefix=".casd-a-") as probe:
        return Path(folder, Path(probe.name).name.replace("-a-", "-A-")).exists()
    return False
