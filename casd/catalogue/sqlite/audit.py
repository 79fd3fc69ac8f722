"""The audit log's rows: written with the change they tell of, read newest first, removed by age.

A change's row is newer than all that are there, whatever the clock says. What is told later (`record`) stands at its
own time among them; where that is taken, at the next free microsecond.

`Teller` is what the writer asks; the rest are statements. A filter is one range of one index: which one is said here,
because SQLite would guess, and all other conditions are judged row by row on the way.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from casd.audit import Actor, AuditFilter, Deed, Entry, Result, Told, Touched, Verb, actor
from casd.catalogue.sqlite.rows import Row, micros, time_of

COLUMNS = """at, principal, token, role, address, dialect, request_id, action, namespace, name, version, blob, subject,
 result, code, count, note"""
INSERT = f"""
INSERT INTO audit ({COLUMNS}) VALUES (
  :at, :principal, :token, :role, :address, :dialect, :request_id,
  :action, :namespace, :name, :version, :blob, :subject, :result, :code, :count, :note)
"""
SELECT_NEXT = "SELECT max(:at, coalesce((SELECT max(at) FROM audit), 0) + 1)"
SELECT_IS_TAKEN = "SELECT EXISTS (SELECT 1 FROM audit WHERE at = :at)"
DELETE_OLD = """
DELETE FROM audit WHERE at IN (
  SELECT at FROM audit WHERE at < :before AND at < (SELECT max(at) FROM audit) ORDER BY at LIMIT :limit)
"""
ALL = (1 << 63) - 1  # no row is newer
# By how few rows each leaves, as a rule.
FILTERS = ("blob", "name", "subject", "token", "principal", "address", "namespace")


@dataclass(frozen=True, slots=True)
class Stamp:
    """By whom and when an operation was asked for."""

    actor: Actor
    at: datetime


class Teller:
    """Writes down what operations tell."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    def stamp(self) -> Stamp:
        """Of the task that asks; on the loop."""
        return Stamp(actor(), self._now())

    def write(self, db: sqlite3.Connection, stamp: Stamp, deeds: Sequence[Deed]) -> None:
        """Within the operation's transaction."""
        for deed in deeds:
            (at,) = db.execute(SELECT_NEXT, {"at": micros(stamp.at)}).fetchone()
            insert(db, at, Told(stamp.at, stamp.actor, deed))


def insert(db: sqlite3.Connection, at: int, told: Told) -> None:
    who, deed = told.actor, told.deed
    db.execute(
        INSERT,
        {
            "at": at,
            "principal": who.principal,
            "token": who.token.bytes if who.token else None,
            "role": who.role,
            "address": who.address,
            "dialect": who.dialect,
            "request_id": who.request_id,
            "action": deed.verb.value,
            "namespace": deed.namespace,
            "name": deed.name,
            "version": deed.version,
            "blob": deed.blob.bytes if deed.blob else None,
            "subject": deed.subject,
            "result": told.result.value,
            "code": told.code,
            "count": told.count,
            "note": deed.note,
        },
    )


def record(db: sqlite3.Connection, touched: Touched, told: Sequence[Told]) -> None:
    """Each at its own time, though later ones are there."""
    wanted = at = -1
    for one in told:
        # Of many at one time each goes on where the last one was put.
        wanted, at = micros(one.at), at + 1 if micros(one.at) == wanted else micros(one.at)
        while db.execute(SELECT_IS_TAKEN, {"at": at}).fetchone()[0]:
            at += 1
        insert(db, at, one)


def forget(db: sqlite3.Connection, touched: Touched, before: int, limit: int) -> int:
    """Remove the oldest rows if they are older than that; returns how many."""
    return db.execute(DELETE_OLD, {"before": before, "limit": limit}).rowcount


def page(only: AuditFilter, limit: int, before: int) -> tuple[str, dict[str, Any]]:
    """The statement for rows older than `before`, newest first, and its values."""
    since = micros(only.since) if only.since is not None else 0
    until = micros(only.until) if only.until is not None else before
    values: dict[str, Any] = {"limit": limit, "since": since, "before": min(until, before)}
    for column in FILTERS:
        value = getattr(only, column)
        if value is not None:
            values[column] = value.bytes if isinstance(value, UUID) else value
    verbs = sorted(only.verbs) if only.verbs is not None else []
    values |= {f"verb{at}": verb.value for at, verb in enumerate(verbs)}
    given = [column for column in FILTERS if column in values]
    clauses = [f"{column} = :{column}" if column == given[0] else f"+{column} = :{column}" for column in given]
    if only.verbs is not None and (given or not verbs):
        clauses.append(f"+action IN ({', '.join(f':verb{at}' for at in range(len(verbs)))})")
    elif len(verbs) == 1:
        clauses.append("action = :verb0")
    if given or len(verbs) < 2:
        return statement(clauses), values
    # One range for each verb, newest first, and the newest of them all.
    ranges = [f"SELECT * FROM ({statement([f'action = :verb{at}'])})" for at in range(len(verbs))]
    return f"{' UNION ALL '.join(ranges)} ORDER BY at DESC LIMIT :limit", values


def statement(clauses: Sequence[str]) -> str:
    where = " AND ".join(["at >= :since", "at < :before", *clauses])
    return f"SELECT {COLUMNS} FROM audit WHERE {where} ORDER BY at DESC LIMIT :limit"


def entry_of(row: Row) -> Entry:
    """From COLUMNS."""
    at, principal, token, role, address, dialect, request_id, action = row[:8]
    namespace, name, version, blob, subject, result, code, count, note = row[8:]
    who = Actor(principal, None if token is None else UUID(bytes=token), role, address, dialect, request_id)
    uuid = None if blob is None else UUID(bytes=blob)
    deed = Deed(Verb(action), namespace, name, version, uuid, subject, note)
    return Entry(at, Told(time_of(at), who, deed, Result(result), code, count))
