"""The contract of `catalogue/base.py` on SQLite: each method hands over to the connection that is right for it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from casd.catalogue.claims import NOTHING, Claim, Claims, Spared, Use
from casd.catalogue.sqlite import blobs, infos, names, protection, quotas, schema, uploads
from casd.catalogue.sqlite.audit import Teller
from casd.catalogue.sqlite.keeping import SqliteKeeping
from casd.catalogue.sqlite.listings import Listings
from casd.catalogue.sqlite.lookups import Lookups, warm
from casd.catalogue.sqlite.rows import micros
from casd.catalogue.sqlite.writer import Writer
from casd.catalogue.values import NO_GUARD, NO_NAMING, UploadTotals
from casd.errors import NameNotFound, StorageFailed, VersionNotFound
from casd.model import (
    JSON,
    Blob,
    Digest,
    Guard,
    NameInfo,
    Naming,
    NewBlob,
    Receipt,
    Upload,
    UploadPart,
    Version,
    VersionRef,
)


def utc_now() -> datetime:
    return datetime.now(UTC)


class SqliteCatalogue(SqliteKeeping):
    """See `catalogue.base.Catalogue`. Four files only because one would be too long."""

    @classmethod
    async def open(
        cls,
        path: Path,
        new_uuid: Callable[[], UUID],
        *,
        payloads_exist: bool,
        now: Callable[[], datetime] = utc_now,
        is_audited: bool = True,
    ) -> "SqliteCatalogue":
        """Return the catalogue in `path`, made if it is absent and no payloads exist. Raises CatalogueUnusable.

        What is done is told in its audit log as of `now`, unless it is not to have one.
        """
        await asyncio.to_thread(warm, path)
        db = await asyncio.to_thread(schema.open_writer, path, payloads_exist)
        listings = await Listings.open(path)
        lookups = Lookups(path, listings.first)
        claims = Claims(Use(*row) for row in await listings.rows(quotas.SELECT_USES, {}))

        def committed(touched: set[object]) -> None:
            lookups.cache.drop(touched)
            claims.committed(touched)

        writer = Writer(db, committed, Teller(now) if is_audited else None)
        return cls(path, writer, lookups, listings, claims, new_uuid)

    async def close(self) -> None:
        self._lookups.close()
        await self._listings.close()
        await self._writer.close()  # last: closing the last connection folds the WAL back

    async def check(self) -> None:
        if await self._lookups.row("SELECT 1 FROM schema_migration LIMIT 1", {}) is None:
            raise StorageFailed("the catalogue has lost its schema")
        await asyncio.to_thread(self._lookups.measure)

    async def check_writer(self) -> None:
        await self._writer.write(lambda db, touched: None)

    # -- blobs --------------------------------------------------------------------------------------------

    async def add_blob(
        self,
        new: NewBlob,
        receipt: Receipt,
        now: datetime,
        keep_until: datetime,
        finishes: UUID | None = None,
        claim: Claim | None = None,
    ) -> Blob:
        at, until = micros(now), micros(keep_until)
        return await self._writer.write(blobs.add_blob, new, receipt, at, until, finishes, claim)

    async def copy_blob(
        self, blob: UUID, new: NewBlob, now: datetime, keep_until: datetime, claim: Claim | None = None
    ) -> Blob:
        at, until = micros(now), micros(keep_until)
        return await self._writer.write(blobs.copy, blob, new, at, until, claim)

    async def drop_own_hold(self, uuid: UUID, now: datetime, keep_until: datetime) -> Blob | None:
        at, until = micros(now), micros(keep_until)
        return await self._writer.write(blobs.drop_own_hold, uuid, at, until)

    async def set_metadata(
        self, uuid: UUID, key: str, value: JSON, limit_bytes: int, now: datetime, *, only_adds: bool = False
    ) -> None:
        at = micros(now)
        await self._writer.write(blobs.set_metadata, uuid, key, value, limit_bytes, at, only_adds)

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
        naming: Naming = NO_NAMING,
        claim: Claim | None = None,
    ) -> Version:
        at, until, uuids = micros(now), micros(keep_until), self._new_uuid
        return await self._writer.write(
            names.publish, new, receipt, name, guard, published_by, at, until, uuids, finishes, naming, claim
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
        naming: Naming = NO_NAMING,
        *,
        as_new: bool = False,
        claim: Claim | None = None,
    ) -> Version:
        at, until, uuids = micros(now), micros(keep_until), self._new_uuid
        return await self._writer.write(
            names.bind, blob, new, name, guard, published_by, at, until, uuids, naming, as_new, claim
        )

    async def hide_name(
        self, namespace: str, name: str, guard: Guard, published_by: str | None, now: datetime
    ) -> Version:
        at = micros(now)
        return await self._writer.write(names.hide, namespace, name, guard, published_by, at, self._new_uuid)

    async def remove_version(
        self,
        namespace: str,
        name: str,
        number: int,
        now: datetime,
        keep_until: datetime,
        guard: Guard = NO_GUARD,
    ) -> Version:
        at, until = micros(now), micros(keep_until)
        return await self._writer.write(names.remove_version, namespace, name, number, at, until, guard)

    async def undelete(self, namespace: str, name: str, now: datetime, keep_until: datetime) -> Version:
        at, until = micros(now), micros(keep_until)
        return await self._writer.write(names.undelete, namespace, name, at, until)

    async def purge_name(
        self, namespace: str, name: str, now: datetime, keep_until: datetime, guard: Guard = NO_GUARD
    ) -> None:
        at, until = micros(now), micros(keep_until)
        await self._writer.write(names.purge, namespace, name, at, until, guard)

    async def withdraw(self, blob: UUID, published_by: str | None, now: datetime, keep_until: datetime) -> VersionRef:
        at, until = micros(now), micros(keep_until)
        return await self._writer.write(names.withdraw, blob, published_by, at, until, self._new_uuid)

    async def rename_name(self, namespace: str, name: str, new_name: str) -> None:
        await self._writer.write(infos.rename, namespace, name, new_name)

    async def update_name(
        self,
        namespace: str,
        name: str,
        changes: Mapping[str, object],
        is_expected: Callable[[NameInfo], bool] | None = None,
    ) -> NameInfo:
        return await self._writer.write(infos.update, namespace, name, changes, is_expected)

    async def protect_version(self, namespace: str, name: str, number: int, is_protected: bool) -> Version:
        await self._writer.write(protection.protect_version, namespace, name, number, is_protected)
        version = await self.version(namespace, name, number)
        if version is None:
            raise VersionNotFound(f"version {number} of {namespace}/{name} has gone meanwhile")
        return version

    async def limit_versions(
        self, namespace: str, name: str, keep_versions: int, now: datetime, keep_until: datetime
    ) -> NameInfo:
        at, until = micros(now), micros(keep_until)
        await self._writer.write(infos.limit_versions, namespace, name, keep_versions, at, until)
        return await self._known_name(namespace, name)

    async def set_name_metadata(
        self, namespace: str, name: str, key: str, value: JSON, limit_bytes: int, *, only_adds: bool = False
    ) -> None:
        await self._writer.write(infos.set_metadata, namespace, name, key, value, limit_bytes, only_adds)

    async def delete_name_metadata(self, namespace: str, name: str, key: str) -> None:
        await self._writer.write(infos.delete_metadata, namespace, name, key)

    async def _known_name(self, namespace: str, name: str) -> NameInfo:
        info = await self.name_info(namespace, name)
        if info is None:
            raise NameNotFound(f"there is no name {namespace}/{name}")
        return info

    # -- quotas -------------------------------------------------------------------------------------------

    async def use(self, namespace: str, now: datetime) -> Use:
        values = {"namespace": namespace, "now": micros(now)}
        expired_bytes, expired_blobs = await self._lookups.row(quotas.SELECT_EXPIRED_USE, values) or (0, 0)
        use = self.claims.use(namespace)
        return replace(use, used_bytes=use.used_bytes - expired_bytes, used_blobs=use.used_blobs - expired_blobs)

    async def expire_in(self, namespace: str, now: datetime, keep_until: datetime) -> None:
        values = {"namespace": namespace, "now": micros(now)}
        if await self._lookups.row(quotas.SELECT_EXPIRED, values) is not None:
            await self._writer.write(blobs.expire_in, namespace, micros(now), micros(keep_until))

    async def spared(self, namespace: str, name: str, now: datetime) -> Spared:
        values = {"namespace": namespace, "name": name.encode(), "now": micros(now)}
        row = await self._lookups.row(quotas.SELECT_SPARED, values)
        return NOTHING if row is None else Spared(*row)

    # -- uploads ------------------------------------------------------------------------------------------

    async def add_upload(self, upload: Upload, limit_per_token: int) -> Upload:
        return await self._writer.write(uploads.add, upload, limit_per_token)

    async def set_upload_offset(
        self, uuid: UUID, offset: int, expires_at: datetime, prefix: Digest | None = None
    ) -> None:
        at = micros(expires_at)
        await self._writer.write(uploads.set_offset, uuid, offset, at, prefix)

    async def set_upload_size(self, uuid: UUID, size: int) -> None:
        await self._writer.write(uploads.set_size, uuid, size)

    async def add_upload_part(self, uuid: UUID, part: UploadPart, size: int | None, expires_at: datetime) -> None:
        at = micros(expires_at)
        await self._writer.write(uploads.add_part, uuid, part, size, at)

    async def remove_upload_part(self, uuid: UUID, number: int) -> None:
        await self._writer.write(uploads.remove_part, uuid, number)

    async def remove_upload(self, uuid: UUID) -> None:
        await self._writer.write(uploads.remove, uuid)

    async def upload_totals(self) -> UploadTotals:
        sql = """SELECT count(*), coalesce(sum(durable_size), 0), coalesce(sum(size), 0) FROM upload
          WHERE blob_uuid IS NULL"""
        ((count, received, announced),) = await self._listings.rows(sql, {})
        return UploadTotals(count, received, announced)
