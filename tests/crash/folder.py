"""A data folder seen from outside: with hashlib and plain SQL, without casd's code."""

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

CATALOGUE = "catalogue.sqlite3"


def sha512(data: bytes) -> str:
    return hashlib.sha512(data).hexdigest()


def hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha512").hexdigest()


def payload_path(data: Path, digest: str) -> Path:
    """Where DESIGN.md section 4 puts a payload."""
    return data / "payloads" / digest[0:2] / digest[2:4] / digest


def payload_names(data: Path) -> set[str]:
    """The names of all payload files; each lies where it belongs."""
    found = {path.name: path for path in (data / "payloads").rglob("*") if path.is_file()}
    for name, path in found.items():
        assert path == payload_path(data, name)
    return set(found)


def payload_files(data: Path, damaged: Collection[str] = ()) -> set[str]:
    """The same, and each file but the damaged ones has the content that its name says."""
    names = payload_names(data)
    for name in names.difference(damaged):
        assert hash_of(payload_path(data, name)) == name, f"{name} is damaged"
    return names


def incoming(data: Path) -> list[str]:
    return os.listdir(data / "incoming")


def everything(data: Path) -> dict[str, str]:
    """Each file and folder with its content's hash, but for what SQLite and the lock may touch without harm."""
    seen = {}
    for path in data.rglob("*"):
        name = str(path.relative_to(data))
        if name == "lock" or name.endswith("-shm"):
            continue
        seen[name] = hash_of(path) if path.is_file() else "a folder"
    return seen


def check_catalogue(data: Path, scratch: Path) -> None:
    """The catalogue as it lies there is whole, and its counters are what a recount gives.

    Looked at in a copy: opening the file itself would recover its WAL, which is what the daemon must be able to do.
    A daemon may run, if nothing is written meanwhile.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    for suffix in ("-wal", ""):  # in this order a checkpoint between the two does no harm
        source = data / (CATALOGUE + suffix)
        if source.exists():
            shutil.copy(source, scratch / source.name)
    with closing(sqlite3.connect(scratch / CATALOGUE)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        for what, sql in RECOUNTS.items():
            assert db.execute(sql).fetchall() == [], what


RECOUNTS = {
    "payload.blob_count": """
        SELECT hex(digest), blob_count FROM payload
        WHERE blob_count <> (SELECT count(*) FROM blob WHERE payload_id = payload.id)""",
    "blob.version_count": """
        SELECT hex(uuid), version_count FROM blob
        WHERE version_count <> (SELECT count(*) FROM version WHERE blob_id = blob.id)""",
    "blobs without a hold": "SELECT hex(uuid) FROM blob WHERE holds_itself = 0 AND version_count = 0",
    "namespace.blob_count": """
        SELECT name, blob_count FROM namespace
        WHERE blob_count <> (SELECT count(*) FROM blob WHERE namespace_id = namespace.id)""",
    "namespace.logical_bytes": """
        SELECT name, logical_bytes FROM namespace WHERE logical_bytes <>
          (SELECT coalesce(sum(p.size), 0) FROM blob b JOIN payload p ON p.id = b.payload_id
           WHERE b.namespace_id = namespace.id)""",
    "numbers past a name's counter": """
        SELECT m.name FROM version v JOIN name m ON m.id = v.name_id
        JOIN name_counter c ON c.namespace_id = m.namespace_id AND c.name = m.name WHERE v.number > c.last_number""",
}
