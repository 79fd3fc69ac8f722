"""`casd ls`, `casd stat` and `casd find` against the real daemon."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from casd.client import Client, Source
from tests.cli.conftest import Run


async def put(casd: Run, name: str | None, content: bytes, *arguments: str) -> Any:
    ran = await casd("put", "-", *([name] if name else []), "--json", *arguments, stdin=content)
    assert ran.code == 0, ran.err
    return ran.json


async def test_ls_lists_the_latest_versions_under_a_prefix(casd: Run, name: str) -> None:
    await put(casd, f"{name}/a", b"one")
    await put(casd, f"{name}/a", b"four")
    await put(casd, f"{name}/b b", b"")

    ran = await casd("ls", f"{name}/")

    first, second = (line.split(None, 4) for line in ran.lines)
    assert first[:2] == ["4", "B"]
    assert first[3:] == ["@2", f"{name}/a"]
    assert second[:2] == ["0", "B"]
    assert second[3:] == ["@1", f"{name}/b b"]


async def test_ls_goes_through_all_pages(casd: Run, daemon: Any, name: str) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        yield b""

    names = [f"{name}/{number:03}" for number in range(203)]
    async with Client(daemon.url, daemon.token) as client:
        for each in names:
            await client.put_name("default", each, Source(nothing(), 0))

    ran = await casd("ls", f"{name}/", "--json")

    assert [item["name"] for item in ran.json["items"]] == names
    assert ran.json["next"] is None
    assert len((await casd("ls", f"{name}/")).lines) == 203


async def test_an_empty_listing_is_one_too(casd: Run, name: str) -> None:
    assert (await casd("ls", f"{name}/")).out == ""
    assert (await casd("ls", f"{name}/", "--json")).json == {"items": [], "next": None}


async def test_ls_of_a_namespace_that_is_not_there_ends_in_3(casd: Run) -> None:
    ran = await casd("ls", "--namespace", "no-such-namespace")

    assert ran.code == 3
    assert "casd namespace create" in ran.err


async def test_ls_lists_blobs(casd: Run) -> None:
    blob = await put(casd, None, b"hello", "--filename", "hello.txt")

    text = await casd("ls", "--blobs")
    listed = await casd("ls", "--blobs", "--json", "--namespace", "default")

    [line] = [line for line in text.lines if blob["uuid"] in line]
    assert line.endswith("(no name; filename hello.txt)")
    assert blob in listed.json["items"]


async def test_the_environment_names_a_namespace(casd: Run) -> None:
    ran = await casd("ls", env={"CASD_NAMESPACE": "no-such-namespace"})

    assert ran.code == 3


async def test_stat_shows_a_blob_by_uuid(casd: Run) -> None:
    blob = await put(casd, None, b"hello", "--filename", "hello.txt")

    ran = await casd("stat", blob["uuid"])

    facts = dict(line.split(None, 1) for line in ran.lines if len(line.split(None, 1)) == 2)
    assert facts["uuid"] == blob["uuid"]
    assert facts["sha512"] == hashlib.sha512(b"hello").hexdigest()
    assert facts["sha256"] == hashlib.sha256(b"hello").hexdigest()
    assert facts["filename"] == "hello.txt"
    assert (await casd("stat", blob["uuid"], "--json")).json["sha512"] == blob["sha512"]


async def test_stat_shows_a_version_by_name(casd: Run, name: str) -> None:
    first = await put(casd, name, b"one")
    await put(casd, name, b"two")

    latest = (await casd("stat", name, "--json")).json
    numbered = (await casd("stat", name, "--version", "1", "--json")).json
    then = (await casd("stat", name, "--as-of", first["created_at"], "--json")).json
    shown = await casd("stat", name)

    assert (latest["version"], numbered["version"], then["version"]) == (2, 1, 1)
    assert f"name       {name}" in shown.lines
    assert "version    2" in shown.lines


async def test_stat_shows_every_blob_of_a_digest(casd: Run, name: str) -> None:
    content = name.encode()
    one = await put(casd, None, content)
    two = await put(casd, None, content)

    ran = await casd("stat", one["sha512"], "--json")

    assert {item["uuid"] for item in ran.json["items"]} == {one["uuid"], two["uuid"]}


async def test_stat_of_what_is_absent_ends_in_3(casd: Run, name: str) -> None:
    for what in (name, "00000000-0000-0000-0000-000000000000", "0" * 128):
        ran = await casd("stat", what)
        assert ran.code == 3, ran
        assert len(ran.err.splitlines()) == 1


async def test_stat_of_a_hidden_name_says_that_it_is_hidden(casd: Run, name: str) -> None:
    await put(casd, name, b"one")
    await casd("rm", name)

    ran = await casd("stat", name)

    assert ran.code == 3
    assert "is hidden since version 2" in ran.err


async def test_versions_lists_all_of_them_markers_included(casd: Run, name: str) -> None:
    first = await put(casd, name, b"one")
    await casd("rm", name)
    await put(casd, name, b"")

    text = await casd("versions", name)
    listed = await casd("versions", name, "--json")

    one, marker, three = (line.split() for line in text.lines)
    assert (one[:3], one[4]) == (["@1", "3", "B"], first["blob"]["uuid"])
    assert (marker[:2], marker[3]) == (["@2", "deleted"], "-")
    assert three[:3] == ["@3", "0", "B"]
    assert [item["deleted"] for item in listed.json["items"]] == [False, True, False]


async def test_versions_of_what_never_was_ends_in_3(casd: Run, name: str) -> None:
    assert (await casd("versions", name)).code == 3


async def test_stat_tells_which_version_is_absent(casd: Run, name: str) -> None:
    await put(casd, name, b"one")

    ran = await casd("stat", name, "--version", "9")

    assert ran.code == 3
    assert "no version 9" in ran.err


async def test_find_knows_every_checksum_and_files(casd: Run, folder: Path, name: str) -> None:
    content = name.encode()
    version = await put(casd, name, content)
    blob = version["blob"]
    (folder / "copy").write_bytes(content)

    for wanted in (
        blob["sha512"],
        blob["sha256"],
        blob["xxh3_128"],
        f"sha256:{blob['sha256'].upper()}",
        f"xxh3-128:{blob['xxh3_128']}",
        "copy",
    ):
        ran = await casd("find", wanted)
        assert ran.code == 0, ran.err
        assert blob["uuid"] in ran.out
        assert f"default/{name}@1" in ran.out


async def test_find_marks_names_that_are_hidden(casd: Run, name: str) -> None:
    version = await put(casd, name, name.encode())
    await put(casd, f"{name}/seen", name.encode())
    await casd("rm", name)

    found = await casd("find", version["blob"]["sha512"])
    stat = await casd("stat", version["blob"]["uuid"])

    assert f"default/{name}@1 (hidden)\n" in found.out
    assert f"default/{name}/seen@1\n" in found.out
    assert f"held by    default/{name}@1 (hidden)" in stat.lines


async def test_find_goes_through_all_pages(casd: Run, daemon: Any, name: str) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield name.encode()

    async with Client(daemon.url, daemon.token) as client:
        for _ in range(203):
            await client.put_blob(Source(content(), len(name.encode())))

    ran = await casd("find", hashlib.sha512(name.encode()).hexdigest())

    assert len(ran.lines) == 203


async def test_find_as_json_gives_the_blobs(casd: Run) -> None:
    blob = await put(casd, None, b"hello")

    assert blob["uuid"] in {item["uuid"] for item in (await casd("find", blob["sha256"], "--json")).json["items"]}


async def test_find_of_what_is_absent_ends_in_3(casd: Run, folder: Path) -> None:
    (folder / "unknown").write_bytes(b"nobody stored this")

    ran = await casd("find", "unknown")

    assert ran.code == 3
    assert hashlib.sha512(b"nobody stored this").hexdigest() in ran.err
