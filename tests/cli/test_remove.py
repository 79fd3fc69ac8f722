"""`casd rm` and `casd undelete` against the real daemon."""

from typing import Any

from casd.client import Client
from tests.cli.conftest import Run
from tests.cli.test_browse import put


async def test_rm_removes_a_blob(casd: Run) -> None:
    blob = await put(casd, None, b"hello")

    assert (await casd("rm", blob["uuid"])).code == 0
    assert (await casd("stat", blob["uuid"])).code == 3
    assert (await casd("rm", blob["uuid"])).code == 3


async def test_a_hidden_name_comes_back(casd: Run, name: str) -> None:
    await put(casd, name, b"hello")

    assert (await casd("rm", name)).code == 0
    assert (await casd("get", name, "-")).code == 3
    assert (await casd("rm", name)).code == 3
    back = await casd("undelete", name)

    assert back.code == 0
    assert back.out == f"{name} is back, at version 1\n"
    assert (await casd("get", name, "-")).out == "hello"


async def test_a_name_hidden_twice_comes_back_at_once(casd: Run, name: str) -> None:
    await put(casd, name, b"one")
    await casd("rm", name)
    await put(casd, name, b"three")
    await casd("rm", name)
    await casd("rm", name, "--version", "3")

    back = await casd("undelete", name)

    assert back.code == 0
    assert (await casd("get", name, "-")).out == "one"


async def test_undelete_leaves_older_markers_alone(casd: Run, daemon: Any, name: str) -> None:
    await put(casd, name, b"one")
    await casd("rm", name)
    await put(casd, name, b"three")
    await casd("rm", name)

    await casd("undelete", name)

    async with Client(daemon.url, daemon.token) as client:
        left = [version.number async for version in client.versions("default", name)]
    assert sorted(left) == [1, 2, 3]


async def test_undelete_of_what_is_not_hidden_says_so(casd: Run, name: str) -> None:
    await put(casd, name, b"hello")

    ran = await casd("undelete", name)

    assert ran.code == 0
    assert ran.out == f"{name} is not hidden; its latest version is 1\n"


async def test_undelete_of_what_never_was_ends_in_3(casd: Run, name: str) -> None:
    assert (await casd("undelete", name)).code == 3


async def test_rm_removes_one_version(casd: Run, name: str) -> None:
    await put(casd, name, b"one")
    await put(casd, name, b"two")

    assert (await casd("rm", name, "--version", "2")).code == 0
    assert (await casd("get", name, "-")).out == "one"


async def test_a_purged_name_does_not_come_back(casd: Run, name: str) -> None:
    await put(casd, name, b"hello")

    assert (await casd("rm", name, "--purge")).code == 0
    assert (await casd("get", name, "-")).code == 3
    assert (await casd("undelete", name)).code == 3


async def test_rm_as_json_tells_what_was_removed(casd: Run, name: str) -> None:
    await put(casd, name, b"hello")

    assert (await casd("rm", name, "--json")).json == {"removed": name, "version": None, "purged": False}
