"""One payload, fetched over as many connections as it takes. Where the bytes go is the caller's business.

The first answer fixes what is fetched: digest, size and, of a name, the exact version. Each later connection
asks for the rest of just that (RFC 9110: Range with If-Range), and takes nothing else for it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qs, urlsplit

import aiohttp

from casd.client.errors import ClientError, ConnectionLost, DigestDiffers, UnexpectedAnswer, Unreachable
from casd.client.retry import Notice, Patience, Retry
from casd.client.source import PIECE
from casd.client.transport import Query, Transport
from casd.errors import InvalidInput
from casd.model import Digest

_ETAG = re.compile(r'(?:W/)?"([0-9a-f]{128})"')
_REPR_DIGEST = re.compile(r"(?:^|[,\s])sha-512=:([A-Za-z0-9+/=]+):")


@dataclass(frozen=True, slots=True)
class Content:
    """What a download brings. It does not change while it goes on."""

    digest: Digest
    size: int
    content_type: str
    filename: str | None  # as the daemon suggests it: not checked, so never a path as it stands
    version: int | None  # of a name


class Download:
    """A payload to be fetched, used as `async with download`; then `content` is known and `pieces` brings it."""

    content: Content

    def __init__(
        self,
        transport: Transport,
        path: str,
        query: Query | None = None,
        *,
        expected: Digest | None = None,
        retry: Retry | None = None,
        notice: Notice | None = None,
    ) -> None:
        self._transport = transport
        self._path = path
        self._query = dict(query or {})
        self._expected = expected
        self._patience = Patience(retry or Retry(), notice)
        self._first: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> Self:
        """Connect and learn what is fetched. Raises Unreachable at once, without trying again."""
        while self._first is None:
            try:
                self._first = await self._transport.open("GET", self._path, self._query)
            except Unreachable:
                raise
            except ClientError as error:
                await self._patience.after(error)
        try:
            self.content = self._pinned(self._first)
        except BaseException:
            self.hang_up()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hang_up()

    def hang_up(self) -> None:
        """The first connection is closed; `pieces` makes a new one. For callers that are busy before `pieces`."""
        if self._first is not None:
            self._first.close()
            self._first = None

    async def pieces(self, start: int = 0) -> AsyncGenerator[bytes, None]:
        """The payload's bytes from `start` to its end, none twice and none left out, not checked.

        Close it (contextlib.aclosing) if it is not read to its end. Raises the last failure once the retries
        are used up.
        """
        position = start
        while position < self.content.size:
            try:
                async with aclosing(self._rest(position)) as rest:
                    async for piece in rest:
                        position += len(piece)
                        self._patience.progressed()
                        yield piece
                if position < self.content.size:
                    raise ConnectionLost(f"{self._transport.url} ended its answer early")
            except ClientError as error:
                await self._patience.after(error)

    async def _rest(self, position: int) -> AsyncGenerator[bytes, None]:
        """What one connection brings of the bytes from `position`."""
        async with await self._answer(position) as response, aclosing(_arrived(response.content)) as arrived:
            # A whole answer where a part was asked for is correct HTTP: what we have of it is passed over.
            known = position if response.status == 200 else 0
            with self._transport.translated():
                async for piece in arrived:
                    fresh = piece[known:]
                    known = max(0, known - len(piece))
                    position += len(fresh)
                    if position > self.content.size:
                        raise UnexpectedAnswer(f"the answer has more than its {self.content.size} bytes")
                    if fresh:
                        yield fresh

    async def _answer(self, position: int) -> aiohttp.ClientResponse:
        if self._first is not None and position == 0:
            first, self._first = self._first, None
            return first
        self.hang_up()
        wanted = {"Range": f"bytes={position}-", "If-Range": f'"{self.content.digest}"'} if position else {}
        response = await self._transport.open("GET", self._path, self._query, wanted)
        try:
            self._check(response, position)
        except BaseException:
            response.close()
            raise
        return response

    def _check(self, response: aiohttp.ClientResponse, position: int) -> None:
        """The answer is of the same payload, and of the part asked for or the whole. Raises UnexpectedAnswer."""
        if _digest(response) not in (None, self.content.digest):
            raise UnexpectedAnswer("the content changed while it was fetched; start again")
        if response.status == 200:
            return
        size = self.content.size
        exact = f"bytes {position}-{size - 1}/{size}"
        part = response.headers.get("Content-Range")
        if response.status != 206 or position == 0 or part != exact:
            raise UnexpectedAnswer(f"asked for {exact}, was answered {response.status} with {part}")

    def _pinned(self, response: aiohttp.ClientResponse) -> Content:
        digest, size = _digest(response), response.content_length
        if response.status != 200 or digest is None or size is None:
            raise UnexpectedAnswer(f"{response.url} answers without digest and length; is this a casd daemon?")
        if self._expected is not None and digest != self._expected:
            raise DigestDiffers(f"what {self._transport.url} has", self._expected, digest)
        version = pinned_version(response)
        if version is not None:
            self._query = {"version": version}
        disposition = response.content_disposition
        return Content(
            digest=digest,
            size=size,
            content_type=response.headers.get("Content-Type", "application/octet-stream"),
            filename=disposition.filename if disposition else None,
            version=version,
        )


async def _arrived(content: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    """The pieces of a body as they come, all that came before a connection broke included."""
    try:
        async for piece in content.iter_chunked(PIECE):
            yield piece
    except aiohttp.ClientError:
        # aiohttp (3.14.5) keeps what it has buffered to itself once the connection broke. That may be all that
        # a bad line brings: without it, a reader who is busy writing would make no progress.
        if rest := content._read_nowait(-1):
            yield rest
        raise


def _digest(response: aiohttp.ClientResponse) -> Digest | None:
    """The SHA-512 of the whole payload, from ETag or Repr-Digest (RFC 9530); None where neither tells."""
    try:
        if tag := _ETAG.fullmatch(response.headers.get("ETag", "")):
            return Digest.parse(tag[1])
        if listed := _REPR_DIGEST.search(response.headers.get("Repr-Digest", "")):
            return Digest(base64.b64decode(listed[1], validate=True))
    except (InvalidInput, binascii.Error):
        return None
    return None


def pinned_version(response: aiohttp.ClientResponse) -> int | None:
    """The number in a Content-Location such as `/v1/names/default/web?version=3`; None where there is none.

    Only the number is taken from it: where requests go is not the answer's to say.
    """
    try:
        query = urlsplit(response.headers.get("Content-Location", "")).query
    except ValueError:
        return None
    number = parse_qs(query).get("version", [""])[0]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 19 else None
