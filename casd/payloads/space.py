"""How much may still be written: the reserve that stays free, and what open transfers have announced.

The reserve keeps a full disk usable: rows can be deleted, the catalogue can be checkpointed.

What somebody announces is kept free for it from others of the same owner, whether its bytes come or not. From strangers
it is kept free as far as it is earned by bytes that come, so that a thousand clients who announce a terabyte each and
send nothing cost nobody else anything.
"""

import os
import time
from collections.abc import Callable, Hashable
from pathlib import Path

from casd.errors import StorageFull

RESERVE_LEAST_BYTES = 512 << 20
WIDE_MARGIN_BYTES = 1 << 30  # so far from full a small upload is let begin without asking the disk in a thread
EARNED_S = 86_400.0  # a claim is earned as far as it would be filled within a day, at the speed of its bytes so far
FRESH_S = 30.0  # so long the owner's others make way for a claim that nothing comes of
RESERVE_SHARE = 100  # a hundredth of the file system, where that is more


class Space:
    """Free space of one file system, less the reserve and the claims of open transfers.

    Claims change on the loop only; `check` runs in the thread that is about to write.
    """

    def __init__(self, root: Path, reserve_bytes: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        """`reserve_bytes` None: the larger of 512 MiB and 1 % of the file system."""
        self.clock = clock
        self.claims: set[Claim] = set()
        self._root = root
        self._reserve_bytes = reserve_bytes
        self._told_bytes = 0  # what the disk said last
        self.reserve_bytes = reserve_bytes or 0  # as it was when the disk was asked last
        self.claimed_bytes = 0

    def free_bytes(self) -> int:
        """What the disk would still take before the reserve is touched; claims not counted. Asks the disk."""
        now = os.statvfs(self._root)
        reserve = self._reserve_bytes
        if reserve is None:
            reserve = max(RESERVE_LEAST_BYTES, now.f_blocks * now.f_frsize // RESERVE_SHARE)
        self.reserve_bytes = reserve
        self._told_bytes = now.f_bavail * now.f_frsize - reserve
        return self._told_bytes

    def surely_has(self, size: int) -> bool:
        """Whether `size` bytes fit by a wide margin, by what the disk said last. Asks nothing; `check` decides."""
        return self.claimed_bytes + size < self._told_bytes - WIDE_MARGIN_BYTES

    def check(self, size: int, claim: "Claim", free: int | None = None) -> None:
        """Raise StorageFull unless `size` bytes fit beside the claims of others. Asks the disk unless told `free`."""
        free = self.free_bytes() if free is None else free
        if size <= free - max(0, self.claimed_bytes - claim.remaining):
            return
        free -= self.kept_from(claim.owner, claim)
        if size > free:
            raise StorageFull(f"{size} bytes do not fit: {max(0, free)} are free above the reserve")

    def kept_from(self, owner: Hashable, but: "Claim | None" = None) -> int:
        """The bytes of claims that one of that owner must leave alone."""
        now = self.clock()
        # A copy: the claims change on the loop, and a thread that is about to write may be asking.
        return sum(claim.standing(owner, now) for claim in tuple(self.claims) if claim is not but)


class Claim:
    """What one transfer has announced and not yet written."""

    def __init__(self, space: Space, owner: Hashable = None) -> None:
        """`owner` is whose others make way for it; None is nobody in particular, and one of many."""
        self._space = space
        self.owner = owner
        self.remaining = 0
        self._written = 0
        self._began_at = self._moved_at = space.clock()

    def standing(self, owner: Hashable, now: float) -> int:
        """How much of it one of that owner must leave alone."""
        if owner == self.owner and now - self._moved_at < FRESH_S:
            return self.remaining
        return min(self.remaining, int(self._written * EARNED_S / max(1.0, now - self._began_at)))

    def raise_to(self, size: int) -> None:
        """Claim `size` bytes; the caller has checked that they fit."""
        self._space.claimed_bytes += size - self.remaining
        self.remaining = size
        if size:
            self._space.claims.add(self)
        else:
            self._space.claims.discard(self)

    def raise_by(self, size: int, free: int) -> None:
        """Claim `size` bytes more, of `free` that the disk has. Raises StorageFull."""
        self._space.check(self.remaining + size, self, free)
        self.raise_to(self.remaining + size)

    def written(self, size: int) -> None:
        """`size` bytes are on the disk now, so the disk's own figure counts them."""
        self._written += size
        self._moved_at = self._space.clock()
        self.raise_to(max(0, self.remaining - size))

    def release(self) -> None:
        self.raise_to(0)
