"""Datapane's Blob API, as its clients 0.8 to 0.12 speak it: `/api/blobs/`, and what `login` asks for.

Never a 426, on which they ask the package index for their newest release, and never a redirect, which turns a POST into
a GET: slashes may be doubled, as some of the clients' code writes them, and the last one may be left out.
"""

from aiohttp import web

from casd.dialects.datapane import blobs, export
from casd.dialects.datapane.render import render_error
from casd.web.dialect import Access, Dialect, Route


def path(*segments: str) -> str:
    """`/api/segment/…/`, with any number of slashes between and at the end."""
    return "/api" + "".join(f"{{s{at}:/+}}{segment}" for at, segment in enumerate(segments)) + "{end:/*}"


def credential(request: web.Request) -> str | None:
    """The secret of `Authorization: Token`."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "token" and secret.strip() else None


DATAPANE = Dialect(
    name="datapane",
    prefixes=("/api",),
    credential=credential,
    render_error=render_error,
    prepare=export.prepare,
    routes=(
        Route("GET", path("settings", "details"), blobs.user),
        Route("POST", path("blobs"), blobs.upload),
        Route("GET", path("blobs"), blobs.listing),
        Route("GET", path("blobs", "lookup"), blobs.lookup),
        Route("GET", path("blobs", "{id:[^/]+}"), blobs.info),
        Route("PATCH", path("blobs", "{id:[^/]+}"), blobs.update),
        Route("DELETE", path("blobs", "{id:[^/]+}"), blobs.delete),
        Route("GET", path("blobs", "{id:[^/]+}", "data"), blobs.data, is_signable=True),
        Route("GET", path("blobs", "{id:[^/]+}", "export"), export.export, Access.ANYONE),
    ),
)
