"""The JSON that the native API takes. These models validate it, and describe it in `/openapi.json`."""

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, model_validator

from casd.errors import InvalidInput
from casd.model import Role, checked_namespace
from casd.web.bodies import RequestBody
from casd.web.fields import NO_CONTROLS
from casd.web.query import LONGEST_S
from casd.web.receive import checked_text

NAMESPACES_LIMIT = 1000  # of one token, and readers of one namespace
MISSING_LIMIT = 1000  # 10 ms of the catalogue's writer
REPAIR_LIMIT = 1000  # payloads that are named in one request
OVERLAP_LIMIT_S = 90 * 86400  # a secret that is good for longer was not replaced
FAR = 1 << 62  # what SQLite counts in, with room

NAMESPACE_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
SIGNABLE = (
    "^/v1/(blobs/[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}/data|payloads/sha512/[0-9a-fA-F]{128}"
    "|names/[A-Za-z0-9][A-Za-z0-9._-]{0,127}/[!-~]+)$"
)
EVERYBODY = "*"  # among readers: any token


def _reader(text: str) -> str:
    return text if text == EVERYBODY else checked_namespace(text)


def _distinct(items: list[str]) -> list[str]:
    return list(dict.fromkeys(items))


def _token_name(text: str) -> str:
    return checked_text(text, "name", 255)


Namespace = Annotated[str, AfterValidator(checked_namespace), Field(json_schema_extra={"pattern": NAMESPACE_PATTERN})]
Reader = Annotated[str, AfterValidator(_reader), Field(json_schema_extra={"pattern": f"^[*]$|{NAMESPACE_PATTERN}"})]
Sha512 = Annotated[str, Field(pattern="^[0-9a-fA-F]{128}$")]
Xxh3 = Annotated[str, Field(pattern="^[0-9a-fA-F]{32}$")]


class TokenRequest(RequestBody):
    """Whom a new token speaks for."""

    name: Annotated[
        str,
        AfterValidator(_token_name),
        Field(
            description="what people call the token",
            min_length=1,
            max_length=255,
            json_schema_extra={"pattern": NO_CONTROLS},
        ),
    ]
    role: str = Field(description=f"one of {', '.join(Role)}", json_schema_extra={"enum": [*Role]})
    namespaces: Annotated[
        list[Namespace],
        AfterValidator(_distinct),
        Field(
            description="a list of namespaces, of which the first is the token's home",
            min_length=1,
            max_length=NAMESPACES_LIMIT,
        ),
    ]
    expires_in: float | None = Field(None, description="the seconds until it ends, null for never", ge=1, le=LONGEST_S)


class RotationRequest(RequestBody):
    """A new secret for a token."""

    overlap_s: float = Field(
        3600, description="the seconds that the old secret is good for yet, 0 to end it now", ge=0, le=OVERLAP_LIMIT_S
    )
    expires_in: float | None = Field(
        None, description="the seconds until the token ends, null for never; left out, it stays", ge=1, le=LONGEST_S
    )


class NamespaceChanges(RequestBody):
    """What is to change of a namespace's rules; what is left out stays. Null brings the default back."""

    readers: Annotated[list[Reader], AfterValidator(_distinct)] | None = Field(
        None,
        description='a list of namespaces whose members may read here too; "*" is any token',
        max_length=NAMESPACES_LIMIT,
    )
    anonymous_read: bool | None = Field(None, description="true to open bytes by UUID, name or digest to everybody")
    share_by_uuid: bool | None = Field(
        None, description="whether a blob's UUID is evidence enough to read it; null for the daemon's rule"
    )
    quota_bytes: int | None = Field(None, description="how many bytes it may hold, null for any", ge=0, lt=FAR)
    quota_blobs: int | None = Field(None, description="how many blobs it may hold, null for any", ge=0, lt=FAR)
    keep_versions: int | None = Field(
        None, description="how many versions of each name are kept, at least 1, null for all", ge=1, lt=FAR
    )
    max_age_s: int | None = Field(
        None, description="after how many seconds a blob expires, at least 1, null for never", ge=1, lt=FAR
    )


class NameChanges(RequestBody):
    """What is to change of a name; what is left out stays. Null brings the default back."""

    shared: bool | None = Field(None, description="whether all may read it, in dialects that know such names")
    protected: bool | None = Field(None, description="whether its versions stay as they are")
    keep_versions: int | None = Field(
        None, description="how many versions are kept, at least 1, null for the namespace's rule", ge=1, lt=1 << 31
    )
    metadata: dict[str, JsonValue] | None = Field(None, description="an object; it takes the place of all there was")


class VersionChanges(RequestBody):
    """What is to change of one version."""

    protected: bool = Field(description="whether it stays until it is unprotected")


class SignRequest(RequestBody):
    """What a link is to open, and for how long."""

    path: str = Field(
        description="a path of this daemon, percent-encoded, such as /v1/blobs/<uuid>/data",
        max_length=6000,  # a request line of 8190 bytes carries it and the signature
        json_schema_extra={"pattern": SIGNABLE},
    )
    expires_in: float = Field(description="the seconds that the link lives, at least 1", ge=1, le=LONGEST_S)


class MetadataValue(RequestBody):
    """A value under a key; any JSON."""

    model_config = ConfigDict(extra="ignore")

    value: JsonValue = Field(description="any JSON, at most 64 KiB of it")


class MissingRequest(RequestBody):
    """Checksums of one kind."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    sha512: list[Sha512] = Field([], description="a list of SHA-512, each 128 hex digits", max_length=MISSING_LIMIT)
    xxh3_128: list[Xxh3] = Field([], description="a list of XXH3-128, each 32 hex digits", max_length=MISSING_LIMIT)

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> "MissingRequest":
        if len(self.model_fields_set) != 1:
            raise InvalidInput('the body is {"sha512": [...]} or {"xxh3_128": [...]}')
        return self


class RepairRequest(RequestBody):
    """Payloads that are to be repaired."""

    sha512: list[Sha512] = Field(
        description="a list of SHA-512, each 128 hex digits", min_length=1, max_length=REPAIR_LIMIT
    )
