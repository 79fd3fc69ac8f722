"""A line between browser and daemon that breaks: tests.proxy in a thread of its own, for tests without a loop."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from tests.proxy import Fault, Proxy

PATIENCE_S = 60  # what has not happened by then never will
NOWHERE = "http://127.0.0.1:9"  # the discard port, where nothing listens


class Line:
    def __init__(self, proxy: Proxy, loop: asyncio.AbstractEventLoop) -> None:
        self._proxy = proxy
        self._loop = loop

    @classmethod
    @contextmanager
    def stalling(cls, upstream: str, after: int) -> Iterator["Line"]:
        """Nothing comes through a connection any more once it has carried so many bytes to the daemon."""
        loop = asyncio.new_event_loop()
        thread = Thread(target=loop.run_forever)
        thread.start()
        line = cls(Proxy(upstream, then=Fault("stall", after, of="requests")), loop)
        try:
            line._run(line._proxy.__aenter__())
            try:
                yield line
            finally:
                line._run(line._proxy.__aexit__())
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    @property
    def url(self) -> str:
        return self._proxy.url

    def stalled(self) -> None:
        """Returns once a connection is stuck."""
        self._run(self._proxy.stalled())

    def mend(self) -> None:
        """What was open is closed; what is opened from now on works."""
        self._run(self._proxy.mend())

    def lead_nowhere(self) -> None:
        """What was open is closed; what is opened is closed at once."""
        self._run(self._proxy.mend())
        self._run(self._proxy.retarget(NOWHERE))

    def lead_to(self, upstream: str) -> None:
        self._run(self._proxy.retarget(upstream))

    def _run(self, step: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(step, self._loop).result(PATIENCE_S)
