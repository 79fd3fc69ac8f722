"""Names become files below their folder and nowhere else."""

import os
from pathlib import Path

import pytest

from casd.cli import landing
from casd.cli.landing import InTheWay, Landing


def refused(names: list[str], folder: Path) -> list[str]:
    here = Landing(str(folder))
    return [name for name in sorted(names) if here.refusal(name) is not None]


def test_a_name_below_another_name_is_refused(tmp_path: Path) -> None:
    names = ["a", "a-b", "a.b/c", "a/b", "a/c/d", "ab", "b/c", "b/c/d", "b/cd"]

    assert refused(names, tmp_path) == ["a/b", "a/c/d", "b/c/d"]


def test_names_that_differ_in_case_have_both_their_place_where_case_is_told(tmp_path: Path) -> None:
    if landing.folds_case(tmp_path):
        pytest.skip("this file system does not tell case")

    assert refused(["A", "a", "É", "e\u0301"], tmp_path) == []


def test_names_that_differ_in_case_only_are_refused_where_it_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landing, "folds_case", lambda folder: True)

    assert refused(["A", "a", "b/X", "B/x", "c", "\u00e9", "e\u0301"], tmp_path) == ["a", "b/X", "\u00e9"]


def test_folders_are_made_for_a_name(tmp_path: Path) -> None:
    target = Landing(str(tmp_path)).prepared("a/b/c")

    assert target == tmp_path / "a/b/c"
    assert target.parent.is_dir()
    assert not target.exists()


@pytest.mark.parametrize("place", ["link/file", "sub/link/file", "file-link", "dangling"])
def test_a_link_is_not_followed(tmp_path: Path, place: str) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    (inside / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (inside / "link").symlink_to(outside)
    (inside / "sub/link").symlink_to(outside)
    (inside / "file-link").symlink_to(outside / "secret")
    (inside / "dangling").symlink_to(outside / "new")

    with pytest.raises(InTheWay, match="symbolic link"):
        Landing(str(inside)).prepared(place)

    assert os.listdir(outside) == ["secret"]


@pytest.mark.parametrize("place", ["file/below", "folder"])
def test_what_is_of_another_kind_is_not_replaced(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()

    with pytest.raises(InTheWay):
        Landing(str(tmp_path)).prepared(place)


def test_removing_a_file_removes_the_folders_that_it_leaves_empty(tmp_path: Path) -> None:
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "a/b/c/file").touch()
    (tmp_path / "a/other").touch()

    Landing(str(tmp_path)).remove("a/b/c/file")
    Landing(str(tmp_path)).remove("a/b/c/file")  # again: no error

    assert [path.name for path in (tmp_path / "a").iterdir()] == ["other"]


def test_the_folder_itself_stays_when_its_last_file_goes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file").touch()

    Landing(str(tmp_path)).remove("a/file")

    assert list(tmp_path.iterdir()) == []


def test_asking_whether_case_is_told_leaves_nothing_behind(tmp_path: Path) -> None:
    assert landing.folds_case(tmp_path) is (tmp_path / "X").exists()
    assert list(tmp_path.iterdir()) == []


def test_each_folder_is_synced_once_and_no_more_of_them_wait_than_a_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landing, "UNSYNCED", 2)
    here = Landing(str(tmp_path))

    due = [here.landed(tmp_path / place) for place in ("a/1", "a/2", "b/1", "a/3", "c/1", "c/2")]

    assert due == [None, None, None, None, tmp_path / "a", None]
    assert list(here.unsynced()) == [tmp_path / "b", tmp_path / "c"]
    assert list(here.unsynced()) == []
