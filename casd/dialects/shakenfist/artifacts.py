"""Artifacts are names: found by UUID or name, with versions, limits, sharing and metadata.

An artifact can be read by members of its namespace, by those its namespace trusts, and by all if it is shared.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress

from aiohttp import web

from casd import changes
from casd.auth import Principal
from casd.dialects.shakenfist.access import SYSTEM
from casd.dialects.shakenfist.blobs import key_in_path, new_metadata, new_value
from casd.dialects.shakenfist.render import artifact_view, blob_view, list_response
from casd.errors import (
    Forbidden,
    InvalidInput,
    MetadataKeyNotFound,
    NameNotFound,
    NamespaceNotFound,
    NotFound,
    Protected,
)
from casd.model import JSON, NameInfo, Version, checked_namespace
from casd.store import BlobStore
from casd.web.answers import json_response
from casd.web.keys import principal_of, store_of
from casd.web.query import PAGE_LIMIT, decode, raw_segments, uuid_in_path
from casd.web.receive import read_json

LIMIT_MOST = (1 << 31) - 1
VERSIONS_SHOWN = 1000  # at most, in one view; a name that was made elsewhere may keep any number


# -- which artifact -------------------------------------------------------------------------------------------------


async def visible(request: web.Request) -> NameInfo:
    """The artifact in the path. Raises NameNotFound."""
    return await artifact(store_of(request), principal_of(request), decode(raw_segments(request)[1]))


async def owned(request: web.Request) -> NameInfo:
    """The same, for writing. Raises NotFound for somebody else's, Forbidden for a role that is too small."""
    info = await visible(request)
    await store_of(request).writable_namespace(principal_of(request), info.namespace)
    return info


async def artifact(store: BlobStore, principal: Principal, reference: str) -> NameInfo:
    """By UUID, or by name: of a namespace of one's own, or a shared one of `system`. Raises NameNotFound."""
    with suppress(NotFound):
        found = await store.catalogue.name_by_uuid(uuid_in_path(reference))
        if found is not None and await is_visible(store, principal, found):
            return found
    for namespace in dict.fromkeys((*principal.namespaces, SYSTEM)):
        found = await store.catalogue.name_info(namespace, reference)
        if found is not None and await is_visible(store, principal, found):
            return found
    raise NameNotFound(f"there is no artifact {reference[:128]}")


async def is_visible(store: BlobStore, principal: Principal, info: NameInfo) -> bool:
    if info.hidden_at is not None:
        return False
    return info.shared or principal.may_read(await store.namespace(info.namespace))


# -- what is known of one -------------------------------------------------------------------------------------------


async def info(request: web.Request) -> web.StreamResponse:
    return await answer(request, await visible(request))


async def answer(request: web.Request, info: NameInfo) -> web.StreamResponse:
    return json_response(artifact_view(info, await versions_of(store_of(request), info)))


async def versions_of(store: BlobStore, info: NameInfo) -> list[Version]:
    """Those of the newest VERSIONS_SHOWN that have a blob, oldest first. Raises NameNotFound if all have gone."""
    newest = await store.catalogue.version(info.namespace, info.name)
    older = 0 if newest is None else newest.number - VERSIONS_SHOWN
    found: list[Version] = []
    after = None
    while True:
        page = await store.catalogue.versions(info.namespace, info.name, PAGE_LIMIT, after, store.now(), older)
        found += [version for version in page.items if not version.is_marker]
        if page.next is None:
            return found
        after = page.next


async def events(request: web.Request) -> web.StreamResponse:
    """None, for none are kept; the command line asks without looking for the capability."""
    await visible(request)
    return json_response([])


async def versions(request: web.Request) -> web.StreamResponse:
    found = await versions_of(store_of(request), await visible(request))
    views = [blob_view(one.view) | {"index": one.number} for one in found if one.view is not None]
    return json_response(views)


async def listing(request: web.Request) -> web.StreamResponse:
    return await list_response(request, all_visible(request))


async def all_visible(request: web.Request) -> AsyncGenerator[object]:
    """Those of readable namespaces, then what others share."""
    store, principal = store_of(request), principal_of(request)
    known = await store.catalogue.namespaces(None if principal.is_admin else principal.namespaces)
    readable = [namespace.name for namespace in known]
    for namespace in readable:
        async for info in names_of(store, namespace):
            yield artifact_view(info, await versions_of(store, info))
    async for info in names_of(store, None):
        if info.namespace not in readable:
            yield artifact_view(info, await versions_of(store, info))


async def names_of(store: BlobStore, namespace: str | None) -> AsyncIterator[NameInfo]:
    after = None
    while True:
        page = await store.catalogue.name_infos(namespace, PAGE_LIMIT, after)
        for info in page.items:
            yield info
        if page.next is None:
            return
        after = page.next


# -- changing one ---------------------------------------------------------------------------------------------------


async def limit_versions(request: web.Request) -> web.StreamResponse:
    wanted = (await read_json(request)).get("max_versions")
    if isinstance(wanted, bool) or not isinstance(wanted, int) or not 1 <= wanted <= LIMIT_MOST:
        raise InvalidInput("max_versions is a number, at least 1")
    info = await owned(request)
    changed = await changes.limit_versions(store_of(request), principal_of(request), info.namespace, info.name, wanted)
    return await answer(request, changed)


async def share(request: web.Request) -> web.StreamResponse:
    info = await owned(request)
    if info.namespace != SYSTEM or not principal_of(request).is_admin:
        raise Forbidden(f"only administrators share, and only artifacts of the namespace {SYSTEM}")
    return await answer(request, await set_shared(request, info, True))


async def unshare(request: web.Request) -> web.StreamResponse:
    return await answer(request, await set_shared(request, await owned(request), False))


async def set_shared(request: web.Request, info: NameInfo, shared: bool) -> NameInfo:
    return await store_of(request).catalogue.update_name(info.namespace, info.name, {"shared": shared})


async def delete_version(request: web.Request) -> web.StreamResponse:
    text = raw_segments(request)[3]
    if not (text.isascii() and text.isdecimal()) or len(text) > 18:
        raise InvalidInput(f"a version is a number, not {text[:40]!r}")
    info, store = await owned(request), store_of(request)
    await changes.remove_version(store, principal_of(request), info.namespace, info.name, int(text))
    left = await store.catalogue.name_info(info.namespace, info.name)
    return json_response(deleted_view(info)) if left is None else await answer(request, left)


async def delete(request: web.Request) -> web.StreamResponse:
    info = await owned(request)
    await changes.purge(store_of(request), principal_of(request), info.namespace, info.name)
    return json_response(deleted_view(info))


def deleted_view(info: NameInfo) -> dict[str, object]:
    return artifact_view(info, []) | {"state": "deleted"}


async def delete_all(request: web.Request) -> web.StreamResponse:
    """The UUIDs of what was there, and is gone: what is protected stays."""
    store, principal, body = store_of(request), principal_of(request), await read_json(request)
    if body.get("confirm") is not True:
        raise InvalidInput('all artifacts of a namespace go only with {"confirm": true}')
    namespace = namespace_in(body, principal)
    await store.writable_namespace(principal, namespace)
    gone: list[str] = []
    async for info in names_of(store, namespace):
        with suppress(NameNotFound, Protected):
            await changes.purge(store, principal, namespace, info.name)
            gone.append(str(info.uuid))
    return json_response(gone)


def namespace_in(body: dict[str, JSON], principal: Principal) -> str:
    """Which one a body means: one's own where it does not say. Raises InvalidInput, NamespaceNotFound."""
    wanted = body.get("namespace")
    if wanted is None:
        return principal.home
    if not isinstance(wanted, str):
        raise InvalidInput("namespace is a text")
    try:
        return checked_namespace(wanted)
    except InvalidInput:
        raise NamespaceNotFound(f"there is no namespace {wanted[:128]}") from None


# -- metadata -------------------------------------------------------------------------------------------------------


async def metadata(request: web.Request) -> web.StreamResponse:
    return json_response(dict((await visible(request)).metadata))


async def add_metadata(request: web.Request) -> web.StreamResponse:
    key, value = new_metadata(await read_json(request))
    return await keep_metadata(request, await visible(request), key, value)


async def set_metadata(request: web.Request) -> web.StreamResponse:
    value = new_value(await read_json(request))
    return await keep_metadata(request, await visible(request), key_in_path(request), value)


async def delete_metadata(request: web.Request) -> web.StreamResponse:
    return await drop_metadata(request, await visible(request), key_in_path(request))


async def keep_metadata(request: web.Request, info: NameInfo, key: str, value: JSON) -> web.StreamResponse:
    await changes.set_name_metadata(store_of(request), principal_of(request), info.namespace, info.name, key, value)
    return json_response(None)


async def drop_metadata(request: web.Request, info: NameInfo, key: str) -> web.StreamResponse:
    with suppress(MetadataKeyNotFound):
        await changes.delete_name_metadata(store_of(request), principal_of(request), info.namespace, info.name, key)
    return json_response(None)
