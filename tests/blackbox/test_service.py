"""Section 8, the rows about the daemon itself, and what holds for every answer: errors, ids, methods."""

import re
from typing import Any

import pytest

from tests.blackbox.shapes import is_count, oddities, one_of, refusal
from tests.conftest import Daemon
from tests.web.party import Party
from tests.web.wire import Wire, head, raw, wait_until

UUID = "01890000-0000-7000-8000-000000000000"

ROUTES = {  # every path of section 8 that is built, and the methods of its row
    "/": {"GET"},
    "/healthz": {"GET"},
    "/readyz": {"GET"},
    "/v1/blobs": {"GET", "POST"},
    f"/v1/blobs/{UUID}": {"GET", "DELETE"},
    f"/v1/blobs/{UUID}/data": {"GET"},
    f"/v1/blobs/{UUID}/blocks": {"GET"},
    f"/v1/blobs/{UUID}/metadata": {"GET"},
    f"/v1/blobs/{UUID}/metadata/k": {"GET", "PUT", "DELETE"},
    f"/v1/payloads/sha512/{'0' * 128}": {"GET"},
    f"/v1/payloads/sha512/{'0' * 128}/blocks": {"GET"},
    f"/v1/checksums/sha256/{'0' * 64}": {"GET"},
    "/v1/names/default": {"GET"},
    "/v1/names/default/absent": {"GET", "PUT", "DELETE"},
    "/v1/versions/default/absent": {"GET"},
    "/v1/name-info/default/absent": {"GET", "PATCH"},
    "/v1/tokens": {"GET", "POST"},
    f"/v1/tokens/{UUID}": {"DELETE"},
    "/v1/namespaces": {"GET"},
    "/v1/namespaces/default": {"GET", "PUT"},
    "/v1/signed-urls": {"POST"},
    "/v1/signing-keys": {"GET", "POST"},
    "/v1/quarantine": {"GET"},
    "/v1/quarantine/absent": {"GET", "DELETE"},
    "/v1/status": {"GET"},
    "/v1/whoami": {"GET"},
    "/v1/upkeep/expire": {"POST"},
    "/v1/upkeep/collect-garbage": {"POST"},
    "/v1/upkeep/scrub": {"POST"},
    "/v1/upkeep/repair": {"POST"},
}
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "LINK", "PROPFIND"]


def with_head(methods: set[str]) -> set[str]:
    return methods | ({"HEAD"} if "GET" in methods else set())


@pytest.mark.parametrize("path", ROUTES)
def test_any_other_method_is_405_and_says_which_are_allowed(wire: Wire, path: str) -> None:
    for method in METHODS:
        if method in with_head(ROUTES[path]):
            continue
        answer = wire.ask(method, path, b"" if method in ("POST", "PUT", "PATCH") else None)

        assert answer.status == 405, method
        assert method == "HEAD" or refusal(answer)[1] == "method-not-allowed"
        assert set((answer["Allow"] or "").split(", ")) == with_head(ROUTES[path])


@pytest.mark.parametrize("path", ROUTES)
def test_a_method_of_the_row_is_taken(wire: Wire, path: str) -> None:
    for method in with_head(ROUTES[path]) - {"POST", "PUT", "PATCH"}:  # those have their own tests
        answer = wire.ask(method, path)

        assert answer.status in (200, 204, 404), method
        if answer.status == 404 and method != "HEAD":
            assert refusal(answer)[1] != "no-such-path"


NOWHERE = ["/v1", "/v1/", "/v2/blobs", "/v1/blob", "/v1/blobs/", f"/v1/blobs/{UUID}/", f"/v1/blobs/{UUID}/nothing"]
NOWHERE += [f"/v1/blobs/{UUID}/data/more", "/v1/payloads", "/v1/payloads/sha512", f"/v1/payloads/md5/{'0' * 32}"]
NOWHERE += [
    "/v1/checksums",
    "/v1/checksums/sha512",
    "/v1/names",
    "/v1/versions",
    "/v1/versions/default",
    "/v1/name-info",
]
NOWHERE += [
    "/v1/tokens/",
    "/v1/namespaces/",
    "/v1/upkeep",
    "/v1/upkeep/",
    "/v1/upkeep/nothing",
    "/nowhere",
    "/favicon.ico",
]
NOWHERE += [
    "/V1/blobs",
    "/v1/BLOBS",
    "//v1/blobs",
    "/v1//blobs",
    "/v1/blobs%2F",
    "/./v1/blobs",
    "/v1/../v1/blobs",
    "/..",
    "/%",
]


@pytest.mark.parametrize("path", NOWHERE)
def test_what_is_no_path_is_a_404_and_never_a_redirect(wire: Wire, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = wire.ask(method, path, b"{}" if method == "POST" else None)

        assert refusal(answer)[0] in (404, 405), method
    assert wire.ask("HEAD", path).status in (404, 405)


@pytest.mark.parametrize(
    ("status", "method", "target", "body", "headers"),
    [
        (400, "GET", "/v1/blobs?limit=x", None, {}),
        (400, "PUT", "/v1/namespaces/default", b"{", {}),
        (401, "GET", "/v1/blobs", None, {"Authorization": "Bearer casd_nobody"}),
        (404, "GET", f"/v1/blobs/{UUID}", None, {}),
        (404, "GET", "/nowhere", None, {}),
        (405, "PATCH", "/v1/blobs", b"", {}),
        (412, "PUT", "/v1/names/default/absent", b"x", {"If-Match": "*"}),
        (413, "PUT", "/v1/namespaces/default", b"[" + b"1," * 600_000 + b"1]", {}),
        (415, "POST", "/v1/blobs", b"x", {"Content-Encoding": "gzip"}),
        (417, "POST", "/v1/blobs", b"x", {"Expect": "a-miracle"}),
        (422, "POST", "/v1/blobs", b"x", {"Repr-Digest": f"sha-256=:{'A' * 43}=:"}),
    ],
)
def test_every_error_is_a_problem(
    service: Daemon, status: int, method: str, target: str, body: Any, headers: dict[str, str]
) -> None:
    with Wire(service) as own:
        answer = own.ask(method, target, body, headers)

    assert refusal(answer)[0] == status
    assert answer.json["type"] == "about:blank"
    assert answer["Cache-Control"] == "no-store"


LENGTH, WAITS = "Content-Length: 5", "Expect: 100-continue"
WAITING = [  # who, what, with which field; what comes first instead of 100 Continue
    ("nobody", "POST /v1/blobs", LENGTH, 401),
    ("nobody", "PUT /v1/names/{ns}/a", LENGTH, 401),
    ("reader", "POST /v1/blobs", LENGTH, 403),
    ("reader", "PATCH /v1/name-info/{ns}/a", LENGTH, 403),
    ("reader", "PUT /v1/namespaces/{ns}", LENGTH, 403),
    ("reader", "POST /v1/tokens", LENGTH, 403),
    ("writer", "POST /v1/blobs?namespace=absent", LENGTH, 404),
    ("writer", f"PUT /v1/blobs/{UUID}/metadata/k", LENGTH, 404),
    ("writer", "PUT /v1/nowhere", LENGTH, 404),
    ("writer", "PUT /v1/blobs", LENGTH, 405),
    ("writer", "PUT /v1/names/{ns}/a", f"{LENGTH}\r\nIf-Match: *", 412),
    ("writer", "PUT /v1/names/{ns}/a/..", LENGTH, 400),
    ("writer", "PUT /v1/names/{ns}/a", f"{LENGTH}\r\nRepr-Digest: x", 400),
    ("writer", "PUT /v1/names/{ns}/a", f"{LENGTH}\r\nContent-Range: bytes 5-9/10", 400),
    ("writer", "POST /v1/blobs?expires_in=x", LENGTH, 400),
    ("writer", "POST /v1/blobs", f"{LENGTH}\r\nContent-Encoding: gzip", 415),
    ("writer", "POST /v1/blobs", f"Content-Length: {1 << 62}", 413),
    ("writer", "POST /v1/blobs", LENGTH, 100),
    ("writer", "PUT /v1/names/{ns}/a", LENGTH, 100),
]


def test_who_waits_for_a_100_gets_none_before_a_refusal(us: Party) -> None:
    tokens = {"nobody": None, "reader": us.token("reader"), "writer": us.token("writer")}
    for who, line, field, status in WAITING:
        with raw(us.daemon) as connection:
            asked = line.replace("{ns}", us.namespace)
            connection.send(head(us.daemon, asked, field, WAITS, token=tokens[who]))
            first, _ = connection.head()
            assert first == status, (who, line, field)
            if first == 100:
                connection.send(b"12345")
                assert connection.head()[0] == 201


def test_a_head_that_does_not_parse_gets_a_problem_too(service: Daemon) -> None:
    with raw(service) as connection:
        connection.send("GET /v1/blobs HTTP/1.1\r\nno colon here\r\n\r\n")

        assert refusal(connection.answer())[0] == 400


@pytest.mark.parametrize("asked", ["a", "A-b_c.9", "x" * 64, "0123456789abcdef"])
def test_an_id_that_the_caller_gives_is_kept(wire: Wire, asked: str) -> None:
    for target in ("/healthz", "/v1/blobs?limit=1", "/v1/blobs?limit=x", "/nowhere"):
        assert wire.ask("GET", target, headers={"X-Request-ID": asked})["X-Request-ID"] == asked


@pytest.mark.parametrize("asked", ["", " ", "a b", "x" * 65, "ü", "<script>", "a,b", '"', "a/b"])
def test_an_id_that_is_none_is_replaced(wire: Wire, asked: str) -> None:
    given = wire.ask("GET", "/healthz", headers={"X-Request-ID": asked})["X-Request-ID"] or ""

    assert given != asked
    assert re.fullmatch(r"[A-Za-z0-9._-]{8,64}", given)


def test_every_answer_has_an_id_of_its_own(wire: Wire) -> None:
    ids = [wire.ask("GET", "/healthz")["X-Request-ID"] for _ in range(5)]

    assert len(set(ids)) == 5


@pytest.mark.parametrize("accept", [None, "text/html", "application/json", "*/*"])
def test_the_open_paths_answer_without_a_token(service: Daemon, accept: str | None) -> None:
    headers = {} if accept is None else {"Accept": accept}
    for token in (None, "casd_wrong"):
        with Wire(service, token) as anybody:
            for path in ("/", "/healthz", "/readyz"):
                for method in ("GET", "HEAD"):
                    assert anybody.ask(method, path, headers=headers).status == 200, path


# -- upkeep -----------------------------------------------------------------------------------------------------------


def test_expire_tells_what_it_did(wire: Wire) -> None:
    answer = wire.ask("POST", "/v1/upkeep/expire")

    assert answer.status == 200
    assert set(answer.json) == {"blobs", "names", "uploads", "tokens", "versions"}
    assert all(map(is_count, answer.json.values()))


def test_a_dry_run_ends_nothing(new_daemon: Any) -> None:
    own: Daemon = new_daemon().start()
    with Wire(own) as wire:
        url = f"/v1/blobs/{wire.ask('POST', '/v1/blobs?expires_in=1', b'x').json['uuid']}"
        wait_until(lambda: wire.ask("GET", url).status == 404, "it expires")

        counts = [
            wire.ask("POST", f"/v1/upkeep/expire{query}").json["blobs"] for query in ("?dry_run=1",) * 2 + ("",) * 2
        ]

    assert counts == [1, 1, 1, 0]


def test_collect_garbage_tells_what_it_would_do_and_did(wire: Wire) -> None:
    shape = {"payloads": is_count, "bytes": is_count, "orphans": is_count}
    for query, is_dry in (("?dry_run=1", True), ("?dry_run=1&force=1", True), ("", False), ("?force=1", False)):
        answer = wire.ask("POST", f"/v1/upkeep/collect-garbage{query}")

        assert answer.status == 200
        assert not oddities({**shape, "dry_run": one_of(is_dry)}, answer.json)


SCRUBBED = ("payloads", "bytes", "damaged", "missing", "unreadable", "rewritten", "failed", "repaired")


def test_scrub_tells_what_it_read(wire: Wire) -> None:
    shape = dict.fromkeys(SCRUBBED, is_count) | {"findings": one_of([]), "catalogue_problems": one_of([])}
    for query, is_deep, is_dry in (("", False, False), ("?deep=1", True, False), ("?deep=1&dry_run=1", True, True)):
        answer = wire.ask("POST", f"/v1/upkeep/scrub{query}")

        assert answer.status == 200
        facts = {"deep": one_of(is_deep), "dry_run": one_of(is_dry), "whole": one_of(True)}
        assert not oddities({**shape, **facts}, answer.json)


def test_repair_tells_what_it_did(wire: Wire) -> None:
    good = wire.ask("POST", "/v1/blobs", b"to be looked at").json["sha512"]

    for body, count in ((None, 0), ({"sha512": [good]}, 1)):
        answer = wire.ask("POST", "/v1/upkeep/repair", body)

        assert answer.status == 200
        assert answer.json == {
            "payloads": count,
            "good": count,
            "repaired": 0,
            "bytes": 0,
            "failed": 0,
            "failures": [],
        }
    assert refusal(wire.ask("POST", "/v1/upkeep/repair", {"sha512": ["0" * 128]})) == (404, "payload-not-found")


@pytest.mark.parametrize("body", [{}, {"sha512": []}, {"sha512": "0" * 128}, {"sha512": ["x"]}, {"sha256": []}, [1]])
def test_a_repair_of_what_is_no_digest_is_refused(wire: Wire, body: Any) -> None:
    assert refusal(wire.ask("POST", "/v1/upkeep/repair", body)) == (400, "invalid-input")


def test_a_flag_is_one_or_zero(wire: Wire) -> None:
    for query in ("dry_run=yes", "dry_run=", "force=true", "force=2", "dryrun=1", "dry_run=1&dry_run=0"):
        assert refusal(wire.ask("POST", f"/v1/upkeep/collect-garbage?{query}")) == (400, "invalid-input")
    for query in ("deep=yes", "dry_run=", "force=1"):
        assert refusal(wire.ask("POST", f"/v1/upkeep/scrub?{query}")) == (400, "invalid-input")
    for query in ("dry_run=yes", "dry-run=1"):
        assert refusal(wire.ask("POST", f"/v1/upkeep/expire?{query}")) == (400, "invalid-input")


def test_a_collection_of_more_than_half_is_refused_unless_it_is_insisted_on(new_daemon: Any) -> None:
    """On a store of its own, without a grace; what is held stays whatever is forced."""
    own: Daemon = new_daemon(CASD_UPKEEP__GRACE_S="0").start()
    with Wire(own) as wire:
        uuids = [wire.ask("POST", "/v1/blobs", b"%d" % index).json["uuid"] for index in range(3)]
        for uuid in uuids[:2]:
            wire.ask("DELETE", f"/v1/blobs/{uuid}")

        refused = wire.ask("POST", "/v1/upkeep/collect-garbage")
        planned = wire.ask("POST", "/v1/upkeep/collect-garbage?dry_run=1&force=1")
        forced = wire.ask("POST", "/v1/upkeep/collect-garbage?force=1")

        assert refusal(refused) == (409, "collection-refused")
        assert (planned.json["payloads"], planned.json["dry_run"]) == (2, True)
        assert (forced.status, forced.json["payloads"]) == (200, 2)
        assert wire.ask("GET", f"/v1/blobs/{uuids[2]}/data").body == b"2"


def test_an_answer_to_http_1_0_is_whole_and_the_last(us: Party) -> None:
    uuid = us.add(b"old client")["uuid"]
    with raw(us.daemon) as connection:
        connection.send(head(us.daemon, f"GET /v1/blobs/{uuid}/data").replace("HTTP/1.1", "HTTP/1.0"))

        assert connection.rest().endswith(b"\r\n\r\nold client")
