"""Payloads that come and go: large ones whole, in ranges, and 4 KiB ones."""

import functools
import json
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.case import Case, Sample, rated
from tests.bench.peers import Casd, Client, Nginx, cached_part, evict, head, used_by, wrk

GIB = 1 << 30
SMALL_BYTES = 4096
SMALL_PAYLOADS = 64  # asked for in turn; the connections are kept
RANGE_SIZES_KIB = (64, 256, 1024)
WRK_CONNECTIONS = 8
SEED = 20
PAGES = bytes(1 << 20)
EVICTION_S = 10


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is moved in one run of one side."""

    large_bytes: int
    parallel_bytes: int  # of each of eight cold downloads
    for_s: float  # how long small requests are sent

    @property
    def large_gib(self) -> float:
        return self.large_bytes / GIB


class Transfers:
    """The two servers with the same payloads behind them."""

    def __init__(self, casd: Casd, nginx: Nginx, folder: Path, sizes: Sizes) -> None:
        self.casd, self.nginx, self.folder, self.sizes = casd, nginx, folder, sizes
        self.source = random_file(folder / "source", sizes.large_bytes)
        self._serial = 0

    @functools.cached_property
    def large(self) -> "Shared":
        return self.shared(self.source)

    @functools.cached_property
    def several(self) -> "list[Shared]":
        """Eight payloads."""
        found = []
        for index in range(8):
            draft = random_file(self.folder / "draft", self.sizes.parallel_bytes, SEED + 1 + index)
            found.append(self.shared(draft))
            draft.unlink()
        return found

    @functools.cached_property
    def small(self) -> "list[Shared]":
        found = []
        for index in range(SMALL_PAYLOADS):
            draft = random_file(self.folder / "draft", SMALL_BYTES, SEED + 100 + index)
            found.append(self.shared(draft))
        return found

    def shared(self, file: Path) -> "Shared":
        """The file's bytes in casd, and casd's own file behind nginx: the same blocks of the same disk."""
        blob = self.casd.store(file)
        stored = self.casd.payload_file(blob)
        return Shared(
            stored, {"casd": f"/v1/blobs/{blob['uuid']}/data", "nginx": self.nginx.share(stored, blob["uuid"])}
        )

    def server(self, side: str) -> Casd | Nginx:
        return self.casd if side == "casd" else self.nginx

    def both(self, run: Callable[..., Sample], *args: Any) -> dict[str, Callable[[], Sample]]:
        return {side: functools.partial(run, side, *args) for side in ("casd", "nginx")}

    def new_name(self) -> str:
        self._serial += 1
        return f"{os.getpid()}-{self._serial}"

    def restart(self, side: str) -> None:
        server = self.server(side)
        server.stop()
        server.start()

    # -- out ----------------------------------------------------------------------------------------------

    def get(self, side: str, connections: int, is_cold: bool) -> Sample:
        """The large payload on one connection, or as many others as there are connections."""
        payloads = [self.large] if connections == 1 else self.several[:connections]
        for payload in payloads:
            payload.make_cold() if is_cold else payload.warm()
        server = self.server(side)
        heads = [head(server, "GET", payload.targets[side]) for payload in payloads]
        with used_by(server) as usage:
            answer = Client({"do": "get", "heads": heads}, server).end()
        return rated(sum(answer["results"]) / GIB, answer["seconds"], usage.cpu_s, answer["cpu_s"])

    def ranges(self, side: str, size: int) -> Sample:
        """One range of the large payload after the other, always the same ones, by wrk."""
        self.large.warm()
        last = max(1, self.sizes.large_bytes - size)
        start = random.Random(SEED).randrange(last)
        span = f"bytes={start}-{start + size - 1}"
        return self._wrk(side, [self.large.targets[side]], Range=span)

    def get_small(self, side: str) -> Sample:
        return self._wrk(side, [each.targets[side] for each in self.small])

    def _wrk(self, side: str, targets: list[str], **headers: str) -> Sample:
        server = self.server(side)
        with used_by(server) as usage:
            count, seconds, client_s = wrk(server, targets, self.folder, self.sizes.for_s, WRK_CONNECTIONS, **headers)
        return rated(count, seconds, usage.cpu_s, client_s)

    # -- in -----------------------------------------------------------------------------------------------

    def put(self, side: str, streams: int) -> Sample:
        """New bytes on each stream, durable when the answer is there; nginx's client syncs file and folder itself."""
        bodies = [self._body(side) for _ in range(streams)]
        server = self.server(side)
        self._settle(streams * self.sizes.large_bytes)
        with used_by(server) as usage:
            answer = Client({"do": "put", "bodies": bodies}, server).end()
        if side == "casd":
            self.casd.forget(location(text) for text in answer["results"])
        else:
            for body in bodies:
                Path(body["sync"]).unlink()
        return rated(streams * self.sizes.large_gib, answer["seconds"], usage.cpu_s, answer["cpu_s"])

    def _settle(self, size: int) -> None:
        """Leave nothing to write of the run before, and as much free memory that was in use a moment ago.

        So that who runs right after the other's file was removed has no more memory at hand than who runs first.
        """
        os.sync()
        scratch = self.folder / "scratch"
        with scratch.open("wb", buffering=0) as file:
            for _ in range(0, size, len(PAGES)):
                file.write(PAGES)
        scratch.unlink()

    def _body(self, side: str) -> dict[str, Any]:
        name = self.new_name()
        prefix = f"{name:-<64}"
        path = self.nginx.files / "dav" / name
        target, method = ("/v1/blobs", "POST") if side == "casd" else (f"/dav/{name}", "PUT")
        size = self.sizes.large_bytes + len(prefix)
        return {
            "head": head(self.server(side), method, target, Content_Length=size),
            "prefix": prefix,
            "file": str(self.source),
            "sync": None if side == "casd" else str(path),
        }

    def hashes(self, streams: int) -> Sample:
        answer = Client({"do": "hashes", "file": str(self.source), "streams": streams}).end()
        return rated(streams * self.sizes.large_gib, answer["seconds"], answer["cpu_s"], 0.0)

    def put_small(self, clients: int) -> Sample:
        job = {"do": "small-put", "clients": clients, "size": SMALL_BYTES, "for_s": self.sizes.for_s}
        with used_by(self.casd) as usage:
            job["head"] = head(self.casd, "POST", "/v1/blobs", Content_Length=SMALL_BYTES)
            answer = Client(job, self.casd).end()
        return rated(sum(answer["results"]), answer["seconds"], usage.cpu_s, answer["cpu_s"])

    def threads(self, clients: int) -> Sample:
        folder = self.folder / "bare"
        folder.mkdir(exist_ok=True)
        job = {"do": "files", "clients": clients, "size": SMALL_BYTES, "for_s": self.sizes.for_s}
        answer = Client(job | {"folder": str(folder)}).end()
        return rated(sum(answer["results"]), answer["seconds"], answer["cpu_s"], 0.0)


@dataclass(frozen=True, slots=True)
class Shared:
    """One payload: its file, and where each server has it."""

    file: Path
    targets: dict[str, str]

    def make_cold(self) -> None:
        deadline = time.monotonic() + EVICTION_S
        evict(self.file)
        while cached_part(self.file) > 0:  # what a socket still refers to stays a moment longer
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.file} does not leave the page cache")
            time.sleep(0.01)
            evict(self.file)

    def warm(self) -> None:
        with self.file.open("rb", buffering=0) as opened:
            while opened.read(4 << 20):
                pass


def location(answer: str) -> str:
    """The UUID of a blob from its JSON."""
    return str(json.loads(answer)["uuid"])


def random_file(path: Path, size: int, seed: int = SEED) -> Path:
    """A durable file of random bytes, the same for the same seed."""
    source = random.Random(seed)
    with path.open("wb") as file:
        for start in range(0, size, 1 << 20):
            file.write(source.randbytes(min(1 << 20, size - start)))
        file.flush()
        os.fsync(file.fileno())
    return path


def cases(at: Transfers) -> list[Case]:
    found = []
    for connections in (1, 8):
        for is_cold in (True, False):
            name = f"GET large, {connections} connections, {'first' if is_cold else 'second'} read"
            found.append(Case(name, at.both(at.get, connections, is_cold)))
    for kib in RANGE_SIZES_KIB:
        found.append(Case(f"GET ranges of {kib} KiB", at.both(at.ranges, kib << 10), "request"))
    found.append(Case("GET 4 KiB by UUID", at.both(at.get_small), "request"))
    for streams in (1, 2):
        sides = at.both(at.put, streams) | {"hashes": functools.partial(at.hashes, streams)}
        found.append(Case(f"PUT large, {streams} streams", sides))
    for clients in (1, 32):
        sides = {
            "casd": functools.partial(at.put_small, clients),
            "threads": functools.partial(at.threads, clients),
        }
        found.append(Case(f"PUT 4 KiB, {clients} clients", sides, "request"))
    return found
