"""The fake payload store keeps the contract too."""

import pytest

from casd.model import Digest
from casd.payloads.base import PayloadStore, Staged
from tests.contracts.payload_store import PayloadStoreContract
from tests.fakes import MemoryDisk, MemoryPayloads


class MemoryBackend:
    """See `contracts.payload_store.Backend`."""

    def __init__(self) -> None:
        self.disk = MemoryDisk()

    async def open(self) -> PayloadStore:
        return MemoryPayloads(self.disk)

    def abandon(self, staged: Staged) -> None:
        pass

    def stages(self) -> set[str]:
        return set(self.disk.stages)

    def stored(self) -> dict[Digest, bytes]:
        return dict(self.disk.payloads)

    def damage(self, digest: Digest, data: bytes | None) -> None:
        if data is None:
            del self.disk.payloads[digest]
        else:
            self.disk.payloads[digest] = data

    def add_strangers(self) -> None:
        pass  # a dict has none

    def quarantined(self) -> list[tuple[Digest, bytes, str]]:
        kept = [self.disk.quarantined[id] for id in sorted(self.disk.quarantined)]
        return [(item.digest, data, item.why) for item, data in kept if data is not None]


class TestMemoryPayloads(PayloadStoreContract):
    @pytest.fixture
    def backend(self) -> MemoryBackend:
        return MemoryBackend()
