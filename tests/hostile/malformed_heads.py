"""Heads that are wrong: targets, methods, versions, fields, and how long a body is."""

# fmt: off
# The tables are set by hand: an item a line would be thousands of lines.

import base64
from collections.abc import Iterator
from itertools import product

from tests.hostile.case import CLOSED, UUID, Case, Known, Maker, case, request, with_body

# -- targets ----------------------------------------------------------------------------------------------------------

NO_ESCAPES = [
    "%", "%0", "%g0", "%0g", "%%", "%u0041", "%+1", "% 1".replace(" ", "%2"), "%FF", "%C0%80", "%C0%AF", "%E0%80%80",
    "%E0%80%AF", "%F0%80%80%AF", "%ED%A0%80", "%ED%BF%BF", "%F4%90%80%80", "%F8%88%80%80%80", "%FE%FF", "%80",
]
NO_ESCAPES += ["%C3", "%E2%82", "%00", "%0A", "%0D%0A", "%7F", "%C2%85", "%1B", "\xff", "\xc0\xaf", "\x80"]
PLACES = ("/v1/names/default/", "/v1/name-info/default/", "/v1/names/", "/v1/checksums/", "/v1/namespaces/")
PLACES += (f"/v1/blobs/{UUID}/metadata/", "/api/v1/data-store/objects/default/", "/artifacts/", "/workspaces/")


def escapes(known: Known) -> Iterator[Case]:
    for place, value in product(PLACES[:5], NO_ESCAPES):
        yield case(place + value, request(known, f"GET {place}{value}"), {400, 404})
    for place, value in product(PLACES[5:], NO_ESCAPES[::3]):
        yield case(place + value, request(known, f"GET {place}{value}"), {400, 404, 405})
    for value in NO_ESCAPES:
        yield case(f"PUT {value}", with_body(known, f"PUT /v1/names/default/{value}", b"x"), {400})
        yield case(f"?filename={value}", with_body(known, f"POST /v1/blobs?filename={value}", b"x"), {400})


NO_TARGETS = [
    "", "*", "casd.test:80", "http://casd.test", "http://", "http:///v1/tokens", "http://casd.test:99999/v1/x", "//",
    "///", "//v1/tokens", "/v1//tokens", "/v1/./tokens", "/v1/../v1/tokens", "/../etc/passwd", "/v1/tokens/..",
    "/%2e%2e/%2e%2e/etc/passwd", "/v1%2ftokens", "/v1/tokens%00", "/v1/tokens;a=b", "v1/tokens", "\\v1\\tokens",
]
NO_TARGETS += ["/v1/tokens#x", "#", "?", "/?" + "a" * 7000, "/" + "a" * 7000, "/" + "a/" * 3500, "/" + "a" * 9000]
NO_TARGETS += [
    "/" + "a" * 70_000, "/" + "%41" * 20_000, "/v1/to\tkens", "/v1/to\x00kens", "/v1/to\x7fkens", "/\xfc", "/{}",
    "ftp://casd.test/v1/tokens", "file:///etc/passwd", "javascript:alert(1)", "http://[::1/v1/tokens", "[::1]",
]
NO_TARGETS += ["http://user:pass@casd.test/nowhere", "http://casd.test:x/nowhere", "gopher://", "://", ":", "http:/x"]


def targets(known: Known) -> Iterator[Case]:
    for target, method in product(NO_TARGETS, ("GET", "DELETE")):
        is_root = target == "http://casd.test" or target.startswith("/?")
        allowed = {200, 400, 404, 405, 414, 431} if is_root and method == "GET" else {400, 404, 405, 414, 431}
        yield case(f"{method} {target}", request(known, f"{method} {target}"), allowed)
    yield case("two spaces", request(known, "GET  /healthz"), {200, 400})  # RFC 9112, 3: may be read
    yield case("a space in it", request(known, "GET /v1/names/default/a b"), {400})
    yield case("OPTIONS *", request(known, "OPTIONS *"), {200, 204, 400, 404, 405})
    yield case("CONNECT", request(known, "CONNECT 127.0.0.1:22"), {400, 404, 405})
    yield case(
        "CONNECT, and more behind it", request(known, "CONNECT 127.0.0.1:22") + b"SSH-2.0-x\r\n", {400, 404, 405}
    )


NO_METHODS = [
    "get", "GeT", "PROPFIND", "TRACE", "TRACK", "DEBUG", "PURGE", "LINK", "X" * 40, "X" * 9000, "G@T", "G T", "GET,",
    "\xe9", "\x00GET", "GET\x00", '"GET"', "[GET]", "{GET}", "GET/", "(GET)", "<GET>", "PRI", "SSTP_DUPLEX_POST",
]


def methods(known: Known) -> Iterator[Case]:
    for method, path in product(NO_METHODS, (known.blob, "/v1/nowhere", "/v1/tokens")):
        yield case(f"{method} {path}", request(known, f"{method} {path}"), {400, 404, 405})


def versions(known: Known) -> Iterator[Case]:
    texts = [
        "HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/3", "HTTP/1.10", "HTTP/11", "HTTP/1", "HTTP/1.", "HTTP/.1",
        "http/1.1", "HTTP/1.1x", "HTTP/ 1.1", "HTTP/1,1", "HTPP/1.1", "HTTPS/1.1", "HTTP/-1.1", "HTTP/01.1",
        "HTTP/\xb9.1", "ICY", "",
    ]
    for text in texts:
        sent = request(known, "GET /healthz").replace(b"HTTP/1.1", text.encode("latin-1"), 1)
        yield case(text, sent, {400, 505})
    first = (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x00" * 100,
        b"\x80\x2e\x01",
    )
    for sent in (
        *first, b"SSH-2.0-x\r\n\r\n", b"EHLO casd\r\n\r\n", b"GET /healthz\r\n\r\n", b"\r\n" * 5000, b"GET\r\n\r\n",
    ):
        yield case(sent[:20], sent, {400, 408, 505, CLOSED})


# -- how long a body is -----------------------------------------------------------------------------------------------

NO_LENGTHS = [
    "-1", "+1", "0x10", "1 0", "1,1", "1, 2", "1.0", "1e1", "", "x", "\xb2", "1\x00", "1_0", "'1'", "1;", "-0",
]


def lengths(known: Known) -> Iterator[Case]:
    """RFC 9112, 6.3: what is no length cannot be recovered from."""
    for value, line in product(NO_LENGTHS, ("POST /v1/blobs", f"GET {known.blob}", f"PATCH {known.upload}")):
        yield case(f"{line} {value!r}", request(known, line, f"Content-Length: {value}", body="x"), {400})
    for value in (str(1 << 63), str(1 << 64), "9" * 18, "9" * 30, "9" * 4000):
        yield case(f"huge {value}", request(known, "POST /v1/blobs", f"Content-Length: {value}", body="x"), {400, 413})
    for first, second in (("1", "2"), ("1", "1"), ("0", "5"), ("5", "0"), ("1", ""), ("1", "x")):
        lines = f"Content-Length: {first}", f"Content-Length: {second}"
        yield case(f"two {first} {second}", request(known, "POST /v1/blobs", *lines, body="x"), {400})
    for line in ("POST /v1/blobs", "PUT /v1/names/default/short", "POST /v1/tokens", "POST /api/blobs/"):
        yield case(f"short {line}", request(known, line, "Content-Length: 10", body="x"), {400, 408, 415})
        yield case(f"none {line}", request(known, line), {201, 400, 411, 415})


NO_CODINGS = [
    "chunked, chunked", "identity", "gzip", "gzip, chunked", "chunked, gzip", "deflate", "x", "", "chunked;a=b",
]
NO_CODINGS += ["chunked,", ",chunked", "chunked\t", "\x0bchunked", "chunked\x00", "xchunked", "chunke", '"chunked"']
NO_CODINGS += ["identity, chunked", "chunked, identity", "trailers", "compress", "chunked\xa0", "ch\xfcnked"]
CHUNKED = "1\r\nx\r\n0\r\n\r\n"


def codings(known: Known) -> Iterator[Case]:
    """RFC 9112, 6.1: a coding that is not understood, or not the last, leaves no way to find the end."""
    for value, line in product(NO_CODINGS, ("POST /v1/blobs", "PUT /v1/names/default/coded")):
        allowed = {201, 400, 415} if value in ("chunked\t", "chunked,", ",chunked") else {400, 415, 501}
        yield case(f"{line} {value!r}", request(known, line, f"Transfer-Encoding: {value}", body=CHUNKED), allowed)
    both = ("Content-Length: 1", "Transfer-Encoding: chunked"), ("Transfer-Encoding: chunked", "Content-Length: 1")
    for lines in (
        *both, ("Transfer-Encoding: identity", "Content-Length: 1"), ("Transfer-Encoding: x", "Content-Length: 1"),
    ):
        yield case(lines, request(known, "POST /v1/blobs", *lines, body=CHUNKED), {400, 415, 501})
    two = "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"
    yield case("two fields", request(known, "POST /v1/blobs", *two, body=CHUNKED), {400})
    yield case("folded", request(known, "POST /v1/blobs", "Transfer-Encoding:\r\n chunked", body=CHUNKED), {400, 408})
    yield case("space", request(known, "POST /v1/blobs", "Transfer-Encoding : chunked", body=CHUNKED), {400})
    old = request(known, "POST /v1/blobs", "Transfer-Encoding: chunked", body=CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0")
    yield case("HTTP/1.0", old, {201, 400, 411})


NO_CHUNKS = ["x\r\n", "\r\n", "-1\r\nx\r\n", "+1\r\nx\r\n", "0x1\r\nx\r\n", " 1\r\nx\r\n", "1 \r\nx\r\n", "1g\r\nx\r\n"]
NO_CHUNKS += ["1\nx\n0\n\n", "1\r\nxy\r\n0\r\n\r\n", "2\r\nx\r\n0\r\n\r\n", "1\r\nx0\r\n\r\n", "1\r\nx\n0\r\n\r\n"]
NO_CHUNKS += ["1\r\nx\r\n-0\r\n\r\n", "\xb2\r\nxx\r\n", "1_0\r\n" + "x" * 16, "f" * 16 + "\r\nx", "f" * 17 + "\r\nx"]
NO_CHUNKS += ["8" + "0" * 15 + "\r\nx", "f" * 5000 + "\r\nx", "1;\x00\r\nx\r\n0\r\n\r\n", "1;a=\rb\r\nx\r\n0\r\n\r\n"]
NO_CHUNKS += ["1;a=\nb\r\nx\r\n0\r\n\r\n", "1\r\nx\r\n0\r\nA b\r\n\r\n", "1\r\nx\r\n0\r\n: b\r\n\r\n", "1\rx\r0\r\r"]
NO_CHUNKS += ["1\r\nx\r\n0\r\nA: \x00\r\n\r\n", "1\r\nx\r\n" * 3, "1\r\nx", "1\r\nx\r\n0", "1\r\nx\r\n0\r\n", "1", ""]
LONG_CHUNKS = ["1;" + "a" * 100_000 + "\r\nx\r\n0\r\n\r\n", "1\r\nx\r\n0\r\n" + "A: b\r\n" * 20_000 + "\r\n"]
LONG_CHUNKS += ["0" * 100_000 + "1\r\nx\r\n0\r\n\r\n", "1\r\nx\r\n0\r\nA: " + "b" * 100_000 + "\r\n\r\n"]


def chunks(known: Known) -> Iterator[Case]:
    """RFC 9112, 7.1: broken framing never becomes a payload."""
    for line, body in product(("POST /v1/blobs", "PUT /v1/names/default/chunks"), NO_CHUNKS):
        yield case(f"{line} {body!r}", request(known, line, "Transfer-Encoding: chunked", body=body), {400, 408})
    for body in LONG_CHUNKS:
        yield case(
            body[:20], request(known, "POST /v1/blobs", "Transfer-Encoding: chunked", body=body), {201, 400, CLOSED}
        )


# -- header fields ----------------------------------------------------------------------------------------------------


def fields(known: Known) -> Iterator[Case]:
    """RFC 9112, 5: what is no field is refused, never read as another."""
    lines = [
        "X", ": x", "X : y", "X\t: y", "X y: z", "X\x00: y", "X\xe9: y", "X: \x00", "X: a\x00b", "X: a\rb", "(X): y",
        "X@: y", " X: y", "\tX: y", "X: y\r\n folded", "X: y\r\n\tfolded", '"X": y', "X=y", "X,Y: z", "X[0]: y",
        "X: \x7f", "X: \x1b[2J",
    ]
    for line in lines:
        yield case(repr(line), request(known, "GET /healthz", line), {400})
    for value in ("\xff", "\xc3\xbc", "a\tb", "a" * 8000):
        yield case(f"text {value[:9]!r}", request(known, "GET /healthz", f"X: {value}"), {200, 400, 431})
    for text in (
        b"GET /healthz HTTP/1.1\nHost: x\n\n", b"GET /healthz HTTP/1.1\r\nHost: x\n\r\n",
        b"GET /healthz HTTP/1.1\rHost: x\r\r",
    ):
        yield case(text, text, {200, 400, 408})
    yield case("half", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ", {408})
    yield case("Upgrade", request(known, "GET /healthz", "Upgrade: h2c", "HTTP2-Settings: x"), {200})
    yield case("Connection", request(known, "GET /healthz", "Connection: Authorization, Host"), {200})


NO_HOSTS = [
    "a b", "a, b", "a/b", "a@b", "a?b", "a#b", "a\\b", "<a>", "a:b:c", "[::1", '"a"', "a:-1", "a:x", "a:b", "::1",
]
NO_HOSTS += [
    "\xff", "\xfc", "http://a/", "a\tb", "[]", "a|b", "a^b", "{a}", "user:secret@host", "*a\x7f", "[::1]a",
]


def hosts(known: Known) -> Iterator[Case]:
    """RFC 9112, 3.2: one Host, and a valid one."""
    token = f"Authorization: Bearer {known.token}\r\nConnection: close"
    line = "GET /v1/whoami HTTP/1.1"
    for lines in (
        "", "Host: a\r\nHost: b\r\n", "Host: a\r\nHost: a\r\n", *(f"Host: {value}\r\n" for value in NO_HOSTS),
    ):
        yield case(repr(lines), f"{line}\r\n{lines}{token}\r\n\r\n", {400})
    yield case("empty", f"{line}\r\nHost:\r\n{token}\r\n\r\n", {200})
    yield case("HTTP/1.0 without one", f"{line[:-1]}0\r\n{token}\r\n\r\n", {200})


def guards(known: Known) -> Iterator[Case]:
    """What is no list of entity tags guards nothing, so a write with it is refused; no date is ignored."""
    tags = [
        "x", '"', '"x', 'x"', '""x', 'w/"x"', "W/x", '"x" "y"', '"x",,"y', "*,*", '*, "x"', '"\x01"', "''", "W/", ",",
    ]
    for value, name in product(tags, ("If-Match", "If-None-Match")):
        sent = with_body(known, "PUT /v1/names/default/guarded", b"x", f"{name}: {value}")
        yield case(f"{name} {value!r}", sent, {400, 412})
    dates = [
        "x", "0", "-1", "Sun, 99 Nov 9999 99:99:99 GMT", "Sun Nov  6 08:49:37 1994", "2026-01-01",
        "Mon, 01 Jan 0000 00:00:00 GMT",
    ]
    for value, name in product(dates, ("If-Modified-Since", "If-Unmodified-Since", "If-Range")):
        sent = request(known, f"GET {known.blob}", f"{name}: {value}", "Range: bytes=0-1")
        yield case(f"{name} {value!r}", sent, {200, 206, 304, 412})


def expectations(known: Known) -> Iterator[Case]:
    for value in ("x", "100", "100-continue, x", "200-ok", "100-continue=1", "a=b", "\xff"):
        sent = with_body(known, "POST /v1/blobs", b"x", f"Expect: {value}")
        yield case(value, sent, {400, 417})


def digests(known: Known) -> Iterator[Case]:
    """RFC 9530: a digest that casd knows and cannot read is 400, one that is wrong 422."""
    values = [
        "sha-512=x", "sha-512=::", "sha-512=:AAAA:", "sha-512=:!!:", "sha-512", "sha-512=1", "sha-512=:=:",
        "sha-256=:x:",
    ]
    values += [f"sha-512=:{base64.b64encode(bytes(63)).decode()}:", f"sha-256=:{base64.b64encode(bytes(33)).decode()}:"]
    for value, line in product(values, ("POST /v1/blobs", "PUT /v1/names/default/digest")):
        yield case(f"{line} {value}", with_body(known, line, b"x", f"Repr-Digest: {value}"), {400})
    wrong = f"sha-512=:{base64.b64encode(bytes(64)).decode()}:"
    yield case("wrong", with_body(known, "POST /v1/blobs", b"x", f"Repr-Digest: {wrong}"), {422})
    for path in (
        "sha512/x", f"sha512/{'g' * 128}", f"sha512/{'0' * 127}", f"md5/{'0' * 32}", "sha512/", f"sha512/{'0' * 129}",
    ):
        yield case(path, request(known, f"GET /v1/checksums/{path}"), {400, 404})
        yield case(f"payload {path}", request(known, f"GET /v1/payloads/{path}"), {404})


def floods(known: Known) -> Iterator[Case]:
    """More than a head may hold: refused, or cut off while it is still sent."""
    allowed = {200, 400, 408, 413, 431, CLOSED}
    yield case("many fields", request(known, "GET /healthz", *[f"X-{at}: y" for at in range(5000)]), allowed)
    yield case("same field", request(known, "GET /healthz", *["X: y"] * 5000), allowed)
    yield case("long field", request(known, "GET /healthz", "X: " + "y" * 200_000), allowed - {200})
    yield case("long name", request(known, "GET /healthz", "X" * 200_000 + ": y"), allowed - {200})
    yield case("no end", request(known, "GET /healthz", "X: " + "y" * 900_000)[:-4], allowed - {200})
    yield case("cookies", request(known, "GET /healthz", "Cookie: " + "a=b; " * 1000), allowed)
    yield case("empty lines", b"\r\n" * 40_000 + request(known, "GET /healthz"), allowed)
    yield case(
        "pipelined", request(known, "GET /healthz", is_closing=False) * 200 + request(known, "GET /healthz"), {200, 431}
    )


MAKERS: tuple[Maker, ...] = (escapes, targets, methods, versions, lengths, codings, chunks, fields, hosts, guards)
MAKERS += (expectations, digests, floods)
