"""Section 8, the row of `/v1/signed-urls` and the last sentence of "Who may read"; the keys that sign."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from tests.blackbox.shapes import Shape, is_count, is_text, items_of, oddities, refusal
from tests.conftest import Daemon
from tests.web.party import Party, is_time
from tests.web.wire import PATIENCE_S, Wire, raw

SIGNED: Shape = {"url": is_text, "expires_at": is_time}
KEY: Shape = {"id": is_count, "created_at": is_time}
WEEK_S = 604800


def sign(wire: Wire, path: str, expires_in: Any = 3600) -> str:
    """Path and query of the URL."""
    answer = wire.ask("POST", "/v1/signed-urls", {"path": path, "expires_in": expires_in})
    assert answer.status == 200, answer.body
    url = urlsplit(answer.json["url"])
    return f"{url.path}?{url.query}"


@pytest.fixture
def paths(us: Party) -> dict[str, str]:
    """What can be signed; each leads to the bytes "two"."""
    us.publish("d/n ü%.bin", b"one")
    version = us.publish("d/n ü%.bin", b"two")
    uuid = us.add(b"two")["uuid"]
    name = us.name("d/n ü%.bin")
    return {
        "uuid": f"/v1/blobs/{uuid}/data",
        "digest": f"/v1/payloads/sha512/{version['blob']['sha512']}",
        "name": name,
        "version": f"{name}?version=2",
        "then": f"{name}?as_of={version['created_at']}",
    }


KINDS = ["uuid", "digest", "name", "version", "then"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_signed_url_opens_its_path_to_whoever_has_it(us: Party, paths: dict[str, str], kind: str) -> None:
    asked = us.reader.ask("POST", "/v1/signed-urls", {"path": paths[kind], "expires_in": 60})

    assert asked.status == 200
    assert not oddities(SIGNED, asked.json)
    url = asked.json["url"]
    assert url.startswith(f"{us.daemon.url}/v1/")
    lives = datetime.fromisoformat(asked.json["expires_at"]) - datetime.now(UTC)
    assert timedelta(seconds=20) < lives <= timedelta(seconds=60)
    target = url.removeprefix(us.daemon.url)
    for method, body in (("GET", b"two"), ("HEAD", b"")):
        answer = us.nobody.ask(method, target)
        assert (answer.status, answer.body, answer["Content-Length"]) == (200, body, "3")
        seconds = [part for part in (answer["Cache-Control"] or "").split(", ") if part.startswith("max-age=")]
        assert all(int(part.removeprefix("max-age=")) <= 60 for part in seconds)
        assert "public" not in (answer["Cache-Control"] or "")
    part = us.nobody.ask("GET", target, headers={"Range": "bytes=1-"})
    assert (part.status, part.body) == (206, b"wo")


@pytest.mark.parametrize("kind", KINDS)
def test_it_opens_nothing_but_that_path_to_reading(us: Party, paths: dict[str, str], kind: str) -> None:
    target = sign(us.writer, paths[kind])
    other = us.writer.ask("POST", "/v1/blobs", b"other").json
    path, _, query = target.partition("?")
    signature = next(part for part in query.split("&") if part.startswith("casd-signature="))

    refused = [
        path,  # without the signature
        f"/v1/blobs/{other['uuid']}/data?{signature}",
        f"/v1/payloads/sha512/{other['sha512']}?{signature}",
        f"{us.name('d/other')}?{signature}",
        f"{us.name('d/n ü%.bin')}?version=1&{signature}",
        f"{us.name('d/n ü%.bin')}?as_of=2000-01-01T00:00:00Z&{signature}",
        f"/v1/blobs?{signature}",
        f"/v1/names/{us.namespace}?{signature}",
        f"/v1/versions/{us.namespace}/d/n?{signature}",
        f"/v1/blobs/{other['uuid']}?{signature}",
        f"/v1/namespaces/{us.namespace}?{signature}",
        f"{target}&version=1",
        f"{target}&offset=1",
        f"{target}&x=y",
        f"{path}/more?{query}",
        f"{target}x",
        target.replace("casd-signature=", "casd-signature=A"),
        f"{path}?casd-signature=",
        f"{path}?casd-signature=%FF",
        f"{path}?casd-signature={'A' * 5000}",
        f"{path}?{signature.swapcase()}",
    ]
    for tried in refused:
        assert refusal(us.nobody.ask("GET", tried))[0] == (404 if "/more" in tried and kind in KINDS[:2] else 401), (
            tried
        )
    for method, body in (("PUT", b"x"), ("DELETE", None), ("POST", b"x"), ("PATCH", b"{}")):
        assert us.nobody.ask(method, target, body).status in (401, 405), method
    assert us.nobody.ask("GET", target).body == b"two"


def test_every_other_spelling_of_a_signature_opens_nothing(us: Party, paths: dict[str, str]) -> None:
    head, _, signature = sign(us.writer, paths["uuid"]).partition("casd-signature=")

    for at in range(0, len(signature) - 1, 3):
        changed = signature[:at] + ("A" if signature[at] != "A" else "B") + signature[at + 1 :]
        assert us.nobody.ask("GET", f"{head}casd-signature={changed}").status == 401, at
    for cut in (1, 2, 10, len(signature) - 1):
        assert us.nobody.ask("GET", f"{head}casd-signature={signature[:-cut]}").status == 401


@pytest.mark.parametrize(
    "name", ["a", "a b/c", "+&%#?=", "%2F", "ü/\U0001f98a", "x%25FF", "{}", "a;b:c@d", "~-._", "'\"<>"]
)
def test_a_url_of_any_name_works_as_it_stands(us: Party, name: str) -> None:
    us.publish(name, b"x")
    for spelling in (us.name(name), f"/v1/names/{us.namespace}/{quote(name, safe='')}"):
        target = sign(us.reader, spelling)

        assert us.nobody.ask("GET", target).body == b"x"
        with raw(us.daemon) as connection:  # the absolute form, as a proxy sends it
            connection.send(f"GET {us.daemon.url}{target} HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.answer().body == b"x"


UNSIGNABLE = [
    "/v1/blobs",
    "/v1/blobs/{uuid}",
    "/v1/blobs/{uuid}/metadata",
    "/v1/names/{ns}",
    "/v1/versions/{ns}/n",
    "/",
]
UNSIGNABLE += [
    "/v1/name-info/{ns}/n",
    "/v1/namespaces/{ns}",
    "/v1/tokens",
    "/v1/status",
    "/healthz",
    "/nowhere",
    "",
    "x",
]
UNSIGNABLE += [
    "v1/blobs/{uuid}/data",
    "//v1/blobs/{uuid}/data",
    "http://x/v1/blobs/{uuid}/data",
    "/v1/blobs/{uuid}/data/",
]
UNSIGNABLE += ["/v1/blobs/{uuid}/data#x", "/v1/blobs/{uuid}/data x", "/v1/blobs/{uuid}/data\n", "/v1/names/{ns}/%FF"]
UNSIGNABLE += [
    "/v1/names/{ns}/n?version=x",
    "/v1/names/{ns}/n?as_of=x",
    "/v1/names/{ns}/n?version=1&as_of=2026-01-01T00:00:00Z",
]
UNSIGNABLE += [
    "/v1/names/{ns}/n?version=1&version=2",
    "/v1/names/{ns}/a//b",
    "/v1/names/{ns}/../n",
    "/v1/names/{ns}/n%",
]
UNSIGNABLE += [
    "/v1/payloads/sha256/" + "0" * 64,
    "/v1/checksums/sha512/" + "0" * 128,
    "/v1/names/a b/n",
    "/" + "x" * 100_000,
]


@pytest.mark.parametrize("path", UNSIGNABLE, ids=lambda path: ascii(path[:50]))
def test_what_is_no_path_to_a_payload_cannot_be_signed(us: Party, path: str) -> None:
    us.publish("n")
    us.publish("n")
    path = path.replace("{uuid}", us.add()["uuid"]).replace("{ns}", us.namespace)

    answer = us.writer.ask("POST", "/v1/signed-urls", {"path": path, "expires_in": 60})

    assert refusal(answer) == (400, "invalid-input")


@pytest.mark.parametrize(
    "body",
    [{}, {"expires_in": 60}, {"path": None, "expires_in": 60}, {"path": 1, "expires_in": 60}, [], "x", {"path": "{}"}]
    + [{"path": "{}", "expires_in": value} for value in (0, 0.5, -1, "60", True, None, [], {}, 10**400)]
    + [{"path": "{}", "expires_in": 60, "method": "PUT"}],
    ids=lambda body: repr(body)[:40],
)
def test_a_wish_that_is_none_is_400(us: Party, body: Any) -> None:
    text = (
        json.dumps(body).replace("{}", f"/v1/blobs/{us.add()['uuid']}/data")
        if isinstance(body, dict) and body
        else json.dumps(body)
    )

    assert refusal(us.writer.ask("POST", "/v1/signed-urls", text.encode())) == (400, "invalid-input")


def test_what_is_absent_or_foreign_is_not_signed(us: Party, them: Party) -> None:
    them.settings(share_by_uuid=False)
    theirs, version = them.add(b"theirs"), them.publish("n", b"theirs")
    pairs = [
        (f"/v1/blobs/{theirs['uuid']}/data", "/v1/blobs/01890000-0000-7000-8000-000000000000/data"),
        (f"/v1/payloads/sha512/{version['blob']['sha512']}", f"/v1/payloads/sha512/{'0' * 128}"),
        (them.name("n"), "/v1/names/absent/n"),
        (f"{them.name('n')}?version=1", f"{us.name('absent')}?version=1"),
        ("/v1/blobs/x/data", "/v1/payloads/sha512/x"),
    ]
    for pair in pairs:
        codes = [refusal(us.writer.ask("POST", "/v1/signed-urls", {"path": path, "expires_in": 60})) for path in pair]
        assert {status for status, _ in codes} == {404}, pair
    body = {"path": f"/v1/blobs/{theirs['uuid']}/data", "expires_in": 60}
    assert refusal(us.nobody.ask("POST", "/v1/signed-urls", body)) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("wanted", "given_s"), [(1, 1), (1.5, 1.5), (WEEK_S, WEEK_S), (WEEK_S + 1, WEEK_S), (3 * 10**9, WEEK_S)]
)
def test_a_life_above_the_cap_is_clamped(us: Party, wanted: float, given_s: float) -> None:
    path = f"/v1/blobs/{us.add()['uuid']}/data"
    before = datetime.now(UTC)

    answer = us.writer.ask("POST", "/v1/signed-urls", {"path": path, "expires_in": wanted})

    assert answer.status == 200, answer.body
    ends_at = datetime.fromisoformat(answer.json["expires_at"])
    assert before + timedelta(seconds=given_s) <= ends_at <= datetime.now(UTC) + timedelta(seconds=given_s)


def test_a_url_lives_no_longer_than_its_token_or_its_time(us: Party) -> None:
    path = f"/v1/blobs/{us.add(b'x')['uuid']}/data"
    token = us.admin.ask(
        "POST", "/v1/tokens", {"name": "x", "role": "reader", "namespaces": [us.namespace], "expires_in": 2}
    )
    with Wire(us.daemon, token.json["token"]) as short:
        asked = short.ask("POST", "/v1/signed-urls", {"path": path, "expires_in": 3600}).json
    own = sign(us.reader, path, 1)
    by_token = asked["url"].removeprefix(us.daemon.url)
    deadline = time.monotonic() + PATIENCE_S

    assert asked["expires_at"] == token.json["expires_at"]
    for target in (by_token, own):
        while us.nobody.ask("GET", target).status == 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert refusal(us.nobody.ask("GET", target)) == (401, "unauthenticated")


def test_what_its_token_may_not_read_any_more_it_does_not_open(us: Party, them: Party) -> None:
    them.settings(share_by_uuid=False, readers=[us.namespace])
    them.publish("n", b"theirs")
    made = us.admin.ask("POST", "/v1/tokens", {"name": "x", "role": "reader", "namespaces": [us.namespace]}).json
    with Wire(us.daemon, made["token"]) as reader:
        target = sign(reader, them.name("n"))
        assert us.nobody.ask("GET", target).body == b"theirs"

        them.settings(readers=[])

        assert us.nobody.ask("GET", target).status in (401, 404)
    them.settings(readers=[us.namespace])
    assert us.nobody.ask("GET", target).status == 200
    us.admin.ask("DELETE", f"/v1/tokens/{made['id']}")
    assert refusal(us.nobody.ask("GET", target))[0] == 401


def test_a_url_of_a_name_follows_it_and_that_of_a_version_stays(us: Party, paths: dict[str, str]) -> None:
    name, version = sign(us.reader, paths["name"]), sign(us.reader, paths["version"])

    us.publish("d/n ü%.bin", b"three")

    assert us.nobody.ask("GET", name).body == b"three"
    assert us.nobody.ask("GET", version).body == b"two"
    us.writer.ask("DELETE", f"{paths['name']}?purge=1")
    assert {us.nobody.ask("GET", target).status for target in (name, version)} <= {401, 404}


def test_no_signature_is_logged(us: Party, paths: dict[str, str]) -> None:
    target = sign(us.reader, paths["name"])
    signature = target.partition("casd-signature=")[2]

    for tried in (
        target,
        target + "x",
        f"/nowhere?casd-signature={signature}",
        f"/v1/blobs?casd-signature={signature}",
    ):
        us.nobody.ask("GET", tried)
    with raw(us.daemon) as connection:  # a head that does not parse
        connection.send(f"GET {target} HTTP/1.1\r\nno colon\r\n\r\n")
        connection.rest()

    assert signature not in us.daemon.log
    assert us.namespace in us.daemon.log  # it does say what was asked for


# -- keys -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def own(new_daemon: Callable[..., Daemon]) -> Daemon:
    """A daemon whose keys are nobody else's."""
    started: Daemon = new_daemon(
        CASD_AUTH__SIGNED_URL_MAX_S="100", CASD_SERVER__PUBLIC_URL="https://casd.test/"
    ).start()
    return started


def test_keys_are_rotated_and_revoked_across_restarts_and_links_are_absolute(own: Daemon) -> None:
    with Wire(own) as admin, Wire(own, None) as nobody:
        path = f"/v1/blobs/{admin.ask('POST', '/v1/blobs', b'x').json['uuid']}/data"
        asked = admin.ask("POST", "/v1/signed-urls", {"path": path, "expires_in": 5000}).json
        first = sign(admin, path)
        made = admin.ask("POST", "/v1/signing-keys")
        second = sign(admin, path)
        known = items_of(admin.ask("GET", "/v1/signing-keys"))
        after_rotation = [nobody.ask("GET", target).status for target in (first, second)]

    assert asked["url"].startswith(f"https://casd.test{path}?")
    assert datetime.fromisoformat(asked["expires_at"]) <= datetime.now(UTC) + timedelta(seconds=100)
    assert made.status == 201
    assert not oddities(KEY, made.json)
    assert made.json in known
    assert len(known) == 2
    assert all(not oddities(KEY, key) for key in known)
    assert after_rotation == [200, 200]
    assert own.stop() == 0
    own.start()
    with Wire(own) as admin, Wire(own, None) as nobody:
        assert [nobody.ask("GET", target).status for target in (first, second)] == [200, 200]
        revoked = admin.ask("POST", "/v1/signing-keys?revoke=1")
        third = sign(admin, path)
        assert [nobody.ask("GET", target).status for target in (first, second, third)] == [401, 401, 200]
        assert items_of(admin.ask("GET", "/v1/signing-keys")) == [revoked.json]
        assert revoked.json["id"] not in [key["id"] for key in known]  # never reused
        assert refusal(admin.ask("POST", "/v1/signing-keys?revoke=yes"))[0] == 400
