"""Signed URLs: one path, for a while, for whom the token that signed may still read (DESIGN.md 8)."""

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from uuid import uuid4

import pytest

from tests.conftest import Daemon
from tests.fakes import Clock
from tests.web.party import Party, is_time
from tests.web.test_expiry import Ask, told
from tests.web.wire import Answer, Wire, stored

DAY_S = 86_400
NAME = "images/50% & ü?.bin"


def sign(wire: Wire, path: str, expires_in: float = 60) -> Answer:
    return wire.ask("POST", "/v1/signed-urls", {"path": path, "expires_in": expires_in})


def signed(wire: Wire, path: str, expires_in: float = 60) -> str:
    """The path and query of a signed URL."""
    answer = sign(wire, path, expires_in)
    assert answer.status == 200, answer.body
    return target(answer.json["url"])


def target(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def paths(party: Party, data: bytes = b"x") -> list[str]:
    """A path of each kind that can be signed; each has the data."""
    version = party.publish(NAME, data)
    return [
        f"/v1/blobs/{version['blob']['uuid']}/data",
        f"/v1/payloads/sha512/{version['blob']['sha512']}",
        party.name(NAME),
        f"{party.name(NAME)}?version=1",
        f"{party.name(NAME)}?as_of={quote(version['created_at'])}",
    ]


def test_a_signed_url_opens_its_path_to_nobody_in_particular(us: Party) -> None:
    data = uuid4().bytes  # by digest, equal bytes may be open elsewhere
    for path in paths(us, data):
        answer = sign(us.reader, path)

        url = answer.json["url"]
        assert (answer.status, set(answer.json)) == (200, {"url", "expires_at"})
        assert url.startswith(us.daemon.url)
        assert is_time(answer.json["expires_at"])
        assert us.nobody.ask("GET", path).status == 401
        assert us.nobody.ask("GET", target(url)).body == data
        assert us.nobody.ask("HEAD", target(url)).status == 200
        part = us.nobody.ask("GET", target(url), headers={"Range": "bytes=0-0"})
        assert (part.status, part["Content-Range"]) == (206, "bytes 0-0/16")


def test_a_signed_url_opens_nothing_else(us: Party) -> None:
    one, other = us.add(b"one")["uuid"], us.add(b"other")["uuid"]
    us.publish("a")
    us.publish("a", b"second")
    for_blob = parse_qs(urlsplit(signed(us.writer, f"/v1/blobs/{one}/data")).query)["casd-signature"][0]
    for_version = signed(us.writer, f"{us.name('a')}?version=1")
    signature = f"casd-signature={for_blob}"

    refused = [
        ("GET", f"/v1/blobs/{other}/data?{signature}"),
        ("GET", f"/v1/blobs/{one}?{signature}"),
        ("GET", f"/v1/blobs/{one}/metadata?{signature}"),
        ("DELETE", f"/v1/blobs/{one}?{signature}"),
        ("GET", f"/v1/blobs?{signature}"),
        ("POST", f"/v1/blobs?{signature}"),
        ("GET", f"/v1/blobs/{one}/data?{signature}&offset=1"),
        ("GET", f"/v1/blobs/{one}/data?{signature}&inline=1"),
        ("GET", for_version.replace("version=1", "version=2")),
        ("GET", for_version.replace("version=1&", "")),
        ("PUT", for_version),
        ("DELETE", for_version),
    ]

    assert [us.nobody.ask(method, url).status for method, url in refused] == [401] * len(refused)
    assert us.nobody.ask("GET", for_version).body == b"x"


def test_a_signature_that_was_changed_anywhere_opens_nothing(us: Party) -> None:
    url = signed(us.writer, f"/v1/blobs/{us.add()['uuid']}/data")
    path, _, signature = url.partition("?casd-signature=")
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))

    forged = [bytes([*raw[:at], raw[at] ^ 1, *raw[at + 1 :]]) for at in range(len(raw))]
    texts = [base64.urlsafe_b64encode(data).decode().rstrip("=") for data in forged]
    texts += ["", "x", "=", signature[:-4], signature + "AAAA", "%FF", "ä", "A" * 5000, "A" * 82]

    for text in texts:
        answer = us.nobody.ask("GET", f"{path}?casd-signature={quote(text, safe='%')}")
        assert (answer.status, answer.json["code"]) == (401, "unauthenticated"), text
        assert answer["WWW-Authenticate"]
    assert us.nobody.ask("GET", url).status == 200


def test_it_does_not_matter_how_a_client_writes_the_path(us: Party) -> None:
    us.publish("a/~b (c)")
    url = signed(us.writer, us.name("a/~b (c)"))

    for written in (
        url.replace("~", "%7E"),
        url.replace("%20", "%20").replace("(", "%28"),
        url.replace("/a/", "/a%2F"),
    ):
        assert us.nobody.ask("GET", written).body == b"x", written


def test_only_payloads_can_be_signed_and_only_well_formed_paths(us: Party) -> None:
    uuid = us.add()["uuid"]
    bad = ["/v1/blobs", f"/v1/blobs/{uuid}", f"/v1/blobs/{uuid}/metadata", "/healthz", "/", "", "v1/blobs", "//v1"]
    bad += [f"http://other/v1/blobs/{uuid}/data", f"/v1/blobs/{uuid}/data#x", f"/v1/blobs/{uuid}/data ", "/\u00fc"]
    bad += ["/v1/blobs/\nx/data", f"/v1/names/{us.namespace}/a//b", f"/v1/names/{us.namespace}/", "/v1/names/~/a"]
    bad += [f"{us.name('a')}?version=x", f"{us.name('a')}?version=1&as_of=2026-01-01T00:00:00Z", "/v1/names/%FF/a"]
    bad += [f"{us.name('a')}?%FF=1", "/v1/names/ns/" + "a" * 9000, "/%"]

    answers = {path: sign(us.writer, path).status for path in bad}

    assert answers == dict.fromkeys(bad, 400)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"path": None, "expires_in": 9},
        {"path": 5, "expires_in": 9},
        {"path": "/v1/blobs/x/data"},
        {"path": "/v1/blobs/x/data", "expires_in": 0},
        {"path": "/v1/blobs/x/data", "expires_in": 0.5},
        {"path": "/v1/blobs/x/data", "expires_in": -1},
        {"path": "/v1/blobs/x/data", "expires_in": True},
        {"path": "/v1/blobs/x/data", "expires_in": "soon"},
        {"path": "/v1/blobs/x/data", "expires_in": None},
        {"path": "/v1/blobs/x/data", "expires_in": 9, "method": "PUT"},
        [],
    ],
)
def test_a_bad_request_to_sign_is_400(us: Party, body: Any) -> None:
    assert us.writer.ask("POST", "/v1/signed-urls", body).status == 400


def test_nobody_signs_what_it_may_not_read_and_foreign_is_as_absent(us: Party, them: Party) -> None:
    us.settings(share_by_uuid=False)
    absent = [
        "/v1/blobs/00000000-0000-7000-8000-000000000000/data",
        f"/v1/payloads/sha512/{'ab' * 64}",
        f"/v1/names/{us.namespace}/absent",
    ]

    for path in (*paths(us, uuid4().bytes), *absent):  # by digest, equal bytes may be open elsewhere
        assert sign(them.reader, path).status == 404
        assert sign(us.nobody, path).status == 401


def test_the_time_that_is_asked_for_is_clamped(us: Party) -> None:
    path = f"/v1/blobs/{us.add()['uuid']}/data"

    ends_at = datetime.fromisoformat(sign(us.writer, path, 1e9).json["expires_at"])

    week = datetime.now(UTC) + timedelta(days=7)
    assert week - timedelta(minutes=5) < ends_at <= week


def test_a_cache_keeps_it_no_longer_than_the_url_lives_and_for_nobody_else(us: Party) -> None:
    us.settings(anonymous_read=True)
    path = f"/v1/blobs/{us.add()['uuid']}/data"

    policy = us.nobody.ask("GET", signed(us.writer, path, 50))["Cache-Control"]

    private, immutable, age = policy.split(", ")
    assert (private, immutable) == ("private", "immutable")
    assert 0 < int(age.removeprefix("max-age=")) <= 50
    us.publish("n")
    assert us.nobody.ask("GET", signed(us.writer, us.name("n")))["Cache-Control"] == "no-cache"


def test_no_signature_reaches_the_log(us: Party) -> None:
    url = signed(us.writer, f"/v1/blobs/{us.add()['uuid']}/data")
    us.nobody.ask("GET", url)
    us.nobody.ask("GET", url + "&x=1")

    signature = url.partition("casd-signature=")[2]
    assert signature not in us.daemon.log
    assert "casd-signature" not in us.daemon.log


# -- at use -------------------------------------------------------------------------------------------------------


def test_a_revoked_token_signs_no_more_than_it_opens(us: Party) -> None:
    made = us.admin.ask("POST", "/v1/tokens", {"name": "x", "role": "reader", "namespaces": [us.namespace]}).json
    with Wire(us.daemon, made["token"]) as wire:
        url = signed(wire, f"/v1/blobs/{us.add()['uuid']}/data")
    assert us.nobody.ask("GET", url).status == 200

    us.admin.ask("DELETE", f"/v1/tokens/{made['id']}")

    assert us.nobody.ask("GET", url).status == 401


def test_a_url_opens_nothing_that_its_token_may_not_read_any_more(us: Party, them: Party) -> None:
    us.settings(readers=[them.namespace], share_by_uuid=False)
    path = paths(us)[0]
    url = signed(them.reader, path)
    assert us.nobody.ask("GET", url).status == 200

    us.settings(readers=[])

    assert us.nobody.ask("GET", url).status == 404


def test_a_url_ends_at_its_time_and_with_its_token(tmp_path: Path) -> None:
    async def story(ask: Ask, clock: Clock) -> None:
        _, blob = await ask("POST", "/v1/blobs", b"abc")
        body = {"name": "short", "role": "reader", "namespaces": ["default"], "expires_in": 100}
        _, made = await ask("POST", "/v1/tokens", body)
        wanted = {"path": f"/v1/blobs/{blob['uuid']}/data", "expires_in": 60}
        _, minute = await ask("POST", "/v1/signed-urls", wanted, token=made["token"])
        _, longer = await ask("POST", "/v1/signed-urls", wanted | {"expires_in": 1000}, token=made["token"])

        assert longer["expires_at"] == made["expires_at"]
        clock.move(seconds=60, microseconds=-1)
        assert await ask("GET", target(minute["url"]), token="") == (200, b"abc")
        clock.move(microseconds=1)
        assert (await ask("GET", target(minute["url"]), token=""))[0] == 401
        assert (await ask("GET", target(longer["url"]), token=""))[0] == 200
        clock.move(seconds=40)
        assert (await ask("GET", target(longer["url"]), token=""))[0] == 401

    told(tmp_path, story)


# -- keys ---------------------------------------------------------------------------------------------------------


def test_keys_are_rotated_and_revoked(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon().start()
    with Wire(daemon) as admin, Wire(daemon, None) as nobody:
        path = f"/v1/blobs/{stored(admin, b'abc').json['uuid']}/data"
        first = signed(admin, path)
        (key,) = admin.ask("GET", "/v1/signing-keys").json["items"]
        made = admin.ask("POST", "/v1/signing-keys")
        second = signed(admin, path)

        assert (made.status, set(made.json)) == (201, {"id", "created_at"})
        assert admin.ask("GET", "/v1/signing-keys").json == {"items": [key, made.json], "next": None}
        assert [nobody.ask("GET", url).status for url in (first, second)] == [200, 200]
        assert admin.ask("POST", "/v1/signing-keys?revoke=1").status == 201
        assert [nobody.ask("GET", url).status for url in (first, second)] == [401, 401]
        third = signed(admin, path)

    assert daemon.stop() == 0
    daemon.start()
    with Wire(daemon, None) as nobody:
        assert nobody.ask("GET", third).body == b"abc"  # keys outlive the daemon


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_keys_are_for_admins(us: Party, method: str) -> None:
    assert us.writer.ask(method, "/v1/signing-keys").status == 403
    assert us.nobody.ask(method, "/v1/signing-keys").status == 401


def test_the_catalogue_that_keeps_them_is_for_its_owner_alone(us: Party) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in us.daemon.data.glob("catalogue.sqlite3*")}

    assert set(modes.values()) == {0o600}, modes


# -- where links lead ---------------------------------------------------------------------------------------------


def test_links_lead_where_the_configuration_says(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon(CASD_SERVER__PUBLIC_URL="https://blobs.example.org/store/").start()
    with Wire(daemon) as admin:
        path = f"/v1/blobs/{stored(admin, b'abc').json['uuid']}/data"

        url = sign(admin, path).json["url"]

        assert url.startswith(f"https://blobs.example.org/store{path}?casd-signature=")
        assert admin.ask("GET", target(url).removeprefix("/store")).body == b"abc"


def test_forwarded_headers_count_from_trusted_proxies_only(new_daemon: Callable[..., Daemon], us: Party) -> None:
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "blobs.example.org"}
    body = {"path": f"/v1/blobs/{us.add()['uuid']}/data", "expires_in": 9}
    assert us.writer.ask("POST", "/v1/signed-urls", body, headers).json["url"].startswith(us.daemon.url)

    daemon = new_daemon(CASD_SERVER__TRUSTED_PROXIES="127.0.0.0/8").start()
    with Wire(daemon) as admin:
        body["path"] = f"/v1/blobs/{stored(admin, b'abc').json['uuid']}/data"
        url = admin.ask("POST", "/v1/signed-urls", body, headers).json["url"]

    assert url.startswith("https://blobs.example.org/v1/")


def test_a_signature_is_an_hmac_over_what_it_opens(us: Party) -> None:
    """The key itself never leaves the catalogue: not in a URL, not in an answer."""
    url = signed(us.writer, f"/v1/blobs/{us.add()['uuid']}/data")
    signature = url.partition("casd-signature=")[2]
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))

    assert len(raw) == 29 + hashlib.sha256().digest_size
