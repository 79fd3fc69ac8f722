"""What an operator asks of a daemon: how it is, upkeep now, what is in quarantine. For admins."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from casd.client.paths import items, pages, segment
from casd.client.reports import Repaired, Scrubbed, repaired, scrubbed
from casd.client.telling import AuditRow, audit_rows
from casd.client.transport import Transport
from casd.client.values import Blob, JsonObject, blob, parsed, time_or_none
from casd.model import Digest

READING_TIMEOUT_S = 30 * 24 * 3600.0  # for a scrub of 150 TB at its usual pace
RUN_TIMEOUT_S = 6 * 3600.0  # the daemon answers when the run has ended: millions of payloads take their time


@dataclass(frozen=True, slots=True)
class Run:
    """One run of upkeep."""

    started_at: datetime
    ended_at: datetime | None  # None while it runs
    report: Mapping[str, Any] | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """A daemon's figures, in groups; what each one counts is its name, with its unit."""

    version: str
    started_at: datetime
    uptime_s: float
    totals: Mapping[str, int]
    garbage: Mapping[str, int]
    disk: Mapping[str, int]
    uploads: Mapping[str, int]
    scrub: Mapping[str, datetime | None]  # when what was checked longest ago was; nothing from an older daemon
    reads: Mapping[str, int]  # what checking bytes before they left has found; nothing from an older daemon
    queues: Mapping[str, int]
    upkeep: Mapping[str, Run | None]  # the last run of each kind; None: none since the daemon started
    json: JsonObject = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Expired:
    """What a run of `expire` ended."""

    blobs: int
    names: int
    versions: int
    uploads: int
    tokens: int
    json: JsonObject = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection removed, or would have."""

    payloads: int
    bytes: int
    orphans: int  # of the payloads, files that no row of the catalogue knew
    is_dry_run: bool
    pinned: int  # payloads that stay because a backup is under way
    json: JsonObject = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Pin:
    """What keeps payloads from collection while a backup copies them."""

    id: UUID
    pinned_until: datetime


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A payload that was found damaged, and what was kept of it."""

    id: str
    digest: Digest
    size: int | None  # of the bytes that were kept; None: there were none
    state: str  # damaged; healed, when its bytes were stored again; unwanted, when nothing refers to it any more
    why: str
    quarantined_at: datetime
    facts: Mapping[str, Any]
    json: JsonObject = field(repr=False, compare=False)


class Operations:
    """Status, upkeep and quarantine of one daemon. Made by Client, and raises as it does."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def status(self) -> Status:
        return parsed("status", _status, await self._transport.json("GET", "/v1/status"))

    def audit(self, /, **only: Any) -> AsyncIterator[AuditRow]:
        """The audit log, newest first; `only` as the keywords of `telling.audit_rows`."""
        return audit_rows(self._transport, **only)

    async def expire(self, *, dry_run: bool = False) -> Expired:
        """Everything past its time has ended: blobs, hidden names, versions, unfinished uploads, tokens."""
        query = {"dry_run": 1 if dry_run else None}
        answer = await self._transport.json("POST", "/v1/upkeep/expire", query, answer_timeout_s=RUN_TIMEOUT_S)
        return parsed("report", _expired, answer)

    async def collect_garbage(self, *, dry_run: bool = False, force: bool = False) -> Collected:
        """Bytes that nothing refers to are gone, once their grace is over.

        Raises Refused (`collection-refused`) where that would be more than half of the store, without `force`.
        """
        query = {"dry_run": 1 if dry_run else None, "force": 1 if force else None}
        path = "/v1/upkeep/collect-garbage"
        answer = await self._transport.json("POST", path, query, answer_timeout_s=RUN_TIMEOUT_S)
        return parsed("report", _collected, answer)

    async def scrub(self, *, deep: bool = False, dry_run: bool = False) -> Scrubbed:
        """Everything that is stored was read; what is damaged is in quarantine, and repaired where that could be."""
        query = {"deep": 1 if deep else None, "dry_run": 1 if dry_run else None}
        answer = await self._transport.json("POST", "/v1/upkeep/scrub", query, answer_timeout_s=READING_TIMEOUT_S)
        return parsed("report", scrubbed, answer)

    async def repair(self, digests: Collection[Digest] | None = None) -> Repaired:
        """Those payloads, or (None) all that are damaged, were fetched from the sources that the daemon is told of.

        Raises Refused (`payload-not-found`).
        """
        body = None if digests is None else {"sha512": [digest.hex for digest in digests]}
        path = "/v1/upkeep/repair"
        answer = await self._transport.json("POST", path, body=body, answer_timeout_s=READING_TIMEOUT_S)
        return parsed("report", repaired, answer)

    async def begin_backup(self) -> Pin:
        """Until the pin ends, collection leaves alone what a copy of the catalogue knows that is made from now on."""
        return parsed("pin", _pin, await self._transport.json("POST", "/v1/backups"))

    async def renew_backup(self, id: UUID) -> Pin:
        """The pin lasts as long again. Raises Refused (`pin-not-found`) where it has ended meanwhile."""
        return parsed("pin", _pin, await self._transport.json("PUT", f"/v1/backups/{id}"))

    async def end_backup(self, id: UUID) -> None:
        """The pin is gone; it is no error if it was."""
        await self._transport.json("DELETE", f"/v1/backups/{id}")

    # -- quarantine -------------------------------------------------------------------------------------------

    def quarantine(self) -> AsyncIterator[Quarantined]:
        """Everything in quarantine, by digest, then by time."""
        return pages(self._transport, "/v1/quarantine", {}, _parsed_quarantined)

    async def quarantined(self, id: str) -> tuple[Quarantined, tuple[Blob, ...]]:
        """That, and the blobs of its payload, at most 100. Raises Refused (`quarantined-not-found`)."""
        answer = await self._transport.json("GET", f"/v1/quarantine/{segment(id)}")
        found = _parsed_quarantined(answer)
        return found, tuple(blob(item) for item in items({"items": answer.get("blobs")}))

    async def purge_quarantined(self, id: str, *, force: bool = False) -> None:
        """It is deleted. Raises Refused (`conflict`) while its payload is damaged, without `force`."""
        query = {"force": 1 if force else None}
        await self._transport.json("DELETE", f"/v1/quarantine/{segment(id)}", query)


def _pin(answer: Any) -> Pin:
    return Pin(UUID(answer["id"]), datetime.fromisoformat(answer["pinned_until"]))


def _parsed_quarantined(answer: Any) -> Quarantined:
    return parsed("entry of the quarantine", _quarantined, answer)


def _quarantined(answer: Any) -> Quarantined:
    return Quarantined(
        id=answer["id"],
        digest=Digest.parse(answer["sha512"]),
        size=None if answer["size"] is None else int(answer["size"]),
        state=answer["state"],
        why=answer["why"],
        quarantined_at=datetime.fromisoformat(answer["quarantined_at"]),
        facts=dict(answer["facts"]),
        json=answer,
    )


def _status(answer: Any) -> Status:
    return Status(
        version=answer["version"],
        started_at=datetime.fromisoformat(answer["started_at"]),
        uptime_s=float(answer["uptime_s"]),
        totals=dict(answer["totals"]),
        garbage=dict(answer["garbage"]),
        disk=dict(answer["disk"]),
        uploads=dict(answer["uploads"]),
        scrub={key: time_or_none(text) for key, text in answer.get("scrub", {}).items()},
        reads=dict(answer.get("reads", {})),
        queues=dict(answer["queues"]),
        upkeep={kind: None if run is None else _run(run) for kind, run in answer["upkeep"].items()},
        json=answer,
    )


def _run(answer: Any) -> Run:
    return Run(
        started_at=datetime.fromisoformat(answer["started_at"]),
        ended_at=time_or_none(answer["ended_at"]),
        report=answer["report"],
        error=answer["error"],
    )


def _expired(answer: Any) -> Expired:
    return Expired(
        blobs=int(answer["blobs"]),
        names=int(answer["names"]),
        versions=int(answer["versions"]),
        uploads=int(answer["uploads"]),
        tokens=int(answer["tokens"]),
        json=answer,
    )


def _collected(answer: Any) -> Collected:
    return Collected(
        payloads=int(answer["payloads"]),
        bytes=int(answer["bytes"]),
        orphans=int(answer["orphans"]),
        is_dry_run=bool(answer["dry_run"]),
        pinned=int(answer.get("pinned", 0)),
        json=answer,
    )
