"""Blobs by UUID: what is known of them, their bytes, their metadata, and the search by checksum.

Blobs have no namespace here: who knows the UUID may read. Changing one takes a member of casd's namespace all the same.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from uuid import UUID

from aiohttp import web

from casd import changes
from casd.catalogue.values import BlobFilter
from casd.dialects.shakenfist.access import check_admin
from casd.dialects.shakenfist.render import blob_view, checksums, list_response
from casd.errors import BlobNotFound, InvalidInput, MetadataKeyNotFound
from casd.model import JSON, BlobState, BlobView, ByteRange, Digest
from casd.web.answers import json_response
from casd.web.keys import principal_of, store_of
from casd.web.metadata import check_metadata_value, checked_metadata_key
from casd.web.query import PAGE_LIMIT, decode, raw_segments, uuid_in_path
from casd.web.ranges import query_number
from casd.web.receive import read_json
from casd.web.send import IMMUTABLE, Representation, send


async def listing(request: web.Request) -> web.StreamResponse:
    check_admin(principal_of(request), "list all blobs")
    return await list_response(request, all_blobs(request))


async def all_blobs(request: web.Request) -> AsyncGenerator[object]:
    store, after = store_of(request), None
    while True:
        page = await store.catalogue.blobs(None, BlobFilter(), PAGE_LIMIT, after, store.now())
        for view in page.items:
            yield blob_view(view)
        if page.next is None:
            return
        after = page.next


async def info(request: web.Request) -> web.StreamResponse:
    return json_response(blob_view(await readable_view(request)))


async def readable_view(request: web.Request) -> BlobView:
    """Raises BlobNotFound."""
    store, uuid = store_of(request), uuid_of(request)
    await store.readable_blob(principal_of(request), uuid)
    view = await store.catalogue.view(uuid, store.now())
    if view is None:  # its last hold went a moment ago
        raise BlobNotFound(f"there is no blob {uuid}")
    return view


def uuid_of(request: web.Request) -> UUID:
    return uuid_in_path(request.match_info["uuid"])


async def data(request: web.Request) -> web.StreamResponse:
    blob = await store_of(request).readable_blob(principal_of(request), uuid_of(request))
    # Chunked: urllib3 1.26 takes a body that is cut for complete where its length was announced.
    return await send(
        request, Representation(blob, blob.created_at, IMMUTABLE, blob.filename, window=window, is_chunked=True)
    )


def window(query: Mapping[str, str], size: int) -> ByteRange | None:
    """What `?offset=` and `?limit=` ask for; past the end that is nothing, which ends the client's loop."""
    start, limit = query_number(query, "offset", 0), query_number(query, "limit", 0)
    if start == limit == 0:
        return None
    start = min(start, size)
    return ByteRange(start, min(size, start + limit) if limit else size)


async def events(request: web.Request) -> web.StreamResponse:
    """None, for none are kept; the word that says otherwise is not among the capabilities."""
    await readable_view(request)
    return json_response([])


# -- by checksum ----------------------------------------------------------------------------------------------------


async def by_sha512(request: web.Request) -> web.StreamResponse:
    """A blob that the caller may also make an artifact of, so one of its own namespaces; null if there is none."""
    store, principal = store_of(request), principal_of(request)
    digest = Digest.parse(request.match_info["hex"])
    mine = None if principal.is_admin else principal.namespaces
    blob = await store.catalogue.blob_of_payload(digest, mine, store.now())
    if blob is None or blob.state is not BlobState.CREATED:
        return json_response(None)
    view = await store.catalogue.view(blob.uuid, store.now())
    return json_response(None if view is None else blob_view(view))


async def checksum(request: web.Request) -> web.StreamResponse:
    known, algorithm = checksums(await readable_view(request)), request.match_info["algorithm"]
    if algorithm not in known:
        raise InvalidInput(f"the checksums that are kept are {', '.join(known)}")
    return json_response(known[algorithm])


# -- metadata -------------------------------------------------------------------------------------------------------


async def metadata(request: web.Request) -> web.StreamResponse:
    return json_response(dict((await readable_view(request)).metadata))


async def add_metadata(request: web.Request) -> web.StreamResponse:
    key, value = new_metadata(await read_json(request))
    return await keep_metadata(request, uuid_of(request), key, value)


async def set_metadata(request: web.Request) -> web.StreamResponse:
    return await keep_metadata(request, uuid_of(request), key_in_path(request), new_value(await read_json(request)))


async def delete_metadata(request: web.Request) -> web.StreamResponse:
    return await drop_metadata(request, uuid_of(request), key_in_path(request))


async def keep_metadata(request: web.Request, uuid: UUID, key: str, value: JSON) -> web.StreamResponse:
    await changes.set_metadata(store_of(request), principal_of(request), uuid, key, value)
    return json_response(None)


async def drop_metadata(request: web.Request, uuid: UUID, key: str) -> web.StreamResponse:
    with suppress(MetadataKeyNotFound):
        await changes.delete_metadata(store_of(request), principal_of(request), uuid, key)
    return json_response(None)


def key_in_path(request: web.Request) -> str:
    """Of `/…/{reference}/metadata/{key}`. Raises InvalidInput."""
    return checked_metadata_key(decode(raw_segments(request)[3]))


def new_metadata(body: Mapping[str, JSON]) -> tuple[str, JSON]:
    """A key and a value, neither missing nor empty. Raises InvalidInput, TooLarge."""
    key, value = body.get("key"), body.get("value")
    if not isinstance(key, str) or not key or not value:
        raise InvalidInput('the body is {"key": "...", "value": ...}, and neither is empty')
    check_metadata_value(value)
    return checked_metadata_key(key), value


def new_value(body: Mapping[str, JSON]) -> JSON:
    """Raises InvalidInput, TooLarge."""
    if "value" not in body:
        raise InvalidInput('the body is {"value": ...}')
    check_metadata_value(body["value"])
    return body["value"]
