"""What is there already is not sent again: `missing`, `?blob=`, and unfinished uploads by content (DESIGN.md 8, 9)."""

import base64
import hashlib
import os
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest
import xxhash

from tests.web.party import BLOB_FIELDS, Party, is_time
from tests.web.tus import created, metadata, patch, tus
from tests.web.tus import us as us
from tests.web.wire import Answer, Wire

DATA = os.urandom(200_000)


def sha512(data: bytes) -> str:
    return hashlib.sha512(data).hexdigest()


def xxh3(data: bytes) -> str:
    return xxhash.xxh3_128_hexdigest(data)


CHECKSUMS = {"sha512": sha512, "xxh3_128": xxh3}


# -- missing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", CHECKSUMS)
def test_what_would_have_to_be_sent_is_told(us: Party, field: str) -> None:
    here, absent = uuid4().bytes, uuid4().bytes
    us.add(here)
    checksum = CHECKSUMS[field]

    answer = us.reader.ask("POST", "/v1/payloads/missing", {field: [checksum(here), checksum(absent), checksum(here)]})

    assert (answer.status, list(answer.json)) == (200, ["missing", "lease_until"])
    assert answer.json["missing"] == [checksum(absent)]
    assert is_time(answer.json["lease_until"])


def test_upper_case_is_lowered_and_nothing_lacks_of_nothing(us: Party) -> None:
    absent = sha512(uuid4().bytes)

    assert us.reader.ask("POST", "/v1/payloads/missing", {"sha512": [absent.upper()]}).json["missing"] == [absent]
    assert us.reader.ask("POST", "/v1/payloads/missing", {"sha512": []}).json["missing"] == []


def test_what_others_have_is_missing_even_where_one_may_read(us: Party, them: Party) -> None:
    theirs = uuid4().bytes
    them.add(theirs)
    them.settings(readers=["*"], anonymous_read=True)

    assert us.writer.ask("POST", "/v1/payloads/missing", {"sha512": [sha512(theirs)]}).json["missing"]
    assert them.reader.ask("POST", "/v1/payloads/missing", {"sha512": [sha512(theirs)]}).json["missing"] == []
    assert us.admin.ask("POST", "/v1/payloads/missing", {"sha512": [sha512(theirs)]}).json["missing"] == []
    assert us.nobody.ask("POST", "/v1/payloads/missing", {"sha512": []}).status == 401


def test_what_was_deleted_is_missing(us: Party) -> None:
    data = uuid4().bytes
    us.writer.ask("DELETE", f"/v1/blobs/{us.add(data)['uuid']}")

    assert us.writer.ask("POST", "/v1/payloads/missing", {"xxh3_128": [xxh3(data)]}).json["missing"] == [xxh3(data)]


def test_what_is_there_is_kept_for_a_while(us: Party) -> None:
    blob = us.add(uuid4().bytes)
    url = f"/v1/blobs/{blob['uuid']}"

    until = us.reader.ask("POST", "/v1/payloads/missing", {"sha512": [blob["sha512"]]}).json["lease_until"]

    assert datetime.fromisoformat(until) > datetime.fromisoformat(blob["created_at"])
    us.writer.ask("DELETE", url)
    us.admin.ask("POST", "/v1/upkeep/collect-garbage?force=1")
    assert us.daemon.data.joinpath("payloads", blob["sha512"][:2], blob["sha512"][2:4], blob["sha512"]).exists()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"sha512": "x"},
        {"sha512": ["x"]},
        {"sha512": [1]},
        {"sha512": None},
        {"sha256": ["0" * 64]},
        {"sha512": [], "xxh3_128": []},
        {"sha512": ["0" * 128] * 1001},
        {"xxh3_128": ["0" * 128]},
        [],
    ],
    ids=str,
)
def test_a_question_that_is_none_is_400(us: Party, body: Any) -> None:
    answer = us.reader.ask("POST", "/v1/payloads/missing", body)

    assert (answer.status, answer.code) == (400, "invalid-input")


# -- a blob of a blob's bytes -----------------------------------------------------------------------------------------


def test_a_blob_is_made_of_anothers_bytes(us: Party) -> None:
    source = us.add(DATA, "?filename=a.txt", content_type="text/plain")

    answer = us.writer.ask("POST", f"/v1/blobs?blob={source['uuid']}")

    blob = answer.json
    assert (answer.status, list(blob)) == (201, BLOB_FIELDS)
    assert answer["Location"] == f"/v1/blobs/{blob['uuid']}"
    assert answer["Casd-Blob"] == blob["uuid"] != source["uuid"]
    own = {"uuid", "created_at"}
    assert {key: value for key, value in blob.items() if key not in own} == {
        key: value for key, value in source.items() if key not in own
    }
    us.writer.ask("DELETE", f"/v1/blobs/{source['uuid']}")
    assert us.writer.ask("GET", f"/v1/blobs/{blob['uuid']}/data").body == DATA


def test_what_is_told_of_the_new_blob_counts(us: Party) -> None:
    source = us.add(DATA, "?filename=a.txt", content_type="text/plain")
    right = {"Content-Type": "a/b", "Repr-Digest": f"sha-512=:{to_base64(sha512(DATA))}:"}
    wrong = {"Repr-Digest": f"sha-512=:{to_base64('00' * 64)}:"}

    blob = us.writer.ask("POST", f"/v1/blobs?blob={source['uuid']}&filename=b&expires_in=60", None, right).json

    assert (blob["filename"], blob["content_type"], blob["expires_at"] is None) == ("b", "a/b", False)
    assert us.writer.ask("POST", f"/v1/blobs?blob={source['uuid']}", None, wrong).status == 422
    assert us.writer.ask("POST", f"/v1/blobs?blob={source['uuid']}", b"x").status == 400


def to_base64(text: str) -> str:
    return base64.b64encode(bytes.fromhex(text)).decode()


def test_bytes_are_taken_over_by_members_alone(us: Party, them: Party) -> None:
    theirs, ours = them.add(DATA), us.add(DATA)
    them.settings(readers=["*"])

    def status(wire: Wire, uuid: str, namespace: str) -> int:
        return wire.ask("POST", f"/v1/blobs?blob={uuid}&namespace={namespace}").status

    assert status(us.writer, ours["uuid"], us.namespace) == 201
    for uuid in (theirs["uuid"], str(uuid4()), "x"):
        assert status(us.writer, uuid, us.namespace) == 404
    assert status(us.writer, ours["uuid"], them.namespace) == 404
    assert status(us.reader, ours["uuid"], us.namespace) == 403
    assert status(us.nobody, ours["uuid"], us.namespace) == 401
    assert status(us.admin, theirs["uuid"], us.namespace) == 201


# -- unfinished uploads -----------------------------------------------------------------------------------------------


def found(wire: Wire, **query: Any) -> Answer:
    return wire.ask("GET", "/v1/uploads?" + "&".join(f"{key}={value}" for key, value in query.items()))


@pytest.mark.parametrize("field", CHECKSUMS)
def test_an_unfinished_upload_is_found_by_its_content_and_goes_on_from_elsewhere(us: Party, field: str) -> None:
    data = os.urandom(200_000)
    checksum = CHECKSUMS[field](data)
    shorter = created(us.writer, len(data), **{field: checksum})
    longer = created(us.writer, len(data), **{field: checksum}, name="a/b", filetype="x/y", filename="f")
    patch(us.writer, shorter, 0, data[:10])
    patch(us.writer, longer, 0, data[:150_000])
    with Wire(us.daemon, us.token("writer")) as elsewhere:
        answer = found(elsewhere, **{field: checksum.upper()}, size=len(data))
        items = answer.json["items"]

        assert (answer.status, answer.json["next"]) == (200, None)
        assert [item["url"] for item in items] == [longer, shorter]
        first = items[0]
        assert is_time(first.pop("created_at"))
        assert is_time(first.pop("expires_at"))
        assert first == {
            "url": longer,
            "offset": 150_000,
            "size": len(data),
            "active": False,
            "prefix_sha512": sha512(data[:150_000]),
            "namespace": us.namespace,
            "name": "a/b",
            "content_type": "x/y",
            "filename": "f",
        }
        last = patch(elsewhere, longer, 150_000, data[150_000:])
    assert last["Casd-Sha512"] == sha512(data)
    assert [item["url"] for item in found(us.writer, **{field: checksum}, size=len(data)).json["items"]] == [shorter]


def test_the_prefix_of_nothing_is_that_of_nothing(us: Party) -> None:
    checksum = sha512(uuid4().bytes)
    created(us.writer, 16, sha512=checksum)

    (item,) = found(us.writer, sha512=checksum, size=16).json["items"]

    assert (item["offset"], item["prefix_sha512"]) == (0, sha512(b""))


def test_after_a_chunk_that_was_refused_the_prefix_is_as_before(us: Party) -> None:
    checksum = sha512(uuid4().bytes)
    upload = created(us.writer, 16, sha512=checksum)
    patch(us.writer, upload, 0, b"abc")
    patch(us.writer, upload, 3, b"def", Upload_Checksum="sha1 " + to_base64("00" * 20))

    (item,) = found(us.writer, sha512=checksum, size=16).json["items"]

    assert (item["offset"], item["prefix_sha512"]) == (3, sha512(b"abc"))


def test_only_writers_find_what_is_unfinished_and_foreign_is_as_absent(us: Party, them: Party) -> None:
    checksum = sha512(uuid4().bytes)
    created(them.writer, 16, sha512=checksum)
    them.settings(readers=["*"])
    query = {"sha512": checksum, "size": 16}

    assert found(us.writer, **query).json["items"] == []
    foreign = found(us.writer, **query, namespace=them.namespace)
    absent = found(us.writer, **query, namespace=f"ns-{uuid4()}")
    assert (foreign.status, foreign.code) == (absent.status, absent.code) == (404, "namespace-not-found")
    assert found(them.reader, **query).status == 403
    assert found(us.nobody, **query).status == 401
    assert len(found(us.admin, **query, namespace=them.namespace).json["items"]) == 1


@pytest.mark.parametrize(
    "query",
    [
        {"size": 1},
        {"limit": 0},
        {"cursor": "x"},
        {"offset": 1},
        {"sha512": "0" * 128},
        {"sha512": "0" * 128, "xxh3_128": "0" * 32, "size": 1},
        {"sha512": "0" * 127, "size": 1},
        {"xxh3_128": "%C2%B2" * 32, "size": 1},
        {"sha512": "0" * 128, "size": -1},
        {"sha512": "0" * 128, "size": "x"},
        {"sha512": "0" * 128, "size": 1, "other": 1},
        {"sha512": "0" * 128, "size": 1, "namespace": "no%20namespace"},
    ],
    ids=str,
)
def test_a_search_that_is_none_is_400(us: Party, query: dict[str, Any]) -> None:
    answer = found(us.writer, **query)

    assert (answer.status, answer.code) == (400, "invalid-input")


def test_open_uploads_are_listed_without_their_content_too(us: Party, them: Party) -> None:
    whole = created(us.writer, 16, name="a/b", filename="f")
    patch(us.writer, whole, 0, b"abc")
    piece = tus(us.writer, "POST", "/v1/uploads", Upload_Length="3", Upload_Concat="partial")["Location"]
    theirs = created(them.writer, 16)
    patch(us.writer, created(us.writer, 3), 0, b"abc")  # is finished

    items = found(us.writer).json["items"]
    pages = [found(us.writer, limit=1).json]
    pages.append(found(us.writer, limit=1, cursor=pages[0]["next"]).json)

    assert [item["url"] for item in items] == [whole, piece]
    assert [item["is_partial"] for item in items] == [False, True]
    assert (items[0]["offset"], items[0]["size"], items[0]["begun_by"]) == (3, 16, "a writer")
    assert [item["url"] for page in pages for item in page["items"]] == [whole, piece]
    assert pages[1]["next"] is None
    assert [item["url"] for item in found(us.admin, namespace=them.namespace).json["items"]] == [theirs]
    assert {whole, theirs} <= {item["url"] for item in found(us.admin, limit=1000).json["items"]}


def test_open_uploads_are_listed_for_writers_alone_and_foreign_is_as_absent(us: Party, them: Party) -> None:
    foreign = found(us.writer, namespace=them.namespace)
    absent = found(us.writer, namespace=f"ns-{uuid4()}")

    assert (foreign.status, foreign.code) == (absent.status, absent.code) == (404, "namespace-not-found")
    assert (found(us.reader).status, found(us.nobody).status) == (403, 401)


def test_a_size_that_nothing_has_finds_nothing(us: Party) -> None:
    assert found(us.writer, sha512="0" * 128, size=10**30).json["items"] == []


def test_metadata_that_announces_is_told_again(us: Party) -> None:
    told = metadata(xxh3_128="0" * 32, expires_in="60")
    answer = tus(us.writer, "POST", "/v1/uploads", Upload_Length="3", Upload_Metadata=told)

    assert tus(us.writer, "HEAD", answer["Location"] or "")["Upload-Metadata"] == told
