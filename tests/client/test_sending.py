"""Uploads: refusals cost nothing, and what fails is told by its cause."""

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from casd.client import (
    Client,
    ConnectionLost,
    Progress,
    Refused,
    Source,
    SourceChanged,
    Unreachable,
    open_descriptor,
)
from casd.client.progress import Gauge
from casd.client.sending import send
from casd.client.transport import Transport
from tests.client.conftest import Connect, Payload
from tests.client.test_download import read
from tests.proxy import Proxy


async def test_a_source_without_a_size_is_stored(client: Client, payload: Payload) -> None:
    blob = await client.put_blob(payload.source(), filename="a ü.bin", content_type="image/x-raw")

    assert (blob.digest, blob.size) == (payload.digest, len(payload.data))
    assert (blob.filename, blob.content_type) == ("a ü.bin", "image/x-raw")


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

    async with scripted(refuse) as url, Transport(url, None, connect_timeout_s=10, idle_timeout_s=10) as transport:
        with pytest.raises(Refused, match="limit is 100000") as caught:
            await send(transport, "PATCH", "/", {}, pieces_of(payload), 0, len(payload.data), Gauge(None))

    assert caught.value.code == "too-large"


async def test_a_source_that_is_slow_is_no_stalled_daemon(connect: Connect) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        await asyncio.sleep(0.5)  # longer than the idle timeout below
        yield b"slow"
        await asyncio.sleep(0.5)
        yield b"ly"

    async with connect(idle_timeout_s=0.3) as client:
        blob = await client.put_blob(Source(pieces()))

    assert blob.sha256 == hashlib.sha256(b"slowly").hexdigest()


async def test_a_body_that_stalls_is_given_up() -> None:
    huge = Payload(bytes(50_000_000))  # more than the sockets on the way hold
    may_end = asyncio.Event()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(100_000)
        await may_end.wait()

    async with scripted(stall) as url, Transport(url, None, connect_timeout_s=10, idle_timeout_s=0.3) as transport:
        with pytest.raises(ConnectionLost, match="nothing moved"):
            await send(transport, "PATCH", "/", {}, pieces_of(huge), 0, len(huge.data), Gauge(None))
        may_end.set()


async def pieces_of(payload: Payload) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(payload.data), 1 << 20):
        yield payload.data[start : start + (1 << 20)]


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


async def test_progress_ends_at_the_size(client: Client, payload: Payload) -> None:
    told: list[Progress] = []

    await client.put_blob(payload.source(), progress=told.append)

    counts = [each.done for each in told if each.step == "moving"]

    assert counts == sorted(counts)
    assert counts[-1] == len(payload.data)
