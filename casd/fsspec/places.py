"""What a path means: `namespace/name`, taken as it stands. Nothing in it is percent-encoded, and `?` is a letter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from casd.client import Version

_VERSION = re.compile(r"(.+)\?version=([0-9]{1,18})", re.DOTALL)

Info = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """A name; a namespace, where it is empty; the root, where both are."""

    namespace: str
    name: str
    version: int | None = None

    @property
    def path(self) -> str:
        return f"{self.namespace}/{self.name}" if self.name else self.namespace

    @property
    def below(self) -> str:
        """What the names start with that lie in it as in a folder."""
        return f"{self.name}/" if self.name else ""


def place_of(path: str, *, version_aware: bool = False, version: int | None = None) -> Place:
    """Of a path without its protocol. A version in it is one only where the file system is aware of versions:
    a name may end in `?version=3`."""
    if version_aware and (found := _VERSION.fullmatch(path)):
        path = found[1]
        version = int(found[2]) if version is None else version
    namespace, _, name = path.partition("/")
    return Place(namespace, name, version)


def has_version(path: str) -> bool:
    return _VERSION.fullmatch(path) is not None


def file_info(version: Version) -> Info:
    """What is told of a name at that version. Raises FileNotFoundError for a delete marker."""
    path, blob = f"{version.namespace}/{version.name}", version.blob
    if blob is None:
        raise FileNotFoundError(f"version {version.number} of {path} is a delete marker")
    return {
        "name": path,
        "type": "file",
        "size": blob.size,
        "created": version.created_at,
        "mtime": version.created_at.timestamp(),
        "sha512": blob.digest.hex,
        "ETag": f'"{blob.digest}"',
        "uuid": str(blob.uuid),
        "version": version.number,
        "content_type": blob.content_type,
        "filename": blob.filename,
    }


def folder_info(path: str) -> Info:
    return {"name": path, "type": "directory", "size": 0}
