"""Section 8, the rows of `/v1/names`, `/v1/versions` and `/v1/name-info`, and "who holds a blob" of section 3."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from tests.blackbox.shapes import BLOB, MARKER, NAME_INFO, VERSION, items_of, oddities, refusal
from tests.web.party import Party, is_time, listed
from tests.web.wire import Wire, head, raw, sha256_field, sha512_field

NOBODYS = f'"{"0" * 128}"'


def etag(data: bytes) -> str:
    return f'"{hashlib.sha512(data).hexdigest()}"'


def versions_of(party: Party, name: str = "a/b") -> list[Any]:
    url = f"/v1/versions/{party.namespace}/{quote(name)}"
    return [] if party.reader.ask("GET", url).status == 404 else listed(party.reader, f"{url}?limit=2")


# -- PUT --------------------------------------------------------------------------------------------------------------


def test_a_put_makes_the_next_version_and_tells_it_to_the_letter(us: Party) -> None:
    for number, data in enumerate((b"one", b"two", b"two"), start=1):
        query = "?filename=f.txt&expires_in=60"
        answer = us.writer.ask("PUT", us.name() + query, data, {"Content-Type": "text/plain"})

        version = answer.json
        assert answer.status == 201
        assert answer["Content-Type"] == "application/json"
        assert answer["Location"] == f"{us.name()}?version={number}"
        assert not oddities(VERSION, version)
        assert version == version | {"namespace": us.namespace, "name": "a/b", "version": number, "deleted": False}
        blob = version["blob"]
        assert blob["holds_itself"] is False  # only its version holds it
        assert blob["names"] == [{"namespace": us.namespace, "name": "a/b", "version": number}]
        assert (blob["content_type"], blob["filename"], blob["size"]) == ("text/plain", "f.txt", len(data))
        assert answer["Casd-Blob"] == blob["uuid"]
        assert us.reader.ask("GET", f"/v1/blobs/{blob['uuid']}").json == blob
    assert [version["version"] for version in versions_of(us)] == [1, 2, 3]
    assert len({version["blob"]["uuid"] for version in versions_of(us)}) == 3


def test_concurrent_puts_take_numbers_without_gaps(us: Party) -> None:
    secret = us.token("writer")

    def put(index: int) -> int:
        with Wire(us.daemon, secret) as own:
            number: int = own.ask("PUT", us.name(), b"%d" % index).json["version"]
            return number

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(put, range(16)))

    assert sorted(numbers) == list(range(1, 17))
    times = [version["created_at"] for version in versions_of(us)]
    assert times == sorted(set(times))  # strictly growing, whatever the clock said


# -- bind -------------------------------------------------------------------------------------------------------------


def test_a_blob_of_the_namespace_is_bound_as_it_is(us: Party) -> None:
    blob = us.writer.ask("POST", "/v1/blobs?filename=f", b"x", {"Content-Type": "a/b"}).json
    us.writer.ask("PUT", f"/v1/blobs/{blob['uuid']}/metadata/k", {"value": 1})

    answer = us.writer.ask("PUT", f"{us.name()}?blob={blob['uuid'].upper()}")

    bound = answer.json["blob"]
    assert answer.status == 201
    assert not oddities(VERSION, answer.json)
    assert bound["uuid"] == blob["uuid"] == answer["Casd-Blob"]
    assert bound["holds_itself"] is True
    assert bound["metadata"] == {"k": 1}
    assert bound["names"] == [{"namespace": us.namespace, "name": "a/b", "version": 1}]


def test_a_blob_of_another_namespace_is_bound_as_a_new_one(us: Party, them: Party) -> None:
    made = us.writer.ask("POST", "/v1/blobs?filename=f&expires_in=600", b"x", {"Content-Type": "a/b"}).json
    us.writer.ask("PUT", f"/v1/blobs/{made['uuid']}/metadata/k", {"value": 1})
    both = {"Authorization": f"Bearer {us.token('writer', them.namespace)}"}

    answer = us.nobody.ask("PUT", f"{them.name()}?blob={made['uuid']}", headers=both)

    bound = answer.json["blob"]
    assert answer.status == 201
    assert not oddities(BLOB, bound)
    assert bound["uuid"] != made["uuid"]
    copied = ("sha512", "sha256", "xxh3_128", "size", "content_type", "filename")
    assert {key: bound[key] for key in copied} == {key: made[key] for key in copied}
    own = {"namespace": them.namespace, "metadata": {}, "holds_itself": False, "expires_at": None}
    assert bound == bound | own
    us.writer.ask("DELETE", f"/v1/blobs/{made['uuid']}")
    assert them.reader.ask("GET", them.name()).body == b"x"  # its own row holds the bytes


def test_binding_wants_membership_not_evidence(us: Party, them: Party) -> None:
    them.settings(readers=["*"], anonymous_read=True)
    theirs = them.add()["uuid"]
    assert us.writer.ask("GET", f"/v1/blobs/{theirs}/data").status == 200

    refused = us.writer.ask("PUT", f"{us.name()}?blob={theirs}")
    absent = us.writer.ask("PUT", f"{us.name()}?blob={'0' * 8}-0000-4000-8000-{'0' * 12}")

    assert refusal(refused) == refusal(absent) == (404, "blob-not-found")
    assert us.reader.ask("GET", us.name()).status == 404


def test_what_repr_digest_says_of_a_bound_blob_is_checked(us: Party) -> None:
    url = f"{us.name()}?blob={us.add(b'abc')['uuid']}"
    right, wrong = sha512_field(b"abc"), sha256_field(b"other")

    for header, status in ((wrong, 422), (f"{right}, {wrong}", 422), ("sha-512=:x:", 400), (right, 201)):
        assert us.writer.ask("PUT", url, headers={"Repr-Digest": header}).status == status
    assert len(versions_of(us)) == 1


def test_a_bind_takes_no_body(us: Party) -> None:
    assert refusal(us.writer.ask("PUT", f"{us.name()}?blob={us.add()['uuid']}", b"x"))[0] == 400


# -- guards -----------------------------------------------------------------------------------------------------------

GUARDS = [  # with If-…, on: an absent name, one whose latest is "old", a hidden one
    ("If-Match", "*", 412, 201, 412),
    ("If-Match", etag(b"old"), 412, 201, 412),
    ("If-Match", f"{NOBODYS}, {etag(b'old')}", 412, 201, 412),
    ("If-Match", NOBODYS, 412, 412, 412),
    ("If-Match", etag(b"older"), 412, 412, 412),
    ("If-Match", f"W/{etag(b'old')}", 412, 412, 412),
    ("If-Match", '"nodigest"', 412, 412, 412),
    ("If-Match", "junk", 400, 400, 400),
    ("If-None-Match", "*", 201, 412, 201),
    ("If-None-Match", etag(b"old"), 201, 412, 201),
    ("If-None-Match", NOBODYS, 201, 201, 201),
    ("If-None-Match", f"W/{etag(b'old')}", 201, 412, 201),
    ("If-None-Match", "junk", 400, 400, 400),
]


@pytest.mark.parametrize("is_bind", [False, True], ids=["body", "bind"])
@pytest.mark.parametrize(("header", "value", "absent", "old", "hidden"), GUARDS)
def test_a_guard_looks_at_the_latest_version(
    us: Party, header: str, value: str, absent: int, old: int, hidden: int, is_bind: bool
) -> None:
    for name in ("old", "hidden"):
        us.publish(name, b"older")
        us.publish(name, b"old")
    us.writer.ask("DELETE", us.name("hidden"))
    query = f"?blob={us.add(b'new')['uuid']}" if is_bind else ""

    for name, status in (("absent", absent), ("old", old), ("hidden", hidden)):
        before = versions_of(us, name)
        answer = us.writer.ask("PUT", us.name(name) + query, None if is_bind else b"new", {header: value})

        assert answer.status == status, name
        if status != 201:
            assert refusal(answer)[1] == {412: "precondition-failed", 400: "invalid-input"}[status]
            assert versions_of(us, name) == before


@pytest.mark.parametrize(("header", "value", "absent", "old", "hidden"), GUARDS)
def test_a_guard_holds_back_a_delete_too(
    us: Party, header: str, value: str, absent: int, old: int, hidden: int
) -> None:
    for name in ("hide", "purge"):
        us.publish(name, b"older")
        us.publish(name, b"old")

    for query in ("", "?purge=1"):
        name = us.name("purge" if query else "hide")
        answer = us.writer.ask("DELETE", name + query, headers={header: value})
        assert answer.status == {201: 204}.get(old, old)
        assert us.reader.ask("GET", name).status == (404 if old == 201 else 200)
        assert us.writer.ask("DELETE", us.name("absent") + query, headers={header: value}).status in (400, 404, 412)


def test_the_removal_of_a_version_is_guarded_by_that_version(us: Party) -> None:
    us.publish("a", b"older")
    us.publish("a", b"old")

    for header, value, status in (
        ("If-Match", etag(b"old"), 412),
        ("If-None-Match", "*", 412),
        ("If-Match", "junk", 400),
        ("If-Match", etag(b"older"), 204),
    ):
        assert us.writer.ask("DELETE", f"{us.name('a')}?version=1", headers={header: value}).status == status
    assert [version["version"] for version in versions_of(us, "a")] == [2]


def test_a_guard_that_fails_wants_no_body(us: Party) -> None:
    us.publish("a")
    with raw(us.daemon) as connection:
        length, waits = "Content-Length: 1000000", "Expect: 100-continue"
        connection.send(head(us.daemon, f"PUT {us.name('a')}", "If-None-Match: *", length, waits))

        status, _ = connection.head()

    assert status == 412  # and no 100 Continue before it


# -- GET, HEAD --------------------------------------------------------------------------------------------------------


def test_get_gives_the_latest_that_one_or_the_one_then(us: Party) -> None:
    us.publish("a/b", b"one")
    us.publish("a/b", b"two!")
    us.writer.ask("DELETE", us.name())
    us.publish("a/b", b"four")
    at = [version["created_at"] for version in versions_of(us)]

    def got(query: str) -> tuple[int, bytes]:
        answer = us.reader.ask("GET", us.name() + query)
        looked = us.reader.ask("HEAD", us.name() + query)
        assert looked.status == answer.status
        assert looked["Content-Length"] == answer["Content-Length"]
        return (answer.status, answer.body) if answer.status == 200 else (answer.status, b"")

    def beside(at: str, microseconds: int) -> str:
        moved = datetime.fromisoformat(at) + timedelta(microseconds=microseconds)
        return moved.isoformat(timespec="microseconds").replace("+00:00", "Z")

    contents = [(200, b"one"), (200, b"two!"), (404, b""), (200, b"four")]
    assert got("") == got("?version=4") == (200, b"four")
    for number, content in enumerate(contents, start=1):
        assert got(f"?version={number}") == content
        assert got(f"?as_of={at[number - 1]}") == content  # inclusive, and it sees markers
        before = contents[number - 2] if number > 1 else (404, b"")
        assert got(f"?as_of={beside(at[number - 1], -1)}") == before
    assert got("?as_of=9999-12-31T23:59:59.999999Z") == (200, b"four")
    assert got("?as_of=0001-01-01T00:00:00Z") == (404, b"")
    local = datetime.fromisoformat(at[0]).astimezone(datetime.fromisoformat("2026-01-01T00:00+05:30").tzinfo)
    assert got(f"?as_of={quote(local.isoformat())}") == (200, b"one")
    for query in ("?version=5", "?version=0", f"?version={1 << 63}", f"?version={'9' * 5000}"):
        assert got(query) == (404, b"")
    for query in ("?version=", "?version=x", "?version=-1", "?version=1.0", "?version=%D9%A1", "?version=+1"):
        assert got(query) == (400, b"")
    for query in ("?as_of=", "?as_of=now", "?as_of=2026", "?as_of=2026-13-01T00:00:00Z", "?as_of=1&version=1"):
        assert got(query) == (400, b"")
    assert got("?as_of=2026-01-01T00:00:00") == (400, b"")  # without an offset it is no time


def test_what_a_version_s_bytes_come_with_points_to_that_version(us: Party) -> None:
    name = "dir x/50% & ü?.bin"
    version = us.publish(name, b"one")

    latest = us.reader.ask("GET", us.name(name))

    location = f"{us.name(name)}?version=1"
    assert latest["Content-Location"] == location
    assert latest["ETag"] == etag(b"one")
    assert latest["Cache-Control"] == "no-cache"
    us.publish(name, b"two")
    assert us.reader.ask("GET", location).body == b"one"
    assert us.reader.ask("GET", location)["ETag"] == f'"{version["blob"]["sha512"]}"'
    assert us.reader.ask("GET", us.name(name), headers={"If-None-Match": etag(b"two")}).status == 304
    assert us.reader.ask("GET", us.name(name), headers={"If-None-Match": etag(b"one")}).status == 200


# -- DELETE -----------------------------------------------------------------------------------------------------------


def test_delete_hides_and_removing_the_newest_marker_un_hides(us: Party) -> None:
    us.publish("a/b", b"one")

    hidden = us.writer.ask("DELETE", us.name())

    assert (hidden.status, hidden.body) == (204, b"")
    assert refusal(us.writer.ask("DELETE", us.name()))[0] == 404  # hidden already
    assert refusal(us.reader.ask("GET", us.name()))[0] == 404
    assert us.reader.ask("GET", f"{us.name()}?version=1").body == b"one"
    assert items_of(us.reader.ask("GET", f"/v1/names/{us.namespace}")) == []
    made, marker = versions_of(us)
    assert not oddities(VERSION, made)
    assert not oddities(MARKER, marker)
    assert marker["version"] == 2
    assert us.writer.ask("DELETE", f"{us.name()}?version=2").status == 204
    assert us.reader.ask("GET", us.name()).body == b"one"
    assert versions_of(us) == [made]
    assert us.publish("a/b", b"three")["version"] == 3  # never reused


def test_a_marker_below_the_newest_version_un_hides_nothing(us: Party) -> None:
    us.publish("a/b", b"one")
    us.writer.ask("DELETE", us.name())
    us.publish("a/b", b"three")
    us.writer.ask("DELETE", us.name())

    assert us.writer.ask("DELETE", f"{us.name()}?version=2").status == 204

    assert us.reader.ask("GET", us.name()).status == 404
    assert [version["version"] for version in versions_of(us)] == [1, 3, 4]


def test_removing_a_version_lets_go_of_its_blob_alone(us: Party) -> None:
    first, second = us.publish("a/b", b"one"), us.publish("a/b", b"two")

    assert us.writer.ask("DELETE", f"{us.name()}?version=1").status == 204

    assert us.reader.ask("GET", f"/v1/blobs/{first['blob']['uuid']}").status == 404
    assert us.reader.ask("GET", f"{us.name()}?version=1").status == 404
    assert us.reader.ask("GET", us.name()).body == b"two"
    assert us.writer.ask("DELETE", f"{us.name()}?version=2").status == 204
    assert us.reader.ask("GET", us.name()).status == 404
    assert us.reader.ask("GET", f"/v1/blobs/{second['blob']['uuid']}").status == 404
    assert us.publish("a/b")["version"] == 3
    for query in ("?version=1", "?version=9", "?version=0"):
        assert refusal(us.writer.ask("DELETE", us.name() + query))[0] == 404
    for query in ("?version=x", "?purge=yes", "?purge=", "?version=3&purge=1", "?verison=3", "?version=3&version=4"):
        assert refusal(us.writer.ask("DELETE", us.name() + query)) == (400, "invalid-input")


def test_a_purge_keeps_the_count_and_the_time(us: Party) -> None:
    us.publish("a/b", b"one")
    us.publish("a/b", b"two")
    us.writer.ask("DELETE", us.name())
    before = versions_of(us)
    info = us.reader.ask("GET", f"/v1/name-info/{us.namespace}/a/b").json

    purged = us.writer.ask("DELETE", f"{us.name()}?purge=1")

    assert (purged.status, purged.body) == (204, b"")
    assert versions_of(us) == []
    for version in before[:2]:
        assert us.reader.ask("GET", f"/v1/blobs/{version['blob']['uuid']}").status == 404
    assert us.reader.ask("GET", f"/v1/name-info/{us.namespace}/a/b").status == 404
    assert refusal(us.writer.ask("DELETE", f"{us.name()}?purge=1"))[0] == 404
    again = us.publish("a/b")
    assert again["version"] == 4
    assert again["created_at"] > before[-1]["created_at"]
    assert us.reader.ask("GET", f"/v1/name-info/{us.namespace}/a/b").json["uuid"] != info["uuid"]


def test_purge_zero_is_no_purge(us: Party) -> None:
    us.publish("a/b", b"one")

    assert us.writer.ask("DELETE", f"{us.name()}?purge=0").status == 204

    assert us.reader.ask("GET", f"{us.name()}?version=1").body == b"one"


# -- listings ---------------------------------------------------------------------------------------------------------


def test_names_are_listed_with_their_latest_version_in_the_order_of_bytes(us: Party) -> None:
    names = ["a", "a b", "a/b", "a/c", "ab", "B", "ü", "z%", "\U0001f98a"]
    for name in names:
        us.publish(name, b"old")
        us.publish(name, name.encode())
    us.publish("a/hidden")
    us.writer.ask("DELETE", us.name("a/hidden"))

    def found(prefix: str) -> list[str]:
        items = listed(us.reader, f"/v1/names/{us.namespace}?limit=2&prefix={quote(prefix, safe='')}")
        assert all(not oddities(VERSION, item) and item["version"] == 2 for item in items)
        assert [item["blob"]["size"] for item in items] == [len(item["name"].encode()) for item in items]
        return [item["name"] for item in items]

    in_order = sorted(names, key=str.encode)
    assert found("") == in_order
    for prefix in ("a", "a/", "a/b", "B", "b", "z%", "ü", "\U0001f98a", "x"):
        assert found(prefix) == [name for name in in_order if name.startswith(prefix)], prefix


def test_what_is_not_there_has_no_versions_and_no_names(us: Party) -> None:
    for path in (f"/v1/versions/{us.namespace}/absent", "/v1/versions/absent/absent", "/v1/names/absent"):
        assert refusal(us.reader.ask("GET", path))[0] == 404
    assert items_of(us.reader.ask("GET", f"/v1/names/{us.namespace}")) == []


# -- name-info --------------------------------------------------------------------------------------------------------


def test_name_info_is_told_and_changed(us: Party) -> None:
    us.publish("a b/c")
    url = f"/v1/name-info/{us.namespace}/{quote('a b/c')}"

    fresh = us.reader.ask("GET", url).json
    changes = {"metadata": {"k": [1, None], "ü": "x"}, "shared": True, "keep_versions": 3, "protected": True}
    changed = us.writer.ask("PATCH", url, changes)

    assert not oddities(NAME_INFO, {key: fresh[key] for key in NAME_INFO})
    assert {key: fresh[key] for key in changes} == {
        "metadata": {},
        "shared": False,
        "keep_versions": None,
        "protected": False,
    }
    assert changed.status == 200
    assert changed.json == fresh | changes
    assert us.reader.ask("GET", url).json == changed.json
    assert us.writer.ask("PUT", us.name("a b/c"), b"more").status == 409  # it is protected
    unprotected = us.writer.ask("PATCH", url, {"protected": False}).json
    assert unprotected == changed.json | {"protected": False}
    us.publish("a b/c")
    assert us.reader.ask("GET", url).json == unprotected  # it is the name's, not the version's
    assert us.writer.ask("PATCH", url, {"keep_versions": None}).json == unprotected | {"keep_versions": None}
    assert us.writer.ask("PATCH", url, {}).status == 200
    assert us.writer.ask("PATCH", url, dict.fromkeys(changes)).json == fresh  # null puts back what a new name has


@pytest.mark.parametrize(
    "body",
    [
        {"uuid": "x"},
        {"shared": 1},
        {"protected": "no"},
        {"keep_versions": 0},
        {"keep_versions": -1},
        {"keep_versions": 1.5},
        {"keep_versions": True},
        {"keep_versions": 1 << 63},
        {"keep_versions": 10**400},
        {"metadata": []},
        {"metadata": {"": 1}},
        {"metadata": {"a\nb": 1}},
        {"unknown": 1},
        [],
        None,
    ],
    ids=repr,
)
def test_a_change_that_is_none_is_400(us: Party, body: Any) -> None:
    us.publish("a")
    url = f"/v1/name-info/{us.namespace}/a"
    before = us.reader.ask("GET", url).json

    answer = us.writer.ask("PATCH", url, b"null" if body is None else body)

    assert refusal(answer) == (400, "invalid-input")
    assert us.reader.ask("GET", url).json == before


def test_name_info_of_what_is_not_there_is_404(us: Party) -> None:
    for path in (f"{us.namespace}/absent", "absent/absent"):
        assert refusal(us.writer.ask("GET", f"/v1/name-info/{path}"))[0] == 404
        assert refusal(us.writer.ask("PATCH", f"/v1/name-info/{path}", {"shared": True}))[0] == 404


def test_keep_versions_of_a_name_goes_before_its_namespace_s(us: Party) -> None:
    us.settings(keep_versions=2)
    for name in ("ruled", "own"):
        us.publish(name)
    us.writer.ask("PATCH", f"/v1/name-info/{us.namespace}/own", {"keep_versions": 3})

    for _ in range(5):
        us.publish("ruled")
        us.publish("own")
    us.admin.ask("POST", "/v1/upkeep/expire")

    assert [version["version"] for version in versions_of(us, "ruled")] == [5, 6]
    assert [version["version"] for version in versions_of(us, "own")] == [4, 5, 6]


# -- what a name is ---------------------------------------------------------------------------------------------------

GOOD = [
    "a",
    "A.b",
    "...",
    "a/.b/..c",
    " ",
    "a b",
    "+&%#?",
    "%2F",
    "a%2Fb",
    "x" * 1024,
    "ü" * 512,
    "a\\b",
    "~",
    "{}",
    "*",
]
GOOD += ["\U0001f98a", "e\u0301", "\u00e9", "\u202e", ":", "@", "a;b=c", "\u00a0"]
BAD = ["", "/", "/a", "a/", "a//b", ".", "..", "a/.", "a/..", "./a", "../a", "a/../b", "a/./b", "a\0b", "a\nb", "\x7f"]
BAD += ["x" * 1025, "ü" * 512 + "x", "a\r", "\t", "\x1b[0m", "\x85"]
BAD_ENCODED = [
    "%FF",
    "a%",
    "a%zz",
    "%ED%A0%80",
    "%C0%80",
    "a%2F",
    "%2Fa",
    "a%2F%2Fb",
    "%2E",
    "%2e%2E",
    "a%2F..%2Fb",
    "%00",
]
BAD_ENCODED += ["%C3", "%F4%90%80%80", "x%FFy"]


@pytest.mark.parametrize("name", GOOD, ids=lambda name: ascii(name[:12]))
def test_a_name_comes_back_byte_for_byte(us: Party, name: str) -> None:
    for spelling in (quote(name, safe="/"), quote(name, safe="")):
        put = us.writer.ask("PUT", f"/v1/names/{us.namespace}/{spelling}", b"x")
        assert (put.status, put.json["name"]) == (201, name)
        assert us.reader.ask("GET", put["Location"] or "").body == b"x"
        assert us.reader.ask("GET", f"/v1/name-info/{us.namespace}/{spelling}").status == 200
        assert len(items_of(us.reader.ask("GET", f"/v1/versions/{us.namespace}/{spelling}"))) == put.json["version"]
    assert [item["name"] for item in items_of(us.reader.ask("GET", f"/v1/names/{us.namespace}"))] == [name]


def test_names_are_compared_as_bytes(us: Party) -> None:
    names = ["a", "A", "e\u0301", "\u00e9", "a ", " a", "x%FF", "x%25FF", "x/y", "x\\y"]

    for name in names:
        us.publish(name, name.encode())

    assert [us.reader.ask("GET", us.name(name)).body for name in names] == [name.encode() for name in names]


@pytest.mark.parametrize("path", [*(quote(name, safe="/") for name in BAD), *BAD_ENCODED], ids=lambda path: path[:12])
def test_what_is_no_name_is_400(us: Party, path: str) -> None:
    for method, route, body in (
        ("PUT", "names", b"x"),
        ("GET", "names", None),
        ("DELETE", "names", None),
        ("GET", "versions", None),
        ("GET", "name-info", None),
        ("PATCH", "name-info", {}),
    ):
        answer = us.writer.ask(method, f"/v1/{route}/{us.namespace}/{path}", body)

        assert refusal(answer)[0] == 400, (method, route)
    assert items_of(us.reader.ask("GET", f"/v1/names/{us.namespace}")) == []


@pytest.mark.parametrize(
    "namespace",
    ["-a", ".a", "_a", "a%20b", "a%2Fb", "%C3%BC", "a" * 129, "a+b", "a%00", "%FF", "a%", "%2E%2E", "*", "%7B", "%0A"],
)
def test_what_is_no_namespace_is_400(us: Party, namespace: str) -> None:
    for method, target, body in (
        ("GET", f"/v1/names/{namespace}", None),
        ("PUT", f"/v1/names/{namespace}/a", b"x"),
        ("GET", f"/v1/names/{namespace}/a", None),
        ("GET", f"/v1/versions/{namespace}/a", None),
        ("GET", f"/v1/name-info/{namespace}/a", None),
        ("GET", f"/v1/namespaces/{namespace}", None),
        ("PUT", f"/v1/namespaces/{namespace}", {}),
    ):
        assert refusal(us.admin.ask(method, target, body))[0] == 400, (method, target)


@pytest.mark.parametrize("namespace", ["0", "Z.z_z-9", "a" * 128])
def test_a_namespace_is_made_by_its_rule(us: Party, namespace: str) -> None:
    assert us.admin.ask("PUT", f"/v1/namespaces/{namespace}", {}).status == 200

    put = us.admin.ask("PUT", f"/v1/names/{namespace}/a", b"x")

    assert (put.status, put.json["namespace"]) == (201, namespace)
    assert is_time(put.json["created_at"])
