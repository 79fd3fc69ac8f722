"""A copy of the catalogue in one file of its own, taken while its daemon writes, or of a store that stands still."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path

from casd.catalogue.sqlite import schema
from casd.catalogue.sqlite.offline import problems_of, reading
from casd.catalogue.sqlite.rows import micros
from casd.catalogue.sqlite.writer import storage_error
from casd.errors import CatalogueUnusable
from casd.model import Digest

STEP_PAGES = 2048  # 8 MiB between two signs of life

# What a copy is without: pins of backups, and uploads whose bytes are in no copy.
LEAVE_OUT = ("DELETE FROM backup_pin", "DELETE FROM upload WHERE blob_uuid IS NULL")


def copy_catalogue(
    source: Path, target: Path, alive: Callable[[], None], leave_out: tuple[str, ...] = LEAVE_OUT
) -> None:
    """`target` is a whole catalogue as `source` was at one moment, checked and on the disk; what was there is gone.

    A writer is not held up. `alive` is called now and then. Raises CatalogueUnusable, StorageFull, StorageFailed,
    OSError.
    """
    for suffix in ("", "-journal", "-wal", "-shm"):
        target.with_name(target.name + suffix).unlink(missing_ok=True)
    os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))  # it holds signing keys
    try:
        _copy(source, target, alive, leave_out)
    except sqlite3.Error as error:
        raise storage_error(error) from error
    descriptor = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy(source: Path, target: Path, alive: Callable[[], None], leave_out: tuple[str, ...]) -> None:
    with closing(sqlite3.connect(target, isolation_level=None)) as copy:
        with reading(source) as db:
            # An open read transaction: otherwise each commit of the writer between two steps would begin it anew.
            db.execute("BEGIN")
            db.execute("SELECT 1 FROM schema_migration").fetchall()
            try:
                db.backup(copy, pages=STEP_PAGES, progress=lambda *_: alive())
            except sqlite3.OperationalError as error:  # of the copy, as far as one can tell: the source was just read
                raise storage_error(error) from error
        copy.execute(f"PRAGMA cache_size = -{schema.READ_CACHE_KIB}")  # a check looks up each row in each index
        if problems := problems_of(copy):
            raise CatalogueUnusable(f"{source} is damaged: {problems[0]}; {schema.restore(source)}")
        copy.execute("PRAGMA journal_mode = DELETE").fetchall()  # one file, and none beside it
        tables = {name for (name,) in copy.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        for statement in leave_out:
            if statement.split()[2] in tables:  # a catalogue of an older casd
                copy.execute(statement)


def mark_lost(path: Path, lost: list[Digest], at: datetime) -> None:
    """In a catalogue that nobody has open, those payloads are marked as damaged, and all others as good."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN")
        db.execute("CREATE TEMP TABLE lost (digest BLOB PRIMARY KEY)")
        db.executemany("INSERT INTO lost VALUES (?)", [(digest.raw,) for digest in lost])
        db.execute("UPDATE payload SET quarantined_at = NULL WHERE quarantined_at IS NOT NULL AND digest NOT IN lost")
        db.execute(
            "UPDATE payload SET quarantined_at = :at WHERE quarantined_at IS NULL AND digest IN lost",
            {"at": micros(at)},
        )
        db.execute("COMMIT")
