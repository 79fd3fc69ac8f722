"""strace beside a running daemon: disk calls that fail on purpose, and a record of what was really called.

strace counts faults per thread, and the daemon's disk work wanders between threads. So a call fails for as long as the
block lasts, and a path says which side is hit.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.conftest import Daemon, skip_loudly

PATIENCE_S = 30.0
RECORDED = "fsync,fdatasync,ftruncate,link,linkat,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,openat"
RECORDED += ",pwrite64,sendto,sendmsg,write,writev"


def require_strace() -> None:
    """Skip where there is no strace, or nothing may be traced."""
    if obstacle := strace_obstacle():
        skip_loudly(obstacle)


@cache
def strace_obstacle() -> str:
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, text=True)
    return f"ptrace is not permitted here: {tried.stderr.strip()}" if tried.returncode else ""


@contextmanager
def failing(daemon: Daemon, calls: str, error: str, *paths: Path) -> Iterator[None]:
    """While it lasts, these system calls fail with `error` and do nothing: on these paths, or on any."""
    with meddling(daemon, [f"{calls}:error={error}"], *paths):
        yield


@contextmanager
def meddling(daemon: Daemon, faults: Sequence[str], *paths: Path) -> Iterator[None]:
    """The same for faults as strace writes them, among them delays (strace(1), Tampering)."""
    options = ["-e", "trace=" + ",".join(fault.partition(":")[0] for fault in faults)]
    for fault in faults:
        options += "-e", f"inject={fault}"
    for path in paths:
        options += "-P", str(path)
    with attached(daemon, *options, output=Path(os.devnull)):
        yield


@contextmanager
def recording(daemon: Daemon, output: Path) -> Iterator[list["Call"]]:
    """The calls that were made while it lasted; the list is filled at the end."""
    calls: list[Call] = []
    # -y names descriptors; 64 bytes of what is written show the head of an answer
    with attached(daemon, "-y", "-s", "64", "-e", f"trace={RECORDED}", output=output):
        yield calls
    calls += parse(output.read_text("utf-8", "replace"))


@contextmanager
def recording_bytes(daemon: Daemon, output: Path) -> Iterator[list["Call"]]:
    """The same, with each text in hexadecimal digits and all the bytes that are written: for little traffic."""
    calls: list[Call] = []
    with attached(daemon, "-y", "-xx", "-s", "1000000", "-e", f"trace={RECORDED}", output=output):
        yield calls
    calls += parse(output.read_text("ascii"))


@contextmanager
def attached(daemon: Daemon, *options: str, output: Path) -> Iterator[None]:
    with strace(daemon.pid, *options, output=output):
        yield


@contextmanager
def strace(pid: int, *options: str, output: Path) -> Iterator[None]:
    """Watch a process and all its threads from now on until the end of the block."""
    require_strace()
    command = ["strace", "-f", "-p", str(pid), "-o", str(output), *options]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    try:
        said = tracer.stderr.readline()
        while said.startswith("strace: Requested path"):  # how it reads a path that is given with -P
            said = tracer.stderr.readline()
        assert "attached" in said, said + tracer.stderr.read()
        yield
    finally:
        # strace ends by itself with the process; told to let go of one that is just dying, it can hang.
        if Path(f"/proc/{pid}").exists():
            tracer.send_signal(signal.SIGINT)
        try:
            tracer.communicate(timeout=PATIENCE_S)
        finally:
            tracer.kill()  # nothing is left behind, whatever went wrong


# -- kills at every moment ------------------------------------------------------------------------------------------

# Forks for each run, because an interpreter takes ten times as long to start as most of what is run takes to run.
NURSERY = """
import os, signal, sys
{prepare}
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
        {run}
        os._exit(0)
    os.waitpid(child, os.WUNTRACED)
    print(child, flush=True)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


class Nursery:
    """Runs a statement in one new process after the other, and kills it at the moment that is asked for."""

    def __init__(self, prepare: str, run: str) -> None:
        require_strace()
        script = NURSERY.format(prepare=prepare, run=run)
        self._parent = subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self) -> int:
        """The exit code of a run that nobody disturbs."""
        os.kill(self._next(), signal.SIGCONT)
        return self._line()

    def run_killed(self, calls: str, number: int) -> int:
        """The exit code of a run that is killed when it begins the `number`-th of such system calls."""
        child = self._next()
        with strace(child, "-e", f"inject={calls}:signal=KILL:when={number}", output=Path(os.devnull)):
            os.kill(child, signal.SIGCONT)
            return self._line()

    def _next(self) -> int:
        assert self._parent.stdin is not None
        self._parent.stdin.write("next\n")
        self._parent.stdin.flush()
        return self._line()

    def _line(self) -> int:
        assert self._parent.stdout is not None
        return int(self._parent.stdout.readline())

    def close(self) -> None:
        self._parent.communicate(timeout=PATIENCE_S)


# -- what a recording says ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """A system call: `began` and `ended` are lines of the record, so that one call before another can be told."""

    began: int
    ended: int
    name: str
    text: str  # arguments
    result: str

    @property
    def is_good(self) -> bool:
        return not self.result.startswith("-1")


_WHOLE = re.compile(r"(\d+) +(\w+)\((.*)\) += (.*)")
_BEGUN = re.compile(r"(\d+) +(\w+)\((.*?),? <(?:unfinished|detached) \.\.\.>")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (.*)")


def parse(record: str) -> list[Call]:
    """The calls in the order of their ends. A call that another thread interrupts stands in two lines.

    One that had not ended when the recording did comes last: the client can have an answer before its `send` returns.
    """
    calls = []
    open_calls: dict[str, tuple[int, str, str]] = {}
    lines = record.splitlines()
    for number, line in enumerate(lines):
        if begun := _BEGUN.fullmatch(line):
            open_calls[begun[1]] = number, begun[2], begun[3]
        elif resumed := _RESUMED.fullmatch(line):
            began, _, text = open_calls.pop(resumed[1], (number, "", ""))
            calls.append(Call(began, number, resumed[2], text + resumed[3], resumed[4]))
        elif whole := _WHOLE.fullmatch(line):
            calls.append(Call(number, number, whole[2], whole[3], whole[4]))
    calls += [Call(began, len(lines), name, text, "?") for began, name, text in open_calls.values()]
    return calls
