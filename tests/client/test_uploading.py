"""Uploads that go on: after cuts, kills and restarts, by whoever comes next; and those that need not be sent at all."""

import asyncio
import io
import os
import random
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import xxhash
from aiohttp import web

from casd.client import (
    Client,
    ConnectionLost,
    DigestDiffers,
    NewToken,
    Progress,
    Refused,
    Retry,
    Source,
    SourceChanged,
    from_file,
    open_path,
)
from casd.client.uploading import SMALL_BYTES
from tests.client.conftest import Connect, Payload, Script
from tests.client.test_download import read
from tests.conftest import Daemon
from tests.proxy import Fault, Proxy

MIB = 1 << 20
IN_FLIGHT = 1280 << 10  # what the daemon's sockets and buffers hold of a connection that breaks, at most
NEVER_AGAIN = Retry(attempts=1)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon, for its loop is not the point here."""
    running = Daemon(tmp_path_factory.mktemp("uploading") / "data").start()
    yield running
    assert running.stop() == 0, running.log
    assert "Traceback" not in running.log


@pytest.fixture
def payload() -> Payload:
    """Of no other test: what the daemon has is not sent."""
    return Payload(random.Random(uuid4().int).randbytes(5 * MIB + 1000))


@pytest.fixture
def path(tmp_path: Path, payload: Payload) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(payload.data)
    return path


def sent(proxy: Proxy) -> int:
    return sum(seen.sent for seen in proxy.seen)


def cut(after: int = 2 * MIB) -> Fault:
    return Fault("cut", after=after, of="requests")


async def broken_off(daemon: Any, connect: Connect, path: Path, name: str, after: int = 3 * MIB, **options: Any) -> int:
    """Somebody sent so much of it, and never came back; returns how much."""
    async with Proxy(daemon.url, cut(after)) as proxy, connect(proxy.url, retry=NEVER_AGAIN, **options) as client:
        with pytest.raises(ConnectionLost):
            await client.upload_file(path, name, owner="default")
        return sent(proxy)


async def test_an_upload_that_is_cut_goes_on_where_it_was(
    daemon: Any, connect: Connect, path: Path, payload: Payload, name: str
) -> None:
    told: list[Progress] = []

    async with Proxy(daemon.url, *[cut(700_000)] * 6) as proxy, connect(proxy.url) as client:
        handle = await client.upload_file(path, name, progress=told.append)
        assert await read(handle.download()) == payload.data

    assert handle.version is not None
    assert handle.version.number == 1
    assert sent(proxy) < 2 * len(payload.data)  # of so little a connection much is in flight
    counts = [each.done for each in told if each.step == "moving"]
    assert counts == sorted(counts)
    assert counts[-1] == len(payload.data)


async def test_an_upload_that_stalls_goes_on(
    daemon: Any, connect: Connect, path: Path, payload: Payload, name: str
) -> None:
    stall = Fault("stall", after=2 * MIB, of="requests")

    async with Proxy(daemon.url, stall) as proxy, connect(proxy.url, idle_timeout_s=0.5) as client:
        handle = await client.upload_file(path, name)

    assert handle.info.digest == payload.digest


async def test_failures_without_progress_end_an_upload(
    daemon: Any, connect: Connect, path: Path, name: str, pauses: list[float]
) -> None:
    dead = [Fault("cut", after=0)] * 20

    async with Proxy(daemon.url, cut(), *dead) as proxy, connect(proxy.url) as client:
        with pytest.raises(ConnectionLost):
            await client.upload_file(path, name)

    assert pauses == [0.5, 1.0, 2.0]


async def test_each_failure_of_an_upload_is_told(daemon: Any, connect: Connect, path: Path, name: str) -> None:
    told: list[Any] = []

    async with Proxy(daemon.url, cut()) as proxy, connect(proxy.url) as client:
        await client.upload_file(path, name, notice=lambda error, delay_s: told.append((type(error), delay_s)))

    assert told == [(ConnectionLost, 0.5)]


async def test_another_client_with_another_token_goes_on_knowing_only_the_file(
    daemon: Any, connect: Connect, client: Client, path: Path, payload: Payload, name: str, tmp_path: Path
) -> None:
    other = await client.accounts.create_token("other", "writer", ["default"])
    before = await broken_off(daemon, connect, path, name)
    elsewhere = tmp_path / "another name.img"
    elsewhere.write_bytes(payload.data)
    told: list[Progress] = []

    async with Proxy(daemon.url) as proxy, connect(proxy.url, token=other.secret, retry=Retry()) as second:
        handle = await second.upload_file(elsewhere, name, progress=told.append)

    assert handle.info.digest == payload.digest
    assert before + sent(proxy) < len(payload.data) + IN_FLIGHT
    assert told[-1].skipped >= 3 * MIB - IN_FLIGHT
    assert told[-1].again == 0


async def test_what_another_name_is_to_become_is_not_gone_on_with(
    daemon: Any, connect: Connect, client: Client, path: Path, payload: Payload, name: str
) -> None:
    await broken_off(daemon, connect, path, f"{name}/other")

    handle = await client.upload_file(path, name)

    assert handle.info.digest == payload.digest
    with pytest.raises(Refused):
        await client.get(f"{name}/other")


async def test_an_upload_that_will_expire_is_not_gone_on_with(
    daemon: Any, connect: Connect, client: Client, path: Path
) -> None:
    async with (
        Proxy(daemon.url, cut(3 * MIB)) as proxy,
        connect(proxy.url, retry=NEVER_AGAIN) as other,
        open_path(path) as source,
    ):
        with pytest.raises(ConnectionLost):
            await other.put_blob(source, expires_in_s=60)

    async with open_path(path) as source:
        blob = await client.put_blob(source)

    assert blob.expires_at is None


async def test_a_beginning_of_other_bytes_is_not_gone_on_with(
    daemon: Any, connect: Connect, client: Client, path: Path, payload: Payload, name: str
) -> None:
    """Somebody says of other bytes that they are of our checksum."""
    said = {"namespace": "default", "name": name, "xxh3_128": xxhash.xxh3_128_hexdigest(payload.data)}
    metadata = ",".join(f"{key} {_base64(value)}" for key, value in said.items())
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(payload.data)), "Upload-Metadata": metadata}
    headers |= {"Content-Type": "application/offset+octet-stream"}
    transport = client._transport
    async with await transport.open("POST", "/v1/uploads", headers=headers, data=b"something else"):
        pass

    handle = await client.upload_file(path, name, content_type="application/octet-stream")

    assert handle.info.digest == payload.digest


def _base64(text: str) -> str:
    import base64

    return base64.b64encode(text.encode()).decode()


# -- what need not be sent ----------------------------------------------------------------------------------------


async def test_what_the_daemon_has_is_not_sent(
    daemon: Any, connect: Connect, client: Client, path: Path, payload: Payload, name: str
) -> None:
    await client.upload_file(path, name)
    told: list[Progress] = []

    async with Proxy(daemon.url) as proxy, connect(proxy.url) as second:
        same = await second.upload_file(path, name, progress=told.append)
        blob = await second.upload_file(path)

    assert same.version is not None
    assert (same.version.number, same.info.digest) == (2, payload.digest)
    assert (blob.info.digest, blob.info.holds_itself) == (payload.digest, True)
    assert sent(proxy) < 20_000
    assert told[-1] == Progress(len(payload.data), len(payload.data), len(payload.data))


@pytest.mark.parametrize("told", [True, False])
async def test_filename_and_type_are_those_asked_for_though_nothing_is_sent(
    daemon: Any, connect: Connect, client: Client, path: Path, payload: Payload, name: str, told: bool
) -> None:
    first = await client.upload_file(path, name, filename="a.bin", content_type="image/x-raw")

    async with Proxy(daemon.url) as proxy, connect(proxy.url) as second:
        where = name if told else None
        handle = await second.upload_file(path, where, filename="b ü.bin", content_type="video/x-raw")

    assert (handle.info.filename, handle.info.content_type) == ("b ü.bin", "video/x-raw")
    assert handle.uuid != first.uuid
    assert handle.info.holds_itself is not told
    assert handle.info.expires_at is None
    assert sent(proxy) < 20_000


async def test_a_bind_whose_answer_was_lost_is_not_done_twice(
    daemon: Any, connect: Connect, client: Client, path: Path, name: str
) -> None:
    await client.upload_file(path, name)

    async with connect() as second:
        json, calls = second._transport.json, []

        async def losing(method: str, at: str, *args: Any, **options: Any) -> Any:
            answer = await json(method, at, *args, **options)
            if method == "PUT" and not calls:
                calls.append(at)
                raise ConnectionLost("the answer was lost")
            return answer

        second._transport.json = losing  # type: ignore[method-assign]
        handle = await second.upload_file(path, name)

    assert calls
    assert handle.version is not None
    assert handle.version.number == 2
    assert [version.number async for version in client.versions("default", name)] == [1, 2]


async def test_what_is_in_a_namespace_that_we_may_only_read_is_sent(
    daemon: Any, connect: Connect, client: Client, path: Path, payload: Payload
) -> None:
    await client.upload_file(path, "x", owner="default")
    mine = f"ns{uuid4().hex[:8]}"
    token = await client.accounts.create_token("mine", "writer", [mine])
    await client.accounts.update_namespace("default", {"readers": [mine]})

    async with connect(token=token.secret) as me:
        handle = await me.upload_file(path, "x")

    await client.accounts.update_namespace("default", {"readers": []})
    assert (handle.info.namespace, handle.info.digest) == (mine, payload.digest)


async def test_missing_is_asked_for_many_at_once(client: Client, path: Path, payload: Payload) -> None:
    await client.upload_file(path)
    absent = [f"{number:032x}" for number in range(2500)]

    by_xxh3 = await client.missing(xxh3_128=[*absent, xxhash.xxh3_128_hexdigest(payload.data)])
    by_sha512 = await client.missing(sha512=[payload.digest, "0" * 128])

    assert by_xxh3.digests == set(absent)
    assert by_sha512.digests == {"0" * 128}
    assert by_sha512.lease_until is not None
    assert (await client.missing()).digests == frozenset()


# -- small ones, and those that come once -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, SMALL_BYTES])
async def test_a_small_file_is_one_request(daemon: Any, connect: Connect, size: int) -> None:
    data = random.Random(uuid4().int).randbytes(size)

    async with Proxy(daemon.url) as proxy, connect(proxy.url) as client:
        blob = await client.put_blob(from_file(io.BytesIO(data)), namespace="default")

    assert blob.digest == Payload(data).digest
    asked = re.findall(rb"(POST|GET|PATCH|HEAD|PUT) /v1\S* HTTP/1\.1\r\n", bytes(proxy.seen[0].requests))
    assert asked in ([b"POST", b"GET"], [b"POST"])  # a large body hides what follows it


async def test_a_small_upload_whose_answer_was_lost_is_stored_once(
    daemon: Any, connect: Connect, client: Client, name: str
) -> None:
    data = uuid4().bytes

    async with Proxy(daemon.url, Fault("cut", after=10)) as proxy, connect(proxy.url) as other:
        version = await other.put_name("default", name, from_file(io.BytesIO(data)))

    assert version.number == 1
    assert [each.number async for each in client.versions("default", name)] == [1]
    assert len(await client.find(sha512=Payload(data).digest)) == 1


def once(data: bytes, size: int | None = None) -> Source:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 300_000):
            yield data[start : start + 300_000]

    return Source(pieces(), size)


@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize("extra", [-1, 0, 1])
async def test_what_comes_once_survives_cuts(
    daemon: Any, connect: Connect, name: str, monkeypatch: pytest.MonkeyPatch, is_told: bool, extra: int
) -> None:
    monkeypatch.setattr("casd.client.piping.KEPT_BYTES", MIB)
    data = random.Random(uuid4().int).randbytes(4 * MIB + extra)
    cuts = [cut(at) for at in (10, 500_000, 300_000, 1_200_000, 2_100_000)]

    async with Proxy(daemon.url, *cuts) as proxy, connect(proxy.url) as client:
        version = await client.put_name("default", name, once(data, len(data) if is_told else None))

    assert version.blob is not None
    assert (version.number, version.blob.digest) == (1, Payload(data).digest)
    assert sent(proxy) < len(data) + 3 * IN_FLIGHT


async def test_a_source_that_fails_in_the_middle_leaves_no_upload(daemon: Any, client: Client, name: str) -> None:
    before = (await client.operations.status()).uploads

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield bytes(MIB)
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        await client.put_name("default", name, Source(pieces()))

    assert (await client.operations.status()).uploads == before


# -- a source that changes ----------------------------------------------------------------------------------------


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4 * MIB)
        file.write(b"other")


def shrink(path: Path) -> None:
    os.truncate(path, 4 * MIB)


def rewrite_unseen(path: Path) -> None:
    """As through a mapping: the time of the file is what it was."""
    facts = path.stat()
    rewrite(path)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


@pytest.mark.parametrize("change", [grow, rewrite, shrink, rewrite_unseen])
async def test_a_file_that_changes_while_it_is_sent_is_not_stored(
    connect: Connect, client: Client, path: Path, payload: Payload, name: str, change: Callable[[Path], None]
) -> None:
    has_changed = False

    def at_the_beginning(progress: Progress) -> None:
        nonlocal has_changed
        if progress.step == "moving" and not has_changed:
            has_changed = True
            change(path)

    with pytest.raises(SourceChanged):
        await client.upload_file(path, name, progress=at_the_beginning)

    assert has_changed
    with pytest.raises(Refused):
        await client.get(name)
    assert (await client.find(sha512=payload.digest)) == []


async def test_a_daemon_that_stored_other_bytes_is_found_out(script: Script) -> None:
    def answer(request: web.Request) -> web.Response:
        facts = {"Location": f"/v1/uploads/{uuid4()}", "Upload-Offset": "5", "Casd-Blob": str(uuid4())}
        return web.Response(status=201, headers={**facts, "Casd-Sha512": "0" * 128})

    client = await script(answer)

    with pytest.raises(DigestDiffers):
        await client.put_blob(from_file(io.BytesIO(b"small")), namespace="default")


# -- many at once -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("are_one", [True, False])
async def test_ten_nodes_that_put_the_same_image_at_once_all_succeed(
    daemon: Any, connect: Connect, client: Client, path: Path, payload: Payload, name: str, are_one: bool
) -> None:
    """Of one token or of ten, over lines of which some break, beside an upload that somebody left half done."""
    await broken_off(daemon, connect, path, name)
    tokens = [await _token(client, number) for number in range(10)]
    failures: list[str] = []

    async def put(number: int) -> int:
        fault = cut(2 * MIB) if number % 3 == 0 else None
        token = tokens[0 if are_one else number].secret
        retry = Retry(attempts=4, base_s=0.01)
        async with Proxy(daemon.url, fault) as proxy, connect(proxy.url, token=token, retry=retry) as node:
            notice = lambda error, _: failures.append(f"{number} {error}")  # noqa: E731
            handle = await node.upload_file(path, name, owner="default", notice=notice)
            assert handle.info.digest == payload.digest
            return sent(proxy)

    volumes = await asyncio.gather(*(put(number) for number in range(10)))

    assert max(volumes) < 2.1 * len(payload.data)  # who lost the upload that both went on with sent its own, once
    assert len(failures) <= 13, failures  # four lines that broke, and nine who were late for the one left half done
    versions = [version.number async for version in client.versions("default", name)]
    assert versions == list(range(1, 11))


async def _token(client: Client, number: int) -> NewToken:
    return await client.accounts.create_token(f"node {number}", "writer", ["default"])


# -- kills --------------------------------------------------------------------------------------------------------


PUT = """
import asyncio, sys
from casd.client import Client
async def main(url, token, path, name):
    async with Client(url, token) as client:
        handle = await client.upload_file(path, name, owner="default")
        print(handle.info.digest)
asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_client_that_was_killed_is_gone_on_from_by_the_next(
    daemon: Any, connect: Connect, path: Path, payload: Payload, name: str
) -> None:
    stall = Fault("stall", after=3 * MIB, of="requests")
    async with Proxy(daemon.url, stall) as proxy:
        command = (sys.executable, "-c", PUT, proxy.url, daemon.token, str(path), name)
        process = await asyncio.create_subprocess_exec(*command)
        await proxy.stalled()
        process.send_signal(signal.SIGKILL)
        await process.wait()
        before = sent(proxy)

    async with Proxy(daemon.url) as proxy, connect(proxy.url, retry=Retry()) as client:
        handle = await client.upload_file(path, name)

    assert handle.info.digest == payload.digest
    assert before + sent(proxy) < len(payload.data) + IN_FLIGHT


async def test_a_daemon_that_was_killed_is_waited_for_and_gone_on_with(
    new_daemon: Callable[..., Daemon], path: Path, payload: Payload, name: str
) -> None:
    daemon = await asyncio.to_thread(new_daemon().start)
    stall = Fault("stall", after=3 * MIB, of="requests")
    retry = Retry(attempts=200, base_s=0.01, cap_s=0.1)

    async with Proxy(daemon.url, stall) as proxy, Client(proxy.url, daemon.token, retry=retry) as client:
        upload = asyncio.create_task(client.upload_file(path, name))
        await proxy.stalled()
        await asyncio.to_thread(daemon.kill)
        await asyncio.to_thread(daemon.start)
        await proxy.retarget(daemon.url)
        handle = await upload

    assert handle.info.digest == payload.digest
