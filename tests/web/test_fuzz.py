"""Requests that nobody would send: never a 5xx, a hang or a traceback, and the daemon goes on."""

import re
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Daemon
from tests.web.wire import ask, raw

STATUS = re.compile(rb"^HTTP/1\.[01] (\d{3})", re.MULTILINE)
UUID = "00000000-0000-7000-8000-000000000000"

PATHS = ["/", "/healthz", "/v1/blobs", f"/v1/blobs/{UUID}", f"/v1/blobs/{UUID}/data", f"/v1/blobs/{UUID}/metadata/k"]
PATHS += [f"/v1/payloads/sha512/{'0' * 128}", f"/v1/checksums/sha256/{'0' * 64}", "/v1/names/default", "/v1/tokens"]
PATHS += ["/v1/names/default/fuzz/a", "/v1/versions/default/fuzz/a", "/v1/name-info/default/fuzz/a", "/v1/namespaces/x"]
PATHS += ["/v1/namespaces", f"/v1/tokens/{UUID}", "/v1/upkeep/collect-garbage"]
QUERIES = ["limit", "cursor", "namespace", "content_type", "metadata.k", "metadata.", "version", "as_of", "offset"]
QUERIES += ["length", "inline", "purge", "dry_run", "blob", "filename", "expires_in", "prefix"]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PRI", "get", "X" * 40]
HEADERS = ["Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Expect"]
HEADERS += ["Repr-Digest", "Want-Content-Digest", "Content-Type", "Content-Range", "Content-Encoding", "Upgrade"]
HEADERS += ["Authorization", "X-Request-ID", "Accept", "Accept-Encoding", "Connection", "Cookie", "Host", "X-\xe9"]

# One byte each, as it goes over the wire; no line ends, which would only make another request.
junk = st.text(st.characters(max_codepoint=255, blacklist_characters="\r\n"), max_size=20)
pieces = st.sampled_from(
    ["%", "%00", "%0a", "%2f", "%2e", "%ff", "%ed%a0%80", "%zz", "..", "//", "{", "}", ";", "?", "#"]
)
targets = st.builds(
    lambda path, at, piece: path[: at % (len(path) + 1)] + piece + path[at % (len(path) + 1) :],
    st.sampled_from(PATHS),
    st.integers(0, 200),
    pieces | junk.map(lambda text: text.replace(" ", "+")) | st.just(""),
)
numbers = st.sampled_from(
    ["0", "1", "-1", "9" * 30, "1e9", "", "0x1", "%d9%a1", "2026-01-01T00:00:00Z", UUID, "AAAA", "="]
)
queries = st.lists(st.tuples(st.sampled_from(QUERIES), numbers | pieces), max_size=3).map(
    lambda found: "?" + "&".join(f"{name}={value}" for name, value in found) if found else ""
)
values = junk | st.sampled_from(
    ["*", '"', "W/", "bytes=0-", "bytes=-1,5-", "100-continue", "close", "gzip", "sha-512=:=:"]
)
headers = st.lists(st.tuples(st.sampled_from(HEADERS), values), max_size=6)

many = settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])


def said(daemon: Daemon, request: str, *, hang_up: bool = False) -> list[int]:
    """The statuses of all that the daemon answers until it closes the connection."""
    with raw(daemon) as connection:
        try:
            connection.send(request)
            if hang_up:
                connection.sock.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError, OSError):  # it has heard enough
            pass
        return [int(status) for status in STATUS.findall(connection.rest())]


def written(daemon: Daemon, method: str, target: str, fields: list[tuple[str, str]]) -> str:
    lines = [f"{method} {target} HTTP/1.1", "Host: x", f"Authorization: Bearer {daemon.token}", "Connection: close"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in fields), "", ""])


@many
@given(method=st.sampled_from(METHODS) | junk, target=targets, query=queries)
def test_any_method_and_target_is_answered(strict_daemon: Daemon, method: str, target: str, query: str) -> None:
    statuses = said(strict_daemon, written(strict_daemon, method, target + query, []))

    assert statuses
    assert max(statuses) < 500


@many
@given(method=st.sampled_from(METHODS[:6]), path=st.sampled_from(PATHS), query=queries, fields=headers)
def test_any_headers_are_answered(
    strict_daemon: Daemon, method: str, path: str, query: str, fields: list[tuple[str, str]]
) -> None:
    statuses = said(strict_daemon, written(strict_daemon, method, path + query, fields))

    assert statuses
    assert max(statuses) < 500


@many
@given(
    path=st.sampled_from(["/v1/blobs", "/v1/names/default/fuzz/b", "/v1/namespaces/fuzz", "/v1/nowhere"]),
    method=st.sampled_from(["POST", "PUT", "GET"]),
    framing=st.sampled_from(
        ["Content-Length: 3", "Content-Length: 9", "Transfer-Encoding: chunked", "Content-Length: x"]
    ),
    body=junk
    | st.sampled_from(["3\r\nabc\r\n0\r\n\r\n", "3\r\nabc\r\nzz", "0\r\nA: b\r\n\r\n", "{}", "ffffffffffffffff\r\n"]),
)
def test_any_body_is_survived(strict_daemon: Daemon, path: str, method: str, framing: str, body: str) -> None:
    name, _, value = framing.partition(": ")

    statuses = said(strict_daemon, written(strict_daemon, method, path, [(name, value)]) + body, hang_up=True)

    assert max(statuses, default=0) < 500


@many
@given(
    path=st.sampled_from(PATHS),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3), st.binary(max_size=3)), min_size=1, max_size=4),
)
def test_any_bytes_are_survived(strict_daemon: Daemon, path: str, changes: list[tuple[int, int, bytes]]) -> None:
    text = written(strict_daemon, "GET", path, [("Range", "bytes=0-1"), ("If-None-Match", '"x"')])
    for at, removed, added in changes:
        text = text[:at] + added.decode("latin-1") + text[at + removed :]

    statuses = said(strict_daemon, text, hang_up=True)

    assert max(statuses, default=0) < 500


@pytest.mark.parametrize("path", PATHS)
def test_every_path_was_one(strict_daemon: Daemon, path: str) -> None:
    """The paths above are routes, so that what was changed in them did not always end in the router."""
    answers = {method: ask(strict_daemon, method, path) for method in ("GET", "POST", "PUT", "DELETE")}

    codes = {answer.code for answer in answers.values() if answer["Content-Type"] == "application/problem+json"}
    assert "no-such-path" not in codes


def test_the_daemon_lives_and_its_log_is_clean(strict_daemon: Daemon) -> None:
    assert ask(strict_daemon, "GET", "/readyz").status == 200
    assert "Traceback" not in strict_daemon.log
    assert " ERROR " not in strict_daemon.log
