"""What happens to blobs and payload rows, each function inside a transaction of the writer.

The two counts that others rely on, `payload.blob_count` and the totals of a namespace, change here and nowhere else.
"""

import sqlite3
from collections.abc import Collection
from uuid import UUID

from casd.audit import Touched, Verb
from casd.catalogue.claims import Claim, check
from casd.catalogue.sqlite import quotas, uploads
from casd.catalogue.sqlite.rows import (
    BLOB_COLUMNS,
    BLOB_FROM,
    IS_LIVE,
    Row,
    blob_of,
    compact_json,
    in_list,
    metadata_hash,
    micros_or_none,
    namespace_id,
    time_of,
)
from casd.catalogue.sqlite.writer import EVERYTHING
from casd.errors import BlobNotFound, Conflict, Forbidden, MetadataKeyNotFound, PinNotFound, TooLarge
from casd.model import BLOCK_SIZE, JSON, Blob, Digest, NewBlob, Receipt

CHECKSUM_BYTES = 8
CHECKSUM_COLUMNS = {"sha512": "digest", "sha256": "sha256", "xxh3-128": "xxh3_128"}
GIB_CHECKSUMS = (1 << 30) // BLOCK_SIZE * CHECKSUM_BYTES  # bytes of block checksums per row

UPSERT_PAYLOAD = """
INSERT INTO payload (digest, sha256, xxh3_128, size, keep_until, stored_at, checked_at, deep_checked_at)
VALUES (:digest, :sha256, :xxh3_128, :size, :keep_until, :now, :now, :now)
ON CONFLICT (digest) DO UPDATE SET
  keep_until = max(keep_until, :keep_until), stored_at = :now, checked_at = :now, deep_checked_at = :now,
  quarantined_at = NULL
RETURNING id, blob_count
"""
INSERT_BLOB = """
INSERT INTO blob (uuid, namespace_id, payload_id, holds_itself, content_type, filename, created_at, expires_at)
VALUES (:uuid, :namespace_id, :payload_id, :holds_itself, :content_type, :filename, :now, :expires_at)
RETURNING id
"""


def store_payload(db: sqlite3.Connection, touched: Touched, receipt: Receipt, now: int, keep_until: int) -> int:
    """Return the id of the payload's row, made, or healed if the payload was known."""
    values = {
        "digest": receipt.digest.raw,
        "sha256": receipt.sha256,
        "xxh3_128": receipt.xxh3_128,
        "size": receipt.size,
        "now": now,
        "keep_until": keep_until,
    }
    quarantined = db.execute("SELECT quarantined_at FROM payload WHERE digest = :digest", values).fetchone()
    if quarantined is not None and quarantined[0] is not None:
        touched.add(EVERYTHING)  # its blobs are good again, whichever they are
    payload_id, _ = db.execute(UPSERT_PAYLOAD, values).fetchone()
    put_blocks(db, payload_id, receipt.blocks)
    return int(payload_id)


def put_blocks(db: sqlite3.Connection, payload_id: int, blocks: bytes) -> None:
    db.execute("DELETE FROM payload_blocks WHERE payload_id = ?", (payload_id,))
    db.executemany(
        "INSERT INTO payload_blocks (payload_id, gib, xxh3) VALUES (?, ?, ?)",
        [
            (payload_id, start // GIB_CHECKSUMS, blocks[start : start + GIB_CHECKSUMS])
            for start in range(0, len(blocks), GIB_CHECKSUMS)
        ],
    )


def insert_blob(
    db: sqlite3.Connection,
    touched: Touched,
    new: NewBlob,
    namespace: int,
    payload_id: int,
    holds_itself: bool,
    now: int,
) -> int:
    """Return the id of a new blob's row; the payload has one reference more, the namespace one blob more."""
    (blob_id,) = db.execute(
        INSERT_BLOB,
        {
            "uuid": new.uuid.bytes,
            "namespace_id": namespace,
            "payload_id": payload_id,
            "holds_itself": holds_itself,
            "content_type": new.content_type,
            "filename": new.filename,
            "now": now,
            "expires_at": micros_or_none(new.expires_at) if holds_itself else None,  # a version has no such end
        },
    ).fetchone()
    db.execute("UPDATE payload SET blob_count = blob_count + 1 WHERE id = ?", (payload_id,))
    quotas.changed(
        db,
        touched,
        """UPDATE namespace SET blob_count = blob_count + 1,
             logical_bytes = logical_bytes + (SELECT size FROM payload WHERE id = :payload) WHERE id = :id""",
        {"id": namespace, "payload": payload_id},
    )
    return int(blob_id)


def check_room(db: sqlite3.Connection, touched: Touched, blob_id: int, now: int, keep_until: int) -> None:
    """Raise QuotaExceeded if the blob, which was made just now, is more than its namespace may have."""
    namespace, size = db.execute(
        "SELECT b.namespace_id, p.size FROM blob b JOIN payload p ON p.id = b.payload_id WHERE b.id = ?", (blob_id,)
    ).fetchone()
    use = quotas.use_of(db, namespace)
    if quotas.is_over(use):
        expire_in(db, touched, use.namespace, now, keep_until)
        use = quotas.use_of(db, namespace)
    check(use.namespace, "bytes", use.quota_bytes, use.used_bytes - size, 0, size)
    check(use.namespace, "blobs", use.quota_blobs, use.used_blobs - 1, 0, 1)


def expire_in(db: sqlite3.Connection, touched: Touched, namespace: str, now: int, keep_until: int) -> None:
    """End own holds in the namespace that are past their time: those take up no room."""
    for blob_id, uuid in db.execute(quotas.SELECT_EXPIRED, {"namespace": namespace, "now": now}).fetchall():
        touched.add(UUID(bytes=uuid))
        touched.tell(Verb.BLOB_EXPIRE, namespace=namespace, blob=UUID(bytes=uuid))
        settle_own_hold(db, touched, blob_id, keep_until)


def add_blob(
    db: sqlite3.Connection,
    touched: Touched,
    new: NewBlob,
    receipt: Receipt,
    now: int,
    keep_until: int,
    finishes: UUID | None,
    claim: Claim | None = None,
) -> Blob:
    uploads.finish(db, finishes, new.uuid, receipt)
    namespace = namespace_id(db, new.namespace)
    payload_id = store_payload(db, touched, receipt, now, keep_until)
    touched.tell(Verb.BLOB_CREATE, namespace=new.namespace, blob=new.uuid)
    return add_own(db, touched, new, namespace, payload_id, now, keep_until, claim)


def add_own(
    db: sqlite3.Connection,
    touched: Touched,
    new: NewBlob,
    namespace: int,
    payload_id: int,
    now: int,
    keep_until: int,
    claim: Claim | None,
) -> Blob:
    """A blob that holds itself; its claim has become it."""
    blob_id = insert_blob(db, touched, new, namespace, payload_id, True, now)
    check_room(db, touched, blob_id, now, keep_until)
    touched.add(claim)
    return blob_by_id(db, blob_id)


def copy(
    db: sqlite3.Connection,
    touched: Touched,
    blob: UUID,
    new: NewBlob,
    now: int,
    keep_until: int,
    claim: Claim | None,
) -> Blob:
    (payload_id,) = db.execute("SELECT payload_id FROM blob WHERE id = ?", (living_blob_id(db, blob, now),)).fetchone()
    db.execute("UPDATE payload SET keep_until = max(keep_until, ?) WHERE id = ?", (keep_until, payload_id))
    touched.tell(Verb.BLOB_CREATE, namespace=new.namespace, blob=new.uuid, note=f"of the bytes of {blob}")
    return add_own(db, touched, new, namespace_id(db, new.namespace), payload_id, now, keep_until, claim)


def blob_by_id(db: sqlite3.Connection, blob_id: int) -> Blob:
    return blob_of(db.execute(f"SELECT {BLOB_COLUMNS} FROM {BLOB_FROM} WHERE b.id = ?", (blob_id,)).fetchone())


def living_blob_id(db: sqlite3.Connection, uuid: UUID, now: int) -> int:
    """Raises BlobNotFound."""
    row = db.execute(
        f"SELECT b.id FROM blob b WHERE b.uuid = :uuid AND {IS_LIVE}", {"uuid": uuid.bytes, "now": now}
    ).fetchone()
    if row is None:
        raise BlobNotFound(f"there is no blob {uuid}")
    return int(row[0])


def drop_own_hold(db: sqlite3.Connection, touched: Touched, uuid: UUID, now: int, keep_until: int) -> Blob | None:
    blob_id = living_blob_id(db, uuid, now)
    touched.add(uuid)
    blob = blob_by_id(db, blob_id).at(time_of(now))
    if blob is None or not blob.holds_itself:  # never None: it lives
        raise Conflict(f"blob {uuid} does not hold itself: remove the versions that `casd why {uuid}` lists")
    touched.tell(Verb.BLOB_DELETE, namespace=blob.namespace, blob=uuid)
    return settle_own_hold(db, touched, blob_id, keep_until)


def settle_own_hold(db: sqlite3.Connection, touched: Touched, blob_id: int, keep_until: int) -> Blob | None:
    """The blob without its own hold; None if that was its last and its row is gone."""
    db.execute("UPDATE blob SET holds_itself = 0, let_go = 1, expires_at = NULL WHERE id = ?", (blob_id,))
    blob = blob_by_id(db, blob_id)
    if blob.version_count:
        return blob
    delete_blob(db, touched, blob_id, keep_until)
    return None


def hold_by_version(db: sqlite3.Connection, touched: Touched, blob_id: int) -> None:
    """One version more holds the blob."""
    (uuid,) = db.execute(
        "UPDATE blob SET version_count = version_count + 1 WHERE id = ? RETURNING uuid", (blob_id,)
    ).fetchone()
    touched.add(UUID(bytes=uuid))


def release_by_version(db: sqlite3.Connection, touched: Touched, blob_id: int, now: int, keep_until: int) -> UUID:
    """One version less holds the blob, which is returned; with its last hold the row is deleted."""
    uuid, version_count, holds_itself, expires_at = db.execute(
        """UPDATE blob SET version_count = version_count - 1 WHERE id = ?
           RETURNING uuid, version_count, holds_itself, expires_at""",
        (blob_id,),
    ).fetchone()
    touched.add(UUID(bytes=uuid))
    is_held = version_count > 0 or (holds_itself and (expires_at is None or expires_at > now))
    if not is_held:
        delete_blob(db, touched, blob_id, keep_until)
    return UUID(bytes=uuid)


def delete_blob(db: sqlite3.Connection, touched: Touched, blob_id: int, keep_until: int) -> None:
    """The blob's row is gone; its payload has one reference less and is kept until `keep_until` at least."""
    payload_id, namespace = db.execute(
        "DELETE FROM blob WHERE id = ? RETURNING payload_id, namespace_id", (blob_id,)
    ).fetchone()
    (size,) = db.execute(
        """UPDATE payload SET blob_count = blob_count - 1, keep_until = max(keep_until, ?)
           WHERE id = ? RETURNING size""",
        (keep_until, payload_id),
    ).fetchone()
    quotas.changed(
        db,
        touched,
        "UPDATE namespace SET blob_count = blob_count - 1, logical_bytes = logical_bytes - :size WHERE id = :id",
        {"id": namespace, "size": size},
    )


def expire_blobs(db: sqlite3.Connection, touched: Touched, now: int, keep_until: int, limit: int) -> int:
    """End own holds that are past their time; returns how many."""
    expired = db.execute(
        """SELECT b.id, b.uuid, n.name FROM blob b JOIN namespace n ON n.id = b.namespace_id
           WHERE b.expires_at IS NOT NULL AND b.expires_at <= ? ORDER BY b.expires_at LIMIT ?""",
        (now, limit),
    ).fetchall()
    for blob_id, uuid, namespace in expired:
        touched.add(UUID(bytes=uuid))
        touched.tell(Verb.BLOB_EXPIRE, namespace=namespace, blob=UUID(bytes=uuid))
        settle_own_hold(db, touched, blob_id, keep_until)
    return len(expired)


def set_metadata(
    db: sqlite3.Connection,
    touched: Touched,
    uuid: UUID,
    key: str,
    value: JSON,
    limit_bytes: int,
    now: int,
    only_adds: bool,
) -> None:
    blob_id = living_blob_id(db, uuid, now)
    text = compact_json(value)
    if only_adds:
        is_text = db.execute("SELECT value = ? FROM blob_metadata WHERE blob_id = ? AND key = ?", (text, blob_id, key))
        check_added(is_text.fetchone(), key)
    (others,) = db.execute(
        """SELECT coalesce(sum(length(CAST(key AS BLOB)) + length(CAST(value AS BLOB))), 0)
           FROM blob_metadata WHERE blob_id = ? AND key <> ?""",
        (blob_id, key),
    ).fetchone()
    if others + len(key.encode()) + len(text.encode()) > limit_bytes:
        raise TooLarge(f"the metadata of blob {uuid}", limit_bytes)
    db.execute(
        """INSERT INTO blob_metadata (blob_id, key, value, match_hash, namespace_id, uuid)
           SELECT id, :key, :value, :match_hash, namespace_id, uuid FROM blob WHERE id = :id
           ON CONFLICT (blob_id, key) DO UPDATE SET value = excluded.value, match_hash = excluded.match_hash""",
        {"id": blob_id, "key": key, "value": text, "match_hash": metadata_hash(value)},
    )
    touched.tell(Verb.METADATA_SET, namespace=blob_by_id(db, blob_id).namespace, blob=uuid, note=f"key {key}")


def check_added(is_same: Row | None, key: str) -> None:
    """`is_same` is whether the key's value is the one that is to be added; None where there is no such key."""
    if is_same is not None and not is_same[0]:
        raise Forbidden(f"the metadata {key!r} is there already, and a token that only adds may not overwrite it")


def delete_metadata(db: sqlite3.Connection, touched: Touched, uuid: UUID, key: str, now: int) -> None:
    blob_id = living_blob_id(db, uuid, now)
    gone = db.execute("DELETE FROM blob_metadata WHERE blob_id = ? AND key = ?", (blob_id, key)).rowcount
    if not gone:
        raise MetadataKeyNotFound(f"blob {uuid} has no metadata {key!r}")
    touched.tell(Verb.METADATA_DELETE, namespace=blob_by_id(db, blob_id).namespace, blob=uuid, note=f"key {key}")


# -- payload rows, for upkeep -----------------------------------------------------------------------------------


def forget_payload(db: sqlite3.Connection, touched: Touched, digest: Digest, now: int) -> bool:
    """The conditions stand in the statement: references as counted, the references themselves, running backups."""
    gone = db.execute(
        """DELETE FROM payload WHERE digest = :digest AND blob_count = 0 AND keep_until <= :now
             AND NOT EXISTS (SELECT 1 FROM blob WHERE blob.payload_id = payload.id)
             AND NOT EXISTS (SELECT 1 FROM backup_pin WHERE expires_at > :now)""",
        {"digest": digest.raw, "now": now},
    ).rowcount
    return gone > 0


def keep_payload(db: sqlite3.Connection, touched: Touched, digest: Digest, until: int) -> bool:
    known = db.execute("UPDATE payload SET keep_until = max(keep_until, ?) WHERE digest = ?", (until, digest.raw))
    return known.rowcount > 0


def keep_held(
    db: sqlite3.Connection,
    touched: Touched,
    column: str,
    values: Collection[bytes],
    namespaces: Collection[str] | None,
    now: int,
    until: int,
) -> set[bytes]:
    """`column` is of CHECKSUM_COLUMNS."""
    listed, names = in_list([] if namespaces is None else namespaces, "namespace")
    own = "1" if namespaces is None else f"b.namespace_id IN (SELECT id FROM namespace WHERE name IN {listed})"
    sql = f"""UPDATE payload SET keep_until = max(keep_until, :until)
      WHERE {column} = :value AND quarantined_at IS NULL
        AND EXISTS (SELECT 1 FROM blob b WHERE b.payload_id = payload.id AND {own} AND {IS_LIVE})"""
    more = {"now": now, "until": until} | names
    return {value for value in values if db.execute(sql, more | {"value": value}).rowcount}


def set_quarantined(db: sqlite3.Connection, touched: Touched, digest: Digest, at: int | None) -> bool:
    changed = db.execute(
        """UPDATE payload SET quarantined_at = :at WHERE digest = :digest
             AND (quarantined_at IS NULL) <> (:at IS NULL)""",
        {"digest": digest.raw, "at": at},
    ).rowcount
    if changed:
        touched.add(EVERYTHING)
        told = "" if at is not None else "good again"
        touched.tell(Verb.PAYLOAD_QUARANTINE, subject=f"sha512 {digest.hex}", note=told or None)
    return changed > 0


def set_good(db: sqlite3.Connection, touched: Touched, digest: Digest, blocks: bytes, at: int) -> bool:
    set_quarantined(db, touched, digest, None)
    row = db.execute(
        "UPDATE payload SET checked_at = :at, deep_checked_at = :at WHERE digest = :digest RETURNING id",
        {"digest": digest.raw, "at": at},
    ).fetchone()
    if row is None:
        return False
    sql = "SELECT gib, xxh3 FROM payload_blocks WHERE payload_id = ? ORDER BY gib"
    listed = db.execute(sql, row).fetchall()
    put_blocks(db, row[0], blocks)
    return listed != db.execute(sql, row).fetchall()


def pin(db: sqlite3.Connection, touched: Touched, uuid: UUID, until: int, now: int) -> None:
    """What was pinned by backups that ended without a word goes with it."""
    db.execute("DELETE FROM backup_pin WHERE expires_at <= ?", (now,))
    db.execute("INSERT INTO backup_pin (uuid, expires_at) VALUES (?, ?)", (uuid.bytes, until))
    touched.tell(Verb.BACKUP_BEGIN, subject=f"backup {uuid}")


def renew_pin(db: sqlite3.Connection, touched: Touched, uuid: UUID, until: int, now: int) -> None:
    renewed = db.execute(
        "UPDATE backup_pin SET expires_at = max(expires_at, ?) WHERE uuid = ? AND expires_at > ?",
        (until, uuid.bytes, now),
    ).rowcount
    if not renewed:
        raise PinNotFound(f"there is no backup {uuid} under way, or it gave no sign of life for too long")


def unpin(db: sqlite3.Connection, touched: Touched, uuid: UUID) -> None:
    if not db.execute("DELETE FROM backup_pin WHERE uuid = ?", (uuid.bytes,)).rowcount:
        raise PinNotFound(f"there is no backup {uuid} under way, or it gave no sign of life for too long")
    touched.tell(Verb.BACKUP_END, subject=f"backup {uuid}")
