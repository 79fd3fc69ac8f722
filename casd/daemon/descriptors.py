"""How many files this process may open, and whether that is enough for its connections."""

import asyncio
import errno
import logging
import resource
from typing import Any

log = logging.getLogger(__name__)

DESCRIPTORS_PER_CONNECTION = 3  # its socket, and while it transfers the payload's file and a copy of the socket's
SHORT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
OWN_DESCRIPTORS = 64  # catalogue, logs, event loop: 20 to 30 are open in an idle daemon


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


def affordable_connections(descriptors: int) -> int:
    """Beyond so many, connections would take the descriptors that requests need."""
    return max(1, (descriptors - OWN_DESCRIPTORS) // DESCRIPTORS_PER_CONNECTION)


def without_traceback(loop: asyncio.AbstractEventLoop) -> None:
    """A connection that cannot be accepted for want of a descriptor is a line in the log.

    asyncio stops accepting for a second then, uvloop takes the connection and closes it: neither spins.
    """

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in SHORT_OF:
            log.warning("connection not accepted: %s", error.strerror)
        elif isinstance(error, ValueError) and str(error).startswith("Invalid file descriptor"):
            pass  # asyncio 3.11 wants to accept again on a socket that was closed within that second
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)


def warn_of_few_descriptors(descriptors: int, max_connections: int) -> None:
    wanted = max_connections * DESCRIPTORS_PER_CONNECTION + OWN_DESCRIPTORS
    if descriptors < wanted:
        log.warning(
            "too few file descriptors for [limits] max_connections; raise LimitNOFILE or lower it"
            " limit=%d wanted=%d connections=%d",
            descriptors,
            wanted,
            affordable_connections(descriptors),
        )
