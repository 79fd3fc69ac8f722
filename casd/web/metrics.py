"""How the daemon stands, in numbers: for Prometheus (`/metrics`), and as the samples of the last day.

All that is counted is counted where it happens, as plain numbers; they are put together here when somebody asks. What
the catalogue has to count row by row is counted so seldom that it takes a hundredth of the time at most.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from casd.catalogue.values import Totals, UploadTotals
from casd.distribution import Distribution
from casd.errors import CasdError
from casd.store import BlobStore
from casd.upkeep import Upkeep
from casd.uploads import Uploads
from casd.web.samples import INTERVAL_S, Number, Samples
from casd.web.tallies import Moved
from casd.web.traffic import Traffic
from casd.web.transmit import Transmitter

log = logging.getLogger(__name__)

LAG_INTERVAL_S = 1.0
LAG_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
COUNTING_SHARE = 100  # a million payloads take 0.1 s to count, so their totals are at most 10 s old
SAMPLED = (
    "logical_bytes",
    "physical_bytes",
    "free_bytes",
    "reserve_bytes",
    "transfers",
    "connections",
    "commit_p50_s",
    "commit_p95_s",
    "quarantined",
    "oldest_check_s",
    "uploads_open",
)
MOVED = ("requests", "received_bytes", "sent_bytes")


@dataclass(frozen=True, slots=True)
class Counted:
    """What the catalogue counts row by row, as it was a moment ago."""

    totals: Totals
    uploads: UploadTotals
    garbage: tuple[int, int]  # payloads, bytes
    oldest_checks: tuple[datetime | None, datetime | None]  # light, deep


class Metrics:
    """Asks the parts of one daemon for their numbers."""

    def __init__(
        self,
        store: BlobStore,
        uploads: Uploads,
        upkeep: Upkeep,
        transmitter: Transmitter,
        traffic: Traffic,
        dialects: Sequence[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self.uploads = uploads
        self.upkeep = upkeep
        self.transmitter = transmitter
        self.traffic = traffic
        self.dialects = tuple(dialects)
        self._clock = clock
        self.loop_lag_s = Distribution(LAG_BOUNDS_S)
        self.samples = Samples(SAMPLED + tuple(f"{what}.{dialect}" for what in MOVED for dialect in dialects))
        self._counted: Counted | None = None
        self._next_count_at = 0.0
        self._moved: dict[str, Moved] = {}  # as it was at the last sample

    def moved(self) -> dict[str, Moved]:
        """By dialect, what requests moved since the start; every dialect is there."""
        under_way = [connection.request_under_way for connection in self.traffic.busy]
        found = self.traffic.tallies.moved([request for request in under_way if request is not None])
        return {dialect: found.get(dialect, Moved()) for dialect in self.dialects}

    async def counted(self) -> Counted:
        """What the catalogue counted, now or a moment ago. Raises StorageFailed."""
        began_at = self._clock()
        if self._counted is None or began_at >= self._next_count_at:
            self._next_count_at = math.inf  # one at a time
            try:
                self._counted = await self._count()
            finally:
                ended_at = self._clock()
                self._next_count_at = ended_at + (ended_at - began_at) * COUNTING_SHARE
        return self._counted

    async def _count(self) -> Counted:
        catalogue = self.store.catalogue
        return Counted(
            await catalogue.totals(),
            await catalogue.upload_totals(),
            await catalogue.unreferenced_totals(self.store.now()),
            await catalogue.oldest_checks(),
        )

    # -- samples ------------------------------------------------------------------------------------------

    async def sample(self) -> None:
        """Keep how everything stands now. What cannot be had is left out."""
        moved, before = self.moved(), self._moved
        self._moved = moved
        values: dict[str, Number | None] = {
            "transfers": self.transmitter.active,
            "connections": len(self.traffic.connections),
        }
        for dialect, now in moved.items():
            then = before.get(dialect, Moved())
            for what in MOVED:
                values[f"{what}.{dialect}"] = getattr(now, what) - getattr(then, what)
        took_s = sorted(self.store.catalogue.take_commit_times())
        if took_s:
            values["commit_p50_s"], values["commit_p95_s"] = quantile(took_s, 0.5), quantile(took_s, 0.95)
        at = self.store.now()
        try:
            values["free_bytes"] = await self.store.payloads.free_bytes()
            values["reserve_bytes"] = self.store.payloads.reserve_bytes
            counted = await self.counted()
        except CasdError as error:
            log.warning("sample is incomplete error=%s", error)
        else:
            values["logical_bytes"] = counted.totals.logical_bytes
            values["physical_bytes"] = counted.totals.physical_bytes
            values["quarantined"] = counted.totals.quarantined_payloads
            values["uploads_open"] = counted.uploads.count
            light, _ = counted.oldest_checks
            values["oldest_check_s"] = None if light is None else round((at - light).total_seconds(), 3)
        self.samples.add(at, values)

    async def keep_sampling(self) -> None:
        """A sample each minute, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            next_at = loop.time() + INTERVAL_S
            await self.sample()
            await asyncio.sleep(next_at - loop.time())

    async def keep_feeling_lag(self) -> None:
        """How much later than it wanted a task came to its turn, each second, for ever."""
        while True:
            wanted_at = time.perf_counter() + LAG_INTERVAL_S
            await asyncio.sleep(LAG_INTERVAL_S)
            self.loop_lag_s.add(max(0.0, time.perf_counter() - wanted_at))


def quantile(ascending: Sequence[float], share: float) -> float:
    """The least value that so many of the values do not exceed."""
    return round(ascending[max(0, math.ceil(len(ascending) * share) - 1)], 6)


METRICS = web.AppKey("metrics", Metrics)
