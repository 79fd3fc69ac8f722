"""Opening: what is not casd's own sound catalogue is refused with a message, and nothing of it is touched."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from casd.catalogue.sqlite import SqliteCatalogue, schema
from casd.errors import CatalogueUnusable
from tests.catalogue.conftest import Opener
from tests.contracts.desk import ALICE, Desk
from tests.fakes import NOW, counting_uuids


async def make_at(path: Path) -> None:
    """A catalogue with something in it, closed."""
    catalogue = await SqliteCatalogue.open(path, counting_uuids(), payloads_exist=False)
    await (await Desk(catalogue).open()).publish()
    await catalogue.close()


def snapshot(path: Path) -> dict[str, bytes]:
    """Every file in the folder."""
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    db = sqlite3.connect(path)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def change(path: Path, sql: str) -> None:
    db = sqlite3.connect(path)
    db.executescript(sql)
    db.close()


# -- what is refused ----------------------------------------------------------------------------------------------


def spoiled_header(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(b"\0" * 16 + data[16:])


def spoiled_schema(path: Path) -> None:
    """Right header, wrong first page."""
    data = bytearray(path.read_bytes())
    data[100:4096] = b"\xa5" * 3996
    path.write_bytes(data)


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "newer": (lambda path: change(path, "INSERT INTO schema_migration VALUES (99, 'x', 0)"), "number 99"),
    "foreign": (lambda path: change(path, "PRAGMA application_id = 7"), "another program's"),
    "foreign without an id": (
        lambda path: (path.unlink(), change(path, "CREATE TABLE other (x)")),
        "another program's",
    ),
    "foreign in WAL mode": (
        lambda path: (path.unlink(), change(path, "PRAGMA journal_mode = WAL; CREATE TABLE other (x)")),
        "another program's",
    ),
    "our id without our table": (lambda path: change(path, "DROP TABLE schema_migration"), "another program's"),
    "no migration on record": (lambda path: change(path, "DELETE FROM schema_migration"), "damaged"),
    "text": (lambda path: path.write_text("not a database\n" * 100), "not an SQLite file"),
    "shorter than a header": (lambda path: path.write_bytes(path.read_bytes()[:50]), "not an SQLite file"),
    "spoiled header": (spoiled_header, "not an SQLite file"),
    "spoiled schema": (spoiled_schema, "damaged"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-5000]), "shorter"),
    "truncated to its header": (lambda path: path.write_bytes(path.read_bytes()[:100]), "shorter"),
}


@pytest.mark.parametrize("payloads_exist", [True, False], ids=["payloads", "no payloads"])
@pytest.mark.parametrize("case", REFUSED)
async def test_a_file_that_is_not_a_sound_catalogue_of_ours_is_refused_and_not_touched(
    open_catalogue: Opener, path: Path, case: str, payloads_exist: bool
) -> None:
    spoil, message = REFUSED[case]
    await make_at(path)
    spoil(path)
    before = snapshot(path)

    with pytest.raises(CatalogueUnusable, match=message):
        await open_catalogue(path, payloads_exist=payloads_exist)

    after = snapshot(path)
    assert after[path.name] == before[path.name]
    assert {name for name, data in after.items() if data} == {name for name, data in before.items() if data}


NOTHING_YET: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "empty": lambda path: path.touch(),
    "without a table": lambda path: change(path, "VACUUM"),  # a page of SQLite's own, as a failed restore leaves one
}


@pytest.mark.parametrize("case", NOTHING_YET)
async def test_no_catalogue_while_payloads_exist_is_refused_and_none_is_made(
    open_catalogue: Opener, path: Path, case: str
) -> None:
    NOTHING_YET[case](path)
    before = snapshot(path)

    with pytest.raises(CatalogueUnusable, match="missing" if case == "missing" else "empty"):
        await open_catalogue(path, payloads_exist=True)

    assert snapshot(path) == before


@pytest.mark.parametrize("case", NOTHING_YET)
async def test_without_payloads_a_catalogue_is_made(path: Path, case: str) -> None:
    NOTHING_YET[case](path)

    await make_at(path)

    assert rows(path, "SELECT name FROM namespace") == [("alice",), ("bob",)]
    assert rows(path, "PRAGMA application_id") == [(0x63617364,)]


# -- what is accepted ---------------------------------------------------------------------------------------------


async def test_what_was_written_is_there_after_a_restart(open_catalogue: Opener, path: Path) -> None:
    await make_at(path)

    desk = Desk(await open_catalogue(path, payloads_exist=True))

    assert await desk.numbers() == [1]


async def test_a_file_that_a_crash_left_shorter_than_its_wal_says_is_made_whole_by_it(
    open_catalogue: Opener, path: Path, tmp_path: Path
) -> None:
    catalogue = await open_catalogue(path)
    desk = await Desk(catalogue).open()
    for number in range(300):
        await desk.publish(f"name {number}")
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    copy = crashed / path.name
    header = path.read_bytes()
    copy.write_bytes(header[:28] + (10_000).to_bytes(4) + header[32:])  # as if a checkpoint had begun with page one
    Path(f"{copy}-wal").write_bytes(Path(f"{path}-wal").read_bytes())
    await catalogue.close()

    reopened = Desk(await open_catalogue(copy, payloads_exist=True))

    assert len(await reopened.names()) == 300


# -- migrations ---------------------------------------------------------------------------------------------------

Migration = tuple[int, str, str]
OWN = len(list(schema.migrations()))
MORE: list[Migration] = [
    (OWN + 1, "more.sql", "CREATE TABLE more (x);\nALTER TABLE more ADD COLUMN y;\n"),
    (OWN + 2, "and_more.sql", "INSERT INTO more (x) VALUES (1);\n"),
]
BROKEN: Migration = (OWN + 2, "broken.sql", "CREATE TABLE half (x);\nINSERT INTO absent VALUES (1);\n")


def migrate_with(monkeypatch: pytest.MonkeyPatch, *more: Migration) -> None:
    own = list(schema.migrations())

    def migrations() -> Iterator[Migration]:
        yield from own
        yield from more

    monkeypatch.setattr(schema, "migrations", migrations)


def tables(path: Path) -> set[object]:
    return {name for (name,) in rows(path, "SELECT name FROM sqlite_schema WHERE type = 'table'")}


async def test_an_older_schema_is_brought_up_in_order_and_each_step_recorded(
    open_catalogue: Opener, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_at(path)
    migrate_with(monkeypatch, *MORE)

    await (await open_catalogue(path, payloads_exist=True)).close()
    await (await open_catalogue(path, payloads_exist=True)).close()  # the second time there is nothing to do

    assert rows(path, "SELECT number, name FROM schema_migration ORDER BY number")[-2:] == [
        (OWN + 1, "more.sql"),
        (OWN + 2, "and_more.sql"),
    ]
    assert rows(path, "SELECT x, y FROM more") == [(1, None)]
    assert rows(path, "SELECT count(*) FROM version") == [(1,)]


async def test_a_migration_that_fails_leaves_the_schema_before_it_and_all_rows(
    open_catalogue: Opener, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_at(path)
    with monkeypatch.context() as patched:
        migrate_with(patched, MORE[0], BROKEN)

        with pytest.raises(CatalogueUnusable, match="absent"):
            await open_catalogue(path, payloads_exist=True)

    assert rows(path, "SELECT max(number) FROM schema_migration") == [(OWN + 1,)]
    assert "half" not in tables(path)
    migrate_with(monkeypatch, *MORE)
    desk = Desk(await open_catalogue(path, payloads_exist=True), new_uuid=uuid4)
    assert await desk.numbers() == [1]
    assert (await desk.publish(data=b"two")).number == 2


async def test_a_first_migration_that_fails_leaves_nothing_that_bars_the_next_start(
    open_catalogue: Opener, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(schema, "migrations", lambda: iter([(1, "0001_broken.sql", BROKEN[2])]))

        with pytest.raises(CatalogueUnusable):
            await open_catalogue(path)

    assert tables(path) == set()
    await make_at(path)


async def test_migrations_that_were_not_installed_whole_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["0001_core.sql", "0003_later.sql"]
    monkeypatch.setattr(schema.resources, "files", lambda package: FakeFolder(names))

    with pytest.raises(CatalogueUnusable, match=r"0003_later\.sql should be number 2"):
        list(schema.migrations())


class FakeFolder:
    """As much of a package's folder as is looked at."""

    def __init__(self, names: list[str], name: str = "") -> None:
        self._names = names
        self.name = name

    def __truediv__(self, name: str) -> "FakeFolder":
        return FakeFolder(self._names, name)

    def iterdir(self) -> Iterator["FakeFolder"]:
        return (FakeFolder([], name) for name in self._names)

    def read_text(self, encoding: str) -> str:
        return ""


def test_the_statements_of_a_script_are_its_own_also_with_semicolons_in_text_and_triggers() -> None:
    script = (
        "-- a comment; with a semicolon\n"
        "CREATE TABLE t (x TEXT DEFAULT ';');\n"
        "CREATE TRIGGER g AFTER INSERT ON t BEGIN\n  UPDATE t SET x = 1;\n  DELETE FROM t;\nEND;\n"
        "DROP TABLE t;\n"
    )

    found = list(schema.statements(script))

    assert [re.findall(r"^(?:CREATE \w+|DROP \w+)", text, re.MULTILINE) for text in found] == [
        ["CREATE TABLE"],
        ["CREATE TRIGGER"],
        ["DROP TABLE"],
    ]


def test_every_migration_ends_its_last_statement() -> None:
    """What comes after the last semicolon would be left out without a word."""
    for _, name, script in schema.migrations():
        rest = script[script.rindex(";") + 1 :]
        assert all(not line or line.startswith("--") for line in map(str.strip, rest.splitlines())), name


async def test_a_second_catalogue_can_be_opened_while_a_reader_of_the_first_is_open(
    open_catalogue: Opener, path: Path
) -> None:
    """A backup, say, or an operator's shell."""
    await make_at(path)
    reader = sqlite3.connect(path)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM name").fetchone()

    catalogue = await open_catalogue(path, payloads_exist=True)
    await catalogue.ensure_namespace("made meanwhile", NOW)

    assert await catalogue.namespace(ALICE) is not None
    reader.close()
