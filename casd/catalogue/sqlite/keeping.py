"""The part of the contract that upkeep, repair and backups use: what is past its time, what nothing refers to."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from uuid import UUID

from casd.audit import Touched
from casd.catalogue.claims import Claims
from casd.catalogue.sqlite import accounts, blobs, checks, names, protection, retention
from casd.catalogue.sqlite.credentials import SqliteCredentials
from casd.catalogue.sqlite.listings import Listings
from casd.catalogue.sqlite.lookups import Lookups
from casd.catalogue.sqlite.rows import in_list, micros, number_after, payload_state, time_or_none
from casd.catalogue.sqlite.writer import LATELY, Writer
from casd.catalogue.values import Expired, Totals, Unreferenced, Workings
from casd.model import BlobState, Digest, Page, Receipt


class SqliteKeeping(SqliteCredentials):
    """Between `SqliteCredentials` and `SqliteCatalogue`, which would be too long otherwise."""

    def __init__(
        self,
        path: Path,
        writer: Writer,
        lookups: Lookups,
        listings: Listings,
        claims: Claims,
        new_uuid: Callable[[], UUID],
    ) -> None:
        super().__init__(path, writer, lookups, listings)
        self._new_uuid = new_uuid
        self.claims = claims

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
          (SELECT count(*) FROM name m WHERE m.hidden_at < :hidden AND NOT {protection.IS_PROTECTED}),
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
