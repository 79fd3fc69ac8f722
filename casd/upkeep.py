"""Work nobody waits for: ending what is past its time, and collecting what nothing refers to.

Plain functions that return reports; `daemon.py` runs them on a timer. Time is a parameter. Reading all that is stored,
and fetching anew what is damaged, stand in `scrub` and `repair.py`, and run from here.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from casd.catalogue.base import Catalogue
from casd.catalogue.values import Expired
from casd.errors import CollectionRefused
from casd.locks import DigestLocks
from casd.model import Digest
from casd.payloads.base import PayloadStore
from casd.repair import Repair, RepairReport
from casd.scrub import Rounds, Scrub, ScrubReport
from casd.uploads import Uploads

log = logging.getLogger(__name__)

BATCH = 500  # rows per transaction or look-up: a few milliseconds of the writer at a time


@dataclass(frozen=True, slots=True)
class Rules:
    """How long things are kept."""

    grace: timedelta  # a payload that nothing refers to, since it was last stored, asked for or let go
    hidden: timedelta  # a name under a delete marker
    ended: timedelta  # a token that has expired or was revoked


@dataclass(frozen=True, slots=True)
class CollectionReport:
    """What one collection removed; with `dry_run`, what it would have removed."""

    payloads: int
    bytes: int
    orphans: int  # of the payloads, files that no row knew: left by a crash, or by a commit that failed
    is_dry_run: bool
    pinned: int = 0  # payloads that would have gone, but for a backup that is under way


AnyReport = Expired | CollectionReport | ScrubReport | RepairReport


@dataclass(slots=True)
class Run:
    """A run of one kind of upkeep: how it went, or that it is under way."""

    started_at: datetime
    ended_at: datetime | None = None
    report: AnyReport | None = None
    error: str | None = None
    so_far: Callable[[], AnyReport] | None = None  # what it has done while it is under way


Report = TypeVar("Report", Expired, CollectionReport, ScrubReport, RepairReport)


class Upkeep:
    """Upkeep of one store, by timer or on request; two runs of the same kind at once are one."""

    def __init__(
        self,
        payloads: PayloadStore,
        catalogue: Catalogue,
        locks: DigestLocks,
        uploads: Uploads,
        rules: Rules,
        now: Callable[[], datetime],
        rounds: Rounds,
        repairs: Repair,
    ) -> None:
        self._payloads = payloads
        self._catalogue = catalogue
        self._locks = locks
        self._uploads = uploads
        self._rules = rules
        self._now = now
        self._rounds = rounds
        self._repairs = repairs
        self._running: dict[object, asyncio.Task[Any]] = {}
        self.scrubs_awaited = 0  # callers that wait for one
        self.last_runs: dict[str, Run] = {}  # by kind

    async def expire(self, *, scan: bool = True, dry_run: bool = False) -> Expired:
        """What was ended; with `dry_run` what would have been. `scan` also looks at the versions of every name."""
        if dry_run:
            now, rules = self._now(), self._rules
            expirable = await self._catalogue.expirable(now, now - rules.hidden, now - rules.ended)
            return replace(expirable, versions=await retain(self._catalogue, now=now, grace=rules.grace, dry_run=True))
        return await self._join("expire", ("expire", scan), lambda: self._expire(scan))

    async def _expire(self, scan: bool) -> Expired:
        expired = await expire(self._catalogue, self._rules, now=self._now(), scan=scan)
        return replace(expired, uploads=await self._uploads.expire())

    async def collect_garbage(
        self, *, scan: bool = True, force: bool = False, dry_run: bool = False
    ) -> CollectionReport:
        """Raises CollectionRefused."""
        return await self._join(
            None if dry_run else "collect-garbage",
            ("collect-garbage", scan, force, dry_run),
            lambda: collect_garbage(
                self._payloads,
                self._catalogue,
                self._locks,
                now=self._now(),
                grace=self._rules.grace,
                scan=scan,
                force=force,
                dry_run=dry_run,
            ),
        )

    async def scrub(self, *, deep: bool = False, dry_run: bool = False) -> ScrubReport:
        """Everything that is stored was read, and what is damaged was judged; repaired too, where there are sources."""
        run = self._rounds.whole(is_deep=deep, is_dry_run=dry_run)
        self.scrubs_awaited += 1
        try:
            return await self._join(
                None if dry_run else "scrub", ("scrub", deep, dry_run), lambda: self._scrub(run), run.report
            )
        finally:
            self.scrubs_awaited -= 1

    async def scrub_due(self) -> None:
        """What is due has been read, unless a run that somebody asks for comes between: that reads it anyway."""
        async for run in self._rounds.due():
            await self._join("scrub", "scrub-due", partial(self._scrub, run, self._is_scrub_asked_for), run.report)

    def _is_scrub_asked_for(self) -> bool:
        return any(isinstance(key, tuple) and key[0] == "scrub" for key in self._running)

    async def _scrub(self, run: Scrub, is_enough: Callable[[], bool] = lambda: False) -> ScrubReport:
        report = await run.run(is_enough)
        if report.hurt and not report.is_dry_run and self._repairs.has_sources:
            report = run.report((await self.repair()).repaired)
        if not report.is_dry_run:
            log.info(
                "scrubbed deep=%s payloads=%d bytes=%d damaged=%d missing=%d unreadable=%d rewritten=%d failed=%d",
                *(report.is_deep, report.payloads, report.bytes, report.damaged, report.missing),
                *(report.unreadable, report.rewritten, report.failed),
            )
        return report

    async def repair(self, digests: Collection[Digest] | None = None) -> RepairReport:
        """Those, or (None) all that are damaged, were fetched from the sources, as far as these have them.

        Raises PayloadNotFound if one of `digests` is not known.
        """
        chosen = None if digests is None else frozenset(digests)
        return await self._join("repair", ("repair", chosen), lambda: self._repairs.run(chosen))

    async def repair_due(self, *, is_scan_due: bool) -> None:
        """The same by the timer: where damage was found since, and now and then, because a source may be back."""
        if self._repairs.has_sources and (self._repairs.is_news or is_scan_due):
            await self.repair()

    async def _join(
        self,
        kind: str | None,
        key: object,
        start: Callable[[], Coroutine[Any, Any, Report]],
        so_far: Callable[[], Report] | None = None,
    ) -> Report:
        """What the run under way returns, or a new one. A caller that is cancelled leaves it to the others."""
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(self._recorded(kind, start, so_far))
            task.add_done_callback(lambda _: self._running.pop(key, None))
        result: Report = await asyncio.shield(task)
        return result

    async def _recorded(
        self,
        kind: str | None,
        start: Callable[[], Coroutine[Any, Any, Report]],
        so_far: Callable[[], Report] | None,
    ) -> Report:
        """The run, remembered as the last of its kind; a dry one has none."""
        run = Run(self._now(), so_far=so_far)
        if kind is not None:
            self.last_runs[kind] = run
        try:
            run.report = report = await start()
        except BaseException as error:
            run.error = str(error) or type(error).__name__
            raise
        finally:
            run.ended_at, run.so_far = self._now(), None
        return report

    async def close(self) -> None:
        """Cancel what is under way; a removal that has begun ends whole."""
        for task in list(self._running.values()):
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)


async def expire(catalogue: Catalogue, rules: Rules, *, now: datetime, scan: bool = True) -> Expired:
    """End what is past its time but uploads: own holds, hidden names, tokens, and with `scan` versions.

    Nobody waits for it: reads judge expiry themselves, and publishing applies the rules on versions. Bytes become
    garbage.
    """
    blobs = names = tokens = 0
    while True:
        batch = await catalogue.expire(now, now - rules.hidden, now - rules.ended, now + rules.grace, BATCH)
        blobs, names, tokens = blobs + batch.blobs, names + batch.names, tokens + batch.tokens
        if max(batch.blobs, batch.names, batch.tokens) < BATCH:
            break
    versions = await retain(catalogue, now=now, grace=rules.grace) if scan else 0
    return Expired(blobs, names, versions, tokens=tokens)


async def retain(catalogue: Catalogue, *, now: datetime, grace: timedelta, dry_run: bool = False) -> int:
    """Remove the versions that the rules of names and namespaces do not keep; returns how many.

    Publishing applies the rules too: this is for rules that were changed since, and for what has grown old.
    """
    versions, after = 0, None
    while True:
        count, after = await catalogue.retain(now, now + grace, after, dry_run=dry_run)
        versions += count
        if after is None:
            return versions


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
