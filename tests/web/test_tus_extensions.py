"""tus 1.0.0's extensions beyond creation: bytes that come with it, a length told later, checksums, joining."""

import base64
import hashlib
import os
from uuid import uuid4

import pytest
import xxhash

from tests.conftest import Daemon
from tests.web.party import Party
from tests.web.test_tus_bodies import length
from tests.web.tus import CHUNK, CHUNK_, VERSION, created, metadata, offset_of, patch, tus
from tests.web.tus import us as us
from tests.web.wire import Answer, Wire, has_payload, head, incoming, raw, wait_until

DATA = os.urandom(300_000)
SESSION = {"Casd_Session": "a-session_of-12"}


def begin(wire: Wire, data: bytes, size: int | None = None, **headers: str) -> Answer:
    """A creation that brings bytes."""
    announced = {"Upload_Length": str(len(data) if size is None else size)} if size != -1 else {}
    return tus(wire, "POST", "/v1/uploads", data, **announced, **CHUNK_, **headers)


def bytes_of(party: Party, answer: Answer) -> bytes:
    return party.writer.ask("GET", f"/v1/blobs/{answer['Casd-Blob']}/data").body


# -- bytes that come with the creation --------------------------------------------------------------------------------


def test_a_creation_that_brings_all_bytes_is_complete(us: Party) -> None:
    answer = begin(us.writer, DATA, Upload_Metadata=metadata(name="a/ü b", filename="x"))

    assert (answer.status, answer["Upload-Offset"]) == (201, str(len(DATA)))
    assert answer["Casd-Sha512"] == hashlib.sha512(DATA).hexdigest()
    assert answer["Content-Location"] == f"/v1/names/{us.namespace}/a/%C3%BC%20b?version=1"
    assert us.writer.ask("GET", answer["Content-Location"] or "").body == DATA
    later = tus(us.writer, "HEAD", answer["Location"] or "")
    assert [later[field] for field in ("Casd-Blob", "Content-Location")] == [
        answer[field] for field in ("Casd-Blob", "Content-Location")
    ]


def test_a_creation_that_brings_some_bytes_goes_on_behind_them(us: Party) -> None:
    answer = begin(us.writer, DATA[:100_000], len(DATA))

    assert (answer.status, answer["Upload-Offset"], answer["Casd-Blob"]) == (201, "100000", None)
    last = patch(us.writer, answer["Location"] or "", 100_000, DATA[100_000:])
    assert bytes_of(us, last) == DATA
    assert last["Content-Location"] is None


def test_bytes_of_another_type_are_not_the_uploads(us: Party) -> None:
    answer = tus(us.writer, "POST", "/v1/uploads", b"abc", Upload_Length="3", Content_Type="text/plain")

    assert (answer.status, answer["Upload-Offset"]) == (201, "0")
    assert offset_of(us.writer, answer["Location"] or "") == 0


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([length(4)], 413),
        ([length(3), "Content-Encoding: gzip"], 415),
        ([length(3), "Upload-Checksum: md5 eA=="], 400),
        ([length(3), "Upload-Metadata: name Li4="], 400),
    ],
)
def test_a_creation_that_cannot_be_is_refused_before_its_bytes_are_sent(
    us: Party, fields: list[str], status: int
) -> None:
    before = incoming(us.daemon)
    own = [f"{name}: {value}" for name, value in (VERSION | CHUNK | {"Upload-Length": "3"}).items()]
    with raw(us.daemon) as connection:
        connection.send(head(us.daemon, "POST /v1/uploads", *own, *fields, "Expect: 100-continue"))

        assert connection.answer().status == status

    assert incoming(us.daemon) == before


def test_of_a_creation_whose_bytes_are_wrong_nothing_is_left(us: Party) -> None:
    data = uuid4().bytes
    wrong = hashlib.sha512(b"other").hexdigest()
    before = incoming(us.daemon)

    answers = [
        begin(us.writer, data, Upload_Metadata=metadata(sha512=wrong, name="a/b")),
        begin(us.writer, data, Upload_Metadata=metadata(xxh3_128="0" * 32)),
        begin(us.writer, data, Upload_Checksum=f"sha1 {base64.b64encode(b'x' * 20).decode()}"),
    ]

    assert [(answer.status, answer.code) for answer in answers] == [
        (460, "digest-mismatch"),
        (460, "digest-mismatch"),
        (460, "checksum-mismatch"),
    ]
    assert incoming(us.daemon) == before
    assert not has_payload(us.daemon, data)
    assert us.writer.ask("GET", us.name()).status == 404


@pytest.mark.parametrize("broken", [True, False])
@pytest.mark.parametrize("is_announced", [True, False])
def test_bytes_of_a_cut_creation_are_kept_where_its_client_finds_them_again(
    us: Party, is_announced: bool, broken: bool
) -> None:
    content = uuid4().hex * 4
    told = metadata(sha512=content) if is_announced else metadata(filename="x")
    own = [f"{name}: {value}" for name, value in (VERSION | CHUNK | {"Upload-Length": "9"}).items()]
    before = set(incoming(us.daemon))
    with raw(us.daemon) as connection:
        own += [f"Upload-Metadata: {told}", "Transfer-Encoding: chunked"]
        connection.send(head(us.daemon, "POST /v1/uploads", *own, token=us.token("writer")) + "3\r\nabc\r\n")
        wait_until(lambda: set(incoming(us.daemon)) != before, "the bytes are there")
        if broken:
            connection.send("no length\r\n")
            assert connection.answer().status == 400

    if is_announced:
        found = f"/v1/uploads?sha512={content}&size=9"
        wait_until(lambda: [i["offset"] for i in us.writer.ask("GET", found).json["items"]] == [3], "they are told")
    else:
        wait_until(lambda: set(incoming(us.daemon)) == before, "nothing is left")


def test_the_quick_checksum_is_checked_too(us: Party) -> None:
    answer = begin(us.writer, DATA, Upload_Metadata=metadata(xxh3_128=xxhash.xxh3_128_hexdigest(DATA).upper()))

    assert bytes_of(us, answer) == DATA


def test_a_blob_made_by_an_upload_can_expire(us: Party) -> None:
    answer = begin(us.writer, b"abc", Upload_Metadata=metadata(expires_in="1000"))

    blob = us.writer.ask("GET", f"/v1/blobs/{answer['Casd-Blob']}").json
    assert blob["expires_at"] is not None
    assert blob["expires_at"] > blob["created_at"]


def test_a_creation_that_is_repeated_in_its_session_is_the_one_before(us: Party) -> None:
    data = uuid4().bytes
    told = metadata(sha512=hashlib.sha512(data).hexdigest(), name="once")

    first = begin(us.writer, data, Upload_Metadata=told, **SESSION)
    again = begin(us.writer, data, Upload_Metadata=told, **SESSION)
    other = begin(us.writer, data, Upload_Metadata=told, Casd_Session="another-session")

    assert (first.status, again.status) == (201, 201)
    assert [again[field] for field in ("Location", "Casd-Blob")] == [
        first[field] for field in ("Location", "Casd-Blob")
    ]
    assert other["Content-Location"] == f"/v1/names/{us.namespace}/once?version=2"
    part = begin(us.writer, data[:5], len(data), Upload_Metadata=metadata(sha512="0" * 128), **SESSION)
    rest = begin(us.writer, data[:9], len(data), Upload_Metadata=metadata(sha512="0" * 128), **SESSION)
    assert (part["Location"], part["Upload-Offset"]) == (rest["Location"], rest["Upload-Offset"])


@pytest.mark.parametrize("session", ["", "short", "x" * 65, "with space", "ü" * 8])
def test_a_session_that_is_none_is_400(us: Party, session: str) -> None:
    upload = created(us.writer, 3)
    headers = {"Casd_Session": session.encode().decode("latin-1")}

    assert tus(us.writer, "POST", "/v1/uploads", Upload_Length="3", **headers).status == 400
    assert tus(us.writer, "HEAD", upload, **headers).status == 400
    assert patch(us.writer, upload, 0, b"abc", **headers).status == 400
    assert tus(us.writer, "DELETE", upload, **headers).status == 400


# -- a length that is told later --------------------------------------------------------------------------------------


def test_a_length_can_be_told_with_any_piece(us: Party) -> None:
    answer = tus(us.writer, "POST", "/v1/uploads", Upload_Defer_Length="1", Upload_Metadata=metadata(filename="x"))
    upload = answer["Location"] or ""
    assert answer.status == 201

    assert patch(us.writer, upload, 0, DATA[:100_000])["Casd-Blob"] is None
    told = tus(us.writer, "HEAD", upload)
    assert (told["Upload-Defer-Length"], told["Upload-Length"], told["Upload-Offset"]) == ("1", None, "100000")
    middle = patch(us.writer, upload, 100_000, DATA[100_000:200_000], Upload_Length=str(len(DATA)))
    assert (middle.status, middle["Casd-Blob"]) == (204, None)
    told = tus(us.writer, "HEAD", upload)
    assert (told["Upload-Defer-Length"], told["Upload-Length"]) == (None, str(len(DATA)))
    assert patch(us.writer, upload, 200_000, b"x", Upload_Length="5").status == 400
    last = patch(us.writer, upload, 200_000, DATA[200_000:], Upload_Length=str(len(DATA)))

    assert bytes_of(us, last) == DATA


def test_a_length_told_behind_the_last_byte_ends_the_upload(us: Party) -> None:
    upload = begin(us.writer, b"abc", -1, Upload_Defer_Length="1")["Location"] or ""

    assert patch(us.writer, upload, 3, b"", Upload_Length="2").status == 400
    assert patch(us.writer, upload, 3, b"", Upload_Length=str(1 << 45)).status == 413
    last = patch(us.writer, upload, 3, b"", Upload_Length="3")

    assert (last.status, bytes_of(us, last)) == (204, b"abc")


@pytest.mark.parametrize("headers", [{"Upload_Defer_Length": "0"}, {"Upload_Defer_Length": "1", "Upload_Length": "3"}])
def test_a_length_that_is_told_and_not_told_is_400(us: Party, headers: dict[str, str]) -> None:
    assert tus(us.writer, "POST", "/v1/uploads", **headers).status == 400


def test_an_upload_whose_length_is_not_told_has_the_limit_of_all(strict_daemon: Daemon) -> None:
    strict = Party(strict_daemon)
    upload = begin(strict.writer, DATA[:150_000], -1, Upload_Defer_Length="1")["Location"] or ""

    answer = patch(strict.writer, upload, 150_000, DATA[:60_000])

    assert (answer.status, answer.code) == (413, "too-large")
    assert tus(strict.writer, "DELETE", upload).status == 204
    strict.close()


# -- checksums --------------------------------------------------------------------------------------------------------


def checksum(data: bytes, algorithm: str = "sha1") -> dict[str, str]:
    value = base64.b64encode(hashlib.new(algorithm, data).digest()).decode()
    return {"Upload_Checksum": f"{algorithm} {value}"}


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
def test_a_chunk_with_its_checksum_is_taken(us: Party, algorithm: str) -> None:
    upload = created(us.writer, len(DATA))

    for start, stop in ((0, 10), (10, 10), (10, 250_000), (250_000, len(DATA))):
        last = patch(us.writer, upload, start, DATA[start:stop], **checksum(DATA[start:stop], algorithm))
        assert (last.status, last["Upload-Offset"]) == (204, str(stop))

    assert bytes_of(us, last) == DATA


@pytest.mark.parametrize("size", [1, 250_000])
def test_a_chunk_that_is_not_its_checksums_is_460_and_not_kept(us: Party, size: int) -> None:
    upload = created(us.writer, len(DATA))
    patch(us.writer, upload, 0, DATA[:7])

    answer = patch(us.writer, upload, 7, DATA[7 : 7 + size], **checksum(b"other"))

    assert (answer.status, answer.code) == (460, "checksum-mismatch")
    assert offset_of(us.writer, upload) == 7
    last = patch(us.writer, upload, 7, DATA[7:], **checksum(DATA[7:]))
    assert bytes_of(us, last) == DATA


@pytest.mark.parametrize(
    "header",
    ["", "sha1", "sha1 ", "sha1 %%%", "sha1 eA==", "md5 " + "A" * 22 + "==", "SHA1 eA==", "crc32 eA==", "x" * 1000],
)
def test_a_checksum_that_is_none_is_400(us: Party, header: str) -> None:
    upload = created(us.writer, 3)

    assert patch(us.writer, upload, 0, b"abc", Upload_Checksum=header).status == 400
    assert offset_of(us.writer, upload) == 0


def test_a_checksum_behind_the_body_is_refused_and_not_ignored(us: Party) -> None:
    upload = created(us.writer, 3)

    assert patch(us.writer, upload, 0, b"abc", Trailer="Upload-Checksum").status == 400


def test_a_chunk_with_a_checksum_that_breaks_off_is_not_kept(us: Party) -> None:
    upload = created(us.writer, len(DATA))
    fields = VERSION | CHUNK | {"Upload-Offset": "0", "Upload-Checksum": checksum(DATA)["Upload_Checksum"]}
    own = [f"{name}: {value}" for name, value in fields.items()]
    with raw(us.daemon) as connection:
        text = head(us.daemon, f"PATCH {upload}", *own, length(len(DATA)), token=us.writer._token)
        connection.send(text)
        connection.send(DATA[:200_000])

    assert offset_of(us.writer, upload) == 0
    assert bytes_of(us, patch(us.writer, upload, 0, DATA, **checksum(DATA))) == DATA


# -- uploads that join others -----------------------------------------------------------------------------------------

PARTIAL = {"Upload_Concat": "partial"}


def part(wire: Wire, data: bytes, size: int | None = None) -> str:
    answer = begin(wire, data, len(data) if size is None else size, **PARTIAL)
    assert answer.status == 201
    assert answer["Casd-Blob"] is None
    return answer["Location"] or ""


def joined(wire: Wire, *parts: str, **headers: str) -> Answer:
    return tus(wire, "POST", "/v1/uploads", Upload_Concat=f"final;{' '.join(parts)}", **headers)


def test_partial_uploads_are_joined_in_the_order_that_is_told(us: Party) -> None:
    empty, second, first = (
        part(us.writer, b""),
        part(us.writer, DATA[100_000:]),
        part(us.writer, DATA[:50_000], 100_000),
    )
    patch(us.writer, first, 50_000, DATA[50_000:100_000])
    told = tus(us.writer, "HEAD", first)
    assert (told["Upload-Concat"], told["Upload-Length"], told["Upload-Offset"]) == ("partial", "100000", "100000")

    answer = joined(us.writer, first, empty, f"http://proxy:1/casd{second}?x=1", Upload_Metadata=metadata(name="whole"))

    assert (answer.status, answer["Upload-Offset"]) == (201, str(len(DATA)))
    assert us.writer.ask("GET", us.name("whole")).body == bytes_of(us, answer) == DATA
    final = tus(us.writer, "HEAD", answer["Location"] or "")
    assert final["Upload-Concat"] == f"final;{first} {empty} {second}"
    assert (final["Upload-Length"], final["Casd-Blob"]) == (str(len(DATA)), answer["Casd-Blob"])
    assert {tus(us.writer, "HEAD", gone).status for gone in (first, second, empty)} == {404}
    assert not {url.rpartition("/")[2] for url in (first, second, empty)} & set(incoming(us.daemon))


def test_joining_again_is_the_same_upload(us: Party) -> None:
    parts = [part(us.writer, uuid4().bytes) for _ in range(2)]

    answers = [joined(us.writer, *parts, Upload_Metadata=metadata(name="once")) for _ in range(2)]

    assert [answer.status for answer in answers] == [201, 201]
    assert answers[0]["Location"] == answers[1]["Location"]
    assert answers[1]["Content-Location"] == f"/v1/names/{us.namespace}/once?version=1"


def test_what_is_not_complete_or_not_partial_or_not_there_is_not_joined(us: Party, them: Party) -> None:
    whole, short, theirs = part(us.writer, b"abc"), part(us.writer, b"abc", 6), part(them.writer, b"abc")
    plain, gone = created(us.writer, 3), f"/v1/uploads/{uuid4()}"

    refused = {url: joined(us.writer, whole, url) for url in (short, plain, theirs, gone)}

    assert {url: answer.status for url, answer in refused.items()} == {short: 409, plain: 400, theirs: 404, gone: 404}
    assert tus(us.writer, "HEAD", whole).status == 200
    assert joined(us.reader, whole).status == 403
    assert joined(us.nobody, whole).status == 401


@pytest.mark.parametrize(
    "header", ["", "final", "final;", "final; ", "partial;x", "other", "final;x", "final;/v1/uploads/x"]
)
def test_a_concatenation_that_is_none_is_400(us: Party, header: str) -> None:
    answer = tus(us.writer, "POST", "/v1/uploads", Upload_Length="3", Upload_Concat=header)

    assert (answer.status, answer.code) == (400, "invalid-input")


def test_what_joins_others_takes_neither_length_nor_bytes(us: Party) -> None:
    piece = part(us.writer, b"abc")
    assert joined(us.writer, piece, Upload_Length="3").status == 400
    assert joined(us.writer, piece, piece).status == 400

    final = joined(us.writer, piece)["Location"] or ""

    assert patch(us.writer, final, 3, b"d").status == 403


def test_bytes_that_are_joined_must_be_the_announced_ones(us: Party) -> None:
    data = uuid4().bytes
    piece = part(us.writer, data)

    answer = joined(us.writer, piece, Upload_Metadata=metadata(sha512="0" * 128))

    assert answer.status == 460
    assert offset_of(us.writer, piece) == 16
    assert bytes_of(us, joined(us.writer, piece)) == data
