"""One run of scrub, from the payload that was not checked for longest to the last one."""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

from casd.catalogue.base import Catalogue
from casd.catalogue.values import Unchecked
from casd.errors import PayloadMissing, PayloadUnreadable, StorageFailed
from casd.judging import Judge, Verdict
from casd.model import BLOCK_SIZE, Digest
from casd.payloads.base import Payload, PayloadStore
from casd.scrub.pace import Pace
from casd.scrub.report import Finding, ScrubReport
from casd.tasks import to_the_end

log = logging.getLogger(__name__)

PAGE = 500  # payloads that are looked up, and recorded as checked, at a time
RECORDED_BYTES = 1 << 30  # or when so much was read: that much is read twice after a crash
SPAN_BLOCKS = 8  # of 1 MiB, compared in one hop: with fewer the hop and its buffer cost as much as XXH3
LIST_BYTES = 8  # of each block in a list
SHOWN = 100  # findings that a report lists, and failures that the log does


@dataclass(frozen=True, slots=True)
class _Doubt:
    """Why a payload seems to be wrong; where it is by block checksums, which of them."""

    why: str
    start: int = 0
    stop: int = 0
    listed: bytes | None = None
    is_of_size: bool = False


@dataclass(slots=True)
class _Tally:
    """What a run has found so far."""

    payloads: int = 0
    bytes: int = 0
    rewritten: int = 0
    failed: int = 0
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    is_whole: bool = False


class Scrub:
    """One run over all that was not found right since `before`."""

    def __init__(
        self,
        payloads: PayloadStore,
        catalogue: Catalogue,
        judge: Judge,
        pace: Pace,
        now: Callable[[], datetime],
        *,
        before: datetime,
        is_deep: bool,
        is_dry_run: bool = False,
        checks_catalogue: bool = False,
    ) -> None:
        self._payloads = payloads
        self._catalogue = catalogue
        self._judge = judge
        self._pace = pace
        self._now = now
        self._before = before
        self._is_deep = is_deep
        self._is_dry_run = is_dry_run
        self._checks_catalogue = checks_catalogue
        self._tally = _Tally()
        self._good: list[Digest] = []
        self._good_bytes = 0
        self._good_at = now()

    async def run(self, is_enough: Callable[[], bool] = lambda: False) -> ScrubReport:
        """Ends early where `is_enough`. What was read is recorded also when it fails or is cancelled.

        Raises StorageFailed if the catalogue cannot be asked.
        """
        try:
            if self._checks_catalogue:
                await self._check_catalogue()
            self._tally.is_whole = await self._check_payloads(is_enough)
        finally:
            await to_the_end(self._record())
        return self.report()

    def report(self, repaired: int = 0) -> ScrubReport:
        """As it stands now."""
        tally = self._tally
        return ScrubReport(
            payloads=tally.payloads,
            bytes=tally.bytes,
            damaged=tally.verdicts[Verdict.DAMAGED],
            missing=tally.verdicts[Verdict.MISSING],
            unreadable=tally.verdicts[Verdict.UNREADABLE],
            rewritten=tally.rewritten,
            failed=tally.failed,
            repaired=repaired,
            findings=tuple(tally.findings),
            problems=tuple(tally.problems),
            is_deep=self._is_deep,
            is_dry_run=self._is_dry_run,
            is_whole=tally.is_whole,
        )

    async def _check_catalogue(self) -> None:
        self._tally.problems = await self._catalogue.problems()
        for problem in self._tally.problems:
            log.error("catalogue is damaged, casd fsck on the stopped store tells more problem=%s", problem)

    async def _check_payloads(self, is_enough: Callable[[], bool]) -> bool:
        after = None
        while True:
            page = await self._catalogue.unchecked(self._before, PAGE, after, is_deep=self._is_deep)
            for item in page.items:
                if is_enough():
                    return False
                await self._check(item)
                if len(self._good) == PAGE or self._good_bytes >= RECORDED_BYTES:
                    await self._record()
            if page.next is None:
                return True
            after = page.next

    async def _record(self) -> None:
        good, self._good, self._good_bytes = self._good, [], 0
        if good and not self._is_dry_run:
            await self._catalogue.set_checked(good, self._good_at, is_deep=self._is_deep)

    # -- one payload --------------------------------------------------------------------------------------

    async def _check(self, item: Unchecked) -> None:
        if not self._good:
            self._good_at = self._now()
        try:
            doubt = await self._doubt(item)
            if doubt is not None:
                await self._settle(item, doubt)
        except StorageFailed as error:
            self._tally.failed += 1
            if self._tally.failed <= SHOWN:  # where a file system is gone, it is all of them
                log.error("payload could not be checked digest=%s error=%s", item.digest, error)
            return
        if doubt is None:
            self._good.append(item.digest)
            self._good_bytes += item.size
        self._tally.payloads += 1

    async def _doubt(self, item: Unchecked) -> _Doubt | None:
        """Why the payload seems to be wrong; None where it does not, or has gone meanwhile."""
        await self._pace.payload()
        try:
            payload = await self._payloads.open(item.digest)
        except (PayloadMissing, PayloadUnreadable) as error:
            return _Doubt(str(error))
        try:
            if payload.size != item.size:
                return _Doubt(f"it has {payload.size} of {item.size} bytes", is_of_size=True)
            return await (self._deep_doubt if self._is_deep else self._light_doubt)(item, payload)
        except PayloadUnreadable as error:
            return _Doubt(str(error))
        finally:
            payload.close()

    async def _light_doubt(self, item: Unchecked, payload: Payload) -> _Doubt | None:
        async def from_disk(start: int, stop: int) -> bytes:
            found = await payload.block_checksums(start, stop, from_disk=True)
            await self._read(min(stop * BLOCK_SIZE, item.size) - start * BLOCK_SIZE)
            return found

        return await self._differing(item, from_disk)

    async def _deep_doubt(self, item: Unchecked, payload: Payload) -> _Doubt | None:
        examined = await payload.examine(self._read)
        if examined.digest != item.digest:
            return _Doubt("its SHA-512 is another")

        async def as_examined(start: int, stop: int) -> bytes:
            return examined.blocks[start * LIST_BYTES : stop * LIST_BYTES]

        return await self._differing(item, as_examined)

    async def _read(self, count: int) -> None:
        self._tally.bytes += count
        await self._pace(count)

    async def _differing(self, item: Unchecked, found: Callable[[int, int], Awaitable[bytes]]) -> _Doubt | None:
        """The first blocks whose checksums are not those of the list."""
        count = -(-item.size // BLOCK_SIZE)
        for start in range(0, max(1, count), SPAN_BLOCKS):
            stop = min(start + SPAN_BLOCKS, count)
            now = await found(start, stop)
            # One more than there can be at the end: a list that is too long is wrong as well.
            listed = await self._catalogue.block_checksums(item.digest, start, stop + (stop == count))
            if listed is not None and listed != now:
                why = f"blocks {start} to {stop} of 1 MiB are not those of the list"
                return _Doubt(why, start, stop + (stop == count), listed)
        return None

    async def _settle(self, item: Unchecked, doubt: _Doubt) -> None:
        """Let it be judged, and tell whom it hits. Raises StorageFailed."""
        if self._is_dry_run:
            verdict = await self._judge.opinion(item.digest)
        else:
            verdict = await self._judge.verdict(item.digest, f"scrub: {doubt.why}")
        if verdict is Verdict.UNKNOWN:
            return
        if verdict is Verdict.GOOD:
            if doubt.is_of_size and not self._is_dry_run and not await self._has_its_size(item):
                raise StorageFailed(f"the catalogue tells another size of it ({doubt.why}): casd fsck mends that")
            self._tally.rewritten += await self._was_rewritten(item.digest, doubt)
            return
        self._tally.verdicts[verdict] += 1
        hit = await self._catalogue.hit(item.digest)
        told = "scrub found a payload %s digest=%s blobs=%d versions=%d"
        log.error(told, verdict, item.digest, hit.blob_count, hit.version_count)
        if len(self._tally.findings) < SHOWN:
            self._tally.findings.append(Finding(item.digest, verdict, doubt.why, hit))

    async def _has_its_size(self, item: Unchecked) -> bool:
        """It may have been damaged when it was looked at, and stored again before it was judged."""
        payload = await self._payloads.open(item.digest)
        payload.close()
        return payload.size == item.size

    async def _was_rewritten(self, digest: Digest, doubt: _Doubt) -> bool:
        if doubt.listed is None:
            return False
        return self._is_dry_run or doubt.listed != await self._catalogue.block_checksums(
            digest, doubt.start, doubt.stop
        )
