"""Where the daemon listens: TCP, TLS and Unix sockets, one or all of them, and how clients find it there."""

import json
import os
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from tests.conftest import Daemon, UnixConnection, skip_loudly
from tests.daemon.conftest import PATIENCE_S, Certificate, listening
from tests.web.wire import Raw, Wire, ask, stored, wait_until

NewDaemon = Callable[..., Daemon]


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> dict[str, str]:
    return {"CASD_SERVER__EVENT_LOOP": request.param}


def curl(*arguments: str) -> str:
    if shutil.which("curl") is None:
        skip_loudly("curl is not installed")
    ran = subprocess.run(["curl", "-sS", "--fail", *arguments], capture_output=True, text=True, timeout=PATIENCE_S)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def casd(daemon: Daemon, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line as somebody runs it who was told nothing but what stands in the environment."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("CASD_")}
    return subprocess.run(
        [sys.executable, "-m", "casd", *arguments],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def refusal(daemon: Daemon) -> str:
    with pytest.raises(RuntimeError) as caught:
        daemon.start()
    return str(caught.value)


# -- Unix sockets ---------------------------------------------------------------------------------------------------


def test_a_unix_socket_is_served_beside_tcp(new_daemon: NewDaemon, tmp_path: Path, loop: dict[str, str]) -> None:
    path = tmp_path / "s"
    daemon = new_daemon(CASD_SERVER__UNIX_SOCKET=str(path), CASD_SERVER__UNIX_SOCKET_MODE="0640", **loop).start()
    token = f"Authorization: Bearer {daemon.token}"
    file = tmp_path / "file"
    file.write_bytes(os.urandom(3 << 20))

    assert daemon.url.startswith("http://127.0.0.1:")
    assert json.loads(curl(f"{daemon.url}/healthz")) == {"status": "ok"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    curl("--unix-socket", str(path), "-H", token, "-T", str(file), "http://localhost/v1/names/default/x")
    ran = casd(daemon, "get", "x", str(tmp_path / "copy"), CASD_URL=f"unix://{path}", CASD_TOKEN=daemon.token)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "copy").read_bytes() == file.read_bytes()
    ran = casd(daemon, "put", str(file), "y", CASD_URL=f"unix://{path}", CASD_TOKEN=daemon.token)
    assert ran.returncode == 0, ran.stderr
    assert daemon.stop() == 0
    assert not path.exists()


def test_without_tcp_the_command_line_finds_the_unix_socket(new_daemon: NewDaemon, tmp_path: Path) -> None:
    path = tmp_path / "s"
    daemon = new_daemon(CASD_SERVER__UNIX_SOCKET=str(path), CASD_SERVER__TCP="false").start()

    ran = casd(daemon, "--data", str(daemon.data), "status", "--json")

    assert ran.returncode == 0, ran.stderr
    assert daemon.url == f"unix://{path}"
    assert daemon.stop() == 0


def test_a_socket_that_a_killed_daemon_left_is_replaced(new_daemon: NewDaemon, tmp_path: Path) -> None:
    path = tmp_path / "s"
    daemon = new_daemon(CASD_SERVER__UNIX_SOCKET=str(path), CASD_SERVER__TCP="false").start()
    daemon.kill()
    assert path.is_socket()

    daemon.start()

    assert ask(daemon, "GET", "/healthz").status == 200
    assert daemon.stop() == 0


def test_a_socket_that_somebody_listens_on_is_not_taken_away(new_daemon: NewDaemon, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening(socket.AF_UNIX, path):
        said = refusal(new_daemon(CASD_SERVER__UNIX_SOCKET=str(path)))

    assert f"cannot listen on {path}: another process does" in said
    assert path.is_socket()


def test_a_file_at_the_sockets_path_is_left_alone(new_daemon: NewDaemon, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")

    said = refusal(new_daemon(CASD_SERVER__UNIX_SOCKET=str(path)))

    assert f"cannot listen on {path}: there is a file that is no socket" in said
    assert path.read_text() == "data"


def test_a_path_that_is_too_long_is_refused(new_daemon: NewDaemon, tmp_path: Path) -> None:
    path = tmp_path / ("x" * 120)

    assert f"cannot listen on {path}: AF_UNIX path too long" in refusal(new_daemon(CASD_SERVER__UNIX_SOCKET=str(path)))


def test_there_is_something_to_listen_on(new_daemon: NewDaemon) -> None:
    assert "nothing to listen on" in refusal(new_daemon(CASD_SERVER__TCP="false"))


def test_who_is_refused_does_not_hear_of_descriptors(new_daemon: NewDaemon) -> None:
    daemon = new_daemon(CASD_SERVER__TCP="false", CASD_LIMITS__MAX_CONNECTIONS="100000000")

    assert "descriptors" not in refusal(daemon)


# -- TLS ------------------------------------------------------------------------------------------------------------


def tls_port(daemon: Daemon) -> int:
    (found,) = [line for line in daemon.log.splitlines() if "listening address=https://" in line][-1:]
    return int(found.partition("https://127.0.0.1:")[2].split()[0])


def secure(certificate: Certificate, port: int) -> HTTPSConnection:
    trust = ssl.create_default_context(cafile=str(certificate.cert))
    return HTTPSConnection("127.0.0.1", port, timeout=PATIENCE_S, context=trust)


def test_it_speaks_tls_and_this_machine_finds_it_all_the_same(
    new_daemon: NewDaemon, certificate: Certificate, tmp_path: Path, loop: dict[str, str]
) -> None:
    daemon = new_daemon(**certificate.settings, **loop).start()
    url = f"https://127.0.0.1:{tls_port(daemon)}"
    file = tmp_path / "file"
    file.write_bytes(os.urandom(3 << 20))
    token = f"Authorization: Bearer {daemon.token}"

    curl("--cacert", str(certificate.cert), "-H", token, "-T", str(file), f"{url}/v1/names/default/x")
    ran = casd(daemon, "--data", str(daemon.data), "get", "x", str(tmp_path / "here"))
    assert ran.returncode == 0, ran.stderr
    trusting = {"CASD_URL": url, "CASD_TOKEN": daemon.token, "CASD_CA_FILE": str(certificate.cert)}
    ran = casd(daemon, "get", "x", str(tmp_path / "there"), **trusting)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "here").read_bytes() == (tmp_path / "there").read_bytes() == file.read_bytes()
    ran = casd(daemon, "get", "x", str(tmp_path / "not"), CASD_URL=url, CASD_TOKEN=daemon.token)
    assert ran.returncode != 0
    assert "certificate" in ran.stderr
    assert daemon.stop() == 0
    assert not (daemon.data / "socket").exists()


def test_a_file_of_no_certificates_is_named(certificate: Certificate, new_daemon: NewDaemon) -> None:
    said = casd(new_daemon(), "ls", CASD_URL="https://127.0.0.1:1", CASD_TOKEN="x", CASD_CA_FILE="/etc/hostname")

    assert "CASD_CA_FILE: /etc/hostname holds no certificates" in said.stderr


def test_who_speaks_no_tls_or_nothing_is_cut_off_and_leaves_no_traceback(
    new_daemon: NewDaemon, certificate: Certificate, loop: dict[str, str]
) -> None:
    daemon = new_daemon(**certificate.settings, **loop, CASD_LIMITS__HEAD_TIMEOUT_S="0.5").start()
    port = tls_port(daemon)

    for sent in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01", b""):
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as sock:
            sock.sendall(sent)
            try:
                while sock.recv(4096):
                    pass
            except ConnectionResetError:
                pass  # what it had not read yet

    assert daemon.stop() == 0
    assert "Traceback" not in daemon.log
    assert daemon.complaints() == []


def test_a_renewed_certificate_is_shown_while_a_download_goes_on(
    new_daemon: NewDaemon, certificate: Certificate, renewed: Certificate, tmp_path: Path, loop: dict[str, str]
) -> None:
    used = Certificate(tmp_path / "tls.crt", tmp_path / "tls.key")
    certificate.copy_over(used)
    daemon = new_daemon(**used.settings, **loop).start()
    data = os.urandom(16 << 20)
    with Wire(daemon) as wire:
        uuid = stored(wire, data).json["uuid"]
    with closing(secure(certificate, tls_port(daemon))) as old, closing(secure(renewed, tls_port(daemon))) as new:
        old.request("GET", f"/v1/blobs/{uuid}/data", headers=daemon.headers)
        download = old.getresponse()
        first = download.read(1 << 20)

        renewed.copy_over(used)
        os.kill(daemon.pid, signal.SIGHUP)
        wait_until(lambda: " reloaded " in daemon.log, "the certificate is read")

        new.request("GET", "/healthz")
        assert new.getresponse().status == 200
        assert first + download.read() == data
    assert daemon.stop() == 0


def test_a_certificate_without_its_key_is_refused_and_the_old_one_stays(
    new_daemon: NewDaemon, certificate: Certificate, renewed: Certificate, tmp_path: Path
) -> None:
    used = Certificate(tmp_path / "tls.crt", tmp_path / "tls.key")
    certificate.copy_over(used)
    daemon = new_daemon(**used.settings).start()

    used.cert.write_bytes(renewed.cert.read_bytes())
    os.kill(daemon.pid, signal.SIGHUP)
    wait_until(lambda: "reload refused" in daemon.log, "it is refused")

    with closing(secure(certificate, tls_port(daemon))) as connection:
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
    assert daemon.stop() == 0
    assert "are no certificate and its key" in daemon.log


def test_a_bad_certificate_is_refused_at_the_start_and_by_check(
    new_daemon: NewDaemon, certificate: Certificate, tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    daemon = new_daemon(CASD_SERVER__TLS_CERTIFICATE=str(missing))

    assert f"{missing}: No such file" in refusal(daemon)
    ran = casd(daemon, "serve", "--check", **{key: text for key, text in daemon.env.items() if key.startswith("CASD_")})
    assert ran.returncode == 1
    assert f"{missing}: No such file" in ran.stderr


def test_systemds_credentials_are_a_certificate(
    new_daemon: NewDaemon, certificate: Certificate, tmp_path: Path
) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    certificate.copy_over(Certificate(credentials / "tls.crt", credentials / "tls.key"))
    daemon = new_daemon(CREDENTIALS_DIRECTORY=str(credentials)).start()

    with closing(secure(certificate, tls_port(daemon))) as connection:
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
    assert daemon.stop() == 0


def test_of_systemds_sockets_the_plain_one_and_unix_sockets_speak_no_tls(
    new_daemon: NewDaemon, certificate: Certificate, tmp_path: Path
) -> None:
    with listening() as public, listening() as plain, listening(socket.AF_UNIX, tmp_path / "s") as unix:
        daemon = new_daemon(**certificate.settings)
        daemon.passed = {"casd.socket": public, "plain": plain, "unix": unix}
        daemon.start()

        with closing(secure(certificate, public.getsockname()[1])) as connection:
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
        with closing(UnixConnection(str(tmp_path / "s"), PATIENCE_S)) as connection:
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
        assert daemon.url == f"http://127.0.0.1:{plain.getsockname()[1]}"
        assert daemon.stop() == 0


# -- the end --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tcp", "unix", "tls"])
def test_what_is_under_way_on_any_listener_is_finished(
    new_daemon: NewDaemon, certificate: Certificate, tmp_path: Path, kind: str, loop: dict[str, str]
) -> None:
    settings = {"CASD_SERVER__UNIX_SOCKET": str(tmp_path / "s")} | (certificate.settings if kind == "tls" else {})
    daemon = new_daemon(**settings, **loop).start()
    if kind == "unix":
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(tmp_path / "s"))
    elif kind == "tls":
        plain = socket.create_connection(("127.0.0.1", tls_port(daemon)))
        sock = ssl.create_default_context(cafile=str(certificate.cert)).wrap_socket(plain, server_hostname="127.0.0.1")
    else:
        sock = socket.create_connection(("127.0.0.1", int(daemon.url.rsplit(":", 1)[1])))
    with sock:
        raw = Raw(sock)
        raw.send(
            f"PUT /v1/names/default/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {daemon.token}\r\n"
            "Expect: 100-continue\r\nContent-Length: 6\r\n\r\n"
        )
        assert raw.head()[0] == 100
        raw.send(b"one")
        os.kill(daemon.pid, signal.SIGTERM)
        wait_until(lambda: " stopping" in daemon.log, "it stops")
        raw.send(b"two")

        answer = raw.answer("PUT")

        assert (answer.status, answer["Connection"]) == (201, "close")
    assert daemon.stop() == 0


def test_a_second_signal_does_not_wait(new_daemon: NewDaemon) -> None:
    daemon = new_daemon(CASD_LIMITS__DRAIN_TIMEOUT_S="3600", CASD_LIMITS__BODY_IDLE_TIMEOUT_S="3600").start()
    with socket.create_connection(("127.0.0.1", int(daemon.url.rsplit(":", 1)[1]))) as sock:
        raw = Raw(sock)
        raw.send(
            f"PUT /v1/names/default/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {daemon.token}\r\n"
            "Expect: 100-continue\r\nContent-Length: 6\r\n\r\n"
        )
        assert raw.head()[0] == 100
        os.kill(daemon.pid, signal.SIGTERM)
        wait_until(lambda: " stopping" in daemon.log, "it stops")

        assert daemon.stop() == 0
