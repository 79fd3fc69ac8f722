"""What strangers' tools share: one daemon for those that are slow to start, and environments of their own."""

from collections.abc import Iterator

import pytest

from tests.conftest import Daemon
from tests.environments import client_environment as client_environment
from tests.environments import npm_environment as npm_environment


@pytest.fixture(scope="session")
def one_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A running daemon on the loop that it chooses itself, for tools that take seconds."""
    running = Daemon(tmp_path_factory.mktemp("tools") / "data").start()
    yield running
    assert running.stop() == 0, running.log
    assert "Traceback" not in running.log
