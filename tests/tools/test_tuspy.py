"""tuspy, a stranger's tus client, unmodified: it goes on in another process, and with another daemon."""

import os
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import Daemon
from tests.proxy import Fault, Proxy
from tests.tools.tuspy import Client
from tests.tools.tuspy import tuspy as tuspy
from tests.web.wire import incoming

MB = 1_000_000
SIZE = 200 * MB


def sha512sum(file: Path) -> str:
    return subprocess.run(["sha512sum", file], check=True, capture_output=True, text=True).stdout.split()[0]


def write_random(file: Path, size: int) -> Path:
    with file.open("wb") as opened:
        for start in range(0, size, MB):
            opened.write(os.urandom(min(MB, size - start)))
    return file


def fetch(daemon: Daemon, path: str, into: Path) -> Path:
    request = urllib.request.Request(daemon.url + path, headers=daemon.headers)
    with urllib.request.urlopen(request) as answer, into.open("wb") as opened:
        while data := answer.read(MB):
            opened.write(data)
    return into


async def test_200_mb_are_cut_killed_and_continued_by_other_processes_also_after_a_crash_of_the_daemon(
    new_daemon: Callable[..., Daemon], tuspy: Path, tmp_path: Path
) -> None:
    file = write_random(tmp_path / "big", SIZE)
    daemon = new_daemon().start()
    faults = [None, Fault("cut", 50 * MB, of="requests")]  # a creation, and all bytes in one request
    faults += [None, Fault("stall", 50 * MB, of="requests")]  # the question where to go on, and the rest
    faults += [None, Fault("stall", 70 * MB, of="requests")]
    async with Proxy(daemon.url, *faults) as proxy:
        client = Client(tuspy, daemon, proxy.url, file, tmp_path / "storage.json", "tus/big")

        code, began_at, _ = await client.end(await client.start())
        assert (code, began_at) == (1, ["0"])  # its connection was cut

        second = await client.start()
        await proxy.stalled()
        second.kill()
        _, (cut_at,), _ = await client.end(second)

        proxy._stalled.clear()
        third = await client.start()
        await proxy.stalled()
        daemon.kill()
        daemon.start()
        await proxy.retarget(daemon.url)
        code, (killed_at,), wrong = await client.end(third)
        assert code == 1, wrong

        code, said, wrong = await client.end(await client.start())
        assert code == 0, wrong
        crashed_at = said[0]

    assert 0 < int(cut_at) < int(killed_at) <= int(crashed_at) < SIZE
    assert sha512sum(fetch(daemon, "/v1/names/default/tus/big", tmp_path / "fetched")) == sha512sum(file)
    assert incoming(daemon) == []
    assert daemon.stop() == 0
    assert "Traceback" not in daemon.log


@pytest.mark.parametrize("size", [0, 1, 2_500_000])
async def test_a_file_is_sent_piece_by_piece(shared_daemon: Daemon, tuspy: Path, tmp_path: Path, size: int) -> None:
    file = write_random(tmp_path / "small", size)
    name = f"tus/{uuid4()}"
    client = Client(tuspy, shared_daemon, shared_daemon.url, file, tmp_path / "storage.json", name, chunk_size=MB)

    code, said, wrong = await client.end(await client.start())

    assert code == 0, wrong
    assert said[0] == "0"
    assert fetch(shared_daemon, f"/v1/names/default/{name}", tmp_path / "fetched").read_bytes() == file.read_bytes()


async def test_an_upload_goes_on_by_its_url_alone(shared_daemon: Daemon, tuspy: Path, tmp_path: Path) -> None:
    file = write_random(tmp_path / "small", 2_500_000)
    name = f"tus/{uuid4()}"
    async with Proxy(shared_daemon.url, None, None, Fault("cut", MB // 2, of="requests")) as proxy:
        client = Client(tuspy, shared_daemon, proxy.url, file, tmp_path / "storage.json", name, chunk_size=MB)
        code, _, _ = await client.end(await client.start())
        assert code == 1
        (client.url,) = [word for word in (tmp_path / "storage.json").read_text().split('"') if "/v1/uploads/" in word]

        code, said, wrong = await client.end(await client.start())

    assert code == 0, wrong
    assert MB <= int(said[0]) < 2 * MB
    assert fetch(shared_daemon, f"/v1/names/default/{name}", tmp_path / "fetched").read_bytes() == file.read_bytes()
