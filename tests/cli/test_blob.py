"""`casd blob` against the real daemon."""

import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run, RunInside, made, sha512


@pytest.fixture
def disk(folder: Path, data: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in the folder where the commands run."""
    monkeypatch.chdir(folder)
    path = folder / "disk.img"
    path.write_bytes(data)
    return path


def test_what_is_uploaded_is_downloaded_by_its_name(inside: RunInside, disk: Path, data: bytes, name: str) -> None:
    up = inside("blob", "upload", name, "disk.img")
    down = inside("blob", "download", name, "copy.img")

    assert (up.code, down.code) == (0, 0), up.err + down.err
    assert Path("copy.img").read_bytes() == data


def test_each_upload_is_a_version_of_its_own(inside: RunInside, disk: Path, name: str) -> None:
    for text in ("one", "two"):
        disk.write_text(text)
        made(inside, "blob", "upload", name, "disk.img")

    inside("blob", "download", name, "first", "--version=1")
    inside("blob", "download", name, "latest")

    assert (Path("first").read_text(), Path("latest").read_text()) == ("one", "two")
    assert inside("blob", "download", name, "third", "--version=3").code == 3
    assert not Path("third").exists()


def test_an_upload_tells_a_uuid_and_a_url_that_retrieves_it(
    inside: RunInside, daemon: Any, disk: Path, data: bytes, name: str
) -> None:
    ran = inside("blob", "upload", name, "disk.img")

    facts = dict(line.split(None, 1) for line in ran.lines)
    with urllib.request.urlopen(urllib.request.Request(facts["url"], headers=daemon.headers)) as answer:
        assert answer.read() == data
    assert facts["uuid"] in facts["url"]
    assert (facts["name"], facts["sha512"]) == (f"{name}@1", sha512(data))


def test_an_upload_as_json_is_its_version_with_a_url(inside: RunInside, disk: Path, name: str) -> None:
    told = made(inside, "blob", "upload", name, "disk.img")

    assert (told["name"], told["version"], told["blob"]["filename"]) == (name, 1, "disk.img")
    assert told["url"].endswith(f"/v1/blobs/{told['blob']['uuid']}/data")


async def test_standard_streams_are_files_too(casd: Run, name: str) -> None:
    up = await casd("blob", "upload", name, "-", stdin=b"hello")
    down = await casd("blob", "download", name, "-")

    assert up.code == 0, up.err
    assert down.out == "hello"


def test_another_namespace_is_named(inside: RunInside, disk: Path, name: str) -> None:
    assert inside("namespace", "create", "blobs").code == 0

    assert made(inside, "blob", "upload", name, "disk.img", "--namespace=blobs")["namespace"] == "blobs"
    assert inside("blob", "download", name, "copy.img").code == 3
    assert inside("blob", "download", name, "copy.img", "--namespace=blobs").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["upload", "name"],
        ["download", "name"],
        ["upload", "ab" * 64, "disk.img"],
        ["upload", "a//b", "disk.img"],
        ["download", "name", "copy.img", "--version=0"],
        ["download", "name", "no/such/folder/copy.img"],
    ],
)
def test_wrong_usage_ends_in_2(inside: RunInside, disk: Path, arguments: list[str]) -> None:
    assert inside("blob", *arguments).code == 2


def test_a_file_that_is_not_there_makes_no_version(inside: RunInside, disk: Path, name: str) -> None:
    assert inside("blob", "upload", name, "absent").code == 1
    assert inside("versions", name).code == 3
