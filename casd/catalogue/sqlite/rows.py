"""Rows to values and back: times, the column lists that a Blob and a Version are made of, JSON as it is kept."""

import json
import sqlite3
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

import xxhash

from casd.errors import InvalidInput, NamespaceNotFound
from casd.model import JSON, Blob, BlobState, Digest, NameInfo, Role, Token, Version

Row: TypeAlias = tuple[Any, ...]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

# One column list for every statement that returns blobs; `blob_of` reads it by position.
BLOB_COLUMNS = """b.uuid, n.name, p.digest, p.sha256, p.xxh3_128, p.size, b.content_type, b.filename,
 p.quarantined_at, b.holds_itself, b.let_go, b.version_count, b.created_at, b.expires_at"""
BLOB_FROM = "blob b JOIN namespace n ON n.id = b.namespace_id JOIN payload p ON p.id = b.payload_id"
IS_LIVE = "(b.version_count > 0 OR (b.holds_itself AND (b.expires_at IS NULL OR b.expires_at > :now)))"

# A version and, if it has one, its blob. NAMED says which names are looked at, one row each.
VERSION_COLUMNS = (
    f"n.name, m.name, v.number, v.created_at, v.published_by, v.protected OR m.protected,\n {BLOB_COLUMNS}"
)
VERSION_FROM = """name m JOIN namespace n ON n.id = m.namespace_id JOIN version v ON v.name_id = m.id
 LEFT JOIN blob b ON b.id = v.blob_id LEFT JOIN payload p ON p.id = b.payload_id"""
NAME_FROM = "name m JOIN namespace n ON n.id = m.namespace_id"
NAME_INFO_COLUMNS = """m.uuid, n.name, m.name, m.shared, m.protected, m.keep_versions, m.source_url, m.created_at,
 m.hidden_at, (SELECT json_group_object(key, json(value)) FROM name_metadata WHERE name_id = m.id)"""
NEWEST = "v.number = (SELECT max(w.number) FROM version w WHERE w.name_id = m.id)"


def micros(at: datetime) -> int:
    """Exact: a float of seconds would lose microseconds."""
    return (at - EPOCH) // MICROSECOND


def micros_or_none(at: datetime | None) -> int | None:
    return None if at is None else micros(at)


def time_of(value: int) -> datetime:
    return EPOCH + value * MICROSECOND


def time_or_none(value: int | None) -> datetime | None:
    return None if value is None else time_of(value)


def blob_of(row: Row) -> Blob:
    """From BLOB_COLUMNS."""
    return Blob(
        uuid=UUID(bytes=row[0]),
        namespace=row[1],
        digest=Digest(row[2]),
        sha256=row[3],
        xxh3_128=row[4],
        size=row[5],
        content_type=row[6],
        filename=row[7],
        state=payload_state(row[8]),
        holds_itself=bool(row[9]),
        was_let_go=bool(row[10]),
        version_count=row[11],
        created_at=time_of(row[12]),
        expires_at=time_or_none(row[13]),
    )


def payload_state(quarantined_at: int | None) -> BlobState:
    return BlobState.CREATED if quarantined_at is None else BlobState.ERROR


def version_of(row: Row) -> Version:
    """From VERSION_COLUMNS."""
    return Version(
        namespace=row[0],
        name=bytes(row[1]).decode("utf-8"),
        number=row[2],
        blob=None if row[6] is None else blob_of(row[6:]),
        created_at=time_of(row[3]),
        published_by=row[4],
        protected=bool(row[5]),
    )


def name_info_of(row: Row) -> NameInfo:
    """From NAME_INFO_COLUMNS."""
    return NameInfo(
        uuid=UUID(bytes=row[0]),
        namespace=row[1],
        name=bytes(row[2]).decode("utf-8"),
        metadata=metadata_of(row[9]),
        shared=bool(row[3]),
        protected=bool(row[4]),
        keep_versions=row[5],
        source_url=row[6],
        created_at=time_of(row[7]),
        hidden_at=time_or_none(row[8]),
    )


def token_of(row: Row) -> Token:
    """From `accounts.SELECT_TOKENS`."""
    return Token(
        uuid=UUID(bytes=row[0]),
        name=row[1],
        role=Role(row[2]),
        namespaces=tuple(json.loads(row[6])),
        created_at=time_of(row[3]),
        expires_at=time_or_none(row[4]),
        revoked_at=time_or_none(row[5]),
        last_used_at=time_or_none(row[7]),
        rotated_at=time_or_none(row[8]),
    )


def namespace_id(db: sqlite3.Connection, name: str) -> int:
    """Raises NamespaceNotFound."""
    row = db.execute("SELECT id FROM namespace WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise NamespaceNotFound(f"there is no namespace {name}")
    return int(row[0])


def compact_json(value: JSON) -> str:
    """The one form in which metadata is kept and compared."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def match_hash(text: str) -> int:
    """What the metadata index holds of a value: enough to find it, whatever its length."""
    return xxhash.xxh3_64_intdigest(text.encode("utf-8")) - (1 << 63)  # SQLite's integers are signed


def metadata_hash(value: JSON) -> int:
    return match_hash(value if isinstance(value, str) else compact_json(value))


def metadata_of(text: str | None) -> dict[str, JSON]:
    """From `json_group_object(key, json(value))`, or NULL."""
    found: dict[str, JSON] = json.loads(text) if text else {}
    return found


def in_list(values: Collection[object], prefix: str) -> tuple[str, dict[str, object]]:
    """An IN list of named parameters: its SQL text, and what they stand for."""
    names = {f"{prefix}{index}": value for index, value in enumerate(values)}
    return "(" + ", ".join(f":{name}" for name in names) + ")", names


def number_after(after: bytes | None, start: int) -> int:
    """The integer that a page's `next` carries, `start` for the first page. Raises InvalidInput."""
    if after is None:
        return start
    if len(after) != 8:
        raise InvalidInput("this cursor does not belong to this listing")
    return int.from_bytes(after, signed=True)


def changes_of(row: Mapping[str, object], columns: Mapping[str, object]) -> str:
    """The SET list of an update: only columns that are known by name."""
    unknown = row.keys() - columns.keys()
    if unknown:
        raise InvalidInput(f"unknown fields: {', '.join(sorted(unknown))}")
    return ", ".join(f"{name} = :{name}" for name in row)
