"""The daemon itself: is it alive, is it ready, how does it stand, and upkeep on request."""

import logging
from dataclasses import asdict

from aiohttp import web

from casd import __version__
from casd.catalogue.values import Expired
from casd.errors import CasdError, StorageFull
from casd.judging import Verdict
from casd.store import BlobStore
from casd.upkeep import CollectionReport, Run
from casd.web.answers import json_response, time_text
from casd.web.keys import STARTED_AT, TRANSMITTER, UPKEEP, UPLOADS, WORDS, principal_of, store_of
from casd.web.query import check_parameters, is_flagged
from casd.web.traffic import TRAFFIC

log = logging.getLogger(__name__)

ROOT = f"""casd {__version__}: a content-addressed storage daemon.

The API is under /v1 (Authorization: Bearer <token>); /healthz says whether the daemon is alive, /readyz whether it
can store. `casd --help` on the daemon's machine shows the command line.

Capabilities, for clients that look for them here:
"""


async def root(request: web.Request) -> web.StreamResponse:
    words = "".join(f"{word}\n" for word in request.app[WORDS])
    return web.Response(text=ROOT + words, headers={"Cache-Control": "no-cache"})


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
    check_parameters(request, "dry_run")
    report = await request.app[UPKEEP].expire(dry_run=is_flagged(request, "dry_run"))
    return json_response(report_json(report))


async def collect_garbage(request: web.Request) -> web.StreamResponse:
    principal_of(request).check_admin()
    check_parameters(request, "dry_run", "force")
    report = await request.app[UPKEEP].collect_garbage(
        force=is_flagged(request, "force"), dry_run=is_flagged(request, "dry_run")
    )
    return json_response(report_json(report))


def report_json(report: Expired | CollectionReport) -> dict[str, object]:
    facts = asdict(report)
    if isinstance(report, CollectionReport):
        facts["dry_run"] = facts.pop("is_dry_run")
        if not report.pinned:  # told only while a backup runs
            del facts["pinned"]
    return facts


# -- how it stands ------------------------------------------------------------------------------------------------


async def status(request: web.Request) -> web.StreamResponse:
    principal_of(request).check_admin()
    store, uploads = store_of(request), request.app[UPLOADS]
    totals, unfinished = await store.catalogue.totals(), await store.catalogue.upload_totals()
    garbage, garbage_bytes = await store.catalogue.unreferenced_totals(store.now())
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
            "reads": reads_json(store),
            "queues": queues(request),
            "upkeep": upkeep_runs(request),
        }
    )


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


def queues(request: web.Request) -> dict[str, int]:
    traffic = request.app[TRAFFIC]
    return {
        "connections": len(traffic.connections),
        "requests": len(traffic.busy),
        "transfers": request.app[TRANSMITTER].active,
        "catalogue_writes": store_of(request).catalogue.pending_writes,
    }


def upkeep_runs(request: web.Request) -> dict[str, object]:
    last = request.app[UPKEEP].last_runs
    return {kind: run_json(last[kind]) if kind in last else None for kind in ("expire", "collect-garbage")}


def run_json(run: Run) -> dict[str, object]:
    return {
        "started_at": time_text(run.started_at),
        "ended_at": time_text(run.ended_at),
        "report": None if run.report is None else report_json(run.report),
        "error": run.error,
    }
