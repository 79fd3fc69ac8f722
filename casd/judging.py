"""What becomes of a payload that seems to be damaged: it is read again from the disk, judged by its SHA-512, and kept.

Whoever doubts a payload asks here: a read whose checksum did not match, a scrub, a file that is gone. XXH3 finds
accidents; SHA-512 decides. Nothing is ever deleted: what is damaged is moved to quarantine.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from casd.catalogue.base import Catalogue
from casd.errors import PayloadMissing, PayloadUnreadable, StorageFailed
from casd.locks import DigestLocks
from casd.model import BLOCK_SIZE, JSON, Digest, Examined
from casd.payloads.base import PayloadStore
from casd.tasks import to_the_end

log = logging.getLogger(__name__)

CHECKSUM_BYTES = 8
TRIES = 5  # for a payload that is stored again each time while it is read
PATIENCE_S = 10.0  # what a reader waits for a judgement: 5 GiB are read and hashed in that time
TOLD_BLOCKS = 100  # damaged ones that a note lists


class Verdict(StrEnum):
    GOOD = "good"
    DAMAGED = "damaged"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    UNKNOWN = "unknown"  # no row tells of it: nothing was done


@dataclass(frozen=True, slots=True)
class _Found:
    """What a reading gave, and of which file; nothing of a file that is not there."""

    verdict: Verdict
    identity: Hashable = None
    examined: Examined | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """A judgement under way."""

    task: "asyncio.Task[Verdict]"
    begun_at: float  # of the loop's clock


class Judge:
    """Judges the payloads of one store."""

    def __init__(
        self, payloads: PayloadStore, catalogue: Catalogue, locks: DigestLocks, now: Callable[[], datetime]
    ) -> None:
        self._payloads = payloads
        self._catalogue = catalogue
        self._locks = locks
        self._now = now
        self._running: dict[Digest, Trial] = {}
        self._unmoved: set[Digest] = set()  # damaged, and still in their place: reading them again tells nothing new
        self.verdicts: Counter[Verdict] = Counter()  # since the start
        self.rewritten = 0  # block lists that were wrong, of payloads that were right

    @property
    def running(self) -> int:
        return len(self._running)

    def is_hopeless(self, digest: Digest) -> bool:
        """Whether the payload was judged before and its damaged bytes could not be moved away."""
        return digest in self._unmoved

    async def verdict(self, digest: Digest, why: str) -> Verdict:
        """What the payload's bytes are worth, read again from the disk and judged by their SHA-512; and acted upon.

        GOOD: it is not marked, its block checksums are right, and what a cache had of it is dropped. DAMAGED,
        UNREADABLE: it is marked, and its file is in quarantine beside a note of `why`. MISSING: it is marked, and
        there is a note. Callers for one digest share one judgement; one that is cancelled leaves it to the others.

        The digest's lock is taken here, to act and not while reading: whoever calls this does not hold it. What is
        stored again meanwhile is judged anew. Raises StorageFailed if acting failed, or opening for another reason.
        """
        return await asyncio.shield(self.begin(digest, why).task)

    async def verdict_soon(self, digest: Digest, why: str) -> Verdict | None:
        """The same for who cannot wait long; None where it takes its time, or failed. Raises nothing."""
        trial = self.begin(digest, why)
        await asyncio.wait(
            [trial.task], timeout=max(0.0, trial.begun_at + PATIENCE_S - asyncio.get_running_loop().time())
        )
        is_told = trial.task.done() and not trial.task.cancelled() and trial.task.exception() is None
        return trial.task.result() if is_told else None

    async def opinion(self, digest: Digest) -> Verdict:
        """The verdict, as it would be now; nothing is done about it. Raises StorageFailed."""
        found = await self._examine(digest)
        return found.verdict if await self._catalogue.known_payloads([digest]) else Verdict.UNKNOWN

    def begin(self, digest: Digest, why: str) -> Trial:
        """The same for who does not wait at all."""
        trial = self._running.get(digest)
        if trial is None:
            task = asyncio.create_task(self._judge(digest, why))
            trial = self._running[digest] = Trial(task, asyncio.get_running_loop().time())
            task.add_done_callback(lambda ended: self._end(digest, ended))
        return trial

    def _end(self, digest: Digest, task: "asyncio.Task[Verdict]") -> None:
        del self._running[digest]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("judgement failed digest=%s error=%s", digest, error)

    async def close(self) -> None:
        """Give up what is being read; what is being done about it ends whole."""
        tasks = [trial.task for trial in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _judge(self, digest: Digest, why: str) -> Verdict:
        for _ in range(TRIES):
            found = await self._examine(digest)
            verdict = await to_the_end(self._act(digest, found, why))
            if verdict is not None:
                return verdict
        raise StorageFailed(f"payload {digest} is stored again and again while it is judged")

    async def _examine(self, digest: Digest) -> _Found:
        try:
            payload = await self._payloads.open(digest)
        except PayloadMissing:
            return _Found(Verdict.MISSING)
        except PayloadUnreadable:
            return _Found(Verdict.UNREADABLE)
        try:
            examined = await payload.examine()
            if examined.digest != digest:
                return _Found(Verdict.DAMAGED, payload.identity, examined)
            await payload.forget_cached()  # a cache that was wrong is not asked again
            return _Found(Verdict.GOOD, payload.identity, examined)
        except PayloadUnreadable:
            return _Found(Verdict.UNREADABLE, payload.identity)
        finally:
            payload.close()

    async def _act(self, digest: Digest, found: _Found, why: str) -> Verdict | None:
        """Do what the verdict asks for; None if the file is not the one that was read any more."""
        async with self._locks.hold(digest):
            if await self._identity(digest) != found.identity:
                return None
            if digest not in await self._catalogue.known_payloads([digest]):
                return Verdict.UNKNOWN
            if found.examined is not None and found.verdict is Verdict.GOOD:
                await self._acquit(digest, found.examined, why)
            else:
                await self._put_away(digest, found, why)
        return found.verdict

    async def _identity(self, digest: Digest) -> Hashable:
        try:
            payload = await self._payloads.open(digest)
        except (PayloadMissing, PayloadUnreadable):
            return None
        payload.close()
        return payload.identity

    async def _acquit(self, digest: Digest, examined: Examined, why: str) -> None:
        is_rewritten = await self._catalogue.set_good(digest, examined.blocks, self._now())
        self._unmoved.discard(digest)
        self.verdicts[Verdict.GOOD] += 1
        self.rewritten += is_rewritten
        log.warning("payload judged good digest=%s block_list_rewritten=%s doubt=%s", digest, is_rewritten, why)

    async def _put_away(self, digest: Digest, found: _Found, why: str) -> None:
        """Marked first: if moving fails, nobody is sent the bytes all the same."""
        is_news = await self._catalogue.set_quarantined(digest, self._now())
        if found.verdict is Verdict.MISSING and not is_news:
            return
        self.verdicts[found.verdict] += 1
        log.error("payload %s digest=%s found=%s", found.verdict, digest, why)
        try:
            is_moved = await self._payloads.quarantine(digest, why, await self._facts(digest, found))
        except StorageFailed as error:
            self._unmoved.add(digest)
            log.error("payload not moved to quarantine digest=%s error=%s", digest, error)
        else:
            self._unmoved.discard(digest)
            log.error("payload quarantined digest=%s is_moved=%s", digest, is_moved)

    async def _facts(self, digest: Digest, found: _Found) -> dict[str, JSON]:
        facts: dict[str, JSON] = {"verdict": found.verdict.value}
        blob = await self._catalogue.blob_of_payload(digest, None, self._now())
        if blob is not None:
            facts["size"] = blob.size
        if found.examined is None:
            return facts
        facts |= {"found_size": found.examined.size, "found_sha512": found.examined.digest.hex}
        count = -(-(blob.size if blob is not None else found.examined.size) // BLOCK_SIZE)
        listed = await self._catalogue.block_checksums(digest, 0, count) or b""
        bad = [block for block in range(count) if _checksum(listed, block) != _checksum(found.examined.blocks, block)]
        return facts | {"bad_blocks": list[JSON](bad[:TOLD_BLOCKS]), "bad_block_count": len(bad)}


def _checksum(blocks: bytes, index: int) -> bytes:
    return blocks[index * CHECKSUM_BYTES : (index + 1) * CHECKSUM_BYTES]
