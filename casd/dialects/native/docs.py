"""The pages for people at `/docs`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aiohttp import web

import casd.docs
from casd.docs import found, guide, reference, titles
from casd.errors import NotFound
from casd.web.openapi import DOCUMENT, Document
from casd.web.pages import Page, show

HTML, CSS = "text/html; charset=utf-8", "text/css; charset=utf-8"
STYLE = "style.css"
SAFETY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


@dataclass(frozen=True)
class Docs:
    document: Document
    home: Page
    pages: Mapping[str, Page]  # by the last part of their path


DOCS = web.AppKey("docs", Docs)


def prepare(app: web.Application) -> None:
    document = app[DOCUMENT]
    guides = {topic: Page(HTML, partial(_guide, topic)) for topic in titles()}
    style = Page(CSS, (Path(casd.docs.__file__).parent / STYLE).read_bytes)
    app[DOCS] = Docs(document, Page(HTML, lambda: reference(document.value).encode()), guides | {STYLE: style})


def _guide(topic: str) -> bytes:
    return guide(topic).encode()


async def home(request: web.Request) -> web.StreamResponse:
    """The reference; with `?q=`, what has those words."""
    docs, query = request.app[DOCS], request.query.get("q", "").strip()
    page = Page(HTML, partial(_search, docs.document, query)) if query else docs.home
    return await show(request, page, SAFETY)


def _search(document: Document, query: str) -> bytes:
    return found(document.value, query).encode("utf-8", "replace")


async def topic(request: web.Request) -> web.StreamResponse:
    page = request.app[DOCS].pages.get(request.match_info["topic"])
    if page is None:
        raise NotFound("there is no such page: /docs lists them all")
    return await show(request, page, SAFETY)
