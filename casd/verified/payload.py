"""An open payload whose blocks are checked before their bytes leave."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import xxhash

from casd.catalogue.base import Catalogue
from casd.errors import PayloadDamaged, PayloadMissing, PayloadUnreadable
from casd.judging import CHECKSUM_BYTES, Judge, Verdict
from casd.model import BLOCK_SIZE, Blob, BlobState, Digest, Examined
from casd.payloads.base import Payload
from casd.verified.known import Known

log = logging.getLogger(__name__)

BATCH_BLOCKS = 4  # read and hashed in one hop into a thread: 1 ms in memory, and so much is checked ahead of a sender
PAGE_BLOCKS = 1024  # of the block list at a time: 8 KiB
SMALL_BYTES = 64 << 10  # up to here a payload is hashed on the loop: 1 us


@dataclass(slots=True)
class Counts:
    """What was checked since the start."""

    blocks: int = 0
    mismatches: int = 0
    reread: int = 0  # of the mismatches, blocks that were right on the disk and wrong in memory


@dataclass(frozen=True, slots=True)
class Bench:
    """What checking needs beside the payload."""

    catalogue: Catalogue
    judge: Judge
    counts: Counts


class VerifiedPayload:
    """An open payload whose bytes are checked: `read` by itself, and before sending from `file` by `check`.

    It is a `payloads.base.Payload`, for one task at a time.
    """

    __slots__ = ("_bench", "_digest", "_known", "_page", "_page_start", "_payload", "file", "size")

    def __init__(self, bench: Bench, payload: Payload, digest: Digest, known: Known) -> None:
        self._bench = bench
        self._payload = payload
        self._digest = digest
        self._known = known
        self._page, self._page_start = b"", -1
        self.size = payload.size
        self.file = payload.file

    @property
    def identity(self) -> Hashable:
        return self._payload.identity

    # -- reading ------------------------------------------------------------------------------------------

    async def read(self, start: int, stop: int) -> bytes:
        if not self.is_checked(start, stop):
            if self.size <= SMALL_BYTES:
                return await self._read_small(start, stop)
            await self.check(start, stop)
        return await self._read(start, stop)

    async def _read(self, start: int, stop: int) -> bytes:
        try:
            return await self._payload.read(start, stop)
        except (PayloadUnreadable, PayloadDamaged) as error:
            self.doubt(str(error))
            raise

    async def _read_small(self, start: int, stop: int) -> bytes:
        self._check_hope()
        data = await self._read(0, self.size)
        if xxhash.xxh3_64_digest(data) == await self._listed(0, 1):
            self._found_right(0, 1)
            return data[start:stop]
        await self._suspect(0, 1)
        return await self._read(start, stop)

    def read_now(self, start: int, stop: int) -> bytes | None:
        return self._payload.read_now(start, stop) if self.is_checked(start, stop) else None

    def is_cached(self, start: int, stop: int) -> bool:
        return self._payload.is_cached(start, stop)

    async def block_checksums(self, start: int, stop: int, *, from_disk: bool = False) -> bytes:
        return await self._payload.block_checksums(start, stop, from_disk=from_disk)

    async def examine(self, pace: Callable[[int], Awaitable[None]] | None = None) -> Examined:
        return await self._payload.examine(pace)

    async def forget_cached(self) -> None:
        await self._payload.forget_cached()

    def close(self) -> None:
        self._payload.close()

    # -- checking -----------------------------------------------------------------------------------------

    def is_checked(self, start: int, stop: int) -> bool:
        """Whether the bytes `start` to `stop` may be sent without a look."""
        known = self._known
        return known.is_complete or all(known.has(block) for block in blocks_of(start, stop))

    async def check(self, start: int, stop: int) -> None:
        """The bytes `start` to `stop` are those that were stored; what was found right lately is not read again.

        Blocks that another reader checks at this moment are waited for. Raises PayloadDamaged, PayloadUnreadable, and
        PayloadMissing if the payload was removed, so that nothing tells any more what it was.
        """
        for block in blocks_of(start, stop):
            while not self._known.has(block):
                other = self._known.checker_of(block)
                if other is not None:
                    await asyncio.wait([other])
                else:
                    await self._check_run(block, blocks_of(start, stop).stop)

    async def _check_run(self, first: int, stop: int) -> None:
        """Check `first`, and what follows that nobody has checked or checks now, up to a batch."""
        known = self._known
        most = min(stop, first + BATCH_BLOCKS, first - first % PAGE_BLOCKS + PAGE_BLOCKS)
        last = first + 1
        while last < most and not known.has(last) and known.checker_of(last) is None:
            last += 1
        with known.checking(first, last):
            await self._compare(first, last)

    async def _compare(self, first: int, stop: int) -> None:
        self._check_hope()
        try:
            found = await self._payload.block_checksums(first, stop)
        except PayloadUnreadable as error:
            self.doubt(str(error))
            raise
        if found == await self._listed(first, stop):
            self._found_right(first, stop)
        else:
            await self._suspect(first, stop)

    def _check_hope(self) -> None:
        if self._known.is_damaged:
            raise damaged(self._digest)

    def _found_right(self, first: int, stop: int) -> None:
        self._known.add(first, stop)
        self._bench.counts.blocks += stop - first

    async def _listed(self, first: int, stop: int) -> bytes:
        """What the catalogue says of those blocks, which are in one page of the list."""
        start = first - first % PAGE_BLOCKS
        if self._page_start != start:
            page = await self._bench.catalogue.block_checksums(self._digest, start, start + PAGE_BLOCKS)
            if page is None:
                raise PayloadMissing(f"payload {self._digest} was removed while it was read")
            self._page, self._page_start = page, start
        return self._page[(first - start) * CHECKSUM_BYTES : (stop - start) * CHECKSUM_BYTES]

    # -- what does not match ------------------------------------------------------------------------------

    async def _suspect(self, first: int, stop: int) -> None:
        """Return if the blocks are right after all: in memory alone they were wrong, or the list was."""
        self._bench.counts.mismatches += 1
        why = f"blocks {first} to {stop - 1} do not have their checksums"
        if await self._was_memory(first, stop):
            self._bench.counts.reread += 1
            log.warning("page cache was wrong, disk is right digest=%s block=%d", self._digest, first)
            return
        verdict = await self._bench.judge.verdict_soon(self._digest, why)
        if verdict is Verdict.GOOD:
            self._page_start = -1
            if await self._payload.block_checksums(first, stop) == await self._listed(first, stop):
                self._found_right(first, stop)
                return
        self._known.is_damaged = verdict in (Verdict.DAMAGED, Verdict.UNREADABLE, Verdict.MISSING)
        raise damaged(self._digest)

    async def _was_memory(self, first: int, stop: int) -> bool:
        """Whether the disk has the right bytes, and the page cache has them now too."""
        listed = await self._listed(first, stop)
        try:
            if await self._payload.block_checksums(first, stop, from_disk=True) != listed:
                return False
            await self._payload.forget_cached()
            if await self._payload.block_checksums(first, stop) != listed:
                return False
        except PayloadUnreadable:  # for the judge to find out more
            return False
        self._found_right(first, stop)
        return True

    def doubt(self, why: str) -> None:
        """Have the payload judged; nobody waits for it."""
        self._bench.judge.begin(self._digest, why)


def blocks_of(start: int, stop: int) -> range:
    return range(start // BLOCK_SIZE, -(-stop // BLOCK_SIZE)) if start < stop else range(0)


class Ahead:
    """Checks bytes that are sent in order, a batch ahead of the sender. Leaving `async with` ends what is under way."""

    def __init__(self, payload: VerifiedPayload, start: int, stop: int) -> None:
        self._payload = payload
        self._stop = stop
        self._reached = start  # what lies before is checked
        self._goal = start
        self._task: asyncio.Task[None] | None = None  # checks from there to the goal

    async def reach(self, position: int) -> None:
        """Return when all bytes before `position` may be sent. Raises as `VerifiedPayload.check`."""
        if position <= self._reached:
            return
        if self._task is None and self._payload.is_checked(self._reached, position):
            self._reached = position
            return
        while self._reached < position:
            if self._task is not None:
                await self._task
                self._task = None
            else:
                self._goal = position
                await self._payload.check(self._reached, position)
            self._reached = self._goal
        self._go_on()

    def _go_on(self) -> None:
        """Begin with what is sent next, unless nothing of it has to be looked at."""
        self._goal = min(self._stop, (self._reached // BLOCK_SIZE + BATCH_BLOCKS) * BLOCK_SIZE)
        if not self._payload.is_checked(self._reached, self._goal):
            self._task = asyncio.create_task(self._payload.check(self._reached, self._goal))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def damaged(digest: Digest) -> PayloadDamaged:
    return PayloadDamaged(f"payload {digest} is damaged; store it again to heal it")


def in_quarantine(digest: Digest) -> PayloadDamaged:
    return PayloadDamaged(f"payload {digest} is in quarantine; store it again to heal it")


def check_unmarked(blob: Blob) -> None:
    """Raise PayloadDamaged for a blob whose payload is known to be damaged; nothing is read."""
    if blob.state is BlobState.ERROR:
        raise in_quarantine(blob.digest)
