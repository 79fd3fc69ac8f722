"""The API as a document."""

from aiohttp import web

from casd.web.openapi import DOCUMENT
from casd.web.pages import show


async def openapi(request: web.Request) -> web.StreamResponse:
    return await show(request, request.app[DOCUMENT].page)
