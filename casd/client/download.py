"""One payload, fetched over as many connections as it takes. Where the bytes go is the caller's business."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Self

import aiohttp

from casd.client.blocks import BlockSums
from casd.client.errors import ClientError, ConnectionLost, ContentChanged, UnexpectedAnswer, Unreachable
from casd.client.remote import Content, Remote
from casd.client.retry import Notice, Patience, Retry
from casd.client.transport import Query, Transport
from casd.model import Digest


class Download:
    """A payload to be fetched, used as `async with download`; then `content` is known and `pieces` brings it."""

    def __init__(
        self,
        transport: Transport,
        path: str,
        query: Query | None = None,
        *,
        expected: Digest | None = None,
        retry: Retry | None = None,
        notice: Notice | None = None,
        in_parts: bool = False,
    ) -> None:
        """With `in_parts` nothing is fetched before it is asked for: right for whoever wants some of it."""
        self._remote = Remote(transport, path, query, expected=expected)
        self._retry = retry or Retry()
        self._notice = notice
        self._in_parts = in_parts
        self._first: aiohttp.ClientResponse | None = None

    @property
    def content(self) -> Content:
        return self._remote.content

    async def __aenter__(self) -> Self:
        """Connect and learn what is fetched. Raises Unreachable at once, without trying again."""
        patience = self._patience()
        while True:
            try:
                await self._open()
                return self
            except Unreachable:
                raise
            except ClientError as error:
                await patience.after(error)

    async def __aexit__(self, *_: object) -> None:
        self.hang_up()

    def hang_up(self) -> None:
        """The first connection is closed; `pieces` makes a new one. For callers that are busy before `pieces`."""
        if self._first is not None:
            self._first.close()
            self._first = None

    async def start_over(self) -> None:
        """`content` is what the path means now: after ContentChanged. Raises as `async with`."""
        self.hang_up()
        await self.__aenter__()

    def _sums(self) -> BlockSums:
        """The checksums of the payload's blocks."""
        return BlockSums(self._remote, self._patience)

    async def pieces(self, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        """The payload's bytes from `start` to `stop`, its end unless given, none twice and none left out, not checked.

        Close it (contextlib.aclosing) if it is not read to its end. Several at once are fine. Raises the last failure
        once the retries are used up, and ContentChanged.
        """
        stop = self.content.size if stop is None else min(stop, self.content.size)
        patience = self._patience()
        position = start
        while position < stop:
            try:
                async with aclosing(self._rest(position, stop)) as rest:
                    async for piece in rest:
                        position += len(piece)
                        patience.progressed()
                        yield piece
                if position < stop:
                    raise ConnectionLost(f"{self._remote.transport.url} ended its answer early")
            except ContentChanged:
                raise
            except ClientError as error:
                await patience.after(error)

    async def _open(self) -> None:
        if self._in_parts:
            await self._remote.look()
        else:
            self._first = await self._remote.whole()

    async def _rest(self, position: int, stop: int) -> AsyncGenerator[bytes, None]:
        """What one connection brings of the bytes from `position` to `stop`."""
        async with await self._answer(position, stop) as response, aclosing(_arrived(response.content)) as arrived:
            # A whole answer where a part was asked for is correct HTTP: what is not wanted of it is passed over.
            known = position if response.status == 200 else 0
            with self._remote.transport.translated():
                async for piece in arrived:
                    fresh = piece[known:]
                    known = max(0, known - len(piece))
                    position += len(fresh)
                    if position > self.content.size:
                        raise UnexpectedAnswer(f"the answer has more than its {self.content.size} bytes")
                    if position >= stop:
                        if fresh := fresh[: len(fresh) - (position - stop)]:
                            yield fresh
                        return
                    if fresh:
                        yield fresh

    async def _answer(self, position: int, stop: int) -> aiohttp.ClientResponse:
        if self._first is not None and position == 0:
            first, self._first = self._first, None
            return first
        if stop == self.content.size:
            self.hang_up()
        return await self._remote.part(position, stop)

    def _patience(self) -> Patience:
        return Patience(self._retry, self._notice)


async def _arrived(content: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    """The pieces of a body as they come, all that came before a connection broke included."""
    try:
        # As they were received: to join them to a MiB would copy each byte once more.
        async for piece, _ in content.iter_chunks():
            if piece:
                yield piece
    except aiohttp.ClientError:
        # aiohttp (3.14.5) keeps what it has buffered to itself once the connection broke. That may be all that
        # a bad line brings: without it, a reader who is busy writing would make no progress.
        if rest := content._read_nowait(-1):
            yield rest
        raise
