"""What the figures should be, and whether they are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tests.bench.case import Outcome, Sample
from tests.bench.catalogues import NUMBERED
from tests.bench.catalogues import TARGETS as KINDS
from tests.bench.crowd import GOOD, name_of
from tests.bench.figures import Spread, column, lower_limit, ratios, spread
from tests.bench.latency import SLOW_CLIENTS
from tests.bench.moving import DOWN, UP
from tests.bench.transfers import RANGE_SIZES_KIB

Samples: TypeAlias = Mapping[str, Sequence[Sample]]

# Of CPU seconds per request, the largest catalogue beside the smallest, a hundredth of it: trees that are two levels
# deeper, and pages that no processor cache holds, cost a quarter more (m); an index that is not used, a hundredfold.
FLAT = 1.5
CROWDED = 3.0  # of a good client's p95 beside hostile ones, whose own process takes its part of the cores
PAGE_LIMIT_MS = 100.0  # of a page by number, wherever it begins in the largest catalogue


@dataclass(frozen=True, slots=True)
class Target:
    """A claim about one case: `figure` of its samples, one a round, has its median on the right side of `limit`."""

    case: str
    says: str
    figure: Callable[[Samples], Sequence[float]]
    limit: float
    is_floor: bool  # the median must not be below the limit; else not above it

    def verdict(self, got: Spread) -> str:
        is_met = got.median >= self.limit if self.is_floor else got.median <= self.limit
        if is_met:
            return "met"
        return f"MISSED by {abs(got.median / self.limit - 1):.0%}"


@dataclass(frozen=True, slots=True)
class Judged:
    target: Target
    got: Spread

    @property
    def verdict(self) -> str:
        return self.target.verdict(self.got)


def judge(outcomes: Sequence[Outcome]) -> list[Judged]:
    """Every target whose case was run."""
    by_name = {outcome.name: outcome for outcome in outcomes}
    return [
        Judged(target, spread(target.figure(by_name[target.case].samples)))
        for target in all_targets()
        if target.case in by_name
    ]


def beside(metric: str, theirs: str, ours: str = "casd") -> Callable[[Samples], Sequence[float]]:
    """casd's figure as a part of another side's, round by round."""
    return lambda samples: ratios(column(samples[ours], metric), column(samples[theirs], metric))


def put_rate(samples: Samples) -> Sequence[float]:
    limits = lower_limit(column(samples["hashes"], "rate"), column(samples["nginx"], "rate"))
    return ratios(column(samples["casd"], "rate"), limits)


def put_cpu(samples: Samples) -> Sequence[float]:
    pairs = zip(column(samples["hashes"], "cpu_s"), column(samples["nginx"], "cpu_s"), strict=True)
    return ratios(column(samples["casd"], "cpu_s"), [hashes + nginx for hashes, nginx in pairs])


def own(metric: str) -> Callable[[Samples], Sequence[float]]:
    return lambda samples: column(samples["casd"], metric)


def growth(metric: str) -> Callable[[Samples], Sequence[float]]:
    """The largest catalogue's figure as a multiple of the smallest one's."""

    def figure(samples: Samples) -> Sequence[float]:
        by_size = sizes(samples)
        return ratios(column(samples[by_size[-1]], metric), column(samples[by_size[0]], metric))

    return figure


def largest(metric: str) -> Callable[[Samples], Sequence[float]]:
    return lambda samples: column(samples[sizes(samples)[-1]], metric)


def sizes(samples: Samples) -> list[str]:
    """The catalogues, smallest first."""
    return sorted(samples, key=lambda side: int(side.replace(",", "")))


def all_targets() -> list[Target]:
    found = []
    for connections in (1, 8):
        case = f"GET large, {connections} connections, second read"
        found.append(Target(case, "of nginx's throughput", beside("rate", "nginx"), 0.95, True))
        found.append(Target(case, "of nginx's CPU per GiB", beside("cpu_s", "nginx"), 1.15, False))
    for kib in RANGE_SIZES_KIB:
        found.append(Target(f"GET ranges of {kib} KiB", "of nginx's rate", beside("rate", "nginx"), 0.8, True))
    found.append(Target("GET 4 KiB by UUID", "of nginx's rate", beside("rate", "nginx"), 0.3, True))
    for streams in (1, 2):
        case = f"PUT large, {streams} streams"
        found.append(Target(case, "of the lower of hashes and nginx + sync", put_rate, 0.85, True))
        found.append(Target(case, "of the CPU of hashes and nginx together", put_cpu, 1.2, False))
    found.append(Target("PUT 4 KiB, 32 clients", "of 32 bare threads", beside("rate", "threads"), 0.5, True))
    found.append(Target("/healthz beside 8 cold downloads", "ms p50", own("p50_ms"), 5.0, False))
    for direction in ("GET", "PUT"):
        case = f"memory of {SLOW_CLIENTS} slow {direction}s"
        found.append(Target(case, "MiB added", own("memory_mib"), 64.0, False))
    found.append(Target(UP, "of curl -T's time, casd put", beside("seconds", "curl"), 1.15, False))
    found.append(Target(UP, "of curl -T's time, tus", beside("seconds", "curl", "tus"), 1.15, False))
    found.append(Target(DOWN, "of curl's time, casd get", beside("seconds", "curl"), 1.15, False))
    for kind in GOOD:
        found.append(Target(name_of(kind), "of the p95 alone", beside("p95_ms", "alone", "crowded"), CROWDED, False))
    for kind in KINDS:
        found.append(Target(kind, "of the smallest catalogue's CPU", growth("cpu_s"), FLAT, False))
    for kind in NUMBERED:
        found.append(Target(kind, "ms p99 in the largest catalogue", largest("p99_ms"), PAGE_LIMIT_MS, False))
    return found
