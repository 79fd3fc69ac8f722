"""The real clients, unmodified, each in an environment of its own: what the page shows, the command line, habits."""

import asyncio
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.conftest import Daemon, serving
from tests.dialects import clients
from tests.dialects.datapane.conftest import ARROW, User, arrow_file, user_of
from tests.proxy import Fault, Proxy
from tests.web.wire import Wire

HERE = Path(__file__).parent
PATIENCE_S = 120


@dataclass
class Client:
    """One release, with a home and a working folder of its own."""

    release: str
    bin: Path
    folder: Path

    def __post_init__(self) -> None:
        settings = self.folder / "config" / "datapane"
        settings.mkdir(parents=True)
        (settings / "no_analytics").touch()

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "DP_", "DATAPANE_"))}
        env |= {"XDG_CONFIG_HOME": str(self.folder / "config"), "HOME": str(self.folder), "PYTHONWARNINGS": "ignore"}
        return subprocess.run(
            [str(self.bin / command[0]), *map(str, command[1:])],
            cwd=self.folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )

    def script(self, name: str, *arguments: str) -> dict[str, Any]:
        """What a script of ours tells in its last line."""
        done = self.run("python", HERE / name, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return told

    def cli(self, *arguments: str) -> str:
        done = self.run("datapane", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(params=clients.DATAPANE)
def client(request: pytest.FixtureRequest, tmp_path: Path, client_environment: Callable[..., Path]) -> Client:
    release: str = request.param
    return Client(release, client_environment(*clients.datapane(release)), tmp_path)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon for the clients."""
    with serving(tmp_path_factory.mktemp("datapane") / "data") as running:
        yield running


@pytest.fixture
def user(home: Daemon) -> Iterator[User]:
    with user_of(home) as made:
        yield made


def as_owner(user: User, owner: str, *readers: str) -> str:
    """A token of the owner's, whose blobs `readers` may read."""
    answer = user.party.admin.ask("POST", "/v1/tokens", {"name": owner, "role": "writer", "namespaces": [owner]})
    assert answer.status == 201
    assert user.party.admin.ask("PUT", f"/v1/namespaces/{owner}", {"readers": list(readers)}).status == 200
    token: str = answer.json["token"]
    return token


def publish(daemon: Daemon, token: str, owner: str, name: str, data: bytes, kind: str) -> str:
    """By casd's own API."""
    with Wire(daemon, token) as wire:
        answer = wire.ask("PUT", f"/v1/names/{owner}/{name}", data, {"Content-Type": kind})
    assert answer.status == 201
    uuid: str = answer.json["blob"]["uuid"]
    return uuid


def test_the_page_works_as_it_stands(client: Client, user: User) -> None:
    frame = arrow_file(pa.table({"x": [1, 2]}))
    publish(user.daemon, as_owner(user, "linus", user.name), "linus", "foo", b'{"a": 1}', "application/json")
    publish(user.daemon, as_owner(user, "khuyentran", user.name), "khuyentran", "myblob", frame, ARROW)

    told = client.script("page.py", user.daemon.url, user.token)

    assert told.pop("username") in (None, user.name)  # 0.8.6 only prints it
    assert told == {
        "release": client.release,
        "frame": [3, 3, 9, ARROW],
        "file": [8, "text/csv"],
        "frames are equal": True,
        "frame as a file": True,
        "files are equal": True,
        "object": [1, 2, 3],
        "my list": [1, 2, 3],
        "foo": {"a": 1},
        "theirs": {"x": [1, 2]},
    }


def test_the_command_line_works_as_the_page_shows(client: Client, user: User) -> None:
    folder = client.folder
    (folder / "first.bin").write_bytes(os.urandom(5000))
    (folder / "second.bin").write_bytes(os.urandom(2 << 20))

    assert user.name in client.cli("login", "--token", user.token, "--server", user.daemon.url)
    told = client.cli("blob", "upload", "my blob", "first.bin")
    user.upload("my blob", (folder / "second.bin").read_bytes())
    client.cli("blob", "download", "my blob", "newest.bin")

    assert f"{user.daemon.url}/api/blobs/" in told
    assert (folder / "newest.bin").read_bytes() == (folder / "second.bin").read_bytes()
    if client.release == "0.8.6":
        client.cli("blob", "download", "my blob", "older.bin", "--version=1")
        assert (folder / "older.bin").read_bytes() == (folder / "first.bin").read_bytes()
    assert "Deleted Blob my blob" in client.cli("blob", "delete", "my blob")
    assert user.listed() == []


def test_a_bad_token_is_told_on_login(client: Client, user: User) -> None:
    done = client.run("datapane", "login", "--token", "wrong", "--server", user.daemon.url)

    assert done.returncode != 0
    assert "please check your login details" in done.stdout
    assert not any("wrong" in file.read_text() for file in (client.folder / "config").rglob("*.yaml"))


KINDS = {
    "a.csv": "text/csv",
    "a.json": "application/json",
    "a.png": "image/png",
    "a.tar.gz": "application/tar+gzip",
    "a.unknown": "application/octet-stream",
    "ü b.txt": "text/plain",
    "none": "application/octet-stream",
}


def test_what_users_do(client: Client, user: User, home: Daemon) -> None:
    secret = publish(home, as_owner(user, "stranger"), "stranger", "secret", b"secret", "text/plain")

    told = client.script("habits.py", home.url, user.token, secret)

    is_old = client.release == "0.8.6"
    assert told["names"]
    assert told["listed"]
    assert told["fields"] == sorted(["name", "web_url", "versions" if is_old else "group"])
    assert told["kinds"] == told["kinds"] | {name: kind for name, kind in KINDS.items() if name != "a.tar.gz"}
    assert (told["empty"], told["empty is empty"]) == (0, True)
    value = {"a": [1, None]}
    assert told["objects"] == [[value, "application/vnd.pickle+binary"], [value, "application/json"]]
    assert told["csv"]
    assert told["xlsx numbers"] == [1, 2]
    # 0.12.1 makes the sheet itself, and a formula of the text.
    assert told["xlsx text"] == (["=1+1", "ü"] if is_old else ["?", "ü"])
    assert told["ids"] == 3
    assert told["held"] == [1, 1, 3]
    assert told["by id"] == [1, 3]
    assert told["newest"] == 3
    if is_old:
        assert told["by version"] == [1, 1, 3]
        assert told["no version"] == 404
    assert told["renamed"] == ["counted anew", True, 404]
    assert told["deleted"] == [404, 404, 404, 1]
    assert told["a dead link"] == ("ChunkedEncodingError" if is_old else "HTTPError")
    assert told["foreign"] == [404, 404, 404, 404, 404]
    assert told["absent"] == [404, 404]


async def test_a_transfer_that_is_cut_is_an_error(client: Client, user: User) -> None:
    """Connections: the login; an upload; a session that uploads and looks up; a download."""
    (client.folder / "f.bin").write_bytes(os.urandom(8 << 20))
    faults = [None, Fault("cut", 3 << 20, "requests"), None, Fault("cut", 3 << 20)]

    async with Proxy(user.daemon.url, *faults) as proxy:
        told = await asyncio.to_thread(client.script, "cut.py", proxy.url, user.token)

    assert told == {"upload": "ConnectionError", "listed": [], "download": "ChunkedEncodingError"}
