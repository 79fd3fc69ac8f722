"""How a command finds its daemon and its token, and runs what it has to say to it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from casd import finding

if TYPE_CHECKING:
    from casd.client import Client

T = TypeVar("T")


@dataclass(slots=True)
class Invocation:
    """One run of `casd`: what the group's own options said, and what its commands leave for its last words."""

    url: str | None = None
    data: Path | None = None
    kept: str | None = None  # what an interrupted transfer has left: the same command goes on from there

    def run(self, work: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        """What `work` returns, run on an event loop of its own with a connected client."""
        import asyncio

        from casd.client import Client

        address, token = self.daemon()

        async def connected() -> T:
            with _second_interrupt_ends_at_once():
                async with Client(address, token) as client:
                    return await work(client)

        return asyncio.run(connected())

    def daemon(self) -> tuple[str, str | None]:
        """The daemon's address and the token for it. Raises NoLocalDaemon."""
        found = finding.daemon(self.url, self.data)
        return found.url, found.token

    def data_folder(self) -> Path:
        return finding.data_folder(self.data)


@contextmanager
def _second_interrupt_ends_at_once() -> Iterator[None]:
    """The first Ctrl-C is asyncio's, which cancels what runs and waits for its end; one more does not wait."""
    first = signal.getsignal(signal.SIGINT)
    if not callable(first) or threading.current_thread() is not threading.main_thread():  # ignored, or not ours to have
        yield
        return

    def interrupted(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, _end_at_once)
        first(number, frame)  # type: ignore[arg-type]  # a frame or None, which mypy calls otherwise here

    signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is interrupted:
            signal.signal(signal.SIGINT, first)


def _end_at_once(number: int, frame: object) -> None:
    cursor = b"\x1b[?25h\r" if os.isatty(2) else b""  # a progress display hides it
    os.write(2, cursor + b"casd: interrupted twice; what has arrived is kept\n")
    os._exit(128 + number)


pass_invocation = click.make_pass_decorator(Invocation)
