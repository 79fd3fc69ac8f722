"""Reading here and there: what is fetched for it, that it is checked, and lines that break."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from fsspec.callbacks import Callback

from casd.client import Retry
from casd.fsspec.ranges import limits, spans
from tests.conftest import Daemon
from tests.fsspec.conftest import Connect
from tests.proxy import Fault, Proxy

MIB = 1 << 20
DATA = random.Random(5).randbytes(9 * MIB + 1234)
PATIENT: dict[str, Any] = {"client_options": {"retry": Retry(uniform=lambda low, high: 0.0)}}


@pytest.fixture
def path(fs: Any, fs_path: str) -> str:
    fs.pipe_file(f"{fs_path}/data", DATA)
    return f"{fs_path}/data"


# -- which bytes --------------------------------------------------------------------------------------------------


WITHIN = [(0, 10), (5, 5), (9, 3), (-10, None), (-10, -3), (None, 7), (None, -5), (3 * MIB - 5, 3 * MIB + 5)]
BEYOND = [(8 * MIB, 1 << 40), (1 << 40, None), (-(1 << 40), 4)]


@pytest.mark.parametrize(("start", "stop"), WITHIN + BEYOND)
def test_a_range_is_what_a_slice_would_be(fs: Any, path: str, start: int | None, stop: int | None) -> None:
    expected = DATA[start:stop]

    assert fs.cat_file(path, start, stop) == expected
    assert fs.cat_ranges([path], [start], [stop]) == [expected]


def test_limits_are_those_of_slices_on_bytes() -> None:
    for size in (0, 1, 5):
        for start in (None, *range(-7, 8)):
            for stop in (None, *range(-7, 8)):
                first, last = limits(start, stop, size)
                assert bytes(range(size))[first:last] == bytes(range(size))[start:stop]


def test_ranges_of_the_same_blocks_are_one_read() -> None:
    ranges = [(0, 10), (MIB + 5, MIB + 6), (20, 30), (7, 7), (4 * MIB, 4 * MIB + 1), (5 * MIB - 1, 5 * MIB + 1)]

    found = [(span.start, span.stop, sorted(span.brings)) for span in spans(ranges)]

    assert found == [(0, 2 * MIB, [0, 1, 2]), (4 * MIB, 6 * MIB, [4, 5])]
    assert [(span.start, span.stop) for span in spans(ranges, gap=2 * MIB)] == [(0, 6 * MIB)]


@pytest.mark.filterwarnings("ignore:.*unclosed file:ResourceWarning")  # of fsspec's own mmap cache
@pytest.mark.filterwarnings("ignore:.*_io.FileIO:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("cache", ["readahead", "blockcache", "bytes", "none", "all", "background", "mmap", "first"])
def test_every_cache_of_fsspec_reads_the_same(fs: Any, path: str, cache: str) -> None:
    chance = random.Random(cache)
    with fs.open(path, cache_type=cache, block_size=MIB // 3) as file:
        for _ in range(30):
            start, size = chance.randrange(len(DATA)), chance.randrange(2 * MIB)
            file.seek(start)
            assert file.read(size) == DATA[start : start + size]
        file.seek(0)
        assert b"".join(iter(lambda: file.read(700_000), b"")) == DATA


# -- how much of it -----------------------------------------------------------------------------------------------


async def test_a_little_of_a_large_file_is_little(shared_daemon: Daemon, connect: Connect, fs: Any, path: str) -> None:
    async with Proxy(shared_daemon.url) as proxy:
        far = connect(proxy.url)
        assert await asyncio.to_thread(far.cat_file, path, 5 * MIB, 5 * MIB + 10) == DATA[5 * MIB : 5 * MIB + 10]

        assert proxy.ranges == [f"{5 * MIB}-{6 * MIB - 1}"]
        assert sum(seen.answers for seen in proxy.seen) < 1.1 * MIB


async def test_a_file_that_is_read_through_comes_once(
    shared_daemon: Daemon, connect: Connect, fs: Any, path: str
) -> None:
    def read() -> bytes:
        with far.open(path) as file:
            return b"".join(iter(lambda: file.read(100_000), b""))  # of ten blocks

    async with Proxy(shared_daemon.url) as proxy:
        far = connect(proxy.url)
        assert await asyncio.to_thread(read) == DATA

        assert sum(seen.answers for seen in proxy.seen) < 1.01 * len(DATA)
        assert len(proxy.ranges) <= 4  # more each time


async def test_many_ranges_share_what_they_can(shared_daemon: Daemon, connect: Connect, path: str) -> None:
    starts = [chance * 50_000 for chance in range(100)]
    async with Proxy(shared_daemon.url) as proxy:
        far = connect(proxy.url)
        found = await asyncio.to_thread(far.cat_ranges, [path] * 100, starts, [start + 999 for start in starts])

        assert found == [DATA[start : start + 999] for start in starts]
        assert proxy.ranges == [f"0-{5 * MIB - 1}"]


def test_a_range_that_cannot_be_had_keeps_no_other_back(fs: Any, path: str) -> None:
    paths = [path, f"{path}/none", path]

    found = fs.cat_ranges(paths, 0, 5)

    assert [found[0], found[2]] == [DATA[:5]] * 2
    assert isinstance(found[1], FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges(paths, 0, 5, on_error="raise")


# -- lines that break, and daemons that lie -----------------------------------------------------------------------

FAULTS = [Fault("cut", 1_500_000), Fault("reset", 2_000_000), Fault("cut", 300), None, Fault("cut", 900_000)]


async def test_reading_goes_on_where_the_line_broke(shared_daemon: Daemon, connect: Connect, path: str) -> None:
    def read() -> bytes:
        with far.open(path, block_size=3 * MIB) as file:
            return b"".join(iter(lambda: file.read(2 * MIB), b""))

    async with Proxy(shared_daemon.url, *FAULTS) as proxy:
        far = connect(proxy.url, **PATIENT)
        assert await asyncio.to_thread(read) == DATA
        assert len(proxy.seen) >= 4


async def test_writing_goes_on_where_the_line_broke(
    shared_daemon: Daemon, connect: Connect, fs: Any, fs_path: str
) -> None:
    def write() -> None:
        with far.open(f"{fs_path}/new", "wb") as file:
            for start in range(0, len(DATA), 600_000):
                file.write(DATA[start : start + 600_000])

    cuts = [Fault("cut", 3_000_000, of="requests"), Fault("reset", 1_000_000, of="requests")]
    async with Proxy(shared_daemon.url, *cuts) as proxy:
        far = connect(proxy.url, **PATIENT)
        await asyncio.to_thread(write)
        assert len(proxy.seen) >= 3

    assert fs.cat_file(f"{fs_path}/new") == DATA
    assert [info["version"] for info in fs.versions(f"{fs_path}/new")] == [1]


@asynccontextmanager
async def liar(daemon: Daemon, spoil: Callable[[bytes], bytes]) -> AsyncIterator[str]:
    """Stands before the daemon and spoils the bytes that it hands out."""

    async def handle(request: web.Request) -> web.StreamResponse:
        async with session.request(
            request.method, daemon.url + request.raw_path, headers=request.headers, data=await request.read()
        ) as answer:
            body = await answer.read()
            is_data = request.method == "GET" and "Repr-Digest" in answer.headers
            headers = {key: value for key, value in answer.headers.items() if key.lower() != "date"}
            return web.Response(status=answer.status, headers=headers, body=spoil(body) if is_data else body)

    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        try:
            yield f"http://{host}:{port}"
        finally:
            await runner.cleanup()


def flipped(body: bytes) -> bytes:
    return body[:1000] + bytes([body[1000] ^ 1]) + body[1001:] if len(body) > 1000 else body


async def test_a_range_that_arrives_wrong_is_fetched_again(shared_daemon: Daemon, connect: Connect, path: str) -> None:
    spoiled: list[bytes] = []

    def once(body: bytes) -> bytes:
        if spoiled:
            return body
        spoiled.append(body)
        return flipped(body)

    async with liar(shared_daemon, once) as url:
        fs = connect(url, **PATIENT)
        assert await asyncio.to_thread(fs.cat_file, path, 2 * MIB, 2 * MIB + 2000) == DATA[2 * MIB : 2 * MIB + 2000]

    assert spoiled


async def test_a_range_that_stays_wrong_is_an_error(shared_daemon: Daemon, connect: Connect, path: str) -> None:
    def read() -> bytes:
        with fs.open(path) as file:
            return bytes(file.read(10))

    async with liar(shared_daemon, flipped) as url:
        fs = connect(url, **PATIENT)
        for call in (read, lambda: fs.cat_file(path, 5, 10), lambda: fs.cat_file(path)):
            with pytest.raises(OSError, match="not what its checksum says"):
                await asyncio.to_thread(call)
        found = await asyncio.to_thread(fs.cat_ranges, [path], [0], [5])

    assert isinstance(found[0], OSError)


async def test_getting_a_file_goes_on_from_what_is_here(
    shared_daemon: Daemon, connect: Connect, path: str, tmp_path: Any
) -> None:
    target = tmp_path / "file"
    async with Proxy(shared_daemon.url, then=Fault("cut", 4_000_000)) as proxy:
        hasty = connect(proxy.url, client_options={"retry": Retry(attempts=1, uniform=lambda low, high: 0.0)})
        with pytest.raises(ConnectionError):
            await asyncio.to_thread(hasty.get_file, path, str(target))
    assert not target.exists()
    callback = Callback()

    async with Proxy(shared_daemon.url) as proxy:
        await asyncio.to_thread(connect(proxy.url).get_file, path, str(target), callback=callback)
        # Not counted in bytes: the first answer is hung up on, and some of it is in buffers by then.
        assert [int(wanted.partition("-")[0]) >= 3 * MIB for wanted in proxy.ranges] == [True]

    assert target.read_bytes() == DATA
    assert callback.value == len(DATA)
