"""What is only read of a catalogue on SQLite: point look-ups on the loop's own connection, listings in a thread."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from casd.catalogue.sqlite import accounts, blobs, checks, names, offline, protection, uploads
from casd.catalogue.sqlite.listings import Listings, namespace_of
from casd.catalogue.sqlite.lookups import Lookups
from casd.catalogue.sqlite.rows import (
    BLOB_COLUMNS,
    BLOB_FROM,
    NAME_FROM,
    NAME_INFO_COLUMNS,
    VERSION_COLUMNS,
    VERSION_FROM,
    blob_of,
    micros,
    name_info_of,
    time_or_none,
    token_of,
    version_of,
)
from casd.catalogue.values import BlobFilter, Hit, Holders, Unchecked
from casd.errors import NameNotFound
from casd.model import (
    Blob,
    BlobView,
    Digest,
    NamedKey,
    NameInfo,
    Namespace,
    Page,
    SigningKey,
    Token,
    Upload,
    UploadPart,
    Version,
    VersionRef,
)

SELECT_BLOB = f"SELECT {BLOB_COLUMNS} FROM {BLOB_FROM} WHERE b.uuid = :uuid"
SELECT_AS_OF = f"""
SELECT {VERSION_COLUMNS} FROM {VERSION_FROM}
WHERE n.name = :namespace AND m.name = :name AND v.created_at <= :at ORDER BY v.created_at DESC LIMIT 1
"""
SELECT_BLOCKS = """
SELECT k.gib, k.xxh3 FROM payload p LEFT JOIN payload_blocks k
  ON k.payload_id = p.id AND k.gib BETWEEN :first AND :last
WHERE p.digest = :digest ORDER BY k.gib
"""
SELECT_NAME_INFO = f"SELECT {NAME_INFO_COLUMNS} FROM {NAME_FROM}"
BLOCKS_PER_ROW = blobs.GIB_CHECKSUMS // blobs.CHECKSUM_BYTES


class SqliteReading:
    """The half of `catalogue.base.Catalogue` that changes nothing; `SqliteCatalogue` adds the other."""

    def __init__(self, path: Path, lookups: Lookups, listings: Listings) -> None:
        self._path = path
        self._lookups = lookups
        self._listings = listings

    # -- point look-ups -----------------------------------------------------------------------------------

    async def blob(self, uuid: UUID, now: datetime) -> Blob | None:
        blob = await self._blob(uuid)
        return blob.at(now) if blob else None

    async def _blob(self, uuid: UUID) -> Blob | None:
        return await self._lookups.find(uuid, SELECT_BLOB, {"uuid": uuid.bytes}, blob_of)

    async def version(self, namespace: str, name: str, number: int | None = None) -> Version | None:
        values: dict[str, Any] = {"namespace": namespace, "name": name.encode()}
        if number is not None:
            row = await self._lookups.row(names.SELECT_VERSION, values | {"number": number})
            return version_of(row) if row else None
        key = (namespace, name)
        version = await self._lookups.find(key, names.SELECT_NEWEST, values, version_of)
        if version is None or version.blob is None:
            return version
        # The blob may have changed since the version was kept (its own hold, say), which drops the blob alone.
        blob = await self._blob(version.blob.uuid)
        return version if blob is version.blob or blob is None else replace(version, blob=blob)

    async def version_as_of(self, namespace: str, name: str, at: datetime) -> Version | None:
        values = {"namespace": namespace, "name": name.encode(), "at": micros(at)}
        row = await self._lookups.row(SELECT_AS_OF, values)
        return version_of(row) if row else None

    async def blob_of_payload(self, digest: Digest, namespaces: Collection[str] | None, now: datetime) -> Blob | None:
        row = await self._listings.blob_of_payload(digest, namespaces, micros(now))
        return blob_of(row) if row else None

    async def namespace(self, name: str) -> Namespace | None:
        sql = f"{accounts.SELECT_NAMESPACES} WHERE name = :name"
        return await self._lookups.find(name, sql, {"name": name}, namespace_of)

    async def token(self, secret_hash: bytes) -> Token | None:
        sql = f"{accounts.SELECT_TOKENS} WHERE secret_hash = :hash"
        values = {"hash": secret_hash}
        found = await self._lookups.find(secret_hash, sql, values, token_of)
        if found is not None:
            return found
        return await self._lookups.find(secret_hash, accounts.SELECT_BY_OLD_SECRET, values, token_of)

    async def token_by_id(self, uuid: UUID) -> Token | None:
        sql = f"{accounts.SELECT_TOKENS} WHERE uuid = :uuid"
        return await self._lookups.find(("token", uuid), sql, {"uuid": uuid.bytes}, token_of)

    async def signing_key(self, id: int | None = None) -> SigningKey | None:
        which = "id = :id" if id is not None else "id = (SELECT max(id) FROM signing_key)"
        sql = f"{accounts.SELECT_SIGNING_KEYS} WHERE {which}"
        return await self._lookups.find(("signing key", id), sql, {"id": id}, accounts.signing_key_of)

    async def upload(self, uuid: UUID) -> Upload | None:
        row = await self._lookups.row(f"{uploads.SELECT_UPLOADS} WHERE u.uuid = :uuid", {"uuid": uuid.bytes})
        return uploads.upload_of(row) if row else None

    async def upload_parts(self, uuid: UUID) -> list[UploadPart]:
        return [uploads.part_of(row) for row in await self._listings.rows(uploads.SELECT_PARTS, {"uuid": uuid.bytes})]

    async def block_checksums(self, digest: Digest, start: int, stop: int) -> bytes | None:
        first, last = start // BLOCKS_PER_ROW, max(start, stop - 1) // BLOCKS_PER_ROW
        values = {"digest": digest.raw, "first": first, "last": last}
        if first == last:  # what each first read of a payload asks for
            row = await self._lookups.row(SELECT_BLOCKS, values)
            rows = [] if row is None else [row]
        else:
            rows = list(await self._listings.rows(SELECT_BLOCKS, values))
        if not rows:
            return None
        checksums = b"".join(xxh3 for _, xxh3 in rows if xxh3 is not None)
        skipped = first * BLOCKS_PER_ROW
        return checksums[(start - skipped) * blobs.CHECKSUM_BYTES : (stop - skipped) * blobs.CHECKSUM_BYTES]

    async def is_protected(self, namespace: str, name: str) -> bool:
        row = await self._lookups.row(protection.SELECT_NAME, {"namespace": namespace, "name": name.encode()})
        return row is not None and bool(row[0])

    async def name_info(self, namespace: str, name: str) -> NameInfo | None:
        sql = f"{SELECT_NAME_INFO} WHERE n.name = :namespace AND m.name = :name"
        row = await self._lookups.row(sql, {"namespace": namespace, "name": name.encode()})
        return name_info_of(row) if row else None

    async def name_by_uuid(self, uuid: UUID) -> NameInfo | None:
        row = await self._lookups.row(f"{SELECT_NAME_INFO} WHERE m.uuid = :uuid", {"uuid": uuid.bytes})
        return name_info_of(row) if row else None

    async def name_by_source_url(self, namespace: str, source_url: str) -> NameInfo | None:
        sql = f"{SELECT_NAME_INFO} WHERE n.name = :namespace AND m.source_url = :url ORDER BY m.id LIMIT 1"
        row = await self._lookups.row(sql, {"namespace": namespace, "url": source_url})
        return name_info_of(row) if row else None

    # -- listings -----------------------------------------------------------------------------------------

    async def view(self, uuid: UUID, now: datetime) -> BlobView | None:
        return await self._listings.view(uuid, micros(now))

    async def blobs(
        self, namespaces: Sequence[str] | None, only: BlobFilter, limit: int, after: bytes | None, now: datetime
    ) -> Page[BlobView]:
        return await self._listings.blobs(namespaces, only, limit, after, micros(now))

    async def own_blobs(self, namespace: str, limit: int, offset: int, now: datetime) -> list[Blob]:
        return await self._listings.own_blobs(namespace, limit, offset, micros(now))

    async def blobs_by_checksum(
        self,
        algorithm: str,
        value: bytes,
        namespaces: Collection[str] | None,
        limit: int,
        after: bytes | None,
        now: datetime,
    ) -> Page[BlobView]:
        return await self._listings.by_checksum(algorithm, value, namespaces, limit, after, micros(now))

    async def names(self, namespace: str, prefix: str, limit: int, after: bytes | None, now: datetime) -> Page[Version]:
        return await self._listings.names(namespace, prefix, limit, after, micros(now))

    async def folder(
        self, namespace: str, prefix: str, limit: int, after: bytes | None, now: datetime
    ) -> Page[Version | str]:
        return await self._listings.folder(namespace, prefix, limit, after, micros(now))

    async def name_infos(self, namespace: str | None, limit: int, after: bytes | None) -> Page[NameInfo]:
        return await self._listings.name_infos(namespace, limit, after)

    async def versions(
        self, namespace: str, name: str, limit: int, after: bytes | None, now: datetime, newer_than: int = 0
    ) -> Page[Version]:
        page = await self._listings.versions(namespace, name, limit, after, micros(now), newer_than)
        if not page.items and await self.name_info(namespace, name) is None:
            raise NameNotFound(f"there is no name {namespace}/{name}")
        return page

    async def namespaces(self, readable_to: Collection[str] | None) -> list[Namespace]:
        return await self._listings.namespaces(readable_to)

    async def holding_versions(self, uuid: UUID, limit: int) -> tuple[VersionRef, ...]:
        return await self._listings.holding_versions(uuid, limit)

    async def holders(
        self, uuid: UUID, namespaces: Collection[str] | None, limit: int, now: datetime
    ) -> Holders | None:
        return await self._listings.holders(uuid, namespaces, limit, micros(now))

    async def tokens(self, limit: int, after: bytes | None) -> Page[Token]:
        return await self._listings.tokens(limit, after)

    async def expiring_tokens(self, now: datetime, before: datetime, limit: int) -> list[Token]:
        values = {"now": micros(now), "before": micros(before), "limit": limit}
        return [token_of(row) for row in await self._listings.rows(accounts.SELECT_EXPIRING, values)]

    async def named_keys(self, namespace: str) -> list[NamedKey]:
        sql = f"{accounts.SELECT_NAMED_KEYS} WHERE n.name = :namespace ORDER BY k.name"
        return [accounts.named_key_of(row) for row in await self._listings.rows(sql, {"namespace": namespace})]

    async def signing_keys(self) -> list[SigningKey]:
        rows = await self._listings.rows(f"{accounts.SELECT_SIGNING_KEYS} ORDER BY id", {})
        return [accounts.signing_key_of(row) for row in rows]

    async def unfinished_uploads(self) -> set[UUID]:
        rows = await self._listings.rows("SELECT uuid FROM upload WHERE blob_uuid IS NULL", {})
        return {UUID(bytes=uuid) for (uuid,) in rows}

    async def uploads_of_content(
        self, namespace: str, algorithm: str, value: bytes, size: int, now: datetime, limit: int
    ) -> list[Upload]:
        sql = uploads.SELECT_OF_CONTENT.format(column={"sha512": "u.sha512", "xxh3-128": "u.xxh3_128"}[algorithm])
        values = {"namespace": namespace, "value": value, "size": size, "now": micros(now)}
        rows = await self._listings.rows(sql, values | {"most": uploads.MOST_OF_CONTENT})
        return sorted(map(uploads.upload_of, rows), key=lambda upload: -upload.offset)[:limit]

    async def open_uploads(
        self, namespaces: Collection[str] | None, limit: int, after: bytes | None, now: datetime
    ) -> Page[Upload]:
        sql, values = uploads.open_page(namespaces)
        values |= {"now": micros(now), "after": after or b"", "limit": limit + 1}
        found = [uploads.upload_of(row) for row in await self._listings.rows(sql, values)]
        return Page(tuple(found[:limit]), found[limit - 1].uuid.bytes if len(found) > limit else None)

    async def upload_joining(self, namespace: str, joins: Sequence[UUID]) -> Upload | None:
        values = {"namespace": namespace, "joins": uploads.joins_in(joins)}
        row = await self._lookups.row(uploads.SELECT_JOINING, values)
        return uploads.upload_of(row) if row else None

    async def expired_uploads(self, now: datetime, limit: int) -> list[Upload]:
        sql = f"{uploads.SELECT_UPLOADS} WHERE u.expires_at <= :now ORDER BY u.expires_at LIMIT :limit"
        return [uploads.upload_of(row) for row in await self._listings.rows(sql, {"now": micros(now), "limit": limit})]

    # -- what is checked, and what is damaged -------------------------------------------------------------

    async def unchecked(
        self, before: datetime, limit: int, after: bytes | None, *, is_deep: bool = False
    ) -> Page[Unchecked]:
        values = {"before": micros(before), "limit": limit, **checks.placed(after)}
        rows = await self._listings.rows(checks.UNCHECKED[is_deep], values)
        last = checks.place_of(rows[-1][0], rows[-1][1]) if len(rows) == limit else None
        return Page(tuple(Unchecked(Digest(digest), size) for _, _, digest, size in rows), last)

    async def oldest_checks(self) -> tuple[datetime | None, datetime | None]:
        ((light, deep),) = await self._listings.rows(checks.SELECT_OLDEST, {})
        return time_or_none(light), time_or_none(deep)

    async def damaged(self, limit: int, after: bytes | None) -> Page[Digest]:
        rows = await self._listings.rows(checks.SELECT_DAMAGED, {"after": after or b"", "limit": limit})
        return Page(tuple(Digest(raw) for (raw,) in rows), rows[-1][0] if len(rows) == limit else None)

    async def hit(self, digest: Digest) -> Hit:
        values = {"digest": digest.raw, "limit": offline.HIT_SHOWN}
        blobs_hit = await self._listings.rows(offline.SELECT_BLOBS, values)
        versions = await self._listings.rows(offline.SELECT_VERSIONS, values)
        ((blob_count, version_count),) = await self._listings.rows(offline.COUNT_HIT, {"digest": digest.raw})
        return offline.hit_of(blobs_hit, versions, blob_count, version_count)

    async def problems(self) -> list[str]:
        return await checks.problems(self._path)
