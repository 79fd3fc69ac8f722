"""The line that each request leaves: its facts are those of `casd help logs`, and who was slow is told."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp.test_utils import make_mocked_request

from casd.cli.topics import TEXTS
from casd.web import request_log
from casd.web.keys import BODY_AWAITED_S, HEAD_AT, Ending
from casd.web.traffic import ConnectionLimits, Traffic
from tests.conftest import Daemon, skip_loudly
from tests.web.wire import Wire, ask, head, raw, stored, wait_until

TEXT = (TEXTS / "logs.md").read_text()
ALWAYS = {"time", "level", "logger", "event"}
NewDaemon = Callable[..., Daemon]


def documented() -> set[str]:
    table = re.findall(r"(?m)^    ([a-z_]+(?:, [a-z_]+)*)  ", TEXT)
    return {name for names in table for name in names.split(", ")}


def line_of(daemon: Daemon, request: str) -> dict[str, Any]:
    """The JSON line of that request."""

    def found() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in daemon.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == "request" and line["request"] == request]

    wait_until(found, f"{request} is in the log")
    (line,) = found()
    return line


@pytest.fixture
def told(new_daemon: NewDaemon) -> Daemon:
    """A daemon that logs JSON."""
    return new_daemon(CASD_LOG__FORMAT="json").start()


def test_a_line_has_the_facts_that_are_documented(told: Daemon) -> None:
    with Wire(told) as wire:
        uuid = stored(wire, bytes(1000), X_Request_ID="one").json["uuid"]
        wire.ask("GET", f"/v1/blobs/{uuid}/data?x=secret", headers={"Range": "bytes=0-9", "X-Request-ID": "two"})

    one, two = line_of(told, "one"), line_of(told, "two")

    assert one.keys() == two.keys() == documented() | ALWAYS
    assert {name: two[name] for name in documented() - {"duration_ms", "response_ms", "sent_bytes", "path"}} == {
        "request": "two",
        "address": "127.0.0.1",
        "dialect": "native",
        "principal": "admin",
        "method": "GET",
        "route": "/v1/blobs/{uuid}/data",
        "range": "bytes=0-9",
        "status": 206,
        "ending": "answered",
        "received_bytes": 0,
        "slow": False,
    }
    assert (one["received_bytes"], one["status"], one["level"]) == (1000, 201, "info")
    assert 0 < one["response_ms"] <= one["duration_ms"]
    assert "secret" not in told.log


def test_a_slow_request_is_a_warning(new_daemon: NewDaemon) -> None:
    daemon = new_daemon(CASD_LOG__FORMAT="json", CASD_LOG__SLOW_REQUEST_S="1e-9", CASD_LOG__LEVEL="warning").start()
    with Wire(daemon) as wire:
        wire.ask("GET", "/v1/blobs", headers={"X-Request-ID": "slow"})

    line = line_of(daemon, "slow")

    assert (line["slow"], line["level"]) == (True, "warning")


@pytest.mark.parametrize(
    ("awaited_s", "body", "took_s", "is_slow"),
    [(0.0, 0, 10.0, True), (9.5, 0, 0.5, False), (0.0, 950_000_000, 10.0, False)],
)
def test_only_what_casd_itself_took_is_slow(
    caplog: pytest.LogCaptureFixture, awaited_s: float, body: int, took_s: float, is_slow: bool
) -> None:
    """Neither waiting for a body that comes slowly, nor hashing and writing a large one."""
    request = make_mocked_request("PUT", "/x", writer=Mock(output_size=0), payload=Mock(total_bytes=body))
    request[HEAD_AT], request[BODY_AWAITED_S] = 110.0, awaited_s
    traffic = Traffic(ConnectionLimits(1, 1, 0, 0, slow_request_s=1))

    with caplog.at_level("INFO"):
        request_log.told(request, traffic, 201, Ending.ANSWERED, 100.0)

    assert f" response_ms={took_s * 1000:.2f} slow={is_slow}" in caplog.text


def test_the_time_that_a_body_was_awaited_is_taken_off(told: Daemon) -> None:
    with raw(told) as connection:
        connection.send(head(told, "POST /v1/blobs", "Content-Length: 2", "X-Request-ID: late") + "x")
        ask(told, "GET", "/healthz")  # meanwhile others are served
        connection.send("y")
        assert connection.answer("POST").status == 201

    line = line_of(told, "late")

    assert line["response_ms"] < line["duration_ms"]


def test_the_one_liners_work(told: Daemon, tmp_path: Path) -> None:
    if shutil.which("jq") is None:
        skip_loudly("jq is not installed")
    with Wire(told) as wire:
        wire.ask("GET", "/v1/blobs", headers={"X-Request-ID": "4f0a"})
    line_of(told, "4f0a")
    (tmp_path / "casd.log").write_text(told.log)
    commands = [line.strip() for line in TEXT.splitlines() if "jq" in line]

    answers = [
        subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command.replace("journalctl -ocat -u casd", "cat casd.log")],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        for command in commands
    ]

    assert [(answer.returncode, answer.stderr) for answer in answers] == [(0, "")] * 5
    slow, failed, one, principals, total = (answer.stdout for answer in answers)
    assert (slow, failed) == ("", "")
    assert json.loads(one)["request"] == "4f0a"
    assert "admin" in principals
    assert int(total) > 100
