"""Makes connections and requests. aiohttp 3.14.5 answers `Expect` before any middleware runs (and before a 404)."""

import asyncio
from collections.abc import Mapping
from typing import cast

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.http_writer import HttpVersion11
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from casd.web.heads import absolute_form
from casd.web.keys import EXPECTATION
from casd.web.protocol import Connection
from casd.web.traffic import Traffic


class Front:
    """Makes connections: `connect` is a protocol factory for `loop.create_server`."""

    def __init__(self, server: web.Server, traffic: Traffic) -> None:
        """`server` is that of an AppRunner that is set up; its requests are made here from now on."""
        self._server = server
        self.traffic = traffic
        self._loop = asyncio.get_running_loop()
        self._make_request = server.request_factory
        server.request_factory = self._request

    def connect(self) -> Connection:
        return Connection(self._server, self.traffic, self._loop)

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        """The request, with its expectation set aside: aiohttp would answer it before asking anybody."""
        headers = one_line_each(message.headers)
        expectation = headers.pop(hdrs.EXPECT, "")
        if not message.path.startswith("/"):
            message = in_origin_form(message, headers)
        request = self._make_request(
            message._replace(headers=CIMultiDictProxy(headers)),
            payload,
            protocol,
            writer,
            task,
        )
        # HTTP/1.0 has no interim answers, so its clients do not mean it (RFC 9110, 10.1.1).
        request[EXPECTATION] = expectation if message.version >= HttpVersion11 else ""
        cast(Connection, protocol).request_begins(message)
        return request


def in_origin_form(message: RawRequestMessage, headers: CIMultiDict[str]) -> RawRequestMessage:
    """The message as if its absolute form were path and Host, which counts for nothing beside it (RFC 9112, 3.2.2)."""
    found = absolute_form(message.path)
    if found is None:  # `*`, or what CONNECT asks for
        return message
    headers[hdrs.HOST], path, query = found
    url = URL.build(path=path, query_string=query, encoded=True)
    return message._replace(path=f"{path}?{query}" if query else path, url=url)


def one_line_each(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """The lines of one field joined (RFC 9110, 5.3), so that nobody obeys the first of two and never sees the other."""
    joined: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined
