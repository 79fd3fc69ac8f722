"""What belongs to a name as a whole, its rules and its metadata, each function inside a transaction of the writer."""

import sqlite3
from collections.abc import Callable, Mapping

from casd.catalogue.sqlite.blobs import check_added
from casd.catalogue.sqlite.names import id_of, retain, settle
from casd.catalogue.sqlite.rows import NAME_FROM, NAME_INFO_COLUMNS, changes_of, compact_json, name_info_of
from casd.catalogue.sqlite.writer import Touched
from casd.errors import MetadataKeyNotFound, PreconditionFailed, TooLarge
from casd.model import JSON, NameInfo

NAME_COLUMNS = {"shared": bool, "protected": bool, "keep_versions": int, "source_url": str}


def update(
    db: sqlite3.Connection,
    touched: Touched,
    namespace: str,
    name: str,
    changes: Mapping[str, object],
    is_expected: Callable[[NameInfo], bool] | None = None,
) -> NameInfo:
    name_id = id_of(db, namespace, name)
    if is_expected is not None and not is_expected(info(db, name_id)):
        raise PreconditionFailed(f"{namespace}/{name} was changed meanwhile: read it again")
    touched.add((namespace, name))
    columns = {key: value for key, value in changes.items() if key != "metadata"}
    if columns:
        db.execute(f"UPDATE name SET {changes_of(columns, NAME_COLUMNS)} WHERE id = :id", columns | {"id": name_id})
    metadata = changes.get("metadata")
    if isinstance(metadata, dict):
        db.execute("DELETE FROM name_metadata WHERE name_id = ?", (name_id,))
        db.executemany(
            "INSERT INTO name_metadata (name_id, key, value) VALUES (?, ?, ?)",
            [(name_id, key, compact_json(value)) for key, value in metadata.items()],
        )
    return info(db, name_id)


def info(db: sqlite3.Connection, name_id: int) -> NameInfo:
    return name_info_of(
        db.execute(f"SELECT {NAME_INFO_COLUMNS} FROM {NAME_FROM} WHERE m.id = ?", (name_id,)).fetchone()
    )


def limit_versions(
    db: sqlite3.Connection,
    touched: Touched,
    namespace: str,
    name: str,
    keep_versions: int,
    now: int,
    keep_until: int,
) -> None:
    update(db, touched, namespace, name, {"keep_versions": keep_versions})
    name_id = id_of(db, namespace, name)
    retain(db, touched, name_id, now, keep_until)
    settle(db, touched, name_id, now, keep_until)


def set_metadata(
    db: sqlite3.Connection,
    touched: Touched,
    namespace: str,
    name: str,
    key: str,
    value: JSON,
    limit_bytes: int,
    only_adds: bool,
) -> None:
    name_id, text = id_of(db, namespace, name), compact_json(value)
    if only_adds:
        is_text = db.execute("SELECT value = ? FROM name_metadata WHERE name_id = ? AND key = ?", (text, name_id, key))
        check_added(is_text.fetchone(), key)
    (others,) = db.execute(
        """SELECT coalesce(sum(length(CAST(key AS BLOB)) + length(CAST(value AS BLOB))), 0)
           FROM name_metadata WHERE name_id = ? AND key <> ?""",
        (name_id, key),
    ).fetchone()
    if others + len(key.encode()) + len(text.encode()) > limit_bytes:
        raise TooLarge(f"the metadata of {namespace}/{name}", limit_bytes)
    db.execute(
        """INSERT INTO name_metadata (name_id, key, value) VALUES (?, ?, ?)
           ON CONFLICT (name_id, key) DO UPDATE SET value = excluded.value""",
        (name_id, key, text),
    )


def delete_metadata(db: sqlite3.Connection, touched: Touched, namespace: str, name: str, key: str) -> None:
    name_id = id_of(db, namespace, name)
    if not db.execute("DELETE FROM name_metadata WHERE name_id = ? AND key = ?", (name_id, key)).rowcount:
        raise MetadataKeyNotFound(f"{namespace}/{name} has no metadata {key!r}")
