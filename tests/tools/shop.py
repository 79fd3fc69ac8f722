"""What the tests of strangers' tools share: something to fetch, by three kinds of URL, and how a tool is run."""

import asyncio
import os
import random
import shutil
from collections.abc import Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from tests.conftest import Daemon, skip_loudly
from tests.proxy import Fault
from tests.web.wire import ask

SIZE = 4 << 20
CUT = Fault("cut", 1_500_000)
STALL = Fault("stall", 1_500_000)
RESET = Fault("reset", 1_500_000)
CUT_UPLOAD = Fault("cut", 1_500_000, of="requests")
PATIENCE_S = 120  # a tool that takes longer than this hangs


class Shop:
    """A payload behind a name, by which a tool might be given another version half way, and behind a UUID."""

    def __init__(self, daemon: Daemon, data: bytes | None = None, kind: str = "application/octet-stream") -> None:
        self.daemon = daemon
        self.data = random.randbytes(SIZE) if data is None else data
        self.name = f"/v1/names/default/tools/{uuid4()}"
        version = ask(daemon, "PUT", self.name, self.data, {"Content-Type": kind})
        assert version.status == 201
        self.blob = f"/v1/blobs/{version.json['blob']['uuid']}/data"
        self.auth = f"Authorization: Bearer {daemon.token}"

    def signed(self, path: str) -> str:
        """The path with what makes it good without a token, as `casd sign` prints it behind the daemon's address."""
        answer = ask(self.daemon, "POST", "/v1/signed-urls", {"path": path, "expires_in": 3600})
        assert answer.status == 200, answer.body
        url = urlsplit(answer.json["url"])
        return f"{url.path}?{url.query}"


def tool(name: str, path: str | None = None) -> str:
    found = shutil.which(name, path=path)
    if found is None:
        skip_loudly(f"{name} is missing")
    return found or ""


async def ran(*command: str | Path, stdin: bytes = b"", **environment: str) -> tuple[int, str]:
    """Exit code, and what the tool said on both its outputs, which comes up if the test fails."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | environment,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            out, _ = await process.communicate(stdin)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said = out.decode("utf-8", "replace")
    print(*command, said[-3000:], sep="\n")
    return process.returncode or 0, said


async def run(*command: str | Path) -> int:
    code, _ = await ran(*command)
    return code


def curl(shop: Shop, *arguments: str) -> Coroutine[Any, Any, int]:
    return run(tool("curl"), "--silent", "--show-error", "--fail-with-body", "-H", shop.auth, *arguments)


def curl_on(shop: Shop, file: Path, url: str) -> Coroutine[Any, Any, int]:
    """Goes on with the file as far as it is there."""
    return curl(shop, "-C", "-", "-o", str(file), url)


def wget(shop: Shop, file: Path, url: str, *arguments: str) -> Coroutine[Any, Any, int]:
    return run(tool("wget"), "-nv", "--no-hsts", "-O", str(file), f"--header={shop.auth}", *arguments, url)


def aria2c(shop: Shop, file: Path, url: str, *arguments: str) -> Coroutine[Any, Any, int]:
    options = ["-x8", "-s8", "-k1M", "--allow-overwrite=true", "--auto-file-renaming=false", "--file-allocation=none"]
    options += ["--no-conf", "--max-tries=5", "--retry-wait=0", "--console-log-level=warn", "--summary-interval=0"]
    place = ["-d", str(file.parent), "-o", file.name]
    return run(tool("aria2c"), *options, *place, f"--header={shop.auth}", *arguments, url)


def convert(url: str, file: Path, *options: str) -> Coroutine[Any, Any, int]:
    """`qemu-img convert`, one read at a time: with several, qemu 7.2's own curl driver hangs now and then, with nginx
    as server too (once in 120 times; with `-m 1` never in 250).
    """
    return run(tool("qemu-img"), "convert", "-m", "1", *options, "-O", "raw", url, file)
