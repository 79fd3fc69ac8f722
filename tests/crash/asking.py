"""Plain requests to a daemon, one connection each, without a retry: what was answered, or that nothing was."""

import contextlib
import http.client
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.conftest import Daemon

TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    daemon: Daemon,
    method: str,
    path: str,
    body: bytes | Iterable[bytes] | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """The daemon's answer. A body that is not `bytes` is sent in chunks, without an announced length."""
    host, port = daemon.url.removeprefix("http://").rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT_S)
    is_chunked = body is not None and not isinstance(body, bytes)
    # Refused before the whole body was taken: the answer is there all the same.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request(method, path, body, daemon.headers | (headers or {}), encode_chunked=is_chunked)
    try:
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def post(daemon: Daemon, data: bytes | Iterable[bytes]) -> Answer:
    return ask(daemon, "POST", "/v1/blobs", data, None if isinstance(data, bytes) else {"Transfer-Encoding": "chunked"})


def collect(daemon: Daemon) -> dict[str, Any]:
    """What a collection that may remove everything reports."""
    answer = ask(daemon, "POST", "/v1/upkeep/collect-garbage?force=1")
    assert answer.status == 200, answer.body
    report: dict[str, Any] = answer.json
    return report


def data_of(daemon: Daemon, uuid: str) -> Answer:
    return ask(daemon, "GET", f"/v1/blobs/{uuid}/data")


def listed_blobs(daemon: Daemon) -> list[dict[str, Any]]:
    """Every blob there is, all pages."""
    blobs: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = ask(daemon, "GET", f"/v1/blobs?limit=1000{cursor}").json
        blobs += page["items"]
        if page["next"] is None:
            return blobs
        cursor = f"&cursor={page['next']}"


def chunks(data: bytes, size: int = 256 << 10) -> Iterator[bytes]:
    """The same bytes as a body without an announced length."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


def eventually(is_so: Callable[[], bool]) -> None:
    """Return when it is so: for what a daemon does on its own, which gives no event to wait for."""
    deadline = time.monotonic() + TIMEOUT_S
    while not is_so():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)
