"""Where repair finds payloads: another casd, or any folder of files that HTTP serves, each named by its digest."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import aiohttp
from aiohttp import hdrs
from yarl import URL

from casd.errors import PayloadNotFound, SourceCut, SourceFailed
from casd.model import Digest
from casd.repair import Pieces
from casd.web.fetching import check_identity, session, translated

AGAIN = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)  # and all that is the server's fault
TOKEN_LIMIT_BYTES = 4096


class HttpSource:
    """See `repair.Source`. A redirect is refused: the token, and trust in what is fetched from, end at this URL."""

    def __init__(self, url: str, token_file: Path | None, idle_timeout_s: float, *, is_casd: bool) -> None:
        """`url` has no credentials in it; the token is read anew each time, so that it can be changed.

        One that is no casd has `{url}/{hex}` or, as casd's own folder, `{url}/ab/cd/{hex}`.
        """
        self._url = url
        self._is_casd = is_casd
        self._token_file = token_file
        self._idle_timeout_s = idle_timeout_s

    @property
    def name(self) -> str:
        return self._url

    @asynccontextmanager
    async def reading(self, digest: Digest, start: int, size: int) -> AsyncIterator[Pieces]:
        headers = await self._credentials()
        if start:
            headers[hdrs.RANGE] = f"bytes={start}-"
        host = URL(self._url).host
        with translated(host, self._idle_timeout_s):
            async with session(self._idle_timeout_s) as client:
                for target in self._targets(digest):
                    async with client.get(URL(target), headers=headers, allow_redirects=False) as response:
                        if response.status != HTTPStatus.NOT_FOUND:
                            yield await from_start(response, start, size)
                            return
        raise PayloadNotFound(f"{host} has no such payload")

    def _targets(self, digest: Digest) -> tuple[str, ...]:
        name = digest.hex
        if self._is_casd:
            return (f"{self._url}/v1/payloads/sha512/{name}",)
        return f"{self._url}/{name}", f"{self._url}/{name[:2]}/{name[2:4]}/{name}"

    async def _credentials(self) -> dict[str, str]:
        """Raises SourceFailed for a token that cannot be read; nobody is asked without it."""
        if self._token_file is None:
            return {}
        try:
            token = (await asyncio.to_thread(_read, self._token_file)).decode("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a token"
            raise SourceFailed(f"its token file {self._token_file} cannot be used: {reason}") from None
        if not token or not token.isprintable():
            raise SourceFailed(f"its token file {self._token_file} cannot be used: not a token")
        return {hdrs.AUTHORIZATION: f"Bearer {token}"}


def _read(path: Path) -> bytes:
    with path.open("rb", buffering=0) as file:
        return file.read(TOKEN_LIMIT_BYTES)


async def from_start(response: aiohttp.ClientResponse, start: int, size: int) -> Pieces:
    """What gives the bytes behind `start`. Raises SourceCut, SourceFailed for an answer that cannot have them."""
    check(response, start, size)
    check_identity(response)
    skipped = 0 if response.status == HTTPStatus.PARTIAL_CONTENT else start
    announced = size - start + skipped
    if response.content_length not in (None, announced):
        raise SourceFailed(f"{response.url.host} has another size: {response.content_length}, not {announced} bytes")
    rest = b""
    while skipped > 0 and (piece := await response.content.readany()):
        skipped, rest = skipped - len(piece), piece[skipped:]

    async def next_piece() -> bytes:
        nonlocal rest
        first, rest = rest, b""
        return first or await response.content.readany()

    return next_piece


def check(response: aiohttp.ClientResponse, start: int, size: int) -> None:
    """Raises SourceCut, SourceFailed for a status that has no bytes to be used."""
    host, status = response.url.host, response.status
    if status == HTTPStatus.OK:
        return
    if status == HTTPStatus.PARTIAL_CONTENT:
        # Another range than was asked for would be glued to what is there, and only the hash would tell, at the end.
        wanted = f"bytes {start}-{size - 1}/{size}"
        if not start or response.headers.get(hdrs.CONTENT_RANGE, "").strip() != wanted:
            raise SourceFailed(f"{host} sent another range than was asked for")
        return
    if status in AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise SourceCut(f"{host} answered {status}")
    hint = {401: ": is its token good?", 403: ": may its token read it?"}.get(status, "")
    if 300 <= status < 400:
        hint = ", a redirect, and none is followed: name the place itself"
    raise SourceFailed(f"{host} answered {status}{hint}")
