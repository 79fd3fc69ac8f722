"""Bytes that arrive in several requests, from several processes, across restarts.

An offset that is told is durable: the bytes before it are synced, then it is committed, then it is told, and a stage
that is opened again is cut back to it. It never goes back by itself. The bytes stand in a stage that is kept, under
the upload's UUID; what becomes of them at the end is up to `BlobStore`. Uploads whose bytes come in numbered parts
begin and end here too; what is theirs alone stands in `parts.py`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from casd.auth import Principal
from casd.catalogue.values import NO_NAMING
from casd.errors import (
    CasdError,
    Conflict,
    DigestMismatch,
    OffsetConflict,
    StageMissing,
    UploadBusy,
    UploadMismatch,
    UploadNotFound,
)
from casd.model import Digest, Expected, Naming, Upload
from casd.payloads.base import Staged
from casd.store import BlobStore, Description
from casd.tasks import to_the_end
from casd.uploads.appending import Appending
from casd.uploads.turns import Session, Sessions

log = logging.getLogger(__name__)

EXPIRY_BATCH = 100


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


@dataclass(frozen=True, slots=True)
class Target:
    """What an upload becomes when it is complete."""

    namespace: str
    name: str | None  # None: a blob that holds itself
    naming: Naming = NO_NAMING


class Uploads:
    """The resumable uploads of one store."""

    def __init__(self, store: BlobStore, *, lifetime: timedelta, limit_per_token: int) -> None:
        """An upload lives for `lifetime` after its last byte."""
        self.store = store
        self.lifetime = lifetime
        self._limit_per_token = limit_per_token
        self._sessions = Sessions()

    async def start(self) -> None:
        """Remove staged bytes that belong to no upload. Before the first request."""
        unfinished = await self.store.catalogue.unfinished_uploads()
        removed = await self.store.payloads.clear_stages(keep=[str(uuid) for uuid in unfinished])
        if removed:
            log.info("stale stages removed count=%d", removed)

    async def close(self) -> None:
        """Let go of all stages; what was told is kept. No request may be under way."""
        await self._sessions.close()

    @property
    def active(self) -> int:
        """Uploads that a request has in hand."""
        return self._sessions.active

    # -- from beginning to end ----------------------------------------------------------------------------

    async def create(self, principal: Principal, new: NewUpload) -> Upload:
        """An empty upload; an announced size is reserved.

        Raises NamespaceNotFound, Forbidden, StorageFull, TooManyUploads.
        """
        store = self.store
        await store.writable_namespace(principal, new.namespace)
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
        )
        staged = await store.payloads.stage(str(upload.uuid), upload.size, is_kept=True)
        try:
            await store.catalogue.add_upload(upload, self._limit_per_token)
        except BaseException:
            await staged.discard()
            raise
        self._sessions.add(upload, staged)
        return upload

    async def upload(self, principal: Principal, uuid: UUID) -> Upload:
        """The upload with an offset that may be told.

        An older request of the same token is cut off first: its client is gone, or it would not ask.
        Raises UploadNotFound, Forbidden.
        """
        upload = await self.own(principal, uuid, is_in_parts=False)
        session = self._sessions.get(uuid)
        if session is None or session.turn is None:
            return session.upload if session else upload
        if not session.turn.yields_to(principal.token):
            return session.upload
        async with self.turn(principal, uuid) as session:
            return session.upload

    @asynccontextmanager
    async def appending(self, principal: Principal, uuid: UUID, offset: int) -> AsyncIterator[Appending]:
        """Take bytes at `offset`, which is where the upload ends; afterwards what arrived is durable and recorded.

        That holds however the block ends, for a client that hangs up too. Raises UploadNotFound, Forbidden,
        OffsetConflict, UploadBusy when another request has it or takes over, StorageFull, StorageFailed.
        """
        async with self.turn(principal, uuid, takes_bytes=True) as session:
            upload, turn = session.upload, session.turn
            assert turn is not None
            if upload.blob is not None or offset != upload.offset:
                raise OffsetConflict(offset, upload.offset)
            await to_the_end(self.open(session))
            appending = Appending(session, self._record_behind)
            try:
                async with turn.waiting_for_bytes():
                    yield appending
            finally:
                appending.is_over = True
                await to_the_end(self.settle(session))
            if turn.is_ended_early:
                raise UploadBusy("a newer request goes on with this upload", session.upload.offset)

    async def truncate(self, principal: Principal, uuid: UUID, size: int) -> Upload:
        """Cut the upload back to `size` bytes. Raises as `upload`, UploadBusy, OffsetConflict, StorageFailed."""
        async with self.turn(principal, uuid) as session:
            if session.upload.blob is not None or size > session.upload.offset:
                raise OffsetConflict(size, session.upload.offset)
            await to_the_end(self.cut_back(session, size))
            return session.upload

    async def complete(self, principal: Principal, uuid: UUID, target: Target | None = None) -> Upload:
        """The upload has become a blob, or a version of its name; doing it again changes nothing.

        A `target` stands for what was said when it began. One whose size was never told is complete with what it has.
        Raises as `upload` and `BlobStore.publish`, Conflict while bytes are missing, UploadMismatch (and then the
        upload is gone), StorageFailed (and then it can be tried again).
        """
        async with self.turn(principal, uuid) as session:
            upload = session.upload
            if upload.blob is None:
                if upload.size is not None and upload.offset != upload.size:
                    raise Conflict(f"{upload.offset} of {upload.size} bytes have arrived")
                await to_the_end(self.finish(principal, session, target))
            return session.upload

    async def terminate(self, principal: Principal, uuid: UUID) -> None:
        """The upload is gone; what it became stays. Raises as `upload`, UploadBusy."""
        async with self.turn(principal, uuid, is_in_parts=None) as session:
            await to_the_end(self._forget(session))

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
        async with self._sessions.hold(session, upload.token):
            with suppress(UploadNotFound):
                await self._refresh(session)
                if session.upload.expires_at <= self.store.now():
                    await to_the_end(self._forget(session))
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
        principal.check_writer(upload.namespace)
        return upload

    @asynccontextmanager
    async def turn(
        self,
        principal: Principal,
        uuid: UUID,
        *,
        is_in_parts: bool | None = False,
        part: int | None = None,
        takes_bytes: bool = False,
    ) -> AsyncIterator[Session]:
        """Have the upload in hand, alone, or one part of it. Raises UploadNotFound, Forbidden, UploadBusy."""
        while True:
            session = self._sessions.of(await self.own(principal, uuid, is_in_parts=is_in_parts))
            if not session.in_the_way(part):
                break
            await self._sessions.free(session, principal.token, part)
        async with self._sessions.hold(session, principal.token, part, takes_bytes=takes_bytes):
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

    # -- what is done in a turn ---------------------------------------------------------------------------

    async def open(self, session: Session) -> Staged:
        """The stage, open, with exactly the bytes that were told. Raises UploadNotFound, StorageFull, StorageFailed."""
        if session.staged is not None:
            return session.staged
        upload, payloads = session.upload, self.store.payloads
        size = None if upload.is_in_parts else upload.size  # parts are reserved one by one
        # A commit that failed may be read after a crash, until another one has succeeded: only then may bytes go that
        # it would tell of.
        await self.store.catalogue.set_upload_offset(upload.uuid, upload.offset, upload.expires_at)
        try:
            session.staged = await payloads.reopen(str(upload.uuid), upload.offset, size)
        except StageMissing as error:
            if upload.offset:
                log.error("upload lost its bytes upload=%s offset=%d error=%s", upload.uuid, upload.offset, error)
                await self._forget(session)
                raise UploadNotFound(f"the bytes of upload {upload.uuid} are gone: begin again") from error
            session.staged = await payloads.stage(str(upload.uuid), size, is_kept=True)
        return session.staged

    async def settle(self, session: Session) -> None:
        """What has arrived is durable and recorded. Raises StorageFailed; then what was recorded before is left."""
        if session.writing is not None:
            await asyncio.wait([session.writing])
            session.writing = None
        if session.recording is not None:
            await asyncio.wait([session.recording])
        staged = session.staged
        if staged is None:
            return
        try:
            await self._record(session, await staged.sync())
        except BaseException:
            session.staged = None
            await staged.suspend()  # the next turn cuts it back to what was told
            raise

    async def _record(self, session: Session, offset: int) -> None:
        upload = session.upload
        if offset != upload.offset:
            expires_at = self.store.now() + self.lifetime
            await self.store.catalogue.set_upload_offset(upload.uuid, offset, expires_at)
            session.upload = replace(upload, offset=offset, expires_at=expires_at)
        session.recorded_at = asyncio.get_running_loop().time()

    def _record_behind(self, session: Session) -> None:
        """Record what a flush has made durable, while more arrives."""
        is_recording = session.recording is not None and not session.recording.done()
        offset = session.staged.durable_size if session.staged is not None else 0
        # What could not be recorded is tried again with the next flush and at the turn's end, not with every piece.
        if offset > max(session.upload.offset, session.tried_offset) and not is_recording:
            session.tried_offset = offset
            session.recording = asyncio.create_task(self._record_quietly(session, offset))

    async def _record_quietly(self, session: Session, offset: int) -> None:
        try:
            await self._record(session, offset)
        except CasdError as error:  # the turn's end records again, and tells
            session.recorded_at = asyncio.get_running_loop().time()
            log.warning("offset not recorded upload=%s error=%s", session.upload.uuid, error)

    async def cut_back(self, session: Session, size: int) -> None:
        """Only the first `size` bytes are there. Raises StorageFailed; then what is recorded decides, later."""
        # The row first: a crash in between leaves more bytes than it says, which are cut off when it is opened again.
        await self._record(session, size)
        staged, session.staged = session.staged, None
        if staged is not None:
            await staged.truncate(size)
            session.staged = staged

    async def finish(self, principal: Principal, session: Session, target: Target | None = None) -> None:
        """The upload becomes a blob of the bytes up to its offset. Raises as `complete`."""
        upload, store = session.upload, self.store
        target = target or Target(upload.namespace, upload.name, Naming(upload.keep_versions))
        staged = await self.open(session)
        about = Description(upload.content_type, upload.filename)
        expected = Expected(upload.offset, upload.digest.raw if upload.digest else None)
        more: dict[str, Any] = {"expected": expected, "finishes": upload.uuid}
        try:
            if target.name is None:
                await store.add(principal, target.namespace, staged, about, **more)
            else:
                more["naming"] = target.naming
                await store.publish(principal, target.namespace, target.name, staged, about, **more)
        except BaseException as error:
            session.staged = None
            await staged.suspend()
            if isinstance(error, DigestMismatch):
                await self._forget(session)
                raise UploadMismatch(str(error)) from None
            raise
        self._sessions.drop(session)
        session.staged = None
        await staged.discard()
        session.upload = await store.catalogue.upload(upload.uuid) or upload

    async def _forget(self, session: Session) -> None:
        """Row first: bytes without a row are removed at the next start, a row without bytes would be a lie."""
        uuid = session.upload.uuid
        with suppress(UploadNotFound):
            await self.store.catalogue.remove_upload(uuid)
        self._sessions.drop(session)
        staged, session.staged = session.staged, None
        if staged is not None:
            await staged.discard()
        else:
            await self.store.payloads.drop_stage(str(uuid))
