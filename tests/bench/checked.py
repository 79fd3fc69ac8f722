"""What checking costs: a payload's first read since the start beside one without a check, scrubs, and bare hashes."""

import functools
import http.client
import os
import shutil
import subprocess
import time
from pathlib import Path

from tests.bench.case import Case, Sample, rated
from tests.bench.figures import percentile
from tests.bench.peers import Casd, Client, evict, head, used_by
from tests.bench.transfers import GIB, Sizes, random_file

MIB = 1 << 20
RANGE_BYTES = 64 << 10
STRIDE_BYTES = 4 * MIB  # so far from each other that no read-ahead of one fetches the next
SEED = 40
HASHES = {"xxhsum": ("xxhsum", "-q", "-H3"), "sha512sum": ("sha512sum",)}


class Checked:
    """Two daemons with the same payload: one that checks first reads, and one that never does."""

    def __init__(self, root: Path, sizes: Sizes) -> None:
        self._root, self._sizes = root, sizes
        self._daemons = {
            "casd": Casd(
                root / "first", CASD_STORAGE__VERIFY_READS="first", CASD_UPKEEP__SCRUB_BYTES_PER_S=str(1 << 50)
            ),
            "never": Casd(root / "never", CASD_STORAGE__VERIFY_READS="never"),
        }
        self._targets: dict[str, str] = {}
        self._files: dict[str, Path] = {}

    def prepare(self) -> None:
        source = random_file(self._root / "checked", self._sizes.large_bytes, SEED)
        for side, daemon in self._daemons.items():
            daemon.start()
            blob = daemon.store(source)
            self._targets[side], self._files[side] = f"/v1/blobs/{blob['uuid']}/data", daemon.payload_file(blob)
        source.unlink()

    def stop(self) -> None:
        for daemon in self._daemons.values():
            daemon.stop()

    def _ready(self, side: str, is_cold: bool) -> Casd:
        """That daemon, started just now, with the payload in the page cache or not."""
        daemon = self._daemons[side]
        daemon.stop()
        daemon.start()
        self._settle(self._files[side], is_cold)
        return daemon

    def _settle(self, file: Path, is_cold: bool) -> None:
        if is_cold:
            evict(file)
        else:
            with file.open("rb", buffering=0) as opened:
                while opened.read(4 * MIB):
                    pass

    def get(self, side: str, is_cold: bool) -> Sample:
        daemon = self._ready(side, is_cold)
        with used_by(daemon) as usage:
            answer = Client({"do": "get", "heads": [head(daemon, "GET", self._targets[side])]}, daemon).end()
        return rated(sum(answer["results"]) / GIB, answer["seconds"], usage.cpu_s, answer["cpu_s"])

    def scrub(self, is_deep: bool) -> Sample:
        """All that is stored is this payload. A deep one reads the catalogue too, which is next to nothing here."""
        daemon = self._ready("casd", is_cold=True)
        with used_by(daemon) as usage:
            begin = time.monotonic()
            report = daemon.ask("POST", f"/v1/upkeep/scrub?deep={is_deep:d}")
            seconds = time.monotonic() - begin
        if report["bytes"] != self._sizes.large_bytes or report["findings"]:
            raise RuntimeError(f"scrub was to find {self._sizes.large_bytes} good bytes: {report}")
        return rated(self._sizes.large_gib, seconds, usage.cpu_s, 0.0)

    def hash(self, tool: str, is_cold: bool) -> Sample:
        file = self._files["casd"]
        self._settle(file, is_cold)
        before, begin = os.times(), time.monotonic()
        subprocess.run([*HASHES[tool], file], check=True, stdout=subprocess.DEVNULL)
        seconds, after = time.monotonic() - begin, os.times()
        # Differences of floats: a run of no tick at all can come out below zero.
        used_s = after.children_user + after.children_system - before.children_user - before.children_system
        return rated(
            self._sizes.large_gib, seconds, max(0.0, used_s), 0.0
        )  # os.times counts in ticks of 10 ms, as floats

    def ranges(self, side: str) -> Sample:
        """64 KiB here and there, one after the other: a first touch reads the MiB around it."""
        daemon = self._ready(side, is_cold=True)
        waits = []
        connection = http.client.HTTPConnection(*daemon.address, timeout=60)
        with used_by(daemon) as usage:
            for start in range(STRIDE_BYTES // 2, self._sizes.large_bytes - RANGE_BYTES, STRIDE_BYTES):
                begin = time.monotonic()
                span = {"Range": f"bytes={start}-{start + RANGE_BYTES - 1}"}
                connection.request("GET", self._targets[side], headers=daemon.credentials | span)
                response = connection.getresponse()
                if response.status != 206 or len(response.read()) != RANGE_BYTES:
                    raise RuntimeError(f"a range was answered with {response.status}")
                waits.append(time.monotonic() - begin)
        connection.close()
        return {
            "rate": len(waits) / sum(waits),
            "cpu_s": usage.cpu_s / len(waits),
            "p50_ms": percentile(waits, 0.50) * 1e3,
            "p99_ms": percentile(waits, 0.99) * 1e3,
        }


def cases(at: Checked) -> list[Case]:
    found = []
    for is_cold in (True, False):
        sides = {side: functools.partial(at.get, side, is_cold) for side in ("casd", "never")}
        sides |= {tool: functools.partial(at.hash, tool, is_cold) for tool in HASHES if shutil.which(tool)}
        found.append(Case(f"GET checked, {'from the disk' if is_cold else 'from memory'}", sides))
    ranges = {side: functools.partial(at.ranges, side) for side in ("casd", "never")}
    found.append(Case("GET checked ranges of 64 KiB, from the disk", ranges, "request"))
    scrubs = {"casd": functools.partial(at.scrub, False), "casd deep": functools.partial(at.scrub, True)}
    scrubs |= {tool: functools.partial(at.hash, tool, True) for tool in HASHES if shutil.which(tool)}
    found.append(Case("scrub, from the disk", scrubs))
    return found
