"""What one product's client stores, the others' read: real clients, one daemon, one payload for equal bytes."""

import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Daemon, serving
from tests.dialects import clients
from tests.dialects.shakenfist.conftest import CLIENTS as SHAKEN_FIST
from tests.web.party import Party, parties

DRIVERS = Path(__file__).with_name("drivers")
PATIENCE_S = 120
READERS = ("shakenfist", "deeplake", "datapane", "craftai", "casd")
# `casd put FILE` makes a blob that holds itself, `casd put FILE NAME` one that its version holds.
STORERS = ("shakenfist", "deeplake", "datapane", "craftai", "casd put", "casd put name")
UNNAMED = ("deeplake", "casd put")  # know a blob by its UUID alone
KINDS = ("own", "same")
SAME = random.Random(4).randbytes(1_500_000)


@dataclass
class Place:
    """Where the clients run: each as a process of its own, in a folder of its own, on one namespace."""

    party: Party
    token: str
    bins: Mapping[str, Path]
    folder: Path

    @property
    def daemon(self) -> Daemon:
        return self.party.daemon

    def run(self, todo: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """What each client has seen, all at once."""
        begun = {client: self.begin(client) for client in todo}
        for client, process in begun.items():
            assert process.stdin is not None
            process.stdin.write(json.dumps({"store": [], "read": []} | dict(todo[client])))
            process.stdin.close()
            process.stdin = None
        return {client: told_by(process) for client, process in begun.items()}

    def begin(self, client: str) -> "subprocess.Popen[str]":
        url, namespace = self.daemon.url, self.party.namespace
        arguments = [url, self.token] if client == "datapane" else []
        variables = {
            "shakenfist": {
                "SHAKENFIST_API_URL": url,
                "SHAKENFIST_NAMESPACE": namespace,
                "SHAKENFIST_KEY": self.token,
            },
            "deeplake": {"API_URL": url, "TOKEN": self.token, "WORKSPACE": namespace},
            "datapane": {},
            "craftai": {
                "CRAFT_AI_SDK_TOKEN": self.token,
                "CRAFT_AI_ENVIRONMENT_URL": url,
                "CRAFT_AI_CONTROL_URL": url,
            },
        }[client]
        home = self.folder / client
        (home / "datapane").mkdir(parents=True, exist_ok=True)
        (home / "datapane" / "no_analytics").touch()
        return subprocess.Popen(
            [self.bins[client] / "python", "-W", "ignore", DRIVERS / f"{client}_driver.py", *arguments],
            cwd=home,
            env={"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CONFIG_HOME": str(home), "PYTHONUTF8": "1"}
            | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def casd(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "casd", *arguments],
            env=self.daemon.env | {"CASD_URL": self.daemon.url, "CASD_TOKEN": self.token},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def told_by(process: "subprocess.Popen[str]") -> dict[str, Any]:
    output, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, output + errors
    told: dict[str, Any] = json.loads(output.splitlines()[-1])
    return told


@pytest.fixture
def place(tmp_path: Path, client_environment: Callable[..., Path]) -> Iterator[Place]:
    bins = {
        "shakenfist": client_environment("shakenfist-0.8.3", SHAKEN_FIST["0.8.3"]),
        "deeplake": client_environment(*clients.DEEP_LAKE),
        "datapane": client_environment(*clients.datapane("0.12.1")),
        "craftai": client_environment(*clients.craft_ai("0.74.7")),
    }
    with serving(tmp_path / "data") as daemon, parties(daemon) as make_party:
        party = make_party()
        yield Place(party, party.token("writer"), bins, tmp_path)


@dataclass(frozen=True)
class Stored:
    """A file that somebody has stored: under a name now, whoever stored it."""

    name: str
    uuid: str
    digest: str


def named(storer: str, what: str) -> str:
    return f"{what} of {storer} ü+&%.bin"


def store_all(place: Place) -> dict[tuple[str, str], Stored]:
    """Each stores bytes of its own, and the same bytes as all others; what has no name then gets one."""
    chance = random.Random(5)
    contents = {(s, what): SAME if what == "same" else chance.randbytes(300_000) for s in STORERS for what in KINDS}
    files = {}
    for (storer, what), data in contents.items():
        files[storer, what] = place.folder / f"{storer} {what}"
        files[storer, what].write_bytes(data)
    real = [storer for storer in STORERS if not storer.startswith("casd")]
    made = place.run(
        {s: {"store": [{"name": named(s, what), "file": str(files[s, what])} for what in KINDS]} for s in real}
    )
    for what in KINDS:
        made.setdefault("casd put", {})[named("casd put", what)] = json.loads(
            place.casd("put", str(files["casd put", what]), "--json")
        )["uuid"]
        place.casd("put", str(files["casd put name", what]), named("casd put name", what))
    return {
        (storer, what): kept(place, storer, named(storer, what), made.get(storer, {}).get(named(storer, what)), data)
        for (storer, what), data in contents.items()
    }


def kept(place: Place, storer: str, name: str, uuid: str | None, data: bytes) -> Stored:
    """The file under its name: bound to it where its client knows no names, looked up where it knows no UUIDs."""
    party = place.party
    if storer in UNNAMED:
        assert party.writer.ask("PUT", f"{party.name(name)}?blob={uuid}").status == 201
    newest = party.writer.ask("GET", party.name(name).replace("/v1/names/", "/v1/versions/")).json["items"][0]
    assert uuid in (None, newest["blob"]["uuid"])  # what the client was told is what the name holds
    return Stored(name, newest["blob"]["uuid"], hashlib.sha512(data).hexdigest())


def read_all(place: Place, stored: dict[tuple[str, str], Stored]) -> dict[str, dict[str, Any]]:
    """What each reader got for each name: the digest of the bytes in its hands, or the status of its answer."""
    items = [{"name": item.name, "uuid": item.uuid} for item in stored.values()]
    seen = place.run({reader: {"read": items} for reader in READERS if reader != "casd"})
    contents = {item.name: place.party.writer.ask("GET", place.party.name(item.name)).body for item in stored.values()}
    seen["casd"] = {name: hashlib.sha512(data).hexdigest() for name, data in contents.items()}
    return seen


def test_what_one_stores_all_others_read_and_equal_bytes_are_one_payload(place: Place) -> None:
    stored = store_all(place)

    read = read_all(place, stored)

    for reader in READERS:
        for (storer, what), item in stored.items():
            assert read[reader][item.name] == item.digest, f"{reader} reads {what} of {storer}"
    assert len({item.uuid for item in stored.values()}) == 2 * len(STORERS)
    on_disk = [path.name for path in (place.daemon.data / "payloads").rglob("*") if path.is_file()]
    assert sorted(on_disk) == sorted({item.digest for item in stored.values()})
    assert len(on_disk) == len(STORERS) + 1
