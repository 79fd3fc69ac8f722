"""Users of Craft AI's API: each a namespace, asked for as its SDK does; and the real SDKs, each on its own."""

import base64
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest

from tests.conftest import Daemon, serving
from tests.dialects import clients
from tests.web.party import Party
from tests.web.wire import Answer, Wire, ask

VERSIONS = clients.CRAFT_AI
ABSENT = "00000000-0000-7000-8000-000000000000"
BOUNDARY = "form-limit"
FORM_TYPE = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
STORE = "/api/v1/data-store"


def client(version: str) -> dict[str, str]:
    return {"craft-ai-client": f"craft-ai-sdk@{version}"}


def field(name: str, value: str) -> bytes:
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def file_field(data: bytes) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="local.bin"\r\n\r\n'
    return head.encode() + data + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


def claims_of(token: str) -> dict[str, Any]:
    text = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


def path_of(url: str, daemon: Daemon) -> str:
    """A link's path and query; it must lead to the daemon as it was asked."""
    assert url.startswith(f"{daemon.url}/"), url
    return url.removeprefix(daemon.url)


def xml_code(answer: Answer) -> str:
    """Of an XML error, whose form is checked on the way: the SDK takes Code and Message from the root's children."""
    assert str(answer["Content-Type"]).startswith("application/xml")
    told = {node.tag: node.text for node in ElementTree.fromstring(answer.body.decode())}
    assert told["Code"]
    assert told["Message"]
    assert told["RequestId"] == answer["X-Request-ID"]
    return told["Code"]


def json_name(answer: Answer) -> str:
    """Of a JSON error, whose form is checked on the way."""
    assert answer["Content-Type"] == "application/json"
    told = answer.json
    assert set(told) == {"message", "name", "request_id", "additional_data"}
    assert told["message"]
    assert told["request_id"] == answer["X-Request-ID"]
    name: str = told["name"]
    return name


class User:
    """Somebody with an environment of its own."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.party = Party(daemon)
        self.environment = self.party.namespace
        self.token = self.party.token("writer")
        self.wire = Wire(daemon, None)

    @cached_property
    def reader_token(self) -> str:
        return self.party.token("reader")

    @cached_property
    def jwt(self) -> str:
        return self.refreshed(self.token)

    @cached_property
    def reader_jwt(self) -> str:
        return self.refreshed(self.reader_token)

    def refreshed(self, token: str) -> str:
        answer = ask(self.daemon, "POST", "/api/v1/auth/refresh", {"refresh_token": token}, token=None)
        assert answer.status == 200, answer.body
        text: str = answer.json["access_token"]
        return text

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        jwt: str | None = "",
        version: str | None = "0.74.7",
        prefix: str = STORE,
        **headers: str,
    ) -> Answer:
        """A call of the API. A dict is sent as JSON, bytes as a form."""
        kind = "application/x-www-form-urlencoded" if isinstance(body, bytes) else "application/json"
        own = {"Content-Type": kind} if body is not None else {}
        own |= {} if version is None else client(version)
        own |= {} if jwt is None else {"Authorization": f"Bearer {jwt or self.jwt}"}
        return self.wire.ask(method, f"{prefix}{path}", body, own | headers)

    def link(self, method: str, path: str, body: Any = None, **how: Any) -> str:
        answer = self.ask(method, path, body, **how)
        assert answer.status == 200, answer.body
        return path_of(answer.json["signed_url"], self.daemon)

    def upload_link(self, name: str) -> str:
        return self.link("GET", f"/upload?{urlencode({'path_to_object': name})}")

    def download_link(self, name: str) -> str:
        return self.link("POST", "/download", form(name))

    def post(self, link: str, data: bytes, **fields: str) -> Answer:
        body = b"".join(field(name, value) for name, value in fields.items()) + file_field(data) + END
        return self.wire.ask("POST", link, body, FORM_TYPE)

    def store(self, name: str, data: bytes = b"x") -> None:
        answer = self.post(self.upload_link(name), data, key=name)
        assert answer.status == 204, answer.body

    def fetch(self, name: str) -> bytes:
        answer = self.wire.ask("GET", self.download_link(name))
        assert answer.status == 200, answer.body
        return answer.body

    def start(self, name: str) -> str:
        answer = self.ask("POST", "/upload/multipart", {"path_to_object": name})
        assert answer.status == 200, answer.body
        id: str = answer.json["multipart_upload_id"]
        return id

    def part_link(self, id: str, name: str, number: int, chunk: int, total: int | None = None) -> str:
        return self.link("POST", "/upload/multipart/part", part_body(id, name, number, chunk, total))

    def put(self, link: str, data: bytes) -> str:
        """The part's ETag, as it stands in the header."""
        answer = self.wire.ask("PUT", link, data)
        assert answer.status == 200, answer.body
        return str(answer["ETag"])

    def end(self, id: str, name: str, etags: dict[int, str], **how: Any) -> Answer:
        listed = [{"number": number, "metadata": etag} for number, etag in etags.items()]
        return self.ask("POST", "/upload/multipart/end", end_body(id, name, listed), **how)

    def paths(self) -> list[str]:
        return [item["path"] for item in self.ask("GET", "/list").json["items"]]

    def close(self) -> None:
        self.wire.connection.close()
        self.party.close()


def form(name: str) -> bytes:
    return urlencode({"path_to_object": name}).encode()


def part_body(id: str, name: str, number: int, chunk: int, total: int | None = None) -> dict[str, Any]:
    body = {
        "path_to_object": name,
        "multipart_upload_configuration": {"multipart_upload_id": id},
        "chunk_size": chunk,
        "part_number": number,
    }
    return body if total is None else body | {"size": total}


def end_body(id: str, name: str, parts: Any) -> dict[str, Any]:
    return {"path_to_object": name, "multipart_upload_configuration": {"multipart_upload_id": id}, "parts": parts}


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for all of this."""
    with serving(tmp_path_factory.mktemp("craftai") / "data") as running:
        yield running


@pytest.fixture
def make_user(service: Daemon) -> Iterator[Callable[..., User]]:
    made: list[User] = []

    def make(daemon: Daemon | None = None) -> User:
        made.append(User(daemon or service))
        return made[-1]

    yield make
    for user in made:
        user.close()


@pytest.fixture
def us(make_user: Callable[..., User]) -> User:
    return make_user()


@pytest.fixture
def them(make_user: Callable[..., User]) -> User:
    """Strangers to us."""
    return make_user()


# -- the SDKs -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sdk:
    """One version of the real SDK in an environment of its own."""

    version: str
    python: Path

    def begin(self, script: str, *arguments: str, folder: Path, **variables: str) -> "subprocess.Popen[str]":
        """Run one of the scripts beside this file, in `folder`, with CRAFT_AI_ variables by their last words."""
        env = {f"CRAFT_AI_{name.upper()}": value for name, value in variables.items()}
        folder.mkdir(parents=True, exist_ok=True)
        return subprocess.Popen(
            [self.python, Path(__file__).with_name(script), *arguments],
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "PYTHONUTF8": "1", **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str, *arguments: str, folder: Path, **variables: str) -> Any:
        return told_by(self.begin(script, *arguments, folder=folder, **variables))


def told_by(process: "subprocess.Popen[str]") -> Any:
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return json.loads(output)


def where(daemon: Daemon, token: str, environment: str | None = None) -> dict[str, str]:
    """How an SDK is pointed at a daemon; without an environment at the token's home."""
    url = daemon.url if environment is None else f"{daemon.url}/environments/{environment}"
    return {"sdk_token": token, "environment_url": url, "control_url": daemon.url}


@pytest.fixture(scope="session")
def sdks(client_environment: Callable[..., Path]) -> dict[str, Sdk]:
    return {v: Sdk(v, client_environment(*clients.craft_ai(v)) / "python") for v in VERSIONS}


@pytest.fixture(params=VERSIONS)
def sdk(request: pytest.FixtureRequest, sdks: dict[str, Sdk]) -> Sdk:
    return sdks[request.param]
