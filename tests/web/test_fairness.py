"""Who goes on while there is not room for all: places at a time, a queue that is fair, a rate, memory for answers."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from casd import auth, fair
from casd.dialects.native import NATIVE
from casd.fair import Bounds
from casd.model import Role, Token
from casd.uuids import new_uuid
from casd.web import traffic as traffic_module
from casd.web.dialect import Access, Route
from tests.web.house import LOOPS, House, open_house, run_on
from tests.web.wire import PATIENCE_S

LARGE = 100_000  # beyond 64 KiB a body or an answer takes a place among the transfers
NEVER_S = 60.0


@pytest.fixture(autouse=True)
def nothing_is_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client of these tests may be slow to send without losing its place; test_fair.py has the other half."""
    monkeypatch.setattr(fair, "IDLE_S", NEVER_S)


@pytest.fixture(params=LOOPS)
def on_house(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., None]:
    """Runs a test's coroutine function beside an application, on both loops."""

    def run(test: Callable[[House], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            async with open_house(tmp_path / "house") as house:
                await test(house)

        run_on(request.param, main())

    return run


@dataclass(frozen=True)
class Said:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        code: str = json.loads(self.body)["code"]
        return code


class Client:
    """One connection, with a request under way."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    def send(self, line: str, secret: str, *headers: str, body: bytes = b"") -> None:
        lines = [f"{line} HTTP/1.1", "Host: casd.test", f"Authorization: Bearer {secret}", *headers, "", ""]
        self.writer.write("\r\n".join(lines).encode() + body)

    async def said(self) -> Said:
        async with asyncio.timeout(PATIENCE_S):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:-2])
            body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        return Said(int(head[0].split()[1]), headers, body)

    async def upload(self, secret: str) -> None:
        """Ask for one; `100 Continue` says that it is let in."""
        self.send("POST /v1/blobs", secret, f"Content-Length: {LARGE}", "Expect: 100-continue")

    async def finish(self) -> int:
        """Send the body of an upload that was let in."""
        self.writer.write(random.randbytes(LARGE))
        return (await self.said()).status


@asynccontextmanager
async def client(house: House) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


async def secret_of(house: House, name: str) -> str:
    secret, now = auth.new_secret(), house.store.now()
    token = Token(new_uuid(), name, Role.WRITER, (name,), now, None)
    await house.store.catalogue.add_token(token, auth.secret_hash(secret))
    return secret


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():
            await asyncio.sleep(0.002)


def one_at_a_time(house: House, max_waiting: int = 100, max_wait_s: float = NEVER_S) -> None:
    house.traffic.limits = replace(house.traffic.limits, transfers=Bounds(1, max_waiting, max_wait_s))


def test_transfers_wait_for_each_other_in_turn_by_token(on_house: Callable[..., None]) -> None:
    async def main(house: House) -> None:
        one_at_a_time(house)
        many, one = await secret_of(house, "many"), await secret_of(house, "one")
        async with client(house) as holder, client(house) as a, client(house) as b, client(house) as c:
            await holder.upload(many)
            assert (await holder.said()).status == 100
            for number, (waiting, secret) in enumerate(((a, many), (b, many), (c, one)), 1):
                await waiting.upload(secret)
                await until(lambda number=number: house.traffic.transfers.waiting == number)

            assert await holder.finish() == 201
            for following in (a, c, b):
                assert (await following.said()).status == 100
                assert await following.finish() == 201
        assert house.traffic.transfers.active == 0

    on_house(main)


def test_small_requests_and_deletes_are_not_behind_transfers(on_house: Callable[..., None]) -> None:
    async def main(house: House) -> None:
        one_at_a_time(house)
        small, large = await house.add(b"small"), await house.add(random.randbytes(LARGE))
        async with client(house) as holder, client(house) as behind, client(house) as quick:
            await holder.upload(house.secret)
            assert (await holder.said()).status == 100
            behind.send(f"GET /v1/blobs/{large.uuid}/data", house.secret)
            await until(lambda: house.traffic.transfers.waiting == 1)

            for line, status in (
                ("GET /healthz", 200),
                (f"GET /v1/blobs/{small.uuid}/data", 200),
                ("GET /v1/blobs", 200),
                (f"DELETE /v1/blobs/{small.uuid}", 204),
            ):
                quick.send(line, house.secret)
                assert (await quick.said()).status == status
            quick.send("POST /v1/blobs", house.secret, "Content-Length: 5", body=b"other")
            assert (await quick.said()).status == 201

            assert await holder.finish() == 201
            assert len((await behind.said()).body) == LARGE

    on_house(main)


def test_who_waits_too_long_is_told_to_come_back(on_house: Callable[..., None]) -> None:
    async def main(house: House) -> None:
        one_at_a_time(house, max_wait_s=0.01)
        async with client(house) as holder, client(house) as other:
            await holder.upload(house.secret)
            assert (await holder.said()).status == 100
            await other.upload(house.secret)

            refused = await other.said()

            assert (refused.status, refused.code, refused.headers["retry-after"]) == (503, "overloaded", "1")
            assert await holder.finish() == 201

    on_house(main)


def test_a_queue_that_is_full_takes_nobody_in(on_house: Callable[..., None]) -> None:
    async def main(house: House) -> None:
        one_at_a_time(house, max_waiting=1)
        async with client(house) as holder, client(house) as waiting, client(house) as refused:
            await holder.upload(house.secret)
            assert (await holder.said()).status == 100
            await waiting.upload(house.secret)
            await until(lambda: house.traffic.transfers.waiting == 1)
            await refused.upload(house.secret)

            assert (await refused.said()).code == "overloaded"
            assert await holder.finish() == 201
            assert (await waiting.said()).status == 100

    on_house(main)


def test_who_hangs_up_while_waiting_leaves_the_queue(on_house: Callable[..., None]) -> None:
    async def main(house: House) -> None:
        one_at_a_time(house)
        large = await house.add(random.randbytes(LARGE))
        async with client(house) as holder:
            await holder.upload(house.secret)
            assert (await holder.said()).status == 100
            async with client(house) as gone, client(house) as gone_too:
                gone.send(f"GET /v1/blobs/{large.uuid}/data", house.secret)
                await gone_too.upload(house.secret)
                await until(lambda: house.traffic.transfers.waiting == 2)

            await until(lambda: house.traffic.transfers.waiting == 0)
            assert await holder.finish() == 201
        assert house.traffic.transfers.active == 0

    on_house(main)


def test_a_token_that_asks_too_often_is_429_and_others_are_not(on_house: Callable[..., None]) -> None:
    async def main(house: House) -> None:
        house.traffic.limits = replace(house.traffic.limits, requests_per_s=0.01, requests_burst=3)
        hasty, calm = await secret_of(house, "hasty"), await secret_of(house, "calm")
        async with client(house) as connection:
            for status in (200, 200, 200, 429):
                connection.send("GET /v1/whoami", hasty)
                last = await connection.said()
                assert last.status == status
            assert last.code == "rate-limited"
            assert 0 < int(last.headers["retry-after"]) <= 100

            for line, secret in (("GET /v1/whoami", calm), ("GET /healthz", hasty)):
                connection.send(line, secret)
                assert (await connection.said()).status == 200
        assert house.traffic.rates.refused == 1

    on_house(main)


def test_of_answers_that_nobody_takes_only_so_many_are_kept(
    tmp_path: Path, loop_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of a listing can have megabytes: who asks for many and reads none is cut off, the oldest first."""
    monkeypatch.setattr(traffic_module, "ANSWERS_BYTES", 60 << 20)
    size = 32 << 20  # far more than what the kernel holds for both sides

    async def large(request: web.Request) -> web.StreamResponse:
        return web.Response(body=bytes(size))

    dialect = replace(NATIVE, routes=(Route("GET", "/large", large, Access.OPEN), *NATIVE.routes))

    async def main() -> None:
        async with open_house(tmp_path / "house", dialects=(dialect,)) as house:
            async with client(house) as first, client(house) as second, client(house) as third:
                for number, slow in enumerate((first, second, third), 1):
                    slow.send("GET /large", house.secret)
                    await until(lambda number=number: house.traffic.cut_readers + len(house.traffic.stalled) == number)

                assert house.traffic.cut_readers > 0
                assert house.traffic.stalled_bytes <= 60 << 20
                assert len((await third.said()).body) == size
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await first.said()
            await until(lambda: not house.traffic.connections)
            assert house.traffic.stalled_bytes == 0

    run_on(loop_name, main())
