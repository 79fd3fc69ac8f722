"""Downloads from the real daemon, over connections that are cut and stalled."""

import asyncio
import re
from typing import Any

import pytest

from casd.client import Blob, Client, ConnectionLost, Download, Refused, Unreachable
from casd.client.errors import ClientError
from casd.model import Digest
from tests.client.conftest import Connect, Payload
from tests.proxy import Fault, Proxy

CUT = Fault("cut", after=1_000_000)
DEAD = Fault("cut", after=0)


async def read(download: Download) -> bytes:
    async with download:
        return b"".join([piece async for piece in download.pieces()])


_GET = re.compile(rb"GET (\S+) HTTP/1\.1\r\n(.*?)\r\n\r\n", re.DOTALL)
_RANGE = re.compile(rb"^Range: bytes=(\d+)-(\d*)\r?$", re.MULTILINE)


def ranges(proxy: Proxy) -> list[tuple[int, int | None]]:
    """What was asked for in turn, of bytes: where each range begins and ends; (0, None) is everything."""
    found = []
    for seen in proxy.seen:
        for path, headers in _GET.findall(bytes(seen.requests)):
            if not path.endswith(b"/whoami") and b"/blocks" not in path:
                part = _RANGE.search(headers)
                found.append((int(part[1]), int(part[2]) + 1 if part[2] else None) if part else (0, None))
    return found


def starts(proxy: Proxy) -> list[int]:
    """Where what was asked for in turn begins."""
    return [start for start, _ in ranges(proxy)]


async def test_a_payload_arrives_by_uuid_and_by_digest(client: Client, blob: Blob, payload: Payload) -> None:
    assert await read(client.download_blob(blob.uuid)) == payload.data
    assert await read(client.download_payload(payload.digest)) == payload.data


async def test_an_empty_payload_arrives(client: Client) -> None:
    blob = await client.put_blob(Payload(b"").source())

    assert await read(client.download_blob(blob.uuid)) == b""


async def test_content_tells_what_is_fetched(client: Client, name: str, payload: Payload) -> None:
    version = await client.put_name("default", name, payload.source(), content_type="text/plain")

    async with client.download_name("default", name) as download:
        content = download.content

    assert (content.digest, content.size) == (payload.digest, len(payload.data))
    assert (content.content_type, content.version) == ("text/plain", version.number)


async def test_a_cut_download_resumes_where_it_stopped(
    daemon: Any, connect: Connect, blob: Blob, payload: Payload
) -> None:
    async with Proxy(daemon.url, CUT, CUT) as proxy, connect(proxy.url) as client:
        data = await read(client.download_blob(blob.uuid))

    assert data == payload.data
    first, second, third = starts(proxy)
    assert first == 0 < second <= CUT.after < third <= 2 * CUT.after


async def test_a_stalled_download_is_given_up_and_resumed(
    daemon: Any, connect: Connect, blob: Blob, payload: Payload
) -> None:
    stall = Fault("stall", after=1_000_000)

    async with Proxy(daemon.url, stall) as proxy, connect(proxy.url, idle_timeout_s=0.3) as client:
        data = await read(client.download_blob(blob.uuid))

    assert data == payload.data
    await proxy.stalled()
    assert 0 < starts(proxy)[1] <= stall.after


async def test_what_came_before_a_cut_reaches_a_busy_reader(
    daemon: Any, connect: Connect, blob: Blob, payload: Payload
) -> None:
    async with (
        Proxy(daemon.url, CUT) as proxy,
        connect(proxy.url) as client,
        client.download_blob(blob.uuid) as download,
    ):
        await proxy.ended()
        for _ in range(100):  # the reader is busy, while its loop takes in what came, and the end
            await asyncio.sleep(0)
        data = b"".join([piece async for piece in download.pieces()])

    assert data == payload.data
    assert CUT.after - 10_000 < starts(proxy)[1] < CUT.after


async def test_progress_forgives_earlier_failures(daemon: Any, connect: Connect, blob: Blob, payload: Payload) -> None:
    many = [Fault("cut", after=300_000)] * 9  # more than the four attempts that a client of these tests has

    async with Proxy(daemon.url, *many) as proxy, connect(proxy.url) as client:
        assert await read(client.download_blob(blob.uuid)) == payload.data


async def test_failures_without_progress_end_a_download(
    daemon: Any, connect: Connect, blob: Blob, pauses: list[float]
) -> None:
    async with Proxy(daemon.url, CUT, *[DEAD] * 20) as proxy, connect(proxy.url) as client:
        with pytest.raises(ConnectionLost):
            await read(client.download_blob(blob.uuid))

    assert pauses == [0.5, 1.0, 2.0]


async def test_each_failure_that_is_tried_again_is_told(daemon: Any, connect: Connect, blob: Blob) -> None:
    told: list[tuple[ClientError, float]] = []

    async with Proxy(daemon.url, CUT) as proxy, connect(proxy.url) as client:
        await read(client.download_blob(blob.uuid, notice=lambda error, delay_s: told.append((error, delay_s))))

    [(error, delay_s)] = told
    assert isinstance(error, ConnectionLost)
    assert delay_s == 0.5


async def test_a_name_published_meanwhile_is_not_mixed_in(
    daemon: Any, connect: Connect, client: Client, name: str, payload: Payload
) -> None:
    other = Payload(payload.data[::-1])
    version = await client.put_name("default", name, payload.source())
    data = b""

    async with (
        Proxy(daemon.url, CUT) as proxy,
        connect(proxy.url) as cut_off,
        cut_off.download_name("default", name) as download,
    ):
        async for piece in download.pieces():
            if not data:
                await client.put_name("default", name, other.source())
            data += piece

    assert data == payload.data
    assert b"version=%d " % version.number in proxy.seen[1].requests


async def test_what_is_absent_is_not_tried_again(client: Client, blob: Blob, pauses: list[float]) -> None:
    with pytest.raises(Refused) as caught:
        await read(client.download_payload(Digest(bytes(64))))

    assert caught.value.status == 404
    assert caught.value.code == "payload-not-found"
    assert pauses == []


async def test_a_daemon_that_is_not_there_is_told_at_once(connect: Connect, blob: Blob, pauses: list[float]) -> None:
    async with Proxy("http://127.0.0.1:1") as gone:
        url = gone.url

    async with connect(url) as client:
        with pytest.raises(Unreachable):
            await read(client.download_blob(blob.uuid))

    assert pauses == []


async def test_a_daemon_that_goes_away_later_is_waited_for(
    daemon: Any, connect: Connect, blob: Blob, payload: Payload, pauses: list[float]
) -> None:
    async with Proxy(daemon.url, CUT, DEAD, DEAD, DEAD) as proxy, connect(proxy.url) as client:
        data = await read(client.download_blob(blob.uuid))

    assert data == payload.data
    assert len(pauses) >= 2
