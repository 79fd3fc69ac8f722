"""`casd rm` and `casd undelete` against the real daemon."""

import asyncio
from typing import Any

from casd.client import Client
from tests.cli.conftest import RunInside
from tests.cli.test_browse import put


def test_rm_removes_a_blob(inside: RunInside) -> None:
    blob = put(inside, None, b"hello")

    assert inside("rm", blob["uuid"]).code == 0
    assert inside("stat", blob["uuid"]).code == 3
    assert inside("rm", blob["uuid"]).code == 3


def test_rm_of_a_blob_that_versions_hold_names_what_tells_of_them(inside: RunInside, name: str) -> None:
    blob = put(inside, name, b"hello")["blob"]

    refused = inside("rm", blob["uuid"])

    assert refused.code == 1
    assert f"`casd why {blob['uuid']}`" in refused.err
    assert name in inside("why", blob["uuid"]).out


def test_a_hidden_name_comes_back(inside: RunInside, name: str) -> None:
    put(inside, name, b"hello")

    assert inside("rm", name).code == 0
    assert inside("get", name, "-").code == 3
    assert inside("rm", name).code == 3
    back = inside("undelete", name)

    assert back.code == 0
    assert back.out == f"{name} is back, at version 1\n"
    assert inside("get", name, "-").out == "hello"


def test_a_name_hidden_twice_comes_back_at_once(inside: RunInside, name: str) -> None:
    put(inside, name, b"one")
    inside("rm", name)
    put(inside, name, b"three")
    inside("rm", name)
    inside("rm", name, "--version", "3")

    back = inside("undelete", name)

    assert back.code == 0
    assert inside("get", name, "-").out == "one"


async def test_undelete_leaves_older_markers_alone(inside: RunInside, daemon: Any, name: str) -> None:
    await asyncio.to_thread(put, inside, name, b"one")
    await asyncio.to_thread(inside, "rm", name)
    await asyncio.to_thread(put, inside, name, b"three")
    await asyncio.to_thread(inside, "rm", name)

    await asyncio.to_thread(inside, "undelete", name)

    async with Client(daemon.url, daemon.token) as client:
        left = [version.number async for version in client.versions("default", name)]
    assert sorted(left) == [1, 2, 3]


def test_undelete_of_what_is_not_hidden_says_so(inside: RunInside, name: str) -> None:
    put(inside, name, b"hello")

    ran = inside("undelete", name)

    assert ran.code == 0
    assert ran.out == f"{name} is not hidden; its latest version is 1\n"


def test_undelete_of_what_never_was_ends_in_3(inside: RunInside, name: str) -> None:
    assert inside("undelete", name).code == 3


def test_rm_removes_one_version(inside: RunInside, name: str) -> None:
    put(inside, name, b"one")
    put(inside, name, b"two")

    assert inside("rm", name, "--version", "2").code == 0
    assert inside("get", name, "-").out == "one"


def test_a_purged_name_does_not_come_back(inside: RunInside, name: str) -> None:
    put(inside, name, b"hello")

    assert inside("rm", name, "--purge").code == 0
    assert inside("get", name, "-").code == 3
    assert inside("undelete", name).code == 3


def test_rm_as_json_tells_what_was_removed(inside: RunInside, name: str) -> None:
    put(inside, name, b"hello")

    assert inside("rm", name, "--json").json == {"removed": name, "version": None, "purged": False}
