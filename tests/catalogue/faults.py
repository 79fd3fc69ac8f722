"""Stands before the writer's connection: counts statements, fails those it is told to, holds the writer up."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from casd.catalogue.sqlite import SqliteCatalogue

PATIENCE_S = 30  # for a thread to come to a point that it always comes to


def sqlite_error(code: int, message: str = "disk I/O error") -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(message)
    error.sqlite_errorcode = code
    return error


@dataclass
class Failure:
    start: str
    error: sqlite3.Error
    skip: int


class FaultyConnection:
    """What is not to fail goes through."""

    def __init__(self, catalogue: SqliteCatalogue) -> None:
        self._db = catalogue._writer._db
        self._failures: list[Failure] = []
        self.control: list[str] = []  # the statements that are about transactions, savepoints left out
        self.checkpointed = threading.Event()
        catalogue._writer._db = self  # type: ignore[assignment]

    def fail(self, start: str, error: sqlite3.Error, skip: int = 0) -> None:
        """A statement that starts so fails and does nothing: the next one, or after `skip` that work."""
        self._failures.append(Failure(start, error, skip))

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        word = sql.split()[0]
        if word in ("BEGIN", "COMMIT") or sql == "ROLLBACK" or "user_version" in sql:
            self.control.append(sql)
        for failure in [failure for failure in self._failures if sql.startswith(failure.start)]:
            failure.skip -= 1
            if failure.skip < 0:
                self._failures.remove(failure)
                raise failure.error
        done = self._db.execute(sql, *values)
        if "wal_checkpoint" in sql:
            self.checkpointed.set()
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


@asynccontextmanager
async def writer_held(catalogue: SqliteCatalogue) -> AsyncIterator["Queue"]:
    """Inside, what is written queues up; afterwards the writer takes all of it as one batch."""
    reached, go_on = threading.Event(), threading.Event()

    def hold(db: sqlite3.Connection, touched: set[object]) -> None:
        reached.set()
        assert go_on.wait(PATIENCE_S)

    holding = asyncio.create_task(catalogue._writer.write(hold))
    assert await asyncio.to_thread(reached.wait, PATIENCE_S)
    yield Queue(catalogue)
    go_on.set()
    await holding


class Queue:
    """What waits for the writer."""

    def __init__(self, catalogue: SqliteCatalogue) -> None:
        self._waiting = catalogue._writer._queue
        self.tasks: list[asyncio.Task[Any]] = []

    async def put(self, *calls: Any) -> None:
        """Start the calls, in their order, and return when all of them wait for the writer."""
        for call in calls:
            count = self._waiting.qsize() + 1
            self.tasks.append(asyncio.create_task(call))
            while self._waiting.qsize() < count:
                await asyncio.sleep(0)

    async def outcomes(self) -> list[Any]:
        """What each call returned or raised."""
        return await asyncio.gather(*self.tasks, return_exceptions=True)
