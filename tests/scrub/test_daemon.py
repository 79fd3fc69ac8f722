"""Scrub and repair as daemons do them: on request, by the timer, across restarts, from each other."""

import functools
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from casd.cli.group import main
from tests.conftest import Daemon
from tests.payloads.local_backend import path_of
from tests.scrub.conftest import MIB, some_data
from tests.web.test_quarantine import KINDS, spoil
from tests.web.wire import Wire, ask, wait_until

SIZES = (500, 2 * MIB + 7)
IDLE = {"CASD_UPKEEP__INTERVAL_S": "86400", "CASD_UPKEEP__GRACE_S": "0"}
NewDaemon = Callable[..., Daemon]


def file_of(daemon: Daemon, data: bytes) -> Path:
    return path_of(daemon.data, hashlib.sha512(data).hexdigest())


def stored(daemon: Daemon, *data: bytes) -> list[str]:
    """The bytes are stored; returns where each can be read."""
    with Wire(daemon) as wire:
        return [f"/v1/blobs/{wire.ask('POST', '/v1/blobs', each).json['uuid']}/data" for each in data]


def spoiled(daemon: Daemon) -> dict[str, bytes]:
    """Damage of every kind to payloads of both sizes: URLs, and what should be read there."""
    data = [(kind, some_data(size, size)) for size in SIZES for kind in KINDS]
    urls = stored(daemon, *(each for _, each in data))
    for kind, each in data:
        spoil(file_of(daemon, each), kind)
    return dict(zip(urls, (each for _, each in data), strict=True))


def reads_right(daemon: Daemon, urls: dict[str, bytes]) -> bool:
    with Wire(daemon) as wire:
        return all(wire.ask("GET", url).body == data for url, data in urls.items())


def run(daemon: Daemon, *arguments: str) -> Any:
    """`casd` as that daemon's operator types it."""
    return CliRunner().invoke(main, ["--data", str(daemon.data), *arguments], env=daemon.env)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A plain web server over a folder; Python's own, which knows no ranges."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sources(*tables: dict[str, str]) -> str:
    return json.dumps(tables)


@pytest.mark.parametrize("deep", ["", "?deep=1"])
def test_scrub_finds_all_damage_and_a_second_daemon_heals_it(new_daemon: NewDaemon, tmp_path: Path, deep: str) -> None:
    other = new_daemon(**IDLE).start()
    token = tmp_path / "token"
    token.write_text(other.token)
    settings = {"CASD_REPAIR__SOURCES": sources({"url": other.url, "token_file": str(token)})}
    daemon = new_daemon(**IDLE, **settings).start()
    urls = spoiled(daemon)
    stored(other, *urls.values())
    good = stored(daemon, b"good")[0]

    report = ask(daemon, "POST", f"/v1/upkeep/scrub{deep}").json
    last = ask(daemon, "GET", "/v1/status").json

    assert (report["damaged"], report["missing"]) == (len(urls) - len(SIZES), len(SIZES))
    assert report["repaired"] == len(urls) == len(report["findings"])
    assert report["payloads"] == len(urls) + 1
    assert reads_right(daemon, urls)
    assert ask(daemon, "GET", good).body == b"good"
    assert last["upkeep"]["scrub"]["report"] == report
    assert last["upkeep"]["repair"]["report"]["repaired"] == len(urls)
    assert last["totals"]["quarantined_payloads"] == 0
    assert ask(daemon, "POST", f"/v1/upkeep/scrub{deep}").json["findings"] == []
    assert other.token not in daemon.log + json.dumps([report, last])
    assert "Traceback" not in daemon.log
    assert (daemon.stop(), other.stop()) == (0, 0)


def test_a_folder_that_plain_http_serves_heals_what_it_has(new_daemon: NewDaemon) -> None:
    """A copy of the payloads folder, say; what it does not have stays damaged, and is healed by who stores it."""
    other = new_daemon(**IDLE).start()
    data = [some_data(size, size) for size in SIZES]
    stored(other, data[1])
    with served(other.data / "payloads") as url:
        daemon = new_daemon(**IDLE, CASD_REPAIR__SOURCES=sources({"url": url, "kind": "http"})).start()
        urls = stored(daemon, *data)
        for each in data:
            spoil(file_of(daemon, each), "zeroes")

        scrubbed = run(daemon, "scrub", "--deep")
        again = run(daemon, "repair", "--json")
    states = [ask(daemon, "GET", url.removesuffix("/data")).json["state"] for url in urls]
    stored(daemon, data[0])

    assert scrubbed.exit_code == 6, scrubbed.output
    assert "2 damaged, 1 repaired" in scrubbed.output
    assert again.exit_code == 6
    assert json.loads(again.stdout)["failed"] == 1
    assert states == ["error", "created"]
    assert reads_right(daemon, dict(zip(urls, data, strict=True)))


def test_what_is_due_is_scrubbed_and_repaired_by_the_timer(new_daemon: NewDaemon) -> None:
    other = new_daemon(**IDLE).start()
    data = some_data(SIZES[1])
    stored(other, data)
    with served(other.data / "payloads") as url:
        daemon = new_daemon(
            CASD_UPKEEP__INTERVAL_S="0.05",
            CASD_UPKEEP__SCRUB_DAYS="0.000001",  # a tenth of a second
            CASD_UPKEEP__SCRUB_BYTES_PER_S=str(1 << 40),
            CASD_REPAIR__SOURCES=sources({"url": url, "kind": "http"}),
        ).start()
        (blob,) = stored(daemon, data)
        spoil(file_of(daemon, data), "last byte")

        wait_until(lambda: "payload repaired" in daemon.log, "it is found and repaired")

        assert ask(daemon, "GET", blob).body == data
        assert daemon.stop() == 0


def test_a_scrub_ends_at_once_when_the_daemon_stops_and_goes_on_after_a_restart(new_daemon: NewDaemon) -> None:
    """At 64 MiB/s it would be done in no time; at 1 MiB/s it is stopped in the middle."""
    settings = {"CASD_UPKEEP__SCRUB_BYTES_PER_S": str(MIB), "CASD_UPKEEP__SCRUB_DAYS": "0.000001"}
    daemon = new_daemon(CASD_UPKEEP__INTERVAL_S="0.05", CASD_LIMITS__DRAIN_TIMEOUT_S="1", **settings).start()
    stored(daemon, *(some_data(MIB, seed) for seed in range(40)))

    def progress() -> int:
        run = ask(daemon, "GET", "/v1/status").json["upkeep"]["scrub"]
        return 0 if run is None or run["report"] is None else int(run["report"]["payloads"])

    wait_until(lambda: progress() > 1, "some are checked")
    oldest = ask(daemon, "GET", "/v1/status").json["scrub"]["oldest_checked_at"]
    assert daemon.stop() == 0
    daemon.settings["CASD_UPKEEP__SCRUB_BYTES_PER_S"] = str(1 << 40)
    daemon.start()

    wait_until(lambda: ask(daemon, "GET", "/v1/status").json["scrub"]["oldest_checked_at"] > oldest, "it goes on")
    assert "Traceback" not in daemon.log
    assert daemon.stop() == 0


def test_a_run_that_is_asked_for_is_not_held_up_by_one_that_the_timer_began(new_daemon: NewDaemon) -> None:
    settings = {"CASD_UPKEEP__SCRUB_BYTES_PER_S": str(4 * MIB), "CASD_UPKEEP__SCRUB_DAYS": "0.000001"}
    daemon = new_daemon(CASD_UPKEEP__INTERVAL_S="0.05", **settings).start()
    stored(daemon, *(some_data(MIB // 2, seed) for seed in range(8)))
    wait_until(lambda: ask(daemon, "GET", "/v1/status").json["upkeep"]["scrub"] is not None, "the timer has begun")

    report = ask(daemon, "POST", "/v1/upkeep/scrub").json

    assert (report["payloads"], report["whole"], report["damaged"]) == (8, True, 0)
    assert daemon.stop() == 0


def test_two_scrubs_at_once_are_one(new_daemon: NewDaemon) -> None:
    daemon = new_daemon(**IDLE, CASD_UPKEEP__SCRUB_BYTES_PER_S=str(4 * MIB)).start()
    stored(daemon, *(some_data(MIB, seed) for seed in range(3)))
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(daemon, "POST", "/v1/upkeep/scrub").json)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert daemon.log.count("scrubbed deep=") == 1
    assert answers == [answers[0]] * 3


def test_the_command_line_tells_what_scrub_and_repair_found(new_daemon: NewDaemon) -> None:
    daemon = new_daemon(**IDLE).start()
    data = some_data(500)
    stored(daemon, data)
    clean = run(daemon, "scrub")
    with Wire(daemon) as wire:
        assert wire.ask("PUT", "/v1/names/default/a/b", data).status == 201
    spoil(file_of(daemon, data), "first byte")
    dry = run(daemon, "scrub", "--dry-run")
    found = run(daemon, "scrub")
    again = run(daemon, "scrub")
    status = run(daemon, "status")
    hex = hashlib.sha512(data).hexdigest()
    failed = run(daemon, "repair", hex)
    unknown, wrong = run(daemon, "repair", "0" * 128), run(daemon, "repair", "x")
    stored(daemon, data)
    healed = run(daemon, "repair", hex)
    none = run(daemon, "repair")

    assert (clean.exit_code, clean.output) == (0, "1 payload, 500 B read; nothing wrong\n")
    assert (dry.exit_code, found.exit_code) == (6, 6)
    assert [line.strip() for line in found.output.splitlines()[:3]] == [
        f"damaged    payload {hex}",
        "blocks 0 to 1 of 1 MiB are not those of the list",
        "default/a/b version 1",
    ]
    assert found.output.splitlines()[:-1] == dry.output.splitlines()  # the last one tells of the quarantine
    assert again.exit_code == 6  # what is in quarantine is not read again, and yet nothing is well
    assert again.output.splitlines()[0] == "0 payloads, 0 B read; 1 known as damaged already"
    assert "last scrub" in status.output
    assert re.search(r"^damaged +1 payload", status.output, re.MULTILINE), status.output
    assert failed.exit_code == 6
    assert "no source is configured" in failed.output
    assert (unknown.exit_code, wrong.exit_code) == (3, 2)
    assert (healed.exit_code, healed.output) == (0, "1 payload: 0 repaired, 0 B, 1 were good\n")
    assert (none.exit_code, none.output) == (0, "nothing is damaged\n")
