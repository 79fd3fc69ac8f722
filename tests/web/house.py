"""The application in this process, over real files and a real catalogue: for what a daemon does not let a test reach.

A test moves its clock, adds routes of its own, listens with TLS or on a Unix socket, or looks at its loop.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop
from aiohttp import web

from casd import auth
from casd.admin_token import AdminToken
from casd.catalogue.sqlite import SqliteCatalogue
from casd.daemon.composition import utc_now
from casd.daemon.data_folder import ensure_signing_key, write_secret
from casd.daemon.listening import bound_socket
from casd.dialects.native import NATIVE
from casd.expiry import Rules
from casd.locks import DigestLocks
from casd.model import Blob, Role, Token
from casd.payloads.local import LocalPayloads
from casd.repair import Repair
from casd.scrub import Pace, Rounds, ScrubRules
from casd.store import BlobStore, Description
from casd.trail import Trail
from casd.upkeep import Upkeep
from casd.uploads import Uploads
from casd.uuids import new_uuid
from casd.vitals import Vitals
from casd.web.application import Services, build
from casd.web.dialect import Dialect
from casd.web.front import Front
from casd.web.keys import Limits
from casd.web.metrics import METRICS, Metrics
from casd.web.origin import Origins
from casd.web.traffic import ConnectionLimits, Traffic
from casd.web.transmit import Transmitter

R = TypeVar("R")

LOOPS = {"asyncio": None, "uvloop": uvloop.new_event_loop}
GRACE = timedelta(hours=1)


def run_on(loop: str, work: Coroutine[Any, Any, R]) -> R:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(work)


@dataclass
class House:
    store: BlobStore
    traffic: Traffic
    front: Front
    principal: auth.Principal
    secret: str
    port: int  # TCP, on the loopback
    tls_port: int
    unix: Path
    metrics: Metrics

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}"}

    async def add(self, data: bytes) -> Blob:
        async with await self.store.stage(self.principal.home, len(data)) as staged:
            await staged.append(data)
            return await self.store.add(self.principal, self.principal.home, staged, Description())


def rounds_of(store: BlobStore) -> Rounds:
    """Scrubs that nobody has to wait for, and none by the timer."""
    pace = Pace(1 << 40, lambda: False, time.monotonic)
    return Rounds(store.payloads, store.catalogue, store.judge, pace, ScrubRules(timedelta(), timedelta()), store.now)


@asynccontextmanager
async def open_house(
    root: Path,
    *,
    dialects: Sequence[Dialect] = (NATIVE,),
    now: Callable[[], datetime] = utc_now,
    send_idle_timeout_s: float = 30,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[House]:
    """An application that listens on a TCP port, on a Unix socket, and with `tls` on a second port."""
    root.mkdir(exist_ok=True)
    async with AsyncExitStack() as stack:
        payloads = await LocalPayloads.create(root, 0)
        stack.push_async_callback(payloads.close)
        catalogue = await SqliteCatalogue.open(root / "catalogue.sqlite3", new_uuid, payloads_exist=False, now=now)
        stack.push_async_callback(catalogue.close)
        locks = DigestLocks()
        store = BlobStore(payloads, catalogue, locks, now=now, new_uuid=new_uuid, grace=GRACE, share_by_uuid=True)
        stack.push_async_callback(store.close)
        uploads = Uploads(store, lifetime=timedelta(days=7), limit_per_token=1000)
        stack.push_async_callback(uploads.close)
        rules = Rules(GRACE, timedelta(days=7), timedelta(days=30))
        upkeep = Upkeep(payloads, catalogue, locks, uploads, rules, now, rounds_of(store), Repair(store, []))
        stack.push_async_callback(upkeep.close)
        transmitter = Transmitter(send_idle_timeout_s)
        stack.push_async_callback(transmitter.close)

        secret = auth.new_secret()
        token = Token(new_uuid(), "admin", Role.ADMIN, ("default",), now(), None)
        await catalogue.add_token(token, auth.secret_hash(secret))
        await ensure_signing_key(store)

        traffic = Traffic(ConnectionLimits(30, send_idle_timeout_s, 0, 0))
        trail = Trail(catalogue, now)
        vitals = Vitals(payloads, catalogue)
        stack.push_async_callback(vitals.close)
        limits, admin_token = Limits(1 << 30, 30, 3600), AdminToken(store, root, None, write_secret)
        services = Services(store, uploads, upkeep, transmitter, Origins(), limits, trail, vitals, admin_token)
        app = build(dialects, services, traffic)
        runner = web.AppRunner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        assert runner.server is not None
        front = Front(runner.server, traffic)
        ports = await listen(stack, front, traffic, root / "socket", tls)
        principal = auth.principal_of(token, now())
        yield House(store, traffic, front, principal, secret, *ports, root / "socket", app[METRICS])


async def listen(
    stack: AsyncExitStack, front: Front, traffic: Traffic, unix: Path, tls: ssl.SSLContext | None
) -> tuple[int, int]:
    loop = asyncio.get_running_loop()
    plain, secure = bound_socket("127.0.0.1", 0), bound_socket("127.0.0.1", 0)
    ports = plain.getsockname()[1], secure.getsockname()[1]
    servers = [
        await loop.create_server(front.connect, sock=plain),
        await loop.create_unix_server(front.connect, str(unix)),
    ]
    if tls is not None:
        servers.append(await loop.create_server(front.connect, sock=secure, ssl=tls))
    else:
        secure.close()

    async def stop() -> None:
        for server in servers:
            server.close()
        assert await traffic.drain(30), "a request is still under way"

    stack.push_async_callback(stop)
    return ports


@pytest.fixture(params=["asyncio", "uvloop"])
def loop_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name
