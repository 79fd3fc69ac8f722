"""How `casd` finds its daemon, which token it sends where, and how it ends when that fails."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web

from tests.cli.conftest import Run, RunInside
from tests.proxy import Proxy


@pytest.fixture
def heads() -> list[Any]:
    """The headers of the requests that came to `elsewhere`."""
    return []


@pytest.fixture
async def elsewhere(aiohttp_server: Any, heads: list[Any]) -> str:
    """The address of a server that is not ours; it redirects to itself."""

    async def redirect(request: web.Request) -> web.Response:
        heads.append(request.headers)
        return web.Response(status=307, headers={"Location": "/v1/again\x1b[31m"[:9]})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", redirect)
    server = await aiohttp_server(app)
    return str(server.make_url("/"))


async def test_the_local_daemon_is_found_by_its_data_folder(casd: Run, daemon: Any) -> None:
    by_option = await casd("--data", str(daemon.data), "ls", env={"CASD_STORAGE__DATA": "elsewhere"})
    by_environment = await casd("ls", env={"CASD_STORAGE__DATA": str(daemon.data)})

    assert (by_option.code, by_environment.code) == (0, 0)


async def test_without_a_daemon_the_message_says_what_to_do(casd: Run, folder: Path) -> None:
    ran = await casd("--data", str(folder), "ls")

    assert ran.code == 5
    assert "casd serve" in ran.err
    assert len(ran.err.splitlines()) == 1


async def test_a_daemon_that_is_gone_ends_in_5(casd: Run) -> None:
    async with Proxy("http://127.0.0.1:1") as gone:
        url = gone.url

    ran = await casd("ls", env={"CASD_URL": url})

    assert ran.code == 5
    assert url in ran.err
    assert len(ran.err.splitlines()) == 2


async def test_a_token_that_is_none_ends_in_4(casd: Run, daemon: Any) -> None:
    for environment in ({"CASD_URL": daemon.url}, {"CASD_URL": daemon.url, "CASD_TOKEN": "wrong"}):
        ran = await casd("ls", env=environment)
        assert ran.code == 4
        assert "CASD_TOKEN" in ran.err


async def test_a_refused_upload_ends_in_4(casd: Run, daemon: Any) -> None:
    ran = await casd("put", "-", stdin=bytes(1_000_000), env={"CASD_URL": daemon.url, "CASD_TOKEN": "wrong"})

    assert ran.code == 4


async def test_the_admin_token_goes_to_the_local_daemon_only(casd: Run, elsewhere: str, heads: list[Any]) -> None:
    by_environment = await casd("ls", env={"CASD_URL": elsewhere})
    by_option = await casd("--url", elsewhere, "ls")

    assert (by_environment.code, by_option.code) == (1, 1)
    assert len(heads) == 2
    assert not any("Authorization" in head for head in heads)


@pytest.mark.parametrize(
    "arguments",
    [
        ["versions", "a"],
        ["meta", "ls", "a"],
        ["meta", "set", "a", "key", "value"],
        ["meta", "rm", str(UUID(int=0)), "key"],
        ["name", "set", "a", "--shared"],
        ["token", "create", "t", "--role", "admin", "--namespace", "default"],
        ["token", "ls"],
        ["namespace", "create", "n"],
        ["sign", "a"],
        ["signing-key", "rotate"],
        ["status"],
        ["gc"],
    ],
    ids=" ".join,
)
async def test_no_command_sends_the_admin_token_elsewhere(
    inside: RunInside, elsewhere: str, heads: list[Any], arguments: list[str]
) -> None:
    ran = await asyncio.to_thread(inside, *arguments, env={"CASD_URL": elsewhere})

    assert ran.code == 1
    assert "redirect" in ran.err
    assert ["Authorization" in head for head in heads] == [False]


async def test_a_redirect_is_not_followed(casd: Run, elsewhere: str, heads: list[Any]) -> None:
    ran = await casd("ls", env={"CASD_URL": elsewhere, "CASD_TOKEN": "mine"})

    assert ran.code == 1
    assert "redirect" in ran.err
    assert [head["Authorization"] for head in heads] == ["Bearer mine"]


async def test_a_token_in_the_environment_wins_over_the_admin_token(casd: Run) -> None:
    assert (await casd("ls", env={"CASD_TOKEN": "wrong"})).code == 4


async def test_the_token_of_another_daemon_stays_away_from_the_local_one(
    casd: Run, daemon: Any, elsewhere: str
) -> None:
    ran = await casd("--data", str(daemon.data), "ls", env={"CASD_URL": elsewhere, "CASD_TOKEN": "of-elsewhere"})

    assert ran.code == 0


async def test_wrong_bytes_on_standard_output_end_in_6(casd: Run, aiohttp_server: Any) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"wrong", headers={"ETag": f'"{"0" * 128}"'})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    server = await aiohttp_server(app)

    ran = await casd("get", "a/name", "-", env={"CASD_URL": str(server.make_url("/"))})

    assert ran.code == 6
    assert "SHA-512" in ran.err


async def test_what_a_daemon_says_cannot_drive_the_terminal(casd: Run, aiohttp_server: Any) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"code": "x", "detail": "red \x1b[31m\nand more"}, status=400)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    server = await aiohttp_server(app)

    ran = await casd("ls", env={"CASD_URL": str(server.make_url("/"))})

    assert ran.err == "casd: red \\x1b[31m\\nand more\n"
