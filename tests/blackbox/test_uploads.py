"""Section 8's `/v1/uploads` and section 9: tus 1.0.0 and its extensions."""

import base64
import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.blackbox.shapes import VERSION, items_of, oddities, refusal
from tests.blackbox.test_who_may_read import CASES, WHERE, WHO, Right, Town, told, writing
from tests.blackbox.test_who_may_read import town as town
from tests.conftest import Daemon
from tests.web.party import Party
from tests.web.wire import PATIENCE_S, Answer, Wire, raw, wait_until

TUS = {"Tus-Resumable": "1.0.0"}
PART = {"Content-Type": "application/offset+octet-stream"}
ABSENT = "/v1/uploads/01890000-0000-7000-8000-000000000000"

outside = settings(settings.get_profile("outside"))


def metadata(**values: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())


def create(wire: Wire, size: int, **values: str) -> str:
    answer = wire.ask(
        "POST", "/v1/uploads", b"", TUS | {"Upload-Length": str(size), "Upload-Metadata": metadata(**values)}
    )
    assert answer.status == 201, answer.body
    location = answer["Location"]
    assert location
    return location


def patch(wire: Wire, url: str, offset: int, data: bytes, **more: str) -> Answer:
    return wire.ask("PATCH", url, data, TUS | PART | {"Upload-Offset": str(offset)} | more)


def head(wire: Wire, url: str) -> Answer:
    return wire.ask("HEAD", url, headers=TUS)


def offset_of(wire: Wire, url: str) -> int:
    return int(head(wire, url)["Upload-Offset"] or -1)


# -- from creation to the blob ----------------------------------------------------------------------------------------


def test_what_the_server_speaks_is_told_to_anybody(us: Party) -> None:
    for wire in (us.nobody, us.writer):
        answer = wire.ask("OPTIONS", "/v1/uploads")

        assert answer.status in (200, 204)
        assert "1.0.0" in (answer["Tus-Version"] or "").split(",")
        told = set((answer["Tus-Extension"] or "").split(","))
        assert {"creation", "creation-with-upload", "expiration", "termination", "checksum", "concatenation"} <= told
        assert {"sha1", "sha256", "sha512"} <= set((answer["Tus-Checksum-Algorithm"] or "").split(","))
        assert int(answer["Tus-Max-Size"] or 0) > 1 << 40


@pytest.mark.parametrize("sizes", [(10,), (4, 6), (0, 10), (9, 0, 1), (1,) * 10], ids=str)
def test_an_upload_in_parts_becomes_a_blob(us: Party, sizes: tuple[int, ...]) -> None:
    data = b"0123456789"
    wanted = {"filename": "ü a.bin", "filetype": "text/x-a; q=1", "sha512": hashlib.sha512(data).hexdigest()}
    header = f"{metadata(**wanted)},is_final,own {base64.b64encode(b'kept').decode()}"
    made = us.writer.ask("POST", "/v1/uploads", b"", TUS | {"Upload-Length": "10", "Upload-Metadata": header})
    url = made["Location"] or ""

    offset, answer = 0, made
    for size in sizes:
        before = head(us.writer, url)
        answer = patch(us.writer, url, offset, data[offset : offset + size])
        assert (before.status, before["Upload-Offset"], before["Upload-Length"]) == (200, str(offset), "10")
        assert before["Cache-Control"] == "no-store"
        assert before["Upload-Metadata"] == header
        assert before["Casd-Blob"] is None
        offset += size
        assert (answer.status, answer["Upload-Offset"], answer.body) == (204, str(offset), b"")
        assert answer["Tus-Resumable"] == "1.0.0"

    assert made.status == 201
    assert url.startswith("/v1/uploads/")
    assert answer["Casd-Sha512"] == hashlib.sha512(data).hexdigest()
    blob = us.reader.ask("GET", f"/v1/blobs/{answer['Casd-Blob']}").json
    expected = {"filename": "ü a.bin", "content_type": "text/x-a; q=1", "size": 10, "namespace": us.namespace}
    assert blob == blob | expected | {"holds_itself": True, "expires_at": None, "names": []}
    assert us.reader.ask("GET", f"/v1/blobs/{blob['uuid']}/data").body == data
    for again in (head(us.writer, url), patch(us.writer, url, 10, b"")):  # whoever missed the answer asks once more
        assert (again["Casd-Blob"], again["Casd-Sha512"], again["Upload-Offset"]) == (
            blob["uuid"],
            blob["sha512"],
            "10",
        )
    assert len(items_of(us.reader.ask("GET", "/v1/blobs"))) == 1


def test_an_upload_under_a_name_becomes_its_next_version(us: Party) -> None:
    us.publish("d/n", b"one")
    url = create(us.writer, 3, namespace=us.namespace, name="d/n", filename="f")
    assert us.reader.ask("GET", us.name("d/n")).body == b"one"

    done = patch(us.writer, url, 0, b"two")

    versions = items_of(us.reader.ask("GET", f"/v1/versions/{us.namespace}/d/n"))
    assert [version["version"] for version in versions] == [1, 2]
    assert not oddities(VERSION, versions[1])
    assert versions[1]["blob"]["uuid"] == done["Casd-Blob"]
    assert versions[1]["blob"]["holds_itself"] is False
    assert us.reader.ask("GET", us.name("d/n")).body == b"two"


def test_an_upload_of_nothing_is_complete_at_once(us: Party) -> None:
    url = create(us.writer, 0, name="empty")

    done = head(us.writer, url)

    assert done["Casd-Sha512"] == hashlib.sha512(b"").hexdigest()
    assert us.reader.ask("GET", f"/v1/blobs/{done['Casd-Blob']}/data").body == b""
    assert us.reader.ask("GET", us.name("empty")).status == 200


def test_other_bytes_than_were_announced_are_460_and_nothing_is_kept(us: Party) -> None:
    url = create(us.writer, 3, name="n", sha512=hashlib.sha512(b"abc").hexdigest().upper())

    answer = patch(us.writer, url, 0, b"xyz")

    assert answer.status == 460
    assert answer["Content-Type"] == "application/problem+json"
    assert head(us.writer, url).status in (404, 410)
    assert items_of(us.reader.ask("GET", "/v1/blobs")) == []
    assert us.reader.ask("GET", us.name("n")).status == 404
    assert us.reader.ask("GET", f"/v1/payloads/sha512/{hashlib.sha512(b'xyz').hexdigest()}").status == 404


def test_a_cut_request_loses_nothing_that_was_told(us: Party) -> None:
    data = bytes(range(256)) * 1000
    url = create(us.writer, len(data))
    fields = TUS | PART | {"Upload-Offset": "0", "Content-Length": str(len(data)), "Host": "x"}
    fields["Authorization"] = f"Bearer {us.daemon.token}"
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())

    def cut_off() -> int:
        """Where it stands once a newer request of the same token asks; at 0 if that overtook the bytes."""
        with raw(us.daemon) as connection:
            connection.send(f"PATCH {url} HTTP/1.1\r\n{lines}\r\n".encode() + data[:100_000])
            return offset_of(us.admin, url)

    wait_until(lambda: cut_off() > 0, "some of it is told")
    offset = offset_of(us.writer, url)
    done = patch(us.writer, url, offset, data[offset:])

    assert 0 < offset <= 100_000
    assert done["Casd-Sha512"] == hashlib.sha512(data).hexdigest()
    assert us.reader.ask("GET", f"/v1/blobs/{done['Casd-Blob']}/data").body == data


def test_termination_ends_an_upload_but_not_what_it_became(us: Party) -> None:
    open_url, done_url = create(us.writer, 3), create(us.writer, 3)
    blob = patch(us.writer, done_url, 0, b"abc")["Casd-Blob"]

    for url in (open_url, done_url):
        answer = us.writer.ask("DELETE", url, headers=TUS)
        assert (answer.status, answer["Tus-Resumable"], answer.body) == (204, "1.0.0", b"")
        assert head(us.writer, url).status in (404, 410)
        assert patch(us.writer, url, 0, b"abc").status in (404, 410)
        assert us.writer.ask("DELETE", url, headers=TUS).status in (404, 410)

    assert us.reader.ask("GET", f"/v1/blobs/{blob}/data").body == b"abc"


def test_a_post_can_stand_for_a_patch_or_a_delete(us: Party) -> None:
    url = create(us.writer, 3)

    done = us.writer.ask("POST", url, b"abc", TUS | PART | {"Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"})
    ended = us.writer.ask("POST", url, b"", TUS | {"X-HTTP-Method-Override": "DELETE"})

    assert (done.status, done["Upload-Offset"]) == (204, "3")
    assert ended.status == 204
    assert head(us.writer, url).status in (404, 410)


def test_an_upload_says_when_it_ends_and_ends_then(new_daemon: Callable[..., Daemon]) -> None:
    """Whether upkeep runs or not, after 5 s here. An open one counts against its token, an ended one does not."""
    daemon = new_daemon(CASD_UPKEEP__UPLOAD_DAYS="0.00006", CASD_LIMITS__MAX_UPLOADS_PER_TOKEN="2").start()
    with Wire(daemon) as wire:
        urls = [create(wire, 3), create(wire, 3)]
        third = wire.ask("POST", "/v1/uploads", b"", TUS | {"Upload-Length": "3"})
        expires = parsedate_to_datetime(head(wire, urls[0])["Upload-Expires"] or "")
        deadline = time.monotonic() + PATIENCE_S
        while head(wire, urls[0]).status == 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)

        assert third.status in (403, 409, 429)
        assert refusal(third)
        assert abs(expires - datetime.now(UTC)) < timedelta(seconds=60)
        assert patch(wire, urls[0], 0, b"abc").status in (404, 410)
        assert wire.ask("POST", "/v1/upkeep/expire").json["uploads"] in (0, 1, 2)
        assert create(wire, 3)
        wait_until(lambda: head(wire, urls[1]).status != 200, "the second ends as well")
        wire.ask("POST", "/v1/upkeep/expire")
        assert wire.ask("GET", "/v1/status").json["uploads"]["open"] <= 1


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [None, "", "0.2.2", "1.0.1", "1", "x"])
def test_another_version_of_tus_is_412(us: Party, version: str | None) -> None:
    url = create(us.writer, 3)
    own = {} if version is None else {"Tus-Resumable": version}
    calls: list[tuple[str, str, dict[str, str]]] = [
        ("POST", "/v1/uploads", {"Upload-Length": "3"}),
        ("HEAD", url, {}),
        ("PATCH", url, PART | {"Upload-Offset": "0"}),
        ("DELETE", url, {}),
    ]
    for method, target, fields in calls:
        answer = us.writer.ask(method, target, b"abc" if method == "PATCH" else None, own | fields)
        assert answer.status == 412, method
        assert answer["Tus-Version"] == "1.0.0"
    assert offset_of(us.writer, url) == 0


BAD_NUMBERS = ["", "-1", "x", "1.0", "1e1", "+1", "0x1", "\xb2", "1,1", "1 1", "1_0", "NaN"]


@pytest.mark.parametrize("length", [None, *BAD_NUMBERS])
def test_a_length_that_is_none_is_400(us: Party, length: str | None) -> None:
    answer = us.writer.ask("POST", "/v1/uploads", b"", TUS | ({} if length is None else {"Upload-Length": length}))

    assert refusal(answer)[0] == 400


@pytest.mark.parametrize("length", [str(1 << 62), str(1 << 63), str(1 << 64), "9" * 5000])
def test_a_length_beyond_all_limits_is_413(us: Party, length: str) -> None:
    assert refusal(us.writer.ask("POST", "/v1/uploads", b"", TUS | {"Upload-Length": length}))[0] in (413, 507)


def encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


BAD_METADATA = [
    "filename",
    "filename ",
    "filename !",
    "filename YQ",
    "filename  YQ== x",
    ",",
    "a YQ==,,b YQ==",
]
BAD_METADATA += ["a YQ==,a YQ==", "filename YQ==,filename YQ==", "\xff YQ==", "filename YQ==\xff", "a\tb YQ=="]
BAD_METADATA += [f"filename {encoded(value)}" for value in (b"\xff", b"a\0b", b"a\nb", b"x" * 1025, b"\xed\xa0\x80")]
BAD_METADATA += [f"filetype {encoded(value)}" for value in (b"x", b"a/b\r\nX: y", b"\xff/x", b"a/" + b"b" * 300)]
BAD_METADATA += [f"namespace {encoded(value)}" for value in (b"", b"a/b", b"..", b"\xff", b"a" * 129)]
BAD_METADATA += [f"name {encoded(value)}" for value in (b"", b"/", b"..", b"a//b", b"a\0", b"\xff", b"x" * 1025)]
BAD_METADATA += [f"sha512 {encoded(value)}" for value in (b"", b"x", b"0" * 127, b"0" * 129, b"g" * 128, bytes(64))]


@pytest.mark.parametrize("header", BAD_METADATA, ids=ascii)
def test_metadata_that_is_none_is_400(us: Party, header: str) -> None:
    answer = us.writer.ask("POST", "/v1/uploads", b"", TUS | {"Upload-Length": "1", "Upload-Metadata": header})

    assert refusal(answer) == (400, "invalid-input")


def test_a_part_belongs_where_the_upload_ends(us: Party) -> None:
    url = create(us.writer, 10)
    patch(us.writer, url, 0, b"0123")

    for offset in ("0", "3", "5", "10", str(1 << 63), "9" * 5000):
        answer = us.writer.ask("PATCH", url, b"x", TUS | PART | {"Upload-Offset": offset})
        assert refusal(answer)[0] == 409, offset
    for offset in BAD_NUMBERS:
        answer = us.writer.ask("PATCH", url, b"x", TUS | PART | {"Upload-Offset": offset})
        assert refusal(answer)[0] == 400, offset
    assert refusal(us.writer.ask("PATCH", url, b"x", TUS | PART))[0] == 400
    for kind in ("application/octet-stream", "", "text/plain", "x"):
        answer = us.writer.ask("PATCH", url, b"x", TUS | {"Upload-Offset": "4", "Content-Type": kind})
        assert refusal(answer)[0] == 415, kind
    assert refusal(patch(us.writer, url, 4, b"x" * 7))[0] == 413  # more than was announced
    assert refusal(patch(us.writer, url, 4, b"x", **{"Content-Encoding": "gzip"}))[0] == 415
    assert refusal(patch(us.writer, url, 4, b"x", **{"Content-Range": "bytes 4-4/10"}))[0] == 400
    assert offset_of(us.writer, url) == 4
    assert patch(us.writer, url, 4, b"456789")["Casd-Sha512"] == hashlib.sha512(b"0123456789").hexdigest()


@pytest.mark.parametrize("uuid", ["x", "%00", "%FF", "0" * 32, "01890000-0000-7000-8000-00000000000", ".."])
def test_an_upload_that_is_none_is_404(us: Party, uuid: str) -> None:
    url = f"/v1/uploads/{uuid}"

    assert head(us.writer, url).status == 404
    assert refusal(patch(us.writer, url, 0, b"x"))[0] == 404
    assert refusal(us.writer.ask("DELETE", url, headers=TUS))[0] == 404


def test_any_other_method_is_405(us: Party) -> None:
    url = create(us.writer, 1)
    for path, methods in (("/v1/uploads", ("PUT", "PATCH", "DELETE")), (url, ("PUT", "GET", "POST"))):
        for method in methods:
            answer = us.writer.ask(method, path, b"" if method != "GET" else None, TUS)
            assert refusal(answer)[0] == 405, (method, path)


FIELDS = ["Tus-Resumable", "Upload-Length", "Upload-Offset", "Upload-Metadata", "Upload-Defer-Length", "Upload-Concat"]
FIELDS += ["Upload-Checksum", "X-HTTP-Method-Override", "Content-Type"]
fields = st.fixed_dictionaries(
    {},
    optional={
        name: st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=20)
        | st.sampled_from(["0", "1", "3", "1.0.0", "filename YQ==", "name YQ==,filename Yg==", "100-continue"])
        for name in FIELDS
    },
)


@outside
@given(fields=fields, method=st.sampled_from(["POST", "PATCH", "DELETE", "HEAD", "OPTIONS"]), is_one=st.booleans())
def test_any_fields_are_answered(service: Daemon, fields: dict[str, str], method: str, is_one: bool) -> None:
    with Wire(service) as wire:
        answer = wire.ask(method, ABSENT if is_one else "/v1/uploads", b"", {"Tus-Resumable": "1.0.0"} | fields)

        assert answer.status < 500
        if answer.status == 201:
            wire.ask("DELETE", answer["Location"] or "", headers=TUS)


# -- who may ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("somebody", "place"), CASES)
def test_only_writers_upload_and_only_where_they_are_members(town: Town, somebody: str, place: str) -> None:
    who, wire = WHO[somebody], town.wires[somebody]
    expected = 401 if who.role is None else writing(Right(who, place, WHERE[place]))
    namespace = town.names[place]
    things = {"namespace": namespace, "uuid": create(town.party.admin, 3, namespace=namespace).rpartition("/")[2]}
    absent = {"namespace": "t-" + "0" * (len(namespace) - 2), "uuid": ABSENT.rpartition("/")[2]}

    def asked(method: str, known: dict[str, str]) -> Answer:
        url = f"/v1/uploads/{known['uuid']}"
        about = {"Upload-Length": "3", "Upload-Metadata": metadata(namespace=known["namespace"])}
        calls: dict[str, tuple[str, Any, dict[str, str]]] = {
            "POST": ("/v1/uploads", b"", about),
            "HEAD": (url, None, {}),
            "PATCH": (url, b"abc", PART | {"Upload-Offset": "0"}),
            "DELETE": (url, None, {}),
        }
        target, body, more = calls[method]
        return wire.ask(method, target, body, TUS | more)

    for method in ("POST", "HEAD", "PATCH", "DELETE"):
        answer = asked(method, things)
        assert answer.status == expected or (expected == 200 and answer.status in (200, 201, 204)), method
        if expected in (401, 404):
            assert told(answer, things) == told(asked(method, absent), absent), method
    if expected != 200:
        assert offset_of(town.party.admin, f"/v1/uploads/{things['uuid']}") == 0


def test_another_writer_of_the_namespace_goes_on_and_a_revoked_one_does_not(us: Party) -> None:
    made = us.admin.ask("POST", "/v1/tokens", {"name": "x", "role": "writer", "namespaces": [us.namespace]}).json
    with Wire(us.daemon, made["token"]) as first:
        url = create(first, 6)
        patch(first, url, 0, b"abc")
        us.admin.ask("DELETE", f"/v1/tokens/{made['id']}")

        assert patch(first, url, 3, b"def").status == 401

    assert patch(us.writer, url, 3, b"def")["Casd-Sha512"] == hashlib.sha512(b"abcdef").hexdigest()
