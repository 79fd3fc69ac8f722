"""Parties to the native API: namespaces of their own, with a writer, a reader and nobody; and what an answer shows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.conftest import Daemon
from tests.web.wire import Answer, Wire, stored

BLOB_FIELDS = ["uuid", "sha512", "sha256", "xxh3_128", "size", "content_type", "filename", "namespace", "state"]
BLOB_FIELDS += ["holds_itself", "created_at", "expires_at", "metadata", "names"]
VERSION_FIELDS = ["namespace", "name", "version", "blob", "created_at", "published_by", "deleted", "protected"]
TOKEN_FIELDS = ["id", "name", "role", "namespaces", "created_at", "expires_at", "revoked_at"]
TOKEN_FIELDS += ["last_used_at", "rotated_at"]
SETTINGS = ["readers", "anonymous_read", "share_by_uuid", "quota_bytes", "quota_blobs", "keep_versions", "max_age_s"]


class Party:
    """Somebody with a namespace of its own."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.namespace = f"ns-{uuid4()}"
        self.admin = Wire(daemon)
        self.nobody = Wire(daemon, None)

    @cached_property
    def writer(self) -> Wire:
        return Wire(self.daemon, self.token("writer"))

    @cached_property
    def reader(self) -> Wire:
        return Wire(self.daemon, self.token("reader"))

    def token(self, role: str, *namespaces: str, **more: Any) -> str:
        body = {"name": f"a {role}", "role": role, "namespaces": [self.namespace, *namespaces]} | more
        answer = self.admin.ask("POST", "/v1/tokens", body)
        assert answer.status == 201, answer.body
        secret: str = answer.json["token"]
        return secret

    def settings(self, **changes: Any) -> None:
        assert self.admin.ask("PUT", f"/v1/namespaces/{self.namespace}", changes).status == 200

    def add(self, data: bytes = b"x", query: str = "", **headers: str) -> dict[str, Any]:
        blob: dict[str, Any] = stored(self.writer, data, query, **headers).json
        return blob

    def name(self, name: str = "a/b") -> str:
        return f"/v1/names/{self.namespace}/{quote(name)}"

    def publish(self, name: str, data: bytes = b"x") -> dict[str, Any]:
        answer = self.writer.ask("PUT", self.name(name), data)
        assert answer.status == 201, answer.body
        version: dict[str, Any] = answer.json
        return version

    def close(self) -> None:
        for wire in vars(self).values():  # those that were made
            if isinstance(wire, Wire):
                wire.connection.close()


def is_time(text: object) -> bool:
    """RFC 3339, UTC, microseconds written out."""
    return datetime.strptime(str(text), "%Y-%m-%dT%H:%M:%S.%fZ").strftime("%Y-%m-%dT%H:%M:%S.%fZ") == text


def unlike(answer: Answer) -> dict[str, Any]:
    """A problem without what differs from request to request."""
    return {key: value for key, value in answer.json.items() if key not in ("request_id", "detail")}


def write_calls(party: Party) -> list[tuple[str, str, Any]]:
    """Every call that a writer may make on a party's things; what it needs is there."""
    blob = party.add()["uuid"]
    party.publish("there")
    return [
        ("POST", f"/v1/blobs?namespace={party.namespace}", b"x"),
        ("PUT", party.name("there"), b"x"),
        ("PUT", f"{party.name('there')}?blob={blob}", None),
        ("POST", f"/v1/blobs?blob={blob}&namespace={party.namespace}", None),
        ("GET", f"/v1/uploads?sha512={'0' * 128}&size=1&namespace={party.namespace}", None),
        ("PATCH", f"/v1/name-info/{party.namespace}/there", {"shared": True}),
        ("PUT", f"/v1/blobs/{blob}/metadata/k", {"value": 1}),
        ("DELETE", f"/v1/blobs/{blob}/metadata/k", None),
        ("DELETE", f"{party.name('there')}?version=1", None),
        ("DELETE", party.name("there"), None),
        ("DELETE", f"{party.name('there')}?purge=1", None),
        ("DELETE", f"/v1/blobs/{blob}", None),
    ]


def read_calls(party: Party) -> list[tuple[str, str, Any]]:
    """Every call by which a party's things can be looked at, but those that a UUID alone opens."""
    version = party.publish("there", party.namespace.encode())
    return [
        ("GET", party.name("there"), None),
        ("GET", f"{party.name('there')}?version=1", None),
        ("GET", f"/v1/payloads/sha512/{version['blob']['sha512']}", None),
        ("GET", f"/v1/names/{party.namespace}", None),
        ("GET", f"/v1/versions/{party.namespace}/there", None),
        ("GET", f"/v1/name-info/{party.namespace}/there", None),
        ("GET", f"/v1/namespaces/{party.namespace}", None),
        ("GET", f"/v1/blobs?namespace={party.namespace}", None),
        ("GET", f"/v1/blobs/{version['blob']['uuid']}/holders", None),
    ]


def uuid_calls(party: Party) -> list[tuple[str, str, Any]]:
    uuid = party.add(content_type="a/b")["uuid"]
    party.writer.ask("PUT", f"/v1/blobs/{uuid}/metadata/k", {"value": 1})
    paths = ["", "/data", "/metadata", "/metadata/k"]
    return [("GET", f"/v1/blobs/{uuid}{path}", None) for path in paths]


def listed(wire: Wire, url: str) -> list[Any]:
    """All items of a listing, page by page."""
    found, cursor = [], ""
    while True:
        answer = wire.ask("GET", url + (f"&cursor={cursor}" if cursor else ""))
        assert answer.status == 200, answer.body
        assert list(answer.json) == ["items", "next"]
        found += answer.json["items"]
        cursor = answer.json["next"]
        if cursor is None:
            return found
        assert answer.json["items"]


@contextmanager
def parties(daemon: Daemon) -> Iterator[Callable[..., Party]]:
    """Makes parties, each with its namespace and the settings it is to have. All are closed in the end."""
    made: list[Party] = []

    def make(**settings: Any) -> Party:
        made.append(Party(daemon))
        made[-1].settings(**settings)
        return made[-1]

    yield make
    for party in made:
        party.close()


@pytest.fixture
def make_party(shared_daemon: Daemon) -> Iterator[Callable[..., Party]]:
    with parties(shared_daemon) as make:
        yield make


@pytest.fixture
def us(make_party: Callable[..., Party]) -> Party:
    return make_party()


@pytest.fixture
def them(make_party: Callable[..., Party]) -> Party:
    """Strangers to us."""
    return make_party()
