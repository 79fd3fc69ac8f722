"""Shaken Fist's unmodified clients, the newest, and an old one on the urllib3 that hides cuts."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Daemon, serving
from tests.web.party import Party, parties
from tests.web.party import them as them
from tests.web.party import us as us

CLIENTS = {"0.8.3": ["shakenfist-client==0.8.3"], "0.7.9": ["shakenfist-client==0.7.9", "urllib3<2"]}
PATIENCE_S = 120
PRELUDE = """
import hashlib, http, io, json, os, requests, urllib3
from shakenfist_client import apiclient
def outcome(call, *values, **named):
    try:
        call(*values, **named)
    except Exception as error:
        return [type(error).__name__, getattr(error, "status_code", None)]
"""


@dataclass
class Client:
    """An installation of the client. The library finds the daemon by its file, the command line by its environment."""

    bin: Path
    home: Path
    url: str
    namespace: str
    key: str

    @property
    def environment(self) -> dict[str, str]:
        """What the newest library and every command line read."""
        return {
            "SHAKENFIST_API_URL": self.url,
            "SHAKENFIST_NAMESPACE": self.namespace,
            "SHAKENFIST_KEY": self.key,
        }

    def configure(self) -> None:
        """Write what every library reads, and a command line without an environment."""
        known = {"apiurl": self.url, "namespace": self.namespace, "key": self.key}
        (self.home / ".shakenfist").write_text(json.dumps(known))

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        self.configure()
        return self.run({}, "python", "-c", code)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`sf-client` with those arguments."""
        return self.run(self.environment, "sf-client", *arguments)

    def result(self, code: str, **values: object) -> Any:
        """What `code`, which knows `client` and `values`, has put into `result`."""
        given = "".join(f"{name} = json.loads({json.dumps(value)!r})\n" for name, value in values.items())
        ended = self.python(f"{PRELUDE}{given}client = apiclient.Client()\n{code}\nprint(json.dumps(result))")
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout.splitlines()[-1])

    def run(self, environment: Mapping[str, str], program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.bin / program), *arguments],
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "LC_ALL": "C.UTF-8", **environment},
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for all clients; what they do is the same on both event loops, which the tests over HTTP show."""
    with serving(tmp_path_factory.mktemp("shakenfist") / "data") as running:
        yield running


@pytest.fixture
def make_party(server: Daemon) -> Iterator[Callable[..., Party]]:
    with parties(server) as make:
        yield make


@pytest.fixture(scope="session")
def install(client_environment: Callable[..., Path]) -> Callable[[str], Path]:
    """The bin folder of that version's installation."""
    return lambda version: client_environment(f"shakenfist-{version}", CLIENTS[version])


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, install: Callable[[str], Path], us: Party, tmp_path: Path) -> Client:
    """A writer of our namespace."""
    return Client(install(request.param), tmp_path, us.daemon.url, us.namespace, us.token("writer"))


@pytest.fixture
def newest(install: Callable[[str], Path], us: Party, tmp_path: Path) -> Client:
    """The same, of the newest client alone."""
    return Client(install("0.8.3"), tmp_path, us.daemon.url, us.namespace, us.token("writer"))
