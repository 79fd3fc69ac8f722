"""Which runs there are: of everything when somebody asks, and by the timer of what is due."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from casd.catalogue.base import Catalogue
from casd.judging import Judge
from casd.payloads.base import PayloadStore
from casd.scrub.pace import Pace
from casd.scrub.run import Scrub

CATALOGUE_EVERY = timedelta(days=1)  # reading all of it takes seconds for a million blobs


@dataclass(frozen=True, slots=True)
class ScrubRules:
    """Within which time each payload is checked; none at all means never by the timer."""

    light: timedelta
    deep: timedelta


class Rounds:
    """Makes the runs over one store."""

    def __init__(
        self,
        payloads: PayloadStore,
        catalogue: Catalogue,
        judge: Judge,
        pace: Pace,
        rules: ScrubRules,
        now: Callable[[], datetime],
    ) -> None:
        self._payloads = payloads
        self._catalogue = catalogue
        self._judge = judge
        self._pace = pace
        self._rules = rules
        self._now = now
        self._catalogue_at: datetime | None = None  # when a run that checks it was made

    def whole(self, *, is_deep: bool, is_dry_run: bool) -> Scrub:
        """A run over everything; a deep one checks the catalogue too."""
        return self._run(self._now(), is_deep, is_dry_run, checks_catalogue=is_deep)

    async def due(self) -> AsyncIterator[Scrub]:
        """The runs that are due, each when the one before has ended: a deep one may leave nothing for a light one."""
        for is_deep, every in ((True, self._rules.deep), (False, self._rules.light)):
            if not every:
                continue
            now = self._now()
            before = now - await self._age(every)
            is_catalogue_due = is_deep and (self._catalogue_at is None or now - self._catalogue_at >= CATALOGUE_EVERY)
            if is_catalogue_due or (await self._catalogue.unchecked(before, 1, None, is_deep=is_deep)).items:
                yield self._run(before, is_deep, is_dry_run=False, checks_catalogue=is_catalogue_due)

    async def _age(self, every: timedelta) -> timedelta:
        """How long ago a payload was checked that is due: early enough for all to be read in time, at the worst."""
        lead = self._pace.longest((await self._catalogue.totals()).physical_bytes)
        return max(every / 2, every - lead)

    def _run(self, before: datetime, is_deep: bool, is_dry_run: bool, *, checks_catalogue: bool) -> Scrub:
        if checks_catalogue:
            self._catalogue_at = self._now()
        return Scrub(
            self._payloads,
            self._catalogue,
            self._judge,
            self._pace,
            self._now,
            before=before,
            is_deep=is_deep,
            is_dry_run=is_dry_run,
            checks_catalogue=checks_catalogue,
        )
