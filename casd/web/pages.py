"""Answers that are the same for everybody until the daemon is another: documents and pages, with an ETag each."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from aiohttp import web

from casd.web.conditions import was_seen


@dataclass(frozen=True)
class Page:
    """Made when it is first asked for, and kept."""

    media: str
    make: Callable[[], bytes]

    @cached_property
    def body(self) -> bytes:
        return self.make()

    @cached_property
    def etag(self) -> str:
        return hashlib.sha512(self.body).hexdigest()


async def show(request: web.Request, page: Page, headers: dict[str, str] | None = None) -> web.Response:
    """The page, or 304 for who has it; it may be kept, and is asked for again each time, which costs a round trip."""
    await asyncio.to_thread(lambda: page.etag)
    told = {"ETag": f'"{page.etag}"', "Cache-Control": "no-cache"} | (headers or {})
    if was_seen(request.headers, page.etag):
        return web.Response(status=304, headers=told)
    return web.Response(body=page.body, headers=told | {"Content-Type": page.media})
