"""The daemon itself: is it alive, is it ready, how does it stand."""

import logging
from dataclasses import asdict
from datetime import timedelta

from aiohttp import web

from casd import __version__
from casd.dialects.native.upkeep import runs_json
from casd.judging import Verdict
from casd.store import BlobStore
from casd.web.answers import json_response, time_text
from casd.web.keys import FRONT_PAGE, STARTED_AT, TRANSMITTER, UPLOADS, VITALS, WORDS, principal_of, store_of
from casd.web.metrics import METRICS
from casd.web.traffic import TRAFFIC

WARNED_BEFORE = timedelta(days=14)  # a token ends
EXPIRING_SHOWN = 100

log = logging.getLogger(__name__)

QUOTAS_SHOWN = 100

ROOT = f"""casd {__version__}: a content-addressed storage daemon.

The API is under /v1 (Authorization: Bearer <token>); /docs describes it to people, /openapi.json to programs. /healthz
says whether the daemon is alive, /readyz whether it can store. `casd --help` on the daemon's machine shows the command
line.

Capabilities, for clients that look for them here:
"""


async def root(request: web.Request) -> web.StreamResponse:
    """The console where HTML is asked for by its name, and for all others the words: clients send `*/*`, or nothing."""
    if "text/html" in request.headers.get("Accept", "").lower():
        response = await request.app[FRONT_PAGE](request)
    else:
        words = "".join(f"{word}\n" for word in request.app[WORDS])
        response = web.Response(text=ROOT + words, headers={"Cache-Control": "no-cache"})
    response.headers["Vary"] = "Accept, Accept-Encoding"
    return response


async def healthz(request: web.Request) -> web.StreamResponse:
    return json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.StreamResponse:
    """Red when nothing more can be stored, or the daemon is being stopped."""
    reasons = [{"code": error.code, "detail": str(error)} for error in await request.app[VITALS].ailments()]
    if request.app[TRAFFIC].is_draining:
        reasons.insert(0, {"code": "draining", "detail": "the daemon is being stopped"})
    if not reasons:
        return json_response({"status": "ready"})
    log.warning("not ready reason=%s", "; ".join(reason["detail"] for reason in reasons))
    return json_response({"status": "not ready", **reasons[0], "reasons": reasons}, 503)


# -- how it stands ------------------------------------------------------------------------------------------------


async def status(request: web.Request) -> web.StreamResponse:
    principal_of(request).check_admin()
    store, uploads = store_of(request), request.app[UPLOADS]
    totals, unfinished = await store.catalogue.totals(), await store.catalogue.upload_totals()
    garbage, garbage_bytes = await store.catalogue.unreferenced_totals(store.now())
    light, deep = await store.catalogue.oldest_checks()
    started_at = request.app[STARTED_AT]
    return json_response(
        {
            "version": __version__,
            "started_at": time_text(started_at),
            "uptime_s": round((store.now() - started_at).total_seconds(), 3),
            "totals": asdict(totals),
            "garbage": {"payloads": garbage, "bytes": garbage_bytes},
            "disk": {
                "free_bytes": await store.payloads.free_bytes(),
                "reserved_bytes": store.payloads.reserved_bytes,
            },
            "uploads": {
                "open": unfinished.count,
                "received_bytes": unfinished.received_bytes,
                "announced_bytes": unfinished.announced_bytes,
                "active": uploads.active,
            },
            "quotas": quotas_json(store),
            "reads": reads_json(store),
            "queues": queues(request),
            "moved": moved_json(request),
            "scrub": {"oldest_checked_at": time_text(light), "oldest_deep_checked_at": time_text(deep)},
            "upkeep": runs_json(request),
            "credentials": await credentials_json(store),
        }
    )


def quotas_json(store: BlobStore) -> list[dict[str, str | int | None]]:
    """Of namespaces that are near a quota or over it, the fullest first."""
    claims, shown = store.catalogue.claims, []
    for use in claims.nearly_full()[:QUOTAS_SHOWN]:
        reserved_bytes, reserved_blobs = claims.reserved(use.namespace)
        shown.append(
            {
                "namespace": use.namespace,
                "quota_bytes": use.quota_bytes,
                "quota_blobs": use.quota_blobs,
                "used_bytes": use.used_bytes,
                "used_blobs": use.used_blobs,
                "reserved_bytes": reserved_bytes,
                "reserved_blobs": reserved_blobs,
            }
        )
    return shown


async def credentials_json(store: BlobStore) -> dict[str, object]:
    """What somebody has to see to before long."""
    now = store.now()
    expiring = await store.catalogue.expiring_tokens(now, now + WARNED_BEFORE, EXPIRING_SHOWN)
    keys = await store.catalogue.signing_keys()
    newest = keys[-1] if keys else None
    return {
        "expiring": [
            {"id": str(token.uuid), "name": token.name, "expires_at": time_text(token.expires_at)} for token in expiring
        ],
        "signing_key": newest
        and {
            "id": newest.id,
            "created_at": time_text(newest.created_at),
            "age_s": round((now - newest.created_at).total_seconds()),
        },
        "signing_keys": len(keys),
    }


def reads_json(store: BlobStore) -> dict[str, int]:
    """What checking found since the start."""
    judge, counts = store.judge, store.reads.counts
    return {
        "checked_blocks": counts.blocks,
        "mismatches": counts.mismatches,
        "wrong_in_memory": counts.reread,
        "judging": judge.running,
        **{f"judged_{verdict.value}": judge.verdicts[verdict] for verdict in Verdict if verdict is not Verdict.UNKNOWN},
        "rewritten_block_lists": judge.rewritten,
    }


def moved_json(request: web.Request) -> dict[str, int]:
    """What requests of all dialects moved since the start."""
    moved = request.app[METRICS].moved().values()
    return {what: sum(getattr(each, what) for each in moved) for what in ("requests", "received_bytes", "sent_bytes")}


def queues(request: web.Request) -> dict[str, int]:
    traffic = request.app[TRAFFIC]
    return {
        "connections": len(traffic.connections),
        "requests": len(traffic.busy),
        "transfers": request.app[TRANSMITTER].active,
        "catalogue_writes": store_of(request).catalogue.pending_writes,
    }
