"""Reading payloads whole, to prove them or to compute what is known of them; several side by side.

Blocking, for tools: nothing of a payload's size stands in memory, and Ctrl-C ends it within a read.
"""

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from casd.model import Digest, Receipt
from casd.payloads.hashing import PayloadHasher

READ_BYTES = 1 << 20
THREADS = 2  # SHA-512 runs at 0.7 GB/s in each; more would take the machine from its daemon
AHEAD = 64  # payloads handed out before the first of them has ended

T = TypeVar("T")
R = TypeVar("R")

Tell = Callable[[int], None]  # so many bytes were read or written; may raise to end the work


class Progress(Protocol):
    """What long work tells, from several threads, one at a time."""

    def expect(self, total_bytes: int) -> None:
        """So many bytes there will be in all."""

    def moved(self, count: int) -> None:
        """So many more are done."""


class Ended(Exception):
    """The work was ended from outside."""


def pieces(path: Path, tell: Tell) -> Iterator[bytes]:
    """The file's bytes. Raises OSError, also for what is no plain file."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while piece := os.read(file, READ_BYTES):
            yield piece
            tell(len(piece))
    finally:
        os.close(file)


def sha512_of(path: Path, tell: Tell) -> Digest:
    """The SHA-512 of a file. Raises OSError."""
    hasher = hashlib.sha512()
    for piece in pieces(path, tell):
        hasher.update(piece)
    return Digest(hasher.digest())


def receipt_of(path: Path, tell: Tell) -> Receipt:
    """Every checksum of a file. Raises OSError."""
    hasher = PayloadHasher()
    for piece in pieces(path, tell):
        hasher.update(piece)
    return hasher.receipt()


def side_by_side(
    work: Callable[[T, Tell], R], items: Iterable[T], moved: Callable[[int], None]
) -> Iterator[tuple[T, R]]:
    """Each item with what `work` returned for it, in order; `work` runs in THREADS threads.

    What `work` raises is raised here. Left early, it ends within a read. `moved` is called by one thread at a time.
    """
    is_over, lock = threading.Event(), threading.Lock()

    def tell(count: int) -> None:
        if is_over.is_set():
            raise Ended
        with lock:
            moved(count)

    waiting: deque[tuple[T, Future[R]]] = deque()
    with ThreadPoolExecutor(THREADS, "casd-proving") as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(work, item, tell)))
                if len(waiting) == AHEAD:
                    first, result = waiting.popleft()
                    yield first, result.result()
            while waiting:
                first, result = waiting.popleft()
                yield first, result.result()
        finally:
            is_over.set()
            pool.shutdown(cancel_futures=True)
