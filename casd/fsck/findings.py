"""What a check finds: what, what it means, what repair does about it, and whether it did."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from casd.catalogue.values import Hit
from casd.model import Digest
from casd.payloads.proving import Progress


class Outcome(StrEnum):
    """How it stands with a finding when the check has ended."""

    NOTED = "noted"  # nothing is wrong: what a crash may leave, and a daemon tidies up
    LEFT = "left"  # something is wrong, and still is
    CONTAINED = "contained"  # bytes are lost; repair has seen to it that nobody takes them for good
    REPAIRED = "repaired"


@dataclass(frozen=True, slots=True)
class Finding:
    code: str  # stable: for programs
    what: str
    means: str
    way_out: str  # what repair does, or a person can do
    outcome: Outcome
    digest: Digest | None = None
    hit: Hit | None = None


Found = Callable[[Finding], None]


@dataclass(frozen=True, slots=True)
class Task:
    """What to do, on which folder, and where to tell of it."""

    data: Path
    for_repair: bool
    is_deep: bool
    progress: Progress
    found: Found
    now: Callable[[], datetime]

    def tell(
        self,
        code: str,
        what: str,
        means: str,
        way_out: str,
        mend: Callable[[], bool] | None = None,
        *,
        is_note: bool = False,
    ) -> None:
        """Tell of it, after it was mended if that is wanted and can be."""
        outcome = Outcome.NOTED if is_note else Outcome.LEFT
        if self.for_repair and mend is not None and mend():
            outcome = Outcome.REPAIRED
        self.found(Finding(code, what, means, way_out, outcome))
