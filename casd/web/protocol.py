"""One connection: what aiohttp leaves out. Deadlines for heads and slow readers, caps, half-closing, lingering, drain.

aiohttp 3.14.5 has no deadline for a request's head, logs a traceback for heads that do not parse, gives no answer to a
client that has closed its own side, and its shutdown drops body bytes of running requests. What it takes for a head
that is none stands in `heads.py`, how requests are made in `front.py`.
"""

import asyncio
import logging
import secrets
import time
from typing import Any, cast

from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from casd.fair import Place
from casd.web.errors import RouteError, bare_problem, problem
from casd.web.heads import hides_what_follows, refuse
from casd.web.keys import ENDING, REQUEST_ID, Ending
from casd.web.origin import UNIX, plain
from casd.web.request_log import told
from casd.web.traffic import READ_BUFFER_BYTES, Traffic
from casd.web.waiting import Progress, Stall, untaken_bytes

log = logging.getLogger(__name__)

KEEP_ALIVE_S = 75.0  # an idle connection; nginx keeps its upstream connections for 60
# Closing on a client that still sends can cost it the answer, so what it sends is read and dropped for a while. Who
# has only sent a wrong token must not keep us reading for long: a GiB dropped costs about a second of the loop.
LINGER_S = 5.0
LINGER_IDLE_S = 2.0
LINGER_BYTES = 64 << 20
TOO_MANY = RouteError(503, "too-many-connections", "casd has all the connections it may have; come back in a second")
TOO_SLOW = RouteError(408, "head-timeout", "the request's head did not arrive in time")


class Connection(RequestHandler):
    """aiohttp's protocol with the deadlines and counts it lacks."""

    __slots__ = (
        "_address",
        "_cut",
        "_dropped_body",
        "_head_timer",
        "_is_half_closed",
        "_is_last",
        "_last_message",
        "_newest_body",
        "_stall",
        "_stall_timer",
        "_status",
        "_traffic",
        "awaited",
        "counted_as",
        "is_fresh",
    )

    def __init__(self, server: web.Server, traffic: Traffic, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=KEEP_ALIVE_S,
            read_bufsize=READ_BUFFER_BYTES,
            auto_decompress=False,  # the stored bytes are those that were sent
            access_log=None,  # type: ignore[arg-type]  # None is what turns it off; our own line is in `_handle_request`
            lingering_time=0,  # `_drop_body` does it
        )
        self._traffic = traffic
        self._address = UNIX  # for the log
        self.counted_as = ""  # what its address is counted by; empty where it is not
        self._head_timer: asyncio.TimerHandle | None = None
        self._newest_body: StreamReader | None = None  # of the request that came last, its handler begun or not
        self._dropped_body: StreamReader | None = None  # what is being read for nobody, behind its answer
        self._last_message: RawRequestMessage | None = None  # after which no other is taken
        self.is_fresh = True  # no request has come yet
        self._is_last = False  # the request under way is that
        self._is_half_closed = False  # the client sends no more
        self._cut: Ending | None = None  # why we ended the connection within an answer
        self._status: int | None = None  # of the answer under way
        self._stall_timer: asyncio.TimerHandle | None = None
        self._stall: Stall | None = None  # while the client is waited for to take what was written
        self.awaited: Place | None = None  # that the request under way waits for

    # -- the connection -----------------------------------------------------------------------------------

    def connection_made(self, base_transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, base_transport)  # uvloop's is one by behaviour, not by class
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self._address, self.counted_as = plain(peer[0]), self._traffic.origins.counted(peer[0])
        if not self._traffic.takes(self):  # in a drain it was accepted before
            self._turn_away(transport)
            return
        if self._traffic.turned_away:
            log.warning("room for connections again turned_away=%d", self._traffic.turned_away)
            self._traffic.turned_away = 0
        # Zero: a drained write is in the kernel, so that sendfile can go on behind it (`web/transmit.py`). Under TLS
        # both loops pause at the limit, not above it: at zero they pause with nothing to write, and never resume.
        is_tls = transport.get_extra_info("sslcontext") is not None
        transport.set_write_buffer_limits(high=1 if is_tls else 0, low=0)
        super().connection_made(transport)
        self._start_head_timer()

    def _turn_away(self, transport: asyncio.Transport) -> None:
        if not self._traffic.turned_away and not self._traffic.is_draining:
            log.warning(
                "too many connections, turning away address=%s connections=%d",
                self._address,
                len(self._traffic.connections),
            )
        self._traffic.turned_away += 1
        self._traffic.refused_connections += 1
        self._manager = None  # `connection_lost` has nothing to undo
        transport.write(bare_problem(TOO_MANY, secrets.token_hex(8), "Retry-After: 1"))
        transport.close()

    @property
    def is_idle(self) -> bool:
        """Whether nothing would be lost with it but what is half a head."""
        return not self._messages and self not in self._traffic.busy

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp's says None, which closes
        """The client sends no more. What it has asked for whole is still answered; returns whether to stay open.

        A client that is gone for good looks the same, and is found out by the first write. TLS has no half-closing.
        """
        is_tls = self.transport is not None and self.transport.get_extra_info("sslcontext") is not None
        is_asked = bool(self._messages) or self in self._traffic.busy
        is_whole = self._newest_body is None or self._newest_body.is_eof()
        self._is_half_closed = is_asked and is_whole and not is_tls
        if self.awaited is not None:  # there is no room for it now, and most who close have gone
            self.awaited.give_up()
        return self._is_half_closed

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_head_timer()
        self._end_stall()
        if self.awaited is not None:
            self.awaited.give_up()
        self._traffic.forget(self)
        if self._dropped_body is not None:
            self._dropped_body.set_exception(ConnectionResetError("the client is gone"))
        super().connection_lost(exc)

    # -- heads --------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._manager is None:
            return
        known = len(self._messages)
        super().data_received(data)
        refuse(self._messages)
        if len(self._messages) > known and hides_what_follows(self._messages, known, data):
            message, _ = self._messages[-1]
            self._last_message = cast(RawRequestMessage, message)
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
            if newest is not self._newest_body:
                self._traffic.receives(self, newest)
            self._newest_body = newest
            return
        body = self._messages[-2][1] if len(self._messages) > 1 else self._newest_body
        if body is None or body.is_eof():
            return  # what does not parse is the next head, and is answered in its turn
        self._messages.pop()
        self.close()
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
            request_id = secrets.token_hex(8)
            log.info("slow head cut off request=%s address=%s", request_id, self._address)
            self.transport.write(bare_problem(TOO_SLOW, request_id))
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
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        error = RouteError(status, "unreadable-request", "this request's head is not HTTP/1.1 as casd reads it")
        request[REQUEST_ID] = secrets.token_hex(8)
        response = problem(request, status, error)
        response.headers.update(
            {"Server": "casd", "X-Content-Type-Options": "nosniff", "X-Request-ID": request[REQUEST_ID]}
        )
        response.force_close()
        return response

    # -- slow readers -------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.transport is not None and self._stall is None:
            self._stall = Stall(Progress(), self._untaken_bytes(self.transport))
            self._traffic.waits_for(self, self.transport.get_write_buffer_size())
            self._start_stall_timer()

    def resume_writing(self) -> None:
        self._end_stall()
        super().resume_writing()

    def _end_stall(self) -> None:
        self._traffic.takes_again(self)
        self._stall = None
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _start_stall_timer(self) -> None:
        limits = self._traffic.limits
        step_s = min(limits.send_idle_timeout_s, limits.pace.window_s)
        self._stall_timer = self._loop.call_later(step_s, self._still_stalled, step_s)

    def _still_stalled(self, waited_s: float) -> None:
        self._stall_timer = None
        if self.transport is None or self._stall is None:
            return
        limits, left = self._traffic.limits, self._untaken_bytes(self.transport)
        if self._stall.is_over(left, waited_s, limits.send_idle_timeout_s, limits.pace):
            self.cut_stalled()
        else:
            self._start_stall_timer()

    @staticmethod
    def _untaken_bytes(transport: asyncio.Transport) -> int:
        return transport.get_write_buffer_size() + untaken_bytes(transport.get_extra_info("socket").fileno())

    def cut_stalled(self) -> None:
        """The client takes too little of its answer: it is not waited for any longer."""
        self._cut = Ending.STALLED
        if self.transport is not None:
            self.transport.abort()

    # -- requests in flight -------------------------------------------------------------------------------

    @property
    def request_under_way(self) -> web.BaseRequest | None:
        return self._current_request

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        # An ending that is known before there is an answer: nobody is there to get one.
        self._status = resp.status if resp.prepared or ENDING not in request else None
        if self._close or self._is_last:
            resp.force_close()
        return await super().finish_response(request, resp, start_time)

    def request_begins(self, message: RawRequestMessage) -> None:
        """The message has left the queue. The task that handles it starts later, which is late for a drain."""
        self._is_last = message is self._last_message
        self.is_fresh = False
        self._stop_head_timer()
        self._traffic.begins(self)

    def request_ends(self) -> None:
        self._traffic.ends(self)
        if self._traffic.is_draining or self._is_last or (self._is_half_closed and not self._messages):
            self.close()

    def close_if_idle(self) -> None:
        """Close now, unless a request has arrived whose handler has not begun yet: then after its answer."""
        if self._messages:
            self.close()
        else:
            self.force_close()

    def cut_off(self) -> None:
        """Cancel the handler, which cleans up after itself, and end the connection in the middle of its answer."""
        self._cut = Ending.CUT_OFF
        if self._task_handler is not None:
            self._task_handler.cancel()
        if self.transport is not None:
            self.transport.abort()

    async def _handle_request(self, request: Any, start_time: Any, request_handler: Any) -> Any:
        # Private in aiohttp, and the only place that spans handler and answer whatever happens to either.
        began_at = time.perf_counter()  # uvloop's clock counts milliseconds
        self._status = None
        ending = Ending.FAILED
        try:
            response, is_lost = await super()._handle_request(request, start_time, request_handler)
            ending = request.get(ENDING) or (Ending.HUNG_UP if is_lost else Ending.ANSWERED)
        except (ConnectionError, asyncio.CancelledError):
            ending = request.get(ENDING) or Ending.HUNG_UP
            raise
        finally:
            self.request_ends()
            told(request, self._traffic, self._status, self._cut or ending, began_at)
        if not is_lost and not request.content.is_eof():
            await self._drop_body(request.content, response.keep_alive)
        return response, is_lost

    async def _drop_body(self, body: StreamReader, is_kept: bool | None) -> None:
        """Read on behind an answer, for nobody: a connection that is closed on bytes that were not read takes the
        answer with it. A client that is not wanted any more is told so by the end of our side.
        """
        left = LINGER_BYTES
        self._dropped_body = body
        try:
            if not is_kept and self.transport is not None and self.transport.can_write_eof():
                self.transport.write_eof()  # asyncio's raises ENOTCONN where the client has reset the connection
            async with asyncio.timeout(LINGER_S):
                while left > 0 and not body.is_eof():
                    async with asyncio.timeout(LINGER_IDLE_S):
                        left -= len(await body.readany())
        except (OSError, web.RequestPayloadError):  # too slow, gone, or broken
            self.close()
        finally:
            self._dropped_body = None
