"""tus 1.0.0 as its text says, and what casd adds to it (DESIGN.md 9): each header, each status, who may."""

import base64
import hashlib
import os
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from casd.dialects.native import NATIVE
from casd.dialects.tus import TUS, parsed_metadata
from casd.errors import InvalidInput
from tests.conftest import Daemon
from tests.fakes import Clock
from tests.web.house import open_house, run_on
from tests.web.party import Party
from tests.web.tus import CHUNK, VERSION, created, metadata, offset_of, patch, tus
from tests.web.tus import us as us
from tests.web.wire import Wire, ask, has_payload, head, incoming, raw

DATA = os.urandom(300_000)
SHA512 = hashlib.sha512(DATA).hexdigest()


# -- from creation to blob --------------------------------------------------------------------------------------------


def test_a_creation_tells_where_to_send_and_until_when(us: Party) -> None:
    answer = tus(us.writer, "POST", "/v1/uploads", Upload_Length="3")

    assert (answer.status, answer.body) == (201, b"")
    assert (answer["Location"] or "").startswith("/v1/uploads/")
    assert answer["Upload-Offset"] == "0"
    assert parsedate_to_datetime(answer["Upload-Expires"] or "").tzinfo is not None
    assert (answer["Upload-Expires"] or "").endswith(" GMT")
    assert answer["Casd-Blob"] is None


def test_pieces_become_a_blob_and_each_answer_says_where_it_stands(us: Party) -> None:
    upload = created(us.writer, len(DATA), filename="ü 1.bin", filetype="a/b", sha512=SHA512)

    for start, stop in ((0, 1), (1, 1), (1, 200_000)):
        answer = patch(us.writer, upload, start, DATA[start:stop])
        assert (answer.status, answer["Upload-Offset"], answer["Casd-Blob"]) == (204, str(stop), None)
        told = tus(us.writer, "HEAD", upload)
        assert (told.status, told["Upload-Offset"], told["Upload-Length"]) == (200, str(stop), str(len(DATA)))
        assert told["Upload-Expires"]
    last = patch(us.writer, upload, 200_000, DATA[200_000:])

    assert (last.status, last["Upload-Offset"], last["Casd-Sha512"]) == (204, str(len(DATA)), SHA512)
    blob = us.writer.ask("GET", f"/v1/blobs/{last['Casd-Blob']}").json
    assert (blob["size"], blob["sha512"]) == (len(DATA), SHA512)
    assert (blob["filename"], blob["content_type"], blob["namespace"]) == ("ü 1.bin", "a/b", us.namespace)
    assert blob["holds_itself"] is True
    assert us.writer.ask("GET", f"/v1/blobs/{last['Casd-Blob']}/data").body == DATA
    later = tus(us.writer, "HEAD", upload)
    assert (later["Casd-Blob"], later["Casd-Sha512"]) == (last["Casd-Blob"], SHA512)
    assert (later["Upload-Offset"], later["Upload-Length"]) == (str(len(DATA)), str(len(DATA)))


def test_an_upload_with_a_name_becomes_its_next_version(us: Party) -> None:
    us.publish("a/b", b"the first")
    upload = created(us.writer, 3, name="a/b", namespace=us.namespace)

    last = patch(us.writer, upload, 0, b"abc")

    assert us.writer.ask("GET", us.name()).body == b"abc"
    versions = us.writer.ask("GET", f"/v1/versions/{us.namespace}/a/b").json["items"]
    blobs = {version["version"]: version["blob"] for version in versions}
    assert (blobs[2]["uuid"], blobs[2]["holds_itself"]) == (last["Casd-Blob"], False)


def test_an_upload_of_no_bytes_is_a_blob_at_once(us: Party) -> None:
    answer = tus(us.writer, "POST", "/v1/uploads", Upload_Length="0", Upload_Metadata=metadata(name="empty"))

    assert (answer.status, answer["Upload-Offset"]) == (201, "0")
    assert answer["Casd-Sha512"] == hashlib.sha512(b"").hexdigest()
    assert us.writer.ask("GET", us.name("empty")).body == b""
    assert tus(us.writer, "HEAD", answer["Location"] or "")["Casd-Blob"] == answer["Casd-Blob"]


def test_a_final_answer_that_was_lost_is_given_again(us: Party) -> None:
    upload = created(us.writer, 3)
    first = patch(us.writer, upload, 0, b"abc")

    again = patch(us.writer, upload, 3, b"")

    assert (again.status, again["Casd-Blob"]) == (204, first["Casd-Blob"])
    assert patch(us.writer, upload, 3, b"d").status == 409
    assert patch(us.writer, upload, 0, b"abc").status == 409


def test_bytes_that_are_not_the_announced_ones_are_460_and_gone(us: Party) -> None:
    data = uuid4().bytes
    upload = created(us.writer, 16, sha512=hashlib.sha512(b"other").hexdigest(), name="a/b")

    answer = patch(us.writer, upload, 0, data)

    assert (answer.status, answer.code) == (460, "digest-mismatch")
    assert tus(us.writer, "HEAD", upload).status == 404
    assert us.writer.ask("GET", us.name()).status == 404
    assert not has_payload(us.daemon, data)
    assert upload.rpartition("/")[2] not in incoming(us.daemon)


def test_a_terminated_upload_is_gone(us: Party) -> None:
    upload = created(us.writer, 9)
    patch(us.writer, upload, 0, b"abc")

    answer = tus(us.writer, "DELETE", upload)

    assert (answer.status, answer.body) == (204, b"")
    for again in (tus(us.writer, "DELETE", upload), tus(us.writer, "HEAD", upload), patch(us.writer, upload, 3, b"d")):
        assert (again.status, again["Upload-Offset"]) == (404, None)
    assert upload.rpartition("/")[2] not in incoming(us.daemon)


def test_what_a_terminated_upload_became_stays(us: Party) -> None:
    upload = created(us.writer, 3)
    blob = patch(us.writer, upload, 0, b"abc")["Casd-Blob"]

    assert tus(us.writer, "DELETE", upload).status == 204

    assert us.writer.ask("GET", f"/v1/blobs/{blob}/data").body == b"abc"


# -- the protocol ---------------------------------------------------------------------------------------------------


def test_what_the_server_can_do_is_told_to_anybody(us: Party) -> None:
    answer = us.nobody.ask("OPTIONS", "/v1/uploads")

    assert answer.status == 204
    assert answer["Tus-Version"] == "1.0.0"
    extensions = {"creation", "creation-with-upload", "creation-defer-length", "checksum", "concatenation"}
    assert set((answer["Tus-Extension"] or "").split(",")) == extensions | {"expiration", "termination"}
    assert answer["Tus-Checksum-Algorithm"] == "sha1,sha256,sha512"
    assert int(answer["Tus-Max-Size"] or "") > 1 << 40


@pytest.mark.parametrize("version", [None, "", "0.2.2", "1.0", "1.0.0, 1.0.0", "2.0.0"])
@pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE"])
def test_another_version_of_the_protocol_is_412_and_does_nothing(us: Party, method: str, version: str | None) -> None:
    upload = created(us.writer, 3)
    target = "/v1/uploads" if method == "POST" else upload
    headers = {"Upload-Length": "3", "Upload-Offset": "0"} | CHUNK
    if version is not None:
        headers["Tus-Resumable"] = version

    answer = us.writer.ask(method, target, b"abc" if method == "PATCH" else None, headers)

    assert (answer.status, answer["Tus-Version"]) == (412, "1.0.0")
    assert offset_of(us.writer, upload) == 0


def test_a_method_that_does_not_pass_a_proxy_can_be_overridden(us: Party) -> None:
    upload = created(us.writer, 6)

    sent = tus(us.writer, "POST", upload, b"abc", X_HTTP_Method_Override="PATCH", Upload_Offset="0", **chunk())
    told = tus(us.writer, "POST", upload, X_HTTP_Method_Override="HEAD")
    gone = tus(us.writer, "POST", upload, X_HTTP_Method_Override="delete")

    assert (sent.status, sent["Upload-Offset"]) == (204, "3")
    assert (told.status, told["Upload-Offset"]) == (200, "3")
    assert gone.status == 204
    assert tus(us.writer, "HEAD", upload).status == 404


def chunk() -> dict[str, str]:
    return {"Content_Type": CHUNK["Content-Type"]}


@pytest.mark.parametrize("override", [None, "", "PUT", "POST", "x" * 1000])
def test_a_post_to_an_upload_without_a_method_is_405(us: Party, override: str | None) -> None:
    upload = created(us.writer, 6)

    answer = tus(us.writer, "POST", upload, **({} if override is None else {"X_HTTP_Method_Override": override}))

    assert (answer.status, answer.code) == (405, "method-not-allowed")


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS"])
def test_methods_that_an_upload_does_not_have_are_405(us: Party, method: str) -> None:
    answer = tus(us.writer, method, created(us.writer, 6))

    assert (answer.status, answer.code) == (405, "method-not-allowed")
    assert "PATCH" in (answer["Allow"] or "")


# -- lengths and offsets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", [None, "", "-1", "+1", "1.0", "1e3", "0x10", "1 2", "abc", "\N{FULLWIDTH DIGIT ONE}", "1,2"]
)
def test_a_length_that_is_none_is_400(us: Party, text: str | None) -> None:
    headers = {} if text is None else {"Upload_Length": text.encode().decode("latin-1")}

    answer = tus(us.writer, "POST", "/v1/uploads", **headers)

    assert (answer.status, answer.code) == (400, "invalid-input")


@pytest.mark.parametrize("size", [1 << 45, (1 << 63) - 1, 1 << 63, 10**30, "9" * 5000])
def test_a_length_above_the_limit_is_413(us: Party, size: int | str) -> None:
    answer = tus(us.writer, "POST", "/v1/uploads", Upload_Length=str(size))

    assert (answer.status, answer.code) == (413, "too-large")


def test_a_length_that_does_not_fit_on_the_disk_is_507(us: Party) -> None:
    answer = tus(us.writer, "POST", "/v1/uploads", Upload_Length=str(1 << 44))

    assert (answer.status, answer.code) == (507, "storage-full")


@pytest.mark.parametrize("text", [None, "", "-1", "3.0", "x", "\N{FULLWIDTH DIGIT THREE}"])
def test_an_offset_that_is_none_is_400(us: Party, text: str | None) -> None:
    upload = created(us.writer, 6)
    headers = {} if text is None else {"Upload_Offset": text.encode().decode("latin-1")}

    answer = tus(us.writer, "PATCH", upload, b"abc", **chunk(), **headers)

    assert (answer.status, answer.code) == (400, "invalid-input")
    assert offset_of(us.writer, upload) == 0


@pytest.mark.parametrize("offset", [0, 2, 4, 6, 7, 1 << 63, 99999999999999999999999])
def test_an_offset_where_the_upload_does_not_end_is_409_and_told_the_right_one(us: Party, offset: int) -> None:
    upload = created(us.writer, 6)
    patch(us.writer, upload, 0, b"abc")

    answer = patch(us.writer, upload, offset, b"x")

    assert (answer.status, answer.code, answer["Upload-Offset"]) == (409, "offset-conflict", "3")
    assert offset_of(us.writer, upload) == 3


@pytest.mark.parametrize("kind", [None, "application/octet-stream", "text/plain", "application/offset+octet-stream2"])
def test_a_body_of_another_type_is_415(us: Party, kind: str | None) -> None:
    upload = created(us.writer, 6)
    headers = {} if kind is None else {"Content_Type": kind}

    answer = tus(us.writer, "PATCH", upload, b"abc", Upload_Offset="0", **headers)

    assert (answer.status, answer.code) == (415, "unsupported-media-type")
    assert offset_of(us.writer, upload) == 0


def test_the_bodys_type_is_read_in_any_case(us: Party) -> None:
    upload = created(us.writer, 3)

    answer = tus(us.writer, "PATCH", upload, b"abc", Upload_Offset="0", Content_Type="Application/Offset+Octet-Stream")

    assert answer.status == 204


@pytest.mark.parametrize(
    ("header", "value", "status"), [("Content_Encoding", "gzip", 415), ("Content_Range", "bytes 3-5/6", 400)]
)
def test_a_body_that_is_not_what_it_says_is_refused(us: Party, header: str, value: str, status: int) -> None:
    upload = created(us.writer, 6)

    assert patch(us.writer, upload, 0, b"abc", **{header: value}).status == status
    assert offset_of(us.writer, upload) == 0


def test_more_than_was_announced_is_413_before_it_is_read(us: Party) -> None:
    upload = created(us.writer, 6)
    patch(us.writer, upload, 0, b"abc")

    answer = patch(us.writer, upload, 3, b"defg")

    assert (answer.status, answer.code) == (413, "too-large")
    assert offset_of(us.writer, upload) == 3


# -- what is said about the bytes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        "filename %%%",
        "filename YQ=",
        "filename Y Q==",
        "filename YQ==, filename Yg==",
        "filename YQ==,",
        ",",
        "a YQ==,,b YQ==",
        "a YQ== b",
        "ü YQ==".encode().decode("latin-1"),
        "filename é".encode().decode("latin-1"),
        metadata(filename=b"\xff\xfe"),
        metadata(filename="a\nb"),
        metadata(filename=b"\xed\xa0\x80"),  # a lone surrogate
        metadata(filename="x" * 1025),
        "filename",
        metadata(filetype="no type"),
        metadata(filetype="text/plain\r\nX-Evil: 1"),
        metadata(filetype="ü/ü"),
        metadata(sha512="abc"),
        metadata(sha512=""),
        metadata(sha512=SHA512 + "00"),
        metadata(sha512=b"\x00" * 64),
        metadata(name=""),
        metadata(name="a//b"),
        metadata(name="../b"),
        metadata(name="a\x00b"),
        metadata(name="x" * 1025),
        metadata(namespace="no spaces"),
        metadata(namespace=""),
        metadata(xxh3_128="abc"),
        metadata(xxh3_128="g" * 32),
        metadata(expires_in="0"),
        metadata(expires_in="-1"),
        metadata(expires_in="1.5"),
        metadata(expires_in="9" * 400),
        "namespace",
    ],
)
def test_metadata_that_does_not_parse_is_400(us: Party, header: str) -> None:
    answer = tus(us.writer, "POST", "/v1/uploads", Upload_Length="3", Upload_Metadata=header)

    assert (answer.status, answer.code) == (400, "invalid-input")


@pytest.mark.parametrize(
    "header",
    [
        "is_confidential",
        "is_confidential ",
        "a YQ==,b",
        "a YQ== , b Yg==",
        "Filename YQ==",  # keys are compared as they are
        metadata(relativePath="null", type="", anything=b"\x00\xff"),
        metadata(filetype="", filename="a"),
        metadata(sha512=SHA512.upper()),
        ",".join(f"key-{number} eA==" for number in range(100)),
    ],
)
def test_metadata_is_told_again_as_it_was_sent(us: Party, header: str) -> None:
    answer = tus(us.writer, "POST", "/v1/uploads", Upload_Length="3", Upload_Metadata=header)
    assert answer.status == 201

    told = tus(us.writer, "HEAD", answer["Location"] or "")["Upload-Metadata"]

    assert told == header.strip()


@pytest.mark.parametrize("header", [None, "", "  "])
def test_an_upload_without_metadata_tells_none(us: Party, header: str | None) -> None:
    more = {} if header is None else {"Upload_Metadata": header}
    location = tus(us.writer, "POST", "/v1/uploads", Upload_Length="3", **more)["Location"]

    assert tus(us.writer, "HEAD", location or "")["Upload-Metadata"] is None


@pytest.mark.parametrize(
    "byte", [b"\x01", b"\x0b", b"\x0c", b"\x1c", b"\x1f", b"\x7f", b"\xc2\x85", b"\xc2\xa0", b"\xff"]
)
def test_metadata_with_strange_bytes_is_taken_for_nothing_else(us: Party, byte: bytes) -> None:
    fields = ["Tus-Resumable: 1.0.0", "Upload-Length: 3", "Connection: close", "Upload-Metadata: a YQ==MARK, b YQ=="]
    text = head(us.daemon, "POST /v1/uploads", *fields).encode("latin-1").replace(b"MARK", byte)
    with raw(us.daemon) as connection:
        connection.send(text)

        assert connection.answer().status == 400


@given(
    header=st.text(max_size=60)
    | st.from_regex(r"[a-z ]{0,3}( [A-Za-z0-9+/=]{0,9})?(,[a-z]{0,3}( [A-Za-z0-9+/=]{0,9})?){0,3}")
)
def test_any_text_is_metadata_or_no_metadata(header: str) -> None:
    try:
        found = parsed_metadata(header)
    except InvalidInput:
        return

    items = [item.strip(" \t") for item in header.split(",")] if header.strip(" \t") else []
    assert len(found) == len(items)
    for item, (key, value) in zip(items, found.items(), strict=True):
        assert item.partition(" ")[0] == key
        assert value == base64.b64decode(item.partition(" ")[2].strip(" \t"))


# -- who may --------------------------------------------------------------------------------------------------------


def every_call(wire: Wire, upload: str) -> list[tuple[int, str]]:
    """Status and code of each call on an upload of which three bytes are there."""
    answers = [
        patch(wire, upload, 3, b"d"),
        tus(wire, "DELETE", upload),
    ]
    told = tus(wire, "HEAD", upload)
    assert told["Upload-Offset"] is None
    return [(told.status, ""), *((answer.status, answer.code) for answer in answers)]


def test_only_writers_of_its_namespace_have_to_do_with_an_upload(us: Party, them: Party) -> None:
    upload = created(us.writer, 6)
    patch(us.writer, upload, 0, b"abc")
    absent = f"/v1/uploads/{uuid4()}"

    assert {status for status, _ in every_call(us.reader, upload)} == {403}
    assert {status for status, _ in every_call(us.nobody, upload)} == {401}
    assert {status for status, _ in every_call(them.writer, upload)} == {404}
    assert every_call(them.writer, upload) == every_call(us.writer, absent)
    assert {status for status, _ in every_call(us.writer, "/v1/uploads/no-uuid")} == {404}

    assert patch(us.writer, upload, 3, b"def")["Casd-Blob"]


def test_an_upload_can_be_begun_only_where_one_may_write(us: Party, them: Party) -> None:
    def create(wire: Wire, namespace: str) -> int:
        encoded = metadata(namespace=namespace)
        return tus(wire, "POST", "/v1/uploads", Upload_Length="3", Upload_Metadata=encoded).status

    assert create(us.writer, us.namespace) == 201
    assert create(us.reader, us.namespace) == 403
    assert create(us.nobody, us.namespace) == 401
    assert create(them.writer, us.namespace) == 404
    assert create(them.writer, "absent") == 404
    assert create(us.admin, us.namespace) == 201


def test_another_token_of_the_namespace_goes_on(us: Party) -> None:
    upload = created(us.writer, 6)
    patch(us.writer, upload, 0, b"abc")
    with Wire(us.daemon, us.token("writer")) as other:
        assert offset_of(other, upload) == 3

        last = patch(other, upload, 3, b"def")

    assert us.writer.ask("GET", f"/v1/blobs/{last['Casd-Blob']}/data").body == b"abcdef"


def test_a_revoked_token_sends_no_more_bytes(us: Party) -> None:
    answer = us.admin.ask(
        "POST", "/v1/tokens", {"name": "x", "role": "writer", "namespaces": [us.namespace, us.namespace + "2"]}
    )
    with Wire(us.daemon, answer.json["token"]) as wire:
        upload = created(wire, 6)
        patch(wire, upload, 0, b"abc")

        us.admin.ask("DELETE", f"/v1/tokens/{answer.json['id']}")

        assert patch(wire, upload, 3, b"def").status == 401
    assert patch(us.writer, upload, 3, b"def")["Casd-Blob"]


# -- expiry ---------------------------------------------------------------------------------------------------------


def test_an_upload_is_gone_a_week_after_its_last_byte(tmp_path: Path) -> None:
    run_on("asyncio", let_expire(tmp_path / "data"))


async def let_expire(root: Path) -> None:
    clock = Clock()
    async with (
        open_house(root, dialects=(NATIVE, TUS), now=clock) as house,
        aiohttp.ClientSession(f"http://127.0.0.1:{house.port}", headers=house.headers | VERSION) as session,
    ):
        answer = await session.post("/v1/uploads", headers={"Upload-Length": "6"})
        upload = answer.headers["Location"]
        assert parsedate_to_datetime(answer.headers["Upload-Expires"]) == clock() + timedelta(days=7)
        clock.move(days=5)
        answer = await session.patch(upload, data=b"abc", headers=CHUNK | {"Upload-Offset": "0"})
        assert parsedate_to_datetime(answer.headers["Upload-Expires"]) == clock() + timedelta(days=7)
        clock.move(days=6)
        assert (await session.head(upload)).status == 200

        clock.move(days=1)

        assert (await session.head(upload)).status == 404
        answer = await session.patch(upload, data=b"def", headers=CHUNK | {"Upload-Offset": "3"})
        assert answer.status == 404
        expired = await (await session.post("/v1/upkeep/expire")).json()
        assert expired["uploads"] == 1
    assert os.listdir(root / "incoming") == []


# -- limits ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def strict(strict_daemon: Daemon) -> Party:
    return Party(strict_daemon)


def test_the_limit_of_a_body_is_the_limit_of_an_upload(strict: Party) -> None:
    assert strict.nobody.ask("OPTIONS", "/v1/uploads")["Tus-Max-Size"] == "200000"

    assert tus(strict.writer, "POST", "/v1/uploads", Upload_Length="200001").status == 413
    upload = created(strict.writer, 200_000)

    assert patch(strict.writer, upload, 0, bytes(200_000))["Casd-Blob"]
    strict.close()


def test_a_token_with_too_many_unfinished_uploads_is_429(strict: Party) -> None:
    made = [created(strict.writer, 3) for _ in range(3)]

    answer = tus(strict.writer, "POST", "/v1/uploads", Upload_Length="3")

    assert (answer.status, answer.code) == (429, "too-many-uploads")
    patch(strict.writer, made[0], 0, b"abc")
    tus(strict.writer, "DELETE", made[1])
    created(strict.writer, 3)
    created(strict.writer, 3)
    strict.close()


def test_a_client_that_falls_silent_is_408_and_what_came_is_kept(strict: Party) -> None:
    upload = created(strict.writer, 6)
    fields = [*(f"{name}: {value}" for name, value in (VERSION | CHUNK).items()), "Upload-Offset: 0"]
    with raw(strict.daemon) as connection:
        connection.send(head(strict.daemon, f"PATCH {upload}", *fields, "Content-Length: 6"))
        connection.send(b"abc")

        answer = connection.answer()

    assert (answer.status, answer.code) == (408, "body-timeout")
    assert offset_of(strict.admin, upload) == 3
    strict.close()


def test_nothing_of_all_this_surprised_the_daemon(shared_daemon: Daemon, strict_daemon: Daemon) -> None:
    for daemon in (shared_daemon, strict_daemon):
        assert "Traceback" not in daemon.log
        assert not [line for line in daemon.log.splitlines() if "status=500" in line and "dialect=tus" in line]
    assert ask(shared_daemon, "GET", "/healthz").status == 200
