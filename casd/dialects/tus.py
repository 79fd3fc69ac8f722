"""tus 1.0.0 (https://tus.io/protocols/resumable-upload) on /v1/uploads: creation, expiration, termination.

`Upload-Metadata` may carry filename, filetype, namespace, name and sha512 (hex); other keys are kept and told again.
The answer to the PATCH that completes an upload, and to each HEAD until it expires, says what it became: `Casd-Blob`
and `Casd-Sha512`.
"""

import base64
import binascii
import re
from email.utils import format_datetime
from uuid import UUID

from aiohttp import hdrs, web

from casd.auth import Principal
from casd.errors import CasdError, InvalidInput, OffsetConflict, TooLarge, UploadBusy
from casd.model import Digest, Upload, checked_name, checked_namespace
from casd.store import Description
from casd.uploads import NewUpload, Uploads
from casd.web.dialect import Access, Dialect, Handler, Route, bearer
from casd.web.errors import RouteError, problem
from casd.web.keys import LIMITS, UPLOADS, principal_of
from casd.web.query import uuid_in_path
from casd.web.ranges import number
from casd.web.receive import announced_size, checked_content_type, checked_text, receive

VERSION = "1.0.0"
EXTENSIONS = "creation,expiration,termination"
CHUNK_TYPE = "application/offset+octet-stream"

_DIGITS = re.compile(r"\d+", re.ASCII)
_KEY = re.compile(r"[\x21-\x2b\x2d-\x7e]+", re.ASCII)  # printable, no space and no comma


# -- what tus wants of every request and answer -------------------------------------------------------------------


def versioned(handler: Handler) -> Handler:
    """The handler, for requests that speak our version of the protocol."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Tus-Resumable") != VERSION:
            raise RouteError(
                412, "unknown-tus-version", f"Tus-Resumable: {VERSION} is wanted", {"Tus-Version": VERSION}
            )
        return await handler(request)

    return handle


def render_error(request: web.Request, status: int, error: CasdError) -> web.Response:
    response = problem(request, status, error)
    response.headers["Tus-Resumable"] = VERSION
    if isinstance(error, OffsetConflict | UploadBusy):
        response.headers["Upload-Offset"] = str(error.offset)
    return response


def answer(status: int, headers: dict[str, str]) -> web.Response:
    return web.Response(status=status, headers={"Tus-Resumable": VERSION, "Cache-Control": "no-store", **headers})


def facts(upload: Upload) -> dict[str, str]:
    """Where the upload stands, and what it became."""
    headers = {
        "Upload-Offset": str(upload.offset),
        "Upload-Expires": format_datetime(upload.expires_at.replace(microsecond=0), usegmt=True),
    }
    if upload.blob is not None:
        assert upload.digest is not None
        headers |= {"Casd-Blob": str(upload.blob), "Casd-Sha512": upload.digest.hex}
    return headers


# -- handlers -----------------------------------------------------------------------------------------------------


async def options(request: web.Request) -> web.StreamResponse:
    limit = request.app[LIMITS].max_body_bytes
    return answer(
        204, {"Tus-Version": VERSION, "Tus-Extension": EXTENSIONS, "Tus-Max-Size": str(limit), "Allow": "POST, OPTIONS"}
    )


async def create(request: web.Request) -> web.StreamResponse:
    uploads, principal = uploads_of(request), principal_of(request)
    size = header_number(request, "Upload-Length")
    limit = request.app[LIMITS].max_body_bytes
    if size > limit:
        raise TooLarge("the upload", limit)
    new = new_upload(principal, size, request.headers.get("Upload-Metadata", ""))
    upload = await uploads.create(principal, new)
    if size == 0:
        upload = await uploads.complete(principal, upload.uuid)
    return answer(201, {"Location": f"/v1/uploads/{upload.uuid}", **facts(upload)})


async def head(request: web.Request) -> web.StreamResponse:
    uploads, principal, uuid = uploads_of(request), principal_of(request), uuid_of(request)
    upload = await uploads.upload(principal, uuid)
    # A crash between the last byte and the blob: a client that is told all bytes are here would never come back.
    if upload.offset == upload.size:
        upload = await uploads.complete(principal, uuid)
    headers = facts(upload)
    headers |= {"Upload-Defer-Length": "1"} if upload.size is None else {"Upload-Length": str(upload.size)}
    if upload.metadata:
        headers["Upload-Metadata"] = upload.metadata
    return answer(200, headers)


async def patch(request: web.Request) -> web.StreamResponse:
    uploads, principal, uuid = uploads_of(request), principal_of(request), uuid_of(request)
    if request.headers.get(hdrs.CONTENT_TYPE, "").strip().lower() != CHUNK_TYPE:
        raise RouteError(415, "unsupported-media-type", f"the body of a PATCH is {CHUNK_TYPE}")
    offset, size = header_number(request, "Upload-Offset"), announced_size(request)
    upload = await uploads.upload(principal, uuid)
    is_repeated = upload.blob is not None and offset == upload.offset and size == 0  # its answer was lost
    if not is_repeated:
        async with uploads.appending(principal, uuid, offset) as appending:
            check_room(appending.upload, size)
            await receive(request, appending)
        upload = appending.upload
    if upload.offset == upload.size:
        upload = await uploads.complete(principal, uuid)
    return answer(204, facts(upload))


def check_room(upload: Upload, size: int | None) -> None:
    """Raises TooLarge, before anything of the body is read."""
    if size is not None and upload.size is not None and upload.offset + size > upload.size:
        raise TooLarge("what is announced, with what is here already,", upload.size)


async def terminate(request: web.Request) -> web.StreamResponse:
    await uploads_of(request).terminate(principal_of(request), uuid_of(request))
    return answer(204, {})


async def overridden(request: web.Request) -> web.StreamResponse:
    """A POST that says by X-HTTP-Method-Override which method it would be, if something in between let it."""
    method = request.headers.get("X-HTTP-Method-Override", "").upper()
    meant = {"PATCH": patch, "DELETE": terminate, "HEAD": head}.get(method)
    if meant is None:
        raise RouteError(405, "method-not-allowed", "POST is not allowed here", {"Allow": "DELETE, HEAD, PATCH"})
    return await meant(request)


# -- what a request says ------------------------------------------------------------------------------------------


def uploads_of(request: web.Request) -> Uploads:
    return request.app[UPLOADS]


def uuid_of(request: web.Request) -> UUID:
    return uuid_in_path(request.match_info["uuid"])


def header_number(request: web.Request, name: str) -> int:
    """Raises InvalidInput."""
    text = request.headers.get(name, "").strip()
    if not _DIGITS.fullmatch(text):
        raise InvalidInput(f"{name} is a number of bytes, not {text[:40]!r}")
    return number(text)


def new_upload(principal: Principal, size: int, metadata: str) -> NewUpload:
    """Raises InvalidInput."""
    told = {key: value for key, value in parsed_metadata(metadata).items() if key in KNOWN}
    texts = {key: text_of(key, value) for key, value in told.items()}
    filename, name, sha512 = texts.get("filename"), texts.get("name"), texts.get("sha512")
    return NewUpload(
        namespace=checked_namespace(texts.get("namespace", principal.home)),
        size=size,
        digest=None if sha512 is None else Digest.parse(sha512),
        name=None if name is None else checked_name(name),
        about=Description(
            checked_content_type(texts.get("filetype")),
            None if filename is None else checked_text(filename, "the filename in Upload-Metadata"),
        ),
        metadata=metadata,
    )


KNOWN = frozenset({"filename", "filetype", "namespace", "name", "sha512"})


def parsed_metadata(header: str) -> dict[str, bytes]:
    """Keys with their values: `key base64, key base64`, where a value may be missing. Raises InvalidInput."""
    found: dict[str, bytes] = {}
    for item in header.split(",") if header.strip(" \t") else ():
        key, _, encoded = item.strip(" \t").partition(" ")
        if not _KEY.fullmatch(key) or key in found:
            raise InvalidInput("Upload-Metadata is a list of different keys, each with a base64 value behind a space")
        try:
            found[key] = base64.b64decode(encoded.strip(" \t"), validate=True)
        except (binascii.Error, ValueError):
            raise InvalidInput(f"the value of {key[:40]} in Upload-Metadata is not base64") from None
    return found


def text_of(key: str, value: bytes) -> str:
    """Raises InvalidInput."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput(f"the value of {key} in Upload-Metadata is not UTF-8") from None


TUS = Dialect(
    name="tus",
    prefixes=("/v1/uploads",),
    credential=bearer,
    render_error=render_error,
    routes=(
        Route("OPTIONS", "/v1/uploads", options, Access.OPEN),
        Route("POST", "/v1/uploads", versioned(create)),
        Route("HEAD", "/v1/uploads/{uuid}", versioned(head)),
        Route("PATCH", "/v1/uploads/{uuid}", versioned(patch)),
        Route("DELETE", "/v1/uploads/{uuid}", versioned(terminate)),
        Route("POST", "/v1/uploads/{uuid}", versioned(overridden)),
    ),
)
