"""What happens to names and versions, each function inside a transaction of the writer.

Numbers and times of a name come from `name_counter`, which outlives the name: no number is used twice, and
`created_at` grows strictly, so that `as_of` has one answer.
"""

import sqlite3
from collections.abc import Callable, Sequence
from uuid import UUID

from casd.audit import Touched, Verb
from casd.catalogue.claims import Claim
from casd.catalogue.sqlite import blobs, protection, uploads
from casd.catalogue.sqlite.retention import first_kept
from casd.catalogue.sqlite.rows import (
    NAME_FROM,
    NEWEST,
    VERSION_COLUMNS,
    VERSION_FROM,
    Row,
    namespace_id,
    version_of,
)
from casd.catalogue.values import NO_GUARD, NO_NAMING
from casd.errors import BlobNotFound, Conflict, Forbidden, NameNotFound, PreconditionFailed, VersionNotFound
from casd.model import Digest, Guard, Naming, NewBlob, Receipt, Version, VersionRef

SAME = "it had these bytes already"
SELECT_CALLED = "SELECT n.name, m.name FROM name m JOIN namespace n ON n.id = m.namespace_id WHERE m.id = ?"
COUNT_UP = """
INSERT INTO name_counter (namespace_id, name, last_number, last_created_at) VALUES (:namespace, :name, 1, :now)
ON CONFLICT (namespace_id, name) DO UPDATE SET
  last_number = last_number + 1, last_created_at = max(:now, last_created_at + 1)
RETURNING last_number, last_created_at
"""
INSERT_NAME = """
INSERT INTO name (uuid, namespace_id, name, created_at, keep_versions, source_url)
VALUES (:uuid, :namespace, :name, :now, :keep_versions, :source_url)
ON CONFLICT (namespace_id, name) DO NOTHING
"""
SELECT_NEWEST = f"""
SELECT {VERSION_COLUMNS} FROM {VERSION_FROM} WHERE n.name = :namespace AND m.name = :name AND {NEWEST}
"""
SELECT_VERSION = f"""
SELECT {VERSION_COLUMNS} FROM {VERSION_FROM} WHERE n.name = :namespace AND m.name = :name AND v.number = :number
"""
SELECT_HOLDERS = """
SELECT n.name, m.name, v.number,
  NOT EXISTS (SELECT 1 FROM version w WHERE w.name_id = m.id AND w.number > v.number),
  EXISTS (SELECT 1 FROM version w WHERE w.name_id = m.id AND w.number < v.number AND w.blob_id IS NOT NULL)
FROM blob b JOIN version v ON v.blob_id = b.id JOIN name m ON m.id = v.name_id JOIN namespace n ON n.id = m.namespace_id
WHERE b.uuid = :blob LIMIT 2
"""


def newest(db: sqlite3.Connection, namespace: str, name: str) -> Version | None:
    row = db.execute(SELECT_NEWEST, {"namespace": namespace, "name": name.encode()}).fetchone()
    return None if row is None else version_of(row)


def publish(
    db: sqlite3.Connection,
    touched: Touched,
    new: NewBlob,
    receipt: Receipt,
    name: str,
    guard: Guard,
    published_by: str | None,
    now: int,
    keep_until: int,
    new_uuid: Callable[[], UUID],
    finishes: UUID | None,
    naming: Naming,
    claim: Claim | None,
) -> Version:
    namespace = namespace_id(db, new.namespace)
    touched.add(claim)
    check_guard(db, guard, new.namespace, name)
    payload_id = blobs.store_payload(db, touched, receipt, now, keep_until)
    same = newest_with(db, new.namespace, name, receipt.digest) if naming.unless_same else None
    if same is not None and same.blob is not None:
        uploads.finish(db, finishes, same.blob.uuid, receipt, same.number)
        tell_version(touched, Verb.NAME_PUBLISH, same, SAME)
        describe(db, touched, new.namespace, name, naming)
        return same
    check_adds(db, new.namespace, name, naming)
    protection.check_name(db, new.namespace, name)
    blob_id = blobs.insert_blob(db, touched, new, namespace, payload_id, False, now)
    version = add_version(db, touched, new.namespace, name, blob_id, published_by, now, keep_until, new_uuid, naming)
    blobs.check_room(db, touched, blob_id, now, keep_until)  # after retention
    describe(db, touched, new.namespace, name, naming)
    uploads.finish(db, finishes, new.uuid, receipt, version.number)
    tell_version(touched, Verb.NAME_PUBLISH, version)
    return version


def tell_version(touched: Touched, verb: Verb, version: Version, note: str | None = None) -> None:
    blob = None if version.blob is None else version.blob.uuid
    touched.tell(verb, namespace=version.namespace, name=version.name, version=version.number, blob=blob, note=note)


def bind(
    db: sqlite3.Connection,
    touched: Touched,
    blob: UUID,
    new: NewBlob,
    name: str,
    guard: Guard,
    published_by: str | None,
    now: int,
    keep_until: int,
    new_uuid: Callable[[], UUID],
    naming: Naming,
    as_new: bool,
    claim: Claim | None,
) -> Version:
    namespace = namespace_id(db, new.namespace)
    touched.add(claim)
    blob_id = blobs.living_blob_id(db, blob, now)
    check_guard(db, guard, new.namespace, name)
    same = newest_with(db, new.namespace, name, blobs.blob_by_id(db, blob_id).digest) if naming.unless_same else None
    if same is not None:
        describe(db, touched, new.namespace, name, naming)
        tell_version(touched, Verb.NAME_BIND, same, SAME)
        return same
    check_adds(db, new.namespace, name, naming)
    protection.check_name(db, new.namespace, name)
    owner, payload_id, content_type, filename = db.execute(
        "SELECT namespace_id, payload_id, content_type, filename FROM blob WHERE id = ?", (blob_id,)
    ).fetchone()
    is_copied = as_new or owner != namespace
    if is_copied:
        copy = new if as_new else NewBlob(new.uuid, new.namespace, content_type, filename)
        blob_id = blobs.insert_blob(db, touched, copy, namespace, payload_id, False, now)
    version = add_version(db, touched, new.namespace, name, blob_id, published_by, now, keep_until, new_uuid, naming)
    if is_copied:
        blobs.check_room(db, touched, blob_id, now, keep_until)
    describe(db, touched, new.namespace, name, naming)
    tell_version(touched, Verb.NAME_BIND, version, f"of blob {blob}")
    return version


def newest_with(db: sqlite3.Connection, namespace: str, name: str, digest: Digest) -> Version | None:
    """The newest version if it has these bytes."""
    latest = newest(db, namespace, name)
    return latest if latest is not None and latest.blob is not None and latest.blob.digest == digest else None


def check_guard(db: sqlite3.Connection, guard: Guard, namespace: str, name: str) -> None:
    if not guard.allows(newest(db, namespace, name)):
        raise PreconditionFailed(f"the latest version of {namespace}/{name} is not what If-Match or If-None-Match said")


def add_version(
    db: sqlite3.Connection,
    touched: Touched,
    namespace: str,
    name: str,
    blob_id: int | None,
    published_by: str | None,
    now: int,
    keep_until: int,
    new_uuid: Callable[[], UUID],
    naming: Naming = NO_NAMING,
) -> Version:
    """The next version, which holds the blob; None for a delete marker. The name is made if it is not there."""
    touched.add((namespace, name))
    values = {"namespace": namespace_id(db, namespace), "name": name.encode(), "now": now}
    number, created_at = db.execute(COUNT_UP, values).fetchone()
    db.execute(INSERT_NAME, values | of_new_name(naming) | {"uuid": new_uuid().bytes})
    (name_id,) = db.execute("SELECT id FROM name WHERE namespace_id = :namespace AND name = :name", values).fetchone()
    db.execute(
        "INSERT INTO version (name_id, number, blob_id, created_at, published_by) VALUES (?, ?, ?, ?, ?)",
        (name_id, number, blob_id, created_at, published_by),
    )
    if blob_id is not None:
        blobs.hold_by_version(db, touched, blob_id)
        retain(db, touched, name_id, now, keep_until)
    settle(db, touched, name_id, now, keep_until)
    version = newest(db, namespace, name)
    assert version is not None
    return version


def of_new_name(naming: Naming) -> dict[str, object]:
    return {"keep_versions": naming.keep_versions, "source_url": naming.source_url_if_new}


def describe(db: sqlite3.Connection, touched: Touched, namespace: str, name: str, naming: Naming) -> None:
    if naming.source_url is None and not naming.shared:
        return
    touched.add((namespace, name))
    url = "coalesce(source_url, :url)" if naming.only_adds else "coalesce(:url, source_url)"
    db.execute(
        f"UPDATE name SET source_url = {url}, shared = shared OR :shared WHERE id = :id",
        {"url": naming.source_url, "shared": naming.shared, "id": id_of(db, namespace, name)},
    )


def check_adds(db: sqlite3.Connection, namespace: str, name: str, naming: Naming) -> None:
    """Raise Forbidden where a new version would take the place of the one that is there."""
    if not naming.only_adds:
        return
    replaces = db.execute(
        f"""SELECT 1 FROM {NAME_FROM} WHERE n.name = :namespace AND m.name = :name AND m.hidden_at IS NULL
              AND coalesce(m.keep_versions, n.keep_versions) = 1""",
        {"namespace": namespace, "name": name.encode()},
    ).fetchone()
    if replaces is not None:
        raise Forbidden(f"{namespace}/{name} keeps one version, so a new one would overwrite it: this needs a writer")


def retain(db: sqlite3.Connection, touched: Touched, name_id: int, now: int, keep_until: int) -> int:
    """Remove what the rules do not keep; returns how many versions that were."""
    oldest = first_kept(db, name_id, now)
    if not oldest:
        return 0
    return drop_versions(db, touched, name_id, "number < ? AND NOT protected", oldest, now, keep_until, "retention")


def retain_all(db: sqlite3.Connection, touched: Touched, name_ids: Sequence[int], now: int, keep_until: int) -> int:
    """As `retain`, of several names. Their newest versions stay, so nothing is touched but blobs that go."""
    return sum(retain(db, touched, name_id, now, keep_until) for name_id in name_ids)


def drop_versions(
    db: sqlite3.Connection,
    touched: Touched,
    name_id: int,
    which: str,
    value: int,
    now: int,
    keep_until: int,
    why: str | None = None,
) -> int:
    """Delete the name's versions for which `which`, a condition on one value, holds; returns how many."""
    gone = db.execute(
        f"DELETE FROM version WHERE name_id = ? AND {which} RETURNING number, blob_id", (name_id, value)
    ).fetchall()
    namespace, name = db.execute(SELECT_CALLED, (name_id,)).fetchone() if gone else ("", b"")
    for number, blob_id in sorted(gone):
        uuid = None if blob_id is None else blobs.release_by_version(db, touched, blob_id, now, keep_until)
        about = {"namespace": namespace, "name": bytes(name).decode("utf-8")}
        touched.tell(Verb.VERSION_REMOVE, **about, version=number, blob=uuid, note=why)
    return len(gone)


def settle(db: sqlite3.Connection, touched: Touched, name_id: int, now: int, keep_until: int) -> None:
    """Hidden while the newest version is a marker; gone when no version with a blob is left."""
    has_blob = db.execute(
        "SELECT 1 FROM version WHERE name_id = ? AND blob_id IS NOT NULL LIMIT 1", (name_id,)
    ).fetchone()
    if has_blob is None:
        drop_versions(db, touched, name_id, "number >= ?", 0, now, keep_until)
        db.execute("DELETE FROM name WHERE id = ?", (name_id,))
        return
    # A marker that comes to the top because what was newer was removed hides the name from now on, not since it was
    # made: upkeep would purge the name at once.
    db.execute(
        """UPDATE name SET hidden_at = (
             SELECT iif(blob_id IS NULL, coalesce(name.hidden_at, max(created_at, :now)), NULL) FROM version
             WHERE name_id = name.id ORDER BY number DESC LIMIT 1) WHERE id = :id""",
        {"id": name_id, "now": now},
    )


def hide(
    db: sqlite3.Connection,
    touched: Touched,
    namespace: str,
    name: str,
    guard: Guard,
    published_by: str | None,
    now: int,
    new_uuid: Callable[[], UUID],
) -> Version:
    latest = newest(db, namespace, name)
    if latest is None or latest.is_marker:
        raise NameNotFound(f"there is no name {namespace}/{name}")
    check_guard(db, guard, namespace, name)
    protection.check_versions(db, namespace, name)
    marker = add_version(db, touched, namespace, name, None, published_by, now, now, new_uuid)
    tell_version(touched, Verb.NAME_HIDE, marker)
    return marker


def remove_version(
    db: sqlite3.Connection,
    touched: Touched,
    namespace: str,
    name: str,
    number: int,
    now: int,
    keep_until: int,
    guard: Guard = NO_GUARD,
) -> Version:
    row: Row | None = db.execute(
        SELECT_VERSION, {"namespace": namespace, "name": name.encode(), "number": number}
    ).fetchone()
    if row is None:
        raise VersionNotFound(f"there is no version {number} of {namespace}/{name}")
    if not guard.allows(version_of(row)):
        raise PreconditionFailed(f"version {number} of {namespace}/{name} is not what If-Match or If-None-Match said")
    if not version_of(row).is_marker:  # to un-hide a name takes nothing away from it
        protection.check_versions(db, namespace, name, number)
    touched.add((namespace, name))
    name_id = id_of(db, namespace, name)
    drop_versions(db, touched, name_id, "number = ?", number, now, keep_until)
    settle(db, touched, name_id, now, keep_until)
    return version_of(row)


def withdraw(
    db: sqlite3.Connection,
    touched: Touched,
    blob: UUID,
    published_by: str | None,
    now: int,
    keep_until: int,
    new_uuid: Callable[[], UUID],
) -> VersionRef:
    holders = db.execute(SELECT_HOLDERS, {"blob": blob.bytes}).fetchall()
    if not holders:
        raise BlobNotFound(f"no name has a blob {blob}")
    if len(holders) > 1:
        raise Conflict(f"several versions hold blob {blob}: remove them by name and number")
    ((namespace, name, number, is_newest, has_older),) = holders
    name = bytes(name).decode("utf-8")
    if is_newest and has_older:  # the marker first: the name is never seen with an older version as its newest
        marker = add_version(db, touched, namespace, name, None, published_by, now, keep_until, new_uuid)
        tell_version(touched, Verb.NAME_HIDE, marker)
    remove_version(db, touched, namespace, name, number, now, keep_until)
    return VersionRef(namespace, name, number)


def undelete(db: sqlite3.Connection, touched: Touched, namespace: str, name: str, now: int, keep_until: int) -> Version:
    latest = newest(db, namespace, name)
    if latest is None:
        raise NameNotFound(f"there is no name {namespace}/{name}")
    if not latest.is_marker:
        raise Conflict(f"{namespace}/{name} is not hidden")
    while latest.is_marker:  # two can follow each other where the version between them was removed
        remove_version(db, touched, namespace, name, latest.number, now, keep_until)
        latest = newest(db, namespace, name)
        assert latest is not None  # a name without a version that has a blob is gone, and was not found
    tell_version(touched, Verb.NAME_UNDELETE, latest)
    return latest


def purge(
    db: sqlite3.Connection,
    touched: Touched,
    namespace: str,
    name: str,
    now: int,
    keep_until: int,
    guard: Guard = NO_GUARD,
) -> None:
    name_id = id_of(db, namespace, name)
    check_guard(db, guard, namespace, name)
    protection.check_versions(db, namespace, name)
    touched.add((namespace, name))
    drop_versions(db, touched, name_id, "number >= ?", 0, now, keep_until, "purge")
    db.execute("DELETE FROM name WHERE id = ?", (name_id,))
    touched.tell(Verb.NAME_PURGE, namespace=namespace, name=name)


def purge_hidden(
    db: sqlite3.Connection, touched: Touched, hidden_before: int, now: int, keep_until: int, limit: int
) -> int:
    """Purge names that were hidden before a time, but what is protected; returns how many."""
    hidden = db.execute(
        f"""SELECT n.name, m.name FROM name m JOIN namespace n ON n.id = m.namespace_id
           WHERE m.hidden_at IS NOT NULL AND m.hidden_at < ? AND NOT {protection.IS_PROTECTED}
           ORDER BY m.hidden_at LIMIT ?""",
        (hidden_before, limit),
    ).fetchall()
    for namespace, name in hidden:
        purge(db, touched, namespace, bytes(name).decode("utf-8"), now, keep_until)
    return len(hidden)


def id_of(db: sqlite3.Connection, namespace: str, name: str) -> int:
    """Raises NameNotFound."""
    row = db.execute(
        "SELECT m.id FROM name m JOIN namespace n ON n.id = m.namespace_id WHERE n.name = ? AND m.name = ?",
        (namespace, name.encode()),
    ).fetchone()
    if row is None:
        raise NameNotFound(f"there is no name {namespace}/{name}")
    return int(row[0])
