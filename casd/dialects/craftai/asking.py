"""What a request says: environment, path, fields, and how old the SDK is that sent it."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl
from uuid import UUID

from aiohttp import web

from casd.errors import InvalidInput, NotFound, UploadNotFound
from casd.model import JSON, checked_name, checked_namespace
from casd.web.keys import principal_of
from casd.web.query import check_query, decode, raw_segments, uuid_in_path
from casd.web.receive import read_body, read_json

FORM_LIMIT_BYTES = 64 << 10
FORM_FIELDS = 100
PATH = "path_to_object"

_CLIENT = re.compile(r"craft-ai-sdk@(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?", re.ASCII)


def environment_of(request: web.Request) -> str:
    """The namespace in the path, else the caller's home. Raises InvalidInput."""
    if "namespace" in request.match_info:
        return checked_namespace(decode(raw_segments(request)[1]))
    return principal_of(request).home


def sdk_version(request: web.Request) -> tuple[int, int, int] | None:
    """Major, minor and patch; None for SDKs before 0.15, and for other clients."""
    match = _CLIENT.match(request.headers.get("craft-ai-client", ""))
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def path_of(text: object) -> str:
    """The name for an object's path. Empty segments mean nothing, as in SDKs up to 0.26. Raises InvalidInput."""
    if not isinstance(text, str):
        raise InvalidInput(f"{PATH} is wanted: where the object is in the data store")
    return checked_name("/".join(segment for segment in text.split("/") if segment))


def path_in_query(request: web.Request) -> str:
    """Raises InvalidInput."""
    check_query(request)
    return path_of(request.query.get(PATH))


async def fields_of(request: web.Request) -> Mapping[str, JSON]:
    """The fields of a JSON object, or of a form: SDKs send both. Raises InvalidInput, TooLarge, BodyTimeout."""
    if request.content_type == "application/json":
        return await read_json(request)
    body = await read_body(request, "the form", FORM_LIMIT_BYTES)
    try:
        return dict(parse_qsl(body.decode("ascii"), True, errors="strict", max_num_fields=FORM_FIELDS))
    except ValueError:  # UnicodeError is one
        raise InvalidInput(f"the body is a form of at most {FORM_FIELDS} fields in UTF-8, percent-encoded") from None


def whole_number(value: object, what: str, most: int) -> int:
    """From 1 on. Raises InvalidInput."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise InvalidInput(f"{what} is a number from 1 to {most}")
    return value


def upload_id(value: object) -> UUID:
    """Raises InvalidInput, UploadNotFound."""
    if not isinstance(value, str):
        raise InvalidInput("multipart_upload_configuration is what the start of the upload answered")
    try:
        return uuid_in_path(value)
    except NotFound:
        raise UploadNotFound("there is no such multipart upload: start again") from None
