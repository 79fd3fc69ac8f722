"""What the audit log is told beside changes of the catalogue: denials, failures, signatures, reads. And of tokens,
when they were used last.

None of it is worth a commit of its own. It waits in memory, repeats become one row with a count, and about once a
minute all of it is written in one transaction; a crash loses that minute. Whoever reads the log has it written first.

Nobody fills the disk by being refused: who may not write at all gets a number of rows and so many more a minute;
beyond that only counts grow.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from casd.audit import Actor, Deed, Result, Told, Verb, actor
from casd.catalogue.base import Catalogue
from casd.errors import CasdError

log = logging.getLogger(__name__)

FLUSH_S = 60.0
WAITING_LIMIT = 5000  # rows in memory, about 1 KiB each: then they are written sooner
SEVERAL = Actor("several")  # those who were refused so often that they are only counted


@dataclass(slots=True)
class Allowance:
    """Rows that may be written: `burst` at once, and `per_minute` for ever (600 and 6: 0.8 million in 90 days)."""

    burst: float
    per_minute: float
    left: float = 0.0
    at: datetime | None = None

    def take(self, now: datetime) -> bool:
        """Whether one more may be."""
        gained = self.burst if self.at is None else (now - self.at) / timedelta(minutes=1) * self.per_minute
        self.left, self.at = min(self.burst, self.left + max(0.0, gained)), now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class Trail:
    """What waits to be told, of one daemon."""

    def __init__(
        self, catalogue: Catalogue, now: Callable[[], datetime], *, is_kept: bool = True, tells_reads: bool = False
    ) -> None:
        """`is_kept`: there is an audit log. `tells_reads`: of bytes, too."""
        self._catalogue = catalogue
        self._now = now
        self._is_kept = is_kept
        self.tells_reads = is_kept and tells_reads
        self._waiting: dict[object, Told] = {}
        self._used: dict[UUID, datetime] = {}
        self._is_full = asyncio.Event()
        self._turn = asyncio.Lock()
        self._denials = Allowance(600, 6)
        self._failures = Allowance(600, 6)
        self._signatures = Allowance(5000, 60)

    # -- denials and the like -----------------------------------------------------------------------------

    def denied(self, deed: Deed, code: str) -> None:
        self._add(deed, Result.DENIED, code, self._denials, SEVERAL)

    def failed(self, deed: Deed, code: str) -> None:
        self._add(deed, Result.FAILED, code, self._failures, SEVERAL)

    def signed(self, subject: str) -> None:
        who = actor()
        several = replace(who, address=None, dialect=None, request_id=None)
        self._add(Deed(Verb.URL_SIGN, subject=subject), Result.DONE, None, self._signatures, several)

    def read(self, deed: Deed) -> None:
        self._add(deed, Result.DONE, None, None, SEVERAL)

    async def done(self, deed: Deed) -> None:
        """Told at once, durably: for what is rare, and changes something that is not in the catalogue."""
        if self._is_kept:
            await self._catalogue.record([Told(self._now(), actor(), deed)])

    def _add(self, deed: Deed, result: Result, code: str | None, allowance: Allowance | None, several: Actor) -> None:
        """One more of its kind; without an allowance left for a new kind, one more of several kinds."""
        if not self._is_kept:
            return
        now, who = self._now(), actor()
        key: object = (replace(who, request_id=None), deed, result, code)
        if key not in self._waiting and allowance is not None and not allowance.take(now):
            who, deed, code = several, Deed(deed.verb), None
            key = (who, deed, result)
        known = self._waiting.get(key)
        self._waiting[key] = (
            Told(now, who, deed, result, code) if known is None else replace(known, count=known.count + 1)
        )
        if len(self._waiting) >= WAITING_LIMIT:
            self._is_full.set()

    # -- tokens -------------------------------------------------------------------------------------------

    def used(self, token: UUID) -> None:
        """Somebody came with the token just now."""
        self._used[token] = self._now()

    def last_used(self, token: UUID) -> datetime | None:
        """When it was used since the last writing."""
        return self._used.get(token)

    # -- writing ------------------------------------------------------------------------------------------

    async def flush(self) -> None:
        """What waits is in the log. Raises StorageFailed, and then it is lost: memory is no place to hoard it."""
        async with self._turn:
            told, self._waiting = list(self._waiting.values()), {}
            self._is_full.clear()
            used, self._used = self._used, {}
            if told:
                await self._catalogue.record(told)
            if used:
                await self._catalogue.tokens_used(used)

    async def run(self) -> None:
        """Write by the timer, for ever."""
        while True:
            try:
                async with asyncio.timeout(FLUSH_S):
                    await self._is_full.wait()
            except TimeoutError:
                pass
            await self._try()

    async def close(self) -> None:
        await self._try()

    async def _try(self) -> None:
        try:
            await self.flush()
        except CasdError as error:
            log.error("audit log not written error=%s", error)
