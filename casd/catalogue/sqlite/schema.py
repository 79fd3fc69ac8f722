"""Opening the catalogue's file: header and schema are checked before anything is touched, then migrated.

Migrations are numbered files that are never edited; each is applied in one transaction with its record.
"""

import os
import pwd
import re
import sqlite3
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

from casd.errors import CatalogueForeign, CatalogueUnusable

APPLICATION_ID = 0x63617364  # "casd", in the file's header
JOURNAL_LIMIT_BYTES = 64 << 20  # a WAL that grew past this is cut back at its next checkpoint
READ_CACHE_KIB = 64 << 10  # page cache per connection
KINDS = {stat.S_IFDIR: "a folder", stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
MIGRATION_NAME = re.compile(r"(\d{4})_\w+\.sql")
RECORD = """
CREATE TABLE IF NOT EXISTS schema_migration (
  number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL
) STRICT
"""


def open_writer(path: Path, payloads_exist: bool) -> sqlite3.Connection:
    """Return the writing connection of a catalogue that is sound and of this casd's schema, made if absent.

    Raises CatalogueUnusable, with nothing touched, as `check_usable` does.
    """
    check_usable(path, payloads_exist)
    # It holds signing keys: for the owner's eyes alone. SQLite makes -wal and -shm with the same permissions.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            f"journal_size_limit = {JOURNAL_LIMIT_BYTES}",
            f"cache_size = -{READ_CACHE_KIB}",
        ):
            db.execute(f"PRAGMA {pragma}").fetchall()
        migrate(db, path)
        # Whatever a crash left in the WAL is written into the file and synced before anything is built upon it.
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.DatabaseError as error:
        db.close()
        raise unusable(path, error) from error
    except BaseException:
        db.close()
        raise
    return db


def check_usable(path: Path, payloads_exist: bool) -> None:
    """Raise CatalogueUnusable, with nothing touched, for what is no sound catalogue of this casd's or an older schema.

    So is one that is missing or empty while payloads exist: an empty catalogue would make garbage of all of them.
    """
    is_empty = not has_bytes(path)
    # A file of SQLite's without a table is as empty: a failed restore leaves one.
    if (is_empty or check_file(path) == 0) and payloads_exist:
        raise CatalogueUnusable(
            f"{path} is {'empty' if path.exists() else 'missing'}, but payloads exist: {restore(path)}; or move the "
            "payloads folder away to start anew"
        )
    wal = path.with_name(path.name + "-wal")
    if is_empty and has_bytes(wal):  # SQLite would drop what is in it
        raise CatalogueUnusable(f"{path} is missing, but {wal.name} is there: {restore(path)}")


def has_bytes(path: Path) -> bool:
    """Whether a file of ours is there and not empty. Raises CatalogueUnusable for what is not such a file at all."""
    try:
        facts = path.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(facts.st_mode):
        # Behind a link SQLite would put its -wal where the link points to, and a pipe would never answer.
        kind = KINDS.get(stat.S_IFMT(facts.st_mode), "a device")
        raise CatalogueUnusable(f"{path} is {kind}: casd wants the file itself there; move this away and put it there")
    if facts.st_uid != os.geteuid():
        # Root could open it, and would leave a -wal behind that its owner cannot.
        raise CatalogueForeign(
            f"{path} belongs to {user(facts.st_uid)}, casd runs as {user(os.geteuid())}: run it as "
            f"{user(facts.st_uid)}, or give the whole data folder to {user(os.geteuid())} (chown -R)"
        )
    return facts.st_size > 0


def user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def check_file(path: Path) -> int:
    """The number of the last migration applied, 0 for a file that has no table yet. Writes nothing.

    Raises CatalogueUnusable unless the file is casd's, whole, and of a schema this casd knows.
    """
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except OSError as error:
        raise CatalogueUnusable(f"{path} cannot be read: {error.strerror}; is the disk failing?") from error
    if not header.startswith(b"SQLite format 3\0") or len(header) < 100:
        raise CatalogueUnusable(f"{path} is not an SQLite file (damaged?); {restore(path)}")
    page_size = int.from_bytes(header[16:18]) or 1
    page_size = 65536 if page_size == 1 else page_size
    wal = path.with_name(path.name + "-wal")
    has_wal = has_bytes(wal)
    # A crash in mid checkpoint leaves the file short of what its header says, and the WAL makes it whole again.
    if not has_wal and path.stat().st_size < page_size * int.from_bytes(header[28:32]):
        raise CatalogueUnusable(f"{path} is shorter than its header says: {restore(path)}")
    db = sqlite3.connect(untouching(path), uri=True, isolation_level=None)
    try:
        return schema_number(db, path)
    except sqlite3.DatabaseError as error:
        raise unusable(path, error) from error
    finally:
        db.close()


def unusable(path: Path, error: sqlite3.DatabaseError) -> CatalogueUnusable:
    """What to tell of an SQLite that fails: only what is damaged is worth the loss that a backup means.

    A disk without room for the -shm file, say, comes as "disk I/O error".
    """
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return CatalogueUnusable(f"{path} is damaged: {error}; {restore(path)}")
    return CatalogueUnusable(
        f"{path} cannot be used: {error}; is the disk full, read-only or failing? Then start again"
    )


def restore(path: Path) -> str:
    """What to do about a catalogue that is lost. SQLite would play the lost one's WAL into the restored one."""
    advice = "restore it from a backup"
    if path.with_name(path.name + "-wal").exists():
        advice += f", after moving {path.name}-wal and {path.name}-shm away: they belong to the lost one"
    return f"{advice} (`casd help backup`); without one, `casd fsck --rebuild` finds the bytes, not their names"


def read_only(path: Path) -> str:
    """What a connection that can neither write nor checkpoint is opened with."""
    return f"{path.absolute().as_uri()}?mode=ro"


def untouching(path: Path) -> str:
    """What a connection is opened with that leaves no trace.

    Read-only, because closing the last writable one folds the WAL back. And where no -wal is there, even an empty one,
    no daemon has the file: as one that nobody changes, because otherwise a -wal and a -shm would be left beside it.
    """
    is_in_use = path.with_name(path.name + "-wal").exists()
    return read_only(path) + ("" if is_in_use else "&immutable=1")


def schema_number(db: sqlite3.Connection, path: Path) -> int:
    """The number of the last migration applied, 0 for an empty file. Raises CatalogueUnusable for one not casd's."""
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if not tables and application_id == 0:  # a crash before the first migration was committed
        return 0
    if application_id != APPLICATION_ID or "schema_migration" not in tables:
        raise CatalogueForeign(f"{path} is another program's SQLite file; point [storage] data elsewhere")
    (applied,) = db.execute("SELECT max(number) FROM schema_migration").fetchone()
    if applied is None:
        raise CatalogueUnusable(f"{path} has lost the record of its schema (damaged?); {restore(path)}")
    known = len(list(migrations()))
    if applied > known:
        raise CatalogueForeign(
            f"{path} has the schema number {applied}, this casd knows {known}: start the newer casd again"
        )
    return int(applied)


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring the schema to this casd's."""
    applied = schema_number(db, path)
    for number, name, script in list(migrations())[applied:]:
        db.execute("BEGIN IMMEDIATE")
        try:
            if number == 1:
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                db.execute(RECORD)
            for statement in statements(script):
                db.execute(statement)
            db.execute(
                "INSERT INTO schema_migration (number, name, applied_at) VALUES (?, ?, ?)",
                (number, name, int(datetime.now(UTC).timestamp() * 1e6)),
            )
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise


def migrations() -> Iterator[tuple[int, str, str]]:
    """Number, file name and text of each migration, in order, from 1 without a gap."""
    folder = resources.files("casd.catalogue.sqlite") / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if MIGRATION_NAME.fullmatch(entry.name))
    for number, name in enumerate(names, start=1):
        if int(name[:4]) != number:
            raise CatalogueUnusable(f"migration {name} should be number {number}: this casd is not installed whole")
        yield number, name, (folder / name).read_text("utf-8")


def statements(script: str) -> Iterator[str]:
    """The statements of a script one by one: `executescript` would commit the transaction first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
