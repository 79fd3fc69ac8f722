"""Taking bytes (DESIGN.md 7): streams, digests, `Expect`, guards, and that what went wrong leaves nothing behind."""

import base64
import hashlib
import json
import os
import random
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import Daemon
from tests.web.wire import (
    Answer,
    Wire,
    ask,
    has_payload,
    head,
    incoming,
    payload_file,
    raw,
    sha256_field,
    sha512_field,
    wait_until,
)

SIZES = [0, 1, 5, 65_535, 65_536, 65_537, 70_000, 1 << 20, (1 << 20) + 1, 5 << 20]


def unique(size: int) -> bytes:
    """Bytes that no other test has."""
    return uuid4().bytes[:size] + random.randbytes(max(0, size - 16))


@pytest.fixture(params=["blob", "name"])
def target(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Method and path of the two calls that take a payload."""
    return ("POST", "/v1/blobs") if request.param == "blob" else ("PUT", f"/v1/names/default/{uuid4()}")


def blob_in(answer: Answer) -> dict[str, Any]:
    """The blob of a 201, whether it came alone or in a version."""
    assert answer.status == 201, answer.body
    found: dict[str, Any] = answer.json
    blob: dict[str, Any] = found.get("blob", found)
    return blob


def chunked(data: bytes, step: int) -> bytes:
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


# -- whole bodies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_what_was_sent_is_stored_under_its_digests(
    shared_daemon: Daemon, wire: Wire, target: tuple[str, str], size: int
) -> None:
    data = unique(size)

    blob = blob_in(wire.ask(*target, data))

    assert blob["size"] == size
    assert blob["sha512"] == hashlib.sha512(data).hexdigest()
    assert blob["sha256"] == hashlib.sha256(data).hexdigest()
    assert Path(payload_file(shared_daemon, data)).read_bytes() == data


@pytest.mark.parametrize(("size", "step"), [(0, 1), (5, 1), (70_000, 1000), (70_000, 70_000), (1 << 20, 65_537)])
def test_a_chunked_body_is_stored_without_its_framing(
    shared_daemon: Daemon, target: tuple[str, str], size: int, step: int
) -> None:
    data = unique(size)
    with raw(shared_daemon) as connection:
        connection.send(head(shared_daemon, " ".join(target), "Transfer-Encoding: chunked"))
        connection.send(chunked(data, step))

        blob = blob_in(connection.answer())

    assert (blob["size"], blob["sha512"]) == (size, hashlib.sha512(data).hexdigest())


def test_a_body_in_many_small_pieces_is_stored_whole(shared_daemon: Daemon, target: tuple[str, str]) -> None:
    data = unique(300_000)
    with raw(shared_daemon) as connection:
        connection.send(head(shared_daemon, " ".join(target), f"Content-Length: {len(data)}"))
        for start in range(0, len(data), 1500):
            connection.send(data[start : start + 1500])

        blob = blob_in(connection.answer())

    assert blob["sha512"] == hashlib.sha512(data).hexdigest()


def test_equal_bytes_at_once_are_stored_once_and_all_succeed(shared_daemon: Daemon) -> None:
    data = unique(200_000)
    with raw(shared_daemon) as first, raw(shared_daemon) as second:
        for connection in (first, second):
            connection.send(head(shared_daemon, "POST /v1/blobs", f"Content-Length: {len(data)}"))
            connection.send(data[:100_000])
        for connection in (first, second):
            connection.send(data[100_000:])

        blobs = [blob_in(connection.answer()) for connection in (first, second)]

    assert {blob["sha512"] for blob in blobs} == {hashlib.sha512(data).hexdigest()}
    assert blobs[0]["uuid"] != blobs[1]["uuid"]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (None, "application/octet-stream"),
        ("text/plain", "text/plain"),
        ("text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        ("application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.v1.tar+gzip"),
        ("  text/plain  ", "text/plain"),
        ("", "application/octet-stream"),
    ],
)
def test_the_content_type_is_kept(wire: Wire, target: tuple[str, str], sent: str | None, kept: str) -> None:
    answer = wire.ask(*target, b"x", {} if sent is None else {"Content-Type": sent})

    assert blob_in(answer)["content_type"] == kept


@pytest.mark.parametrize(
    "text", ["text", "text/", "/plain", "text/plain, text/html", "text plain", "t/" + "x" * 255, "é/x"]
)
def test_a_content_type_that_is_none_is_refused(wire: Wire, target: tuple[str, str], text: str) -> None:
    answer = wire.ask(*target, b"x", {"Content-Type": text})

    assert (answer.status, answer.code) == (400, "invalid-input")


# -- announced digests ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 5, 70_000, 1 << 20])
def test_digests_that_agree_are_accepted(wire: Wire, target: tuple[str, str], size: int) -> None:
    data = unique(size)

    answer = wire.ask(*target, data, {"Repr-Digest": f"{sha512_field(data)}, md5=:AAAA:, {sha256_field(data)}"})

    assert answer.status == 201


@pytest.mark.parametrize("size", [5, 70_000, 1 << 20])
@pytest.mark.parametrize("field", [sha512_field, sha256_field])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_digest_that_disagrees_keeps_nothing(
    shared_daemon: Daemon, target: tuple[str, str], size: int, field: Any, is_chunked: bool
) -> None:
    data = unique(size)
    framing = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {size}"
    with raw(shared_daemon) as connection:
        connection.send(head(shared_daemon, " ".join(target), framing, f"Repr-Digest: {field(b'other')}"))
        connection.send(chunked(data, 50_000) if is_chunked else data)

        answer = connection.answer()

    assert (answer.status, answer.code) == (422, "digest-mismatch")
    assert not has_payload(shared_daemon, data)
    assert incoming(shared_daemon) == []
    assert ask(shared_daemon, "GET", f"/v1/checksums/sha256/{hashlib.sha256(data).hexdigest()}").json["items"] == []
    if target[0] == "PUT":
        assert ask(shared_daemon, "GET", target[1]).status == 404


def test_one_of_two_digests_that_disagrees_is_enough(wire: Wire, target: tuple[str, str]) -> None:
    data = unique(10)

    answer = wire.ask(*target, data, {"Repr-Digest": f"{sha512_field(data)}, {sha256_field(b'other')}"})

    assert answer.code == "digest-mismatch"


def test_a_second_line_of_digests_is_checked_too(shared_daemon: Daemon, target: tuple[str, str]) -> None:
    data = unique(10)
    lines = f"Repr-Digest: {sha512_field(data)}", f"Repr-Digest: {sha256_field(b'other')}"
    with raw(shared_daemon) as connection:
        connection.send(head(shared_daemon, " ".join(target), "Content-Length: 10", *lines))
        connection.send(data)

        assert connection.answer().code == "digest-mismatch"


MALFORMED_DIGESTS = [
    "",
    "sha-512=AAAA",
    "sha-512=:AAAA:",
    f"sha-512=:{base64.b64encode(bytes(63)).decode()}:",
    f"sha-256=:{base64.b64encode(bytes(64)).decode()}:",
    f"sha-512=:{bytes(64).hex()}:",
    "sha-512=:!:",
    "junk",
]


@pytest.mark.parametrize("text", MALFORMED_DIGESTS)
def test_a_digest_that_does_not_parse_is_refused(wire: Wire, target: tuple[str, str], text: str) -> None:
    answer = wire.ask(*target, b"x", {"Repr-Digest": text})

    assert (answer.status, answer.code) == (400, "invalid-input")


# -- what is not a whole body as it stands ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "coding", ["gzip", "br", "zstd", "deflate", "GZIP", "aws-chunked", "gzip, identity", "identity, gzip"]
)
def test_an_encoded_body_is_refused(shared_daemon: Daemon, wire: Wire, target: tuple[str, str], coding: str) -> None:
    data = unique(20)

    answer = wire.ask(*target, data, {"Content-Encoding": coding})

    assert (answer.status, answer.code) == (415, "unsupported-encoding")
    assert not has_payload(shared_daemon, data)


def test_an_identity_that_hides_a_second_line_is_refused(shared_daemon: Daemon, target: tuple[str, str]) -> None:
    lines = "Content-Encoding: identity", "X-Between: 1", "Content-Encoding: gzip"
    with raw(shared_daemon) as connection:
        connection.send(head(shared_daemon, " ".join(target), "Content-Length: 1", *lines) + "x")

        assert connection.answer().status in (400, 415)


@pytest.mark.parametrize("coding", ["identity", "Identity"])
def test_an_identity_encoding_is_none(wire: Wire, target: tuple[str, str], coding: str) -> None:
    assert wire.ask(*target, b"x", {"Content-Encoding": coding}).status == 201


@pytest.mark.parametrize("size", [5, 70_000])
def test_gzipped_bytes_are_stored_as_they_are(shared_daemon: Daemon, wire: Wire, size: int) -> None:
    data = b"\x1f\x8b\x08" + unique(size)

    blob = blob_in(wire.ask("POST", "/v1/blobs", data, {"Content-Type": "application/gzip"}))

    assert blob["size"] == len(data)


PARTIAL = [
    "bytes 5-9/10",
    "bytes 0-4/10",
    "bytes 0-4/*",
    "bytes */5",
    "bytes 1-5/6",
    "bytes 0-9/10",
    "items 0-4/5",
    "junk",
    "",
]


@pytest.mark.parametrize("text", PARTIAL)
def test_a_part_of_a_body_never_becomes_a_payload(
    shared_daemon: Daemon, wire: Wire, target: tuple[str, str], text: str
) -> None:
    data = unique(5)

    answer = wire.ask(*target, data, {"Content-Range": text})

    assert (answer.status, answer.code) == (400, "invalid-input")
    assert not has_payload(shared_daemon, data)


def test_a_part_that_is_the_whole_is_taken(wire: Wire, target: tuple[str, str]) -> None:
    assert wire.ask(*target, b"hello", {"Content-Range": "bytes 0-4/5"}).status == 201


# -- Expect: 100-continue ---------------------------------------------------------------------------------------------


def test_a_client_that_waits_is_told_to_go_on(shared_daemon: Daemon, target: tuple[str, str]) -> None:
    data = unique(70_000)
    with raw(shared_daemon) as connection:
        connection.send(head(shared_daemon, " ".join(target), "Content-Length: 70000", "Expect: 100-continue"))

        interim, _ = connection.head()
        connection.send(data)
        answer = connection.answer()

        assert interim == 100
        assert blob_in(answer)["sha512"] == hashlib.sha512(data).hexdigest()
        connection.send(head(shared_daemon, "GET /healthz"))
        assert connection.answer().status == 200  # the connection lives on


def test_a_json_body_that_waits_is_told_to_go_on(shared_daemon: Daemon) -> None:
    body = json.dumps({"anonymous_read": False})
    with raw(shared_daemon) as connection:
        line = f"PUT /v1/namespaces/expect-{uuid4()}"
        connection.send(head(shared_daemon, line, f"Content-Length: {len(body)}", "expect: 100-Continue"))

        interim, _ = connection.head()
        connection.send(body)

        assert interim == 100
        assert connection.answer().status == 200


def test_an_http_1_0_client_is_never_told_to_go_on(shared_daemon: Daemon, target: tuple[str, str]) -> None:
    text = head(shared_daemon, " ".join(target), "Content-Length: 5", "Expect: 100-continue").replace("1.1", "1.0", 1)
    with raw(shared_daemon) as connection:
        connection.send(text + "hello")

        assert connection.answer().status == 201


@pytest.fixture
def foreign(shared_daemon: Daemon) -> str:
    """A namespace that exists."""
    name = f"foreign-{uuid4()}"
    assert ask(shared_daemon, "PUT", f"/v1/namespaces/{name}", {}).status == 200
    return name


def secret_of(daemon: Daemon, role: str, namespace: str) -> str:
    answer = ask(daemon, "POST", "/v1/tokens", {"name": role, "role": role, "namespaces": [namespace]})
    assert answer.status == 201
    secret: str = answer.json["token"]
    return secret


EXPECT = "Expect: 100-continue"
LENGTH = "Content-Length: 5"


def refused(daemon: Daemon, text: str) -> Answer:
    """The first answer to a head whose body was not sent; whatever comes on that connection later is not looked at.

    Afterwards the body and another request are sent: a server that has said `close` must not answer those.
    """
    with raw(daemon) as connection:
        connection.send(text)
        answer = connection.answer()
        assert answer["Connection"] == "close"
        try:
            connection.send("hello" + head(daemon, "GET /healthz"))
            assert connection.rest() == b""
        except (BrokenPipeError, ConnectionResetError):  # closed already
            pass
    return answer


def test_a_refusal_comes_instead_of_100(shared_daemon: Daemon, foreign: str) -> None:
    name = f"/v1/names/default/{uuid4()}"
    ask(shared_daemon, "PUT", name, b"there")
    writer, reader = secret_of(shared_daemon, "writer", f"w-{uuid4()}"), secret_of(shared_daemon, "reader", foreign)
    wanted = [
        ("POST /v1/blobs", [LENGTH], None, 401),
        ("POST /v1/blobs", [LENGTH], "casd_wrong", 401),
        (f"POST /v1/blobs?namespace={foreign}", [LENGTH], reader, 403),
        (f"POST /v1/blobs?namespace={foreign}", [LENGTH], writer, 404),
        (f"PUT /v1/names/{foreign}/x", [LENGTH], writer, 404),
        ("POST /v1/nowhere", [LENGTH], "", 404),
        ("PUT /v1/blobs", [LENGTH], "", 405),
        (f"PUT {name}", [LENGTH, "If-None-Match: *"], "", 412),
        (f"PUT {name}", [LENGTH, 'If-Match: "0"'], "", 412),
        ("POST /v1/blobs", [LENGTH, "Content-Encoding: gzip"], "", 415),
        ("POST /v1/blobs", [LENGTH, "Content-Range: bytes 5-9/10"], "", 400),
        ("POST /v1/blobs", [LENGTH, "Repr-Digest: junk"], "", 400),
        ("POST /v1/blobs?expires_in=x", [LENGTH], "", 400),
        ("PUT /v1/names/default/%FF", [LENGTH], "", 400),
        (f"PUT /v1/names/default/x?blob={uuid4()}", ["Content-Length: 0"], "", 404),
        ("POST /v1/tokens", [LENGTH], writer, 403),
    ]

    for line, headers, token, status in wanted:
        found = refused(shared_daemon, head(shared_daemon, line, *headers, EXPECT, token=token))
        assert found.status == status, (line, headers)
        assert found.code

    assert incoming(shared_daemon) == []


def test_an_unknown_expectation_is_417(shared_daemon: Daemon, target: tuple[str, str]) -> None:
    for expectation in ("200-ok", "100-continue, 200-ok", "x"):
        text = head(shared_daemon, " ".join(target), LENGTH, f"Expect: {expectation}")

        answer = refused(shared_daemon, text)

        assert (answer.status, answer.code) == (417, "unknown-expectation")


def test_an_expectation_in_two_lines_is_read_as_one(shared_daemon: Daemon) -> None:
    text = head(shared_daemon, "POST /v1/blobs", LENGTH, "Expect: 100-continue", "Expect: 200-ok")

    assert refused(shared_daemon, text).status == 417


def test_a_disk_that_is_full_says_so_before_the_body(new_daemon: Any) -> None:
    daemon = new_daemon(CASD_STORAGE__RESERVE_BYTES=str(1 << 60)).start()

    declared = refused(daemon, head(daemon, "POST /v1/blobs", LENGTH, EXPECT))
    with raw(daemon) as connection:
        connection.send(head(daemon, "POST /v1/blobs", "Transfer-Encoding: chunked"))
        connection.send(chunked(unique(100_000), 50_000))
        chunks = connection.answer()

    assert (declared.status, declared.code) == (507, "storage-full")
    assert (chunks.status, chunks.code) == (507, "storage-full")
    assert incoming(daemon) == []
    assert ask(daemon, "GET", "/readyz").status == 503
    assert "Traceback" not in daemon.log


# -- bodies that end too early, or not at all -------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_a_client_that_hangs_up_leaves_nothing_behind(daemon: Daemon, target: tuple[str, str], framing: str) -> None:
    data = unique(300_000)
    with raw(daemon) as connection:
        connection.send(head(daemon, " ".join(target), framing))
        connection.send(data if "Length" in framing else b"%x\r\n" % 1_000_000 + data)
        wait_until(lambda: incoming(daemon), "the body is being stored")

    wait_until(lambda: not incoming(daemon), "the stage is gone")
    assert not has_payload(daemon, data)
    assert ask(daemon, "GET", "/v1/blobs").json["items"] == []
    assert ask(daemon, "GET", "/v1/names/default").json["items"] == []
    assert "Traceback" not in daemon.log
    assert "ERROR" not in daemon.log


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloworld\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\n0\n\n",
        b"11111111111111111111\r\nhello\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
    ],
)
@pytest.mark.parametrize(
    "line", ["POST /v1/blobs", "PUT /v1/names/default/broken", "POST /v1/nowhere", "PUT /v1/namespaces/x"]
)
def test_chunks_that_do_not_parse_are_the_client_s_mistake(shared_daemon: Daemon, line: str, body: bytes) -> None:
    with raw(shared_daemon) as connection:
        connection.send(head(shared_daemon, line, "Transfer-Encoding: chunked"))
        connection.send(body)

        status, _ = connection.head()

    assert 400 <= status < 500
    assert incoming(shared_daemon) == []


def test_chunks_that_break_after_the_handler_began_are_a_400(shared_daemon: Daemon) -> None:
    data = unique(200_000)
    with raw(shared_daemon) as connection:
        connection.send(head(shared_daemon, "POST /v1/blobs", "Transfer-Encoding: chunked"))
        connection.send(b"%x\r\n%s\r\n" % (len(data), data))
        wait_until(lambda: incoming(shared_daemon), "the body is being stored")
        connection.send(b"zz\r\n")

        answer = connection.answer()

    assert (answer.status, answer.code) == (400, "invalid-input")
    assert incoming(shared_daemon) == []
    assert not has_payload(shared_daemon, data)
    assert "Traceback" not in shared_daemon.log


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Content-Length: -5"],
        ["Content-Length: +5"],
        ["Content-Length: 5, 5"],
        ["Content-Length: 5x"],
        ["Content-Length: "],
        ["Content-Length: 99999999999999999999999"],
        ["Transfer-Encoding: gzip"],
        ["Transfer-Encoding: chunked, gzip"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    ],
)
def test_framing_that_could_be_read_two_ways_is_refused(shared_daemon: Daemon, headers: list[str]) -> None:
    with raw(shared_daemon) as connection:
        connection.send(head(shared_daemon, "POST /v1/blobs", *headers) + "0\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n")

        answer = connection.answer()

        assert answer.status in (400, 413, 501)
        assert b"HTTP/1" not in connection.rest()  # what follows is not taken for a request


def test_nothing_is_left_in_incoming(shared_daemon: Daemon) -> None:
    """The last of this file: whatever the tests above did has been cleaned up."""
    wait_until(lambda: not os.listdir(shared_daemon.data / "incoming"), "every stage is gone")
