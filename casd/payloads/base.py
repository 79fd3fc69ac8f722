"""The contract of a payload store: immutable bytes, named by their SHA-512.

A store knows nothing of UUIDs, names or who may read. What must not happen at once for one digest (a commit,
a removal, a quarantine) is kept apart by the caller, who holds that digest's lock (`casd/locks.py`).
Every backend, and every fake, passes `tests/contracts/payload_store.py`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Hashable, Mapping
from threading import Lock
from types import TracebackType
from typing import Protocol, Self

from casd.model import JSON, Digest, Examined, Expected, Quarantined, Receipt, Stored

ANYTHING = Expected()  # nothing was announced


class Payload(Protocol):
    """An open payload. It goes on reading after its removal; whoever opened it closes it."""

    @property
    def size(self) -> int: ...

    @property
    def identity(self) -> Hashable:
        """Of this copy of the bytes: another copy of them has another one, and so has this one once it was changed."""

    @property
    def file(self) -> int | None:
        """A descriptor that the kernel can send from; None where there is none. Not for closing."""

    async def read(self, start: int, stop: int) -> bytes:
        """Exactly the bytes `start` to `stop`. Raises PayloadDamaged if they are not all there, PayloadUnreadable."""

    def read_now(self, start: int, stop: int) -> bytes | None:
        """The same bytes if they can be had without waiting for a disk, else None. May always be None."""

    def is_cached(self, start: int, stop: int) -> bool:
        """Whether sending these bytes from `file` is expected not to wait for a disk."""

    async def block_checksums(self, start: int, stop: int, *, from_disk: bool = False) -> bytes:
        """The XXH3-64 of blocks `start` to `stop` as they read now, 8 bytes each, and no more than there are.

        `from_disk` reads past any cache and leaves nothing in it. Raises PayloadUnreadable.
        """

    async def examine(self, pace: Callable[[int], Awaitable[None]] | None = None) -> Examined:
        """The SHA-512 and the block checksums of the whole, read past any cache.

        `pace` is awaited again and again with how many bytes were read since. Raises PayloadUnreadable.
        """

    async def forget_cached(self) -> None:
        """What a cache has of it is read anew, as far as that can be told."""

    def close(self) -> None:
        """Let go. Closing twice is no error; a `block_checksums` or `examine` under way is one."""


class Staged(Protocol):
    """Bytes on their way in, seen by nobody. One task at a time uses it; leaving `async with` discards it.

    A cancelled `append` did not happen, so `size` says where the next one goes; of bytes that a cancelled `write_at`
    was to overwrite, some may be the new ones. After a cancelled `seal` only `discard` is left.
    Any failed write or fsync discards it too: what a kernel could not write it may drop and call clean, so the
    same descriptor is never synced again (DESIGN.md 5.3). One that is kept is suspended instead, and `reopen` cuts it
    back to what was synced before.
    """

    @property
    def id(self) -> str: ...

    @property
    def size(self) -> int: ...

    @property
    def durable_size(self) -> int:
        """How many bytes from the start survive a power cut, and can be had by `reopen`. Grows while more arrives."""

    @property
    def durable_digest(self) -> Digest | None:
        """The digest of those bytes; None while they are not hashed yet, or did not come in their order."""

    async def reserve(self, size: int) -> None:
        """Announce `size` bytes more, beside what `stage` was told. Raises StorageFull, with nothing announced."""

    def release(self, size: int) -> None:
        """Take back what was announced and will not come."""

    async def append(self, data: bytes) -> None:
        """Put `data` at the end. Raises StorageFull, StorageFailed."""

    async def write_at(self, offset: int, data: bytes) -> None:
        """Put `data` at `offset`, over what is there; a hole is allowed until the stage is sealed."""

    async def truncate(self, size: int) -> None:
        """Cut back to `size` bytes, which must not be more than there are."""

    async def sync(self) -> int:
        """Return the size, which now survives a power cut together with the bytes before it."""

    async def hash_all(self) -> None:
        """All that is there is hashed. A caller that is cancelled does not stop that. Raises StorageFailed."""

    async def seal(self, expected: Expected = ANYTHING) -> Receipt:
        """Return the receipt; the bytes are hashed, checked against `expected` and synced.

        Raises SizeMismatch or DigestMismatch, and then the stage is good for `discard` only. Nothing may be
        written afterwards.
        """

    async def commit(self) -> Hashable:
        """Name the sealed bytes by their digest, durably; a damaged or missing copy is replaced.

        Returns the payload's identity.

        The caller holds the lock of the receipt's digest until its catalogue row is committed. Afterwards the
        stage is spent; a second call is an error. One that is kept stays for `reopen` until it is discarded, so that
        a crash before the row is committed costs nobody a second upload.
        """

    async def suspend(self) -> None:
        """Let go of descriptor and reservation of a stage that is kept; `reopen` has its durable bytes."""

    async def discard(self) -> None:
        """Leave nothing behind. Not an error after `commit`, `suspend` or a second time."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Arrivals:
    """How many payloads were stored since the start, and how many of them for nothing: their bytes were there.

    For any thread.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self.payloads = self.bytes = 0
        self.known_payloads = self.known_bytes = 0

    def add(self, size: int, is_known: bool) -> None:
        with self._lock:
            self.payloads += 1
            self.bytes += size
            self.known_payloads += is_known
            self.known_bytes += size * is_known


class PayloadStore(Protocol):
    """Payloads by digest."""

    arrivals: Arrivals

    async def stage(self, id: str, size: int | None = None, *, is_kept: bool = False, owner: Hashable = None) -> Staged:
        """Return an empty stage. `id` is unique among stages and plain text without a slash.

        A `size` that is announced is reserved until it is written: from others of its owner, and from strangers as far
        as its bytes come fast enough to fill it. One that is kept outlives failures, `suspend` and
        the process, and is for `reopen`. Raises StorageFull.
        """

    async def reopen(self, id: str, offset: int, size: int | None = None, *, owner: Hashable = None) -> Staged:
        """Return the stage that was kept, cut back to `offset` durable bytes, with nothing hashed in another process.

        What is missing to `size` is reserved. Raises StageMissing if it is not there or shorter, StorageFull.
        """

    async def open(self, digest: Digest) -> Payload:
        """Return the payload, open. Raises PayloadMissing, PayloadUnreadable."""

    async def remove(self, digest: Digest) -> bool:
        """Remove the payload; afterwards `open` raises PayloadMissing.

        Returns whether there was one; absence is not an error. An open Payload keeps reading. The caller holds
        the digest's lock.
        """

    async def quarantine(self, digest: Digest, why: str, facts: Mapping[str, JSON] | None = None) -> bool:
        """Move the payload out of reach, durably, with a note of `why` and `facts`; `open` raises PayloadMissing then.

        Returns whether there was one; where there was none the note is kept all the same. The caller holds the
        digest's lock.
        """

    async def quarantined(self, limit: int, after: str | None = None) -> list[Quarantined]:
        """At most `limit` of what is in quarantine, by id, behind `after`."""

    async def in_quarantine(self, id: str) -> Quarantined | None: ...

    async def purge_quarantined(self, id: str) -> bool:
        """Delete that, bytes and note; returns whether it was there."""

    def scan(self) -> AsyncIterator[Stored]:
        """Every payload that is there, in no order; what comes or goes meanwhile may be seen or not."""

    async def has_stage(self, id: str, size: int) -> bool:
        """Whether a stage that was kept is there with at least `size` bytes. One without a file yet is not."""

    async def read_stage(self, id: str, start: int, stop: int) -> bytes:
        """Exactly these bytes of a stage that was kept. Raises StageMissing if they are not all there."""

    async def drop_stage(self, id: str) -> None:
        """Remove a stage that was kept and is not open; absence is not an error."""

    async def clear_stages(self, keep: Collection[str] = ()) -> int:
        """Remove every stage but those named; returns how many. For the start, before the first `stage`."""

    async def probe(self) -> None:
        """A few bytes were written and synced, over those of the last time. Raises StorageFailed, StorageFull."""

    async def free_bytes(self) -> int:
        """What may still be written before the reserve is touched; not below zero."""

    @property
    def reserved_bytes(self) -> int:
        """What transfers in progress have announced and not yet written."""

    @property
    def reserve_bytes(self) -> int:
        """What stays free on the disk, as it was when `free_bytes` was asked last."""

    async def close(self) -> None:
        """Wait for what is under way and let go of all threads. Stages must be gone."""
