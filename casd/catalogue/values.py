"""What a catalogue is asked with, and what it answers, beside the values of `model.py`."""

from dataclasses import dataclass

from casd.model import Digest, Guard

NO_GUARD = Guard()


@dataclass(frozen=True, slots=True)
class BlobFilter:
    """What a listing of blobs is narrowed to."""

    content_type: str | None = None
    metadata: tuple[tuple[str, str], ...] = ()  # keys, each with the text that a string equals or other JSON reads as


@dataclass(frozen=True, slots=True)
class Unreferenced:
    """A payload that no blob refers to and whose keep-until has passed."""

    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class Totals:
    """How much the catalogue knows of.

    Logical bytes count a payload once for each blob, physical bytes once, exclusive bytes only where it has one blob.
    """

    payloads: int
    physical_bytes: int
    blobs: int
    logical_bytes: int
    exclusive_bytes: int
    quarantined_payloads: int


@dataclass(frozen=True, slots=True)
class UploadTotals:
    """The uploads that are unfinished."""

    count: int
    received_bytes: int
    announced_bytes: int


@dataclass(frozen=True, slots=True)
class Expired:
    """What one run of `expire` ended."""

    blobs: int = 0
    names: int = 0
    uploads: int = 0
