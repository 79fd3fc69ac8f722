"""What moves, drawn on standard error while it does, where that is a terminal; silent elsewhere.

A transfer only writes numbers down. They are looked at ten times a second, in rich's thread: at a GB/s, drawing at each
piece cost a third of the time. rich is imported only to draw.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from casd.cli.text import counted, human_size, human_span, printable
from casd.errors import CasdError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from casd.client import Progress

LINES = 8  # of single transfers beside the total
WIDE = 80  # columns; in less, bars have no place beside names and numbers
_SETTLING_S = 0.4  # what is done sooner gets no line of its own: a thousand small files would flicker
_WINDOW_S = 5.0  # over which the speed is taken


class Moving:
    """One transfer."""

    def __init__(self, label: str) -> None:
        self.label = printable(label)
        self.began_at = time.monotonic()
        self.total: int | None = None
        self.done = 0
        self.skipped = 0
        self.is_reading = False

    def at(self, progress: Progress) -> None:
        """What the client tells."""
        self.total, self.done, self.skipped = progress.total, progress.done, progress.skipped
        self.is_reading = progress.step == "reading"

    def expect(self, total: int) -> None:
        """So many bytes there will be, from the start again."""
        self.total, self.done = total, 0

    def reach(self, done: int) -> None:
        """So many there are."""
        self.done = done

    @property
    def arrived(self) -> int:
        """Bytes that are where they are to be."""
        return 0 if self.is_reading else self.done


class Display:
    """What a command does now, and what it has done. Nobody watches this one: failures alone are told."""

    def __init__(self) -> None:
        self.moving: list[Moving] = []
        self.is_counting = False  # files, not one alone
        self.files = self.expected_files = 0
        self.done_bytes = self.expected_bytes = self.skipped_bytes = 0
        self.is_all_known = False

    @contextmanager
    def transfer(self, label: str, size: int = 0) -> Iterator[Moving]:
        """One transfer, for as long as it moves; one of those expected, if files are counted."""
        moving = Moving(label)
        self.moving.append(moving)
        try:
            yield moving
        finally:
            self.moving.remove(moving)
            self.files += 1
            self.done_bytes += size or moving.total or 0
            self.skipped_bytes += moving.skipped

    def expect(self, size: int) -> None:
        """One file more is to be looked at, with so many bytes to move perhaps."""
        self.is_counting = True
        self.expected_files += 1
        self.expected_bytes += size

    def say(self, line: str, *, err: bool = True) -> None:
        """A line for good, on standard error or standard output."""
        click.echo(line, err=err)

    def retrying(self, error: CasdError, delay_s: float) -> None:
        """Something failed and is tried again."""
        self.say(f"casd: {printable(str(error))}; trying again in {delay_s:.1f} s")


@contextmanager
def display(*, drawn: bool = True) -> Iterator[Display]:
    """Drawn on a terminal, and gone from it in the end."""
    if not drawn or not sys.stderr.isatty():
        yield Display()
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True, highlight=False)
    shown = _Drawn(console)
    # Not redirected: what goes to standard output may go to a file.
    with Live(
        get_renderable=shown.render,
        console=console,
        refresh_per_second=10,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ):
        yield shown


@contextmanager
def bar(label: str, *, drawn: bool = True) -> Iterator[Moving]:
    """One thing that moves, drawn as `display` does."""
    with display(drawn=drawn) as shown, shown.transfer(label) as moving:
        yield moving


class _Drawn(Display):
    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._seen: deque[tuple[float, int]] = deque()  # when, and how many bytes had moved

    def say(self, line: str, *, err: bool = True) -> None:
        if err or sys.stdout.isatty():  # the same terminal: above what is drawn
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            click.echo(line)

    def render(self) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        now = time.monotonic()
        # Not to the last column: the ^C that a terminal shows would begin a new line, and leave this one standing.
        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        table.width = self._console.width - 3
        for row in self._rows(now):
            cells = row if table.width > WIDE else (row[0], *row[2:])
            if not table.columns:
                table.add_column(ratio=1, min_width=12, no_wrap=True, overflow="ellipsis")
                for _ in cells[1:]:
                    table.add_column(justify="right", no_wrap=True)
            table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))  # no [markup] in names
        return table

    def _rows(self, now: float) -> Iterator[tuple[str, RenderableType, str, str]]:
        """What moves, a bar, how much of it, and how fast."""
        moving = list(self.moving)
        if self.is_counting:
            yield self._total(moving, now)
            moving = [each for each in moving if now - each.began_at > _SETTLING_S]
        for each in moving[:LINES]:
            label = f"{each.label} (reading)" if each.is_reading else each.label
            pace = "" if self.is_counting else self._pace(_left(each), _moved(each), now)
            yield label, _bar(each.done, each.total), _amount(each.done, each.total), pace
        if len(moving) > LINES:
            yield f"and {len(moving) - LINES} more", "", "", ""

    def _total(self, moving: list[Moving], now: float) -> tuple[str, RenderableType, str, str]:
        done = self.done_bytes + sum(each.arrived for each in moving)
        moved = self.done_bytes - self.skipped_bytes + sum(_moved(each) for each in moving)
        left = max(0, self.expected_bytes - done) if self.is_all_known else None
        label = f"{self.files} of {counted(self.expected_files, 'file')}{'' if self.is_all_known else ' and more'}"
        total = self.expected_bytes
        return label, _bar(done, total or None), _amount(done, total), self._pace(left, moved, now)

    def _pace(self, left: int | None, moved: int, now: float) -> str:
        """The speed of late, and how long the rest will take at that."""
        self._seen.append((now, moved))
        while now - self._seen[0][0] > _WINDOW_S:
            self._seen.popleft()
        (since, before) = self._seen[0]
        speed = (moved - before) / (now - since) if now > since else 0.0
        if speed < 1:
            return ""
        rest = f", {human_span(left / speed)} left" if left else ""
        return f"{human_size(int(speed))}/s{rest}"


def _bar(done: int, total: int | None) -> RenderableType:
    from rich.progress_bar import ProgressBar

    return ProgressBar(total or 1, done if total else 0, width=20, pulse=total is None)


def _amount(done: int, total: int | None) -> str:
    return human_size(done) if total is None else f"{human_size(done)} of {human_size(total)}"


def _moved(moving: Moving) -> int:
    return max(0, moving.arrived - moving.skipped)


def _left(moving: Moving) -> int | None:
    return None if moving.total is None or moving.is_reading else moving.total - moving.done
