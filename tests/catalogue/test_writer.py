"""Group commit: what waits together is committed together, fails alone, and is durable when it is acknowledged."""

import asyncio
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from casd.catalogue.sqlite import SqliteCatalogue, writer
from casd.errors import BlobNotFound, NamespaceNotFound, StorageFailed, StorageFull
from casd.model import Blob, Guard
from tests.catalogue.conftest import Opener
from tests.catalogue.faults import PATIENCE_S, FaultyConnection, sqlite_error, writer_held
from tests.contracts.desk import ALICE, Desk
from tests.contracts.oracle import digest_of, receipt_of, some_bytes
from tests.fakes import NOW
from tests.web.wire import wait_until


async def test_what_queued_during_one_commit_shares_the_next(catalogue: SqliteCatalogue, desk: Desk) -> None:
    db = FaultyConnection(catalogue)

    async with writer_held(catalogue) as queue:
        await queue.put(*(desk.add(str(number).encode()) for number in range(50)))

    assert all(isinstance(outcome, Blob) for outcome in await queue.outcomes())
    assert db.control.count("COMMIT") == 2  # one of the operation that held the writer, one of all that waited


async def test_more_than_a_batch_takes_more_than_one_commit(
    catalogue: SqliteCatalogue, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "BATCH_LIMIT", 4)
    db = FaultyConnection(catalogue)

    async with writer_held(catalogue) as queue:
        await queue.put(*(desk.publish(data=str(number).encode()) for number in range(10)))

    assert [version.number for version in await queue.outcomes()] == list(range(1, 11))
    assert db.control.count("COMMIT") == 1 + 3


async def test_operations_run_in_the_order_in_which_they_were_called(catalogue: SqliteCatalogue, desk: Desk) -> None:
    async with writer_held(catalogue) as queue:
        await queue.put(desk.publish(data=b"one"), desk.hide(), desk.publish(data=b"two"), desk.remove(1), desk.hide())

    assert [outcome.number for outcome in await queue.outcomes()] == [1, 2, 3, 1, 4]


async def test_an_operation_that_fails_in_a_batch_fails_alone(catalogue: SqliteCatalogue, desk: Desk) -> None:
    taken = await desk.add(b"first")
    twice = desk.new_blob()
    new = [desk.new_blob() for _ in range(3)]
    object.__setattr__(twice, "uuid", taken.uuid)

    def half_done(db: sqlite3.Connection, touched: set[object]) -> None:
        db.execute("UPDATE namespace SET quota_blobs = 7")
        raise ValueError("of the operation's own")

    def add(blob: Any) -> Any:
        receipt = receipt_of(str(blob.uuid).encode())
        return desk.catalogue.add_blob(blob, receipt, desk.clock(), desk.keep_until)

    async with writer_held(catalogue) as queue:
        await queue.put(
            add(new[0]),
            desk.publish(namespace="nobody"),
            add(twice),
            add(new[1]),
            catalogue._writer.write(half_done),
            desk.drop(taken),
            desk.drop(taken),
            add(new[2]),
        )

    kinds = [type(outcome) for outcome in await queue.outcomes()]
    assert kinds == [Blob, NamespaceNotFound, StorageFailed, Blob, ValueError, type(None), BlobNotFound, Blob]
    assert await desk.listed() == [blob.uuid for blob in new]
    assert (await catalogue.namespace(ALICE)).quota_blobs is None
    assert (await catalogue.totals()).blobs == 3


@pytest.mark.parametrize(
    ("statement", "skip", "code", "error"),
    [
        ("COMMIT", 1, sqlite3.SQLITE_IOERR, StorageFailed),  # one is of the operation that holds the writer
        ("COMMIT", 1, sqlite3.SQLITE_FULL, StorageFull),
        ("COMMIT", 1, sqlite3.SQLITE_BUSY, StorageFailed),
        ("BEGIN", 0, sqlite3.SQLITE_BUSY, StorageFailed),
        ("SAVEPOINT", 0, sqlite3.SQLITE_NOMEM, StorageFailed),
        ("RELEASE", 3, sqlite3.SQLITE_IOERR, StorageFailed),
    ],
)
async def test_a_commit_that_fails_fails_for_its_whole_batch_and_for_nobody_else(
    catalogue: SqliteCatalogue, desk: Desk, statement: str, skip: int, code: int, error: type[StorageFailed]
) -> None:
    before = await desk.add(b"before")
    db = FaultyConnection(catalogue)

    async with writer_held(catalogue) as queue:
        db.fail(statement, sqlite_error(code), skip)
        await queue.put(*(desk.publish(data=str(number).encode()) for number in range(5)), desk.drop(before))

    assert [type(outcome) for outcome in await queue.outcomes()] == [error] * 6
    assert await desk.newest() is None
    assert await desk.blob(before.uuid) == before
    assert (await desk.publish(data=b"after")).number == 1


async def test_what_an_operation_found_in_a_batch_that_failed_is_not_told(
    catalogue: SqliteCatalogue, desk: Desk
) -> None:
    """What was in its way may have been the change of another in its batch, which did not happen."""
    await desk.publish(data=b"old")
    guard = Guard(match=frozenset({digest_of(b"old")}))
    db = FaultyConnection(catalogue)

    async with writer_held(catalogue) as queue:
        db.fail("COMMIT", sqlite_error(sqlite3.SQLITE_IOERR), skip=1)
        await queue.put(desk.publish(data=b"one", guard=guard), desk.publish(data=b"two", guard=guard))

    assert [type(outcome) for outcome in await queue.outcomes()] == [StorageFailed, StorageFailed]
    assert (await desk.publish(data=b"two", guard=guard)).number == 2


async def test_after_a_commit_that_failed_the_next_one_overwrites_its_frames_even_if_it_changes_nothing(
    catalogue: SqliteCatalogue, desk: Desk, path: Path
) -> None:
    """Else it would succeed on what the kernel holds and the disk may not."""
    db = FaultyConnection(catalogue)
    db.fail("COMMIT", sqlite_error(sqlite3.SQLITE_IOERR))
    with pytest.raises(StorageFailed):
        await desk.publish()
    before = Path(f"{path}-wal").read_bytes()
    db.control.clear()

    for _ in range(2):
        assert not await catalogue.keep_payload(digest_of(b"absent"), desk.clock())

    assert db.control == ["BEGIN IMMEDIATE", "PRAGMA user_version = 0", "COMMIT", "BEGIN IMMEDIATE", "COMMIT"]
    assert Path(f"{path}-wal").read_bytes() != before


async def test_an_idle_writer_overwrites_the_frames_of_a_commit_that_failed(
    open_catalogue: Opener, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "IDLE_CHECKPOINT_S", 0.0)
    catalogue = await open_catalogue(path)
    db = FaultyConnection(catalogue)
    db.fail("COMMIT", sqlite_error(sqlite3.SQLITE_IOERR))

    with pytest.raises(StorageFailed):
        await catalogue.ensure_namespace(ALICE, NOW)

    assert await asyncio.to_thread(db.checkpointed.wait, PATIENCE_S)
    assert db.control == [
        "BEGIN IMMEDIATE",
        "COMMIT",
        "ROLLBACK",
        "BEGIN IMMEDIATE",
        "PRAGMA user_version = 0",
        "COMMIT",
    ]


async def test_a_batch_fails_whole_where_sqlite_rolled_back_by_itself(catalogue: SqliteCatalogue, desk: Desk) -> None:
    """As it does on some errors of the disk: then the savepoint is gone, and so is what others did before."""

    def rolled_back(db: sqlite3.Connection, touched: set[object]) -> None:
        db.execute("ROLLBACK")
        raise sqlite_error(sqlite3.SQLITE_FULL)

    async with writer_held(catalogue) as queue:
        await queue.put(desk.publish("one"), catalogue._writer.write(rolled_back), desk.publish("two"))

    assert [type(outcome) for outcome in await queue.outcomes()] == [StorageFull] * 3
    assert await desk.names() == []
    assert (await desk.publish("one")).number == 1


async def test_a_catalogue_that_is_really_full_takes_nothing_more_and_still_deletes(
    catalogue: SqliteCatalogue, desk: Desk
) -> None:
    blobs = [await desk.add(str(number).encode()) for number in range(20)]

    def limit(pages: str) -> Any:
        return lambda db, touched: db.execute(f"PRAGMA max_page_count = {pages}").fetchone()

    async def fill() -> None:
        for number in range(200):
            await desk.set_metadata(blobs[0], str(number), "x" * 1000)

    await catalogue._writer.write(limit("1"))  # SQLite makes it what the file has now
    with pytest.raises(StorageFull):
        await fill()

    for blob in blobs:
        await desk.drop(blob)
    await catalogue._writer.write(limit("1000000"))
    assert (await desk.publish()).number == 1
    assert (await catalogue.totals()).blobs == 1


async def test_a_caller_that_is_cancelled_stops_neither_its_operation_nor_the_others(
    catalogue: SqliteCatalogue, desk: Desk
) -> None:
    async with writer_held(catalogue) as queue:
        await queue.put(desk.publish("one"), desk.publish("two"), desk.publish("three"))
        queue.tasks[1].cancel()
        await asyncio.wait([queue.tasks[1]])

    outcomes = await queue.outcomes()
    assert isinstance(outcomes[1], asyncio.CancelledError)
    assert [outcomes[0].number, outcomes[2].number] == [1, 1]
    assert await desk.names() == ["one", "three", "two"]


async def test_what_is_acknowledged_survives_a_crash_at_that_moment(
    open_catalogue: Opener, catalogue: SqliteCatalogue, desk: Desk, path: Path, tmp_path: Path
) -> None:
    blob = await desk.add(some_bytes(1000))

    crashed = tmp_path / "crashed.sqlite3"
    shutil.copy(path, crashed)
    shutil.copy(f"{path}-wal", f"{crashed}-wal")

    reopened = await open_catalogue(crashed, payloads_exist=True)
    assert await reopened.blob(blob.uuid, desk.clock()) == blob


async def test_a_torn_end_of_the_wal_costs_only_what_was_not_acknowledged(
    open_catalogue: Opener, catalogue: SqliteCatalogue, desk: Desk, path: Path, tmp_path: Path
) -> None:
    first = await desk.add(b"acknowledged")
    wal = Path(f"{path}-wal").read_bytes()
    second = await desk.add(b"torn")
    torn = Path(f"{path}-wal").read_bytes()[:-2000]
    assert len(torn) > len(wal)

    crashed = tmp_path / "crashed.sqlite3"
    shutil.copy(path, crashed)
    Path(f"{crashed}-wal").write_bytes(torn)

    reopened = await open_catalogue(crashed, payloads_exist=True)
    assert await reopened.blob(first.uuid, desk.clock()) == first
    assert await reopened.blob(second.uuid, desk.clock()) is None


async def test_closing_finishes_what_is_queued_and_folds_the_wal_back(open_catalogue: Opener, path: Path) -> None:
    catalogue = await open_catalogue(path)
    desk = await Desk(catalogue).open()
    async with writer_held(catalogue) as queue:
        await queue.put(*(desk.publish(str(number)) for number in range(20)))
        closing = asyncio.create_task(catalogue.close())
        await asyncio.sleep(0)

    await closing
    assert {outcome.number for outcome in await queue.outcomes()} == {1}
    assert not Path(f"{path}-wal").exists()
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM name").fetchone() == (20,)
    db.close()


async def test_a_closed_catalogue_takes_no_writes_and_may_be_closed_again(open_catalogue: Opener, path: Path) -> None:
    catalogue = await open_catalogue(path)
    await catalogue._writer.close()

    await catalogue.close()

    with pytest.raises(StorageFailed, match="closed"):
        await catalogue.ensure_namespace(ALICE, NOW)


async def test_an_idle_writer_folds_the_wal_back(
    open_catalogue: Opener, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "IDLE_CHECKPOINT_S", 0.0)
    catalogue = await open_catalogue(path)
    db = FaultyConnection(catalogue)

    await catalogue.ensure_namespace(ALICE, NOW)

    wal = Path(f"{path}-wal")  # what is opened writes too, and is folded back: the first time tells nothing
    await asyncio.to_thread(wait_until, lambda: wal.stat().st_size == 0, "the WAL is folded back")
    assert db.checkpointed.is_set()
    await catalogue.close()


async def test_a_checkpoint_that_fails_is_no_failure_of_a_write(
    open_catalogue: Opener, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    catalogue = await open_catalogue(path)
    db = FaultyConnection(catalogue)
    db.fail("PRAGMA wal_checkpoint", sqlite_error(sqlite3.SQLITE_BUSY))

    await Desk(catalogue).open()
    await catalogue.close()

    assert "checkpoint failed" in caplog.text
    reopened = await open_catalogue(path)
    assert await reopened.namespace(ALICE) is not None


# -- the connections ----------------------------------------------------------------------------------------------


async def pragma(catalogue: SqliteCatalogue, name: str) -> Any:
    ((value,),) = await catalogue._writer.write(lambda db, touched: db.execute(f"PRAGMA {name}").fetchall())
    return value


@pytest.mark.parametrize(
    ("name", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("journal_size_limit", 64 << 20)],
)
async def test_the_writer_commits_to_a_wal_with_full_sync(catalogue: SqliteCatalogue, name: str, value: object) -> None:
    assert await pragma(catalogue, name) == value


async def test_readers_can_neither_write_nor_checkpoint(catalogue: SqliteCatalogue) -> None:
    lookups, listings = catalogue._lookups._db, catalogue._listings._db

    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        lookups.execute("DELETE FROM blob")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await listings.execute_fetchall("DELETE FROM blob")

    assert lookups.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
    assert list(await listings.execute_fetchall("PRAGMA wal_autocheckpoint")) == [(0,)]


async def test_a_read_that_fails_says_that_storage_failed(catalogue: SqliteCatalogue, desk: Desk) -> None:
    await catalogue._writer.write(lambda db, touched: db.execute("DROP TABLE version"))

    for read in (desk.newest(), desk.names(), desk.numbers()):
        with pytest.raises(StorageFailed):
            await read


async def test_who_reads_for_long_holds_up_no_write_and_the_wal_is_folded_back_when_he_is_done(
    catalogue: SqliteCatalogue, desk: Desk, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint that cuts the WAL would wait for the reader, for as long as its busy timeout, and writes for it."""
    monkeypatch.setattr(writer, "IDLE_CHECKPOINT_S", 0.01)
    monkeypatch.setattr(writer, "BUSY_MS", 3_600_000)
    wal = path.with_name(path.name + "-wal")

    async def folded_back() -> None:
        async with asyncio.timeout(PATIENCE_S):
            while wal.stat().st_size:
                await asyncio.sleep(0.01)

    await desk.add(b"first")
    await folded_back()
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    begun, loop, real = asyncio.Event(), asyncio.get_running_loop(), catalogue._writer._checkpoint

    def checkpoint() -> bool:
        loop.call_soon_threadsafe(begun.set)
        return real()

    try:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM payload").fetchall()
        monkeypatch.setattr(catalogue._writer, "_checkpoint", checkpoint)
        await desk.add(b"second")
        async with asyncio.timeout(PATIENCE_S):
            await begun.wait()
            await desk.add(b"third")
        assert wal.stat().st_size > 0
    finally:
        reader.close()

    await folded_back()


async def test_a_damaged_index_is_told(catalogue: SqliteCatalogue, desk: Desk) -> None:
    await desk.add()

    def spoil(db: sqlite3.Connection, touched: set[object]) -> None:
        """The index is said to be over something else than it was made of."""
        db.execute("PRAGMA writable_schema = ON")
        another = "replace(sql, '(checked_at)', '(stored_at + 1)')"
        db.execute(f"UPDATE sqlite_schema SET sql = {another} WHERE name = 'payload_checked'")

    await catalogue._writer.write(spoil)

    assert any("payload_checked" in problem for problem in await catalogue.problems())


async def test_rows_that_refer_to_nothing_are_told(catalogue: SqliteCatalogue, desk: Desk, path: Path) -> None:
    await desk.add()
    with sqlite3.connect(path) as careless:  # which does not look at foreign keys
        careless.execute("DELETE FROM payload")
    careless.close()

    assert await catalogue.problems() == [
        "1 rows of payload_blocks refer to a payload that is not there",
        "1 rows of blob refer to a payload that is not there",
    ]


async def test_a_check_of_the_catalogue_that_is_cancelled_ends(
    catalogue: SqliteCatalogue, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even in the middle of a statement: here one that never ends by itself."""
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def problems_of(db: sqlite3.Connection) -> list[str]:
        loop.call_soon_threadsafe(begun.set)
        db.execute(endless).fetchall()
        return []

    monkeypatch.setattr("casd.catalogue.sqlite.offline.problems_of", problems_of)
    checking = asyncio.create_task(catalogue.problems())
    await begun.wait()
    await desk.add(b"meanwhile")
    checking.cancel()

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.wait([checking])
    assert checking.cancelled()
