"""Shaken Fist's API over HTTP: who may do what, its own errors, and what the clients' page leaves to good sense."""

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest

from casd.dialects.shakenfist import SHAKENFIST
from casd.web.dialect import Access
from tests.conftest import Daemon
from tests.web.party import Party
from tests.web.wire import Answer, Wire, ask, head, incoming, payload_file, raw, wait_until

ABSENT = "00000000-0000-7000-8000-000000000000"
PARAMETERS = {"uuid": ABSENT, "size": "0", "hex": "0" * 128, "version": "1", "algorithm": "sha512", "trusted": "a"}


@pytest.fixture
def both(shared_daemon: Daemon) -> Iterator[Party]:
    """Us on each event loop: where bytes are on their way, they differ."""
    party = Party(shared_daemon)
    party.settings()
    yield party
    party.close()


def refusal(answer: Answer, status: int) -> str:
    """What an error of this API says, whose shape is checked on the way."""
    assert answer.status == status, answer.body
    assert answer["Content-Type"] == "application/json"
    assert answer["X-Request-ID"]
    body = answer.json
    assert set(body) == {"error", "status"}
    assert body["status"] == status
    text: str = body["error"]
    assert text
    return text


def log_in(daemon: Daemon, namespace: Any, key: Any) -> Answer:
    return ask(daemon, "POST", "/auth", {"namespace": namespace, "key": key}, token=None)


def access(daemon: Daemon, namespace: str, key: str) -> Wire:
    answer = log_in(daemon, namespace, key)
    assert answer.status == 200, answer.body
    return Wire(daemon, answer.json["access_token"])


def made(wire: Wire, name: str, *pieces: bytes, **more: Any) -> dict[str, Any]:
    """An artifact of an upload in those pieces."""
    uuid = wire.ask("POST", "/upload").json["uuid"]
    total = 0
    for piece in pieces:
        total += len(piece)
        assert wire.ask("POST", f"/upload/{uuid}", piece).json == total
    answer = wire.ask("POST", f"/artifacts/upload/{quote(name, safe='')}", {"upload_uuid": uuid} | more)
    assert answer.status == 200, answer.body
    view: dict[str, Any] = answer.json
    return view


# -- logging in -------------------------------------------------------------------------------------------------------


def test_a_token_of_the_namespace_is_its_key(us: Party) -> None:
    key = us.token("writer")

    answer = log_in(us.daemon, us.namespace, key)

    assert (answer.status, answer["Cache-Control"]) == (200, "no-store")
    assert set(answer.json) == {"access_token", "token_type", "expires_in"}
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("Bearer", 900)
    assert key not in answer.json["access_token"]
    with Wire(us.daemon, answer.json["access_token"]) as wire:
        assert wire.ask("GET", "/artifacts").json == []


def test_wrong_keys_and_unknown_namespaces_are_alike_and_malformed_log_ins_are_told(us: Party, them: Party) -> None:
    ours = us.token("writer")

    for namespace, key in ((us.namespace, "wrong"), (them.namespace, ours), (us.namespace, us.daemon.token)):
        refusal(log_in(us.daemon, namespace, key), 401)
    for namespace in ("system", "nowhere-at-all", "no namespace/ü", "x" * 5000, ""):
        text = refusal(log_in(us.daemon, namespace, ours), 401)
        assert text == f"this is no key of namespace {namespace[:128]}"
    for namespace, key in ((None, "x"), ("x", None), (1, "x"), (us.namespace, [])):
        refusal(log_in(us.daemon, namespace, key), 400)
    for body in (b"", b"{", b"[]", b"\xff", b'{"namespace": "a"}', b'{"namespace": "a", "key": "\\ud800"}'):
        refusal(ask(us.daemon, "POST", "/auth", body, token=None), 400)


def test_an_administrator_logs_in_to_system_and_is_one_there_alone(us: Party) -> None:
    admin = ask(us.daemon, "POST", "/v1/tokens", {"name": "a", "role": "admin", "namespaces": [us.namespace]}).json[
        "token"
    ]

    with access(us.daemon, "system", admin) as system, access(us.daemon, us.namespace, admin) as member:
        assert system.ask("GET", "/blobs").status == 200
        refusal(member.ask("GET", "/blobs"), 401)


def test_an_access_token_opens_its_namespace_and_this_api_alone(us: Party, them: Party) -> None:
    token = us.token("writer", them.namespace)
    theirs = made(them.writer, "disk", b"x")

    with access(us.daemon, us.namespace, token) as wire, access(us.daemon, them.namespace, token) as other:
        refusal(wire.ask("GET", f"/artifacts/{theirs['uuid']}"), 404)
        assert other.ask("GET", f"/artifacts/{theirs['uuid']}").status == 200
        assert wire.ask("GET", "/v1/blobs").status == 401


def test_an_access_token_dies_with_the_token_that_it_was_given_for(us: Party) -> None:
    token = ask(us.daemon, "POST", "/v1/tokens", {"name": "a", "role": "writer", "namespaces": [us.namespace]}).json
    with access(us.daemon, us.namespace, token["token"]) as wire:
        assert wire.ask("GET", "/artifacts").status == 200

        us.admin.ask("DELETE", f"/v1/tokens/{token['id']}")

        refusal(wire.ask("GET", "/artifacts"), 401)
    refusal(log_in(us.daemon, us.namespace, token["token"]), 401)


def test_an_access_token_that_was_tampered_with_opens_nothing(us: Party, them: Party) -> None:
    token = log_in(us.daemon, us.namespace, us.token("writer")).json["access_token"]
    mark, _, signature = token.split("~")

    for text in (
        f"{mark}~{them.namespace}~{signature}",
        token[:-2],
        token + "A",
        f"{mark}~{us.namespace}~",
        f"{mark}~",
    ):
        refusal(ask(us.daemon, "GET", "/artifacts", token=text), 401)


def keys(party: Party, rest: str = "") -> str:
    return f"/auth/namespaces/{party.namespace}/keys{rest}"


def test_named_keys_are_for_logging_in_alone_and_die_when_replaced_or_removed(us: Party) -> None:
    for name in ("desk", "laptop"):
        assert us.admin.ask("POST", keys(us), {"key_name": name, "key": f"{name}'s"}).json == name
    assert us.admin.ask("GET", keys(us)).json == ["desk", "laptop"]
    refusal(ask(us.daemon, "GET", "/artifacts", token="desk's"), 401)

    with access(us.daemon, us.namespace, "desk's") as desk, access(us.daemon, us.namespace, "laptop's") as laptop:
        made(desk, "disk", b"x")
        assert us.admin.ask("PUT", keys(us), {"key_name": "desk", "key": "new"}).status == 200
        refusal(desk.ask("GET", "/artifacts"), 401)
        assert laptop.ask("GET", "/artifacts").status == 200
        assert us.admin.ask("DELETE", keys(us, "/laptop")).json is None
        refusal(laptop.ask("GET", "/artifacts"), 401)

    refusal(log_in(us.daemon, us.namespace, "desk's"), 401)
    refusal(log_in(us.daemon, us.namespace, "laptop's"), 401)
    assert log_in(us.daemon, us.namespace, "new").status == 200
    assert "new" not in json.dumps(us.admin.ask("GET", f"/auth/namespaces/{us.namespace}").json)


def test_keys_that_cannot_be_are_refused(us: Party) -> None:
    good = {"key_name": "a", "key": "b"}
    for wrong in (
        {"key": ""},
        {"key": "x" * 1025},
        {"key": 1},
        {"key_name": ""},
        {"key_name": "\0"},
        {"key_name": None},
    ):
        refusal(us.admin.ask("POST", keys(us), good | wrong), 400)
    refusal(us.admin.ask("PUT", keys(us), good), 404)
    refusal(us.admin.ask("DELETE", keys(us, "/a")), 404)
    refusal(us.admin.ask("POST", "/auth/namespaces/nowhere-at-all/keys", good), 404)


def test_a_key_of_system_is_an_administrator_s(us: Party) -> None:
    us.admin.ask("POST", "/auth/namespaces", {"namespace": "system", "key_name": us.namespace, "key": us.namespace})

    with access(us.daemon, "system", us.namespace) as wire:
        assert wire.ask("GET", "/blobs").status == 200
    us.admin.ask("DELETE", f"/auth/namespaces/system/keys/{us.namespace}")


def test_a_namespace_trusts_another(us: Party, them: Party) -> None:
    disk = made(us.writer, "disk", b"x")
    path = f"/auth/namespaces/{us.namespace}/trust"

    refusal(them.writer.ask("GET", f"/artifacts/{disk['uuid']}"), 404)
    view = us.admin.ask("POST", path, {"external_namespace": them.namespace}).json
    assert view["trust"] == {"full": [them.namespace]}
    assert them.writer.ask("GET", f"/artifacts/{disk['uuid']}").json["uuid"] == disk["uuid"]
    assert [item["uuid"] for item in them.writer.ask("GET", "/artifacts").json] == [disk["uuid"]]
    refusal(them.writer.ask("DELETE", f"/artifacts/{disk['uuid']}"), 404)

    us.admin.ask("DELETE", f"{path}/{them.namespace}")

    refusal(them.writer.ask("GET", f"/artifacts/{disk['uuid']}"), 404)


def test_namespaces_are_shown_to_their_members(us: Party, them: Party) -> None:
    assert [item["name"] for item in us.reader.ask("GET", "/auth/namespaces").json] == [us.namespace]
    assert us.reader.ask("GET", f"/auth/namespaces/{us.namespace}").json["state"] == "created"
    refusal(them.reader.ask("GET", f"/auth/namespaces/{us.namespace}"), 404)
    refusal(them.reader.ask("GET", keys(us)), 404)


# -- every route ------------------------------------------------------------------------------------------------------


def target(path: str) -> str:
    """A path of the route's, for things that are not there."""
    for name, value in (PARAMETERS | {"reference": ABSENT, "name": "n", "key": "k", "namespace": "n"}).items():
        path = path.replace("{" + name + "}", value).replace("{" + name + ":[^/]+}", value)
    assert "{" not in path
    return path


@pytest.mark.parametrize("token", [None, "casd_wrong", "sf~system~wrong"])
def test_nobody_gets_in_without_a_good_token(us: Party, token: str | None) -> None:
    us.settings(anonymous_read=True)  # that is for the native API
    closed = [route for route in SHAKENFIST.routes if route.access is not Access.OPEN]
    assert len(closed) == len(SHAKENFIST.routes) - 1  # the log-in

    with Wire(us.daemon, token) as wire:
        for route in closed:
            answer = wire.ask(route.method, target(route.path), b"{}")
            refusal(answer, 401)
            assert answer["WWW-Authenticate"]


def writes(blob: str, artifact: str, upload: str) -> list[tuple[str, str, Any]]:
    """Every call that changes what belongs to a namespace."""
    value, pair = {"value": 1}, {"key": "k", "value": 1}
    return [
        ("POST", "/upload", None),
        ("POST", f"/upload/{upload}", b"x"),
        ("POST", f"/upload/{upload}/truncate/0", None),
        ("POST", "/artifacts/upload/n", {"blob_uuid": blob}),
        ("POST", "/artifacts/upload/n", {"upload_uuid": upload}),
        ("POST", "/label/n", {"blob_uuid": blob}),
        ("POST", f"/blobs/{blob}/metadata", pair),
        ("PUT", f"/blobs/{blob}/metadata/k", value),
        ("DELETE", f"/blobs/{blob}/metadata/k", None),
        ("PUT", f"/instances/{blob}/metadata/k", value),
        ("DELETE", f"/instances/{blob}/metadata/k", None),
        ("PUT", f"/instances/{artifact}/metadata/k", value),
        ("DELETE", f"/instances/{artifact}/metadata/k", None),
        ("POST", f"/artifacts/{artifact}/metadata", pair),
        ("PUT", f"/artifacts/{artifact}/metadata/k", value),
        ("DELETE", f"/artifacts/{artifact}/metadata/k", None),
        ("POST", f"/artifacts/{artifact}/versions", {"max_versions": 2}),
        ("POST", f"/artifacts/{artifact}/share", None),
        ("POST", f"/artifacts/{artifact}/unshare", None),
        ("DELETE", f"/artifacts/{artifact}/versions/1", None),
        ("DELETE", f"/artifacts/{artifact}", None),
        ("DELETE", "/artifacts", {"confirm": True}),
    ]


def test_a_reader_changes_nothing(us: Party) -> None:
    artifact = made(us.writer, "disk", b"x")
    upload = us.writer.ask("POST", "/upload").json["uuid"]

    for method, path, body in writes(artifact["blob_uuid"], artifact["uuid"], upload):
        refusal(us.reader.ask(method, path, body), 403)

    assert us.reader.ask("GET", f"/artifacts/{artifact['uuid']}").json == artifact


def test_a_stranger_changes_nothing_and_what_is_foreign_is_as_absent(us: Party, them: Party) -> None:
    artifact = made(us.writer, "disk", b"x")
    upload = us.writer.ask("POST", "/upload").json["uuid"]
    foreign = writes(artifact["blob_uuid"], artifact["uuid"], upload)
    own = ("POST /upload", "DELETE /artifacts")  # which name nothing of anybody's

    for (method, path, body), (_, nowhere, nothing) in zip(foreign, writes(ABSENT, ABSENT, ABSENT), strict=True):
        if f"{method} {path}" not in own:
            refusal(them.writer.ask(method, path, body), 404)
            refusal(them.writer.ask(method, nowhere, nothing), 404)
    for path in (f"/artifacts/{artifact['uuid']}", f"/artifacts/{artifact['uuid']}/versions"):
        refusal(them.writer.ask("GET", path), 404)
    refusal(them.writer.ask("DELETE", "/artifacts", {"confirm": True, "namespace": us.namespace}), 404)
    refusal(them.writer.ask("POST", "/artifacts/upload/n", {"upload_uuid": ABSENT, "namespace": us.namespace}), 404)

    assert them.writer.ask("GET", "/artifacts").json == []
    assert us.writer.ask("GET", f"/artifacts/{artifact['uuid']}").json == artifact


def test_what_is_for_administrators_is_401_to_others(us: Party) -> None:
    body = {"key_name": "k", "key": "x", "namespace": "x", "external_namespace": "x"}
    for method, path in (
        ("GET", "/blobs"),
        ("POST", "/auth/namespaces"),
        ("POST", keys(us)),
        ("PUT", keys(us)),
        ("DELETE", keys(us, "/k")),
        ("POST", f"/auth/namespaces/{us.namespace}/trust"),
        ("DELETE", f"/auth/namespaces/{us.namespace}/trust/x"),
    ):
        refusal(us.writer.ask(method, path, body), 401)


def test_paths_that_are_not_there_and_wrong_methods_have_the_shape_of_this_api(us: Party) -> None:
    for method, path, status in (
        ("PUT", "/blobs", 405),
        ("DELETE", f"/blobs/{ABSENT}", 405),
        ("GET", "/upload", 405),
        ("POST", f"/blobs/{ABSENT}/nothing", 404),
        ("GET", "/instances", 404),
        ("GET", "/blob_checksums/md5/00", 404),
        ("GET", "/artifacts/a/b/c", 404),
        ("GET", "/artifacts/%FF", 400),
    ):
        refusal(us.writer.ask(method, path), status)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/blob_checksums/sha512/00", None),
        ("POST", "/artifacts", {"url": "http://127.0.0.1/"}),
        ("POST", "/artifacts/upload/n", {}),
        ("POST", "/artifacts/upload/n", {"upload_uuid": ABSENT, "blob_uuid": ABSENT}),
        ("POST", "/artifacts/upload/n", {"blob_uuid": 1}),
        ("POST", "/artifacts/upload/n", {"blob_uuid": ABSENT, "source_url": 1}),
        ("POST", "/artifacts/upload/n", {"blob_uuid": ABSENT, "source_url": "\n"}),
        ("POST", "/artifacts/upload/n", {"blob_uuid": ABSENT, "shared": "yes"}),
        ("POST", "/artifacts/upload/n", {"blob_uuid": ABSENT, "namespace": 1}),
        ("POST", "/artifacts/upload/..", {"blob_uuid": ABSENT}),
        ("POST", "/artifacts/upload/a%00b", {"blob_uuid": ABSENT}),
        ("POST", "/artifacts/upload/n", [1]),
        ("POST", "/label/n", {}),
        ("POST", "/artifacts/n/versions", {"max_versions": 0}),
        ("POST", "/artifacts/n/versions", {"max_versions": True}),
        ("POST", "/artifacts/n/versions", {"max_versions": 1 << 31}),
        ("POST", "/artifacts/n/versions", {}),
        ("DELETE", "/artifacts/n/versions/x", None),
        ("DELETE", "/artifacts", {"confirm": False}),
        ("PUT", "/artifacts/n/metadata/k", {}),
        ("POST", "/artifacts/n/metadata", {"key": "k"}),
        ("POST", f"/blobs/{ABSENT}/metadata", {"key": "", "value": 1}),
        ("POST", f"/blobs/{ABSENT}/metadata", {"key": "k", "value": ""}),
        ("PUT", f"/blobs/{ABSENT}/metadata/k", {}),
        ("PUT", f"/blobs/{ABSENT}/metadata/k", b"{"),
        ("POST", f"/upload/{ABSENT}/truncate/x", None),
        ("POST", f"/upload/{ABSENT}/truncate/-1", None),
    ],
)
def test_what_makes_no_sense_is_400(us: Party, method: str, path: str, body: Any) -> None:
    if "truncate" in path:
        path = path.replace(ABSENT, us.writer.ask("POST", "/upload").json["uuid"])
    refusal(us.writer.ask(method, path, body), 400)


# -- bytes ------------------------------------------------------------------------------------------------------------


def test_data_comes_in_chunks_and_ranges_are_proper_ones(both: Party) -> None:
    data = random.randbytes(3 << 20)
    path = f"/blobs/{both.add(data, content_type='image/png')['uuid']}/data"

    whole, part = both.reader.ask("GET", path), both.reader.ask("GET", path, headers={"Range": "bytes=100-199"})
    first = both.reader.ask("GET", f"{path}?offset=0", headers={"Range": "bytes=-5"})
    shown = both.reader.ask("HEAD", path)

    assert (whole.status, whole.body, whole["Transfer-Encoding"]) == (200, data, "chunked")
    assert (whole["Content-Length"], whole["Content-Encoding"]) == (None, None)
    assert whole["ETag"] == f'"{hashlib.sha512(data).hexdigest()}"'
    assert (part.status, part["Content-Range"]) == (206, f"bytes 100-199/{len(data)}")
    assert (part.body, first.status, first.body) == (data[100:200], 206, data[-5:])
    assert (shown["Content-Length"], shown["Accept-Ranges"]) == (str(len(data)), "bytes")
    assert both.reader.ask("GET", path, headers={"Range": "bytes=99999999-"}).status == 416


def test_offset_and_limit_choose_bytes(both: Party) -> None:
    data = random.randbytes(1000)
    path = f"/blobs/{both.add(data)['uuid']}/data"

    for query, expected in {
        "offset=0": data,
        "offset=1": data[1:],
        "offset=1000": b"",
        "offset=1001": b"",
        f"offset={10**30}": b"",
        "offset=0&limit=0": data,
        "offset=10&limit=5": data[10:15],
        "limit=5": data[:5],
        "offset=990&limit=100": data[990:],
    }.items():
        answer = both.reader.ask("GET", f"{path}?{query}")
        assert (answer.status, answer.body) == (200, expected), query
    for query in ("offset=-1", "offset=x", "offset=", "limit=-1", "limit=1.0"):
        refusal(both.reader.ask("GET", f"{path}?{query}"), 400)


def test_a_large_download_is_framed_in_pieces_whose_end_no_cut_can_fake(both: Party) -> None:
    data = random.randbytes(64 << 20)
    uuid = both.add(data)["uuid"]

    with raw(both.daemon, receive_buffer_bytes=4096) as connection:
        connection.send(head(both.daemon, f"GET /blobs/{uuid}/data?offset=0"))
        status, headers = connection.head()
        assert (status, headers["Transfer-Encoding"], headers["Content-Length"]) == (200, "chunked", None)
        assert int(connection.file.readline(), 16) <= 16 << 20  # told before its bytes, so one must not be too long


def test_a_namespace_can_keep_its_blobs_to_itself(us: Party, them: Party) -> None:
    uuid = us.add()["uuid"]
    us.settings(share_by_uuid=False)

    for path in ("", "/data", "/metadata", "/checksum/sha512"):
        refusal(them.reader.ask("GET", f"/blobs/{uuid}{path}"), 404)
        assert us.reader.ask("GET", f"/blobs/{uuid}{path}").status == 200


def test_a_checksum_is_searched_among_one_s_own(us: Party, them: Party) -> None:
    data = us.namespace.encode()
    path = f"/blob_checksums/sha512/{hashlib.sha512(data).hexdigest()}"
    them.add(data)

    assert us.reader.ask("GET", path).json is None
    uuid = us.add(data)["uuid"]
    assert us.reader.ask("GET", path).json["uuid"] == uuid
    assert (
        us.reader.ask("GET", path.upper().replace("BLOB_CHECKSUMS/SHA512", "blob_checksums/sha512")).json["uuid"]
        == uuid
    )


def test_a_long_list_of_blobs_is_sent_as_it_is_read(both: Party) -> None:
    added = {both.add(b"%d" % number)["uuid"] for number in range(20)}

    answer = both.admin.ask("GET", "/blobs", {"node": None})

    assert (answer.status, answer["Transfer-Encoding"], answer["Content-Type"]) == (200, "chunked", "application/json")
    assert added <= {item["uuid"] for item in answer.json}


def test_lists_are_sent_to_old_clients_and_not_to_those_who_ask_for_the_head(us: Party) -> None:
    added = [made(us.writer, name, b"x")["uuid"] for name in ("a", "b")]
    with raw(us.daemon) as old:
        old.send(head(us.daemon, "GET /artifacts", token=us.token("reader")).replace("HTTP/1.1", "HTTP/1.0"))
        status, headers = old.head()
        body = old.rest()

    with Wire(us.daemon, us.token("reader")) as wire:
        shown = wire.ask("HEAD", "/artifacts")
        after = wire.ask("GET", "/artifacts")  # on the same connection, so nothing may be left of the one before

    assert (status, headers["Transfer-Encoding"]) == (200, None)
    assert [item["uuid"] for item in json.loads(body)] == [item["uuid"] for item in after.json] == added
    assert (shown.status, shown.body) == (200, b"")


# -- uploads ----------------------------------------------------------------------------------------------------------


def test_an_append_that_is_cut_leaves_the_upload_as_it_was(both: Party) -> None:
    uuid = both.writer.ask("POST", "/upload").json["uuid"]
    both.writer.ask("POST", f"/upload/{uuid}", b"abc")
    staged = both.daemon.data / "incoming" / uuid

    for framing in ("Content-Length: 9000000", "Transfer-Encoding: chunked"):
        with raw(both.daemon) as cut:
            # Of the same token: another's would have to wait until this one's turn has ended.
            cut.send(head(both.daemon, f"POST /upload/{uuid}", framing, token=both.writer._token))
            cut.send((b"" if "Length" in framing else b"896800\r\n") + bytes(2 << 20))
            wait_until(lambda: staged.stat().st_size > 3, "some of it has been written")
        wait_until(lambda: staged.stat().st_size == 3, "it has been taken back")

    assert both.writer.ask("POST", f"/upload/{uuid}", b"def").json == 6
    view = both.writer.ask("POST", "/artifacts/upload/cut", {"upload_uuid": uuid}).json
    assert both.writer.ask("GET", f"/blobs/{view['blob_uuid']}/data").body == b"abcdef"


def test_an_upload_is_gone_on_with_after_a_crash(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon().start()
    uuid = ask(daemon, "POST", "/upload").json["uuid"]
    assert ask(daemon, "POST", f"/upload/{uuid}", b"abc").json == 3
    with raw(daemon) as cut:
        cut.send(head(daemon, f"POST /upload/{uuid}", "Content-Length: 9000000"))
        cut.send(bytes(1 << 20))
        wait_until(lambda: (daemon.data / "incoming" / uuid).stat().st_size > 3, "some of it has been written")
        daemon.kill()

    daemon.start()

    assert ask(daemon, "POST", f"/upload/{uuid}", b"def").json == 6
    view = ask(daemon, "POST", "/artifacts/upload/disk", {"upload_uuid": uuid}).json
    assert ask(daemon, "GET", f"/blobs/{view['blob_uuid']}/data").body == b"abcdef"


def test_an_upload_of_nothing_becomes_an_empty_payload(us: Party) -> None:
    view = made(us.writer, "empty")

    assert (view["blobs"]["1"]["size"], view["index"]) == (0, 1)
    answer = us.reader.ask("GET", f"/blobs/{view['blob_uuid']}/data?offset=0")
    assert (answer.status, answer.body) == (200, b"")


def test_a_new_upload_can_be_cut_back_to_nothing_and_no_upload_to_more_than_it_has(us: Party) -> None:
    uuid = us.writer.ask("POST", "/upload").json["uuid"]

    assert us.writer.ask("POST", f"/upload/{uuid}/truncate/0").json is None
    refusal(us.writer.ask("POST", f"/upload/{uuid}/truncate/1"), 409)
    refusal(us.writer.ask("POST", f"/upload/{uuid}/truncate/{10**30}"), 409)


def test_uploads_that_are_not_there_are_404(us: Party) -> None:
    for uuid in (ABSENT, "upload", "artifacts"):
        refusal(us.writer.ask("POST", f"/upload/{uuid}", b"x"), 404)
        refusal(us.writer.ask("POST", f"/upload/{uuid}/truncate/0"), 404)


def test_what_is_too_large_and_what_does_not_fit_is_told(new_daemon: Callable[..., Daemon]) -> None:
    small = new_daemon(CASD_LIMITS__MAX_BODY_BYTES="1000").start()
    uuid = ask(small, "POST", "/upload").json["uuid"]
    assert ask(small, "POST", f"/upload/{uuid}", bytes(600)).json == 600
    for size in (600, 1001):  # together with what is there, and by itself
        refusal(ask(small, "POST", f"/upload/{uuid}", bytes(size)), 413)
    assert ask(small, "POST", f"/upload/{uuid}", bytes(400)).json == 1000
    small.stop()

    full = new_daemon(CASD_STORAGE__RESERVE_BYTES=str(1 << 60)).start()
    uuid = ask(full, "POST", "/upload").json["uuid"]
    refusal(ask(full, "POST", f"/upload/{uuid}", bytes(100)), 507)


def test_metadata_has_limits(us: Party) -> None:
    artifact = made(us.writer, "disk", b"x")

    for path in (f"/artifacts/{artifact['uuid']}", f"/blobs/{artifact['blob_uuid']}"):
        refusal(us.writer.ask("PUT", f"{path}/metadata/k", {"value": "x" * (64 << 10)}), 413)
        refusal(us.writer.ask("PUT", f"{path}/metadata/{'k' * 1025}", {"value": 1}), 400)
        assert us.writer.ask("POST", f"{path}/metadata", {"key": "a/b", "value": [0]}).json is None
        assert us.writer.ask("PUT", f"{path}/metadata/c%2Fd", {"value": 0}).json is None
        assert us.writer.ask("GET", f"{path}/metadata").json == {"a/b": [0], "c/d": 0}


# -- artifacts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a b", "ünï", "+&%#?", "a/b", "..a", "upload", "versions", ABSENT])
def test_odd_names(us: Party, name: str) -> None:
    view = made(us.writer, name, b"odd")

    for reference in (quote(name, safe=""), view["uuid"]):
        assert us.writer.ask("GET", f"/artifacts/{reference}").json == view
        assert us.writer.ask("GET", f"/artifacts/{reference}/versions").json[0]["index"] == 1
    assert us.writer.ask("GET", us.name(name)).body == b"odd"


def test_names_of_others_are_artifacts_and_keep_their_rules(us: Party) -> None:
    for number in range(5):
        us.publish("made/elsewhere", b"%d" % number)

    (view,) = us.reader.ask("GET", "/artifacts").json
    added = made(us.writer, "made/elsewhere", b"5")

    assert (view["index"], view["max_versions"], sorted(view["blobs"])) == (5, 0, ["1", "2", "3", "4", "5"])
    assert (added["uuid"], added["index"], len(added["blobs"])) == (view["uuid"], 6, 6)


def test_hidden_names_are_no_artifacts_until_something_is_stored_there(us: Party) -> None:
    view = made(us.writer, "disk", b"1")
    us.writer.ask("DELETE", us.name("disk"))

    refusal(us.writer.ask("GET", f"/artifacts/{view['uuid']}"), 404)
    refusal(us.writer.ask("GET", "/artifacts/disk"), 404)
    assert us.writer.ask("GET", "/artifacts").json == []
    again = made(us.writer, "disk", b"1")
    assert (again["uuid"], again["index"], sorted(again["blobs"])) == (view["uuid"], 3, ["1", "3"])


def test_the_last_version_takes_the_artifact_along(us: Party) -> None:
    view = made(us.writer, "disk", b"1")
    refusal(us.writer.ask("DELETE", "/artifacts/disk/versions/2"), 404)

    gone = us.writer.ask("DELETE", "/artifacts/disk/versions/1").json

    assert (gone["uuid"], gone["state"], gone["blobs"], "blob_uuid" in gone) == (view["uuid"], "deleted", {}, False)
    refusal(us.writer.ask("GET", "/artifacts/disk"), 404)
    assert made(us.writer, "disk", b"1")["uuid"] != view["uuid"]


def test_an_administrator_stores_for_others_and_says_who_sees_it(us: Party, them: Party) -> None:
    us.admin.ask("POST", "/auth/namespaces", {"namespace": "system"})
    with access(us.daemon, "system", us.daemon.token) as system:
        view = made(system, "for them", b"x", namespace=them.namespace)
        shared = made(system, us.namespace, b"y", shared=True)
        refusal(us.writer.ask("POST", "/artifacts/upload/n", {"blob_uuid": ABSENT, "shared": True}), 403)

        assert them.reader.ask("GET", "/artifacts/for%20them").json == view
        assert us.reader.ask("GET", f"/artifacts/{us.namespace}").json == shared
        assert us.reader.ask("GET", f"/artifacts/{shared['uuid']}/metadata").json == {}
        system.ask("DELETE", f"/artifacts/{shared['uuid']}")


def test_only_administrators_share_even_what_is_of_system(us: Party) -> None:
    us.admin.ask("POST", "/auth/namespaces", {"namespace": "system"})
    body = {"name": "w", "role": "writer", "namespaces": ["system"]}
    writer = us.admin.ask("POST", "/v1/tokens", body).json["token"]

    with access(us.daemon, "system", writer) as wire:
        view = made(wire, us.namespace, b"x")
        refusal(wire.ask("GET", "/blobs"), 401)
        refusal(wire.ask("POST", f"/artifacts/{view['uuid']}/share"), 403)
        refusal(wire.ask("POST", "/auth/namespaces/system/keys", {"key_name": "a", "key": "b"}), 401)
        assert wire.ask("DELETE", f"/artifacts/{view['uuid']}").status == 200


def test_an_answer_that_was_lost_can_be_asked_for_again(us: Party) -> None:
    uuid = us.writer.ask("POST", "/upload").json["uuid"]
    us.writer.ask("POST", f"/upload/{uuid}", b"x")

    first, again = (us.writer.ask("POST", "/artifacts/upload/disk", {"upload_uuid": uuid}) for _ in range(2))

    assert first.json == again.json
    made(us.writer, "disk", b"y")
    refusal(us.writer.ask("POST", "/artifacts/upload/disk", {"upload_uuid": uuid}), 404)
    refusal(us.writer.ask("POST", "/artifacts/upload/elsewhere", {"upload_uuid": uuid}), 404)
    assert uuid not in incoming(us.daemon)


def test_the_root_prints_the_words_to_everybody(us: Party) -> None:
    words = us.nobody.ask("GET", "/").body.decode().split()

    assert {"blob-metadata", "blob-search-by-hash", "artifact-metadata"} <= set(words)
    assert not {word for word in words if word.startswith(("blob-", "artifact-"))} - set(SHAKENFIST.words)


def test_uuids_are_written_in_full(us: Party) -> None:
    uuid = UUID(us.add()["uuid"])

    for text in (uuid.hex, f"{{{uuid}}}", f"urn:uuid:{uuid}"):
        refusal(us.reader.ask("GET", f"/blobs/{quote(text)}"), 404)
    assert us.reader.ask("GET", f"/blobs/{str(uuid).upper()}").json["uuid"] == str(uuid)


# -- damage -----------------------------------------------------------------------------------------------------------


def damage(daemon: Daemon, data: bytes) -> None:
    """Change the payload where it lies, and let a reader find it: it is in quarantine then."""
    daemon.damaged.add(hashlib.sha512(data).hexdigest())
    file = payload_file(daemon, data)
    Path(file).write_bytes(data[:-1])


def test_what_is_in_quarantine_is_in_state_error_until_it_is_stored_again(us: Party, them: Party) -> None:
    data = f"{us.namespace} will be damaged".encode()
    artifact, other = made(us.writer, "disk", data), made(them.writer, "disk", data)
    blob, sha512 = f"/blobs/{artifact['blob_uuid']}", hashlib.sha512(data).hexdigest()
    damage(us.daemon, data)

    refusal(us.reader.ask("GET", f"{blob}/data"), 500)

    assert us.reader.ask("GET", blob).json["state"] == "error"
    assert us.reader.ask("GET", "/artifacts/disk").json["state"] == "error"
    assert us.reader.ask("GET", "/artifacts/disk/versions").json[0]["state"] == "error"
    assert [one["state"] for one in us.reader.ask("GET", "/artifacts").json] == ["error"]
    assert them.reader.ask("GET", f"/artifacts/{other['uuid']}").json["state"] == "error"
    assert us.reader.ask("GET", f"/blob_checksums/sha512/{sha512}").json is None  # so that clients send it again
    assert us.reader.ask("GET", f"{blob}/checksum/sha512").json == sha512
    refusal(us.reader.ask("GET", f"{blob}/data?offset=1"), 500)

    made(us.writer, "again", data)

    assert us.reader.ask("GET", blob).json["state"] == "created"
    assert them.reader.ask("GET", "/artifacts/disk").json["state"] == "created"
    assert us.reader.ask("GET", f"{blob}/data").body == data
