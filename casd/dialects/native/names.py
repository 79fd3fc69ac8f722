"""Names: their bytes by version or time, what they are bound to, and how they are hidden and removed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace

from aiohttp import web

from casd import changes
from casd.auth import Principal
from casd.dialects.native.blobs import check_digests, description, lease, source_of
from casd.dialects.native.bodies import NameChanges, VersionChanges
from casd.dialects.native.render import folder_json, name_info_json, page_json, version_json, version_path
from casd.errors import InvalidInput, NameNotFound
from casd.model import JSON, Blob, BlobView, NameInfo, Version, checked_namespace
from casd.payloads.base import ANYTHING
from casd.store import BlobStore
from casd.web.answers import json_response
from casd.web.bodies import checked
from casd.web.conditions import guard_of, may_change
from casd.web.digest_fields import announced
from casd.web.keys import anyone, principal_of, store_of
from casd.web.metadata import check_metadata_value, checked_metadata_key
from casd.web.query import (
    check_parameters,
    check_query,
    cursor,
    decode,
    is_flagged,
    namespace_and_name,
    page_limit,
    raw_segments,
    time_in,
)
from casd.web.ranges import query_number
from casd.web.receive import announced_size, read_json, receive
from casd.web.send import REVALIDATE, Representation, send

SKIP = 2  # "v1", "names"
# What null brings back.
NAME_DEFAULTS: dict[str, JSON] = {"shared": False, "protected": False, "keep_versions": None, "metadata": {}}


async def put(request: web.Request) -> web.StreamResponse:
    store, principal = store_of(request), principal_of(request)
    namespace, name = namespace_and_name(request, SKIP)
    await store.addable_namespace(principal, namespace)
    guard = guard_of(request.headers)
    await store.check_guard(namespace, name, guard)
    if "blob" in request.query:
        return await bind(request, namespace, name)
    about = description(request, store)
    size = announced_size(request)
    expected = announced(request.headers.get("Repr-Digest"), size)
    async with await store.stage(namespace, size, name=name) as staged:
        await receive(request, staged)
        version = await store.publish(principal, namespace, name, staged, about, guard=guard, expected=expected)
    return await created(store, version, is_stored=True)


async def bind(request: web.Request, namespace: str, name: str) -> web.StreamResponse:
    store, principal = store_of(request), principal_of(request)
    blob = source_of(request)
    expected = announced(request.headers.get("Repr-Digest"), None)
    if expected != ANYTHING:
        check_digests(await store.members_blob(principal, blob), expected)
    # Bound as it is, a blob has the type and filename that it was made with; a copy has those of this request.
    about = description(request, store) if is_flagged(request, "copy") else None
    version = await store.bind(principal, blob, namespace, name, guard=guard_of(request.headers), about=about)
    return await created(store, version)


async def created(store: BlobStore, version: Version, *, is_stored: bool = False) -> web.Response:
    blob = version.blob
    assert blob is not None
    headers = {"Location": version_path(version), "Casd-Blob": str(blob.uuid), "ETag": f'"{blob.digest}"'}
    if is_stored:
        headers |= lease(store, blob)
    view = await store.catalogue.view(blob.uuid, store.now()) or BlobView(blob)  # it may be gone again already
    return json_response(version_json(replace(version, view=view)), 201, headers)


async def data(request: web.Request) -> web.StreamResponse:
    namespace, name = namespace_and_name(request, SKIP)
    version, blob = await version_asked_for(store_of(request), anyone(request), namespace, name, request.query)
    representation = Representation(
        blob,
        version.created_at,
        REVALIDATE,
        blob.filename or name.rpartition("/")[2],
        is_name=True,
        content_location=version_path(version),
    )
    return await send(request, representation)


async def version_asked_for(
    store: BlobStore, principal: Principal | None, namespace: str, name: str, query: Mapping[str, str]
) -> tuple[Version, Blob]:
    """The version that `?version=` or `?as_of=` names, else the newest. Raises InvalidInput, NotFound."""
    number, as_of = version_number(query), query.get("as_of")
    if number is not None and as_of is not None:
        raise InvalidInput("?version= and ?as_of= exclude each other")
    return await store.readable_version(
        principal, namespace, name, number=number, as_of=None if as_of is None else time_in(as_of, "?as_of=")
    )


async def delete(request: web.Request) -> web.StreamResponse:
    store, principal = store_of(request), principal_of(request)
    namespace, name = namespace_and_name(request, SKIP)
    check_parameters(request, "version", "purge")
    number, purge = version_number(request.query), is_flagged(request, "purge")
    if number is not None and purge:
        raise InvalidInput("?version= and ?purge= exclude each other")
    guard = guard_of(request.headers)
    if number is not None:
        await changes.remove_version(store, principal, namespace, name, number, guard=guard)
    elif purge:
        await changes.purge(store, principal, namespace, name, guard=guard)
    else:
        await changes.hide(store, principal, namespace, name, guard=guard)
    return web.Response(status=204)


def version_number(query: Mapping[str, str]) -> int | None:
    """`?version=`, None without one. Raises InvalidInput."""
    if "version" not in query:
        return None
    number = query_number(query, "version", 0)
    return min(number, (1 << 63) - 1)  # what SQLite can compare; no version has a number near it


async def listing(request: web.Request) -> web.StreamResponse:
    store = store_of(request)
    namespace = checked_namespace(decode(raw_segments(request)[SKIP]))
    await store.readable_namespace(principal_of(request), namespace)
    check_query(request)
    prefix, limit, after = request.query.get("prefix", ""), page_limit(request), cursor(request)
    if "delimiter" in request.query:
        if request.query["delimiter"] != "/":
            raise InvalidInput("?delimiter= is a slash: names are paths")
        return folder_json(request, await store.catalogue.folder(namespace, prefix, limit, after, store.now()))
    page = await store.catalogue.names(namespace, prefix, limit, after, store.now())
    return page_json(request, page, [version_json(version) for version in page.items])


async def versions(request: web.Request) -> web.StreamResponse:
    store = store_of(request)
    namespace, name = await readable_name(request)
    newer_than = min(query_number(request.query, "newer_than", 0), (1 << 63) - 1)
    page = await store.catalogue.versions(
        namespace, name, page_limit(request), cursor(request), store.now(), newer_than=newer_than
    )
    return page_json(request, page, [version_json(version) for version in page.items])


async def info(request: web.Request) -> web.StreamResponse:
    namespace, name = await readable_name(request)
    info = await store_of(request).catalogue.name_info(namespace, name)
    if info is None:
        raise NameNotFound(f"there is no name {namespace}/{name}")
    return info_response(info)


def info_response(info: NameInfo) -> web.Response:
    return json_response(name_info_json(info), headers={"ETag": f'"{info_tag(info)}"'})


def info_tag(info: NameInfo) -> str:
    """Changes with whatever belongs to the name, so that If-Match keeps changes of others from being lost."""
    return hashlib.sha256(json.dumps(name_info_json(info), sort_keys=True).encode()).hexdigest()


async def readable_name(request: web.Request) -> tuple[str, str]:
    """Namespace and name, where the namespace is readable to the caller. Raises NamespaceNotFound."""
    namespace, name = namespace_and_name(request, SKIP)
    await store_of(request).readable_namespace(principal_of(request), namespace)
    return namespace, name


async def update(request: web.Request) -> web.StreamResponse:
    store = store_of(request)
    namespace, name = namespace_and_name(request, SKIP)
    await store.writable_namespace(principal_of(request), namespace)
    check_parameters(request, "version")
    number = version_number(request.query)
    if number is not None:
        protected = checked(VersionChanges, await read_json(request)).protected
        await changes.protect_version(store, principal_of(request), namespace, name, number, protected)
        return await info(request)
    wanted = checked(NameChanges, await read_json(request)).told
    wanted |= {field: NAME_DEFAULTS[field] for field in wanted if wanted[field] is None}
    for key, value in wanted.get("metadata", {}).items():
        checked_metadata_key(key)
        check_metadata_value(value)
    return info_response(
        await store.catalogue.update_name(
            namespace, name, wanted, lambda info: may_change(request.headers, info_tag(info))
        )
    )
