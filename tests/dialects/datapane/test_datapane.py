"""Datapane's Blob API by HTTP: what its clients send and expect, and what they leave to good sense."""

import asyncio
import gzip
import hashlib
import http.client
import json
import random
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import UUID

import pytest

from casd.dialects.datapane.gzipped import STEP_BYTES, Gunzipped
from casd.errors import TooLarge
from tests.conftest import Daemon
from tests.dialects.datapane.conftest import (
    ABSENT,
    FORM,
    OLD,
    User,
    facts_part,
    file_part,
    form,
    part,
    refused,
    user_of,
)
from tests.web.party import is_time
from tests.web.wire import Wire, address_of, has_payload, head, incoming, raw, wait_until

FIELDS = {"id", "url", "web_url", "name", "title", "owner", "group", "visibility", "version", "versions", "created"}
FIELDS |= {"content_type", "size_bytes", "data_url", "gcs_signed_url", "export_url"}


def blob_url(blob: dict[str, Any], rest: str = "") -> str:
    return f"/api/blobs/{blob['id']}/{rest}"


# -- who --------------------------------------------------------------------------------------------------------------


def test_login_learns_the_users_name(us: User) -> None:
    for query in ("", "?cli_login=True", "?cli_id=0123abcd"):
        answer = us.ask("GET", f"/api/settings/details/{query}")

        assert (answer.status, answer.json["username"]) == (200, us.name)


ROUTES = [
    ("GET", "/api/settings/details/"),
    ("POST", "/api/blobs/"),
    ("GET", "/api/blobs/"),
    ("GET", "/api/blobs/lookup/?name=n"),
    ("GET", "/api/blobs/{id}/"),
    ("PATCH", "/api/blobs/{id}/"),
    ("DELETE", "/api/blobs/{id}/"),
    ("GET", "/api/blobs/{id}/data/"),
    ("GET", "/api/blobs/{id}/export/?export_format=ARROW"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nobody_gets_anywhere(us: User, method: str, path: str) -> None:
    us.party.settings(anonymous_read=True)
    blob = us.upload("n", b"x")
    path = path.replace("{id}", blob["id"])

    for credential in (None, "Token", "Token wrong", f"Bearer {us.token}", "Basic eDp5"):
        headers = {} if credential is None else {"Authorization": credential}
        answer = us.wire.ask(method, path, None if method == "GET" else b"{}", headers)
        assert (answer.status, refused(answer)) == (401, "unauthenticated")

    assert us.listed() == ["n"]


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route[0] != "GET"])
def test_a_reader_changes_nothing(us: User, method: str, path: str) -> None:
    blob = us.upload("n", b"x")
    body = form(file_part(b"x", encoding=None), facts_part(name="m")) if method == "POST" else b'{"name": "m"}'

    answer = us.ask(method, path.replace("{id}", blob["id"]), body, FORM, us.reader_token)

    assert (answer.status, refused(answer)) == (403, "forbidden")
    assert us.listed() == ["n"]


def test_others_reach_nothing_of_ours_even_if_they_know_its_id(us: User, them: User) -> None:
    us.party.settings(share_by_uuid=True, anonymous_read=True)
    blob = us.upload("n", b"x")

    for method, path in [(method, path) for method, path in ROUTES if "{id}" in path]:
        answer = them.ask(method, path.replace("{id}", blob["id"]), None if method == "GET" else b'{"name": "m"}')
        assert (answer.status, refused(answer)) == (404, "blob-not-found")
    assert them.lookup("name=n").status == 404
    assert them.lookup(f"name=n&owner={us.name}").status == 404
    assert them.listed() == []
    assert us.listed() == ["n"]


def test_teammates_read_by_naming_the_owner(us: User, them: User) -> None:
    us.party.settings(readers=[them.name])
    blob = us.upload("n", b"x")

    found = them.lookup(f"name=n&owner={us.name}")

    assert (found.status, found.json["id"], found.json["owner"]) == (200, blob["id"], us.name)
    assert them.follow(found.json["data_url"]).body == b"x"
    assert them.ask("GET", blob_url(blob)).json["visibility"] == "ORG"
    assert them.lookup("name=n").status == 404
    assert them.listed() == []
    assert them.ask("PATCH", blob_url(blob), {"name": "m"}).status == 404
    assert them.ask("DELETE", blob_url(blob)).status == 404
    assert us.listed() == ["n"]


def test_a_link_of_somebody_who_may_no_longer_read_is_dead(us: User, them: User) -> None:
    us.party.settings(readers=["*"])
    us.upload("n", b"x")
    link = them.lookup(f"name=n&owner={us.name}").json["data_url"]
    assert them.follow(link).status == 200

    us.party.settings(readers=[])

    assert (them.follow(link).status, refused(them.follow(link))) == (404, "blob-not-found")


# -- storing ----------------------------------------------------------------------------------------------------------


def test_a_blob_tells_what_the_clients_read(us: User) -> None:
    data = random.randbytes(50_000)

    blob = us.upload("n", data, "text/x-odd; a=b")

    base = us.daemon.url
    assert set(blob) == FIELDS
    assert (blob["name"], blob["title"], blob["owner"], blob["group"]) == ("n", "n", us.name, us.name)
    assert (blob["version"], blob["versions"], blob["size_bytes"]) == (1, 1, len(data))
    assert (blob["content_type"], blob["visibility"]) == ("text/x-odd; a=b", "PRIVATE")
    assert UUID(blob["id"]).version == 7
    assert blob["url"] == blob["web_url"] == f"{base}/api/blobs/{blob['id']}/"
    assert blob["data_url"] == blob["gcs_signed_url"]
    assert blob["data_url"].startswith(f"{base}/api/blobs/{blob['id']}/data/?")
    assert blob["export_url"].startswith(f"/api/blobs/{blob['id']}/export/?")
    assert is_time(blob["created"])
    found = us.lookup("name=n").json
    assert {key for key in blob if blob[key] != found[key]} <= {"data_url", "gcs_signed_url", "export_url"}


def test_the_plain_bytes_are_what_is_stored(us: User, native: Wire) -> None:
    data = random.randbytes(100_000)

    uuid = us.upload("n", data, "text/plain; charset=x")["id"]

    info = native.ask("GET", f"/v1/blobs/{uuid}").json
    assert info["sha512"] == hashlib.sha512(data).hexdigest()
    assert (info["content_type"], info["filename"]) == ("text/plain; charset=x", "f.csv")
    assert info["names"] == [{"namespace": us.name, "name": "n", "version": 1}]
    answer = us.follow(us.lookup("name=n").json["data_url"])
    assert (answer.body, answer["Content-Type"]) == (data, "text/plain; charset=x")
    assert answer["Content-Encoding"] is None


def test_one_layer_of_gzip_is_taken_off_and_no_more(us: User) -> None:
    archive = gzip.compress(b"abc")

    blob = us.upload("n.gz", archive)

    assert blob["size_bytes"] == len(archive)
    assert us.follow(blob["data_url"]).body == archive


def gzipped(data: bytes) -> bytes:
    """The same at any time: tests are called after what they are given, and all workers must call them alike."""
    return gzip.compress(data, mtime=0)


@pytest.mark.parametrize(
    ("body", "encoding", "plain"),
    [
        (b"as it is", None, b"as it is"),
        (b"as it is", "identity", b"as it is"),
        (gzipped(b"abc"), "GZIP", b"abc"),
        (gzipped(b"abc"), "x-gzip", b"abc"),
        (gzipped(b"a") + gzipped(b"") + gzipped(b"bc"), "gzip", b"abc"),
        (gzipped(b""), "gzip", b""),
        (b"", None, b""),
        (gzipped(bytes(3 << 20)), "gzip", bytes(3 << 20)),
        (gzipped(bytes(1 << 20)) + gzipped(bytes(1 << 20)), "gzip", bytes(2 << 20)),
    ],
)
def test_encodings_that_are_taken_off(us: User, body: bytes, encoding: str | None, plain: bytes) -> None:
    answer = us.post(form(file_part(body, encoding=encoding), facts_part(name="n")))

    assert (answer.status, answer.json["size_bytes"]) == (201, len(plain))
    assert us.follow(answer.json["data_url"]).body == plain


def damaged(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


GOOD = gzipped(b"abc" * 1000)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"abc",
        GOOD[:-1],
        GOOD[:9],
        GOOD + b"\0",
        GOOD + b"trailing",
        GOOD + GOOD[:-3],
        damaged(GOOD, -6),  # CRC
        damaged(GOOD, -2),  # length
        damaged(GOOD, 14),
        zlib.compress(b"abc"),
    ],
)
def test_what_is_no_whole_gzip_is_400_and_nothing_is_kept(us: User, body: bytes) -> None:
    answer = us.post(form(file_part(body), facts_part(name="n")))

    assert (answer.status, refused(answer)) == (400, "invalid-input")
    assert us.listed() == []
    assert incoming(us.daemon) == []


@pytest.mark.parametrize("encoding", ["deflate", "br", "gzip, gzip", "nonsense"])
def test_other_encodings_are_415(us: User, encoding: str) -> None:
    answer = us.post(form(file_part(GOOD, encoding=encoding), facts_part(name="n")))

    assert (answer.status, refused(answer)) == (415, "unsupported-encoding")
    assert us.listed() == []


def test_a_bomb_ends_at_the_limit_of_plain_bytes(strict_us: User) -> None:
    fits, bomb = bytes(200_000), bytes(200_001)
    assert strict_us.upload("fits", fits)["size_bytes"] == len(fits)

    answers = [
        strict_us.post(form(file_part(body), facts_part(name="n")))
        for body in (gzip.compress(bomb), gzip.compress(bytes(30 << 20)), gzip.compress(fits) + gzip.compress(b"x"))
    ]

    assert [(answer.status, refused(answer)) for answer in answers] == [(413, "too-large")] * 3
    assert strict_us.listed() == ["fits"]
    assert incoming(strict_us.daemon) == []


async def test_a_bomb_is_taken_apart_in_pieces_and_no_further_than_the_limit() -> None:
    limit = 50 << 20
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(60)) + packer.flush()
    assert len(bomb) < 1 << 20  # it comes in one piece
    pieces: list[int] = []

    class Sink:
        async def append(self, data: bytes) -> None:
            pieces.append(len(data))

    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            await Gunzipped(Sink(), limit).append(bomb)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert max(pieces) <= STEP_BYTES
    assert sum(pieces) <= limit
    assert most < 8 << 20


async def test_many_empty_members_are_taken_off_a_batch_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each was a hop to a thread and a copy of all that followed it: ten minutes of a processor for 100 MB."""
    hops, handed = 0, 0
    cross = asyncio.to_thread

    async def counted(*arguments: Any) -> Any:
        nonlocal hops
        hops += 1
        return await cross(*arguments)

    class Counting:
        def __init__(self) -> None:
            self.member = make(31)

        def decompress(self, data: bytes, most: int) -> bytes:
            nonlocal handed
            handed += len(data)
            return self.member.decompress(data, most)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.member, name)

    make = zlib.decompressobj
    monkeypatch.setattr(asyncio, "to_thread", counted)
    monkeypatch.setattr(zlib, "decompressobj", lambda _: Counting())
    bodies = gzipped(b"") * 20_000
    plain = bytearray()

    class Sink:
        async def append(self, data: bytes) -> None:
            plain.extend(data)

    gunzipped = Gunzipped(Sink(), 1 << 20)
    await gunzipped.append(bodies + gzipped(b"abc"))
    gunzipped.finish()

    assert plain == b"abc"
    assert hops == 1
    assert handed < len(bodies) * 1000  # it was 10,000 times as much


def test_a_body_over_the_limit_is_413_before_it_is_read(strict_us: User) -> None:
    with raw(strict_us.daemon) as connection:
        lines = [f"Content-Type: {FORM['Content-Type']}", "Content-Length: 300000", "Expect: 100-continue"]
        request = head(strict_us.daemon, "POST /api/blobs/", *lines, token=None)
        connection.send(request.replace("\r\n\r\n", f"\r\nAuthorization: Token {strict_us.token}\r\n\r\n"))
        answer = connection.answer()

    assert (answer.status, refused(answer)) == (413, "too-large")


def test_a_full_disk_is_507(new_daemon: Callable[..., Daemon]) -> None:
    with user_of(new_daemon(CASD_STORAGE__RESERVE_BYTES=str(1 << 60)).start()) as user:
        answer = user.post(form(file_part(GOOD), facts_part(name="n")))

        assert (answer.status, refused(answer)) == (507, "storage-full")


BAD_FORMS = [
    form(),
    form(file_part(GOOD)),
    form(facts_part(name="n")),
    form(file_part(GOOD), file_part(GOOD), facts_part(name="n")),
    form(file_part(GOOD), facts_part(name="n"), facts_part(name="m")),
    form(file_part(GOOD), facts_part(name="n"), part('name="more"', b"")),
    form(file_part(GOOD), facts_part()),
    form(file_part(GOOD), facts_part(name=None)),
    form(file_part(GOOD), facts_part(name=7)),
    form(file_part(GOOD), facts_part(name="")),
    form(file_part(GOOD), facts_part(name="a//b")),
    form(file_part(GOOD), facts_part(name="\x00")),
    form(file_part(GOOD), facts_part(name="x" * 1025)),
    form(file_part(GOOD), facts_part(name="\ud800")),
    form(file_part(GOOD), part('name="json_data"', b"[1]")),
    form(file_part(GOOD), part('name="json_data"', b"{")),
    form(file_part(GOOD), part('name="json_data"', b"\xff")),
    form(file_part(GOOD, kind="no type"), facts_part(name="n")),
    form(file_part(GOOD), facts_part(name="n"))[:-4],
]


@pytest.mark.parametrize("body", BAD_FORMS)
def test_a_bad_form_is_400_and_nothing_is_kept(us: User, body: bytes) -> None:
    answer = us.post(body)

    assert (answer.status, refused(answer)) == (400, "invalid-input")
    assert us.listed() == []
    assert incoming(us.daemon) == []


def test_the_name_may_come_first(us: User) -> None:
    assert us.post(form(facts_part(name="n", group="g", more=[1]), file_part(GOOD))).status == 201
    assert us.listed() == ["n"]


def test_an_upload_that_is_cut_leaves_nothing(us: User) -> None:
    data = random.randbytes(1 << 20)
    with raw(us.daemon) as cut:
        lines = [f"Content-Type: {FORM['Content-Type']}", "Content-Length: 9000000"]
        request = head(us.daemon, "POST /api/blobs/", *lines, token=None)
        cut.send(request.replace("\r\n\r\n", f"\r\nAuthorization: Token {us.token}\r\n\r\n"))
        cut.send(file_part(gzip.compress(data, 1))[:-20])
        wait_until(lambda: incoming(us.daemon), "it is being staged")

    wait_until(lambda: not incoming(us.daemon), "it is gone")
    assert not has_payload(us.daemon, data)
    assert us.listed() == []


@pytest.mark.slow
def test_300_mb_come_and_go(new_daemon: Callable[..., Daemon]) -> None:
    block = random.Random(5).randbytes(16 << 10) * 64  # 1 MiB that gzip makes small
    data = block * 300
    with user_of(new_daemon().start()) as user:
        blob = user.upload("big", data)
        answer = user.follow(blob["data_url"])

    assert blob["size_bytes"] == len(data)
    assert answer.body == data


# -- finding ----------------------------------------------------------------------------------------------------------


def test_an_id_goes_on_meaning_its_version(us: User) -> None:
    first, second, third = us.upload("n", b"one"), us.upload("n", b"two"), us.upload("n", b"two")

    assert [blob["version"] for blob in (first, second, third)] == [1, 2, 3]
    assert len({blob["id"] for blob in (first, second, third)}) == 3
    assert us.follow(first["data_url"]).body == b"one"
    held = us.ask("GET", blob_url(first)).json
    assert (held["version"], held["versions"]) == (1, 3)
    assert us.lookup("name=n").json["id"] == third["id"]
    for number, blob in enumerate((first, second, third), 1):
        assert us.lookup(f"name=n&version={number}").json["id"] == blob["id"]
    assert us.lookup("name=n&owner=&version=").json["id"] == third["id"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("name=absent", "name-not-found"),
        ("name=n&version=9", "version-not-found"),
        ("name=n&version=0", "version-not-found"),
        ("name=n&version=99999999999999999999999", "version-not-found"),
        ("name=n&owner=nobody-here", "namespace-not-found"),
        ("name=n&owner=no%20namespace", "namespace-not-found"),
    ],
)
def test_what_is_not_there_is_404(us: User, query: str, code: str) -> None:
    us.upload("n", b"x")

    answer = us.lookup(query)

    assert (answer.status, refused(answer)) == (404, code)


@pytest.mark.parametrize("query", ["", "name=", "name=a//b", "name=n&version=x", "name=n&version=-1", "name=%ff"])
def test_a_bad_lookup_is_400(us: User, query: str) -> None:
    answer = us.lookup(query)

    assert (answer.status, refused(answer)) == (400, "invalid-input")


@pytest.mark.parametrize("id", [ABSENT, "x", "lookups", ABSENT.replace("-", "")])
@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if "{id}" in route[1]])
def test_an_absent_id_is_404(us: User, method: str, path: str, id: str) -> None:
    answer = us.ask(method, path.replace("{id}", id), None if method == "GET" else b"{}")

    assert answer.status == 404
    assert refused(answer) in ("blob-not-found", "not-found")


@pytest.mark.parametrize("name", ["a b", "ünï 名", "50% + & # ? =", "a/b/c.csv", "/".join("ab") + "%2F", "'\"<>\\"])
def test_odd_names(us: User, name: str) -> None:
    blob = us.upload(name, b"x")

    found = us.lookup(f"name={quote(name, safe='')}").json

    assert (found["id"], found["name"]) == (blob["id"], name)
    assert us.listed() == [name]
    assert us.ask("PATCH", blob_url(blob), {"name": name + "!"}).json["name"] == name + "!"


@pytest.mark.parametrize("path", ["/api/blobs", "/api//blobs/", "/api/blobs//", "/api/blobs/lookup?name=n"])
def test_slashes_are_no_matter_and_nothing_redirects(us: User, path: str) -> None:
    us.upload("n", b"x")

    assert us.ask("GET", path).status == 200


def test_a_post_without_the_last_slash_is_a_post(us: User) -> None:
    body = form(file_part(GOOD), facts_part(name="n"))

    assert us.ask("POST", "/api/blobs", body, FORM).status == 201


def test_our_own_are_listed_page_by_page(us: User, them: User) -> None:
    names = [f"name {at}" for at in range(7)]
    for name in names:
        us.upload(name, b"x")
    us.upload(names[0], b"y")
    them.upload("theirs", b"x")

    first = us.ask("GET", "/api/blobs/?limit=3").json

    assert us.listed() == names
    assert [item["name"] for item in first["results"]] == names[:3]
    assert first["results"][0]["versions"] == 2
    assert set(first["results"][0]) == FIELDS
    assert first["next"].startswith("/api/blobs/?")
    second = us.ask("GET", first["next"]).json
    assert [item["name"] for item in second["results"]] == names[3:6]
    assert us.ask("GET", us.ask("GET", second["next"]).json["next"] or "/api/blobs/").status == 200
    assert us.ask("GET", "/api/blobs/?cursor=x").status == 400


# -- links ------------------------------------------------------------------------------------------------------------


def test_a_link_needs_no_credential_and_cannot_be_changed(us: User) -> None:
    link, other = us.upload("n", b"x")["data_url"], us.upload("m", b"y")["data_url"]
    own, foreign = urlsplit(link), urlsplit(other)

    assert us.follow(link).body == b"x"
    for bad in (link[:-1], link + "&a=b", f"{own.path}?{foreign.query}", own.path + "?"):
        assert (us.follow(bad).status, refused(us.follow(bad))) == (401, "unauthenticated")


def test_a_link_is_dead_once_its_token_is(us: User) -> None:
    answer = us.party.admin.ask(
        "POST", "/v1/tokens", {"name": "short", "role": "writer", "namespaces": [us.name], "expires_in": 3600}
    )
    us.upload("n", b"x")
    link = us.ask("GET", "/api/blobs/lookup/?name=n", token=answer.json["token"]).json["data_url"]
    seen = us.follow(link)

    assert us.party.admin.ask("DELETE", f"/v1/tokens/{answer.json['id']}").status == 204

    assert seen.status == 200
    assert 0 < int(str(seen["Cache-Control"]).rpartition("=")[2]) <= 3600
    assert us.follow(link).status == 401


def test_parts_can_be_fetched(us: User) -> None:
    link = urlsplit(us.upload("n", b"0123456789")["data_url"])
    target = f"{link.path}?{link.query}"

    answer = us.wire.ask("GET", target, headers={"Range": "bytes=2-4"})

    assert (answer.status, answer.body) == (206, b"234")
    assert us.wire.ask("HEAD", target)["Content-Length"] == "10"


def old_link(us: User, name: str) -> str:
    """As clients get it which look neither at a status nor at a length."""
    link: str = us.ask("GET", f"/api/blobs/lookup/?name={name}", headers=OLD).json["gcs_signed_url"]
    return link


def test_an_error_never_passes_for_a_file(us: User) -> None:
    blob = us.upload("n", b"x")
    link = urlsplit(old_link(us, "n"))
    assert us.follow(link.geturl()).body == b"x"
    assert us.ask("DELETE", blob_url(blob)).status == 204

    connection = http.client.HTTPConnection(*address_of(us.daemon), timeout=30)
    connection.request("GET", f"{link.path}?{link.query}")
    response = connection.getresponse()

    assert response.status == 404
    with pytest.raises(http.client.IncompleteRead) as error:
        response.read()
    assert json.loads(error.value.partial)["code"] == "blob-not-found"
    connection.close()


@pytest.mark.parametrize("is_old", [False, True])
def test_a_download_that_is_cut_never_looks_complete(new_daemon: Callable[..., Daemon], is_old: bool) -> None:
    daemon = new_daemon().start()
    data = random.randbytes(20 << 20)
    with user_of(daemon) as user:
        link = user.upload("n", data)["data_url"]
        link = old_link(user, "n") if is_old else link
        connection = http.client.HTTPConnection(*address_of(daemon), timeout=30)
        connection.request("GET", f"{urlsplit(link).path}?{urlsplit(link).query}")
        response = connection.getresponse()
        begun = response.read(1000)
        daemon.kill()

        assert begun == data[:1000]
        assert response.getheader("Content-Length") == (None if is_old else str(len(data)))
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            response.read()
        connection.close()


# -- changing -----------------------------------------------------------------------------------------------------


def test_a_new_name_is_the_names_with_all_its_versions(us: User) -> None:
    first, second = us.upload("n", b"one"), us.upload("n", b"two")

    answer = us.ask("PATCH", blob_url(first), {"name": "m"})

    assert (answer.status, answer.json["id"], answer.json["name"], answer.json["version"]) == (200, first["id"], "m", 1)
    assert us.listed() == ["m"]
    assert us.lookup("name=m").json["id"] == second["id"]
    assert us.lookup("name=n").status == 404
    assert us.follow(first["data_url"]).body == b"one"


@pytest.mark.parametrize("body", [{}, {"name": "n"}, {"visibility": "PUBLIC"}, {"title": "t", "group": None}])
def test_an_update_that_changes_nothing(us: User, body: dict[str, Any]) -> None:
    blob = us.upload("n", b"x")

    answer = us.ask("PATCH", blob_url(blob), body)

    assert (answer.status, answer.json["name"], answer.json["visibility"]) == (200, "n", "PRIVATE")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", {"name": None}, {"name": 7}, {"name": ""}, {"name": "a//b"}])
def test_a_bad_update_is_400(us: User, body: Any) -> None:
    blob = us.upload("n", b"x")

    answer = us.ask("PATCH", blob_url(blob), body)

    assert (answer.status, refused(answer)) == (400, "invalid-input")
    assert us.listed() == ["n"]


def test_a_name_that_is_taken_is_409(us: User) -> None:
    blob = us.upload("n", b"x")
    us.upload("m", b"y")

    answer = us.ask("PATCH", blob_url(blob), {"name": "m"})

    assert (answer.status, refused(answer)) == (409, "conflict")
    assert us.listed() == ["m", "n"]


def test_what_is_deleted_is_gone(us: User) -> None:
    blob = us.upload("n", b"x")

    answer = us.ask("DELETE", blob_url(blob))

    assert (answer.status, answer.body) == (204, b"")
    assert us.lookup("name=n").status == 404
    assert us.ask("GET", blob_url(blob)).status == 404
    assert us.ask("DELETE", blob_url(blob)).status == 404
    assert us.follow(blob["data_url"]).status == 404
    assert us.listed() == []


def test_no_older_version_takes_the_place_of_what_is_deleted(us: User, native: Wire) -> None:
    older, newest = us.upload("n", b"one"), us.upload("n", b"two")

    assert us.ask("DELETE", blob_url(newest)).status == 204

    assert us.lookup("name=n").status == 404
    assert us.listed() == []
    assert us.follow(older["data_url"]).body == b"one"  # it was not what was deleted
    assert us.upload("n", b"three")["version"] == 4
    assert us.listed() == ["n"]


def test_deleting_an_older_version_leaves_the_newest(us: User) -> None:
    older, newest = us.upload("n", b"one"), us.upload("n", b"two")

    assert us.ask("DELETE", blob_url(older)).status == 204

    assert us.lookup("name=n").json["id"] == newest["id"]
    assert us.lookup("name=n&version=1").status == 404


# -- beside the other APIs --------------------------------------------------------------------------------------------


def test_what_is_bound_to_a_name_is_a_blob_here(us: User, native: Wire) -> None:
    added = us.party.add(b"from elsewhere", content_type="a/b")
    assert us.ask("GET", blob_url({"id": added["uuid"]})).status == 404  # it has no name
    assert native.ask("PUT", f"{us.party.name('n')}?blob={added['uuid']}").status == 201

    found = us.lookup("name=n").json

    assert (found["id"], found["content_type"]) == (added["uuid"], "a/b")
    assert us.follow(found["data_url"]).body == b"from elsewhere"
    assert us.ask("DELETE", blob_url(found)).status == 204
    assert us.ask("GET", blob_url(found)).status == 404
    assert native.ask("GET", f"/v1/blobs/{added['uuid']}").json["names"] == []


def test_a_blob_under_several_names_is_not_deleted_by_its_id(us: User, native: Wire) -> None:
    blob = us.upload("n", b"x")
    assert native.ask("PUT", f"{us.party.name('m')}?blob={blob['id']}").status == 201

    answer = us.ask("DELETE", blob_url(blob))

    assert (answer.status, refused(answer)) == (409, "conflict")
    assert us.listed() == ["m", "n"]


# -- paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/reports/", "/api/blobs/x/y/", "/api/settings/"])
def test_paths_that_are_not_there(us: User, path: str) -> None:
    answer = us.ask("GET", path)

    assert (answer.status, refused(answer)) == (404, "no-such-path")


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/api/blobs/"), ("POST", "/api/blobs/x/"), ("DELETE", "/api/settings/details/")]
)
def test_methods_that_are_not_there(us: User, method: str, path: str) -> None:
    answer = us.ask(method, path)

    assert (answer.status, refused(answer)) == (405, "method-not-allowed")
    assert answer["Allow"]
