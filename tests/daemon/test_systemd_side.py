"""What casd and systemd say to each other: sockets passed on, and how the daemon stands."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tests.conftest import Daemon, UnixConnection, skip_loudly
from tests.daemon.conftest import PATIENCE_S, Manager, listening
from tests.web.wire import Wire, ask, stored

NewDaemon = Callable[..., Daemon]


def status_at(connection: http.client.HTTPConnection, target: str = "/healthz") -> int:
    with closing(connection):
        connection.request("GET", target)
        return connection.getresponse().status


def at_port(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)


# -- what systemd is told -------------------------------------------------------------------------------------------


def test_systemd_hears_of_start_reload_and_stop(new_daemon: NewDaemon, manager: Manager) -> None:
    daemon = new_daemon(NOTIFY_SOCKET=manager.address, CASD_LIMITS__DRAIN_TIMEOUT_S="45").start()
    starting = manager.told()
    ready = manager.until("READY")
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    os.kill(daemon.pid, signal.SIGHUP)
    reloading, reloaded = manager.told(), manager.told()
    assert daemon.stop() == 0
    stopping = manager.told()

    assert int(starting["EXTEND_TIMEOUT_USEC"]) > 0
    assert ready["READY"] == "1"
    assert str(daemon.data) in ready["STATUS"]
    assert reloading["RELOADING"] == "1"
    assert before <= int(reloading["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert reloaded["READY"] == "1"
    assert stopping["STOPPING"] == "1"
    assert int(stopping["EXTEND_TIMEOUT_USEC"]) > 45_000_000


def test_it_is_ready_when_it_answers(new_daemon: NewDaemon, manager: Manager) -> None:
    passed = listening()
    daemon = new_daemon(NOTIFY_SOCKET=manager.address)
    daemon.passed = {"casd.socket": passed}
    with passed:
        daemon.start()
        manager.until("READY")

        assert status_at(at_port(passed.getsockname()[1]), "/readyz") == 200

        assert daemon.stop() == 0


def test_a_manager_that_is_gone_does_no_harm(new_daemon: NewDaemon, tmp_path: Path) -> None:
    daemon = new_daemon(NOTIFY_SOCKET=str(tmp_path / "nobody")).start()

    assert ask(daemon, "GET", "/healthz").status == 200
    assert daemon.stop() == 0
    assert "systemd cannot be told" in daemon.log
    assert "Traceback" not in daemon.log


# -- the sockets that it passes -------------------------------------------------------------------------------------


def test_it_listens_on_all_sockets_that_are_passed_and_on_no_other(new_daemon: NewDaemon, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening() as first, listening() as second, listening(socket.AF_UNIX, path) as third:
        daemon = new_daemon()
        daemon.passed = {"a": first, "b": second, "c": third}
        daemon.start()

        ports = [each.getsockname()[1] for each in (first, second)]
        assert [status_at(at_port(port)) for port in ports] == [200, 200]
        assert status_at(UnixConnection(str(path), PATIENCE_S)) == 200
        assert daemon.url == f"http://127.0.0.1:{ports[0]}"
        assert daemon.log.count(" listening ") == 3
        assert daemon.stop() == 0
        assert path.is_socket()  # systemd's to keep


def test_who_connects_while_no_daemon_runs_waits_for_the_next_one(new_daemon: NewDaemon) -> None:
    with listening() as passed:
        daemon = new_daemon()
        daemon.passed = {"casd.socket": passed}
        daemon.start()
        with Wire(daemon) as wire:
            uuid = stored(wire, b"kept").json["uuid"]
        token = daemon.token
        assert daemon.stop() == 0
        with closing(at_port(passed.getsockname()[1])) as early:
            early.request("GET", f"/v1/blobs/{uuid}/data", headers={"Authorization": f"Bearer {token}"})

            daemon.start()

            assert early.getresponse().read() == b"kept"
        assert daemon.stop() == 0


def test_sockets_for_another_process_are_left_alone(new_daemon: NewDaemon) -> None:
    daemon = new_daemon(LISTEN_PID="1", LISTEN_FDS="1").start()

    assert ask(daemon, "GET", "/healthz").status == 200
    assert daemon.stop() == 0


def test_a_socket_that_cannot_be_served_is_refused_by_its_name(tmp_path: Path, new_daemon: NewDaemon) -> None:
    daemon = new_daemon()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wrong:
        wrong.bind(str(tmp_path / "datagrams"))
        daemon.passed = {"casd.socket": wrong}
        try:
            daemon.start()
        except RuntimeError as error:
            said = str(error)

    assert "casd: systemd passed casd.socket: casd wants ListenStream= of TCP or Unix, and Accept=no" in said
    assert not daemon.data.exists()


def test_it_is_started_by_systemds_own_activation(tmp_path: Path) -> None:
    program = shutil.which("systemd-socket-activate")
    if program is None:
        skip_loudly("systemd-socket-activate is not installed")
    daemon = Daemon(tmp_path / "data")
    path = tmp_path / "activated"
    command = [program, f"--listen={path}", "--fdname=casd.socket"]
    for key, value in daemon.env.items():
        if key.startswith("CASD_") or key == "PATH":
            command.append(f"--setenv={key}={value}")
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([*command, sys.executable, "-m", "casd", "serve"], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not path.exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)  # the process gives no event; bounded by the deadline

        found = status_at(UnixConnection(str(path), PATIENCE_S))

        assert found == 200, (tmp_path / "log").read_text()
        assert (daemon.data / "address").read_text().strip() == f"unix://{path}"
    finally:
        process.terminate()
        assert process.wait(PATIENCE_S) == 0, (tmp_path / "log").read_text()
