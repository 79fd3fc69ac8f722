"""Blocks that are wrong: in what an earlier run left, on the way, or at the daemon."""

import io
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import xxhash
from aiohttp import web

from casd.client import Blob, BlockDiffers, Client, ContentChanged, Progress, Refused, partial_path, save, stream
from casd.errors import InvalidInput
from tests.client.conftest import Connect, Payload, Script
from tests.client.test_answers import UUID_0
from tests.client.test_download import CUT, ranges, read
from tests.conftest import Daemon
from tests.proxy import Fault, Proxy

MIB = 1 << 20
PAYLOAD = Payload(random.Random(8).randbytes(5 * MIB + 1000))
SUMS = [xxhash.xxh3_64_hexdigest(PAYLOAD.data[at : at + MIB]) for at in range(0, len(PAYLOAD.data), MIB)]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon, for its loop is not the point here."""
    running = Daemon(tmp_path_factory.mktemp("checking") / "data").start()
    yield running
    assert running.stop() == 0, running.log


@pytest.fixture
def payload() -> Payload:
    return PAYLOAD


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "disk.img"


def left_behind(target: Path, data: bytes) -> None:
    """An earlier run wrote this before it was killed."""
    partial_path(target, PAYLOAD.digest).write_bytes(data)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


async def saved(daemon: Any, connect: Connect, blob: Blob, target: Path, **options: Any) -> Proxy:
    async with (
        Proxy(daemon.url) as proxy,
        connect(proxy.url) as client,
        client.download_blob(blob.uuid) as download,
    ):
        await save(download, target, **options)
    assert target.read_bytes() == PAYLOAD.data
    assert list(target.parent.iterdir()) == [target]
    return proxy


@pytest.mark.parametrize("block", [0, 2, 5])
@pytest.mark.parametrize("connections", [1, 3])
async def test_a_flipped_byte_costs_its_block_and_no_other(
    daemon: Any, connect: Connect, blob: Blob, target: Path, block: int, connections: int
) -> None:
    left_behind(target, flipped(PAYLOAD.data, block * MIB + 17))
    told: list[Progress] = []

    proxy = await saved(daemon, connect, blob, target, connections=connections, progress=told.append)

    stop = None if block == 5 else (block + 1) * MIB
    assert ranges(proxy)[1:] == [(block * MIB, stop)]  # the first told what is fetched, and was hung up
    size = min(MIB, len(PAYLOAD.data) - block * MIB)
    assert told[-1] == Progress(len(PAYLOAD.data), len(PAYLOAD.data), len(PAYLOAD.data) - size, 0)


async def test_of_a_partial_full_of_holes_every_good_block_is_kept(
    daemon: Any, connect: Connect, blob: Blob, target: Path
) -> None:
    zeros = bytes(MIB)
    left_behind(target, zeros + PAYLOAD.data[MIB : 2 * MIB] + zeros + zeros + PAYLOAD.data[4 * MIB : 4 * MIB + 500_000])

    proxy = await saved(daemon, connect, blob, target)

    assert ranges(proxy)[1:] == [(0, MIB), (2 * MIB, 4 * MIB), (4 * MIB + 500_000, None)]


async def test_the_unfinished_last_block_of_a_partial_is_gone_on_with(
    daemon: Any, connect: Connect, blob: Blob, target: Path
) -> None:
    left_behind(target, PAYLOAD.data[: 2 * MIB + 12_345])

    proxy = await saved(daemon, connect, blob, target)

    assert ranges(proxy)[1:] == [(2 * MIB + 12_345, None)]


async def test_an_unfinished_last_block_that_was_spoiled_is_fetched_again(
    daemon: Any, connect: Connect, blob: Blob, target: Path
) -> None:
    left_behind(target, flipped(PAYLOAD.data[: 2 * MIB + 12_345], 2 * MIB + 9))

    proxy = await saved(daemon, connect, blob, target)

    assert ranges(proxy)[1:] == [(2 * MIB + 12_345, None), (2 * MIB, 3 * MIB)]


async def test_a_partial_that_is_longer_than_the_payload_is_not_believed(
    daemon: Any, connect: Connect, blob: Blob, target: Path
) -> None:
    left_behind(target, PAYLOAD.data + b"more")

    await saved(daemon, connect, blob, target)


async def test_several_connections_bring_the_same_bytes_and_share_the_work(
    daemon: Any, connect: Connect, blob: Blob, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("casd.client.saving.SPAN_BLOCKS", 1)

    proxy = await saved(daemon, connect, blob, target, connections=3)

    assert sorted(start for start, _ in ranges(proxy)[1:]) == [at * MIB for at in range(6)]


async def test_several_connections_that_are_cut_go_on(
    daemon: Any, connect: Connect, blob: Blob, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("casd.client.saving.SPAN_BLOCKS", 2)
    cuts = [None, *[Fault("cut", after=700_000)] * 6]

    async with (
        Proxy(daemon.url, *cuts) as proxy,
        connect(proxy.url) as client,
        client.download_blob(blob.uuid) as download,
    ):
        await save(download, target, connections=3)

    assert target.read_bytes() == PAYLOAD.data


@pytest.mark.parametrize(
    ("start", "stop"), [(0, None), (5, 6), (MIB - 1, MIB + 1), (2 * MIB, 3 * MIB), (5 * MIB + 999, None), (7, 7)]
)
async def test_a_range_is_streamed_as_it_is(client: Client, blob: Blob, start: int, stop: int | None) -> None:
    file = io.BytesIO()

    async with client.download_blob(blob.uuid) as download:
        await stream(download, file, start=start, stop=stop)

    assert file.getvalue() == PAYLOAD.data[start:stop]


async def test_a_range_outside_of_the_payload_is_refused(client: Client, blob: Blob) -> None:
    async with client.download_blob(blob.uuid) as download:
        with pytest.raises(InvalidInput):
            await stream(download, io.BytesIO(), start=len(PAYLOAD.data) + 1)


# -- a daemon that has, or sends, other bytes ---------------------------------------------------------------------


class Shelf:
    """A scripted daemon: the payload in parts, with whatever it is told to spoil, and its block list."""

    def __init__(self, *, spoil: dict[int, int] | None = None, tells_blocks: bool = True) -> None:
        self.spoil = spoil or {}  # byte to how many answers get it wrong
        self.tells_blocks = tells_blocks
        self.asked: list[str] = []
        self.headers = {"ETag": f'"{PAYLOAD.digest}"'}

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/blocks"):
            if not self.tells_blocks:
                return web.json_response({"code": "no-such-path"}, status=404)
            start, stop = int(request.query["start"]), int(request.query["stop"])
            return web.json_response({"block_size": MIB, "algorithm": "xxh3-64", "blocks": SUMS[start:stop][:2]})
        asked = request.headers.get("Range", "")
        self.asked.append(asked)
        start, stop = 0, len(PAYLOAD.data)
        if asked:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, stop = int(first), int(last) + 1 if last else stop
        data = PAYLOAD.data[start:stop]
        for at, times in self.spoil.items():
            if start <= at < stop and times:
                data = flipped(data, at - start)
                self.spoil[at] -= 1
        if not asked:
            return web.Response(body=data, headers=self.headers)
        part = {"Content-Range": f"bytes {start}-{stop - 1}/{len(PAYLOAD.data)}"}
        return web.Response(status=206, body=data, headers=self.headers | part)


async def test_a_block_that_arrives_wrong_is_fetched_again_alone(script: Script, target: Path) -> None:
    shelf = Shelf(spoil={3 * MIB + 7: 2})
    client = await script(*[shelf] * 20)
    told: list[Progress] = []

    async with client.download_blob(UUID_0) as download:
        await save(download, target, told.append)

    assert target.read_bytes() == PAYLOAD.data
    assert shelf.asked == ["", *[f"bytes={3 * MIB}-{4 * MIB - 1}"] * 2]
    assert told[-1].again == 2 * MIB


async def test_a_wrong_block_never_reaches_a_pipe(script: Script) -> None:
    client = await script(*[Shelf(spoil={3 * MIB + 7: 1})] * 20)
    file = io.BytesIO()

    async with client.download_blob(UUID_0) as download:
        await stream(download, file)

    assert file.getvalue() == PAYLOAD.data


async def test_a_block_that_stays_wrong_is_named_and_the_rest_is_kept(script: Script, target: Path) -> None:
    client = await script(*[Shelf(spoil={3 * MIB + 7: 99})] * 20)

    async with client.download_blob(UUID_0) as download:
        with pytest.raises(BlockDiffers, match="block 3 ") as caught:
            await save(download, target)

    assert (caught.value.index, caught.value.start, caught.value.stop) == (3, 3 * MIB, 4 * MIB)
    assert not target.exists()
    assert partial_path(target, PAYLOAD.digest).read_bytes()[: 3 * MIB] == PAYLOAD.data[: 3 * MIB]


async def test_a_daemon_without_block_lists_is_trusted_by_the_digest_alone(script: Script, target: Path) -> None:
    left_behind(target, PAYLOAD.data[:3_000_000])
    shelf = Shelf(tells_blocks=False)
    client = await script(*[shelf] * 20)

    async with client.download_blob(UUID_0) as download:
        await save(download, target)

    assert target.read_bytes() == PAYLOAD.data
    assert shelf.asked == ["", "bytes=3000000-"]


async def test_a_spoiled_partial_is_found_out_without_block_lists_too(script: Script, target: Path) -> None:
    left_behind(target, flipped(PAYLOAD.data[:3_000_000], 5))
    shelf = Shelf(tells_blocks=False)
    client = await script(*[shelf] * 20)

    async with client.download_blob(UUID_0) as download:
        await save(download, target)

    assert target.read_bytes() == PAYLOAD.data
    assert shelf.asked == ["", "bytes=3000000-", ""]


# -- a name that moves on -----------------------------------------------------------------------------------------


async def test_a_name_whose_version_was_removed_is_fetched_as_what_it_is_now(
    daemon: Any, connect: Connect, client: Client, name: str, target: Path
) -> None:
    first = await client.put_name("default", name, PAYLOAD.source())
    newer = Payload(PAYLOAD.data[::-1])

    async with (
        Proxy(daemon.url, CUT) as proxy,
        connect(proxy.url) as other,
        other.download_name("default", name) as download,
    ):
        await client.put_name("default", name, newer.source())
        await client.delete_name("default", name, version=first.number)
        await save(download, target)
        assert download.content.digest == newer.digest

    assert target.read_bytes() == newer.data
    assert os.listdir(target.parent) == [target.name]


async def test_a_pipe_is_never_given_two_versions(daemon: Any, connect: Connect, client: Client, name: str) -> None:
    first = await client.put_name("default", name, PAYLOAD.source())
    file = io.BytesIO()

    async with (
        Proxy(daemon.url, CUT) as proxy,
        connect(proxy.url) as other,
        other.download_name("default", name) as download,
    ):
        await client.put_name("default", name, Payload(PAYLOAD.data[::-1]).source())
        await client.delete_name("default", name, version=first.number)
        with pytest.raises(ContentChanged):
            await stream(download, file)

    assert PAYLOAD.data.startswith(file.getvalue())


async def test_a_version_that_was_asked_for_is_not_replaced_by_another(
    daemon: Any, connect: Connect, client: Client, name: str, target: Path
) -> None:
    first = await client.put_name("default", name, PAYLOAD.source())

    async with (
        Proxy(daemon.url, CUT) as proxy,
        connect(proxy.url) as other,
        other.download_name("default", name, version=first.number) as download,
    ):
        await client.put_name("default", name, Payload(b"other").source())
        await client.delete_name("default", name, version=first.number)
        with pytest.raises(Refused) as caught:
            await save(download, target)

    assert caught.value.status == 404
    assert not target.exists()


async def test_a_pieces_reader_gets_what_a_range_names(client: Client, blob: Blob) -> None:
    async with client.download_blob(blob.uuid) as download:
        found = b"".join([piece async for piece in download.pieces(5, 2_000_000)])

    assert found == PAYLOAD.data[5:2_000_000]
    assert await read(client.download_blob(blob.uuid)) == PAYLOAD.data
