"""Names, their versions, and what belongs to a name as a whole."""

import casd.dialects.native.bodies as bodies
import casd.dialects.native.models as models
from casd import errors
from casd.dialects.native.about.blobs import BYTES, DESCRIBED, SOURCE, links
from casd.web import representations
from casd.web.fields import FLAG, IF_MATCH, IF_NONE_MATCH, NUMBER, PAGE, REPR_DIGEST, TEXT, TIME
from casd.web.operation import Answer, Body, Link, Operation, Parameter
from casd.web.refusals import NO_NAMESPACE, SENDING, STORING, WRITING

TAG = "Names"
GUARDS = (IF_MATCH, IF_NONE_MATCH)
NO_VERSION = (errors.NameNotFound, errors.VersionNotFound, errors.NamespaceNotFound)
HERE = {"path.namespace": "$request.path.namespace", "path.name": "$request.path.name"}
ON = (
    Link("readName", HERE),
    Link("listVersions", HERE),
    Link("getName", HERE),
    Link("updateName", HERE),
    Link("deleteName", HERE),
)

PUT = Operation(
    "putName",
    TAG,
    "Store a new version",
    (
        Answer(
            201,
            "The version.",
            models.Version,
            headers=("Location", "Casd-Blob", "ETag"),
            maybe=("Casd-Lease-Until",),
            links=(*ON, *links("$response.body#/blob/uuid")),
        ),
    ),
    """\
    The body is the payload; it becomes the name's next version, in one step: who reads gets the old bytes or the new
    ones. `?blob=` binds a blob that is there, as it is; with `?copy=1`, its bytes under a filename and type of this
    request.
    """,
    query=(*DESCRIBED, SOURCE, Parameter("copy", "With `?blob=`: 1 makes a blob of its own.", FLAG)),
    headers=(REPR_DIGEST, *GUARDS),
    body=BYTES,
    errors=(*STORING, errors.BlobNotFound, errors.PreconditionFailed, errors.Protected),
)
DATA = Operation(
    "readName",
    TAG,
    "Read a name's bytes",
    representations.answers("Content-Location"),
    "Those of the newest version, of `?version=N`, or of what was the newest at `?as_of=`. " + representations.ABOUT,
    query=(
        Parameter("version", "Which version; not together with `as_of`.", NUMBER),
        Parameter("as_of", "The newest at that time, RFC 3339.", TIME),
        *representations.QUERY,
    ),
    headers=representations.HEADERS,
    errors=(*NO_VERSION, *SENDING),
    has_head=True,
)
DELETE = Operation(
    "deleteName",
    TAG,
    "Hide a name, or remove versions",
    (Answer(204, "Done."),),
    """\
    Hides the name behind a delete marker; its versions stay readable by number. `?version=N` removes that one (the
    newest marker: the name is there again), `?purge=1` all of them.
    """,
    query=(
        Parameter("version", "Only this one; not together with `purge`.", {"type": "integer", "minimum": 1}),
        Parameter("purge", "1: all versions, for good.", FLAG),
    ),
    headers=GUARDS,
    errors=(*WRITING, errors.NameNotFound, errors.VersionNotFound, errors.PreconditionFailed, errors.Protected),
)
LISTING = Operation(
    "listNames",
    TAG,
    "List names",
    (Answer(200, "A page of names, each with its newest version.", models.Names),),
    query=(
        Parameter("prefix", "Only names that begin so.", TEXT, example="images/"),
        Parameter("delimiter", "A slash: what lies deeper is told as folders.", {"type": "string", "enum": ["/"]}),
        *PAGE,
    ),
    errors=NO_NAMESPACE,
)
VERSIONS = Operation(
    "listVersions",
    TAG,
    "List a name's versions",
    (Answer(200, "A page of versions, delete markers among them.", models.Versions),),
    query=(Parameter("newer_than", "Only versions with a larger number.", NUMBER), *PAGE),
    errors=(*NO_NAMESPACE, errors.NameNotFound),
)
INFO = Operation(
    "getName",
    TAG,
    "Read what belongs to a name",
    (Answer(200, "Its metadata and rules; the ETag is for If-Match.", models.NameInfo, headers=("ETag",)),),
    errors=(*NO_NAMESPACE, errors.NameNotFound),
)
UPDATE = Operation(
    "updateName",
    TAG,
    "Change what belongs to a name",
    (Answer(200, "As it is now.", models.NameInfo, headers=("ETag",)),),
    """\
    What is left out stays; null brings the default back. `metadata` takes the place of all there was. With `?version=`
    the body is `{"protected": …}` alone, and is said of that version.
    """,
    query=(Parameter("version", "Only this version is protected, or not any more.", NUMBER),),
    headers=(Parameter("If-Match", "The ETag that you have seen: so that no change of others is lost.", TEXT),),
    body=Body("What is to change.", bodies.NameChanges, example={"keep_versions": 5}),
    errors=(
        *WRITING,
        errors.NameNotFound,
        errors.VersionNotFound,
        errors.Conflict,
        errors.PreconditionFailed,
        errors.StorageFull,
    ),
)
