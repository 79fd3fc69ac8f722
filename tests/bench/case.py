"""A case is what is compared: its sides are run one after the other in each round, in rotating order."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from tests.bench.figures import rotated

Sample: TypeAlias = Mapping[str, float]
"""What one run of one side gave. Known metrics: see METRICS."""


@dataclass(frozen=True, slots=True)
class Metric:
    """How a figure is written, and what it is a figure of."""

    title: str
    text: str


METRICS = {
    "rate": Metric("{unit}/s", "{:,.4g}"),
    "cpu_s": Metric("CPU s/{unit}", "{:.3g}"),
    "client": Metric("client cores", "{:.2f}"),
    "seconds": Metric("s", "{:.3f}"),
    "client_s": Metric("client CPU s", "{:.2f}"),
    "p50_ms": Metric("p50 ms", "{:.2f}"),
    "p95_ms": Metric("p95 ms", "{:.2f}"),
    "p99_ms": Metric("p99 ms", "{:.2f}"),
    "memory_mib": Metric("added MiB", "{:.1f}"),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One comparison. Each side's function runs it once; what it has to prepare first is not part of its figures."""

    name: str
    sides: Mapping[str, Callable[[], Sample]]
    unit: str = "GiB"  # of rates and of CPU seconds


@dataclass(slots=True)
class Outcome:
    """A case's samples by side, one for each round."""

    name: str
    unit: str
    samples: dict[str, list[Sample]] = field(default_factory=dict)


def run(cases: Sequence[Case], rounds: int) -> Iterator[Outcome]:
    """Run each case for that many rounds; yields as they end."""
    for case in cases:
        outcome = Outcome(case.name, case.unit, {side: [] for side in case.sides})
        for turn in range(rounds):
            for side in rotated(list(case.sides), turn):
                outcome.samples[side].append(case.sides[side]())
        yield outcome


def rated(amount: float, seconds: float, cpu_s: float, client_cpu_s: float) -> Sample:
    """The figures of some work: `amount` in the case's unit."""
    return {
        "rate": amount / seconds,
        "cpu_s": cpu_s / amount,
        "client": client_cpu_s / seconds,
    }
