"""What became of many files: a line each for who asks, JSON for programs, a sentence and an exit code at the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import click

from casd.cli import exits
from casd.cli.progress import Display
from casd.cli.text import counted, human_size, json_line, printable
from casd.cli.walking import LeftOut
from casd.errors import CasdError

if TYPE_CHECKING:
    from casd.client import Blob

Action = Literal["put", "get", "hide", "remove", "none"]  # hide a name, remove a file

_EXAMPLES = 3  # of what was left out
_TOLD = {  # done, to be done, what
    "put": ("stored", "store", "file"),
    "get": ("fetched", "fetch", "file"),
    "hide": ("hid", "hide", "name"),
    "remove": ("removed", "remove", "file"),
}


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one file or name, or would."""

    action: Action
    name: str | None = None
    path: str | None = None
    size: int | None = None
    version: int | None = None
    blob: Blob | None = None
    sha512: str | None = None
    was_there: bool = False  # nothing had to be sent, or fetched

    @property
    def json(self) -> dict[str, Any]:
        return {
            "action": self.action,
            "name": self.name,
            "path": self.path,
            "size": self.size,
            "version": self.version,
            "uuid": str(self.blob.uuid) if self.blob else None,
            "sha512": self.blob.digest.hex if self.blob else self.sha512,
            "already_there": self.was_there,
        }

    @property
    def line(self) -> str:
        size = human_size(self.size) if self.size is not None else ""
        at = f"@{self.version}" if self.version else ""
        called = f"{self.name}{at}" if self.name else f"{self.path}  {self.blob.uuid if self.blob else ''}"
        if self.action != "put" and self.path:
            called = self.path
        there = "  (was there already)" if self.was_there and self.action == "put" else ""
        return printable(f"{self.action:<6} {size:>9}  {called}{there}")


class Report:
    """Of one run of a command."""

    def __init__(
        self, display: Display, *, as_json: bool = False, has_lines: bool = False, is_dry: bool = False
    ) -> None:
        self._display = display
        self._as_json = as_json
        self._has_lines = has_lines or is_dry
        self._is_dry = is_dry
        self._counts: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._there = 0
        self._codes: set[int] = set()
        self._left_out: dict[str, list[str]] = {}
        self._left_out_counts: Counter[str] = Counter()

    @property
    def failures(self) -> int:
        return self._counts["failed"]

    @property
    def dealt_with(self) -> int:
        """How many files are as they are to be."""
        return self._counts.total() - self.failures

    def so_far(self, expected: int | None) -> str:
        """Where it was interrupted."""
        if expected is None:
            return f"{counted(self.dealt_with, 'file')} done"
        return f"{self.dealt_with} of {counted(expected, 'file')} done"

    def done(self, fate: Fate) -> None:
        self._counts[fate.action] += 1
        self._bytes[fate.action] += fate.size or 0
        self._there += fate.was_there and fate.action == "put"
        if self._as_json:
            state = "planned" if self._is_dry and fate.action != "none" else "done"
            self._display.say(json_line({**fate.json, "state": state}), err=False)
        elif self._has_lines and fate.action != "none":
            self._display.say(fate.line, err=False)

    def failed(self, error: CasdError | OSError, action: Action, name: str | None, path: str | None) -> None:
        """One file or name is not as it is to be; the others go on."""
        self._counts["failed"] += 1
        self._codes.add(exits.exit_code(error))
        said = exits.message(error)
        about = path if path is not None else name
        if about and about not in said:
            said = f"{about}: {said}"
        self._display.say(f"casd: {printable('; '.join([said, *exits.hints(error)]))}")
        if self._as_json:
            code = error.code if isinstance(error, CasdError) else "os-error"
            facts = {**Fate(action, name, path).json, "state": "failed", "error": {"code": code, "message": said}}
            self._display.say(json_line(facts), err=False)

    def left_out(self, what: LeftOut) -> None:
        """Not a failure: it has no place under a prefix."""
        self._left_out_counts[what.kind] += 1
        examples = self._left_out.setdefault(what.kind, [])
        if len(examples) < _EXAMPLES:
            examples.append(what.path)
        if self._as_json:
            self._display.say(json_line({**Fate("none", path=what.path).json, "state": "skipped"}), err=False)

    def close(self) -> int:
        """The last words, and the exit code."""
        for kind, examples in self._left_out.items():
            count = self._left_out_counts[kind]
            more = ", …" if count > len(examples) else ""
            hint = "; --follow-links takes what they lead to" if kind == "symbolic link" else ""
            listed = printable(", ".join(examples))
            click.echo(f"casd: left out {counted(count, kind)} ({listed}{more}){hint}", err=True)
        if not self._as_json:
            click.echo(self.sentence)
        if len(self._codes) > 1:
            return exits.FAILED
        return next(iter(self._codes), 0)

    @property
    def sentence(self) -> str:
        same = self._counts["none"]
        parts = [self._part(action) for action in _TOLD if self._counts[action]]
        if not parts and not self.failures:
            return f"nothing to do: {counted(same, 'file')} the same on both sides" if same else "no files"
        if self._is_dry and parts:
            parts[0] = f"would {parts[0]}"
        if same:
            parts.append(f"{same} the same already")
        if self.failures:
            parts.append(f"{self.failures} failed")
        return ", ".join(parts)

    def _part(self, action: str) -> str:
        done, to_do, noun = _TOLD[action]
        said = f"{to_do if self._is_dry else done} {counted(self._counts[action], noun)}"
        if action not in ("put", "get"):
            return said
        there = f", {self._there} of them without sending a byte" if action == "put" and self._there else ""
        return f"{said} ({human_size(self._bytes[action])}{there})"
