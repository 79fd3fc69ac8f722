"""What the SDK reads: JSON errors of the API, and XML errors of signed links, as S3 has them."""

import re
from typing import Any
from xml.sax.saxutils import escape

from aiohttp import web

from casd.errors import CasdError
from casd.model import Version
from casd.web.answers import json_response
from casd.web.dialect import is_below
from casd.web.keys import REQUEST_ID
from casd.web.send import SAFETY

OBJECTS = "/api/v1/data-store/objects"  # below it all is opened by signed links

# S3's own words where it has one; https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
CODES = {
    400: "InvalidRequest",
    401: "AccessDenied",
    403: "AccessDenied",
    404: "NoSuchKey",
    405: "MethodNotAllowed",
    408: "RequestTimeout",
    409: "OperationAborted",
    412: "PreconditionFailed",
    413: "EntityTooLarge",
    416: "InvalidRange",
    423: "OperationAborted",
    500: "InternalError",
    503: "SlowDown",
    507: "InsufficientStorage",
}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def object_json(version: Version) -> dict[str, Any]:
    assert version.blob is not None
    at = version.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"path": version.name, "last_modified": at, "size": version.blob.size}


def render_error(request: web.Request, status: int, error: CasdError) -> web.Response:
    if is_below(request.path, OBJECTS):
        return xml_error(request, status, error)
    body = {
        "message": str(error),
        "name": error.code,
        "request_id": request.get(REQUEST_ID, ""),
        "additional_data": {},
    }
    return json_response(body, status)


def xml_error(request: web.Request, status: int, error: CasdError) -> web.Response:
    code = CODES.get(status, "InvalidRequest" if status < 500 else "InternalError")
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{xml_text(str(error))}</Message>"
        f"<RequestId>{xml_text(request.get(REQUEST_ID, ''))}</RequestId></Error>"
    )
    headers = {"Content-Type": "application/xml; charset=utf-8", "Cache-Control": "no-store", **SAFETY}
    return web.Response(status=status, body=text.encode("utf-8", "replace"), headers=headers)


def xml_text(text: str) -> str:
    return escape(_NOT_XML.sub("?", text))
