"""The arithmetic of a comparison: rotating order, medians with their spread, ratios within a round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of some measurements, and the least and the greatest of them."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    return Spread(median(values), min(values), max(values))


def rotated(sides: Sequence[T], turn: int) -> list[T]:
    """The order of the sides in that round: each is first, and each follows each other, equally often."""
    shift = turn % len(sides)
    order = [*sides[shift:], *sides[:shift]]
    # Rotating alone would keep the neighbours: every second time around it goes backwards.
    return order if turn // len(sides) % 2 == 0 else order[::-1]


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours as a part of theirs, round by round. A round without theirs says nothing and is left out."""
    return [mine / yours for mine, yours in zip(ours, theirs, strict=True) if yours > 0]


def lower_limit(*limits: Sequence[float]) -> list[float]:
    """The tightest of several limits, round by round."""
    return [min(together) for together in zip(*limits, strict=True)]


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest value that `part` of all values do not exceed."""
    return sorted(values)[max(0, ceil(len(values) * part) - 1)]


def column(samples: Sequence[Mapping[str, float]], metric: str) -> list[float]:
    """One metric of all rounds."""
    return [sample[metric] for sample in samples]
