"""What the client asks of accounts, metadata, signing and operations, and what it makes of the answers.

The server is a script: most of it is about what two clients do at once, and about daemons of other versions.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web

from casd.client import Client, ConnectionLost, Refused, UnexpectedAnswer
from casd.errors import InvalidInput
from tests.client.conftest import Answer, Script

UUID_7 = UUID(int=7)
AT = "2026-11-21T08:00:00.000000Z"
NAME = {
    "uuid": str(UUID_7),
    "namespace": "default",
    "name": "a",
    "metadata": {},
    "shared": False,
    "protected": False,
    "keep_versions": None,
    "created_at": AT,
    "hidden_at": None,
}
STATUS = {
    "version": "0.1.0",
    "started_at": AT,
    "uptime_s": 12.3,
    "totals": {"blobs": 1},
    "garbage": {"payloads": 0, "bytes": 0},
    "disk": {"free_bytes": 1, "reserved_bytes": 0},
    "uploads": {"open": 0},
    "queues": {"requests": 1},
    "upkeep": {"expire": None, "collect-garbage": {"started_at": AT, "ended_at": AT, "report": None, "error": "full"}},
}


def says(value: Any, status: int = 200, **headers: str) -> Answer:
    return lambda request: web.json_response(value, status=status, headers=headers)


def refuses(status: int, code: str) -> Answer:
    return says({"code": code, "detail": "no"}, status)


def name_with(metadata: dict[str, Any], tag: str) -> Answer:
    return says(NAME | {"metadata": metadata}, ETag=tag)


class Bodies:
    """Wraps answers so that the JSON bodies that came with the requests are kept."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __call__(self, answer: Answer) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def respond(request: web.Request) -> web.StreamResponse:
            self.seen.append(await request.json())
            given = answer(request)
            return await given if isinstance(given, Awaitable) else given

        return respond


# -- metadata of names --------------------------------------------------------------------------------------------


async def test_a_name_changed_meanwhile_is_read_again(script: Script, asked: list[web.Request]) -> None:
    bodies = Bodies()
    client = await script(
        name_with({"old": 1}, '"1"'),
        bodies(refuses(412, "precondition-failed")),
        name_with({"old": 1, "theirs": 2}, '"2"'),
        bodies(says(NAME)),
    )

    await client.name_metadata("default", "a").set("mine", 3)

    assert [request.headers.get("If-Match") for request in asked] == [None, '"1"', None, '"2"']
    assert bodies.seen[-1] == {"metadata": {"old": 1, "theirs": 2, "mine": 3}}


async def test_a_key_that_somebody_else_removed_is_not_found(script: Script) -> None:
    client = await script(name_with({"key": 1}, '"1"'), refuses(412, "precondition-failed"), name_with({}, '"2"'))

    with pytest.raises(Refused) as caught:
        await client.name_metadata("default", "a").remove("key")

    assert caught.value.code == "metadata-key-not-found"


async def test_a_name_that_never_stands_still_is_given_up(script: Script, asked: list[web.Request]) -> None:
    client = await script(*[name_with({}, '"1"'), refuses(412, "precondition-failed")] * 100)

    with pytest.raises(Refused, match="no"):
        await client.name_metadata("default", "a").set("key", 1)

    assert 4 < len(asked) < 200


@pytest.mark.parametrize("value", [float("inf"), float("nan"), "\udcff"])
async def test_what_json_cannot_say_is_not_sent(script: Script, asked: list[web.Request], value: Any) -> None:
    client = await script()

    with pytest.raises(InvalidInput):
        await client.blob_metadata(UUID_7).set("key", value)

    assert asked == []


@pytest.mark.parametrize("answer", [[], {}, {"value_": 1}, None])
async def test_metadata_of_another_shape_is_not_casds(script: Script, answer: Any) -> None:
    client = await script(says(answer))

    with pytest.raises(UnexpectedAnswer):
        await client.blob_metadata(UUID_7).get("key")


# -- whose token this is ------------------------------------------------------------------------------------------


async def test_home_is_the_tokens_first_namespace(script: Script, asked: list[web.Request]) -> None:
    client = await script(says({"id": str(UUID_7), "name": "t", "role": "writer", "namespaces": ["b", "a"]}))

    assert await client.accounts.home() == "b"
    assert asked[0].path == "/v1/whoami"


async def test_home_on_a_daemon_that_does_not_know_the_question_is_default(script: Script) -> None:
    client = await script(refuses(404, "no-such-path"))

    assert await client.accounts.home() == "default"


async def test_home_without_a_token_is_default_and_needs_no_answer(aiohttp_server: Any) -> None:
    server = await aiohttp_server(web.Application())

    async with Client(str(server.make_url("/"))) as client:
        assert await client.accounts.home() == "default"


@pytest.mark.parametrize("namespaces", [[], ["../other"], None])
async def test_a_home_that_cannot_be_is_not_casds(script: Script, namespaces: Any) -> None:
    client = await script(says({"id": str(UUID_7), "name": "t", "role": "writer", "namespaces": namespaces}))

    with pytest.raises(UnexpectedAnswer):
        await client.accounts.home()


async def test_a_secret_is_not_in_what_is_logged(script: Script) -> None:
    token = {"id": str(UUID_7), "name": "t", "role": "writer", "namespaces": ["a"], "created_at": AT}
    client = await script(says(token | {"expires_at": None, "revoked_at": None, "token": "casd_secret"}, 201))

    made = await client.accounts.create_token("t", "writer", ["a"])

    assert made.secret == "casd_secret"
    assert "casd_secret" not in repr(made)


# -- signing and operations ---------------------------------------------------------------------------------------


async def test_a_name_is_signed_as_it_stands_in_a_url(script: Script) -> None:
    bodies = Bodies()
    client = await script(bodies(says({"url": "http://host/x?casd-signature=s", "expires_at": AT})))

    signed = await client.signing.name("default", "50% & ü", version=3, expires_in_s=60)

    assert bodies.seen == [{"path": "/v1/names/default/50%25%20%26%20%C3%BC?version=3", "expires_in": 60}]
    assert signed.url == "http://host/x?casd-signature=s"
    assert "signature" not in repr(signed)


async def test_a_status_is_parsed_in_groups(script: Script) -> None:
    client = await script(says(STATUS))

    status = await client.operations.status()

    assert status.totals == {"blobs": 1}
    assert status.upkeep["expire"] is None
    last = status.upkeep["collect-garbage"]
    assert last is not None
    assert last.error == "full"
    assert json.loads(json.dumps(status.json)) == STATUS


@pytest.mark.parametrize("missing", sorted(STATUS))
async def test_a_status_without_a_group_is_not_casds(script: Script, missing: str) -> None:
    client = await script(says({key: value for key, value in STATUS.items() if key != missing}))

    with pytest.raises(UnexpectedAnswer):
        await client.operations.status()


async def test_a_run_of_upkeep_may_take_longer_than_a_line_may_be_silent(aiohttp_server: Any) -> None:
    has_begun, has_ended, never = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def expire(request: web.Request) -> web.Response:
        has_begun.set()
        await has_ended.wait()
        return web.json_response({"blobs": 1, "names": 2, "versions": 3, "uploads": 4, "tokens": 5})

    async def status(request: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    app = web.Application()
    app.add_routes([web.post("/v1/upkeep/expire", expire), web.get("/v1/status", status)])
    server = await aiohttp_server(app)

    async with Client(str(server.make_url("/")), idle_timeout_s=0.1) as client:
        run = asyncio.create_task(client.operations.expire())
        await has_begun.wait()
        with pytest.raises(ConnectionLost):  # another line has been silent for too long, and so has that of the run
            await client.operations.status()
        has_ended.set()
        expired = await run
    never.set()

    assert (expired.blobs, expired.names, expired.versions) == (1, 2, 3)
    assert (expired.uploads, expired.tokens) == (4, 5)
