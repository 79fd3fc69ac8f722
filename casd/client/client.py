"""The daemon's native API as methods. Paths and parameters are made here and nowhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Any, Self, TypeVar
from urllib.parse import quote
from uuid import UUID

from casd.client import values
from casd.client.download import Download, pinned_version
from casd.client.errors import DigestDiffers, Refused, UnexpectedAnswer
from casd.client.retry import Notice, Retry
from casd.client.sending import Progress, send
from casd.client.source import Source
from casd.client.transport import Query, Transport
from casd.client.values import Blob, Version
from casd.errors import InvalidInput
from casd.model import Digest, checked_name, checked_namespace

CONNECT_TIMEOUT_S = 10.0
IDLE_TIMEOUT_S = 60.0  # nothing moves for so long: the connection counts as lost
PAGE = 200  # items a request; the daemon allows 1000, but each may carry 1 MiB of metadata
DEFAULT_TYPE = "application/octet-stream"

T = TypeVar("T")


class Client:
    """A casd daemon at `url`, used as `async with Client(url, token) as client`.

    Every method raises ClientError: Refused for what the daemon answers, Unreachable and ConnectionLost for
    the way there; names and namespaces that cannot be raise InvalidInput before anything is sent.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        retry: Retry | None = None,
    ) -> None:
        self._transport = Transport(url, token, connect_timeout_s=connect_timeout_s, idle_timeout_s=idle_timeout_s)
        self._retry = retry or Retry()

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._transport.__aexit__(*exc_info)

    # -- storing ----------------------------------------------------------------------------------------------

    async def put_blob(
        self,
        source: Source,
        *,
        namespace: str | None = None,
        filename: str | None = None,
        content_type: str = DEFAULT_TYPE,
        expires_in_s: int | None = None,
        progress: Progress | None = None,
    ) -> Blob:
        """A new blob of the source's bytes, in the token's home namespace unless told otherwise.

        Raises DigestDiffers where the daemon stored other bytes than were read; the blob is there then.
        """
        query: Query = {
            "namespace": namespace and checked_namespace(namespace),
            "filename": filename,
            "expires_in": expires_in_s,
        }
        headers = {"Content-Type": _checked_type(content_type)}
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
        content_type: str = DEFAULT_TYPE,
        progress: Progress | None = None,
    ) -> Version:
        """The next version of a name, of the source's bytes. Raises as `put_blob`."""
        headers = {"Content-Type": _checked_type(content_type)}
        answer, sent = await send(
            self._transport, "PUT", _name_path(namespace, name), source, {"filename": filename}, headers, progress
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
        query = _which(version, as_of)
        return Download(self._transport, _name_path(namespace, name), query, retry=self._retry, notice=notice)

    # -- asking -----------------------------------------------------------------------------------------------

    async def blob(self, uuid: UUID) -> Blob:
        return values.blob(await self._transport.json("GET", f"/v1/blobs/{uuid}"))

    def blobs(self, namespace: str | None = None) -> AsyncIterator[Blob]:
        """All blobs of a namespace, or of all that the token is a member of."""
        return self._pages("/v1/blobs", {"namespace": namespace and checked_namespace(namespace)}, values.blob)

    def names(self, namespace: str, prefix: str = "") -> AsyncIterator[Version]:
        """The latest version of each name that starts with `prefix`; hidden names are left out."""
        path = f"/v1/names/{_segment(checked_namespace(namespace))}"
        return self._pages(path, {"prefix": prefix or None}, values.version)

    def versions(self, namespace: str, name: str) -> AsyncIterator[Version]:
        """Every version of a name, delete markers included, in no promised order."""
        path = f"/v1/versions/{_segment(checked_namespace(namespace))}/{_segment(checked_name(name))}"
        return self._pages(path, {}, values.version)

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
        answer = await self._transport.json(
            "GET", f"/v1/checksums/{quote(algorithm, safe='')}/{quote(digest, safe='')}"
        )
        return [values.blob(item) for item in _items(answer)]

    # -- removing ---------------------------------------------------------------------------------------------

    async def delete_blob(self, uuid: UUID) -> None:
        """The blob no longer holds itself; versions may hold it still."""
        await self._transport.json("DELETE", f"/v1/blobs/{uuid}")

    async def delete_name(self, namespace: str, name: str, *, version: int | None = None, purge: bool = False) -> None:
        """The name is hidden; or one version of it is gone, or with `purge` all of them."""
        query: Query = {"version": version, "purge": 1 if purge else None}
        await self._transport.json("DELETE", _name_path(namespace, name), query)

    # -- below ------------------------------------------------------------------------------------------------

    async def _pages(self, path: str, query: Query, parse: Callable[[Any], T]) -> AsyncIterator[T]:
        cursor: str | None = None
        while True:
            answer = await self._transport.json("GET", path, {**query, "limit": PAGE, "cursor": cursor})
            for item in _items(answer):
                yield parse(item)
            following = answer.get("next")
            if following is None:
                return
            if not isinstance(following, str) or following == cursor:
                raise UnexpectedAnswer(f"{path}: the listing does not go on ({following!r})")
            cursor = following

    async def _version_number(self, namespace: str, name: str, as_of: datetime | str | None) -> int | None:
        """Which version a name has, or had at that time."""
        path = _name_path(namespace, name)
        try:
            async with await self._transport.open("HEAD", path, _which(None, as_of)) as response:
                return pinned_version(response)
        except Refused as error:
            if error.status != 404:
                raise
            # The answer to a HEAD has no body to say this.
            absent = f"there is no {name} in namespace {namespace}" + (f" as of {as_of}" if as_of else "")
            raise Refused(404, "name-not-found", absent) from error


def _check(what: str, sent: Digest, stored: Blob) -> None:
    if stored.digest != sent:
        raise DigestDiffers(what, sent, stored.digest)


def _checked_type(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise InvalidInput(f"{text!r} is not a media type; one looks like text/plain")
    return text


def _items(answer: Any) -> list[Any]:
    items = answer.get("items") if isinstance(answer, Mapping) else None
    if not isinstance(items, list):
        raise UnexpectedAnswer("the answer is not a casd listing")
    return items


def _which(version: int | None, as_of: datetime | str | None) -> Query:
    return {"version": version, "as_of": as_of.isoformat() if isinstance(as_of, datetime) else as_of}


def _name_path(namespace: str, name: str) -> str:
    return f"/v1/names/{_segment(checked_namespace(namespace))}/{_segment(checked_name(name))}"


def _segment(text: str) -> str:
    return quote(text, safe="/")
