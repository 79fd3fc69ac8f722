"""The client of `casd.client` for code that is not async: the same names, the same parameters, no `await`.

with Client("http://127.0.0.1:8080", token) as client:
    client.upload_file("disk.img", "images/disk")
    client.get("images/disk", version=1).download_file("copy.img")

Async iterators are iterators here and async context managers context managers. The async client does the work, on a
loop in one thread beside; several threads may use one client. What is called back (`progress`, `notice`) is called in
that thread, and must not use the client itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self
from uuid import UUID

from casd.client import accounts, client, download, handle, metadata, operations, reader, saving, signing
from casd.client.background import Background, Blocking, faced, iterated, waited, waited_faced
from casd.client.client import CONNECT_TIMEOUT_S, IDLE_TIMEOUT_S
from casd.client.progress import OnProgress
from casd.client.remote import Content
from casd.client.retry import Retry
from casd.client.saving import Writable
from casd.client.values import Blob, Version

__all__ = [
    "Accounts",
    "BlobMetadata",
    "Client",
    "Download",
    "Handle",
    "NameMetadata",
    "Operations",
    "Reader",
    "Signing",
    "save",
    "stream",
]


class BlobMetadata(Blocking[metadata.BlobMetadata]):
    """As casd.client.BlobMetadata."""

    all = waited(metadata.BlobMetadata.all)
    get = waited(metadata.BlobMetadata.get)
    set = waited(metadata.BlobMetadata.set)
    remove = waited(metadata.BlobMetadata.remove)


class NameMetadata(Blocking[metadata.NameMetadata]):
    """As casd.client.NameMetadata."""

    all = waited(metadata.NameMetadata.all)
    get = waited(metadata.NameMetadata.get)
    set = waited(metadata.NameMetadata.set)
    remove = waited(metadata.NameMetadata.remove)


class Download(Blocking[download.Download]):
    """As casd.client.Download: used as `with download`; then `content` is known and `pieces` brings it."""

    pieces = iterated(download.Download.pieces)
    start_over = waited(download.Download.start_over)
    hang_up = faced(download.Download.hang_up, lambda _, nothing: nothing)

    def __enter__(self) -> Self:
        self._background.wait(self._inner.__aenter__())
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._background.wait(self._inner.__aexit__(*exc_info))

    @property
    def content(self) -> Content:
        return self._inner.content


class Reader(Blocking[reader.Reader]):
    """As casd.client.Reader: used as `with reader`; then `content` is known and `read` brings any part of it."""

    read = waited(reader.Reader.read)

    def __enter__(self) -> Self:
        self._background.wait(self._inner.__aenter__())
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._background.wait(self._inner.__aexit__(*exc_info))

    @property
    def content(self) -> Content:
        return self._inner.content


class Handle(Blocking[handle.Handle]):
    """As casd.client.Handle."""

    def __repr__(self) -> str:
        return repr(self._inner)

    @property
    def info(self) -> Blob:
        return self._inner.info

    @property
    def version(self) -> Version | None:
        return self._inner.version

    @property
    def uuid(self) -> UUID:
        return self._inner.uuid

    @property
    def metadata(self) -> BlobMetadata:
        return BlobMetadata(self._background, self._inner.metadata)

    download = faced(handle.Handle.download, Download)
    reader = faced(handle.Handle.reader, Reader)
    download_file = waited(handle.Handle.download_file)
    download_df = waited(handle.Handle.download_df)
    download_table = waited(handle.Handle.download_table)
    download_obj = waited(handle.Handle.download_obj)


class Accounts(Blocking[accounts.Accounts]):
    """As casd.client.Accounts."""

    whoami = waited(accounts.Accounts.whoami)
    home = waited(accounts.Accounts.home)
    create_token = waited(accounts.Accounts.create_token)
    tokens = iterated(accounts.Accounts.tokens)
    rotate_token = waited(accounts.Accounts.rotate_token)
    revoke_token = waited(accounts.Accounts.revoke_token)
    namespaces = iterated(accounts.Accounts.namespaces)
    namespace = waited(accounts.Accounts.namespace)
    update_namespace = waited(accounts.Accounts.update_namespace)


class Signing(Blocking[signing.Signing]):
    """As casd.client.Signing."""

    blob = waited(signing.Signing.blob)
    payload = waited(signing.Signing.payload)
    name = waited(signing.Signing.name)
    keys = iterated(signing.Signing.keys)
    new_key = waited(signing.Signing.new_key)
    retire_key = waited(signing.Signing.retire_key)


class Operations(Blocking[operations.Operations]):
    """As casd.client.Operations."""

    status = waited(operations.Operations.status)
    audit = iterated(operations.Operations.audit)
    expire = waited(operations.Operations.expire)
    collect_garbage = waited(operations.Operations.collect_garbage)
    scrub = waited(operations.Operations.scrub)
    repair = waited(operations.Operations.repair)
    begin_backup = waited(operations.Operations.begin_backup)
    renew_backup = waited(operations.Operations.renew_backup)
    end_backup = waited(operations.Operations.end_backup)
    quarantine = iterated(operations.Operations.quarantine)
    quarantined = waited(operations.Operations.quarantined)
    purge_quarantined = waited(operations.Operations.purge_quarantined)


class Client(Blocking[client.Client]):
    """As casd.client.Client: a casd daemon at `url`, used as `with Client(url, token) as client`."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        retry: Retry | None = None,
    ) -> None:
        inner = client.Client(
            url, token, connect_timeout_s=connect_timeout_s, idle_timeout_s=idle_timeout_s, retry=retry
        )
        super().__init__(Background(), inner)
        self.accounts = Accounts(self._background, inner.accounts)
        self.signing = Signing(self._background, inner.signing)
        self.operations = Operations(self._background, inner.operations)

    def __enter__(self) -> Self:
        self._background.start()
        self._background.wait(self._inner.__aenter__())
        return self

    def __exit__(self, *exc_info: object) -> None:
        try:
            self._background.wait(self._inner.__aexit__(*exc_info))
        finally:
            self._background.stop()

    upload_file = waited_faced(client.Client.upload_file, Handle)
    upload_df = waited_faced(client.Client.upload_df, Handle)
    upload_obj = waited_faced(client.Client.upload_obj, Handle)
    get = waited_faced(client.Client.get, Handle)
    get_blob = waited_faced(client.Client.get_blob, Handle)
    get_blob_data = iterated(client.Client.get_blob_data)
    find = waited(client.Client.find)
    put_blob = waited(client.Client.put_blob)
    put_name = waited(client.Client.put_name)
    missing = waited(client.Client.missing)
    download_blob = faced(client.Client.download_blob, Download)
    download_payload = faced(client.Client.download_payload, Download)
    download_name = faced(client.Client.download_name, Download)
    reader_blob = faced(client.Client.reader_blob, Reader)
    reader_payload = faced(client.Client.reader_payload, Reader)
    reader_name = faced(client.Client.reader_name, Reader)
    blob = waited(client.Client.blob)
    holders = waited(client.Client.holders)
    blobs = iterated(client.Client.blobs)
    names = iterated(client.Client.names)
    versions = iterated(client.Client.versions)
    version = waited(client.Client.version)
    checksums = waited(client.Client.checksums)
    name_info = waited(client.Client.name_info)
    hidden_names = waited(client.Client.hidden_names)
    blob_metadata = faced(client.Client.blob_metadata, BlobMetadata)
    name_metadata = faced(client.Client.name_metadata, NameMetadata)
    update_name = waited(client.Client.update_name)
    delete = waited(client.Client.delete)
    delete_blob = waited(client.Client.delete_blob)
    delete_name = waited(client.Client.delete_name)


def save(
    download: Download,
    target: Path,
    progress: OnProgress | None = None,
    *,
    connections: int = 1,
    sync_folder: bool = True,
) -> None:
    """As casd.client.save."""
    download._background.wait(
        saving.save(download._inner, target, progress, connections=connections, sync_folder=sync_folder)
    )


def stream(
    download: Download,
    file: Writable,
    progress: OnProgress | None = None,
    *,
    start: int = 0,
    stop: int | None = None,
) -> None:
    """As casd.client.stream."""
    download._background.wait(saving.stream(download._inner, file, progress, start=start, stop=stop))
