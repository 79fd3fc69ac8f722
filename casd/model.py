"""The values casd speaks of: digests, ranges, blobs, versions. Frozen, no I/O; words as in README's list.

Times are aware UTC datetimes with microseconds; ranges are half-open.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeAlias, TypeVar
from uuid import UUID

from casd.errors import InvalidInput

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

BLOCK_SIZE = 1 << 20  # bytes per block checksum: 8 KiB of checksums per GiB; a cold range reads at most this much more

_HEX_512 = re.compile(r"[0-9a-fA-F]{128}", re.ASCII)
_NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
NAME_LIMIT_BYTES = 1024


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """The SHA-512 of a payload: its name. Only a Digest ever becomes a path."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != 64:
            raise InvalidInput(f"a SHA-512 has 64 bytes, not {len(self.raw)}")

    @classmethod
    def parse(cls, text: str) -> Digest:
        """The digest written as 128 hex digits, upper case folded. Raises InvalidInput."""
        if not _HEX_512.fullmatch(text):
            raise InvalidInput("a SHA-512 is written as 128 hex digits")
        return cls(bytes.fromhex(text))

    @property
    def hex(self) -> str:
        return self.raw.hex()

    def __str__(self) -> str:
        return self.raw.hex()


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `start` up to, not including, `stop`."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a sealed stage holds: every checksum of bytes that are on disk and fsynced, but not yet named."""

    digest: Digest
    sha256: bytes  # 32 bytes
    xxh3_128: bytes  # 16 bytes, big-endian (the canonical form)
    size: int
    blocks: bytes  # one big-endian XXH3-64 per BLOCK_SIZE bytes, the last block may be short


@dataclass(frozen=True, slots=True)
class Expected:
    """What the sender announced. Whatever is given is checked when the stage is sealed, before any commit."""

    size: int | None = None
    sha512: bytes | None = None
    sha256: bytes | None = None
    xxh3_128: bytes | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """A payload's file as a scan of the store finds it."""

    digest: Digest
    size: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Examined:
    """What a payload's bytes are when all of them are read again."""

    digest: Digest
    size: int
    blocks: bytes  # as in a Receipt


@dataclass(frozen=True, slots=True)
class Quarantined:
    """What is kept of a payload that was found damaged, and what is known of how."""

    id: str  # its file's name: the digest and when
    digest: Digest
    why: str
    quarantined_at: datetime
    size: int | None  # of the bytes in quarantine; None: there were none, or they could not be moved
    facts: Mapping[str, JSON] = field(default_factory=dict)


class VerifyReads(StrEnum):
    """When a block's checksum is compared before its bytes leave."""

    FIRST = "first"  # when it is read for the first time since the start, or for a configured time
    ALWAYS = "always"
    NEVER = "never"


class BlobState(StrEnum):
    CREATED = "created"
    ERROR = "error"  # the payload is in quarantine


@dataclass(frozen=True, slots=True)
class Blob:
    """A UUID and what we know of it. It lives while it holds itself or a version holds it."""

    uuid: UUID
    namespace: str
    digest: Digest
    sha256: bytes
    xxh3_128: bytes
    size: int
    content_type: str
    filename: str | None
    state: BlobState
    holds_itself: bool
    was_let_go: bool  # held itself once: its deletion or its expiry ended that
    version_count: int  # versions that hold this blob
    created_at: datetime
    expires_at: datetime | None  # when its own hold ends

    def at(self, now: datetime) -> Blob | None:
        """The blob as it is at `now`, whether upkeep has run since or not; None once its last hold is gone."""
        if self.expires_at is None or self.expires_at > now:
            return self
        if self.version_count == 0:
            return None
        return replace(self, holds_itself=False, was_let_go=True, expires_at=None)


@dataclass(frozen=True, slots=True)
class NewBlob:
    """A blob to be made. Whether it holds itself is decided by the operation that makes it."""

    uuid: UUID
    namespace: str
    content_type: str
    filename: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class VersionRef:
    """Which version of which name: how a blob tells what holds it."""

    namespace: str
    name: str
    number: int


@dataclass(frozen=True, slots=True)
class BlobView:
    """A blob with its metadata and the names (at most 100, readable ones) that hold it, as listings give it."""

    blob: Blob
    metadata: Mapping[str, JSON] = field(default_factory=dict)
    names: tuple[VersionRef, ...] = ()


@dataclass(frozen=True, slots=True)
class Version:
    """A numbered state of a name. Without a blob it is a delete marker: the name is hidden."""

    namespace: str
    name: str
    number: int
    blob: Blob | None
    created_at: datetime
    published_by: str | None = None  # a token's name
    protected: bool = False  # itself, or its whole name
    view: BlobView | None = field(default=None, compare=False)  # the blob with all that belongs to it, in listings

    @property
    def is_marker(self) -> bool:
        return self.blob is None


@dataclass(frozen=True, slots=True)
class NameInfo:
    """What belongs to a name as a whole."""

    uuid: UUID
    namespace: str
    name: str
    metadata: Mapping[str, JSON]
    shared: bool
    protected: bool
    keep_versions: int | None  # None: the namespace's rule
    source_url: str | None
    created_at: datetime
    hidden_at: datetime | None


@dataclass(frozen=True, slots=True)
class Naming:
    """What storing a version says of its name; all of it holds from the version's transaction on."""

    keep_versions: int | None = None  # the rule of a name that this makes
    unless_same: bool = False  # bytes that the newest version has already add no version; the rest holds all the same
    source_url: str | None = None  # where the name comes from; None leaves what is known
    source_url_if_new: str | None = None  # the same, of a name that this makes
    shared: bool = False  # with everybody; False leaves it as it is
    only_adds: bool = False  # for who may not overwrite: not what a name that keeps one version has, nor its source URL


@dataclass(frozen=True, slots=True)
class Namespace:
    """Who owns blobs and names."""

    name: str
    readers: frozenset[str] = frozenset()  # namespaces whose members may read here too; "*": any token
    anonymous_read: bool = False
    share_by_uuid: bool | None = None  # None: the daemon's [auth] share_by_uuid
    quota_bytes: int | None = None
    quota_blobs: int | None = None
    keep_versions: int | None = None
    max_age_s: int | None = None


class Role(StrEnum):
    READER = "reader"
    APPEND = "append-only"  # adds blobs, versions and uploads, and changes nothing that is there
    WRITER = "writer"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Token:
    """A credential as the catalogue keeps it. The secret itself is never kept."""

    uuid: UUID
    name: str
    role: Role
    namespaces: tuple[str, ...]  # the first is its home
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None  # to the minute
    rotated_at: datetime | None = None  # when it got the secret that it has, if not when it was made


@dataclass(frozen=True, slots=True)
class NamedKey:
    """A key that somebody chose for a namespace. It opens nothing by itself: it speaks for a token."""

    namespace: str
    name: str
    salt: bytes = field(repr=False)  # 16 random bytes
    hash: bytes = field(repr=False)  # scrypt of the key, `auth.key_hash`
    token: UUID  # revoked with the key
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What signs URLs."""

    id: int
    secret: bytes = field(repr=False)  # 32 random bytes
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Upload:
    """A resumable transfer in progress, or one that has become a blob lately."""

    uuid: UUID
    namespace: str
    token: UUID  # whose token began it
    size: int | None  # None: not told yet
    offset: int  # bytes that survive a power cut
    digest: Digest | None  # as announced; of a finished one what it is
    name: str | None  # to be published under; None: a blob that holds itself
    content_type: str
    filename: str | None
    metadata: str  # Upload-Metadata as it was sent
    created_at: datetime
    expires_at: datetime
    blob: UUID | None = None  # what it became
    is_in_parts: bool = False  # its bytes come in numbered parts; `offset` is where the last of them ends
    keep_versions: int | None = None  # the rule of a name that it makes
    xxh3_128: bytes | None = None  # as announced
    prefix: Digest | None = None  # of the first `offset` bytes; None: not known
    expires_in_s: int | None = None  # how long the blob that it becomes holds itself; None: for ever
    version: int | None = None  # which version of its name it became
    session: str | None = None  # of the client that began it, if it said so
    is_partial: bool = False  # it becomes a piece of another, never a blob
    joins: tuple[UUID, ...] = ()  # the partial ones that it is made of, in their order


@dataclass(frozen=True, slots=True)
class UploadPart:
    """A numbered run of an upload's bytes."""

    number: int  # from 1
    place: ByteRange
    etag: str  # of its bytes


@dataclass(frozen=True, slots=True)
class Guard:
    """What a writer says the latest version of a name must be. Checked before the body and in the transaction."""

    match: frozenset[Digest] | None = None  # If-Match with these tags
    match_any: bool = False  # If-Match: *
    none_match: frozenset[Digest] | None = None  # If-None-Match with these tags
    none_match_any: bool = False  # If-None-Match: *

    def allows(self, latest: Version | None) -> bool:
        """Whether the guard holds against the latest version; a hidden or absent name has none.

        What is damaged is there to be replaced, and not for who would send its bytes only if they are not here.
        """
        digest = latest.blob.digest if latest and latest.blob else None
        is_good = latest is not None and latest.blob is not None and latest.blob.state is BlobState.CREATED
        if self.match_any and digest is None:
            return False
        if self.match is not None and (digest is None or digest not in self.match):
            return False
        if self.none_match_any and digest is not None:
            return False
        return not (self.none_match is not None and is_good and digest in self.none_match)


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a listing; `next` resumes it after the last item, None at the end."""

    items: tuple[T, ...]
    next: bytes | None


def checked_namespace(text: str) -> str:
    """`text` if it is a namespace. Raises InvalidInput."""
    if not _NAMESPACE.fullmatch(text):
        raise InvalidInput("a namespace is 1 to 128 of A-Z a-z 0-9 . _ - and starts with a letter or digit")
    return text


def checked_name(text: str) -> str:
    """`text` if it is a name: 1 to 1024 bytes of UTF-8, no control characters, no empty, `.` or `..` segment.

    Raises InvalidInput.
    """
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise InvalidInput("a name must be valid UTF-8") from None
    if not 1 <= size <= NAME_LIMIT_BYTES:
        raise InvalidInput(f"a name has 1 to {NAME_LIMIT_BYTES} bytes of UTF-8, not {size}")
    if _CONTROL.search(text):
        raise InvalidInput("a name has no control characters")
    if any(segment in ("", ".", "..") for segment in text.split("/")):
        raise InvalidInput("a name has no empty, '.' or '..' segment")
    return text
