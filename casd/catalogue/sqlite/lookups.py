"""Point look-ups, the hot path: an LRU before a read-only connection that is used on the loop itself.

Measured: 15 us with sqlite3 on the loop, 100-280 us through aiosqlite's thread. That holds while the pages are in
memory, so a catalogue that is small enough is read once at the start, and of a larger one what the LRU does not
know is looked up in a thread (`Lookups.slow`).
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar

from casd.catalogue.sqlite.rows import Row
from casd.catalogue.sqlite.schema import read_only
from casd.catalogue.sqlite.writer import EVERYTHING, storage_error

CACHED = 65536  # values; a Blob is about 1 KiB with all it refers to
WARM_LIMIT_BYTES = 512 << 20  # a catalogue of about a million blobs; reading it takes well under a second

T = TypeVar("T")


class LRU:
    """The values used last, by key. `generation` tells whether anything was dropped since a look-up began."""

    def __init__(self, limit: int = CACHED) -> None:
        self._limit = limit
        self._values: OrderedDict[Hashable, Any] = OrderedDict()
        self.generation = 0
        self.hits = 0
        self.misses = 0

    def get(self, key: Hashable) -> Any:
        """The value, None if it is not here."""
        value = self._values.get(key)
        if value is None:
            self.misses += 1
        else:
            self.hits += 1
            self._values.move_to_end(key)
        return value

    def __len__(self) -> int:
        return len(self._values)

    def put(self, key: Hashable, value: object) -> None:
        self._values[key] = value
        if len(self._values) > self._limit:
            self._values.popitem(last=False)

    def drop(self, touched: set[object]) -> None:
        self.generation += 1
        if EVERYTHING in touched:
            self._values.clear()
        else:
            for key in touched:
                self._values.pop(key, None)


def warm(path: Path) -> None:
    """Read a small catalogue once, so that its pages are in memory. Blocking.

    Only while no connection is open: closing any descriptor of the file drops this process's POSIX locks on it, and
    the next program that looked into the catalogue would take itself for the last, and remove the WAL under us.
    """
    if path.exists() and path.stat().st_size <= WARM_LIMIT_BYTES:
        with path.open("rb", buffering=0) as file:
            while file.read(4 << 20):
                pass


class Lookups:
    """One row by its key."""

    def __init__(self, path: Path, slow: Callable[[str, dict[str, Any]], Awaitable[Row | None]]) -> None:
        """`slow` fetches the first row in a thread."""
        self._db = sqlite3.connect(read_only(path), uri=True, isolation_level=None)
        self._db.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
        self._path = path
        self._slow = slow
        self._is_small = path.stat().st_size <= WARM_LIMIT_BYTES
        self.cache = LRU()

    def measure(self) -> None:
        """Judge again whether the catalogue is small; costs one stat of a file that is open anyway."""
        self._is_small = self._path.stat().st_size <= WARM_LIMIT_BYTES

    async def find(self, key: Hashable, sql: str, values: dict[str, Any], make: Callable[[Row], T]) -> T | None:
        """The value of one row, kept under `key` until a write touches that."""
        value: T | None = self.cache.get(key)
        if value is not None:
            return value
        generation = self.cache.generation
        row = await self.row(sql, values)
        if row is None:
            return None
        value = make(row)
        # A slow look-up may have read before a commit that happened meanwhile: then what it found is not kept.
        if generation == self.cache.generation:
            self.cache.put(key, value)
        return value

    async def row(self, sql: str, values: dict[str, Any]) -> Row | None:
        """The first row. Raises StorageFailed."""
        if not self._is_small:
            return await self._slow(sql, values)
        return self._row_now(sql, values)

    def _row_now(self, sql: str, values: dict[str, Any]) -> Row | None:
        try:
            row: Row | None = self._db.execute(sql, values).fetchone()
        except sqlite3.Error as error:
            raise storage_error(error) from error
        return row

    def wal_bytes(self) -> int:
        """How long the write-ahead log is now; one stat, of a file that is open anyway."""
        try:
            return self._path.with_name(self._path.name + "-wal").stat().st_size
        except OSError:  # the last connection took it along
            return 0

    def close(self) -> None:
        self._db.close()
