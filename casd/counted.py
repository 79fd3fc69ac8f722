"""Stages whose bytes count against the quota of a namespace from their first to their last.

What is announced is claimed before anything of it is taken, what is not as it comes. A claim goes with its stage: it
becomes use in the transaction that makes the blob, and is let go when the stage is discarded, suspended or fails.
"""

from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from casd.catalogue.base import Catalogue
from casd.catalogue.claims import Claim
from casd.errors import QuotaExceeded, StorageFailed
from casd.model import Digest, Expected, Receipt
from casd.payloads.base import ANYTHING, Staged


class Quotas:
    """Claims in the quotas of one catalogue, made after what takes up room for no reason any more has gone."""

    def __init__(self, catalogue: Catalogue, now: Callable[[], datetime], grace: timedelta) -> None:
        self._catalogue = catalogue
        self._now = now
        self._grace = grace

    async def claim(self, namespace: str, size: int, name: str | None = None) -> Claim:
        """Room for a blob of `size` bytes, or of what grows from there; of the next version of `name`, if that is told.

        Raises QuotaExceeded.
        """
        claim = Claim(self._catalogue.claims, namespace, name)
        await self.cover(claim, size)
        return claim

    async def cover(self, claim: Claim, size: int) -> None:
        """Have it claim `size` bytes in all. Raises QuotaExceeded; then it claims nothing any more.

        So of two that grow at once, and do not both fit, one does: what the first lets go of is free for the other.
        """
        try:
            claim.cover(size)
        except QuotaExceeded:
            now = self._now()
            await self._catalogue.expire_in(claim.namespace, now, now + self._grace)
            if claim.name is not None:
                claim.spare(await self._catalogue.spared(claim.namespace, claim.name, now))
            try:
                claim.cover(size)
            except QuotaExceeded:
                claim.release()
                raise

    async def stage(self, claim: Claim, making: Awaitable[Staged]) -> "CountedStage":
        """The stage that is made, with its claim. Raises as `making`."""
        try:
            return CountedStage(await making, claim, self)
        except BaseException:
            claim.release()
            raise


class CountedStage:
    """See `payloads.base.Staged`; `append` and `write_at` raise QuotaExceeded, and then nothing of `data` was taken."""

    def __init__(self, staged: Staged, claim: Claim, quotas: Quotas) -> None:
        self.claim = claim
        self._staged = staged
        self._quotas = quotas

    async def cover(self, size: int) -> None:
        """Claim room for `size` bytes in all, before they come. Raises QuotaExceeded."""
        await self._quotas.cover(self.claim, size)

    async def move(self, namespace: str, name: str | None) -> None:
        """What it becomes, all bytes being here, counts in that namespace. Raises QuotaExceeded."""
        if self.claim.namespace == namespace:
            await self.cover(self.size)
            return
        claim = await self._quotas.claim(namespace, self.size, name)
        self.claim.release()
        self.claim = claim

    @property
    def id(self) -> str:
        return self._staged.id

    @property
    def size(self) -> int:
        return self._staged.size

    @property
    def durable_size(self) -> int:
        return self._staged.durable_size

    @property
    def durable_digest(self) -> Digest | None:
        return self._staged.durable_digest

    async def reserve(self, size: int) -> None:
        await self._staged.reserve(size)

    def release(self, size: int) -> None:
        self._staged.release(size)

    async def append(self, data: bytes) -> None:
        await self.cover(self.size + len(data))
        with self._let_go_if_it_fails():
            await self._staged.append(data)

    async def write_at(self, offset: int, data: bytes) -> None:
        await self.cover(offset + len(data))
        with self._let_go_if_it_fails():
            await self._staged.write_at(offset, data)

    async def truncate(self, size: int) -> None:
        with self._let_go_if_it_fails():
            await self._staged.truncate(size)

    async def sync(self) -> int:
        with self._let_go_if_it_fails():
            return await self._staged.sync()

    async def hash_all(self) -> None:
        with self._let_go_if_it_fails():
            await self._staged.hash_all()

    async def seal(self, expected: Expected = ANYTHING) -> Receipt:
        with self._let_go_if_it_fails():
            return await self._staged.seal(expected)

    async def commit(self) -> Hashable:
        with self._let_go_if_it_fails():
            return await self._staged.commit()

    async def suspend(self) -> None:
        self.claim.release()
        await self._staged.suspend()

    async def discard(self) -> None:
        self.claim.release()
        await self._staged.discard()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.discard()

    @contextmanager
    def _let_go_if_it_fails(self) -> Iterator[None]:
        """A stage whose disk has failed has discarded or suspended itself."""
        try:
            yield
        except StorageFailed:
            self.claim.release()
            raise
