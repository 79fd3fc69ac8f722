"""What is asked for in a wrong way: ranges, queries, uploads, signatures, credentials."""

# fmt: off
# The tables are set by hand: an item a line would be thousands of lines.

import base64
import json
from collections.abc import Iterator
from itertools import product
from urllib.parse import quote

from tests.hostile.case import UUID, ZEROS, Case, Known, Maker, case, request, with_body

# -- what is asked for ------------------------------------------------------------------------------------------------

NO_RANGES = ["", "bytes", "bytes=", "bytes= ", "bytes=-", "bytes=--1", "bytes=1", "bytes=a-b", "bytes=1-a", "bytes=a-1"]
NO_RANGES += ["bytes=5-2", "bytes=0x0-0x1", "bytes=+0-1", "bytes=0-+1", "bytes=0-1,", "bytes=,", "bytes=0-1,a"]
NO_RANGES += ["bytes=1e0-2", "bytes=0 -1", "bytes=0- 1", "bytes 0-1", "bytes:0-1", "Bytes=0-1", "items=0-1", "none"]
NO_RANGES += ["bytes=0-1;q=1", 'bytes="0-1"', "bytes=0--1", "bytes=-0", "bytes=99999999-", "bytes=\xb2-", "=0-1"]
NO_RANGES += ["bytes=0-1\t", "bytes=0_0-1_0", f"bytes={'9' * 5000}-", f"bytes=-{'9' * 5000}", f"bytes=0-{'9' * 5000}"]
NO_RANGES += [
    "bytes=" + "0-," * 1000, "bytes=" + ",".join(f"{at}-{at}" for at in range(1000)), "bytes=" + "0-0," * 2000,
]


def ranges(known: Known) -> Iterator[Case]:
    """A range that is none is ignored; one that is not there is 416."""
    for path, value in product((known.blob, known.name), NO_RANGES):
        yield case(f"{path} {value}", request(known, f"GET {path}", f"Range: {value}"), {200, 206, 400, 416})
    for value in ("bytes=0-1", "bytes=2-3"):
        sent = request(known, f"GET {known.blob}", f"Range: {value}", "Range: bytes=4-5")
        yield case(f"two of {value}", sent, {200, 206})


NO_NUMBERS = ["", "-1", "+1", " 1", "1 ", "1.0", "1e3", "0x10", "1_0", "%D9%A1", "%C2%B2", "x", "NaN", "%00", "%FF"]
NO_NUMBERS += ["true", "1,2", "''", "9" * 5000]


def windows(known: Known) -> Iterator[Case]:
    """`?offset=` and `?length=` are plain digits."""
    for value in NO_NUMBERS:
        for query in (f"offset={value}", f"offset=0&length={value}"):
            written = query.replace(" ", "%20")
            yield case(
                query, request(known, f"GET {known.blob}?{written}"), {200, 400, 416} if "999" in value else {400}
            )
    yield case("+1", request(known, f"GET {known.blob}?offset=+1"), {400})
    yield case("two", request(known, f"GET {known.blob}?offset=1&offset=2"), {200, 400})


def parameters(known: Known) -> Iterator[Case]:
    """Of queries: wrong values, twice, unknown where that could do harm."""
    wrong = ["", "-1", "0", "x", "1.5", "0x1", "%00", "%FF", "9" * 5000, "%D9%A1", "null", "[]"]
    for value in wrong:
        yield case(
            f"limit={value}", request(known, f"GET /v1/blobs?limit={value}"), {400, *([200] if "999" in value else [])}
        )
        yield case(f"cursor={value}", request(known, f"GET /v1/names/default?cursor={value}"), {400})
        yield case(f"version={value}", request(known, f"GET {known.name}?version={value}"), {400, 404})
        yield case(f"as_of={value}", request(known, f"GET {known.name}?as_of={value}"), {400})
        yield case(f"expires_in={value}", with_body(known, f"POST /v1/blobs?expires_in={value}", b"x"), {400})
        yield case(f"purge={value}", request(known, f"DELETE /v1/names/default/none?purge={value}"), {400, 404})
        yield case(f"blob={value}", request(known, f"PUT /v1/names/default/bound?blob={value}"), {400, 404})
        yield case(f"namespace={value}", with_body(known, f"POST /v1/blobs?namespace={value}", b"x"), {201, 400, 404})
        yield case(f"blocks {value}", request(known, f"GET {known.blob[:-5]}/blocks?start={value}"), {200, 400, 416})
        yield case(f"size {value}", request(known, f"GET /v1/uploads?sha512={ZEROS}&size={value}"), {200, 400})
    times = [
        "now", "2026-01-01", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00%2B23:59",
    ]
    for value in times:
        yield case(f"as_of={value}", request(known, f"GET {known.name}?as_of={value}"), {400, 404, 200})
    for query in (
        "limit=1&limit=2", "a" * 7000, "&" * 7000, "=" * 7000, "metadata.=1", "metadata.a.b=1", "metadata.%00=1",
        "limit",
    ):
        yield case(query, request(known, f"GET /v1/blobs?{query}"), {200, 400, 414})
    yield case(
        "many", request(known, "GET /v1/blobs?" + "&".join(f"metadata.k{at}=v" for at in range(500))), {200, 400, 414}
    )


# -- resuming and links -----------------------------------------------------------------------------------------------


def resumed(known: Known) -> Iterator[Case]:
    """tus 1.0.0."""
    tus, kind = "Tus-Resumable: 1.0.0", "Content-Type: application/offset+octet-stream"
    numbers = ["", "-1", "+1", "x", "1.5", "0x1", "\xb2", "1 0", "9" * 30, "9" * 5000, "1, 1", "NaN"]
    for value in numbers:
        yield case(
            f"Upload-Length {value}", request(known, "POST /v1/uploads", tus, f"Upload-Length: {value}"), {400, 413}
        )
        yield case(
            f"Upload-Defer-Length {value}", request(known, "POST /v1/uploads", tus, f"Upload-Defer-Length: {value}"),
            {400},
        )
        sent = with_body(known, f"PATCH {known.upload}", b"x", tus, kind, f"Upload-Offset: {value}")
        yield case(f"Upload-Offset {value}", sent, {400, 409})
    long = "Upload-Length: 10"
    pairs = [
        "filename !!", "filename YQ", " ", ",", "a b c", "filename YQ==,filename YQ==", "ü YQ==", "a",
        "namespace Li4v", "name Li4=", "sha512 eA==", "a" * 5000, "filename AA==", "filename /w==",
        "namespace " + base64.b64encode(b"a/b").decode(), "a\x01 YQ==",
    ]
    for value in pairs:
        yield case(
            f"Upload-Metadata {value!r}", request(known, "POST /v1/uploads", tus, long, f"Upload-Metadata: {value}"),
            {201, 400},
        )
    for value in (
        "", "x", "sha1", "sha1 ", "sha1 !!", "md5 AAAA", "sha1 AAAA", "sha512 AAAA", "sha1 AAAA AAAA", "sha256 AAAA",
    ):
        sent = with_body(
            known, f"PATCH {known.upload}", b"x", tus, kind, "Upload-Offset: 0", f"Upload-Checksum: {value}"
        )
        yield case(f"Upload-Checksum {value!r}", sent, {400, 460})
    for value in (
        "", "x", "final", "final;", "final;x", "final;/v1/uploads/", f"final;/v1/uploads/{UUID}", "partial;",
        "final;http://a/b", "final;../x", f"final;{known.upload}",
    ):
        yield case(
            f"Upload-Concat {value!r}", request(known, "POST /v1/uploads", tus, f"Upload-Concat: {value}"),
            {400, 404, 409},
        )
    for value in ("", "0.2.2", "2.0.0", "1.0", "1.0.0, 1.0.0", "x"):
        yield case(
            f"Tus-Resumable {value!r}", request(known, "POST /v1/uploads", f"Tus-Resumable: {value}", long), {400, 412}
        )
    for value in ("text/plain", "", "application/json", "application/offset+octet-stream; x=y, a/b"):
        sent = with_body(known, f"PATCH {known.upload}", b"x", tus, f"Content-Type: {value}", "Upload-Offset: 0")
        yield case(f"Content-Type {value!r}", sent, {400, 415})
    for path in ("x", UUID, UUID[:-1], f"{{{UUID}}}", "%00", "../uploads"):
        yield case(path, request(known, f"HEAD /v1/uploads/{path}", tus), {400, 404, 405})
    yield case("no length", request(known, "POST /v1/uploads", tus), {400})
    yield case("both", request(known, "POST /v1/uploads", tus, long, "Upload-Defer-Length: 1"), {400})
    sent = with_body(known, f"PATCH {known.upload}", b"x" * 11, tus, kind, "Upload-Offset: 0")
    yield case("more than its length", sent, {400, 413})
    sent = with_body(known, f"POST {known.upload}", b"", tus, "X-HTTP-Method-Override: BREW")
    yield case("override", sent, {400, 405})


def signatures(known: Known) -> Iterator[Case]:
    """A signature decides where there is one, even beside a good token."""
    good = base64.urlsafe_b64encode(bytes(61)).decode().rstrip("=")
    values = [
        "", "x", "=", "AAAA", "!!!!", good, good + "A", good[:-1], "%00", "%FF", good + "=" * 50, "A" * 7000, "%C3%BC",
        good.lower(), " " + good,
    ]
    for value, path in product(values, (known.blob, known.name, f"/v1/payloads/sha512/{ZEROS}")):
        written = quote(value, safe="%=!")
        yield case(f"{path} {value}", request(known, f"GET {path}?casd-signature={written}"), {401})
    twice = f"GET {known.blob}?casd-signature={good}&casd-signature={good}"
    yield case("two", request(known, twice), {401})
    for path in (
        "", "x", "//a/b", "http://a/v1/blobs", "/v1/blobs\r\nX: y", "/v1/../tokens", "/v1/tokens",
        "/v1/blobs/%FF/data", "/\x00",
    ):
        body = json.dumps({"path": path, "expires_in": 60}).encode()
        yield case(f"sign {path!r}", with_body(known, "POST /v1/signed-urls", body), {400, 404})


def credentials(known: Known) -> Iterator[Case]:
    """What is no credential is 401, whatever it looks like."""
    values = [
        "", "Bearer", "Bearer ", "Bearer  ", f"bearer{known.token}", f"Basic {known.token}", f"Token {known.token}x",
        "Bearer \xff", f"Bearer {known.token}, Bearer x", f"Bearer {known.token} x", f"Bearer {known.token.upper()}",
        f"Bearer {known.token[:-1]}", "Bearer " + "x" * 8000, 'Digest username="x"', "Negotiate AAAA", "Bearer a.b.c",
        "Bearer eyJhbGciOiJub25lIn0.e30.", "Bearer null",
    ]
    for value, path in product(values, ("/v1/whoami", "/auth/namespaces", "/api/blobs/", "/api/v1/users/me")):
        sent = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: {value}\r\n\r\n"
        yield case(f"{path} {value[:40]!r}", sent, {400, 401})
    two = f"Authorization: Bearer {known.token}\r\nAuthorization: Bearer {known.token}"
    yield case("two", f"GET /v1/whoami HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{two}\r\n\r\n", {400, 401})


MAKERS: tuple[Maker, ...] = (ranges, windows, parameters, resumed, signatures, credentials)
