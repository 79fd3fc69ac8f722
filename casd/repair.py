"""Fetching damaged payloads again from where others keep them: another casd, or any folder that HTTP serves.

No source is trusted: what it sends is bounded by the size that the catalogue knows, and judged by its SHA-512 before
it takes the payload's place, under the digest's lock, as whatever is stored does. How bytes get here is the source's.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from casd.errors import (
    CasdError,
    DigestMismatch,
    PayloadNotFound,
    SizeMismatch,
    SourceCut,
    SourceFailed,
    StorageFailed,
)
from casd.judging import Verdict
from casd.model import BlobState, Digest, Expected, Receipt
from casd.payloads.base import Staged
from casd.store import BlobStore
from casd.tasks import to_the_end

log = logging.getLogger(__name__)

HURT = (Verdict.DAMAGED, Verdict.MISSING, Verdict.UNREADABLE)
PAGE = 100
TRIES = 6  # of one payload from one source that get nowhere; each goes on where the one before was cut
PROGRESS_BYTES = 1 << 20  # one that got at least so far does not count: large payloads on a bad line come at last
PAUSE_S = 1.0  # before the second try; twice as long before each next one that got nowhere
SHOWN = 100  # failures that a report lists

Pieces = Callable[[], Awaitable[bytes]]
"""What comes next, empty at the end."""


class Source(Protocol):
    @property
    def name(self) -> str:
        """For logs and reports: no secret is in it."""

    def reading(self, digest: Digest, start: int, size: int) -> AbstractAsyncContextManager[Pieces]:
        """What it has under that digest, from byte `start` on; `size` is what it should have in all.

        Raises PayloadNotFound if it has none, SourceFailed if there is no use in asking again, SourceCut if there is.
        """


@dataclass(frozen=True, slots=True)
class Failure:
    digest: Digest
    why: str


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What one run has made of the payloads that are marked as damaged."""

    payloads: int  # that were looked at
    good: int  # of them, found right where they are
    repaired: int  # fetched
    bytes: int  # of those fetched
    failed: int
    failures: tuple[Failure, ...]  # the first ones


class Repair:
    """Repairs the payloads of one store."""

    def __init__(
        self,
        store: BlobStore,
        sources: Sequence[Source],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._sources = sources
        self._pause = pause
        self._known = 0  # of what was found

    @property
    def has_sources(self) -> bool:
        return bool(self._sources)

    @property
    def is_news(self) -> bool:
        """Whether damage was found since the last run over everything began."""
        return self._found() != self._known

    def _found(self) -> int:
        return sum(self._store.judge.verdicts[verdict] for verdict in HURT)

    async def run(self, digests: Collection[Digest] | None = None) -> RepairReport:
        """Repair those, or (None) all that are damaged and that blobs refer to.

        Raises PayloadNotFound, with nothing done, if one of `digests` is not known.
        """
        if digests is None:
            self._known = self._found()
        else:
            unknown = set(digests) - await self._store.catalogue.known_payloads(digests)
            if unknown:
                raise PayloadNotFound(f"there is no payload {min(unknown, key=lambda digest: digest.raw)}")
        payloads = good = repaired = size = 0
        failures: list[Failure] = []
        failed = 0
        async for digest in self._damaged() if digests is None else _each(digests):
            payloads += 1
            try:
                fetched = await self._repair(digest)
            except CasdError as error:
                log.error("payload not repaired digest=%s error=%s", digest, error)
                failed += 1
                failures += [Failure(digest, str(error))] if failed <= SHOWN else []
            else:
                good += fetched is None
                repaired += fetched is not None
                size += fetched or 0
        return RepairReport(payloads, good, repaired, size, failed, tuple(failures))

    async def _damaged(self) -> AsyncIterator[Digest]:
        after = None
        while True:
            page = await self._store.catalogue.damaged(PAGE, after)
            for digest in page.items:
                yield digest
            if page.next is None:
                return
            after = page.next

    async def _repair(self, digest: Digest) -> int | None:
        """How many bytes were fetched; None if none had to be. Raises CasdError."""
        # An operator may have put the file back, or named a payload that is not damaged.
        verdict = await self._store.judge.verdict(digest, "its repair was asked for")
        if verdict in (Verdict.GOOD, Verdict.UNKNOWN):
            return None
        if verdict is not Verdict.MISSING:
            self._known += 1  # found by this run, which tries to repair it now
        blob = await self._store.catalogue.blob_of_payload(digest, None, self._store.now())
        if blob is None:
            return None  # nothing refers to it any more
        reasons = []
        for source in self._sources:
            try:
                await self._fetch(source, digest, blob.size)
            except (PayloadNotFound, SourceFailed, DigestMismatch, SizeMismatch) as error:
                log.warning("source does not help source=%s digest=%s error=%s", source.name, digest, error)
                reasons.append(f"{source.name}: {error}")
            else:
                log.info("payload repaired digest=%s size=%d source=%s", digest, blob.size, source.name)
                return blob.size
        raise SourceFailed("; ".join(reasons) or "no source is configured ([repair] sources)")

    async def _fetch(self, source: Source, digest: Digest, size: int) -> None:
        async with await self._store.payloads.stage(str(self._store.new_uuid()), size) as staged:
            await self._fill(staged, source, digest, size)
            receipt = await staged.seal(Expected(size=size, sha512=digest.raw))
            await to_the_end(self._commit(staged, receipt))

    async def _fill(self, staged: Staged, source: Source, digest: Digest, size: int) -> None:
        """All of it is staged. Raises PayloadNotFound, SourceFailed, StorageFailed."""
        tries = 0
        while staged.size < size:
            start = staged.size
            try:
                async with source.reading(digest, staged.size, size) as next_piece:
                    while data := await next_piece():
                        if staged.size + len(data) > size:
                            raise SourceFailed(f"it sends more than {size} bytes")
                        await staged.append(data)
                if staged.size < size:
                    raise SourceCut(f"it ended at byte {staged.size} of {size}")
            except SourceCut as error:
                if staged.size == size:
                    return
                tries = 1 if staged.size - start >= PROGRESS_BYTES else tries + 1
                if tries == TRIES:
                    raise
                log.info("source was cut source=%s offset=%d error=%s", source.name, staged.size, error)
                await self._pause(PAUSE_S * 2 ** (tries - 1))

    async def _commit(self, staged: Staged, receipt: Receipt) -> None:
        store, digest = self._store, receipt.digest
        async with store.locks.hold(digest):
            states = await store.catalogue.payload_states([digest])
            if states.get(digest) is not BlobState.ERROR:  # stored again meanwhile, or collected
                return
            identity = await staged.commit()
            if not await store.catalogue.heal(receipt, store.now()):
                raise StorageFailed(f"payload {digest} is not known any more")  # never: the lock is held
            store.reads.stored(receipt, identity)


async def _each(digests: Collection[Digest]) -> AsyncIterator[Digest]:
    for digest in digests:
        yield digest
