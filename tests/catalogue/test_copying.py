"""A copy of a catalogue that others write meanwhile: one moment, whole, and nobody waits."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from casd.catalogue.sqlite import copying
from casd.catalogue.sqlite.copying import copy_catalogue
from tests.catalogue.test_schema import make_at

COUNT = "SELECT count(*) FROM namespace"
FILL = """
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
INSERT INTO namespace (name, created_at) SELECT 'made before ' || i || hex(zeroblob(200)), 0 FROM n
"""


@pytest.fixture
async def filled(path: Path) -> Path:
    """A closed catalogue of some hundred pages."""
    await make_at(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute(FILL)
        db.commit()
    return path


@pytest.mark.parametrize("is_folded", [True, False], ids=["its WAL folded back", "with a WAL"])
async def test_a_copy_is_of_one_moment_whatever_is_written_between_its_steps(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_folded: bool
) -> None:
    monkeypatch.setattr(copying, "STEP_PAGES", 7)
    target, calls = tmp_path / "copy", 0
    with closing(sqlite3.connect(filled, isolation_level=None)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
        (before,) = writer.execute(COUNT).fetchone()
        (pages,) = writer.execute("PRAGMA page_count").fetchone()
        if is_folded:
            writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            assert filled.with_name(filled.name + "-wal").stat().st_size == 0

        def write_meanwhile() -> None:
            nonlocal calls
            calls += 1
            writer.execute("UPDATE namespace SET quota_bytes = 1")
            writer.execute(f"INSERT INTO namespace (name, created_at) VALUES ('made meanwhile {calls}', 0)")
            writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            assert calls < 10 * pages, "it begins anew again and again"

        copy_catalogue(filled, target, write_meanwhile)

        assert writer.execute(COUNT).fetchone() == (before + calls,)
    assert calls == -(-pages // 7)
    with closing(sqlite3.connect(target)) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert copy.execute(COUNT).fetchone() == (before,)
        assert copy.execute("SELECT count(quota_bytes) FROM namespace").fetchone() == (0,)
    assert sorted(file.name for file in tmp_path.iterdir() if file.name.startswith("copy")) == ["copy"]
