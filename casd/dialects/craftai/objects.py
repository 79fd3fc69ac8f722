"""Objects by path: what there is, and the links by which bytes come and go."""

import base64
import json
import logging
from collections.abc import AsyncIterator, Sequence

from aiohttp import web

from casd import changes
from casd.dialects.craftai.asking import (
    PATH,
    environment_of,
    fields_of,
    path_in_query,
    path_of,
    sdk_version,
)
from casd.dialects.craftai.links import LINK_S, POST, link
from casd.dialects.craftai.render import object_json
from casd.errors import CasdError
from casd.model import Page, Version
from casd.web.answers import json_response, time_text
from casd.web.keys import REQUEST_ID, Ending, principal_of, store_of
from casd.web.links import link_end
from casd.web.query import check_query, cursor, cursor_text
from casd.web.send import cut
from casd.web.signed import READ

log = logging.getLogger(__name__)

PAGE = 1000
PAGED_SINCE = (0, 34, 0)  # SDKs from here on read pages, {items, continuation_token}; older ones one array of all


async def listing(request: web.Request) -> web.StreamResponse:
    check_query(request)
    environment = environment_of(request)
    await store_of(request).readable_namespace(principal_of(request), environment)
    page = await page_after(request, environment, cursor(request, "continuation_token"))
    version = sdk_version(request)
    if "include_continuation_token" not in request.query and (version is None or version < PAGED_SINCE):
        return await whole_array(request, environment, page)
    answer: dict[str, object] = {"items": [object_json(item) for item in page.items]}
    if page.next is not None:
        answer["continuation_token"] = cursor_text(request, page.next)
    return json_response(answer)


async def page_after(request: web.Request, environment: str, after: bytes | None) -> Page[Version]:
    """Objects by path, in `?folder_path=` if that is asked for."""
    store = store_of(request)
    folder = "/".join(segment for segment in request.query.get("folder_path", "").split("/") if segment)
    return await store.catalogue.names(environment, f"{folder}/" if folder else "", PAGE, after, store.now())


async def whole_array(request: web.Request, environment: str, page: Page[Version]) -> web.StreamResponse:
    """All objects in one JSON array, sent page by page: they need not all fit into memory at once."""
    if page.next is None:
        return json_response([object_json(item) for item in page.items])
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Cache-Control": "no-store"})
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    try:
        opening = b"["
        async for items in pages_from(request, environment, page):
            text = json.dumps([object_json(item) for item in items], ensure_ascii=False)
            await response.write(opening + text[1:-1].encode())
            opening = b","
        await response.write_eof(b"]")
    except (CasdError, ConnectionError) as error:  # too late for an answer: half an array does not parse
        log.warning("listing cut short request=%s reason=%s", request[REQUEST_ID], type(error).__name__)
        cut(request, Ending.HUNG_UP if isinstance(error, ConnectionError) else Ending.FAILED)
    return response


async def pages_from(request: web.Request, environment: str, page: Page[Version]) -> AsyncIterator[Sequence[Version]]:
    """The items of that page and of those after it; no page is empty but the first."""
    yield page.items
    while page.next is not None:
        page = await page_after(request, environment, page.next)
        if page.items:
            yield page.items


async def information(request: web.Request) -> web.StreamResponse:
    return json_response(object_json(await version_asked_for(request)))


async def download(request: web.Request) -> web.StreamResponse:
    version = await version_asked_for(request)
    return json_response({"signed_url": await link(request, READ, version.namespace, version.name)})


async def version_asked_for(request: web.Request) -> Version:
    """Of the path in the body. Raises InvalidInput, NameNotFound."""
    name = path_of((await fields_of(request)).get(PATH))
    version, _ = await store_of(request).readable_version(principal_of(request), environment_of(request), name)
    return version


async def delete(request: web.Request) -> web.StreamResponse:
    store, principal, environment = store_of(request), principal_of(request), environment_of(request)
    await store.writable_namespace(principal, environment)
    version = await version_asked_for(request)  # a hidden name is not there, and is not for good until upkeep says so
    await changes.purge(store, principal, environment, version.name)
    return json_response({"path": version.name})


async def upload(request: web.Request) -> web.StreamResponse:
    """A link for a form, and the fields that the form begins with."""
    environment = environment_of(request)
    await store_of(request).addable_namespace(principal_of(request), environment)
    if PATH in request.query:
        name = path_in_query(request)
        return json_response({"signed_url": await link(request, POST, environment, name), "fields": {"key": name}})
    # SDKs up to 0.15 (0.26 as their second try) do not say the path here: they put what the policy's first condition
    # has as prefix before it, and send that as the form's key.
    policy = {"expiration": time_text(await link_end(request, LINK_S)), "conditions": [["starts-with", "$key", ""]]}
    fields = {"policy": base64.b64encode(json.dumps(policy).encode()).decode()}
    return json_response({"signed_url": await link(request, POST, environment, None), "fields": fields})
