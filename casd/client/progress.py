"""How far a transfer has come: what it tells whoever watches it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

TELL_BYTES = 1 << 20  # between two calls, unless
TELL_S = 0.1  # have passed: a slow line moves too, and a quick one is not kept busy with telling

Step: TypeAlias = Literal["reading", "moving"]
"""Local bytes are hashed or checked; bytes go to the daemon or come from it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a transfer stands, in bytes of the payload."""

    done: int  # are where they are to be, skipped ones included; grows only, within a step
    total: int | None  # None: nobody knows yet
    skipped: int = 0  # of done: were there already, so nothing moved for them
    again: int = 0  # moved more than once: after a lost connection, or because a block was wrong
    step: Step = "moving"


OnProgress: TypeAlias = Callable[[Progress], None]
"""Told where a transfer stands: at its beginning and end, in between once a MiB or ten times a second."""


class Gauge:
    """Counts for one transfer, and tells. Without somebody to tell it only counts."""

    def __init__(self, total: int | None, tell: OnProgress | None = None) -> None:
        self.total = total
        self.done = self.skipped = self.again = 0
        self._step: Step = "moving"
        self._tell = tell
        self._told_done, self._told_at = -1, 0.0

    def reading(self, done: int) -> None:
        """So many local bytes are read. What moves begins anew at `moving`."""
        self._step, self.done = "reading", done
        self._look()

    def moving(self, skipped: int = 0) -> None:
        """From now on bytes move; so many need not."""
        self._step, self.skipped, self.done = "moving", skipped, skipped
        self.tell()

    def moved(self, count: int) -> None:
        self.done += count
        self._look()

    def passed(self, start: int, stop: int) -> None:
        """The bytes from `start` to `stop` moved, in their order; those before the furthest so far moved again."""
        fresh = max(0, stop - max(start, self.done))
        self.again += stop - start - fresh
        self.moved(fresh)

    def moved_again(self, count: int) -> None:
        self.again += count
        self._look()

    def tell(self) -> None:
        """Whatever was told last."""
        if self._tell is not None:
            self._told_done, self._told_at = self.done + self.again, time.monotonic()
            self._tell(Progress(self.done, self.total, self.skipped, self.again, self._step))

    def _look(self) -> None:
        if self._tell is None:
            return
        is_far = self.done + self.again - self._told_done >= TELL_BYTES or self.done == self.total
        if is_far or time.monotonic() - self._told_at >= TELL_S:
            self.tell()
