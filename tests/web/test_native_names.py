"""Names and versions, call by call, against the table of DESIGN.md 8."""

import hashlib
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import Daemon
from tests.web.party import BLOB_FIELDS, VERSION_FIELDS, Party, is_time, listed
from tests.web.wire import Wire, head, raw

NAMES = ["a", "a/b/c", "two words", "50% +&#?;=", "ü/名前", "a%2Fb", "{x}", "...", ".a", "a..", "x" * 1024, "é" * 512]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:10])
def test_a_name_is_put_got_listed_and_described(us: Party, name: str) -> None:
    put = us.writer.ask("PUT", us.name(name), b"one", {"Content-Type": "a/b"})

    version = put.json
    assert put.status == 201
    assert list(version) == VERSION_FIELDS
    assert list(version["blob"]) == BLOB_FIELDS
    assert put["Casd-Blob"] == version["blob"]["uuid"]
    assert put["ETag"] == f'"{hashlib.sha512(b"one").hexdigest()}"'
    assert version == version | {"namespace": us.namespace, "name": name, "version": 1, "deleted": False}
    assert version["blob"]["holds_itself"] is False
    assert version["blob"]["names"] == [{"namespace": us.namespace, "name": name, "version": 1}]
    assert is_time(version["created_at"])
    got = us.reader.ask("GET", us.name(name))
    assert (got.status, got.body, got["Content-Type"]) == (200, b"one", "a/b")
    assert us.reader.ask("GET", str(got["Content-Location"])).body == b"one"
    assert us.reader.ask("GET", str(put["Location"])).body == b"one"
    assert us.reader.ask("GET", f"/v1/names/{us.namespace}").json == {"items": [version], "next": None}
    assert us.reader.ask("GET", f"/v1/versions/{us.namespace}/{quote(name)}").json["items"] == [version]
    assert us.reader.ask("GET", f"/v1/name-info/{us.namespace}/{quote(name)}").json["name"] == name


BAD_NAMES = ["", "/a", "a/", "a//b", "%2F", "a%2F%2Fb", ".", "..", "a/./b", "a/../b", "%2e%2e", "a%00", "a%0Ab", "a%7F"]
BAD_NAMES += ["%FF", "%C3", "%zz", "%", "%ED%A0%80", "x" * 1025, "%C3%A9" * 513]
NAME_CALLS = [("PUT", "names"), ("GET", "names"), ("HEAD", "names"), ("DELETE", "names"), ("GET", "versions")]
NAME_CALLS += [("GET", "name-info"), ("PATCH", "name-info")]


@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda name: name[:12])
def test_a_name_that_is_none_is_400(shared_daemon: Daemon, name: str) -> None:
    with raw(shared_daemon) as connection:  # as it stands: http.client and yarl would tidy some of these up
        for method, call in NAME_CALLS:
            connection.send(head(shared_daemon, f"{method} /v1/{call}/default/{name}", "Content-Length: 0"))

            assert connection.answer(method).status == 400, (method, call)


@pytest.mark.parametrize(
    "namespace", ["%2F", "a%2Fb", ".a", "-a", "%C3%BC", "a%20b", "x" * 129, "%FF", "a%00", "%7Ba%7D"]
)
def test_a_namespace_that_is_none_is_refused(us: Party, namespace: str) -> None:
    paths = ["names/{}/a", "names/{}", "versions/{}/a", "name-info/{}/a", "namespaces/{}"]

    statuses = {us.admin.ask("GET", f"/v1/{path.format(namespace)}").status for path in paths}

    assert statuses <= {400, 404}  # braces never reach a handler


def test_versions_count_from_one_and_each_is_readable(us: Party) -> None:
    for number in range(1, 4):
        assert us.publish("a", b"%d" % number)["version"] == number

    versions = us.reader.ask("GET", f"/v1/versions/{us.namespace}/a").json

    assert [version["version"] for version in versions["items"]] == [1, 2, 3]
    assert versions["next"] is None
    times = [version["created_at"] for version in versions["items"]]
    assert times == sorted(set(times))
    for number, time in enumerate(times, start=1):
        assert us.reader.ask("GET", f"{us.name('a')}?version={number}").body == b"%d" % number
        assert us.reader.ask("GET", f"{us.name('a')}?as_of={quote(time)}").body == b"%d" % number
        offset = time.replace("Z", "+00:00")  # a plus sign in a query is a space to most clients
        assert us.reader.ask("GET", f"{us.name('a')}?as_of={offset}").body == b"%d" % number
    assert us.reader.ask("GET", us.name("a")).body == b"3"
    assert us.reader.ask("GET", f"{us.name('a')}?as_of=2000-01-01T00:00:00Z").status == 404


def test_one_version_is_listed_by_what_it_is_newer_than(us: Party) -> None:
    for at in range(5):
        us.publish("a", bytes([at]))
    path = f"/v1/versions/{us.namespace}/a"

    third = us.reader.ask("GET", f"{path}?newer_than=2&limit=1").json
    rest = listed(us.reader, f"{path}?newer_than=2&limit=2")

    assert [version["version"] for version in third["items"]] == [3]
    assert [version["version"] for version in rest] == [3, 4, 5]
    assert us.reader.ask("GET", f"{path}?newer_than=99999999999999999999").json["items"] == []
    assert us.reader.ask("GET", f"{path}?newer_than=x").status == 400


@pytest.mark.parametrize("limit", [1, 2, 5, 6])
def test_versions_are_listed_page_by_page(us: Party, limit: int) -> None:
    wanted = [us.publish("a", bytes([at]))["version"] for at in range(5)]

    found = listed(us.reader, f"/v1/versions/{us.namespace}/a?limit={limit}")

    assert [version["version"] for version in found] == wanted


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("version=2", 404, "version-not-found"),
        ("version=0", 404, "version-not-found"),
        ("version=" + "9" * 19, 404, "version-not-found"),
        ("version=" + "9" * 400, 404, "version-not-found"),
        ("version=", 400, "invalid-input"),
        ("version=x", 400, "invalid-input"),
        ("version=-1", 400, "invalid-input"),
        ("version=%D9%A1", 400, "invalid-input"),
        ("version=1&as_of=2026-01-01T00:00:00Z", 400, "invalid-input"),
        ("as_of=yesterday", 400, "invalid-input"),
        ("as_of=2026-01-01T00:00:00", 400, "invalid-input"),
        ("as_of=0001-01-01T00:00:00%2B23:00", 400, "invalid-input"),
        ("as_of=1000-01-01T00:00:00Z", 404, "name-not-found"),
    ],
)
def test_a_version_that_is_not_there(us: Party, query: str, status: int, code: str) -> None:
    us.publish("a")

    answer = us.reader.ask("GET", f"{us.name('a')}?{query}")

    assert (answer.status, answer.code) == (status, code)


def test_a_hidden_name_is_gone_until_its_marker_is(us: Party) -> None:
    us.publish("a", b"one")

    hidden = us.writer.ask("DELETE", us.name("a"))

    assert (hidden.status, hidden.body) == (204, b"")
    assert us.reader.ask("GET", us.name("a")).code == "name-not-found"
    assert us.reader.ask("GET", f"{us.name('a')}?version=1").body == b"one"
    assert us.reader.ask("GET", f"{us.name('a')}?version=2").status == 404
    assert us.writer.ask("DELETE", us.name("a")).status == 404
    assert us.reader.ask("GET", f"/v1/names/{us.namespace}").json["items"] == []
    marker = us.reader.ask("GET", f"/v1/versions/{us.namespace}/a").json["items"][1]
    assert list(marker) == VERSION_FIELDS
    assert (marker["version"], marker["blob"], marker["deleted"]) == (2, None, True)
    assert is_time(us.reader.ask("GET", f"/v1/name-info/{us.namespace}/a").json["hidden_at"])
    assert us.writer.ask("DELETE", f"{us.name('a')}?version=2").status == 204
    assert us.reader.ask("GET", us.name("a")).body == b"one"
    assert us.publish("a", b"three")["version"] == 3  # numbers are never used twice


def test_one_version_can_be_removed(us: Party) -> None:
    for number in range(1, 4):
        us.publish("a", b"%d" % number)

    assert us.writer.ask("DELETE", f"{us.name('a')}?version=3").status == 204

    assert us.reader.ask("GET", us.name("a")).body == b"2"
    assert us.writer.ask("DELETE", f"{us.name('a')}?version=3").code == "version-not-found"
    assert us.publish("a")["version"] == 4


def test_a_purged_name_is_gone_with_all_versions(us: Party) -> None:
    uuid = us.publish("a")["blob"]["uuid"]

    assert us.writer.ask("DELETE", f"{us.name('a')}?purge=1").status == 204

    paths = [us.name("a"), f"{us.name('a')}?version=1", f"/v1/versions/{us.namespace}/a", f"/v1/blobs/{uuid}"]
    assert {us.reader.ask("GET", path).status for path in paths} == {404}
    assert us.writer.ask("DELETE", f"{us.name('a')}?purge=1").status == 404
    assert us.publish("a")["version"] == 2


@pytest.mark.parametrize("query", ["purge=2", "purge=yes", "version=1&purge=1", "version=x"])
def test_a_delete_that_does_not_say_what_is_400(us: Party, query: str) -> None:
    us.publish("a")

    assert us.writer.ask("DELETE", f"{us.name('a')}?{query}").status == 400


def test_a_blob_is_bound_to_a_name(us: Party) -> None:
    blob = us.add(b"bytes", filename="f")

    answer = us.writer.ask("PUT", f"{us.name()}?blob={blob['uuid']}")

    assert answer.status == 201
    assert answer.json["blob"]["uuid"] == blob["uuid"]  # the same blob, which both hold now
    assert us.reader.ask("GET", us.name()).body == b"bytes"


def test_a_blob_bound_into_another_namespace_is_a_copy_there(us: Party, them: Party) -> None:
    blob = us.add(b"bytes", "?filename=f", content_type="a/b")
    us.writer.ask("PUT", f"/v1/blobs/{blob['uuid']}/metadata/k", {"value": 1})
    wire = Wire(us.daemon, us.token("writer", them.namespace))

    bound = wire.ask("PUT", f"{them.name()}?blob={blob['uuid']}").json["blob"]
    wire.connection.close()

    assert bound["uuid"] != blob["uuid"]
    same = ("sha512", "content_type", "filename", "size")
    assert {key: bound[key] for key in same} == {key: blob[key] for key in same}
    assert (bound["namespace"], bound["metadata"]) == (them.namespace, {})


@pytest.mark.parametrize("text", ["", "x", "00000000-0000-0000-0000-000000000000", "{{{}}}", "urn:uuid:{}"])
def test_a_blob_that_is_not_there_is_not_bound(us: Party, text: str) -> None:
    answer = us.writer.ask("PUT", f"{us.name()}?blob={text.format(us.add()['uuid'])}")

    assert (answer.status, answer.code) == (404, "blob-not-found")


def test_a_binding_takes_no_body(us: Party) -> None:
    answer = us.writer.ask("PUT", f"{us.name()}?blob={us.add()['uuid']}", b"body")

    assert (answer.status, answer.code) == (400, "invalid-input")


def test_names_are_listed_by_prefix_in_the_order_of_their_bytes(us: Party) -> None:
    names = ["a", "a/b", "a/c", "ab", "b", "ü", "Z", "%", "a b", "\U0001f98a", "\uffee"]
    for name in names:
        us.publish(name)

    for prefix in ("", "a", "a/", "a/b", "b", "%", "ü", "zzz", "A", "a//", "\U0001f98a"):
        found = listed(us.reader, f"/v1/names/{us.namespace}?limit=2&prefix={quote(prefix, safe='')}")
        wanted = sorted(name.encode() for name in names if name.startswith(prefix))
        assert [version["name"].encode() for version in found] == wanted, prefix


def test_a_name_is_described_and_changed(us: Party) -> None:
    us.publish("a/b")
    url = f"/v1/name-info/{us.namespace}/a/b"
    fields = ["uuid", "namespace", "name", "metadata", "shared", "keep_versions", "protected"]

    before = us.reader.ask("GET", url).json
    changed = us.writer.ask("PATCH", url, {"metadata": {"k": [1]}, "shared": True, "keep_versions": 2})

    assert set(before) >= set(fields)
    assert before == before | {"metadata": {}, "shared": False, "keep_versions": None, "protected": False}
    assert changed.status == 200
    assert changed.json == before | {"metadata": {"k": [1]}, "shared": True, "keep_versions": 2}
    assert us.reader.ask("GET", url).json == changed.json
    for number in range(3):
        us.publish("a/b", bytes([number]))
    kept = us.reader.ask("GET", f"/v1/versions/{us.namespace}/a/b").json["items"]
    assert [version["version"] for version in kept] == [3, 4]
    assert us.writer.ask("PATCH", url, {"keep_versions": None}).json["keep_versions"] is None


@pytest.mark.parametrize(
    ("metadata", "status", "code"),
    [
        ({"": 1}, 400, "invalid-input"),
        ({"a\nb": 1}, 400, "invalid-input"),
        ({"a\u0000b": 1}, 400, "invalid-input"),
        ({"x" * 1025: 1}, 400, "invalid-input"),
        ({"good": 1, "large": "x" * 65_536}, 413, "too-large"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_metadata_of_a_name_has_the_limits_of_a_blobs(
    us: Party, metadata: dict[str, Any], status: int, code: str
) -> None:
    us.publish("a")
    url = f"/v1/name-info/{us.namespace}/a"

    answer = us.writer.ask("PATCH", url, {"metadata": metadata})

    assert (answer.status, answer.code) == (status, code)
    assert us.reader.ask("GET", url).json["metadata"] == {}


@pytest.mark.parametrize(("method", "path"), [("GET", "names"), ("GET", "versions"), ("GET", "name-info")])
def test_a_name_that_is_absent_is_404(us: Party, method: str, path: str) -> None:
    answer = us.reader.ask(method, f"/v1/{path}/{us.namespace}/absent")

    assert (answer.status, answer.code) == (404, "name-not-found")


def test_a_changed_name_must_be_there(us: Party) -> None:
    assert us.writer.ask("PATCH", f"/v1/name-info/{us.namespace}/absent", {"shared": True}).code == "name-not-found"


def test_a_copy_of_a_blob_can_be_bound_under_its_own_filename_and_type(us: Party) -> None:
    blob = us.add(b"same", "?filename=old.bin")

    bound = us.writer.ask(
        "PUT", f"{us.name()}?blob={blob['uuid']}&copy=1&filename=new.txt", None, {"Content-Type": "text/plain"}
    )

    copy = bound.json["blob"]
    assert bound.status == 201
    assert copy["uuid"] != blob["uuid"]
    assert (copy["filename"], copy["content_type"], copy["sha512"]) == ("new.txt", "text/plain", blob["sha512"])
    assert us.reader.ask("GET", f"/v1/blobs/{blob['uuid']}").json == blob
