"""Quotas over HTTP: each way to store something, in the shape of each dialect, at once and across a kill -9."""

import base64
import json
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Daemon
from tests.dialects.test_access import FORM, STORE, form, part
from tests.web.party import Party, parties
from tests.web.wire import Answer, Wire, address_of, wait_until

JSON = {"Content-Type": "application/json"}
TUS = {"Tus-Resumable": "1.0.0"}
CHUNK = {"Content-Type": "application/offset+octet-stream"}
FILE = '; filename="f"'
ROOM, FIT, WRITERS = 100_000, 4, 64

Store = Callable[[Wire, Party, str, bytes], Answer]


@pytest.fixture
def party(shared_daemon: Daemon) -> Iterator[Party]:
    with parties(shared_daemon) as make:
        yield make()


def tus(wire: Wire, us: Party, name: str, data: bytes) -> Answer:
    namespace = base64.b64encode(us.namespace.encode()).decode()
    told = TUS | {"Upload-Length": str(len(data)), "Upload-Metadata": f"namespace {namespace}"}
    return wire.ask("POST", "/v1/uploads", data, told | CHUNK)


def unannounced_tus(wire: Wire, us: Party, name: str, data: bytes) -> Answer:
    path = wire.ask("POST", "/v1/uploads", None, TUS | {"Upload-Defer-Length": "1"})["Location"] or ""
    answer = wire.ask("PATCH", path, data, TUS | CHUNK | {"Upload-Offset": "0"})
    if answer.status != 204:
        wire.ask("DELETE", path, headers=TUS)
        return answer
    size = str(len(data))
    return wire.ask("PATCH", path, b"", TUS | CHUNK | {"Upload-Offset": size, "Upload-Length": size})


def shaken_fist(wire: Wire, us: Party, name: str, data: bytes) -> Answer:
    uuid = wire.ask("POST", "/upload").json["uuid"]
    answer = wire.ask("POST", f"/upload/{uuid}", data)
    if answer.status != 200:
        return answer
    return wire.ask("POST", f"/artifacts/upload/{name}", {"upload_uuid": uuid}, JSON)


def craft_ai_parts(wire: Wire, us: Party, name: str, data: bytes) -> Answer:
    path = {"path_to_object": name}
    uuid = wire.ask("POST", f"{STORE}/upload/multipart", path, JSON).json["multipart_upload_id"]
    told = wire.ask("GET", f"{STORE}/upload/multipart/{uuid}?path_to_object={name}&part_number=1").json["signed_url"]
    taken = wire.ask("PUT", told.removeprefix(us.daemon.url), data)
    if taken.status != 200:
        return taken
    parts = [{"number": 1, "metadata": taken["ETag"]}]
    return wire.ask("POST", f"{STORE}/upload/multipart/{uuid}", path | {"parts": parts}, JSON)


def datapane(wire: Wire, us: Party, name: str, data: bytes) -> Answer:
    facts = part("json_data", json.dumps({"name": name}).encode())
    headers = FORM | {"Authorization": f"Token {wire._token}"}
    return wire.ask("POST", "/api/blobs/", form(part("uploaded_file", data, FILE), facts), headers)


WAYS: dict[str, tuple[Store, int]] = {
    "POST": (lambda wire, us, name, data: wire.ask("POST", f"/v1/blobs?namespace={us.namespace}", data), 507),
    "chunked": (lambda wire, us, name, data: wire.ask("POST", f"/v1/blobs?namespace={us.namespace}", [data]), 507),
    "PUT": (lambda wire, us, name, data: wire.ask("PUT", us.name(name), data), 507),
    "tus": (tus, 413),
    "tus, unannounced": (unannounced_tus, 413),
    "Shaken Fist": (shaken_fist, 507),
    "Deep Lake": (
        lambda wire, us, name, data: wire.ask(
            "POST", f"/workspaces/{us.namespace}/files", form(part("file", data, FILE)), FORM
        ),
        507,
    ),
    "Datapane": (datapane, 507),
    "Craft AI form": (
        lambda wire, us, name, data: wire.ask(
            "POST", f"{STORE}/objects/{us.namespace}/{name}", form(part("file", data, FILE)), FORM
        ),
        507,
    ),
    "Craft AI parts": (craft_ai_parts, 507),
}


class Chunks(Wire):
    """Sends what stands in a list as a chunked body."""

    def ask(self, method: str, target: str, body: Any = None, headers: Any = None) -> Answer:
        if not isinstance(body, list):
            return super().ask(method, target, body, headers)
        own = {"Authorization": f"Bearer {self._token}"} | dict(headers or {})
        self.connection.request(method, target, iter(body), own, encode_chunked=True)
        response = self.connection.getresponse()
        return Answer(response.status, response.headers, response.read())


def told(answer: Answer) -> str:
    """What it says, in whichever shape."""
    return answer.body.decode()


def staged(daemon: Daemon) -> list[Path]:
    return list((daemon.data / "incoming").iterdir())


def use(party: Party) -> tuple[int, int, int]:
    answer = party.admin.ask("GET", f"/v1/namespaces/{party.namespace}").json
    return answer["used_bytes"], answer["used_blobs"], answer["reserved_bytes"]


@pytest.mark.parametrize("way", WAYS)
def test_what_fits_is_stored_and_what_does_not_is_refused_in_the_dialect_s_shape(party: Party, way: str) -> None:
    store, status = WAYS[way]
    party.settings(quota_bytes=ROOM)

    with Chunks(party.daemon, party.token("writer")) as wire:
        fits = store(wire, party, "one", b"x" * ROOM)
        assert fits.status < 300, fits.body
        refused = store(wire, party, "two", b"y" * 100)

    assert refused.status == status, refused.body
    assert f"may have {ROOM} bytes: {ROOM} are used" in told(refused)
    assert use(party)[:2] == (ROOM, 1)


@pytest.mark.parametrize("way", ["POST", "chunked", "PUT", "Deep Lake", "Datapane", "Craft AI form"])
def test_of_64_at_once_as_many_succeed_as_fit_and_nothing_is_left_behind(party: Party, way: str) -> None:
    store, status = WAYS[way]
    party.settings(quota_bytes=FIT * ROOM + ROOM - 1)
    secret, start = party.token("writer"), threading.Barrier(WRITERS)
    found: list[int] = []

    def send(number: int) -> None:
        with Chunks(party.daemon, secret) as wire:
            start.wait(60)
            try:
                found.append(store(wire, party, f"n{number}", f"{number:05}".encode() * (ROOM // 5)).status)
            except ConnectionError:  # it was refused while it was still sending
                found.append(status)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found)[:FIT] == [sorted(found)[0]] * FIT
    assert (sorted(found)[0] < 300, found.count(status)) == (True, WRITERS - FIT)
    wait_until(lambda: use(party) == (FIT * ROOM, FIT, 0), "claims are let go")
    wait_until(lambda: not staged(party.daemon), "stages are discarded")


def test_what_does_not_fit_is_refused_before_its_body_is_asked_for(party: Party) -> None:
    party.settings(quota_bytes=10)
    head = f"PUT {party.name('n')} HTTP/1.1\r\nHost: casd\r\nContent-Length: 11\r\n"
    head += f"Authorization: Bearer {party.token('writer')}\r\nExpect: 100-continue\r\n\r\n"

    with socket.create_connection(address_of(party.daemon), 60) as connection:
        connection.sendall(head.encode())
        first = connection.recv(100)

    assert first.startswith(b"HTTP/1.1 507 ")


def test_status_tells_of_namespaces_that_are_nearly_full(party: Party) -> None:
    party.settings(quota_bytes=10)
    party.add(b"123456789")

    full = {each["namespace"]: each for each in party.admin.ask("GET", "/v1/status").json["quotas"]}[party.namespace]

    assert (full["quota_bytes"], full["used_bytes"]) == (10, 9)


def test_after_a_kill_the_totals_are_what_is_there(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon().start()
    with parties(daemon) as make:
        party = make(quota_bytes=ROOM)
        secret, is_over = party.token("writer"), threading.Event()

        def send(number: int) -> None:
            with Wire(daemon, secret) as wire:
                while not is_over.is_set():
                    try:
                        answer = wire.ask("PUT", party.name(f"n{number}"), b"x" * 1000)
                        if answer.status == 507:
                            wire.ask("DELETE", f"{party.name(f'n{number}')}?purge=1")
                    except OSError:
                        return

        threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        wait_until(lambda: use(party)[1] > 20, "blobs are stored")
        daemon.kill()
        is_over.set()
        for thread in threads:
            thread.join()
        namespace = party.namespace

    daemon.start()
    with sqlite3.connect(f"file:{daemon.data / 'catalogue.sqlite3'}?mode=ro", uri=True) as db:
        kept = db.execute("SELECT logical_bytes, blob_count FROM namespace WHERE name = ?", (namespace,)).fetchone()
        (count,) = db.execute(
            "SELECT count(*) FROM blob b JOIN namespace n ON n.id = b.namespace_id WHERE n.name = ?", (namespace,)
        ).fetchone()
    db.close()
    with Wire(daemon) as wire:
        answer = wire.ask("GET", f"/v1/namespaces/{namespace}").json

    assert kept == (count * 1000, count) == (answer["used_bytes"], answer["used_blobs"])
    assert answer["reserved_bytes"] == 0
    assert count * 1000 <= ROOM
