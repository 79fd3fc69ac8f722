"""fsspec's own tests of what every file system has to do: copy, get, put, open and pipe."""

from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem, make_path_posix
from fsspec.tests.abstract import (
    AbstractCopyTests,
    AbstractFixtures,
    AbstractGetTests,
    AbstractOpenTests,
    AbstractPipeTests,
    AbstractPutTests,
)

from tests.fsspec.conftest import Connect


class Fixtures(AbstractFixtures):
    @pytest.fixture
    def fs(self, connect: Connect) -> Any:
        return connect()

    @pytest.fixture
    def fs_path(self, fs: Any) -> str:
        return f"default/{id(self)}"

    @pytest.fixture
    def local_fs(self) -> LocalFileSystem:
        return LocalFileSystem(auto_mkdir=True)

    @pytest.fixture
    def local_join(self) -> Any:
        return lambda *parts: "/".join(parts)

    @pytest.fixture
    def local_path(self, tmp_path: Path) -> str:
        return str(make_path_posix(str(tmp_path)))

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False


class TestCopy(AbstractCopyTests, Fixtures):
    pass


class TestGet(AbstractGetTests, Fixtures):
    pass


class TestPut(AbstractPutTests, Fixtures):
    pass


class TestOpen(AbstractOpenTests, Fixtures):
    pass


class TestPipe(AbstractPipeTests, Fixtures):
    pass
