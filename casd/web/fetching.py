"""Fetching from other servers: how they are asked, and what their failures mean."""

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from aiohttp import hdrs

from casd.errors import SourceCut, SourceFailed, SourceTimeout

BUFFER_BYTES = 1 << 20  # what arrives while a batch is written is the next one


def session(idle_timeout_s: float) -> aiohttp.ClientSession:
    """Keeps no cookies, takes the bytes as they are stored there, and has no total deadline."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(
            total=None, connect=idle_timeout_s, sock_connect=idle_timeout_s, sock_read=idle_timeout_s
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        read_bufsize=BUFFER_BYTES,
        headers={hdrs.ACCEPT_ENCODING: "identity", hdrs.USER_AGENT: "casd"},
    )


@contextmanager
def translated(host: str | None, idle_timeout_s: float) -> Iterator[None]:
    """aiohttp's failures leave as SourceFailed and its kin."""
    try:
        yield
    except TimeoutError:
        raise SourceTimeout(f"{host} sent nothing for {idle_timeout_s:g} s") from None
    except aiohttp.ClientPayloadError:
        raise SourceCut(f"{host} ended before all of its answer was there") from None
    except aiohttp.ClientConnectorError:
        raise SourceCut(f"{host} cannot be reached") from None
    except (aiohttp.ServerDisconnectedError, ConnectionError):
        raise SourceCut(f"{host} hung up") from None
    except aiohttp.ClientError as error:  # no HTTP, or TLS that is not trusted
        raise SourceFailed(f"{host} did not answer as it should: {type(error).__name__}") from error


def check_identity(response: aiohttp.ClientResponse) -> None:
    """Raises SourceFailed for bytes that are encoded."""
    encoding = response.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower()
    if encoding != "identity":
        told = f"with Content-Encoding {encoding[:40]!r}, which was not asked for"
        raise SourceFailed(f"{response.url.host} sent what it has {told}")
