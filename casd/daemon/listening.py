"""The sockets that clients connect to: made or taken over from systemd, served all at once, and drained in the end."""

import asyncio
import contextlib
import os
import socket
import ssl
import stat
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from casd import folder
from casd.config import Config
from casd.daemon.systemd import Passed
from casd.daemon.tls import Certificate
from casd.errors import CasdError
from casd.web.front import Front
from casd.web.traffic import Traffic

BACKLOG = 1024
PLAIN = "plain"  # FileDescriptorName= of a socket of systemd's that speaks no TLS, certificate or not
TLS_CLOSE_S = 5.0  # for a client's own goodbye; asyncio's 30 would keep a connection that nobody uses
UNIX_PATH_BYTES = 107  # of sockaddr_un, without the null byte at its end
LOCAL_HOSTS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # where this machine's own clients reach those


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that is bound. Unix sockets never speak TLS."""

    socket: socket.socket
    is_tls: bool = False

    @property
    def url(self) -> str:
        """Where this machine's own clients reach it; `unix:` with the path for a Unix socket."""
        if self.socket.family == socket.AF_UNIX:
            return f"unix://{self.socket.getsockname()}"
        host, port = self.socket.getsockname()[:2]
        local = LOCAL_HOSTS.get(host, host)
        return f"{'https' if self.is_tls else 'http'}://{f'[{local}]' if ':' in local else local}:{port}"


@contextlib.asynccontextmanager
async def listening(
    app: web.Application, traffic: Traffic, listeners: Sequence[Listener], certificate: Certificate | None
) -> AsyncIterator[None]:
    """Accept connections; afterwards requests in flight have finished, or the drain deadline has passed."""
    runner = web.AppRunner(app)
    await runner.setup()
    assert runner.server is not None
    front = Front(runner.server, traffic)
    servers = [
        await accepting(listener, front, certificate.context if certificate and listener.is_tls else None)
        for listener in listeners
    ]
    try:
        yield
    finally:
        for server in servers:
            server.close()
        await traffic.drain()
        await runner.cleanup()


async def accepting(listener: Listener, front: Front, context: ssl.SSLContext | None) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    if listener.socket.family == socket.AF_UNIX:
        # The path is ours to remove, or systemd's to keep.
        kept: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        return await loop.create_unix_server(front.connect, sock=listener.socket, backlog=BACKLOG, **kept)
    if context is None:
        return await loop.create_server(front.connect, sock=listener.socket, backlog=BACKLOG)
    return await loop.create_server(
        front.connect,
        sock=listener.socket,
        backlog=BACKLOG,
        ssl=context,
        ssl_handshake_timeout=front.traffic.limits.head_timeout_s,  # of the start: what precedes a head
        ssl_shutdown_timeout=TLS_CLOSE_S,
    )


# -- which sockets ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def bound_listeners(config: Config, passed: Sequence[Passed]) -> Iterator[list[Listener]]:
    """The sockets to listen on: systemd's in place of `host` and `port`, and the Unix socket that is configured.

    The one by which this machine's own clients are served best stands first; where all others speak TLS, whose
    certificate is hardly for this machine's inner names, that is a Unix socket in the data folder.

    Raises CasdError for an address that cannot be had.
    """
    server = config.server
    has_tls = server.tls_certificate is not None
    with contextlib.ExitStack() as stack:
        for one in passed:
            stack.callback(one.socket.close)
        found = [Listener(one.socket, has_tls and is_public(one)) for one in passed]
        if not passed and server.tcp:
            made = stack.enter_context(contextlib.closing(bound_socket(server.host, server.port)))
            found.append(Listener(made, has_tls))
        if server.unix_socket is not None:
            mode = int(server.unix_socket_mode, 8)
            found.append(Listener(stack.enter_context(unix_socket(server.unix_socket.absolute(), mode))))
        if not found:
            raise CasdError("nothing to listen on: [server] tcp is false, and neither unix_socket nor systemd has any")
        own = config.storage.data.absolute() / folder.SOCKET
        if all(listener.is_tls for listener in found) and len(os.fsencode(own)) <= UNIX_PATH_BYTES:
            found.append(Listener(stack.enter_context(unix_socket(own, 0o600))))
        yield sorted(found, key=lambda listener: (listener.is_tls, listener.socket.family == socket.AF_UNIX))


def is_public(passed: Passed) -> bool:
    return passed.socket.family != socket.AF_UNIX and passed.name != PLAIN


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that holds the address. Raises CasdError for one that is taken, or not this machine's."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, ValueError) as error:  # a host that is no name at all is a ValueError
        raise refused(f"{host}:{port}", error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise refused(f"{host}:{port}", error) from error
    return listener


def refused(address: str, error: OSError | ValueError) -> CasdError:
    reason = error.strerror if isinstance(error, OSError) else "no host has such a name"
    return CasdError(f"cannot listen on {address}: {reason}; name another with --host or --port")


@contextlib.contextmanager
def unix_socket(path: Path, mode: int) -> Iterator[socket.socket]:
    """A socket that holds the path, which is removed afterwards. Raises CasdError.

    One that a killed daemon left behind is replaced; one that answers is not, and neither is any other file.
    """
    listener = socket.socket(socket.AF_UNIX)
    try:
        try:
            remove_stale(path)
            listener.bind(str(path))
            path.chmod(mode)  # nobody can connect before it listens
            own = path.stat().st_ino
        except OSError as error:
            raise CasdError(f"cannot listen on {path}: {error.strerror or error}; [server] unix_socket") from error
        try:
            yield listener
        finally:
            with contextlib.suppress(OSError):
                if path.stat().st_ino == own:
                    path.unlink()
    finally:
        listener.close()


def remove_stale(path: Path) -> None:
    """Nothing is at the path afterwards. Raises CasdError for what is not a socket that nobody listens on."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise CasdError(f"cannot listen on {path}: there is a file that is no socket; [server] unix_socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as asking:
        try:
            asking.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise CasdError(f"cannot listen on {path}: another process does; [server] unix_socket")
