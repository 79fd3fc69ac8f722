"""Section 8, the rows of `/v1/blobs`: storing, listing with filters, info, bytes, deletion, metadata."""

import base64
import hashlib
import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
import xxhash

from tests.blackbox.shapes import BLOB, HELD_BY, items_of, oddities, refusal
from tests.web.party import Party, is_time, listed
from tests.web.wire import PATIENCE_S, Answer, sha256_field, sha512_field, stored

ABSENT = "01890000-0000-7000-8000-000000000000"
MALFORMED = ["x", "0" * 32, ABSENT + "0", ABSENT[:-1], "{" + ABSENT + "}", ABSENT.replace("-", "_"), "%C3%BC", "-" * 36]
MALFORMED += ["g" + ABSENT[1:], "\u0661".join([ABSENT[:2], ABSENT[3:]]), "urn:uuid:" + ABSENT, "..", "%00"]


def field(algorithm: str, digest: bytes) -> str:
    return f"{algorithm}=:{base64.b64encode(digest).decode()}:"


# -- POST /v1/blobs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"x", b"seventy thousand " * 4200], ids=len)
def test_a_stored_blob_is_told_to_the_letter(us: Party, data: bytes) -> None:
    query = f"?namespace={us.namespace}&filename=a%20b%2Bc.bin&expires_in=3600"

    answer = us.writer.ask("POST", "/v1/blobs" + query, data, {"Content-Type": 'text/x-a; q="b c"'})

    blob = answer.json
    assert answer.status == 201
    assert answer["Content-Type"] == "application/json"
    assert not oddities(BLOB, blob)
    assert answer["Location"] == f"/v1/blobs/{blob['uuid']}"
    assert answer["Casd-Blob"] == blob["uuid"]
    assert answer["X-Request-ID"]
    told = {
        "sha512": hashlib.sha512(data).hexdigest(),
        "sha256": hashlib.sha256(data).hexdigest(),
        "xxh3_128": xxhash.xxh3_128_hexdigest(data),
        "size": len(data),
        "content_type": 'text/x-a; q="b c"',
        "filename": "a b+c.bin",
        "namespace": us.namespace,
        "state": "created",
        "holds_itself": True,
        "metadata": {},
        "names": [],
    }
    assert blob == blob | told
    made, ends = datetime.fromisoformat(blob["created_at"]), datetime.fromisoformat(blob["expires_at"])
    assert abs(ends - made - timedelta(hours=1)) < timedelta(seconds=60)
    assert us.reader.ask("GET", answer["Location"] or "").json == blob
    assert us.reader.ask("GET", f"{answer['Location']}/data").body == data


def test_what_is_not_said_of_a_blob_has_its_default(us: Party) -> None:
    blob = stored(us.writer, b"x").json

    assert (blob["namespace"], blob["filename"], blob["expires_at"]) == (us.namespace, None, None)
    assert blob["content_type"] == "application/octet-stream"
    assert UUID(blob["uuid"]).version == 7


def test_a_token_s_first_namespace_is_its_home(us: Party, them: Party) -> None:
    both = us.token("writer", them.namespace)
    headers = {"Authorization": f"Bearer {both}"}

    assert us.nobody.ask("POST", "/v1/blobs", b"x", headers).json["namespace"] == us.namespace
    there = us.nobody.ask("POST", f"/v1/blobs?namespace={them.namespace}", b"x", headers)
    assert there.json["namespace"] == them.namespace
    assert us.admin.ask("POST", "/v1/blobs", b"x").json["namespace"] == "default"


def test_equal_bytes_are_two_blobs_of_one_digest(us: Party) -> None:
    first, second = (stored(us.writer, b"same").json for _ in range(2))

    assert first["uuid"] != second["uuid"]
    assert first["sha512"] == second["sha512"]


DIGESTS: list[tuple[str, Callable[[bytes], str], int]] = [
    ("sha-512", sha512_field, 201),
    ("sha-256", sha256_field, 201),
    ("both", lambda data: f"{sha512_field(data)}, {sha256_field(data)}", 201),
    ("both, no space", lambda data: f"{sha512_field(data)},{sha256_field(data)}", 201),
    ("one that casd does not know", lambda data: field("md5", hashlib.md5(b"other").digest()), 201),
    ("a known one beside an unknown one", lambda data: f"md5=:AAAA:, {sha256_field(data)}", 201),
    ("another sha-512", lambda data: sha512_field(data + b"!"), 422),
    ("another sha-256", lambda data: sha256_field(data + b"!"), 422),
    ("the first right, the second wrong", lambda data: f"{sha512_field(data)}, {sha256_field(b'')}", 422),
    ("the first wrong, the second right", lambda data: f"{sha512_field(b'')}, {sha256_field(data)}", 422),
    ("too short", lambda data: field("sha-512", hashlib.sha512(data).digest()[:63]), 400),
    ("too long", lambda data: field("sha-256", hashlib.sha256(data).digest() + b"\0"), 400),
    ("of another length", lambda data: field("sha-512", hashlib.sha256(data).digest()), 400),
    ("empty", lambda data: "sha-512=::", 400),
    ("hex", lambda data: f"sha-512={hashlib.sha512(data).hexdigest()}", 400),
    ("hex between colons", lambda data: f"sha-512=:{hashlib.sha512(data).hexdigest()}:", 400),
    ("no colons", lambda data: sha512_field(data).replace(":", ""), 400),
    ("base64 for URLs", lambda data: "sha-512=:" + "-_" * 43 + "==:", 400),
    ("no padding", lambda data: sha512_field(data).replace("=:", "=:", 1).replace("==:", ":"), 400),
    ("junk", lambda data: "@@, ;;=", 400),
    ("a known one and junk", lambda data: f"{sha512_field(data)}, junk", 400),
    ("nothing", lambda data: "", 400),
]


@pytest.mark.parametrize("is_name", [False, True], ids=["blob", "name"])
@pytest.mark.parametrize(("write", "status"), [row[1:] for row in DIGESTS], ids=[row[0] for row in DIGESTS])
def test_what_repr_digest_says_is_checked(us: Party, write: Callable[[bytes], str], status: int, is_name: bool) -> None:
    data = uuid4().bytes
    call = ("PUT", us.name()) if is_name else ("POST", "/v1/blobs")

    answer = us.writer.ask(*call, data, {"Repr-Digest": write(data)})

    assert answer.status == status, answer.body
    kept = items_of(us.reader.ask("GET", f"/v1/checksums/sha512/{hashlib.sha512(data).hexdigest()}"))
    if status == 201:
        assert len(kept) == 1
    else:
        assert refusal(answer)[1] == {422: "digest-mismatch", 400: "invalid-input"}[status]
        assert kept == []
        assert us.reader.ask("GET", us.name()).status == 404


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("expires_in=1", 201),
        ("expires_in=0", 400),
        ("expires_in=-1", 400),
        ("expires_in=", 400),
        ("expires_in=soon", 400),
        ("expires_in=1e3", 400),
        ("expires_in=%D9%A1", 400),
        (f"expires_in={1 << 63}", 400),
        (f"expires_in={'9' * 5000}", 400),
        ("filename=", 400),
        ("filename=a%0Ab", 400),
        ("filename=a%00", 400),
        (f"filename={'x' * 1025}", 400),
        (f"filename={'x' * 1024}", 201),
        ("filename=%C3%BC%F0%9F%A6%8A", 201),
        ("filename=%2Fetc%2Fpasswd", 201),
        ("filename=x%FF", 400),
        ("filename=x%25FF", 201),
        ("filename=%ED%A0%80", 400),
        ("filename=50%", 400),
        ("namespace=", 400),
        ("namespace=a%2Fb", 400),
        ("namespace=-a", 400),
        (f"namespace={'a' * 129}", 400),
        ("namespace=nobody-has-this", 404),
    ],
)
def test_what_is_said_in_the_query_is_checked_before_the_body(us: Party, query: str, status: int) -> None:
    answer = us.writer.ask("POST", f"/v1/blobs?{query}", b"x")

    assert answer.status == status, answer.body
    assert status == 201 or refusal(answer)


def test_a_content_type_that_is_none_is_400(us: Party) -> None:
    for text in ("text", "text/", "/plain", "text/pl(ain", "a/b" + "c" * 300):
        assert refusal(us.writer.ask("POST", "/v1/blobs", b"x", {"Content-Type": text})) == (400, "invalid-input")


# -- GET /v1/blobs ----------------------------------------------------------------------------------------------------


def test_a_listing_has_all_own_blobs_to_the_letter(us: Party, them: Party) -> None:
    both = {"Authorization": f"Bearer {us.token('reader', them.namespace)}"}
    ours, theirs = [us.add(b"a"), us.add(b"b")], [them.add(b"c")]
    us.publish("n", b"d")

    items = items_of(us.reader.ask("GET", "/v1/blobs"))

    assert [item for item in items if item in ours] == ours
    assert len(items) == 3  # that of the name is a blob as well
    assert all(not oddities(BLOB, item) for item in items)
    assert [ref for item in items for ref in item["names"]] == [{"namespace": us.namespace, "name": "n", "version": 1}]
    assert {item["uuid"] for item in items_of(us.nobody.ask("GET", "/v1/blobs", headers=both))} > {theirs[0]["uuid"]}
    assert items_of(us.reader.ask("GET", f"/v1/blobs?namespace={us.namespace}")) == items
    assert us.reader.ask("GET", f"/v1/blobs?namespace={them.namespace}").status == 404
    everything = {item["uuid"] for item in listed(us.admin, "/v1/blobs?limit=1000")}
    assert everything >= {blob["uuid"] for blob in ours + theirs}


VALUES: list[tuple[Any, str]] = [
    ("text", "text"),
    ("", ""),
    ("5", "5"),
    (5, "5"),
    (5.5, "5.5"),
    (True, "true"),
    (None, "null"),
    ("null", "null"),
    ([1, {"a": "b c"}], '[1,{"a":"b c"}]'),
    ({}, "{}"),
    ("ü & +", "ü & +"),
    ('"quoted"', '"quoted"'),
]


def test_metadata_filters_compare_strings_as_they_are_and_the_rest_in_compact_form(us: Party) -> None:
    made = []
    for value, _ in VALUES:
        made.append(us.add()["uuid"])
        us.writer.ask("PUT", f"/v1/blobs/{made[-1]}/metadata/k%20%26", {"value": value})

    for _, text in VALUES:
        found = items_of(us.reader.ask("GET", f"/v1/blobs?metadata.k%20%26={quote(text)}"))

        assert [item["uuid"] for item in found] == [
            uuid for uuid, (_, own) in zip(made, VALUES, strict=True) if own == text
        ], text
    for text in ('"text"', "5.0", "TRUE", '[1, {"a": "b c"}]', "tex", "text "):
        assert items_of(us.reader.ask("GET", f"/v1/blobs?metadata.k%20%26={quote(text)}")) == [], text


def test_filters_together_are_all_to_hold(us: Party) -> None:
    headers = {"Content-Type": "image/png"}
    wanted = us.writer.ask("POST", "/v1/blobs", b"1", headers).json["uuid"]
    other = us.writer.ask("POST", "/v1/blobs", b"2", headers).json["uuid"]
    us.add(b"3")
    for uuid, value in ((wanted, "1"), (other, "2")):
        us.writer.ask("PUT", f"/v1/blobs/{uuid}/metadata/a", {"value": value})
        us.writer.ask("PUT", f"/v1/blobs/{uuid}/metadata/b", {"value": "x"})

    def found(query: str) -> list[str]:
        return [item["uuid"] for item in items_of(us.reader.ask("GET", f"/v1/blobs?{query}"))]

    assert found("content_type=image/png") == [wanted, other]
    assert found("content_type=image/png&metadata.a=1&metadata.b=x") == [wanted]
    assert found("metadata.a=1&metadata.b=y") == []
    assert found("content_type=image") == []
    assert found(f"namespace={us.namespace}&metadata.b=x") == [wanted, other]


# -- GET, DELETE /v1/blobs/{uuid} -------------------------------------------------------------------------------------


def test_upper_case_uuids_mean_the_same(us: Party) -> None:
    blob = us.add(b"x")

    assert us.reader.ask("GET", f"/v1/blobs/{blob['uuid'].upper()}").json == blob
    assert us.reader.ask("GET", f"/v1/blobs/{blob['uuid'].upper()}/data").body == b"x"


@pytest.mark.parametrize("uuid", [ABSENT, *MALFORMED])
def test_a_uuid_that_is_not_there_or_not_one_is_404(us: Party, uuid: str) -> None:
    url = f"/v1/blobs/{quote(uuid, safe='%')}"
    calls: list[tuple[str, str, Any]] = [(method, url, None) for method in ("GET", "DELETE")]
    calls += [("GET", f"{url}/{rest}", None) for rest in ("data", "metadata", "metadata/k")]
    calls += [("PUT", f"{url}/metadata/k", {"value": 1}), ("DELETE", f"{url}/metadata/k", None)]

    for method, target, body in calls:
        answer = us.writer.ask(method, target, body)
        assert refusal(answer)[0] == 404, (method, target)


def test_head_is_get_without_its_body(us: Party) -> None:
    blob = us.add(b"12345")
    for path in ("", "/data", "/metadata"):
        got = us.reader.ask("GET", f"/v1/blobs/{blob['uuid']}{path}")
        head = us.reader.ask("HEAD", f"/v1/blobs/{blob['uuid']}{path}")

        assert (got.status, head.status, head.body) == (200, 200, b"")
        assert headers_of(head) == headers_of(got)


def headers_of(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in ("Date", "X-Request-ID")}


def test_delete_drops_a_blob_that_nothing_else_holds(us: Party) -> None:
    blob = us.add(b"only here")
    url = f"/v1/blobs/{blob['uuid']}"

    answer = us.writer.ask("DELETE", url)

    assert (answer.status, answer.body) == (204, b"")
    assert refusal(us.writer.ask("DELETE", url))[0] == 404
    for path in (url, f"{url}/data", f"{url}/metadata", f"/v1/payloads/sha512/{blob['sha512']}"):
        assert us.reader.ask("GET", path).status == 404
    assert items_of(us.reader.ask("GET", f"/v1/checksums/sha512/{blob['sha512']}")) == []
    assert items_of(us.reader.ask("GET", "/v1/blobs")) == []


def test_a_version_keeps_a_blob_readable_when_its_own_hold_goes(us: Party) -> None:
    blob = us.add(b"held twice", "?expires_in=3600")
    url = f"/v1/blobs/{blob['uuid']}"
    assert us.writer.ask("PUT", f"{us.name()}?blob={blob['uuid']}").status == 201

    assert us.writer.ask("DELETE", url).status == 204

    told = us.reader.ask("GET", url).json
    assert (told["holds_itself"], told["expires_at"]) == (False, None)
    assert not oddities(HELD_BY, told["names"][0])
    assert us.reader.ask("GET", f"{url}/data").body == b"held twice"
    assert refusal(us.writer.ask("DELETE", url)) == (409, "conflict")  # versions are all it has now
    assert us.reader.ask("GET", f"{url}/data").body == b"held twice"
    assert us.writer.ask("DELETE", f"{us.name()}?version=1").status == 204
    assert us.reader.ask("GET", url).status == 404


def test_a_blob_of_a_version_alone_is_not_its_own_to_delete(us: Party) -> None:
    version = us.publish("n", b"x")

    assert version["blob"]["holds_itself"] is False
    assert refusal(us.writer.ask("DELETE", f"/v1/blobs/{version['blob']['uuid']}")) == (409, "conflict")


def test_what_has_expired_is_gone_at_once(us: Party) -> None:
    """No upkeep is asked for; a version's hold outlives the blob's own."""
    alone, held = (us.add(data, "?expires_in=2") for data in (b"alone", b"held"))
    us.writer.ask("PUT", f"{us.name('kept')}?blob={held['uuid']}")
    deadline = time.monotonic() + PATIENCE_S

    while us.reader.ask("GET", f"/v1/blobs/{held['uuid']}").json["holds_itself"]:  # the one that was made last
        assert time.monotonic() < deadline
        time.sleep(0.05)

    assert is_time(alone["expires_at"])
    for path in (f"/v1/blobs/{alone['uuid']}/data", f"/v1/payloads/sha512/{alone['sha512']}"):
        assert refusal(us.reader.ask("GET", path))[0] == 404
    assert items_of(us.reader.ask("GET", f"/v1/checksums/sha512/{alone['sha512']}")) == []
    told = us.reader.ask("GET", f"/v1/blobs/{held['uuid']}").json
    assert (told["holds_itself"], told["expires_at"]) == (False, None)
    assert [item["uuid"] for item in items_of(us.reader.ask("GET", "/v1/blobs"))] == [held["uuid"]]
    assert us.reader.ask("GET", us.name("kept")).body == b"held"
    assert refusal(us.writer.ask("DELETE", f"/v1/blobs/{held['uuid']}")) == (409, "conflict")


def test_a_blob_shows_at_most_a_hundred_of_its_names(us: Party) -> None:
    blob = us.add()
    for index in range(102):
        assert us.writer.ask("PUT", f"{us.name(f'n{index}')}?blob={blob['uuid']}").status == 201

    shown = us.reader.ask("GET", f"/v1/blobs/{blob['uuid']}").json["names"]

    assert len(shown) == 100
    assert all(not oddities(HELD_BY, ref) for ref in shown)


# -- metadata ---------------------------------------------------------------------------------------------------------

KEYS = ["k", "a.b", "ü key", "50%", "a+b&c=d", "{}", "#?", "..", "k" * 1024, "metadata", " "]
JSON_VALUES: list[Any] = [None, True, 0, -7, 1.5, 10**18, "", "ü\u0000\U0001f98a", [], {}, [[1, "2"], {"a": None}]]


@pytest.mark.parametrize("key", KEYS, ids=range(len(KEYS)))
def test_metadata_takes_any_json_value_under_any_key(us: Party, key: str) -> None:
    url = f"/v1/blobs/{us.add()['uuid']}/metadata"
    own = f"{url}/{quote(key, safe='').replace('.', '%2E')}"
    absent = us.reader.ask("GET", own)

    for value in JSON_VALUES:
        put = us.writer.ask("PUT", own, {"value": value})
        assert (put.status, put.json) == (200, {"value": value})
        assert us.reader.ask("GET", own).json == {"value": value}
        assert us.reader.ask("GET", url).json == {key: value}
        assert us.reader.ask("GET", url[: -len("/metadata")]).json["metadata"] == {key: value}
    removed = us.writer.ask("DELETE", own)

    assert refusal(absent) == (404, "metadata-key-not-found")
    assert (removed.status, removed.body) == (204, b"")
    assert refusal(us.writer.ask("DELETE", own)) == (404, "metadata-key-not-found")
    assert us.reader.ask("GET", url).json == {}


@pytest.mark.parametrize("key", ["%00", "a%0Ab", "%FF", "%ED%A0%80", "%zz", "%", "k" * 1025])
def test_a_key_that_is_none_is_400(us: Party, key: str) -> None:
    url = f"/v1/blobs/{us.add()['uuid']}/metadata/{key}"
    for method, body in (("GET", None), ("PUT", {"value": 1}), ("DELETE", None)):
        assert refusal(us.writer.ask(method, url, body)) == (400, "invalid-input")


def test_metadata_has_its_limits(us: Party) -> None:
    url = f"/v1/blobs/{us.add()['uuid']}/metadata"
    most = {"value": "x" * ((64 << 10) - 2)}
    keys = range(20)

    statuses = [us.writer.ask("PUT", f"{url}/{key}", most).status for key in keys]

    assert statuses == [200] * statuses.count(200) + [413] * statuses.count(413)
    assert 14 <= statuses.count(200) <= 16  # a MiB a blob
    assert refusal(us.writer.ask("PUT", f"{url}/0", {"value": "x" * (64 << 10)})) == (413, "too-large")
    assert len(json.dumps(us.reader.ask("GET", url).json)) <= 1 << 20
