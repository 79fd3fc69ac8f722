"""What the tests of casd/web share: payloads of four sizes behind four kinds of URL, and daemons with tight limits."""

import base64
import random
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

import pytest
from hypothesis import settings

from tests.conftest import Daemon
from tests.web.house import loop_name as loop_name
from tests.web.party import make_party as make_party
from tests.web.party import them as them
from tests.web.party import us as us
from tests.web.wire import Wire, ask

# The machine may be busy with other tests; how long an example takes says nothing about casd.
settings.register_profile("web", deadline=None)
settings.load_profile("web")

SIZES = {"empty": 0, "small": 5, "medium": 70 << 10, "large": 5 << 20}
KINDS = ("uuid", "digest", "name", "version")
NAME = "tests/50% & ü?.bin"
STAMP = 'application/x-casd-test; v="1"'


@dataclass(frozen=True)
class Item:
    """A payload that a daemon has, and its URLs."""

    data: bytes
    blob: dict[str, object]  # as POST answered; it holds itself
    version: dict[str, object]  # as PUT answered; another blob of the same bytes

    def url(self, kind: str) -> str:
        name = f"/v1/names/shelf/{quote(str(self.version['name']))}"
        return {
            "uuid": f"/v1/blobs/{self.blob['uuid']}/data",
            "digest": f"/v1/payloads/sha512/{self.blob['sha512']}",
            "name": name,
            "version": f"{name}?version={self.version['version']}",
        }[kind]


@pytest.fixture(scope="session")
def shelf_token(shared_daemon: Daemon) -> str:
    """Of a writer who knows the shelf alone: by digest, its own oldest blob says what comes with the bytes."""
    body = {"name": "shelf", "role": "writer", "namespaces": ["shelf"]}
    token: str = ask(shared_daemon, "POST", "/v1/tokens", body).json["token"]
    return token


@pytest.fixture(scope="session")
def shelf(shared_daemon: Daemon, shelf_token: str) -> dict[str, Item]:
    """Payloads by size; each is behind a UUID, a digest, a name and a version."""
    found = {}
    with Wire(shared_daemon, shelf_token) as wire:
        for label, size in SIZES.items():
            # Letters and digits, no line ends: what the standard library's MIME parser takes apart unharmed.
            data = base64.b64encode(random.Random(f"shelf {label}").randbytes(size))[:size]
            headers = {"Content-Type": STAMP}
            blob = wire.ask("POST", "/v1/blobs", data, headers)
            version = wire.ask("PUT", f"/v1/names/shelf/{quote(f'{label}/{NAME}')}", data, headers)
            assert (blob.status, version.status) == (201, 201)
            found[label] = Item(data, blob.json, version.json)
    return found


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Of URL."""
    value: str = request.param
    return value


@pytest.fixture(params=SIZES)
def size(request: pytest.FixtureRequest) -> str:
    value: str = request.param
    return value


@pytest.fixture
def wire(shared_daemon: Daemon) -> Iterator[Wire]:
    """The admin's connection to the shared daemon."""
    with Wire(shared_daemon) as opened:
        yield opened


@pytest.fixture
def shelf_wire(shared_daemon: Daemon, shelf_token: str) -> Iterator[Wire]:
    with Wire(shared_daemon, shelf_token) as opened:
        yield opened


@pytest.fixture(scope="session", params=["asyncio", "uvloop"])
def strict_daemon(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that waits half a second for heads and bodies, takes 200,000 bytes, and 3 uploads of a token."""
    limits = {
        "CASD_SERVER__EVENT_LOOP": request.param,
        "CASD_LIMITS__HEAD_TIMEOUT_S": "0.5",
        "CASD_LIMITS__BODY_IDLE_TIMEOUT_S": "0.5",
        "CASD_LIMITS__MAX_BODY_BYTES": "200000",
        "CASD_LIMITS__MAX_UPLOADS_PER_TOKEN": "3",
    }
    running = Daemon(tmp_path_factory.mktemp("strict") / "data", limits).start()
    yield running
    assert running.stop() == 0, running.log
    assert "Traceback" not in running.log
