"""What the tests of the client share: a client of the real daemon, and payloads large enough to be cut."""

import hashlib
import inspect
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from casd.client import Blob, Client, Retry, Source
from casd.model import Digest
from tests.conftest import Daemon

Connect = Callable[..., Client]
Answer = Callable[[web.Request], web.StreamResponse | Awaitable[web.StreamResponse]]
Script = Callable[..., Awaitable[Client]]


@dataclass(frozen=True)
class Payload:
    data: bytes

    @property
    def digest(self) -> Digest:
        return Digest(hashlib.sha512(self.data).digest())

    def source(self, size: int | None = None) -> Source:
        """The payload in a few pieces, as something that cannot be rewound."""

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(self.data), 300_000):
                yield self.data[start : start + 300_000]

        return Source(pieces(), size)


@pytest.fixture
def daemon(shared_daemon: Daemon) -> Daemon:
    """One daemon for all tests of the client: they only add to it."""
    return shared_daemon


@pytest.fixture
def payload() -> Payload:
    return Payload(random.Random(7).randbytes(3_000_000))


@pytest.fixture
def name() -> str:
    """A name that no other test uses, with what wants percent-encoding in it."""
    return f"tests/50% & more/ü #?+/{uuid4()}"


@pytest.fixture
def pauses() -> list[float]:
    """The delays that clients made by `connect` would have waited between attempts."""
    return []


@pytest.fixture
def connect(daemon: Any, pauses: list[float]) -> Connect:
    """Makes clients that do not wait between attempts, and not long for what has stalled."""

    async def pause(delay_s: float) -> None:
        pauses.append(delay_s)

    def make(url: str = daemon.url, **options: Any) -> Client:
        options.setdefault("retry", Retry(attempts=4, uniform=lambda low, high: high, sleep=pause))
        return Client(url, options.pop("token", daemon.token), **options)

    return make


@pytest.fixture
async def client(connect: Connect) -> AsyncIterator[Client]:
    async with connect() as client:
        yield client


@pytest.fixture
async def blob(client: Client, payload: Payload) -> Blob:
    return await client.put_blob(payload.source())


# -- a server that gives scripted answers ------------------------------------------------------------------------


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def asked() -> list[web.Request]:
    """The requests that came, in order."""
    return []


@pytest.fixture
async def script(aiohttp_server: Any, asked: list[web.Request], waits: list[float]) -> AsyncIterator[Script]:
    """Makes a client of a server that gives these answers, one a request."""
    clients: list[Client] = []

    async def wait(delay_s: float) -> None:
        waits.append(delay_s)

    async def make(*answers: Answer) -> Client:
        remaining = list(answers)

        async def handle(request: web.Request) -> web.StreamResponse:
            asked.append(request)
            answer = remaining.pop(0)(request)
            return await answer if inspect.isawaitable(answer) else answer

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        server = await aiohttp_server(app)
        retry = Retry(uniform=lambda low, high: low, sleep=wait)
        client = Client(str(server.make_url("/")), "secret", retry=retry)
        clients.append(await client.__aenter__())
        return client

    yield make
    for client in clients:
        await client.__aexit__(None, None, None)
