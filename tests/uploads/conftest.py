"""A house with uploads, in which nothing may be left behind."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from casd.catalogue.sqlite import SqliteCatalogue
from casd.payloads.local import LocalPayloads
from tests.fakes import NOW, counting_uuids
from tests.payloads.disk_spy import DiskSpy
from tests.payloads.local_backend import emptied
from tests.uploads.house import House


@pytest.fixture(scope="session")
def session_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uploads").resolve() / "data"


@pytest.fixture
def root(session_root: Path) -> Iterator[Path]:
    with emptied(session_root) as root:
        yield root


@pytest.fixture
async def house(root: Path, tmp_path: Path) -> AsyncIterator[House]:
    """Ends without an open stage, a reservation or a lock, and with no stage that has no row."""
    payloads = await LocalPayloads.create(root, reserve_bytes=0)
    catalogue = await SqliteCatalogue.open(tmp_path / "catalogue.sqlite3", counting_uuids(), payloads_exist=False)
    await asyncio.gather(*(catalogue.ensure_namespace(name, NOW) for name in ("alice", "bob")))
    house = House(root, payloads, catalogue)
    yield house
    assert house.uploads.active == 0
    await house.uploads.close()
    await house.store.close()
    assert house.descriptors() == 0, "a stage was left open"
    assert payloads.reserved_bytes == 0, "a reservation was left behind"
    assert len(house.locks) == 0
    unfinished = {str(uuid) for uuid in await catalogue.unfinished_uploads()}
    assert set(house.staged()) <= unfinished, "a stage was left behind"
    await catalogue.close()
    await payloads.close()


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch, root: Path) -> DiskSpy:
    return DiskSpy(monkeypatch, root)
