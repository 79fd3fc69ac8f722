"""Blobs by UUID, their metadata, payloads by digest, and the search by checksum."""

from uuid import UUID

from aiohttp import web

from casd import changes
from casd.auth import Principal
from casd.catalogue.values import BlobFilter
from casd.dialects.native.bodies import MetadataValue, MissingRequest
from casd.dialects.native.render import blob_json, holders_json, page_json
from casd.errors import BlobNotFound, DigestMismatch, InvalidInput, MetadataKeyNotFound, NotFound, PayloadNotFound
from casd.held import copy_blob, held
from casd.model import BLOCK_SIZE, Blob, BlobView, Expected, checked_namespace
from casd.payloads.base import ANYTHING
from casd.store import BlobStore, Description
from casd.web.answers import json_response, time_text
from casd.web.bodies import checked
from casd.web.conditions import Validators, is_unchanged
from casd.web.digest_fields import announced
from casd.web.keys import anyone, principal_of, store_of
from casd.web.metadata import check_metadata_value, checked_metadata_key
from casd.web.query import (
    check_query,
    cursor,
    decode,
    digest_in_path,
    page_limit,
    raw_segments,
    seconds_from,
    uuid_in_path,
)
from casd.web.ranges import query_number
from casd.web.receive import announced_size, checked_content_type, checked_text, read_json, receive
from casd.web.send import IMMUTABLE, IMMUTABLE_PUBLIC, Representation, send

HOLDERS_SHOWN = 1000  # versions; how many there are in all is told beside them
FILTERS_LIMIT = 16  # each is a look-up in every namespace that is listed: 600 kept all listings waiting for 3 s
BLOCKS_LIMIT = 16384  # an answer: 16 GiB of payload in 300 KB of JSON, 3 ms to write
CHECKSUM_HEX_LENGTHS = {"sha512": 128, "sha256": 64, "xxh3-128": 32}


async def add(request: web.Request) -> web.StreamResponse:
    store, principal = store_of(request), principal_of(request)
    namespace = checked_namespace(request.query.get("namespace", principal.home))
    await store.addable_namespace(principal, namespace)
    about = description(request, store)
    if "blob" in request.query:
        return created(store, await copied(request, namespace, about))
    size = announced_size(request)
    expected = announced(request.headers.get("Repr-Digest"), size)
    async with await store.stage(namespace, size) as staged:
        await receive(request, staged)
        blob = await store.add(principal, namespace, staged, about, expected)
    return created(store, blob)


def created(store: BlobStore, blob: Blob) -> web.Response:
    headers = {"Location": f"/v1/blobs/{blob.uuid}", "Casd-Blob": str(blob.uuid), **lease(store, blob)}
    return json_response(blob_json(BlobView(blob)), 201, headers)


async def copied(request: web.Request, namespace: str, about: Description) -> Blob:
    store, principal, source = store_of(request), principal_of(request), source_of(request)
    expected = announced(request.headers.get("Repr-Digest"), None)
    if expected != ANYTHING:
        check_digests(await store.members_blob(principal, source), expected)
    kind = about.content_type if request.headers.get("Content-Type") else None
    return await copy_blob(
        store,
        principal,
        source,
        namespace,
        content_type=kind,
        filename=about.filename,
        expires_at=about.expires_at,
    )


def source_of(request: web.Request) -> UUID:
    """The blob in `?blob=`, whose bytes are taken instead of a body. Raises InvalidInput, BlobNotFound."""
    if request.can_read_body:
        raise InvalidInput("?blob= takes the bytes of a blob that is there: send no body")
    try:
        return uuid_in_path(request.query["blob"])
    except NotFound:
        raise BlobNotFound("there is no such blob: a UUID is written as 8-4-4-4-12 hex digits") from None


def check_digests(blob: Blob, expected: Expected) -> None:
    """Raises DigestMismatch."""
    if expected.sha512 not in (None, blob.digest.raw) or expected.sha256 not in (None, blob.sha256):
        raise DigestMismatch(f"the bytes of blob {blob.uuid} are {blob.digest}, not what Repr-Digest says")


def lease(store: BlobStore, blob: Blob) -> dict[str, str]:
    """The header that tells how long the bytes are kept whatever happens to a blob that was stored just now."""
    return {"Casd-Lease-Until": time_text(blob.created_at + store.grace)}


def description(request: web.Request, store: BlobStore) -> Description:
    """What query and headers say of the bytes. Raises InvalidInput."""
    check_query(request)
    filename, expires_in = request.query.get("filename"), request.query.get("expires_in")
    return Description(
        checked_content_type(request.headers.get("Content-Type")),
        None if filename is None else checked_text(filename, "?filename="),
        None if expires_in is None else seconds_from(expires_in, "?expires_in=", store.now()),
    )


async def listing(request: web.Request) -> web.StreamResponse:
    store, principal = store_of(request), principal_of(request)
    check_query(request)
    limit, after = page_limit(request), cursor(request)
    wanted = tuple((key[9:], value) for key, value in request.query.items() if key.startswith("metadata."))
    if len(wanted) > FILTERS_LIMIT:
        raise InvalidInput(f"at most {FILTERS_LIMIT} metadata.K=V are looked for at a time")
    only = BlobFilter(request.query.get("content_type"), wanted)
    namespace = request.query.get("namespace")
    if namespace is not None:
        chosen = [(await store.readable_namespace(principal, checked_namespace(namespace))).name]
    else:
        chosen = list(principal.namespaces)
    everywhere = namespace is None and principal.is_admin
    page = await store.catalogue.blobs(None if everywhere else chosen, only, limit, after, store.now())
    return page_json(request, page, [blob_json(view) for view in page.items])


async def info(request: web.Request) -> web.StreamResponse:
    store, principal = store_of(request), anyone(request)
    blob = await store.readable_blob(principal, uuid_of(request))
    return json_response(blob_json(await visible_view(store, principal, blob)))


async def visible_view(store: BlobStore, principal: Principal | None, blob: Blob) -> BlobView:
    """The blob with its metadata; with its names only for whom its namespace is readable."""
    view = await store.catalogue.view(blob.uuid, store.now())
    if view is None:  # its last hold went a moment ago
        raise BlobNotFound(f"there is no blob {blob.uuid}")
    namespace = await store.namespace(blob.namespace)
    if principal is not None and principal.may_read(namespace):
        return view
    return BlobView(view.blob, view.metadata)


async def holders(request: web.Request) -> web.StreamResponse:
    """What keeps a blob. Other namespaces that have its bytes are told to admins alone."""
    store, principal, uuid = store_of(request), principal_of(request), uuid_of(request)
    blob = await store.readable_blob(principal, uuid)
    found = None
    if principal.may_read(await store.namespace(blob.namespace)):
        namespaces = None if principal.is_admin else {*principal.namespaces, blob.namespace}
        found = await store.catalogue.holders(uuid, namespaces, HOLDERS_SHOWN, store.now())
    if found is None:
        raise BlobNotFound(f"there is no blob {uuid}")
    return json_response(holders_json(found, found.keep_until if principal.is_admin else blob.created_at + store.grace))


async def delete(request: web.Request) -> web.StreamResponse:
    def is_meant(blob: Blob) -> bool:
        return is_unchanged(request.headers, Validators(blob.digest.hex, blob.created_at, is_name=False))

    await changes.delete(store_of(request), principal_of(request), uuid_of(request), is_meant)
    return web.Response(status=204)


async def data(request: web.Request) -> web.StreamResponse:
    store = store_of(request)
    blob = await store.readable_blob(anyone(request), uuid_of(request))
    return await send_blob(request, store, blob)


async def payload(request: web.Request) -> web.StreamResponse:
    store = store_of(request)
    blob = await store.readable_payload(anyone(request), digest_in_path(request.match_info["hex"]))
    return await send_blob(request, store, blob)


async def send_blob(request: web.Request, store: BlobStore, blob: Blob) -> web.StreamResponse:
    """The bytes at a URL that never means others."""
    namespace = await store.namespace(blob.namespace)
    policy = IMMUTABLE_PUBLIC if namespace.anonymous_read else IMMUTABLE
    return await send(request, Representation(blob, blob.created_at, policy, blob.filename))


async def blocks(request: web.Request) -> web.StreamResponse:
    store = store_of(request)
    return await block_list(request, await store.readable_blob(anyone(request), uuid_of(request)))


async def payload_blocks(request: web.Request) -> web.StreamResponse:
    store = store_of(request)
    return await block_list(
        request, await store.readable_payload(anyone(request), digest_in_path(request.match_info["hex"]))
    )


async def block_list(request: web.Request, blob: Blob) -> web.StreamResponse:
    """The checksums of the payload's blocks from `?start=` to `?stop=`, at most BLOCKS_LIMIT of them."""
    count = -(-blob.size // BLOCK_SIZE)
    start = min(query_number(request.query, "start", 0), count)
    stop = min(query_number(request.query, "stop", count), count, start + BLOCKS_LIMIT)
    if stop < start:
        raise InvalidInput("?stop= is where the blocks end: not before ?start=")
    checksums = await store_of(request).catalogue.block_checksums(blob.digest, start, stop)
    if checksums is None:
        raise PayloadNotFound(f"there is no payload {blob.digest}")
    listed = [checksums[at : at + 8].hex() for at in range(0, len(checksums), 8)]
    return json_response({"block_size": BLOCK_SIZE, "algorithm": "xxh3-64", "blocks": listed})


# -- metadata -----------------------------------------------------------------------------------------------------


async def metadata(request: web.Request) -> web.StreamResponse:
    return json_response(await readable_metadata(request))


async def metadata_value(request: web.Request) -> web.StreamResponse:
    key = metadata_key(request)
    known = await readable_metadata(request)
    if key not in known:
        raise MetadataKeyNotFound(f"the blob has no metadata {key!r}")
    return json_response({"value": known[key]})


async def set_metadata(request: web.Request) -> web.StreamResponse:
    store, principal, uuid, key = store_of(request), principal_of(request), uuid_of(request), metadata_key(request)
    await store.addable_blob(principal, uuid)
    value = checked(MetadataValue, await read_json(request)).value
    check_metadata_value(value)
    await changes.set_metadata(store, principal, uuid, key, value)
    return json_response({"value": value})


async def delete_metadata(request: web.Request) -> web.StreamResponse:
    await changes.delete_metadata(store_of(request), principal_of(request), uuid_of(request), metadata_key(request))
    return web.Response(status=204)


async def readable_metadata(request: web.Request) -> dict[str, object]:
    store = store_of(request)
    blob = await store.readable_blob(principal_of(request), uuid_of(request))
    view = await store.catalogue.view(blob.uuid, store.now())
    return dict(view.metadata) if view else {}


def metadata_key(request: web.Request) -> str:
    return checked_metadata_key(decode(raw_segments(request)[4]))


# -- by checksum --------------------------------------------------------------------------------------------------


async def by_checksum(request: web.Request) -> web.StreamResponse:
    store, principal = store_of(request), principal_of(request)
    algorithm, text = request.match_info["algorithm"], request.match_info["hex"]
    value = checksum(algorithm, text)
    chosen = None
    if not principal.is_admin:
        chosen = [namespace.name for namespace in await store.catalogue.namespaces(principal.namespaces)]
    page = await store.catalogue.blobs_by_checksum(
        algorithm, value, chosen, page_limit(request), cursor(request), store.now()
    )
    return page_json(request, page, [blob_json(view) for view in page.items])


async def missing(request: web.Request) -> web.StreamResponse:
    """What of these the caller would have to send."""
    store, principal = store_of(request), principal_of(request)
    ((field, texts),) = checked(MissingRequest, await read_json(request)).told.items()
    algorithm = {"sha512": "sha512", "xxh3_128": "xxh3-128"}[field]
    values = {bytes.fromhex(text): text.lower() for text in texts}
    have, until = await held(store, principal, algorithm, values)
    lacking = [text for value, text in values.items() if value not in have]
    until_text = time_text(until)
    return json_response({"missing": lacking, "lease_until": until_text}, headers={"Casd-Lease-Until": until_text})


def checksum(algorithm: str, text: str) -> bytes:
    """Raises InvalidInput."""
    length = CHECKSUM_HEX_LENGTHS.get(algorithm)
    if length is None:
        raise InvalidInput(f"casd knows the checksums {', '.join(CHECKSUM_HEX_LENGTHS)}")
    if len(text) != length or not text.isascii() or not all(char in "0123456789abcdefABCDEF" for char in text):
        raise InvalidInput(f"{algorithm} is written as {length} hex digits")
    return bytes.fromhex(text)


def uuid_of(request: web.Request) -> UUID:
    return uuid_in_path(request.match_info["uuid"])
