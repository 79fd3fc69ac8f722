"""The contract of `catalogue/base.py` on SQLite: each method hands over to the connection that is right for it."""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from casd.catalogue.base import BlobFilter, Expired, Totals, Unreferenced, UploadTotals
from casd.catalogue.sqlite import accounts, blobs, names, schema, uploads
from casd.catalogue.sqlite.listings import Listings, namespace_of
from casd.catalogue.sqlite.lookups import Lookups
from casd.catalogue.sqlite.rows import (
    BLOB_COLUMNS,
    BLOB_FROM,
    VERSION_COLUMNS,
    VERSION_FROM,
    blob_of,
    in_list,
    metadata_of,
    micros,
    time_of,
    time_or_none,
    token_of,
    version_of,
)
from casd.catalogue.sqlite.writer import Touched, Writer
from casd.errors import NameNotFound, StorageFailed
from casd.model import (
    JSON,
    Blob,
    BlobView,
    Digest,
    Guard,
    NameInfo,
    Namespace,
    NewBlob,
    Page,
    Receipt,
    SigningKey,
    Token,
    Upload,
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
SELECT_NAME_INFO = """
SELECT m.uuid, m.shared, m.protected, m.keep_versions, m.source_url, m.created_at, m.hidden_at,
  (SELECT json_group_object(key, json(value)) FROM name_metadata WHERE name_id = m.id)
FROM name m JOIN namespace n ON n.id = m.namespace_id WHERE n.name = :namespace AND m.name = :name
"""
BLOCKS_PER_ROW = blobs.GIB_CHECKSUMS // blobs.CHECKSUM_BYTES


class SqliteCatalogue:
    """See `catalogue.base.Catalogue`."""

    def __init__(self, writer: Writer, lookups: Lookups, listings: Listings, new_uuid: Callable[[], UUID]) -> None:
        self._writer = writer
        self._lookups = lookups
        self._listings = listings
        self._new_uuid = new_uuid

    @classmethod
    async def open(cls, path: Path, new_uuid: Callable[[], UUID], *, payloads_exist: bool) -> "SqliteCatalogue":
        """Return the catalogue in `path`, made if it is absent and no payloads exist. Raises CatalogueUnusable."""
        db = await asyncio.to_thread(schema.open_writer, path, payloads_exist)
        listings = await Listings.open(path)
        lookups = Lookups(path, listings.first)
        await asyncio.to_thread(lookups.warm)
        return cls(Writer(db, lookups.cache.drop), lookups, listings, new_uuid)

    async def close(self) -> None:
        self._lookups.close()
        await self._listings.close()
        await self._writer.close()  # last: closing the last connection folds the WAL back

    async def check(self) -> None:
        if await self._lookups.row("SELECT 1 FROM schema_migration LIMIT 1", {}) is None:
            raise StorageFailed("the catalogue has lost its schema")
        await asyncio.to_thread(self._lookups.measure)

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
        return await self._lookups.find(secret_hash, sql, {"hash": secret_hash}, token_of)

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

    async def block_checksums(self, digest: Digest, start: int, stop: int) -> bytes | None:
        first, last = start // BLOCKS_PER_ROW, max(start, stop - 1) // BLOCKS_PER_ROW
        rows = await self._listings.rows(SELECT_BLOCKS, {"digest": digest.raw, "first": first, "last": last})
        if not rows:
            return None
        checksums = b"".join(xxh3 for _, xxh3 in rows if xxh3 is not None)
        skipped = first * BLOCKS_PER_ROW
        return checksums[(start - skipped) * blobs.CHECKSUM_BYTES : (stop - skipped) * blobs.CHECKSUM_BYTES]

    async def name_info(self, namespace: str, name: str) -> NameInfo | None:
        row = await self._lookups.row(SELECT_NAME_INFO, {"namespace": namespace, "name": name.encode()})
        if row is None:
            return None
        uuid, shared, protected, keep_versions, source_url, created_at, hidden_at, metadata = row
        return NameInfo(
            UUID(bytes=uuid),
            namespace,
            name,
            metadata_of(metadata),
            bool(shared),
            bool(protected),
            keep_versions,
            source_url,
            time_of(created_at),
            time_or_none(hidden_at),
        )

    # -- listings -----------------------------------------------------------------------------------------

    async def view(self, uuid: UUID, now: datetime) -> BlobView | None:
        return await self._listings.view(uuid, micros(now))

    async def blobs(
        self, namespaces: Sequence[str] | None, only: BlobFilter, limit: int, after: bytes | None, now: datetime
    ) -> Page[BlobView]:
        return await self._listings.blobs(namespaces, only, limit, after, micros(now))

    async def own_blobs(self, namespace: str, limit: int, offset: int, now: datetime) -> tuple[int, tuple[Blob, ...]]:
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

    async def versions(
        self, namespace: str, name: str, limit: int, after: bytes | None, now: datetime
    ) -> Page[Version]:
        page = await self._listings.versions(namespace, name, limit, after, micros(now))
        if not page.items and await self.name_info(namespace, name) is None:
            raise NameNotFound(f"there is no name {namespace}/{name}")
        return page

    async def namespaces(self, readable_to: Collection[str] | None) -> list[Namespace]:
        return await self._listings.namespaces(readable_to)

    async def holding_versions(self, uuid: UUID, limit: int) -> tuple[VersionRef, ...]:
        return await self._listings.holding_versions(uuid, limit)

    async def tokens(self, limit: int, after: bytes | None) -> Page[Token]:
        return await self._listings.tokens(limit, after)

    async def signing_keys(self) -> list[SigningKey]:
        rows = await self._listings.rows(f"{accounts.SELECT_SIGNING_KEYS} ORDER BY id", {})
        return [accounts.signing_key_of(row) for row in rows]

    async def unfinished_uploads(self) -> set[UUID]:
        rows = await self._listings.rows("SELECT uuid FROM upload WHERE blob_uuid IS NULL", {})
        return {UUID(bytes=uuid) for (uuid,) in rows}

    async def expired_uploads(self, now: datetime, limit: int) -> list[Upload]:
        sql = f"{uploads.SELECT_UPLOADS} WHERE u.expires_at <= :now ORDER BY u.expires_at LIMIT :limit"
        return [uploads.upload_of(row) for row in await self._listings.rows(sql, {"now": micros(now), "limit": limit})]

    # -- blobs --------------------------------------------------------------------------------------------

    async def add_blob(
        self, new: NewBlob, receipt: Receipt, now: datetime, keep_until: datetime, finishes: UUID | None = None
    ) -> Blob:
        at, until = micros(now), micros(keep_until)
        return await self._writer.write(blobs.add_blob, new, receipt, at, until, finishes)

    async def drop_own_hold(self, uuid: UUID, now: datetime, keep_until: datetime) -> Blob | None:
        at, until = micros(now), micros(keep_until)
        return await self._writer.write(blobs.drop_own_hold, uuid, at, until)

    async def set_metadata(self, uuid: UUID, key: str, value: JSON, limit_bytes: int, now: datetime) -> None:
        at = micros(now)
        await self._writer.write(blobs.set_metadata, uuid, key, value, limit_bytes, at)

    async def delete_metadata(self, uuid: UUID, key: str, now: datetime) -> None:
        at = micros(now)
        await self._writer.write(blobs.delete_metadata, uuid, key, at)

    # -- names --------------------------------------------------------------------------------------------

    async def publish(
        self,
        new: NewBlob,
        receipt: Receipt,
        name: str,
        guard: Guard,
        published_by: str | None,
        now: datetime,
        keep_until: datetime,
        finishes: UUID | None = None,
    ) -> Version:
        at, until = micros(now), micros(keep_until)
        return await self._writer.write(
            names.publish, new, receipt, name, guard, published_by, at, until, self._new_uuid, finishes
        )

    async def bind(
        self,
        blob: UUID,
        new: NewBlob,
        name: str,
        guard: Guard,
        published_by: str | None,
        now: datetime,
        keep_until: datetime,
    ) -> Version:
        at, until = micros(now), micros(keep_until)
        return await self._writer.write(names.bind, blob, new, name, guard, published_by, at, until, self._new_uuid)

    async def hide_name(
        self, namespace: str, name: str, guard: Guard, published_by: str | None, now: datetime
    ) -> Version:
        at = micros(now)
        return await self._writer.write(names.hide, namespace, name, guard, published_by, at, self._new_uuid)

    async def remove_version(
        self, namespace: str, name: str, number: int, now: datetime, keep_until: datetime
    ) -> Version:
        at, until = micros(now), micros(keep_until)
        return await self._writer.write(names.remove_version, namespace, name, number, at, until)

    async def undelete(self, namespace: str, name: str, now: datetime, keep_until: datetime) -> Version:
        at, until = micros(now), micros(keep_until)
        return await self._writer.write(names.undelete, namespace, name, at, until)

    async def purge_name(self, namespace: str, name: str, now: datetime, keep_until: datetime) -> None:
        at, until = micros(now), micros(keep_until)
        await self._writer.write(names.purge, namespace, name, at, until)

    async def update_name(self, namespace: str, name: str, changes: Mapping[str, object]) -> NameInfo:
        await self._writer.write(names.update, namespace, name, changes)
        info = await self.name_info(namespace, name)
        if info is None:
            raise NameNotFound(f"there is no name {namespace}/{name}")
        return info

    # -- namespaces and tokens ----------------------------------------------------------------------------

    async def ensure_namespace(self, name: str, now: datetime) -> Namespace:
        return await self.update_namespace(name, {}, now)

    async def update_namespace(self, name: str, changes: Mapping[str, object], now: datetime) -> Namespace:
        at = micros(now)
        await self._writer.write(accounts.update_namespace, name, changes, at)
        namespace = await self.namespace(name)
        assert namespace is not None  # namespaces are never deleted
        return namespace

    async def add_token(self, token: Token, secret_hash: bytes) -> None:
        await self._writer.write(accounts.add_token, token, secret_hash)

    async def revoke_token(self, uuid: UUID, now: datetime) -> None:
        at = micros(now)
        await self._writer.write(accounts.revoke_token, uuid, at)

    async def add_signing_key(self, secret: bytes, now: datetime, *, revoke_older: bool = False) -> SigningKey:
        at = micros(now)
        return await self._writer.write(accounts.add_signing_key, secret, at, revoke_older)

    # -- uploads ------------------------------------------------------------------------------------------

    async def add_upload(self, upload: Upload, limit_per_token: int) -> None:
        await self._writer.write(uploads.add, upload, limit_per_token)

    async def set_upload_offset(self, uuid: UUID, offset: int, expires_at: datetime) -> None:
        at = micros(expires_at)
        await self._writer.write(uploads.set_offset, uuid, offset, at)

    async def remove_upload(self, uuid: UUID) -> None:
        await self._writer.write(uploads.remove, uuid)

    async def upload_totals(self) -> UploadTotals:
        sql = """SELECT count(*), coalesce(sum(durable_size), 0), coalesce(sum(size), 0) FROM upload
          WHERE blob_uuid IS NULL"""
        ((count, received, announced),) = await self._listings.rows(sql, {})
        return UploadTotals(count, received, announced)

    # -- upkeep -------------------------------------------------------------------------------------------

    async def expire(self, now: datetime, hidden_before: datetime, keep_until: datetime, limit: int) -> Expired:
        at, hidden, until = micros(now), micros(hidden_before), micros(keep_until)

        def end(db: sqlite3.Connection, touched: Touched) -> Expired:
            blob_count = blobs.expire_blobs(db, touched, at, until, limit)
            return Expired(blob_count, names.purge_hidden(db, touched, hidden, at, until, limit))

        return await self._writer.write(end)

    async def unreferenced(self, now: datetime, limit: int, after: bytes | None) -> Page[Unreferenced]:
        return await self._listings.unreferenced(micros(now), limit, after)

    async def unreferenced_totals(self, now: datetime) -> tuple[int, int]:
        sql = "SELECT count(*), coalesce(sum(size), 0) FROM payload WHERE blob_count = 0 AND keep_until <= :now"
        ((count, size),) = await self._listings.rows(sql, {"now": micros(now)})
        return count, size

    async def forget_payload(self, digest: Digest, now: datetime) -> bool:
        at = micros(now)
        return await self._writer.write(blobs.forget_payload, digest, at)

    async def known_payloads(self, digests: Collection[Digest]) -> set[Digest]:
        listed, values = in_list([digest.raw for digest in digests], "digest")
        rows = await self._listings.rows(f"SELECT digest FROM payload WHERE digest IN {listed}", values)
        return {Digest(raw) for (raw,) in rows}

    async def keep_payload(self, digest: Digest, until: datetime) -> bool:
        at = micros(until)
        return await self._writer.write(blobs.keep_payload, digest, at)

    async def set_quarantined(self, digest: Digest, at: datetime | None) -> None:
        when = None if at is None else micros(at)
        await self._writer.write(blobs.set_quarantined, digest, when)

    async def totals(self) -> Totals:
        sql = """SELECT count(*), coalesce(sum(size), 0), coalesce(sum(iif(blob_count = 1, size, 0)), 0),
            count(quarantined_at), (SELECT coalesce(sum(blob_count), 0) FROM namespace),
            (SELECT coalesce(sum(logical_bytes), 0) FROM namespace) FROM payload"""
        ((payloads, physical, exclusive, quarantined, count, logical),) = await self._listings.rows(sql, {})
        return Totals(payloads, physical, count, logical, exclusive, quarantined)

    @property
    def pending_writes(self) -> int:
        return self._writer.pending
