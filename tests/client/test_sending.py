"""Uploads: refusals cost nothing, and what fails is told by its cause."""

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from casd.client import (
    Client,
    ConnectionLost,
    DigestDiffers,
    Progress,
    Refused,
    Source,
    SourceChanged,
    Unreachable,
    open_descriptor,
    open_path,
)
from casd.client.transport import Transport
from tests.client.conftest import Connect, Payload
from tests.client.test_download import read
from tests.proxy import Fault, Proxy


async def test_a_source_without_a_size_is_stored(client: Client, payload: Payload) -> None:
    blob = await client.put_blob(payload.source(), filename="a ü.bin", content_type="image/x-raw")

    assert (blob.digest, blob.size) == (payload.digest, len(payload.data))
    assert (blob.filename, blob.content_type) == ("a ü.bin", "image/x-raw")


async def test_a_file_is_stored_with_its_length(
    daemon: Any, connect: Connect, payload: Payload, tmp_path: Path
) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(payload.data)

    async with Proxy(daemon.url) as proxy, connect(proxy.url) as client, open_path(path) as source:
        blob = await client.put_blob(source)

    assert blob.digest == payload.digest
    assert b"Content-Length: %d\r\n" % len(payload.data) in proxy.seen[0].requests


async def test_a_pipe_is_stored_to_its_end(client: Client, payload: Payload) -> None:
    reading, writing = os.pipe()
    feeding = asyncio.create_task(asyncio.to_thread(_feed, writing, payload.data))

    async with open_descriptor(reading) as source:
        blob = await client.put_blob(source)

    await feeding
    os.close(reading)
    assert blob.digest == payload.digest


def _feed(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as pipe:
        pipe.write(data)


async def test_what_follows_in_a_redirected_file_is_stored(client: Client, tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"first\nsecond\n")

    with (tmp_path / "lines").open("rb", buffering=0) as file:
        file.seek(6)
        async with open_descriptor(file.fileno()) as source:
            blob = await client.put_blob(source)

    assert blob.sha256 == hashlib.sha256(b"second\n").hexdigest()


async def test_an_answer_that_is_quicker_than_the_hash_is_waited_for(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_answered = threading.Event()

    class SlowHash:
        def __init__(self) -> None:
            self.hash = hashlib.new("sha512")
            self.digest = self.hash.digest

        def update(self, piece: bytes) -> None:
            is_answered.wait()
            self.hash.update(piece)

    async def read_json(transport: Transport, response: Any) -> Any:
        answer = await original(transport, response)
        asyncio.get_running_loop().call_soon(is_answered.set)
        return answer

    original = Transport.read_json
    monkeypatch.setattr(Transport, "read_json", read_json)
    monkeypatch.setattr("casd.client.sending.hashlib", SimpleNamespace(sha512=SlowHash))

    blob = await client.put_blob(Payload(b"small").source(5))

    assert blob.digest == Payload(b"small").digest


async def test_a_name_gets_its_next_version(client: Client, name: str, payload: Payload) -> None:
    first = await client.put_name("default", name, payload.source())
    second = await client.put_name("default", name, Payload(b"two").source())

    assert (first.name, first.number, second.number) == (name, 1, 2)
    assert await read(client.download_name("default", name)) == b"two"
    assert await read(client.download_name("default", name, version=1)) == payload.data


async def test_a_refusal_costs_no_upload(daemon: Any, connect: Connect, payload: Payload) -> None:
    async with Proxy(daemon.url) as proxy, connect(proxy.url, token="not-a-token") as client:
        with pytest.raises(Refused) as caught:
            await client.put_blob(payload.source())

    assert caught.value.status == 401
    assert proxy.seen[0].requests.endswith(b"\r\n\r\n")


Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def scripted(conversation: Conversation) -> AsyncIterator[str]:
    """The address of a server that consents to one upload and then follows the script."""
    done = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await conversation(reader, writer)
            writer.close()
            await writer.wait_closed()
        done.set()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await done.wait()


async def test_a_refusal_in_the_middle_of_the_body_is_told_as_such(payload: Payload) -> None:
    problem = b'{"code": "too-large", "detail": "the limit is 100000 bytes"}'
    head = b"HTTP/1.1 413 Content Too Large\r\nContent-Type: application/problem+json\r\n"

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(100_000)
        writer.write(head + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(problem) + problem)
        await reader.read()  # a server lingers, or its reset overtakes its answer

    async with scripted(refuse) as url, Client(url) as client:
        with pytest.raises(Refused, match="limit is 100000") as caught:
            await client.put_blob(payload.source())

    assert caught.value.code == "too-large"


@pytest.mark.parametrize(("read", "told"), [(50_000_000, True), (1_000_000, False)])
async def test_a_lost_answer_tells_whether_all_was_sent(read: int, told: bool) -> None:
    huge = Payload(bytes(50_000_000))  # more than the sockets on the way hold

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(read)

    async with scripted(hang_up) as url, Client(url) as client:
        with pytest.raises(ConnectionLost) as caught:
            await client.put_blob(huge.source(size=50_000_000))

    assert ("all of it was sent" in str(caught.value)) is told


async def test_an_upload_that_stalls_is_given_up(daemon: Any, connect: Connect) -> None:
    stall = Fault("stall", after=500_000, of="requests")
    huge = Payload(bytes(50_000_000))  # more than the sockets on the way hold

    async with Proxy(daemon.url, stall) as proxy, connect(proxy.url, idle_timeout_s=0.3) as client:
        with pytest.raises(ConnectionLost, match="nothing moved"):
            await client.put_blob(huge.source())


async def test_a_source_that_is_slow_is_no_stalled_daemon(connect: Connect) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        await asyncio.sleep(0.5)  # longer than the idle timeout below
        yield b"slow"
        await asyncio.sleep(0.5)
        yield b"ly"

    async with connect(idle_timeout_s=0.3) as client:
        blob = await client.put_blob(Source(pieces()))

    assert blob.sha256 == hashlib.sha256(b"slowly").hexdigest()


async def test_an_upload_that_is_cut_is_a_lost_connection(daemon: Any, connect: Connect, payload: Payload) -> None:
    cut = Fault("cut", after=500_000, of="requests")

    async with Proxy(daemon.url, cut) as proxy, connect(proxy.url) as client:
        with pytest.raises(ConnectionLost):
            await client.put_blob(payload.source())


async def test_nothing_is_sent_to_a_daemon_that_is_not_there(connect: Connect, payload: Payload) -> None:
    async with Proxy("http://127.0.0.1:1") as gone:
        url = gone.url

    async with connect(url) as client:
        with pytest.raises(Unreachable):
            await client.put_blob(payload.source())


@pytest.mark.parametrize("wrong_by", [-1, 1, 1_000_000])
async def test_a_source_of_another_size_than_stated_is_told(client: Client, payload: Payload, wrong_by: int) -> None:
    with pytest.raises(SourceChanged):
        await client.put_blob(payload.source(size=len(payload.data) + wrong_by))


async def test_a_source_that_cannot_be_read_fails_as_itself(client: Client) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"the beginning"
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        await client.put_blob(Source(pieces()))


async def test_a_daemon_that_stored_other_bytes_is_found_out(
    connect: Connect, payload: Payload, aiohttp_server: Any, client: Client
) -> None:
    other = await client.put_blob(Payload(b"other").source())

    async def answer(request: Any) -> Any:
        await request.read()
        return web.json_response(dict(other.json), status=201)

    app = web.Application(client_max_size=1 << 30)
    app.router.add_post("/v1/blobs", answer)
    server = await aiohttp_server(app)

    async with connect(str(server.make_url("/"))) as fooled:
        with pytest.raises(DigestDiffers):
            await fooled.put_blob(payload.source())


async def test_progress_ends_at_the_size(client: Client, payload: Payload) -> None:
    told: list[Progress] = []

    await client.put_blob(payload.source(), progress=told.append)

    counts = [each.done for each in told]

    assert counts == sorted(counts)
    assert counts[-1] == len(payload.data)
