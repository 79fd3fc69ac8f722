"""Signed links: an object's bytes by GET, a new object by POST of a form, a part of one by PUT.

What a link is for is part of its signature: the purpose, the object, and of a part its number, place and size. Whoever
has a token needs none.
"""

from collections.abc import Mapping

from aiohttp import web

from casd.dialects.craftai.asking import path_of
from casd.dialects.craftai.render import OBJECTS
from casd.errors import InvalidInput, SizeMismatch, TooLarge, UploadNotFound
from casd.model import ByteRange, Naming, Upload, checked_namespace
from casd.store import Description
from casd.uploads.parts import receiving, upload_in_parts
from casd.web.forms import Form, Part
from casd.web.keys import LIMITS, ORIGINS, UPLOADS, principal_of, store_of
from casd.web.links import link_end
from casd.web.query import check_query, decode, namespace_and_name, raw_segments, uuid_in_path
from casd.web.ranges import query_number
from casd.web.receive import announced_size, checked_content_type, receive
from casd.web.send import REVALIDATE, Representation, send
from casd.web.signed import Target, sign

POST, PUT = "craftai-post", "craftai-put"  # purposes
LINK_S = 3600
KEEP_VERSIONS = 1  # of a name that is made here
PARTS = 10_000  # of one upload, as S3 has it: their list at the end stays below the limit of a JSON body
FIELD_LIMIT_BYTES = 8 << 10
SKIP = OBJECTS.count("/")  # segments before the namespace


async def link(
    request: web.Request, purpose: str, namespace: str, name: str | None, query: Mapping[str, str] | None = None
) -> str:
    """An absolute URL of the object; without a name, of one that the form names."""
    principal = principal_of(request)
    path = f"{OBJECTS}/{namespace}" + ("" if name is None else f"/{name}")
    pairs = sorted((key.encode(), value.encode()) for key, value in (query or {}).items())
    target = Target(path.encode(), tuple(pairs))
    signed = await sign(store_of(request), principal.token, purpose, target, await link_end(request, LINK_S))
    return request.app[ORIGINS].base_url(request) + signed


async def get(request: web.Request) -> web.StreamResponse:
    namespace, name = namespace_and_name(request, SKIP)
    version, blob = await store_of(request).readable_version(principal_of(request), namespace, name)
    filename = blob.filename or filename_of(name)
    return await send(request, Representation(blob, version.created_at, REVALIDATE, filename, is_name=True))


async def post(request: web.Request) -> web.StreamResponse:
    store, principal = store_of(request), principal_of(request)
    namespace, name = target_of(request)
    await store.addable_namespace(principal, namespace)
    form = Form(request)
    fields: dict[str, str] = {}
    file: Part | None = None
    async with await store.stage(namespace, form.size, name=name, least=form.least_size) as staged:
        async for part in form:
            if file is not None:
                continue  # as S3 has it: what follows the file says nothing
            if part.name == "file":
                file, name = part, name_of(name, fields)
                await part.receive(staged)
            else:
                fields[part.name or ""] = await part.text(FIELD_LIMIT_BYTES)
        if file is None or name is None:
            raise InvalidInput("the form has no part named file")
        about = Description(checked_content_type(file.content_type), filename_of(name))
        await store.publish(principal, namespace, name, staged, about, naming=Naming(KEEP_VERSIONS))
    return web.Response(status=204)


def target_of(request: web.Request) -> tuple[str, str | None]:
    """Namespace and name in the path; None where the form is to name it."""
    if "name" in request.match_info:
        return namespace_and_name(request, SKIP)
    return checked_namespace(decode(raw_segments(request)[SKIP])), None


def name_of(signed: str | None, fields: dict[str, str]) -> str:
    """The object that the link is for, or the form's key. Raises InvalidInput."""
    key = fields.get("key")
    if key is None and signed is None:
        raise InvalidInput("the form has no field named key before its file: where the object is to be")
    if key is not None and signed is not None and path_of(key) != signed:
        raise InvalidInput(f"this link is for {signed}, the form's key is another one")
    return signed if signed is not None else path_of(key)


async def put_part(request: web.Request) -> web.StreamResponse:
    check_query(request)
    uploads, principal = request.app[UPLOADS], principal_of(request)
    namespace, name = namespace_and_name(request, SKIP)
    upload = await upload_of(request, request.query.get("upload", ""), namespace, name)
    number, start = query_number(request.query, "part", 0), query_number(request.query, "start", 0)
    size, total = announced_size(request), wanted_number(request, "total")
    if size is None or not 1 <= number <= PARTS:
        raise InvalidInput(f"a part has a number from 1 to {PARTS} and a Content-Length")
    if size != (signed := wanted_number(request, "size")) and signed is not None:
        raise SizeMismatch(f"this link is for a part of {signed} bytes, not of {size}")
    if size > (most := wanted_number(request, "most") or size):
        raise TooLarge("a part after the first", most)
    check_size(request, start + size)
    async with receiving(uploads, principal, upload.uuid, number, ByteRange(start, start + size), total) as part:
        await receive(request, part)
    return web.Response(headers={"ETag": f'"{part.etag}"'})  # strong and in quotes: SDKs up to 0.46 read it as JSON


def wanted_number(request: web.Request, name: str) -> int | None:
    return query_number(request.query, name, 0) if name in request.query else None


def check_size(request: web.Request, size: int) -> None:
    """Raises TooLarge."""
    limit = request.app[LIMITS].max_body_bytes
    if size > limit:
        raise TooLarge("the object", limit)


async def upload_of(request: web.Request, id: str, namespace: str, name: str) -> Upload:
    """The unfinished or finished upload of that object. Raises UploadNotFound, Forbidden."""
    upload = await upload_in_parts(request.app[UPLOADS], principal_of(request), uuid_in_path(id))
    if (upload.namespace, upload.name) != (namespace, name):
        raise UploadNotFound(f"this multipart upload is not one of {name}")
    return upload


def filename_of(name: str) -> str:
    return name.rpartition("/")[2]
