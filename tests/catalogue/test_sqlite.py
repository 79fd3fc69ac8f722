"""The SQLite catalogue keeps the contract, and every statement on the way is an index range."""

import sqlite3
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
import xxhash

from casd.catalogue.sqlite import SqliteCatalogue, schema
from casd.catalogue.values import BlobFilter
from casd.model import Page
from tests.catalogue.conftest import Opener
from tests.catalogue.plans import Statements, objections, plan, record
from tests.contracts.catalogue import CatalogueContract
from tests.contracts.desk import ALICE, NO_FILTER
from tests.fakes import NOW, counting_uuids

# Statements that may read a whole table or sort, by a part of their text, each with the reason.
ALLOWED = {
    "FROM entry CROSS JOIN name m": "walks the entries of one page, each found by the index of visible names",
    "IN ()": "a list without members is the constant false: the loop that the plan shows is never entered",
    "SELECT name FROM namespace ORDER BY name": "all namespaces were asked for; there are few",
    "FROM namespace n ORDER BY name": "all namespaces were asked for; there are few",
    "FROM namespace n WHERE name IN": "sorts the namespaces that are open to one caller; there are few",
    "count(quarantined_at)": "totals count everything; nobody waits for them",
    "SELECT 1 FROM schema_migration LIMIT 1": "reads one row",
    "DELETE FROM signing_key RETURNING": "all keys are revoked; there are few",
    "FROM signing_key ORDER BY id": "all keys were asked for; there are few",
    "FROM upload WHERE blob_uuid IS NULL": "all unfinished uploads were asked for, by their own index",
    "WHERE p.id IN (SELECT id FROM payload WHERE": "sorts the blobs of one checksum, which can stand for two digests",
    "ORDER BY b.created_at, b.uuid LIMIT 1": "sorts the blobs of one payload, to find the oldest",
}

explained: set[str] = set()  # by an earlier test of this run


class TestSqliteCatalogue(CatalogueContract):
    @pytest.fixture
    async def catalogue(self, path: Path) -> AsyncIterator[SqliteCatalogue]:
        """Each test of the contract ends by asking SQLite how it goes about the statements that were executed."""
        catalogue = await SqliteCatalogue.open(path, counting_uuids(), payloads_exist=False)
        statements = record(catalogue)
        yield catalogue
        found = objections_to(path, statements)
        await catalogue.close()
        assert found == []


def objections_to(path: Path, statements: Statements) -> list[str]:
    found = []
    for sql, values in statements.items():
        if sql not in explained:
            found += objections(sql, plan(path, sql, values), ALLOWED)
            explained.add(sql)
    return found


@pytest.mark.parametrize(
    ("sql", "part"),
    [
        ("SELECT * FROM blob WHERE filename = 'x'", "SCAN blob"),
        ("SELECT digest FROM payload", "SCAN payload USING COVERING INDEX"),
        ("SELECT * FROM version WHERE name_id = 1 ORDER BY published_by", "USE TEMP B-TREE FOR ORDER BY"),
        ("DELETE FROM version WHERE published_by = 'x'", "SCAN version"),
    ],
)
async def test_a_statement_that_scans_or_sorts_would_be_found(
    catalogue: SqliteCatalogue, path: Path, sql: str, part: str
) -> None:
    (objection,) = objections(sql, plan(path, sql, ()), ALLOWED)

    assert part in objection


# -- a page costs the same wherever it starts ---------------------------------------------------------------------

ROWS = 10_000
PAGE_STEPS = (
    25_000  # of SQLite's virtual machine: 1,900 for a row of ten with its 100 names; a scan of ROWS takes 70,000
)


def fill(path: Path) -> None:
    """A namespace with many of everything; every 2000th is rare, every second name is hidden."""

    def rare(number: int) -> str:
        return "rare" if number % 2000 == 1999 else "common"

    def match(number: int) -> int:
        return xxhash.xxh3_64_intdigest(rare(number).encode()) - (1 << 63)

    numbers = range(1, ROWS + 1)
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO namespace (id, name, created_at) VALUES (1, 'alice', 0)")
        db.executemany(
            """INSERT INTO payload (id, digest, sha256, xxh3_128, size, blob_count, keep_until, stored_at, checked_at)
               VALUES (?, ?, zeroblob(32), zeroblob(16), 1, ?, ?, 0, 0)""",
            ((number, digest(number), int(number == 1), number // 10) for number in numbers),
        )
        db.executemany(
            """INSERT INTO blob (id, uuid, namespace_id, payload_id, holds_itself, content_type, created_at)
               VALUES (?, ?, 1, 1, 1, ?, 0)""",
            ((number, number.to_bytes(16), rare(number)) for number in numbers),
        )
        db.executemany(
            "INSERT INTO blob_metadata VALUES (?, 'k', ?, ?, 1, ?)",
            ((number, f'"{rare(number)}"', match(number), number.to_bytes(16)) for number in numbers),
        )
        db.executemany(
            "INSERT INTO name (id, uuid, namespace_id, name, created_at, hidden_at) VALUES (?, ?, 1, ?, 0, ?)",
            ((number, number.to_bytes(16), b"n%06d" % number, number % 2 or None) for number in numbers),
        )
        db.execute("INSERT INTO namespace (id, name, created_at) VALUES (2, 'folders', 0)")
        db.executemany(
            "INSERT INTO name (id, uuid, namespace_id, name, created_at) VALUES (?, ?, 2, ?, 0)",
            ((ROWS + n, (ROWS + n).to_bytes(16), b"f%06d/%06d" % (n // 10, n)) for n in numbers),
        )
        db.executemany(
            "INSERT INTO version (name_id, number, blob_id, created_at) VALUES (?, 1, 1, 0)", column(numbers)
        )
        db.executemany(
            "INSERT INTO version (name_id, number, blob_id, created_at) VALUES (2, ?, 1, 1)", column(numbers[1:])
        )
        db.executemany(
            """INSERT INTO token (id, uuid, name, role, secret_hash, created_at)
               VALUES (?1, ?2, 't', 'reader', ?2, 0)""",
            ((number, number.to_bytes(16)) for number in numbers),
        )
    db.close()


def digest(number: int) -> bytes:
    return number.to_bytes(64)


def column(numbers: Iterable[int]) -> list[tuple[int]]:
    return [(number,) for number in numbers]


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A schema that casd made and rows that it did not."""
    path = tmp_path_factory.mktemp("filled") / "catalogue.sqlite3"
    schema.open_writer(path, payloads_exist=False).close()
    fill(path)
    return path


def blob_cursor(number: int) -> bytes:
    return number.to_bytes(16) + b"alice"


RARE, COMMON = ("k", "rare"), ("k", "common")
LISTINGS = {
    "blobs": lambda c, at: c.blobs([ALICE], NO_FILTER, 10, at and blob_cursor(at), NOW),
    "all blobs": lambda c, at: c.blobs(None, NO_FILTER, 10, at and blob_cursor(at), NOW),
    "content type": lambda c, at: c.blobs([ALICE], BlobFilter("common"), 10, at and blob_cursor(at), NOW),
    "rare content type": lambda c, at: c.blobs([ALICE], BlobFilter("rare"), 10, at and blob_cursor(at), NOW),
    "metadata": lambda c, at: c.blobs([ALICE], BlobFilter(None, (COMMON,)), 10, at and blob_cursor(at), NOW),
    "rare metadata": lambda c, at: c.blobs([ALICE], BlobFilter(None, (RARE,)), 10, at and blob_cursor(at), NOW),
    "two filters": lambda c, at: c.blobs([ALICE], BlobFilter("common", (COMMON,)), 10, at and blob_cursor(at), NOW),
    "names": lambda c, at: c.names(ALICE, "", 10, at and b"n%06d" % at, NOW),
    "names below a prefix": lambda c, at: c.names(ALICE, "n", 10, at and b"n%06d" % at, NOW),
    "folder": lambda c, at: c.folder(ALICE, "", 10, at and b"n%06d" % at, NOW),
    "folder of folders": lambda c, at: c.folder("folders", "f", 10, at and b"f%06d/\xff" % (at // 10), NOW),
    "versions": lambda c, at: c.versions(ALICE, "n000002", 10, at and at.to_bytes(8), NOW),
    "unreferenced": lambda c, at: c.unreferenced(NOW, 10, at and (at // 10).to_bytes(8) + digest(at)),
    "tokens": lambda c, at: c.tokens(10, at and at.to_bytes(8)),
}


@pytest.mark.parametrize("after", [None, 5000, 9970], ids=["first", "middle", "last"])
@pytest.mark.parametrize("listing", LISTINGS)
async def test_a_page_costs_the_same_wherever_it_starts(
    open_catalogue: Opener, filled: Path, listing: str, after: int | None
) -> None:
    catalogue = await open_catalogue(filled, payloads_exist=True)
    ticks: list[None] = []
    await catalogue._listings._db.set_progress_handler(lambda: ticks.append(None), 10)

    page: Page[object] = await LISTINGS[listing](catalogue, after)

    assert page.items
    assert len(ticks) * 10 < PAGE_STEPS
