"""Payloads that are gone, short or damaged: a proper error before the first byte, a cut connection after it."""

import asyncio
import hashlib
import http.client
import logging
import os
import random
import socket
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from aiohttp import web

from casd.dialects.native import NATIVE
from casd.model import Blob
from casd.web.dialect import Access, Dialect, Route, bearer
from casd.web.errors import problem
from casd.web.send import IMMUTABLE, Representation, send
from tests.conftest import Daemon
from tests.payloads.local_backend import path_of
from tests.web.expected import etag_of
from tests.web.house import House, open_house, run_on
from tests.web.wire import Answer, Raw, Wire, has_payload, head, open_descriptors, payload_file, raw, stored, wait_until

SIZES = {"small": 1000, "medium": 70 << 10, "large": 5 << 20}


@pytest.fixture(params=SIZES)
def data(request: pytest.FixtureRequest) -> bytes:
    """Bytes that no other test has."""
    return uuid4().bytes + bytes(SIZES[request.param] - 16)


def urls_of(wire: Wire, data: bytes) -> list[str]:
    name, blob = f"/v1/names/default/{uuid4()}", stored(wire, data).json
    assert wire.ask("PUT", name, data).status == 201
    return [f"/v1/blobs/{blob['uuid']}/data", f"/v1/payloads/sha512/{blob['sha512']}", name, f"{name}?version=1"]


READS = [{}, {"Range": "bytes=1-2"}, {"Range": "bytes=0-0,2-2"}]


# -- before the first byte --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", READS)
def test_a_missing_payload_is_a_500_of_its_own(
    shared_daemon: Daemon, wire: Wire, data: bytes, headers: dict[str, str]
) -> None:
    urls = urls_of(wire, data)
    os.unlink(payload_file(shared_daemon, data))

    answers = [wire.ask("GET", url, headers=headers) for url in urls]

    assert [answer.status for answer in answers] == [500] * 4
    assert [answer.code for answer in answers] == ["payload-missing"] + ["payload-damaged"] * 3  # it is known by then
    assert {answer["ETag"] for answer in answers} == {None}


@pytest.mark.parametrize("headers", READS)
@pytest.mark.parametrize("change", [-1, 1, -999])
def test_a_payload_of_the_wrong_size_is_a_500_of_its_own(
    shared_daemon: Daemon, wire: Wire, data: bytes, headers: dict[str, str], change: int
) -> None:
    urls = urls_of(wire, data)
    os.truncate(payload_file(shared_daemon, data), len(data) + change)

    answers = [wire.ask("GET", url, headers=headers) for url in urls]

    assert [(answer.status, answer.code) for answer in answers] == [(500, "payload-damaged")] * 4


def test_storing_the_bytes_again_heals_them(shared_daemon: Daemon, wire: Wire, data: bytes) -> None:
    urls = urls_of(wire, data)
    os.truncate(payload_file(shared_daemon, data), 7)

    stored(wire, data)

    assert {wire.ask("GET", url).body for url in urls} == {data}


@pytest.mark.parametrize(
    ("method", "status", "header"),
    [
        ("GET", 304, lambda data: ("If-None-Match", etag_of(data))),
        ("HEAD", 304, lambda data: ("If-None-Match", etag_of(data))),
        ("GET", 412, lambda data: ("If-Match", '"x"')),
        ("GET", 416, lambda data: ("Range", f"bytes={len(data)}-")),
        ("HEAD", 200, lambda data: ("Accept", "*/*")),
    ],
)
def test_what_needs_no_bytes_does_not_look_at_the_disk(
    shared_daemon: Daemon,
    wire: Wire,
    data: bytes,
    method: str,
    status: int,
    header: Callable[[bytes], tuple[str, str]],
) -> None:
    urls = urls_of(wire, data)
    os.unlink(payload_file(shared_daemon, data))

    statuses = [wire.ask(method, url, headers=dict([header(data)])).status for url in urls]

    assert statuses == [status] * 4


# -- after the first byte -------------------------------------------------------------------------------------------

HUGE = 12 << 20  # more than the socket buffers of both sides hold


@pytest.mark.parametrize("header", ["", "Range: bytes=5-", "Range: bytes=0-9,20-12582000"])
def test_a_file_that_shrinks_while_it_is_sent_cuts_the_connection(shared_daemon: Daemon, header: str) -> None:
    data = random.randbytes(HUGE)
    with Wire(shared_daemon) as wire:
        url = f"/v1/blobs/{stored(wire, data).json['uuid']}/data"
    with raw(shared_daemon, receive_buffer_bytes=4096) as connection:
        connection.send(head(shared_daemon, f"GET {url}", *([header] if header else [])))
        status, headers = connection.head()

        os.truncate(payload_file(shared_daemon, data), 1000)
        body = connection.rest()

    assert status in (200, 206)
    assert len(body) < int(headers["Content-Length"])
    if not header:
        assert data.startswith(body[:1000])
    wait_until(lambda: not has_payload(shared_daemon, data), "the file is in quarantine")
    wait_until(lambda: "transfer failed" in shared_daemon.log, "the daemon says that a transfer failed")
    assert "Traceback" not in shared_daemon.log


def test_a_client_that_hangs_up_leaves_no_descriptor_open(daemon: Daemon) -> None:
    data = random.randbytes(HUGE)
    file = payload_file(daemon, data)
    with Wire(daemon) as wire:
        url = f"/v1/blobs/{stored(wire, data).json['uuid']}/data"
    before = len(os.listdir(f"/proc/{daemon.pid}/fd"))
    for range_header in ("Range: bytes=0-", "Range: bytes=0-9,20-", "Accept: */*"):
        with raw(daemon, receive_buffer_bytes=4096) as connection:
            connection.send(head(daemon, f"GET {url}", range_header))
            connection.head()
            assert open_descriptors(daemon, file) == 1

        wait_until(lambda: open_descriptors(daemon, file) == 0, "the payload is closed")

    wait_until(lambda: len(os.listdir(f"/proc/{daemon.pid}/fd")) <= before, "every socket is closed")
    assert "Traceback" not in daemon.log
    assert "ERROR" not in daemon.log


def test_every_connection_that_is_dropped_at_any_point_is_forgotten(daemon: Daemon) -> None:
    data = random.randbytes(1 << 20)
    with Wire(daemon) as wire:
        url = f"/v1/blobs/{stored(wire, data).json['uuid']}/data"
    text = head(daemon, f"GET {url}")
    before = len(os.listdir(f"/proc/{daemon.pid}/fd"))

    for cut in (0, 1, 20, len(text) - 1, len(text)):
        with raw(daemon) as connection:
            connection.send(text[:cut])
    wait_until(lambda: len(os.listdir(f"/proc/{daemon.pid}/fd")) <= before, "every socket is closed")

    assert "Traceback" not in daemon.log


# -- a route of the test's own: chunked framing ------------------------------------------------------------------------


class Shop:
    """A dialect with one route, `/shop`, that sends one blob as it is told."""

    def __init__(self) -> None:
        self.blob: Blob | None = None
        self.is_chunked = False

    async def serve(self, request: web.Request) -> web.StreamResponse:
        assert self.blob is not None
        return await send(
            request, Representation(self.blob, self.blob.created_at, IMMUTABLE, None, is_chunked=self.is_chunked)
        )

    @property
    def dialect(self) -> Dialect:
        route = Route("GET", "/shop", self.serve, Access.OPEN)
        return Dialect("shop", ("/shop",), (route,), bearer, problem)


def fetched(port: int, headers: dict[str, str] | None = None, method: str = "GET") -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, "/shop", headers=headers or {})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def opened(port: int, receive_buffer_bytes: int = 4096) -> Raw:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    sock.connect(("127.0.0.1", port))
    return Raw(sock)


@pytest.mark.parametrize("size", [0, 5, 70 << 10, (16 << 20) + 5])
def test_a_chunked_body_is_whole(tmp_path: Path, loop_name: str, size: int) -> None:
    data = random.randbytes(size)

    async def scenario() -> list[Answer]:
        shop = Shop()
        async with open_house(tmp_path / "house", dialects=(NATIVE, shop.dialect)) as house:
            shop.blob, shop.is_chunked = await house.add(data), True
            ranged = {"Range": "bytes=1-3"}
            return [
                await asyncio.to_thread(fetched, house.port),
                await asyncio.to_thread(fetched, house.port, ranged),
                await asyncio.to_thread(fetched, house.port, None, "HEAD"),
            ]

    whole, part, bare = run_on(loop_name, scenario())

    assert (whole["Transfer-Encoding"], whole["Content-Length"]) == ("chunked", None)
    assert whole.body == data
    assert part.body == (data[1:4] if data else b"")
    assert (bare["Content-Length"], bare.body) == (str(size), b"")


def test_a_chunked_body_that_is_cut_never_looks_complete(
    tmp_path: Path, loop_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = random.randbytes(HUGE)
    file = tmp_path / "house" / "payloads"

    def truncated(house: House) -> bytes:
        connection = opened(house.port)
        connection.send("GET /shop HTTP/1.1\r\nHost: x\r\n\r\n")
        response = http.client.HTTPResponse(connection.sock)
        response.begin()
        assert response.chunked
        (path,) = [path for path in file.rglob("*") if path.is_file()]
        os.truncate(path, 1 << 20)
        try:
            with pytest.raises(http.client.IncompleteRead) as caught:
                response.read()
        finally:
            response.close()
            connection.close()
        return caught.value.partial

    async def scenario() -> bytes:
        shop = Shop()
        async with open_house(tmp_path / "house", dialects=(NATIVE, shop.dialect)) as house:
            shop.blob, shop.is_chunked = await house.add(data), True
            return await asyncio.to_thread(truncated, house)

    with caplog.at_level(logging.INFO):
        partial = run_on(loop_name, scenario())

    assert len(partial) < len(data)
    assert "transfer failed" in caplog.text


# -- bytes that are not what was stored ------------------------------------------------------------------------------


def spoil(root: Path, data: bytes, offset: int) -> None:
    """One bit of the payload's file is another."""
    with path_of(root, hashlib.sha512(data).hexdigest()).open("r+b") as file:
        file.seek(offset)
        file.write(bytes([data[offset] ^ 1]))


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("size", [5, 70 << 10, 5 << 20])
@pytest.mark.parametrize("header", [None, "bytes=1-", "bytes=0-0,2-"])
def test_damage_at_the_start_is_a_500(tmp_path: Path, size: int, header: str | None, is_chunked: bool) -> None:
    data = random.randbytes(size)

    async def scenario() -> Answer:
        shop = Shop()
        async with open_house(tmp_path / "house", dialects=(NATIVE, shop.dialect)) as house:
            shop.blob, shop.is_chunked = await house.add(data), is_chunked
            spoil(tmp_path / "house", data, 0)
            return await asyncio.to_thread(fetched, house.port, {} if header is None else {"Range": header})

    answer = run_on("asyncio", scenario())

    assert (answer.status, answer.code) == (500, "payload-damaged")


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("header", [None, "bytes=1-", "bytes=0-0,2-"])
def test_damage_further_on_cuts_the_connection_before_its_block(
    tmp_path: Path, loop_name: str, header: str | None, is_chunked: bool
) -> None:
    data = random.randbytes(7 << 20)

    async def scenario() -> bytes:
        shop = Shop()
        async with open_house(tmp_path / "house", dialects=(NATIVE, shop.dialect)) as house:
            shop.blob, shop.is_chunked = await house.add(data), is_chunked
            spoil(tmp_path / "house", data, (4 << 20) - 1)
            with pytest.raises(http.client.IncompleteRead) as caught:
                await asyncio.to_thread(fetched, house.port, {} if header is None else {"Range": header})
            return caught.value.partial

    partial = run_on(loop_name, scenario())

    assert len(partial) <= (3 << 20) + 1000  # and heads of parts
    if header is None:
        assert data.startswith(partial)


@pytest.mark.parametrize("block", range(6))
@pytest.mark.parametrize("ranged", [None, (1_048_570, 3_145_736), (2_097_152, 2_097_153)])
def test_a_range_is_sent_if_its_own_blocks_are_right(
    tmp_path: Path, block: int, ranged: tuple[int, int] | None
) -> None:
    data = random.randbytes((5 << 20) + 1)
    start, stop = ranged or (0, len(data))

    async def scenario() -> Answer | None:
        shop = Shop()
        async with open_house(tmp_path / "house", dialects=(NATIVE, shop.dialect)) as house:
            shop.blob = await house.add(data)
            spoil(tmp_path / "house", data, block << 20)
            headers = {"Range": f"bytes={start}-{stop - 1}"} if ranged else {}
            try:
                return await asyncio.to_thread(fetched, house.port, headers)
            except http.client.IncompleteRead:
                return None

    answer = run_on("asyncio", scenario())

    is_touched = start >> 20 <= block <= (stop - 1) >> 20
    if is_touched:
        assert answer is None or answer.status == 500
    else:
        assert answer is not None
        assert answer.body == data[start:stop]
