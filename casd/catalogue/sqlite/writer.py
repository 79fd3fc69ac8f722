"""The one connection that writes the catalogue, in a thread of its own, with group commit.

One connection writes *and* checkpoints: SQLite 3.7 to 3.51.2 can corrupt a WAL when two do. There is no timer:
whatever was queued while the disk was busy with one commit goes into the next, each operation in a savepoint, so
that one client's failure is its own. A commit that fails fails for all of its batch, also for operations that had
failed by themselves: what they found may have been another's change, which did not happen.

After a failed commit the same connection goes on: it overwrites the frames whose fsync failed, so they are
written and synced again. A new connection would find them in the page cache, believe them, and append after
bytes that may not be on the disk. So would the next process after a kill: until they are overwritten, every
transaction begins with a write of its own, so that none succeeds, even one that changes nothing, while they are there.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, TypeVar

from casd.audit import Touched
from casd.catalogue.sqlite.audit import Stamp, Teller
from casd.distribution import Distribution
from casd.errors import CasdError, StorageFailed, StorageFull

log = logging.getLogger(__name__)

BATCH_LIMIT = 256  # operations per commit: 256 small ones take about 10 ms, and nobody waits much longer than that
BUSY_MS = 5000  # what a write waits for another program's, which there should not be
COMMIT_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)  # an fsync is 0.1 to 30 ms
BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, BATCH_LIMIT)
LATELY = 4096  # commits whose times are kept until somebody takes them
IDLE_CHECKPOINT_S = 2.0  # a quiet writer folds the WAL back, so that it never grows without bound

P = ParamSpec("P")
R = TypeVar("R")
EVERYTHING: object = object()  # among the keys that an operation touched it means all


@dataclass(slots=True)
class Operation:
    """One write: runs inside the transaction, and says what it touched."""

    run: Callable[[sqlite3.Connection, Touched], Any]
    future: asyncio.Future[Any]
    stamp: Stamp | None  # None: nothing is told
    touched: Touched = field(default_factory=Touched)
    result: Any = None
    error: BaseException | None = None


class Commits:
    """How the commits went since the start."""

    def __init__(self) -> None:
        self.took_s = Distribution(COMMIT_BOUNDS_S)
        self.operations = Distribution(BATCH_BOUNDS)
        self.failed = 0
        self.lately_s: deque[float] = deque(maxlen=LATELY)

    def add(self, operations: int, took_s: float, is_failed: bool) -> None:
        self.took_s.add(took_s)
        self.operations.add(operations)
        self.lately_s.append(took_s)
        self.failed += is_failed


class Writer:
    """Runs operations one after the other, in the order in which `write` was called."""

    def __init__(
        self, db: sqlite3.Connection, on_commit: Callable[[set[object]], None], teller: Teller | None = None
    ) -> None:
        """`db` is this writer's alone. `on_commit` is called on the loop before any caller learns of the commit.

        What operations tell is written down by `teller`, in their transaction.
        """
        self._db = db
        self._teller = teller
        self._on_commit = on_commit
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Operation | None] = queue.SimpleQueue()
        self._has_stale_frames = False  # of a commit that failed: a recovery could take them for good
        self._is_closed = False
        self.commits = Commits()
        self._thread = threading.Thread(target=self._work, name="casd-writer")
        self._thread.start()

    async def write(
        self, run: Callable[Concatenate[sqlite3.Connection, Touched, P], R], *args: P.args, **more: P.kwargs
    ) -> R:
        """Return what `run(db, touched, ...)` returned, once it is committed durably.

        What `run` raises is raised here, and then nothing of it was kept. A caller that is cancelled does not stop
        the operation.
        """
        if self._is_closed:
            raise StorageFailed("the catalogue is closed")
        stamp = self._teller.stamp() if self._teller is not None else None
        operation = Operation(lambda db, touched: run(db, touched, *args, **more), self._loop.create_future(), stamp)
        self._queue.put(operation)
        result: R = await operation.future
        return result

    @property
    def pending(self) -> int:
        """Operations that no commit has taken up yet."""
        return self._queue.qsize()

    async def close(self) -> None:
        """Finish what is queued, fold the WAL back, and close the connection. A second call is no error."""
        if not self._is_closed:
            self._is_closed = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    # -- the thread ---------------------------------------------------------------------------------------

    def _work(self) -> None:
        is_checkpointed = True
        is_running = True
        while is_running:
            try:
                first = self._queue.get(timeout=None if is_checkpointed else IDLE_CHECKPOINT_S)
            except queue.Empty:
                if self._has_stale_frames:
                    self._commit([])
                is_checkpointed = self._checkpoint()
                continue
            batch, is_running = self._batch(first)
            if batch:
                began_at = time.perf_counter()
                is_done = self._commit(batch)
                took_s = time.perf_counter() - began_at
                is_checkpointed = False
                self._loop.call_soon_threadsafe(self._deliver, batch, took_s, not is_done)
        self._checkpoint()
        self._db.close()

    def _batch(self, first: Operation | None) -> tuple[list[Operation], bool]:
        """What is queued now, and whether to go on afterwards."""
        batch: list[Operation] = []
        operation = first
        while operation is not None:
            batch.append(operation)
            if len(batch) == BATCH_LIMIT:
                return batch, True
            try:
                operation = self._queue.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _commit(self, batch: list[Operation]) -> bool:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            if self._has_stale_frames:
                self._db.execute("PRAGMA user_version = 0")  # it is 0; this writes page 1 all the same
            for operation in batch:
                self._run(operation)
            self._db.execute("COMMIT")
            self._has_stale_frames = False
        except sqlite3.Error as error:
            self._has_stale_frames = True
            failure = storage_error(error)
            log.error("catalogue commit failed operations=%d error=%s", len(batch), error)
            for operation in batch:
                operation.error = failure
            self._roll_back()
            return False
        return True

    def _run(self, operation: Operation) -> None:
        self._db.execute("SAVEPOINT operation")
        try:
            operation.result = operation.run(self._db, operation.touched)
            if self._teller is not None and operation.stamp is not None:
                self._teller.write(self._db, operation.stamp, operation.touched.deeds)
        except sqlite3.Error as error:
            if not self._db.in_transaction:  # SQLite has rolled everything back by itself: the whole batch fails
                raise
            operation.error = storage_error(error)
        except Exception as error:
            operation.error = error
        if operation.error is not None:
            self._db.execute("ROLLBACK TO operation")
        self._db.execute("RELEASE operation")

    def _roll_back(self) -> None:
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            log.error("catalogue rollback failed error=%s", error)

    def _checkpoint(self) -> bool:
        """Fold the WAL back; returns whether to leave it at that, and not to try again when it is quiet."""
        try:
            # It would wait for who reads for long (a check of the whole catalogue), and all writes behind it.
            self._db.execute("PRAGMA busy_timeout = 0").fetchall()
            ((is_busy, *_),) = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._db.execute(f"PRAGMA busy_timeout = {BUSY_MS}").fetchall()
        except sqlite3.Error as error:
            log.warning("catalogue checkpoint failed error=%s", error)
            return True
        return not is_busy

    # -- on the loop --------------------------------------------------------------------------------------

    def _deliver(self, batch: list[Operation], took_s: float, is_failed: bool) -> None:
        self.commits.add(len(batch), took_s, is_failed)
        touched: set[object] = set()
        for operation in batch:
            if operation.error is None:  # what has failed has changed nothing
                touched |= operation.touched
        self._on_commit(touched)
        for operation in batch:
            if operation.future.cancelled():
                continue
            if operation.error is not None:
                operation.future.set_exception(operation.error)
            else:
                operation.future.set_result(operation.result)


def storage_error(error: sqlite3.Error) -> CasdError:
    """What a failing SQLite means to a caller."""
    code = getattr(error, "sqlite_errorcode", None)
    kind = StorageFull if code is not None and code & 0xFF == sqlite3.SQLITE_FULL else StorageFailed
    failure = kind(f"catalogue: {error}")
    failure.__cause__ = error
    return failure
