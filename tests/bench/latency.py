"""What else happens while a server is busy: how long /healthz takes, how much memory slow clients cost."""

import time
from collections.abc import Sequence

from tests.bench.case import Case, Sample
from tests.bench.figures import percentile
from tests.bench.peers import Client, head, memory_mib
from tests.bench.transfers import Transfers

SLOW_CLIENTS = 32
SLOW_BODY_BYTES = 64 << 20
SAMPLE_EVERY_S = 0.1
HEALTH_EVERY_S = 0.004


class Meanwhile:
    """Measures beside the transfers of `at`."""

    def __init__(self, at: Transfers, slow_s: float) -> None:
        """Slow transfers are watched for `slow_s` seconds."""
        self._at = at
        self._slow_s = slow_s

    def health_idle(self, side: str) -> Sample:
        probe = self._probe(side)
        time.sleep(self._slow_s)
        return latencies(probe.end()["results"])

    def health_while_getting(self, side: str) -> Sample:
        """Eight downloads that the disk is waited for."""
        server, payloads = self._at.server(side), self._at.several
        for payload in payloads:
            payload.make_cold()
        probe = self._probe(side)
        heads = [head(server, "GET", payload.targets[side]) for payload in payloads]
        Client({"do": "get", "heads": heads}, server).end()
        return latencies(probe.end()["results"])

    def health_while_putting(self, side: str) -> Sample:
        """Two large bodies."""
        probe = self._probe(side)
        self._at.put(side, 2)
        return latencies(probe.end()["results"])

    def _probe(self, side: str) -> Client:
        server = self._at.server(side)
        return Client({"do": "health", "head": head(server, "GET", "/healthz"), "every_s": HEALTH_EVERY_S}, server)

    def memory(self, side: str, direction: str) -> Sample:
        """Added by slow clients to a server that was started just now: the most that is seen while they crawl."""
        at = self._at
        at.restart(side)
        server = at.server(side)
        if direction == "GET":
            heads = [head(server, "GET", at.large.targets[side])] * SLOW_CLIENTS
        else:
            targets = ["/v1/blobs" if side == "casd" else f"/dav/{at.new_name()}" for _ in range(SLOW_CLIENTS)]
            method = "POST" if side == "casd" else "PUT"
            heads = [head(server, method, target, Content_Length=SLOW_BODY_BYTES) for target in targets]
        before = memory_mib(server.pid)
        crawlers = Client({"do": f"slow-{direction.lower()}", "heads": heads}, server)
        stop = time.monotonic() + self._slow_s
        most = before
        while time.monotonic() < stop:
            time.sleep(SAMPLE_EVERY_S)
            most = max(most, memory_mib(server.pid))
        crawlers.end()
        return {"memory_mib": most - before}


def latencies(waits: Sequence[float]) -> Sample:
    """Of waits in seconds."""
    return {"p50_ms": percentile(waits, 0.50) * 1e3, "p99_ms": percentile(waits, 0.99) * 1e3}


def cases(at: Transfers, slow_s: float) -> list[Case]:
    among = Meanwhile(at, slow_s)
    found = [
        Case("/healthz beside nothing", at.both(among.health_idle)),
        Case("/healthz beside 8 cold downloads", at.both(among.health_while_getting)),
        Case("/healthz beside 2 large PUTs", at.both(among.health_while_putting)),
    ]
    for direction in ("GET", "PUT"):
        found.append(Case(f"memory of {SLOW_CLIENTS} slow {direction}s", at.both(among.memory, direction)))
    return found
