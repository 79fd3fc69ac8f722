"""A name as a whole: what it is called, its rules, its metadata; each function inside a transaction of the writer."""

import sqlite3
from collections.abc import Callable, Mapping

from casd.audit import Touched, Verb, changes_told
from casd.catalogue.sqlite.blobs import check_added
from casd.catalogue.sqlite.names import id_of, newest, retain, settle
from casd.catalogue.sqlite.protection import check_versions
from casd.catalogue.sqlite.rows import (
    NAME_FROM,
    NAME_INFO_COLUMNS,
    changes_of,
    compact_json,
    name_info_of,
    namespace_id,
)
from casd.errors import Conflict, MetadataKeyNotFound, NameNotFound, PreconditionFailed, TooLarge
from casd.model import JSON, NameInfo

NAME_COLUMNS = {"shared": bool, "protected": bool, "keep_versions": int, "source_url": str}
# What the new name's next version follows on: its own last one, or the highest that came along.
MOVE_COUNTER = """
INSERT INTO name_counter (namespace_id, name, last_number, last_created_at)
SELECT namespace_id, :new, last_number, last_created_at FROM name_counter
  WHERE namespace_id = :namespace AND name = :old
ON CONFLICT (namespace_id, name) DO UPDATE SET
  last_number = last_number + excluded.last_number, last_created_at = max(last_created_at, excluded.last_created_at)
"""


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
    touched.tell(Verb.NAME_SETTINGS, namespace=namespace, name=name, note=changes_told(changes))
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
    touched.tell(Verb.METADATA_SET, namespace=namespace, name=name, note=f"key {key}")


def delete_metadata(db: sqlite3.Connection, touched: Touched, namespace: str, name: str, key: str) -> None:
    name_id = id_of(db, namespace, name)
    if not db.execute("DELETE FROM name_metadata WHERE name_id = ? AND key = ?", (name_id, key)).rowcount:
        raise MetadataKeyNotFound(f"{namespace}/{name} has no metadata {key!r}")
    touched.tell(Verb.METADATA_DELETE, namespace=namespace, name=name, note=f"key {key}")


def rename(db: sqlite3.Connection, touched: Touched, namespace: str, name: str, new_name: str) -> None:
    latest = newest(db, namespace, name)
    if latest is None or latest.is_marker:
        raise NameNotFound(f"there is no name {namespace}/{name}")
    if name == new_name:
        return
    if newest(db, namespace, new_name) is not None:
        raise Conflict(f"{namespace}/{new_name} is there already, or hidden: remove or purge it, or take another name")
    check_versions(db, namespace, name)
    name_id = id_of(db, namespace, name)
    touched.update({(namespace, name), (namespace, new_name)})
    values = {"id": name_id, "namespace": namespace_id(db, namespace), "old": name.encode(), "new": new_name.encode()}
    used = db.execute(
        "SELECT last_number FROM name_counter WHERE namespace_id = :namespace AND name = :new", values
    ).fetchone()
    if used is not None:
        shift_numbers(db, name_id, used[0])
    db.execute(MOVE_COUNTER, values)
    db.execute("UPDATE name SET name = :new WHERE id = :id", values)
    touched.tell(Verb.NAME_RENAME, namespace=namespace, name=name, note=f"to {new_name}")
    touched.tell(Verb.NAME_RENAME, namespace=namespace, name=new_name, note=f"from {name}")


def shift_numbers(db: sqlite3.Connection, name_id: int, by: int) -> None:
    """Each version's number is `by` higher, in two steps: SQLite checks that they are unique row by row."""
    db.execute("UPDATE version SET number = -number WHERE name_id = ?", (name_id,))
    db.execute("UPDATE version SET number = :by - number WHERE name_id = :id", {"by": by, "id": name_id})
