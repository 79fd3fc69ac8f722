"""Many clients at once against a real daemon: nothing is lost, nothing is counted twice, and memory stays bounded."""

import asyncio
import hashlib
import io
import os
import random
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.conftest import Daemon
from tests.crash.folder import check_catalogue, incoming, payload_files, payload_path, sha512

CLIENTS = 64
MIB = 1 << 20
LARGE_MIB = 300
RSS_LIMIT_KIB = 150 << 10
TIMEOUT = aiohttp.ClientTimeout(total=120)


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def busy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that collects without grace; each test stores bytes of its own."""
    settings = {"CASD_SERVER__EVENT_LOOP": request.param, "CASD_UPKEEP__GRACE_S": "0"}
    daemon = Daemon(tmp_path_factory.mktemp("busy") / "data", settings).start()
    yield daemon
    assert daemon.stop() == 0, daemon.log


@asynccontextmanager
async def client_of(daemon: Daemon) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        daemon.url, headers=daemon.headers, connector=connector, timeout=TIMEOUT
    ) as session:
        yield session


async def asked(session: aiohttp.ClientSession, method: str, path: str, status: int, data: bytes | None = None) -> Any:
    """The answer's JSON, None for an empty one."""
    body = None if data is None else io.BytesIO(data)  # aiohttp warns of large plain bytes
    async with session.request(method, path, data=body) as response:
        body = await response.read()
        assert response.status == status, body
        return await response.json() if body else None


async def bytes_at(session: aiohttp.ClientSession, path: str) -> bytes:
    async with session.get(path) as response:
        assert response.status == 200, await response.read()
        return await response.read()


@pytest.mark.parametrize("size", [1000, 2 * MIB])
async def test_the_same_content_from_many_clients_at_once_is_one_payload_and_many_blobs(
    busy: Daemon, tmp_path: Path, size: int
) -> None:
    data = os.urandom(size)

    async with client_of(busy) as session:
        blobs = await asyncio.gather(*(asked(session, "POST", "/v1/blobs", 201, data) for _ in range(CLIENTS)))
        copies = await asyncio.gather(*(bytes_at(session, f"/v1/blobs/{blob['uuid']}/data") for blob in blobs))
        found = await asked(session, "GET", f"/v1/checksums/sha512/{sha512(data)}?limit=1000", 200)

    assert len({blob["uuid"] for blob in blobs}) == CLIENTS
    assert {blob["uuid"] for blob in found["items"]} == {blob["uuid"] for blob in blobs}
    assert all(copy == data for copy in copies)
    assert sha512(data) in payload_files(busy.data)
    assert incoming(busy.data) == []
    check_catalogue(busy.data, tmp_path / "copy")


async def test_versions_from_many_clients_at_once_are_numbered_without_a_gap(busy: Daemon, tmp_path: Path) -> None:
    payloads = [os.urandom(1000) for _ in range(CLIENTS)]

    async with client_of(busy) as session:
        put = [asked(session, "PUT", "/v1/names/default/shared", 201, data) for data in payloads]
        versions = await asyncio.gather(*put)
        listed = await asked(session, "GET", "/v1/versions/default/shared?limit=1000", 200)
        copies = [await bytes_at(session, f"/v1/names/default/shared?version={item['version']}") for item in versions]

    assert sorted(version["version"] for version in versions) == list(range(1, CLIENTS + 1))
    assert copies == payloads
    in_order = sorted(listed["items"], key=lambda version: version["version"])
    assert [item["version"] for item in in_order] == list(range(1, CLIENTS + 1))
    times = [item["created_at"] for item in in_order]
    assert times == sorted(set(times))
    check_catalogue(busy.data, tmp_path / "copy")


async def test_of_many_clients_that_make_a_name_only_if_it_is_new_one_succeeds(busy: Daemon) -> None:
    async def make(data: bytes) -> int:
        async with session.put("/v1/names/default/new", data=data, headers={"If-None-Match": "*"}) as response:
            return response.status

    async with client_of(busy) as session:
        statuses = await asyncio.gather(*(make(os.urandom(1000)) for _ in range(CLIENTS)))
        listed = await asked(session, "GET", "/v1/versions/default/new", 200)

    assert sorted(statuses) == [201] + [412] * (CLIENTS - 1)
    assert len(listed["items"]) == 1


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def grown(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def removed(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("size", [1000, 2 * MIB])
@pytest.mark.parametrize("damage", [flipped, truncated, grown, removed])
async def test_storing_bytes_again_heals_their_damaged_copy(
    busy: Daemon, damage: Callable[[Path], None], size: int
) -> None:
    data = os.urandom(size)
    async with client_of(busy) as session:
        before = await asked(session, "POST", "/v1/blobs", 201, data)
        assert await bytes_at(session, f"/v1/blobs/{before['uuid']}/data") == data
        damage(payload_path(busy.data, sha512(data)))

        stored = await asyncio.gather(*(asked(session, "POST", "/v1/blobs", 201, data) for _ in range(4)))

        for blob in (before, *stored):
            assert await bytes_at(session, f"/v1/blobs/{blob['uuid']}/data") == data
    assert sha512(data) in payload_files(busy.data)


async def test_a_shard_folder_that_an_operator_removed_is_made_again(busy: Daemon) -> None:
    data = os.urandom(1000)
    async with client_of(busy) as session:
        before = await asked(session, "POST", "/v1/blobs", 201, data)
        shutil.rmtree(payload_path(busy.data, sha512(data)).parent)

        # The first finds out, and says so; nothing is acknowledged that is not there.
        async with session.post("/v1/blobs", data=data) as response:
            assert response.status in (201, 500)
        await asked(session, "POST", "/v1/blobs", 201, data)

        assert await bytes_at(session, f"/v1/blobs/{before['uuid']}/data") == data


async def test_collecting_beside_uploads_and_deletes_of_the_same_content_loses_nothing(
    busy: Daemon, tmp_path: Path
) -> None:
    """Few contents, so that each is garbage and wanted again all the time."""
    contents = [os.urandom(size) for size in (100, 10_000, 200_000)]
    held: list[tuple[str, bytes]] = []
    uploads = 0
    is_over = asyncio.Event()

    async def client(number: int) -> None:
        nonlocal uploads
        choice = random.Random(number)
        for turn in range(40):
            data = choice.choice(contents)
            if choice.random() < 0.5:
                path = f"/v1/blobs/{(await asked(session, 'POST', '/v1/blobs', 201, data))['uuid']}"
            else:
                path = f"/v1/names/default/{number}-{turn}"
                await asked(session, "PUT", path, 201, data)
            uploads += 1
            data_path = f"{path}/data" if "/blobs/" in path else path
            assert await bytes_at(session, data_path) == data
            if turn == 39:
                held.append((data_path, data))
            else:
                await asked(session, "DELETE", path if "/blobs/" in path else f"{path}?purge=1", 204)

    async def collector() -> None:
        while not is_over.is_set():
            await asked(session, "POST", "/v1/upkeep/collect-garbage?force=1", 200)

    async with client_of(busy) as session, asyncio.TaskGroup() as group:
        collecting = [group.create_task(collector()) for _ in range(2)]
        await asyncio.gather(*(client(number) for number in range(10)))
        is_over.set()
        await asyncio.gather(*collecting)

        await asked(session, "POST", "/v1/upkeep/collect-garbage?force=1", 200)
        for path, data in held:
            assert await bytes_at(session, path) == data

    assert uploads == 400
    assert payload_files(busy.data) & {sha512(data) for data in contents} == {sha512(data) for _, data in held}
    assert incoming(busy.data) == []
    check_catalogue(busy.data, tmp_path / "copy")


async def test_binding_a_blob_while_it_is_deleted_and_collected_leaves_it_whole_or_gone(busy: Daemon) -> None:
    async def bind() -> int:
        async with session.put(f"/v1/names/default/{uuid}?blob={uuid}") as response:
            return response.status

    async def delete_and_collect() -> None:
        await asked(session, "DELETE", f"/v1/blobs/{uuid}", 204)
        await asked(session, "POST", "/v1/upkeep/collect-garbage?force=1", 200)

    async with client_of(busy) as session:
        for _ in range(40):
            data = os.urandom(1000)
            uuid = (await asked(session, "POST", "/v1/blobs", 201, data))["uuid"]

            status, _ = await asyncio.gather(bind(), delete_and_collect())

            assert status in (201, 404)
            async with session.get(f"/v1/names/default/{uuid}") as response:
                assert response.status == (200 if status == 201 else 404)
                assert status == 404 or await response.read() == data


def memory_kib(daemon: Daemon, field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB$", Path(f"/proc/{daemon.pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize(("event_loop", "is_chunked"), [("asyncio", False), ("uvloop", True)])
async def test_a_large_upload_and_its_download_take_little_memory(
    new_daemon: Callable[..., Daemon], event_loop: str, is_chunked: bool
) -> None:
    daemon = new_daemon(CASD_SERVER__EVENT_LOOP=event_loop).start()
    block = os.urandom(MIB)
    expected, received = hashlib.sha512(), hashlib.sha512()

    async def body() -> AsyncIterator[bytes]:
        for number in range(LARGE_MIB):
            piece = number.to_bytes(8, "big") + block[8:]
            expected.update(piece)
            yield piece

    headers = {} if is_chunked else {"Content-Length": str(LARGE_MIB * MIB)}
    async with client_of(daemon) as session:
        async with session.post("/v1/blobs", data=body(), headers=headers) as response:
            assert response.status == 201
            blob = await response.json()
        async with session.get(f"/v1/blobs/{blob['uuid']}/data") as response:
            async for data in response.content.iter_chunked(MIB):
                received.update(data)

    assert blob["size"] == LARGE_MIB * MIB
    assert blob["sha512"] == received.hexdigest() == expected.hexdigest()
    assert memory_kib(daemon, "VmHWM") < RSS_LIMIT_KIB
