"""The life of credentials: other secrets for the same token, and their end in the middle of a transfer."""

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from casd import auth
from casd.model import Role, Token
from casd.uuids import new_uuid
from tests.conftest import Daemon, connection_to
from tests.fakes import Clock
from tests.web.house import open_house, run_on
from tests.web.party import Party
from tests.web.wire import Wire, ask, wait_until

BIG = bytes(48 << 20)  # more than any socket's buffers hold


def made(party: Party, role: str = "writer", **more: Any) -> dict[str, Any]:
    body = {"name": "node", "role": role, "namespaces": [party.namespace]} | more
    answer = party.admin.ask("POST", "/v1/tokens", body)
    assert answer.status == 201, answer.body
    token: dict[str, Any] = answer.json
    return token


def whoami(party: Party, secret: str) -> int:
    return ask(party.daemon, "GET", "/v1/whoami", None, {"Authorization": f"Bearer {secret}"}).status


def rotated(party: Party, token: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = party.admin.ask("POST", f"/v1/tokens/{token['id']}/rotate", body)
    assert answer.status == 200, answer.body
    new: dict[str, Any] = answer.json
    return new


# -- another secret -----------------------------------------------------------------------------------------------


def test_a_rotated_token_is_the_same_with_two_secrets_for_a_while(us: Party) -> None:
    token = made(us, expires_in=10_000)

    new = rotated(us, token)

    changed = {"token", "rotated_at", "last_used_at"}
    assert {key: new[key] for key in token.keys() - changed} == {key: token[key] for key in token.keys() - changed}
    assert new["token"] != token["token"]
    assert new["old_secret_until"] > new["rotated_at"]
    assert [whoami(us, secret["token"]) for secret in (token, new)] == [200, 200]


def test_without_an_overlap_the_old_secrets_end_at_once(us: Party) -> None:
    token = made(us)
    second = rotated(us, token)

    third = rotated(us, token, overlap_s=0)

    assert [whoami(us, secret["token"]) for secret in (token, second, third)] == [401, 401, 200]


def test_rotating_can_move_the_end(us: Party) -> None:
    token = made(us, expires_in=10_000)

    assert rotated(us, token)["expires_at"] == token["expires_at"]
    assert rotated(us, token, expires_in=20_000)["expires_at"] > token["expires_at"]
    assert rotated(us, token, expires_in=None)["expires_at"] is None


def test_what_a_token_has_signed_and_begun_goes_on_after_its_rotation(us: Party) -> None:
    token = made(us)
    with Wire(us.daemon, token["token"]) as wire:
        blob = wire.ask("POST", "/v1/blobs", b"abc").json
        url = wire.ask("POST", "/v1/signed-urls", {"path": f"/v1/blobs/{blob['uuid']}/data", "expires_in": 60}).json
        upload = wire.ask("POST", "/v1/uploads", None, {"Tus-Resumable": "1.0.0", "Upload-Length": "3"})["Location"]
    new = rotated(us, token, overlap_s=0)
    part = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}

    with Wire(us.daemon, new["token"]) as wire:
        done = wire.ask("PATCH", str(upload), b"xyz", part)
    read = us.nobody.ask("GET", url["url"].removeprefix(us.daemon.url))

    assert (done.status, read.body) == (204, b"abc")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"overlap_s": -1}, 400),
        ({"overlap_s": 1e12}, 400),
        ({"overlap_s": "1"}, 400),
        ({"expires_in": 0}, 400),
        ({"what": 1}, 400),
    ],
)
def test_a_rotation_that_cannot_be_is_refused(us: Party, body: dict[str, Any], status: int) -> None:
    token = made(us)

    assert us.admin.ask("POST", f"/v1/tokens/{token['id']}/rotate", body).status == status
    assert whoami(us, token["token"]) == 200


def test_what_is_revoked_or_unknown_is_not_rotated(us: Party) -> None:
    token = made(us)
    us.admin.ask("DELETE", f"/v1/tokens/{token['id']}")

    assert us.admin.ask("POST", f"/v1/tokens/{token['id']}/rotate", {}).status == 409
    assert us.admin.ask("POST", f"/v1/tokens/{UUID(int=1)}/rotate", {}).status == 404
    assert us.writer.ask("POST", f"/v1/tokens/{token['id']}/rotate", {}).status == 403


def test_the_old_secret_ends_with_its_overlap_and_with_the_token(tmp_path: Path) -> None:
    async def work() -> list[bool]:
        clock = Clock()
        async with open_house(tmp_path / "house", now=clock) as house:
            catalogue, now = house.store.catalogue, clock()
            ends = now + timedelta(hours=2)
            token = Token(new_uuid(), "node", Role.READER, ("default",), now, ends)
            await catalogue.add_token(token, auth.secret_hash("one"))
            await catalogue.rotate_token(token.uuid, auth.secret_hash("two"), now, now + timedelta(hours=1), {})
            await catalogue.rotate_token(token.uuid, auth.secret_hash("three"), now, now + timedelta(hours=3), {})

            async def good(secret: str) -> bool:
                found = await catalogue.token(auth.secret_hash(secret))
                return found is not None and found.expires_at is not None and found.expires_at > clock()

            seen = [await good("one"), await good("two")]
            clock.move(hours=1)
            seen += [await good("one"), await good("two")]
            clock.move(hours=1)
            seen += [await good("two"), await good("three")]
            await catalogue.expire_credentials(clock() + timedelta(hours=1), clock())
            seen.append(await catalogue.token(auth.secret_hash("two")) is not None)
            return seen

    assert run_on("asyncio", work()) == [True, True, False, True, False, False, False]


# -- last use -----------------------------------------------------------------------------------------------------


def test_when_a_token_was_used_last_is_told(us: Party) -> None:
    used, unused = made(us), made(us)
    assert whoami(us, used["token"]) == 200

    listed = {item["id"]: item for item in us.admin.ask("GET", "/v1/tokens?limit=1000").json["items"]}

    assert listed[used["id"]]["last_used_at"] >= used["created_at"]
    assert listed[unused["id"]]["last_used_at"] is None


def test_last_use_outlives_the_daemon(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon().start()
    with Wire(daemon) as admin:
        admin.ask("GET", "/v1/whoami")
    assert daemon.stop() == 0
    daemon.start()
    with Wire(daemon) as admin:
        (token,) = admin.ask("GET", "/v1/tokens").json["items"]
    assert token["last_used_at"] is not None
    assert daemon.stop() == 0


# -- the end of a transfer ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def big(shared_daemon: Daemon) -> Iterator[dict[str, Any]]:
    blob: dict[str, Any] = ask(shared_daemon, "POST", "/v1/blobs", BIG).json
    yield blob
    ask(shared_daemon, "DELETE", f"/v1/blobs/{blob['uuid']}")


@contextmanager
def begun(daemon: Daemon, target: str, secret: str | None) -> Iterator[http.client.HTTPResponse]:
    """A download whose first bytes have come, and whose others nobody takes yet."""
    with closing(connection_to(daemon.url, 60)) as connection:
        connection.request("GET", target, headers={"Authorization": f"Bearer {secret}"} if secret else {})
        with closing(connection.getresponse()) as response:
            assert (response.status, len(response.read(1000))) == (200, 1000)
            yield response


def is_cut(response: http.client.HTTPResponse) -> bool:
    try:
        return len(response.read()) < len(BIG) - 1000
    except (http.client.IncompleteRead, ConnectionError):
        return True


@pytest.mark.parametrize("way", ["revoked", "rotated", "signed"])
def test_a_download_is_cut_when_its_token_ends(us: Party, big: dict[str, Any], way: str) -> None:
    token, path = made(us), f"/v1/blobs/{big['uuid']}/data"
    target, secret = path, token["token"]
    if way == "signed":
        with Wire(us.daemon, token["token"]) as wire:
            url = wire.ask("POST", "/v1/signed-urls", {"path": path, "expires_in": 60}).json["url"]
        target, secret = url.removeprefix(us.daemon.url), None
    with begun(us.daemon, path, made(us)["token"]) as stays, begun(us.daemon, target, secret) as ends:
        if way == "rotated":
            rotated(us, token, overlap_s=0)
        else:
            assert us.admin.ask("DELETE", f"/v1/tokens/{token['id']}").status == 204

        assert is_cut(ends)
        assert not is_cut(stays)
    wait_until(lambda: "ending=revoked" in us.daemon.log, "the log tells why")


def test_a_download_goes_on_while_the_overlap_lasts(us: Party, big: dict[str, Any]) -> None:
    token = made(us)
    with begun(us.daemon, f"/v1/blobs/{big['uuid']}/data", token["token"]) as response:
        rotated(us, token)

        assert not is_cut(response)


def test_an_upload_is_refused_at_its_next_piece(us: Party) -> None:
    token = made(us)
    for target, method, more in (
        ("/v1/blobs", "POST", {}),
        (us.name("n"), "PUT", {}),
        (f"/workspaces/{us.namespace}/files", "POST", {"Content-Type": "multipart/form-data; boundary=x"}),
    ):
        secret = made(us) if target != "/v1/blobs" else token
        before = us.admin.ask("GET", f"/v1/blobs?namespace={us.namespace}").json["items"]
        with closing(connection_to(us.daemon.url, 60)) as connection:
            connection.putrequest(method, target)
            for name, value in {"Authorization": f"Bearer {secret['token']}", "Content-Length": "3000", **more}.items():
                connection.putheader(name, value)
            connection.endheaders(b"--x\r\n" if more else b"x" * 1000)
            wait_until(lambda: us.admin.ask("GET", "/v1/status").json["queues"]["requests"] > 1, "the upload has begun")
            assert us.admin.ask("DELETE", f"/v1/tokens/{secret['id']}").status == 204
            connection.send(b"y" * 1000)
            answer = connection.getresponse()
            assert answer.status == 401
            answer.read()
        assert us.admin.ask("GET", f"/v1/blobs?namespace={us.namespace}").json["items"] == before


# -- signing keys -------------------------------------------------------------------------------------------------


def test_a_retired_key_kills_what_it_signed_and_the_newest_stays(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon().start()
    with Wire(daemon) as admin:
        uuid = admin.ask("POST", "/v1/blobs", b"abc").json["uuid"]
        wanted = {"path": f"/v1/blobs/{uuid}/data", "expires_in": 60}
        old = admin.ask("POST", "/v1/signed-urls", wanted).json["url"].removeprefix(daemon.url)
        first = admin.ask("GET", "/v1/signing-keys").json["items"][0]["id"]
        newest = admin.ask("POST", "/v1/signing-keys").json["id"]
        new = admin.ask("POST", "/v1/signed-urls", wanted).json["url"].removeprefix(daemon.url)
        with Wire(daemon, None) as nobody:
            before = [nobody.ask("GET", url).status for url in (old, new)]
            answers = [
                admin.ask("DELETE", f"/v1/signing-keys/{id}").status for id in (newest, first, first, "x", 10**30)
            ]
            after = [nobody.ask("GET", url).status for url in (old, new)]
        status = admin.ask("GET", "/v1/status").json["credentials"]
    assert (before, answers, after) == ([200, 200], [409, 204, 404, 404, 404], [401, 200])
    assert (status["signing_keys"], status["signing_key"]["id"]) == (1, newest)
    assert daemon.stop() == 0


def test_upkeep_retires_a_key_when_nothing_that_it_signed_is_good_any_more(tmp_path: Path) -> None:
    async def work() -> list[list[int]]:
        clock = Clock()
        async with open_house(tmp_path / "house", now=clock) as house:
            catalogue, seen = house.store.catalogue, []

            async def expire() -> None:
                await catalogue.expire_credentials(clock(), clock() - timedelta(days=7))
                seen.append([key.id for key in await catalogue.signing_keys()])

            clock.move(days=30)
            await catalogue.add_signing_key(b"s" * 32, clock())
            await expire()
            clock.move(days=6)
            await catalogue.add_signing_key(b"t" * 32, clock())
            await expire()
            clock.move(days=2)
            await expire()
            clock.move(days=90)
            await expire()
            return seen

    assert run_on("asyncio", work()) == [[1, 2], [1, 2, 3], [2, 3], [3]]


# -- warnings -----------------------------------------------------------------------------------------------------


def test_status_warns_of_tokens_that_end_soon(us: Party) -> None:
    soon, later, revoked = made(us, expires_in=86_400), made(us, expires_in=90 * 86_400), made(us, expires_in=86_400)
    us.admin.ask("DELETE", f"/v1/tokens/{revoked['id']}")

    told = us.admin.ask("GET", "/v1/status").json["credentials"]["expiring"]

    assert {"id": soon["id"], "name": "node", "expires_at": soon["expires_at"]} in told
    assert not {later["id"], revoked["id"]} & {item["id"] for item in told}


# -- the admin token ----------------------------------------------------------------------------------------------


def test_rotating_the_local_admin_token_rewrites_its_file(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon().start()
    file = daemon.data / "admin.token"
    old = file.read_text().strip()
    with Wire(daemon) as admin:
        me = admin.ask("GET", "/v1/whoami").json
        new = admin.ask("POST", f"/v1/tokens/{me['id']}/rotate", {"overlap_s": 0}).json["token"]
    assert file.read_text().strip() == new != old
    assert file.stat().st_mode & 0o777 == 0o600
    assert daemon.stop() == 0
    daemon.start()  # and takes it for good
    assert file.read_text().strip() == new
    assert daemon.stop() == 0


def test_an_admin_token_is_taken_from_a_file(new_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    given = tmp_path / "given"
    for number, secret in enumerate(("a" * 32, "b" * 40)):
        given.write_text(secret + "\n")
        given.chmod(0o600)
        daemon = new_daemon(CASD_AUTH__ADMIN_TOKEN_FILE=str(given))
        daemon.start()
        with Wire(daemon, secret) as admin:
            me = admin.ask("GET", "/v1/whoami").json
            assert (me["role"], me["name"]) == ("admin", "admin from outside"), number
        assert not (daemon.data / "admin.token").exists()
        assert secret not in daemon.log
        assert daemon.stop() == 0


@pytest.mark.parametrize("text", ["", "short", "x" * 40 + " y", "ü" * 40])
def test_a_file_without_a_good_secret_keeps_the_daemon_from_starting(
    new_daemon: Callable[..., Daemon], tmp_path: Path, text: str
) -> None:
    given = tmp_path / "given"
    given.write_text(text)
    daemon = new_daemon(CASD_AUTH__ADMIN_TOKEN_FILE=str(given))

    with pytest.raises(Exception, match="at least 32"):
        daemon.start()


def test_json_of_a_rotation_is_the_only_place_of_its_secret(us: Party) -> None:
    token = made(us)
    new = rotated(us, token)
    listed = us.admin.ask("GET", "/v1/tokens?limit=1000").body.decode() + us.admin.ask("GET", "/v1/audit").body.decode()

    for secret in (token["token"], new["token"]):
        assert secret not in listed + us.daemon.log
        assert json.dumps(secret) not in listed
