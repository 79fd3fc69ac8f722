"""The contract of `catalogue/base.py` on SQLite: each method hands over to the connection that is right for it."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from casd.audit import Touched
from casd.catalogue.sqlite import accounts, blobs, checks, infos, names, retention, schema, uploads
from casd.catalogue.sqlite.audit import Teller
from casd.catalogue.sqlite.credentials import SqliteCredentials
from casd.catalogue.sqlite.listings import Listings
from casd.catalogue.sqlite.lookups import Lookups, warm
from casd.catalogue.sqlite.rows import in_list, micros, number_after, payload_state, time_or_none
from casd.catalogue.sqlite.writer import LATELY, Writer
from casd.catalogue.values import NO_GUARD, NO_NAMING, Expired, Totals, Unreferenced, UploadTotals, Workings
from casd.errors import NameNotFound, StorageFailed
from casd.model import (
    JSON,
    Blob,
    BlobState,
    Digest,
    Guard,
    NameInfo,
    Naming,
    NewBlob,
    Page,
    Receipt,
    Upload,
    UploadPart,
    Version,
    VersionRef,
)


def utc_now() -> datetime:
    return datetime.now(UTC)


class SqliteCatalogue(SqliteCredentials):
    """See `catalogue.base.Catalogue`. Three files only because one would be too long."""

    def __init__(
        self, path: Path, writer: Writer, lookups: Lookups, listings: Listings, new_uuid: Callable[[], UUID]
    ) -> None:
        super().__init__(path, writer, lookups, listings)
        self._new_uuid = new_uuid

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
        writer = Writer(db, lookups.cache.drop, Teller(now) if is_audited else None)
        return cls(path, writer, lookups, listings, new_uuid)

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
        self, new: NewBlob, receipt: Receipt, now: datetime, keep_until: datetime, finishes: UUID | None = None
    ) -> Blob:
        at, until = micros(now), micros(keep_until)
        return await self._writer.write(blobs.add_blob, new, receipt, at, until, finishes)

    async def copy_blob(self, blob: UUID, new: NewBlob, now: datetime, keep_until: datetime) -> Blob:
        at, until = micros(now), micros(keep_until)
        return await self._writer.write(blobs.copy, blob, new, at, until)

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
    ) -> Version:
        at, until, uuids = micros(now), micros(keep_until), self._new_uuid
        return await self._writer.write(
            names.publish, new, receipt, name, guard, published_by, at, until, uuids, finishes, naming
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
    ) -> Version:
        at, until, uuids = micros(now), micros(keep_until), self._new_uuid
        return await self._writer.write(
            names.bind, blob, new, name, guard, published_by, at, until, uuids, naming, as_new
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

    # -- upkeep -------------------------------------------------------------------------------------------

    async def expire(
        self, now: datetime, hidden_before: datetime, ended_before: datetime, keep_until: datetime, limit: int
    ) -> Expired:
        at, hidden, ended, until = micros(now), micros(hidden_before), micros(ended_before), micros(keep_until)

        def end(db: sqlite3.Connection, touched: Touched) -> Expired:
            return Expired(
                blobs=blobs.expire_blobs(db, touched, at, until, limit),
                names=names.purge_hidden(db, touched, hidden, at, until, limit),
                tokens=accounts.forget_tokens(db, touched, ended, limit),
            )

        return await self._writer.write(end)

    async def expirable(self, now: datetime, hidden_before: datetime, ended_before: datetime) -> Expired:
        sql = f"""SELECT (SELECT count(*) FROM blob WHERE expires_at <= :now),
          (SELECT count(*) FROM name WHERE hidden_at < :hidden),
          (SELECT count(*) FROM upload WHERE expires_at <= :now),
          (SELECT count(*) FROM token WHERE {accounts.HAS_ENDED})"""
        values = {"now": micros(now), "hidden": micros(hidden_before), "ended": micros(ended_before)}
        ((blob_count, name_count, upload_count, token_count),) = await self._listings.rows(sql, values)
        return Expired(blob_count, name_count, uploads=upload_count, tokens=token_count)

    async def retain(
        self, now: datetime, keep_until: datetime, after: bytes | None, *, dry_run: bool = False
    ) -> tuple[int, bytes | None]:
        values = {"now": micros(now), "after": number_after(after, 0), "span": retention.SPAN}
        ((last, count),) = await self._listings.rows(retention.SELECT_SPAN, values)
        rows = await self._listings.rows(retention.SELECT_OVERDUE, values | {"last": last}) if count else []
        versions = sum(overdue for _, overdue in rows)
        if rows and not dry_run:
            name_ids = [name_id for name_id, _ in rows]
            versions = await self._writer.write(names.retain_all, name_ids, values["now"], micros(keep_until))
        return versions, last.to_bytes(8) if count == retention.SPAN else None

    async def unreferenced(self, now: datetime, limit: int, after: bytes | None) -> Page[Unreferenced]:
        return await self._listings.unreferenced(micros(now), limit, after)

    async def unreferenced_totals(self, now: datetime) -> tuple[int, int]:
        sql = "SELECT count(*), coalesce(sum(size), 0) FROM payload WHERE blob_count = 0 AND keep_until <= :now"
        ((count, size),) = await self._listings.rows(sql, {"now": micros(now)})
        return count, size

    async def forget_payload(self, digest: Digest, now: datetime) -> bool:
        at = micros(now)
        return await self._writer.write(blobs.forget_payload, digest, at)

    async def payload_states(self, digests: Collection[Digest]) -> dict[Digest, BlobState]:
        listed, values = in_list([digest.raw for digest in digests], "digest")
        sql = f"SELECT digest, quarantined_at FROM payload WHERE digest IN {listed}"
        return {Digest(raw): payload_state(at) for raw, at in await self._listings.rows(sql, values)}

    async def known_payloads(self, digests: Collection[Digest]) -> set[Digest]:
        listed, values = in_list([digest.raw for digest in digests], "digest")
        rows = await self._listings.rows(f"SELECT digest FROM payload WHERE digest IN {listed}", values)
        return {Digest(raw) for (raw,) in rows}

    async def keep_payload(self, digest: Digest, until: datetime) -> bool:
        at = micros(until)
        return await self._writer.write(blobs.keep_payload, digest, at)

    async def keep_held(
        self,
        algorithm: str,
        values: Collection[bytes],
        namespaces: Collection[str] | None,
        now: datetime,
        until: datetime,
    ) -> set[bytes]:
        column = blobs.CHECKSUM_COLUMNS[algorithm]
        return await self._writer.write(blobs.keep_held, column, values, namespaces, micros(now), micros(until))

    async def pin_payloads(self, pin: UUID, until: datetime, now: datetime) -> None:
        last, at = micros(until), micros(now)
        await self._writer.write(blobs.pin, pin, last, at)

    async def renew_pin(self, pin: UUID, until: datetime, now: datetime) -> None:
        last, at = micros(until), micros(now)
        await self._writer.write(blobs.renew_pin, pin, last, at)

    async def unpin_payloads(self, pin: UUID) -> None:
        await self._writer.write(blobs.unpin, pin)

    async def pinned_until(self, now: datetime) -> datetime | None:
        sql = "SELECT max(expires_at) FROM backup_pin WHERE expires_at > :now"
        ((until,),) = await self._listings.rows(sql, {"now": micros(now)})
        return time_or_none(until)

    async def set_quarantined(self, digest: Digest, at: datetime | None) -> bool:
        when = None if at is None else micros(at)
        return await self._writer.write(blobs.set_quarantined, digest, when)

    async def set_good(self, digest: Digest, blocks: bytes, at: datetime) -> bool:
        when = micros(at)
        return await self._writer.write(blobs.set_good, digest, blocks, when)

    async def set_checked(self, digests: Collection[Digest], at: datetime, *, is_deep: bool) -> None:
        when = micros(at)
        await self._writer.write(checks.set_checked, digests, when, is_deep)

    async def heal(self, receipt: Receipt, now: datetime) -> bool:
        when = micros(now)
        return await self._writer.write(checks.heal, receipt, when)

    async def totals(self) -> Totals:
        sql = """SELECT count(*), coalesce(sum(size), 0), coalesce(sum(iif(blob_count = 1, size, 0)), 0),
            count(quarantined_at), (SELECT coalesce(sum(blob_count), 0) FROM namespace),
            (SELECT coalesce(sum(logical_bytes), 0) FROM namespace) FROM payload"""
        ((payloads, physical, exclusive, quarantined, count, logical),) = await self._listings.rows(sql, {})
        return Totals(payloads, physical, count, logical, exclusive, quarantined)

    @property
    def pending_writes(self) -> int:
        return self._writer.pending

    async def workings(self) -> Workings:
        commits, cache = self._writer.commits, self._lookups.cache
        wal_bytes = await asyncio.to_thread(self._lookups.wal_bytes)
        return Workings(
            commits.took_s, commits.operations, commits.failed, wal_bytes, cache.hits, cache.misses, len(cache)
        )

    def take_commit_times(self) -> list[float]:
        taken, self._writer.commits.lately_s = self._writer.commits.lately_s, deque(maxlen=LATELY)
        return list(taken)
