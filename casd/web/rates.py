"""How often each client may ask: a bucket for each, which fills by so many a second."""

from collections import OrderedDict
from collections.abc import Hashable

from casd.errors import RateLimited

KNOWN = 10_000  # clients; whoever was not seen for longest begins anew


class Rates:
    """The buckets of all clients that asked lately."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()  # how many are left, and when
        self.refused = 0

    def spend(self, key: Hashable, per_s: float, burst: float, now: float) -> None:
        """Raises RateLimited."""
        left, at = self._buckets.pop(key, (burst, now))
        left = min(burst, left + (now - at) * per_s)
        self._buckets[key] = (left - 1 if left >= 1 else left, now)
        if len(self._buckets) > KNOWN:
            self._buckets.popitem(last=False)
        if left < 1:
            self.refused += 1
            raise RateLimited(f"this is more than {per_s:g} requests a second: come back later", (1 - left) / per_s)
