"""The native API as a whole: open paths, HEAD, 405, 404, request ids, upkeep; DESIGN.md 8."""

import os
import random
from collections.abc import Callable
from urllib.parse import quote
from uuid import uuid4

import pytest

from casd.dialects.native import NATIVE
from tests.conftest import Daemon
from tests.web.party import Party, read_calls, uuid_calls
from tests.web.wire import Wire, ask, stored

# -- routes -----------------------------------------------------------------------------------------------------------

OPEN = {"/": "text/plain; charset=utf-8", "/healthz": "application/json", "/readyz": "application/json"}
OPEN |= {"/openapi.json": "application/json"}


@pytest.mark.parametrize("path", OPEN)
def test_these_are_open_to_all(us: Party, path: str) -> None:
    got, bare = us.nobody.ask("GET", path), us.nobody.ask("HEAD", path)

    assert (got.status, got["Content-Type"]) == (200, OPEN[path])
    assert (bare.status, bare.body, bare["Content-Length"]) == (200, b"", got["Content-Length"])
    assert us.nobody.ask("GET", path, headers={"Authorization": "Bearer wrong"}).status == 200


def test_every_get_answers_head_with_the_same_headers(us: Party) -> None:
    for _, target, _ in [*read_calls(us), *uuid_calls(us), ("GET", "/v1/blobs", None), ("GET", "/v1/namespaces", None)]:
        got, bare = us.reader.ask("GET", target), us.reader.ask("HEAD", target)

        assert (bare.status, bare.body) == (got.status, b"")
        changing = ("Date", "X-Request-ID")
        assert [item for item in bare.headers.items() if item[0] not in changing] == [
            item for item in got.headers.items() if item[0] not in changing
        ]


def filled(path: str, party: Party) -> str:
    uuid = str(uuid4())
    path = path.replace(":[^/]+}", "}")
    path = path.replace("{namespace}", party.namespace).replace("{uuid}", uuid).replace("{algorithm}", "sha512")
    path = path.replace("{hex}", "0" * 128)
    start = path.find("{")
    return path if start < 0 else f"{path[:start]}a"


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")


@pytest.mark.parametrize("path", sorted({route.path for route in NATIVE.routes}))
def test_a_method_that_is_not_allowed_says_which_are(us: Party, path: str) -> None:
    allowed = {route.method for route in NATIVE.routes if route.path == path}
    allowed |= {"HEAD"} if "GET" in allowed else set()

    for method in METHODS:
        if method in allowed:
            continue
        answer = us.nobody.ask(method, filled(path, us))

        assert answer.status == 405
        assert method == "HEAD" or answer.code == "method-not-allowed"
        assert set(str(answer["Allow"]).split(", ")) == allowed


UNKNOWN = [
    "/v1",
    "/v1/",
    "/v2/blobs",
    "/nowhere",
    "/v1/blobs/",
    "/v1/blobs/x/y",
    "/v1//blobs",
    "//v1/blobs",
    "/V1/blobs",
]
UNKNOWN += [
    "/healthz/",
    "/v1/blobs/%2e%2e",
    "/favicon.ico",
    "/v1/tokens/x/y",
    "/v1/payloads/md5/00",
    "/v1/blobs;x",
    "/%00",
]


@pytest.mark.parametrize("path", UNKNOWN)
def test_an_unknown_path_is_404(us: Party, path: str) -> None:
    answer = us.admin.ask("GET", path)

    assert answer.status == 404
    assert answer.code in ("no-such-path", "not-found")


@pytest.mark.parametrize("tail", ["x", "%20", "%00", ";", ",", ".json", "-"])
def test_trailing_junk_makes_another_path(us: Party, tail: str) -> None:
    blob = us.add()
    paths = [f"/v1/blobs/{blob['uuid']}{tail}", f"/v1/blobs/{blob['uuid']}/data{tail}"]
    paths += [f"/v1/payloads/sha512/{blob['sha512']}{tail}", f"/healthz{tail}"]

    assert {us.reader.ask("GET", path).status for path in paths} == {404}


@pytest.mark.parametrize(
    "uuid", ["x", "0" * 32, "0" * 36, "00000000-0000-0000-0000-00000000000g", "%7B%7D", "%FF", "-" * 36]
)
def test_a_malformed_uuid_is_404(us: Party, uuid: str) -> None:
    for path in ("", "/data", "/metadata", "/metadata/k"):
        assert us.admin.ask("GET", f"/v1/blobs/{uuid}{path}").status == 404
    assert us.admin.ask("DELETE", f"/v1/blobs/{uuid}").status == 404


@pytest.mark.parametrize("text", ["0", "g" * 128, "0" * 127, "0" * 129, "%FF", quote("\u0660") * 128])
def test_a_malformed_digest_in_a_path_is_404(us: Party, text: str) -> None:
    assert us.admin.ask("GET", f"/v1/payloads/sha512/{text}").status == 404


def test_every_answer_says_which_request_it_was(us: Party) -> None:
    given = {"X-Request-ID": "my.own-id_1"}

    assert us.reader.ask("GET", "/v1/blobs", headers=given)["X-Request-ID"] == "my.own-id_1"
    assert us.reader.ask("GET", "/nowhere", headers=given).json["request_id"] == "my.own-id_1"


@pytest.mark.parametrize("text", ["", "a b", "a" * 65, "x\u00fc", "<script>", "a,b"])
def test_a_request_id_that_is_none_is_replaced(us: Party, text: str) -> None:
    first = us.reader.ask("GET", "/nowhere", headers={"X-Request-ID": text})
    second = us.reader.ask("GET", "/nowhere", headers={"X-Request-ID": text})

    assert len({text, first["X-Request-ID"], second["X-Request-ID"]}) == 3
    assert first.code == "no-such-path"


# -- upkeep -----------------------------------------------------------------------------------------------------------


def test_upkeep_runs_when_told_and_reports(us: Party) -> None:
    expired = us.admin.ask("POST", "/v1/upkeep/expire")
    looked = us.admin.ask("POST", "/v1/upkeep/collect-garbage?dry_run=1")

    assert (expired.status, set(expired.json)) == (200, {"blobs", "names", "versions", "uploads", "tokens"})
    assert (looked.status, looked.json["dry_run"]) == (200, True)


@pytest.mark.parametrize("query", ["dry_run=2", "dry_run=yes", "force=x"])
def test_a_bad_flag_of_upkeep_is_400(us: Party, query: str) -> None:
    assert us.admin.ask("POST", f"/v1/upkeep/collect-garbage?{query}").status == 400


def test_a_collection_of_most_of_the_store_wants_force(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon(CASD_UPKEEP__GRACE_S="0").start()
    data = random.randbytes(100)
    with Wire(daemon) as wire:
        uuid = stored(wire, data).json["uuid"]
        wire.ask("DELETE", f"/v1/blobs/{uuid}")

        refused = wire.ask("POST", "/v1/upkeep/collect-garbage")
        looked = wire.ask("POST", "/v1/upkeep/collect-garbage?dry_run=1")
        done = wire.ask("POST", "/v1/upkeep/collect-garbage?force=1")

    assert (refused.status, refused.code) == (409, "collection-refused")
    assert looked.json == {"payloads": 1, "bytes": 100, "orphans": 0, "dry_run": True}
    assert (done.status, done.json) == (200, looked.json | {"dry_run": False})
    assert not [name for _, _, names in os.walk(daemon.data / "payloads") for name in names]


def test_the_log_never_holds_a_secret_or_a_query(us: Party) -> None:
    us.reader.ask("GET", "/v1/blobs?metadata.k=very-secret-value")
    us.nobody.ask("GET", "/v1/blobs", headers={"Authorization": "Bearer casd_very-secret-value"})

    assert "very-secret-value" not in us.daemon.log
    assert us.daemon.token not in us.daemon.log


def test_no_answer_of_this_file_was_a_traceback(shared_daemon: Daemon) -> None:
    assert ask(shared_daemon, "GET", "/healthz").status == 200
    assert "Traceback" not in shared_daemon.log
