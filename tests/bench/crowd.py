"""What a thousand hostile connections cost good clients: their latency with and without them."""

import http.client
import os
import time
from contextlib import nullcontext
from pathlib import Path

from tests.bench.case import Case, Sample
from tests.bench.figures import percentile
from tests.bench.peers import Casd
from tests.hostile.flood import Flood, hostile_clients

HOSTILE = 1000
GOOD_BYTES = 4096
LONG_BYTES = 8 << 20
DECLARED_BYTES = 1 << 40
PATIENCE_S = 60
TOKEN = {"name": "hostile", "role": "writer", "namespaces": ["flood"]}


class Crowd:
    """A daemon, a good client, and the hostile ones."""

    def __init__(self, root: Path, for_s: float) -> None:
        """Each sample takes `for_s` seconds."""
        self._root, self._for_s = root, for_s
        self._casd = Casd(root / "crowd")
        self._small, self._flood = "", Flood("", 0, "", "", 0, 0)

    def prepare(self) -> None:
        self._casd.start()
        long = self._root / "long"
        long.write_bytes(os.urandom(LONG_BYTES))
        download = f"/v1/blobs/{self._casd.store(long)['uuid']}/data"
        long.unlink()
        token = self._casd.ask("POST", "/v1/tokens", '{"name":"a","role":"writer","namespaces":["flood"]}', 201)[
            "token"
        ]
        self._flood = Flood(*self._casd.address, token, download, DECLARED_BYTES, HOSTILE)

    def stop(self) -> None:
        self._casd.stop()

    def beside(self, kind: str, is_crowded: bool) -> Sample:
        """Waits of one good client, one request after the other."""
        good = GOOD[kind]
        connection = http.client.HTTPConnection(*self._casd.address, timeout=PATIENCE_S)
        uuid = self._casd.ask("POST", "/v1/blobs", os.urandom(GOOD_BYTES), 201)["uuid"]
        waits = []
        with hostile_clients(self._flood) if is_crowded else nullcontext():
            stop = time.monotonic() + self._for_s
            while time.monotonic() < stop:
                body = os.urandom(GOOD_BYTES) if good[0] == "POST" else None
                began_at = time.perf_counter()
                connection.request(good[0], good[1].format(uuid=uuid), body, self._casd.credentials)
                response = connection.getresponse()
                response.read()
                waits.append(time.perf_counter() - began_at)
                if response.status not in (200, 201):
                    raise RuntimeError(f"{good}: {response.status}")
        connection.close()
        return {"p50_ms": percentile(waits, 0.50) * 1e3, "p95_ms": percentile(waits, 0.95) * 1e3}


GOOD = {
    "small GETs": ("GET", "/v1/blobs/{uuid}/data"),
    "small POSTs": ("POST", "/v1/blobs"),
    "listings": ("GET", "/v1/blobs?limit=10"),
}


def name_of(kind: str) -> str:
    return f"{kind} beside {HOSTILE} hostile connections"


def cases(crowd: Crowd) -> list[Case]:
    return [
        Case(
            name_of(kind),
            {
                "crowded": lambda kind=kind: crowd.beside(kind, is_crowded=True),
                "alone": lambda kind=kind: crowd.beside(kind, is_crowded=False),
            },
        )
        for kind in GOOD
    ]
