"""A large file up and down by casd's own command, and by tus, beside curl: to and from the same daemon."""

import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.case import Case, Sample
from tests.bench.latency import latencies
from tests.bench.peers import PATIENCE_S, Casd, Client, head

MIB = 1 << 20
EVERY_S = 0.02  # between two questions to /healthz: seldom, as the asking costs the others, too
UP = "a large file up by casd put, tus and curl -T"
DOWN = "a large file down by casd get and curl"
TUS = ("-H", "Tus-Resumable: 1.0.0")


class Moving:
    """One daemon, and what speaks to it: each a process of its own, timed from its start to its end."""

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self._size = size
        self._casd: Casd | None = None
        self._serial = 0

    def prepare(self) -> None:
        """The daemon runs, and has what is downloaded."""
        self._folder.mkdir()
        self._casd = Casd(self._folder / "casd", CASD_UPKEEP__GRACE_S="0")
        self._casd.start()
        curl(self._casd, "-T", self._fresh("down"), self._url("down"))

    def stop(self) -> None:
        if self._casd is not None:
            self._casd.stop()

    # -- up: bytes that the daemon has not seen, or they would not be sent ---------------------------------------

    def put(self) -> Sample:
        file, name = self._fresh("up"), self._new_name()
        return self._measured(functools.partial(command, self._served, "put", "--namespace", "default", file, name))

    def put_by_tus(self) -> Sample:
        """One POST and one PATCH, which tells no digest: nothing is looked for, nothing compared."""
        file = self._fresh("up")

        def run() -> float:
            casd = self._served
            told = ("-D-", "-X", "POST", *TUS, "-H", f"Upload-Length: {self._size}", f"{self._root}/v1/uploads")
            begun, cpu_s = curl(casd, *told)
            url = next(line.split()[1] for line in begun.splitlines() if line.lower().startswith("location:"))
            place = url if url.startswith("http") else self._root + url
            kind = ("-H", "Content-Type: application/offset+octet-stream", "-H", "Upload-Offset: 0")
            return cpu_s + curl(casd, "-X", "PATCH", *TUS, *kind, "-T", file, place)[1]

        return self._measured(run)

    def put_by_curl(self) -> Sample:
        file, name = self._fresh("up"), self._new_name()
        return self._measured(lambda: curl(self._served, "-T", file, self._url(name))[1])

    # -- down: from the page cache, durable when it is done ---------------------------------------------------------

    def get(self) -> Sample:
        target = self._target()
        return self._measured(functools.partial(command, self._served, "get", "--namespace", "default", "down", target))

    def get_by_curl(self) -> Sample:
        """Not synced and not verified."""
        target = self._target()
        return self._measured(lambda: curl(self._served, "-o", target, self._url("down"))[1])

    def get_by_curl_and_sync(self) -> Sample:
        """Durable, as what casd get leaves is."""
        target = self._target()
        return self._measured(lambda: curl(self._served, "-o", target, self._url("down"))[1] + spent("sync", target)[1])

    def get_by_curl_and_check(self) -> Sample:
        """Durable and verified: what a script does that cares."""
        target = self._target()

        def run() -> float:
            _, cpu_s = curl(self._served, "-o", target, self._url("down"))
            return cpu_s + spent("sync", target)[1] + spent("sha512sum", target)[1]

        return self._measured(run)

    # -- around ----------------------------------------------------------------------------------------------------

    def _measured(self, run: Callable[[], float]) -> Sample:
        """Wall seconds, CPU seconds of what was run, and how long /healthz took meanwhile."""
        os.sync()
        probe = Client(
            {"do": "health", "head": head(self._served, "GET", "/healthz"), "every_s": EVERY_S}, self._served
        )
        begin = time.monotonic()
        cpu_s = run()
        seconds = time.monotonic() - begin
        return {"seconds": seconds, "client_s": cpu_s, **latencies(probe.end()["results"])}

    @property
    def _served(self) -> Casd:
        assert self._casd is not None
        return self._casd

    @property
    def _root(self) -> str:
        return "http://{}:{}".format(*self._served.address)

    def _url(self, name: str) -> str:
        return f"{self._root}/v1/names/default/{name}"

    def _new_name(self) -> str:
        self._serial += 1
        return f"up/{self._serial}"

    def _fresh(self, name: str) -> Path:
        """A file of bytes that were never there before."""
        path = self._folder / name
        with path.open("wb") as file:
            for _ in range(0, self._size, MIB):
                file.write(os.urandom(MIB))
        return path

    def _target(self) -> Path:
        target = self._folder / "target"
        target.unlink(missing_ok=True)
        return target


def command(casd: Casd, *arguments: str | Path) -> float:
    """Run casd's own command, in a process as a user would; its CPU seconds."""
    root = "http://{}:{}".format(*casd.address)
    token = casd.credentials["Authorization"].removeprefix("Bearer ")
    return spent(sys.executable, "-m", "casd", *arguments, CASD_URL=root, CASD_TOKEN=token)[1]


def curl(casd: Casd, *arguments: str | Path) -> tuple[str, float]:
    """What it printed, and its CPU seconds."""
    told = [part for name, value in casd.credentials.items() for part in ("-H", f"{name}: {value}")]
    return spent("curl", "-sSf", *told, *arguments)


def spent(*command: str | Path, **variables: str) -> tuple[str, float]:
    """What the command printed, and its CPU seconds. Raises CalledProcessError."""
    before = os.times()
    ended = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | variables, timeout=PATIENCE_S
    )
    after = os.times()
    used_s = after.children_user + after.children_system - before.children_user - before.children_system
    return ended.stdout, used_s


def cases(at: Moving) -> list[Case]:
    up = {"casd": at.put, "tus": at.put_by_tus, "curl": at.put_by_curl}
    down = {
        "casd": at.get,
        "curl": at.get_by_curl,
        "synced": at.get_by_curl_and_sync,
        "checked": at.get_by_curl_and_check,
    }
    return [Case(UP, up), Case(DOWN, down)]
