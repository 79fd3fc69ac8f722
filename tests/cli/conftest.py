"""What the tests of the command line share: `casd` run as people run it, a process of its own."""

import asyncio
import hashlib
import json
import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner

from casd.cli.group import main
from tests.conftest import Daemon

PATIENCE_S = 60.0


@dataclass(frozen=True)
class Ran:
    """How a run ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Start = Callable[..., Awaitable[asyncio.subprocess.Process]]
Run = Callable[..., Awaitable[Ran]]
RunInside = Callable[..., Ran]
Remote = Callable[[str], dict[str, str]]


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for all tests of the command line: each stores under names of its own."""
    running = Daemon(tmp_path_factory.mktemp("cli") / "data").start()
    yield running
    assert running.stop() == 0, running.log


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where `casd` runs: empty at first."""
    path = tmp_path / "here"
    path.mkdir()
    return path


@pytest.fixture
def start(daemon: Any, folder: Path) -> Start:
    """Starts `casd` with these arguments, as a user of the daemon's machine; `env` adds to the environment."""

    async def start(*arguments: str, env: dict[str, str] | None = None) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "casd", *arguments),
            cwd=folder,
            env={**daemon.env, "XDG_CACHE_HOME": str(folder.parent / "cache"), **(env or {})},
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            # A run that was begun in the background ignores Ctrl-C, and so would all that it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    return start


@pytest.fixture
def casd(start: Start) -> Run:
    """Runs `casd` to its end. No run may end in a traceback."""

    async def run(*arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> Ran:
        return await ended(await start(*arguments, env=env), stdin)

    return run


@pytest.fixture
def inside(daemon: Any, folder: Path) -> RunInside:
    """Runs `casd` in this process: 0.15 s cheaper, where a process of its own is not the point."""
    ours = {key: None for key in os.environ if key.startswith("CASD_")}

    def run(*arguments: str, env: dict[str, str] | None = None) -> Ran:
        cache = str(folder.parent / "cache")
        environment = {**ours, "CASD_STORAGE__DATA": str(daemon.data), "XDG_CACHE_HOME": cache, **(env or {})}
        result = CliRunner().invoke(main, arguments, env=environment)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run


def made(inside: RunInside, *arguments: str) -> Any:
    """The JSON of a run that succeeds."""
    ran = inside(*arguments, "--json")
    assert ran.code == 0, ran.err
    return ran.json


def sha512(data: bytes) -> str:
    return hashlib.sha512(data).hexdigest()


async def stored(casd: Run, folder: Path, data: bytes, *arguments: str) -> Any:
    """The daemon's JSON on a file `disk.img` that was put."""
    (folder / "disk.img").write_bytes(data)
    ran = await casd("put", "disk.img", *arguments, "--json")
    assert ran.code == 0, ran.err
    (folder / "disk.img").unlink()
    return ran.json


async def ended(process: asyncio.subprocess.Process, stdin: bytes | None = None) -> Ran:
    """How the process ends; one that does not end fails its test."""
    try:
        out, err = await asyncio.wait_for(process.communicate(stdin), PATIENCE_S)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    ran = Ran(process.returncode, out.decode("utf-8", "surrogateescape"), err.decode())
    assert "Traceback" not in ran.err, ran.err
    return ran


@pytest.fixture
def data() -> bytes:
    """A payload that takes a while to move, and that the daemon does not have yet."""
    return random.Random(uuid4().int).randbytes(3_000_000)


@pytest.fixture
def name() -> str:
    """A name that no other test uses, with what wants percent-encoding in it."""
    return f"tests/50% & more/ü #?+/{uuid4()}"


@pytest.fixture
def remote(daemon: Any) -> Remote:
    """The environment of a user who reaches the daemon at another address."""
    return lambda url: {"CASD_URL": url, "CASD_TOKEN": daemon.token}
