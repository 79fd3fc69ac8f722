"""How these tests speak HTTP: whole answers through http.client, and a raw connection where that is too polite."""

import base64
import hashlib
import http.client
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from typing import Any, Self
from urllib.parse import urlsplit

from tests.conftest import Daemon, connection_to

PATIENCE_S = 30  # until a test gives up on what should take milliseconds


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    body: bytes

    def __getitem__(self, name: str) -> str | None:
        """The header; None without one. One that comes twice is a mistake."""
        values = self.headers.get_all(name, [])
        assert len(values) < 2, f"{name}: {values}"
        return values[0] if values else None

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of a problem, whose form is checked on the way."""
        assert self["Content-Type"] == "application/problem+json"
        problem = self.json
        assert set(problem) == {"type", "title", "status", "detail", "code", "request_id"}
        assert problem["status"] == self.status
        assert problem["request_id"] == self["X-Request-ID"]
        assert problem["title"]
        assert problem["detail"]
        code: str = problem["code"]
        return code


def address_of(daemon: Daemon) -> tuple[str, int]:
    url = urlsplit(daemon.url)
    return url.hostname or "", url.port or 0


class Wire:
    """A keep-alive connection to a daemon; the admin's unless a token is given, nobody's with token=None."""

    def __init__(self, daemon: Daemon, token: str | None = "") -> None:
        self._token = daemon.token if token == "" else token
        self.connection = connection_to(daemon.url, PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def ask(self, method: str, target: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """A body that is no bytes is sent as JSON."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        own = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        self.connection.request(method, target, body, own | dict(headers or {}))
        response = self.connection.getresponse()
        data = response.read()
        from tests.web.described import check_described  # who knows casd by its text alone imports none of it

        check_described(method, target, response.status, response.headers, data)
        return Answer(response.status, response.headers, data)


def ask(
    daemon: Daemon,
    method: str,
    target: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    token: str | None = "",
) -> Answer:
    """One request on a connection of its own."""
    with Wire(daemon, token) as wire:
        return wire.ask(method, target, body, headers)


def stored(wire: Wire, data: bytes, query: str = "", **headers: str) -> Answer:
    """A new blob."""
    answer = wire.ask("POST", f"/v1/blobs{query}", data, {key.replace("_", "-"): headers[key] for key in headers})
    assert answer.status == 201, answer.body
    return answer


class Raw:
    """A connection on which every byte is the test's own."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE_S)
        self.sock = sock
        self.file = sock.makefile("rb")

    def send(self, data: bytes | str) -> None:
        self.sock.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def head(self) -> tuple[int, Message]:
        """The next status and headers; (0, none) at the end of the connection."""
        line = self.file.readline()
        if not line:
            return 0, Message()
        version, status, *_ = line.split(b" ", 2)
        assert version in (b"HTTP/1.1", b"HTTP/1.0"), line
        return int(status), http.client.parse_headers(self.file)

    def answer(self, method: str = "GET") -> Answer:
        """The next whole answer; its body by Content-Length alone."""
        status, headers = self.head()
        has_body = method != "HEAD" and status not in (100, 204, 304, 0)
        return Answer(status, headers, self.file.read(int(headers["Content-Length"])) if has_body else b"")

    def rest(self) -> bytes:
        """All that still comes. A reset ends it too."""
        found = bytearray()
        try:
            while data := self.file.read1(1 << 16):
                found += data
        except ConnectionResetError:
            pass
        return bytes(found)

    def close(self) -> None:
        self.file.close()
        self.sock.close()


@contextmanager
def raw(daemon: Daemon, receive_buffer_bytes: int | None = None) -> Iterator[Raw]:
    sock = socket.socket()
    if receive_buffer_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    sock.settimeout(PATIENCE_S)
    sock.connect(address_of(daemon))
    connection = Raw(sock)
    try:
        yield connection
    finally:
        connection.close()


def head(daemon: Daemon, line: str, *headers: str, token: str | None = "") -> str:
    """A request's head as text, the blank line included."""
    secret = daemon.token if token == "" else token
    own = [] if secret is None else [f"Authorization: Bearer {secret}"]
    return "\r\n".join([f"{line} HTTP/1.1", "Host: casd.test", *own, *headers, "", ""])


def wait_until(is_so: Callable[[], Any], what: str) -> None:
    """Return as soon as it is so. Another process gives no event for what happens inside it."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s until {what}"
        time.sleep(0.005)


# -- what a daemon's folder and process show ------------------------------------------------------------------------


def payload_file(daemon: Daemon, data: bytes) -> str:
    digest = hashlib.sha512(data).hexdigest()
    return str(daemon.data / "payloads" / digest[:2] / digest[2:4] / digest)


def incoming(daemon: Daemon) -> list[str]:
    return sorted(os.listdir(daemon.data / "incoming"))


def has_payload(daemon: Daemon, data: bytes) -> bool:
    return os.path.exists(payload_file(daemon, data))


def open_descriptors(daemon: Daemon, path: str) -> int:
    """How many descriptors of the daemon stand for that file."""
    count = 0
    for entry in os.scandir(f"/proc/{daemon.pid}/fd"):
        try:
            count += os.readlink(entry.path).removesuffix(" (deleted)") == path
        except FileNotFoundError:  # closed a moment ago
            continue
    return count


def sha512_field(data: bytes) -> str:
    return f"sha-512=:{base64.b64encode(hashlib.sha512(data).digest()).decode()}:"


def sha256_field(data: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"
