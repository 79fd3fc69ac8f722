"""The servers that are measured, casd and nginx, what they used, and the clients that load them."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Protocol

from tests.conftest import Daemon

CLIENT = Path(__file__).with_name("client.py")
PATIENCE_S = 600
PROBE_BYTES = 4 << 20
MIB = 1 << 20

# Access log on, as casd has its own; one worker, as casd is one process.
NGINX = """
daemon off; worker_processes {workers}; {user} pid {root}/nginx.pid; error_log {root}/error.log warn;
events {{ worker_connections 1024; }}
http {{
  access_log {root}/access.log; default_type application/octet-stream;
  sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 100000000;
  client_max_body_size 0; client_body_temp_path {root}/body; proxy_temp_path {root}/proxy;
  fastcgi_temp_path {root}/fastcgi; uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
  server {{
    listen 127.0.0.1:{port}; root {files};
    location = /healthz {{ return 200 "ok"; }}
    location /dav/ {{ dav_methods PUT; }}
  }}
}}
"""


class Server(Protocol):
    @property
    def address(self) -> tuple[str, int]: ...

    @property
    def pid(self) -> int: ...

    @property
    def credentials(self) -> dict[str, str]: ...


class Casd:
    """A `casd serve` on uvloop, of its own data folder."""

    def __init__(self, data: Path, **settings: str) -> None:
        self._daemon = Daemon(data, {"CASD_SERVER__EVENT_LOOP": "uvloop"} | settings)

    @property
    def data(self) -> Path:
        return self._daemon.data

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._daemon.url.removeprefix("http://").split(":")
        return host, int(port)

    @property
    def pid(self) -> int:
        return self._daemon.pid

    @property
    def credentials(self) -> dict[str, str]:
        return self._daemon.headers

    @property
    def is_running(self) -> bool:
        return self._daemon.process is not None and self._daemon.process.poll() is None

    def start(self) -> float:
        """Returns the seconds until /healthz answered."""
        begin = time.monotonic()
        self._daemon.start()
        return time.monotonic() - begin

    def stop(self) -> None:
        if self.is_running:
            self._daemon.stop()

    def ask(self, method: str, target: str, body: Any = None, status: int = 200) -> Any:
        """The answer's JSON, None without a body."""
        connection = HTTPConnection(*self.address, timeout=PATIENCE_S)
        connection.request(method, target, body, self.credentials)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        if response.status != status:
            raise RuntimeError(f"{method} {target}: {response.status} {data[:500]!r}")
        return json.loads(data) if data else None

    def store(self, file: Path) -> dict[str, Any]:
        """A new blob of the file's bytes."""
        with file.open("rb") as source:
            blob: dict[str, Any] = self.ask("POST", "/v1/blobs", source, 201)
        return blob

    def payload_file(self, blob: dict[str, Any]) -> Path:
        digest = blob["sha512"]
        return self.data / "payloads" / digest[:2] / digest[2:4] / digest

    def forget(self, blobs: Iterable[str]) -> None:
        """Delete blobs and their bytes; the daemon has no grace."""
        for uuid in blobs:
            self.ask("DELETE", f"/v1/blobs/{uuid}", status=204)
        self.ask("POST", "/v1/upkeep/collect-garbage?force=1")


class Nginx:
    """An nginx that serves `files`, with sendfile, and takes PUT below /dav/."""

    credentials: dict[str, str] = {}

    def __init__(self, root: Path, workers: int = 1) -> None:
        self.files = root / "files"
        (self.files / "dav").mkdir(parents=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address: tuple[str, int] = ("127.0.0.1", free.getsockname()[1])
        user = "user root;" if os.geteuid() == 0 else ""
        self._config = root / "nginx.conf"
        self._config.write_text(
            NGINX.format(root=root, files=self.files, port=self.address[1], workers=workers, user=user)
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        binary = nginx_binary()
        assert binary is not None
        self._process = subprocess.Popen([binary, "-p", self._config.parent, "-c", self._config, "-e", "stderr"])
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(self.address, timeout=5).close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("nginx did not start") from None
                time.sleep(0.01)
            else:
                return

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)
            self._process = None

    def share(self, file: Path, name: str) -> str:
        """The path at which the very same bytes on disk are served."""
        os.link(file, self.files / name)
        return f"/{name}"


def nginx_binary() -> str | None:
    """It may stand where only root looks."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/sbin:/usr/local/sbin")


# -- what a server used -------------------------------------------------------------------------------------------


def family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def cpu_s(pid: int) -> float:
    """CPU seconds of the process and its children so far: what utime + stime say, in nanoseconds, not in ticks."""
    return sum(time.clock_gettime((~each << 3) | 2) for each in family(pid))  # clock_getcpuclockid(3)


def memory_mib(pid: int) -> float:
    """Proportional set size of the process and its children."""
    total = 0
    for each in family(pid):
        lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


@dataclass
class Usage:
    """CPU seconds that a server spent while the block ran."""

    cpu_s: float = 0.0


@contextlib.contextmanager
def used_by(server: Server) -> Iterator[Usage]:
    usage, before = Usage(), cpu_s(server.pid)
    yield usage
    usage.cpu_s = cpu_s(server.pid) - before


def evict(file: Path) -> None:
    """Drop the file from the page cache."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def cached_part(file: Path) -> float:
    """Which part of the file's probed pages is in the page cache."""
    with file.open("rb") as opened:
        offsets = range(0, file.stat().st_size, PROBE_BYTES)
        hits = 0
        for offset in offsets:
            with contextlib.suppress(BlockingIOError):
                hits += os.preadv(opened.fileno(), [bytearray(1)], offset, os.RWF_NOWAIT)
    return hits / len(offsets)


# -- clients ------------------------------------------------------------------------------------------------------


def head(server: Server, method: str, target: str, **headers: object) -> str:
    fields = (
        {"Host": "bench"} | server.credentials | {name.replace("_", "-"): str(value) for name, value in headers.items()}
    )
    return (
        f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
    )


class Client:
    """A client process; one that goes on until it is told to stop, or one that ends by itself."""

    def __init__(self, job: dict[str, Any], server: Server | None = None) -> None:
        if server is not None:
            job = job | dict(zip(("host", "port"), server.address, strict=True))
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", CLIENT, json.dumps(job)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def end(self) -> dict[str, Any]:
        """Tell it to stop, and return its answer. Raises RuntimeError if it failed."""
        try:
            out, _ = self._process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise RuntimeError("a client did not come to an end") from None
        if self._process.returncode:
            raise RuntimeError("a client failed; what it said stands above")
        answer: dict[str, Any] = json.loads(out)
        return answer


WRK_SCRIPT = """
local targets = {}
for line in io.lines("%s") do targets[#targets + 1] = line end
local next = 0
init = function(args) for i, each in ipairs(targets) do targets[i] = wrk.format(nil, each) end end
request = function() next = next %% #targets + 1; return targets[next] end
done = function(summary, latency, requests)
  io.write(string.format('\\n{"count": %%d, "micros": %%d, "bad": %%d}\\n', summary.requests, summary.duration,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout))
end
"""


def wrk(
    server: Server, targets: list[str], folder: Path, for_s: float, connections: int, **headers: str
) -> tuple[int, float, float]:
    """Ask for the targets in turn, on connections that are kept: answers, seconds, and wrk's own CPU seconds.

    Raises RuntimeError for any answer that is an error.
    """
    (folder / "targets").write_text("\n".join(targets))
    (folder / "wrk.lua").write_text(WRK_SCRIPT % (folder / "targets"))
    command = ["wrk", "-t1", f"-c{connections}", "-d1h", "-s", str(folder / "wrk.lua")]
    for name, value in (server.credentials | headers).items():
        command += ["-H", f"{name.replace('_', '-')}: {value}"]
    before = os.times()
    process = subprocess.Popen([*command, "http://{}:{}".format(*server.address)], stdout=subprocess.PIPE, text=True)
    try:
        out, _ = process.communicate(timeout=for_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # its -d knows whole seconds only
        out, _ = process.communicate(timeout=PATIENCE_S)
    after = os.times()
    told = json.loads(out.splitlines()[-1])
    if told["bad"] or not told["count"]:
        raise RuntimeError(f"wrk met errors:\n{out}")
    own_s = after.children_user + after.children_system - before.children_user - before.children_system
    return told["count"], told["micros"] / 1e6, own_s
