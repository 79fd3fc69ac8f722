"""What is done to blobs, names and versions that are there: hidden, shown again, removed, renamed, described.

Each is one transaction of the catalogue; no payload is touched, what nothing holds any more is left to collection.
What would hide or remove something that is protected raises Protected.
"""

from collections.abc import Callable
from uuid import UUID

from casd.auth import Principal
from casd.catalogue.values import NO_GUARD
from casd.errors import PreconditionFailed
from casd.model import JSON, Blob, Guard, NameInfo, Version, VersionRef
from casd.store import BlobStore

METADATA_LIMIT_BYTES = 1 << 20  # of one blob, keys and values together


async def hide(
    store: BlobStore, principal: Principal, namespace: str, name: str, *, guard: Guard = NO_GUARD
) -> Version:
    """A delete marker. Raises NameNotFound if the name is absent or hidden."""
    await store.writable_namespace(principal, namespace)
    return await store.catalogue.hide_name(namespace, name, guard, principal.name, store.now())


async def undelete(store: BlobStore, principal: Principal, namespace: str, name: str) -> Version:
    """Remove the newest marker and return the newest version. Raises NameNotFound, Conflict."""
    await store.writable_namespace(principal, namespace)
    return await store.catalogue.undelete(namespace, name, store.now(), store.keep_until())


async def remove_version(
    store: BlobStore, principal: Principal, namespace: str, name: str, number: int, *, guard: Guard = NO_GUARD
) -> Version:
    """Remove one version, or a marker. Raises VersionNotFound, and PreconditionFailed by that version."""
    await store.writable_namespace(principal, namespace)
    return await store.catalogue.remove_version(namespace, name, number, store.now(), store.keep_until(), guard)


async def withdraw(store: BlobStore, principal: Principal, blob: UUID) -> VersionRef:
    """Remove the one version that holds the blob; no older one takes its place: the name is hidden then.

    Raises BlobNotFound, Forbidden, and Conflict if several versions hold it.
    """
    await store.writable_blob(principal, blob)
    return await store.catalogue.withdraw(blob, principal.name, store.now(), store.keep_until())


async def rename(store: BlobStore, principal: Principal, namespace: str, name: str, new_name: str) -> None:
    """The name with all its versions is called otherwise. Raises NameNotFound, Conflict."""
    await store.writable_namespace(principal, namespace)
    await store.catalogue.rename_name(namespace, name, new_name)


async def limit_versions(
    store: BlobStore, principal: Principal, namespace: str, name: str, keep_versions: int
) -> NameInfo:
    """The name keeps so many versions from now on, and older ones are gone. Raises NameNotFound."""
    await store.writable_namespace(principal, namespace)
    return await store.catalogue.limit_versions(namespace, name, keep_versions, store.now(), store.keep_until())


async def protect_version(
    store: BlobStore, principal: Principal, namespace: str, name: str, number: int, is_protected: bool
) -> Version:
    """The version stays, or may go again. Raises NamespaceNotFound, Forbidden, VersionNotFound, Conflict."""
    await store.writable_namespace(principal, namespace)
    return await store.catalogue.protect_version(namespace, name, number, is_protected)


async def purge(store: BlobStore, principal: Principal, namespace: str, name: str, *, guard: Guard = NO_GUARD) -> None:
    """Remove the name with all versions. Raises NameNotFound, and PreconditionFailed by the newest."""
    await store.writable_namespace(principal, namespace)
    await store.catalogue.purge_name(namespace, name, store.now(), store.keep_until(), guard)


async def delete(
    store: BlobStore, principal: Principal, uuid: UUID, may: Callable[[Blob], bool] | None = None
) -> Blob | None:
    """Drop the blob's own hold; the blob if a version still holds it, else None.

    `may` says of a blob whether it is the one that is meant: its bytes never change. Raises BlobNotFound, Forbidden,
    PreconditionFailed where that says no, and Conflict if versions were all it had.
    """
    blob = await store.writable_blob(principal, uuid)
    if may is not None and not may(blob):
        raise PreconditionFailed(f"the bytes of blob {uuid} are {blob.digest}, not what If-Match says")
    return await store.catalogue.drop_own_hold(uuid, store.now(), store.keep_until())


async def set_metadata(store: BlobStore, principal: Principal, uuid: UUID, key: str, value: JSON) -> None:
    """A role that only adds may set what is not there yet. Raises BlobNotFound, Forbidden, TooLarge."""
    await store.addable_blob(principal, uuid)
    limit, only_adds = METADATA_LIMIT_BYTES, principal.only_adds
    await store.catalogue.set_metadata(uuid, key, value, limit, store.now(), only_adds=only_adds)


async def delete_metadata(store: BlobStore, principal: Principal, uuid: UUID, key: str) -> None:
    """Raises BlobNotFound, Forbidden, MetadataKeyNotFound."""
    await store.writable_blob(principal, uuid)
    await store.catalogue.delete_metadata(uuid, key, store.now())


async def set_name_metadata(
    store: BlobStore, principal: Principal, namespace: str, name: str, key: str, value: JSON
) -> None:
    """As `set_metadata`, of a name. Raises NameNotFound, Forbidden, TooLarge."""
    await store.addable_namespace(principal, namespace)
    limit, only_adds = METADATA_LIMIT_BYTES, principal.only_adds
    await store.catalogue.set_name_metadata(namespace, name, key, value, limit, only_adds=only_adds)


async def delete_name_metadata(store: BlobStore, principal: Principal, namespace: str, name: str, key: str) -> None:
    """Raises NameNotFound, Forbidden, MetadataKeyNotFound."""
    await store.writable_namespace(principal, namespace)
    await store.catalogue.delete_name_metadata(namespace, name, key)
