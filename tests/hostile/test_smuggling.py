"""Requests that hide another one from nginx or from casd: both see the same number, and nobody gets another's answer.

nginx is set up with the lines of `casd help proxy`, and once more with connections to casd that it keeps, so that what
is left over of one client's request would be the beginning of another's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import Daemon, serving
from tests.hostile.sender import Heard, heard
from tests.tools.test_nginx import configured, lines_for
from tests.web.wire import Wire, wait_until

LOGGING = "log_format both '$request_method $request_uri $upstream_status'; access_log {root}/access.log both;"
KEEPING = "upstream casd {{ server {address}; keepalive 4; }}"


@dataclass
class Pair:
    """An nginx, and the daemon behind it."""

    daemon: Daemon
    url: str
    root: Path

    def passed_on(self) -> int:
        """How many requests nginx says that it has had answered."""
        lines = (self.root / "access.log").read_text().splitlines()
        return sum(line.rpartition(" ")[2] != "-" for line in lines)

    def arrived(self) -> int:
        """How many requests casd says that it has answered, heads that it could not read included."""
        return sum(" request request=" in line for line in self.daemon.log.splitlines())


@pytest.fixture(scope="module", params=["closed behind each", "kept"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    root = tmp_path_factory.mktemp("smuggling")
    with serving(root / "data", CASD_SERVER__TRUSTED_PROXIES="127.0.0.1") as daemon:
        with Wire(daemon) as wire:
            assert wire.ask("PUT", "/v1/names/default/victim", b"the victim's own").status == 201
        address = urlsplit(daemon.url).netloc
        more = LOGGING.format(root=root)
        lines = lines_for(daemon.url)
        if request.param == "kept":
            more += KEEPING.format(address=address)
            lines = lines_for("http://casd").replace(
                "Host $http_host;", 'Host $http_host; proxy_set_header Connection "";'
            )
        with configured(root, lines, more) as url:
            yield Pair(daemon, url, root)


# fmt: off
HIDDEN = "GET /v1/hidden HTTP/1.1\r\nHost: casd.test\r\nX: "
CODINGS = ["chunked", "Chunked", "chunked ", "\tchunked", "\x0bchunked", "xchunked", "chunked, identity", "identity"]
CODINGS += [
    "gzip, chunked",
    "chunked\r\nTransfer-Encoding: x",
    "x\r\nTransfer-Encoding: chunked",
    "chunked;a",
    "\x00chunked",
]
FIELDS = [
    "Transfer-Encoding:",
    "Transfer-Encoding :",
    " Transfer-Encoding:",
    "Transfer_Encoding:",
    "Transfer-Encoding\t:",
]
FIELDS += [
    "X: y\r\n Transfer-Encoding:",
    "X: y\nTransfer-Encoding:",
    "Transfer-Encoding:\r\n",
    "\x00Transfer-Encoding:",
]
LENGTHS = [
    "{0}",
    "+{0}",
    "{0}\r\nContent-Length: 0",
    "0\r\nContent-Length: {0}",
    "0, {0}",
    "{0}, {0}",
    "0x{0:x}",
    "{0} ",
    "0{0}",
]
LENGTHS += ["-1", "{0};", "\x0b{0}", "{0}\r\nContent-Length : 0", "{0}\r\nContent_Length: 0", "\r\n {0}"]
CHUNKS = [
    "0\r\n\r\n{0}",
    "1;{0}\r\nx\r\n0\r\n\r\n",
    "1;a=\n{0}\r\nx\r\n0\r\n\r\n",
    "1\r\nxx{0}0\r\n\r\n",
    "0\r\nX: y\r\n{0}\r\n\r\n",
]
CHUNKS += [
    "1\nx\n0\n\n{0}",
    "00000000000000001\r\nx\r\n0\r\n\r\n{0}",
    "0x1\r\nx\r\n0\r\n\r\n{0}",
    "1 \r\nx\r\n0\r\n\r\n{0}",
    "-1\r\n{0}",
]
CHUNKS += [
    "10000000000000001\r\nx\r\n0\r\n\r\n{0}",
    "1\r\nx\r\n0\r\n{0}",
    "1\r\nx\r0\r\n\r\n{0}",
    "1;\r{0}\r\nx\r\n0\r\n\r\n",
]
TARGETS = [
    "http://other.test/v1/hidden",
    "http://casd.test/v1/hidden",
    "//other.test/v1/hidden",
    "/v1/x HTTP/1.1\r\nX: /",
    "*",
]
TARGETS += [
    "/v1/x%20HTTP/1.1%0d%0aHost:%20a%0d%0a%0d%0aGET%20/v1/hidden",
    "/v1/x?\r\n",
    "/v1/x\tHTTP/1.1",
    "/v1/x#/../hidden",
]
H2C = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"
OTHERS = [
    H2C,
    "Connection: Host",
    "Connection: Content-Length",
    "Expect: 100-continue",
    "Expect: x",
    "Upgrade: websocket\r\nConnection: Upgrade",
]
OTHERS += [
    "Host: other.test",
    "X-HTTP-Method-Override: DELETE",
    "X-Forwarded-For: 192.0.2.1\r\nConnection: X-Forwarded-For",
]
# fmt: on


def head(line: str, *lines: str) -> str:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: casd.test", *lines, "", ""])


def payloads() -> Iterator[str]:
    """Each hides HIDDEN where one of the two may take it for the body, or for what follows."""
    chunked = f"0\r\n\r\n{HIDDEN}"
    for method in ("POST", "GET"):
        for length in LENGTHS:  # CL.CL, CL.0
            yield head(f"{method} /v1/blobs", f"Content-Length: {length.format(len(HIDDEN))}") + HIDDEN
        for coding in CODINGS:  # CL.TE and TE.CL
            for length in (str(len(chunked)), "4"):
                fields = f"Content-Length: {length}", f"Transfer-Encoding: {coding}"
                yield head(f"{method} /v1/blobs", *fields) + chunked
                yield head(f"{method} /v1/blobs", *fields[::-1]) + chunked
    for field in FIELDS:  # TE.TE
        yield head("POST /v1/blobs", "Transfer-Encoding: chunked", f"{field} identity") + chunked
        yield head("POST /v1/blobs", f"Content-Length: {len(chunked)}", f"{field} chunked") + chunked
    for chunk in CHUNKS:
        yield head("POST /v1/blobs", "Transfer-Encoding: chunked") + chunk.format(HIDDEN)
    for target in TARGETS:
        yield head(f"GET {target}")
    for other in OTHERS:
        yield head("GET /v1/x", other, f"Content-Length: {len(HIDDEN)}") + HIDDEN
        yield head("GET /v1/x", other) + HIDDEN


async def test_casd_sees_as_many_requests_as_nginx_sends_and_nobody_gets_another_s_answer(pair: Pair) -> None:
    address = urlsplit(pair.url)
    assert address.hostname is not None
    assert address.port is not None
    secret = f"Authorization: Bearer {pair.daemon.token}"
    victim = head("GET /v1/names/default/victim", secret, "Connection: close").encode()
    wait_until(lambda: pair.arrived() >= 1, "casd has logged what was asked before")
    before = pair.arrived() - pair.passed_on()

    for payload in payloads():
        answer = await heard((address.hostname, address.port), payload.encode("latin-1"))
        after = await heard((address.hostname, address.port), victim)

        assert not is_wrong(answer), payload
        assert after.raw.endswith(b"\r\n\r\nthe victim's own"), payload
        assert after.statuses == [200], payload
        wait_until(lambda: pair.arrived() - pair.passed_on() == before, f"both tell the same of {payload!r}")


def is_wrong(heard: Heard) -> bool:
    return heard.is_hung or b"the victim's own" in heard.raw or any(status in (500, 502) for status in heard.statuses)
