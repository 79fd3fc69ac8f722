"""Deep Lake's files: `/workspaces/{workspace}/files`. A workspace is a namespace, a file a blob.

Its page documents `id` alone; the other fields are those that clients of its older files API know. A file is found in
its own workspace only: here a UUID is a key to join by, not evidence that its bearer may read. What it lists are blobs
that hold themselves; by its UUID it also reads what was stored under a name, and so is a version's alone. Deleting is
real to it: a blob whose own hold has ended is gone here, even while a version holds it.
"""

from uuid import UUID

from aiohttp import web

from casd import changes
from casd.errors import BlobNotFound, CasdError, InvalidInput
from casd.model import JSON, Blob, checked_namespace
from casd.store import Description
from casd.web.answers import json_response, time_text
from casd.web.dialect import Dialect, Route, bearer
from casd.web.forms import Form
from casd.web.keys import principal_of, store_of
from casd.web.query import decode, page_limit, raw_segments, uuid_in_path
from casd.web.ranges import query_number
from casd.web.send import IMMUTABLE, Representation, send

PAGE_DEFAULT = 20


async def upload(request: web.Request) -> web.StreamResponse:
    store, principal = store_of(request), principal_of(request)
    workspace = workspace_of(request)
    await store.addable_namespace(principal, workspace)
    form = Form(request)
    about: Description | None = None
    async with await store.stage(workspace, form.size, least=form.least_size) as staged:
        async for part in form:
            if part.name == "file":
                if about is not None:
                    raise InvalidInput("the form has two parts named file: upload one at a time")
                about = part.description()
                await part.receive(staged)
        if about is None:
            raise InvalidInput("the form has no part named file")
        blob = await store.add(principal, workspace, staged, about)
    return json_response(file_json(blob), 201, {"Location": f"/workspaces/{workspace}/files/{blob.uuid}"})


async def listing(request: web.Request) -> web.StreamResponse:
    store, workspace = store_of(request), workspace_of(request)
    limit, offset = page_limit(request, PAGE_DEFAULT), query_number(request.query, "offset", 0)
    await store.readable_namespace(principal_of(request), workspace)
    found = await store.catalogue.own_blobs(workspace, limit + 1, min(offset, 1 << 62), store.now())
    data = [file_json(blob) for blob in found[:limit]]
    return json_response(
        {"object": "list", "data": data, "limit": limit, "offset": offset, "has_more": len(found) > limit}
    )


async def info(request: web.Request) -> web.StreamResponse:
    blob = await file_of(request)
    store = store_of(request)
    view = await store.catalogue.view(blob.uuid, store.now())
    if view is None:
        raise absent(blob.uuid)
    return json_response(file_json(view.blob) | {"metadata": dict(view.metadata)})


async def content(request: web.Request) -> web.StreamResponse:
    blob = await file_of(request)
    return await send(request, Representation(blob, blob.created_at, IMMUTABLE, blob.filename))


async def delete(request: web.Request) -> web.StreamResponse:
    blob = await file_of(request)
    await changes.delete(store_of(request), principal_of(request), blob.uuid)
    return json_response({"id": str(blob.uuid), "object": "file", "deleted": True})


def workspace_of(request: web.Request) -> str:
    return checked_namespace(decode(raw_segments(request)[1]))


async def file_of(request: web.Request) -> Blob:
    """The file in the path, in a workspace that the caller may read. Raises BlobNotFound, NamespaceNotFound."""
    store, workspace, uuid = store_of(request), workspace_of(request), uuid_in_path(request.match_info["uuid"])
    await store.readable_namespace(principal_of(request), workspace)
    blob = await store.catalogue.blob(uuid, store.now())
    if blob is None or blob.namespace != workspace or blob.was_let_go:
        raise absent(uuid)
    return blob


def absent(uuid: UUID) -> BlobNotFound:
    return BlobNotFound(f"there is no file {uuid} in this workspace")


def file_json(blob: Blob) -> dict[str, JSON]:
    return {
        "id": str(blob.uuid),
        "object": "file",
        "filename": blob.filename,
        "content_type": blob.content_type,
        "size": blob.size,
        "bytes": blob.size,  # as the older API calls it
        "created_at": time_text(blob.created_at),
        "workspace_id": blob.namespace,
        "status": "uploaded" if blob.state == "created" else "error",
        "sha512": blob.digest.hex,
    }


def render_error(request: web.Request, status: int, error: CasdError) -> web.Response:
    return json_response({"error": str(error), "code": error.code}, status)


DEEPLAKE = Dialect(
    name="deeplake",
    prefixes=("/workspaces",),
    credential=bearer,
    render_error=render_error,
    routes=(
        Route("POST", "/workspaces/{workspace}/files", upload),
        Route("GET", "/workspaces/{workspace}/files", listing),
        Route("GET", "/workspaces/{workspace}/files/{uuid}", info),
        Route("DELETE", "/workspaces/{workspace}/files/{uuid}", delete),
        Route("GET", "/workspaces/{workspace}/files/{uuid}/content", content),
    ),
)
