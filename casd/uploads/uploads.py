"""Bytes that arrive in several requests, from several processes, across restarts.

An offset that is told is durable: the bytes before it are synced, then it is committed, then it is told, and a stage
that is opened again is cut back to it. It never goes back by itself. The bytes stand in a stage that is kept, under
the upload's UUID; what becomes of them at the end is up to `BlobStore`. Uploads whose bytes come in numbered parts
begin and end here too; what is theirs alone stands in `parts.py`.
"""

import hashlib
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from casd.auth import Principal
from casd.errors import Conflict, Forbidden, InvalidInput, OffsetConflict, OutOfDescriptors, UploadBusy, UploadNotFound
from casd.model import Digest, Upload
from casd.store import BlobStore, Description
from casd.tasks import to_the_end
from casd.uploads.appending import Appending
from casd.uploads.steps import Steps, Target
from casd.uploads.turns import RESTING, Asker, Session, Sessions

log = logging.getLogger(__name__)

EXPIRY_BATCH = 100
NOTHING = Digest(hashlib.sha512().digest())


@dataclass(frozen=True, slots=True)
class NewUpload:
    """What a client says when it begins."""

    namespace: str
    size: int | None = None  # None: whatever has arrived when it is completed
    digest: Digest | None = None
    name: str | None = None  # to be published under; None: a blob that holds itself
    about: Description = field(default_factory=Description)
    metadata: str = ""  # as it was sent, to be told again
    is_in_parts: bool = False  # the bytes come through `parts.receiving`
    keep_versions: int | None = None  # the rule of the name if this makes it
    xxh3_128: bytes | None = None
    expires_in_s: int | None = None  # how long the blob that it becomes holds itself
    is_partial: bool = False  # it becomes a piece of another, see `joining.py`
    joins: tuple[UUID, ...] = ()  # the partial ones that it is made of


class Uploads:
    """The resumable uploads of one store."""

    def __init__(
        self, store: BlobStore, *, lifetime: timedelta, limit_per_token: int, limit_resting: int = RESTING
    ) -> None:
        """An upload lives for `lifetime` after its last byte. `limit_resting` are kept open between two requests."""
        self.store = store
        self.lifetime = lifetime
        self.limit_per_token = limit_per_token
        self._sessions = Sessions(limit_resting)
        self.steps = Steps(store, self._sessions, lifetime)

    async def start(self) -> None:
        """Remove staged bytes that belong to no upload. Before the first request."""
        unfinished = await self.store.catalogue.unfinished_uploads()
        removed = await self.store.payloads.clear_stages(keep=[str(uuid) for uuid in unfinished])
        if removed:
            log.info("stale stages removed count=%d", removed)

    async def close(self) -> None:
        """Let go of all stages; what was told is kept. No request may be under way."""
        await self._sessions.close()

    def let_claims_go(self, uuids: Iterable[UUID]) -> None:
        """These complete uploads count against no quota any more: what joins them does."""
        for uuid in uuids:
            session = self._sessions.get(uuid)
            if session is not None and session.staged is not None:
                session.staged.claim.release()

    @property
    def active(self) -> int:
        """Uploads that a request has in hand."""
        return self._sessions.active

    # -- from beginning to end ----------------------------------------------------------------------------

    async def create(self, principal: Principal, new: NewUpload, driver: str | None = None) -> Upload:
        """An empty upload, whose announced size is reserved; or the one that this client has begun already.

        `driver` is what the client calls itself: where it says that and a digest, a creation whose answer was lost is
        not done twice. Raises NamespaceNotFound, Forbidden, StorageFull, QuotaExceeded, Protected,
        TooManyUploads.
        """
        store = self.store
        await store.addable_namespace(principal, new.namespace)
        if new.name is not None:
            await store.check_unprotected(new.namespace, new.name)
        now = store.now()
        upload = Upload(
            uuid=store.new_uuid(),
            namespace=new.namespace,
            token=principal.token,
            size=new.size,
            offset=0,
            digest=new.digest,
            name=new.name,
            content_type=new.about.content_type,
            filename=new.about.filename,
            metadata=new.metadata,
            created_at=now,
            expires_at=now + self.lifetime,
            is_in_parts=new.is_in_parts,
            keep_versions=new.keep_versions,
            xxh3_128=new.xxh3_128,
            prefix=NOTHING,
            expires_in_s=new.expires_in_s,
            session=driver,
            is_partial=new.is_partial,
            joins=new.joins,
        )
        staged = await self.steps.stage(upload)
        try:
            begun = await store.catalogue.add_upload(upload, self.limit_per_token)
        except BaseException:
            await staged.discard()
            raise
        if begun.uuid != upload.uuid:
            await staged.discard()
            return begun
        self._sessions.add(upload, staged)
        return upload

    async def upload(self, principal: Principal, uuid: UUID, driver: str | None = None) -> Upload:
        """The upload with an offset that may be told; its bytes are there.

        An older request of the same client is cut off first: it is dead, or its client would not ask. One of another
        client goes on while bytes arrive. Raises UploadNotFound, Forbidden.
        """
        upload = await self.own(principal, uuid, is_in_parts=False)
        session = self._sessions.get(uuid)
        if session is None or session.turn is None:
            upload = session.upload if session else upload
            return upload if await self._has_bytes(upload) else await self._forget_lost(principal, uuid, driver)
        if not session.turn.yields_to(Asker(principal.token, driver)):
            return session.upload
        try:
            async with self.turn(principal, uuid, driver=driver) as session:
                return session.upload
        except UploadBusy:  # another client was quicker, and goes on while this one is told
            return session.upload

    async def _has_bytes(self, upload: Upload) -> bool:
        """Whether all that was told is there, as far as a look at its file tells: an operator may have removed it."""
        if upload.blob is not None or not upload.offset:
            return True
        return await self.store.payloads.has_stage(str(upload.uuid), upload.offset)

    async def _forget_lost(self, principal: Principal, uuid: UUID, driver: str | None) -> Upload:
        """Nobody goes on with what is not there: raise UploadNotFound, unless it was a moment ago and is finished."""
        async with self.turn(principal, uuid, driver=driver) as session:
            if not await self._has_bytes(session.upload):
                await to_the_end(self.steps.forget_lost(session))
            return session.upload

    async def with_prefix(self, principal: Principal, upload: Upload) -> Upload:
        """The upload, with the digest of what is there; it is read again if need be, unless its client comes back.

        Whoever is cancelled meanwhile finds more of it done the next time. Raises as `upload`, UploadBusy,
        StorageFull, StorageFailed.
        """
        async with self.turn(principal, upload.uuid) as session:
            turn = session.turn
            assert turn is not None
            if session.upload.blob is None and session.upload.prefix is None:
                staged = await to_the_end(self.steps.open(session))
                async with turn.waiting_for_bytes():
                    await staged.hash_all()
                if not turn.is_ended_early:
                    await to_the_end(self.steps.record_prefix(session))
            return session.upload

    def is_receiving(self, uuid: UUID) -> bool:
        """Whether a client is sending bytes to the upload."""
        return self._sessions.is_receiving(uuid)

    async def announce(self, principal: Principal, uuid: UUID, size: int, driver: str | None = None) -> None:
        """The upload, whose size was not told when it began, has so many bytes; what is missing is reserved.

        Telling it again changes nothing. Raises as `upload`, UploadBusy, StorageFull, and InvalidInput if there are
        more bytes already or another size was told.
        """
        async with self.turn(principal, uuid, driver=driver) as session:
            upload = session.upload
            if upload.size is None and upload.blob is None:
                if size < upload.offset:
                    raise InvalidInput(f"{upload.offset} bytes have arrived: the upload is longer than {size}")
                await to_the_end(self.steps.set_size(session, size))
            elif upload.size != size:
                raise InvalidInput(f"the upload has {upload.size} bytes, as was told before")

    @asynccontextmanager
    async def appending(
        self, principal: Principal, uuid: UUID, offset: int, driver: str | None = None, limit_bytes: int | None = None
    ) -> AsyncIterator[Appending]:
        """Take bytes at `offset`, which is where the upload ends; afterwards what arrived is durable and recorded.

        That holds however the block ends, for a client that hangs up too. `limit_bytes` is how many it may have in all
        while its size is not told. Raises UploadNotFound, Forbidden, OffsetConflict, UploadBusy when another request
        has it or takes over, StorageFull, StorageFailed.
        """
        async with self.turn(principal, uuid, driver=driver, takes_bytes=True) as session:
            upload, turn = session.upload, session.turn
            assert turn is not None
            if upload.blob is not None or offset != upload.offset:
                raise OffsetConflict(offset, upload.offset)
            await to_the_end(self.steps.open(session))
            appending = Appending(session, self.steps.record_behind, limit_bytes)
            try:
                async with turn.waiting_for_bytes():
                    yield appending
            except OutOfDescriptors:  # its file could not be made: the next try has room
                await self._sessions.let_rest_go()
                raise
            finally:
                appending.is_over = True
                await to_the_end(self.steps.settle(session))
            if turn.is_ended_early:
                raise UploadBusy("a newer request goes on with this upload", session.upload.offset)

    async def truncate(self, principal: Principal, uuid: UUID, size: int) -> Upload:
        """Cut the upload back to `size` bytes. Raises as `upload`, UploadBusy, OffsetConflict, StorageFailed."""
        async with self.turn(principal, uuid) as session:
            if session.upload.blob is not None or size > session.upload.offset:
                raise OffsetConflict(size, session.upload.offset)
            await to_the_end(self.steps.cut_back(session, size))
            return session.upload

    async def complete(
        self, principal: Principal, uuid: UUID, target: Target | None = None, driver: str | None = None
    ) -> Upload:
        """The upload has become a blob, or a version of its name; doing it again changes nothing.

        A `target` stands for what was said when it began. One whose size was never told is complete with what it has.
        Raises as `upload` and `BlobStore.publish`, Conflict while bytes are missing, UploadMismatch (and then the
        upload is gone), StorageFailed (and then it can be tried again).
        """
        async with self.turn(principal, uuid, driver=driver) as session:
            upload = session.upload
            if upload.blob is None:
                if upload.is_partial or upload.joins:
                    raise Conflict(
                        "a partial upload becomes a piece of another, and one that joins them is joined again"
                    )
                if upload.size is not None and upload.offset != upload.size:
                    raise Conflict(f"{upload.offset} of {upload.size} bytes have arrived")
                await to_the_end(self.steps.finish(principal, session, target))
            return session.upload

    async def terminate(self, principal: Principal, uuid: UUID, driver: str | None = None) -> None:
        """The upload is gone; what it became stays. Raises as `upload`, UploadBusy."""
        async with self.turn(principal, uuid, is_in_parts=None, driver=driver) as session:
            await to_the_end(self.steps.forget(session))

    async def expire(self) -> int:
        """End uploads past their time, with their bytes; returns how many. Those that a request has go on."""
        total = 0
        while True:
            expired = await self.store.catalogue.expired_uploads(self.store.now(), EXPIRY_BATCH)
            ended = sum([await self._end_expired(upload) for upload in expired])
            total += ended
            if len(expired) < EXPIRY_BATCH or not ended:
                return total

    async def _end_expired(self, upload: Upload) -> bool:
        """End it unless a request has it, or had it a moment ago and prolonged it; returns whether it did."""
        session = self._sessions.of(upload)
        if session.turns:
            return False
        async with self._sessions.hold(session, Asker(upload.token)):
            with suppress(UploadNotFound):
                await self._refresh(session)
                if session.upload.expires_at <= self.store.now():
                    await to_the_end(self.steps.forget(session))
                    return True
            return False

    # -- who may, and when --------------------------------------------------------------------------------

    async def own(self, principal: Principal, uuid: UUID, *, is_in_parts: bool | None) -> Upload:
        """An upload of that kind, None for either, that the caller may go on with. Raises UploadNotFound, Forbidden."""
        upload = await self.store.catalogue.upload(uuid)
        if upload is None or not principal.is_member(upload.namespace):
            raise UploadNotFound(f"there is no upload {uuid}")
        if is_in_parts not in (None, upload.is_in_parts):
            raise UploadNotFound(f"there is no upload {uuid} of this kind: its client goes on with it in another way")
        if upload.expires_at <= self.store.now() and not self._sessions.has_turn(uuid):
            raise UploadNotFound(f"upload {uuid} has expired")
        principal.check_adder(upload.namespace)
        if principal.only_adds and upload.token != principal.token:
            raise Forbidden(f"another token began upload {uuid}: this needs the role writer")
        return upload

    @asynccontextmanager
    async def turn(
        self,
        principal: Principal,
        uuid: UUID,
        *,
        is_in_parts: bool | None = False,
        part: int | None = None,
        driver: str | None = None,
        takes_bytes: bool = False,
    ) -> AsyncIterator[Session]:
        """Have the upload in hand, alone, or one part of it. Raises UploadNotFound, Forbidden, UploadBusy."""
        asker = Asker(principal.token, driver)
        while True:
            session = self._sessions.of(await self.own(principal, uuid, is_in_parts=is_in_parts))
            if not session.in_the_way(part):
                break
            await self._sessions.free(session, asker, part)
        async with self._sessions.hold(session, asker, part, takes_bytes=takes_bytes):
            await self._refresh(session)
            yield session

    async def _refresh(self, session: Session) -> None:
        """What is known of an upload that nobody else has now is what its row says. Raises UploadNotFound."""
        if session.staged is None and len(session.turns) == 1:
            upload = await self.store.catalogue.upload(session.upload.uuid)
            if upload is None:
                self._sessions.drop(session)
                raise UploadNotFound(f"there is no upload {session.upload.uuid}")
            session.upload = upload
