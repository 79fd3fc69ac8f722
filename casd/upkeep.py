"""Work nobody waits for, by timer or on request: expiry, collection, scrub, repair.

What each of them does stands in a module of its own; `casd.daemon` runs them on a timer. Time is a parameter.
"""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Coroutine
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from casd.catalogue.base import Catalogue
from casd.catalogue.values import Expired
from casd.collection import CollectionReport, collect_garbage
from casd.expiry import Rules, expire, retain
from casd.locks import DigestLocks
from casd.model import Digest
from casd.payloads.base import PayloadStore
from casd.repair import Repair, RepairReport
from casd.scrub import Rounds, Scrub, ScrubReport
from casd.uploads import Uploads

log = logging.getLogger(__name__)

AnyReport = Expired | CollectionReport | ScrubReport | RepairReport


@dataclass(slots=True)
class Run:
    """A run of one kind of upkeep: how it went, or that it is under way."""

    started_at: datetime
    ended_at: datetime | None = None
    report: AnyReport | None = None
    error: str | None = None
    so_far: Callable[[], AnyReport] | None = None  # what it has done while it is under way


@dataclass(slots=True)
class History:
    """What all runs of one kind did since the start."""

    done: int = 0
    failed: int = 0
    last_done_at: datetime | None = None
    sums: Counter[str] = field(default_factory=Counter)  # of the figures in their reports, by field

    def add(self, report: AnyReport) -> None:
        for name, value in asdict(report).items():
            if isinstance(value, int) and not isinstance(value, bool):
                self.sums[name] += value


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
        self._histories: defaultdict[str, History] = defaultdict(History)  # by kind

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
        run, history = Run(self._now(), so_far=so_far), History()
        if kind is not None:
            self.last_runs[kind], history = run, self._histories[kind]
        try:
            run.report = report = await start()
            history.done, history.last_done_at = history.done + 1, self._now()
            history.add(report)
        except BaseException as error:
            run.error = str(error) or type(error).__name__
            history.failed += 1
            if so_far is not None:
                history.add(so_far())
            raise
        finally:
            run.ended_at, run.so_far = self._now(), None
        return report

    def history(self, kind: str) -> History:
        """What the runs of that kind did, with what one under way has done so far."""
        found = replace(self._histories[kind], sums=Counter(self._histories[kind].sums))
        run = self.last_runs.get(kind)
        if run is not None and run.so_far is not None:
            found.add(run.so_far())
        return found

    def is_running(self, kind: str) -> bool:
        run = self.last_runs.get(kind)
        return run is not None and run.ended_at is None

    async def close(self) -> None:
        """Cancel what is under way; a removal that has begun ends whole."""
        for task in list(self._running.values()):
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
