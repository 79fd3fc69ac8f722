"""Strangers' tools, unmodified: curl, wget and aria2c fetch and send, and go on after a connection was cut."""

import asyncio
import hashlib
import random
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import Daemon
from tests.proxy import Fault, Proxy
from tests.tools.shop import (
    CUT,
    CUT_UPLOAD,
    PATIENCE_S,
    RESET,
    SIZE,
    STALL,
    Shop,
    aria2c,
    curl,
    curl_on,
    ran,
    run,
    tool,
    wget,
)
from tests.web.wire import ask, has_payload, incoming, wait_until

PARTIAL_FILE = 18  # curl's exit code for a transfer that ended too early


@pytest.fixture
def shop(shared_daemon: Daemon) -> Shop:
    return Shop(shared_daemon)


@pytest.fixture(params=["blob", "name"])
def path(request: pytest.FixtureRequest, shop: Shop) -> str:
    return shop.blob if request.param == "blob" else shop.name


# -- curl -------------------------------------------------------------------------------------------------------------


async def test_curl_goes_on_where_it_was_cut(shop: Shop, path: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    async with Proxy(shop.daemon.url, CUT) as proxy:
        first = await curl(shop, "-o", str(file), proxy.url + path)
        had = file.stat().st_size

        second = await curl(shop, "-C", "-", "-o", str(file), proxy.url + path)

    assert (first, second) == (PARTIAL_FILE, 0)
    assert 0 < had < SIZE
    assert file.read_bytes() == shop.data
    assert proxy.seen[1].answers < SIZE - had + 10_000  # the rest alone came over the wire


async def test_curl_goes_on_after_its_user_gave_up_on_a_silent_line(shop: Shop, path: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    async with Proxy(shop.daemon.url, STALL) as proxy:
        process = await asyncio.create_subprocess_exec(
            *(tool("curl"), "-sS", "-H", shop.auth, "-o", str(file), proxy.url + path)
        )
        await proxy.stalled()
        await asyncio.to_thread(wait_until, lambda: file.exists() and file.stat().st_size, "curl has written something")
        process.terminate()
        await process.wait()
        had = file.stat().st_size

        second = await curl(shop, "-C", "-", "-o", str(file), proxy.url + path)

    assert second == 0
    assert 0 < had < SIZE
    assert proxy.ranges == [f"{had}-"]
    assert file.read_bytes() == shop.data


@pytest.mark.parametrize("fetch", [wget, aria2c, curl_on])
async def test_a_version_stays_the_same_when_the_name_moves_on_midway(
    shop: Shop, tmp_path: Path, fetch: Callable[..., Coroutine[Any, Any, int]]
) -> None:
    """None of them says by If-Range which bytes it had begun with."""
    file = tmp_path / "file"
    async with Proxy(shop.daemon.url, STALL) as proxy:
        first = asyncio.create_task(fetch(shop, file, f"{proxy.url}{shop.name}?version=1"))
        await proxy.stalled()
        assert ask(shop.daemon, "PUT", shop.name, random.randbytes(SIZE)).status == 201
        await proxy.mend()
        code = await first
        if code:  # curl does not go on by itself
            code = await fetch(shop, file, f"{proxy.url}{shop.name}?version=1")

    assert code == 0
    assert file.read_bytes() == shop.data


async def test_curl_with_a_finished_file_has_nothing_to_fetch(shop: Shop, path: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(shop.data)

    code = await curl(shop, "-C", "-", "-o", str(file), shop.daemon.url + path)

    # curl calls a 416 with its `bytes */size` a success from 7.88 or so on; before, an error 22 or 33.
    assert code in (0, 22, 33)
    assert file.read_bytes() == shop.data


@pytest.mark.parametrize("wanted", [slice(0, 1), slice(1000, 70_001), slice(SIZE - 5, SIZE), slice(1 << 20, SIZE)])
async def test_curl_fetches_a_range(shop: Shop, path: str, tmp_path: Path, wanted: slice) -> None:
    file = tmp_path / "file"
    text = f"{wanted.start}-{wanted.stop - 1}"

    code = await curl(shop, "-r", text, "-o", str(file), shop.daemon.url + path)

    assert code == 0
    assert file.read_bytes() == shop.data[wanted]


async def test_curl_fetches_a_suffix_that_was_cut_again(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "file"
    async with Proxy(shop.daemon.url, CUT) as proxy:
        first = await curl(shop, "-r", "-2000000", "-o", str(file), proxy.url + shop.blob)

        second = await curl(shop, "-r", "-2000000", "-o", str(file), proxy.url + shop.blob)

    assert (first, second) == (PARTIAL_FILE, 0)
    assert file.read_bytes() == shop.data[-2_000_000:]


async def test_curl_puts_a_name_and_an_interrupted_try_leaves_nothing(shop: Shop, tmp_path: Path) -> None:
    file, data, name = tmp_path / "up", random.randbytes(SIZE), f"/v1/names/default/tools/{uuid4()}"
    file.write_bytes(data)
    async with Proxy(shop.daemon.url, CUT_UPLOAD) as proxy:
        first = await curl(shop, "-T", str(file), proxy.url + name)
        is_kept = has_payload(shop.daemon, data)
        status = ask(shop.daemon, "GET", name).status

        second = await curl(shop, "-T", str(file), proxy.url + name)

    assert first != 0
    assert (is_kept, status) == (False, 404)
    assert second == 0
    assert ask(shop.daemon, "GET", name).body == data
    wait_until(lambda: not incoming(shop.daemon), "the cut upload's stage is gone")


async def test_curl_cannot_append_a_tail_as_a_new_version(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "up"
    file.write_bytes(random.randbytes(SIZE))

    code = await curl(shop, "-C", "1000000", "-T", str(file), shop.daemon.url + shop.name)

    assert code == 22  # of --fail: 400
    assert ask(shop.daemon, "GET", shop.name).body == shop.data


async def test_curl_posts_a_file_and_an_interrupted_try_leaves_nothing(shop: Shop, tmp_path: Path) -> None:
    file, answer, data = tmp_path / "up", tmp_path / "answer", random.randbytes(SIZE)
    file.write_bytes(data)
    arguments = ("--data-binary", f"@{file}", "-H", "Content-Type: a/b", "-o", str(answer))
    async with Proxy(shop.daemon.url, CUT_UPLOAD) as proxy:
        first = await curl(shop, *arguments, f"{proxy.url}/v1/blobs")
        is_kept = has_payload(shop.daemon, data)

        second = await curl(shop, *arguments, f"{proxy.url}/v1/blobs")

    assert first != 0
    assert not is_kept
    assert second == 0
    assert hashlib.sha512(data).hexdigest() in answer.read_text()
    assert has_payload(shop.daemon, data)


@pytest.mark.parametrize("size", [0, 5, SIZE])
async def test_curl_that_waits_for_100_continue_stores_its_file(shop: Shop, tmp_path: Path, size: int) -> None:
    file, data, name = tmp_path / "up", random.randbytes(size), f"/v1/names/default/tools/{uuid4()}"
    file.write_bytes(data)

    code = await curl(shop, "-H", "Expect: 100-continue", "-T", str(file), shop.daemon.url + name)

    assert code == 0
    assert ask(shop.daemon, "GET", name).body == data


async def test_curl_streams_what_it_reads_from_a_pipe(shop: Shop, tmp_path: Path) -> None:
    data, name = random.randbytes(SIZE), f"/v1/names/default/tools/{uuid4()}"
    process = await asyncio.create_subprocess_exec(
        *(tool("curl"), "-sS", "--fail", "-H", shop.auth, "-T", "-", "-o", str(tmp_path / "answer")),
        shop.daemon.url + name,
        stdin=asyncio.subprocess.PIPE,
    )

    async with asyncio.timeout(PATIENCE_S):
        await process.communicate(data)

    assert process.returncode == 0
    assert ask(shop.daemon, "GET", name).body == data


async def test_curl_saves_under_the_name_that_casd_tells(shop: Shop, tmp_path: Path) -> None:
    name = f"/v1/names/default/tools/{uuid4()}/my%20disk%2B1.img"
    assert ask(shop.daemon, "PUT", name, b"data").status == 201

    code = await curl(shop, "-O", "-J", "--output-dir", str(tmp_path), shop.daemon.url + name)

    assert code == 0
    assert (tmp_path / "my disk+1.img").read_bytes() == b"data"


async def test_curl_does_not_fetch_again_what_has_not_changed(shop: Shop, path: str, tmp_path: Path) -> None:
    file, tag = tmp_path / "file", tmp_path / "tag"
    known = ("--etag-save", str(tag), "--etag-compare", str(tag), "-w", "%{stderr}%{http_code} %{size_download}")
    told = []
    for _ in range(2):
        command = (tool("curl"), "-sS", "-H", shop.auth, *known, "-o", file, shop.daemon.url + path)
        told.append(await ran(*command))
    by_date = await ran(tool("curl"), "-sS", "-R", "-z", file, *command[2:4], *known[-2:], shop.daemon.url + path)

    # curl gives the file its own time, so only a blob, for which an older date will do, is known by it.
    assert told == [(0, f"200 {SIZE}"), (0, "304 0")]
    assert file.read_bytes() == shop.data
    assert by_date[1].startswith("304") or path == shop.name


@pytest.mark.parametrize("option", ["--compressed", "--http1.0", "--http2", "--tr-encoding"])
async def test_curl_gets_the_stored_bytes_whatever_else_it_would_take(shop: Shop, tmp_path: Path, option: str) -> None:
    file = tmp_path / "file"

    code = await curl(shop, option, "-o", str(file), shop.daemon.url + shop.name)

    assert code == 0
    assert file.read_bytes() == shop.data


# -- wget -------------------------------------------------------------------------------------------------------------


async def test_wget_goes_on_by_itself_where_it_was_cut(shop: Shop, path: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    async with Proxy(shop.daemon.url, CUT, CUT) as proxy:
        code = await wget(shop, file, proxy.url + path, "--tries=5", "--waitretry=0")

    assert code == 0
    assert file.read_bytes() == shop.data
    assert [b"Range: bytes=" in bytes(seen.requests) for seen in proxy.seen] == [False, True, True]


async def test_wget_goes_on_by_itself_after_resets_and_silence(shop: Shop, path: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    async with Proxy(shop.daemon.url, RESET, STALL) as proxy:
        code = await wget(shop, file, proxy.url + path, "--tries=9", "--waitretry=0", "--read-timeout=1")

    assert code == 0
    assert file.read_bytes() == shop.data
    assert len(proxy.ranges) >= 2


async def test_wget_goes_on_with_a_file_of_an_earlier_run(shop: Shop, path: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    async with Proxy(shop.daemon.url, CUT) as proxy:
        first = await wget(shop, file, proxy.url + path, "--tries=1")
        had = file.stat().st_size

        second = await wget(shop, file, proxy.url + path, "-c", "--tries=1")

    assert first != 0
    assert second == 0
    assert 0 < had < SIZE
    assert file.read_bytes() == shop.data
    assert f"Range: bytes={had}-".encode() in bytes(proxy.seen[1].requests)


async def test_wget_with_a_finished_file_has_nothing_to_fetch(shop: Shop, path: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(shop.data)

    code = await wget(shop, file, shop.daemon.url + path, "-c", "--tries=1")

    assert code == 0
    assert file.read_bytes() == shop.data


async def test_wget_does_not_fetch_again_what_has_not_changed(shop: Shop, path: str, tmp_path: Path) -> None:
    command = (tool("wget"), "-nv", "--no-hsts", "-N", "-P", str(tmp_path), f"--header={shop.auth}")
    file = tmp_path / path.rpartition("/")[2]
    async with Proxy(shop.daemon.url) as proxy:
        first = await run(*command, proxy.url + path)
        second = await run(*command, proxy.url + path)

    assert (first, second) == (0, 0)
    assert file.read_bytes() == shop.data
    assert proxy.seen[1].answers < 5000  # a 304


# -- aria2c -----------------------------------------------------------------------------------------------------------


async def test_aria2c_fetches_the_parts_at_once_though_one_is_cut(shop: Shop, path: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    async with Proxy(shop.daemon.url, None, Fault("cut", 300_000)) as proxy:
        code = await aria2c(shop, file, proxy.url + path)

    assert code == 0
    assert file.read_bytes() == shop.data
    assert sum(b"Range: bytes=" in bytes(seen.requests) for seen in proxy.seen) >= 3


async def test_aria2c_goes_on_after_resets_and_silence(shop: Shop, path: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    faults = [Fault("throttle", 0, rate=1 << 20), Fault("reset", 100_000), Fault("stall", 200_000)]
    async with Proxy(shop.daemon.url, *faults) as proxy:
        code = await aria2c(shop, file, proxy.url + path, "--timeout=2")

    assert code == 0
    assert file.read_bytes() == shop.data
    assert len(proxy.ranges) >= 3


async def test_aria2c_goes_on_with_the_parts_of_an_earlier_run(shop: Shop, path: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    control = tmp_path / "file.aria2"  # what aria2c knows of the parts it has
    cuts = [Fault("cut", 300_000)] * 20
    async with Proxy(shop.daemon.url, *cuts) as proxy:
        first = await aria2c(shop, file, proxy.url + path, "--max-tries=1")
    had_parts = control.exists()
    async with Proxy(shop.daemon.url) as proxy:
        second = await aria2c(shop, file, proxy.url + path, "--continue=true")

    assert first != 0
    assert had_parts
    assert second == 0
    assert file.read_bytes() == shop.data
    assert not control.exists()
    assert any(b"Range: bytes=" in bytes(seen.requests) for seen in proxy.seen)


async def test_aria2c_checks_the_sum_that_casd_tells(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "file"
    digest = hashlib.sha512(shop.data).hexdigest()

    good = await aria2c(shop, file, shop.daemon.url + shop.blob, f"--checksum=sha-512={digest}")

    assert good == 0
    assert file.read_bytes() == shop.data


# -- all at once ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fetch", "patience"), [(wget, ()), (aria2c, ("--max-tries=0", "--retry-wait=1"))])
async def test_a_tool_outlives_the_daemon(
    new_daemon: Callable[..., Daemon],
    tmp_path: Path,
    fetch: Callable[..., Coroutine[Any, Any, int]],
    patience: tuple[str, ...],
) -> None:
    """kill -9 in the middle of a download, and a new start: nobody but the tool knows of it, and it goes on."""
    daemon = new_daemon().start()
    shop, file = Shop(daemon), tmp_path / "file"
    async with Proxy(daemon.url, STALL) as proxy:
        fetching = asyncio.create_task(fetch(shop, file, proxy.url + shop.name, *patience))
        await proxy.stalled()
        await asyncio.to_thread(daemon.kill)
        await asyncio.to_thread(daemon.start)
        await proxy.retarget(daemon.url)
        code = await fetching

    assert code == 0
    assert file.read_bytes() == shop.data
    assert proxy.ranges
    assert daemon.stop() == 0


async def test_what_anybody_may_read_needs_no_token(shop: Shop, tmp_path: Path) -> None:
    assert ask(shop.daemon, "PUT", "/v1/namespaces/open", {"anonymous_read": True}).status == 200
    name = f"/v1/names/open/{uuid4()}"
    assert ask(shop.daemon, "PUT", name, shop.data).status == 201
    shop.auth = "X-Nothing: 1"
    async with Proxy(shop.daemon.url, CUT, CUT) as proxy:
        code = await wget(shop, tmp_path / "file", proxy.url + name, "--waitretry=0")

    assert code == 0
    assert (tmp_path / "file").read_bytes() == shop.data


@pytest.mark.parametrize("fetch", [wget, aria2c])
async def test_a_tool_without_a_token_is_turned_away(
    shop: Shop, tmp_path: Path, fetch: Callable[..., Coroutine[Any, Any, int]]
) -> None:
    shop.auth = "X-Nothing: 1"

    assert await fetch(shop, tmp_path / "file", shop.daemon.url + shop.blob) != 0


def test_the_daemon_saw_nothing_unusual(shared_daemon: Daemon) -> None:
    assert "Traceback" not in shared_daemon.log
