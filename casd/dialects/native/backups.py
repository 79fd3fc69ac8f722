"""Running backups: while one shows that it is alive, collection leaves the payloads alone that it is to copy.

`casd backup` reads files and catalogue by itself; this only keeps them there. A backup that dies without a word holds
collection up for LEASE at most.
"""

from datetime import timedelta

from aiohttp import web

from casd.web.answers import json_response, time_text
from casd.web.keys import principal_of, store_of
from casd.web.query import check_parameters, uuid_in_path

LEASE = timedelta(minutes=10)  # between two signs of life; the longest silence is one fsync of a large payload


async def begin(request: web.Request) -> web.StreamResponse:
    principal_of(request).check_admin()
    check_parameters(request)
    store = store_of(request)
    pin, now = store.new_uuid(), store.now()
    await store.catalogue.pin_payloads(pin, now + LEASE, now)
    answer = {"id": str(pin), "pinned_until": time_text(now + LEASE)}
    return json_response(answer, 201, {"Location": f"/v1/backups/{pin}"})


async def renew(request: web.Request) -> web.StreamResponse:
    principal_of(request).check_admin()
    check_parameters(request)
    store = store_of(request)
    pin, now = uuid_in_path(request.match_info["uuid"]), store.now()
    await store.catalogue.renew_pin(pin, now + LEASE, now)
    return json_response({"id": str(pin), "pinned_until": time_text(now + LEASE)})


async def end(request: web.Request) -> web.StreamResponse:
    principal_of(request).check_admin()
    check_parameters(request)
    await store_of(request).catalogue.unpin_payloads(uuid_in_path(request.match_info["uuid"]))
    return web.Response(status=204)
