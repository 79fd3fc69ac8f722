"""A payload at a daemon: which it is, and answers that hold it or a part of it, checked to be of just that.

The first answer fixes what is fetched: digest, size and, of a name, the exact version. Later ones are taken for nothing
else (RFC 9110: Range with If-Range).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import aiohttp

from casd.client.errors import ContentChanged, DigestDiffers, Refused, UnexpectedAnswer
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


class Remote:
    """One payload, by the path where its bytes are."""

    content: Content

    def __init__(
        self, transport: Transport, path: str, query: Query | None = None, *, expected: Digest | None = None
    ) -> None:
        self.transport = transport
        self._path = path
        self._asked = dict(query or {})
        self._query = self._asked
        self._expected = expected

    @property
    def blocks_path(self) -> str:
        """Where the checksums of its blocks are told to whoever may read it here."""
        if self._path.startswith("/v1/blobs/"):
            return f"{self._path.removesuffix('/data')}/blocks"
        return f"/v1/payloads/sha512/{self.content.digest}/blocks"

    async def whole(self) -> aiohttp.ClientResponse:
        """A whole answer, which fixes `content`. The caller closes it. Raises as `Transport.open`."""
        response = await self.transport.open("GET", self._path, self._asked)
        try:
            self._fix(response)
        except BaseException:
            response.close()
            raise
        return response

    async def look(self) -> None:
        """`content` is fixed, and nothing is fetched. Raises as `Transport.open`."""
        try:
            async with await self.transport.open("HEAD", self._path, self._asked) as response:
                self._fix(response)
        except Refused:
            # The answer to a HEAD has no body to say why: the same is asked with one.
            async with await self.whole():
                pass

    async def part(self, start: int, stop: int) -> aiohttp.ClientResponse:
        """An answer with those bytes, or with the whole: look at its status. The caller closes it.

        Raises ContentChanged for a name that means something else now, UnexpectedAnswer, and as `Transport.open`.
        """
        size = self.content.size
        is_whole = (start, stop) == (0, size)
        last = "" if stop == size else str(stop - 1)
        wanted = {} if is_whole else {"Range": f"bytes={start}-{last}", "If-Range": f'"{self.content.digest}"'}
        try:
            response = await self.transport.open("GET", self._path, self._query, wanted)
        except Refused as error:
            if error.status == 404 and self._query is not self._asked:
                raise ContentChanged(f"version {self.content.version} was removed while it was fetched") from error
            raise
        try:
            self._check(response, start, stop)
        except BaseException:
            response.close()
            raise
        return response

    def _check(self, response: aiohttp.ClientResponse, start: int, stop: int) -> None:
        """The answer is of the same payload, and of the part asked for or the whole."""
        if _digest(response.headers) not in (None, self.content.digest):
            raise ContentChanged("the content changed while it was fetched; start again")
        size = self.content.size
        if response.status == 200:
            if response.content_length not in (None, size):
                raise UnexpectedAnswer(f"the answer has {response.content_length} bytes instead of {size}")
            return
        exact = f"bytes {start}-{stop - 1}/{size}"
        part = response.headers.get("Content-Range")
        if response.status != 206 or (start, stop) == (0, size) or part != exact:
            raise UnexpectedAnswer(f"asked for {exact}, was answered {response.status} with {part}")

    def _fix(self, response: aiohttp.ClientResponse) -> None:
        digest, size = _digest(response.headers), _length(response)
        if response.status != 200 or digest is None or size is None:
            raise UnexpectedAnswer(f"{response.url} answers without digest and length; is this a casd daemon?")
        if self._expected is not None and digest != self._expected:
            raise DigestDiffers(f"what {self.transport.url} has", self._expected, digest)
        version = pinned_version(response)
        self._query = self._asked if version is None else {"version": version}
        disposition = response.content_disposition
        self.content = Content(
            digest=digest,
            size=size,
            content_type=response.headers.get("Content-Type", "application/octet-stream"),
            filename=disposition.filename if disposition else None,
            version=version,
        )


def _length(response: aiohttp.ClientResponse) -> int | None:
    """What Content-Length says; aiohttp's own property has none for the answer to a HEAD."""
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _digest(headers: Mapping[str, str]) -> Digest | None:
    """The SHA-512 of the whole payload, from ETag or Repr-Digest (RFC 9530); None where neither tells."""
    try:
        if tag := _ETAG.fullmatch(headers.get("ETag", "")):
            return Digest.parse(tag[1])
        if listed := _REPR_DIGEST.search(headers.get("Repr-Digest", "")):
            return Digest(base64.b64decode(listed[1], validate=True))
    except (InvalidInput, binascii.Error):
        return None
    return None


def pinned_version(response: aiohttp.ClientResponse) -> int | None:
    """The number in a Content-Location such as `/v1/names/default/web?version=3`; None where there is none."""
    return version_in(response.headers.get("Content-Location", ""))


def version_in(location: str) -> int | None:
    """Only the number is taken from it: where requests go is not the answer's to say."""
    try:
        query = urlsplit(location).query
    except ValueError:
        return None
    number = parse_qs(query).get("version", [""])[0]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 19 else None
