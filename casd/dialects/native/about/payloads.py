"""Payloads by their digest, and the search by checksum."""

import casd.dialects.native.bodies as bodies
import casd.dialects.native.models as models
from casd import errors
from casd.dialects.native.about.blobs import BLOCKS
from casd.web import representations
from casd.web.fields import A_DIGEST, PAGE
from casd.web.operation import Answer, Body, Operation
from casd.web.refusals import SENDING

TAG = "Payloads"
NO_PAYLOAD = (errors.PayloadNotFound, errors.NotFound)

DATA = Operation(
    "readPayload",
    TAG,
    "Read bytes by their SHA-512",
    representations.answers(),
    "Where a namespace that you may read has a blob of them. " + representations.ABOUT,
    query=representations.QUERY,
    headers=representations.HEADERS,
    errors=(*NO_PAYLOAD, *SENDING),
    has_head=True,
)
BLOCK_LIST = Operation(
    "listPayloadBlocks",
    TAG,
    "List the checksums of a payload's blocks",
    (Answer(200, "One XXH3-64 for each MiB.", models.Blocks),),
    query=BLOCKS,
    errors=NO_PAYLOAD,
)
MISSING = Operation(
    "findMissing",
    TAG,
    "Ask what would have to be sent",
    (
        Answer(
            200,
            "What of these you would have to send; the rest is kept until `lease_until`.",
            models.Missing,
            headers=("Casd-Lease-Until",),
        ),
    ),
    "An answer by xxh3_128 is a hint: take the bytes by `?blob=` and a Repr-Digest that confirms them.",
    body=Body("Up to 1000 checksums of one kind.", bodies.MissingRequest, example={"sha512": [A_DIGEST]}),
)
BY_CHECKSUM = Operation(
    "findByChecksum",
    TAG,
    "Find blobs by checksum",
    (Answer(200, "Blobs of your namespaces.", models.Blobs),),
    query=PAGE,
    path={"hex": {"type": "string", "pattern": "^([0-9a-fA-F]{128}|[0-9a-fA-F]{64}|[0-9a-fA-F]{32})$"}},
)
