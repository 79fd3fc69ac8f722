"""The console's files as they are sent: read once at start, compressed when they are first asked for."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

STATIC = Path(__file__).parent / "static"
PAGE = "index.html"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
IMMUTABLE = "public, immutable, max-age=31536000"
REVALIDATE = "no-cache"
WORTHWHILE_BYTES = 512  # what is smaller does not get smaller by compression

# The modules that every view needs, for `<link rel="modulepreload">`: without it a browser learns of each by parsing
# the one before.
ENTRANCE = ("app.js", "lib")


@dataclass(frozen=True)
class Asset:
    body: bytes
    content_type: str

    @cached_property
    def etag(self) -> str:
        return hashlib.sha256(self.body).hexdigest()[:32]

    @cached_property
    def gzipped(self) -> bytes | None:
        """Made once, on the loop: 2 ms for the largest."""
        return gzip.compress(self.body, mtime=0) if len(self.body) >= WORTHWHILE_BYTES else None


@dataclass(frozen=True, slots=True)
class Assets:
    files: Mapping[str, Asset]  # by their paths below `/console/`
    version: str  # of all of them: below it, a path never means other bytes
    page: Asset  # what a browser gets at `/`

    @classmethod
    def read(cls, folder: Path = STATIC) -> "Assets":
        """Blocking: a hundred small files at most."""
        files = {
            path.relative_to(folder).as_posix(): Asset(path.read_bytes(), TYPES[path.suffix])
            for path in sorted(folder.rglob("*"))
            if path.suffix in TYPES
        }
        facts = "".join(f"{path} {asset.etag}\n" for path, asset in files.items())
        version = hashlib.sha256(facts.encode()).hexdigest()[:16]
        preloads = "\n    ".join(
            f'<link rel="modulepreload" href="console/{version}/{path}">'
            for path in files
            if path.endswith(".js") and path.partition("/")[0] in ENTRANCE
        )
        text = files.pop(PAGE).body.decode()
        text = text.replace("{version}", version).replace("{preloads}", preloads)
        return cls(files, version, Asset(text.encode(), TYPES[".html"]))
