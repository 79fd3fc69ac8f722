"""A data folder for each test of this package."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.payloads.local_backend import emptied


@pytest.fixture(scope="session")
def session_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("payloads").resolve() / "data"


@pytest.fixture
def root(session_root: Path) -> Iterator[Path]:
    """An empty data folder; only the first-level folders of earlier tests are there."""
    with emptied(session_root) as root:
        yield root
