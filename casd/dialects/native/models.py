"""The JSON objects that the native API answers, described; `render.py` writes them."""

from typing import Literal

from pydantic import Field, JsonValue, RootModel

from casd.judging import Verdict
from casd.model import BlobState, Role
from casd.quarantine import Standing
from casd.web.models import AnswerBody, Count, Cursor, Sha256, Sha512, Time, Uuid, Xxh3

# -- blobs and names ----------------------------------------------------------------------------------------------


class VersionRef(AnswerBody):
    """A version of a name."""

    namespace: str
    name: str
    version: int = Field(ge=1)


class Blob(AnswerBody):
    """A UUID, and what casd knows of its bytes."""

    uuid: Uuid
    sha512: Sha512
    sha256: Sha256
    xxh3_128: Xxh3
    size: Count = Field(description="bytes")
    content_type: str
    filename: str | None
    namespace: str
    state: str = Field(
        description="created; error once the bytes are found damaged", json_schema_extra={"enum": [*BlobState]}
    )
    holds_itself: bool = Field(description="false when only versions keep it")
    created_at: Time
    expires_at: Time | None = Field(description="when its own hold ends")
    metadata: dict[str, JsonValue]
    names: list[VersionRef] = Field(description="versions that the caller may see, at most 100")


class Blobs(AnswerBody):
    """A page of blobs."""

    items: list[Blob]
    next: Cursor


class HoldingVersion(VersionRef):
    """A version that keeps the blob."""

    hidden_at: Time | None = Field(description="since when its name is hidden")


class Holders(AnswerBody):
    """What keeps a blob, and what its deletion would free."""

    uuid: Uuid
    namespace: str
    size: Count
    holds_itself: bool
    expires_at: Time | None
    version_count: Count = Field(description="of all versions that keep it")
    versions: list[HoldingVersion] = Field(description="the oldest 1000 of them")
    other_blobs: Count = Field(description="of the same bytes, in the caller's namespaces")
    frees_bytes: Count
    lease_until: Time = Field(description="the bytes are kept so long in any case")


class Blocks(AnswerBody):
    """Checksums of a payload's blocks, at most 16384 of them."""

    block_size: Literal[1048576]
    algorithm: Literal["xxh3-64"]
    blocks: list[str] = Field(description="16 hex digits each")


class Value(AnswerBody):
    """A metadata value."""

    value: JsonValue


class Missing(AnswerBody):
    """What the caller would have to send; the rest is kept until then."""

    missing: list[str]
    lease_until: Time


class Version(AnswerBody):
    """A numbered state of a name."""

    namespace: str
    name: str
    version: int = Field(ge=1)
    blob: Blob | None = Field(description="null in a delete marker")
    created_at: Time
    published_by: str | None = Field(description="a token's name; null where none is known")
    deleted: bool = Field(description="true in a delete marker")
    protected: bool = Field(description="it stays until it is unprotected, or its name is")


class Versions(AnswerBody):
    """A page of versions, the oldest first."""

    items: list[Version]
    next: Cursor


class Names(AnswerBody):
    """A page of names, each with its newest version."""

    items: list[Version]
    folders: list[str] = Field([], description="only with `?delimiter=/`: what lies below, each with its slash")
    next: Cursor


class NameInfo(AnswerBody):
    """What belongs to a name as a whole."""

    uuid: Uuid
    namespace: str
    name: str
    metadata: dict[str, JsonValue]
    shared: bool
    protected: bool = Field(description="as a whole: no version is added, removed or hidden")
    keep_versions: int | None = Field(description="null: the namespace's rule")
    source_url: str | None
    created_at: Time
    hidden_at: Time | None


# -- who may what ---------------------------------------------------------------------------------------------------


class SignedUrl(AnswerBody):
    """A link that needs no token."""

    url: str
    expires_at: Time


class SigningKey(AnswerBody):
    """What signs links; its secret is never told."""

    id: int
    created_at: Time


class SigningKeys(AnswerBody):
    items: list[SigningKey]
    next: Cursor


class Whoami(AnswerBody):
    """Whom the caller's token speaks for."""

    id: Uuid
    name: str
    role: str = Field(json_schema_extra={"enum": [*Role]})
    namespaces: list[str] = Field(description="the first is the token's home")


class Token(AnswerBody):
    """A token without its secret, which nobody keeps."""

    id: Uuid
    name: str
    role: str = Field(json_schema_extra={"enum": [*Role]})
    namespaces: list[str] = Field(description="the first is the token's home")
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None
    last_used_at: Time | None = Field(description="to the minute; null: never")
    rotated_at: Time | None = Field(description="when it got another secret")


class NewToken(Token):
    """A token with its secret, which is shown this once."""

    token: str


class RotatedToken(NewToken):
    """A token with its new secret."""

    old_secret_until: Time


class Tokens(AnswerBody):
    items: list[Token]
    next: Cursor


class Namespace(AnswerBody):
    """Who owns blobs and names, and the rules for them."""

    name: str
    readers: list[str] = Field(description='namespaces whose members may read here too; "*" is any token')
    anonymous_read: bool
    share_by_uuid: bool | None = Field(description="null: the daemon's rule")
    quota_bytes: Count | None
    quota_blobs: Count | None
    keep_versions: int | None = Field(description="null: all are kept")
    max_age_s: int | None = Field(description="null: blobs do not expire by age")
    used_bytes: Count = Field(description="of its blobs, each counted fully; those whose time is over do not count")
    used_blobs: Count
    reserved_bytes: Count = Field(description="claimed by transfers under way, and counted against the quota")
    reserved_blobs: Count


class Namespaces(AnswerBody):
    items: list[Namespace]
    next: Cursor


# -- the daemon -----------------------------------------------------------------------------------------------------


class Health(AnswerBody):
    status: Literal["ok"]


class Ready(AnswerBody):
    status: Literal["ready"]


class Reason(AnswerBody):
    code: str
    detail: str


class NotReady(AnswerBody):
    """Why nothing can be stored now."""

    status: Literal["not ready"]
    code: str
    detail: str
    reasons: list[Reason]


class Backup(AnswerBody):
    """A backup that is under way."""

    id: Uuid
    pinned_until: Time


class QuarantinedBytes(AnswerBody):
    """What is kept of a payload that was found damaged."""

    id: str
    sha512: Sha512
    size: Count | None = Field(description="of the bytes in quarantine; null: there were none")
    state: str = Field(description="what has become of the payload since", json_schema_extra={"enum": [*Standing]})
    why: str
    quarantined_at: Time
    facts: dict[str, JsonValue]


class QuarantinedPage(AnswerBody):
    items: list[QuarantinedBytes]
    next: Cursor


class QuarantinedEntry(QuarantinedBytes):
    """The same, with blobs of its payload."""

    blobs: list[Blob] = Field(description="at most 100")


class ExpireReport(AnswerBody):
    """What a run of expire ended."""

    blobs: Count
    names: Count
    versions: Count
    uploads: Count
    tokens: Count


class CollectionReport(AnswerBody):
    """What a collection removed, or with `dry_run` would have."""

    payloads: Count
    bytes: Count
    orphans: Count = Field(description="of the payloads, files that the catalogue did not know")
    pinned: Count = Field(0, description="payloads that a backup keeps; only told while one runs")
    dry_run: bool


class HitBlob(AnswerBody):
    uuid: Uuid
    namespace: str


class Finding(AnswerBody):
    """A payload that is not as it should be, and whom that hits."""

    sha512: Sha512
    found: str = Field(json_schema_extra={"enum": [*Verdict]})
    why: str
    blobs: list[HitBlob]
    names: list[VersionRef]
    blob_count: Count
    version_count: Count


class ScrubReport(AnswerBody):
    """What a scrub read and found."""

    payloads: Count
    bytes: Count
    damaged: Count
    missing: Count
    unreadable: Count
    rewritten: Count
    failed: Count
    repaired: Count
    findings: list[Finding]
    catalogue_problems: list[str]
    deep: bool
    dry_run: bool
    whole: bool = Field(description="false: it was ended before it had come to all, or goes on")


class RepairFailure(AnswerBody):
    sha512: Sha512
    why: str


class RepairReport(AnswerBody):
    """What was fetched again from elsewhere."""

    payloads: Count
    good: Count
    repaired: Count
    bytes: Count
    failed: Count
    failures: list[RepairFailure]


class Metadata(RootModel[dict[str, JsonValue]]):
    """Keys with their values."""


class OpenApi(RootModel[dict[str, JsonValue]]):
    """The document."""
