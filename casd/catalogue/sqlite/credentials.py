"""Namespaces, tokens, keys, and the audit log, of the catalogue on SQLite."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

from casd.audit import AuditFilter, Entry, Told
from casd.catalogue.sqlite import accounts, audit
from casd.catalogue.sqlite.listings import Listings
from casd.catalogue.sqlite.lookups import Lookups
from casd.catalogue.sqlite.reading import SqliteReading
from casd.catalogue.sqlite.rows import micros, number_after
from casd.catalogue.sqlite.writer import Writer
from casd.model import NamedKey, Namespace, Page, SigningKey, Token


class SqliteCredentials(SqliteReading):
    """See `catalogue.credentials.CatalogueCredentials`."""

    def __init__(self, path: Path, writer: Writer, lookups: Lookups, listings: Listings) -> None:
        super().__init__(path, lookups, listings)
        self._writer = writer

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

    async def rotate_token(
        self, uuid: UUID, secret_hash: bytes, now: datetime, old_until: datetime, changes: Mapping[str, object]
    ) -> Token:
        at, until = micros(now), micros(old_until)
        columns = {key: micros(value) if isinstance(value, datetime) else value for key, value in changes.items()}
        return await self._writer.write(accounts.rotate_token, uuid, secret_hash, at, until, columns)

    async def tokens_used(self, used: Mapping[UUID, datetime]) -> None:
        times = {uuid: micros(at) for uuid, at in used.items()}
        await self._writer.write(accounts.tokens_used, times)

    async def set_named_key(self, key: NamedKey, token: Token, secret_hash: bytes) -> None:
        await self._writer.write(accounts.set_named_key, key, token, secret_hash)

    async def remove_named_key(self, namespace: str, name: str, now: datetime) -> None:
        at = micros(now)
        await self._writer.write(accounts.remove_named_key, namespace, name, at)

    async def add_signing_key(self, secret: bytes, now: datetime, *, revoke_older: bool = False) -> SigningKey:
        at = micros(now)
        return await self._writer.write(accounts.add_signing_key, secret, at, revoke_older)

    async def retire_signing_key(self, id: int) -> None:
        await self._writer.write(accounts.retire_signing_key, id)

    async def expire_credentials(self, now: datetime, signed_before: datetime) -> int:
        at, before = micros(now), micros(signed_before)
        return await self._writer.write(accounts.expire_credentials, at, before)

    # -- the audit log ------------------------------------------------------------------------------------

    async def record(self, told: Sequence[Told]) -> None:
        await self._writer.write(audit.record, told)

    async def audit(self, only: AuditFilter, limit: int, after: bytes | None) -> Page[Entry]:
        sql, values = audit.page(only, limit + 1, number_after(after, audit.ALL))
        rows = await self._listings.rows(sql, values)
        last = rows[limit - 1][0].to_bytes(8) if len(rows) > limit else None
        return Page(tuple(audit.entry_of(row) for row in rows[:limit]), last)

    async def forget_audit(self, before: datetime, limit: int) -> int:
        at = micros(before)
        return await self._writer.write(audit.forget, at, limit)
