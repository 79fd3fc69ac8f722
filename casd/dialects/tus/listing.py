"""Unfinished uploads: by their content, so that a client goes on that has kept no URL, or is on another machine; or all
of them, for whoever looks after them.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from aiohttp import web

from casd.auth import Principal
from casd.dialects.tus.asking import uploads_of
from casd.dialects.tus.calls import location
from casd.errors import CasdError, InvalidInput
from casd.held import unfinished
from casd.model import Upload, checked_namespace
from casd.store import BlobStore
from casd.uploads import Uploads
from casd.web.answers import json_response, time_text
from casd.web.keys import principal_of, store_of
from casd.web.query import check_parameters, cursor, cursor_text, page_limit
from casd.web.ranges import query_number

PATIENCE_S = 10.0  # reading again goes on behind it; 4 to 7 GiB
ALGORITHMS = {"sha512": ("sha512", 128), "xxh3_128": ("xxh3-128", 32)}  # each with its number of hex digits


async def listing(request: web.Request) -> web.StreamResponse:
    store, principal, uploads = store_of(request), principal_of(request), uploads_of(request)
    if not any(parameter in request.query for parameter in (*ALGORITHMS, "size")):
        return await open_page(request)
    check_parameters(request, *ALGORITHMS, "size", "namespace")
    algorithm, value = content_of(request)
    if "size" not in request.query:
        raise InvalidInput("?size= says how many bytes the content has")
    namespace = checked_namespace(request.query.get("namespace", principal.home))
    size = min(
        query_number(request.query, "size", 0), (1 << 63) - 1
    )  # what SQLite can compare; no upload has that many
    found = await unfinished(store, principal, namespace, algorithm, value, size)
    found = await with_prefixes(uploads, principal, found)
    items = [upload_json(upload, uploads.is_receiving(upload.uuid)) for upload in found]
    return json_response({"items": items, "next": None})


async def open_page(request: web.Request) -> web.StreamResponse:
    """Of one namespace, or of all that the caller may write in; of an admin's, that is every one."""
    store, principal, uploads = store_of(request), principal_of(request), uploads_of(request)
    check_parameters(request, "namespace", "limit", "cursor")
    namespaces: Sequence[str] | None = None if principal.is_admin else principal.namespaces
    if "namespace" in request.query:
        namespaces = (checked_namespace(request.query["namespace"]),)
    for namespace in namespaces or ():
        await store.writable_namespace(principal, namespace)
    page = await store.catalogue.open_uploads(namespaces, page_limit(request), cursor(request), store.now())
    items = [await open_upload_json(store, uploads, upload) for upload in page.items]
    return json_response({"items": items, "next": cursor_text(request, page.next)})


async def open_upload_json(store: BlobStore, uploads: Uploads, upload: Upload) -> dict[str, object]:
    token = await store.catalogue.token_by_id(upload.token)  # cached: 2 us
    return upload_json(upload, uploads.is_receiving(upload.uuid)) | {
        "begun_by": token.name if token else None,
        "is_partial": upload.is_partial,
    }


async def with_prefixes(uploads: Uploads, principal: Principal, found: Sequence[Upload]) -> list[Upload]:
    """As they are; the digests that are not known after a restart are found out if that is done in a while."""
    ready = list(found)
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            for at, upload in enumerate(found):
                if upload.prefix is None and not uploads.is_receiving(upload.uuid):
                    with suppress(CasdError):  # its client is back, or it is gone: the listing is of a moment ago
                        ready[at] = await uploads.with_prefix(principal, upload)
    return [upload for upload in ready if upload.blob is None]


def content_of(request: web.Request) -> tuple[str, bytes]:
    """Which checksum of the content is told, and its value. Raises InvalidInput."""
    told = [parameter for parameter in ALGORITHMS if parameter in request.query]
    if len(told) != 1:
        raise InvalidInput("?sha512= or ?xxh3_128= says which content")
    algorithm, length = ALGORITHMS[told[0]]
    text = request.query[told[0]]
    if len(text) != length or not all(char in "0123456789abcdefABCDEF" for char in text):
        raise InvalidInput(f"?{told[0]}= is {length} hex digits")
    return algorithm, bytes.fromhex(text)


def upload_json(upload: Upload, is_active: bool) -> dict[str, object]:
    return {
        "url": location(upload),
        "offset": upload.offset,
        "size": upload.size,
        "active": is_active,
        "prefix_sha512": upload.prefix.hex if upload.prefix else None,
        "namespace": upload.namespace,
        "name": upload.name,
        "content_type": upload.content_type,
        "filename": upload.filename,
        "created_at": time_text(upload.created_at),
        "expires_at": time_text(upload.expires_at),
    }
