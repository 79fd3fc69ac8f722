"""Uploads: blind appends, each of which counts wholly or not at all, and truncation to go back.

An upload has no owner but its namespace. It ends by becoming a version of an artifact (`artifacts.py`), and is not
there any more to these calls then.
"""

from uuid import UUID

from aiohttp import web

from casd.dialects.shakenfist.render import NODE
from casd.errors import InvalidInput, TooLarge, UploadNotFound
from casd.uploads import NewUpload
from casd.uploads.whole import appending_whole
from casd.web.answers import json_response
from casd.web.keys import LIMITS, UPLOADS, principal_of
from casd.web.query import uuid_in_path
from casd.web.ranges import number
from casd.web.receive import announced_size, receive


async def create(request: web.Request) -> web.StreamResponse:
    principal = principal_of(request)
    upload = await request.app[UPLOADS].create(principal, NewUpload(principal.home))
    return json_response({"uuid": str(upload.uuid), "node": NODE, "created_at": upload.created_at.timestamp()})


async def append(request: web.Request) -> web.StreamResponse:
    """The new total, which is durable."""
    uploads, size = request.app[UPLOADS], announced_size(request)
    limit = request.app[LIMITS].max_body_bytes
    async with appending_whole(uploads, principal_of(request), uuid_of(request), limit) as appending:
        if size is not None and appending.upload.offset + size > appending.limit_bytes:
            raise TooLarge("the upload", appending.limit_bytes)
        await appending.expect(size)
        await receive(request, appending)
    return json_response(appending.upload.offset)


async def truncate(request: web.Request) -> web.StreamResponse:
    uploads, principal, uuid = request.app[UPLOADS], principal_of(request), uuid_of(request)
    if (await uploads.upload(principal, uuid)).blob is not None:
        raise UploadNotFound(f"upload {uuid} is finished: begin another")
    await uploads.truncate(principal, uuid, size_in_path(request))
    return json_response(None)


def size_in_path(request: web.Request) -> int:
    """Raises InvalidInput."""
    text = request.match_info["size"]
    if not (text.isascii() and text.isdecimal()):
        raise InvalidInput(f"an upload is truncated to a number of bytes, not to {text[:40]!r}")
    return number(text)


def uuid_of(request: web.Request) -> UUID:
    return uuid_in_path(request.match_info["uuid"])
