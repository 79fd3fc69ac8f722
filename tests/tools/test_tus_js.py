"""tus-js-client 4, a stranger's tus client, unmodified: known and deferred length, parts at once, other processes."""

import hashlib
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from tests.conftest import Daemon
from tests.proxy import Fault, Proxy
from tests.tools.shop import SIZE
from tests.tools.tus_js import Client
from tests.tools.tus_js import tus_js as tus_js
from tests.web.wire import ask

CUT = Fault("cut", 1_500_000, of="requests")
RESET = Fault("reset", 1_500_000, of="requests")
STALL = Fault("stall", 700_000, of="requests")  # of four parts at once, each is longer
RETRIES = {"retryDelays": [0] * 20}

WAYS: dict[str, dict[str, Any]] = {
    "known": {},
    "in chunks": {"chunkSize": 1_000_000},
    "with its creation": {"uploadDataDuringCreation": True, "chunkSize": 500_000},
    "deferred": {"uploadLengthDeferred": True, "chunkSize": 1_000_000},
    "in parallel": {"parallelUploads": 4},
    "in parallel and chunks": {"parallelUploads": 3, "chunkSize": 300_000},
    "as POST": {"overridePatchMethod": True, "chunkSize": 3_000_000},
}


@pytest.fixture
def client(one_daemon: Daemon, tus_js: Path, tmp_path: Path) -> Callable[..., Client]:
    """Makes one with a file of its own, for an endpoint, in a way."""

    def make(endpoint: str, way: str = "known", size: int = SIZE, **options: Any) -> Client:
        file = tmp_path / "file"
        if not file.exists():
            file.write_bytes(random.randbytes(size))
        all_options = WAYS[way] | options
        name = f"tus/{uuid4()}"
        return Client(
            *(tus_js, one_daemon, endpoint, file, tmp_path / "storage.json", name, all_options),
            input="stream" if way == "deferred" else "file",
        )

    return make


def stored(client: Client) -> bytes:
    return ask(client.daemon, "GET", f"/v1/names/default/{client.name}").body


# On less the client itself fails: it opens a file to end before it begins, and never tells an empty stream's length.
SMALLEST = {"known": 0, "in chunks": 0, "as POST": 0, "in parallel": 4, "in parallel and chunks": 3}


@pytest.mark.parametrize("way", WAYS)
async def test_the_smallest_file_is_sent(one_daemon: Daemon, client: Callable[..., Client], way: str) -> None:
    sender = client(one_daemon.url, way, SMALLEST.get(way, 1))

    code, said, wrong = await sender.run()

    assert code == 0, wrong
    assert said[0] == []
    assert stored(sender) == sender.file.read_bytes()


@pytest.mark.parametrize("way", WAYS)
async def test_it_goes_on_by_itself(one_daemon: Daemon, client: Callable[..., Client], way: str) -> None:
    async with Proxy(one_daemon.url, CUT, RESET, CUT) as proxy:
        sender = client(proxy.url, way, **RETRIES)
        code, _, wrong = await sender.run()

    assert code == 0, wrong
    assert stored(sender) == sender.file.read_bytes()


@pytest.mark.parametrize("way", WAYS)
async def test_another_process_goes_on(one_daemon: Daemon, client: Callable[..., Client], way: str) -> None:
    """What the killed one had sent is not sent again."""
    async with Proxy(one_daemon.url, then=STALL) as proxy:
        sender = client(proxy.url, way)
        process = await sender.start()
        await proxy.stalled()
        process.kill()
        await sender.end(process)
        await proxy.mend()

        killed = len(proxy.seen)
        sender.input = "buffer" if way == "deferred" else "file"
        code, (known, done), wrong = await sender.run()

    assert code == 0, wrong
    assert len(known) == 1
    assert stored(sender) == sender.file.read_bytes()
    offsets = [offset for seen in proxy.seen[killed:] for offset in offsets_of(seen.requests)]
    parts = WAYS[way].get("parallelUploads", 1)
    assert len(offsets) >= parts
    assert offsets[0] > 0
    answer = ask(one_daemon, "HEAD", urlsplit(done["url"]).path, headers={"Tus-Resumable": "1.0.0"})
    assert answer["Casd-Sha512"] == hashlib.sha512(sender.file.read_bytes()).hexdigest()


def offsets_of(requests: bytearray) -> list[int]:
    return [int(offset) for offset in re.findall(rb"(?i)upload-offset: (\d+)", requests)]
