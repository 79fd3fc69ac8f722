"""Digests are remembered for files that have not changed, and never believed for one that may have."""

import os
import time
from pathlib import Path

import pytest

from casd.cli import digests as digests_module
from casd.cli.digests import Digests
from casd.cli.walking import Found, walk
from casd.model import Digest

A, B = Digest(b"a" * 64), Digest(b"b" * 64)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "digests.sqlite3"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()
    path.write_text("content")
    return path


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as settled at once: their change time cannot be set back, which is why it is looked at."""
    monkeypatch.setattr(digests_module, "SETTLED_NS", -1)


def found(file: Path) -> Found:
    [step] = walk(str(file.parent))
    assert isinstance(step, Found)
    return step


def remembered(cache: Path, file: Path, digest: Digest = A) -> None:
    digests = Digests(cache)
    digests.remember(found(file), digest)
    digests.close()


def known(cache: Path, file: Path) -> Digest | None:
    digests = Digests(cache)
    try:
        return digests.known(found(file))
    finally:
        digests.close()


@pytest.mark.usefixtures("settled")
def test_a_digest_is_known_in_the_next_run(cache: Path, file: Path) -> None:
    assert known(cache, file) is None

    remembered(cache, file)

    assert known(cache, file) == A


@pytest.mark.usefixtures("settled")
def test_the_newest_digest_counts(cache: Path, file: Path) -> None:
    remembered(cache, file, A)
    remembered(cache, file, B)

    assert known(cache, file) == B


@pytest.mark.usefixtures("settled")
def test_a_file_that_was_written_is_not_known_though_its_time_was_set_back(cache: Path, file: Path) -> None:
    before = file.stat()
    remembered(cache, file)

    file.write_text("CONTENT")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert known(cache, file) is None


@pytest.mark.usefixtures("settled")
def test_another_file_in_its_place_is_not_known(cache: Path, file: Path) -> None:
    remembered(cache, file)
    other = file.with_name("other")
    other.write_text("CONTENT")

    other.replace(file)

    assert known(cache, file) is None


@pytest.mark.usefixtures("settled")
def test_a_file_that_changed_while_it_was_read_is_not_remembered(cache: Path, file: Path) -> None:
    digests = Digests(cache)
    before = found(file)
    file.write_text("longer content")

    digests.remember(before, A)
    digests.close()

    assert known(cache, file) is None


def test_a_file_that_changed_a_moment_ago_is_not_remembered(
    cache: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests_module, "SETTLED_NS", 3600 * 10**9)

    remembered(cache, file)

    assert known(cache, file) is None


@pytest.mark.usefixtures("settled")
def test_a_cache_that_is_no_database_is_as_good_as_none(cache: Path, file: Path) -> None:
    cache.parent.mkdir()
    cache.write_bytes(b"not a database" * 1000)

    remembered(cache, file)

    assert known(cache, file) is None


@pytest.mark.usefixtures("settled")
def test_a_cache_that_cannot_be_made_is_as_good_as_none(cache: Path, file: Path) -> None:
    cache.parent.write_text("a file where the folder should be")

    remembered(cache, file)

    assert known(cache, file) is None


@pytest.mark.usefixtures("settled")
def test_nothing_is_known_when_it_is_not_asked(cache: Path, file: Path) -> None:
    remembered(cache, file)

    digests = Digests(cache, is_asked=False)
    unasked = digests.known(found(file))
    digests.close()

    assert unasked is None


@pytest.mark.usefixtures("settled")
def test_what_nobody_asks_for_is_forgotten(cache: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remembered(cache, file)
    other = file.parent.parent / "elsewhere" / "file"
    other.parent.mkdir()
    other.write_text("x")
    later = time.time() + (digests_module.KEPT_DAYS + 2) * 86400
    monkeypatch.setattr(time, "time", lambda: later)

    remembered(cache, other)

    assert known(cache, other) == A
    assert known(cache, file) is None


@pytest.mark.usefixtures("settled")
def test_what_is_asked_for_is_kept(cache: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remembered(cache, file)
    now = time.time()

    for days in range(40, 400, 40):
        monkeypatch.setattr(time, "time", lambda days=days: now + days * 86400)
        assert known(cache, file) == A, days


@pytest.mark.usefixtures("settled")
def test_two_runs_at_once_do_not_disturb_each_other(cache: Path, file: Path) -> None:
    first, second = Digests(cache), Digests(cache)

    first.remember(found(file), A)
    second.remember(found(file), A)
    first.flush(all_of_it=True)
    second.flush(all_of_it=True)

    assert first.known(found(file)) == second.known(found(file)) == A
    first.close()
    second.close()
