"""Damage behind the daemon's back: never sent as good, kept in quarantine, healed when the bytes are stored again."""

import contextlib
import hashlib
import http.client
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import Daemon
from tests.payloads.local_backend import path_of
from tests.web.expected import etag_of
from tests.web.party import Party, is_time
from tests.web.wire import Answer, Wire, ask, wait_until

MIB = 1 << 20
TUS = {"Tus-Resumable": "1.0.0"}
SIZES = {"small": 500, "large": 3 * MIB + 5}
READS: dict[str, dict[str, str]] = {
    "whole": {},
    "first": {"Range": "bytes=0-9"},
    "last": {"Range": "bytes=-9"},
    "several": {"Range": "bytes=0-9,-9"},
    "digest": {"Range": "bytes=-9", "Want-Content-Digest": "sha-256=1"},
}


def some_data(size: int) -> bytes:
    """Bytes that no other test has."""
    return os.urandom(16) + hashlib.shake_128(str(size).encode()).digest(size - 16)


def spoil(path: Path, kind: str) -> None:
    """Damage of that kind, after which the file's times are what they were."""
    facts = path.stat()
    if kind == "removed":
        return path.unlink()
    with path.open("r+b") as file:
        size = facts.st_size
        match kind:
            case "first byte" | "last byte":
                offset = 0 if kind == "first byte" else size - 1
                file.seek(offset)
                byte = file.read(1)[0]
                file.seek(offset)
                file.write(bytes([byte ^ 0x80]))
            case "cut":
                file.truncate(size - 1)
            case "longer":
                file.truncate(size + 1)
            case "empty":
                file.truncate(0)
            case "zeroes":
                file.write(bytes(size))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    return None


KINDS = ("first byte", "last byte", "cut", "longer", "empty", "zeroes", "removed")


def fetched(daemon: Daemon, target: str, headers: dict[str, str]) -> Answer | None:
    """None for an answer that was cut."""
    try:
        return ask(daemon, "GET", target, headers=headers)
    except (http.client.HTTPException, ConnectionError):
        return None


def parts_of(answer: Answer, data: bytes, how: str) -> bool:
    """Whether what was sent is what was stored."""
    expected = {"whole": data, "first": data[:10], "last": data[-9:], "digest": data[-9:]}
    if how == "several":
        return data[:10] in answer.body and data[-9:] in answer.body
    return answer.body == expected[how]


def test_damage_is_never_sent_as_good_and_storing_again_heals_it(new_daemon: Callable[..., Daemon]) -> None:
    """Every kind of damage to a payload of either size, found first by every kind of read after a restart."""
    daemon = new_daemon().start()
    stored: list[tuple[str, str, str, bytes, list[str]]] = []
    with Wire(daemon) as wire:
        for size in SIZES:
            for kind in KINDS:
                for how in READS:
                    data = some_data(SIZES[size])
                    uuids = [wire.ask("POST", "/v1/blobs", data).json["uuid"] for _ in range(2)]
                    stored.append((size, kind, how, data, [f"/v1/blobs/{uuid}" for uuid in uuids]))
    assert daemon.stop() == 0
    for _, kind, _, data, _ in stored:
        spoil(path_of(daemon.data, hashlib.sha512(data).hexdigest()), kind)
    daemon.start()

    wrong, noticed = [], 0
    for size, kind, how, data, urls in stored:
        answer = fetched(daemon, urls[0] + "/data", READS[how])
        is_refused = answer is None or answer.status == 500
        if not is_refused and (answer is None or not parts_of(answer, data, how)):
            wrong.append((size, kind, how))
        noticed += is_refused
    states = {(kind, how): ask(daemon, "GET", urls[1]).json["state"] for _, kind, how, _, urls in stored}
    with Wire(daemon) as wire:
        for _, _, _, data, _ in stored:
            assert wire.ask("POST", "/v1/blobs", data).status == 201
        healed = [wire.ask("GET", url + "/data").body == data for *_, data, urls in stored for url in urls]

    assert wrong == []
    # A flipped byte far from the range that was asked for first is not looked at yet.
    assert noticed >= len(stored) - 2 * len(READS)
    assert all(state == "error" for (kind, how), state in states.items() if how in ("whole", "several"))
    assert all(healed)
    assert "Traceback" not in daemon.log


def test_twenty_readers_of_a_damaged_payload_cause_one_judgement(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon().start()
    data = some_data(6 * MIB)
    url = ask(daemon, "POST", "/v1/blobs", data).json["uuid"]
    assert daemon.stop() == 0
    spoil(path_of(daemon.data, hashlib.sha512(data).hexdigest()), "last byte")
    daemon.start()
    found: list[Answer | None] = []
    readers = [
        threading.Thread(target=lambda: found.append(fetched(daemon, f"/v1/blobs/{url}/data", {}))) for _ in range(20)
    ]

    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()

    assert len(found) == 20
    assert all(answer is None or answer.status == 500 for answer in found)
    status = ask(daemon, "GET", "/v1/status").json
    assert status["totals"]["quarantined_payloads"] == 1
    assert status["reads"]["judged_damaged"] == 1
    assert len(ask(daemon, "GET", "/v1/quarantine").json["items"]) == 1
    assert daemon.log.count("payload quarantined") == 1


# -- what is not "have it" ------------------------------------------------------------------------------------------


class Damaged:
    """A blob whose payload is in quarantine."""

    def __init__(self, us: Party) -> None:
        self.us = us
        self.data = some_data(100)
        self.blob = us.add(self.data)
        self.sha512 = self.blob["sha512"]
        self.url = f"/v1/blobs/{self.blob['uuid']}"
        self.name = us.name(str(uuid4()))
        assert us.writer.ask("PUT", f"{self.name}?blob={self.blob['uuid']}").status == 201
        spoil(path_of(us.daemon.data, self.sha512), "empty")
        assert us.writer.ask("GET", f"{self.url}/data").code == "payload-damaged"

    @property
    def state(self) -> str:
        state: str = self.us.writer.ask("GET", self.url).json["state"]
        return state

    @property
    def kept(self) -> dict[str, Any]:
        items = self.us.admin.ask("GET", "/v1/quarantine?limit=1000").json["items"]
        found: dict[str, Any] = next(item for item in items if item["sha512"] == self.sha512)
        return found


@pytest.fixture
def damaged(us: Party) -> Damaged:
    return Damaged(us)


def test_all_that_refers_to_it_is_in_the_error_state(damaged: Damaged) -> None:
    us = damaged.us

    assert damaged.state == "error"
    assert us.writer.ask("GET", f"/v1/checksums/sha512/{damaged.sha512}").json["items"][0]["state"] == "error"
    for url in (f"{damaged.url}/data", damaged.name, f"/v1/payloads/sha512/{damaged.sha512}"):
        assert us.writer.ask("GET", url).code == "payload-damaged"
        assert us.writer.ask("HEAD", url).status == 500
        assert us.writer.ask("GET", url, headers={"If-None-Match": etag_of(damaged.data)}).status == 304


def test_nobody_is_told_that_it_is_here(damaged: Damaged) -> None:
    us = damaged.us

    missing = us.writer.ask("POST", "/v1/payloads/missing", {"sha512": [damaged.sha512]}).json["missing"]

    assert missing == [damaged.sha512]
    assert us.writer.ask("PUT", f"{us.name('new')}?blob={damaged.blob['uuid']}").code == "blob-not-found"
    assert us.writer.ask("POST", f"/v1/blobs?blob={damaged.blob['uuid']}").code == "blob-not-found"


def by_post(damaged: Damaged) -> int:
    return damaged.us.writer.ask("POST", "/v1/blobs", damaged.data).status


def by_name(damaged: Damaged) -> int:
    return damaged.us.writer.ask("PUT", damaged.us.name("again"), damaged.data).status


def by_name_unless_it_is_there(damaged: Damaged) -> int:
    headers = {"If-None-Match": etag_of(damaged.data)}
    return damaged.us.writer.ask("PUT", damaged.name, damaged.data, headers).status


def by_a_refused_version(damaged: Damaged) -> int:
    """Its bytes arrive, and are not wanted under that name."""
    damaged.us.publish("taken")
    answer = damaged.us.writer.ask("PUT", damaged.us.name("taken"), damaged.data, {"If-None-Match": "*"})
    assert answer.status == 412
    return by_post(damaged)


def by_upload(damaged: Damaged) -> int:
    us, size = damaged.us, str(len(damaged.data))
    url = str(us.writer.ask("POST", "/v1/uploads", None, TUS | {"Upload-Length": size})["Location"])
    chunk = TUS | {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    answer = us.writer.ask("PATCH", url, damaged.data, chunk)
    return 201 if answer.status == 204 else answer.status


def by_a_stranger(damaged: Damaged) -> int:
    with contextlib.closing(Party(damaged.us.daemon)) as them:
        return them.writer.ask("POST", "/v1/blobs", damaged.data).status


@pytest.mark.parametrize(
    "store", [by_post, by_name, by_name_unless_it_is_there, by_a_refused_version, by_upload, by_a_stranger]
)
def test_its_bytes_heal_it_whichever_way_they_come(damaged: Damaged, store: Callable[[Damaged], int]) -> None:
    assert store(damaged) == 201

    assert damaged.state == "created"
    assert damaged.us.writer.ask("GET", f"{damaged.url}/data").body == damaged.data
    assert damaged.us.writer.ask("GET", damaged.name).body == damaged.data
    assert damaged.kept["state"] == "healed"


# -- the quarantine -------------------------------------------------------------------------------------------------


def test_an_entry_tells_what_was_found_and_whom_it_hits(damaged: Damaged) -> None:
    admin, kept = damaged.us.admin, damaged.kept

    shown = admin.ask("GET", f"/v1/quarantine/{kept['id']}").json

    blobs = shown.pop("blobs")
    assert shown == kept
    assert [blob["uuid"] for blob in blobs] == [damaged.blob["uuid"]]
    assert (kept["size"], kept["state"]) == (0, "damaged")
    assert is_time(kept["quarantined_at"])
    assert "0 of 100 bytes" in kept["why"]
    assert kept["facts"]["found_size"] == 0
    assert kept["facts"]["bad_blocks"] == [0]


def test_what_may_be_all_that_is_left_is_purged_by_force_only(damaged: Damaged) -> None:
    admin, url = damaged.us.admin, f"/v1/quarantine/{damaged.kept['id']}"
    file = damaged.us.daemon.data / "quarantine" / damaged.kept["id"]

    assert admin.ask("DELETE", url).code == "conflict"
    assert file.exists()
    assert admin.ask("DELETE", f"{url}?force=1").status == 204

    assert not file.exists()
    assert not file.with_name(file.name + ".json").exists()
    assert admin.ask("GET", url).code == "quarantined-not-found"
    assert admin.ask("DELETE", url).code == "quarantined-not-found"
    assert damaged.state == "error"


def test_what_was_healed_or_is_not_wanted_any_more_is_purged_without(damaged: Damaged) -> None:
    by_post(damaged)

    assert damaged.us.admin.ask("DELETE", f"/v1/quarantine/{damaged.kept['id']}").status == 204
    assert damaged.us.writer.ask("GET", f"{damaged.url}/data").body == damaged.data


@pytest.mark.parametrize(
    "id", ["x", "0" * 128, "..%2Fadmin.token", "%2E%2E", "0" * 128 + ".20260101T000000.000000Z", "%00"]
)
def test_an_id_that_is_none_is_not_there(us: Party, id: str) -> None:
    for method in ("GET", "DELETE"):
        assert us.admin.ask(method, f"/v1/quarantine/{id}").status == 404


def test_the_list_is_paged(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon().start()
    us = Party(daemon)
    for _ in range(5):
        Damaged(us)

    def ids() -> Iterator[str]:
        cursor = ""
        while True:
            page = us.admin.ask("GET", f"/v1/quarantine?limit=2{cursor}").json
            assert len(page["items"]) <= 2
            yield from (item["id"] for item in page["items"])
            if page["next"] is None:
                return
            cursor = f"&cursor={page['next']}"

    found = list(ids())
    refused = [us.admin.ask("GET", f"/v1/quarantine?{query}").status for query in ("limit=0", "cursor=x")]
    us.close()

    assert found == sorted(found)
    assert len(set(found)) == 5
    assert refused == [400, 400]


def test_a_client_that_is_cut_off_has_the_log_to_ask(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon().start()
    data = some_data(8 * MIB)
    uuid = ask(daemon, "POST", "/v1/blobs", data).json["uuid"]
    assert daemon.stop() == 0
    spoil(path_of(daemon.data, hashlib.sha512(data).hexdigest()), "last byte")
    daemon.start()

    assert fetched(daemon, f"/v1/blobs/{uuid}/data", {}) is None

    wait_until(lambda: "payload quarantined" in daemon.log, "the payload is in quarantine")
    assert "payload damaged" in daemon.log
    assert "transfer failed" in daemon.log
