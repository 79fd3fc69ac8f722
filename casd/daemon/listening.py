"""The sockets that clients connect to: made, served, and drained in the end."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from aiohttp import web

from casd.config import Config
from casd.errors import CasdError
from casd.web.front import Front
from casd.web.traffic import Traffic

BACKLOG = 1024


@contextlib.asynccontextmanager
async def listening(config: Config, app: web.Application, traffic: Traffic) -> AsyncIterator[str]:
    """Accept connections; afterwards requests in flight have finished, or the drain deadline has passed."""
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
