"""What a daemon tells about blobs, versions and names, parsed once where it arrives.

`json` keeps the daemon's own object, so that fields newer than this client still reach whoever prints it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from casd.client.errors import UnexpectedAnswer
from casd.errors import InvalidInput
from casd.model import Digest, VersionRef

JsonObject: TypeAlias = Mapping[str, Any]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Blob:
    """A UUID and what the daemon lets this caller know of it."""

    uuid: UUID
    namespace: str
    digest: Digest
    sha256: str  # hex, as `xxh3_128`
    xxh3_128: str
    size: int
    content_type: str
    filename: str | None
    state: str  # created, or error when its payload is in quarantine
    holds_itself: bool
    created_at: datetime
    expires_at: datetime | None
    metadata: JsonObject
    names: tuple[VersionRef, ...]  # at most 100; none where the blob was found by its UUID alone
    json: JsonObject = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Version:
    """A numbered state of a name; without a blob it is a delete marker."""

    namespace: str
    name: str
    number: int
    blob: Blob | None
    created_at: datetime
    json: JsonObject = field(repr=False, compare=False)
    protected: bool = False  # it stays until it is unprotected, or its name is

    @property
    def is_marker(self) -> bool:
        return self.blob is None


@dataclass(frozen=True, slots=True)
class HoldingVersion:
    """A version that holds a blob, and since when its name is hidden."""

    ref: VersionRef
    hidden_at: datetime | None


@dataclass(frozen=True, slots=True)
class Holders:
    """What keeps a blob, and what its end would free."""

    uuid: UUID
    namespace: str
    size: int
    holds_itself: bool
    expires_at: datetime | None  # of its own hold
    versions: tuple[HoldingVersion, ...]  # at most 1000
    version_count: int
    other_blobs: int  # of the same bytes, as far as the caller may know
    frees_bytes: int  # on disk, once nothing holds the blob any more and the lease is over
    lease_until: datetime  # its bytes are kept until then, held or not
    json: JsonObject = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class NameInfo:
    """What belongs to a name as a whole."""

    uuid: UUID
    namespace: str
    name: str
    metadata: JsonObject
    shared: bool
    protected: bool
    keep_versions: int | None  # None: the namespace's rule
    created_at: datetime
    hidden_at: datetime | None
    json: JsonObject = field(repr=False, compare=False)


def blob(answer: Any) -> Blob:
    """The blob in a daemon's answer. Raises UnexpectedAnswer."""
    return parsed("blob", _blob, answer)


def version(answer: Any) -> Version:
    """The version in a daemon's answer. Raises UnexpectedAnswer."""
    return parsed("version", _version, answer)


def name_info(answer: Any) -> NameInfo:
    """The name in a daemon's answer. Raises UnexpectedAnswer."""
    return parsed("name", _name_info, answer)


def holders(answer: Any) -> Holders:
    """What keeps a blob, in a daemon's answer. Raises UnexpectedAnswer."""
    return parsed("report of holders", _holders, answer)


def parsed(what: str, parse: Callable[[Any], T], answer: Any) -> T:
    """What `parse` makes of an answer. Raises UnexpectedAnswer where it is of another shape."""
    try:
        return parse(answer)
    except (KeyError, TypeError, ValueError, AttributeError, InvalidInput) as error:
        raise UnexpectedAnswer(f"the answer is not a casd {what} ({type(error).__name__}: {error})") from error


def _blob(answer: Any) -> Blob:
    return Blob(
        uuid=UUID(answer["uuid"]),
        namespace=answer["namespace"],
        digest=Digest.parse(answer["sha512"]),
        sha256=answer["sha256"],
        xxh3_128=answer["xxh3_128"],
        size=int(answer["size"]),
        content_type=answer["content_type"],
        filename=answer["filename"],
        state=answer["state"],
        holds_itself=answer["holds_itself"],
        created_at=datetime.fromisoformat(answer["created_at"]),
        expires_at=time_or_none(answer["expires_at"]),
        metadata=answer.get("metadata") or {},
        names=tuple(_version_ref(ref) for ref in answer.get("names") or ()),
        json=answer,
    )


def _version_ref(answer: Any) -> VersionRef:
    return VersionRef(answer["namespace"], answer["name"], int(answer["version"]))


def _holders(answer: Any) -> Holders:
    return Holders(
        uuid=UUID(answer["uuid"]),
        namespace=answer["namespace"],
        size=int(answer["size"]),
        holds_itself=answer["holds_itself"],
        expires_at=time_or_none(answer["expires_at"]),
        versions=tuple(
            HoldingVersion(_version_ref(held), time_or_none(held["hidden_at"])) for held in answer["versions"]
        ),
        version_count=int(answer["version_count"]),
        other_blobs=int(answer["other_blobs"]),
        frees_bytes=int(answer["frees_bytes"]),
        lease_until=datetime.fromisoformat(answer["lease_until"]),
        json=answer,
    )


def _version(answer: Any) -> Version:
    return Version(
        namespace=answer["namespace"],
        name=answer["name"],
        number=int(answer["version"]),
        blob=None if answer["blob"] is None else _blob(answer["blob"]),
        created_at=datetime.fromisoformat(answer["created_at"]),
        json=answer,
        protected=answer.get("protected", False),
    )


def _name_info(answer: Any) -> NameInfo:
    return NameInfo(
        uuid=UUID(answer["uuid"]),
        namespace=answer["namespace"],
        name=answer["name"],
        metadata=dict(answer["metadata"]),
        shared=answer["shared"],
        protected=answer["protected"],
        keep_versions=answer["keep_versions"],
        created_at=datetime.fromisoformat(answer["created_at"]),
        hidden_at=time_or_none(answer["hidden_at"]),
        json=answer,
    )


def time_or_none(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
