"""Tokens and namespaces, and who may do what: DESIGN.md 8, "Who may read"."""

import hashlib
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.web.party import SETTINGS, TOKEN_FIELDS, Party, is_time, listed, read_calls, unlike, uuid_calls, write_calls
from tests.web.wire import Wire, head, raw

# -- tokens and namespaces --------------------------------------------------------------------------------------------


def test_a_secret_is_shown_once(us: Party) -> None:
    body = {"name": "ci", "role": "writer", "namespaces": [us.namespace, "default", us.namespace], "expires_in": 60}

    made = us.admin.ask("POST", "/v1/tokens", body)

    token = made.json
    secret = token.pop("token")
    assert made.status == 201
    assert list(token) == TOKEN_FIELDS
    assert made["Location"] == f"/v1/tokens/{token['id']}"
    assert made["Cache-Control"] == "no-store"
    assert token["namespaces"] == [us.namespace, "default"]
    assert (token["name"], token["role"], token["revoked_at"]) == ("ci", "writer", None)
    assert is_time(token["created_at"])
    assert is_time(token["expires_at"])
    told = us.admin.ask("GET", "/v1/tokens?limit=1000")
    assert token in listed(us.admin, "/v1/tokens?limit=3")
    assert secret.encode() not in told.body
    assert secret not in us.daemon.log
    folder = [path.read_bytes() for path in us.daemon.data.iterdir() if path.is_file()]
    assert not [True for data in folder if secret.encode() in data]


def test_a_revoked_token_opens_nothing_at_once(us: Party) -> None:
    made = us.admin.ask("POST", "/v1/tokens", {"name": "x", "role": "writer", "namespaces": [us.namespace]}).json
    with Wire(us.daemon, made["token"]) as wire:
        assert wire.ask("GET", "/v1/blobs").status == 200

        assert us.admin.ask("DELETE", f"/v1/tokens/{made['id']}").status == 204

        refused = wire.ask("GET", "/v1/blobs")  # on the connection that it opened
    assert (refused.status, refused.code) == (401, "unauthenticated")
    assert us.admin.ask("DELETE", f"/v1/tokens/{made['id']}").status == 204
    kept = next(token for token in listed(us.admin, "/v1/tokens?limit=1000") if token["id"] == made["id"])
    assert is_time(kept["revoked_at"])


@pytest.mark.parametrize("uuid", [str(UUID(int=7)), "x", "0" * 32])
def test_a_token_that_is_not_there_cannot_be_revoked(us: Party, uuid: str) -> None:
    assert us.admin.ask("DELETE", f"/v1/tokens/{uuid}").status == 404


BAD_CREDENTIALS = ["", "Bearer", "Bearer ", "Bearer casd_wrong", "Basic YTpi", "bearer", "Token {}", "{}", "Bearer {}x"]
BAD_CREDENTIALS += ["Bearer x {}", "Bearer \u00fc", "Bearer " + "a" * 7000]


@pytest.mark.parametrize("header", BAD_CREDENTIALS, ids=lambda header: header[:12])
def test_a_credential_that_is_not_good_is_401(us: Party, header: str) -> None:
    wire = us.nobody
    headers = {"Authorization": header.format(us.token("reader"))}

    answers = [wire.ask("GET", path, headers=headers) for path in ("/v1/blobs", f"/v1/blobs/{us.add()['uuid']}/data")]

    assert {(answer.status, answer.code) for answer in answers} == {(401, "unauthenticated")}
    assert {answer["WWW-Authenticate"] for answer in answers} == {'Bearer realm="casd"'}


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_read_in_any_case(us: Party, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {us.token('reader')}"}

    assert us.nobody.ask("GET", "/v1/blobs", headers=headers).status == 200


def test_two_credentials_are_none(us: Party) -> None:
    with raw(us.daemon) as connection:
        connection.send(head(us.daemon, "GET /v1/blobs", "Authorization: Bearer casd_wrong"))

        assert connection.answer().status in (400, 401)


def test_a_namespace_is_made_and_set(us: Party) -> None:
    name = f"new-{uuid4()}"
    url = f"/v1/namespaces/{name}"
    settings = {
        "readers": [us.namespace, "*"],
        "anonymous_read": True,
        "share_by_uuid": False,
        "quota_bytes": 10,
        "quota_blobs": 0,
        "keep_versions": 1,
        "max_age_s": 60,
    }

    made = us.admin.ask("PUT", url, {})
    changed = us.admin.ask("PUT", url, settings)
    reset = us.admin.ask("PUT", url, dict.fromkeys(SETTINGS))

    assert made.status == 200
    assert set(made.json) >= set(SETTINGS)
    defaults = dict.fromkeys(SETTINGS) | {"readers": [], "anonymous_read": False}
    assert made.json == made.json | defaults
    assert changed.json == made.json | settings | {"readers": sorted(settings["readers"])}
    assert reset.json == made.json
    assert us.admin.ask("GET", url).json == made.json


def test_namespaces_are_listed_page_by_page(us: Party, them: Party) -> None:
    them.settings()

    def names(wire: Wire) -> list[str]:
        return [item["name"] for item in listed(wire, "/v1/namespaces?limit=1")]

    assert names(us.reader) == [us.namespace]
    everything = names(us.admin)
    assert everything == sorted(everything)
    assert {us.namespace, them.namespace, "default"} <= set(everything)


# -- who may ----------------------------------------------------------------------------------------------------------


ADMIN_CALLS = [
    ("POST", "/v1/tokens", {"name": "x", "role": "admin", "namespaces": ["default"]}),
    ("GET", "/v1/tokens", None),
    ("DELETE", f"/v1/tokens/{UUID(int=7)}", None),
    ("PUT", "/v1/namespaces/default", {}),
    ("POST", "/v1/upkeep/expire", None),
    ("POST", "/v1/backups", None),
    ("PUT", f"/v1/backups/{UUID(int=7)}", None),
    ("DELETE", f"/v1/backups/{UUID(int=7)}", None),
    ("POST", "/v1/upkeep/collect-garbage?dry_run=1", None),
]


def test_a_writer_may_write_and_a_reader_may_not(us: Party) -> None:
    for method, target, body in write_calls(us):
        refused = us.reader.ask(method, target, body)
        assert (refused.status, refused.code) == (403, "forbidden"), (method, target)
        assert us.writer.ask(method, target, body).status in (200, 201, 204), (method, target)


def test_a_reader_may_read(us: Party) -> None:
    for method, target, body in read_calls(us) + uuid_calls(us):
        assert us.reader.ask(method, target, body).status == 200, target


@pytest.mark.parametrize(("method", "target", "body"), ADMIN_CALLS)
def test_what_is_an_admins_is_nobody_elses(us: Party, method: str, target: str, body: Any) -> None:
    for wire in (us.reader, us.writer):
        answer = wire.ask(method, target, body)
        assert (answer.status, answer.code) == (403, "forbidden")
    assert us.nobody.ask(method, target, body).status == 401


def test_an_admin_may_do_everything_everywhere(us: Party) -> None:
    for method, target, body in read_calls(us) + uuid_calls(us) + write_calls(us):
        assert us.admin.ask(method, target, body).status in (200, 201, 204), (method, target)


def test_without_a_token_nothing_is_told(us: Party) -> None:
    for method, target, body in read_calls(us) + uuid_calls(us) + write_calls(us):
        answer = us.nobody.ask(method, target, body)
        assert (answer.status, answer.code) == (401, "unauthenticated"), (method, target)
        assert answer["WWW-Authenticate"] == 'Bearer realm="casd"'


def test_what_is_foreign_and_what_is_absent_answer_alike(us: Party, them: Party) -> None:
    them.settings(share_by_uuid=False)
    for method, target, body in read_calls(them) + uuid_calls(them) + write_calls(them):
        foreign = us.writer.ask(method, target, body)
        absent = us.writer.ask(method, renamed(target, them), body)

        assert foreign.status == absent.status == 404, (method, target)
        assert unlike(foreign) == unlike(absent)
        assert shape(foreign.json["detail"]) == shape(absent.json["detail"])
        assert {name for name, _ in foreign.headers.items()} == {name for name, _ in absent.headers.items()}


def renamed(target: str, party: Party) -> str:
    """The same call, on what nobody has."""
    target = target.replace(party.namespace, f"ns-{uuid4()}")
    parts = target.split("/")
    if parts[2] == "blobs" and len(parts) > 3:
        parts[3] = str(uuid4())
    if parts[2] == "payloads":
        parts[4] = hashlib.sha512(uuid4().bytes).hexdigest()
    return "/".join(parts)


def shape(detail: str) -> str:
    """A message without the hex digits of UUIDs and digests: those stood in the question."""
    return "".join("0" if char in "0123456789abcdef" else char for char in detail)


def test_a_uuid_is_evidence_enough_to_read_that_blob(us: Party, them: Party) -> None:
    blob = them.add(b"theirs")
    them.writer.ask("PUT", f"{them.name()}?blob={blob['uuid']}")
    url = f"/v1/blobs/{blob['uuid']}"

    told = us.reader.ask("GET", url)

    assert told.json == blob | {"names": []}  # without names, which it does not prove
    assert us.reader.ask("GET", f"{url}/data").body == b"theirs"
    assert us.reader.ask("GET", f"{url}/metadata").json == {}
    assert us.reader.ask("GET", f"/v1/payloads/sha512/{blob['sha512']}").status == 404  # a digest is no secret
    assert us.writer.ask("PUT", f"{us.name()}?blob={blob['uuid']}").status == 404
    assert us.writer.ask("DELETE", url).status == 404
    assert us.writer.ask("PUT", f"{url}/metadata/k", {"value": 1}).status == 404
    assert us.nobody.ask("GET", f"{url}/data").status == 401


def test_a_namespace_can_say_no_to_sharing_by_uuid(us: Party, them: Party) -> None:
    calls = uuid_calls(them)
    them.settings(share_by_uuid=False)

    assert {us.reader.ask(*call).status for call in calls} == {404}
    assert {them.reader.ask(*call).status for call in calls} == {200}


@pytest.mark.parametrize("is_everybody", [False, True])
def test_readers_of_a_namespace_may_read_but_not_write(us: Party, them: Party, is_everybody: bool) -> None:
    calls = [call for call in read_calls(them) if "/v1/namespaces" not in call[1]] + uuid_calls(them)
    them.settings(readers=["*"] if is_everybody else [us.namespace])

    for call in calls:
        assert us.reader.ask(*call).status == 200, call
    assert us.writer.ask("PUT", them.name("there"), b"x").status == 404
    assert us.writer.ask("POST", f"/v1/blobs?namespace={them.namespace}", b"x").status == 404
    assert us.reader.ask("GET", f"/v1/namespaces/{them.namespace}").status == 404  # its rules are its members' to see
    assert [item["name"] for item in listed(us.reader, "/v1/namespaces?limit=1")] == [us.namespace]
    assert them.namespace not in str(us.reader.ask("GET", "/v1/blobs?limit=1000").json)  # own namespaces alone
    assert us.nobody.ask("GET", them.name("there")).status == 401


def test_open_to_anybody_is_reading_never_finding(us: Party) -> None:
    us.settings(anonymous_read=True)
    blob = us.add(us.namespace.encode())
    us.publish("a", us.namespace.encode())
    opened = [
        f"/v1/blobs/{blob['uuid']}",
        f"/v1/blobs/{blob['uuid']}/data",
        f"/v1/payloads/sha512/{blob['sha512']}",
        us.name("a"),
        f"{us.name('a')}?version=1",
    ]
    closed = [
        f"/v1/names/{us.namespace}",
        f"/v1/versions/{us.namespace}/a",
        f"/v1/name-info/{us.namespace}/a",
        f"/v1/namespaces/{us.namespace}",
        f"/v1/blobs?namespace={us.namespace}",
        f"/v1/checksums/sha512/{blob['sha512']}",
    ]

    assert {us.nobody.ask(method, path).status for path in opened for method in ("GET", "HEAD")} == {200}
    assert {us.nobody.ask("GET", path).status for path in closed} == {401}
    assert us.nobody.ask("PUT", us.name("a"), b"x").status == 401
    assert us.nobody.ask("GET", us.name("absent")).status == 401
    assert us.nobody.ask("GET", opened[0]).json["names"] == []
    wrong = {"Authorization": "Bearer casd_wrong"}
    assert us.nobody.ask("GET", opened[1], headers=wrong).status == 401  # a bad credential is not none


def test_a_stranger_with_a_token_reads_what_is_open_to_anybody(us: Party, them: Party) -> None:
    them.settings(anonymous_read=True)
    them.publish("a", b"open")

    assert us.reader.ask("GET", them.name("a")).body == b"open"
    assert us.reader.ask("GET", f"/v1/names/{them.namespace}").status == 404
