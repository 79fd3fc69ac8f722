"""A large file up and down through twenty cuts, a killed client and a killed daemon: what had to be sent again.

2 GiB with CASD_TEST_ALL=1, 48 MiB otherwise; `pytest -s` shows the counts.
"""

import asyncio
import hashlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from casd.client import Client
from tests.conftest import Daemon
from tests.proxy import Fault, Proxy

MIB = 1 << 20
CUTS = 20
DEADLINE_S = 600.0
# At a cut, of what had passed the proxy. Down, what came is kept. Up, it is what the daemon's socket still held when
# the client was back and cut its older request off: the kernel decides how much that is (4 MB of 2 GiB, on average).
IN_FLIGHT = {"up": 6 * MIB, "down": 64 << 10}
AT_A_KILL = 12 * MIB  # in sockets, in buffers and in threads of a process that is killed
SIZES = [48 * MIB, pytest.param(2048 * MIB, marks=pytest.mark.slow)]

TRANSFER = """
import asyncio, sys
from casd.client import Client
async def main(way, url, token, path):
    async with Client(url, token) as client:
        if way == "up":
            await client.upload_file(path, "large", owner="default")
        else:
            await (await client.get("large", owner="default")).download_file(path)
asyncio.run(main(*sys.argv[1:]))
"""


def large_file(path: Path, size: int) -> str:
    """Random bytes, no block like another; returns their SHA-512."""
    hash_, block = hashlib.sha512(), bytearray(os.urandom(MIB))
    with path.open("wb") as file:
        for number in range(size // MIB):
            block[:8] = number.to_bytes(8)
            file.write(block)
            hash_.update(block)
    return hash_.hexdigest()


def sha512_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha512").hexdigest()


async def cut_often_enough(proxy: Proxy, count: int, process: asyncio.subprocess.Process) -> None:
    """Returns when that many cuts have struck; fails if the client has ended before."""
    async with asyncio.timeout(DEADLINE_S):
        while proxy.struck < count:
            assert process.returncode is None, f"ended after {proxy.struck} cuts"
            await asyncio.sleep(0.01)


async def moved(daemon: Daemon, proxy: Proxy, way: str, path: Path, tokens: tuple[str, str]) -> None:
    """A client is killed after a third of the cuts, another goes on, the daemon is killed after two thirds."""
    first = await begun(way, proxy, tokens[0], path)
    await cut_often_enough(proxy, CUTS // 3, first)
    first.send_signal(signal.SIGKILL)
    await first.wait()
    second = await begun(way, proxy, tokens[1], path)
    await cut_often_enough(proxy, 2 * CUTS // 3, second)
    await asyncio.to_thread(daemon.kill)
    await asyncio.to_thread(daemon.start)
    await proxy.retarget(daemon.url)
    assert await asyncio.wait_for(second.wait(), DEADLINE_S) == 0


async def begun(way: str, proxy: Proxy, token: str, path: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-c", TRANSFER, way, proxy.url, token, str(path))


def bound(size: int, proxy: Proxy, way: str, after: int) -> int:
    """What may move at most: one percent more, and what was in flight at each cut, and at the two kills."""
    at_cuts = proxy.struck * min(after // 2, IN_FLIGHT[way])  # half of what passed is kept in any case
    return size + size // 100 + at_cuts + 2 * min(after, AT_A_KILL)


@pytest.mark.parametrize("size", SIZES)
async def test_a_large_file_goes_up_and_down_through_cuts_and_kills(
    new_daemon: Callable[..., Daemon], tmp_path: Path, size: int
) -> None:
    daemon = await asyncio.to_thread(new_daemon().start)
    digest = await asyncio.to_thread(large_file, tmp_path / "there", size)
    async with Client(daemon.url, daemon.token) as client:
        other = (await client.accounts.create_token("other", "writer", ["default"])).secret
    tokens = (daemon.token, other)
    after = size // (CUTS + 4)  # more than all that is asked: what strikes, strikes a body

    cuts = [Fault("cut", after=after, of="requests")] * CUTS
    async with Proxy(daemon.url, *cuts, all_strike=True) as up:
        await moved(daemon, up, "up", tmp_path / "there", tokens)
    async with Proxy(daemon.url, *[Fault("cut", after=after)] * CUTS, all_strike=True) as down:
        await moved(daemon, down, "down", tmp_path / "back", tokens)

    assert await asyncio.to_thread(sha512_of, tmp_path / "back") == digest
    sent, came = sum(seen.sent for seen in up.seen), sum(seen.answers for seen in down.seen)
    for way, count, proxy in (("up", sent, up), ("down", came, down)):
        more = f"{count - size} bytes ({count / size - 1:.3%}) more"
        print(f"\n{way}: {size} bytes, {proxy.struck} cuts in {len(proxy.seen)} connections, {more}", end="")
    assert min(up.struck, down.struck) >= CUTS
    assert size < sent <= bound(size, up, "up", after)
    assert size < came <= bound(size, down, "down", after)
