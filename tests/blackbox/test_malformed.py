"""Requests that nobody should send, over raw sockets: never a 5xx, never a hang, never a traceback, nothing changed.

Each row is what goes over the wire, and what may come back: the statuses of all answers until the daemon closes the
connection, which it must do soon, because the sender has nothing more to say.
"""

import json
import re
import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conftest import Daemon
from tests.web.wire import PATIENCE_S, Wire, raw

UUID = "01890000-0000-7000-8000-000000000000"
STATUS = re.compile(rb"^HTTP/1\.[01] (\d{3}) ", re.MULTILINE)
OK, BAD, GONE = {200}, {400}, {404}
REFUSED = {400, 401, 404, 405, 408, 411, 413, 414, 415, 417, 431}


@dataclass(frozen=True)
class Scene:
    """Where the requests go: things that must be the same in the end."""

    daemon: Daemon
    uuid: str
    digest: str

    def state(self) -> list[Any]:
        with Wire(self.daemon) as wire:
            paths = [
                "/v1/namespaces/malformed",
                f"/v1/blobs/{self.uuid}",
                "/v1/names/malformed",
                "/v1/blobs?namespace=malformed",
            ]
            paths += ["/v1/versions/malformed/a", "/v1/name-info/malformed/a", "/v1/tokens?limit=1000"]
            told = [wire.ask("GET", path).json for path in paths]
            for token in told[-1]["items"]:
                del token["last_used_at"]  # told to the minute, now and then
            return [*told, wire.ask("GET", "/v1/names/malformed/a").body]


@pytest.fixture(scope="module")
def scene(service: Daemon) -> Iterator[Scene]:
    """Afterwards the daemon is well, its log is clean, and all is as it was."""
    with Wire(service) as wire:
        wire.ask("PUT", "/v1/namespaces/malformed", {})
        blob = wire.ask("POST", "/v1/blobs?namespace=malformed", b"0123456789").json
        wire.ask("PUT", f"/v1/names/malformed/a?blob={blob['uuid']}")
    scene = Scene(service, blob["uuid"], blob["sha512"])
    before = scene.state()
    yield scene
    assert scene.state() == before
    with Wire(service) as wire:
        assert wire.ask("GET", "/readyz").status == 200
    assert "Traceback" not in service.log
    assert " ERROR " not in service.log


def exchange(scene: Scene, data: bytes, patience_s: float | None = None) -> list[int]:
    """The statuses of all answers until the daemon closes.

    A hang is a failure. The daemon is told that nothing more will come once it begins to answer, or after
    `patience_s`; without that, never.
    """
    with raw(scene.daemon) as connection:
        try:
            connection.send(data)
            if patience_s is not None:
                select.select([connection.sock], [], [], patience_s)
                connection.sock.shutdown(socket.SHUT_WR)
        except OSError:  # it has heard enough
            pass
        return [int(status) for status in STATUS.findall(connection.rest())]


def filled(scene: Scene, text: str | bytes) -> bytes:
    data = text.encode("latin-1") if isinstance(text, str) else text
    for key, value in {b"@UUID": scene.uuid, b"@DIGEST": scene.digest, b"@TOKEN": scene.daemon.token}.items():
        data = data.replace(key, value.encode())
    return data


def check(scene: Scene, text: str | bytes, expected: set[Any]) -> None:
    statuses = exchange(scene, filled(scene, text), 0.05 if None in expected else PATIENCE_S)

    assert set(statuses or [None]) <= expected


# -- heads that are none ----------------------------------------------------------------------------------------------

NEVER: set[Any] = {None, *REFUSED}  # closing without a word is an answer to what is no HTTP at all
HOST = "Host: x\r\nAuthorization: Bearer @TOKEN\r\nConnection: close\r\n"

HEADS: dict[str, tuple[str | bytes, set[Any]]] = {
    "nothing": ("", NEVER),
    "line ends": ("\r\n\r\n\r\n\r\n", NEVER),
    "zeros": ("\0" * 200 + "\r\n\r\n", NEVER),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)), NEVER),
    "HTTP/2": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NEVER),
    "SSH": ("SSH-2.0-OpenSSH_9.2\r\n\r\n", NEVER),
    "one word": ("GET\r\n\r\n", NEVER),
    "two words": ("GET /healthz\r\n\r\n", NEVER),
    "four words": (f"GET /healthz HTTP/1.1 x\r\n{HOST}\r\n", BAD),
    "no target": (f"GET  HTTP/1.1\r\n{HOST}\r\n", BAD),
    "two spaces": (f"GET  /healthz HTTP/1.1\r\n{HOST}\r\n", {200, 400}),
    "tab": (f"GET\t/healthz\tHTTP/1.1\r\n{HOST}\r\n", BAD),
    "space before the method": (f" GET /healthz HTTP/1.1\r\n{HOST}\r\n", BAD),
    "HTTP/0.9": (f"GET /healthz HTTP/0.9\r\n{HOST}\r\n", NEVER),
    "HTTP/1.2": (f"GET /healthz HTTP/1.2\r\n{HOST}\r\n", {*NEVER, 200, 505}),
    "HTTP/9.9": (f"GET /healthz HTTP/9.9\r\n{HOST}\r\n", {*NEVER, 505}),
    "HTTP/x": (f"GET /healthz HTTP/x\r\n{HOST}\r\n", BAD),
    "http/1.1": (f"GET /healthz http/1.1\r\n{HOST}\r\n", BAD),
    "HTTP/1.10": (f"GET /healthz HTTP/1.10\r\n{HOST}\r\n", BAD),
    "lower-case method": (f"get /healthz HTTP/1.1\r\n{HOST}\r\n", {400, 405}),
    "unknown method": (f"BREW /v1/blobs HTTP/1.1\r\n{HOST}\r\n", {400, 405}),
    "long method": (f"{'A' * 9000} / HTTP/1.1\r\n{HOST}\r\n", BAD),
    "method with a NUL": (f"G\0T / HTTP/1.1\r\n{HOST}\r\n", BAD),
    "method with a colon": (f"GE:T / HTTP/1.1\r\n{HOST}\r\n", BAD),
    "bytes above 127 in the target": ("GET /v1/names/default/\xff\xfe HTTP/1.1\r\n" + HOST + "\r\n", {400, 404}),
    "UTF-8 as it is in the target": (f"GET /v1/names/malformed/ü HTTP/1.1\r\n{HOST}\r\n".encode(), {400, 404}),
    "control character in the target": (f"GET /\x01 HTTP/1.1\r\n{HOST}\r\n", {400, 404}),
    "DEL in the target": (f"GET /\x7f HTTP/1.1\r\n{HOST}\r\n", {400, 404}),
    "a target without a slash": (f"GET healthz HTTP/1.1\r\n{HOST}\r\n", {400, 404}),
    "target *": (f"OPTIONS * HTTP/1.1\r\n{HOST}\r\n", {400, 404, 405}),
    "GET *": (f"GET * HTTP/1.1\r\n{HOST}\r\n", {400, 404}),
    "CONNECT": (f"CONNECT example.org:443 HTTP/1.1\r\n{HOST}\r\n", {400, 404, 405}),
    "CONNECT without a port": (f"CONNECT x HTTP/1.1\r\n{HOST}\r\n", {400, 404, 405}),
    "absolute form": (f"GET http://x/healthz HTTP/1.1\r\n{HOST}\r\n", OK),
    "absolute form of a name": (f"GET http://x/v1/names/malformed/a HTTP/1.1\r\n{HOST}\r\n", OK),
    "absolute form of bytes": (f"GET http://x:80/v1/blobs/@UUID/data HTTP/1.1\r\n{HOST}\r\n", OK),
    "absolute form of metadata": (f"GET http://x/v1/blobs/@UUID/metadata/k HTTP/1.1\r\n{HOST}\r\n", GONE),
    "absolute form of a listing": (f"GET http://x/v1/names/malformed?limit=1 HTTP/1.1\r\n{HOST}\r\n", OK),
    "absolute form without a path": (f"GET http://x HTTP/1.1\r\n{HOST}\r\n", {200, 400, 404}),
    "absolute form with a query alone": (f"GET http://x?y HTTP/1.1\r\n{HOST}\r\n", {200, 400, 404}),
    "another scheme": (f"GET ftp://x/healthz HTTP/1.1\r\n{HOST}\r\n", {200, 400, 404}),
    "a scheme alone": (f"GET http:// HTTP/1.1\r\n{HOST}\r\n", {400, 404}),
    "a bad port": (f"GET http://x:99999999/ HTTP/1.1\r\n{HOST}\r\n", {200, 400, 404}),
    "a port of letters": (f"GET http://x:http/ HTTP/1.1\r\n{HOST}\r\n", {200, 400, 404}),
    "an open bracket": (f"GET http://[::1/ HTTP/1.1\r\n{HOST}\r\n", {400, 404}),
    "a user": (f"GET http://a:b@x/healthz HTTP/1.1\r\n{HOST}\r\n", {200, 400}),
    "two slashes": (f"GET //healthz HTTP/1.1\r\n{HOST}\r\n", {400, 404}),
    "two slashes and a bracket": (f"GET //[/ HTTP/1.1\r\n{HOST}\r\n", {400, 404}),
    "a fragment": (f"GET /healthz#x HTTP/1.1\r\n{HOST}\r\n", {200, 400, 404}),
    "a backslash": (f"GET \\healthz HTTP/1.1\r\n{HOST}\r\n", {400, 404}),
    "a long target": (f"GET /{'a' * 100_000} HTTP/1.1\r\n{HOST}\r\n", {400, 404, 414, 431}),
    "a long query": (f"GET /v1/blobs?{'a' * 100_000} HTTP/1.1\r\n{HOST}\r\n", {400, 404, 414, 431}),
    "dots to the top": (f"GET /v1/../../../etc/passwd HTTP/1.1\r\n{HOST}\r\n", {400, 404}),
    "encoded dots to the top": (f"GET /v1/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\n{HOST}\r\n", {400, 404}),
    "no Host": ("GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n", {200, 400}),
    "two Hosts": (f"GET /healthz HTTP/1.1\r\nHost: y\r\n{HOST}\r\n", {200, 400}),
    "an empty Host": ("GET /healthz HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n", {200, 400}),
    "a Host that is none": ("GET /healthz HTTP/1.1\r\nHost: [::\r\nConnection: close\r\n\r\n", {200, 400}),
    "a Host with a path": ("GET /v1/blobs HTTP/1.1\r\nHost: x/../?#\r\nConnection: close\r\n\r\n", {400, 401}),
    "no colon": (f"GET /healthz HTTP/1.1\r\nHost x\r\n{HOST}\r\n", BAD),
    "a space before the colon": (f"GET /healthz HTTP/1.1\r\nX : y\r\n{HOST}\r\n", BAD),
    "an empty field name": (f"GET /healthz HTTP/1.1\r\n: y\r\n{HOST}\r\n", BAD),
    "a folded field": (f"GET /healthz HTTP/1.1\r\nX: y\r\n z\r\n{HOST}\r\n", {200, 400}),
    "a first line that is folded": (f"GET /healthz HTTP/1.1\r\n X: y\r\n{HOST}\r\n", BAD),
    "a NUL in a field": (f"GET /healthz HTTP/1.1\r\nX: a\0b\r\n{HOST}\r\n", BAD),
    "a CR in a field": (f"GET /healthz HTTP/1.1\r\nX: a\rb\r\n{HOST}\r\n", BAD),
    "LF alone": ("GET /healthz HTTP/1.1\nHost: x\nConnection: close\n\n", {200, 400}),
    "bytes above 127 in a field": (f"GET /healthz HTTP/1.1\r\nX: \xff\xfe\r\n{HOST}\r\n", {200, 400}),
    "bytes above 127 in a field name": (f"GET /healthz HTTP/1.1\r\nX\xff: y\r\n{HOST}\r\n", BAD),
    "a brace in a field name": (f"GET /healthz HTTP/1.1\r\nX{{: y\r\n{HOST}\r\n", BAD),
    "one long field": (f"GET /healthz HTTP/1.1\r\nX: {'a' * 100_000}\r\n{HOST}\r\n", {400, 431}),
    "one long field name": (f"GET /healthz HTTP/1.1\r\n{'a' * 100_000}: x\r\n{HOST}\r\n", {400, 431}),
    "many fields": ("GET /healthz HTTP/1.1\r\n" + "A: b\r\n" * 5000 + HOST + "\r\n", {200, 400, 431}),
    "many different fields": (
        "GET /healthz HTTP/1.1\r\n" + "".join(f"A{at}: b\r\n" for at in range(5000)) + HOST + "\r\n",
        {200, 400, 431},
    ),
    "a head that ends early": ("GET /healthz HTTP/1.1\r\nHost: x\r\nX: ", NEVER),
    "a head that ends in its first line": ("GET /heal", NEVER),
    "an answer": ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", NEVER),
    "Upgrade to HTTP/2": (
        f"GET /healthz HTTP/1.1\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n{HOST}\r\n",
        {200, 400},
    ),
    "Upgrade to a websocket": (
        "GET /healthz HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n",
        {200, 400},
    ),
}


@pytest.mark.parametrize("label", HEADS)
def test_a_head_that_is_none_is_refused(scene: Scene, label: str) -> None:
    check(scene, *HEADS[label])


# -- bodies that are none ---------------------------------------------------------------------------------------------

POST = f"POST /v1/blobs?namespace=malformed HTTP/1.1\r\n{HOST}"
PUT = f"PUT /v1/names/malformed/a HTTP/1.1\r\n{HOST}"
JSON = f"PUT /v1/namespaces/malformed HTTP/1.1\r\n{HOST}"
CHUNKED = "Transfer-Encoding: chunked\r\n"
CLOSED: set[Any] = {None, *REFUSED}  # who hangs up in the middle of a body may get an answer or none

BODIES: dict[str, tuple[str, set[Any]]] = {
    "a length of letters": ("Content-Length: x\r\n\r\nabc", BAD),
    "a negative length": ("Content-Length: -1\r\n\r\nabc", BAD),
    "a signed length": ("Content-Length: +3\r\n\r\nabc", BAD),
    "an empty length": ("Content-Length:\r\n\r\nabc", BAD),
    "a length with a fraction": ("Content-Length: 3.0\r\n\r\nabc", BAD),
    "a length in hex": ("Content-Length: 0x3\r\n\r\nabc", BAD),
    "a length with underscores": ("Content-Length: 1_0\r\n\r\n0123456789", BAD),
    "a length in other digits": ("Content-Length: \xb2\r\n\r\nab", BAD),
    "two lengths in a field": ("Content-Length: 3, 3\r\n\r\nabc", BAD),
    "two lengths that differ": ("Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", BAD),
    "two lengths that agree": ("Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", BAD),
    "a length of 2^63": (f"Content-Length: {1 << 63}\r\n\r\nabc", REFUSED),
    "a length of 2^64 + 3": (f"Content-Length: {(1 << 64) + 3}\r\n\r\nabc", REFUSED),
    "a length of 10^5000": (f"Content-Length: {'9' * 5000}\r\n\r\nabc", REFUSED),
    "length and chunks": (f"Content-Length: 3\r\n{CHUNKED}\r\n3\r\nabc\r\n0\r\n\r\n", BAD),
    "chunks and length": (f"{CHUNKED}Content-Length: 99\r\n\r\n3\r\nabc\r\n0\r\n\r\n", BAD),
    "fewer bytes than announced": ("Content-Length: 9\r\n\r\nabc", CLOSED),
    "no byte of those announced": ("Content-Length: 9\r\n\r\n", CLOSED),
    "a chunk size of letters": (f"{CHUNKED}\r\nzz\r\nabc\r\n0\r\n\r\n", BAD),
    "a negative chunk size": (f"{CHUNKED}\r\n-3\r\nabc\r\n0\r\n\r\n", BAD),
    "a signed chunk size": (f"{CHUNKED}\r\n+3\r\nabc\r\n0\r\n\r\n", BAD),
    "a chunk size with a prefix": (f"{CHUNKED}\r\n0x3\r\nabc\r\n0\r\n\r\n", BAD),
    "a chunk size with an underscore": (f"{CHUNKED}\r\n0_3\r\nabc\r\n0\r\n\r\n", BAD),
    "an empty chunk size": (f"{CHUNKED}\r\n\r\nabc\r\n0\r\n\r\n", BAD),
    "a huge chunk size": (f"{CHUNKED}\r\n{'f' * 17}\r\nabc", CLOSED),
    "a chunk size without an end": (f"{CHUNKED}\r\n{'0' * 100_000}", CLOSED),
    "a chunk size of 2^63": (f"{CHUNKED}\r\n8000000000000000\r\nabc", CLOSED),
    "a chunk that is longer than it says": (f"{CHUNKED}\r\n2\r\nabc\r\n0\r\n\r\n", BAD),
    "a chunk without its line end": (f"{CHUNKED}\r\n3\r\nabc0\r\n\r\n", BAD),
    "no last chunk": (f"{CHUNKED}\r\n3\r\nabc\r\n", CLOSED),
    "half a chunk": (f"{CHUNKED}\r\n9\r\nabc", CLOSED),
    "a bad trailer": (f"{CHUNKED}\r\n3\r\nabc\r\n0\r\nno colon\r\n\r\n", BAD),
    "many trailers": (f"{CHUNKED}\r\n3\r\nabc\r\n0\r\n" + "A: b\r\n" * 20_000 + "\r\n", {400, 413, 431}),
    "gzip chunks": ("Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", {400, 415}),
    "chunks and then gzip": ("Transfer-Encoding: chunked, gzip\r\n\r\n3\r\nabc\r\n0\r\n\r\n", {400, 415}),
    "an unknown transfer coding": ("Transfer-Encoding: x\r\n\r\nabc", {400, 415}),
    "identity": ("Transfer-Encoding: identity\r\n\r\nabc", {400, 415}),
    "chunks twice": ("Transfer-Encoding: chunked, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", BAD),
    "chunks in two fields": (f"{CHUNKED}{CHUNKED}\r\n3\r\nabc\r\n0\r\n\r\n", BAD),
    "chunks with a tab": ("Transfer-Encoding:\tchunked\x0b\r\n\r\n3\r\nabc\r\n0\r\n\r\n", BAD),
    "gzip": ("Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", {415}),
    "an unknown encoding": ("Content-Encoding: x, y\r\nContent-Length: 3\r\n\r\nabc", {415}),
    "another expectation": ("Expect: x\r\nContent-Length: 3\r\n\r\nabc", {417}),
    "two expectations": ("Expect: 100-continue\r\nExpect: x\r\nContent-Length: 3\r\n\r\nabc", {417}),
    "an expectation twice": ("Expect: 100-continue, 100-continue\r\nContent-Length: 3\r\n\r\nabc", {417}),
    "an expectation with a parameter": ("Expect: 100-continue; x\r\nContent-Length: 3\r\n\r\nabc", {417}),
    "a part": ("Content-Range: bytes 5-7/10\r\nContent-Length: 3\r\n\r\nabc", BAD),
    "the first part": ("Content-Range: bytes 0-2/10\r\nContent-Length: 3\r\n\r\nabc", BAD),
    "a part of who knows": ("Content-Range: bytes 0-2/*\r\nContent-Length: 3\r\n\r\nabc", BAD),
    "a part that is not satisfied": ("Content-Range: bytes */3\r\nContent-Length: 3\r\n\r\nabc", BAD),
    "a part backwards": ("Content-Range: bytes 2-0/3\r\nContent-Length: 3\r\n\r\nabc", BAD),
    "a part of another length": ("Content-Range: bytes 0-3/4\r\nContent-Length: 3\r\n\r\nabc", BAD),
    "a part of 2^63": (f"Content-Range: bytes 0-{1 << 63}/{(1 << 63) + 1}\r\nContent-Length: 3\r\n\r\nabc", BAD),
    "a part of 10^5000": (f"Content-Range: bytes 0-2/{'9' * 5000}\r\nContent-Length: 3\r\n\r\nabc", BAD),
    "a part in items": ("Content-Range: items 0-2/3\r\nContent-Length: 3\r\n\r\nabc", BAD),
    "a part that is none": ("Content-Range: \xff\r\nContent-Length: 3\r\n\r\nabc", BAD),
    "a bad digest": ("Repr-Digest: sha-512=:x:\r\nContent-Length: 3\r\n\r\nabc", BAD),
    "a bad type": ("Content-Type: \xff\r\nContent-Length: 3\r\n\r\nabc", BAD),
}


@pytest.mark.parametrize("start", [POST, PUT, JSON], ids=["blob", "name", "json"])
@pytest.mark.parametrize("label", BODIES)
def test_a_body_that_is_none_is_refused(scene: Scene, label: str, start: str) -> None:
    """On a route that takes JSON the bytes are refused at the latest because they are none."""
    text, expected = BODIES[label]
    check(scene, start + text, {*expected, *BAD} if start == JSON else expected)


def test_a_chunk_extension_is_ignored_or_refused(scene: Scene) -> None:
    for extension in ("x", "x=y", 'x="\\""', "=", "x" * 100_000, "\xff", "\t"):
        text = f"POST /v1/blobs HTTP/1.1\r\n{HOST}{CHUNKED}\r\n3;{extension}\r\nabc\r\n0\r\n\r\n"
        check(scene, text, {201, 400, 413, 431})


def test_what_follows_a_broken_body_is_no_request(scene: Scene) -> None:
    """Nothing is smuggled: the second head stands where the daemon must not look for one."""
    inner = f"DELETE /v1/names/malformed/a?purge=1 HTTP/1.1\r\n{HOST}\r\n"
    for framing in (
        f"Content-Length: 4\r\n{CHUNKED}\r\n0\r\n\r\n",
        f"{CHUNKED}\r\nzz\r\n",
        f"{CHUNKED}\r\n1\r\nab\r\n0\r\n\r\n",
        f"Transfer-Encoding: x{CHUNKED}\r\n0\r\n\r\n",
        "Content-Length: 3\r\nContent-Length: 0\r\n\r\n",
        "Content-Length : 0\r\n\r\n",
    ):
        text = POST.replace("Connection: close\r\n", "") + framing + inner
        assert set(exchange(scene, filled(scene, text))) <= {400}, framing


# -- what stands in paths and queries ---------------------------------------------------------------------------------

PATHS: dict[str, set[int]] = {
    **{
        f"/v1/names/malformed/x{piece}": BAD
        for piece in ("%FF", "%25FF%FF", "%00", "%", "%2", "%zz", "%ED%A0%80", "%C0%AF", "%0D%0A")
    },
    "/v1/names/malformed/x%25FF": GONE,
    "/v1/names/malformed/a#": BAD,
    "/v1/names/malformed/a#b?version=1": BAD,
    "/v1/names/malformed/a%23": GONE,
    "/v1/names/malformed/x%25": GONE,
    **{f"/v1/{kind}/malformed/%FF": BAD for kind in ("versions", "name-info")},
    **{f"/v1/{kind}/%FF/a": BAD for kind in ("names", "versions", "name-info")},
    **{f"/v1/{kind}/mal%2Fformed/a": BAD for kind in ("names", "versions", "name-info")},
    "/v1/names/%FF": BAD,
    "/v1/names/mal%2Fformed": BAD,
    "/v1/namespaces/%FF": BAD,
    "/v1/namespaces/%00": BAD,
    "/v1/blobs/%FF": {400, 404},
    "/v1/blobs/%00/data": {400, 404},
    "/v1/blobs/@UUID%00/data": {400, 404},
    "/v1/blobs/@UUID%2Fdata": {400, 404},
    "/v1/blobs/@UUID/metadata/%FF": BAD,
    "/v1/blobs/@UUID/metadata/%": BAD,
    "/v1/payloads/sha512/%FF": {400, 404},
    "/v1/payloads/sha512/@DIGEST%00": {400, 404},
    "/v1/payloads/sha512/@DIGEST0": GONE,
    "/v1/checksums/sha512/%FF": BAD,
    "/v1/checksums/%FF/%FF": BAD,
    "/v1/checksums/sha512/@DIGEST0": BAD,
    "/v1/tokens/%FF": {400, 404, 405},
    **{
        f"/v1/blobs/@UUID/data?offset={text}": BAD
        for text in ("-1", "%FF", "%00", "1e1", "x", "%B2", "%D9%A1", "0x1", "1_0", "%2B1")
    },
    **{f"/v1/blobs/@UUID/data?offset={text}": {416} for text in (1 << 63, 1 << 64, "9" * 4301, "9" * 7000)},
    **{f"/v1/blobs/@UUID/data?length={text}": OK for text in (0, 1 << 63, "9" * 7000, "0" * 7000)},
    **{f"/v1/names/malformed/a?version={text}": GONE for text in (0, 1 << 31, 1 << 63, 1 << 64, "9" * 7000)},
    **{f"/v1/names/malformed/a?version={text}": BAD for text in ("%FF", "-1", "x", "", "1,1", "%D9%A1")},
    **{
        f"/v1/names/malformed/a?as_of={text}": BAD
        for text in ("%FF", "x", "", "0", "1e400", "2026-02-30T00:00:00Z", "9" * 7000)
    },
    **{
        f"/v1/names/malformed/a?as_of={text}": BAD
        for text in ("10000-01-01T00:00:00Z", "0001-01-01T00:00:00%2B23:59", "T")
    },
    "/v1/names/malformed/a?as_of=9999-12-31T23:59:59-23:59": BAD,
    **{f"/v1/blobs?cursor={text}": BAD for text in ("%FF", "%00", "x", "=", "AAAA", "A" * 7000, "____")},
    **{f"/v1/blobs?limit={text}": BAD for text in ("%FF", "%00", "x", "-1", "1.5", "%E2%85%A0")},
    **{f"/v1/blobs?namespace={text}": BAD for text in ("%FF", "%00", "a%2Fb", "%ED%A0%80", "a" * 7000)},
    "/v1/blobs?metadata.=x": {200, 400},
    "/v1/blobs?metadata.%FF=x": BAD,
    "/v1/blobs?metadata.x=%ED%A0%80": BAD,
    "/v1/blobs?" + "&".join(["metadata.k=v"] * 600): BAD,
    "/v1/blobs?metadata.%00=%00": {200, 400},
    "/v1/blobs?content_type=%FF": BAD,
    "/v1/blobs?" + "&".join(f"metadata.k{at}=v" for at in range(17)): BAD,
    "/v1/blobs?" + "&".join(f"metadata.k{at}=v" for at in range(16)): OK,
    "/v1/names/malformed?prefix=%FF": BAD,
    "/v1/names/malformed?prefix=%00": {200, 400},
    "/v1/names/malformed?prefix=%ED%A0%80": BAD,
    "/v1/names/malformed?prefix=" + "%F4%8F%BF%BF" * 600: {200, 400},
    "/v1/blobs?&&==&;=%": BAD,
    "/v1/blobs?&&==&;=+": OK,
    "/v1/blobs?limit": BAD,
    "/v1/blobs?limit=1&limit=x": {200, 400},
}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:60])
def test_a_path_or_query_that_is_none_is_refused(scene: Scene, path: str) -> None:
    check(scene, f"GET {path} HTTP/1.1\r\n{HOST}\r\n", PATHS[path])


# -- what stands in fields --------------------------------------------------------------------------------------------

TEN_THOUSAND = ",".join(f"{at}-{at}" for at in range(0, 20_000, 2))
DATES = ["", "0", "\xff", "Thu, 99 Foo 99999 99:99:99 GMT", "Sun, 06 Nov 1994 08:49:37 +9999", "9" * 7000]
DATES += ["Thu, 01 Jan 0000 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 -2359", "Sat, 01 Jan 0001 00:00:00 +2359"]
FIELDS: dict[str, set[int]] = {
    f"Range: bytes={TEN_THOUSAND[:7000].rpartition(',')[0]}": {206},
    f"Range: bytes={TEN_THOUSAND}": {400, 431},  # longer than a field may be
    **{f"Range: bytes={text}": {206} for text in ("0-" + "9" * 7000, "-" + "9" * 7000, f"1-{1 << 64}", "0-0," * 1500)},
    **{f"Range: bytes={text}": {416} for text in ("9" * 7000 + "-", f"{1 << 63}-{1 << 64}", "10-", "-0,-0")},
    **{
        f"Range: {text}": OK
        for text in ("", "=", "bytes", "bytes=", "\xff=0-1", "bytes=\xff", "bytes=1-0", "bytes=" + "," * 7000)
    },
    **{
        f"{field}: {text}": {200, 304, 412}
        for field in ("If-Match", "If-None-Match")
        for text in ("", '"', 'W/"', "\xff", "*,*", ',"' * 2000)
    },
    **{f"{field}: {text}": {200, 304, 412} for field in ("If-Modified-Since", "If-Unmodified-Since") for text in DATES},
    **{
        f"If-Range: {text}\r\nRange: bytes=0-1": OK
        for text in ('"', "\xff", "W/", "9" * 7000, "Thu, 99 Foo 9 9:9:9 GMT")
    },
    **{
        f"Want-Content-Digest: {text}\r\nRange: bytes=0-1": {206}
        for text in ("", "\xff", "sha-512", "sha-512=999", "=" * 7000)
    },
    **{
        f"Authorization: {text}": {400, 401}
        for text in ("", "Bearer", "Bearer \xff", "Bearer " + "x" * 7000, "Basic =", "Bearer a b c")
    },
    **{f"X-Request-ID: {text}": OK for text in ("", "\xff", "x" * 7000, "a\tb", "%0d%0aX: y")},
    "Accept-Encoding: gzip, br, \xff": OK,
    "Cookie: \xff=\xff; a": OK,
    "Connection: \xff, keep-alive, upgrade": OK,
    "Content-Length: 0": OK,
    "Content-Type: \xff": OK,
}


@pytest.mark.parametrize("lines", FIELDS, ids=lambda lines: ascii(lines[:40]))
def test_a_field_that_is_none_is_ignored_or_refused(scene: Scene, lines: str) -> None:
    token = "" if lines.startswith("Authorization") else "Authorization: Bearer @TOKEN\r\n"
    for target in ("/v1/blobs/@UUID/data", "/v1/names/malformed/a"):
        head = f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{token}{lines}\r\n\r\n"
        check(scene, head, FIELDS[lines])


# -- what stands in JSON ----------------------------------------------------------------------------------------------

NASTY = [  # as the value of a field that is known
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "-1e400",
    "9" * 5000,
    "-" + "9" * 400,
    "1e-400",
    "1E5000000",
    '"\\ud800"',
    '"\\udfff\\ud800"',
    '"\xff"',
    '"\xed\xa0\x80"',
    '"\\u0000"',
    '"a\\u0000b"',
    '"\0"',
    '"\\x41"',
    '"' + "x" * 70_000 + '"',
    "[" * 65 + "]" * 65,
    "[" * 100_000 + "]" * 100_000,
    "[" * 100_000,
    '{"a":' * 100_000,
    '{"a":' * 70 + "1" + "}" * 70,
    "tru",
    "01",
    "1.",
    ".5",
    "+1",
    "0x10",
    "'a'",
    "/* c */ 1",
    "undefined",
    "",
    "}",
    "1, 2",
]
JSON_CALLS = [
    ("PUT", "/v1/namespaces/malformed", "readers"),
    ("PUT", "/v1/namespaces/malformed", "anonymous_read"),
    ("PUT", "/v1/namespaces/malformed", "quota_bytes"),
    ("PUT", "/v1/namespaces/malformed", "unknown"),
    ("POST", "/v1/tokens", "name"),
    ("POST", "/v1/tokens", "role"),
    ("POST", "/v1/tokens", "namespaces"),
    ("PATCH", "/v1/name-info/malformed/a", "metadata"),
    ("PATCH", "/v1/name-info/malformed/a", "keep_versions"),
]


@pytest.mark.parametrize(("method", "path", "name"), JSON_CALLS)
def test_json_that_is_none_is_refused(scene: Scene, method: str, path: str, name: str) -> None:
    """Over one connection: a body that arrived whole spoils nothing for the next request."""
    with Wire(scene.daemon) as wire:
        for value in NASTY:
            body = f'{{"{name}": {value}}}'.encode("latin-1")
            assert wire.ask(method, path, body).status in (400, 413), value[:40]


def test_a_value_that_json_allows_is_kept_or_refused(scene: Scene) -> None:
    with Wire(scene.daemon) as wire:
        url = f"/v1/blobs/{scene.uuid}/metadata/k"
        for value in NASTY:
            answer = wire.ask("PUT", url, f'{{"value": {value}}}'.encode("latin-1"))
            assert answer.status in (200, 400, 413), value[:40]
            if answer.status == 200:
                assert wire.ask("GET", url).json == answer.json == {"value": json.loads(value)}
                assert wire.ask("DELETE", url).status == 204


NO_OBJECTS = [b"", b"\xef\xbb\xbf{}", "{}".encode("utf-16"), "{}".encode("utf-32"), b"{}{}", b"{} x", b"\0{}", b"\xff"]
NO_OBJECTS += [
    b"null",
    b"[]",
    b'"x"',
    b"1",
    b"true",
    b"{",
    b"}",
    b'{"a"}',
    b'{"a":}',
    b'{"a" 1}',
    b"{1: 2}",
    b"{,}",
    b"NaN",
]
NO_OBJECTS += [b'{"a": 1,}', b'{"readers": ' + b"[" * 500_000, b"[" * 1_000_000, b" " * 2_000_000, b'{"\\ud800": 1}']
NO_OBJECTS += [b'{"": 1}', b'{"\xff": 1}', b'{"a": 1, ' * 50_000, b'"' + b"\\u0000" * 100_000 + b'"']


@pytest.mark.parametrize("body", NO_OBJECTS, ids=lambda body: ascii(body[:20]))
def test_a_body_that_is_no_json_object_is_refused(scene: Scene, body: bytes) -> None:
    with Wire(scene.daemon) as wire:
        for method, path in dict.fromkeys((method, path) for method, path, _ in JSON_CALLS):
            assert wire.ask(method, path, body).status in (400, 413)
        assert wire.ask("PUT", f"/v1/blobs/{scene.uuid}/metadata/k", body).status in (400, 413)


def test_a_key_that_comes_twice_counts_once(scene: Scene) -> None:
    with Wire(scene.daemon) as wire:
        answer = wire.ask("PUT", "/v1/namespaces/malformed", b'{"keep_versions": 3, "keep_versions": null}')

    assert answer.status in (200, 400)
    assert answer.status == 400 or answer.json["keep_versions"] is None
