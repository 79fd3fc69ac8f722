"""rclone fetches by a signed URL, and by a name below `:http:` as a remote that it can read anywhere in."""

from pathlib import Path

import pytest

from tests.conftest import Daemon
from tests.proxy import Fault, Proxy
from tests.tools.shop import CUT, RESET, SIZE, STALL, Shop, ran, tool

PATIENT = ("--retries=9", "--low-level-retries=20", "--timeout=2s")


@pytest.fixture(scope="module")
def shop(one_daemon: Daemon) -> Shop:
    return Shop(one_daemon)


async def rclone(*arguments: str | Path) -> int:
    code, _ = await ran(tool("rclone"), *arguments, RCLONE_CONFIG="/nonexistent")
    return code


def remote(shop: Shop, url: str) -> tuple[str, ...]:
    """The folder that the name is in, and its last part as a file there."""
    folder, _, leaf = shop.name.rpartition("/")
    return ("--http-url", f"{url}{folder}/", "--http-headers", shop.auth.replace(": ", ","), f":http:{leaf}")


async def test_copyurl_begins_anew_until_all_has_come(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "file"
    async with Proxy(shop.daemon.url, CUT, RESET, STALL) as proxy:
        code = await rclone("copyurl", *PATIENT, proxy.url + shop.signed(shop.blob), file)

    assert code == 0
    assert file.read_bytes() == shop.data
    assert len(proxy.seen) >= 4


@pytest.mark.parametrize("fault", [CUT, RESET, STALL], ids=lambda fault: fault.kind)
async def test_a_copy_from_http_goes_on_where_the_line_broke(shop: Shop, tmp_path: Path, fault: Fault) -> None:
    file = tmp_path / "file"
    async with Proxy(shop.daemon.url, then=fault) as proxy:
        code = await rclone("copyto", *PATIENT, *remote(shop, proxy.url), file)

    assert code == 0
    assert file.read_bytes() == shop.data
    assert len(proxy.ranges) >= SIZE // fault.after
    starts = [int(wanted.partition("-")[0]) for wanted in proxy.ranges]
    assert starts == sorted(starts)  # nothing began anew


async def test_a_copy_from_http_fetches_parts_at_once(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "file"
    parts = ("--multi-thread-cutoff=1M", "--multi-thread-streams=4")
    async with Proxy(shop.daemon.url, None, Fault("cut", 300_000), Fault("reset", 300_000)) as proxy:
        code = await rclone("copyto", *PATIENT, *parts, *remote(shop, proxy.url), file)

    assert code == 0
    assert file.read_bytes() == shop.data
    assert len(proxy.ranges) >= 6
