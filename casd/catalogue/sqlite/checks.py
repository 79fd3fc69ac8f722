"""What scrub and repair ask of the catalogue and write into it, and what SQLite says of the catalogue's own file."""

import asyncio
import sqlite3
import struct
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from casd.audit import Touched
from casd.catalogue.sqlite import blobs, offline
from casd.catalogue.sqlite.schema import read_only
from casd.catalogue.sqlite.writer import EVERYTHING
from casd.errors import InvalidInput
from casd.model import Digest, Receipt

SELECT_UNCHECKED = """
SELECT {column}, id, digest, size FROM payload
WHERE quarantined_at IS NULL AND {column} < :before AND ({column}, id) > (:at, :id) ORDER BY {column}, id LIMIT :limit
"""
UNCHECKED = {is_deep: SELECT_UNCHECKED.format(column="deep_" * is_deep + "checked_at") for is_deep in (False, True)}
SELECT_DAMAGED = """
SELECT digest FROM payload WHERE quarantined_at IS NOT NULL AND digest > :after AND blob_count > 0
ORDER BY digest LIMIT :limit
"""
SELECT_OLDEST = """
SELECT (SELECT min(checked_at) FROM payload WHERE quarantined_at IS NULL),
  (SELECT min(deep_checked_at) FROM payload WHERE quarantined_at IS NULL)
"""
_PLACE = struct.Struct(">qq")


def place_of(at: int, id: int) -> bytes:
    """Where a page of what is not checked ends."""
    return _PLACE.pack(at, id)


def placed(after: bytes | None) -> dict[str, int]:
    """Where the next page starts. Raises InvalidInput."""
    try:
        at, id = _PLACE.unpack(after) if after is not None else (-(1 << 62), 0)
    except struct.error:
        raise InvalidInput("the cursor is not one of this listing") from None
    return {"at": at, "id": id}


def set_checked(db: sqlite3.Connection, touched: Touched, digests: Collection[Digest], at: int, is_deep: bool) -> None:
    deep = ", deep_checked_at = max(deep_checked_at, :at)" if is_deep else ""
    db.executemany(
        f"UPDATE payload SET checked_at = max(checked_at, :at){deep} WHERE digest = :digest AND quarantined_at IS NULL",
        [{"at": at, "digest": digest.raw} for digest in digests],
    )


def heal(db: sqlite3.Connection, touched: Touched, receipt: Receipt, now: int) -> bool:
    row = db.execute(
        """UPDATE payload SET stored_at = :now, checked_at = :now, deep_checked_at = :now, quarantined_at = NULL
           WHERE digest = :digest RETURNING id""",
        {"digest": receipt.digest.raw, "now": now},
    ).fetchone()
    if row is None:
        return False
    touched.add(EVERYTHING)  # its blobs are good again, whichever they are
    blobs.put_blocks(db, row[0], receipt.blocks)
    return True


async def problems(path: Path) -> list[str]:
    """What SQLite finds wrong with a catalogue that is being written; empty where it is sound. Reads all of it.

    On a connection of its own, so that nobody waits for it; it ends at once when it is cancelled.
    """
    db = sqlite3.connect(read_only(path), uri=True, isolation_level=None, check_same_thread=False)
    work = asyncio.ensure_future(asyncio.to_thread(_problems, db))
    try:
        return await asyncio.shield(work)
    finally:
        while not work.done():
            db.interrupt()
            with suppress(asyncio.CancelledError):
                await asyncio.wait([work], timeout=0.1)  # again: an interrupt between two statements stops neither
        db.close()


def _problems(db: sqlite3.Connection) -> list[str]:
    db.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
    found = offline.problems_of(db)
    try:
        dangling = offline.dangling(db)
    except sqlite3.DatabaseError as error:
        return found or [str(error)]
    return found + [
        f"{count} rows of {table} refer to a {parent} that is not there" for table, parent, count in dangling
    ]
