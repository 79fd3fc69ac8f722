"""What happens to the rows of resumable uploads, each function inside a transaction of the writer."""

import sqlite3
from uuid import UUID

from casd.catalogue.sqlite.rows import Row, micros, namespace_id, time_of
from casd.catalogue.sqlite.writer import Touched
from casd.errors import TooManyUploads, UploadNotFound
from casd.model import ByteRange, Digest, Receipt, Upload, UploadPart

UPLOAD_COLUMNS = """u.uuid, n.name, u.token, u.size, u.durable_size, u.sha512, u.name, u.content_type, u.filename,
 u.metadata, u.created_at, u.expires_at, u.blob_uuid, u.is_in_parts, u.keep_versions"""
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
    )


def part_of(row: Row) -> UploadPart:
    """From SELECT_PARTS."""
    return UploadPart(row[0], ByteRange(row[1], row[2]), row[3])


def add(db: sqlite3.Connection, touched: Touched, upload: Upload, limit_per_token: int) -> None:
    (unfinished,) = db.execute(
        "SELECT count(*) FROM upload WHERE token = ? AND blob_uuid IS NULL", (upload.token.bytes,)
    ).fetchone()
    if unfinished >= limit_per_token:
        raise TooManyUploads(f"{unfinished} uploads of this token are unfinished: finish or terminate some first")
    db.execute(
        """INSERT INTO upload (uuid, namespace_id, token, size, sha512, name, content_type, filename, metadata,
             created_at, expires_at, is_in_parts, keep_versions)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
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
        ),
    )


def set_offset(db: sqlite3.Connection, touched: Touched, uuid: UUID, offset: int, expires_at: int) -> None:
    moved = db.execute(
        "UPDATE upload SET durable_size = ?, expires_at = ? WHERE uuid = ? AND blob_uuid IS NULL",
        (offset, expires_at, uuid.bytes),
    ).rowcount
    if not moved:
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
        """UPDATE upload SET durable_size = (SELECT coalesce(max(stop), 0) FROM upload_part WHERE upload_id = :id)
           WHERE id = :id""",
        {"id": id},
    )


def finish(db: sqlite3.Connection, uuid: UUID | None, blob: UUID, receipt: Receipt) -> None:
    """The upload, if there is one, has become `blob`: part of the transaction that makes it."""
    if uuid is None:
        return
    finished = db.execute(
        """UPDATE upload SET blob_uuid = :blob, sha512 = :sha512, size = :size, durable_size = :size
           WHERE uuid = :uuid AND blob_uuid IS NULL""",
        {"blob": blob.bytes, "sha512": receipt.digest.raw, "size": receipt.size, "uuid": uuid.bytes},
    ).rowcount
    if not finished:
        raise UploadNotFound(f"there is no unfinished upload {uuid}")


def remove(db: sqlite3.Connection, touched: Touched, uuid: UUID) -> None:
    if not db.execute("DELETE FROM upload WHERE uuid = ?", (uuid.bytes,)).rowcount:
        raise UploadNotFound(f"there is no upload {uuid}")
