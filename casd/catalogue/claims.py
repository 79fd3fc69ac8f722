"""Room in the quotas of namespaces: what their blobs use, and what transfers under way have claimed of the rest.

A claim stands for one blob that is to be made. It is raised and let go on the loop, between two awaits, and the
transaction that makes the blob turns it into use in the same step: no other transfer ever sees both, or neither. That
keeps refusals honest; the truth is what a transaction finds when it makes a blob.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from casd.errors import QuotaExceeded

NEARLY_FULL = 0.9  # of a quota: what an operator wants to hear of before writers are refused


@dataclass(frozen=True, slots=True)
class Use:
    """What a namespace has, and what it may have, as one transaction left it."""

    namespace: str
    used_bytes: int = 0
    used_blobs: int = 0
    quota_bytes: int | None = None
    quota_blobs: int | None = None
    order: int = 0  # of two, the later one has the higher number


@dataclass(frozen=True, slots=True)
class Spared:
    """What goes when the next version of a name is published."""

    size: int = 0
    blobs: int = 0


NOTHING = Spared()


class Claim:
    """What one transfer claims in a namespace: a blob of `size` bytes. Nothing, once it is released."""

    def __init__(self, claims: "Claims", namespace: str, name: str | None = None) -> None:
        self.namespace = namespace
        self.name = name  # whose next version it is to be, where that is known
        self.size: int | None = None  # None: nothing is claimed
        self.spared = NOTHING
        self._claims = claims

    @property
    def counted(self) -> tuple[int, int]:
        """The bytes and blobs that it counts for, beside what it spares."""
        if self.size is None:
            return 0, 0
        return max(0, self.size - self.spared.size), max(0, 1 - self.spared.blobs)

    def cover(self, size: int) -> None:
        """Claim `size` bytes in all, unless it claims more already. Raises QuotaExceeded; then it is as it was."""
        if self.size is None or size > self.size:
            self._claims.raise_to(self, size)

    def spare(self, spared: Spared) -> None:
        """Let go of it all; what `cover` claims then is less by this."""
        self.release()
        self.spared = spared

    def release(self) -> None:
        """Let go of it all; `cover` claims again. A second time is no error."""
        self._claims.release(self)


class Claims:
    """The claims on all namespaces of one catalogue."""

    def __init__(self, uses: Iterable[Use]) -> None:
        self._uses = {use.namespace: use for use in uses}
        self._reserved: dict[str, tuple[int, int]] = {}  # of namespaces with claims

    def use(self, namespace: str) -> Use:
        return self._uses.get(namespace) or Use(namespace)

    def reserved(self, namespace: str) -> tuple[int, int]:
        """The bytes and blobs that are claimed."""
        return self._reserved.get(namespace, (0, 0))

    def nearly_full(self) -> list[Use]:
        """The namespaces whose use and claims have nearly reached a quota, the fullest first."""
        full = [(self._fullness(use), use) for use in self._uses.values()]
        return [
            use
            for fullness, use in sorted(full, key=lambda one: (-one[0], one[1].namespace))
            if fullness >= NEARLY_FULL
        ]

    def _fullness(self, use: Use) -> float:
        more_bytes, more_blobs = self.reserved(use.namespace)
        pairs = ((use.used_bytes + more_bytes, use.quota_bytes), (use.used_blobs + more_blobs, use.quota_blobs))
        return max((used / quota if quota else 1.0 for used, quota in pairs if quota is not None), default=0.0)

    def raise_to(self, claim: Claim, size: int) -> None:
        """Raises QuotaExceeded."""
        before, old_size = claim.counted, claim.size
        use, (more_bytes, more_blobs) = self.use(claim.namespace), self.reserved(claim.namespace)
        claim.size = size
        wanted = claim.counted
        others = more_bytes - before[0], more_blobs - before[1]
        try:
            check(claim.namespace, "bytes", use.quota_bytes, use.used_bytes, others[0], wanted[0])
            check(claim.namespace, "blobs", use.quota_blobs, use.used_blobs, others[1], wanted[1])
        except QuotaExceeded:
            claim.size = old_size
            raise
        self._reserved[claim.namespace] = others[0] + wanted[0], others[1] + wanted[1]

    def release(self, claim: Claim) -> None:
        if claim.size is None:
            return
        counted, (more_bytes, more_blobs) = claim.counted, self.reserved(claim.namespace)
        claim.size = None
        left = more_bytes - counted[0], more_blobs - counted[1]
        if left == (0, 0):
            self._reserved.pop(claim.namespace, None)
        else:
            self._reserved[claim.namespace] = left

    def committed(self, touched: Iterable[object]) -> None:
        """Take over what transactions left: uses are as they say, and claims that became blobs are gone."""
        for item in touched:
            if isinstance(item, Use) and item.order >= self.use(item.namespace).order:
                self._uses[item.namespace] = item
            elif isinstance(item, Claim):
                item.release()


def check(namespace: str, what: str, quota: int | None, used: int, reserved: int, wanted: int) -> None:
    """Raises QuotaExceeded; who wants nothing of it is not refused."""
    if quota is not None and wanted and used + reserved + wanted > quota:
        raise QuotaExceeded(namespace, what, quota, used, reserved, wanted)
