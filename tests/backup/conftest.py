"""Stores to back up, and `casd backup` and `casd restore` as an operator runs them."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Daemon
from tests.crash.asking import ask

LIMIT_S = 120

NewDaemon = Callable[..., Daemon]


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def casd(*arguments: str | Path) -> Ran:
    """How a run of `casd` ends. None may end in a traceback."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("CASD_")}
    command = [sys.executable, "-m", "casd", *map(str, arguments)]
    ended = subprocess.run(command, env=clean, capture_output=True, text=True, timeout=LIMIT_S)
    assert "Traceback" not in ended.stderr, ended.stderr
    return Ran(ended.returncode, ended.stdout, ended.stderr)


def back_up(daemon: Daemon, dest: Path, *flags: str) -> Any:
    """What a backup without a loss tells."""
    ran = casd("backup", dest, "--data", daemon.data, "--json", *flags)
    assert ran.code == 0, ran
    return ran.json


def sha512(data: bytes) -> str:
    return hashlib.sha512(data).hexdigest()


def put(daemon: Daemon, name: str, data: bytes) -> Any:
    """The version that it made."""
    answer = ask(daemon, "PUT", f"/v1/names/default/{name}", data)
    assert answer.status == 201
    return answer.json


def got(daemon: Daemon, name: str, query: str = "") -> bytes:
    answer = ask(daemon, "GET", f"/v1/names/default/{name}{query}")
    assert answer.status == 200, answer.body
    return answer.body


def tree(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Size, inode and time of each file but the lock."""
    facts = {path.relative_to(folder): path.lstat() for path in folder.rglob("*") if not path.is_dir()}
    return {str(path): (it.st_size, it.st_ino, it.st_mtime_ns) for path, it in facts.items() if path.name != "lock"}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of a daemon that was stopped: names `a` (two versions), `b`, `big`, `same` (as `b`)."""
    daemon = Daemon(tmp_path_factory.mktemp("model") / "data", {"CASD_UPKEEP__GRACE_S": "0"}).start()
    for name, data in CONTENTS:
        put(daemon, name, data)
    assert daemon.stop() == 0
    return daemon.data


BIG = b"".join(hashlib.sha512(str(number).encode()).digest() for number in range(50_000))  # 3.2 MB, four blocks
CONTENTS = [("a", b"old"), ("a", b"new" * 1000), ("b", b"of b"), ("same", b"of b"), ("big", BIG)]


@pytest.fixture
def stopped(model: Path, new_daemon: NewDaemon) -> Daemon:
    """A daemon that is not started, on a folder of its own like the model."""
    daemon = new_daemon()
    shutil.copytree(model, daemon.data)
    return daemon


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "backup"


def assert_serves_all(daemon: Daemon) -> None:
    """Everything that the model has, to the byte."""
    assert got(daemon, "a", "?version=1") == b"old"
    assert got(daemon, "a") == b"new" * 1000
    assert got(daemon, "b") == got(daemon, "same") == b"of b"
    assert got(daemon, "big") == BIG
