"""The metrics by which Prometheus knows casd: what each is called, what it means, and by which labels it is told.

A label's values come from a closed list: a route is its pattern, never a path; no name, token or address is one.
`casd help metrics` has the same table, and a test compares them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from casd.distribution import Distribution


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Family:
    kind: Kind
    name: str  # without the `_total` that a counter's samples end in
    meaning: str
    labels: tuple[str, ...] = ()

    @property
    def shown_name(self) -> str:
        return f"{self.name}_total" if self.kind is Kind.COUNTER else self.name


Value = float | Distribution
Values = Mapping[str, Iterable[tuple[tuple[str, ...], Value]]]  # by family: the labels' values, and the figure

FAMILIES = (
    # Requests
    Family(
        Kind.COUNTER,
        "casd_requests",
        "Requests that have ended; status none where the head of an answer never left.",
        ("dialect", "route", "method", "status"),
    ),
    Family(
        Kind.HISTOGRAM,
        "casd_response_seconds",
        "Time until an answer began, without what the client took to send its body.",
        ("dialect", "route", "method"),
    ),
    Family(Kind.COUNTER, "casd_broken_requests", "Requests that ended without their whole answer.", ("ending",)),
    Family(Kind.COUNTER, "casd_received_bytes", "Bytes of request bodies, as they arrive.", ("dialect",)),
    Family(Kind.COUNTER, "casd_sent_bytes", "Bytes of answers, heads included, as they are sent.", ("dialect",)),
    Family(Kind.GAUGE, "casd_requests_in_flight", "Requests that are being answered."),
    Family(Kind.GAUGE, "casd_transfers_in_flight", "Payloads that are being sent."),
    Family(Kind.GAUGE, "casd_bodies_in_flight", "Request bodies that are arriving."),
    Family(Kind.GAUGE, "casd_connections", "Open connections."),
    Family(Kind.COUNTER, "casd_refused_connections", "Connections that there was no room for."),
    Family(Kind.COUNTER, "casd_displaced_connections", "Idle connections that were closed to make room for others."),
    Family(Kind.GAUGE, "casd_waiting_requests", "Requests that wait for their turn.", ("queue",)),
    Family(
        Kind.COUNTER, "casd_overloaded_requests", "Requests that had no turn in time, or no room to wait.", ("queue",)
    ),
    Family(Kind.COUNTER, "casd_rate_limited_requests", "Requests beyond the rate that their token may have."),
    Family(Kind.GAUGE, "casd_untaken_bytes", "Bytes of answers in memory that clients have not taken yet."),
    Family(Kind.GAUGE, "casd_draining", "1 while the daemon lets its last requests finish."),
    # What is stored
    Family(Kind.GAUGE, "casd_blobs", "Blobs that are stored."),
    Family(Kind.GAUGE, "casd_payloads", "Payloads that are stored, each once."),
    Family(Kind.GAUGE, "casd_logical_bytes", "Bytes as they are read: a payload counts once for each of its blobs."),
    Family(Kind.GAUGE, "casd_physical_bytes", "Bytes on the disk: a payload counts once."),
    Family(Kind.GAUGE, "casd_exclusive_bytes", "Bytes of the payloads that have one blob alone."),
    Family(Kind.GAUGE, "casd_garbage_bytes", "Bytes that a collection would remove now."),
    Family(Kind.GAUGE, "casd_quarantined_payloads", "Payloads that are damaged and not stored again yet."),
    Family(Kind.COUNTER, "casd_stored_payloads", "Payloads that arrived whole and were stored."),
    Family(Kind.COUNTER, "casd_stored_bytes", "Bytes of them."),
    Family(Kind.COUNTER, "casd_deduplicated_payloads", "Those of them that took no space: they were stored before."),
    Family(Kind.COUNTER, "casd_deduplicated_bytes", "Bytes of these."),
    Family(Kind.GAUGE, "casd_free_bytes", "Bytes that can be stored before the reserve is touched."),
    Family(Kind.GAUGE, "casd_reserve_bytes", "Bytes that stay free on the disk."),
    Family(Kind.GAUGE, "casd_announced_bytes", "Bytes that transfers in progress have announced and not yet written."),
    Family(Kind.GAUGE, "casd_open_uploads", "Resumable uploads that are not finished."),
    Family(Kind.GAUGE, "casd_active_uploads", "Those of them that a request has in hand."),
    Family(Kind.GAUGE, "casd_open_upload_bytes", "Bytes of them that are there."),
    Family(Kind.GAUGE, "casd_full_namespaces", "Namespaces that hold nine tenths of a quota, or more."),
    # The catalogue
    Family(Kind.HISTOGRAM, "casd_commit_seconds", "Time that a commit of the catalogue took."),
    Family(Kind.HISTOGRAM, "casd_commit_operations", "Writes that went into a commit together."),
    Family(Kind.COUNTER, "casd_failed_commits", "Commits of the catalogue that failed."),
    Family(Kind.GAUGE, "casd_waiting_writes", "Writes that no commit has taken up yet."),
    Family(Kind.GAUGE, "casd_wal_bytes", "Length of the catalogue's write-ahead log."),
    Family(Kind.COUNTER, "casd_lookups", "Look-ups in the catalogue, by whether the cache knew.", ("result",)),
    Family(Kind.GAUGE, "casd_cached_lookups", "Answers that the cache holds."),
    # Integrity
    Family(Kind.COUNTER, "casd_checked_payloads", "Payloads that scrubs have read."),
    Family(Kind.COUNTER, "casd_checked_bytes", "Bytes that scrubs have read."),
    Family(
        Kind.GAUGE,
        "casd_oldest_check_timestamp_seconds",
        "When the payload that was not checked for longest was; absent in an empty store.",
        ("depth",),
    ),
    Family(Kind.COUNTER, "casd_read_blocks", "Blocks of 1 MiB that were checked as they were sent."),
    Family(Kind.COUNTER, "casd_mismatched_blocks", "Those of them that did not have their checksum."),
    Family(Kind.COUNTER, "casd_verdicts", "Doubted payloads that were read again and judged.", ("verdict",)),
    Family(Kind.COUNTER, "casd_repaired_payloads", "Damaged payloads that were fetched from another store."),
    # Upkeep
    Family(Kind.COUNTER, "casd_upkeep_runs", "Runs of upkeep that have ended.", ("kind", "result")),
    Family(Kind.GAUGE, "casd_upkeep_running", "1 while a run of upkeep is under way.", ("kind",)),
    Family(
        Kind.GAUGE,
        "casd_upkeep_success_timestamp_seconds",
        "When the last good run of upkeep ended; absent before the first.",
        ("kind",),
    ),
    Family(Kind.COUNTER, "casd_collected_payloads", "Payloads that collections have removed."),
    Family(Kind.COUNTER, "casd_collected_bytes", "Bytes of them."),
    Family(Kind.COUNTER, "casd_expired", "What was ended because its time was over.", ("kind",)),
    # The process
    Family(Kind.HISTOGRAM, "casd_loop_lag_seconds", "How much too late a task on the event loop got its turn."),
    Family(Kind.GAUGE, "casd_build_info", "Always 1; what is running.", ("version", "python", "event_loop")),
)


def rendered(values: Values) -> Iterator[Metric]:
    """All families with their figures; a family without one is told all the same."""
    unknown = set(values) - {family.name for family in FAMILIES}
    assert not unknown, unknown
    for family in FAMILIES:
        yield metric_of(family, values.get(family.name, ()))


def metric_of(family: Family, figures: Iterable[tuple[tuple[str, ...], Value]]) -> Metric:
    if family.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(family.name, family.meaning, labels=family.labels)
        for labels, value in figures:
            assert isinstance(value, Distribution)
            histogram.add_metric(labels, buckets_of(value), value.sum)
        return histogram
    kind = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    metric = kind(family.name, family.meaning, labels=family.labels)
    for labels, value in figures:
        assert not isinstance(value, Distribution)
        metric.add_metric(labels, value)
    return metric


def buckets_of(found: Distribution) -> list[tuple[str, float]]:
    """Each bound with how many values were at most that."""
    buckets, count = [], 0
    for bound, own in zip((*map(float, found.bounds), float("inf")), found.counts, strict=True):
        count += own
        buckets.append(("+Inf" if bound == float("inf") else repr(bound), float(count)))
    return buckets
