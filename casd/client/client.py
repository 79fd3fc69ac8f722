"""The daemon's native API as methods: blobs, names and versions here, the rest in a file a theme."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from datetime import datetime
from typing import Self, TypedDict
from uuid import UUID

from casd.client import frames, objects, values
from casd.client.accounts import Accounts
from casd.client.describing import ANY_TYPE, checked_type, guessed_type, own_filename
from casd.client.download import Download
from casd.client.errors import DigestDiffers, Refused, UnexpectedAnswer
from casd.client.handle import Handle, written
from casd.client.metadata import BlobMetadata, NameMetadata
from casd.client.operations import Operations
from casd.client.paths import items, name_path, namespace_path, pages, segment, uuid_of, which
from casd.client.progress import OnProgress
from casd.client.remote import pinned_version
from casd.client.retry import Notice, Retry
from casd.client.sending import send
from casd.client.signing import Signing
from casd.client.source import Sendable, Source, open_any
from casd.client.transport import Query, Transport, from_environment
from casd.client.values import Blob, Holders, NameInfo, Version
from casd.errors import InvalidInput
from casd.model import Digest, checked_name, checked_namespace

CONNECT_TIMEOUT_S = 10.0
QUESTIONS_AT_ONCE = 8  # of one call here
IDLE_TIMEOUT_S = 60.0  # nothing moves for so long: the connection counts as lost


class NameSettings(TypedDict, total=False):
    """What can be set of a name beside its metadata."""

    shared: bool
    protected: bool
    keep_versions: int | None  # None: the namespace's rule


class Client:
    """A casd daemon at `url`, used as `async with Client(url, token) as client`.

    `Client()` takes both from CASD_URL and CASD_TOKEN; the latter is never sent to another daemon. Where a method has
    an `owner`, that is a namespace: the token's home unless given.

    Every method raises ClientError: Refused for what the daemon answers, Unreachable and ConnectionLost for
    the way there; names and namespaces that cannot be raise InvalidInput before anything is sent. `accounts`
    holds tokens and namespaces, `signing` signed URLs, `operations` status and upkeep.
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
            url, token = from_environment(token)
        self._transport = Transport(url, token, connect_timeout_s=connect_timeout_s, idle_timeout_s=idle_timeout_s)
        self._retry = retry or Retry()
        self._home: str | None = None
        self.accounts = Accounts(self._transport)
        self.signing = Signing(self._transport)
        self.operations = Operations(self._transport)

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
    ) -> Handle:
        """The file's bytes are stored, as the next version of `name` if there is one.

        A path's own filename is remembered unless another is given, and the content type is guessed from it. Raises
        OSError where the file cannot be read, and DigestDiffers as `put_blob`.
        """
        if filename is None and isinstance(file, str | os.PathLike):
            filename = own_filename(file)
        content_type = content_type or guessed_type(filename or name or "")
        async with open_any(file) as source:
            return await self._store(source, name, owner, content_type, filename, progress)

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
            found = await self._latest(namespace, name)
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
    ) -> Blob:
        """A new blob of the source's bytes, in the token's home namespace unless told otherwise.

        Raises DigestDiffers where the daemon stored other bytes than were read; the blob is there then.
        """
        query: Query = {
            "namespace": namespace and checked_namespace(namespace),
            "filename": filename,
            "expires_in": expires_in_s,
        }
        headers = {"Content-Type": checked_type(content_type)}
        answer, sent = await send(self._transport, "POST", "/v1/blobs", source, query, headers, progress)
        blob = values.blob(answer)
        _check(f"blob {blob.uuid}, as stored", sent, blob)
        return blob

    async def put_name(
        self,
        namespace: str,
        name: str,
        source: Source,
        *,
        filename: str | None = None,
        content_type: str = ANY_TYPE,
        progress: OnProgress | None = None,
    ) -> Version:
        """The next version of a name, of the source's bytes. Raises as `put_blob`."""
        headers = {"Content-Type": checked_type(content_type)}
        answer, sent = await send(
            self._transport,
            "PUT",
            name_path("/v1/names", namespace, name),
            source,
            {"filename": filename},
            headers,
            progress,
        )
        version = values.version(answer)
        if version.blob is None:
            raise UnexpectedAnswer(f"{name} was stored, but the answer holds no blob")
        _check(f"version {version.number} of {name}, as stored", sent, version.blob)
        return version

    # -- fetching ---------------------------------------------------------------------------------------------

    def download_blob(self, uuid: UUID, *, notice: Notice | None = None) -> Download:
        """A blob's payload. `notice` is told of each failure that is tried again."""
        return Download(self._transport, f"/v1/blobs/{uuid}/data", retry=self._retry, notice=notice)

    def download_payload(self, digest: Digest, *, notice: Notice | None = None) -> Download:
        """A payload by its digest."""
        path = f"/v1/payloads/sha512/{digest}"
        return Download(self._transport, path, expected=digest, retry=self._retry, notice=notice)

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
        query = which(version, as_of)
        return Download(
            self._transport, name_path("/v1/names", namespace, name), query, retry=self._retry, notice=notice
        )

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
        if number is None:
            number = await self._version_number(namespace, name, as_of)
        async for version in self.versions(namespace, name):
            if version.number == number:
                return version
        raise Refused(404, "version-not-found", f"{name} in namespace {namespace} has no version {number}")

    async def checksums(self, algorithm: str, digest: str) -> list[Blob]:
        """The blobs with that checksum (hex) in the token's namespaces; sha512, sha256 or xxh3-128."""
        path = f"/v1/checksums/{segment(algorithm)}/{segment(digest)}"
        return [blob async for blob in pages(self._transport, path, {}, values.blob)]

    async def name_info(self, namespace: str, name: str) -> NameInfo:
        """What belongs to the name as a whole; of a hidden name too."""
        return values.name_info(await self._transport.json("GET", name_path("/v1/name-info", namespace, name)))

    async def hidden_names(self, blobs: Iterable[Blob]) -> frozenset[tuple[str, str]]:
        """Those of the names (namespace and name) that these blobs tell of which are hidden, or gone since."""
        gate = asyncio.Semaphore(QUESTIONS_AT_ONCE)

        async def is_hidden(namespace: str, name: str) -> bool:
            try:
                async with gate:
                    return (await self.name_info(namespace, name)).hidden_at is not None
            except Refused as error:
                if error.status != 404:
                    raise
                return True

        told = sorted({(ref.namespace, ref.name) for blob in blobs for ref in blob.names})
        answers = await asyncio.gather(*(is_hidden(*each) for each in told))
        return frozenset(each for each, hidden in zip(told, answers, strict=True) if hidden)

    # -- describing -------------------------------------------------------------------------------------------

    def blob_metadata(self, uuid: UUID) -> BlobMetadata:
        return BlobMetadata(self._transport, uuid)

    def name_metadata(self, namespace: str, name: str) -> NameMetadata:
        return NameMetadata(self._transport, namespace, name)

    async def update_name(self, namespace: str, name: str, settings: NameSettings) -> NameInfo:
        """The name with these settings, and the others as they were."""
        path = name_path("/v1/name-info", namespace, name)
        return values.name_info(await self._transport.json("PATCH", path, body={**settings}))

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
    ) -> Handle:
        if name is None:
            blob = await self.put_blob(
                source, namespace=owner, filename=filename, content_type=content_type, progress=progress
            )
            return Handle(self._transport, blob, None, self._retry)
        version = await self.put_name(
            await self._owner(owner), name, source, filename=filename, content_type=content_type, progress=progress
        )
        assert version.blob is not None  # put_name looked
        return Handle(self._transport, version.blob, version, self._retry)

    async def _latest(self, namespace: str, name: str) -> Version:
        """The latest version of a name: of all that start with it, a name itself comes first."""
        path = namespace_path("/v1/names", namespace)
        answer = await self._transport.json("GET", path, {"prefix": checked_name(name), "limit": 1})
        for item in items(answer):
            version = values.version(item)
            if version.name == name:
                return version
        raise Refused(404, "name-not-found", f"there is no name {name} in namespace {namespace}")

    async def _version_number(self, namespace: str, name: str, as_of: datetime | str | None) -> int | None:
        """Which version a name has, or had at that time."""
        path, query = name_path("/v1/names", namespace, name), which(None, as_of)
        try:
            async with await self._transport.open("HEAD", path, query) as response:
                return pinned_version(response)
        except Refused as error:
            if error.status != 404:
                raise
        # The answer to a HEAD has no body to say why: it is asked for again, with a byte.
        async with await self._transport.open("GET", path, query, {"Range": "bytes=0-0"}) as response:
            return pinned_version(response)


def _check(what: str, sent: Digest, stored: Blob) -> None:
    if stored.digest != sent:
        raise DigestDiffers(what, sent, stored.digest)
