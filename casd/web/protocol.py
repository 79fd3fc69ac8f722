"""One connection: what aiohttp leaves out. Deadlines for heads and slow readers, caps, `Expect`, drain.

aiohttp 3.14.5 has no deadline for a request's head, answers `Expect` before any middleware runs (and before a 404),
logs a traceback for heads that do not parse, and its shutdown drops body bytes of running requests.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.http_writer import HttpVersion11
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler, _ErrInfo
from multidict import CIMultiDict, CIMultiDictProxy

from casd.web.errors import RouteError, problem
from casd.web.keys import EXPECTATION, REQUEST_ID

log = logging.getLogger(__name__)

KEEP_ALIVE_S = 75.0  # an idle connection; nginx keeps its upstream connections for 60
READ_BUFFER_BYTES = 512 << 10  # per connection, twice that at most; what arrives while a batch is being hashed
TOO_MANY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """0 connections means no cap."""

    head_timeout_s: float
    send_idle_timeout_s: float
    max_connections: int
    max_connections_per_address: int


@dataclass(slots=True)
class Traffic:
    """What all connections share: how many there are, and which requests are under way."""

    limits: ConnectionLimits
    connections: set["Connection"] = field(default_factory=set)
    by_address: Counter[str] = field(default_factory=Counter)
    busy: set["Connection"] = field(default_factory=set)
    is_draining: bool = False
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def has_room_for(self, address: str) -> bool:
        limits = self.limits
        if limits.max_connections and len(self.connections) >= limits.max_connections:
            return False
        per_address = limits.max_connections_per_address
        return not (per_address and address and self.by_address[address] >= per_address)

    async def drain(self, timeout_s: float) -> bool:
        """Let requests in flight finish, each with `Connection: close`; returns whether all did in time.

        The caller has stopped accepting. Idle connections are closed at once, requests that are not done in time are
        cut off: aiohttp's own shutdown would wait another minute for them.
        """
        self.is_draining = True
        for connection in self.connections - self.busy:
            connection.close_if_idle()
        try:
            async with asyncio.timeout(timeout_s):
                while self.busy:
                    self.idle.clear()
                    await self.idle.wait()
        except TimeoutError:
            log.warning("drain deadline passed requests=%d", len(self.busy))
            for connection in self.busy:
                connection.cut_off()
            return False
        return True


TRAFFIC = web.AppKey("traffic", Traffic)


class Connection(RequestHandler):
    """aiohttp's protocol with the deadlines and counts it lacks."""

    __slots__ = ("_address", "_answered_body", "_head_timer", "_newest_body", "_stall_timer", "_stalled_at", "_traffic")

    def __init__(self, server: web.Server, traffic: Traffic, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=KEEP_ALIVE_S,
            read_bufsize=READ_BUFFER_BYTES,
            auto_decompress=False,  # the stored bytes are those that were sent
            access_log=None,  # type: ignore[arg-type]  # None is what turns it off; our own line is in `finish_response`
        )
        self._traffic = traffic
        self._address = ""
        self._head_timer: asyncio.TimerHandle | None = None
        self._newest_body: StreamReader | None = None  # of the request that came last, its handler begun or not
        self._answered_body: StreamReader | None = None  # of the request that was answered last
        self._stall_timer: asyncio.TimerHandle | None = None
        self._stalled_at = 0

    # -- the connection -----------------------------------------------------------------------------------

    def connection_made(self, base_transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, base_transport)  # uvloop's is one by behaviour, not by class
        peer = transport.get_extra_info("peername")
        self._address = peer[0] if isinstance(peer, tuple) else ""
        if self._traffic.is_draining or not self._traffic.has_room_for(self._address):
            self._address = ""
            self._manager = None  # `connection_lost` has nothing to undo
            transport.write(TOO_MANY)
            transport.close()
            return
        self._traffic.connections.add(self)
        self._traffic.by_address[self._address] += 1
        # Zero: a drained write is in the kernel, so that sendfile can go on behind it (`web/transmit.py`). Under TLS
        # both loops pause at the limit, not above it: at zero they pause with nothing to write, and never resume.
        is_tls = transport.get_extra_info("sslcontext") is not None
        transport.set_write_buffer_limits(high=1 if is_tls else 0, low=0)
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_head_timer()
        self._stop_stall_timer()
        if self in self._traffic.connections:
            self._traffic.connections.discard(self)
            self._traffic.by_address[self._address] -= 1
            if not self._traffic.by_address[self._address]:
                del self._traffic.by_address[self._address]
        super().connection_lost(exc)

    # -- heads --------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._manager is None:
            return
        super().data_received(data)
        self._end_broken_body()
        if self._messages or self in self._traffic.busy:
            self._stop_head_timer()
        elif data and self._head_timer is None and self._waiter is not None:
            self._start_head_timer()  # the first bytes of a next head, not the rest of a body that nobody wants

    def _end_broken_body(self) -> None:
        """A body whose framing breaks fails where it is being read; no other request is taken from this connection.

        aiohttp queues the error behind the request, whose handler would wait for the rest until its deadline.
        """
        if not self._messages:
            return
        message, newest = self._messages[-1]
        if not isinstance(message, _ErrInfo):
            self._newest_body = newest
            return
        body = self._messages[-2][1] if len(self._messages) > 1 else self._newest_body
        if body is None or body.is_eof():
            return  # what does not parse is the next head, and is answered in its turn
        self._messages.pop()
        self.close()
        if body is not self._answered_body:  # else aiohttp reads on behind the answer, and would log a traceback
            body.set_exception(web.RequestPayloadError("the body's framing is broken"))
        body.feed_eof()

    def _start_head_timer(self) -> None:
        self._head_timer = self._loop.call_later(self._traffic.limits.head_timeout_s, self._head_too_slow)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_too_slow(self) -> None:
        self._head_timer = None
        if self.transport is not None:
            self.transport.write(TOO_SLOW)
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """A head that does not parse is the client's mistake: an answer, a line in the log, no traceback."""
        if status >= 500:
            log.error("connection failed address=%s", self._address, exc_info=exc)
        else:
            log.info("unreadable request address=%s reason=%s", self._address, type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        error = RouteError(status, "unreadable-request", "this request's head is not HTTP/1.1 as casd reads it")
        request[REQUEST_ID] = secrets.token_hex(8)
        response = problem(request, status, error)
        response.headers.update({"Server": "casd", "X-Request-ID": request[REQUEST_ID]})
        response.force_close()
        return response

    # -- slow readers -------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.transport is not None and self._stall_timer is None:
            self._stalled_at = self.transport.get_write_buffer_size()
            self._start_stall_timer()

    def resume_writing(self) -> None:
        self._stop_stall_timer()
        super().resume_writing()

    def _start_stall_timer(self) -> None:
        self._stall_timer = self._loop.call_later(self._traffic.limits.send_idle_timeout_s, self._still_stalled)

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _still_stalled(self) -> None:
        self._stall_timer = None
        if self.transport is None:
            return
        left = self.transport.get_write_buffer_size()
        if left >= self._stalled_at:
            log.info("slow reader cut off address=%s", self._address)
            self.transport.abort()
            return
        self._stalled_at = left
        self._start_stall_timer()

    # -- requests in flight -------------------------------------------------------------------------------

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        result = await super().finish_response(request, resp, start_time)
        # The query is left out: it can carry a signature.
        log.info(
            "request id=%s address=%s method=%s path=%s status=%d",
            request.get(REQUEST_ID, "-"),
            self._address or "-",
            request.method,
            request.rel_url.raw_path,
            resp.status,
        )
        return result

    def request_begins(self) -> None:
        self._stop_head_timer()
        self._traffic.busy.add(self)

    def request_ends(self) -> None:
        self._traffic.busy.discard(self)
        if self._traffic.is_draining:
            self.close()
        if not self._traffic.busy:
            self._traffic.idle.set()

    def close_if_idle(self) -> None:
        """Close now, unless a request has arrived whose handler has not begun yet: then after its answer."""
        if self._messages:
            self.close()
        else:
            self.force_close()

    def cut_off(self) -> None:
        """Cancel the handler, which cleans up after itself, and end the connection in the middle of its answer."""
        if self._task_handler is not None:
            self._task_handler.cancel()
        if self.transport is not None:
            self.transport.abort()

    async def _handle_request(self, request: Any, start_time: Any, request_handler: Any) -> Any:
        # Private in aiohttp, and the only place that spans handler and answer whatever happens to either.
        self.request_begins()
        try:
            return await super()._handle_request(request, start_time, request_handler)
        finally:
            self._answered_body = request.content
            self.request_ends()


class Front:
    """Makes connections: `connect` is a protocol factory for `loop.create_server`."""

    def __init__(self, server: web.Server, traffic: Traffic) -> None:
        """`server` is that of an AppRunner that is set up; its requests are made here from now on."""
        self._server = server
        self._traffic = traffic
        self._loop = asyncio.get_running_loop()
        self._make_request = server.request_factory
        server.request_factory = self._request

    def connect(self) -> Connection:
        return Connection(self._server, self._traffic, self._loop)

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
        request = self._make_request(
            message._replace(path=origin_form(message.path), headers=CIMultiDictProxy(headers)),
            payload,
            protocol,
            writer,
            task,
        )
        # HTTP/1.0 has no interim answers, so its clients do not mean it (RFC 9110, 10.1.1).
        request[EXPECTATION] = expectation if message.version >= HttpVersion11 else ""
        return request


def origin_form(target: str) -> str:
    """Path and query of a request's target; the absolute form is for servers to take too (RFC 9112, 3.2.2)."""
    if target.startswith("/") or "://" not in target.partition("?")[0]:
        return target
    return "/" + target.partition("://")[2].partition("/")[2]


def one_line_each(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """The lines of one field joined (RFC 9110, 5.3), so that nobody obeys the first of two and never sees the other."""
    joined: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined
