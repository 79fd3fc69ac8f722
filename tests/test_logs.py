"""Log lines: facts come out as they went in, and nothing that a client sends can forge one."""

import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casd import logs

ROOT = Path(logs.__file__).parent
AT = datetime(2026, 11, 21, 5, 15, 51, 123456, tzinfo=UTC)


def record(message: str, *values: object, level: int = logging.INFO, name: str = "casd.store", **more: Any) -> Any:
    made = logging.LogRecord(name, level, "file.py", 1, message, values, None)
    made.created = AT.timestamp()
    vars(made).update(more)
    return made


def lines_of(render: Callable[[logging.LogRecord, str | None], list[str]], told: logging.LogRecord) -> list[str]:
    return render(told, logs.moment(told))


def as_json(*arguments: Any, **more: Any) -> dict[str, Any]:
    (line,) = lines_of(logs.json_lines, record(*arguments, **more))
    assert line.isascii()
    found: dict[str, Any] = json.loads(line, parse_constant=pytest.fail)
    return found


def as_text(*arguments: Any, **more: Any) -> str:
    (line,) = lines_of(logs.text_lines, record(*arguments, **more))
    return line


# -- facts ----------------------------------------------------------------------------------------------------------


def test_a_record_is_one_object_with_its_facts_as_fields() -> None:
    found = as_json("payload quarantined digest=%s size=%d took_ms=%.2f", "ab12", 10, 1.23456, level=logging.WARNING)

    assert list(found.items()) == [
        ("time", "2026-11-21T05:15:51.123456Z"),
        ("level", "warning"),
        ("logger", "casd.store"),
        ("event", "payload quarantined"),
        ("digest", "ab12"),
        ("size", 10),
        ("took_ms", 1.23),
    ]


def test_a_record_is_a_line_that_people_read() -> None:
    line = as_text("payload quarantined digest=%s size=%d took_ms=%.2f", "ab12", 10, 1.23456, level=logging.WARNING)

    assert line == "2026-11-21T05:15:51.123456Z WARNING payload quarantined digest=ab12 size=10 took_ms=1.23"


@pytest.mark.parametrize(
    ("message", "values", "event", "facts"),
    [
        ("stopping", (), "stopping", {}),
        ("100 % done", (), "100 % done", {}),
        ("refused: %s (try again)", ("full",), "refused: full (try again)", {}),
        ("%s of %s failed error=%s", (1, 2, "x y"), "1 of 2 failed", {"error": "x y"}),
        ("100 %% of %s done size=%d", ("it", 5), "100 % of it done", {"size": 5}),
        ("a=%s in the middle b=%s", (1, 2), "a=1 in the middle", {"b": 2}),
        ("%(a)s", ({"a": 1},), "1", {}),
        ("event a=%s b=%s c=%s d=%r", (None, True, 1.5, "x"), "event", {"a": None, "b": True, "c": "1.5", "d": "'x'"}),
        ("event a=%.1f b=%.1f", (float("nan"), float("inf")), "event", {"a": "nan", "b": "inf"}),
        ("event level=%s", ("mine",), "event", {}),  # what every line has is not taken over by a fact
    ],
)
def test_events_and_facts_are_told_apart(
    message: str, values: tuple[object, ...], event: str, facts: dict[str, object]
) -> None:
    found = as_json(message, *values)

    assert found.pop("event") == event
    assert found.pop("level") == "info"
    del found["time"], found["logger"]
    assert found == facts


@given(st.text())
def test_a_value_comes_back_as_it_was(value: str) -> None:
    assert as_json("event path=%s size=%d", value, 5) == as_json("event", name="casd.store") | {
        "path": value,
        "size": 5,
    }


# -- forging --------------------------------------------------------------------------------------------------------

EVIL = [
    "x\n2026-11-21T05:15:51.123456Z ERROR   forged",
    "x\r\nforged",
    "\x1b[2J\x1b[1;31mforged",
    "x\u2028forged",
    "x\x85forged",
    "\u202eforged",
    "\udcff",
    "a status=200",
    'a" status="200',
    "\\n",
    "",
    "\x00",
]


@pytest.mark.parametrize("value", EVIL)
def test_no_value_forges_a_line_or_a_fact(value: str) -> None:
    line = as_text("request path=%s status=%d", value, 404)

    assert line.isprintable()
    head, _, rest = line.partition(" path=")
    assert head == "2026-11-21T05:15:51.123456Z INFO    request"
    quoted = re.fullmatch(r'("(?:[^"\\]|\\.)*"|[^ "\\]+) status=404', rest)
    assert quoted
    assert as_json("request path=%s status=%d", value, 404)["path"] == value


@given(st.text())
def test_no_text_at_all_makes_two_lines(value: str) -> None:
    assert as_text("request path=%s", value).isprintable()
    assert as_text(value).isprintable()


def test_an_event_of_others_is_escaped_and_says_whose_it_is() -> None:
    line = as_text("Task exception was never retrieved\nfuture: <Task>", name="asyncio")

    assert line == "2026-11-21T05:15:51.123456Z INFO    asyncio: Task exception was never retrieved\\nfuture: <Task>"


# -- tracebacks -----------------------------------------------------------------------------------------------------


def caught() -> Any:
    try:
        raise ValueError("first\n2026-11-21T05:15:51.123456Z ERROR   forged\x1b[2J")
    except ValueError:
        return sys.exc_info()


def test_a_traceback_is_a_field_of_its_record() -> None:
    found = as_json("unexpected error request=%s", "ab12", level=logging.ERROR, exc_info=caught())

    assert (found["event"], found["request"]) == ("unexpected error", "ab12")
    assert found["traceback"].startswith("Traceback (most recent call last):\n")
    assert "ValueError: first\n" in found["traceback"]


def test_a_traceback_is_indented_below_its_line_and_forges_none() -> None:
    first, *others = lines_of(logs.text_lines, record("unexpected error", level=logging.ERROR, exc_info=caught()))

    assert first == "2026-11-21T05:15:51.123456Z ERROR   unexpected error"
    assert others[0] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") and line.isprintable() for line in others)


def test_an_exception_that_is_none_leaves_no_traceback() -> None:
    assert "traceback" not in as_json("event", exc_info=(None, None, None))


# -- where lines go -------------------------------------------------------------------------------------------------


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger and hooks as they were, afterwards."""
    logger = logging.getLogger()
    before = logger.handlers[:], logger.level, sys.excepthook, threading.excepthook
    switches = {
        name: getattr(logging, name) for name in ("_srcfile", "logThreads", "logProcesses", "logMultiprocessing")
    }
    yield logger
    vars(logging).update(switches)
    logging.captureWarnings(False)
    logger.handlers[:], level, sys.excepthook, threading.excepthook = before
    logger.setLevel(level)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "wanted", "is_json"),
    [
        (Terminal, "auto", False),
        (io.StringIO, "auto", True),
        (Terminal, "json", True),
        (io.StringIO, "text", False),
    ],
)
def test_a_terminal_gets_text_and_everything_else_json_unless_told_otherwise(
    root: logging.Logger, stream: Callable[[], io.StringIO], wanted: str, is_json: bool
) -> None:
    opened = stream()
    logs.configure(opened, wanted, "info")

    logging.getLogger("casd.x").info("event size=%d", 5)

    assert opened.getvalue().startswith("{") == is_json
    assert opened.getvalue().endswith("}\n" if is_json else " event size=5\n")


def test_what_is_below_the_level_is_not_written(root: logging.Logger) -> None:
    opened = io.StringIO()
    logs.configure(opened, "text", "warning")

    logging.getLogger("casd.x").info("left out")
    logging.getLogger("casd.x").warning("written")

    assert "left out" not in opened.getvalue()
    assert "written" in opened.getvalue()


def test_warnings_and_what_nobody_caught_are_lines_too(root: logging.Logger) -> None:
    opened = io.StringIO()
    logs.configure(opened, "json", "info")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("a warning\nof two lines", stacklevel=1)
    thread = threading.Thread(target=lambda: [][0], name="casd-cold")
    thread.start()
    thread.join()
    sys.excepthook(*caught())

    lines = [json.loads(line) for line in opened.getvalue().splitlines()]
    assert [line["level"] for line in lines] == ["warning", "error", "critical"]
    assert "a warning" in lines[0]["event"]
    assert (lines[1]["thread"], "IndexError" in lines[1]["traceback"]) == ("casd-cold", True)
    assert "ValueError" in lines[2]["traceback"]


def test_journald_is_told_the_priority_of_each_line_and_nobody_else(tmp_path: Path) -> None:
    """As systemd starts a service: stderr is a socket or a file that JOURNAL_STREAM names by device and inode."""
    code = (
        "import logging, sys; from casd import logs; logs.configure(sys.stderr, sys.argv[1], 'info')\n"
        "try: [][0]\n"
        "except IndexError: logging.getLogger('casd').exception('failed')\n"
        "logging.getLogger('casd').info('fine')"
    )

    def lines(form: str, stream: str | None) -> list[str]:
        with (tmp_path / "stderr").open("w") as file:
            found = os.fstat(file.fileno())
            named = f"{found.st_dev}:{found.st_ino}" if stream is None else stream
            environment = {**os.environ, "JOURNAL_STREAM": named}
            subprocess.run([sys.executable, "-c", code, form], stderr=file, env=environment, check=True)
        return (tmp_path / "stderr").read_text().splitlines()

    text, plain, (error, info) = lines("text", None), lines("text", "1:2"), lines("json", None)

    assert all(line.startswith("<3>") for line in text[:-1])
    assert text[-1].startswith("<6>")
    assert not any(line.startswith("<") for line in plain)
    assert text[-1] == "<6>INFO    fine"  # journald has the time
    assert json.loads(info.removeprefix("<6>")).keys() == {"level", "logger", "event"}
    assert json.loads(error.removeprefix("<3>"))["event"] == "failed"
    assert json.loads(info.removeprefix("<6>"))["event"] == "fine"


# -- what the code says ---------------------------------------------------------------------------------------------


def test_no_fact_in_the_code_has_the_name_of_what_every_line_has() -> None:
    calls = re.findall(
        r"log\.(?:info|warning|error|exception)\(\s*((?:f?\"[^\"]*\"\s*)+)",
        "\n".join(path.read_text() for path in sorted(ROOT.rglob("*.py"))),
    )
    names = {name for call in calls for name in re.findall(r"(\w+)=%", call)}

    assert len(calls) > 15
    assert names.isdisjoint({"time", "level", "logger", "event", "traceback"})
