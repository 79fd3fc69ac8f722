"""The loop never waits for a disk, a hash or SQLite, but for the two exceptions that DESIGN.md 6 measured."""

import asyncio
import base64
import hashlib
import http.client
import json
import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from blockbuster import BlockBuster, BlockBusterFunction

from casd.dialects.native import NATIVE
from casd.payloads.hashing import PayloadHasher
from casd.web.dialect import Access, Dialect, Route, bearer
from casd.web.errors import problem
from tests.payloads.local_backend import path_of
from tests.web.house import House, open_house, run_on
from tests.web.wire import PATIENCE_S

DISK_CALLS = (
    "open",
    "pread",
    "preadv",
    "pwrite",
    "fsync",
    "fdatasync",
    "ftruncate",
    "truncate",
    "fallocate",
    "copy_file_range",
)
ALLOWED = [
    # A point look-up on a read-only connection: 15 us.
    ("sqlite3.Connection.execute", "casd/catalogue/sqlite/lookups.py", "_row_now"),
    ("sqlite3.Cursor.fetchone", "casd/catalogue/sqlite/lookups.py", "_row_now"),
    # A payload that was used lately, and bytes that are in the page cache: 8 us.
    ("os.open", "casd/payloads/local.py", "_open"),
    ("os.preadv", "casd/payloads/reading.py", "read_now"),
    ("os.preadv", "casd/payloads/reading.py", "is_cached"),
    ("os.sendfile", "casd/web/transmit.py", "_send_window"),
]


@pytest.fixture
def watch() -> Iterator[BlockBuster]:
    """Every blocking call on a thread with a running loop raises BlockingError; the test says from when on."""
    found = BlockBuster()
    for name in DISK_CALLS:
        found.functions[f"os.{name}"] = BlockBusterFunction(None, f"os.{name}")
    for call, file, function in ALLOWED:
        found.functions[call].can_block_in(file, function)
    yield found
    found.deactivate()


@pytest.fixture
def hashed_on_the_loop(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which of the hasher's methods were called on a thread with a running loop; blockbuster does not look at those."""
    calls: list[str] = []
    for name in ("update", "update_sha512", "update_rest", "receipt"):
        monkeypatch.setattr(PayloadHasher, name, noting(getattr(PayloadHasher, name), calls))
    return calls


def noting(method: Callable[..., Any], calls: list[str]) -> Callable[..., Any]:
    def noted(*args: Any) -> Any:
        with suppress(RuntimeError):  # there is no running loop
            asyncio.get_running_loop()
            calls.append(method.__name__)
        return method(*args)

    return noted


class Visitor:
    """Asks from a thread of its own, so that what it waits for is not the loop's waiting."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._connection = http.client.HTTPConnection("127.0.0.1", house.port, timeout=PATIENCE_S)

    async def ask(self, status: int, method: str, target: str, body: Any = None, **headers: str) -> Any:
        """The body, as JSON where it is some; the status must be this one."""
        if body is not None and not isinstance(body, (bytes, list)):
            body = json.dumps(body).encode()
        own = self._house.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        got, kind, data = await asyncio.to_thread(self._fetch, method, target, body, own)
        assert got == status, (method, target, data[:300])
        return json.loads(data) if kind == "application/json" and data else data

    def _fetch(self, method: str, target: str, body: Any, headers: dict[str, str]) -> tuple[int, str | None, bytes]:
        self._connection.request(method, target, body, headers, encode_chunked=isinstance(body, list))
        response = self._connection.getresponse()
        return response.status, response.headers["Content-Type"], response.read()

    def close(self) -> None:
        self._connection.close()


def evict(root: Path, data: bytes) -> None:
    """Drop a payload from the page cache, so that it is read from the disk (where the file system obeys)."""
    file = os.open(path_of(root, hashlib.sha512(data).hexdigest()), os.O_RDONLY)
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)


def make_doubtful(root: Path, data: bytes) -> None:
    """Somebody may have written into the payload's file: it is checked when it is read next."""
    os.utime(path_of(root, hashlib.sha512(data).hexdigest()))


async def store_and_read(visitor: Visitor, root: Path) -> None:
    for size in (0, 5, 65_536, 65_537, 300_000, 3 << 20):
        data = random.randbytes(size)
        url = "/v1/blobs/" + (await visitor.ask(201, "POST", "/v1/blobs?filename=f", data))["uuid"]
        by_digest = f"/v1/payloads/sha512/{hashlib.sha512(data).hexdigest()}"
        for at in (f"{url}/data", by_digest, f"{url}/data"):
            assert await visitor.ask(200, "GET", at) == data
        await asyncio.to_thread(evict, root, data)
        assert await visitor.ask(200, "GET", f"{url}/data") == data
        await asyncio.to_thread(make_doubtful, root, data)
        assert await visitor.ask(200, "GET", f"{url}/data") == data
        await visitor.ask(200, "HEAD", f"{url}/data")
        await visitor.ask(304, "GET", f"{url}/data", If_None_Match=f'"{hashlib.sha512(data).hexdigest()}"')
        if size:
            wish = {"Want_Content_Digest": "sha-256=1"}
            assert await visitor.ask(206, "GET", f"{url}/data", Range="bytes=0-", **wish) == data
            await visitor.ask(206, "GET", f"{url}/data", Range="bytes=0-0,2-" if size > 2 else "bytes=0-")
            await visitor.ask(416, "GET", f"{url}/data", Range=f"bytes={size}-")
        assert await visitor.ask(200, "GET", f"{url}/data?offset={size // 2}") == data[size // 2 :]
        await visitor.ask(201, "POST", "/v1/blobs", [data[:1000], data[1000:]] if size > 1000 else data)
        field = base64.b64encode(hashlib.sha512(b"other").digest()).decode()
        await visitor.ask(422, "POST", "/v1/blobs", data + b"x", Repr_Digest=f"sha-512=:{field}:")


async def names_and_the_rest(visitor: Visitor) -> None:
    blob = await visitor.ask(201, "POST", "/v1/blobs?expires_in=100", b"x", Content_Type="a/b")
    uuid = blob["uuid"]
    await visitor.ask(200, "PUT", f"/v1/blobs/{uuid}/metadata/k", {"value": [1]})
    await visitor.ask(200, "GET", f"/v1/blobs/{uuid}/metadata/k")
    await visitor.ask(200, "GET", f"/v1/blobs/{uuid}/metadata")
    await visitor.ask(200, "GET", "/v1/blobs?metadata.k=%5B1%5D&content_type=a/b&limit=1")
    await visitor.ask(200, "GET", f"/v1/checksums/sha256/{blob['sha256']}")
    await visitor.ask(204, "DELETE", f"/v1/blobs/{uuid}/metadata/k")
    for data in (b"one", random.randbytes(100_000)):
        await visitor.ask(201, "PUT", "/v1/names/default/a/b", data)
        assert await visitor.ask(200, "GET", "/v1/names/default/a/b") == data
    await visitor.ask(201, "PUT", f"/v1/names/default/bound?blob={uuid}", If_None_Match="*")
    await visitor.ask(412, "PUT", "/v1/names/default/a/b", b"x", If_None_Match="*")
    await visitor.ask(200, "GET", "/v1/names/default/a/b?version=1")
    await visitor.ask(200, "GET", "/v1/names/default/a/b?as_of=2999-01-01T00:00:00Z")
    await visitor.ask(200, "GET", "/v1/names/default?prefix=a")
    await visitor.ask(200, "GET", "/v1/versions/default/a/b")
    await visitor.ask(200, "PATCH", "/v1/name-info/default/a/b", {"keep_versions": 1})
    await visitor.ask(200, "GET", "/v1/name-info/default/a/b")
    await visitor.ask(204, "DELETE", "/v1/names/default/a/b")
    await visitor.ask(204, "DELETE", "/v1/names/default/a/b?purge=1")
    await visitor.ask(204, "DELETE", f"/v1/blobs/{uuid}")
    body = {"name": "t", "role": "reader", "namespaces": ["new"]}
    token = await visitor.ask(201, "POST", "/v1/tokens", body)
    await visitor.ask(200, "GET", "/v1/tokens")
    await visitor.ask(200, "GET", "/v1/blobs", Authorization=f"Bearer {token['token']}")
    await visitor.ask(204, "DELETE", f"/v1/tokens/{token['id']}")
    await visitor.ask(401, "GET", "/v1/blobs", Authorization=f"Bearer {token['token']}")
    await visitor.ask(200, "PUT", "/v1/namespaces/new", {"readers": ["default"], "quota_bytes": 1 << 40})
    await visitor.ask(200, "GET", "/v1/namespaces/new")
    await visitor.ask(200, "GET", "/v1/namespaces")
    for path in ("/", "/healthz", "/readyz"):
        await visitor.ask(200, "GET", path)
    await visitor.ask(404, "GET", "/nowhere")
    await visitor.ask(405, "PUT", "/v1/blobs")
    await visitor.ask(400, "GET", "/v1/blobs?limit=0")
    await visitor.ask(200, "POST", "/v1/upkeep/expire")
    await visitor.ask(200, "POST", "/v1/upkeep/collect-garbage?dry_run=1")
    await visitor.ask(200, "POST", "/v1/upkeep/collect-garbage?force=1")


def test_nothing_but_the_two_exceptions_blocks_the_loop(
    tmp_path: Path, watch: BlockBuster, hashed_on_the_loop: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with open_house(tmp_path / "house") as house:
            visitor = Visitor(house)
            watch.activate()
            try:
                await store_and_read(visitor, tmp_path / "house")
                await names_and_the_rest(visitor)
            finally:
                watch.deactivate()
                visitor.close()

    with caplog.at_level(logging.INFO):
        run_on("asyncio", scenario())

    assert "Blocking call" not in caplog.text
    assert hashed_on_the_loop == []


def test_a_catalogue_too_large_for_memory_is_not_read_on_the_loop(
    tmp_path: Path, watch: BlockBuster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("casd.catalogue.sqlite.lookups.WARM_LIMIT_BYTES", 0)
    for call in ("sqlite3.Connection.execute", "sqlite3.Cursor.fetchone"):
        watch.functions[call].can_block_functions.clear()

    async def scenario() -> None:
        async with open_house(tmp_path / "house") as house:
            visitor = Visitor(house)
            watch.activate()
            try:
                await names_and_the_rest(visitor)
            finally:
                watch.deactivate()
                visitor.close()

    run_on("asyncio", scenario())


@pytest.mark.parametrize("kind", ["sleep", "open", "stat"])
def test_a_handler_that_blocks_would_be_noticed(
    tmp_path: Path, watch: BlockBuster, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    async def block(request: web.Request) -> web.StreamResponse:
        match kind:
            case "sleep":
                time.sleep(0)  # that it is called is enough
            case "open":
                os.close(os.open(tmp_path, os.O_RDONLY))
            case "stat":
                os.stat(tmp_path)
        return web.Response()

    route = Route("GET", "/block", block, Access.OPEN)

    async def scenario() -> None:
        dialects = (NATIVE, Dialect("block", ("/block",), (route,), bearer, problem))
        async with open_house(tmp_path / "house", dialects=dialects) as house:
            visitor = Visitor(house)
            watch.activate()
            try:
                await visitor.ask(500, "GET", "/block")
            finally:
                watch.deactivate()
                visitor.close()

    run_on("asyncio", scenario())

    assert "Blocking call" in caplog.text
