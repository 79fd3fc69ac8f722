"""JSON bodies: what casd takes and what it refuses (DESIGN.md 7)."""

import json
import math
from typing import Any

import pytest

from tests.conftest import Daemon
from tests.web.wire import (
    Wire,
    head,
    raw,
    stored,
)


def chunked(data: bytes, step: int) -> bytes:
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def nested(depth: int) -> str:
    """A value with that many lists around a number."""
    return "[" * depth + "1" + "]" * depth


@pytest.fixture
def metadata_url(wire: Wire) -> str:
    return f"/v1/blobs/{stored(wire, b'x').json['uuid']}/metadata/key"


BAD_JSON = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"1",
    b'"value"',
    b'{"value": NaN}',
    b'{"value": Infinity}',
    b'{"value": -Infinity}',
    b'{"value": 1e999}',
    b'{"value": [{"a": -1e999}]}',
    b'{"value": "\\ud800"}',
    b'{"value": "\\udc00\\ud800"}',
    b'{"\\ud800": 1, "value": 1}',
    b'{"value": "\xff"}',
    b'{"value": "\xed\xa0\x80"}',
    b'\xef\xbb\xbf{"value": 1}',
    '{"value": 1}'.encode("utf-16"),
    b'{"value": 01}',
    b"{'value': 1}",
    b'{"value": 1,}',
    b'{"value": 1} x',
    b'{"value": "a\nb"}',
    b'{"values": 1}',
    b"{}",
    b'{"value": ' + b"9" * 5000 + b"}",
    f'{{"value": {nested(64)}}}'.encode(),
    f'{{"value": {nested(100_000)}}}'.encode(),
]


@pytest.mark.parametrize("body", BAD_JSON, ids=lambda body: repr(body[:30]))
def test_json_that_casd_does_not_take_is_400(wire: Wire, metadata_url: str, body: bytes) -> None:
    answer = wire.ask("PUT", metadata_url, body)

    assert (answer.status, answer.code) == (400, "invalid-input")
    assert wire.ask("GET", metadata_url).status == 404


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1.5,
        "",
        "ü\U0001f98a\u0000",
        [],
        {},
        {"a": [1, {"b": None}]},
        10**300,
        math.pi,
        json.loads(nested(63)),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_any_json_value_comes_back(wire: Wire, metadata_url: str, value: Any) -> None:
    put = wire.ask("PUT", metadata_url, {"value": value})

    assert (put.status, put.json) == (200, {"value": value})
    assert wire.ask("GET", metadata_url).json == {"value": value}


@pytest.mark.parametrize("size", [(64 << 10) - 1, (1 << 20) - 100, 2 << 20])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_json_that_is_too_large_is_413(shared_daemon: Daemon, metadata_url: str, size: int, is_chunked: bool) -> None:
    body = json.dumps({"value": "x" * size}).encode()
    framing = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {len(body)}"
    with raw(shared_daemon) as connection:
        connection.send(head(shared_daemon, f"PUT {metadata_url}", framing))
        connection.send(chunked(body, 60_000) if is_chunked else body)

        answer = connection.answer()

    assert (answer.status, answer.code) == (413, "too-large")


def test_a_value_of_64_kib_fits(wire: Wire, metadata_url: str) -> None:
    assert wire.ask("PUT", metadata_url, {"value": "x" * ((64 << 10) - 2)}).status == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/tokens", {"name": 1, "role": "reader", "namespaces": ["a"]}),
        ("POST", "/v1/tokens", {"name": "", "role": "reader", "namespaces": ["a"]}),
        ("POST", "/v1/tokens", {"name": "a\nb", "role": "reader", "namespaces": ["a"]}),
        ("POST", "/v1/tokens", {"name": "x", "role": "king", "namespaces": ["a"]}),
        ("POST", "/v1/tokens", {"name": "x", "role": None, "namespaces": ["a"]}),
        ("POST", "/v1/tokens", {"name": "x", "namespaces": ["a"]}),
        ("POST", "/v1/tokens", {"name": "x", "role": "reader"}),
        ("POST", "/v1/tokens", {"name": "x", "role": "reader", "namespaces": []}),
        ("POST", "/v1/tokens", {"name": "x", "role": "reader", "namespaces": "a"}),
        ("POST", "/v1/tokens", {"name": "x", "role": "reader", "namespaces": [1]}),
        ("POST", "/v1/tokens", {"name": "x", "role": "reader", "namespaces": ["a/b"]}),
        ("POST", "/v1/tokens", {"name": "x", "role": "reader", "namespaces": [f"n{at}" for at in range(1001)]}),
        ("POST", "/v1/tokens", {"name": "x", "role": "reader", "namespaces": ["a"], "expires_in": 0}),
        ("POST", "/v1/tokens", {"name": "x", "role": "reader", "namespaces": ["a"], "expires_in": "soon"}),
        ("POST", "/v1/tokens", {"name": "x", "role": "reader", "namespaces": ["a"], "expires_in": 1e20}),
        ("POST", "/v1/tokens", {"name": "x", "role": "reader", "namespaces": ["a"], "token": "mine"}),
        ("PUT", "/v1/namespaces/a", {"anonymous_read": 1}),
        ("PUT", "/v1/namespaces/a", {"anonymous_read": "yes"}),
        ("PUT", "/v1/namespaces/a", {"readers": "b"}),
        ("PUT", "/v1/namespaces/a", {"readers": [None]}),
        ("PUT", "/v1/namespaces/a", {"readers": ["b c"]}),
        ("PUT", "/v1/namespaces/a", {"quota_bytes": True}),
        ("PUT", "/v1/namespaces/a", {"quota_bytes": 1.5}),
        ("PUT", "/v1/namespaces/a", {"quota_bytes": -1}),
        ("PUT", "/v1/namespaces/a", {"quota_bytes": 1 << 63}),
        ("PUT", "/v1/namespaces/a", {"quota_blobs": 10**30}),
        ("PUT", "/v1/namespaces/a", {"keep_versions": 0}),
        ("PUT", "/v1/namespaces/a", {"max_age_s": 0}),
        ("PUT", "/v1/namespaces/a", {"name": "b"}),
        ("PATCH", "/v1/name-info/default/present", {"shared": "yes"}),
        ("PATCH", "/v1/name-info/default/present", {"protected": 0}),
        ("PATCH", "/v1/name-info/default/present", {"keep_versions": 0}),
        ("PATCH", "/v1/name-info/default/present", {"keep_versions": 1 << 40}),
        ("PATCH", "/v1/name-info/default/present", {"metadata": []}),
        ("PATCH", "/v1/name-info/default/present", {"uuid": "00000000-0000-0000-0000-000000000007"}),
    ],
)
def test_fields_of_the_wrong_type_are_400(wire: Wire, method: str, path: str, body: dict[str, Any]) -> None:
    wire.ask("PUT", "/v1/names/default/present", b"x")

    answer = wire.ask(method, path, body)

    assert (answer.status, answer.code) == (400, "invalid-input")


def test_json_is_not_decompressed_either(wire: Wire, metadata_url: str) -> None:
    answer = wire.ask("PUT", metadata_url, b'{"value": 1}', {"Content-Encoding": "gzip"})

    assert answer.status == 415
