"""What a daemon tells about blobs and versions, parsed once where it arrives.

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

    @property
    def is_marker(self) -> bool:
        return self.blob is None


def blob(answer: Any) -> Blob:
    """The blob in a daemon's answer. Raises UnexpectedAnswer."""
    return _parsed("blob", _blob, answer)


def version(answer: Any) -> Version:
    """The version in a daemon's answer. Raises UnexpectedAnswer."""
    return _parsed("version", _version, answer)


def _parsed(what: str, parse: Callable[[Any], T], answer: Any) -> T:
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
        expires_at=_time(answer["expires_at"]),
        metadata=answer.get("metadata") or {},
        names=tuple(
            VersionRef(ref["namespace"], ref["name"], int(ref["version"])) for ref in answer.get("names") or ()
        ),
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
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
