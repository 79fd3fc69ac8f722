"""`casd ls`, `casd stat` and `casd find` against the real daemon."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from casd.client import Client, Source
from tests.cli.conftest import RunInside, made


def put(inside: RunInside, name: str | None, content: bytes, *arguments: str) -> Any:
    """The daemon's JSON on what was put."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        told = made(inside, "put", file.name, *([name] if name else []), *arguments)
    del told["already_there"]  # which is not the daemon's
    return told


def test_ls_lists_the_latest_versions_under_a_prefix(inside: RunInside, name: str) -> None:
    put(inside, f"{name}/a", b"one")
    put(inside, f"{name}/a", b"four")
    put(inside, f"{name}/b b", b"")

    ran = inside("ls", f"{name}/")

    first, second = (line.split(None, 4) for line in ran.lines)
    assert first[:2] == ["4", "B"]
    assert first[3:] == ["@2", f"{name}/a"]
    assert second[:2] == ["0", "B"]
    assert second[3:] == ["@1", f"{name}/b b"]


async def test_ls_goes_through_all_pages(inside: RunInside, daemon: Any, name: str) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        yield b""

    names = [f"{name}/{number:03}" for number in range(203)]
    async with Client(daemon.url, daemon.token) as client:
        for each in names:
            await client.put_name("default", each, Source(nothing(), 0))

    ran = await asyncio.to_thread(inside, "ls", f"{name}/", "--json")

    assert [item["name"] for item in ran.json["items"]] == names
    assert ran.json["next"] is None
    assert len((await asyncio.to_thread(inside, "ls", f"{name}/")).lines) == 203


def test_an_empty_listing_is_one_too(inside: RunInside, name: str) -> None:
    assert inside("ls", f"{name}/").out == ""
    assert inside("ls", f"{name}/", "--json").json == {"items": [], "next": None}


def test_ls_of_a_namespace_that_is_not_there_ends_in_3(inside: RunInside) -> None:
    ran = inside("ls", "--namespace", "no-such-namespace")

    assert ran.code == 3
    assert "casd namespace create" in ran.err


def test_ls_lists_blobs(inside: RunInside) -> None:
    blob = put(inside, None, b"hello", "--filename", "hello.txt")

    text = inside("ls", "--blobs")
    listed = inside("ls", "--blobs", "--json", "--namespace", "default")

    [line] = [line for line in text.lines if blob["uuid"] in line]
    assert line.endswith("(no name; filename hello.txt)")
    assert blob in listed.json["items"]


def test_the_environment_names_a_namespace(inside: RunInside) -> None:
    ran = inside("ls", env={"CASD_NAMESPACE": "no-such-namespace"})

    assert ran.code == 3


def test_stat_shows_a_blob_by_uuid(inside: RunInside) -> None:
    blob = put(inside, None, b"hello", "--filename", "hello.txt")

    ran = inside("stat", blob["uuid"])

    facts = dict(line.split(None, 1) for line in ran.lines if len(line.split(None, 1)) == 2)
    assert facts["uuid"] == blob["uuid"]
    assert facts["sha512"] == hashlib.sha512(b"hello").hexdigest()
    assert facts["sha256"] == hashlib.sha256(b"hello").hexdigest()
    assert facts["filename"] == "hello.txt"
    assert inside("stat", blob["uuid"], "--json").json["sha512"] == blob["sha512"]


def test_stat_shows_a_version_by_name(inside: RunInside, name: str) -> None:
    first = put(inside, name, b"one")
    put(inside, name, b"two")

    latest = inside("stat", name, "--json").json
    numbered = inside("stat", name, "--version", "1", "--json").json
    then = inside("stat", name, "--as-of", first["created_at"], "--json").json
    shown = inside("stat", name)

    assert (latest["version"], numbered["version"], then["version"]) == (2, 1, 1)
    assert f"name       {name}" in shown.lines
    assert "version    2" in shown.lines


def test_stat_shows_every_blob_of_a_digest(inside: RunInside, name: str) -> None:
    content = name.encode()
    one = put(inside, None, content)
    two = put(inside, None, content)

    ran = inside("stat", one["sha512"], "--json")

    assert {item["uuid"] for item in ran.json["items"]} == {one["uuid"], two["uuid"]}


def test_stat_of_what_is_absent_ends_in_3(inside: RunInside, name: str) -> None:
    for what in (name, "00000000-0000-0000-0000-000000000000", "0" * 128):
        ran = inside("stat", what)
        assert ran.code == 3, ran
        first, *hint = ran.err.splitlines()
        assert first.startswith(("casd: there is no ", "casd: no blob "))
        assert ["`casd ls` shows" in line for line in hint] == ([True] if what == name else [])


def test_stat_of_a_hidden_name_says_that_it_is_hidden(inside: RunInside, name: str) -> None:
    put(inside, name, b"one")
    inside("rm", name)

    ran = inside("stat", name)

    assert ran.code == 3
    assert "is hidden since version 2" in ran.err


def test_versions_lists_all_of_them_markers_included(inside: RunInside, name: str) -> None:
    first = put(inside, name, b"one")
    inside("rm", name)
    put(inside, name, b"")

    text = inside("versions", name)
    listed = inside("versions", name, "--json")

    one, marker, three = (line.split() for line in text.lines)
    assert (one[:3], one[4]) == (["@1", "3", "B"], first["blob"]["uuid"])
    assert (marker[:2], marker[3]) == (["@2", "deleted"], "-")
    assert three[:3] == ["@3", "0", "B"]
    assert [item["deleted"] for item in listed.json["items"]] == [False, True, False]


def test_versions_of_what_never_was_ends_in_3(inside: RunInside, name: str) -> None:
    assert inside("versions", name).code == 3


def test_stat_tells_which_version_is_absent(inside: RunInside, name: str) -> None:
    put(inside, name, b"one")

    ran = inside("stat", name, "--version", "9")

    assert ran.code == 3
    assert "no version 9" in ran.err


def test_find_knows_every_checksum_and_files(inside: RunInside, folder: Path, name: str) -> None:
    content = name.encode()
    version = put(inside, name, content)
    blob = version["blob"]
    (folder / "copy").write_bytes(content)

    for wanted in (
        blob["sha512"],
        blob["sha256"],
        blob["xxh3_128"],
        f"sha256:{blob['sha256'].upper()}",
        f"xxh3-128:{blob['xxh3_128']}",
        str(folder / "copy"),
    ):
        ran = inside("find", wanted)
        assert ran.code == 0, ran.err
        assert blob["uuid"] in ran.out
        assert f"default/{name}@1" in ran.out


def test_find_marks_names_that_are_hidden(inside: RunInside, name: str) -> None:
    version = put(inside, name, name.encode())
    put(inside, f"{name}/seen", name.encode())
    inside("rm", name)

    found = inside("find", version["blob"]["sha512"])
    stat = inside("stat", version["blob"]["uuid"])

    assert f"default/{name}@1 (hidden)\n" in found.out
    assert f"default/{name}/seen@1\n" in found.out
    assert f"held by    default/{name}@1 (hidden)" in stat.lines


async def test_find_goes_through_all_pages(inside: RunInside, daemon: Any, name: str) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield name.encode()

    async with Client(daemon.url, daemon.token) as client:
        for _ in range(203):
            await client.put_blob(Source(content(), len(name.encode())))

    ran = await asyncio.to_thread(inside, "find", hashlib.sha512(name.encode()).hexdigest())

    assert len(ran.lines) == 203


def test_find_as_json_gives_the_blobs(inside: RunInside) -> None:
    blob = put(inside, None, b"hello")

    assert blob["uuid"] in {item["uuid"] for item in inside("find", blob["sha256"], "--json").json["items"]}


def test_find_of_what_is_absent_ends_in_3(inside: RunInside, folder: Path) -> None:
    (folder / "unknown").write_bytes(b"nobody stored this")

    ran = inside("find", str(folder / "unknown"))

    assert ran.code == 3
    assert hashlib.sha512(b"nobody stored this").hexdigest() in ran.err
