"""Fetching a URL on a client's behalf, from hosts that the configuration lists and from no other.

A daemon that fetches reaches places that its clients cannot, so who lists a host trusts it, and whatever its name
resolves to. What is fetched counts when all of it is there, and is stored like an upload. Nobody's patience decides: a
fetch goes on when its client hangs up, and who asks again meanwhile waits for the same one.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
from aiohttp import hdrs, web
from yarl import URL

from casd.auth import Principal
from casd.errors import CasdError, InvalidInput, SourceFailed, TooLarge, TooManyFetches
from casd.model import Expected, Naming
from casd.store import DEFAULT_CONTENT_TYPE, BlobStore, Description
from casd.web.fetching import check_identity, session, translated
from casd.web.keys import LIMITS, STORE, Limits
from casd.web.receive import checked_content_type, checked_text, pump

log = logging.getLogger(__name__)

SCHEMES = ("http", "https")
REDIRECTS = (301, 302, 303, 307, 308)
HOPS = 5  # redirects that are followed
AT_ONCE = 16  # each has a stage and a connection, and outlives a client that hung up


@dataclass(frozen=True, slots=True)
class Fetch:
    """What is wanted, for whom, and where it goes."""

    principal: Principal
    url: URL  # as `checked_url` returned it
    namespace: str
    name: str
    naming: Naming


class Fetches:
    """Those that are under way. None is allowed before `hosts` are set: `name`, `name:port`, `[address]:port`."""

    def __init__(self, store: BlobStore, limits: Limits) -> None:
        self.hosts: Collection[str] = ()
        self._store = store
        self._limits = limits
        self._running: dict[Fetch, asyncio.Task[None]] = {}

    async def run(self, fetch: Fetch) -> None:
        """What is there is the newest version of the name; one that runs already is waited for.

        Raises TooManyFetches, SourceFailed, SourceTimeout, TooLarge, InvalidInput for a redirect to a host that is not
        listed, and as `BlobStore.publish`.
        """
        task = self._running.get(fetch)
        if task is None:
            if len(self._running) >= AT_ONCE:
                raise TooManyFetches(f"{AT_ONCE} URLs are being fetched already: ask again later")
            task = self._running[fetch] = asyncio.create_task(self._store_it(fetch))
            task.add_done_callback(partial(self._ended, fetch))
        await asyncio.shield(task)

    def _ended(self, fetch: Fetch, task: asyncio.Task[None]) -> None:
        del self._running[fetch]
        error = None if task.cancelled() else task.exception()
        if error is not None:  # its client, who may have gone, is told too
            log.warning("fetch failed error=%s", error, exc_info=None if isinstance(error, CasdError) else error)

    async def close(self) -> None:
        """Stop those that still run; what they had is gone."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _store_it(self, fetch: Fetch) -> None:
        host, idle_timeout_s = fetch.url.host, self._limits.body_idle_timeout_s
        with translated(host, idle_timeout_s):
            async with answered(fetch.url, self.hosts, idle_timeout_s) as response:
                await self._publish(fetch, response)

    async def _publish(self, fetch: Fetch, response: aiohttp.ClientResponse) -> None:
        store, limit_bytes = self._store, self._limits.max_body_bytes
        size = checked_size(response, limit_bytes)
        about = Description(content_type(response), filename(fetch.url))
        more: dict[str, Any] = {"expected": Expected(size), "naming": fetch.naming}
        async with await store.stage(fetch.namespace, size, name=fetch.name) as staged:
            await pump(response.content.readany, staged, limit_bytes)
            await store.publish(fetch.principal, fetch.namespace, fetch.name, staged, about, **more)


FETCHES = web.AppKey("shakenfist_fetches", Fetches)


def prepare(app: web.Application) -> None:
    app[FETCHES] = Fetches(app[STORE], app[LIMITS])
    app.on_cleanup.append(close)


async def close(app: web.Application) -> None:
    await app[FETCHES].close()


@asynccontextmanager
async def answered(url: URL, hosts: Collection[str], idle_timeout_s: float) -> AsyncIterator[aiohttp.ClientResponse]:
    """The answer at the end of the redirects, with its body to come. Raises SourceFailed, InvalidInput."""
    async with session(idle_timeout_s) as client:
        for _ in range(HOPS + 1):
            async with client.get(url, allow_redirects=False) as response:
                if response.status not in REDIRECTS:
                    yield response
                    return
                url = next_url(url, response.headers.get(hdrs.LOCATION, ""), hosts)
        raise SourceFailed(f"there are more than {HOPS} redirects")


def next_url(url: URL, location: str, hosts: Collection[str]) -> URL:
    """Raises InvalidInput, SourceFailed."""
    try:
        following = checked_url(str(url.join(URL(location))), hosts)
    except ValueError:
        raise SourceFailed(f"{url.host} redirects to what is no URL") from None
    if url.scheme == "https" and following.scheme != "https":
        raise SourceFailed(f"{url.host} redirects to where it is not encrypted")
    return following


def checked_url(text: str, hosts: Collection[str]) -> URL:
    """A URL that may be fetched. Raises InvalidInput."""
    try:
        url = URL(text).with_fragment(None)
        is_url = url.scheme in SCHEMES and bool(url.raw_host) and url.raw_user is None and url.raw_password is None
        is_allowed = is_url and is_listed(url, hosts)
    except ValueError:
        is_url = is_allowed = False
    if not hosts:
        raise InvalidInput("casd fetches no URLs: [shakenfist] cache_hosts is empty; fetch it, and upload what you got")
    if not is_url:
        raise InvalidInput("an absolute URL is wanted, with http or https and without credentials")
    if not is_allowed:
        raise InvalidInput(f"casd fetches nothing from {url.host}:{url.port}: it is not in [shakenfist] cache_hosts")
    return url


def is_listed(url: URL, hosts: Collection[str]) -> bool:
    """Whether host and port are listed; a host that is listed without one has the usual port of the scheme."""
    host = f"[{url.raw_host}]" if ":" in (url.raw_host or "") else url.raw_host
    return f"{host}:{url.port}" in hosts or (url.is_default_port() and host in hosts)


def checked_size(response: aiohttp.ClientResponse, limit_bytes: int) -> int | None:
    """The body's length, None where chunks tell its end. Raises SourceFailed, TooLarge."""
    host = response.url.host
    if response.status != 200:
        raise SourceFailed(f"{host} answered {response.status}")
    check_identity(response)
    size = response.content_length
    if size is None and "chunked" not in response.headers.get(hdrs.TRANSFER_ENCODING, "").lower():
        raise SourceFailed(f"{host} does not say how long its answer is, so one that is cut would look complete")
    if size is not None and size > limit_bytes:
        raise TooLarge("what is there", limit_bytes)
    return size


def filename(url: URL) -> str | None:
    """The URL's last segment, if it can be a file's name."""
    try:
        return checked_text(url.path.rstrip("/").rpartition("/")[2], "the URL's last segment")
    except InvalidInput:
        return None


def content_type(response: aiohttp.ClientResponse) -> str:
    try:
        return checked_content_type(response.headers.get(hdrs.CONTENT_TYPE))
    except InvalidInput:
        return DEFAULT_CONTENT_TYPE
