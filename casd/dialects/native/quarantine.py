"""What is in quarantine: listed, looked into, purged. For admins."""

from typing import Any

from aiohttp import web

from casd.audit import Deed, Verb
from casd.dialects.native.render import blob_json, page_json
from casd.quarantine import Entry, Quarantine
from casd.web.answers import json_response, time_text
from casd.web.keys import TRAIL, principal_of, store_of
from casd.web.query import check_parameters, cursor, decode, is_flagged, page_limit, raw_segments

BLOBS_SHOWN = 100


async def listing(request: web.Request) -> web.StreamResponse:
    page = await quarantine_of(request).entries(page_limit(request), cursor(request))
    return page_json(request, page, [entry_json(entry) for entry in page.items])


async def show(request: web.Request) -> web.StreamResponse:
    """The entry, with blobs of its payload."""
    entry = await quarantine_of(request).entry(id_of(request))
    store = store_of(request)
    blobs = await store.catalogue.blobs_by_checksum(
        "sha512", entry.item.digest.raw, None, BLOBS_SHOWN, None, store.now()
    )
    return json_response(entry_json(entry) | {"blobs": [blob_json(view) for view in blobs.items]})


async def purge(request: web.Request) -> web.StreamResponse:
    quarantine = quarantine_of(request)
    check_parameters(request, "force")
    await quarantine.purge(id_of(request), force=is_flagged(request, "force"))
    await request.app[TRAIL].done(Deed(Verb.QUARANTINE_PURGE, subject=id_of(request)))
    return web.Response(status=204)


def quarantine_of(request: web.Request) -> Quarantine:
    """For admins alone. Raises Forbidden."""
    principal_of(request).check_admin()
    store = store_of(request)
    return Quarantine(store.payloads, store.catalogue, store.locks)


def id_of(request: web.Request) -> str:
    return decode(raw_segments(request)[2])


def entry_json(entry: Entry) -> dict[str, Any]:
    item = entry.item
    return {
        "id": item.id,
        "sha512": item.digest.hex,
        "size": item.size,
        "state": entry.standing.value,
        "why": item.why,
        "quarantined_at": time_text(item.quarantined_at),
        "facts": dict(item.facts),
    }
