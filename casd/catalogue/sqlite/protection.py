"""What is protected, each function inside a transaction of the writer.

A protected name stays as it is: no version is added or removed, and it is neither hidden nor renamed. A protected
version stays where it is: it is not removed, nor is its name hidden, purged or renamed; newer versions may follow.
Settings and metadata are not what is protected, nor is a blob's hold on itself: a version's hold keeps the bytes.
"""

import sqlite3

from casd.audit import Touched, Verb, changes_told
from casd.catalogue.sqlite.rows import NAME_FROM
from casd.errors import Conflict, Protected, VersionNotFound

IS_PROTECTED = """(m.protected OR EXISTS (SELECT 1 FROM version p WHERE p.name_id = m.id AND p.protected))"""
SELECT_NAME = f"SELECT m.protected FROM {NAME_FROM} WHERE n.name = :namespace AND m.name = :name"
SELECT_VERSIONS = f"""
SELECT v.number FROM {NAME_FROM} JOIN version v ON v.name_id = m.id
WHERE n.name = :namespace AND m.name = :name AND v.protected AND v.number = coalesce(:number, v.number)
ORDER BY v.number LIMIT 1
"""
SELECT_VERSION = f"""
SELECT v.id, b.uuid FROM {NAME_FROM} JOIN version v ON v.name_id = m.id LEFT JOIN blob b ON b.id = v.blob_id
WHERE n.name = :namespace AND m.name = :name AND v.number = :number
"""


def check_name(db: sqlite3.Connection, namespace: str, name: str) -> None:
    """Raise Protected if the name is."""
    row = db.execute(SELECT_NAME, {"namespace": namespace, "name": name.encode()}).fetchone()
    if row is not None and row[0]:
        raise refusal(namespace, name)


def check_versions(db: sqlite3.Connection, namespace: str, name: str, number: int | None = None) -> None:
    """Raise Protected if the name is, or that version; without a number, if any of its versions is."""
    check_name(db, namespace, name)
    values = {"namespace": namespace, "name": name.encode(), "number": number}
    row = db.execute(SELECT_VERSIONS, values).fetchone()
    if row is not None:
        raise refusal(namespace, f"{name}@{row[0]}")


def refusal(namespace: str, what: str) -> Protected:
    return Protected(f"{namespace}/{what} is protected: `casd unprotect` it first, if that is meant")


def protect_version(
    db: sqlite3.Connection, touched: Touched, namespace: str, name: str, number: int, is_protected: bool
) -> None:
    """Raises VersionNotFound, and Conflict for a delete marker: there is nothing to keep."""
    values = {"namespace": namespace, "name": name.encode(), "number": number}
    row = db.execute(SELECT_VERSION, values).fetchone()
    if row is None:
        raise VersionNotFound(f"there is no version {number} of {namespace}/{name}")
    version_id, uuid = row
    if uuid is None and is_protected:
        raise Conflict(f"version {number} of {namespace}/{name} is a delete marker: there is nothing to protect")
    touched.add((namespace, name))
    db.execute("UPDATE version SET protected = ? WHERE id = ?", (is_protected, version_id))
    note = changes_told({"protected": is_protected})
    touched.tell(Verb.NAME_SETTINGS, namespace=namespace, name=name, version=number, note=note)
