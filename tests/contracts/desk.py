"""A catalogue as tests speak to it: short calls with defaults, a clock that is moved, facts as plain values."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from casd.catalogue.base import Catalogue
from casd.catalogue.values import NO_GUARD, BlobFilter, Expired
from casd.model import Blob, Digest, Guard, NewBlob, Page, Version
from tests.contracts.oracle import receipt_of
from tests.fakes import Clock, counting_uuids

ALICE, BOB = "alice", "bob"  # two namespaces that every desk has
NAME = "images/disk one"
GRACE = timedelta(hours=1)
NO_FILTER = BlobFilter()

T = TypeVar("T")


@dataclass
class Desk:
    catalogue: Catalogue
    clock: Clock = field(default_factory=Clock)
    new_uuid: Any = field(default_factory=counting_uuids)

    async def open(self) -> "Desk":
        await asyncio.gather(*(self.catalogue.ensure_namespace(name, self.clock()) for name in (ALICE, BOB)))
        return self

    @property
    def keep_until(self) -> datetime:
        return self.clock() + GRACE

    def new_blob(self, namespace: str = ALICE, *, expires_in_s: float | None = None, **about: Any) -> NewBlob:
        expires_at = None if expires_in_s is None else self.clock() + timedelta(seconds=expires_in_s)
        return NewBlob(
            self.new_uuid(), namespace, about.pop("content_type", "text/plain"), expires_at=expires_at, **about
        )

    # -- blobs --------------------------------------------------------------------------------------------

    async def add(self, data: bytes = b"abc", namespace: str = ALICE, **about: Any) -> Blob:
        new = self.new_blob(namespace, **about)
        return await self.catalogue.add_blob(new, receipt_of(data), self.clock(), self.keep_until)

    async def blob(self, uuid: UUID) -> Blob | None:
        return await self.catalogue.blob(uuid, self.clock())

    async def drop(self, blob: Blob) -> Blob | None:
        return await self.catalogue.drop_own_hold(blob.uuid, self.clock(), self.keep_until)

    async def set_metadata(self, blob: Blob, key: str, value: Any, limit_bytes: int = 1 << 20) -> None:
        await self.catalogue.set_metadata(blob.uuid, key, value, limit_bytes, self.clock())

    async def listed(self, *namespaces: str, only: BlobFilter = NO_FILTER) -> list[UUID]:
        """The blobs of a listing, in its order, fetched with pages of two."""
        chosen = namespaces or None
        pages = await every_page(lambda limit, after: self.catalogue.blobs(chosen, only, limit, after, self.clock()))
        return [view.blob.uuid for view in pages]

    # -- names --------------------------------------------------------------------------------------------

    async def publish(
        self,
        name: str = NAME,
        data: bytes = b"abc",
        namespace: str = ALICE,
        *,
        guard: Guard = NO_GUARD,
        by: str | None = None,
        **about: Any,
    ) -> Version:
        new = self.new_blob(namespace, **about)
        return await self.catalogue.publish(new, receipt_of(data), name, guard, by, self.clock(), self.keep_until)

    async def bind(
        self, blob: Blob, name: str = NAME, namespace: str = ALICE, *, guard: Guard = NO_GUARD, by: str | None = None
    ) -> Version:
        new = self.new_blob(namespace, content_type="application/x-of-the-binding")
        return await self.catalogue.bind(blob.uuid, new, name, guard, by, self.clock(), self.keep_until)

    async def hide(self, name: str = NAME, namespace: str = ALICE, guard: Guard = NO_GUARD) -> Version:
        return await self.catalogue.hide_name(namespace, name, guard, None, self.clock())

    async def undelete(self, name: str = NAME, namespace: str = ALICE) -> Version:
        return await self.catalogue.undelete(namespace, name, self.clock(), self.keep_until)

    async def remove(self, number: int, name: str = NAME, namespace: str = ALICE, guard: Guard = NO_GUARD) -> Version:
        return await self.catalogue.remove_version(namespace, name, number, self.clock(), self.keep_until, guard)

    async def purge(self, name: str = NAME, namespace: str = ALICE, guard: Guard = NO_GUARD) -> None:
        await self.catalogue.purge_name(namespace, name, self.clock(), self.keep_until, guard)

    async def newest(self, name: str = NAME, namespace: str = ALICE) -> Version | None:
        return await self.catalogue.version(namespace, name)

    async def as_of(self, at: datetime, name: str = NAME, namespace: str = ALICE) -> Version | None:
        return await self.catalogue.version_as_of(namespace, name, at)

    async def numbers(self, name: str = NAME, namespace: str = ALICE) -> list[int]:
        """The numbers of all versions; those of delete markers are negative."""
        versions = await every_page(
            lambda limit, after: self.catalogue.versions(namespace, name, limit, after, self.clock())
        )
        return [-version.number if version.is_marker else version.number for version in versions]

    async def names(self, prefix: str = "", namespace: str = ALICE) -> list[str]:
        versions = await every_page(
            lambda limit, after: self.catalogue.names(namespace, prefix, limit, after, self.clock())
        )
        return [version.name for version in versions]

    async def folder(self, prefix: str = "", namespace: str = ALICE, limit: int = 2) -> list[str]:
        """Names, and folders with the slash that they end in."""
        entries = await every_page(
            lambda limit, after: self.catalogue.folder(namespace, prefix, limit, after, self.clock()), limit
        )
        return [entry if isinstance(entry, str) else entry.name for entry in entries]

    # -- upkeep -------------------------------------------------------------------------------------------

    async def expire(
        self, hidden: timedelta = timedelta(days=7), ended: timedelta = timedelta(days=30), limit: int = 100
    ) -> Expired:
        now = self.clock()
        return await self.catalogue.expire(now, now - hidden, now - ended, self.keep_until, limit)

    async def retain(self, *, dry_run: bool = False) -> int:
        versions, after = 0, None
        while True:
            count, after = await self.catalogue.retain(self.clock(), self.keep_until, after, dry_run=dry_run)
            versions += count
            if after is None:
                return versions

    async def garbage(self) -> set[Digest]:
        """What is unreferenced and past its keep-until."""
        return {
            item.digest
            for item in await every_page(lambda limit, after: self.catalogue.unreferenced(self.clock(), limit, after))
        }


async def every_page(fetch: Any, limit: int = 2) -> list[Any]:
    """All items of a listing, `limit` at a time; each page but the last must be full."""
    items: list[Any] = []
    after = None
    while True:
        page: Page[Any] = await fetch(limit, after)
        items += page.items
        if page.next is None:
            return items
        assert len(page.items) == limit
        after = page.next
