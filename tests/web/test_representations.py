"""Handing out bytes, DESIGN.md 6 over a real daemon: windows, digests, caching, browsers, connections."""

import http.client
from urllib.parse import quote, unquote
from uuid import uuid4

import pytest

from tests.conftest import Daemon
from tests.web.expected import STALE, YEAR, Shelf, etag_of, expected_headers, shown
from tests.web.wire import Wire, address_of, ask, head, raw, sha256_field, sha512_field, stored


@pytest.fixture
def wire(shelf_wire: Wire) -> Wire:
    return shelf_wire


# -- ?offset= and ?length= --------------------------------------------------------------------------------------------


def with_query(url: str, query: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{query}"


@pytest.mark.parametrize(
    ("query", "start", "stop"),
    [
        ("offset=0", 0, None),
        ("offset=3", 3, None),
        ("offset=3&length=1", 3, 4),
        ("offset=0&length=0", 0, 0),
        ("length=2", 0, 2),
        ("offset=1&length=99999999999999999999", 1, None),
        ("offset=003", 3, None),
    ],
)
@pytest.mark.parametrize("filled", ["small", "medium", "large"])
def test_a_window_is_another_representation(
    wire: Wire, shelf: Shelf, kind: str, filled: str, query: str, start: int, stop: int | None
) -> None:
    item = shelf[filled]

    answer = wire.ask("GET", with_query(item.url(kind), query), headers={"Range": "bytes=0-0"})

    assert answer.status == 200  # Range is ignored
    assert answer.body == item.data[start:stop]
    of_the_whole = {"ETag", "Last-Modified", "Repr-Digest", "Accept-Ranges", "Content-Location"}
    own = {name: value for name, value in expected_headers(item, kind).items() if name not in of_the_whole}
    assert {name: value for name, value in shown(answer).items() if name != "Content-Location"} == own | {
        "Content-Length": str(len(item.data[start:stop]))
    }


def test_a_window_that_starts_at_the_end_is_empty(wire: Wire, shelf: Shelf, kind: str, size: str) -> None:
    item = shelf[size]

    answer = wire.ask("GET", with_query(item.url(kind), f"offset={len(item.data)}"))

    assert (answer.status, answer.body, answer["Content-Length"]) == (200, b"", "0")


def test_a_window_past_the_end_is_416(wire: Wire, shelf: Shelf, kind: str, size: str) -> None:
    item = shelf[size]

    answer = wire.ask("GET", with_query(item.url(kind), f"offset={len(item.data) + 1}"))

    assert answer.status == 416
    assert answer["Content-Range"] == f"bytes */{len(item.data)}"
    assert answer.code == "range-not-satisfiable"


BAD_NUMBERS = ["", "-1", "+1", "1.5", "0x1", "x", "%201", "1%20", "%D9%A1", "%EF%BC%91", "1_0", "%C2%B2"]


@pytest.mark.parametrize("name", ["offset", "length"])
@pytest.mark.parametrize("text", BAD_NUMBERS)
def test_a_window_is_written_in_plain_digits(wire: Wire, shelf: Shelf, name: str, text: str) -> None:
    answer = wire.ask("GET", f"{shelf['small'].url('uuid')}?{name}={text}")

    assert (answer.status, answer.code) == (400, "invalid-input")


def test_a_window_ignores_conditions_on_the_whole(wire: Wire, shelf: Shelf) -> None:
    item = shelf["small"]
    headers = {"If-None-Match": etag_of(item.data), "If-Match": STALE}

    answer = wire.ask("GET", f"{item.url('uuid')}?offset=1", headers=headers)

    assert (answer.status, answer.body) == (200, item.data[1:])


def test_a_head_of_a_window_has_its_length(wire: Wire, shelf: Shelf) -> None:
    answer = wire.ask("HEAD", f"{shelf['large'].url('uuid')}?offset=7&length=70000")

    assert (answer.status, answer["Content-Length"], answer["ETag"]) == (200, "70000", None)


# -- Content-Digest ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "digest"),
    [
        ("sha-512=1", sha512_field),
        ("sha-256=1", sha256_field),
        ("sha-256=2, sha-512=5", sha512_field),
        ("sha-256=9, sha-512=5", sha256_field),
        ("md5=10, sha-256=1", sha256_field),
    ],
)
@pytest.mark.parametrize(("filled", "start", "stop"), [("small", 1, 4), ("medium", 0, 70_000), ("large", 1, 3_000_000)])
def test_a_range_comes_with_its_own_digest_if_wanted(
    wire: Wire, shelf: Shelf, kind: str, filled: str, start: int, stop: int, wish: str, digest: object
) -> None:
    item = shelf[filled]
    headers = {"Range": f"bytes={start}-{stop - 1}", "Want-Content-Digest": wish}

    answer = wire.ask("GET", item.url(kind), headers=headers)

    assert answer.status == 206
    assert answer["Content-Digest"] == digest(item.data[start:stop])  # type: ignore[operator]
    assert answer["Repr-Digest"] == sha512_field(item.data)
    assert answer.body == item.data[start:stop]


@pytest.mark.parametrize("wish", ["md5=1", "sha-512=0", "sha-512", "junk"])
def test_no_digest_comes_for_a_wish_that_cannot_be_met(wire: Wire, shelf: Shelf, wish: str) -> None:
    headers = {"Range": "bytes=0-1", "Want-Content-Digest": wish}

    answer = wire.ask("GET", shelf["small"].url("uuid"), headers=headers)

    assert (answer.status, answer["Content-Digest"]) == (206, None)


def test_a_digest_is_computed_for_ranges_up_to_eight_mib(wire: Wire) -> None:
    data = bytes(range(256)) * (9 << 12)  # 9 MiB
    url = f"/v1/blobs/{stored(wire, data).json['uuid']}/data"
    limit, wish = 8 << 20, {"Want-Content-Digest": "sha-256=1"}

    at_the_limit = wire.ask("GET", url, headers=wish | {"Range": f"bytes=1-{limit}"})
    above = wire.ask("GET", url, headers=wish | {"Range": f"bytes=0-{limit}"})

    assert at_the_limit["Content-Digest"] == sha256_field(data[1 : limit + 1])
    assert above["Content-Digest"] is None
    assert above.body == data[: limit + 1]


# -- caching ----------------------------------------------------------------------------------------------------------


def test_what_is_open_to_anybody_may_be_kept_by_shared_caches(shared_daemon: Daemon) -> None:
    namespace, data = f"open-{uuid4()}", uuid4().bytes
    ask(shared_daemon, "PUT", f"/v1/namespaces/{namespace}", {"anonymous_read": True})
    blob = ask(shared_daemon, "POST", f"/v1/blobs?namespace={namespace}", data).json
    ask(shared_daemon, "PUT", f"/v1/names/{namespace}/x", data)
    urls = {
        f"/v1/blobs/{blob['uuid']}/data": f"public, immutable, {YEAR}",
        f"/v1/payloads/sha512/{blob['sha512']}": f"public, immutable, {YEAR}",
        f"/v1/names/{namespace}/x": "no-cache",
        f"/v1/names/{namespace}/x?version=1": "no-cache",
    }

    found = {url: ask(shared_daemon, "GET", url, token=None) for url in urls}

    assert {url: answer["Cache-Control"] for url, answer in found.items()} == urls
    assert {answer.body for answer in found.values()} == {data}


# -- browsers ---------------------------------------------------------------------------------------------------------

HARMLESS = ["image/png", "image/jpeg", "image/gif", "image/webp", "audio/ogg", "video/mp4", "text/plain"]
HARMLESS += ["text/plain; charset=utf-8", "IMAGE/PNG"]
HARMFUL = ["text/html", "text/html; charset=utf-8", "image/svg+xml", "application/pdf", "application/xhtml+xml"]
HARMFUL += ["text/xml", "application/javascript", "application/octet-stream", "text/plainx", "image/png+xml"]


@pytest.mark.parametrize(
    ("content_type", "inline", "expected"),
    [(kind, "1", "inline") for kind in HARMLESS]
    + [(kind, "1", "attachment") for kind in HARMFUL]
    + [(kind, inline, "attachment") for kind in HARMLESS[:2] for inline in ("0", "", "true", "2")],
)
def test_only_harmless_types_are_shown_inline(wire: Wire, content_type: str, inline: str, expected: str) -> None:
    blob = stored(wire, b"<script>", "?filename=a", Content_Type=content_type).json

    answer = wire.ask("GET", f"/v1/blobs/{blob['uuid']}/data?inline={inline}")

    assert answer["Content-Disposition"] == f'{expected}; filename="a"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize(
    "filename",
    [
        "plain.txt",
        "two words.txt",
        'a"b.txt',
        "a\\b.txt",
        "50%41.txt",
        "a;b=c.txt",
        "a/b.txt",
        "ü.txt",
        "名前.bin",
        "🦊'*.gz",
    ],
)
def test_a_filename_comes_back_through_its_header(wire: Wire, filename: str) -> None:
    blob = stored(wire, b"x", f"?filename={quote(filename, safe='')}").json

    value = str(wire.ask("GET", f"/v1/blobs/{blob['uuid']}/data")["Content-Disposition"])

    quoted, _, extended = value.removeprefix("attachment; filename=").partition("; filename*=UTF-8''")
    plain = quoted[1:-1]
    assert (quoted[0], quoted[-1]) == ('"', '"')
    assert plain.isascii()
    assert not set('"\\%\r\n') & set(plain)
    assert (unquote(extended) if extended else plain) == filename
    assert set(extended) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%")


@pytest.mark.parametrize("text", ["a%0D%0ASet-Cookie:%20x", "a%0Ab", "a%0Db", "a%00b", "a%7Fb", "a%C2%85b", ""])
def test_a_filename_with_control_characters_is_refused(wire: Wire, text: str) -> None:
    answer = wire.ask("POST", f"/v1/blobs?filename={text}", b"x")

    assert (answer.status, answer.code) == (400, "invalid-input")


# -- connections ------------------------------------------------------------------------------------------------------


def test_a_connection_lives_on_after_every_kind_of_answer(wire: Wire, shelf: Shelf) -> None:
    item = shelf["large"]
    url, etag = item.url("uuid"), etag_of(item.data)
    asked = [
        ("GET", {}, 200),
        ("GET", {"If-None-Match": etag}, 304),
        ("GET", {"Range": "bytes=99999999-"}, 416),
        ("GET", {"Range": "bytes=1-1000000"}, 206),
        ("HEAD", {}, 200),
        ("GET", {"Range": "bytes=1-70000,80000-2000000"}, 206),
        ("GET", {"If-Match": STALE}, 412),
        ("GET", {"Range": "bytes=1-1"}, 206),
    ]
    wire.ask("GET", "/healthz")
    socket = wire.connection.sock

    for method, headers, status in asked * 2:
        assert wire.ask(method, url, headers=headers).status == status

    assert wire.connection.sock is socket


def test_pipelined_requests_are_answered_in_order(shared_daemon: Daemon, shelf: Shelf) -> None:
    wanted = [
        ("GET", "large", "", lambda data: data),
        ("GET", "medium", "Range: bytes=1-69999", lambda data: data[1:70_000]),
        ("HEAD", "large", "", lambda data: b""),
        ("GET", "small", "", lambda data: data),
        ("GET", "large", "Range: bytes=-2000000", lambda data: data[-2_000_000:]),
        ("GET", "empty", "", lambda data: data),
        ("GET", "medium", "", lambda data: data),
    ]
    heads = [
        head(shared_daemon, f"{method} {shelf[size].url('uuid')}", *([header] if header else []))
        for method, size, header, _ in wanted
    ]
    with raw(shared_daemon) as connection:
        connection.send("".join(heads))

        for method, size, _, part in wanted:
            assert connection.answer(method).body == part(shelf[size].data)


@pytest.mark.parametrize("header", ["", "Range: bytes=1-4000000", "Range: bytes=0-1,70000-80000"])
def test_an_http_1_0_client_gets_a_length_and_an_end(shared_daemon: Daemon, shelf: Shelf, header: str) -> None:
    item = shelf["large"]
    text = head(shared_daemon, f"GET {item.url('uuid')}", *([header] if header else [])).replace("1.1", "1.0", 1)
    with raw(shared_daemon) as connection:
        connection.send(text)

        answer = connection.answer()
        after = connection.rest()

    assert answer.status == (206 if header else 200)
    assert answer["Transfer-Encoding"] is None
    assert answer["Content-Length"] == str(len(answer.body))
    assert after == b""


def test_an_http_1_0_client_may_keep_its_connection(shared_daemon: Daemon, shelf: Shelf) -> None:
    item = shelf["large"]
    text = head(shared_daemon, f"GET {item.url('uuid')}", "Connection: keep-alive").replace("1.1", "1.0", 1)
    with raw(shared_daemon) as connection:
        for _ in range(2):
            connection.send(text)

            answer = connection.answer()

            assert answer["Connection"] == "keep-alive"
            assert answer.body == item.data


def test_a_client_that_asks_to_close_is_closed(shared_daemon: Daemon, shelf: Shelf) -> None:
    item = shelf["large"]
    with raw(shared_daemon) as connection:
        connection.send(head(shared_daemon, f"GET {item.url('uuid')}", "Connection: close"))

        answer = connection.answer()
        after = connection.rest()

    assert (answer.body, answer["Connection"], after) == (item.data, "close", b"")


def test_many_downloads_at_once_are_all_exact(shared_daemon: Daemon, shelf: Shelf) -> None:
    item = shelf["large"]
    connections = [http.client.HTTPConnection(*address) for address in [address_of(shared_daemon)] * 12]
    for connection in connections:
        connection.request("GET", item.url("uuid"), headers=shared_daemon.headers)

    bodies = {connection.getresponse().read() for connection in connections}

    for connection in connections:
        connection.close()
    assert bodies == {item.data}
