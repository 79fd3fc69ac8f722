"""Answers that a casd daemon never gives: from something else at the address, or spoiled on the way.

The server here is a script, because the faults are the point.
"""

import base64
import hashlib
from pathlib import Path
from uuid import UUID

import pytest
from aiohttp import web

from casd.client import (
    ConnectionLost,
    DigestDiffers,
    Download,
    Refused,
    UnexpectedAnswer,
    partial_path,
    save,
)
from casd.model import Digest
from tests.client.conftest import Answer, Script

DATA = bytes(range(256)) * 400
SHA512 = hashlib.sha512(DATA)
TAG = {"ETag": f'"{SHA512.hexdigest()}"'}
UUID_0 = UUID(int=0)


def whole(request: web.Request) -> web.Response:
    return web.Response(body=DATA, headers=TAG)


def broken_off(request: web.Request) -> web.StreamResponse:
    """Promises everything, gives the first thousand bytes."""
    return BrokenOff(headers={**TAG, "Content-Length": str(len(DATA))})


class BrokenOff(web.StreamResponse):
    async def write_eof(self, data: bytes = b"") -> None:
        await self.write(DATA[:1000])
        assert self._req is not None
        assert self._req.transport is not None
        self._req.transport.close()


def part(content_range: str, start: int = 1000) -> Answer:
    return lambda request: web.Response(status=206, body=DATA[start:], headers={**TAG, "Content-Range": content_range})


def refusal(status: int, **headers: str) -> Answer:
    return lambda request: web.Response(status=status, headers=headers)


async def read(download: Download) -> bytes:
    async with download:
        return b"".join([piece async for piece in download.pieces()])


async def test_the_exact_rest_is_taken(script: Script, asked: list[web.Request]) -> None:
    client = await script(broken_off, part(f"bytes 1000-{len(DATA) - 1}/{len(DATA)}"))

    assert await read(client.download_blob(UUID_0)) == DATA
    assert asked[1].headers["Range"] == "bytes=1000-"
    assert asked[1].headers["If-Range"] == TAG["ETag"]


@pytest.mark.parametrize(
    "content_range",
    [
        f"bytes 999-{len(DATA) - 1}/{len(DATA)}",
        f"bytes 1000-{len(DATA) - 2}/{len(DATA)}",
        f"bytes 1000-{len(DATA) - 1}/*",
        f"bytes 1000-{len(DATA)}/{len(DATA) + 1}",
        "",
    ],
)
async def test_a_part_that_was_not_asked_for_is_refused(script: Script, content_range: str) -> None:
    client = await script(broken_off, part(content_range))

    with pytest.raises(UnexpectedAnswer):
        await read(client.download_blob(UUID_0))


async def test_the_whole_in_place_of_a_part_adds_only_what_is_missing(script: Script) -> None:
    client = await script(broken_off, whole)

    assert await read(client.download_blob(UUID_0)) == DATA


async def test_other_content_in_place_of_a_part_ends_the_download(script: Script) -> None:
    client = await script(broken_off, lambda _: web.Response(body=DATA, headers={"ETag": f'"{"0" * 128}"'}))

    with pytest.raises(UnexpectedAnswer, match="changed"):
        await read(client.download_blob(UUID_0))


async def test_the_digest_is_taken_from_repr_digest_where_a_proxy_took_the_tag(script: Script) -> None:
    listed = f"sha-256=:AAAA:, sha-512=:{base64.b64encode(SHA512.digest()).decode()}:"
    client = await script(lambda _: web.Response(body=DATA, headers={"Repr-Digest": listed}))

    async with client.download_blob(UUID_0) as download:
        assert download.content.digest == Digest(SHA512.digest())


async def test_an_answer_without_a_digest_is_not_casds(script: Script) -> None:
    client = await script(lambda _: web.Response(body=DATA))

    with pytest.raises(UnexpectedAnswer, match="digest"):
        await read(client.download_blob(UUID_0))


async def test_another_payload_than_the_digest_asked_for_is_refused(script: Script) -> None:
    client = await script(whole)

    with pytest.raises(DigestDiffers):
        await read(client.download_payload(Digest(bytes(64))))


async def test_wrong_bytes_never_become_the_target(script: Script, tmp_path: Path) -> None:
    target = tmp_path / "target"
    wrong = DATA[:-1] + b"!"
    client = await script(lambda _: web.Response(body=wrong, headers=TAG))

    async with client.download_blob(UUID_0) as download:
        with pytest.raises(DigestDiffers):
            await save(download, target)

    assert not target.exists()
    assert not partial_path(target, Digest(SHA512.digest())).exists()


async def test_a_redirect_is_an_error_and_is_not_followed(script: Script, asked: list[web.Request]) -> None:
    client = await script(refusal(302, Location="/elsewhere"), whole)

    with pytest.raises(UnexpectedAnswer, match="/elsewhere"):
        await client.blob(UUID_0)

    assert len(asked) == 1


async def test_a_busy_daemon_is_asked_again_when_it_said(script: Script, waits: list[float]) -> None:
    client = await script(refusal(503, **{"Retry-After": "7"}), refusal(502), whole)

    assert await read(client.download_blob(UUID_0)) == DATA
    assert waits == [7.0, 0.0]


async def test_a_daemon_that_asks_for_an_hour_is_not_waited_for(script: Script, waits: list[float]) -> None:
    client = await script(refusal(503, **{"Retry-After": "3600"}))

    with pytest.raises(Refused):
        await read(client.download_blob(UUID_0))

    assert waits == []


async def test_a_damaged_payload_is_not_asked_for_again(script: Script, asked: list[web.Request]) -> None:
    problem = {"code": "payload-damaged", "detail": "it is in quarantine"}
    client = await script(lambda _: web.json_response(problem, status=500))

    with pytest.raises(Refused, match="quarantine"):
        await read(client.download_blob(UUID_0))

    assert len(asked) == 1


async def test_a_page_that_is_not_json_is_not_casds(script: Script) -> None:
    client = await script(lambda _: web.Response(text="<html>welcome to the wifi</html>"))

    with pytest.raises(UnexpectedAnswer, match="JSON"):
        await client.blob(UUID_0)


@pytest.mark.parametrize("body", ["[]", '{"uuid": "x"}', "null", '{"items": 3}'])
async def test_json_of_another_shape_is_not_casds(script: Script, body: str) -> None:
    def answer(request: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    client = await script(answer, answer)

    with pytest.raises(UnexpectedAnswer):
        await client.blob(UUID_0)
    with pytest.raises(UnexpectedAnswer):
        await client.checksums("sha512", "00")


async def test_a_listing_that_repeats_its_cursor_ends(script: Script) -> None:
    again: Answer = lambda _: web.json_response({"items": [], "next": "x"})  # noqa: E731
    client = await script(again, again, again)

    with pytest.raises(UnexpectedAnswer, match="does not go on"):
        [blob async for blob in client.blobs()]


async def test_an_error_without_a_problem_tells_its_status(script: Script) -> None:
    client = await script(refusal(418))

    with pytest.raises(Refused, match="418") as caught:
        await client.blob(UUID_0)

    assert caught.value.code == "http-418"


async def test_a_server_that_hangs_up_is_a_lost_connection(script: Script) -> None:
    def hang_up(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    client = await script(hang_up, hang_up)  # aiohttp asks an idempotent request twice

    with pytest.raises(ConnectionLost):
        await client.blob(UUID_0)
