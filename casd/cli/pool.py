"""Many pieces of work at once, taken one by one from a plan that may be longer than memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    import asyncio

AHEAD = 2048  # planned before it is worked on: the display knows that many files, a few MiB hold them

T = TypeVar("T")

jobs_option = click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    metavar="N",
    help="Move so many files at once.",
)


async def work_off(plan: AsyncIterator[T], work: Callable[[T], Awaitable[None]], jobs: int) -> None:
    """All of the plan is done, up to `jobs` pieces of it at a time. The first exception ends all of it."""
    import asyncio

    queue: asyncio.Queue[T | None] = asyncio.Queue(AHEAD)

    async def worker() -> None:
        while (piece := await queue.get()) is not None:
            await work(piece)

    async def planner() -> None:
        async for piece in plan:
            await queue.put(piece)
        for _ in range(jobs):
            await queue.put(None)

    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(planner())
            for _ in range(jobs):
                tasks.create_task(worker())
    except BaseExceptionGroup as group:
        raise _first(group) from None


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
