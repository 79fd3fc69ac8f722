"""What is done to an upload by the request that has it in hand: open, record, cut back, finish, forget."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, NoReturn
from uuid import UUID

from casd.auth import Principal
from casd.catalogue.values import NO_NAMING
from casd.counted import CountedStage
from casd.errors import CasdError, DigestMismatch, OutOfDescriptors, StageMissing, UploadMismatch, UploadNotFound
from casd.model import Digest, Expected, Naming, Upload
from casd.payloads.base import Staged
from casd.store import BlobStore, Description
from casd.uploads.turns import Session, Sessions

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Target:
    """What an upload becomes when it is complete."""

    namespace: str
    name: str | None  # None: a blob that holds itself
    naming: Naming = NO_NAMING


class Steps:
    """Each is for whoever has the upload's turn, or the lock of its stage."""

    def __init__(self, store: BlobStore, sessions: Sessions, lifetime: timedelta) -> None:
        self._store = store
        self._sessions = sessions
        self._lifetime = lifetime

    async def stage(self, upload: Upload) -> CountedStage:
        """An empty stage for the upload. Raises StorageFull, QuotaExceeded."""
        return await self._counted(
            upload,
            lambda size: self._store.payloads.stage(str(upload.uuid), size, is_kept=True, owner=upload.namespace),
        )

    async def _counted(self, upload: Upload, made: Callable[[int | None], Awaitable[Staged]]) -> CountedStage:
        """What is announced, or here, is claimed; disk space of parts is reserved one by one."""
        quotas = self._store.quotas
        claim = await quotas.claim(upload.namespace, max(upload.size or 0, upload.offset), upload.name)
        return await quotas.stage(claim, made(None if upload.is_in_parts else upload.size))

    async def open(self, session: Session) -> CountedStage:
        """The stage, open, with exactly the bytes that were told.

        Raises UploadNotFound, StorageFull, QuotaExceeded, StorageFailed.
        """
        if session.staged is not None:
            return session.staged
        upload, payloads = session.upload, self._store.payloads

        def reopened(size: int | None) -> Awaitable[Staged]:
            return payloads.reopen(str(upload.uuid), upload.offset, size, owner=upload.namespace)

        # A commit that failed may be read after a crash, until another one has succeeded: only then may bytes go that
        # it would tell of.
        await self._store.catalogue.set_upload_offset(upload.uuid, upload.offset, upload.expires_at, upload.prefix)
        try:
            try:
                session.staged = await self._counted(upload, reopened)
            except OutOfDescriptors:
                await self._sessions.let_rest_go()
                session.staged = await self._counted(upload, reopened)
        except StageMissing:
            if upload.offset:
                await self.forget_lost(session)
            session.staged = await self.stage(upload)
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
            await self._record(session, await staged.sync(), staged.durable_digest)
        except BaseException:
            session.staged = None
            await staged.suspend()  # the next turn cuts it back to what was told
            raise

    async def _record(self, session: Session, offset: int, prefix: Digest | None) -> None:
        upload = session.upload
        if offset != upload.offset:
            expires_at = self._store.now() + self._lifetime
            await self._store.catalogue.set_upload_offset(upload.uuid, offset, expires_at, prefix)
            session.upload = replace(upload, offset=offset, expires_at=expires_at, prefix=prefix)
        session.recorded_at = asyncio.get_running_loop().time()

    async def record_prefix(self, session: Session) -> None:
        """The digest of what is there is recorded; all is hashed."""
        upload, staged = session.upload, session.staged
        prefix = staged.durable_digest if staged is not None and staged.durable_size == upload.offset else None
        if prefix is not None:
            await self._store.catalogue.set_upload_offset(upload.uuid, upload.offset, upload.expires_at, prefix)
            session.upload = replace(upload, prefix=prefix)

    def record_behind(self, session: Session) -> None:
        """Record what a flush has made durable, while more arrives."""
        is_recording = session.recording is not None and not session.recording.done()
        staged = session.staged
        offset = staged.durable_size if staged is not None else 0
        # What could not be recorded is tried again with the next flush and at the turn's end, not with every piece.
        if staged is not None and offset > max(session.upload.offset, session.tried_offset) and not is_recording:
            session.tried_offset = offset
            session.recording = asyncio.create_task(self._record_quietly(session, offset, staged.durable_digest))

    async def _record_quietly(self, session: Session, offset: int, prefix: Digest | None) -> None:
        try:
            await self._record(session, offset, prefix)
        except CasdError as error:  # the turn's end records again, and tells
            session.recorded_at = asyncio.get_running_loop().time()
            log.warning("offset not recorded upload=%s error=%s", session.upload.uuid, error)

    async def cut_back(self, session: Session, size: int) -> None:
        """Only the first `size` bytes are there. Raises StorageFailed; then what is recorded decides, later."""
        # The row first: a crash in between leaves more bytes than it says, which are cut off when it is opened again.
        await self._record(session, size, None)
        staged, session.staged = session.staged, None
        if staged is not None:
            await staged.truncate(size)
            session.staged = staged

    async def set_size(self, session: Session, size: int) -> None:
        """The upload has so many bytes, which are reserved. Raises StorageFull, QuotaExceeded, StorageFailed."""
        upload = session.upload
        staged = await self.open(session)
        await staged.cover(size)
        missing = size - staged.size
        await staged.reserve(missing)
        try:
            await self._store.catalogue.set_upload_size(upload.uuid, size)
        except BaseException:
            staged.release(missing)
            raise
        session.upload = replace(upload, size=size)

    async def finish(self, principal: Principal, session: Session, target: Target | None = None) -> None:
        """The upload becomes a blob of the bytes up to its offset. Raises as `complete`."""
        upload, store = session.upload, self._store
        target = target or Target(upload.namespace, upload.name, Naming(upload.keep_versions))
        staged = await self.open(session)
        expires_at = None if upload.expires_in_s is None else store.now() + timedelta(seconds=upload.expires_in_s)
        about = Description(upload.content_type, upload.filename, expires_at)
        expected = Expected(upload.offset, upload.digest.raw if upload.digest else None, xxh3_128=upload.xxh3_128)
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
                await self.forget(session)
                raise UploadMismatch(str(error)) from None
            raise
        self._sessions.drop(session)
        session.staged = None
        await staged.discard()
        for uuid in upload.joins:
            await self.drop(uuid)
        session.upload = await store.catalogue.upload(upload.uuid) or upload

    async def drop(self, uuid: UUID) -> None:
        """Remove what is left of an upload that has no row any more."""
        session = self._sessions.get(uuid)
        if session is None:
            await self._store.payloads.drop_stage(str(uuid))
        elif not session.turns:
            await self._let_go(session)

    async def forget(self, session: Session) -> None:
        """Row first: bytes without a row are removed at the next start, a row without bytes would be a lie."""
        with suppress(UploadNotFound):
            await self._store.catalogue.remove_upload(session.upload.uuid)
        await self._let_go(session)

    async def forget_lost(self, session: Session) -> NoReturn:
        """Somebody removed its bytes. Raises UploadNotFound."""
        upload = session.upload
        log.error("upload lost its bytes upload=%s offset=%d", upload.uuid, upload.offset)
        await self.forget(session)
        raise UploadNotFound(f"the bytes of upload {upload.uuid} are gone: begin again")

    async def _let_go(self, session: Session) -> None:
        self._sessions.drop(session)
        staged, session.staged = session.staged, None
        if staged is not None:
            await staged.discard()
        else:
            await self._store.payloads.drop_stage(str(session.upload.uuid))
