"""System calls of the payload store: recorded in their order, made to fail, or held up."""

import errno
import fnmatch
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

WATCHED = (
    "fsync",
    "fdatasync",
    "replace",
    "mkdir",
    "rmdir",
    "pwrite",
    "pread",
    "preadv",
    "ftruncate",
    "unlink",
    "link",
)
PATIENCE_S = 30  # for a thread to come to a point that it always comes to


@dataclass
class Plan:
    """What happens to the next call that fits."""

    call: str
    path: str  # a pattern; for `replace` and `link` of the target
    error: int | None = None
    reached: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> None:
        """Return when the call is under way. For `asyncio.to_thread`."""
        assert self.reached.wait(PATIENCE_S), f"{self.call} of {self.path} never came"


class DiskSpy:
    """Stands before the functions of `os`; what it does not make fail goes through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self._root = root.resolve()
        self._plans: list[Plan] = []
        self.calls: list[tuple[str, str]] = []  # name and path, relative to the root
        for name in WATCHED:
            monkeypatch.setattr(os, name, self._spying(name, getattr(os, name)))

    def fail(self, call: str, path: str = "*", error: int = errno.EIO) -> None:
        """The next such call fails and does nothing."""
        self.hold(call, path, error).go_on.set()

    def hold(self, call: str, path: str = "*", error: int | None = None) -> Plan:
        """The next such call waits until it may go on, and then works or fails."""
        plan = Plan(call, path, error)
        self._plans.append(plan)
        return plan

    def named(self, *names: str) -> list[tuple[str, str]]:
        """The calls of those names, in their order."""
        return [call for call in self.calls if call[0] in names]

    def _spying(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def spy(subject: Any, *args: Any, **more: Any) -> Any:
            path = self._path_of(args[0] if name in ("replace", "link") else subject)
            if path is None:
                return real(subject, *args, **more)
            self.calls.append((name, path))
            plan = next((plan for plan in self._plans if plan.call == name and fnmatch.fnmatch(path, plan.path)), None)
            if plan is not None:
                self._plans.remove(plan)
                plan.reached.set()
                assert plan.go_on.wait(PATIENCE_S), f"{name} of {path} was never let go"
                if plan.error is not None:
                    raise OSError(plan.error, os.strerror(plan.error), path)
            return real(subject, *args, **more)

        return spy

    def _path_of(self, subject: Any) -> str | None:
        """Relative to the root, which is "."; its parent is ".."; None for what lies elsewhere."""
        text = os.readlink(f"/proc/self/fd/{subject}") if isinstance(subject, int) else os.fspath(subject)
        path = os.path.relpath(text, self._root)
        return None if path.startswith("../") else path
