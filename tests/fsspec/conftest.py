"""A file system of each daemon that the tests share, and a namespace of its own for each test."""

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import Daemon, skip_loudly

HAS_FSSPEC = importlib.util.find_spec("fsspec") is not None
if not HAS_FSSPEC:
    collect_ignore_glob = ["test_*.py"]  # the extra `fsspec` is not installed

Connect = Callable[..., Any]


@pytest.fixture
def connect(shared_daemon: Daemon) -> Iterator[Connect]:
    """Makes a file system of the daemon, or of what stands before it; each is one of its own."""
    if not HAS_FSSPEC:
        skip_loudly("fsspec is missing")
    from fsspec.asyn import sync

    from casd.fsspec import CasdFileSystem

    made: list[CasdFileSystem] = []

    def make(url: str = shared_daemon.url, token: str | None = shared_daemon.token, **options: Any) -> CasdFileSystem:
        fs = CasdFileSystem(endpoint_url=url, token=token, skip_instance_cache=True, **options)
        made.append(fs)
        return fs

    yield make
    for fs in made:
        if not fs.asynchronous:
            sync(fs.loop, fs.aclose)


@pytest.fixture
def fs(connect: Connect) -> Any:
    return connect()


@pytest.fixture
def fs_path() -> str:
    """A folder of its own, in a namespace that every daemon has."""
    return f"default/{uuid4()}"
