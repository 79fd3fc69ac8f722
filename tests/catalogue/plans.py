"""Which statements a catalogue executes, and how SQLite would go about each: what must be an index range is one."""

import re
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from casd.catalogue.sqlite import SqliteCatalogue

Statements = dict[str, Any]  # text, and values that it was executed with

CONTROL = re.compile(r"\s*(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|PRAGMA)\b", re.IGNORECASE)
NO_TABLE = re.compile(r"SCAN (CONSTANT ROW|json_each|\(?subquery)")


class Recording:
    """Stands before a connection (sqlite3's, or aiosqlite's) and notes what it executes."""

    def __init__(self, db: Any, statements: Statements) -> None:
        self._db = db
        self._statements = statements

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def execute(self, sql: str, values: Any = ()) -> Any:
        self._note(sql, values)
        return self._db.execute(sql, values)

    def executemany(self, sql: str, rows: Sequence[Any]) -> Any:
        if rows:
            self._note(sql, rows[0])
        return self._db.executemany(sql, rows)

    async def execute_fetchall(self, sql: str, values: Any = ()) -> Any:
        self._note(sql, values)
        return await self._db.execute_fetchall(sql, values)

    def _note(self, sql: str, values: Any) -> None:
        if not CONTROL.match(sql):
            self._statements.setdefault(sql, values)


def record(catalogue: SqliteCatalogue) -> Statements:
    """From now on all three connections of the catalogue note their statements."""
    statements: Statements = {}
    for holder in (catalogue._writer, catalogue._lookups, catalogue._listings):
        holder._db = Recording(holder._db, statements)  # type: ignore[attr-defined] # all three have one
    return statements


def plan(path: Path, sql: str, values: Any) -> list[str]:
    """The lines of EXPLAIN QUERY PLAN; nothing is executed."""
    db = sqlite3.connect(path)
    try:
        return [line for *_, line in db.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    finally:
        db.close()


def objections(sql: str, lines: Sequence[str], allowed: Mapping[str, str]) -> list[str]:
    """What of a plan would grow with the tables: full scans, sorts. `allowed` maps a part of the text to a reason."""
    if any(part in " ".join(sql.split()) for part in allowed):
        return []
    return [
        f"{line}   <- {' '.join(sql.split())}"
        for line in lines
        if (line.startswith("SCAN ") and not NO_TABLE.match(line)) or "USE TEMP B-TREE" in line
    ]
