"""A catalogue in a file of its own."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from casd.catalogue.sqlite import SqliteCatalogue
from tests.contracts.desk import Desk
from tests.fakes import counting_uuids


class Opener(Protocol):
    async def __call__(self, path: Path, *, payloads_exist: bool = False) -> SqliteCatalogue: ...


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.sqlite3"


@pytest.fixture
async def open_catalogue() -> AsyncIterator[Opener]:
    """Opens catalogues that are closed in the end, by the test or here: an open one has threads."""
    opened: list[SqliteCatalogue] = []

    async def open_at(path: Path, *, payloads_exist: bool = False) -> SqliteCatalogue:
        catalogue = await SqliteCatalogue.open(path, counting_uuids(), payloads_exist=payloads_exist)
        opened.append(catalogue)
        return catalogue

    yield open_at
    for catalogue in opened:
        await catalogue.close()


@pytest.fixture
async def catalogue(path: Path, open_catalogue: Opener) -> SqliteCatalogue:
    return await open_catalogue(path)


@pytest.fixture
async def desk(catalogue: SqliteCatalogue) -> Desk:
    return await Desk(catalogue).open()
