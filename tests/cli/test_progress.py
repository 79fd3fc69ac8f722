"""What is drawn while bytes move: on a terminal, of any width, and nowhere else."""

import asyncio
import io
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from casd.cli.progress import Display, Moving, _Drawn, display
from casd.client import Progress
from tests.cli.conftest import PATIENCE_S, Remote, Run
from tests.proxy import Fault, Proxy


@dataclass
class Terminal:
    """A run of `casd` whose standard error is a terminal, and what was drawn there."""

    process: subprocess.Popen[bytes]
    descriptor: int
    drawn: bytes = field(default=b"")

    @property
    def text(self) -> str:
        """What was drawn, without colours and movements."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.drawn.decode(errors="replace"))

    def shows(self, wanted: str) -> None:
        """Returns once that was drawn."""
        deadline = time.monotonic() + PATIENCE_S
        while wanted not in self.text:
            assert time.monotonic() < deadline, self.text
            assert self._read(), self.text

    def ends(self) -> int:
        while self._read():
            pass
        return self.process.wait(PATIENCE_S)

    def _read(self) -> bool:
        try:
            part = os.read(self.descriptor, 4096)
        except OSError:  # Linux tells so that the other side was closed
            return False
        self.drawn += part
        return bool(part)


@contextmanager
def on_terminal(arguments: list[str], environment: dict[str, str], folder: Path) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "casd", *arguments],
        cwd=folder,
        env={**environment, "TERM": "xterm", "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.fixture
def stalled(daemon: Any, remote: Remote, folder: Path) -> Iterator[Any]:
    """The environment of a user whose connections stall when they have sent a megabyte."""
    return lambda proxy: {**daemon.env, **remote(proxy.url)}


async def test_what_moves_is_drawn_and_ctrl_c_says_how_to_go_on(
    daemon: Any, stalled: Any, folder: Path, name: str
) -> None:
    (folder / "disk.img").write_bytes(os.urandom(3_000_000))

    def watch(environment: dict[str, str]) -> Terminal:
        with on_terminal(["put", "disk.img", name], environment, folder) as terminal:
            terminal.shows("disk.img")
            terminal.shows(" of 2.9 MiB")
            terminal.process.send_signal(signal.SIGINT)
            assert terminal.ends() == 130
        return terminal

    async with Proxy(daemon.url, *[Fault("stall", after=2_000_000, of="requests")] * 4) as proxy:
        terminal = await asyncio.to_thread(watch, stalled(proxy))

    last = terminal.text.rstrip().splitlines()[-1]
    assert "casd: interrupted; " in last
    assert last.endswith(f"go on with: casd put disk.img {shlex.quote(name)}")
    assert terminal.drawn.rindex(b"\x1b[?25h") > terminal.drawn.rindex(b"\x1b[?25l")  # the cursor is there again


async def test_of_many_files_the_total_is_drawn_and_those_that_take_their_time(
    daemon: Any, stalled: Any, folder: Path, name: str
) -> None:
    (folder / "many").mkdir()
    for number in range(20):
        (folder / "many" / f"small-{number}").write_bytes(b"%d" % number)
    (folder / "many/large").write_bytes(os.urandom(3_000_000))

    def watch(environment: dict[str, str]) -> Terminal:
        with on_terminal(["put", "-r", "many", name], environment, folder) as terminal:
            terminal.shows("20 of 21 files")
            terminal.shows(" of 2.9 MiB")
            terminal.shows("large")
            terminal.process.send_signal(signal.SIGINT)
            assert terminal.ends() == 130
        return terminal

    async with Proxy(daemon.url, *[Fault("stall", after=2_000_000, of="requests")] * 8) as proxy:
        terminal = await asyncio.to_thread(watch, stalled(proxy))

    assert "20 of 21 files done; go on with: casd put -r many" in terminal.text


async def test_nothing_is_drawn_elsewhere(casd: Run, folder: Path, data: bytes, name: str) -> None:
    (folder / "disk.img").write_bytes(data)

    assert (await casd("put", "disk.img", name)).err == ""
    assert (await casd("get", name, "out")).err == ""


# -- what it looks like --------------------------------------------------------------------------------------------


def drawn(width: int, *moving: Moving, counted: bool = False) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    shown = _Drawn(console)
    shown.moving.extend(moving)
    if counted:
        for each in moving:
            shown.expect(each.total or 0)
    console.print(shown.render())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return [line.rstrip() for line in text.splitlines()]


def moving(label: str, done: int = 0, total: int | None = None, step: Any = "moving") -> Moving:
    made = Moving(label)
    made.at(Progress(done, total, step=step))
    made.began_at -= 1
    return made


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_every_line_fits_with_room_for_a_ctrl_c(width: int) -> None:
    lines = drawn(width, moving("x" * 300, 1 << 20, 5 << 30), moving("日本" * 80, 5, None), counted=True)

    assert len(lines) == 3
    assert all(len(line) <= width - 3 for line in lines)
    assert all("of 5.0 GiB" in line for line in lines[:2])


def test_a_wide_terminal_has_bars() -> None:
    assert "━" in drawn(100, moving("disk.img", 5, 10))[0]
    assert "━" not in drawn(70, moving("disk.img", 5, 10))[0]


def test_a_name_can_tell_the_terminal_nothing() -> None:
    [line] = drawn(100, moving("a\x1b[2Jb[red]\n", 5, 10))

    assert "a\\x1b[2Jb[red]\\n" in line


def test_reading_is_told_apart_from_moving() -> None:
    assert "disk.img (reading)" in drawn(100, moving("disk.img", 5, 10, "reading"))[0]


def test_many_at_once_are_summed_up() -> None:
    lines = drawn(100, *[moving(f"{number}", 1, 2) for number in range(12)], counted=True)

    assert lines[0].startswith("0 of 12 files and more")
    assert lines[-1] == "and 4 more"


def test_an_empty_display_counts_and_speaks(capsys: pytest.CaptureFixture[str]) -> None:
    with display() as shown, shown.transfer("a"):
        shown.say("one")
        shown.say("two", err=False)

    assert type(shown) is Display
    assert capsys.readouterr() == ("two\n", "one\n")
