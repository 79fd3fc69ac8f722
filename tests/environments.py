"""Where what others wrote is installed: each in an environment of its own, made once and kept between runs."""

import fcntl
import hashlib
import importlib.util
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.conftest import TEST_ALL, skip_loudly

READY = "ready"  # the last file made: an environment without it is half a one
INSTALL_TIMEOUT_S = 600
PKG_RESOURCES = "setuptools<81"  # old clients import it, and environments since Python 3.12 are made without

Pip = Sequence[str]  # arguments of one `pip install`


@pytest.fixture(scope="session")
def client_environment(pytestconfig: pytest.Config) -> Callable[..., Path]:
    """Makes the environment in which `pip install` was run with each list of arguments; returns its bin folder."""
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("clients")

    def make(name: str, *installs: Pip) -> Path:
        facts = repr((sys.version_info[:2], installs)).encode()
        home = folder / f"{name}-{hashlib.sha256(facts).hexdigest()[:12]}"
        with (folder / f"{home.name}.lock").open("w") as lock:  # workers share it
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (home / READY).exists():
                if not TEST_ALL:
                    pytest.skip(f"{name} is installed with CASD_TEST_ALL=1; all such clients take minutes")
                shutil.rmtree(home, ignore_errors=True)
                fill(home, installs)
        return home / "bin"

    return make


def fill(home: Path, installs: Sequence[Pip]) -> None:
    # One pip serves all environments, where this interpreter has one: that saves each its own, 3 s. What is never
    # imported is not compiled beforehand: the largest is made in 16 s then, not in 39.
    has_pip = importlib.util.find_spec("pip") is not None
    venv.create(home, with_pip=not has_pip)
    python = str(home / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python] if has_pip else [python, "-m", "pip"]
    for arguments in ([PKG_RESOURCES], *installs):
        command = [*pip, "--disable-pip-version-check", "install", "-q", "--no-compile", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
        if done.returncode:
            skip_loudly(f"a client could not be installed: pip install {' '.join(arguments)}\n{done.stderr[-2000:]}")
    (home / READY).touch()


@pytest.fixture(scope="session")
def npm_environment(pytestconfig: pytest.Config) -> Callable[..., Path]:
    """Makes the folder whose node_modules has the packages, each with its version, as `npm install` takes them."""
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("clients")

    def make(*packages: str) -> Path:
        home = folder / "-".join(package.replace("@", "-") for package in packages)
        with (folder / f"{home.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (home / READY).exists():
                if not TEST_ALL:
                    pytest.skip(f"{', '.join(packages)} is installed with CASD_TEST_ALL=1")
                shutil.rmtree(home, ignore_errors=True)
                home.mkdir()
                npm_install(home, packages)
        return home

    return make


def npm_install(home: Path, packages: Sequence[str]) -> None:
    npm = shutil.which("npm")
    if npm is None:
        skip_loudly("npm is not installed")
    options = ["--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
    command = [str(npm), "install", "--prefix", str(home), *options, *packages]
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
    if done.returncode:
        skip_loudly(f"npm cannot install {', '.join(packages)}: {done.stderr[-500:]}")
    (home / READY).touch()
