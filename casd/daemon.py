"""The composition root: configuration → stores → application → background work → signals. Concrete backends are
named here alone; whoever wants to know how casd is put together reads this file from top to bottom.
"""

import asyncio
import contextlib
import logging
import os
import resource
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import web

from casd import auth, folder, logs
from casd.catalogue.sqlite import SqliteCatalogue
from casd.catalogue.sqlite.schema import check_usable
from casd.config import Config, ConfigError, EventLoop, SourceKind, load
from casd.dialects.craftai import CRAFTAI
from casd.dialects.datapane import DATAPANE
from casd.dialects.deeplake import DEEPLAKE
from casd.dialects.native import NATIVE
from casd.dialects.shakenfist import SHAKENFIST
from casd.dialects.shakenfist.fetching import FETCHES
from casd.dialects.tus import TUS
from casd.errors import CasdError, CollectionRefused, FolderUnusable, Unauthenticated
from casd.expiry import Rules
from casd.locks import DigestLocks
from casd.model import Role, Token
from casd.payloads.folders import disk_call, make_durable_tree, write_durably
from casd.payloads.local import LocalPayloads
from casd.payloads.survey import holds_payloads
from casd.repair import Repair
from casd.scrub import Pace, Rounds, ScrubRules
from casd.store import BlobStore
from casd.upkeep import Upkeep
from casd.uploads import Uploads
from casd.uuids import new_uuid
from casd.web.application import Services, build
from casd.web.front import Front
from casd.web.keys import Limits
from casd.web.origin import Origins
from casd.web.sources import HttpSource
from casd.web.traffic import ConnectionLimits, Traffic
from casd.web.transmit import Transmitter

log = logging.getLogger(__name__)

DIALECTS = (NATIVE, TUS, DEEPLAKE, DATAPANE, CRAFTAI, SHAKENFIST)
FIRST_HOME = "default"
BACKLOG = 1024
DESCRIPTORS_PER_CONNECTION = 3  # its socket, and while it transfers the payload's file and a copy of the socket's
OWN_DESCRIPTORS = 64  # catalogue, logs, event loop: 20 to 30 are open in an idle daemon


def serve(config_file: Path | None, overrides: Mapping[str, object]) -> int:
    """Run the daemon until SIGTERM or SIGINT; returns the exit code. What keeps it from starting is said on stderr."""
    try:
        config = load(config_file, os.environ, overrides).config
        logs.configure(sys.stderr, config.log.format, config.log.level)
        with asyncio.Runner(loop_factory=loop_factory(config.server.event_loop)) as runner:
            runner.run(run(config))
    except CasdError as error:
        print(f"casd: {error}", file=sys.stderr)  # noqa: T201  # before and after there is a log
        return 1
    return 0


def check(config_file: Path | None, overrides: Mapping[str, object]) -> int:
    """Print the configuration that `serve` would run with, and what it would find; returns the exit code.

    Nothing is made or changed. What is wrong with the configuration is said on stderr.
    """
    try:
        loaded = load(config_file, os.environ, overrides)
        loop_factory(loaded.config.server.event_loop)
    except CasdError as error:
        print(f"casd: {error}", file=sys.stderr)  # noqa: T201  # the command's answer
        return 1
    print(f"# {folder_state(loaded.config)}\n\n{loaded.as_toml()}", end="")  # noqa: T201
    return 0


def raise_descriptor_limit() -> int:
    """This process may open as many files as it is let, which is returned.

    The soft limit is 1024 nearly everywhere, because of select(2), which nothing here uses.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # a sandbox that does not let us
            hard = soft
    return 1 << 20 if hard == resource.RLIM_INFINITY else hard


def warn_of_few_descriptors(descriptors: int, max_connections: int) -> None:
    wanted = max_connections * DESCRIPTORS_PER_CONNECTION + OWN_DESCRIPTORS
    if descriptors < wanted:
        log.warning(
            "too few file descriptors for [limits] max_connections; raise LimitNOFILE or lower it limit=%d wanted=%d",
            descriptors,
            wanted,
        )


def loop_factory(wanted: EventLoop) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the event loop; None for asyncio's own. Raises ConfigError where uvloop is wanted and missing."""
    if wanted is EventLoop.ASYNCIO:
        return None
    try:
        import uvloop
    except ImportError:
        if wanted is EventLoop.UVLOOP:
            raise ConfigError("[server] event_loop is uvloop, which is not installed: pip install casd[fast]") from None
        return None
    return uvloop.new_event_loop


async def run(config: Config) -> None:
    """Serve until a signal says to stop, then let requests in flight finish."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    descriptors = raise_descriptor_limit()
    with locked_folder(config):
        async with running(config, descriptors) as address:
            warn_of_few_descriptors(descriptors, config.limits.max_connections)
            log.info("listening address=%s data=%s", address, config.storage.data)
            await stop.wait()
            log.info("stopping")


@contextlib.asynccontextmanager
async def running(config: Config, descriptors: int = 1024) -> AsyncIterator[str]:
    """A daemon that serves; yields its base URL. The caller holds the folder's lock; `descriptors` it may open."""
    data = config.storage.data
    async with contextlib.AsyncExitStack() as stack:
        payloads = await LocalPayloads.create(data, config.storage.reserve_bytes)
        stack.push_async_callback(payloads.close)
        catalogue = await SqliteCatalogue.open(data / folder.CATALOGUE, new_uuid, payloads_exist=holds_payloads(data))
        stack.push_async_callback(catalogue.close)
        locks = DigestLocks()
        grace = timedelta(seconds=config.upkeep.grace_s)
        store = BlobStore(
            payloads,
            catalogue,
            locks,
            now=utc_now,
            new_uuid=new_uuid,
            grace=grace,
            share_by_uuid=config.auth.share_by_uuid,
            verify_reads=config.storage.verify_reads,
            recheck=timedelta(days=config.storage.recheck_days),
        )
        stack.push_async_callback(store.close)
        uploads = Uploads(
            store,
            lifetime=timedelta(days=config.upkeep.upload_days),
            limit_per_token=config.limits.max_uploads_per_token,
            limit_resting=max(1, (descriptors - OWN_DESCRIPTORS) // 4),
        )
        await uploads.start()
        stack.push_async_callback(uploads.close)
        await ensure_admin_token(store, data)
        await ensure_signing_key(store)
        rules = Rules(grace, timedelta(days=config.upkeep.hidden_days), timedelta(days=config.upkeep.token_days))
        origins = Origins(config.server.public_url, config.server.trusted_proxies)
        traffic = Traffic(connection_limits(config), origins)
        repairs = Repair(store, sources_of(config))
        pace = Pace(
            config.upkeep.scrub_bytes_per_s,
            lambda: len(traffic.busy) > upkeep.scrubs_awaited,  # whoever waits for a scrub is no reason to delay it
            asyncio.get_running_loop().time,
        )
        scrub_rules = ScrubRules(
            timedelta(days=config.upkeep.scrub_days), timedelta(days=config.upkeep.deep_scrub_days)
        )
        rounds = Rounds(payloads, catalogue, store.judge, pace, scrub_rules, utc_now)
        upkeep = Upkeep(payloads, catalogue, locks, uploads, rules, utc_now, rounds, repairs)
        stack.push_async_callback(upkeep.close)
        for timer in (keep_up, keep_whole):
            stack.push_async_callback(cancel, asyncio.create_task(timer(upkeep, config)))
        transmitter = Transmitter(config.limits.send_idle_timeout_s)
        stack.push_async_callback(transmitter.close)
        limits = Limits(config.limits.max_body_bytes, config.limits.body_idle_timeout_s, config.auth.signed_url_max_s)
        services = Services(store, uploads, upkeep, transmitter, origins, limits)
        address = await stack.enter_async_context(listening(config, services, traffic))
        stack.enter_context(announced(data, address))
        yield address


@contextlib.asynccontextmanager
async def listening(config: Config, services: Services, traffic: Traffic) -> AsyncIterator[str]:
    """Accept connections; afterwards requests in flight have finished, or the drain deadline has passed."""
    app = build(DIALECTS, services, traffic)
    app[FETCHES].hosts = config.shakenfist.cache_hosts
    runner = web.AppRunner(app)
    await runner.setup()
    assert runner.server is not None
    listener = bound_socket(config.server.host, config.server.port)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Front(runner.server, traffic).connect, sock=listener, backlog=BACKLOG)
    try:
        yield base_url(config.server.host, listener.getsockname()[1])
    finally:
        server.close()
        await traffic.drain(config.limits.drain_timeout_s)
        await runner.cleanup()


def connection_limits(config: Config) -> ConnectionLimits:
    limits = config.limits
    return ConnectionLimits(
        limits.head_timeout_s,
        limits.send_idle_timeout_s,
        limits.max_connections,
        limits.max_connections_per_address,
    )


def sources_of(config: Config) -> list[HttpSource]:
    """Where damaged payloads are fetched from."""
    timeout_s = config.repair.idle_timeout_s
    return [
        HttpSource(source.url, source.token_file, timeout_s, is_casd=source.kind is SourceKind.CASD)
        for source in config.repair.sources
    ]


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that holds the address. Raises CasdError for one that is taken, or not this machine's."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, ValueError) as error:  # a host that is no name at all is a ValueError
        reason = error.strerror if isinstance(error, OSError) else "no host has such a name"
        raise CasdError(f"cannot listen on {host}:{port}: {reason}; name another with --host or --port") from error
    return listener


def base_url(host: str, port: int) -> str:
    """Where this machine's own clients reach the daemon."""
    local = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"http://[{local}]:{port}" if ":" in local else f"http://{local}:{port}"


# -- the data folder ----------------------------------------------------------------------------------------------


def folder_state(config: Config) -> str:
    """What a start would find where the data folder is."""
    data = config.storage.data.absolute()
    if data.is_dir():
        may = os.access(data, os.R_OK | os.W_OK | os.X_OK)
        found = "is there" if may else "is there, but this user may not write it: casd will not start"
    elif data.exists():
        found = "is not a folder: casd will not start"
    elif config.storage.must_exist:
        found = "is not there, and must_exist is set: casd will not start"
    else:
        found = "is not there: casd will make it"
    return f"The data folder {ascii(str(data))[1:-1]} {found}."


@contextlib.contextmanager
def locked_folder(config: Config) -> Iterator[None]:
    """Hold the data folder, made if it may be, and found fit to be served.

    Raises FolderUnusable, FolderInUse, CatalogueUnusable; nothing is touched then.
    """
    data = config.storage.data
    if config.storage.must_exist and not data.is_dir():
        raise FolderUnusable(f"{data} is not there and [storage] must_exist is set: is its file system mounted?")
    try:
        make_durable_tree(data)
    except OSError as error:
        raise FolderUnusable(
            f"{data} cannot be used: {error.strerror}; casd wants a folder it may write: name another with --data"
        ) from error
    with folder.held(data):
        check_before_touching(data)
        yield


def check_before_touching(data: Path) -> None:
    """Raise CatalogueUnusable, FolderUnusable for a folder that must not, or cannot, be served as it is."""
    if (data / folder.BACKUP).exists():
        raise FolderUnusable(
            f"{data} is a backup, which serving would change: `casd restore {data} FOLDER` makes a data folder of it"
        )
    if (data / folder.RESTORING).exists():
        raise FolderUnusable(
            f"a restore into {data} was not finished: run `casd restore` again, which goes on, or remove the folder"
        )
    try:
        payloads_exist = holds_payloads(data)
    except OSError as error:  # of a folder that is not ours to read, or a disk that fails
        raise FolderUnusable(f"{error.filename or data} cannot be read: {error.strerror}") from error
    check_usable(data / folder.CATALOGUE, payloads_exist)


@contextlib.contextmanager
def announced(data: Path, address: str) -> Iterator[None]:
    """While it lasts, clients on this machine find the address in the data folder."""
    file = data / folder.ADDRESS
    disk_call(f"writing {file}", write_durably, file, address + "\n")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


async def ensure_admin_token(store: BlobStore, data: Path) -> None:
    """The admin token's file is there and its token is good; a new one is made otherwise.

    The secret is shown once on a terminal, otherwise only where its file is.
    """
    file = data / folder.ADMIN_TOKEN
    secret = folder.local_admin_token(data)
    now = store.now()
    if secret is not None:
        with contextlib.suppress(Unauthenticated):  # revoked, or of another catalogue
            auth.principal_of(await store.catalogue.token(auth.secret_hash(secret)), now)
            return
    secret = auth.new_secret()
    token = Token(new_uuid(), "admin", Role.ADMIN, (FIRST_HOME,), now, None)
    await store.catalogue.add_token(token, auth.secret_hash(secret))
    await asyncio.to_thread(disk_call, f"writing {file}", write_durably, file, secret + "\n")
    log.info("admin token made file=%s", file)
    if sys.stderr.isatty():
        print(f"admin token: {secret}", file=sys.stderr)  # noqa: T201  # shown once, never logged


async def ensure_signing_key(store: BlobStore) -> None:
    if await store.catalogue.signing_key() is None:
        await store.catalogue.add_signing_key(secrets.token_bytes(32), store.now())


# -- background work ----------------------------------------------------------------------------------------------


async def keep_up(upkeep: Upkeep, config: Config) -> None:
    """Expire and collect by the timer, for ever; a failing run is logged and tried again at its next time."""
    loop = asyncio.get_running_loop()
    next_scan = loop.time()
    while True:
        await asyncio.sleep(config.upkeep.interval_s)
        is_scan_due = loop.time() >= next_scan
        try:
            await upkeep.expire(scan=is_scan_due)
            await upkeep.collect_garbage(scan=is_scan_due)
        except CollectionRefused as error:
            log.warning("collection refused, casd gc --force insists reason=%s", error)
        except CasdError as error:
            log.error("upkeep failed error=%s", error)
        if is_scan_due:
            next_scan = loop.time() + config.upkeep.scan_interval_s


async def keep_whole(upkeep: Upkeep, config: Config) -> None:
    """Read what is due by the timer, and repair what is damaged, for ever; beside `keep_up`, because it takes long."""
    loop = asyncio.get_running_loop()
    next_scan = loop.time()
    while True:
        await asyncio.sleep(config.upkeep.interval_s)
        is_scan_due = loop.time() >= next_scan
        try:
            await upkeep.scrub_due()
            await upkeep.repair_due(is_scan_due=is_scan_due)
        except CasdError as error:
            log.error("upkeep failed error=%s", error)
        if is_scan_due:
            next_scan = loop.time() + config.upkeep.scan_interval_s


async def cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def utc_now() -> datetime:
    return datetime.now(UTC)
