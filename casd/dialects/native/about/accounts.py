"""Tokens, namespaces, and links that need no token."""

import casd.dialects.native.bodies as bodies
import casd.dialects.native.models as models
from casd import errors
from casd.web.fields import A_UUID, FLAG, PAGE
from casd.web.operation import Answer, Body, Link, Operation, Parameter
from casd.web.refusals import ADMINS

TOKENS, NAMESPACES, LINKS = "Tokens", "Namespaces", "Links"

WHOAMI = Operation(
    "whoami", TOKENS, "See whom your token speaks for", (Answer(200, "The token without its secret.", models.Whoami),)
)
ADD_TOKEN = Operation(
    "addToken",
    TOKENS,
    "Make a token",
    (
        Answer(
            201,
            "The token with its secret, which is shown this once.",
            models.NewToken,
            headers=("Location",),
            links=(Link("revokeToken", {"path.uuid": "$response.body#/id"}),),
        ),
    ),
    "The first namespace is the token's home: what is stored without saying where goes there. For admins.",
    body=Body(
        "Whom it speaks for.",
        bodies.TokenRequest,
        example={"name": "node 7", "role": "writer", "namespaces": ["cluster"], "expires_in": 2592000},
    ),
    errors=(*ADMINS, errors.StorageFull),
)
LIST_TOKENS = Operation(
    "listTokens",
    TOKENS,
    "List tokens",
    (Answer(200, "A page of tokens.", models.Tokens),),
    "For admins.",
    query=PAGE,
    errors=ADMINS,
)
ROTATE_TOKEN = Operation(
    "rotateToken",
    TOKENS,
    "Give a token another secret",
    (Answer(200, "The token with its new secret, which is shown this once.", models.RotatedToken),),
    "Its id, name, role and namespaces stay, and so do its uploads and the links that it signed. The old secret works "
    "until `overlap_s` is over; with 0 it ends at once, and what runs with it is cut off. For admins.",
    body=Body("How the change goes.", bodies.RotationRequest, example={"overlap_s": 3600}),
    errors=(*ADMINS, errors.TokenNotFound, errors.NotFound, errors.Conflict, errors.StorageFull),
)
REVOKE_TOKEN = Operation(
    "revokeToken",
    TOKENS,
    "Revoke a token",
    (Answer(204, "It opens nothing any more, and neither does any link that it signed."),),
    "For admins.",
    errors=(*ADMINS, errors.TokenNotFound, errors.NotFound),
)
LIST_NAMESPACES = Operation(
    "listNamespaces",
    NAMESPACES,
    "List namespaces",
    (Answer(200, "Those that you are a member of; for admins, all.", models.Namespaces),),
    query=PAGE,
)
NAMESPACE = Operation(
    "getNamespace",
    NAMESPACES,
    "Read a namespace's rules",
    (Answer(200, "The rules.", models.Namespace),),
    errors=(errors.NamespaceNotFound,),
)
UPDATE_NAMESPACE = Operation(
    "updateNamespace",
    NAMESPACES,
    "Make a namespace, or change its rules",
    (
        Answer(
            200,
            "The rules as they are now.",
            models.Namespace,
            links=(Link("getNamespace", {"path.namespace": "$request.path.namespace"}),),
        ),
    ),
    "What is left out stays; null brings the default back. For admins.",
    body=Body("What is to change.", bodies.NamespaceChanges, example={"keep_versions": 10, "readers": ["*"]}),
    errors=(*ADMINS, errors.StorageFull),
)
SIGN = Operation(
    "signUrl",
    LINKS,
    "Sign a URL",
    (Answer(200, "The link; it ends no later than your token does.", models.SignedUrl),),
    "The link reads one path, by GET and HEAD, without a token, for so long. Whoever may read something may sign it.",
    body=Body(
        "What to read, and for how long.",
        bodies.SignRequest,
        example={"path": f"/v1/blobs/{A_UUID}/data", "expires_in": 3600},
    ),
    errors=(
        errors.BlobNotFound,
        errors.PayloadNotFound,
        errors.NameNotFound,
        errors.VersionNotFound,
        errors.NamespaceNotFound,
        errors.NotFound,
    ),
)
ADD_KEY = Operation(
    "addSigningKey",
    LINKS,
    "Change the key that signs",
    (Answer(201, "The new key's id.", models.SigningKey),),
    "Links that were signed before stay good; with `?revoke=1` they are dead. For admins.",
    query=(Parameter("revoke", "1: kill every link signed so far.", FLAG),),
    errors=(*ADMINS, errors.StorageFull),
)
RETIRE_KEY = Operation(
    "retireSigningKey",
    LINKS,
    "Retire a key",
    (Answer(204, "What it signed is dead."),),
    "Upkeep retires old keys by itself once nothing that they signed is good any more. For admins.",
    errors=(*ADMINS, errors.SigningKeyNotFound, errors.NotFound, errors.Conflict),
)
LIST_KEYS = Operation(
    "listSigningKeys",
    LINKS,
    "List the keys that sign",
    (Answer(200, "All keys.", models.SigningKeys),),
    "For admins.",
    errors=ADMINS,
)
