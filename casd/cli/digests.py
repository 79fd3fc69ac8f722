"""The digests of local files, remembered from one run to the next, so that comparing a folder need not read it.

A digest is believed while path, size, both times and inode are what they were: the change time of a file cannot be
set back by whoever writes to it. It is a cache: whatever is wrong with it turns it off and nothing else, and it may
be deleted at any time.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from casd.cli.walking import Found
from casd.model import Digest

SETTLED_NS = 2_000_000_000  # FAT counts in two seconds: a file changed later than this may change again unnoticed
KEPT_DAYS = 90  # without being asked for
_BATCH = 512  # digests a commit

_SCHEMA = """CREATE TABLE IF NOT EXISTS digest (
  path BLOB PRIMARY KEY, facts TEXT NOT NULL, digest BLOB NOT NULL, day INTEGER NOT NULL) WITHOUT ROWID"""


class Digests:
    """Used by one thread at a time."""

    def __init__(self, file: Path | None = None, *, is_asked: bool = True) -> None:
        """With `is_asked` false nothing is known, and what is read is remembered for other runs."""
        self._is_asked = is_asked
        self._today = int(time.time() // 86400)
        self._waiting: list[tuple[bytes, str, bytes, int]] = []
        self._db: sqlite3.Connection | None = None
        try:
            file = file or _default_file()
            file.parent.mkdir(parents=True, exist_ok=True)
            # No WAL: two runs at once are common here, and SQLite before 3.51.3 can corrupt one that two checkpoint.
            self._db = sqlite3.connect(file, timeout=2.0, isolation_level=None, check_same_thread=False)
            self._db.execute(_SCHEMA)
        except (sqlite3.Error, OSError, RuntimeError):  # RuntimeError: there is no home folder
            self._turn_off()

    def known(self, found: Found) -> Digest | None:
        """The digest of the file as it was found; None where it must be read to tell."""
        if self._db is None or not self._is_asked:
            return None
        path = _key(found)
        try:
            row = self._db.execute(
                "SELECT digest, day FROM digest WHERE path = ? AND facts = ?", (path, _facts(found))
            ).fetchone()
        except sqlite3.Error:
            self._turn_off()
            return None
        if row is None or not isinstance(row[0], bytes) or len(row[0]) != 64:
            return None
        digest = Digest(row[0])
        if row[1] + KEPT_DAYS // 3 < self._today:
            self._keep(found, digest)
        return digest

    def remember(self, found: Found, digest: Digest) -> None:
        """`digest` is of the file's bytes, read after it was found. Does not block.

        A file that changed since, or so lately that its times could not tell another change, is not remembered.
        """
        if self._db is None:
            return
        try:
            now = os.stat(found.path)
        except OSError:
            return
        same = (now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino, now.st_dev) == (
            *(found.size, found.mtime_ns, found.ctime_ns),
            *(found.inode, found.device),
        )
        if same and time.time_ns() - max(now.st_mtime_ns, now.st_ctime_ns) > SETTLED_NS:
            self._keep(found, digest)

    def flush(self, *, all_of_it: bool = False) -> None:
        """What was remembered is on disk, when enough has come together or all of it is asked for."""
        if self._db is None or not self._waiting or (len(self._waiting) < _BATCH and not all_of_it):
            return
        waiting, self._waiting = self._waiting, []
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR REPLACE INTO digest VALUES (?, ?, ?, ?)", waiting)
            self._db.execute("COMMIT")
        except sqlite3.Error:
            self._turn_off()

    def close(self) -> None:
        if self._waiting:
            self.flush(all_of_it=True)
            if self._db is not None:
                self._forget_old(self._db)
        self._turn_off()

    def _forget_old(self, db: sqlite3.Connection) -> None:
        try:
            db.execute("DELETE FROM digest WHERE day < ?", (self._today - KEPT_DAYS,))
        except sqlite3.Error:
            self._turn_off()

    def _keep(self, found: Found, digest: Digest) -> None:
        self._waiting.append((_key(found), _facts(found), digest.raw, self._today))

    def _turn_off(self) -> None:
        db, self._db = self._db, None
        self._waiting.clear()
        if db is not None:
            db.close()


def _default_file() -> Path:
    """XDG Base Directory Specification. Raises RuntimeError without a home folder."""
    named = os.environ.get("XDG_CACHE_HOME")
    return (Path(named) if named else Path.home() / ".cache") / "casd" / "digests.sqlite3"


def _key(found: Found) -> bytes:
    return os.fsencode(os.path.abspath(found.path))


def _facts(found: Found) -> str:
    return f"{found.size} {found.mtime_ns} {found.ctime_ns} {found.inode} {found.device}"
