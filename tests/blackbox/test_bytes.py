"""Section 6 and the rows of section 8 that hand out bytes: by UUID, by digest, by name, by version."""

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

import pytest

from tests.blackbox.shapes import is_blob, items_of, refusal
from tests.conftest import Daemon
from tests.web.party import Party
from tests.web.wire import Answer, sha512_field

DATA = bytes(range(256)) * 4
SIZE = len(DATA)
KINDS = ("uuid", "digest", "name", "version")
YEAR = "private, immutable, max-age=31536000"


@dataclass
class Shown:
    """The same bytes behind four URLs."""

    party: Party
    urls: dict[str, str]
    made_at: dict[str, datetime]

    def ask(self, kind: str, query: str = "", method: str = "GET", **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.party.reader.ask(
            method, self.urls[kind] + ("&" if "?" in self.urls[kind] else "?") + query, headers=named
        )


def show(party: Party, data: bytes) -> Shown:
    headers = {"Content-Type": "text/x-shown"}
    blob = party.writer.ask("POST", "/v1/blobs?filename=f.bin", data, headers).json
    version = party.writer.ask("PUT", party.name("d/f.bin"), data, headers).json
    urls = {
        "uuid": f"/v1/blobs/{blob['uuid']}/data",
        "digest": f"/v1/payloads/sha512/{blob['sha512']}",
        "name": party.name("d/f.bin"),
        "version": f"{party.name('d/f.bin')}?version=1",
    }
    times = {kind: datetime.fromisoformat((blob if kind in KINDS[:2] else version)["created_at"]) for kind in KINDS}
    return Shown(party, urls, times)


@pytest.fixture(scope="module")
def shown(service: Daemon) -> Iterator[Shown]:
    party = Party(service)
    yield show(party, DATA)
    party.close()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    value: str = request.param
    return value


def etag(data: bytes = DATA) -> str:
    return f'"{hashlib.sha512(data).hexdigest()}"'


def http_date(at: datetime, seconds: int = 0) -> str:
    return format_datetime((at + timedelta(seconds=seconds)).replace(microsecond=0).astimezone(UTC), usegmt=True)


def test_the_whole_comes_with_all_that_section_6_lists(shown: Shown, kind: str) -> None:
    for method, body in (("GET", DATA), ("HEAD", b"")):
        answer = shown.ask(kind, method=method, Accept_Encoding="gzip")

        assert (answer.status, answer.body) == (200, body)
        expected = {
            "Content-Length": str(SIZE),
            "Accept-Ranges": "bytes",
            "ETag": etag(),
            "Repr-Digest": sha512_field(DATA),
            "Content-Type": "text/x-shown",
            "Content-Disposition": 'attachment; filename="f.bin"',
            "Last-Modified": http_date(shown.made_at[kind]),
            "Cache-Control": YEAR if kind in ("uuid", "digest") else "no-cache",
            "Content-Location": shown.urls["version"] if kind in ("name", "version") else None,
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Content-Encoding": None,
            "Transfer-Encoding": None,
        }
        assert {name: answer[name] for name in expected} == expected


RANGES: list[tuple[str, list[tuple[int, int]] | None]] = [  # half-open, as sent; None: the whole with 200
    ("bytes=0-0", [(0, 1)]),
    ("bytes=0-", [(0, SIZE)]),
    ("bytes=100-199", [(100, 200)]),
    ("bytes=1000-9999", [(1000, SIZE)]),
    (f"bytes={SIZE - 1}-", [(SIZE - 1, SIZE)]),
    ("bytes=-1", [(SIZE - 1, SIZE)]),
    ("bytes=-9999", [(0, SIZE)]),
    (f"bytes=0-{10**30}", [(0, SIZE)]),
    (f"bytes=-{10**30}", [(0, SIZE)]),
    ("bytes=0-9,10-19", [(0, 20)]),  # touching
    ("bytes=5-19,0-9", [(0, 20)]),  # overlapping
    ("bytes=0-1, 4-5", [(0, 2), (4, 6)]),
    ("bytes=-2,0-1", [(0, 2), (SIZE - 2, SIZE)]),
    (f"bytes=0-1,{SIZE}-", [(0, 2)]),  # what lies outside is left out
    ("bytes=" + ",".join(f"{at}-{at}" for at in range(0, 32, 2)), [(at, at + 1) for at in range(0, 32, 2)]),
    ("bytes=" + ",".join(f"{at}-{at}" for at in range(0, 34, 2)), None),  # 17 are left
    ("bytes=" + ",".join(f"{at}-{at}" for at in range(34)), [(0, 34)]),  # one is left
    ("bytes=5-2", None),
    ("bytes=", None),
    ("bytes=-", None),
    ("bytes=a-b", None),
    ("bytes=0-1,x", None),
    ("bytes=0-1;2-3", None),
    ("bytes 0-1", None),
    ("items=0-1", None),
    ("0-1", None),
    ("bytes=+0-1", None),
    ("bytes=0x0-1", None),
    ("bytes=1.0-2", None),
    ("bytes=--1", None),
    ("bytes=\xb2-3", None),
]


@pytest.mark.parametrize(("header", "parts"), RANGES, ids=[header[:30] for header, _ in RANGES])
def test_a_range_gives_just_those_bytes(shown: Shown, header: str, parts: Any) -> None:
    for kind in KINDS:
        answer = shown.ask(kind, Range=header)

        if parts is None:
            assert (answer.status, answer.body, answer["Content-Range"]) == (200, DATA, None)
        elif len(parts) == 1:
            ((start, stop),) = parts
            assert (answer.status, answer.body) == (206, DATA[start:stop])
            assert answer["Content-Range"] == f"bytes {start}-{stop - 1}/{SIZE}"
            assert answer["Content-Length"] == str(stop - start)
            assert answer["Content-Type"] == "text/x-shown"
        else:
            assert answer.status == 206
            assert answer["Content-Range"] is None
            assert multipart(answer) == [
                (f"bytes {start}-{stop - 1}/{SIZE}", DATA[start:stop]) for start, stop in parts
            ]
        assert answer["ETag"] == etag()
        head = shown.ask(kind, method="HEAD", Range=header)
        assert (head.status, head["Content-Length"]) == (200, str(SIZE))  # Range is ignored on HEAD


def multipart(answer: Answer) -> list[tuple[str, bytes]]:
    found = re.fullmatch(r"multipart/byteranges; boundary=(\S+)", answer["Content-Type"] or "")
    assert found
    pieces = answer.body.split(b"\r\n--" + found[1].strip('"').encode())
    assert (pieces[0], pieces[-1].rstrip()) == (b"", b"--")
    parts = []
    for piece in pieces[1:-1]:
        fields, _, body = piece.partition(b"\r\n\r\n")
        lines = dict(line.split(b": ", 1) for line in fields.split(b"\r\n") if line)
        assert lines[b"Content-Type"] == b"text/x-shown"
        parts.append((lines[b"Content-Range"].decode(), body))
    return parts


@pytest.mark.parametrize(
    "header", [f"bytes={SIZE}-", "bytes=-0", f"bytes={1 << 63}-", f"bytes={10**40}-", "bytes=-0,9999-"]
)
def test_what_lies_past_the_end_is_416(shown: Shown, kind: str, header: str) -> None:
    answer = shown.ask(kind, Range=header)

    assert refusal(answer)[0] == 416
    assert answer["Content-Range"] == f"bytes */{SIZE}"


def test_an_empty_payload_ignores_range(us: Party, kind: str) -> None:
    empty = show(us, b"")
    for header in ("bytes=0-", "bytes=-0", "bytes=-5", "bytes=7-", "bytes=0-0"):
        answer = empty.ask(kind, Range=header)
        assert (answer.status, answer.body, answer["Content-Length"]) == (200, b"", "0")
    assert empty.ask(kind, "offset=0").status == 200
    assert empty.ask(kind, "offset=1").status == 416


def test_if_range_is_honoured_by_tag_and_by_date_but_not_on_a_name(shown: Shown, kind: str) -> None:
    date = http_date(shown.made_at[kind])
    rows = [
        (etag(), 206),
        (f"W/{etag()}", 200),
        (etag(b"other"), 200),
        (etag().strip('"'), 200),
        (date, 206 if kind in ("uuid", "digest") else 200),
        (http_date(shown.made_at[kind], 1), 200),
        (http_date(shown.made_at[kind], -1), 200),
        ("junk", 200),
        ("", 200),
    ]
    for value, status in rows:
        answer = shown.ask(kind, Range="bytes=1-2", If_Range=value)
        assert (answer.status, answer.body) == (status, DATA[1:3] if status == 206 else DATA), value


def test_conditions_are_judged_in_rfc_9110_s_order(shown: Shown, kind: str) -> None:
    at = shown.made_at[kind]
    same, earlier, later = http_date(at), http_date(at, -60), http_date(at, 60)
    is_name = kind in ("name", "version")
    rows: list[tuple[dict[str, str], int]] = [
        ({"If_None_Match": etag()}, 304),
        ({"If_None_Match": f"W/{etag()}"}, 304),
        ({"If_None_Match": f'"a", {etag()}'}, 304),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": etag(b"other")}, 200),
        ({"If_Match": etag()}, 200),
        ({"If_Match": "*"}, 200),
        ({"If_Match": f"W/{etag()}"}, 412),
        ({"If_Match": etag(b"other")}, 412),
        ({"If_Modified_Since": same}, 304),
        ({"If_Modified_Since": later}, 200 if is_name else 304),
        ({"If_Modified_Since": earlier}, 200),
        ({"If_Modified_Since": "yesterday"}, 200),
        ({"If_Unmodified_Since": same}, 200),
        ({"If_Unmodified_Since": earlier}, 412),
        ({"If_Unmodified_Since": "yesterday"}, 200),
        ({"If_None_Match": etag(b"other"), "If_Modified_Since": same}, 200),  # the tag decides alone
        ({"If_Match": etag(), "If_Unmodified_Since": earlier}, 200),
        ({"If_Match": etag(b"other"), "If_None_Match": etag()}, 412),  # If-Match comes first
        ({"If_Match": etag(), "If_None_Match": etag()}, 304),
        ({"If_None_Match": etag(), "Range": "bytes=0-0"}, 304),
        ({"If_Match": etag(b"other"), "Range": "bytes=0-0"}, 412),
    ]
    for headers, status in rows:
        for method in ("GET", "HEAD"):
            answer = shown.ask(kind, method=method, **headers)
            assert answer.status == status, (method, headers)
            if status == 304:
                assert answer.body == b""
                assert answer["ETag"] == etag()
                assert answer["Cache-Control"] == (YEAR if kind in ("uuid", "digest") else "no-cache")


WINDOWS: list[tuple[str, int, bytes]] = [
    ("offset=0", 200, DATA),
    ("offset=5", 200, DATA[5:]),
    ("offset=5&length=3", 200, DATA[5:8]),
    ("offset=5&length=0", 200, b""),
    ("offset=1020&length=99", 200, DATA[1020:]),
    (f"offset=5&length={10**40}", 200, DATA[5:]),
    ("length=3", 200, DATA[:3]),
    (f"offset={SIZE}", 200, b""),
    (f"offset={SIZE + 1}", 416, b""),
    (f"offset={1 << 63}", 416, b""),
    (f"offset={10**40}", 416, b""),
    (f"offset={'9' * 6000}", 416, b""),
    ("offset=", 400, b""),
    ("offset=-1", 400, b""),
    ("offset=%2B1", 400, b""),
    ("offset=1e2", 400, b""),
    ("offset=0x10", 400, b""),
    ("offset=1_0", 400, b""),
    ("offset=%D9%A1", 400, b""),
    ("offset=%C2%B2", 400, b""),
    ("offset=1%20", 400, b""),
    ("offset=0&length=x", 400, b""),
    ("offset=0&length=-1", 400, b""),
]


@pytest.mark.parametrize(("query", "status", "body"), WINDOWS, ids=[query[:24] for query, *_ in WINDOWS])
def test_an_offset_gives_the_rest_with_200(shown: Shown, query: str, status: int, body: bytes) -> None:
    for kind in KINDS:
        answer = shown.ask(kind, query, Range="bytes=0-1")

        assert answer.status == status, answer.body
        if status == 200:
            assert answer.body == body
            assert answer["Content-Length"] == str(len(body))
            for absent in ("ETag", "Last-Modified", "Repr-Digest", "Content-Range"):  # of the whole
                assert answer[absent] is None
        else:
            refusal(answer)
            assert answer["Content-Range"] == (f"bytes */{SIZE}" if status == 416 else None)


def test_the_digest_of_one_range_comes_when_it_is_wanted(shown: Shown, kind: str) -> None:
    part = DATA[10:20]
    sums = {
        name: base64.b64encode(hashlib.new(name.replace("-", ""), part).digest()).decode()
        for name in ("sha-512", "sha-256")
    }
    rows = [
        ("sha-512=1", "sha-512"),
        ("sha-256=1", "sha-256"),
        ("sha-256=9, sha-512=3", "sha-256"),
        ("md5=10, sha-512=1", "sha-512"),
        ("sha-512=0", None),
        ("md5=1", None),
        ("junk", None),
    ]
    for wanted, given in rows:
        answer = shown.ask(kind, Range="bytes=10-19", Want_Content_Digest=wanted)
        assert (answer.status, answer.body) == (206, part)
        assert answer["Content-Digest"] == (f"{given}=:{sums[given]}:" if given else None), wanted


@pytest.mark.parametrize(
    ("content_type", "is_shown"),
    [
        ("image/png", True),
        ("image/jpeg", True),
        ("audio/mpeg", True),
        ("video/mp4", True),
        ("text/plain", True),
        ("TEXT/PLAIN; charset=utf-8", True),
        ("text/html", False),
        ("image/svg+xml", False),
        ("application/pdf", False),
        ("application/xhtml+xml", False),
        ("application/octet-stream", False),
        ("text/plain2", False),
    ],
)
def test_only_harmless_types_are_shown_inline(us: Party, content_type: str, is_shown: bool) -> None:
    blob = us.writer.ask("POST", "/v1/blobs", b"x", {"Content-Type": content_type}).json
    url = f"/v1/blobs/{blob['uuid']}/data"

    assert us.reader.ask("GET", url)["Content-Disposition"] == "attachment"
    asked = us.reader.ask("GET", f"{url}?inline=1")
    assert asked["Content-Disposition"] == ("inline" if is_shown else "attachment")
    assert asked["Content-Type"] == content_type
    assert asked["Content-Security-Policy"] == "default-src 'none'; sandbox"


def test_a_filename_is_quoted_right(us: Party) -> None:
    for name in ('a"b', "a\\b", "ü €.txt", "a;b=c.txt", "50%", "x'y", "../etc/passwd"):
        blob = us.writer.ask("POST", f"/v1/blobs?filename={quote(name, safe='')}", b"x").json
        said = us.reader.ask("GET", f"/v1/blobs/{blob['uuid']}/data")["Content-Disposition"] or ""

        assert said.isascii()
        plain = re.fullmatch(
            r"""attachment; filename="([^"\\]*)"(?:; filename\*=UTF-8''([A-Za-z0-9%._~!$&+^`|-]+))?""", said
        )
        assert plain, said
        assert plain[1] == name or plain[2] == quote(name, safe="")


# -- by digest --------------------------------------------------------------------------------------------------------


def test_a_digest_in_upper_case_means_the_same(shown: Shown) -> None:
    path, _, hexed = shown.urls["digest"].rpartition("/")

    assert shown.party.reader.ask("GET", f"{path}/{hexed.upper()}").body == DATA


@pytest.mark.parametrize(
    "text", ["0" * 128, "0" * 127, "0" * 129, "g" * 128, "x", "%C3%BC", "\u0660" * 128, "0" * 127 + "%20"]
)
def test_a_digest_that_is_not_there_or_none_is_404(us: Party, text: str) -> None:
    for method in ("GET", "HEAD"):
        answer = us.reader.ask(method, f"/v1/payloads/sha512/{quote(text, safe='%')}")
        assert answer.status == 404
    assert us.reader.ask("GET", f"/v1/payloads/sha256/{'0' * 64}").status == 404


def test_by_digest_the_type_is_that_of_the_caller_s_oldest_blob(us: Party, them: Party) -> None:
    data = us.namespace.encode()
    them.writer.ask("POST", "/v1/blobs?filename=theirs", data, {"Content-Type": "their/s"})
    oldest = us.writer.ask("POST", "/v1/blobs?filename=first", data, {"Content-Type": "a/first"}).json
    us.writer.ask("POST", "/v1/blobs?filename=second", data, {"Content-Type": "a/second"})
    url = f"/v1/payloads/sha512/{oldest['sha512']}"

    ours, admins = us.reader.ask("GET", url), us.admin.ask("GET", url)
    us.writer.ask("DELETE", f"/v1/blobs/{oldest['uuid']}")
    left = us.reader.ask("GET", url)

    assert (ours["Content-Type"], ours["Content-Disposition"]) == ("a/first", 'attachment; filename="first"')
    assert admins["Content-Type"] == "their/s"  # an admin's namespaces are all
    assert left["Content-Type"] == "a/second"


# -- by checksum ------------------------------------------------------------------------------------------------------


def test_a_checksum_finds_the_blobs_of_the_caller_s_namespaces(us: Party, them: Party) -> None:
    data = us.namespace.encode()
    ours = [us.add(data), us.publish("n", data)["blob"]]
    theirs = them.add(data)

    for algorithm, key in (("sha512", "sha512"), ("sha256", "sha256"), ("xxh3-128", "xxh3_128")):
        for text in (theirs[key], theirs[key].upper()):
            items = items_of(us.reader.ask("GET", f"/v1/checksums/{algorithm}/{text}"))
            assert items == ours
            assert all(map(is_blob, items))
            assert len(items_of(us.admin.ask("GET", f"/v1/checksums/{algorithm}/{text}"))) == 3
        assert items_of(us.reader.ask("GET", f"/v1/checksums/{algorithm}/{'0' * len(theirs[key])}")) == []


NO_CHECKSUMS = ["md5/" + "0" * 32, "SHA512/" + "0" * 128, "xxh3_128/" + "0" * 32, "sha-512/" + "0" * 128]
NO_CHECKSUMS += ["sha512/" + "0" * 64, "sha256/x", "sha256/" + "g" * 64, "sha256/" + "0" * 63, "xxh3-128/" + "0" * 33]
NO_CHECKSUMS += [
    "sha256/" + "%D9%A0" * 64,
    "sha512/%FF",
    "%FF/00",
    "sha512/%7B",
    "%7B/00",
    "sha512/%0A",
    "sha256/" + "0" * 63 + "%20",
]


@pytest.mark.parametrize("path", NO_CHECKSUMS, ids=lambda path: path[:20])
def test_an_algorithm_or_hex_that_is_none_is_400(us: Party, path: str) -> None:
    assert refusal(us.reader.ask("GET", f"/v1/checksums/{path}")) == (400, "invalid-input")
