"""An event loop in a thread of its own, and how blocking code has things done there.

The blocking client is made of the async one with the four functions below: each takes one of its methods and makes one
of the same name, parameters and types out of it, so that there is one implementation and one signature.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
Inner = TypeVar("Inner")  # a class of the async client
Made = TypeVar("Made")  # what an async method hands out that has async methods itself


class Background:
    """A loop that runs in a thread between `start` and `stop`. Any thread may wait for it, but not its own."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()  # what is begun is begun on a loop that will end it

    def start(self) -> None:
        if self._loop is not None:
            raise RuntimeError("this client is in use already")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="casd-client", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """What still runs is cancelled and has ended; the thread is gone."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        _Work(loop, _ended(loop)).result()
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.close()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns or raises. Ctrl-C cancels it, and it has ended before KeyboardInterrupt goes on."""
        with self._lock:
            if self._loop is None or threading.current_thread() is self._thread:
                work.close()
                raise RuntimeError("a blocking Client is used inside `with`, and not from its own callbacks")
            begun = _Work(self._loop, work)
        return begun.result()

    def iterate(self, items: AsyncIterator[T]) -> Generator[T, None, None]:
        """The items, one by one as they are asked for. Closing it closes `items`."""
        try:
            while (found := self.wait(_next(items))) is not None:
                yield found[0]
        finally:
            if isinstance(items, AsyncGenerator):
                self._close(items)

    def _close(self, items: AsyncGenerator[Any, None]) -> None:
        loop = self._loop
        if loop is None:  # it closed its generators when it stopped
            return
        if threading.current_thread() is self._thread:  # collected as garbage there
            loop.call_soon(lambda: loop.create_task(_closed(items)))
            return
        self.wait(_closed(items))


class _Work(Generic[T]):
    """A coroutine that was begun on a loop, for a thread that waits for its end."""

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> None:
        self._loop = loop
        self._work = work
        self._task: asyncio.Task[T] | None = None
        self._has_ended = threading.Event()
        loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        self._task = self._loop.create_task(self._work)
        self._task.add_done_callback(lambda _: self._has_ended.set())

    def result(self) -> T:
        try:
            self._has_ended.wait()
        except BaseException:  # Ctrl-C
            self._loop.call_soon_threadsafe(self._cancel)
            self._has_ended.wait()
            raise
        assert self._task is not None  # it has ended
        if self._task.cancelled():
            raise RuntimeError("the client was closed meanwhile, by another thread")
        return self._task.result()

    def _cancel(self) -> None:
        assert self._task is not None  # begun before: what is called soon is called in order
        self._task.cancel()


class Blocking(Generic[Inner]):
    """A blocking face of something async."""

    def __init__(self, background: Background, inner: Inner) -> None:
        self._background = background
        self._inner = inner


def waited(
    method: Callable[Concatenate[Inner, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Blocking[Inner], P], T]:
    """The method, which returns when it is done."""

    @functools.wraps(method)
    def call(self: Blocking[Inner], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._background.wait(method(self._inner, *args, **kwargs))

    return call


def iterated(
    method: Callable[Concatenate[Inner, P], AsyncIterator[T]],
) -> Callable[Concatenate[Blocking[Inner], P], Generator[T, None, None]]:
    """The method, whose items come as they are asked for."""

    @functools.wraps(method)
    def call(self: Blocking[Inner], /, *args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
        return self._background.iterate(method(self._inner, *args, **kwargs))

    return call


def faced(
    method: Callable[Concatenate[Inner, P], Made], face: Callable[[Background, Made], T]
) -> Callable[Concatenate[Blocking[Inner], P], T]:
    """The method, which hands out the blocking face of what it makes at once."""

    @functools.wraps(method)
    def call(self: Blocking[Inner], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return face(self._background, method(self._inner, *args, **kwargs))

    return call


def waited_faced(
    method: Callable[Concatenate[Inner, P], Coroutine[Any, Any, Made]], face: Callable[[Background, Made], T]
) -> Callable[Concatenate[Blocking[Inner], P], T]:
    """The method, which hands out the blocking face of what it makes when it is done."""

    @functools.wraps(method)
    def call(self: Blocking[Inner], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return face(self._background, self._background.wait(method(self._inner, *args, **kwargs)))

    return call


async def _next(items: AsyncIterator[T]) -> tuple[T] | None:
    """None at the end."""
    try:
        return (await anext(items),)
    except StopAsyncIteration:
        return None


async def _closed(items: AsyncGenerator[Any, None]) -> None:
    await items.aclose()


async def _ended(loop: asyncio.AbstractEventLoop) -> None:
    """Nothing runs on the loop but this."""
    others = asyncio.all_tasks(loop) - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()
