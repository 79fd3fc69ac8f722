"""Blobs, their bytes, checksums and metadata, call by call, against the table of DESIGN.md 8."""

import hashlib
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID, uuid4

import pytest
import xxhash

from tests.web.party import BLOB_FIELDS, Party, is_time, listed
from tests.web.wire import Wire, stored

# -- blobs ------------------------------------------------------------------------------------------------------------


def test_a_new_blob_is_told_with_all_its_facts(us: Party) -> None:
    data = uuid4().bytes

    answer = us.writer.ask("POST", "/v1/blobs?filename=a%20b.txt", data, {"Content-Type": "text/plain"})

    blob = answer.json
    assert answer.status == 201
    assert list(blob) == BLOB_FIELDS
    assert answer["Content-Type"] == "application/json"
    assert answer["Location"] == f"/v1/blobs/{blob['uuid']}"
    assert answer["Casd-Blob"] == blob["uuid"]
    assert UUID(blob["uuid"]).version == 7
    assert is_time(blob["created_at"])
    assert blob == blob | {
        "sha512": hashlib.sha512(data).hexdigest(),
        "sha256": hashlib.sha256(data).hexdigest(),
        "xxh3_128": xxhash.xxh3_128_hexdigest(data),
        "size": 16,
        "content_type": "text/plain",
        "filename": "a b.txt",
        "namespace": us.namespace,
        "state": "created",
        "holds_itself": True,
        "expires_at": None,
        "metadata": {},
        "names": [],
    }


def test_a_blob_goes_where_the_query_says(us: Party, them: Party) -> None:
    wire = Wire(us.daemon, us.token("writer", them.namespace))

    home = stored(wire, b"x").json
    other = stored(wire, b"x", f"?namespace={them.namespace}").json
    wire.connection.close()

    assert (home["namespace"], other["namespace"]) == (us.namespace, them.namespace)


def test_a_blob_is_read_as_it_was_told(us: Party) -> None:
    blob = us.add()

    answer = us.reader.ask("GET", f"/v1/blobs/{blob['uuid']}")

    assert (answer.status, answer.json) == (200, blob)


def test_a_uuid_in_capitals_is_the_same(us: Party) -> None:
    blob = us.add()

    assert us.reader.ask("GET", f"/v1/blobs/{blob['uuid'].upper()}").json == blob


def test_a_blob_knows_its_metadata_and_names(us: Party) -> None:
    blob = us.add()
    us.writer.ask("PUT", f"/v1/blobs/{blob['uuid']}/metadata/k", {"value": [1]})
    us.writer.ask("PUT", f"{us.name('a/b')}?blob={blob['uuid']}")

    told = us.reader.ask("GET", f"/v1/blobs/{blob['uuid']}").json

    assert told["metadata"] == {"k": [1]}
    assert told["names"] == [{"namespace": us.namespace, "name": "a/b", "version": 1}]


def test_an_expiry_is_told(us: Party) -> None:
    before = datetime.now(UTC)

    blob = us.add(query="?expires_in=3600")

    assert is_time(blob["expires_at"])
    left = datetime.fromisoformat(blob["expires_at"]) - before
    assert timedelta(hours=1) <= left <= timedelta(hours=1, minutes=5)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "x", "", "%D9%A1", "9" * 20, "1e3"])
def test_an_expiry_that_is_none_is_400(us: Party, text: str) -> None:
    answer = us.writer.ask("POST", f"/v1/blobs?expires_in={text}", b"x")

    assert (answer.status, answer.code) == (400, "invalid-input")


def test_a_deleted_blob_is_gone_at_once(us: Party) -> None:
    blob = us.add(uuid4().bytes)
    url = f"/v1/blobs/{blob['uuid']}"

    deleted = us.writer.ask("DELETE", url)

    assert (deleted.status, deleted.body) == (204, b"")
    assert {us.reader.ask("GET", path).status for path in (url, f"{url}/data", f"{url}/metadata")} == {404}
    assert us.reader.ask("GET", f"/v1/payloads/sha512/{blob['sha512']}").status == 404
    again = us.writer.ask("DELETE", url)
    assert (again.status, again.code) == (404, "blob-not-found")


def test_a_deleted_blob_that_a_version_holds_stays_readable(us: Party) -> None:
    uuid = us.add(b"held", "?expires_in=100")["uuid"]
    us.writer.ask("PUT", f"{us.name()}?blob={uuid}")

    assert us.writer.ask("DELETE", f"/v1/blobs/{uuid}").status == 204
    told = us.reader.ask("GET", f"/v1/blobs/{uuid}").json

    assert (told["holds_itself"], told["expires_at"]) == (False, None)
    assert us.reader.ask("GET", f"/v1/blobs/{uuid}/data").body == b"held"


def test_a_blob_that_only_versions_hold_cannot_be_deleted(us: Party) -> None:
    uuid = us.publish("a")["blob"]["uuid"]

    answer = us.writer.ask("DELETE", f"/v1/blobs/{uuid}")

    assert (answer.status, answer.code) == (409, "conflict")
    assert us.reader.ask("GET", f"/v1/blobs/{uuid}").json["holds_itself"] is False


# -- listings of blobs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 1000])
def test_blobs_are_listed_page_by_page(us: Party, them: Party, limit: int) -> None:
    wire = Wire(us.daemon, us.token("reader", them.namespace))
    blobs = [us.add(bytes([at])) for at in range(4)] + [them.add(bytes([at])) for at in range(3)]

    found = listed(wire, f"/v1/blobs?limit={limit}")
    wire.connection.close()

    assert sorted(found, key=lambda blob: blob["uuid"]) == sorted(blobs, key=lambda blob: blob["uuid"])


def test_a_listing_has_a_hundred_items_unless_told_otherwise(us: Party) -> None:
    blob = us.add()
    for number in range(101):
        assert us.writer.ask("PUT", f"{us.name(f'{number:03}')}?blob={blob['uuid']}").status == 201
    url = f"/v1/names/{us.namespace}"

    sizes = [len(us.reader.ask("GET", f"{url}{query}").json["items"]) for query in ("", "?limit=101", "?limit=9999999")]

    assert sizes == [100, 101, 101]
    assert len(listed(us.reader, f"{url}?prefix=")) == 101
    assert len(us.reader.ask("GET", f"/v1/blobs/{blob['uuid']}").json["names"]) == 100  # so many names are shown


def test_a_listing_shows_own_namespaces_and_an_admin_all(us: Party, them: Party) -> None:
    ours, theirs = us.add(), them.add()

    def seen(wire: Wire, query: str = "") -> set[str]:
        return {blob["uuid"] for blob in listed(wire, f"/v1/blobs?limit=1000{query}")}

    assert seen(us.reader) == {ours["uuid"]}
    assert seen(us.reader, f"&namespace={us.namespace}") == {ours["uuid"]}
    assert seen(us.admin) >= {ours["uuid"], theirs["uuid"]}
    assert seen(us.admin, f"&namespace={them.namespace}") == {theirs["uuid"]}


def test_blobs_are_found_by_content_type(us: Party) -> None:
    text = us.add(content_type="text/plain")
    us.add(content_type="text/plain; charset=utf-8")

    assert listed(us.reader, f"/v1/blobs?{urlencode({'content_type': 'text/plain'})}") == [text]


VALUES: list[tuple[Any, str]] = [
    ("text", "text"),
    ("", ""),
    ("ü & = + %", "ü & = + %"),
    ("1", "1"),
    (1, "1"),
    (1.5, "1.5"),
    (True, "true"),
    (None, "null"),
    ([1, {"a": "b"}], '[1,{"a":"b"}]'),
    ({"a": 1, "b": "ü"}, '{"a":1,"b":"ü"}'),
    ('"quoted"', '"quoted"'),
]


@pytest.mark.parametrize(("value", "text"), VALUES, ids=lambda value: repr(value)[:16])
def test_blobs_are_found_by_metadata(us: Party, value: Any, text: str) -> None:
    uuid = us.add()["uuid"]
    us.add()
    us.writer.ask("PUT", f"/v1/blobs/{uuid}/metadata/key.with%20dots", {"value": value})

    def found(filters: dict[str, str]) -> list[str]:
        return [blob["uuid"] for blob in listed(us.reader, f"/v1/blobs?{urlencode(filters)}")]

    assert found({"metadata.key.with dots": text}) == [uuid]
    assert found({"metadata.key.with dots": text + " "}) == []
    assert found({"metadata.key": text}) == []


def test_a_string_does_not_match_its_own_json(us: Party) -> None:
    uuid = us.add()["uuid"]
    us.writer.ask("PUT", f"/v1/blobs/{uuid}/metadata/k", {"value": "text"})

    as_json = urlencode({"metadata.k": '"text"'})
    assert listed(us.reader, f"/v1/blobs?{as_json}") == []


def test_filters_narrow_together_and_page(us: Party) -> None:
    wanted = []
    for number in range(6):
        blob = us.add(bytes([number]), content_type="a/b" if number % 2 else "c/d")
        us.writer.ask("PUT", f"/v1/blobs/{blob['uuid']}/metadata/x", {"value": 1})
        us.writer.ask("PUT", f"/v1/blobs/{blob['uuid']}/metadata/y", {"value": number > 1})
        if number in (3, 5):
            wanted.append(blob["uuid"])
    filters = urlencode({"metadata.x": "1", "metadata.y": "true", "content_type": "a/b", "limit": 1})

    assert [blob["uuid"] for blob in listed(us.reader, f"/v1/blobs?{filters}")] == sorted(wanted)


LISTINGS = ["/v1/blobs", "/v1/names/{ns}", "/v1/versions/{ns}/a", "/v1/tokens", "/v1/namespaces"]
LISTINGS.append(f"/v1/checksums/sha512/{'0' * 128}")


@pytest.mark.parametrize("path", LISTINGS)
def test_a_bad_limit_or_cursor_is_400_in_every_listing(us: Party, path: str) -> None:
    us.publish("a")

    for query in ("limit=0", "limit=-1", "limit=x", "limit=", "limit=1.5", "cursor=!", "cursor=a"):
        answer = us.admin.ask("GET", f"{path.format(ns=us.namespace)}?{query}")
        assert (answer.status, answer.code) == (400, "invalid-input"), query


@pytest.mark.parametrize("path", LISTINGS)
def test_the_cursor_of_another_listing_is_400(us: Party, path: str) -> None:
    us.publish("a")

    answer = us.admin.ask("GET", f"{path.format(ns=us.namespace)}?cursor=AAAA")

    assert (answer.status, answer.code) == (400, "invalid-input")


# -- bytes, checksums -------------------------------------------------------------------------------------------------


def test_bytes_are_had_by_uuid_and_by_digest(us: Party) -> None:
    data = uuid4().bytes
    blob = us.add(data, content_type="a/b")
    urls = [f"/v1/blobs/{blob['uuid']}/data", f"/v1/payloads/sha512/{blob['sha512']}"]
    urls.append(f"/v1/payloads/sha512/{blob['sha512'].upper()}")

    answers = [us.reader.ask("GET", url) for url in urls]

    assert {(answer.status, answer.body, answer["Content-Type"]) for answer in answers} == {(200, data, "a/b")}


def test_by_digest_the_callers_oldest_blob_says_the_type(us: Party, them: Party) -> None:
    data = uuid4().bytes
    them.add(data, content_type="their/type")
    url = f"/v1/payloads/sha512/{us.add(data, content_type='old/type')['sha512']}"
    us.add(data, content_type="new/type")

    assert us.reader.ask("GET", url)["Content-Type"] == "old/type"
    assert them.reader.ask("GET", url)["Content-Type"] == "their/type"


@pytest.mark.parametrize(("algorithm", "field"), [("sha512", "sha512"), ("sha256", "sha256"), ("xxh3-128", "xxh3_128")])
@pytest.mark.parametrize("is_upper", [False, True])
def test_blobs_are_found_by_checksum(us: Party, them: Party, algorithm: str, field: str, is_upper: bool) -> None:
    data = uuid4().bytes
    ours = [us.add(data)["uuid"] for _ in range(3)]
    theirs = them.add(data)
    text = theirs[field].upper() if is_upper else theirs[field]

    def found(wire: Wire) -> list[str]:
        return [blob["uuid"] for blob in listed(wire, f"/v1/checksums/{algorithm}/{text}?limit=2")]

    assert found(us.reader) == ours
    assert found(them.reader) == [theirs["uuid"]]
    assert set(found(us.admin)) == {*ours, theirs["uuid"]}


@pytest.mark.parametrize(
    ("algorithm", "text"),
    [
        ("md5", "0" * 32),
        ("SHA512", "0" * 128),
        ("sha512", "0" * 127),
        ("sha512", "0" * 129),
        ("sha512", "g" * 128),
        ("sha256", "0" * 128),
        ("xxh3-128", "0" * 16),
        ("xxh3_128", "0" * 32),
        ("sha256", "0x" + "0" * 62),
        ("sha256", quote("\u0660") * 64),
    ],
)
def test_an_unknown_algorithm_or_bad_hex_is_400(us: Party, algorithm: str, text: str) -> None:
    answer = us.reader.ask("GET", f"/v1/checksums/{algorithm}/{text}")

    assert (answer.status, answer.code) == (400, "invalid-input")


def test_a_checksum_that_nobody_has_finds_nothing(us: Party) -> None:
    answer = us.reader.ask("GET", f"/v1/checksums/sha256/{'0' * 64}")

    assert (answer.status, answer.json) == (200, {"items": [], "next": None})


# -- metadata ---------------------------------------------------------------------------------------------------------

KEYS = ["k", "two words", "a/b", "50%", "a%2Fb", "{braces}", "ü", "a.b-c_d~", "?#&=+", "\U0001f98a", "x" * 1024]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key[:10])
def test_metadata_is_set_read_listed_and_removed(us: Party, key: str) -> None:
    base = f"/v1/blobs/{us.add()['uuid']}/metadata"
    url = f"{base}/{quote(key, safe='')}"

    assert us.writer.ask("PUT", url, {"value": 1}).json == {"value": 1}
    assert us.writer.ask("PUT", url, {"value": ["2"]}).json == {"value": ["2"]}
    assert us.reader.ask("GET", url).json == {"value": ["2"]}
    assert us.reader.ask("GET", base).json == {key: ["2"]}
    assert us.writer.ask("DELETE", url).status == 204
    for method, wire in (("GET", us.reader), ("DELETE", us.writer)):
        gone = wire.ask(method, url)
        assert (gone.status, gone.code) == (404, "metadata-key-not-found")
    assert us.reader.ask("GET", base).json == {}


BLOCK = 1 << 20
THREE_BLOCKS = random.Random(11).randbytes(2 * BLOCK + 5)
CHECKSUMS = [xxhash.xxh3_64_hexdigest(THREE_BLOCKS[at : at + BLOCK]) for at in range(0, len(THREE_BLOCKS), BLOCK)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", CHECKSUMS),
        ("?start=1", CHECKSUMS[1:]),
        ("?stop=1", CHECKSUMS[:1]),
        ("?start=1&stop=2", CHECKSUMS[1:2]),
        ("?start=2&stop=99999999999999999999", CHECKSUMS[2:]),
        ("?start=3", []),
        ("?start=99&stop=100", []),
        ("?start=1&stop=1", []),
    ],
)
def test_blocks_are_told_by_uuid_and_by_digest(us: Party, query: str, expected: list[str]) -> None:
    blob = us.add(THREE_BLOCKS)

    for path in (f"/v1/blobs/{blob['uuid']}", f"/v1/payloads/sha512/{blob['sha512']}"):
        answer = us.reader.ask("GET", f"{path}/blocks{query}")
        assert answer.status == 200
        assert answer.json == {"block_size": BLOCK, "algorithm": "xxh3-64", "blocks": expected}


def test_an_empty_payload_has_no_blocks(us: Party) -> None:
    assert us.reader.ask("GET", f"/v1/blobs/{us.add(b'')['uuid']}/blocks").json["blocks"] == []


@pytest.mark.parametrize("query", ["start=2&stop=1", "start=-1", "start=x", "stop=", "start=1.0"])
def test_blocks_that_cannot_be_are_400(us: Party, query: str) -> None:
    answer = us.reader.ask("GET", f"/v1/blobs/{us.add(THREE_BLOCKS)['uuid']}/blocks?{query}")

    assert (answer.status, answer.code) == (400, "invalid-input")


@pytest.mark.parametrize("key", ["%0A", "%00", "%7F", "%C2%85", "%FF", "%zz", "x" * 1025])
def test_a_metadata_key_that_is_none_is_400(us: Party, key: str) -> None:
    url = f"/v1/blobs/{us.add()['uuid']}/metadata/{key}"

    for method, wire, body in (("PUT", us.writer, {"value": 1}), ("GET", us.reader, None), ("DELETE", us.writer, None)):
        answer = wire.ask(method, url, body)
        assert (answer.status, answer.code) == (400, "invalid-input")


def test_the_metadata_of_one_blob_ends_at_a_mib(us: Party) -> None:
    url = f"/v1/blobs/{us.add()['uuid']}/metadata"

    statuses = [us.writer.ask("PUT", f"{url}/{at}", {"value": "x" * 65_000}).status for at in range(17)]

    assert statuses == [200] * 16 + [413]
    assert len(us.reader.ask("GET", url).json) == 16
