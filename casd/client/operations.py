"""What an operator asks of a daemon: how it is, and upkeep now. For admins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from casd.client.transport import Transport
from casd.client.values import JsonObject, parsed, time_or_none

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
    json: JsonObject = field(repr=False, compare=False)


class Operations:
    """Status and upkeep of one daemon. Made by Client, and raises as it does."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def status(self) -> Status:
        return parsed("status", _status, await self._transport.json("GET", "/v1/status"))

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


def _status(answer: Any) -> Status:
    return Status(
        version=answer["version"],
        started_at=datetime.fromisoformat(answer["started_at"]),
        uptime_s=float(answer["uptime_s"]),
        totals=dict(answer["totals"]),
        garbage=dict(answer["garbage"]),
        disk=dict(answer["disk"]),
        uploads=dict(answer["uploads"]),
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
        json=answer,
    )
