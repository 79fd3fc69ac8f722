"""What is counted of each request when it ends: by route, method and status, never by a name, token or path."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from casd.distribution import Distribution
from casd.web.keys import DIALECT, ROUTE, Ending

METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"  # a method that no route takes
UNMATCHED = "unmatched"  # no route has this path, or none this method, or the head did not parse
NO_STATUS = "none"  # the head of an answer never left
RESPONSE_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1, 5, 30)  # a small GET from memory takes 0.2 ms


@dataclass(slots=True)
class Tally:
    """All requests of one route and method that got one status."""

    dialect: str
    route: str
    method: str
    status: str
    response_s: Distribution = field(default_factory=lambda: Distribution(RESPONSE_BOUNDS_S))
    received_bytes: int = 0
    sent_bytes: int = 0

    @property
    def count(self) -> int:
        return sum(self.response_s.counts)


@dataclass(slots=True)
class Moved:
    """How many requests a dialect had, and what their clients sent and got."""

    requests: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0


class Tallies:
    """The requests of a daemon since its start."""

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, str, str, int | None], Tally] = {}
        self.endings: Counter[Ending] = Counter()

    def add(self, request: web.BaseRequest, status: int | None, ending: Ending, response_s: float) -> None:
        """Count a request that has ended. `response_s` is what casd took until the answer began."""
        method = request.method if request.method in METHODS else OTHER
        key = (request.get(DIALECT, "native"), request.get(ROUTE, UNMATCHED), method, status)
        tally = self._tallies.get(key)
        if tally is None:
            dialect, route, method, _ = key
            tally = self._tallies[key] = Tally(dialect, route, method, NO_STATUS if status is None else str(status))
        tally.response_s.add(response_s)
        tally.received_bytes += request.content.total_bytes
        tally.sent_bytes += request.writer.output_size
        if ending is not Ending.ANSWERED:
            self.endings[ending] += 1

    def __iter__(self) -> Iterator[Tally]:
        return iter(self._tallies.values())

    def moved(self, under_way: Iterable[web.BaseRequest]) -> Mapping[str, Moved]:
        """By dialect. What moves in requests `under_way` counts already: a transfer can take hours."""
        found: defaultdict[str, Moved] = defaultdict(Moved)
        for tally in self:
            moved = found[tally.dialect]
            moved.requests += tally.count
            moved.received_bytes += tally.received_bytes
            moved.sent_bytes += tally.sent_bytes
        for request in under_way:
            moved = found[request.get(DIALECT, "native")]
            moved.received_bytes += request.content.total_bytes
            moved.sent_bytes += request.writer.output_size
        return found
