"""The daemon itself: is it alive, is it ready, what is it, and upkeep on request."""

import logging

from aiohttp import web

from casd import __version__
from casd.dialects.native.render import json_response
from casd.errors import CasdError, StorageFull
from casd.web.keys import UPKEEP, principal_of, store_of
from casd.web.query import is_flagged

log = logging.getLogger(__name__)

ROOT = f"""casd {__version__}: a content-addressed storage daemon.

The API is under /v1 (Authorization: Bearer <token>); /healthz says whether the daemon is alive, /readyz whether it
can store. `casd --help` on the daemon's machine shows the command line.
"""


async def root(request: web.Request) -> web.StreamResponse:
    return web.Response(text=ROOT, headers={"Cache-Control": "no-cache"})


async def healthz(request: web.Request) -> web.StreamResponse:
    return json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.StreamResponse:
    """Red when the catalogue does not answer, or nothing more can be stored."""
    store = store_of(request)
    try:
        await store.catalogue.check()
        if await store.payloads.free_bytes() == 0:
            raise StorageFull("the disk is full down to its reserve")
    except CasdError as error:
        log.warning("not ready reason=%s", error)
        return json_response({"status": "not ready", "code": error.code, "detail": str(error)}, 503)
    return json_response({"status": "ready"})


async def expire(request: web.Request) -> web.StreamResponse:
    principal_of(request).check_admin()
    report = await request.config_dict[UPKEEP].expire()
    return json_response({"blobs": report.blobs, "names": report.names})


async def collect_garbage(request: web.Request) -> web.StreamResponse:
    principal_of(request).check_admin()
    report = await request.config_dict[UPKEEP].collect_garbage(
        force=is_flagged(request, "force"), dry_run=is_flagged(request, "dry_run")
    )
    return json_response(
        {
            "payloads": report.payloads,
            "bytes": report.bytes,
            "orphans": report.orphans,
            "dry_run": report.is_dry_run,
        }
    )
