"""The unit: systemd reads it, it is as tight as can be, and casd really lives in what it leaves."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from casd.config import Config
from tests.conftest import Daemon, passing, skip_loudly
from tests.daemon.conftest import Manager, listening
from tests.web.wire import Wire, stored

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "systemd" / "casd.service"
SOCKET = ROOT / "systemd" / "casd.socket"
EXPOSURE = 1.5  # of 10; what is left is the network, which casd is for


def values(key: str) -> list[str]:
    """What the unit says to a key, each line of it."""
    return [line.partition("=")[2] for line in UNIT.read_text().splitlines() if line.startswith(f"{key}=")]


def value(key: str) -> str:
    (found,) = values(key)
    return found


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        skip_loudly("systemd-analyze is not installed")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True)


def test_systemd_has_nothing_to_say_against_the_units(tmp_path: Path) -> None:
    command = shlex.split(value("ExecStart"))[0]
    units = [tmp_path / unit.name for unit in (UNIT, SOCKET)]
    units[0].write_text(UNIT.read_text().replace(command, sys.executable))  # one that is there
    units[1].write_text(SOCKET.read_text())

    said = analyze("verify", "--man=no", *map(str, units))

    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def test_enabling_the_service_enables_its_socket_too() -> None:
    assert value("WantedBy") == "multi-user.target"
    assert value("Also") == SOCKET.name
    assert value("Wants") == SOCKET.name
    assert SOCKET.name in value("After").split()


def test_the_socket_is_where_the_example_listens() -> None:
    server = Config().server
    listened = [line for line in SOCKET.read_text().splitlines() if line.startswith("ListenStream=")]

    assert listened == [f"ListenStream={server.host}:{server.port}"]


def test_a_reload_begins_with_a_check_of_what_is_started() -> None:
    first, second = values("ExecReload")

    assert first == f"{value('ExecStart')} --check"
    assert second == "/bin/kill -HUP $MAINPID"


def test_the_unit_leaves_little_exposed() -> None:
    said = analyze("security", "--offline=true", "--no-pager", str(UNIT))

    found = re.search(r"Overall exposure level for casd\.service: ([0-9.]+)", said.stdout)
    assert found
    assert float(found[1]) <= EXPOSURE


def test_what_the_unit_starts_is_a_good_command_with_a_good_configuration(tmp_path: Path) -> None:
    """As its comment says to install it, with the example as /etc/casd/config.toml."""
    configuration = tmp_path / "etc" / "casd"
    configuration.mkdir(parents=True)
    shutil.copy(ROOT / "config.example.toml", configuration / "config.toml")

    def resolved(text: str) -> str:
        found = text.replace("%E", str(tmp_path / "etc")).replace("%S", str(tmp_path / "var"))
        assert "%" not in found
        return found

    _, *arguments = shlex.split(resolved(value("ExecStart")))
    settings = dict(resolved(line).split("=", 1) for line in values("Environment"))
    clean = {key: text for key, text in os.environ.items() if not key.startswith("CASD_")}

    ran = subprocess.run(
        [sys.executable, "-m", "casd", *arguments, "--check"], env=clean | settings, capture_output=True, text=True
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    assert tomllib.loads(ran.stdout)["storage"]["data"] == str(tmp_path / "var" / value("StateDirectory"))
    assert tomllib.loads(ran.stdout)["storage"]["must_exist"]


SERVER = next(
    block
    for block in re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    if "systemctl" in block
)


@pytest.mark.slow  # it installs casd
def test_the_readmes_lines_for_a_server_make_a_service_that_runs(tmp_path: Path) -> None:
    """Below a folder of the test's own, with a systemctl that only notes what it is asked; the test starts the unit."""
    source = tmp_path / "source"
    shutil.copytree(ROOT / "casd", source / "casd", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "systemd", source / "systemd")
    for name in ("pyproject.toml", "README.md", "LICENSE", "config.example.toml"):
        shutil.copy(ROOT / name, source)
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    (tmp_path / "var/lib/casd").mkdir(parents=True)
    noted = tmp_path / "systemctl.log"
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text(f'#!/bin/sh\necho "$@" >> {noted}\n')
    systemctl.chmod(0o755)
    lines = [re.sub(r"/(opt|etc|var)/", rf"{tmp_path}/\1/", line) for line in SERVER.splitlines()]
    assert len(lines) == 5
    clean = {key: text for key, text in os.environ.items() if not key.startswith("CASD_")}
    clean["PATH"] = f"{systemctl.parent}:{clean['PATH']}"

    def run(script: str) -> str:
        ran = subprocess.run(["bash", "-euc", script], cwd=source, env=clean, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    run("\n".join(lines[:4]))
    assert noted.read_text().splitlines() == ["daemon-reload", "enable --now casd"]
    unit = (tmp_path / "etc/systemd/system/casd.service").read_text()
    assert (tmp_path / "etc/systemd/system/casd.socket").read_text() == SOCKET.read_text()

    def resolved(text: str) -> str:
        return (
            text.replace("/opt/", f"{tmp_path}/opt/")
            .replace("%E", f"{tmp_path}/etc")
            .replace("%S", f"{tmp_path}/var/lib")
        )

    (start,) = re.findall("^ExecStart=(.*)$", unit, re.MULTILINE)
    settings = dict(resolved(each).split("=", 1) for each in re.findall("^Environment=(.*)$", unit, re.MULTILINE))
    manager = Manager(str(tmp_path / "notify"))
    with listening() as passed, passing({"casd.socket": passed}, shlex.split(resolved(start))) as (command, files):
        environment = clean | settings | {"NOTIFY_SOCKET": manager.address}
        process = subprocess.Popen(command, env=environment, pass_fds=files, stderr=subprocess.DEVNULL)
    with closing(manager.socket):
        try:
            manager.until("READY")
            assert "payloads" in run(lines[4])
        finally:
            process.terminate()
            assert process.wait(60) == 0


def test_systemd_waits_longer_than_requests_in_flight_may_take() -> None:
    assert int(value("TimeoutStopSec")) >= Config().limits.drain_timeout_s + 10


def test_the_unit_gives_descriptors_for_all_connections() -> None:
    assert int(value("LimitNOFILE")) >= 3 * Config().limits.max_connections + 64


# -- what casd asks of the kernel -----------------------------------------------------------------------------------


def allowed_calls() -> set[str]:
    """The system calls that the unit's filter lets through."""
    listing = analyze("syscall-filter", "--no-pager").stdout
    sets: dict[str, list[str]] = {}
    current: list[str] = []
    for line in listing.splitlines():
        if line.startswith("@"):
            current = sets.setdefault(line.strip(), [])
        elif line.startswith("    ") and not line.strip().startswith("#"):
            current.append(line.strip())

    def members(name: str) -> set[str]:
        return {call for item in sets[name] for call in members(item)} if name.startswith("@") else {name}

    allowed: set[str] = set()
    for line in values("SystemCallFilter"):
        named = {call for item in line.lstrip("~").split() for call in members(item)}
        allowed = allowed - named if line.startswith("~") else allowed | named
    return allowed


def test_casd_makes_no_call_that_the_unit_refuses(new_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        skip_loudly("strace is not installed")
    allowed = allowed_calls()
    trace = tmp_path / "trace"
    daemon = new_daemon()
    daemon.prefix = ("strace", "-f", "-qq", "-o", str(trace))
    daemon.start()
    with Wire(daemon) as wire:
        uuid = stored(wire, bytes(3 << 20)).json["uuid"]
        assert len(wire.ask("GET", f"/v1/blobs/{uuid}/data").body) == 3 << 20
        assert wire.ask("GET", f"/v1/blobs/{uuid}/data", headers={"Range": "bytes=0-0,9-9"}).status == 206
        assert wire.ask("DELETE", f"/v1/blobs/{uuid}").status == 204
        assert wire.ask("POST", "/v1/upkeep/collect-garbage").status == 200
    assert daemon.stop() == 0

    lines = trace.read_text().splitlines()
    calls = {found[1] for line in lines if (found := re.match(r"\d+ +(?:<\.\.\. )?(\w+)[( ]", line))}
    families = {found[1] for line in lines if (found := re.search(r"\bsocket(?:pair)?\((AF_\w+)", line))}
    gained = [
        line
        for line in lines
        if re.search(r"\bmprotect\(.*PROT_EXEC", line) or re.search(r"\bmmap\(.*PROT_WRITE\|PROT_EXEC", line)
    ]
    assert {"openat", "fdatasync", "sendfile", "accept4"} <= calls
    as_root = {"fchown"} if os.geteuid() == 0 else set()  # SQLite gives its WAL to the owner of its file
    assert calls - allowed - as_root == set()
    assert families <= set(value("RestrictAddressFamilies").split())
    assert gained == []  # MemoryDenyWriteExecute
