"""What hostile requests are sent to: a daemon with short deadlines, and things in it that must come through."""

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import Daemon, serving
from tests.hostile.case import Known
from tests.web.wire import Wire, stored

LIMITS = {"CASD_LIMITS__MAX_BODY_BYTES": "2000000", "CASD_LIMITS__MAX_UPLOADS_PER_TOKEN": "1000"}
SHORT = {"CASD_LIMITS__HEAD_TIMEOUT_S": "1", "CASD_LIMITS__BODY_IDLE_TIMEOUT_S": "1"}
TUS = {"Tus-Resumable": "1.0.0"}


@dataclass
class Target:
    """The daemon, and what is known to be in it."""

    daemon: Daemon
    known: Known
    contents: dict[str, bytes] = field(repr=False)  # by path

    def check(self) -> None:
        """What was there is there, as it was."""
        with Wire(self.daemon) as wire:
            assert {path: wire.ask("GET", path).body for path in self.contents} == self.contents
            assert wire.ask("GET", "/readyz").status == 200


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with furnished_daemon(tmp_path_factory.mktemp("hostile"), request.param) as made:
        yield made


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def hasty_target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """It waits a second for heads and bodies."""
    with furnished_daemon(tmp_path_factory.mktemp("hasty"), request.param, **SHORT) as made:
        yield made


@contextmanager
def furnished_daemon(root: Path, loop: str, **limits: str) -> Iterator[Target]:
    """In the end all of it is still there, the log shows no mistake of ours, and the folder is in order."""
    with serving(root / "data", CASD_SERVER__EVENT_LOOP=loop, **LIMITS, **limits) as daemon:
        made = furnished(daemon)
        yield made
        made.check()
    command = [sys.executable, "-m", "casd", "fsck", "--data", str(daemon.data)]
    checked = subprocess.run(command, env=daemon.env, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def furnished(daemon: Daemon) -> Target:
    seed = random.Random(7)
    contents = {}
    with Wire(daemon) as wire:
        for size in (0, 10, 100_000, 1_500_000):
            data = seed.randbytes(size)
            blob = stored(wire, data).json
            contents[f"/v1/blobs/{blob['uuid']}/data"] = data
        data = seed.randbytes(50)
        assert wire.ask("PUT", "/v1/names/default/known", data).status == 201
        contents["/v1/names/default/known"] = data
        upload = wire.ask("POST", "/v1/uploads", None, TUS | {"Upload-Length": "10"})["Location"]
    paths = list(contents)
    known = Known(daemon.token, paths[1], paths[-1], urlsplit(upload or "").path, paths[1].split("/")[3])
    return Target(daemon, known, contents)
