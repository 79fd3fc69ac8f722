"""What an operator sees of quarantine, and purges. How payloads get there stands in `judging.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from casd.catalogue.base import Catalogue
from casd.errors import Conflict, QuarantinedNotFound
from casd.locks import DigestLocks
from casd.model import BlobState, Page, Quarantined
from casd.payloads.base import PayloadStore


class Standing(StrEnum):
    """What has become of the payload since."""

    DAMAGED = "damaged"  # its blobs are in the error state: what lies here may be all that is left of it
    HEALED = "healed"  # its bytes were stored again
    UNWANTED = "unwanted"  # nothing refers to it any more


STANDINGS = {BlobState.ERROR: Standing.DAMAGED, BlobState.CREATED: Standing.HEALED, None: Standing.UNWANTED}


@dataclass(frozen=True, slots=True)
class Entry:
    """Something in quarantine, and how its payload stands now."""

    item: Quarantined
    standing: Standing


class Quarantine:
    """The quarantine of one store."""

    def __init__(self, payloads: PayloadStore, catalogue: Catalogue, locks: DigestLocks) -> None:
        self._payloads = payloads
        self._catalogue = catalogue
        self._locks = locks

    async def entries(self, limit: int, after: bytes | None) -> Page[Entry]:
        """By digest, then by time."""
        found = await self._payloads.quarantined(limit + 1, None if after is None else after.decode("ascii", "replace"))
        shown = found[:limit]
        return Page(await self._standing(shown), shown[-1].id.encode() if len(found) > limit else None)

    async def entry(self, id: str) -> Entry:
        """Raises QuarantinedNotFound."""
        item = await self._payloads.in_quarantine(id)
        if item is None:
            raise QuarantinedNotFound(f"there is nothing in quarantine with the id {id[:200]!r}")
        (entry,) = await self._standing([item])
        return entry

    async def purge(self, id: str, *, force: bool) -> None:
        """Delete it, bytes and note. Raises QuarantinedNotFound.

        Raises Conflict, without `force`, while its payload is damaged: a part of the bytes may be right, and be all
        that is left.
        """
        digest = (await self.entry(id)).item.digest
        async with self._locks.hold(digest):
            entry = await self.entry(id)
            if entry.standing is Standing.DAMAGED and entry.item.size is not None and not force:
                raise Conflict(
                    f"payload {digest} is still damaged, and this may be all that is left of it: store it again, or "
                    "insist with force (`casd quarantine purge --force`)"
                )
            await self._payloads.purge_quarantined(id)

    async def _standing(self, items: Sequence[Quarantined]) -> tuple[Entry, ...]:
        states = await self._catalogue.payload_states({item.digest for item in items})
        return tuple(Entry(item, STANDINGS[states.get(item.digest)]) for item in items)
