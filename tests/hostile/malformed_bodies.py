"""Bodies that are wrong: forms, JSON, codings."""

# fmt: off
# The tables are set by hand: an item a line would be thousands of lines.

import json
from collections.abc import Iterator
from itertools import product

from tests.hostile.case import GOOD, REFUSED, UUID, ZEROS, Case, Known, Maker, case, with_body

# -- bodies -----------------------------------------------------------------------------------------------------------

BOUNDARY = "multipart/form-data; boundary=b"
FORMS = ("/api/blobs/", "/workspaces/default/files", "/api/v1/data-store/objects/default/form")
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n'


def forms(known: Known) -> Iterator[Case]:
    """RFC 7578: a form that does not end, or has no boundary, stores nothing."""
    kinds = [
        "multipart/form-data", "multipart/form-data; boundary=", 'multipart/form-data; boundary=""',
        "multipart/mixed; boundary=b", f"multipart/form-data; boundary={'b' * 71}", 'multipart/form-data; boundary="b',
        "text/plain", "",
    ]
    kinds += ["multipart/form-data; boundary=\xff", "application/json", "multipart/form-data, boundary=b"]
    for path, kind in product(FORMS, kinds):
        yield case(
            f"{path} {kind}", with_body(known, f"POST {path}", PART + b"--b--\r\n", f"Content-Type: {kind}"),
            {400, 401, 415},
        )
    bodies = [
        b"", b"--", b"--b", b"--b--", b"--b\r\n", PART, PART + b"--b", PART + b"--b-", PART * 200 + b"--b--\r\n",
        b"x" * 1000, b"--b\r\n\r\nx\r\n--b--\r\n", b"--b\r\nX\r\n\r\nx\r\n--b--",
        b"--b\r\nX: " + b"y" * 50_000 + b"\r\n\r\nx\r\n--b--", b"--b\r\n" + b"X: y\r\n" * 1000 + b"\r\nx\r\n--b--",
        b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", PART.replace(b"\r\n", b"\n") + b"--b--\n",
        b"--c\r\n\r\nx\r\n--c--", b"--bb\r\n\r\nx\r\n--b--", PART.replace(b'"file"', b'"'),
    ]
    bodies += [PART.replace(b"\r\n\r\n", b"\r\nContent-Type: \x00/y\r\n\r\n") + b"--b--"]
    bodies += [PART.replace(b"\r\n\r\n", b"\r\nContent-Encoding: x\r\n\r\n") + b"--b--", b"--b \x00\r\n\r\nx\r\n--b--"]
    for path, body in product(FORMS, bodies):
        sent = with_body(known, f"POST {path}", body, f"Content-Type: {BOUNDARY}")
        yield case(f"{path} {body[:40]!r}", sent, {400, 415})
    for path, name in product(FORMS, (b"\x00", b"f" * 5000)):
        body = PART.replace(b'"f"', b'"' + name + b'"') + b"--b--"
        is_ignored = path.startswith("/api/v1")  # an object's name stands in its path
        sent = with_body(known, f"POST {path}", body, f"Content-Type: {BOUNDARY}")
        yield case(f"{path} {name[:9]!r}", sent, {204} if is_ignored else {400})


def deep(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


NO_JSON = [
    b"", b" ", b"{", b"}", b"[", b"null", b"true", b"0", b'"x"', b"[]", b"[{}]", b"nul", b"undefined", b"NaN", b"-",
    b"{]", b"{'a': 1}", b'{"a": 1,}', b'{"a" 1}', b'{"a": 1} {"a": 1}', b'{"a": 1}x', b'{"a": 01}', b'{"a": .5}',
    b'{"a": 1.}', b'{"a": +1}', b'{"a": 0x1}', b'{"a": 1e}', b'{"a": NaN}', b'{"a": Infinity}', b'{"a": -Infinity}',
    b'{"a": 1e999}', b'{"a": "\x00"}', b'{"a": "\n"}', b'{"a": "\\x41"}', b'{"a": "\\u00"}', b'{"a": "\\ud800"}',
    b'{"a": "\\udc00\\ud800"}', b'{"\\ud800": 1}', b'{"a": "\xff"}', b'{"a": "\xc0\x80"}', b'{"a": "\xed\xa0\x80"}',
    b'\xef\xbb\xbf{"a": 1}', b"\xff\xfe{\x00}\x00",
]
NO_JSON += ['{"a": 1}'.encode(code) for code in ("utf-16", "utf-16-le", "utf-32")]
NO_JSON += [
    b'{"a": ' + deep(100) + b"}", b'{"a": ' + deep(50_000) + b"}", deep(50_000), b"[" * 50_000, b'{"a":' * 20_000,
    b'{"a": ' + b"9" * 5000 + b"}", b"/* x */ {}", b"// x\n{}", b"{a: 1}", b"a=1", b"<a/>", b"\x00",
    b"\x1f\x8b\x08\x00", b'{"a": "' + b"x" * 100_000,
]

WANTS_JSON = (
    "POST /v1/tokens", "PUT /v1/namespaces/malformed", "PATCH /v1/name-info/default/known", "POST /v1/signed-urls",
)
WANTS_JSON += (
    "POST /v1/payloads/missing", "POST /auth", "POST /api/v1/auth/refresh", "POST /api/v1/data-store/download",
)
WANTS_JSON += ("POST /auth/namespaces/default/keys", "POST /artifacts", "POST /api/v1/data-store/upload/multipart")


def bodies_of_json(known: Known) -> Iterator[Case]:
    kind = "Content-Type: application/json"
    for line, body in product(WANTS_JSON, NO_JSON):
        if body.strip() or line != "POST /artifacts":
            yield case(f"{line} {body[:40]!r}", with_body(known, line, body, kind), {400, 401, 404})


WRONG = [
    None, True, 0, -1, 1.5, 10**30, 1e300, "", "x" * 5000, "\x00", "\u2028", "\u202e", [], [None], [[]], {}, {"a": {}},
    "../x", "a/b",
]
FIELDS = {
    "POST /v1/tokens": {"name": "n", "role": "reader", "namespaces": ["default"], "expires_in": 5},
    "PUT /v1/namespaces/malformed": {
        "readers": [], "anonymous_read": False, "quota_bytes": 1, "keep_versions": 1, "max_age_s": 1,
    },
    "PATCH /v1/name-info/default/known": {"metadata": {}, "shared": False, "keep_versions": 1},
    "POST /v1/signed-urls": {"path": "/v1/names/default/known", "expires_in": 60},
    "POST /v1/payloads/missing": {"sha512": [ZEROS], "xxh3_128": ["0" * 32]},
    "POST /auth": {"namespace": "default", "key": "x"},
    "POST /api/v1/data-store/download": {"path_to_object": "known"},
    "POST /api/v1/data-store/upload/multipart/part": {"path_to_object": "x", "chunk_size": 1, "part_number": 1},
    "POST /auth/namespaces/malformed/keys": {"key_name": "x", "key": "secret"},
    "POST /label/known": {"blob_uuid": UUID},
}


def fields_of_json(known: Known) -> Iterator[Case]:
    """Wrong types and values in a field. Some are good, and whether they are is other tests' business."""
    for line, good in FIELDS.items():
        for name, value in product(good, WRONG):
            body = json.dumps(good | {name: value}).encode()
            sent = with_body(known, line, body, "Content-Type: application/json")
            yield case(f"{line} {name}={value!r}", sent, GOOD | REFUSED | {401, 403})
        twice = json.dumps(good).encode()[:-1] + b"," + json.dumps(good).encode()[1:]
        yield case(
            f"{line} twice", with_body(known, line, twice, "Content-Type: application/json"),
            GOOD | REFUSED | {401, 403},
        )


def gzips(known: Known) -> Iterator[Case]:
    """Bodies are stored as sent, so a coding is refused; a part of Datapane's may be gzip, and must be."""
    for value, line in product(("gzip", "br", "x", "gzip, gzip", "deflate"), ("POST /v1/blobs", "POST /v1/tokens")):
        yield case(f"{line} {value}", with_body(known, line, b"\x1f\x8b", f"Content-Encoding: {value}"), {415})
    coded = PART.replace(b'"file"', b'"uploaded_file"').replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    for data in (
        b"", b"x", b"\x1f\x8b", b"\x1f\x8b\x08\x00" + b"\x00" * 6,
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + b"\xff" * 50,
    ):
        form = coded.replace(b"\r\nx\r\n", b"\r\n" + data + b"\r\n") + b"--b--\r\n"
        yield case(data, with_body(known, "POST /api/blobs/", form, f"Content-Type: {BOUNDARY}"), {400, 415})


def encodings(known: Known) -> Iterator[Case]:
    """Content types and ranges of bodies."""
    for value in (
        "x", "/", "a/", "/b", "a/b/c", "a b/c", "a/b;\x01", "a/b\xff", "a" * 300 + "/b", "a/b, c/d", "text/html\x00",
    ):
        yield case(value, with_body(known, "POST /v1/blobs", b"x", f"Content-Type: {value}"), {400})
    for value in (
        "bytes 1-1/2", "bytes 0-0/2", "bytes 0-1/1", "x", "bytes */1", "bytes 0-0/*", "bytes -1-0/1",
        f"bytes 0-{'9' * 5000}/1",
    ):
        yield case(value, with_body(known, "PUT /v1/names/default/part", b"x", f"Content-Range: {value}"), {400})


MAKERS: tuple[Maker, ...] = (forms, bodies_of_json, fields_of_json, gzips, encodings)
