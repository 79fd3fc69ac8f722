"""Uploads that are made of others: a client sends pieces of a file side by side and has them joined.

A partial upload becomes no blob; it waits, complete, for the one that joins it, and goes with the commit of that, or by
its own expiry. The bytes are copied in threads, a piece at a time, and hashed on the way; what was copied is recorded,
so that a join that a crash interrupted goes on where it was when its client asks again.
"""

from collections.abc import Sequence
from dataclasses import replace

from casd.auth import Principal
from casd.errors import Conflict, InvalidInput, StageMissing, StorageFailed, UploadNotFound
from casd.model import Upload
from casd.tasks import to_the_end
from casd.uploads.turns import Session
from casd.uploads.uploads import NewUpload, Uploads

COPY_BYTES = 1 << 20  # at a time, in memory


async def join(uploads: Uploads, principal: Principal, new: NewUpload, driver: str | None = None) -> Upload:
    """The bytes of the partial uploads `new.joins`, in that order, have become a blob, or a version of its name.

    Asking again changes nothing. Raises as `Uploads.create` and `Uploads.complete`, UploadNotFound if one is not there,
    and then nothing is left of the join, InvalidInput if one is not partial, Conflict if one is not complete.
    """
    await uploads.store.addable_namespace(principal, new.namespace)
    upload = await uploads.store.catalogue.upload_joining(new.namespace, new.joins)
    if upload is None:
        parts = [await uploads.own(principal, uuid, is_in_parts=False) for uuid in new.joins]
        uploads.let_claims_go(new.joins)
        upload = await uploads.create(principal, replace(new, size=joined_size(parts)), driver)
    async with uploads.turn(principal, upload.uuid, driver=driver) as session:
        if session.upload.blob is None:
            await to_the_end(_join_or_forget(uploads, principal, session))
        return session.upload


def joined_size(parts: Sequence[Upload]) -> int:
    """Raises InvalidInput, Conflict."""
    for part in parts:
        if not part.is_partial:
            raise InvalidInput(f"upload {part.uuid} is not partial: it is not for joining")
        if part.offset != part.size:
            raise Conflict(f"upload {part.uuid} is not complete: {part.offset} of {part.size} bytes have arrived")
    return sum(part.offset for part in parts)


async def _join_or_forget(uploads: Uploads, principal: Principal, session: Session) -> None:
    """A join whose pieces are not all there can never be done, and nobody was told its URL."""
    try:
        await _join(uploads, principal, session)
    except (Conflict, UploadNotFound):
        if not all([await uploads.store.catalogue.upload(uuid) for uuid in session.upload.joins]):
            await uploads.steps.forget(session)
        raise


async def _join(uploads: Uploads, principal: Principal, session: Session) -> None:
    start = 0
    for uuid in session.upload.joins:
        part = await uploads.own(principal, uuid, is_in_parts=False)
        await _copy(uploads, session, part, start)
        start += part.offset
    await uploads.steps.finish(principal, session)


async def _copy(uploads: Uploads, session: Session, part: Upload, start: int) -> None:
    """The part's bytes stand at `start`; those that stand there already are not copied again."""
    staged = await uploads.steps.open(session)
    while (offset := staged.size - start) < part.offset:
        stop = min(offset + COPY_BYTES, part.offset)
        try:
            data = await uploads.store.payloads.read_stage(str(part.uuid), offset, stop)
        except StageMissing:
            raise Conflict(f"the bytes of upload {part.uuid} are gone: send them again") from None
        try:
            await staged.append(data)
        except StorageFailed:
            session.staged = None  # it was suspended: the next turn cuts it back to what was recorded
            raise
    await uploads.steps.settle(session)
