"""What a run of scrub found."""

from dataclasses import dataclass

from casd.catalogue.values import Hit
from casd.judging import Verdict
from casd.model import Digest


@dataclass(frozen=True, slots=True)
class Finding:
    """A payload that is damaged, gone or cannot be read, and whom that hits."""

    digest: Digest
    verdict: Verdict
    why: str
    hit: Hit


@dataclass(frozen=True, slots=True)
class ScrubReport:
    """What one run read and found; with `is_dry_run`, nothing was done about it."""

    payloads: int  # that were read
    bytes: int
    damaged: int
    missing: int
    unreadable: int
    rewritten: int  # block lists that were wrong, of payloads that were right
    failed: int  # payloads that could not be judged
    repaired: int  # payloads that were fetched from elsewhere after this run
    findings: tuple[Finding, ...]  # the first ones
    problems: tuple[str, ...]  # of the catalogue itself, which a deep run reads as well
    is_deep: bool
    is_dry_run: bool
    is_whole: bool  # False: it goes on, or was ended before it had come to all

    @property
    def hurt(self) -> int:
        return self.damaged + self.missing + self.unreadable
