"""Work that must not stop halfway because whoever asked for it was cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

R = TypeVar("R")


async def to_the_end(work: Coroutine[Any, Any, R] | asyncio.Task[R]) -> R:
    """What `work` returns. A caller that is cancelled waits for its end as well, and is cancelled then."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def ended(task: asyncio.Task[Any]) -> None:
    """Return when the task has ended, however it did and however often the caller is cancelled; that is raised then.

    What the task raised is looked at, so that nobody logs it as never looked at.
    """
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if not task.cancelled():
        task.exception()
    if cancelled is not None:
        raise cancelled
