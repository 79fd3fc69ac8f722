"""Disk images where they are: qemu-img and nbdkit read them by HTTP range, and survive a bad line as they can.

qemu sends no headers of the user's choice, so it is given signed URLs, as `casd sign` prints them.
"""

import random
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Daemon
from tests.proxy import Fault, Proxy
from tests.tools.shop import Shop, convert, ran, run, tool

DISK = 24 << 20  # virtual bytes; a fifth of them is not zero
EARLY = Fault("cut", 1_000_000)  # on each connection: far from all of the image


@pytest.fixture(scope="session")
def disk() -> bytes:
    """What the virtual machine would see."""
    found = bytearray(DISK)
    chance = random.Random("disk")
    for at in (0, 3, 4, 9, 10, 11, 20):
        found[at << 20 : (at << 20) + 700_000] = chance.randbytes(700_000)
    return bytes(found)


@pytest.fixture(scope="session")
def image(disk: bytes, one_daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The disk as qcow2, in the store."""
    folder = tmp_path_factory.mktemp("image")
    (folder / "disk.raw").write_bytes(disk)
    command = [tool("qemu-img"), "convert", "-f", "raw", "-O", "qcow2", "disk.raw", "disk.qcow2"]
    subprocess.run(command, cwd=folder, check=True)
    return Shop(one_daemon, (folder / "disk.qcow2").read_bytes())


@pytest.fixture(params=["blob", "name"])
def path(request: pytest.FixtureRequest, image: Shop) -> str:
    return image.signed(image.blob if request.param == "blob" else image.name)


async def test_qemu_img_says_what_an_image_is(image: Shop, path: str) -> None:
    async with Proxy(image.daemon.url) as proxy:
        code, said = await ran(tool("qemu-img"), "info", proxy.url + path)

    assert code == 0
    assert "file format: qcow2" in said
    assert f"({DISK} bytes)" in said
    assert sum(seen.answers for seen in proxy.seen) < len(image.data) / 4  # for its header it needs no more


async def test_qemu_img_converts_an_image_over_a_slow_line(image: Shop, path: str, disk: bytes, tmp_path: Path) -> None:
    out = tmp_path / "disk.raw"
    async with Proxy(image.daemon.url, then=Fault("throttle", 0, rate=8 << 20)) as proxy:
        code = await convert(proxy.url + path, out)

    assert code == 0
    assert out.read_bytes() == disk
    assert len(proxy.ranges) > 4


@pytest.mark.parametrize("kind", ["cut", "reset"])
async def test_qemu_img_says_that_the_line_broke_and_works_when_it_is_mended(
    image: Shop, path: str, disk: bytes, tmp_path: Path, kind: str
) -> None:
    out = tmp_path / "disk.raw"
    async with Proxy(image.daemon.url, then=Fault("cut" if kind == "cut" else "reset", 1_000_000)) as proxy:
        first = await convert(proxy.url + path, out)

    second = await convert(image.daemon.url + path, out)

    assert (first, second) == (1, 0)
    assert out.read_bytes() == disk


def nbdkit(image: Shop, url: str, command: str) -> tuple[str, ...]:
    """Serves the URL as a block device to the command alone, and asks again what did not come."""
    source = ("curl", f"url={url}", f"header={image.auth}", "timeout=2")
    patience = ("retry-request-retries=9", "retry-request-delay=1")
    return (tool("nbdkit"), "--unix", "-", "--readonly", "--filter=retry-request", *source, *patience, "--run", command)


async def test_nbdcopy_copies_an_image_though_each_connection_is_cut(image: Shop, tmp_path: Path) -> None:
    tool("nbdcopy")
    out = tmp_path / "disk.qcow2"
    async with Proxy(image.daemon.url, Fault("stall", 500_000), then=Fault("cut", 2_000_000)) as proxy:
        code = await run(*nbdkit(image, proxy.url + image.blob, f'nbdcopy "$uri" {out}'))

    assert code == 0
    assert out.read_bytes() == image.data
    assert len(proxy.seen) >= 3


async def test_qemu_img_behind_nbdkit_converts_an_image_though_each_connection_is_reset(
    image: Shop, disk: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "disk.raw"
    convert = f'qemu-img convert -f qcow2 -O raw "$uri" {out}'
    async with Proxy(image.daemon.url, then=Fault("reset", 2_000_000)) as proxy:
        code = await run(*nbdkit(image, proxy.url + image.name, convert))

    assert code == 0
    assert out.read_bytes() == disk
    assert len(proxy.seen) >= 3


async def test_nbdkit_reads_a_piece_in_the_middle(image: Shop, tmp_path: Path) -> None:
    start, size = 3_000_001, 70_000
    nbdsh = f'qemu-io -r -f raw -c "read -v {start} {size}" "$uri" > {tmp_path / "said"}'

    code = await run(*nbdkit(image, image.daemon.url + image.blob, nbdsh))

    assert code == 0
    shown = [line.split()[1:17] for line in (tmp_path / "said").read_text().splitlines() if ":  " in line]
    assert bytes.fromhex("".join("".join(words) for words in shown))[:size] == image.data[start : start + size]
