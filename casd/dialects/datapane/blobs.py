"""Datapane's blobs: each upload is a version of a name with a blob of its own, so that an id goes on meaning it.

The owner of a blob is its namespace; a user's own is the home of the token.
"""

from collections.abc import Mapping

from aiohttp import web

from casd import changes
from casd.auth import Principal
from casd.dialects.datapane.gzipped import Gunzipped
from casd.dialects.datapane.render import UNCHECKED, blob_json, summary_json
from casd.errors import InvalidInput, NamespaceNotFound
from casd.model import Version, checked_name, checked_namespace
from casd.payloads.base import Staged
from casd.store import BlobStore, Description
from casd.web.answers import json_response
from casd.web.forms import Form, Part
from casd.web.keys import principal_of, store_of
from casd.web.query import check_query, cursor, cursor_text, page_limit, uuid_in_path
from casd.web.ranges import query_number
from casd.web.receive import parse_json, pump, read_json
from casd.web.send import IMMUTABLE, Representation, send

FILE, FACTS = "uploaded_file", "json_data"  # the parts of an upload
GZIP = ("gzip", "x-gzip")


async def user(request: web.Request) -> web.StreamResponse:
    """What `login` asks for."""
    principal = principal_of(request)
    return json_response({"username": principal.home, "token_name": principal.name, "role": principal.role.value})


# -- storing ------------------------------------------------------------------------------------------------------


async def upload(request: web.Request) -> web.StreamResponse:
    """A new version; the bytes come before the name that they are to have."""
    store, principal = store_of(request), principal_of(request)
    await store.addable_namespace(principal, principal.home)
    form = Form(request)
    about: Description | None = None
    name: str | None = None
    async with await store.stage(principal.home, form.size, least=form.least_size) as staged:
        async for part in form:
            if part.name == FILE and about is None:
                about = part.description()
                await receive_plain(part, staged, form.limit_bytes)
            elif part.name == FACTS and name is None:
                name = name_in(parse_json((await part.text()).encode()))
            else:
                raise InvalidInput(f"an upload is one part {FILE} and one part {FACTS}")
        if about is None or name is None:
            raise InvalidInput(f"an upload is one part {FILE} and one part {FACTS}")
        version = await store.publish(principal, principal.home, name, staged, about)
    return json_response(await blob_json(request, version), 201)


async def receive_plain(part: Part, staged: Staged, limit_bytes: int) -> None:
    """Append the part, without its one layer of gzip. Raises as `Gunzipped` and `Part.receive`."""
    encoding = part.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in GZIP:
        await part.receive(staged)
        return
    plain = Gunzipped(staged, limit_bytes)
    await pump(part.next_piece, plain, limit_bytes)
    plain.finish()


def name_in(facts: object) -> str:
    """The name that an upload or an update gives. Raises InvalidInput."""
    name = facts.get("name") if isinstance(facts, dict) else None
    if not isinstance(name, str):
        raise InvalidInput("a blob has a name: pass name='...'")
    return checked_name(name)


# -- finding ------------------------------------------------------------------------------------------------------


async def lookup(request: web.Request) -> web.StreamResponse:
    version = await version_asked_for(store_of(request), principal_of(request), request)
    return json_response(await blob_json(request, version))


async def version_asked_for(store: BlobStore, principal: Principal, request: web.Request) -> Version:
    """By name, owner and version; the caller's own without an owner. Raises InvalidInput, NotFound."""
    check_query(request)
    name, owner = checked_name(request.query.get("name", "")), request.query.get("owner") or principal.home
    number = version_number(request.query)
    await store.readable_namespace(principal, owner_of(owner))
    version, _ = await store.readable_version(principal, owner, name, number=number)
    return version


def version_number(query: Mapping[str, str]) -> int | None:
    """Raises InvalidInput."""
    if not query.get("version"):
        return None
    return min(query_number(query, "version", 0), (1 << 63) - 1)  # what SQLite can compare


def owner_of(text: str) -> str:
    """Raises NamespaceNotFound for what cannot be one."""
    try:
        return checked_namespace(text)
    except InvalidInput:
        raise NamespaceNotFound(f"there is no owner {text!r}") from None


async def listing(request: web.Request) -> web.StreamResponse:
    """The caller's own, the newest version of each name."""
    store, principal = store_of(request), principal_of(request)
    limit, after = page_limit(request), cursor(request)
    page = await store.catalogue.names(principal.home, "", limit, after, store.now())
    results = [await summary_json(request, version, version.number) for version in page.items]
    more = cursor_text(request, page.next)
    # Not absolute: the client looks for "/api" in it from the left, and finds that of http://api.example.com.
    following = None if more is None else f"{request.path}?limit={limit}&cursor={more}"
    return json_response({"count": len(results), "next": following, "previous": None, "results": results})


async def info(request: web.Request) -> web.StreamResponse:
    return json_response(await blob_json(request, await version_in_path(request)))


async def version_in_path(request: web.Request) -> Version:
    uuid = uuid_in_path(request.match_info["id"])
    return await store_of(request).version_holding(principal_of(request), uuid)


async def data(request: web.Request) -> web.StreamResponse:
    version = await version_in_path(request)
    assert version.blob is not None
    return await send_as_it_is(request, version, version.blob.filename or version.name.rpartition("/")[2])


async def send_as_it_is(request: web.Request, version: Version, filename: str) -> web.StreamResponse:
    blob = version.blob
    assert blob is not None
    # Who does not look at a status does not count bytes either, on urllib3 1.26.
    is_chunked = UNCHECKED in request.query
    return await send(request, Representation(blob, blob.created_at, IMMUTABLE, filename, is_chunked=is_chunked))


# -- changing -----------------------------------------------------------------------------------------------------


async def update(request: web.Request) -> web.StreamResponse:
    """A new name is the name's, with all its versions; whatever else is told is not for a client to change."""
    store, principal = store_of(request), principal_of(request)
    version = await version_in_path(request)
    await store.writable_namespace(principal, version.namespace)
    told = await read_json(request)
    if "name" in told:
        await changes.rename(store, principal, version.namespace, version.name, name_in(told))
    return json_response(await blob_json(request, await version_in_path(request)))


async def delete(request: web.Request) -> web.StreamResponse:
    await changes.withdraw(store_of(request), principal_of(request), uuid_in_path(request.match_info["id"]))
    return web.Response(status=204)
