"""The role append-only: each registered route of each dialect, asked by a token that may add and nothing else.

The routes and what each wants to be told are those of `test_access.py`; which of them only add stands here, so that a
route which nobody has thought about has to refuse.
"""

import base64
from collections.abc import Iterator

import pytest

from casd.web.dialect import Dialect, Route
from tests.conftest import Daemon
from tests.dialects.test_access import (
    ADMINS,
    ENVIRONMENT_STORE,
    GUARDED,
    MISSING,
    OBJECT,
    READ_BY_OTHER_METHODS,
    REFUSED_TO_ALL,
    STORE,
    TUS,
    WRITTEN_BY_GET,
    Things,
    World,
    asked,
    check_refused,
    key_of,
    part,
)
from tests.dialects.test_access import form as form_of
from tests.dialects.test_access import things as things
from tests.dialects.test_access import world as world
from tests.web.party import Party, parties
from tests.web.wire import Answer, Wire

CHUNK = {"Content-Type": "application/offset+octet-stream"}
FORM = {"Content-Type": "multipart/form-data; boundary=limit"}
ADDS = {
    ("POST", "/v1/blobs"),
    ("PUT", "/v1/names/{namespace}/{name}"),
    ("GET", "/v1/uploads"),
    ("POST", "/v1/uploads"),
    ("POST", "/workspaces/{workspace}/files"),
    ("POST", "/api/blobs/"),
    ("POST", OBJECT),
    ("POST", f"{STORE}/objects/{{namespace}}"),
    *((method, f"{store}/{call}") for store in (STORE, ENVIRONMENT_STORE) for method, call in (
        ("GET", "upload"), ("POST", "upload/multipart"))),
    ("POST", "/upload"),
    ("POST", "/artifacts/upload/{name}"),
    ("POST", "/label/{name}"),
}  # fmt: skip


@pytest.fixture(scope="module")
def adder(world: World) -> str:
    return world.us.token("append-only")


@pytest.mark.parametrize(("dialect", "route"), GUARDED)
def test_it_reads_and_adds_and_gets_no_further(
    world: World, adder: str, things: Things, dialect: Dialect, route: Route
) -> None:
    key = key_of(route)
    target, told = things.target(key), asked(key, things)
    before = things.seen()
    is_read = key in READ_BY_OTHER_METHODS or (key[0] == "GET" and key not in WRITTEN_BY_GET | ADMINS)

    answer = world.ask(dialect.name, key[0], target + told.query, adder, told.body, **told.headers)

    if key in REFUSED_TO_ALL:
        check_refused(answer, dialect, key[1], REFUSED_TO_ALL[key])
    elif is_read or key in ADDS:
        assert answer.status < 400, answer.body
    elif key[0] == "HEAD":
        assert answer.status == 403
    else:
        # Shaken Fist's clients log in again and try once more.
        check_refused(answer, dialect, key[1], 401 if key in ADMINS and dialect.name == "shakenfist" else 403)
    if key not in ADDS:
        assert things.seen() == before


def test_each_route_that_adds_is_one_that_there_is() -> None:
    assert {key_of(param.values[1]) for param in GUARDED} >= ADDS  # type: ignore[arg-type]
    assert not ADDS & (ADMINS | READ_BY_OTHER_METHODS)
    assert MISSING not in ADDS


# -- what it may do with what is its own ----------------------------------------------------------------------------


@pytest.fixture
def party(shared_daemon: Daemon) -> Iterator[Party]:
    with parties(shared_daemon) as make:
        yield make()


@pytest.fixture
def appender(party: Party) -> Iterator[Wire]:
    wire = Wire(party.daemon, party.token("append-only"))
    yield wire
    wire.connection.close()


def test_it_says_who_it_is(appender: Wire) -> None:
    assert appender.ask("GET", "/v1/whoami").json["role"] == "append-only"


def test_a_new_version_keeps_those_before_it(party: Party, appender: Wire) -> None:
    party.publish("n", b"old")

    assert appender.ask("PUT", party.name("n"), b"new").json["version"] == 2
    assert party.reader.ask("GET", f"{party.name('n')}?version=1").body == b"old"


@pytest.mark.parametrize("query", ["", "?version=1", "?version=2", "?purge=1"])
def test_it_removes_nothing(party: Party, appender: Wire, query: str) -> None:
    party.publish("n")
    assert party.writer.ask("DELETE", party.name("n")).status == 204  # version 2 is a marker: it could be un-hidden

    assert appender.ask("DELETE", party.name("n") + query).code == "forbidden"
    kept = party.reader.ask("GET", f"/v1/versions/{party.namespace}/n").json["items"]
    assert [version["deleted"] for version in kept] == [False, True]


def test_metadata_is_set_once(party: Party, appender: Wire) -> None:
    path = f"/v1/blobs/{party.add()['uuid']}/metadata/k"

    assert appender.ask("PUT", path, {"value": "first"}).status == 200
    assert appender.ask("PUT", path, {"value": "first"}).status == 200  # its answer may have been lost
    assert appender.ask("PUT", path, {"value": "second"}).code == "forbidden"
    assert appender.ask("DELETE", path).code == "forbidden"
    assert party.reader.ask("GET", path).json == {"value": "first"}


def test_metadata_of_an_artifact_is_set_once(party: Party, appender: Wire) -> None:
    party.publish("n")
    json = {"Content-Type": "application/json"}

    assert appender.ask("POST", "/artifacts/n/metadata", {"key": "k", "value": "first"}, json).status == 200
    assert appender.ask("PUT", "/artifacts/n/metadata/k", {"value": "second"}, json).status == 403
    assert appender.ask("DELETE", "/artifacts/n/metadata/k").status == 403
    assert party.reader.ask("GET", "/artifacts/n/metadata").json == {"k": "first"}


def test_an_upload_of_its_own_goes_all_the_way(party: Party, appender: Wire) -> None:
    told = TUS | {"Upload-Length": "3"}
    path = appender.ask("POST", "/v1/uploads", None, told)["Location"] or ""

    done = appender.ask("PATCH", path, b"abc", TUS | CHUNK | {"Upload-Offset": "0"})

    assert done.status == 204
    assert party.reader.ask("GET", f"/v1/blobs/{done['Casd-Blob']}/data").body == b"abc"


def test_an_upload_of_its_own_can_be_given_up_and_one_of_another_token_not(party: Party, appender: Wire) -> None:
    told = TUS | {"Upload-Length": "3"}
    own, other = (wire.ask("POST", "/v1/uploads", None, told)["Location"] or "" for wire in (appender, party.writer))

    assert appender.ask("DELETE", own, headers=TUS).status == 204
    assert appender.ask("DELETE", other, headers=TUS).code == "forbidden"
    assert party.writer.ask("HEAD", other, headers=TUS).status == 200


def test_of_uploads_it_finds_its_own_alone(party: Party, appender: Wire) -> None:
    digest = "0" * 128
    told = TUS | {"Upload-Length": "3", "Upload-Metadata": f"sha512 {base64_of(digest)}"}
    path = f"/v1/uploads?sha512={digest}&size=3"
    assert party.writer.ask("POST", "/v1/uploads", None, told).status == 201

    assert appender.ask("GET", path).json["items"] == []
    assert len(party.writer.ask("GET", path).json["items"]) == 1


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_an_object_of_craft_ai_is_not_replaced(party: Party, appender: Wire) -> None:
    def store(wire: Wire, data: bytes) -> Answer:
        path = f"{STORE}/objects/{party.namespace}/o"
        return wire.ask("POST", path, form_of(part("file", data, '; filename="f"')), FORM)

    assert store(appender, b"first").status == 204
    assert store(appender, b"second").status == 403
    assert party.reader.ask("GET", party.name("o")).body == b"first"
    assert store(party.writer, b"second").status == 204


# -- If-Match on the deletion of a blob -----------------------------------------------------------------------------


def test_a_blob_is_deleted_if_it_is_the_one_that_is_meant(party: Party) -> None:
    blob = party.add(b"bytes")
    path, other = f"/v1/blobs/{blob['uuid']}", "0" * 128

    assert party.writer.ask("DELETE", path, headers={"If-Match": f'"{other}"'}).code == "precondition-failed"
    assert party.writer.ask("DELETE", path, headers={"If-None-Match": "*"}).code == "precondition-failed"
    assert party.writer.ask("GET", path).status == 200
    assert party.writer.ask("DELETE", path, headers={"If-Match": f'"{other}", "{blob["sha512"]}"'}).status == 204
