"""Craft AI's API on the wire: who may, what is listed, what links open, how errors look."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import ClientError, ClientSession

from casd.dialects.craftai import CRAFTAI, objects
from casd.errors import StorageFailed
from tests.conftest import Daemon
from tests.dialects.craftai.conftest import (
    ABSENT,
    END,
    FORM_TYPE,
    STORE,
    User,
    claims_of,
    end_body,
    field,
    file_field,
    form,
    json_name,
    part_body,
    xml_code,
)
from tests.fakes import Clock
from tests.web.house import open_house
from tests.web.wire import Answer, has_payload, head, incoming, raw, wait_until

OLD = "0.33.9"  # the last whose lists are arrays
FORM = "application/x-www-form-urlencoded"


# -- access -------------------------------------------------------------------------------------------------------


def test_a_token_is_traded_for_a_jwt_of_an_hour(us: User) -> None:
    claims = claims_of(us.jwt)

    assert claims["exp"] - claims["iat"] == 3600
    assert us.ask("GET", "/list").status == 200


def test_a_jwt_lives_no_longer_than_its_token(us: User) -> None:
    claims = claims_of(us.refreshed(us.party.token("writer", expires_in=100)))

    assert claims["exp"] - claims["iat"] <= 100


def test_a_jwt_dies_with_its_token(us: User) -> None:
    body = {"name": "n", "role": "writer", "namespaces": [us.environment]}
    made = us.party.admin.ask("POST", "/v1/tokens", body).json
    jwt = us.refreshed(made["token"])
    assert us.ask("GET", "/list", jwt=jwt).status == 200

    assert us.party.admin.ask("DELETE", f"/v1/tokens/{made['id']}").status == 204

    assert us.ask("GET", "/list", jwt=jwt).status == 401


def test_a_jwt_dies_with_the_key_that_signed_it(new_daemon: Callable[..., Daemon]) -> None:
    user = User(new_daemon().start())
    jwt, link = user.jwt, user.upload_link("a")

    assert user.party.admin.ask("POST", "/v1/signing-keys?revoke=1").status == 201

    assert user.ask("GET", "/list", jwt=jwt).status == 401
    assert user.post(link, b"x").status == 401
    assert user.ask("GET", "/list", jwt=user.refreshed(user.token)).status == 200
    user.close()


def encoded(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def forged(us: User, how: str) -> str:
    header, claims, signature = us.jwt.split(".")
    facts = claims_of(us.jwt)
    longer = encoded(facts | {"exp": facts["exp"] + 9999})
    none = encoded({"alg": "none", "typ": "JWT", "kid": "1"})
    return {
        "longer": f"{header}.{longer}.{signature}",
        "unsigned": f"{none}.{claims}.",
        "key unknown": f"{encoded({'alg': 'HS256', 'kid': '999'})}.{claims}.{signature}",
        "key not a number": f"{encoded({'alg': 'HS256', 'kid': 'x'})}.{claims}.{signature}",
        "key a list": f"{encoded({'alg': 'HS256', 'kid': [1]})}.{claims}.{signature}",
        "key huge": f"{encoded({'alg': 'HS256', 'kid': '9' * 5000})}.{claims}.{signature}",
        "key too large": f"{encoded({'alg': 'HS256', 'kid': '9' * 30})}.{claims}.{signature}",
        "no key": f"{encoded({'alg': 'HS256'})}.{claims}.{signature}",
        "head no object": f"{base64.urlsafe_b64encode(b'[1]').decode().rstrip('=')}.{claims}.{signature}",
        "key empty": signed_by(b"", header, claims),
        "not a jwt": "a.b.c",
        "dots": "..",
    }[how]


def signed_by(secret: bytes, header: str, claims: str) -> str:
    mac = hmac.digest(secret, f"{header}.{claims}".encode(), hashlib.sha256)
    return f"{header}.{claims}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


KEYS = ["key unknown", "key not a number", "key a list", "key huge", "key too large", "no key", "key empty"]


@pytest.mark.parametrize("how", ["longer", "unsigned", *KEYS, "head no object", "not a jwt", "dots"])
def test_a_jwt_that_is_not_ours_opens_nothing(us: User, how: str) -> None:
    answer = us.ask("GET", "/list", jwt=forged(us, how))

    assert (answer.status, json_name(answer)) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("body", "status"), [({"refresh_token": "casd_wrong"}, 401), ({}, 400), ({"refresh_token": 1}, 400), (b"{", 400)]
)
def test_a_refresh_wants_a_good_token(us: User, body: Any, status: int) -> None:
    answer = us.wire.ask("POST", "/api/v1/auth/refresh", body)

    assert answer.status == status
    assert json_name(answer)


def test_an_access_token_is_not_traded_for_another(us: User) -> None:
    """It would live for ever by that."""
    assert us.wire.ask("POST", "/api/v1/auth/refresh", {"refresh_token": us.jwt}).status == 401


def test_the_token_itself_is_taken_as_well(us: User) -> None:
    assert us.ask("GET", "/list", jwt=us.token).status == 200


async def test_a_jwt_and_a_link_end_after_an_hour(tmp_path: Path) -> None:
    clock = Clock()
    async with open_house(tmp_path, dialects=(CRAFTAI,), now=clock) as house, ClientSession() as session:
        url = f"http://127.0.0.1:{house.port}"
        refreshed = await session.post(f"{url}/api/v1/auth/refresh", json={"refresh_token": house.secret})
        headers = {"Authorization": f"Bearer {(await refreshed.json())['access_token']}"}
        asked = await session.get(f"{url}{STORE}/upload?path_to_object=a", headers=headers)
        link = (await asked.json())["signed_url"]

        clock.move(seconds=timedelta(hours=1).total_seconds() - 1)
        assert (await session.get(f"{url}{STORE}/list", headers=headers)).status == 200
        assert (await session.post(link, data=file_field(b"x") + END, headers=FORM_TYPE)).status == 204
        clock.move(seconds=1)

        assert (await session.get(f"{url}{STORE}/list", headers=headers)).status == 401
        assert (await session.post(link, data=file_field(b"x") + END, headers=FORM_TYPE)).status == 401


CALLS = [
    ("GET", f"{STORE}/list", None),
    ("POST", f"{STORE}/information", {"path_to_object": "a"}),
    ("POST", f"{STORE}/download", form("a")),
    ("DELETE", f"{STORE}/delete", form("a")),
    ("GET", f"{STORE}/upload", None),
    ("GET", f"{STORE}/upload?path_to_object=a", None),
    ("POST", f"{STORE}/upload/multipart", {"path_to_object": "a"}),
    ("POST", f"{STORE}/upload/multipart", form("a")),
    ("POST", f"{STORE}/upload/multipart/part", part_body(ABSENT, "a", 1, 5)),
    ("POST", f"{STORE}/upload/multipart/end", end_body(ABSENT, "a", [])),
    ("GET", f"{STORE}/upload/multipart/{ABSENT}?path_to_object=a&part_number=1", None),
    ("POST", f"{STORE}/upload/multipart/{ABSENT}", end_body(ABSENT, "a", [])),
]
WRITES = CALLS[3:]


def places(environment: str, path: str) -> str:
    return path.replace("/api/v1", f"/environments/{environment}/api/v1", 1)


def called(user: User, method: str, path: str, body: Any, **how: Any) -> Answer:
    return user.ask(method, path, body, prefix="", **how)


@pytest.mark.parametrize(("method", "path", "body"), [*CALLS, ("GET", "/api/v1/users/me", None)])
def test_nobody_may_call_anything(us: User, method: str, path: str, body: Any) -> None:
    answers = [called(us, method, path, body, jwt=None), called(us, method, path, body, jwt="casd_wrong")]
    if "users" not in path:
        answers.append(called(us, method, places(us.environment, path), body, jwt=None))

    for answer in answers:
        assert (answer.status, json_name(answer)) == (401, "unauthenticated")


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_another_environment_is_not_there(us: User, them: User, method: str, path: str, body: Any) -> None:
    them.store("a")

    theirs = called(us, method, places(them.environment, path), body)
    nowhere = called(us, method, places("nowhere", path), body)

    assert theirs.status == nowhere.status == 404
    assert json_name(theirs) == json_name(nowhere)
    assert them.paths() == ["a"]


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_readers_write_nothing(us: User, method: str, path: str, body: Any) -> None:
    us.store("a")
    id = us.start("a")
    path = path.replace(ABSENT, id)
    body = json.loads(json.dumps(body).replace(ABSENT, id)) if isinstance(body, dict) else body

    answer = called(us, method, path, body, jwt=us.reader_jwt)

    assert (answer.status, json_name(answer)) == (403, "forbidden")


def test_an_environment_that_lets_us_read_is_not_ours_to_write(us: User, them: User) -> None:
    them.store("a", b"theirs")
    them.party.settings(readers=[us.environment])
    prefix = f"/environments/{them.environment}{STORE}"

    link = us.link("POST", "/download", form("a"), prefix=prefix)

    assert us.wire.ask("GET", link).body == b"theirs"
    assert [item["path"] for item in us.ask("GET", "/list", prefix=prefix).json["items"]] == ["a"]
    for method, path, body in (("GET", "/upload?path_to_object=a", None), ("DELETE", "/delete", form("a"))):
        assert us.ask(method, path, body, prefix=prefix).status == 404


def test_an_environment_in_the_url_is_any_of_the_tokens_namespaces(us: User, them: User) -> None:
    them.store("a", b"theirs")
    jwt = us.refreshed(us.party.token("writer", them.environment))

    found = us.ask("GET", "/list", jwt=jwt, prefix=f"/environments/{them.environment}{STORE}")

    assert [item["path"] for item in found.json["items"]] == ["a"]
    assert us.ask("GET", "/list", jwt=jwt).json == {"items": []}


# -- lists --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowd(service: Daemon) -> Iterator[User]:
    """An environment of more objects than a page has, among them some in a folder."""
    user = User(service)
    blob = user.party.add(b"many")["uuid"]
    for index in range(1005):
        name = f"folder/{index:04}" if 500 <= index < 510 else f"{index:04}"
        assert user.party.writer.ask("PUT", f"{user.party.name(name)}?blob={blob}").status == 201
    user.party.publish("folders are not this")
    yield user
    user.close()


@pytest.mark.parametrize(
    ("version", "query", "is_array"),
    [
        ("0.15.0", "", True),
        (OLD, "", True),
        (None, "", True),
        (OLD, "?include_continuation_token=t", False),
        (None, "?include_continuation_token=t", False),
        ("0.34.0", "", False),
        ("0.74.7", "", False),
        ("1.0.0", "", False),
        ("garbage", "", True),
    ],
)
def test_the_shape_of_a_list_goes_by_the_sdks_age(us: User, version: str | None, query: str, is_array: bool) -> None:
    us.store("a", b"abc")

    told = us.ask("GET", f"/list{query}", version=version).json

    items = told if is_array else told.pop("items")
    assert is_array or told == {}
    assert [item["path"] for item in items] == ["a"]
    assert items[0]["size"] == 3


def test_an_array_has_all_objects(crowd: User) -> None:
    paths = [item["path"] for item in crowd.ask("GET", "/list", version=OLD).json]

    assert len(paths) == 1006
    assert paths == sorted(paths)


def test_an_array_of_many_has_no_body_for_head(crowd: User) -> None:
    assert crowd.ask("HEAD", "/list", version=OLD).status == 200
    assert crowd.ask("GET", "/list").status == 200  # on the same connection


async def test_an_array_that_cannot_be_ended_does_not_look_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PAGE", 2)
    async with open_house(tmp_path, dialects=(CRAFTAI,)) as house, ClientSession(headers=house.headers) as session:
        for name in ("a", "b", "c"):
            await house.store.bind(house.principal, (await house.add(b"x")).uuid, "default", name)
        url = f"http://127.0.0.1:{house.port}{STORE}/list"
        assert len(await (await session.get(url)).json()) == 3
        names = house.store.catalogue.names

        async def failing(namespace: str, prefix: str, limit: int, after: bytes | None, now: datetime) -> Any:
            if after is not None:
                raise StorageFailed("the disk is gone")
            return await names(namespace, prefix, limit, after, now)

        monkeypatch.setattr(house.store.catalogue, "names", failing)
        response = await session.get(url)

        assert response.status == 200
        with pytest.raises(ClientError):
            await response.read()


def test_pages_go_on_by_a_token_until_there_is_none(crowd: User) -> None:
    found, query = [], ""
    for _ in range(2):
        told = crowd.ask("GET", f"/list{query}").json
        found += [item["path"] for item in told["items"]]
        query = f"?continuation_token={quote(told.get('continuation_token', ''))}"

    assert "continuation_token" not in told
    assert found == [item["path"] for item in crowd.ask("GET", "/list", version=OLD).json]


@pytest.mark.parametrize("token", ["x", "%FF", "AAAA", ""])
def test_a_token_that_no_page_gave_is_refused(us: User, token: str) -> None:
    answer = us.ask("GET", f"/list?continuation_token={token}")

    assert (answer.status, json_name(answer)) == (400, "invalid-input")


@pytest.mark.parametrize("folder", ["folder", "folder/", "/folder", "folder//"])
def test_a_folder_has_what_is_below_it(crowd: User, folder: str) -> None:
    told = crowd.ask("GET", f"/list?folder_path={quote(folder, safe='')}").json

    assert [item["path"] for item in told["items"]] == [f"folder/{index:04}" for index in range(500, 510)]


def test_what_is_hidden_is_not_there(us: User) -> None:
    us.store("a")
    assert us.party.writer.ask("DELETE", us.party.name("a")).status == 204

    assert us.paths() == []
    for method, path, body in CALLS[1:4]:
        answer = called(us, method, path, body)
        assert (answer.status, json_name(answer)) == (404, "name-not-found")
    assert us.party.writer.ask("GET", f"{us.party.name('a')}?version=1").status == 200  # it can still be had back


# -- objects ------------------------------------------------------------------------------------------------------


def test_information_comes_as_integer_and_iso_text(us: User) -> None:
    us.store("a b/c", b"four")

    told = us.ask("POST", "/information", {"path_to_object": "a b/c"}).json

    assert (told["path"], told["size"]) == ("a b/c", 4)
    assert told["last_modified"].endswith("Z")


@pytest.mark.parametrize(("method", "path", "body"), CALLS[1:4])
def test_what_is_not_there_is_404_in_json(us: User, method: str, path: str, body: Any) -> None:
    answer = called(us, method, path, body)

    assert (answer.status, json_name(answer)) == (404, "name-not-found")


def test_an_object_that_is_stored_again_keeps_one_version(us: User) -> None:
    us.store("a", b"old")
    us.store("a", b"new")

    versions = us.party.writer.ask("GET", f"/v1/versions/{us.environment}/a").json["items"]

    assert [version["version"] for version in versions] == [2]
    assert us.fetch("a") == b"new"


def test_a_name_that_others_made_keeps_its_own_rule(us: User) -> None:
    us.party.publish("a", b"old")
    us.store("a", b"new")

    versions = us.party.writer.ask("GET", f"/v1/versions/{us.environment}/a").json["items"]

    assert [version["version"] for version in versions] == [1, 2]


def test_deleting_is_real(us: User) -> None:
    us.party.publish("a", b"one")
    us.store("a", b"two")

    answer = us.ask("DELETE", "/delete", form("a"))

    assert (answer.status, answer.json) == (200, {"path": "a"})
    assert us.party.writer.ask("GET", f"/v1/versions/{us.environment}/a").status == 404


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("application/json", b'{"path_to_object": 1}'),
        ("application/json", b'{"path_to_object": ""}'),
        ("application/json", b'{"path_to_object": "/"}'),
        ("application/json", b'{"path_to_object": "a/../b"}'),
        ("application/json", b'{"path_to_object": "a\\u0000b"}'),
        ("application/json", b'{"path_to_object": "\\ud800"}'),
        ("application/json", b"["),
        (FORM, b""),
        (FORM, b"path_to_object=%FF"),
        (FORM, b"path_to_object=a%00b"),
        (FORM, "path_to_object=ü".encode()),
        (FORM, b"&".join([b"a=b"] * 101)),
    ],
)
@pytest.mark.parametrize("call", ["information", "download", "upload/multipart"])
def test_a_body_without_a_good_path_is_refused(us: User, call: str, kind: str, body: bytes) -> None:
    answer = us.ask("POST", f"/{call}", body, **{"Content-Type": kind})

    assert answer.status == 400
    assert json_name(answer)


@pytest.mark.parametrize("path", ["", "a/..", "%FF", "%"])
def test_a_query_without_a_good_path_is_refused(us: User, path: str) -> None:
    answer = us.ask("GET", f"/upload?path_to_object={path}")

    assert (answer.status, json_name(answer)) == (400, "invalid-input")


# -- links --------------------------------------------------------------------------------------------------------


def test_a_form_lands_where_its_link_says(us: User) -> None:
    told = us.ask("GET", "/upload?path_to_object=a%2Fb").json

    assert set(told) == {"signed_url", "fields"}
    assert us.post(us.upload_link("a/b"), b"data", **told["fields"]).status == 204
    assert us.fetch("a/b") == b"data"
    blob = us.party.writer.ask("GET", f"/v1/versions/{us.environment}/a/b").json["items"][0]["blob"]
    assert (blob["filename"], blob["content_type"]) == ("b", "application/octet-stream")


def test_the_oldest_way_puts_the_key_behind_a_prefix(us: User) -> None:
    told = us.ask("GET", "/upload", version="0.15.0").json
    condition = json.loads(base64.b64decode(told["fields"]["policy"]))["conditions"][0]

    assert condition[:2] == ["starts-with", "$key"]
    link = told["signed_url"].removeprefix(us.daemon.url)
    assert us.post(link, b"one", **told["fields"], key=condition[2] + "a b").status == 204
    assert us.post(link, b"two", **told["fields"], key=condition[2] + "c").status == 204
    assert (us.fetch("a b"), us.fetch("c")) == (b"one", b"two")


def test_links_lead_where_the_client_is(us: User) -> None:
    answer = us.ask("GET", "/upload?path_to_object=a", Host="store.example:8443")

    assert answer.json["signed_url"].startswith("http://store.example:8443/api/v1/")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (file_field(b"x") + END, "InvalidRequest"),  # the key comes first
        (field("key", "a") + END, "InvalidRequest"),
        (field("key", "a/../b") + file_field(b"x") + END, "InvalidRequest"),
        (field("key", "a") + file_field(b"x"), "InvalidRequest"),
        (field("key", "a") + file_field(b"x")[:-1], "InvalidRequest"),
        (field("key", "x" * 9000) + file_field(b"x") + END, "EntityTooLarge"),
        (b"", "InvalidRequest"),
        (b"garbage", "InvalidRequest"),
    ],
)
def test_a_form_that_is_not_whole_stores_nothing(us: User, body: bytes, code: str) -> None:
    link = us.ask("GET", "/upload").json["signed_url"].removeprefix(us.daemon.url)
    before = incoming(us.daemon)

    answer = us.wire.ask("POST", link, body, FORM_TYPE)

    assert answer.status in (400, 413)
    assert xml_code(answer) == code
    assert us.paths() == []
    assert incoming(us.daemon) == before


def test_a_form_is_for_the_object_of_its_link(us: User) -> None:
    answer = us.post(us.upload_link("a"), b"x", key="b")

    assert (answer.status, xml_code(answer)) == (400, "InvalidRequest")
    assert us.paths() == []


def test_what_follows_the_file_says_nothing(us: User) -> None:
    body = field("key", "a") + file_field(b"first") + file_field(b"second") + field("key", "b") + END

    assert us.wire.ask("POST", us.upload_link("a"), body, FORM_TYPE).status == 204

    assert us.fetch("a") == b"first"


def test_a_link_opens_what_it_was_made_for_and_nothing_else(us: User) -> None:
    us.store("a", b"data")
    id = us.start("a")
    get, post, put = us.download_link("a"), us.upload_link("a"), us.part_link(id, "a", 1, 5)
    elsewhere = [link.replace("/a?", "/b?") for link in (get, post, put)]
    us.put(put, b"12345")
    older = us.link("GET", f"/upload/multipart/{id}?path_to_object=a&part_number=2")
    other_part = [older.replace("most=5", "most=6"), older.replace("part=2", "part=3")]
    other_part += [put.replace("part=1", "part=2"), put.replace("start=0", "start=5"), put.replace("size=5", "size=6")]
    bare = [link.partition("casd-signature")[0] for link in (get, post, put)]

    refused = [us.wire.ask("GET", link) for link in (post, put, elsewhere[0], bare[0])]
    refused += [us.wire.ask("PUT", link, b"12345") for link in (get, post, elsewhere[2], *other_part, bare[2])]
    refused += [us.post(link, b"x") for link in (get, put, elsewhere[1], bare[1])]

    assert {(answer.status, xml_code(answer)) for answer in refused} == {(401, "AccessDenied")}
    assert us.fetch("a") == b"data"


def test_a_link_dies_with_its_token(us: User) -> None:
    us.store("a", b"data")
    body = {"name": "n", "role": "writer", "namespaces": [us.environment]}
    made = us.party.admin.ask("POST", "/v1/tokens", body).json
    jwt = us.refreshed(made["token"])
    get = us.link("POST", "/download", form("a"), jwt=jwt)
    post = us.link("GET", "/upload?path_to_object=a", jwt=jwt)

    us.party.admin.ask("DELETE", f"/v1/tokens/{made['id']}")

    assert us.wire.ask("GET", get).status == 401
    assert us.post(post, b"x").status == 401
    assert us.fetch("a") == b"data"


def test_a_download_link_takes_ranges_and_heads(us: User) -> None:
    us.store("a", b"0123456789")
    link = us.download_link("a")

    assert us.wire.ask("GET", link, None, {"Range": "bytes=2-4"}).body == b"234"
    assert us.wire.ask("HEAD", link)["Content-Length"] == "10"


# -- errors -------------------------------------------------------------------------------------------------------


def test_errors_of_the_api_are_json_and_those_of_links_xml(us: User) -> None:
    us.store("a")
    link = us.download_link("a")
    us.ask("DELETE", "/delete", form("a"))

    assert json_name(us.ask("POST", "/list")) == "method-not-allowed"
    assert json_name(us.ask("GET", "/nothing")) == "no-such-path"
    assert json_name(us.ask("GET", "/pipelines", prefix=f"/environments/{us.environment}/api/v1")) == "no-such-path"
    assert json_name(us.ask("GET", "/environments", prefix="")) == "no-such-path"
    assert json_name(us.ask("POST", "/information", {"path_to_object": "x" * (1 << 20)})) == "too-large"
    assert xml_code(us.wire.ask("GET", link)) == "NoSuchKey"
    assert xml_code(us.wire.ask("DELETE", link)) == "MethodNotAllowed"
    assert xml_code(us.wire.ask("GET", f"{STORE}/objects")) == "NoSuchKey"
    reading = us.wire.ask(
        "POST", f"{STORE}/objects/{us.environment}/a", b"", FORM_TYPE | {"Authorization": f"Bearer {us.reader_jwt}"}
    )
    assert (reading.status, xml_code(reading)) == (403, "AccessDenied")


def test_a_message_is_xml_whatever_was_sent(us: User) -> None:
    jwt = {"Authorization": f"Bearer {us.jwt}"}

    answer = us.wire.ask("GET", f"{STORE}/objects/{us.environment}/{quote('<&]]>￾')}", None, jwt)

    assert (answer.status, xml_code(answer)) == (404, "NoSuchKey")


def test_more_than_the_limit_is_413(new_daemon: Callable[..., Daemon], make_user: Callable[..., User]) -> None:
    us = make_user(new_daemon(CASD_LIMITS__MAX_BODY_BYTES="200000").start())
    id, link = us.start("a"), us.upload_link("a")

    answer = us.post(link, bytes(200_000))
    assert (answer.status, xml_code(answer)) == (413, "EntityTooLarge")
    first = us.part_link(id, "a", 1, 150_000)
    assert us.wire.ask("PUT", first, bytes(150_000)).status == 200
    second = us.ask("POST", "/upload/multipart/part", part_body(id, "a", 2, 150_000))
    assert (second.status, json_name(second)) == (413, "too-large")
    older = us.link("GET", f"/upload/multipart/{id}?path_to_object=a&part_number=2")
    answer = us.wire.ask("PUT", older, bytes(150_000))
    assert (answer.status, xml_code(answer)) == (413, "EntityTooLarge")


def test_more_unfinished_uploads_than_a_token_may_have_are_429(
    new_daemon: Callable[..., Daemon], make_user: Callable[..., User]
) -> None:
    us = make_user(new_daemon(CASD_LIMITS__MAX_UPLOADS_PER_TOKEN="1").start())
    us.start("a")

    answer = us.ask("POST", "/upload/multipart", {"path_to_object": "b"})

    assert (answer.status, json_name(answer)) == (429, "too-many-uploads")


def test_a_full_disk_is_507(new_daemon: Callable[..., Daemon], make_user: Callable[..., User]) -> None:
    us = make_user(new_daemon(CASD_STORAGE__RESERVE_BYTES=str(1 << 60)).start())
    id = us.start("a")

    for answer in (us.post(us.upload_link("a"), b"x"), us.wire.ask("PUT", us.part_link(id, "a", 1, 3), b"abc")):
        assert (answer.status, xml_code(answer)) == (507, "InsufficientStorage")


# -- connections that are cut -------------------------------------------------------------------------------------


def test_a_form_that_is_cut_leaves_nothing(us: User) -> None:
    before = incoming(us.daemon)
    body = file_field(b"x" * 300_000)
    with raw(us.daemon) as connection:
        length = f"Content-Length: {len(body) + len(END)}"
        line = head(us.daemon, f"POST {us.upload_link('a')}", length, f"Content-Type: {FORM_TYPE['Content-Type']}")
        connection.send(line.encode() + body)
        wait_until(lambda: len(incoming(us.daemon)) > len(before), "the stage is there")

    wait_until(lambda: incoming(us.daemon) == before, "the stage is gone")
    assert us.paths() == []
    assert not has_payload(us.daemon, b"x" * 300_000)


def test_a_part_that_is_cut_is_not_there_and_can_be_sent_again(us: User) -> None:
    id = us.start("a")
    link = us.part_link(id, "a", 1, 300_000, 300_000)
    with raw(us.daemon) as connection:
        connection.send(head(us.daemon, f"PUT {link}", "Content-Length: 300000").encode() + b"x" * 299_999)
        wait_until(lambda: id in incoming(us.daemon), "the stage is there")

    answer = us.end(id, "a", {1: '"x"'})
    assert (answer.status, json_name(answer)) == (400, "part-mismatch")
    etag = us.put(link, b"y" * 300_000)
    assert us.end(id, "a", {1: etag}).status == 200
    assert us.fetch("a") == b"y" * 300_000


def test_a_download_that_the_client_cuts_harms_nobody(us: User) -> None:
    us.store("a", bytes(5 << 20))
    with raw(us.daemon, receive_buffer_bytes=4096) as connection:
        connection.send(head(us.daemon, f"GET {us.download_link('a')}"))
        connection.head()

    assert len(us.fetch("a")) == 5 << 20
