"""The catalogue as tools see it that have no event loop: fsck on a stopped store, backup, restore.

Reading changes nothing, not even beside a WAL that a killed daemon left. All methods block.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import UUID

from casd.catalogue.sqlite import schema
from casd.catalogue.sqlite.rows import Row
from casd.catalogue.values import Hit, KnownPayload
from casd.model import Digest, VersionRef

HIT_SHOWN = 20  # of each: a payload may have a million blobs
MAX_PROBLEMS = 100  # that SQLite lists of one file
PAGE_ROWS = 1000

SELECT_PAYLOADS = """
SELECT digest, size, sha256, xxh3_128, quarantined_at IS NOT NULL FROM payload
WHERE digest > :after AND digest < :stop ORDER BY digest LIMIT :limit
"""
SELECT_BLOBS = """
SELECT b.uuid, n.name FROM payload p JOIN blob b ON b.payload_id = p.id JOIN namespace n ON n.id = b.namespace_id
WHERE p.digest = :digest LIMIT :limit
"""
SELECT_VERSIONS = """
SELECT n.name, m.name, v.number FROM payload p JOIN blob b ON b.payload_id = p.id JOIN version v ON v.blob_id = b.id
  JOIN name m ON m.id = v.name_id JOIN namespace n ON n.id = m.namespace_id
WHERE p.digest = :digest LIMIT :limit
"""
COUNT_HIT = """
SELECT count(*), coalesce(sum((SELECT count(*) FROM version v WHERE v.blob_id = b.id)), 0)
FROM payload p JOIN blob b ON b.payload_id = p.id WHERE p.digest = :digest
"""


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that changes nothing. Raises CatalogueUnusable for what is damaged, also where it shows later."""
    schema.check_usable(path, payloads_exist=True)
    try:
        with closing(sqlite3.connect(schema.untouching(path), uri=True, isolation_level=None)) as db:
            db.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
            db.execute(f"PRAGMA cache_size = -{schema.READ_CACHE_KIB}")  # a check looks up each row in each index
            yield db
    except sqlite3.DatabaseError as error:
        raise schema.unusable(path, error) from error


def birth_of(path: Path) -> int:
    """When this catalogue was made, in microseconds: no two stores have it in common, and copies keep it."""
    with reading(path) as db:
        return int(db.execute("SELECT applied_at FROM schema_migration WHERE number = 1").fetchone()[0])


def problems_of(db: sqlite3.Connection) -> list[str]:
    """What SQLite finds wrong with the file; empty where it is sound. Reads all of it."""
    try:
        found = [str(text) for (text,) in db.execute(f"PRAGMA integrity_check({MAX_PROBLEMS})")]
    except sqlite3.DatabaseError as error:
        return [str(error)]
    return [] if found == ["ok"] else found


def dangling(db: sqlite3.Connection) -> list[tuple[str, str, int]]:
    """Rows that refer to one that is not there: their table, the other one, and how many."""
    counts: dict[tuple[str, str], int] = {}
    for table, _, parent, _ in db.execute("PRAGMA foreign_key_check"):
        counts[table, parent] = counts.get((table, parent), 0) + 1
    return [(table, parent, count) for (table, parent), count in counts.items()]


def payloads(db: sqlite3.Connection, first_byte: int | None = None) -> Iterator[KnownPayload]:
    """All payloads by digest, or those whose digest begins with that byte; fetched in pages, so bounded in memory."""
    values = {**digests_from(first_byte), "limit": PAGE_ROWS}
    while True:
        rows = db.execute(SELECT_PAYLOADS, values).fetchall()
        for digest, size, sha256, xxh3_128, is_quarantined in rows:
            yield KnownPayload(Digest(digest), size, sha256, xxh3_128, bool(is_quarantined))
        if len(rows) < PAGE_ROWS:
            return
        values["after"] = rows[-1][0]


def digests_from(first_byte: int | None) -> dict[str, object]:
    """What all digests with that first byte lie between; None for all of them."""
    if first_byte is None:
        return {"after": b"", "stop": b"\xff" * 65}
    return {"after": bytes([first_byte]), "stop": bytes([first_byte + 1]) if first_byte < 255 else b"\xff" * 65}


def bytes_of(db: sqlite3.Connection) -> int:
    """The size of all payloads together."""
    return int(db.execute("SELECT coalesce(sum(size), 0) FROM payload").fetchone()[0])


def hit(db: sqlite3.Connection, digest: Digest) -> Hit:
    """Which blobs and versions need the payload."""
    values = {"digest": digest.raw, "limit": HIT_SHOWN}
    counts = db.execute(COUNT_HIT, {"digest": digest.raw}).fetchone()
    return hit_of(db.execute(SELECT_BLOBS, values), db.execute(SELECT_VERSIONS, values), *counts)


def hit_of(blobs: Iterable[Row], versions: Iterable[Row], blob_count: int, version_count: int) -> Hit:
    """What the rows of those statements tell."""
    return Hit(
        tuple((UUID(bytes=uuid), name) for uuid, name in blobs),
        tuple(
            VersionRef(namespace, bytes(name).decode("utf-8", "replace"), number)
            for namespace, name, number in versions
        ),
        blob_count,
        version_count,
    )
