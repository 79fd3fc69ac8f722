"""What goes on in the kill -9 storm beside the ledgers' clients; each keeps what was acknowledged to it."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.crash.folder import payload_path, sha512
from tests.crash.ledger import Answer, Ask, Operation
from tests.crash.operations import Contents, nothing

SHARED = "/v1/names/default/shared"
UPKEEP = ("collect-garbage?force=1", "expire")
SCRUBS = ("scrub", "scrub?deep=1")


class SharedName:
    """The versions of a name into which everybody publishes."""

    def __init__(self) -> None:
        self.versions: dict[int, str] = {}  # acknowledged: number → digest
        self.under_way: Counter[str] = Counter()  # digests

    async def publish(self, ask: Ask, contents: Contents) -> None:
        data, digest, _ = contents.next()
        self.under_way[digest] += 1
        answer = await done(ask, "PUT", SHARED, data)
        self.versions[answer["version"]] = digest
        self.under_way[digest] -= 1

    def settle(self, seen: dict[int, str]) -> None:
        """Numbers have no gap, what was acknowledged has its number, and the rest is of what was under way."""
        assert sorted(seen) == list(range(1, len(seen) + 1))
        assert self.versions.items() <= seen.items()
        surprising = Counter(digest for number, digest in seen.items() if number not in self.versions)
        assert surprising <= self.under_way
        self.versions, self.under_way = seen, Counter()


@dataclass
class Victims:
    """Payloads that are damaged while a daemon serves, found by a reader, and healed by storing them again."""

    data: Path
    contents: dict[str, bytes] = field(default_factory=dict)  # by digest: all that were ever sent
    stored: dict[str, str] = field(default_factory=dict)  # acknowledged: UUID → digest
    hurt: set[str] = field(default_factory=set)  # digests that are damaged, for all that was acknowledged
    healed: int = 0

    async def go_on(self, ask: Ask, choice: random.Random) -> None:
        content = choice.randbytes(choice.choice([10, 5_000, 1_500_000]))
        digest = sha512(content)
        self.contents[digest] = content
        uuid = await self._store(ask, content)
        self.hurt.add(digest)
        choice.choice(DAMAGES)(payload_path(self.data, digest))
        status, answer = await ask(Operation("GET", f"/v1/blobs/{uuid}/data", nothing))
        assert status >= 500, (status, str(answer)[:200])
        await self._store(ask, content)
        self._is_healed(digest)
        assert await ask(Operation("GET", f"/v1/blobs/{uuid}/data", nothing)) == (200, {"sha512": digest})

    async def _store(self, ask: Ask, content: bytes) -> str:
        uuid: str = (await done(ask, "POST", "/v1/blobs?namespace=victims", content))["uuid"]
        self.stored[uuid] = sha512(content)
        return uuid

    def _is_healed(self, digest: str) -> None:
        self.hurt.discard(digest)
        self.healed += 1

    async def settle(self, ask: Ask, listed: list[Answer]) -> None:
        """After a restart all that was acknowledged is there, damaged only where it was hurt, and can be healed.

        Then it is deleted.
        """
        seen = {blob["uuid"]: blob["sha512"] for blob in listed}
        assert self.stored.items() <= seen.items()
        assert set(seen.values()) <= self.contents.keys()
        self.stored = seen
        assert {blob["sha512"] for blob in listed if blob["state"] != "created"} <= self.hurt
        for digest in sorted(self.hurt & set(seen.values())):
            await self._store(ask, self.contents[digest])
            self._is_healed(digest)
        for uuid, digest in self.stored.items():
            assert await ask(Operation("GET", f"/v1/blobs/{uuid}/data", nothing)) == (200, {"sha512": digest})
        for uuid in list(self.stored):
            await done(ask, "DELETE", f"/v1/blobs/{uuid}")
        self.stored = {}
        self.hurt.clear()


def lost(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    draft = path.with_name("draft")
    draft.write_bytes(path.read_bytes()[:-1])
    draft.replace(path)


def flipped(path: Path) -> None:
    """Another file in its place: what was just stored counts as checked (DESIGN.md 5), unless it was replaced."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    draft = path.with_name("draft")
    draft.write_bytes(data)
    draft.replace(path)


DAMAGES: list[Callable[[Path], None]] = [lost, cut, flipped]


@dataclass
class Fleeting:
    """Blobs that expire while the storm goes on."""

    sent: set[str] = field(default_factory=set)  # digests
    stored: set[str] = field(default_factory=set)  # acknowledged UUIDs

    async def go_on(self, ask: Ask, choice: random.Random) -> None:
        content = choice.randbytes(choice.randrange(1, 50_000))
        self.sent.add(sha512(content))
        path = "/v1/blobs?namespace=fleeting&expires_in=1"
        self.stored.add((await done(ask, "POST", path, content))["uuid"])


async def done(ask: Ask, method: str, path: str, body: bytes | None = None) -> Any:
    """What is answered to a request that succeeds."""
    status, answer = await ask(Operation(method, path, nothing, body))
    assert status in (200, 201, 204), (status, answer, path)
    return answer
