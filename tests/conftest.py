"""What all tests share: a real daemon as a process of its own, on each event loop where that matters."""

import fcntl
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

TEST_ALL = os.environ.get("CASD_TEST_ALL") == "1"  # in CI a missing tool is a failure, not a skip


def skip_loudly(reason: str) -> None:
    """Skip where a tool or a right is missing on a user's machine; fail in CI."""
    if TEST_ALL:
        pytest.fail(f"CASD_TEST_ALL=1, but {reason}")
    pytest.skip(reason)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without CASD_TEST_ALL the run is for somebody who waits for it: what is marked as slow is left out."""
    for item in items:
        if not TEST_ALL and item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="slow: run with CASD_TEST_ALL=1"))


@dataclass
class Daemon:
    """A `casd serve` of its own data folder, with the settings that tests want unless told otherwise."""

    data: Path
    settings: dict[str, str] = field(default_factory=dict)  # environment: CASD_SECTION__KEY
    prefix: tuple[str, ...] = ()  # what runs the daemon, such as strace and its options
    arguments: tuple[str, ...] = ("--port", "0")
    passed: dict[str, socket.socket] = field(default_factory=dict)  # listening sockets by name, as systemd passes them
    process: subprocess.Popen[str] | None = None
    damaged: set[str] = field(default_factory=set)  # digests of payloads that tests damage on purpose

    @property
    def env(self) -> dict[str, str]:
        """The environment for the daemon, and for a command line that finds it by its data folder."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith("CASD_")}
        own = {"CASD_STORAGE__DATA": str(self.data), "CASD_STORAGE__RESERVE_BYTES": "0", "CASD_LOG__FORMAT": "text"}
        return clean | own | self.settings

    def start(self) -> "Daemon":
        command = [*self.prefix, sys.executable, "-m", "casd", "serve", *self.arguments]
        (self.data.parent).mkdir(parents=True, exist_ok=True)
        log = (self.data.parent / f"{self.data.name}.log").open("a")
        with log, passing(self.passed, command) as (command, files):
            self.process = subprocess.Popen(command, env=self.env, stdout=log, stderr=log, text=True, pass_fds=files)
        deadline = time.monotonic() + 60
        while not (self.data / "address").exists() or not self._is_mine():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the daemon did not start:\n{self.log}")
            time.sleep(0.01)  # the process gives no event; bounded by the deadline
        return self

    def _is_mine(self) -> bool:
        """A daemon that was killed leaves its address behind; ours writes a newer one, which answers."""
        try:
            with closing(connection_to(self.url, 5)) as connection:
                connection.request("GET", "/healthz")
                return connection.getresponse().status == 200
        except (OSError, ValueError, http.client.HTTPException):
            return False

    @property
    def log(self) -> str:
        return (self.data.parent / f"{self.data.name}.log").read_text()

    def complaints(self) -> list[str]:
        """Its errors but those about payloads that a test damaged."""
        errors = [line for line in self.log.splitlines() if " ERROR " in line]
        return [line for line in errors if not any(digest in line for digest in self.damaged)]

    @property
    def url(self) -> str:
        return (self.data / "address").read_text().strip()

    @property
    def token(self) -> str:
        return (self.data / "admin.token").read_text().strip()

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def pid(self) -> int:
        """Of the daemon itself, not of what runs it."""
        assert self.process is not None
        if not self.prefix:
            return self.process.pid
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def kill(self) -> None:
        """kill -9, as a crash would."""
        assert self.process is not None
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait(timeout=30)
        (self.data / "address").unlink(missing_ok=True)  # so that `start` waits for the next daemon's own

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGTERM)
        return self.process.wait(timeout=60)


@contextmanager
def passing(sockets: dict[str, socket.socket], command: list[str]) -> Iterator[tuple[list[str], list[int]]]:
    """The command as systemd would run it with these sockets, and the descriptors that it is to inherit."""
    if not sockets:
        yield command, []
        return
    # Far from where they are to end up, so that none is overwritten on the way.
    files = [fcntl.fcntl(each.fileno(), fcntl.F_DUPFD_CLOEXEC, 100) for each in sockets.values()]
    moved = " ".join(f"{3 + at}<&{file} {file}<&-" for at, file in enumerate(files))
    told = f"export LISTEN_PID=$$ LISTEN_FDS={len(files)} LISTEN_FDNAMES={':'.join(sockets)}"
    try:
        yield ["bash", "-c", f'exec {moved}; {told}; exec "$@"', "bash", *command], files
    finally:
        for file in files:
            os.close(file)


class UnixConnection(http.client.HTTPConnection):
    """HTTP on a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def connection_to(url: str, timeout: float) -> http.client.HTTPConnection:
    """A connection to the address that a daemon announces; not connected yet."""
    if url.startswith("unix://"):
        return UnixConnection(url.removeprefix("unix://"), timeout)
    return http.client.HTTPConnection(url.removeprefix("http://"), timeout=timeout)


@contextmanager
def serving(data: Path, **settings: str) -> Iterator[Daemon]:
    """A running daemon; in the end its log shows nothing that casd could not deal with."""
    running = Daemon(data, settings).start()
    try:
        yield running
    except BaseException:
        running.kill()
        raise
    assert running.stop() == 0, running.log
    assert "Traceback" not in running.log
    assert running.complaints() == []


@pytest.fixture
def new_daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Makes daemons, not started yet, each with a data folder of its own; all are stopped in the end."""
    made: list[Daemon] = []

    def make(**settings: str) -> Daemon:
        daemon = Daemon(tmp_path / f"data{len(made)}", settings)
        made.append(daemon)
        return daemon

    yield make
    for daemon in made:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.kill()


@pytest.fixture(params=["asyncio", "uvloop"])
def daemon(request: pytest.FixtureRequest, new_daemon: Callable[..., Daemon]) -> Daemon:
    """A running daemon; every test that takes it runs on both event loops."""
    return new_daemon(CASD_SERVER__EVENT_LOOP=request.param).start()


@pytest.fixture(scope="session", params=["asyncio", "uvloop"])
def shared_daemon(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A running daemon for tests that only add things of their own to it."""
    data = tmp_path_factory.mktemp("shared") / "data"
    running = Daemon(data, {"CASD_SERVER__EVENT_LOOP": request.param}).start()
    yield running
    assert running.stop() == 0, running.log
