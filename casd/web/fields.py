"""Header fields, path elements and parameters that many operations share, described."""

from collections.abc import Mapping
from typing import Any

from casd.web.operation import Parameter, Schema
from casd.web.query import PAGE_DEFAULT, PAGE_LIMIT

A_UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
A_DIGEST = (
    "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
)
A_REPR_DIGEST = "sha-512=:3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==:"

NO_CONTROLS = "^[^\\x00-\\x1f\\x7f-\\x9f]+$"

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "string", "enum": ["0", "1"]}
_SEGMENT = r"([^{c}./]|\.[^{c}./]|\.\.[^{c}/])[^{c}/]*".replace("{c}", r"\x00-\x1f\x7f-\x9f")  # not empty, "." or ".."
NAME = f"^{_SEGMENT}(/{_SEGMENT})*$"
HTTP_DATE: Schema = {"type": "string", "pattern": r"^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$"}
TIME: Schema = {"type": "string", "format": "date-time"}
UUID: Schema = {"type": "string", "format": "uuid"}
SHA512: Schema = {"type": "string", "pattern": "^[0-9a-fA-F]{128}$"}
NAMESPACE: Schema = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"}
TAG: Schema = {"type": "string", "pattern": '^"[0-9a-f]{64,128}"$'}
CLEAN: dict[str, Any] = {"type": "string", "pattern": NO_CONTROLS, "minLength": 1, "maxLength": 1024}
SECONDS: Schema = {"type": "integer", "minimum": 1, "maximum": 3_162_240_000}

# -- in answers -----------------------------------------------------------------------------------------------------

HEADERS: Mapping[str, tuple[str, Schema]] = {
    "X-Request-ID": ("Of this request, as the daemon's log has it; your own if you sent one.", TEXT),
    "Location": ("Where the new thing is, as a path of this daemon.", {"type": "string", "pattern": "^/v1/"}),
    "Content-Location": ("Where exactly this version is, as a path of this daemon.", TEXT),
    "Casd-Blob": ("The UUID of the blob.", UUID),
    "Casd-Sha512": ("The SHA-512 of the blob's bytes, in hex.", SHA512),
    "Casd-Upload": ("The UUID of the upload, which `Location` ends in.", UUID),
    "Casd-Lease-Until": ("Until then the bytes are kept, whatever happens to the blob.", TIME),
    "ETag": ("Strong: the SHA-512 of the whole payload, or of what else the body is.", TAG),
    "Last-Modified": ("When the blob or version was made.", HTTP_DATE),
    "Accept-Ranges": ("Bytes can be asked for.", {"type": "string", "const": "bytes"}),
    "Repr-Digest": ("The SHA-512 of the whole payload (RFC 9530).", {"type": "string", "pattern": "^sha-512=:"}),
    "Content-Digest": ("The digest of the bytes sent, if `Want-Content-Digest` asked for it (RFC 9530).", TEXT),
    "Content-Range": ("Which bytes these are: `bytes 0-511/1048576`; in a 416 `bytes */1048576`.", TEXT),
    "Content-Disposition": ("`attachment` with the filename, or `inline` for harmless types with `?inline=1`.", TEXT),
    "Cache-Control": ("How long the answer may be kept.", TEXT),
    "Retry-After": ("Seconds after which to try again.", NUMBER),
    "WWW-Authenticate": ("A Bearer token is wanted.", TEXT),
    "Allow": ("The methods that the path takes.", TEXT),
    "Tus-Resumable": ("The version of tus that is spoken.", {"type": "string", "const": "1.0.0"}),
    "Tus-Version": ("The versions of tus that casd speaks.", TEXT),
    "Tus-Extension": ("The extensions of tus that casd speaks.", TEXT),
    "Tus-Max-Size": ("The longest upload, in bytes.", NUMBER),
    "Tus-Checksum-Algorithm": ("What `Upload-Checksum` may be made with.", TEXT),
    "Upload-Offset": ("How many bytes are durably here: go on there.", NUMBER),
    "Upload-Length": ("How many bytes the upload will have.", NUMBER),
    "Upload-Defer-Length": ("1 while the length is not told yet.", {"type": "string", "const": "1"}),
    "Upload-Expires": ("When the upload ends if no byte comes.", HTTP_DATE),
    "Upload-Metadata": ("As it was sent.", TEXT),
    "Upload-Concat": ("`partial`, or `final;` and the uploads that are joined.", TEXT),
}

# -- in paths -------------------------------------------------------------------------------------------------------

PATHS: Mapping[str, Parameter] = {
    element.name: element
    for element in (
        Parameter("uuid", "A UUID, as 8-4-4-4-12 hex digits.", UUID, example=A_UUID),
        Parameter("hex", "A SHA-512, as 128 hex digits.", SHA512, example=A_DIGEST),
        Parameter("namespace", "A namespace.", NAMESPACE, example="cluster"),
        Parameter(
            "name",
            "A name: 1 to 1024 bytes of UTF-8, percent-encoded; a slash may stay, or be written `%2F`.",
            CLEAN | {"pattern": NAME},
            example="images/debian.img",
        ),
        Parameter("key", "A metadata key, without control characters.", CLEAN, example="architecture"),
        Parameter("algorithm", "A checksum's kind.", {"type": "string", "enum": ["sha512", "sha256", "xxh3-128"]}),
        Parameter("topic", "A help topic.", {"type": "string", "pattern": "^[a-z-]+$"}, example="resuming"),
        Parameter("id", "The id, as the listing tells it.", TEXT),
    )
}

# -- in queries and requests ----------------------------------------------------------------------------------------

LIMIT = Parameter(
    "limit",
    f"How many items a page has at most: {PAGE_DEFAULT} if it is not told; above {PAGE_LIMIT} counts as {PAGE_LIMIT}.",
    {"type": "integer", "minimum": 1, "default": PAGE_DEFAULT},
)
CURSOR = Parameter("cursor", "`next` of the page before, for the one that follows.", TEXT)
PAGE = (LIMIT, CURSOR)

REPR_DIGEST = Parameter(
    "Repr-Digest",
    "What the bytes should be (RFC 9530), as sha-512 or sha-256: other bytes are 422, and nothing is kept.",
    TEXT,
    example=A_REPR_DIGEST,
)
IF_MATCH = Parameter("If-Match", "Only if the latest is this one; `*`: only if there is one.", TEXT)
IF_NONE_MATCH = Parameter("If-None-Match", "Only if the latest is none of these; `*`: only if there is none.", TEXT)
