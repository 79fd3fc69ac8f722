"""What the routes of tus take and answer, for `/openapi.json` and `/docs`."""

from pydantic import Field

from casd import errors
from casd.dialects.tus.asking import CHECKSUMS, CHUNK_TYPE
from casd.web.fields import NAMESPACE, NUMBER, PAGE, SHA512, TEXT
from casd.web.models import AnswerBody, Count, Cursor, Sha512, Time
from casd.web.operation import Answer, Body, Link, Operation, Parameter, Refusal

TAG = "Uploads"


class Unfinished(AnswerBody):
    """An upload that goes on at `offset`."""

    url: str = Field(description="where to go on, as a path of this daemon")
    offset: Count
    size: Count | None
    active: bool = Field(description="whether bytes arrive right now")
    prefix_sha512: Sha512 | None = Field(description="of the first `offset` bytes; null: not known yet")
    namespace: str
    name: str | None
    content_type: str
    filename: str | None
    created_at: Time
    expires_at: Time
    begun_by: str | None = Field(None, description="a token's name; only where all are listed")
    is_partial: bool = Field(False, description="a piece for joining; only told where all are listed")


class UnfinishedUploads(AnswerBody):
    items: list[Unfinished]
    next: Cursor


RESUMABLE = Parameter(
    "Tus-Resumable", "The version of tus.", {"type": "string", "const": "1.0.0"}, is_required=True, example="1.0.0"
)
SESSION = Parameter(
    "Casd-Session",
    "Random for each transfer: two of them do not cut each other off while bytes arrive.",
    {"type": "string", "pattern": "^[A-Za-z0-9_-]{8,64}$"},
)
LENGTH = Parameter("Upload-Length", "How many bytes the upload will have.", NUMBER, example=1048576)
CHECKSUM = Parameter(
    "Upload-Checksum",
    f"Of this request's bytes: one of {', '.join(CHECKSUMS)}, a space, and the digest in base64. Others are 460, and "
    "the offset stays where it was.",
    {"type": "string", "pattern": "^(sha1 [A-Za-z0-9+/]{27}=|sha256 [A-Za-z0-9+/]{43}=|sha512 [A-Za-z0-9+/]{86}==)$"},
)
TOLD = ("Tus-Version", "Tus-Extension", "Tus-Max-Size", "Tus-Checksum-Algorithm")
SENT = ("Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Concat")
BECAME = ("Casd-Blob", "Casd-Sha512", "Content-Location")
MADE = {"path.uuid": "$response.header.Casd-Upload"}
HERE = {"path.uuid": "$request.path.uuid"}
UNKNOWN = Refusal(412, "unknown-tus-version", "The request does not say `Tus-Resumable: 1.0.0`.")
NO_UPLOAD = (UNKNOWN, errors.UploadNotFound, errors.NotFound, errors.UploadBusy)
TAKING = (
    Refusal(413, "quota-exceeded", "The namespace may not have so much."),
    errors.Forbidden,
    errors.NamespaceNotFound,
    errors.Conflict,
    errors.OffsetConflict,
    errors.ChunkMismatch,
    errors.UploadMismatch,
    errors.SizeMismatch,
    errors.StorageFull,
    errors.Protected,
    Refusal(413, "quota-exceeded", "the namespace may not hold so much"),
    errors.StageMissing,
)

OPTIONS = Operation(
    "uploadOptions",
    TAG,
    "See what this daemon's tus can do",
    (
        Answer(
            204,
            "Versions, extensions and limits.",
            headers=(
                "Tus-Resumable",
                "Tus-Version",
                "Tus-Extension",
                "Tus-Max-Size",
                "Tus-Checksum-Algorithm",
                "Allow",
            ),
        ),
    ),
)
CREATE = Operation(
    "createUpload",
    TAG,
    "Begin an upload that can be resumed",
    (
        Answer(
            201,
            "Where to send the bytes.",
            headers=("Location", "Casd-Upload", "Tus-Resumable", "Upload-Expires"),
            maybe=("Upload-Offset", *BECAME, "Casd-Lease-Until"),
            links=(
                Link("headUpload", MADE),
                Link("appendUpload", MADE | {"header.Upload-Offset": "$response.header.Upload-Offset"}),
                Link("terminateUpload", MADE),
            ),
        ),
    ),
    f"""\
    tus 1.0 (https://tus.io): what arrives is kept over broken lines, restarts and power cuts. Send the bytes to
    `Location` by PATCH, in one request or in many; after an interruption ask by HEAD where to go on. The first bytes
    may come here already, as `{CHUNK_TYPE}`. Once all have arrived the upload becomes a blob, or a version of the
    `name` that `Upload-Metadata` tells.
    """,
    headers=(
        RESUMABLE,
        LENGTH,
        Parameter("Upload-Defer-Length", "1: the length is told later.", {"type": "string", "const": "1"}),
        Parameter(
            "Upload-Metadata",
            "Keys with base64 values, parted by commas: filename, filetype, namespace, name, expires_in (seconds), "
            "sha512 and xxh3_128 (hex: other bytes are 460 in the end, and nothing is kept).",
            TEXT,
            example="filename ZGlzay5pbWc=,name aW1hZ2VzL2RlYmlhbi5pbWc=",
        ),
        Parameter("Upload-Concat", "`partial`, or `final;` and the URLs of partial uploads, parted by spaces.", TEXT),
        CHECKSUM,
        SESSION,
    ),
    body=Body("The first bytes.", media=CHUNK_TYPE, is_required=False),
    errors=(UNKNOWN, errors.UploadNotFound, errors.UploadBusy, errors.TooManyUploads, *TAKING),
)
LISTING = Operation(
    "findUploads",
    TAG,
    "List unfinished uploads, or find those of a content",
    (Answer(200, "Unfinished uploads.", UnfinishedUploads),),
    """\
    With `sha512` or `xxh3_128` and `size`: those of that content in one namespace, for who has kept no URL, or is on
    another machine. Where `prefix_sha512` is the digest of the first `offset` bytes of your file, go on there.
    """,
    query=(
        Parameter("sha512", "Of the whole content, in hex; with `size`.", SHA512),
        Parameter("xxh3_128", "The same, as XXH3-128.", {"type": "string", "pattern": "^[0-9a-fA-F]{32}$"}),
        Parameter("size", "How many bytes the content has.", NUMBER),
        Parameter("namespace", "Whose uploads.", NAMESPACE),
        *PAGE,
    ),
    errors=(errors.Forbidden, errors.NamespaceNotFound),
)
HEAD = Operation(
    "headUpload",
    TAG,
    "Ask where to resume an upload",
    (
        Answer(
            200,
            "How much is durably here; what it became, once it is whole.",
            headers=("Tus-Resumable", "Upload-Expires", "Cache-Control"),
            maybe=(
                "Upload-Offset",
                "Upload-Length",
                "Upload-Defer-Length",
                "Upload-Metadata",
                "Upload-Concat",
                *BECAME,
            ),
        ),
    ),
    headers=(RESUMABLE, SESSION),
    errors=(*NO_UPLOAD, *TAKING),
)
PATCH = Operation(
    "appendUpload",
    TAG,
    "Send bytes",
    (
        Answer(
            204,
            "They are on disk. The answer to the last ones says what the upload became.",
            headers=("Tus-Resumable", "Upload-Expires", "Upload-Offset"),
            maybe=(*BECAME, "Casd-Lease-Until"),
            links=(
                Link("headUpload", HERE),
                Link("appendUpload", HERE | {"header.Upload-Offset": "$response.header.Upload-Offset"}),
                Link("terminateUpload", HERE),
            ),
        ),
    ),
    headers=(
        RESUMABLE,
        Parameter("Upload-Offset", "Where these bytes go: what HEAD told.", NUMBER, is_required=True, example=0),
        Parameter("Upload-Length", "How long the upload is, if that was to be told later.", NUMBER),
        CHECKSUM,
        SESSION,
    ),
    body=Body("The next bytes, as many as you like.", media=CHUNK_TYPE),
    errors=(
        *NO_UPLOAD,
        *TAKING,
        Refusal(403, "forbidden", "The role is too small, or the upload joins others and takes no bytes."),
        Refusal(415, "unsupported-media-type", f"The body is `{CHUNK_TYPE}`."),
    ),
)
DELETE = Operation(
    "terminateUpload",
    TAG,
    "End an upload",
    (Answer(204, "It is gone, with the bytes that had arrived.", headers=("Tus-Resumable",)),),
    headers=(RESUMABLE, SESSION),
    errors=(*NO_UPLOAD, errors.Forbidden, errors.Conflict),
)
OVERRIDDEN = Operation(
    "overrideUpload",
    TAG,
    "Say PATCH, DELETE or HEAD by POST",
    (
        Answer(200, "As HEAD answers.", headers=("Tus-Resumable",)),
        Answer(204, "As PATCH or DELETE answers.", headers=("Tus-Resumable",)),
    ),
    "For clients behind something that lets no other method through.",
    headers=(
        RESUMABLE,
        Parameter(
            "X-HTTP-Method-Override",
            "The method that is meant; its own header fields come with it.",
            {"type": "string", "enum": ["PATCH", "DELETE", "HEAD"]},
            is_required=True,
        ),
        SESSION,
        Parameter("Upload-Offset", "With PATCH.", NUMBER),
    ),
    body=Body("With PATCH, the bytes.", media=CHUNK_TYPE, is_required=False),
    errors=(*NO_UPLOAD, *TAKING, Refusal(415, "unsupported-media-type", f"The body of a PATCH is `{CHUNK_TYPE}`.")),
)
