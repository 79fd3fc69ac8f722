"""Blobs by UUID, and their metadata."""

import casd.dialects.native.bodies as bodies
import casd.dialects.native.models as models
from casd import errors
from casd.web import representations
from casd.web.fields import CLEAN, NAMESPACE, NUMBER, PAGE, REPR_DIGEST, SECONDS, TEXT, UUID
from casd.web.operation import Answer, Body, Link, Operation, Parameter
from casd.web.refusals import NO_BLOB, NO_NAMESPACE, SENDING, STORING

TAG = "Blobs"
DESCRIBED = (
    Parameter("filename", "Told again in Content-Disposition.", CLEAN, example="disk.img"),
    Parameter("expires_in", "Seconds after which the blob's own hold ends.", SECONDS),
)
SOURCE = Parameter("blob", "Take the bytes of this blob, which is there; send no body then.", UUID)
BYTES = Body("The bytes, of any Content-Type, which is kept; any length, known or chunked.", is_required=False)
BLOCKS = (
    Parameter("start", "The first block.", NUMBER),
    Parameter("stop", "The block behind the last one.", NUMBER),
)
LIST = Parameter(
    "namespace", "Only this one, which you may read; without it, those that you are a member of.", NAMESPACE
)


def links(uuid: str) -> tuple[Link, ...]:
    """What can be done with a blob; `uuid` says where the answer tells which."""
    path = {"path.uuid": uuid}
    return (
        Link("getBlob", path),
        Link("readBlob", path),
        Link("listBlocks", path),
        Link("listHolders", path),
        Link("listMetadata", path),
        Link("setMetadata", path),
        Link("deleteBlob", path),
    )


ADD = Operation(
    "addBlob",
    TAG,
    "Store bytes",
    (
        Answer(
            201,
            "The blob, once its bytes are on disk and the catalogue has it.",
            models.Blob,
            headers=("Location", "Casd-Blob", "Casd-Lease-Until"),
            links=links("$response.body#/uuid"),
        ),
    ),
    """\
    The body is the payload, whatever its Content-Type. Bytes that are there already take no space twice. A lost line
    starts this over: large files are better sent through `/v1/uploads`.
    """,
    query=(
        Parameter("namespace", "Whose the blob is; your token's home if it is not told.", NAMESPACE),
        *DESCRIBED,
        SOURCE,
    ),
    headers=(REPR_DIGEST,),
    body=BYTES,
    errors=(*STORING, errors.BlobNotFound),
)
LISTING = Operation(
    "listBlobs",
    TAG,
    "List blobs",
    (Answer(200, "A page of blobs.", models.Blobs),),
    """\
    `metadata.K=V` (up to 16 of them) keeps those whose metadata `K` is the text `V`, or reads so as compact JSON.
    """,
    query=(
        LIST,
        Parameter("content_type", "Only of this Content-Type.", TEXT),
        *PAGE,
    ),
    errors=NO_NAMESPACE,
)
INFO = Operation(
    "getBlob",
    TAG,
    "Read what is known of a blob",
    (Answer(200, "The blob; its names only where its namespace is readable to you.", models.Blob),),
    errors=NO_BLOB,
)
DELETE = Operation(
    "deleteBlob",
    TAG,
    "Delete a blob",
    (Answer(204, "Its own hold has ended; versions that have it keep it readable."),),
    headers=representations.PRECONDITIONS,
    errors=(*NO_BLOB, errors.Forbidden, errors.Conflict, errors.PreconditionFailed),
)
DATA = Operation(
    "readBlob",
    TAG,
    "Read a blob's bytes",
    representations.answers(),
    representations.ABOUT,
    query=representations.QUERY,
    headers=representations.HEADERS,
    errors=(*NO_BLOB, *SENDING),
    has_head=True,
)
HOLDERS = Operation(
    "listHolders",
    TAG,
    "See what keeps a blob",
    (Answer(200, "Its versions, and what deleting it would free.", models.Holders),),
    errors=NO_BLOB,
)
BLOCK_LIST = Operation(
    "listBlocks",
    TAG,
    "List the checksums of a blob's blocks",
    (Answer(200, "One XXH3-64 for each MiB.", models.Blocks),),
    "With these a client checks what it reads of a large payload, a MiB at a time.",
    query=BLOCKS,
    errors=(*NO_BLOB, errors.PayloadNotFound),
)

# -- metadata -----------------------------------------------------------------------------------------------------

METADATA = Operation(
    "listMetadata",
    "Metadata",
    "Read a blob's metadata",
    (Answer(200, "All keys with their values.", models.Metadata, example={"architecture": "amd64"}),),
    errors=NO_BLOB,
)
VALUE = Operation(
    "getMetadata",
    "Metadata",
    "Read a metadata value",
    (Answer(200, "The value.", models.Value, example={"value": "amd64"}),),
    errors=(*NO_BLOB, errors.MetadataKeyNotFound),
)
SET = Operation(
    "setMetadata",
    "Metadata",
    "Set a metadata value",
    (
        Answer(
            200,
            "The value as it is now.",
            models.Value,
            links=(
                Link("getMetadata", {"path.uuid": "$request.path.uuid", "path.key": "$request.path.key"}),
                Link("deleteMetadata", {"path.uuid": "$request.path.uuid", "path.key": "$request.path.key"}),
            ),
        ),
    ),
    "A value has at most 64 KiB of JSON, a blob's metadata 1 MiB.",
    body=Body("The value.", bodies.MetadataValue, example={"value": "amd64"}),
    errors=(*NO_BLOB, errors.Forbidden, errors.StorageFull),
)
UNSET = Operation(
    "deleteMetadata",
    "Metadata",
    "Delete a metadata value",
    (Answer(204, "It is gone."),),
    errors=(*NO_BLOB, errors.Forbidden, errors.MetadataKeyNotFound),
)
