"""How much may still be written: the reserve that stays free, and what open transfers have announced.

The reserve keeps a full disk usable: rows can be deleted, the catalogue can be checkpointed.
"""

import os
from pathlib import Path

from casd.errors import StorageFull

RESERVE_LEAST_BYTES = 512 << 20
WIDE_MARGIN_BYTES = 1 << 30  # so far from full a small upload is let begin without asking the disk in a thread
RESERVE_SHARE = 100  # a hundredth of the file system, where that is more


class Space:
    """Free space of one file system, less the reserve and the claims of open transfers.

    Claims change on the loop only; `check` runs in the thread that is about to write.
    """

    def __init__(self, root: Path, reserve_bytes: int | None) -> None:
        """`reserve_bytes` None: the larger of 512 MiB and 1 % of the file system."""
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

    def check(self, size: int, own_claim: int = 0, free: int | None = None) -> None:
        """Raise StorageFull unless `size` bytes fit beside the claims of others. Asks the disk unless told `free`."""
        free = (self.free_bytes() if free is None else free) - max(0, self.claimed_bytes - own_claim)
        if size > free:
            raise StorageFull(f"{size} bytes do not fit: {max(0, free)} are free above the reserve")


class Claim:
    """What one transfer has announced and not yet written."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self.remaining = 0

    def raise_to(self, size: int) -> None:
        """Claim `size` bytes; the caller has checked that they fit."""
        self._space.claimed_bytes += size - self.remaining
        self.remaining = size

    def raise_by(self, size: int, free: int) -> None:
        """Claim `size` bytes more, of `free` that the disk has. Raises StorageFull."""
        self._space.check(size, free=free)
        self.raise_to(self.remaining + size)

    def written(self, size: int) -> None:
        """`size` bytes are on the disk now, so the disk's own figure counts them."""
        self.raise_to(max(0, self.remaining - size))

    def release(self) -> None:
        self.raise_to(0)
