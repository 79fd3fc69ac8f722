"""Upkeep on request, and how its last runs went. For admins."""

from dataclasses import asdict
from typing import Any

from aiohttp import web

from casd.audit import Deed, Verb
from casd.catalogue.values import Expired
from casd.collection import CollectionReport
from casd.dialects.native.bodies import RepairRequest
from casd.dialects.native.render import hit_json
from casd.model import Digest
from casd.repair import RepairReport
from casd.scrub import ScrubReport
from casd.upkeep import AnyReport, Run
from casd.web.answers import json_response, time_text
from casd.web.bodies import checked
from casd.web.keys import TRAIL, UPKEEP, principal_of
from casd.web.query import check_parameters, is_flagged
from casd.web.receive import read_json

KINDS = ("expire", "collect-garbage", "scrub", "repair")


async def expire(request: web.Request) -> web.StreamResponse:
    principal_of(request).check_admin()
    check_parameters(request, "dry_run")
    report = await request.app[UPKEEP].expire(dry_run=is_flagged(request, "dry_run"))
    await told(request, "expire")
    return json_response(report_json(report))


async def collect_garbage(request: web.Request) -> web.StreamResponse:
    principal_of(request).check_admin()
    check_parameters(request, "dry_run", "force")
    report = await request.app[UPKEEP].collect_garbage(
        force=is_flagged(request, "force"), dry_run=is_flagged(request, "dry_run")
    )
    await told(request, "collect-garbage")
    return json_response(report_json(report))


async def scrub(request: web.Request) -> web.StreamResponse:
    principal_of(request).check_admin()
    check_parameters(request, "dry_run", "deep")
    report = await request.app[UPKEEP].scrub(deep=is_flagged(request, "deep"), dry_run=is_flagged(request, "dry_run"))
    await told(request, "scrub")
    return json_response(report_json(report))


async def repair(request: web.Request) -> web.StreamResponse:
    """All that is damaged, or what a body names: `{"sha512": [hex, ...]}`."""
    principal_of(request).check_admin()
    check_parameters(request)
    digests = digests_in(await read_json(request)) if request.body_exists else None
    report = await request.app[UPKEEP].repair(digests)
    await told(request, "repair")
    return json_response(report_json(report))


async def told(request: web.Request, kind: str) -> None:
    """The audit log has it that somebody wanted this."""
    note = ", ".join(name for name in ("dry_run", "force", "deep") if is_flagged(request, name))
    await request.app[TRAIL].done(Deed(Verb.UPKEEP_RUN, subject=kind, note=note or None))


def digests_in(body: dict[str, Any]) -> list[Digest]:
    """Raises InvalidInput."""
    return [Digest.parse(text) for text in checked(RepairRequest, body).sha512]


def report_json(report: AnyReport) -> dict[str, object]:
    match report:
        case Expired():
            return asdict(report)
        case CollectionReport():
            facts = asdict(report)
            facts["dry_run"] = facts.pop("is_dry_run")
            if not report.pinned:  # told only while a backup runs
                del facts["pinned"]
            return facts
        case ScrubReport():
            return scrub_json(report)
        case RepairReport():
            failures = [{"sha512": failure.digest.hex, "why": failure.why} for failure in report.failures]
            return asdict(report) | {"failures": failures}


def scrub_json(report: ScrubReport) -> dict[str, object]:
    return {
        "payloads": report.payloads,
        "bytes": report.bytes,
        "damaged": report.damaged,
        "missing": report.missing,
        "unreadable": report.unreadable,
        "rewritten": report.rewritten,
        "failed": report.failed,
        "repaired": report.repaired,
        "findings": [
            {"sha512": found.digest.hex, "found": found.verdict.value, "why": found.why, **hit_json(found.hit)}
            for found in report.findings
        ],
        "catalogue_problems": list(report.problems),
        "deep": report.is_deep,
        "dry_run": report.is_dry_run,
        "whole": report.is_whole,
    }


# -- how the last runs went ---------------------------------------------------------------------------------------


def runs_json(request: web.Request) -> dict[str, object]:
    last = request.app[UPKEEP].last_runs
    return {kind: run_json(last[kind]) if kind in last else None for kind in KINDS}


def run_json(run: Run) -> dict[str, object]:
    report = run.so_far() if run.so_far is not None else run.report
    return {
        "started_at": time_text(run.started_at),
        "ended_at": time_text(run.ended_at),
        "report": None if report is None else report_json(report),
        "error": run.error,
    }
