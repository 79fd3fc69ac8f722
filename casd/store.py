"""The few operations that touch both payloads and catalogue, and who may do them. Every dialect stands on these.

Storing goes *payload first, row second*: a crash between the two leaves a file without a row, which collection
finds, never a row without its bytes. What is absent and what is not the caller's raise the same error.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from casd.auth import Principal
from casd.catalogue.base import Catalogue
from casd.catalogue.values import NO_GUARD, NO_NAMING
from casd.counted import CountedStage, Quotas
from casd.errors import (
    BlobNotFound,
    NameNotFound,
    NamespaceNotFound,
    NotFound,
    PayloadNotFound,
    PreconditionFailed,
    Protected,
    VersionNotFound,
)
from casd.judging import Judge
from casd.locks import DigestLocks
from casd.model import (
    Blob,
    BlobState,
    Digest,
    Expected,
    Guard,
    Namespace,
    Naming,
    NewBlob,
    Receipt,
    VerifyReads,
    Version,
)
from casd.payloads.base import ANYTHING, PayloadStore, Staged
from casd.tasks import to_the_end
from casd.verified import VerifiedPayload, VerifiedReads

DEFAULT_CONTENT_TYPE = "application/octet-stream"

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Description:
    """What a sender says of the bytes beside the bytes themselves."""

    content_type: str = DEFAULT_CONTENT_TYPE
    filename: str | None = None
    expires_at: datetime | None = None


class BlobStore:
    """Blobs, names and versions over a payload store and a catalogue."""

    def __init__(
        self,
        payloads: PayloadStore,
        catalogue: Catalogue,
        locks: DigestLocks,
        *,
        now: Callable[[], datetime],
        new_uuid: Callable[[], UUID],
        grace: timedelta,
        share_by_uuid: bool,
        verify_reads: VerifyReads = VerifyReads.FIRST,
        recheck: timedelta = timedelta(days=7),
    ) -> None:
        self.payloads = payloads
        self.catalogue = catalogue
        self.locks = locks
        self.now = now
        self.grace = grace
        self.new_uuid = new_uuid
        self._share_by_uuid = share_by_uuid
        self.quotas = Quotas(catalogue, now, grace)
        self.judge = Judge(payloads, catalogue, locks, now)
        self.reads = VerifiedReads(payloads, catalogue, self.judge, now, verify_reads, recheck)
        self._commits: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """Wait for commits that go on although their callers were cancelled; judgements are given up."""
        await self.judge.close()
        if self._commits:
            await asyncio.wait(self._commits)

    # -- who may read -------------------------------------------------------------------------------------

    async def namespace(self, name: str) -> Namespace:
        """Raises NamespaceNotFound."""
        namespace = await self.catalogue.namespace(name)
        if namespace is None:
            raise NamespaceNotFound(f"there is no namespace {name}")
        return namespace

    async def readable_namespace(self, principal: Principal, name: str) -> Namespace:
        """A namespace whose blobs and names the caller may find and list. Raises NamespaceNotFound."""
        namespace = await self.namespace(name)
        if not principal.may_read(namespace):
            raise NamespaceNotFound(f"there is no namespace {name}")
        return namespace

    async def writable_namespace(self, principal: Principal, name: str) -> Namespace:
        """Where the caller may change what is there. Raises NamespaceNotFound, and Forbidden for too small a role."""
        namespace = await self.catalogue.namespace(name)
        principal.check_writer(name)
        if namespace is None:
            raise NamespaceNotFound(f"there is no namespace {name}")
        return namespace

    async def addable_namespace(self, principal: Principal, name: str) -> Namespace:
        """One that the caller may at least add to; the same for what changes nothing that is there. Raises as it."""
        namespace = await self.catalogue.namespace(name)
        principal.check_adder(name)
        if namespace is None:
            raise NamespaceNotFound(f"there is no namespace {name}")
        return namespace

    async def may_see(self, principal: Principal | None, name: str) -> bool:
        """Whether info and bytes of that namespace's blobs are open to the caller; None is nobody in particular."""
        namespace = await self.catalogue.namespace(name)
        if namespace is None:
            return False
        return namespace.anonymous_read or (principal is not None and principal.may_read(namespace))

    async def readable_blob(self, principal: Principal | None, uuid: UUID) -> Blob:
        """The blob. Knowing a UUID is evidence enough for any token, unless the namespace says no.

        Raises BlobNotFound.
        """
        blob = await self.catalogue.blob(uuid, self.now())
        if blob is not None:
            if await self.may_see(principal, blob.namespace):
                return blob
            if principal is not None and self._shares(await self.namespace(blob.namespace)):
                return blob
        raise BlobNotFound(f"there is no blob {uuid}")

    def _shares(self, namespace: Namespace) -> bool:
        own = namespace.share_by_uuid
        return self._share_by_uuid if own is None else own

    async def members_blob(self, principal: Principal, uuid: UUID) -> Blob:
        """A blob of a namespace that the caller is a member of. Raises BlobNotFound."""
        blob = await self.catalogue.blob(uuid, self.now())
        if blob is None or not principal.is_member(blob.namespace):
            raise BlobNotFound(f"there is no blob {uuid}")
        return blob

    async def writable_blob(self, principal: Principal, uuid: UUID) -> Blob:
        """One that the caller may change. Raises BlobNotFound, and Forbidden for a role that is too small."""
        blob = await self.members_blob(principal, uuid)
        principal.check_writer(blob.namespace)
        return blob

    async def addable_blob(self, principal: Principal, uuid: UUID) -> Blob:
        """One that the caller may at least add metadata to. Raises as `writable_blob`."""
        blob = await self.members_blob(principal, uuid)
        principal.check_adder(blob.namespace)
        return blob

    async def readable_version(
        self,
        principal: Principal | None,
        namespace: str,
        name: str,
        *,
        number: int | None = None,
        as_of: datetime | None = None,
    ) -> tuple[Version, Blob]:
        """The newest version, that one, or the one then, and its blob. Raises NameNotFound, VersionNotFound."""
        missing: NotFound = NameNotFound(f"there is no name {namespace}/{name}")
        if not await self.may_see(principal, namespace):
            raise missing
        if as_of is not None:
            version = await self.catalogue.version_as_of(namespace, name, as_of)
            missing = NameNotFound(f"{namespace}/{name} had no version then")
        else:
            version = await self.catalogue.version(namespace, name, number)
            if number is not None:
                missing = VersionNotFound(f"there is no version {number} of {namespace}/{name}")
        blob = version.blob.at(self.now()) if version is not None and version.blob is not None else None
        if number is None and version is not None and version.is_marker:
            missing = NameNotFound(f"{namespace}/{name} is hidden since version {version.number}: it can be undeleted")
        if version is None or blob is None:
            raise missing
        return replace(version, blob=blob), blob

    async def version_holding(self, principal: Principal, uuid: UUID) -> Version:
        """The first version that holds the blob, in a namespace that is readable to the caller.

        Unlike `readable_blob`, knowing the UUID is not enough. Raises BlobNotFound.
        """
        blob = await self.catalogue.blob(uuid, self.now())
        if blob is not None and principal.may_read(await self.namespace(blob.namespace)):
            for ref in await self.catalogue.holding_versions(uuid, 1):
                version = await self.catalogue.version(ref.namespace, ref.name, ref.number)
                if version is not None and version.blob is not None:  # it may have gone meanwhile
                    return version
        raise BlobNotFound(f"there is no blob {uuid} with a name")

    async def readable_payload(self, principal: Principal | None, digest: Digest) -> Blob:
        """The oldest blob with this digest that the caller may see. Raises PayloadNotFound.

        By digest a payload is open to members, or where a namespace is open to nobody in particular: a digest,
        unlike a UUID, is no secret.
        """
        now = self.now()
        if principal is not None:
            mine = None if principal.is_admin else principal.namespaces
            blob = await self.catalogue.blob_of_payload(digest, mine, now)
            if blob is None:
                readable = [namespace.name for namespace in await self.catalogue.namespaces(principal.namespaces)]
                blob = await self.catalogue.blob_of_payload(digest, readable, now)
            if blob is not None:
                return blob
        anonymous = [item.name for item in await self.catalogue.namespaces(None) if item.anonymous_read]
        blob = await self.catalogue.blob_of_payload(digest, anonymous, now) if anonymous else None
        if blob is None:
            raise PayloadNotFound(f"there is no payload {digest}")
        return blob

    async def open_payload(self, blob: Blob) -> VerifiedPayload:
        """The blob's bytes, open. Raises PayloadMissing, PayloadUnreadable, and PayloadDamaged for what is."""
        return await self.reads.open(blob)

    # -- storing ------------------------------------------------------------------------------------------

    async def stage(
        self, namespace: str, size: int | None = None, *, name: str | None = None, least: int | None = None
    ) -> CountedStage:
        """An empty stage, for `add` or `publish`, which may go by retention of `name`. An announced size is reserved.

        What is surely payload, `least` where that is told, is claimed in the namespace's quota now, what else comes
        when it comes. Raises StorageFull, QuotaExceeded, Protected.
        """
        if name is not None:
            await self.check_unprotected(namespace, name)
        claim = await self.quotas.claim(namespace, (size or 0) if least is None else least, name)
        return await self.quotas.stage(claim, self.payloads.stage(str(self.new_uuid()), size, owner=namespace))

    async def add(
        self,
        principal: Principal,
        namespace: str,
        staged: CountedStage,
        about: Description,
        expected: Expected = ANYTHING,
        *,
        finishes: UUID | None = None,
    ) -> Blob:
        """A new blob of the staged bytes, which holds itself; its promise is durable.

        The upload that it `finishes`, if any, has become it at the same moment.
        Raises NamespaceNotFound, Forbidden, SizeMismatch, DigestMismatch, QuotaExceeded, StorageFailed, UploadNotFound.
        """
        await self.addable_namespace(principal, namespace)
        await staged.move(namespace, None)
        receipt = await staged.seal(expected)
        new = self._new_blob(namespace, about)

        async def record() -> Blob:
            return await self.catalogue.add_blob(new, receipt, self.now(), self.keep_until(), finishes, staged.claim)

        return await self._commit(staged, receipt, record)

    async def publish(
        self,
        principal: Principal,
        namespace: str,
        name: str,
        staged: CountedStage,
        about: Description,
        *,
        guard: Guard = NO_GUARD,
        expected: Expected = ANYTHING,
        finishes: UUID | None = None,
        naming: Naming = NO_NAMING,
    ) -> Version:
        """The next version of the name, holding a new blob of the staged bytes; of equal ones, see `Naming`.

        Raises as `add`, and PreconditionFailed if the guard does not hold in the transaction.
        """
        await self.addable_namespace(principal, namespace)
        await staged.move(namespace, name)
        receipt = await staged.seal(expected)
        new = self._new_blob(namespace, about)

        async def record() -> Version:
            return await self.catalogue.publish(
                new,
                receipt,
                name,
                guard,
                principal.name,
                self.now(),
                self.keep_until(),
                finishes,
                self._of(principal, naming),
                staged.claim,
            )

        return await self._commit(staged, receipt, record)

    async def _commit(self, staged: Staged, receipt: Receipt, record: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """Name the bytes and record them, under the digest's lock, to the end even if the caller is cancelled."""

        async def both() -> R:
            async with self.locks.hold(receipt.digest):
                identity = await staged.commit()
                recorded = await record()
                self.reads.stored(receipt, identity)
                return recorded

        task = asyncio.create_task(both())
        self._commits.add(task)
        task.add_done_callback(self._commits.discard)
        # The stage is the commit's until that has ended: a caller that leaves its `async with` then discards it.
        return await to_the_end(task)

    def _new_blob(self, namespace: str, about: Description) -> NewBlob:
        return NewBlob(self.new_uuid(), namespace, about.content_type, about.filename, about.expires_at)

    def keep_until(self) -> datetime:
        """Until when a payload is kept that is stored, asked for or let go now."""
        return self.now() + self.grace

    # -- names --------------------------------------------------------------------------------------------

    async def check_guard(self, namespace: str, name: str, guard: Guard) -> None:
        """Raise PreconditionFailed now, before a body is sent, if the guard does not hold."""
        if guard != NO_GUARD and not guard.allows(await self.catalogue.version(namespace, name)):
            raise PreconditionFailed(f"the latest version of {namespace}/{name} is not the one that was announced")

    async def check_unprotected(self, namespace: str, name: str) -> None:
        """Raise Protected now, before a body is sent, if no version may be added to the name."""
        if await self.catalogue.is_protected(namespace, name):
            raise Protected(f"{namespace}/{name} is protected: `casd unprotect` it first, if that is meant")

    async def bind(
        self,
        principal: Principal,
        blob: UUID,
        namespace: str,
        name: str,
        *,
        guard: Guard = NO_GUARD,
        naming: Naming = NO_NAMING,
        about: Description | None = None,
    ) -> Version:
        """The next version of the name, holding a blob that is there; with `about`, one of its bytes. As `publish`.

        Raises BlobNotFound unless the caller is a member of the blob's namespace, or if its bytes are damaged,
        NamespaceNotFound, Forbidden, PreconditionFailed, and QuotaExceeded where a blob is made: of one of another
        namespace, or with `about`.
        """
        await self.addable_namespace(principal, namespace)
        source = await self.members_blob(principal, blob)
        if source.state is BlobState.ERROR:
            raise BlobNotFound(f"the bytes of blob {blob} are damaged: send them again")
        new = self._new_blob(namespace, about or Description())
        now, until, as_new = self.now(), self.keep_until(), about is not None
        naming = self._of(principal, naming)
        if not as_new and source.namespace == namespace:  # nothing is made
            return await self.catalogue.bind(blob, new, name, guard, principal.name, now, until, naming)
        claim = await self.quotas.claim(namespace, source.size, name)
        try:
            return await self.catalogue.bind(
                blob, new, name, guard, principal.name, now, until, naming, as_new=as_new, claim=claim
            )
        finally:
            claim.release()

    def _of(self, principal: Principal, naming: Naming) -> Naming:
        return replace(naming, only_adds=True) if principal.only_adds else naming
