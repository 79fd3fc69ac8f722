"""The daemon's native API as methods: blobs, names and versions here, the rest in a file a theme."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from datetime import datetime
from typing import Any, Self, TypedDict
from uuid import UUID

from casd import finding
from casd.client import frames, objects, values
from casd.client.accounts import Accounts
from casd.client.describing import ANY_TYPE, checked_type, guessed_type, own_filename
from casd.client.download import Download
from casd.client.errors import Refused, UnexpectedAnswer
from casd.client.handle import Handle, written
from casd.client.holding import Missing, missing
from casd.client.metadata import BlobMetadata, NameMetadata
from casd.client.naming import hidden_names, latest_version, name_info, numbered_version, version_number
from casd.client.operations import Operations
from casd.client.paths import name_path, namespace_path, pages, segment, uuid_of, which
from casd.client.progress import OnProgress
from casd.client.reader import Reader
from casd.client.retry import Notice, Retry, retried
from casd.client.signing import Signing
from casd.client.source import Sendable, Source, open_any
from casd.client.storing import store
from casd.client.transport import Query, Transport
from casd.client.tree import Tree
from casd.client.tus import Destination
from casd.client.values import Blob, Holders, NameInfo, Version
from casd.errors import InvalidInput
from casd.model import Digest, checked_name, checked_namespace

CONNECT_TIMEOUT_S = 10.0
IDLE_TIMEOUT_S = 60.0  # nothing moves for so long: the connection counts as lost


class NameSettings(TypedDict, total=False):
    """What can be set of a name beside its metadata."""

    shared: bool
    protected: bool
    keep_versions: int | None  # None: the namespace's rule


class Client:
    """A casd daemon at `url`, used as `async with Client(url, token) as client`.

    `Client()` takes both from CASD_URL and CASD_TOKEN, or finds this machine's daemon as the command line does, and
    its admin token, which is for no other daemon: without one it raises NoLocalDaemon. Where a method has
    an `owner`, that is a namespace: the token's home unless given.

    Every method raises ClientError: Refused for what the daemon answers, Unreachable and ConnectionLost for
    the way there; names and namespaces that cannot be raise InvalidInput before anything is sent. `accounts`
    holds tokens and namespaces, `signing` signed URLs, `operations` status and upkeep, `tree` names as folders.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        retry: Retry | None = None,
    ) -> None:
        if url is None:
            found = finding.daemon()
            url, token = found.url, token or found.token
        self._transport = Transport(url, token, connect_timeout_s=connect_timeout_s, idle_timeout_s=idle_timeout_s)
        self._retry = retry or Retry()
        self._home: str | None = None
        self.accounts = Accounts(self._transport)
        self.signing = Signing(self._transport)
        self.operations = Operations(self._transport)
        self.tree = Tree(self._transport)

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._transport.__aexit__(*exc_info)

    # -- files, data frames and objects ------------------------------------------------------------------------

    async def upload_file(
        self,
        file: Sendable,
        name: str | None = None,
        *,
        owner: str | None = None,
        filename: str | None = None,
        content_type: str | None = None,
        progress: OnProgress | None = None,
        notice: Notice | None = None,
    ) -> Handle:
        """The file's bytes are stored, as the next version of `name` if there is one.

        A path's own filename is remembered unless another is given, and the content type is guessed from it. Raises
        OSError where the file cannot be read, and DigestDiffers as `put_blob`.
        """
        if filename is None and isinstance(file, str | os.PathLike):
            filename = own_filename(file)
        content_type = content_type or guessed_type(filename or name or "")
        async with open_any(file) as source:
            return await self._store(source, name, owner, content_type, filename, progress, notice)

    async def upload_df(self, df: object, name: str | None = None, *, owner: str | None = None) -> Handle:
        """A data frame is stored as an Arrow file, as Datapane's client does: of pandas, pyarrow, or what Arrow reads.

        Raises InvalidInput for what Arrow cannot write, PackageMissing without pyarrow.
        """
        async with written(frames.write_frame, df) as source:
            return await self._store(source, name, owner, frames.CONTENT_TYPE)

    async def upload_obj(
        self, obj: object, name: str | None = None, *, owner: str | None = None, as_pickle: bool = False
    ) -> Handle:
        """A Python object is stored as JSON; with `as_pickle` as a pickle, which only those can load who trust you.

        Raises InvalidInput for what JSON cannot say without changing it (a tuple would become a list).
        """
        write, kind = (
            (objects.write_pickle, objects.PICKLE_TYPE) if as_pickle else (objects.write_json, objects.JSON_TYPE)
        )
        async with written(write, obj) as source:
            return await self._store(source, name, owner, kind)

    async def get(self, name: str, owner: str | None = None, version: int | None = None) -> Handle:
        """That version of a name, the latest unless given. Raises Refused (404) for what is not there, or deleted."""
        namespace = await self._owner(owner)
        if version is None:
            found = await latest_version(self._transport, namespace, name)
        else:
            found = await self.version(namespace, name, number=version)
        if found.blob is None:
            raise Refused(404, "version-not-found", f"version {found.number} of {name} is a delete marker")
        return Handle(self._transport, found.blob, found, self._retry)

    async def get_blob(self, uuid: UUID | str) -> Handle:
        """A blob by its UUID, to whomever it belongs, as far as the daemon lets it be read."""
        return Handle(self._transport, await self.blob(uuid_of(uuid)), None, self._retry)

    async def get_blob_data(self, uuid: UUID | str, *, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """A blob's bytes from `offset` to its end, piece by piece; a connection that breaks is made again.

        They are not checked: `Handle.download_file` does that. Close it (contextlib.aclosing) if it is not read to
        its end. Raises InvalidInput for an offset outside of the payload.
        """
        async with self.download_blob(uuid_of(uuid)) as download:
            if not 0 <= offset <= download.content.size:
                raise InvalidInput(f"offset {offset} is not within the {download.content.size} bytes of blob {uuid}")
            async with aclosing(download.pieces(offset)) as pieces:
                async for piece in pieces:
                    yield piece

    async def find(
        self, *, sha512: Digest | str | None = None, sha256: str | None = None, xxh3_128: str | None = None
    ) -> list[Blob]:
        """The blobs with that checksum (hex) in the token's namespaces; none where nobody stored it."""
        asked = {"sha512": sha512, "sha256": sha256, "xxh3-128": xxh3_128}
        given = [(algorithm, str(digest)) for algorithm, digest in asked.items() if digest is not None]
        if len(given) != 1:
            raise InvalidInput("a blob is found by one checksum: sha512, sha256 or xxh3_128")
        return await self.checksums(*given[0])

    # -- storing ----------------------------------------------------------------------------------------------

    async def put_blob(
        self,
        source: Source,
        *,
        namespace: str | None = None,
        filename: str | None = None,
        content_type: str = ANY_TYPE,
        expires_in_s: int | None = None,
        progress: OnProgress | None = None,
        notice: Notice | None = None,
        is_missing: bool | None = None,
    ) -> Blob:
        """A new blob of the source's bytes, in the token's home namespace unless told otherwise.

        What the daemon has is not sent; an upload of the same that was broken off is gone on with, whoever began it.
        `is_missing` is what `missing` said of the bytes' XXH3-128; None: it is asked. `notice` is told of each failure
        that is tried again. Raises SourceChanged, and then nothing is stored; DigestDiffers where the daemon stored
        other bytes than were read: the blob is there then.
        """
        destination = Destination(
            await self._owner(namespace), None, filename, checked_type(content_type), expires_in_s
        )
        uuid, _ = await store(
            self._transport, source, destination, self._retry, progress=progress, notice=notice, is_missing=is_missing
        )
        return await retried(self._retry, lambda: self.blob(uuid))

    async def put_name(
        self,
        namespace: str,
        name: str,
        source: Source,
        *,
        filename: str | None = None,
        content_type: str = ANY_TYPE,
        progress: OnProgress | None = None,
        notice: Notice | None = None,
        is_missing: bool | None = None,
    ) -> Version:
        """The next version of a name, of the source's bytes. Otherwise as `put_blob`."""
        destination = Destination(
            checked_namespace(namespace), checked_name(name), filename, checked_type(content_type)
        )
        uuid, number = await store(
            self._transport, source, destination, self._retry, progress=progress, notice=notice, is_missing=is_missing
        )
        if number is None:
            raise UnexpectedAnswer(f"{name} was stored as blob {uuid}, but the answer holds no version")
        return await retried(self._retry, lambda: self.version(namespace, name, number=number))

    async def missing(self, *, sha512: Iterable[Digest | str] = (), xxh3_128: Iterable[str] = ()) -> Missing:
        """Which of these payloads a daemon would have to be sent, of any number; by one of their checksums (hex)."""
        asked = {"sha512": [str(each) for each in sha512], "xxh3_128": list(xxh3_128)}
        given = [(algorithm, digests) for algorithm, digests in asked.items() if digests]
        if len(given) > 1:
            raise InvalidInput("what is missing is asked by one checksum: sha512 or xxh3_128")
        return await missing(self._transport, *given[0]) if given else Missing(frozenset(), None)

    # -- fetching ---------------------------------------------------------------------------------------------

    def download_blob(self, uuid: UUID, *, notice: Notice | None = None) -> Download:
        """A blob's payload. `notice` is told of each failure that is tried again."""
        return self._download(f"/v1/blobs/{uuid}/data", notice=notice)

    def download_payload(self, digest: Digest, *, notice: Notice | None = None) -> Download:
        """A payload by its digest."""
        path = f"/v1/payloads/sha512/{digest}"
        return self._download(path, expected=digest, notice=notice)

    def download_name(
        self,
        namespace: str,
        name: str,
        *,
        version: int | None = None,
        as_of: datetime | str | None = None,
        notice: Notice | None = None,
    ) -> Download:
        """A name's latest version, that version, or the one of that time. A version published meanwhile is
        not mixed in."""
        return self._download(name_path("/v1/names", namespace, name), which(version, as_of), notice=notice)

    def reader_blob(self, uuid: UUID, *, notice: Notice | None = None) -> Reader:
        """A blob's payload, to be read here and there."""
        return Reader(self._download(f"/v1/blobs/{uuid}/data", notice=notice, in_parts=True))

    def reader_payload(self, digest: Digest, *, notice: Notice | None = None) -> Reader:
        """A payload by its digest, to be read here and there."""
        path = f"/v1/payloads/sha512/{digest}"
        return Reader(self._download(path, expected=digest, notice=notice, in_parts=True))

    def reader_name(
        self,
        namespace: str,
        name: str,
        *,
        version: int | None = None,
        as_of: datetime | str | None = None,
        notice: Notice | None = None,
    ) -> Reader:
        """One version of a name, to be read here and there: as `download_name`."""
        path, query = name_path("/v1/names", namespace, name), which(version, as_of)
        return Reader(self._download(path, query, notice=notice, in_parts=True))

    # -- asking -----------------------------------------------------------------------------------------------

    async def blob(self, uuid: UUID) -> Blob:
        return values.blob(await self._transport.json("GET", f"/v1/blobs/{uuid}"))

    async def holders(self, uuid: UUID) -> Holders:
        """What keeps the blob, and what its end would free."""
        return values.holders(await self._transport.json("GET", f"/v1/blobs/{uuid}/holders"))

    def blobs(self, namespace: str | None = None) -> AsyncIterator[Blob]:
        """All blobs of a namespace, or of all that the token is a member of."""
        query = {"namespace": namespace and checked_namespace(namespace)}
        return pages(self._transport, "/v1/blobs", query, values.blob)

    async def names(self, namespace: str | None = None, prefix: str = "") -> AsyncIterator[Version]:
        """The latest version of each name that starts with `prefix`; hidden names are left out."""
        path = namespace_path("/v1/names", await self._owner(namespace))
        async for version in pages(self._transport, path, {"prefix": prefix or None}, values.version):
            yield version

    def versions(self, namespace: str, name: str) -> AsyncIterator[Version]:
        """Every version of a name, delete markers included, in no promised order."""
        return pages(self._transport, name_path("/v1/versions", namespace, name), {}, values.version)

    async def version(
        self, namespace: str, name: str, *, number: int | None = None, as_of: datetime | str | None = None
    ) -> Version:
        """One version of a name: the latest, that number, or the one of that time."""
        checked_name(name)
        if number is None:
            number = await version_number(self._transport, namespace, name, as_of)
        if number is None:
            raise UnexpectedAnswer(f"the answer does not say which version of {name} it is")
        return await numbered_version(self._transport, namespace, name, number)

    async def checksums(self, algorithm: str, digest: str) -> list[Blob]:
        """The blobs with that checksum (hex) in the token's namespaces; sha512, sha256 or xxh3-128."""
        path = f"/v1/checksums/{segment(algorithm)}/{segment(digest)}"
        return [blob async for blob in pages(self._transport, path, {}, values.blob)]

    async def name_info(self, namespace: str, name: str) -> NameInfo:
        """What belongs to the name as a whole; of a hidden name too."""
        return await name_info(self._transport, namespace, name)

    async def hidden_names(self, blobs: Iterable[Blob]) -> frozenset[tuple[str, str]]:
        """Those of the names (namespace and name) that these blobs tell of which are hidden, or gone since."""
        return await hidden_names(self._transport, blobs)

    # -- describing -------------------------------------------------------------------------------------------

    def blob_metadata(self, uuid: UUID) -> BlobMetadata:
        return BlobMetadata(self._transport, uuid)

    def name_metadata(self, namespace: str, name: str) -> NameMetadata:
        return NameMetadata(self._transport, namespace, name)

    async def update_name(
        self, namespace: str, name: str, settings: NameSettings, *, version: int | None = None
    ) -> NameInfo:
        """The name with these settings, and the others as they were; `protected` may be said of one version."""
        path, query = name_path("/v1/name-info", namespace, name), {} if version is None else {"version": str(version)}
        return values.name_info(await self._transport.json("PATCH", path, query, body={**settings}))

    # -- removing ---------------------------------------------------------------------------------------------

    async def delete_blob(self, uuid: UUID) -> None:
        """The blob no longer holds itself; versions may hold it still."""
        await self._transport.json("DELETE", f"/v1/blobs/{uuid}")

    async def delete(
        self, name: str, owner: str | None = None, *, version: int | None = None, purge: bool = False
    ) -> None:
        """As `delete_name`, of the token's home unless an owner is given."""
        await self.delete_name(await self._owner(owner), name, version=version, purge=purge)

    async def delete_name(self, namespace: str, name: str, *, version: int | None = None, purge: bool = False) -> None:
        """The name is hidden; or one version of it is gone, or with `purge` all of them."""
        query: Query = {"version": version, "purge": 1 if purge else None}
        await self._transport.json("DELETE", name_path("/v1/names", namespace, name), query)

    # -- below ------------------------------------------------------------------------------------------------

    async def _owner(self, named: str | None) -> str:
        """The namespace that is meant. A token's home does not change: it is asked for once."""
        if named is not None:
            return checked_namespace(named)
        if self._home is None:
            self._home = await self.accounts.home()
        return self._home

    async def _store(
        self,
        source: Source,
        name: str | None,
        owner: str | None,
        content_type: str,
        filename: str | None = None,
        progress: OnProgress | None = None,
        notice: Notice | None = None,
    ) -> Handle:
        about: dict[str, Any] = {"filename": filename, "content_type": content_type}
        about |= {"progress": progress, "notice": notice}
        if name is None:
            blob = await self.put_blob(source, namespace=owner, **about)
            return Handle(self._transport, blob, None, self._retry)
        version = await self.put_name(await self._owner(owner), name, source, **about)
        if version.blob is None:
            raise UnexpectedAnswer(f"{name} was stored, but the answer holds no blob")
        return Handle(self._transport, version.blob, version, self._retry)

    def _download(
        self,
        path: str,
        query: Query | None = None,
        *,
        expected: Digest | None = None,
        notice: Notice | None = None,
        in_parts: bool = False,
    ) -> Download:
        return Download(
            self._transport, path, query, expected=expected, retry=self._retry, notice=notice, in_parts=in_parts
        )
