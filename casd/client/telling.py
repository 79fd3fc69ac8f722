"""Rows of the audit log, as a daemon tells them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from casd.client.paths import pages
from casd.client.transport import Query, Transport
from casd.client.values import JsonObject, parsed


@dataclass(frozen=True, slots=True)
class AuditRow:
    """What somebody did."""

    id: int  # grows with time
    at: datetime
    principal: str
    action: str
    target: str | None
    namespace: str | None
    name: str | None
    blob: UUID | None
    address: str | None
    result: str  # done, denied or failed
    code: str | None
    count: int
    note: str | None
    json: JsonObject = field(repr=False, compare=False)


def audit_rows(
    transport: Transport,
    *,
    principal: str | None = None,
    token: UUID | None = None,
    action: str | None = None,
    blob: UUID | None = None,
    namespace: str | None = None,
    name: str | None = None,
    address: str | None = None,
    target: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> AsyncIterator[AuditRow]:
    """Rows that are all of that, newest first."""
    query: Query = {
        "principal": principal,
        "token": None if token is None else str(token),
        "action": action,
        "blob": None if blob is None else str(blob),
        "namespace": namespace,
        "name": name,
        "address": address,
        "target": target,
        "since": None if since is None else since.isoformat(),
        "until": None if until is None else until.isoformat(),
    }
    return pages(transport, "/v1/audit", query, lambda item: parsed("audit row", _row, item))


def _row(answer: Any) -> AuditRow:
    return AuditRow(
        id=int(answer["id"]),
        at=datetime.fromisoformat(answer["at"]),
        principal=answer["principal"],
        action=answer["action"],
        target=answer["target"],
        namespace=answer["namespace"],
        name=answer["name"],
        blob=None if answer["blob"] is None else UUID(answer["blob"]),
        address=answer["address"],
        result=answer["result"],
        code=answer["code"],
        count=int(answer["count"]),
        note=answer["note"],
        json=answer,
    )
