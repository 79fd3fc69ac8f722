"""Handing out bytes, DESIGN.md 6 over a real daemon: the whole, ranges, If-Range and conditions; headers and bytes."""

import email
import email.policy
from datetime import timedelta

import pytest

from tests.conftest import Daemon
from tests.web.conftest import STAMP
from tests.web.expected import STALE, Shelf, etag_of, expected_headers, http_date, second_of, shown
from tests.web.wire import Answer, Wire, head, raw, stored


@pytest.fixture
def wire(shelf_wire: Wire) -> Wire:
    return shelf_wire


# -- the whole --------------------------------------------------------------------------------------------------------


def test_a_get_sends_the_whole_with_these_headers(wire: Wire, shelf: Shelf, kind: str, size: str) -> None:
    item = shelf[size]

    answer = wire.ask("GET", item.url(kind))

    assert answer.status == 200
    assert answer.body == item.data
    assert shown(answer) == expected_headers(item, kind)


def test_a_head_has_the_headers_of_the_get(wire: Wire, shelf: Shelf, kind: str, size: str) -> None:
    item = shelf[size]

    answer = wire.ask("HEAD", item.url(kind))

    assert answer.status == 200
    assert answer.body == b""
    assert shown(answer) == expected_headers(item, kind)


@pytest.mark.parametrize("header", ["bytes=0-1", "bytes=-1", "bytes=99999999-", "bytes=0-0,2-2"])
def test_a_head_ignores_range(wire: Wire, shelf: Shelf, kind: str, header: str) -> None:
    item = shelf["medium"]

    answer = wire.ask("HEAD", item.url(kind), headers={"Range": header})

    assert answer.status == 200
    assert shown(answer) == expected_headers(item, kind)


@pytest.mark.parametrize("coding", ["gzip", "gzip, deflate, br, zstd", "identity;q=0, gzip", "*"])
def test_nothing_is_ever_compressed(wire: Wire, coding: str) -> None:
    data = b"compressible " * 10_000
    blob = stored(wire, data, Content_Type="text/plain").json

    answer = wire.ask("GET", f"/v1/blobs/{blob['uuid']}/data", headers={"Accept-Encoding": coding})

    assert answer["Content-Encoding"] is None
    assert answer["Content-Length"] == str(len(data))
    assert answer.body == data


# -- ranges -----------------------------------------------------------------------------------------------------------

SINGLE = [
    ("bytes=0-0", 0, 1),
    ("bytes=0-", 0, None),
    ("bytes=1-3", 1, 4),
    ("bytes=-1", -1, None),
    ("bytes=-4", -4, None),
    ("bytes=4-", 4, None),
    ("bytes=2-99999999999999999999", 2, None),
    ("bytes=-99999999999999999999", 0, None),
    ("bytes=0-1,2-3", 0, 4),  # touching ones are one
    ("bytes=3-4,0-3", 0, 5),
    ("bytes=0-1,99999999-", 0, 2),  # what lies outside is left out
    ("Bytes=1-1", 1, 2),
]


@pytest.mark.parametrize(("header", "start", "stop"), SINGLE)
@pytest.mark.parametrize("filled", ["small", "medium", "large"])
def test_one_range_is_sent_with_its_place(
    wire: Wire, shelf: Shelf, kind: str, filled: str, header: str, start: int, stop: int | None
) -> None:
    item = shelf[filled]
    first, after, _ = slice(start, stop).indices(len(item.data))

    answer = wire.ask("GET", item.url(kind), headers={"Range": header})

    assert answer.status == 206
    assert answer.body == item.data[first:after]
    assert shown(answer) == expected_headers(item, kind) | {
        "Content-Length": str(after - first),
        "Content-Range": f"bytes {first}-{after - 1}/{len(item.data)}",
    }


@pytest.mark.parametrize(
    ("start", "stop"), [(1 << 20, 2 << 20), ((1 << 20) - 1, (1 << 20) + 1), (65_536, 131_073), (5, (5 << 20) - 1)]
)
def test_a_range_across_blocks_is_exact(wire: Wire, shelf: Shelf, start: int, stop: int) -> None:
    item = shelf["large"]

    answer = wire.ask("GET", item.url("uuid"), headers={"Range": f"bytes={start}-{stop - 1}"})

    assert answer.body == item.data[start:stop]


WHOLE = ["bytes=5-2", "bytes=", "bytes=x-y", "bytes=1-2,z", "bytes 0-1", "items=0-1", "bytes=\u00b2-", "0-1", "bytes=-"]


@pytest.mark.parametrize("header", WHOLE)
def test_a_malformed_range_or_another_unit_is_ignored(wire: Wire, shelf: Shelf, kind: str, header: str) -> None:
    item = shelf["medium"]

    answer = wire.ask("GET", item.url(kind), headers={"Range": header})

    assert answer.status == 200
    assert answer.body == item.data
    assert shown(answer) == expected_headers(item, kind)


@pytest.mark.parametrize("filled", ["small", "medium", "large"])
@pytest.mark.parametrize("header", ["bytes={size}-", "bytes={size}-{size}", "bytes=-0", "bytes=99999999999999999999-"])
def test_a_range_past_the_end_is_416(wire: Wire, shelf: Shelf, kind: str, filled: str, header: str) -> None:
    item = shelf[filled]

    answer = wire.ask("GET", item.url(kind), headers={"Range": header.format(size=len(item.data))})

    assert answer.status == 416
    assert answer["Content-Range"] == f"bytes */{len(item.data)}"
    assert answer.code == "range-not-satisfiable"


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=-0", "bytes=-5", "bytes=7-9", "bytes=0-0,2-2"])
def test_an_empty_payload_ignores_range(wire: Wire, shelf: Shelf, kind: str, header: str) -> None:
    answer = wire.ask("GET", shelf["empty"].url(kind), headers={"Range": header})

    assert answer.status == 200
    assert answer.body == b""
    assert answer["Content-Range"] is None


def pieces_of(answer: Answer) -> list[tuple[str | None, str | None, bytes]]:
    """Content-Type, Content-Range and bytes of each part, as the standard library's MIME parser sees them."""
    text = f"Content-Type: {answer['Content-Type']}\r\n\r\n".encode() + answer.body
    whole = email.message_from_bytes(text, policy=email.policy.HTTP)
    assert whole.get_content_type() == "multipart/byteranges"
    assert not whole.defects
    found = []
    for part in whole.iter_parts():  # type: ignore[attr-defined]
        found.append((part["Content-Type"], part["Content-Range"], part.get_payload(decode=False).encode()))
    return found


@pytest.mark.parametrize(
    ("filled", "header", "expected"),
    [
        ("small", "bytes=0-0,4-4", [(0, 1), (4, 5)]),
        ("small", "bytes=4-,0-1", [(0, 2), (4, 5)]),
        ("medium", "bytes=0-9,70000-70009,-10", [(0, 10), (70_000, 70_010), (71_670, 71_680)]),
        ("medium", "bytes=1-2,2-5,7-9", [(1, 6), (7, 10)]),
        ("large", "bytes=0-1048575,2097152-3145727", [(0, 1 << 20), (2 << 20, 3 << 20)]),
        (
            "large",
            "bytes=" + ",".join(f"{at}-{at}" for at in range(0, 32, 2)),
            [(at, at + 1) for at in range(0, 32, 2)],
        ),
    ],
)
def test_several_ranges_are_parts_of_one_body(
    wire: Wire, shelf: Shelf, kind: str, filled: str, header: str, expected: list[tuple[int, int]]
) -> None:
    item = shelf[filled]

    answer = wire.ask("GET", item.url(kind), headers={"Range": header})

    assert answer.status == 206
    assert answer["Content-Range"] is None
    assert pieces_of(answer) == [
        (STAMP, f"bytes {start}-{stop - 1}/{len(item.data)}", item.data[start:stop]) for start, stop in expected
    ]
    assert answer["Content-Length"] == str(len(answer.body))
    own = expected_headers(item, kind)
    assert {name: answer[name] for name in ("ETag", "Repr-Digest", "Cache-Control")} == {
        name: own[name] for name in ("ETag", "Repr-Digest", "Cache-Control")
    }


def test_several_ranges_of_binary_data_are_exact(wire: Wire) -> None:
    data = bytes(range(256)) * 1024
    url = f"/v1/blobs/{stored(wire, data).json['uuid']}/data"

    answer = wire.ask("GET", url, headers={"Range": "bytes=0-99999,100001-200000,-7"})

    boundary = str(answer["Content-Type"]).partition("boundary=")[2].encode()
    assert 1 <= len(boundary) <= 70  # RFC 2046, 5.1.1
    before, *parts, end = answer.body.split(b"\r\n--" + boundary)
    assert [part.partition(b"\r\n\r\n")[2] for part in parts] == [data[:100_000], data[100_001:200_001], data[-7:]]
    assert (before, end) == (b"", b"--\r\n")


@pytest.mark.parametrize("count", [17, 400])
def test_more_than_sixteen_ranges_get_the_whole(wire: Wire, shelf: Shelf, kind: str, count: int) -> None:
    item = shelf["medium"]
    header = "bytes=" + ",".join(f"{at}-{at}" for at in range(0, count * 2, 2))

    answer = wire.ask("GET", item.url(kind), headers={"Range": header})

    assert answer.status == 200
    assert answer.body == item.data


def test_four_hundred_touching_ranges_are_one(wire: Wire, shelf: Shelf) -> None:
    item = shelf["medium"]
    header = "bytes=" + ",".join(f"{at}-{at}" for at in range(400))

    answer = wire.ask("GET", item.url("uuid"), headers={"Range": header})

    assert answer.status == 206
    assert answer.body == item.data[:400]


def test_two_range_lines_are_not_the_first_alone(wire: Wire, shelf: Shelf, shared_daemon: Daemon) -> None:
    with raw(shared_daemon) as connection:
        connection.send(
            head(shared_daemon, f"GET {shelf['small'].url('uuid')}", "Range: bytes=0-0", "Range: bytes=1-1")
        )

        answer = connection.answer()

    assert answer.status == 200
    assert answer.body == shelf["small"].data


# -- If-Range ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("if_range", "by_blob", "by_name"),
    [
        ("{etag}", 206, 206),
        ("W/{etag}", 200, 200),
        ('"stale"', 200, 200),
        ("{date}", 206, 200),  # two versions of a name can share a second
        ("{earlier}", 200, 200),
        ("{later}", 200, 200),
        ("yesterday", 200, 200),
        ("*", 200, 200),
    ],
)
def test_if_range_guards_a_resumed_download(
    wire: Wire, shelf: Shelf, kind: str, if_range: str, by_blob: int, by_name: int
) -> None:
    item = shelf["medium"]
    second = second_of(item, kind)
    value = if_range.format(
        etag=etag_of(item.data),
        date=http_date(second),
        earlier=http_date(second - timedelta(seconds=1)),
        later=http_date(second + timedelta(seconds=1)),
    )

    answer = wire.ask("GET", item.url(kind), headers={"Range": "bytes=1-2", "If-Range": value})

    expected = by_blob if kind in ("uuid", "digest") else by_name
    assert answer.status == expected
    assert answer.body == (item.data[1:3] if expected == 206 else item.data)


def test_a_stale_if_range_wins_over_a_range_past_the_end(wire: Wire, shelf: Shelf) -> None:
    headers = {"Range": "bytes=99999999-", "If-Range": '"stale"'}

    assert wire.ask("GET", shelf["medium"].url("uuid"), headers=headers).status == 200


# -- conditions -------------------------------------------------------------------------------------------------------

CONDITIONS = [
    ({"If-None-Match": "{etag}"}, 304, 304),
    ({"If-None-Match": "W/{etag}"}, 304, 304),
    ({"If-None-Match": f"{STALE}, {{etag}}"}, 304, 304),
    ({"If-None-Match": "*"}, 304, 304),
    ({"If-None-Match": STALE}, 200, 200),
    ({"If-None-Match": STALE, "If-Modified-Since": "{later}"}, 200, 200),
    ({"If-None-Match": "{etag}", "If-Modified-Since": "{earlier}"}, 304, 304),
    ({"If-Modified-Since": "{date}"}, 304, 304),
    ({"If-Modified-Since": "{later}"}, 304, 200),  # on a name a date proves nothing but equality
    ({"If-Modified-Since": "{earlier}"}, 200, 200),
    ({"If-Modified-Since": "junk"}, 200, 200),
    ({"If-Match": "{etag}"}, 200, 200),
    ({"If-Match": "*"}, 200, 200),
    ({"If-Match": "W/{etag}"}, 412, 412),
    ({"If-Match": STALE}, 412, 412),
    ({"If-Match": STALE, "If-None-Match": "{etag}"}, 412, 412),
    ({"If-Match": "{etag}", "If-Unmodified-Since": "{earlier}"}, 200, 200),
    ({"If-Match": "{etag}", "If-None-Match": "{etag}"}, 304, 304),
    ({"If-Unmodified-Since": "{earlier}"}, 412, 412),
    ({"If-Unmodified-Since": "{date}"}, 200, 200),
    ({"If-Unmodified-Since": "{earlier}", "If-None-Match": "{etag}"}, 412, 412),
    ({"If-None-Match": "{etag}", "Range": "bytes=0-1"}, 304, 304),
    ({"If-None-Match": "{etag}", "Range": "bytes=99999999-"}, 304, 304),
    ({"If-Match": "{etag}", "Range": "bytes=99999999-"}, 416, 416),
    ({"If-Match": STALE, "Range": "bytes=99999999-"}, 412, 412),
    ({"If-Match": "{etag}", "Range": "bytes=0-1"}, 206, 206),
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("headers", "by_blob", "by_name"), CONDITIONS)
def test_conditions_in_the_order_of_the_rfc(
    wire: Wire, shelf: Shelf, kind: str, method: str, headers: dict[str, str], by_blob: int, by_name: int
) -> None:
    item = shelf["small"]
    second = second_of(item, kind)
    facts = {
        "etag": etag_of(item.data),
        "date": http_date(second),
        "earlier": http_date(second - timedelta(seconds=1)),
        "later": http_date(second + timedelta(seconds=1)),
    }
    sent = {name: value.format(**facts) for name, value in headers.items()}

    answer = wire.ask(method, item.url(kind), headers=sent)

    expected = by_blob if kind in ("uuid", "digest") else by_name
    if method == "HEAD" and expected in (206, 416):
        expected = 200  # Range is ignored on HEAD
    assert answer.status == expected


def test_a_304_has_the_headers_that_caches_refresh(wire: Wire, shelf: Shelf, kind: str, size: str) -> None:
    item = shelf[size]

    answer = wire.ask("GET", item.url(kind), headers={"If-None-Match": etag_of(item.data)})

    kept = ("ETag", "Last-Modified", "Cache-Control", "Content-Location", "Server")
    own = expected_headers(item, kind)
    assert answer.status == 304
    assert shown(answer) == {name: own[name] for name in kept if name in own}


def test_two_lines_of_if_none_match_are_one_list(shelf: Shelf, shared_daemon: Daemon) -> None:
    item = shelf["small"]
    lines = (f"If-None-Match: {STALE}", f"If-None-Match: {etag_of(item.data)}")
    with raw(shared_daemon) as connection:
        connection.send(head(shared_daemon, f"GET {item.url('uuid')}", *lines))

        assert connection.answer().status == 304


def test_a_412_says_what_is_there(wire: Wire, shelf: Shelf) -> None:
    answer = wire.ask("GET", shelf["small"].url("uuid"), headers={"If-Match": STALE})

    assert answer.code == "precondition-failed"
