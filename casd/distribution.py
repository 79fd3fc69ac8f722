"""How values spread: counted by bounds, as a histogram of Prometheus' is."""

from bisect import bisect_left
from collections.abc import Sequence


class Distribution:
    """How many values were at most each bound, how many above the last, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` ascend."""
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def merge(self, other: "Distribution") -> None:
        """Count what the other has counted too; its bounds are these."""
        self.counts = [own + its for own, its in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum
