"""Clients of all kinds go on while the daemon behind their address is reloaded, drained, restarted and killed.

The test holds the listening socket, as systemd does for casd.socket.
"""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.conftest import Daemon
from tests.daemon.conftest import PATIENCE_S, listening
from tests.daemon.load import KINDS, Book, under_load
from tests.web.wire import Raw, Wire, ask, stored, wait_until

NewDaemon = Callable[..., Daemon]


@pytest.fixture(params=["asyncio", "uvloop"])
def activated(request: pytest.FixtureRequest, new_daemon: NewDaemon, tmp_path: Path) -> Iterator[Daemon]:
    """A running daemon whose listening socket outlives it, with a configuration that can be changed."""
    file = tmp_path / "config.toml"
    file.write_text("")
    daemon = new_daemon(CASD_SERVER__EVENT_LOOP=request.param)
    daemon.arguments = ("--config", str(file))
    with listening() as passed:
        daemon.passed = {"casd.socket": passed}
        yield daemon.start()
        if daemon.process is not None and daemon.process.poll() is None:
            assert daemon.stop() == 0


def reload(daemon: Daemon, text: str) -> None:
    file = Path(daemon.arguments[1])
    draft = file.with_suffix(".new")
    draft.write_text(text)
    draft.replace(file)
    before = daemon.log.count(" reloaded ")
    os.kill(daemon.pid, signal.SIGHUP)
    wait_until(lambda: daemon.log.count(" reloaded ") > before, "it is reloaded")


def port_of(daemon: Daemon) -> int:
    port: int = daemon.passed["casd.socket"].getsockname()[1]
    return port


def assert_kept(daemon: Daemon, book: Book) -> None:
    """Everything that was acknowledged is there, byte for byte."""
    assert len(book.ledger) >= len(KINDS)
    with Wire(daemon) as wire:
        for digest, data in book.ledger.items():
            answer = wire.ask("GET", f"/v1/payloads/sha512/{digest}")
            assert (answer.status, answer.body == data) == (200, True)


def test_a_reload_fails_not_one_request(activated: Daemon) -> None:
    with under_load(port_of(activated), activated.token) as book:
        for number in range(5):
            book.wait_for_more(KINDS)
            reload(activated, f"[limits]\nmax_connections = {1000 + number}\n")
        book.wait_for_more(KINDS)

    assert book.troubles == {}
    assert_kept(activated, book)


@pytest.mark.slow
def test_a_restart_refuses_nobody_and_cuts_nobody(activated: Daemon) -> None:
    with under_load(port_of(activated), activated.token) as book:
        for _ in range(2):
            book.wait_for_more(KINDS)
            assert activated.stop() == 0
            activated.start()
        book.wait_for_more(KINDS)

    assert set(book.troubles) <= {"raced"}
    assert_kept(activated, book)


@pytest.mark.slow
def test_a_kill_refuses_nobody_and_loses_nothing_that_was_acknowledged(activated: Daemon) -> None:
    with under_load(port_of(activated), activated.token) as book:
        for _ in range(2):
            book.wait_for_more(KINDS)
            activated.kill()
            activated.start()
        book.wait_for_more(KINDS)

    assert "refused" not in book.troubles
    assert_kept(activated, book)


def test_transfers_that_the_deadline_cuts_go_on(activated: Daemon) -> None:
    """An upload and a download that nobody hurries, while the drain has no time for them."""
    data, sent = os.urandom(24 << 20), os.urandom(1 << 20)
    reload(activated, "[limits]\ndrain_timeout_s = 0.2\n")
    with Wire(activated) as wire:
        uuid = stored(wire, data).json["uuid"]
        upload = wire.ask("POST", "/v1/uploads", None, {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(sent))})
    path = str(upload["Location"])
    path = path[path.index("/v1/") :]
    secret = f"Authorization: Bearer {activated.token}"
    with connected(activated) as down, connected(activated) as up:
        down.send(f"GET /v1/blobs/{uuid}/data HTTP/1.1\r\nHost: x\r\n{secret}\r\n\r\n")
        status, headers = down.head()
        assert status == 200
        got = down.file.read(1 << 20)
        up.send(
            f"PATCH {path} HTTP/1.1\r\nHost: x\r\n{secret}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
            f"Content-Type: application/offset+octet-stream\r\nContent-Length: {len(sent)}\r\n\r\n"
        )
        up.send(sent[: len(sent) // 2])
        wait_until(lambda: any((activated.data / "incoming").iterdir()), "the upload is under way")

        assert activated.stop() == 0
        activated.start()

        with suppress(OSError):
            got += down.file.read()
    assert "drain deadline passed" in activated.log
    assert len(got) < len(data)
    ranged = {"Range": f"bytes={len(got)}-", "If-Range": str(headers["ETag"])}
    rest = ask(activated, "GET", f"/v1/blobs/{uuid}/data", headers=ranged)
    assert (rest.status, got + rest.body == data) == (206, True)
    tus = {"Tus-Resumable": "1.0.0"}
    offset = int(str(ask(activated, "HEAD", path, headers=tus)["Upload-Offset"]))
    chunk = tus | {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
    done = ask(activated, "PATCH", path, sent[offset:], chunk)
    assert done.status == 204
    assert ask(activated, "GET", f"/v1/blobs/{done['Casd-Blob']}/data").body == sent


def connected(daemon: Daemon) -> "closing[Raw]":
    return closing(Raw(socket.create_connection(("127.0.0.1", port_of(daemon)), PATIENCE_S)))
