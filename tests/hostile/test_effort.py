"""What is absent costs what is foreign costs: counted in statements of the catalogue and files, as clocks are noisy."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from casd import auth
from casd.daemon.composition import DIALECTS
from casd.model import Role, Token
from casd.uuids import new_uuid
from tests.web.house import House, open_house

NOTICEABLE = 1  # statement: 15 us, a twentieth of the quickest answer


class Effort:
    """Counts what this process asks of SQLite, and which files it opens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.statements: list[str] = []
        self.files: list[str] = []
        connect, open_file = sqlite3.connect, os.open

        def connected(*args: Any, **more: Any) -> sqlite3.Connection:
            db: sqlite3.Connection = connect(*args, **more)
            db.set_trace_callback(self.statements.append)
            return db

        def opened(path: Any, *args: Any, **more: Any) -> int:
            self.files.append(str(path))
            return open_file(path, *args, **more)

        monkeypatch.setattr(sqlite3, "connect", connected)
        monkeypatch.setattr(os, "open", opened)

    def forget(self) -> None:
        self.statements.clear()
        self.files.clear()


@pytest.fixture
def effort(monkeypatch: pytest.MonkeyPatch) -> Effort:
    return Effort(monkeypatch)


async def strange_secret(house: House) -> str:
    secret = auth.new_secret()
    token = Token(new_uuid(), "stranger", Role.WRITER, ("elsewhere",), house.store.now(), None)
    await house.store.catalogue.add_token(token, auth.secret_hash(secret))
    return secret


Asked = Callable[[str, str, str, str], tuple[str, str]]

# By namespace, name, UUID and digest.
QUESTIONS: dict[str, Asked] = {
    "name": lambda ns, name, uuid, digest: ("GET", f"/v1/names/{ns}/{name}"),
    "name info": lambda ns, name, uuid, digest: ("GET", f"/v1/name-info/{ns}/{name}"),
    "versions": lambda ns, name, uuid, digest: ("GET", f"/v1/versions/{ns}/{name}"),
    "names": lambda ns, name, uuid, digest: ("GET", f"/v1/names/{ns}"),
    "hide": lambda ns, name, uuid, digest: ("DELETE", f"/v1/names/{ns}/{name}"),
    "blob": lambda ns, name, uuid, digest: ("GET", f"/v1/blobs/{uuid}"),
    "bytes": lambda ns, name, uuid, digest: ("GET", f"/v1/blobs/{uuid}/data"),
    "delete": lambda ns, name, uuid, digest: ("DELETE", f"/v1/blobs/{uuid}"),
    "bind": lambda ns, name, uuid, digest: ("PUT", f"/v1/names/elsewhere/bound?blob={uuid}"),
    "payload": lambda ns, name, uuid, digest: ("GET", f"/v1/payloads/sha512/{digest}"),
    "checksum": lambda ns, name, uuid, digest: ("GET", f"/v1/checksums/sha512/{digest}"),
    "unfinished": lambda ns, name, uuid, digest: ("GET", f"/v1/uploads?sha512={digest}&size=1&namespace={ns}"),
    "deeplake": lambda ns, name, uuid, digest: ("GET", f"/workspaces/{ns}/files/{uuid}/content"),
    "shakenfist": lambda ns, name, uuid, digest: ("GET", f"/blobs/{uuid}/data"),
    "log-in": lambda ns, name, uuid, digest: ("POST", "/auth"),
}


@pytest.mark.parametrize("question", QUESTIONS)
async def test_what_is_foreign_costs_what_is_absent_costs(tmp_path: Path, effort: Effort, question: str) -> None:
    async with open_house(tmp_path / "data", dialects=DIALECTS) as house:
        headers = {"Authorization": f"Bearer {await strange_secret(house)}"}
        base = f"http://127.0.0.1:{house.port}"
        async with aiohttp.ClientSession(base, headers=headers) as client:
            version = await published(client, house)
            ours = "default", "ours", version["blob"]["uuid"], version["blob"]["sha512"]
            absent = [(ns, "none", str(uuid4()), os.urandom(64).hex()) for ns in ("default", "nowhere")]
            costs = []
            for about in (ours, *absent, ours, *absent):  # the first round warms what is cached
                effort.forget()
                method, path = QUESTIONS[question](*about)
                body = {"namespace": about[0], "key": "a guess"} if question == "log-in" else None
                async with client.request(method, path, json=body) as answer:
                    status = answer.status
                    await answer.read()
                payloads = [path for path in effort.files if "payloads" in path or "incoming" in path]
                costs.append((status, len(effort.statements), payloads))

    assert sum(count for _, count, _ in costs), "they are counted"
    foreign, *others = costs[3:]
    for other in others:
        assert other[0] == foreign[0]
        assert abs(other[1] - foreign[1]) <= NOTICEABLE
        assert other[2] == foreign[2] == []


async def published(client: aiohttp.ClientSession, house: House) -> Any:
    settings = {"share_by_uuid": False}
    async with client.put("/v1/namespaces/default", json=settings, headers=house.headers) as answer:
        assert answer.status == 200
    async with client.put("/v1/names/default/ours", data=b"ours", headers=house.headers) as answer:
        assert answer.status == 201
        return await answer.json()
