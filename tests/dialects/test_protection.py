"""Protected names and versions: what each call of each dialect, each role and each rule may still do with them."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import Daemon
from tests.dialects.test_access import FORM, STORE, form, part
from tests.web.party import Party, parties
from tests.web.wire import Answer, Wire

JSON = {"Content-Type": "application/json"}
TUS = {"Tus-Resumable": "1.0.0"}
FILE = '; filename="f"'
Call = Callable[[Wire, Party, dict[str, Any]], Answer]


@pytest.fixture
def party(shared_daemon: Daemon) -> Iterator[Party]:
    with parties(shared_daemon) as make:
        yield make()


def protect(party: Party, name: str, number: int | None = None, *, protected: bool = True) -> None:
    query = "" if number is None else f"?version={number}"
    answer = party.writer.ask("PATCH", f"/v1/name-info/{party.namespace}/{name}{query}", {"protected": protected})
    assert answer.status == 200, answer.body


def history(party: Party, name: str) -> list[tuple[int, bool]]:
    items = party.reader.ask("GET", f"/v1/versions/{party.namespace}/{name}").json["items"]
    return [(item["version"], item["protected"]) for item in items]


def datapane(wire: Wire, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    return wire.ask(method, path, body, {"Authorization": f"Token {wire._token}"} | headers)


def metadata(**pairs: str) -> dict[str, str]:
    told = [f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items()]
    return {"Upload-Metadata": ",".join(told)}


def code_of(answer: Answer) -> str:
    """In whichever shape the dialect has it."""
    if answer.body.startswith(b"<?xml"):
        return "xml"
    body = answer.json
    return str(body.get("code") or body.get("name") or "none")


OVERWRITES: dict[str, Call] = {
    "PUT": lambda wire, us, v: wire.ask("PUT", us.name("n"), b"new"),
    "bind": lambda wire, us, v: wire.ask("PUT", f"{us.name('n')}?blob={us.add(b'other')['uuid']}"),
    "copy": lambda wire, us, v: wire.ask("PUT", f"{us.name('n')}?blob={us.add(b'other')['uuid']}&copy=1"),
    "tus": lambda wire, us, v: wire.ask(
        "POST", "/v1/uploads", None, TUS | {"Upload-Length": "3"} | metadata(namespace=us.namespace, name="n")
    ),
    "Craft AI form": lambda wire, us, v: wire.ask(
        "POST", f"{STORE}/objects/{us.namespace}/n", form(part("file", b"new", FILE)), FORM
    ),
    "Craft AI parts": lambda wire, us, v: wire.ask(
        "POST", f"{STORE}/upload/multipart", {"path_to_object": "n"}, JSON
    ),
    "Shaken Fist artifact": lambda wire, us, v: wire.ask(
        "POST", "/artifacts/upload/n", {"blob_uuid": us.add(b"other")["uuid"]}, JSON
    ),
    "Shaken Fist label": lambda wire, us, v: wire.ask(
        "POST", "/label/n", {"blob_uuid": us.add(b"other")["uuid"]}, JSON
    ),
    "Datapane": lambda wire, us, v: datapane(
        wire, "POST", "/api/blobs/",
        form(part("uploaded_file", b"new", FILE), part("json_data", json.dumps({"name": "n"}).encode())), **FORM
    ),
}  # fmt: skip
REMOVALS: dict[str, Call] = {
    "hide": lambda wire, us, v: wire.ask("DELETE", us.name("n")),
    "purge": lambda wire, us, v: wire.ask("DELETE", f"{us.name('n')}?purge=1"),
    "remove": lambda wire, us, v: wire.ask("DELETE", f"{us.name('n')}?version=1"),
    "Craft AI": lambda wire, us, v: wire.ask("DELETE", f"{STORE}/delete", {"path_to_object": "n"}, JSON),
    "Shaken Fist artifact": lambda wire, us, v: wire.ask("DELETE", "/artifacts/n"),
    "Shaken Fist version": lambda wire, us, v: wire.ask("DELETE", "/artifacts/n/versions/1"),
    "Datapane": lambda wire, us, v: datapane(wire, "DELETE", f"/api/blobs/{v['blob']['uuid']}/"),
    "Datapane rename": lambda wire, us, v: datapane(
        wire, "PATCH", f"/api/blobs/{v['blob']['uuid']}/", {"name": "m"}, **JSON
    ),
}


@pytest.mark.parametrize("call", OVERWRITES | REMOVALS)
def test_a_protected_name_is_neither_added_to_nor_taken_from(party: Party, call: str) -> None:
    version = party.publish("n", b"old")
    protect(party, "n")

    answer = (OVERWRITES | REMOVALS)[call](party.writer, party, version)

    assert (answer.status, code_of(answer) in ("protected", "none", "xml")) == (409, True), answer.body
    assert history(party, "n") == [(1, True)]
    protect(party, "n", protected=False)
    assert (OVERWRITES | REMOVALS)[call](party.writer, party, version).status < 300


@pytest.mark.parametrize("call", REMOVALS)
def test_a_protected_version_stays_and_its_name_is_there(party: Party, call: str) -> None:
    version = party.publish("n", b"old")
    protect(party, "n", 1)

    answer = REMOVALS[call](party.writer, party, version)

    assert answer.status == 409, answer.body
    assert history(party, "n") == [(1, True)]
    protect(party, "n", 1, protected=False)
    assert REMOVALS[call](party.writer, party, version).status < 300


def test_newer_versions_follow_a_protected_one_and_rules_take_those_between(party: Party) -> None:
    party.settings(keep_versions=1)
    party.publish("n", b"golden")
    protect(party, "n", 1)

    for number in range(2, 5):
        assert party.publish("n", f"{number}".encode())["version"] == number

    assert history(party, "n") == [(1, True), (4, False)]
    assert party.reader.ask("GET", f"{party.name('n')}?version=1").body == b"golden"
    assert party.writer.ask("DELETE", f"{party.name('n')}?version=4").status == 204


def test_upkeep_purges_no_hidden_name_that_has_a_protected_version(party: Party) -> None:
    party.publish("n")
    assert party.writer.ask("DELETE", party.name("n")).status == 204
    protect(party, "n", 1)

    assert party.writer.ask("DELETE", f"{party.name('n')}?purge=1").code == "protected"
    assert party.writer.ask("DELETE", f"{party.name('n')}?version=2").status == 204  # to un-hide takes nothing away
    assert party.reader.ask("GET", party.name("n")).status == 200


def test_a_blob_drops_its_own_hold_and_a_protected_version_keeps_it(party: Party) -> None:
    blob = party.add(b"bytes")
    assert party.writer.ask("PUT", f"{party.name('n')}?blob={blob['uuid']}").status == 201
    protect(party, "n", 1)

    assert party.writer.ask("DELETE", f"/v1/blobs/{blob['uuid']}").status == 204
    assert party.reader.ask("GET", party.name("n")).body == b"bytes"


def test_all_artifacts_of_a_namespace_go_but_protected_ones(party: Party) -> None:
    party.publish("kept")
    party.publish("gone")
    protect(party, "kept")

    answer = party.writer.ask("DELETE", "/artifacts", {"confirm": True}, JSON)

    assert (answer.status, len(answer.json)) == (200, 1)
    assert history(party, "kept") == [(1, True)]


def test_settings_and_metadata_of_a_protected_name_may_change(party: Party) -> None:
    party.publish("n")
    protect(party, "n")

    path = f"/v1/name-info/{party.namespace}/n"
    assert party.writer.ask("PATCH", path, {"metadata": {"k": 1}, "keep_versions": 1}).json["metadata"] == {"k": 1}
    assert party.reader.ask("GET", path).json["protected"] is True


def test_what_is_no_version_or_nobody_s_to_protect_is_not_protected(party: Party) -> None:
    party.publish("n")
    assert party.writer.ask("DELETE", party.name("n")).status == 204
    path = f"/v1/name-info/{party.namespace}/n"
    adder = Wire(party.daemon, party.token("append-only"))

    assert party.writer.ask("PATCH", f"{path}?version=9", {"protected": True}).code == "version-not-found"
    assert party.writer.ask("PATCH", f"{path}?version=2", {"protected": True}).code == "conflict"
    assert party.writer.ask("PATCH", f"{path}?version=1", {"shared": True}).status == 400
    assert party.reader.ask("PATCH", f"{path}?version=1", {"protected": True}).status == 403
    assert adder.ask("PATCH", f"{path}?version=1", {"protected": False}).status == 403
    adder.connection.close()


def test_a_body_is_not_asked_for_where_the_name_is_protected(party: Party) -> None:
    party.publish("n")
    protect(party, "n")

    answer = party.writer.ask("PUT", f"/v1/names/{party.namespace}/{quote('n')}", b"x", {"Expect": "100-continue"})

    assert answer.code == "protected"


def test_an_admin_too_unprotects_before_it_removes(party: Party) -> None:
    party.publish("n")
    protect(party, "n")

    assert party.admin.ask("DELETE", party.name("n")).code == "protected"
    assert party.admin.ask("PUT", party.name("n"), b"new").code == "protected"
