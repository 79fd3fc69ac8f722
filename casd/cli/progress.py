"""A bar on standard error while bytes move, where that is a terminal. rich is imported only to draw one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import click

from casd.cli.text import printable
from casd.errors import CasdError

if TYPE_CHECKING:
    from rich.progress import Progress as Drawing
    from rich.progress import TaskID

    from casd.client import Progress


class Bar(Protocol):
    """What a transfer tells while it runs."""

    def expect(self, total: int | None) -> None:
        """So many bytes there will be; None where nobody knows."""

    def at(self, count: int) -> None:
        """So many there are."""

    def watch(self, progress: Progress) -> None:
        """A transfer of the client has come so far."""

    def retrying(self, error: CasdError, delay_s: float) -> None:
        """Something failed and is tried again."""


@contextmanager
def bar(label: str, *, drawn: bool = True) -> Iterator[Bar]:
    """A bar that is drawn on a terminal and silent elsewhere; failures are told in either case."""
    if not drawn or not sys.stderr.isatty():
        yield _Silent()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.progress import TransferSpeedColumn as Speed

    text = TextColumn("{task.description}", markup=False)  # a name may hold [brackets]
    columns = (text, BarColumn(), DownloadColumn(binary_units=True), Speed(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Drawn(progress, progress.add_task(printable(label), total=None))


class _Silent:
    def expect(self, total: int | None) -> None:
        pass

    def at(self, count: int) -> None:
        pass

    def watch(self, progress: Progress) -> None:
        pass

    def retrying(self, error: CasdError, delay_s: float) -> None:
        click.echo(_retrying(error, delay_s), err=True)


class _Drawn:
    def __init__(self, progress: Drawing, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def expect(self, total: int | None) -> None:
        self._progress.update(self._task, total=total)

    def at(self, count: int) -> None:
        self._progress.update(self._task, completed=count)

    def watch(self, progress: Progress) -> None:
        self.at(progress.done)

    def retrying(self, error: CasdError, delay_s: float) -> None:
        self._progress.console.print(_retrying(error, delay_s), markup=False, highlight=False)


def _retrying(error: CasdError, delay_s: float) -> str:
    return f"casd: {printable(str(error))}; trying again in {delay_s:.1f} s"
