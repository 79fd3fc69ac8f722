"""A folder is walked in the order in which a daemon lists names, and nothing in it is followed or lost in silence."""

import os
import socket
from pathlib import Path

import pytest

from casd.cli.walking import Found, LeftOut, Unwalkable, walk


def made(folder: Path, *places: str) -> None:
    for place in places:
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(place)


def names(folder: Path, *, follow_links: bool = False) -> list[str]:
    return [step.name for step in walk(str(folder), follow_links=follow_links) if isinstance(step, Found)]


def left_out(folder: Path) -> dict[str, str]:
    return {os.path.basename(step.path): step.kind for step in walk(str(folder)) if isinstance(step, LeftOut)}


def unwalkable(folder: Path, *, follow_links: bool = False) -> list[Unwalkable]:
    return [step for step in walk(str(folder), follow_links=follow_links) if isinstance(step, Unwalkable)]


def test_files_come_in_the_order_of_their_names_bytes(tmp_path: Path) -> None:
    made(tmp_path, "a/b", "a-b", "a.b", "a0", "a/b-c", "a/b.d/e", "Z", "z", "ü/1", "日本", "a b", "😀", "\uffff")

    found = names(tmp_path)

    assert len(found) == 13
    assert found == sorted(found, key=str.encode)


def test_a_file_is_described_as_it_is(tmp_path: Path) -> None:
    made(tmp_path, "sub/file")

    [found] = walk(str(tmp_path))

    facts = (tmp_path / "sub/file").stat()
    assert found == Found(
        "sub/file",
        str(tmp_path / "sub/file"),
        facts.st_size,
        facts.st_mtime_ns,
        facts.st_ctime_ns,
        facts.st_ino,
        facts.st_dev,
    )


def test_what_is_no_file_is_left_out_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, "file", "real/inner")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "folder-link").symlink_to("real")
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(tmp_path)  # a socket's path may have 108 bytes
        listening.bind("socket")

        assert names(tmp_path) == ["file", "real/inner"]
        assert left_out(tmp_path) == {
            "link": "symbolic link",
            "folder-link": "symbolic link",
            "broken": "symbolic link",
            "empty": "empty folder",
            "pipe": "pipe",
            "socket": "socket",
        }


def test_links_are_followed_when_asked_for(tmp_path: Path) -> None:
    made(tmp_path, "in/file", "out/other")
    (tmp_path / "in/link").symlink_to("../out/other")
    (tmp_path / "in/folder").symlink_to("../out")
    (tmp_path / "in/broken").symlink_to("nowhere")

    assert names(tmp_path / "in", follow_links=True) == ["file", "folder/other", "link"]


def test_a_circle_of_links_is_walked_once_and_told(tmp_path: Path) -> None:
    made(tmp_path, "sub/file")
    (tmp_path / "sub/up").symlink_to("..")
    (tmp_path / "self").symlink_to("self")

    assert names(tmp_path, follow_links=True) == ["sub/file"]
    assert [os.path.basename(each.path) for each in unwalkable(tmp_path, follow_links=True)] == ["self", "up"]


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    made(tmp_path, "real/file")
    (tmp_path / "link").symlink_to("real")

    assert names(tmp_path / "link") == ["file"]


def test_a_filename_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    made(tmp_path, "good")
    (tmp_path / os.fsdecode(b"bad\xff")).write_text("x")
    (tmp_path / os.fsdecode(b"bad-folder\xff")).mkdir()
    (tmp_path / os.fsdecode(b"bad-folder\xff/file")).write_text("x")

    assert names(tmp_path) == ["good"]
    assert ["not UTF-8" in each.why for each in unwalkable(tmp_path)] == [True, True]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    made(tmp_path, "good", "closed/file")
    (tmp_path / "closed").chmod(0)

    told = unwalkable(tmp_path)
    (tmp_path / "closed").chmod(0o700)

    assert [each.why for each in told] == ["Permission denied"]


def test_unfinished_downloads_are_passed_over(tmp_path: Path) -> None:
    made(tmp_path, f".disk.img.{'ab' * 16}.casd-part", "disk.img")

    assert names(tmp_path) == ["disk.img"]
    assert left_out(tmp_path) == {}


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        next(walk(str(tmp_path / "absent")))


def test_what_vanishes_while_it_is_walked_is_passed_over(tmp_path: Path) -> None:
    made(tmp_path, "a", "b", "c/d")
    steps = walk(str(tmp_path))
    next(steps)

    (tmp_path / "b").unlink()
    (tmp_path / "c/d").unlink()
    (tmp_path / "c").rmdir()

    assert list(steps) == []


def test_a_very_deep_folder_is_walked(tmp_path: Path) -> None:
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        for _ in range(900):  # beyond Python's recursion, within PATH_MAX
            os.mkdir("d")
            os.chdir("d")
        Path("file").touch()
    finally:
        os.chdir(here)

    assert names(tmp_path) == ["d/" * 900 + "file"]
