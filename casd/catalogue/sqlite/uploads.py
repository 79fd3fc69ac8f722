"""What happens to the rows of resumable uploads, each function inside a transaction of the writer."""

import sqlite3
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from casd.audit import Touched, Verb
from casd.catalogue.sqlite.rows import Row, in_list, micros, namespace_id, time_of
from casd.errors import TooManyUploads, UploadNotFound
from casd.model import ByteRange, Digest, Receipt, Upload, UploadPart

UPLOAD_COLUMNS = """u.uuid, n.name, u.token, u.size, u.durable_size, u.sha512, u.name, u.content_type, u.filename,
 u.metadata, u.created_at, u.expires_at, u.blob_uuid, u.is_in_parts, u.keep_versions, u.xxh3_128, u.prefix_sha512,
 u.expires_in_s, u.version, u.session, u.is_partial, u.joins"""
SELECT_UPLOADS = f"SELECT {UPLOAD_COLUMNS} FROM upload u JOIN namespace n ON n.id = u.namespace_id"
SELECT_PARTS = """
SELECT p.number, p.start, p.stop, p.etag FROM upload_part p JOIN upload u ON u.id = p.upload_id
WHERE u.uuid = :uuid ORDER BY p.number
"""


def upload_of(row: Row) -> Upload:
    """From UPLOAD_COLUMNS."""
    return Upload(
        uuid=UUID(bytes=row[0]),
        namespace=row[1],
        token=UUID(bytes=row[2]),
        size=row[3],
        offset=row[4],
        digest=None if row[5] is None else Digest(row[5]),
        name=None if row[6] is None else bytes(row[6]).decode("utf-8"),
        content_type=row[7],
        filename=row[8],
        metadata=row[9],
        created_at=time_of(row[10]),
        expires_at=time_of(row[11]),
        blob=None if row[12] is None else UUID(bytes=row[12]),
        is_in_parts=bool(row[13]),
        keep_versions=row[14],
        xxh3_128=row[15],
        prefix=None if row[16] is None else Digest(row[16]),
        expires_in_s=row[17],
        version=row[18],
        session=row[19],
        is_partial=bool(row[20]),
        joins=tuple(UUID(bytes=row[21][at : at + 16]) for at in range(0, len(row[21]), 16)) if row[21] else (),
    )


def part_of(row: Row) -> UploadPart:
    """From SELECT_PARTS."""
    return UploadPart(row[0], ByteRange(row[1], row[2]), row[3])


MOST_OF_CONTENT = 1000  # that are looked at; the newest ones
SELECT_JOINING = f"{SELECT_UPLOADS} WHERE u.joins = :joins AND n.name = :namespace"
SELECT_SAME = f"""
{SELECT_UPLOADS} WHERE u.session = :session AND u.token = :token AND n.name = :namespace AND u.size = :size
  AND u.metadata = :metadata AND u.is_partial = :is_partial AND u.expires_at > :now LIMIT 1
"""
# Whatever it is called and becomes: its client chooses. Not sorted by offset: an index for that would move with each.
SELECT_OF_CONTENT = f"""
{SELECT_UPLOADS} WHERE {{column}} = :value AND u.size = :size AND n.name = :namespace AND u.blob_uuid IS NULL
  AND u.expires_at > :now AND NOT u.is_in_parts AND NOT u.is_partial AND u.joins IS NULL
ORDER BY u.id DESC LIMIT :most
"""


def open_page(namespaces: Collection[str] | None) -> tuple[str, dict[str, Any]]:
    """The statement for a page of unfinished uploads. There are never many: each token may have a thousand."""
    names, values = in_list(namespaces, "ns") if namespaces is not None else ("(n.name)", {})
    sql = f"""{SELECT_UPLOADS} WHERE u.blob_uuid IS NULL AND u.expires_at > :now AND u.uuid > :after
      AND n.name IN {names} ORDER BY u.uuid LIMIT :limit"""
    return sql, values


def same_upload(db: sqlite3.Connection, upload: Upload) -> Upload | None:
    """What this upload's client has begun already, where its answer may have been lost."""
    values = {
        "token": upload.token.bytes,
        "namespace": upload.namespace,
        "session": upload.session,
        "joins": joins_in(upload.joins),
        "size": upload.size,
        "metadata": upload.metadata,
        "is_partial": upload.is_partial,
        "now": micros(upload.created_at),
    }
    row = None
    if upload.joins:
        row = db.execute(SELECT_JOINING, values).fetchone()
    elif upload.session is not None and (upload.digest or upload.xxh3_128):
        row = db.execute(SELECT_SAME, values).fetchone()
    return None if row is None else upload_of(row)


def joins_in(uuids: Sequence[UUID]) -> bytes | None:
    """As a row has them."""
    return b"".join(uuid.bytes for uuid in uuids) or None


def add(db: sqlite3.Connection, touched: Touched, upload: Upload, limit_per_token: int) -> Upload:
    same = same_upload(db, upload)
    if same is not None:
        return same
    (unfinished,) = db.execute(
        "SELECT count(*) FROM upload WHERE token = ? AND blob_uuid IS NULL", (upload.token.bytes,)
    ).fetchone()
    if unfinished >= limit_per_token:
        raise TooManyUploads(f"{unfinished} uploads of this token are unfinished: finish or terminate some first")
    db.execute(
        """INSERT INTO upload (uuid, namespace_id, token, size, sha512, name, content_type, filename, metadata,
             created_at, expires_at, is_in_parts, keep_versions, xxh3_128, prefix_sha512, expires_in_s, session,
             is_partial, joins)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            upload.uuid.bytes,
            namespace_id(db, upload.namespace),
            upload.token.bytes,
            upload.size,
            upload.digest.raw if upload.digest else None,
            upload.name.encode() if upload.name is not None else None,
            upload.content_type,
            upload.filename,
            upload.metadata,
            micros(upload.created_at),
            micros(upload.expires_at),
            upload.is_in_parts,
            upload.keep_versions,
            upload.xxh3_128,
            upload.prefix.raw if upload.prefix else None,
            upload.expires_in_s,
            upload.session,
            upload.is_partial,
            joins_in(upload.joins),
        ),
    )
    touched.tell(Verb.UPLOAD_CREATE, namespace=upload.namespace, name=upload.name, subject=f"upload {upload.uuid}")
    return upload


def set_offset(
    db: sqlite3.Connection, touched: Touched, uuid: UUID, offset: int, expires_at: int, prefix: Digest | None
) -> None:
    moved = db.execute(
        "UPDATE upload SET durable_size = ?, expires_at = ?, prefix_sha512 = ? WHERE uuid = ? AND blob_uuid IS NULL",
        (offset, expires_at, prefix.raw if prefix else None, uuid.bytes),
    ).rowcount
    if not moved:
        raise UploadNotFound(f"there is no unfinished upload {uuid}")


def set_size(db: sqlite3.Connection, touched: Touched, uuid: UUID, size: int) -> None:
    if not db.execute("UPDATE upload SET size = ? WHERE uuid = ? AND blob_uuid IS NULL", (size, uuid.bytes)).rowcount:
        raise UploadNotFound(f"there is no unfinished upload {uuid}")


def add_part(
    db: sqlite3.Connection, touched: Touched, uuid: UUID, part: UploadPart, size: int | None, expires_at: int
) -> None:
    id = unfinished_id(db, uuid)
    db.execute(
        "INSERT OR REPLACE INTO upload_part (upload_id, number, start, stop, etag) VALUES (?, ?, ?, ?, ?)",
        (id, part.number, part.place.start, part.place.stop, part.etag),
    )
    db.execute(
        "UPDATE upload SET size = coalesce(:size, size), expires_at = :expires_at WHERE id = :id",
        {"size": size, "expires_at": expires_at, "id": id},
    )
    settle(db, id)


def remove_part(db: sqlite3.Connection, touched: Touched, uuid: UUID, number: int) -> None:
    id = unfinished_id(db, uuid)
    db.execute(
        """UPDATE upload SET size = NULL WHERE id = :id
             AND size = (SELECT stop FROM upload_part WHERE upload_id = :id AND number = :number)""",
        {"id": id, "number": number},
    )
    db.execute("DELETE FROM upload_part WHERE upload_id = ? AND number = ?", (id, number))
    settle(db, id)


def unfinished_id(db: sqlite3.Connection, uuid: UUID) -> int:
    """Raises UploadNotFound."""
    row = db.execute("SELECT id FROM upload WHERE uuid = ? AND blob_uuid IS NULL", (uuid.bytes,)).fetchone()
    if row is None:
        raise UploadNotFound(f"there is no unfinished upload {uuid}")
    return int(row[0])


def settle(db: sqlite3.Connection, id: int) -> None:
    """The offset of an upload in parts is where the last of them ends: a stage is never cut back below it."""
    db.execute(
        """UPDATE upload SET prefix_sha512 = NULL,
             durable_size = (SELECT coalesce(max(stop), 0) FROM upload_part WHERE upload_id = :id) WHERE id = :id""",
        {"id": id},
    )


def finish(db: sqlite3.Connection, uuid: UUID | None, blob: UUID, receipt: Receipt, version: int | None = None) -> None:
    """The upload, if there is one, has become `blob`: part of the transaction that makes it.

    What it was made of goes with it: the records of its parts, and the partial uploads that it joins.
    """
    if uuid is None:
        return
    finished = db.execute(
        """UPDATE upload SET blob_uuid = :blob, sha512 = :sha512, prefix_sha512 = :sha512, size = :size,
             durable_size = :size, version = :version WHERE uuid = :uuid AND blob_uuid IS NULL RETURNING id, joins""",
        {
            "blob": blob.bytes,
            "sha512": receipt.digest.raw,
            "size": receipt.size,
            "version": version,
            "uuid": uuid.bytes,
        },
    ).fetchone()
    if finished is None:
        raise UploadNotFound(f"there is no unfinished upload {uuid}")
    id, joins = finished
    db.execute("DELETE FROM upload_part WHERE upload_id = ?", (id,))
    for at in range(0, len(joins or b""), 16):
        db.execute("DELETE FROM upload WHERE uuid = ? AND is_partial", (joins[at : at + 16],))


def remove(db: sqlite3.Connection, touched: Touched, uuid: UUID) -> None:
    gone = db.execute(
        "DELETE FROM upload WHERE uuid = ? RETURNING namespace_id, name, blob_uuid", (uuid.bytes,)
    ).fetchone()
    if gone is None:
        raise UploadNotFound(f"there is no upload {uuid}")
    namespace, name, blob = gone
    if blob is None:  # of one that became a blob this only forgets how
        (namespace,) = db.execute("SELECT name FROM namespace WHERE id = ?", (namespace,)).fetchone()
        name = None if name is None else bytes(name).decode("utf-8")
        touched.tell(Verb.UPLOAD_DELETE, namespace=namespace, name=name, subject=f"upload {uuid}")
