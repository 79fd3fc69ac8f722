"""Waiting for a client: what its request holds meanwhile, and whether its transfer is fast enough to be waited for.

There is a minimum rate over a window, and no total deadline: a byte each minute is progress, but not of a transfer that
anybody wants to end. Only the time counts in which casd waits for its client: neither a slow disk nor a queue is the
client's fault.
"""

import fcntl
import struct
import termios
from dataclasses import dataclass

from aiohttp import web

from casd.fair import NOWHERE, Place

PLACE = web.RequestKey("place", Place)  # among those that go on, see `admission.py`


@dataclass(frozen=True, slots=True)
class Pace:
    """So many bytes a second, looked at each time a window has been waited through; 0 bytes: any pace will do."""

    bytes_per_s: float = 0.0
    window_s: float = 60.0


ANY_PACE = Pace()


@dataclass(slots=True)
class Progress:
    """What one transfer has moved in the window that it is in."""

    waited_s: float = 0.0
    moved: int = 0

    def is_too_slow(self, pace: Pace, waited_s: float, moved: int) -> bool:
        """Whether the window has passed with too little in it, now that `moved` bytes came of so long a wait."""
        self.waited_s += waited_s
        self.moved += moved
        if self.waited_s < pace.window_s:
            return False
        is_slow = self.moved < pace.bytes_per_s * self.waited_s
        self.waited_s, self.moved = 0.0, 0
        return is_slow


@dataclass(slots=True)
class Stall:
    """A client that is waited for to take what it was sent."""

    progress: Progress
    left: int  # bytes that it has not taken yet
    idle_s: float = 0.0  # since it took any

    def is_over(self, left: int, waited_s: float, idle_timeout_s: float, pace: Pace) -> bool:
        """Whether there is no use in waiting on, now that so many bytes are left after so long a wait."""
        moved = max(0, self.left - left)
        self.left = left
        self.idle_s = 0.0 if moved else self.idle_s + waited_s
        return self.idle_s >= idle_timeout_s or self.progress.is_too_slow(pace, waited_s, moved)


PROGRESS = web.RequestKey("progress", Progress)  # of the request's body


def place_of(request: web.BaseRequest) -> Place:
    place: Place = request.get(PLACE, NOWHERE)
    return place


def untaken_bytes(socket: int) -> int:
    """What the kernel holds of a socket's output, which its peer has not taken yet; 0 where it does not say.

    A socket counts as writable only when a third of its buffer is free: on a slow line that takes minutes, in which
    the peer takes bytes all the time.
    """
    try:
        (size,) = struct.unpack("i", fcntl.ioctl(socket, termios.TIOCOUTQ, b"\0\0\0\0"))
    except (OSError, ValueError):  # a socket that is closed has no number
        return 0
    return int(size)
