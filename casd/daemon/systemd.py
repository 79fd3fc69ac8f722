"""systemd's side of the process: the sockets that it passes, and what it is told (sd_listen_fds(3), sd_notify(3)).

Both are a few environment variables and a datagram, so no package is needed. Without systemd nothing happens
here.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, MutableMapping
from dataclasses import dataclass

from casd.errors import CasdError

log = logging.getLogger(__name__)

FIRST_PASSED = 3  # SD_LISTEN_FDS_START
TELL_TIMEOUT_S = 5.0  # systemd reads at once, or has other troubles than ours
EXTENSION_S = 30.0  # of the time that a start may take, asked for three times as often
FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


@dataclass(frozen=True, slots=True)
class Passed:
    """A listening socket of systemd's, and its FileDescriptorName= (the unit's name where there is none)."""

    socket: socket.socket
    name: str


def passed_sockets(environment: MutableMapping[str, str]) -> list[Passed]:
    """The listening sockets that systemd passed to this process; they are the caller's, to be closed.

    The environment says nothing about them afterwards, so that no child takes them for its own. Raises CasdError for
    what casd cannot accept connections from.
    """
    pid, count, names = (environment.pop(f"LISTEN_{key}", "") for key in ("PID", "FDS", "FDNAMES"))
    environment.pop("LISTEN_PIDFDID", None)
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    named = names.split(":")
    found = []
    for number in range(int(count)):
        descriptor = FIRST_PASSED + number
        os.set_inheritable(descriptor, False)
        name = named[number] if number < len(named) else ""
        found.append(Passed(checked_socket(descriptor, name), name))
    return found


def checked_socket(descriptor: int, name: str) -> socket.socket:
    try:
        passed = socket.socket(fileno=descriptor)
    except OSError as error:
        raise CasdError(f"systemd passed {name or descriptor}, which is no socket: {error.strerror}") from error
    is_listening = passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if passed.family not in FAMILIES or passed.type != socket.SOCK_STREAM or not is_listening:
        passed.close()
        raise CasdError(f"systemd passed {name or descriptor}: casd wants ListenStream= of TCP or Unix, and Accept=no")
    passed.setblocking(False)
    return passed


class Notifier:
    """Tells systemd how the service stands. A service manager that cannot be told is logged, and never a failure."""

    def __init__(self, address: str | None) -> None:
        """`address` is NOTIFY_SOCKET: a path, or an abstract name behind an @."""
        self._address = address or None

    @property
    def is_heard(self) -> bool:
        return self._address is not None

    def ready(self, status: str) -> None:
        """The start, or a reload, is over."""
        self.tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        # Type=notify-reload (systemd 253) wants to know which reload this is; older ones leave the second line aside.
        self.tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, deadline_s: float, status: str) -> None:
        """Requests in flight get `deadline_s`, whatever TimeoutStopSec= says."""
        self.tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={usec(deadline_s + EXTENSION_S)}", f"STATUS={status}")

    def alive(self) -> None:
        self.tell("WATCHDOG=1")

    def tell(self, *lines: str) -> None:
        if self._address is None:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
                teller.settimeout(TELL_TIMEOUT_S)
                teller.connect(address)
                teller.send("\n".join(lines).encode())
        except OSError as error:
            log.warning("systemd cannot be told what=%s error=%s", lines[0], error)

    @contextlib.asynccontextmanager
    async def starting(self, status: str) -> AsyncIterator[None]:
        """While it lasts a start may take longer than TimeoutStartSec=: a large catalogue that is migrated does."""
        task = asyncio.create_task(self._extend(status)) if self.is_heard else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _extend(self, status: str) -> None:
        while True:
            self.tell(f"EXTEND_TIMEOUT_USEC={usec(EXTENSION_S)}", f"STATUS={status}")
            await asyncio.sleep(EXTENSION_S / 3)


def usec(seconds: float) -> int:
    return int(seconds * 1_000_000)


def watchdog_s(environment: MutableMapping[str, str]) -> float | None:
    """Seconds within which systemd wants a sign of life; None if it wants none of this process."""
    interval, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not interval.isdigit() or int(interval) == 0 or pid not in ("", str(os.getpid())):
        return None
    return int(interval) / 1_000_000
