"""`/metrics`: the daemon's numbers put into families, and written as Prometheus reads them.

What the parts counted is copied on the loop, some hundred numbers; the text is made in a thread.
"""

import asyncio
import platform
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics import exposition as openmetrics

from casd import __version__
from casd.distribution import Distribution
from casd.errors import CasdError
from casd.judging import Verdict
from casd.web.families import Value, rendered
from casd.web.keys import Ending
from casd.web.metrics import Metrics
from casd.web.tallies import RESPONSE_BOUNDS_S

# Not the library's own choice: it takes version and escaping from the header as they are, and fails on odd ones.
OPEN_METRICS = "application/openmetrics-text"
OPEN_METRICS_TYPE = f"{OPEN_METRICS}; version=1.0.0; charset=utf-8"
KINDS = ("expire", "collect-garbage", "scrub", "repair")
EXPIRED = ("blobs", "names", "versions", "uploads", "tokens")
Figures = dict[str, list[tuple[tuple[str, ...], Value]]]


@dataclass(frozen=True, slots=True, eq=False)  # a registry wants to hash it
class Once:
    """A collector of figures that were taken already."""

    figures: Figures

    def collect(self) -> Iterator[Metric]:
        return rendered(self.figures)


async def scraped(metrics: Metrics, accept: str) -> tuple[bytes, str]:
    """The text of all metrics and its content type: OpenMetrics where `accept` asks for it, else Prometheus' own."""
    figures = await figures_of(metrics)
    is_open = OPEN_METRICS in accept
    text = await asyncio.to_thread(written, figures, is_open)
    return text, OPEN_METRICS_TYPE if is_open else CONTENT_TYPE_PLAIN_0_0_4


def written(figures: Figures, is_open: bool) -> bytes:
    registry = registry_of(figures)
    # prometheus-client 0.26 says no types of the one, and writes bytes.
    text: bytes = openmetrics.generate_latest(registry) if is_open else generate_latest(registry)  # type: ignore[no-untyped-call]
    return text


def registry_of(figures: Figures) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Once(figures))
    ProcessCollector(registry=registry)
    return registry


async def figures_of(metrics: Metrics) -> Figures:
    """What there is to tell; what a broken disk or catalogue cannot tell is left out."""
    figures = requests_of(metrics) | integrity_of(metrics) | upkeep_of(metrics)
    figures |= {
        "casd_loop_lag_seconds": [((), metrics.loop_lag_s)],
        "casd_build_info": [((__version__, platform.python_version(), loop_name()), 1)],
    }
    for asked in (stored_of(metrics), catalogue_of(metrics)):
        try:
            figures |= await asked
        except CasdError:  # /readyz and the log tell of it
            continue
    return figures


def loop_name() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def plain(values: dict[str, float]) -> Figures:
    """Figures without labels."""
    return {name: [((), value)] for name, value in values.items()}


def by_label(values: Iterable[tuple[str, float]]) -> list[tuple[tuple[str, ...], Value]]:
    return [((label,), value) for label, value in values]


# -- requests -------------------------------------------------------------------------------------------------------


def requests_of(metrics: Metrics) -> Figures:
    traffic, moved = metrics.traffic, metrics.moved()
    queues = (("requests", traffic.requests), ("transfers", traffic.transfers))
    counted: Counter[tuple[str, ...]] = Counter()
    response_s: dict[tuple[str, ...], Distribution] = {}
    for tally in traffic.tallies:
        route = (tally.dialect, tally.route, tally.method)
        counted[*route, tally.status] += tally.count
        response_s.setdefault(route, Distribution(RESPONSE_BOUNDS_S)).merge(tally.response_s)
    return {
        "casd_requests": list(counted.items()),
        "casd_response_seconds": list(response_s.items()),
        "casd_broken_requests": by_label(
            (ending.value, traffic.tallies.endings[ending]) for ending in Ending if ending is not Ending.ANSWERED
        ),
        "casd_received_bytes": by_label((dialect, each.received_bytes) for dialect, each in moved.items()),
        "casd_sent_bytes": by_label((dialect, each.sent_bytes) for dialect, each in moved.items()),
        "casd_waiting_requests": by_label((name, queue.waiting) for name, queue in queues),
        "casd_overloaded_requests": by_label((name, queue.refused) for name, queue in queues),
        **plain(
            {
                "casd_requests_in_flight": len(traffic.busy),
                "casd_transfers_in_flight": metrics.transmitter.active,
                "casd_bodies_in_flight": len(traffic.bodies),
                "casd_connections": len(traffic.connections),
                "casd_refused_connections": traffic.refused_connections,
                "casd_displaced_connections": traffic.displaced_connections,
                "casd_rate_limited_requests": traffic.rates.refused,
                "casd_untaken_bytes": traffic.stalled_bytes,
                "casd_draining": traffic.is_draining,
            }
        ),
    }


# -- what is stored -------------------------------------------------------------------------------------------------


async def stored_of(metrics: Metrics) -> Figures:
    """Raises StorageFailed."""
    payloads, arrivals = metrics.store.payloads, metrics.store.payloads.arrivals
    free_bytes = await payloads.free_bytes()
    counted = await metrics.counted()
    totals, (_, garbage_bytes) = counted.totals, counted.garbage
    oldest = zip(("light", "deep"), counted.oldest_checks, strict=True)
    return {
        **plain(
            {
                "casd_blobs": totals.blobs,
                "casd_payloads": totals.payloads,
                "casd_logical_bytes": totals.logical_bytes,
                "casd_physical_bytes": totals.physical_bytes,
                "casd_exclusive_bytes": totals.exclusive_bytes,
                "casd_quarantined_payloads": totals.quarantined_payloads,
                "casd_garbage_bytes": garbage_bytes,
                "casd_stored_payloads": arrivals.payloads,
                "casd_stored_bytes": arrivals.bytes,
                "casd_deduplicated_payloads": arrivals.known_payloads,
                "casd_deduplicated_bytes": arrivals.known_bytes,
                "casd_free_bytes": free_bytes,
                "casd_reserve_bytes": payloads.reserve_bytes,
                "casd_announced_bytes": payloads.reserved_bytes,
                "casd_full_namespaces": len(metrics.store.catalogue.claims.nearly_full()),
                "casd_open_uploads": counted.uploads.count,
                "casd_active_uploads": metrics.uploads.active,
                "casd_open_upload_bytes": counted.uploads.received_bytes,
            }
        ),
        "casd_oldest_check_timestamp_seconds": by_label(
            (depth, at.timestamp()) for depth, at in oldest if at is not None
        ),
    }


async def catalogue_of(metrics: Metrics) -> Figures:
    """Raises StorageFailed."""
    found = await metrics.store.catalogue.workings()
    return {
        "casd_commit_seconds": [((), found.commit_s)],
        "casd_commit_operations": [((), found.commit_operations)],
        "casd_lookups": by_label([("hit", found.cache_hits), ("miss", found.cache_misses)]),
        **plain(
            {
                "casd_failed_commits": found.failed_commits,
                "casd_waiting_writes": metrics.store.catalogue.pending_writes,
                "casd_wal_bytes": found.wal_bytes,
                "casd_cached_lookups": found.cached,
            }
        ),
    }


# -- integrity and upkeep -------------------------------------------------------------------------------------------


def integrity_of(metrics: Metrics) -> Figures:
    judge, reads = metrics.store.judge, metrics.store.reads.counts
    return {
        "casd_verdicts": by_label(
            (verdict.value, judge.verdicts[verdict]) for verdict in Verdict if verdict is not Verdict.UNKNOWN
        ),
        **plain({"casd_read_blocks": reads.blocks, "casd_mismatched_blocks": reads.mismatches}),
    }


def upkeep_of(metrics: Metrics) -> Figures:
    upkeep = metrics.upkeep
    histories = {kind: upkeep.history(kind) for kind in KINDS}
    ended_at = {kind: history.last_done_at for kind, history in histories.items()}
    scrubbed, collected, expired = histories["scrub"], histories["collect-garbage"], histories["expire"]
    return {
        "casd_upkeep_runs": [
            ((kind, result), count)
            for kind, history in histories.items()
            for result, count in (("done", history.done), ("failed", history.failed))
        ],
        "casd_upkeep_running": by_label((kind, upkeep.is_running(kind)) for kind in KINDS),
        "casd_upkeep_success_timestamp_seconds": by_label(
            (kind, at.timestamp()) for kind, at in ended_at.items() if at is not None
        ),
        "casd_expired": by_label((what, expired.sums[what]) for what in EXPIRED),
        **plain(
            {
                "casd_checked_payloads": scrubbed.sums["payloads"],
                "casd_checked_bytes": scrubbed.sums["bytes"],
                "casd_collected_payloads": collected.sums["payloads"],
                "casd_collected_bytes": collected.sums["bytes"],
                "casd_repaired_payloads": histories["repair"].sums["repaired"],
            }
        ),
    }
