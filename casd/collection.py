"""Collecting garbage while the store serves: the bytes that nothing refers to, and files that no row knows.

Rows first, bytes after, under the digest's lock. Time is a parameter.
"""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from casd.catalogue.base import Catalogue
from casd.errors import CollectionRefused
from casd.locks import DigestLocks
from casd.model import Digest
from casd.payloads.base import PayloadStore

log = logging.getLogger(__name__)

BATCH = 500  # rows per look-up


@dataclass(frozen=True, slots=True)
class CollectionReport:
    """What one collection removed; with `dry_run`, what it would have removed."""

    payloads: int
    bytes: int
    orphans: int  # of the payloads, files that no row knew: left by a crash, or by a commit that failed
    is_dry_run: bool
    pinned: int = 0  # payloads that would have gone, but for a backup that is under way


async def collect_garbage(
    payloads: PayloadStore,
    catalogue: Catalogue,
    locks: DigestLocks,
    *,
    now: datetime,
    grace: timedelta,
    scan: bool = True,
    force: bool = False,
    dry_run: bool = False,
) -> CollectionReport:
    """Remove payloads that no blob refers to and whose keep-until has passed, while the store serves.

    `scan` also looks for files without a row, older than `grace`. Each removal holds its digest's lock from the
    transaction that deletes the row to the unlink, and the conditions are checked again inside that transaction.
    Raises CollectionRefused, with nothing removed, if that were more than half of all payloads or bytes, unless
    `force`: a wrong rule, or an empty catalogue put in a full one's place, must not cost the store.
    """
    orphans = [stored async for stored in _orphans(payloads, catalogue, now - grace)] if scan else []
    await _check_bound(catalogue, now, len(orphans), sum(size for _, size in orphans), force or dry_run)
    removed = removed_bytes = pinned = 0
    is_pinned = await catalogue.pinned_until(now) is not None  # asked again in the transaction of each removal
    async for digest, size in _unreferenced(catalogue, now):
        if is_pinned:
            pinned += 1
        elif dry_run or await _collect(payloads, catalogue, locks, digest, now):
            removed, removed_bytes = removed + 1, removed_bytes + size
    removed_orphans = 0
    for digest, size in orphans:
        if dry_run or await _collect_orphan(payloads, catalogue, locks, digest, now):
            removed_orphans, removed_bytes = removed_orphans + 1, removed_bytes + size
    report = CollectionReport(removed + removed_orphans, removed_bytes, removed_orphans, dry_run, pinned)
    if report.payloads and not dry_run:
        log.info("garbage collected payloads=%d bytes=%d orphans=%d", report.payloads, report.bytes, report.orphans)
    return report


async def _check_bound(catalogue: Catalogue, now: datetime, orphans: int, orphan_bytes: int, is_allowed: bool) -> None:
    count, size = await catalogue.unreferenced_totals(now)
    totals = await catalogue.totals()
    count, size = count + orphans, size + orphan_bytes
    all_count, all_bytes = totals.payloads + orphans, totals.physical_bytes + orphan_bytes
    if is_allowed or (count * 2 <= all_count and size * 2 <= all_bytes):
        return
    raise CollectionRefused(
        f"this would remove {count} of {all_count} payloads, {size} of {all_bytes} bytes, which is more than half: "
        "nothing was removed; look whether that can be right, then collect with force"
    )


async def _unreferenced(catalogue: Catalogue, now: datetime) -> AsyncIterator[tuple[Digest, int]]:
    after = None
    while True:
        page = await catalogue.unreferenced(now, BATCH, after)
        for item in page.items:
            yield item.digest, item.size
        if page.next is None:
            return
        after = page.next


async def _orphans(
    payloads: PayloadStore, catalogue: Catalogue, modified_before: datetime
) -> AsyncIterator[tuple[Digest, int]]:
    """Files that no row knows. What is being stored at this moment may be among them: the lock decides later."""
    batch: dict[Digest, int] = {}

    async def unknown() -> dict[Digest, int]:
        known = await catalogue.known_payloads(batch.keys())
        return {digest: size for digest, size in batch.items() if digest not in known}

    async for stored in payloads.scan():
        if stored.modified_at <= modified_before:
            batch[stored.digest] = stored.size
        if len(batch) == BATCH:
            for item in (await unknown()).items():
                yield item
            batch.clear()
    for item in (await unknown()).items():
        yield item


async def _collect(
    payloads: PayloadStore, catalogue: Catalogue, locks: DigestLocks, digest: Digest, now: datetime
) -> bool:
    async with locks.hold(digest):
        if not await catalogue.forget_payload(digest, now):
            return False
        await payloads.remove(digest)
        return True


async def _collect_orphan(
    payloads: PayloadStore, catalogue: Catalogue, locks: DigestLocks, digest: Digest, now: datetime
) -> bool:
    async with locks.hold(digest):
        # Asked in a transaction, not of a reader. The row may be one whose commit failed: no reader sees it, and yet a
        # restart can find it in the WAL. The write succeeds only when that is over.
        if await catalogue.keep_payload(digest, now):
            return False
        return await payloads.remove(digest)
