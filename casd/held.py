"""What is stored already, for whoever would otherwise send it again.

Nothing is ever made by naming a digest: only a blob of a namespace that the caller is a member of is taken over.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from casd.auth import Principal
from casd.errors import BlobNotFound
from casd.model import Blob, BlobState, NewBlob, Upload
from casd.store import BlobStore

CANDIDATES = 100  # unfinished uploads of one content: more than anybody chooses from


async def held(
    store: BlobStore, principal: Principal, algorithm: str, values: Collection[bytes]
) -> tuple[set[bytes], datetime]:
    """Those of `values` that are checksums of good payloads in namespaces the caller is a member of, and until when
    they are kept at least.

    `algorithm` is sha512, sha256 or xxh3-128. Only SHA-512 says that bytes are the same: what another one finds is
    worth a closer look.
    """
    now = store.now()
    until = now + store.grace
    namespaces = None if principal.is_admin else principal.namespaces
    return await store.catalogue.keep_held(algorithm, values, namespaces, now, until), until


async def copy_blob(
    store: BlobStore,
    principal: Principal,
    uuid: UUID,
    namespace: str,
    *,
    content_type: str | None = None,
    filename: str | None = None,
    expires_at: datetime | None = None,
) -> Blob:
    """A new blob of the same bytes, which holds itself; content type and filename are the other's unless told.

    Raises BlobNotFound unless the caller is a member of the blob's namespace, or if its bytes are damaged;
    NamespaceNotFound, Forbidden, QuotaExceeded.
    """
    await store.addable_namespace(principal, namespace)
    blob = await store.members_blob(principal, uuid)
    if blob.state is BlobState.ERROR:
        raise BlobNotFound(f"the bytes of blob {uuid} are damaged: send them again")
    new = NewBlob(store.new_uuid(), namespace, content_type or blob.content_type, filename or blob.filename, expires_at)
    now = store.now()
    claim = await store.quotas.claim(namespace, blob.size)
    try:
        return await store.catalogue.copy_blob(uuid, new, now, now + store.grace, claim)
    finally:
        claim.release()


async def unfinished(
    store: BlobStore, principal: Principal, namespace: str, algorithm: str, value: bytes, size: int
) -> Sequence[Upload]:
    """Unfinished uploads of that content, as announced, that the caller may go on with: the one with most bytes first.

    Raises NamespaceNotFound, Forbidden.
    """
    await store.addable_namespace(principal, namespace)
    found = await store.catalogue.uploads_of_content(namespace, algorithm, value, size, store.now(), CANDIDATES)
    return [upload for upload in found if not principal.only_adds or upload.token == principal.token]
