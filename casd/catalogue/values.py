"""What a catalogue is asked with, and what it answers, beside the values of `model.py`."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from casd.distribution import Distribution
from casd.model import Blob, Digest, Guard, Naming, VersionRef

NO_GUARD = Guard()
NO_NAMING = Naming()


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
class Unchecked:
    """A payload that is to be checked, with the size that its file should have."""

    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class HoldingVersion:
    """A version that holds a blob, and since when its name is hidden."""

    ref: VersionRef
    hidden_at: datetime | None


@dataclass(frozen=True, slots=True)
class Holders:
    """What keeps a blob and its payload."""

    blob: Blob
    versions: tuple[HoldingVersion, ...]  # the oldest first, perhaps not all: `blob.version_count` tells how many
    other_blobs: int  # living ones of the same payload, in the namespaces that were asked for
    keep_until: datetime  # of the payload, whoever raised it


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
class Workings:
    """How the catalogue itself did since the start."""

    commit_s: Distribution
    commit_operations: Distribution  # how many writes went into each commit
    failed_commits: int
    wal_bytes: int  # now
    cache_hits: int
    cache_misses: int
    cached: int  # now


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
    versions: int = 0
    uploads: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class KnownPayload:
    """A payload as its row tells of it, for tools that compare it with its file."""

    digest: Digest
    size: int
    sha256: bytes
    xxh3_128: bytes
    is_quarantined: bool


@dataclass(frozen=True, slots=True)
class KnownUpload:
    """An unfinished upload as its row tells of it."""

    uuid: UUID
    offset: int
    is_in_parts: bool


@dataclass(frozen=True, slots=True)
class Hit:
    """Whom the loss of a payload hits: the first few of its blobs and versions, and how many there are in all."""

    blobs: tuple[tuple[UUID, str], ...] = ()  # with their namespaces
    versions: tuple[VersionRef, ...] = ()
    blob_count: int = 0
    version_count: int = 0
