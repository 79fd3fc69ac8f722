"""How log records become lines: readable text for a terminal, one JSON object a line for everything else.

Code logs an event and then facts, `log.info("payload quarantined digest=%s size=%d", digest, size)`, and both kinds of
lines are made from that: the facts are found again in the message's template, so that their values may hold anything.
What comes from a client cannot forge a line or a fact: control characters are escaped, and in text a value with a
space in it is quoted.
"""

import functools
import json
import logging
import math
import os
import re
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

_TEMPLATE = re.compile(r"(?s)(.*?)((?: [A-Za-z_]\w*=%[-+#0 ]?\d*(?:\.\d+)?[a-zA-Z])*)\Z", re.ASCII)
_FACT = re.compile(r" (\w+)=(%[^a-zA-Z]*[a-zA-Z])", re.ASCII)
_PLACEHOLDER = re.compile(r"%[^%a-zA-Z]*[a-zA-Z]")
# What journald calls a line's priority (sd-daemon(3)); it takes the prefix off again.
_PRIORITY = {logging.INFO: "<6>", logging.WARNING: "<4>", logging.ERROR: "<3>", logging.CRITICAL: "<2>"}


def configure(stream: TextIO, wanted: str, level: str) -> None:
    """From now on every record of `level` and above is a line on `stream`, warnings and uncaught exceptions too.

    `wanted` is text, json or auto: text on a terminal, JSON otherwise.
    """
    is_text = wanted == "text" or (wanted == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Lines(text_lines if is_text else json_lines, is_journal(stream, os.environ)))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    # No line tells them, and finding them out for each record takes a third of a request's line (logging HOWTO,
    # "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    log = logging.getLogger(__name__)
    sys.excepthook = lambda *caught: log.critical("uncaught exception", exc_info=caught)
    threading.excepthook = lambda caught: log.error(
        "uncaught exception thread=%s",
        caught.thread.name if caught.thread else None,
        exc_info=(caught.exc_type, caught.exc_value or caught.exc_type(), caught.exc_traceback),
    )


def set_level(level: str) -> None:
    """From now on records of `level` and above are told."""
    logging.getLogger().setLevel(level.upper())


def is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether the stream goes to journald, and not to where a service's own redirection sent it (systemd.exec(5))."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


# -- records --------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=512)
def parsed(template: str) -> tuple[str, int, tuple[tuple[str, str], ...]]:
    """The event's own template, how many values it takes, and the facts behind it as name and format."""
    match = _TEMPLATE.fullmatch(template)
    assert match is not None  # the event may be anything
    event, facts = match.groups()
    return event, len(_PLACEHOLDER.findall(event.replace("%%", ""))), tuple(_FACT.findall(facts))


def taken_apart(record: logging.LogRecord) -> tuple[str, list[tuple[str, str, Any]]]:
    """The record's event, and its facts as name, format and value."""
    if not isinstance(record.msg, str) or not isinstance(record.args, tuple) or not record.args:
        return record.getMessage(), []
    template, count, facts = parsed(record.msg)
    own, values = record.args[:count], record.args[count:]
    if len(values) != len(facts):
        return record.getMessage(), []
    return template % own, [(name, form, value) for (name, form), value in zip(facts, values, strict=True)]


def moment(record: logging.LogRecord) -> str:
    """RFC 3339, UTC, microseconds."""
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def traceback(record: logging.LogRecord) -> str:
    """The record's traceback and stack; empty without either."""
    parts = [logging.Formatter().formatException(record.exc_info)] if record.exc_info and record.exc_info[0] else []
    return "\n".join([*parts, *([record.stack_info] if record.stack_info else [])])


class Lines(logging.Formatter):
    """Lines as `render` makes them of a record and its time; where journald reads, with priority instead of time."""

    def __init__(self, render: Callable[[logging.LogRecord, str | None], list[str]], is_for_journal: bool) -> None:
        super().__init__()
        self._render = render
        self._is_for_journal = is_for_journal

    def format(self, record: logging.LogRecord) -> str:
        if not self._is_for_journal:
            return "\n".join(self._render(record, moment(record)))
        prefix = _PRIORITY.get(record.levelno, "")
        return "\n".join(prefix + line for line in self._render(record, None))  # journald has the time already


# -- JSON -----------------------------------------------------------------------------------------------------------


def json_lines(record: logging.LogRecord, time: str | None) -> list[str]:
    """One object: time, level, logger, event, then the facts, and a traceback if there is one."""
    event, facts = taken_apart(record)
    found: dict[str, Any] = {
        **({} if time is None else {"time": time}),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": event,
    }
    for name, form, value in facts:
        found.setdefault(name, native(form, value))
    if trace := traceback(record):
        found["traceback"] = trace
    return [json.dumps(found)]  # ASCII: no character can end a line for anybody who reads it


def native(form: str, value: Any) -> object:
    """The value as JSON has it; a text where JSON has none."""
    if form[-1] in "feg" and isinstance(value, int | float) and math.isfinite(value):
        return float(form % value)
    if value is None or isinstance(value, int):  # a bool is one
        return value
    return form % (value,)


# -- text -----------------------------------------------------------------------------------------------------------


def text_lines(record: logging.LogRecord, time: str | None) -> list[str]:
    """`time LEVEL event fact=value …`, and a traceback in indented lines below."""
    event, facts = taken_apart(record)
    source = "" if record.name.startswith("casd") else f"{record.name}: "
    words = [*([] if time is None else [time]), f"{record.levelname:<7}", f"{source}{printable(event)}"]
    words += [f"{name}={plain(form, value)}" for name, form, value in facts]
    return [" ".join(words), *("    " + printable(line) for line in traceback(record).splitlines())]


def plain(form: str, value: Any) -> str:
    """The value as text that nothing else can be read into: quoted where a space or a quotation mark is in it."""
    text = "-" if value is None else form % (value,)
    if text and text.isprintable() and not any(sign in text for sign in ' "\\'):
        return text
    return printable(json.dumps(text, ensure_ascii=False))


def printable(text: str) -> str:
    """The text with everything escaped that would end a line, move a cursor, or turn the writing round."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
