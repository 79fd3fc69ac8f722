"""How the daemon stood each minute of the last day, in memory: what a page plots."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

INTERVAL_S = 60
KEPT = 24 * 60  # a day; 40 figures of 8 bytes each time, so 0.5 MiB

Number = int | float


@dataclass(frozen=True, slots=True)
class Sample:
    """The figures of one moment, in the order of the series' names; None for one that could not be had."""

    at: datetime
    values: tuple[Number | None, ...]


class Samples:
    """The samples of the last day, the oldest first."""

    def __init__(self, names: tuple[str, ...]) -> None:
        """`names` are those of the series."""
        self.names = names
        self._kept: deque[Sample] = deque(maxlen=KEPT)

    def add(self, at: datetime, values: Mapping[str, Number | None]) -> None:
        self._kept.append(Sample(at, tuple(values.get(name) for name in self.names)))

    def since(self, at: datetime | None) -> list[Sample]:
        """Those that are later."""
        return [sample for sample in self._kept if at is None or sample.at > at]
