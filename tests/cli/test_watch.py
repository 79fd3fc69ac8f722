"""`casd status --watch` on a real terminal of 80 columns and 24 lines."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from typing import Any

from casd.cli.watching import moving
from tests.cli.conftest import RunInside


class At:
    """A status of that moment."""

    def __init__(self, uptime_s: float, requests: int, received: int, sent: int) -> None:
        self.uptime_s = uptime_s
        self.json = {"moved": {"requests": requests, "received_bytes": received, "sent_bytes": sent}}


def test_rates_are_of_the_time_between_two_looks() -> None:
    before, now = At(10, 100, 0, 1_000), At(12, 103, 4 << 20, 3_000)

    assert moving(before, now) == "1.5 requests, 2.0 MiB received, 1000 B sent"  # type: ignore[arg-type]
    assert moving(None, now) == "..."  # type: ignore[arg-type]
    assert moving(now, before) == "..."  # type: ignore[arg-type]  # it was restarted


def test_it_is_drawn_on_a_terminal_and_ends_with_ctrl_c(daemon: Any) -> None:
    terminal, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "casd", "status", "--watch"],
        stdin=side,
        stdout=side,
        stderr=side,
        env=daemon.env | {"TERM": "xterm"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(side)
    shown = ""
    try:
        while shown.count("requests,") < 2 or " sent" not in shown:
            shown += os.read(terminal, 65536).decode()
        process.send_signal(signal.SIGINT)
        while True:
            try:
                shown += os.read(terminal, 65536).decode()
            except OSError:  # the other side is closed
                break
    finally:
        os.close(terminal)
        code = process.wait(60)

    assert code == 0
    assert "Traceback" not in shown
    assert shown.rstrip().endswith("\x1b[?25h\x1b[?1049l")  # the cursor is back, the other screen gone
    last = shown.rpartition("\x1b[H")[2]
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", last).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("a second ") for line in lines)
    assert any("Ctrl-C ends" in line for line in lines)


def test_it_wants_a_terminal(inside: RunInside) -> None:
    assert inside("status", "--watch").code == 2
    assert inside("status", "--watch", "--json").code == 2
