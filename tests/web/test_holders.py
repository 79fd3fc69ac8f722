"""What keeps a blob, what its end would free, and how long bytes are kept in any case."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from tests.web.party import Party, is_time

HOLDERS_FIELDS = ["uuid", "namespace", "size", "holds_itself", "expires_at", "version_count", "versions"]
HOLDERS_FIELDS += ["other_blobs", "frees_bytes", "lease_until"]
GRACE = timedelta(hours=1)  # [upkeep] grace_s by default


def holders(party: Party, uuid: str) -> Any:
    answer = party.reader.ask("GET", f"/v1/blobs/{uuid}/holders")
    assert answer.status == 200, answer.body
    return answer.json


def time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_the_holders_of_a_blob_are_told_to_readers_of_its_namespace(us: Party) -> None:
    data = uuid4().bytes
    blob = us.add(data, "?expires_in=600")
    us.writer.ask("PUT", f"{us.name('here')}?blob={blob['uuid']}")
    us.writer.ask("PUT", f"{us.name('gone')}?blob={blob['uuid']}")
    us.writer.ask("DELETE", us.name("gone"))

    told = holders(us, blob["uuid"])

    assert list(told) == HOLDERS_FIELDS
    here, gone = told.pop("versions")
    assert here == {"namespace": us.namespace, "name": "here", "version": 1, "hidden_at": None}
    assert is_time(gone.pop("hidden_at"))
    assert gone == {"namespace": us.namespace, "name": "gone", "version": 1}
    assert time(told.pop("lease_until")) == time(blob["created_at"]) + GRACE
    assert told == {
        "uuid": blob["uuid"],
        "namespace": us.namespace,
        "size": 16,
        "holds_itself": True,
        "expires_at": blob["expires_at"],
        "version_count": 2,
        "other_blobs": 0,
        "frees_bytes": 16,
    }


def test_bytes_that_another_blob_of_the_callers_has_are_not_freed(us: Party) -> None:
    data = uuid4().bytes
    first, _ = us.add(data), us.add(data)

    told = holders(us, first["uuid"])

    assert (told["other_blobs"], told["frees_bytes"]) == (1, 0)


def test_what_strangers_store_shows_to_admins_alone(us: Party, them: Party) -> None:
    data = uuid4().bytes
    blob = us.add(data)
    before = holders(us, blob["uuid"])
    them.add(data)

    after = holders(us, blob["uuid"])
    admins = us.admin.ask("GET", f"/v1/blobs/{blob['uuid']}/holders").json

    assert after == before
    assert (admins["other_blobs"], admins["frees_bytes"]) == (1, 0)
    assert time(admins["lease_until"]) > time(after["lease_until"])


def test_knowing_the_uuid_is_not_enough(us: Party, them: Party) -> None:
    blob = us.add()

    foreign = them.writer.ask("GET", f"/v1/blobs/{blob['uuid']}/holders")
    absent = them.writer.ask("GET", f"/v1/blobs/{uuid4()}/holders")
    us.settings(readers=[them.namespace])
    let_in = them.writer.ask("GET", f"/v1/blobs/{blob['uuid']}/holders")

    assert (foreign.status, absent.status, let_in.status) == (404, 404, 200)


def test_what_is_stored_is_kept_until_its_lease_is_over(us: Party) -> None:
    blob = us.writer.ask("POST", "/v1/blobs", b"x")
    version = us.writer.ask("PUT", us.name("n"), b"x")
    bound = us.writer.ask("PUT", f"{us.name('m')}?blob={blob.json['uuid']}")

    assert time(blob["Casd-Lease-Until"]) == time(blob.json["created_at"]) + GRACE
    assert time(version["Casd-Lease-Until"]) == time(version.json["blob"]["created_at"]) + GRACE
    assert bound["Casd-Lease-Until"] is None  # nothing was stored: the version alone keeps it


def test_an_upload_and_a_question_tell_the_lease_too(us: Party) -> None:
    data = uuid4().bytes
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "16", "Content-Type": "application/offset+octet-stream"}
    created = us.writer.ask("POST", "/v1/uploads", data, headers)
    blob = us.writer.ask("GET", f"/v1/blobs/{created['Casd-Blob']}").json

    asked = us.writer.ask("POST", "/v1/payloads/missing", {"sha512": [blob["sha512"]]})

    assert created.status == 201
    assert time(created["Casd-Lease-Until"]) == time(blob["created_at"]) + GRACE
    assert asked.json == {"missing": [], "lease_until": asked["Casd-Lease-Until"]}
    assert time(asked["Casd-Lease-Until"]) > time(created["Casd-Lease-Until"])
