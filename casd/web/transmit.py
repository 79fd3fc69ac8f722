"""Moving an open payload's bytes into a connection: sendfile where the kernel can, copies where it cannot.

Correct on asyncio and on uvloop, over TCP, Unix sockets and TLS. `loop.sendfile` is not used: uvloop has none, and
asyncio's blocks the loop on cold data (155 ms p50 on /healthz beside 8 cold downloads; 1.3 ms this way).
"""

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from aiohttp import web

from casd.errors import PayloadDamaged, PayloadUnreadable
from casd.verified import Ahead, VerifiedPayload
from casd.web.waiting import ANY_PACE, Pace, Progress, Stall, place_of, untaken_bytes

SHARED_WINDOW_BYTES = 256 << 10  # one sendfile call while other transfers run: about 60 us of the loop
ALONE_WINDOW_BYTES = 1 << 20  # and without others
COPY_BYTES = 256 << 10  # one piece of a copy (TLS, or no descriptor)
CHUNK_BYTES = 16 << 20  # one chunk of chunked framing: its size must be told before its bytes
COLD_THREADS = 4  # cold windows wait for the disk here; a queue behind a disk gets no faster with more


Check: TypeAlias = Callable[[], Awaitable[None]]


async def _always_good() -> None:
    pass


class Transmitter:
    """Sends pieces of open payloads. Holds no thread while a client is waited for."""

    def __init__(self, idle_timeout_s: float, pace: Pace = ANY_PACE) -> None:
        """A client that takes nothing for `idle_timeout_s`, or falls behind the pace, is cut off."""
        self.idle_timeout_s = idle_timeout_s
        self.pace = pace
        self._cold = ThreadPoolExecutor(COLD_THREADS, "casd-cold")
        self.active = 0  # transfers under way

    async def close(self) -> None:
        await asyncio.to_thread(self._cold.shutdown)

    async def send(
        self,
        request: web.Request,
        response: web.StreamResponse,
        payload: VerifiedPayload,
        start: int,
        stop: int,
        still_good: Check = _always_good,
    ) -> None:
        """Send bytes `start` to `stop` as part of the body of `response`, which is prepared.

        `still_good` is asked before each block, and what it raises is raised here. Raises ConnectionError when the
        client is gone, TimeoutError when it takes nothing, PayloadDamaged or another
        StorageFailed when the bytes cannot be had. After any of them the connection must be cut.
        """
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        self.active += 1
        try:
            async with Ahead(payload, start, stop) as ahead:
                if payload.file is None or transport.get_extra_info("sslcontext") is not None:
                    await self._copy(request, response, payload, start, stop, ahead, still_good)
                elif response.chunked:
                    await self._send_chunks(request, transport, payload, start, stop, ahead, still_good)
                else:
                    await self._send_file(request, transport, payload, start, stop, ahead, still_good)
        finally:
            self.active -= 1

    async def _copy(
        self,
        request: web.Request,
        response: web.StreamResponse,
        payload: VerifiedPayload,
        start: int,
        stop: int,
        ahead: Ahead,
        still_good: Check,
    ) -> None:
        while start < stop:
            await still_good()
            piece_stop = min(stop, start + COPY_BYTES)
            await ahead.reach(piece_stop)
            data = await payload.read(start, piece_stop)
            with place_of(request).idle():
                await response.write(data)
            start = piece_stop

    async def _send_chunks(
        self,
        request: web.Request,
        transport: asyncio.Transport,
        payload: VerifiedPayload,
        start: int,
        stop: int,
        ahead: Ahead,
        still_good: Check,
    ) -> None:
        """The framing is written by hand around sendfile; the last chunk is left to `write_eof`."""
        while start < stop:
            chunk_stop = min(stop, start + CHUNK_BYTES)
            transport.write(b"%x\r\n" % (chunk_stop - start))
            await self._send_file(request, transport, payload, start, chunk_stop, ahead, still_good)
            transport.write(b"\r\n")
            start = chunk_stop

    async def _send_file(
        self,
        request: web.Request,
        transport: asyncio.Transport,
        payload: VerifiedPayload,
        start: int,
        stop: int,
        ahead: Ahead,
        still_good: Check,
    ) -> None:
        await flush(request, transport)
        # Both loops refuse add_writer on a transport's own descriptor. The copy shares its non-blocking mode.
        socket = os.dup(transport.get_extra_info("socket").fileno())
        progress = Progress()
        try:
            while start < stop:
                await still_good()
                window = min(stop - start, SHARED_WINDOW_BYTES if self.active > 1 else ALONE_WINDOW_BYTES)
                await ahead.reach(start + window)
                try:
                    sent = await self._send_window(socket, payload, start, window)
                except BlockingIOError:
                    await self._writable(request, socket, progress)
                    continue
                if sent == 0:
                    payload.doubt(f"the file ends at byte {start}")
                    raise PayloadDamaged(f"a payload ends at byte {start}, {stop} were promised")
                start += sent
                request.writer.output_size += sent  # past the writer, but sent by this answer
                await asyncio.sleep(0)
        finally:
            os.close(socket)

    async def _send_window(self, socket: int, payload: VerifiedPayload, start: int, size: int) -> int:
        assert payload.file is not None
        try:
            if payload.is_cached(start, start + size):
                return os.sendfile(socket, payload.file, start, size)
            # The socket does not block, so the thread waits for the disk alone.
            return await asyncio.get_running_loop().run_in_executor(
                self._cold, os.sendfile, socket, payload.file, start, size
            )
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno == errno.EIO:
                payload.doubt(f"byte {start} cannot be read: {error.strerror}")
                raise PayloadUnreadable(f"payload cannot be read at byte {start}: {error.strerror}") from error
            # The client's side, which has more errors than ConnectionError covers (ETIMEDOUT, EHOSTUNREACH).
            raise ConnectionResetError(error.errno, error.strerror) from error

    async def _writable(self, request: web.Request, socket: int, progress: Progress) -> None:
        """The client has taken enough for more to be sent. Raises TimeoutError when it takes nothing, or too little."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_writer(socket, ready.set)
        stall = Stall(progress, untaken_bytes(socket))
        step_s = min(self.idle_timeout_s, self.pace.window_s)
        try:
            with place_of(request).idle():
                while not ready.is_set():
                    waited_s = await waited_for(ready, step_s)
                    if stall.is_over(untaken_bytes(socket), waited_s, self.idle_timeout_s, self.pace):
                        raise TimeoutError
        finally:
            loop.remove_writer(socket)


async def waited_for(event: asyncio.Event, most_s: float) -> float:
    """How long it took, or `most_s` where it did not happen in time."""
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    try:
        async with asyncio.timeout(most_s):
            await event.wait()
    except TimeoutError:
        return max(most_s, loop.time() - began_at)
    return loop.time() - began_at


async def flush(request: web.Request, transport: asyncio.Transport) -> None:
    """Return when everything that was written to the transport has left it.

    Connections have a write buffer limit of zero (`web/protocol.py`), so the loop wakes us when it is empty; a client
    that takes nothing is cut off there.
    """
    while transport.get_write_buffer_size():
        if transport.is_closing():
            raise ConnectionResetError("the client is gone")
        await request.writer.drain()
        await asyncio.sleep(0)
