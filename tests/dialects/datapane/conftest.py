"""Users of Datapane's API: each a namespace with tokens, asking as its clients do; and uploads as they send them."""

import gzip
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pytest

from tests.conftest import Daemon
from tests.web.party import Party
from tests.web.wire import Answer, Wire

LIMIT = "form-limit"
FORM = {"Content-Type": f"multipart/form-data; boundary={LIMIT}; dp-files=True"}
OLD = {"Datapane_API_Version": "0.8.6"}
ARROW = "application/vnd.apache.arrow+binary"
ABSENT = "00000000-0000-7000-8000-000000000000"


def part(disposition: str, body: bytes, *headers: str) -> bytes:
    lines = "\r\n".join([f"Content-Disposition: form-data; {disposition}", *headers])
    return f"--{LIMIT}\r\n{lines}\r\n\r\n".encode() + body + b"\r\n"


def file_part(body: bytes, kind: str | None = "text/csv", encoding: str | None = "gzip", name: str = "f.csv") -> bytes:
    headers = [f"Content-Type: {kind}"] if kind else []
    headers += [f"Content-Encoding: {encoding}"] if encoding else []
    return part(f'name="uploaded_file"; filename="{name}"', body, *headers)


def facts_part(**facts: Any) -> bytes:
    return part('name="json_data"', json.dumps(facts).encode())


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{LIMIT}--\r\n".encode()


def arrow_file(table: pa.Table, rows_in_batch: int | None = None, **options: Any) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, rows_in_batch)
    return sink.getvalue()


class User:
    """Somebody with a namespace, by `Authorization: Token`."""

    def __init__(self, daemon: Daemon) -> None:
        self.party = Party(daemon)
        self.daemon = daemon
        self.name = self.party.namespace
        self.wire = self.party.nobody
        self.token = self.party.token("writer")
        self.reader_token = self.party.token("reader")

    def ask(
        self,
        method: str,
        target: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = "",
    ) -> Answer:
        secret = self.token if token == "" else token
        own = {} if secret is None else {"Authorization": f"Token {secret}"}
        return self.wire.ask(method, target, body, own | dict(headers or {}))

    def post(self, body: bytes, headers: Mapping[str, str] | None = None, token: str | None = "") -> Answer:
        return self.ask("POST", "/api/blobs/", body, FORM | dict(headers or {}), token)

    def upload(self, name: str, data: bytes, kind: str = "text/csv") -> dict[str, Any]:
        """As the clients do: gzip, payload first, the name and nulls behind it."""
        answer = self.post(form(file_part(gzip.compress(data, 1), kind), facts_part(name=name, visibility=None)))
        assert answer.status == 201, answer.body
        blob: dict[str, Any] = answer.json
        return blob

    def lookup(self, query: str) -> Answer:
        return self.ask("GET", f"/api/blobs//lookup/?{query}")

    def follow(self, url: str) -> Answer:
        """A link, without a credential."""
        parts = urlsplit(url)
        return self.wire.ask("GET", f"{parts.path}?{parts.query}")

    def listed(self) -> list[str]:
        """Names, page by page as the clients do."""
        found: list[str] = []
        following = "/api/blobs/"
        while following:
            page = self.ask("GET", following).json
            found += [item["name"] for item in page["results"]]
            following = page["next"]
        return found


def refused(answer: Answer) -> str:
    """The code of an error, whose form is checked on the way."""
    assert answer["Content-Type"] == "application/json"
    told = answer.json
    assert set(told) == {"detail", "code", "request_id"}
    assert told["detail"]
    assert told["request_id"] == answer["X-Request-ID"]
    code: str = told["code"]
    return code


@contextmanager
def user_of(daemon: Daemon) -> Iterator[User]:
    user = User(daemon)
    yield user
    user.party.close()


@pytest.fixture
def us(shared_daemon: Daemon) -> Iterator[User]:
    with user_of(shared_daemon) as user:
        yield user


@pytest.fixture
def them(shared_daemon: Daemon) -> Iterator[User]:
    """Strangers to us."""
    with user_of(shared_daemon) as user:
        yield user


@pytest.fixture
def strict_us(new_daemon: Callable[..., Daemon]) -> Iterator[User]:
    """On a daemon that takes 200,000 bytes."""
    with user_of(new_daemon(CASD_LIMITS__MAX_BODY_BYTES="200000").start()) as user:
        yield user


@pytest.fixture
def native(us: User) -> Wire:
    """We again, by casd's own API."""
    return us.party.writer
