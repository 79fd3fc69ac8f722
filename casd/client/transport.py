"""Requests to one daemon: addresses, credentials, deadlines, and failures in casd's words. Knows no blobs."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from casd import __version__
from casd.client.errors import (
    AddressInvalid,
    ClientError,
    ConnectionLost,
    Refused,
    UnexpectedAnswer,
    UnknownPath,
    Unreachable,
)
from casd.errors import InvalidInput

READ_BUFFER = 1 << 20  # bytes; aiohttp holds up to twice as much, so one thread hop writes about a MiB
UNIX = "unix://"  # and the path of a Unix socket: Docker's form
PROBLEM_LIMIT_BYTES = 64 << 10  # more than any problem+json needs; what answers may not be casd

Query = Mapping[str, str | int | None]


class Transport:
    """One session to one daemon. The token goes to that origin only: redirects are never followed."""

    def __init__(self, url: str, token: str | None, *, connect_timeout_s: float, idle_timeout_s: float) -> None:
        self.url = _checked_url(url)
        self._base = "http://localhost" if self.url.startswith(UNIX) else self.url
        self.has_token = bool(token)
        self._headers = {"User-Agent": f"casd/{__version__}", "Accept-Encoding": "identity"}
        if token:
            self._headers["Authorization"] = f"Bearer {_checked_token(token)}"
        # No total deadline: a large payload may take as long as it takes while bytes keep moving.
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s, sock_read=idle_timeout_s)
        self.idle_timeout_s = idle_timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # Stored bytes are those that were sent, whatever their encoding, hence auto_decompress=False.
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=READ_BUFFER,
            connector=_connector(self.url, os.environ.get("CASD_CA_FILE")),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def open(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> aiohttp.ClientResponse:
        """The answer to a request, 2xx, its body not read yet. The caller closes it: `async with response`.

        `path` is percent-encoded already. Raises Refused, UnexpectedAnswer, Unreachable and ConnectionLost.
        """
        if self._session is None:
            raise RuntimeError("a Client is used inside `async with`")
        url = URL(self._base + path_with(path, query or {}), encoded=True)
        with self.translated():
            response = await self._session.request(method, url, headers=headers, allow_redirects=False, **options)
            if 200 <= response.status < 300:
                return response
            async with response:
                raise await _refusal(response)

    async def json(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        answer_timeout_s: float | None = None,
    ) -> Any:
        """The JSON answered; None where the answer has no body. `body` is sent as JSON.

        An answer that takes long to be made has a deadline of its own instead of the idle timeout. Raises
        InvalidInput for what JSON cannot say, and as `open`.
        """
        options: dict[str, Any] = {}
        if body is not None:
            options["data"] = _encoded(body)
            headers = {**(headers or {}), "Content-Type": "application/json"}
        if answer_timeout_s is not None:
            connect_timeout_s = self._timeout.sock_connect
            options["timeout"] = aiohttp.ClientTimeout(
                total=None, sock_connect=connect_timeout_s, sock_read=answer_timeout_s
            )
        async with await self.open(method, path, query, headers, **options) as response:
            return await self.read_json(response)

    async def read_json(self, response: aiohttp.ClientResponse) -> Any:
        """The JSON in a body; None for an empty one. Raises UnexpectedAnswer."""
        with self.translated():
            body = await response.read()
        if not body:
            return None
        try:
            return json.loads(body)
        except ValueError as error:
            raise UnexpectedAnswer(f"{self.url} did not answer with JSON; is this a casd daemon?") from error

    @contextmanager
    def translated(self) -> Iterator[None]:
        """aiohttp's failures leave as casd's. Only its own: a failing disk is an OSError too and passes."""
        try:
            yield
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Unreachable(f"cannot connect to {self.url}: {_why(error)}") from error
        except aiohttp.ClientResponseError as error:
            raise UnexpectedAnswer(f"{self.url} does not answer in HTTP: {error.message}") from error
        except aiohttp.SocketTimeoutError as error:
            raise self.stalled() from error
        except aiohttp.ClientError as error:
            raise ConnectionLost(f"lost the connection to {self.url}: {_why(error)}") from error

    def stalled(self) -> ConnectionLost:
        return ConnectionLost(f"nothing moved between here and {self.url} for {self.idle_timeout_s:g} s")


async def _refusal(response: aiohttp.ClientResponse) -> ClientError:
    if response.status < 400:
        target = response.headers.get("Location", "nowhere")
        return UnexpectedAnswer(
            f"{response.url} answered {response.status}, a redirect to {target}; "
            "casd sends none, so it was not followed: is the address right?"
        )
    problem = await _problem(response)
    is_explained = response.method != "HEAD"  # which has no body to say why
    if response.status == 404 and is_explained and _text(problem, "code") in (None, "no-such-path"):
        where = response.url.with_query(None)
        return UnknownPath(f"{where} is nothing that casd knows: is the address right, and that casd new enough?")
    return Refused(
        response.status,
        _text(problem, "code") or f"http-{response.status}",
        _text(problem, "detail") or _text(problem, "title") or f"{response.status} {response.reason}",
        _text(problem, "request_id"),
        retry_after_s(response.headers.get("Retry-After"), datetime.now(UTC)),
    )


async def _problem(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """The problem+json of an error, as far as there is one: its status alone is worth reporting."""
    body = bytearray()
    with suppress(aiohttp.ClientError):
        while len(body) < PROBLEM_LIMIT_BYTES and (piece := await response.content.readany()):
            body += piece
    try:
        problem = json.loads(bytes(body))
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def path_with(path: str, query: Query) -> str:
    """A path, percent-encoded already, with a query behind it; what is None is left out. Raises InvalidInput."""
    given = {key: value for key, value in query.items() if value is not None}
    try:
        return f"{path}?{urlencode(given)}" if given else path
    except UnicodeEncodeError as error:  # from an argument that was not UTF-8 on the command line
        raise InvalidInput(f"{error.object!r} is not UTF-8") from None


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Seconds from a Retry-After header (RFC 9110, 10.2.3: seconds or a date); None where it says nothing."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())


def _text(problem: Mapping[str, Any], key: str) -> str | None:
    value = problem.get(key)
    return value if isinstance(value, str) and value else None


def _encoded(body: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError as error:  # from an argument that was not UTF-8 on the command line
        raise InvalidInput(f"{error.object[error.start : error.end]!r} is not UTF-8") from None
    except (ValueError, RecursionError) as error:  # an infinity, or nested without end
        raise InvalidInput(f"this cannot be written as JSON: {error}") from None


def _why(error: aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", error.certificate_error)
        return f"its certificate is not trusted: {why}; CASD_CA_FILE names a file with the authority that signed it"
    if isinstance(error, aiohttp.ClientConnectorSSLError):  # its number is OpenSSL's, not the system's
        return f"{error.os_error.strerror or error.os_error}; does it speak TLS? Plain HTTP is http://"
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        # A resolver's numbers are negative, and its text is better than strerror's.
        return os.strerror(number) if number and number > 0 else error.os_error.strerror or str(error.os_error)
    if isinstance(error, aiohttp.ClientPayloadError):
        return "it was cut in the middle of the answer"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it was closed before the answer"
    return str(error) or type(error).__name__


def _connector(url: str, ca_file: str | None) -> aiohttp.BaseConnector:
    """What reaches the daemon; a certificate is trusted too that an authority in `ca_file` has signed."""
    if url.startswith(UNIX):
        return aiohttp.UnixConnector(url.removeprefix(UNIX))
    if not ca_file or not url.startswith("https://"):
        return aiohttp.TCPConnector()
    try:
        trust = ssl.create_default_context()
        trust.load_verify_locations(ca_file)
    except OSError as error:  # of OpenSSL too: no certificate is in it
        raise ClientError(f"CASD_CA_FILE: {ca_file} holds no certificates: {error.strerror or error}") from error
    return aiohttp.TCPConnector(ssl=trust)


def _checked_url(text: str) -> str:
    if text.startswith(f"{UNIX}/"):
        return text
    try:
        url = URL(text)
        host = url.host
    except ValueError:
        host = None
    if not host or url.scheme not in ("http", "https") or url.query_string or url.fragment:
        kinds = "http://127.0.0.1:8080, or unix:///run/casd.sock"
        raise AddressInvalid(f"{text!r} is not the address of a daemon; one looks like {kinds}")
    if url.user or url.password:
        raise AddressInvalid("the address of a daemon holds no user or password; a token goes beside it")
    return str(url).rstrip("/")


def _checked_token(token: str) -> str:
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ClientError("the token holds characters that no token has; was it copied in full?")
    return token
