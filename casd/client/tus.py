"""Resumable uploads, request by request: begun, found, asked where they stand, given bytes, ended (tus 1.0)."""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from casd.client.describing import checked_type
from casd.client.errors import Refused, UnexpectedAnswer, UnknownPath
from casd.client.paths import items
from casd.client.progress import Gauge
from casd.client.remote import version_in
from casd.client.sending import send
from casd.client.transport import Query, Transport
from casd.client.values import parsed
from casd.errors import InvalidInput
from casd.model import Digest

CHUNK_TYPE = "application/offset+octet-stream"
ROOT = "/v1/uploads"
TUS = {"Tus-Resumable": "1.0.0"}


@dataclass(frozen=True, slots=True)
class Destination:
    """What the bytes are to become."""

    namespace: str
    name: str | None  # None: a blob that holds itself
    filename: str | None
    content_type: str
    expires_in_s: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """An upload as the daemon told it last."""

    path: str
    offset: int  # as many bytes are on its disk
    blob: UUID | None = None  # what it became
    digest: Digest | None = None  # of that
    version: int | None = None  # of the name that it was for
    expires: bool = False  # whether what it becomes is to expire


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An upload that somebody began, and nobody ended."""

    path: str
    offset: int
    is_active: bool
    prefix: Digest | None  # of the first `offset` bytes; None: the daemon cannot tell yet
    name: str | None
    content_type: str


@dataclass(frozen=True, slots=True)
class Uploads:
    """The uploads of one daemon, for one transfer: another of the same token is told apart by its session."""

    transport: Transport
    session: str = field(default_factory=lambda: secrets.token_urlsafe(16))

    async def begin(self, destination: Destination, size: int | None, xxh3_128: str | None) -> Standing:
        """A new upload. The same again is the same upload, where `xxh3_128` tells what it is of."""
        headers = {**self._headers(), **creation(destination, size, xxh3_128)}
        async with await self.transport.open("POST", ROOT, headers=headers) as response:
            return standing(response.headers)

    async def begin_with(
        self, destination: Destination, data: bytes, xxh3_128: str, pieces: AsyncGenerator[bytes, None], gauge: Gauge
    ) -> Standing:
        """As `begin`, with all of its bytes."""
        headers = {**self._headers(), **creation(destination, len(data), xxh3_128), "Content-Type": CHUNK_TYPE}
        return standing(await send(self.transport, "POST", ROOT, headers, pieces, 0, len(data), gauge))

    async def ask(self, path: str) -> Standing:
        """Where it stands. An older request of this session ends at once."""
        async with await self.transport.open("HEAD", path, headers=self._headers()) as response:
            return standing(response.headers, path)

    async def append(
        self,
        at: Standing,
        pieces: AsyncGenerator[bytes, None],
        size: int,
        gauge: Gauge,
        total: int | None = None,
    ) -> Standing:
        """So many more bytes are there. `total` tells a length that was deferred."""
        headers = {**self._headers(), "Content-Type": CHUNK_TYPE, "Upload-Offset": str(at.offset)}
        if total is not None:
            headers["Upload-Length"] = str(total)
        return standing(await send(self.transport, "PATCH", at.path, headers, pieces, at.offset, size, gauge), at.path)

    async def end(self, path: str) -> None:
        """The upload is gone, with its bytes."""
        async with await self.transport.open("DELETE", path, headers=self._headers()):
            pass

    async def unfinished(self, namespace: str, size: int, xxh3_128: str) -> list[Unfinished]:
        """Those of that content, the furthest first; none from a daemon that does not tell."""
        query: Query = {"xxh3_128": xxh3_128, "size": size, "namespace": namespace}
        try:
            answer = await self.transport.json("GET", ROOT, query)
        except UnknownPath:
            return []
        except Refused as error:
            if error.status != 405:
                raise
            return []
        return [parsed("upload", _unfinished, item) for item in items(answer)]

    def _headers(self) -> dict[str, str]:
        return {**TUS, "Casd-Session": self.session}


def creation(destination: Destination, size: int | None, xxh3_128: str | None) -> dict[str, str]:
    """What is said of an upload when it begins. Raises InvalidInput."""
    told = {
        "namespace": destination.namespace,
        "name": destination.name,
        "filename": destination.filename,
        "filetype": checked_type(destination.content_type),
        "expires_in": None if destination.expires_in_s is None else str(destination.expires_in_s),
        "xxh3_128": xxh3_128,
    }
    metadata = ",".join(f"{key} {_encoded(value)}" for key, value in told.items() if value is not None)
    length = {"Upload-Defer-Length": "1"} if size is None else {"Upload-Length": str(size)}
    return {**length, "Upload-Metadata": metadata}


def standing(headers: Mapping[str, str], path: str | None = None) -> Standing:
    """Raises UnexpectedAnswer."""
    return parsed("upload", lambda headers: _standing(headers, path), headers)


def _standing(headers: Mapping[str, str], path: str | None) -> Standing:
    metadata = headers.get("Upload-Metadata", "").split(",")
    blob, sha512 = headers.get("Casd-Blob"), headers.get("Casd-Sha512")
    return Standing(
        path=path or _path(headers["Location"]),
        offset=int(headers["Upload-Offset"]),
        blob=UUID(blob) if blob else None,
        digest=Digest.parse(sha512) if sha512 else None,
        version=version_in(headers.get("Content-Location", "")),
        expires=any(item.split()[:1] == ["expires_in"] for item in metadata),
    )


def _unfinished(item: Any) -> Unfinished:
    return Unfinished(
        path=_path(item["url"]),
        offset=int(item["offset"]),
        is_active=bool(item["active"]),
        prefix=None if item["prefix_sha512"] is None else Digest.parse(item["prefix_sha512"]),
        name=item["name"],
        content_type=item["content_type"],
    )


def _path(url: str) -> str:
    """Only the upload's UUID is taken from it: where requests go is not the answer's to say."""
    return f"{ROOT}/{UUID(urlsplit(url).path.rpartition('/')[2])}"


def _encoded(text: str) -> str:
    try:
        return base64.b64encode(text.encode()).decode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{text!r} is not UTF-8") from None


def expect(at: Standing) -> tuple[UUID, Digest]:
    """What a complete upload became. Raises UnexpectedAnswer."""
    if at.blob is None or at.digest is None:
        raise UnexpectedAnswer(f"all {at.offset} bytes are there, but {at.path} does not say what became of them")
    return at.blob, at.digest
