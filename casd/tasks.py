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
