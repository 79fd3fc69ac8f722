"""The audit log over HTTP: who asked, what was refused, and how admins read it."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import Daemon
from tests.web.party import Party
from tests.web.wire import Wire


def log(party: Party, query: str = "") -> list[dict[str, Any]]:
    answer = party.admin.ask("GET", f"/v1/audit?limit=1000{query}")
    assert answer.status == 200, answer.body
    items: list[dict[str, Any]] = answer.json["items"]
    return items


def test_a_change_is_told_with_who_made_it_and_from_where(us: Party) -> None:
    answer = us.writer.ask("PUT", us.name("a 100%"), b"x", {"X-Request-ID": "mine-7"})
    version, me = answer.json, us.writer.ask("GET", "/v1/whoami").json

    (entry,) = log(us, f"&blob={version['blob']['uuid']}")

    assert entry | {"id": 0, "at": ""} == {
        "id": 0,
        "at": "",
        "principal": me["name"],
        "token": me["id"],
        "role": "writer",
        "address": "127.0.0.1",
        "dialect": "native",
        "request_id": "mine-7",
        "action": "name.publish",
        "target": f"{us.namespace}/a 100%@1",
        "blob": version["blob"]["uuid"],
        "namespace": us.namespace,
        "name": "a 100%",
        "version": 1,
        "result": "done",
        "code": None,
        "count": 1,
        "note": None,
    }
    assert log(us, f"&namespace={us.namespace}&name={quote('a 100%')}") == [entry]
    assert log(us, f"&token={me['id']}&action=name.&since={quote(entry['at'])}")[-1] == entry
    assert log(us, f"&token={me['id']}&until={quote(entry['at'])}") == []


def test_refusals_are_counted_and_never_tell_a_secret(us: Party, them: Party) -> None:
    blob = us.add(b"ours")
    for _ in range(3):
        assert them.writer.ask("DELETE", f"/v1/blobs/{blob['uuid']}?casd-signature=geheim").status == 404
    reader = us.reader.ask("GET", "/v1/whoami").json
    assert us.reader.ask("DELETE", f"/v1/blobs/{blob['uuid']}").status == 403
    assert us.nobody.ask("GET", "/v1/blobs", None, {"Authorization": "Bearer casd_geheim"}).status == 401
    stranger = them.writer.ask("GET", "/v1/whoami").json

    denied = log(us, f"&token={stranger['id']}&action=access.denied")
    forbidden = log(us, f"&token={reader['id']}&action=access.denied")
    unknown = log(us, "&principal=anonymous&action=auth.denied")

    assert [(entry["count"], entry["code"], entry["blob"], entry["result"]) for entry in denied] == [
        (3, "blob-not-found", blob["uuid"], "denied")
    ]
    assert [(entry["code"], entry["target"]) for entry in forbidden] == [("forbidden", "DELETE /v1/blobs/{uuid}")]
    assert "GET /v1/blobs" in [entry["target"] for entry in unknown]
    assert "geheim" not in json.dumps(log(us))


def test_a_change_that_fails_is_told_as_failed(us: Party) -> None:
    us.writer.ask("PUT", us.name("n"), b"x")
    assert us.writer.ask("PUT", us.name("n"), b"y", {"If-None-Match": "*"}).status == 412

    (entry,) = log(us, f"&namespace={us.namespace}&name=n&action=request.failed")

    assert (entry["result"], entry["code"], entry["target"]) == (
        "failed",
        "precondition-failed",
        "PUT /v1/names/{namespace}/{name}",
    )


def test_what_changes_nothing_here_is_told_too(us: Party) -> None:
    path = f"/v1/blobs/{us.add()['uuid']}/data"
    signed = us.writer.ask("POST", "/v1/signed-urls", {"path": path, "expires_in": 60}).json["url"]
    us.admin.ask("POST", "/v1/upkeep/expire?dry_run=1")

    (entry,) = log(us, f"&action=url.sign&target={path}")

    assert entry["result"] == "done"
    assert signed.partition("=")[2] not in json.dumps(log(us))
    assert log(us, "&action=upkeep.run&target=expire")[0]["note"] == "dry_run"


def test_all_that_matches_comes_as_json_lines(us: Party) -> None:
    for number in range(3):
        us.add(b"%d" % number)
    expected = log(us, f"&namespace={us.namespace}")

    answer = us.admin.ask("GET", f"/v1/audit?namespace={us.namespace}&format=jsonl")

    assert answer["Content-Type"] == "application/jsonl"
    assert [json.loads(line) for line in answer.body.decode().splitlines()] == expected
    assert len(expected) > 3


def test_pages_follow_each_other(us: Party) -> None:
    for number in range(5):
        us.add(b"%d" % number)
    expected, found, query = log(us, f"&namespace={us.namespace}"), [], ""
    while True:
        page = us.admin.ask("GET", f"/v1/audit?namespace={us.namespace}&limit=2{query}").json
        found += page["items"]
        if page["next"] is None:
            break
        query = f"&cursor={quote(page['next'])}"

    assert found == expected


def test_only_admins_read_it(us: Party) -> None:
    assert us.writer.ask("GET", "/v1/audit").status == 403
    assert us.nobody.ask("GET", "/v1/audit").status == 401


@pytest.mark.parametrize(
    "query",
    [
        *("action=token", "action=", "token=x", "blob=1", "name=n", "namespace=a%20b", "since=yesterday", "principal="),
        *("limit=0", "cursor=x", "format=xml", "what=1", "blob=1&blob=2", "format=jsonl&limit=3", "principal=%FF"),
    ],
)
def test_a_bad_question_is_400(shared_daemon: Daemon, query: str) -> None:
    with Wire(shared_daemon) as wire:
        assert wire.ask("GET", f"/v1/audit?{query}").status == 400


def test_reads_are_told_where_that_is_wanted(new_daemon: Callable[..., Daemon]) -> None:
    for reads in ("true", "false"):
        daemon = new_daemon(CASD_AUDIT__READS=reads).start()
        with Wire(daemon) as admin:
            uuid = admin.ask("POST", "/v1/blobs", b"abc").json["uuid"]
            for _ in range(2):
                assert admin.ask("GET", f"/v1/blobs/{uuid}/data").body == b"abc"
            admin.ask("HEAD", f"/v1/blobs/{uuid}/data")
            told = admin.ask("GET", f"/v1/audit?blob={uuid}&action=blob.read").json["items"]
        assert [entry["count"] for entry in told] == ([2] if reads == "true" else [])
        assert daemon.stop() == 0


def test_without_a_log_nothing_is_kept(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon(CASD_AUDIT__KEEP_DAYS="0").start()
    with Wire(daemon) as admin:
        admin.ask("POST", "/v1/blobs", b"abc")
        admin.ask("DELETE", "/v1/blobs/00000000-0000-0000-0000-000000000001")
        assert admin.ask("GET", "/v1/audit").json["items"] == []
    assert daemon.stop() == 0


def test_what_waited_is_written_when_the_daemon_stops(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon().start()
    with Wire(daemon, "casd_wrong") as nobody:
        assert nobody.ask("GET", "/v1/blobs").status == 401
    assert daemon.stop() == 0
    daemon.start()
    with Wire(daemon) as admin:
        (entry,) = admin.ask("GET", "/v1/audit?action=auth.denied").json["items"]
    assert entry["principal"] == "anonymous"
    assert daemon.stop() == 0
