"""Work that goes on when its caller is cancelled, and a body that is received meanwhile."""

import asyncio

import pytest

from casd.tasks import to_the_end
from casd.web.receive import pump


class Work:
    """Something that ends when it is let go."""

    def __init__(self) -> None:
        self.began, self.go_on, self.is_done = asyncio.Event(), asyncio.Event(), False

    async def __call__(self, *_: object) -> str:
        self.began.set()
        await self.go_on.wait()
        self.is_done = True
        return "done"

    append = __call__


async def cancelled_twice(task: asyncio.Task[object]) -> None:
    for _ in range(2):
        task.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
    assert not task.done()


async def test_whoever_waits_for_an_end_waits_however_often_it_is_cancelled() -> None:
    work = Work()
    task: asyncio.Task[object] = asyncio.create_task(to_the_end(work()))
    await work.began.wait()

    await cancelled_twice(task)
    work.go_on.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.is_done


async def test_a_body_that_is_cut_off_is_not_left_before_its_last_piece_is_taken() -> None:
    """A newer request cuts it off at that moment: it must not have the stage while this one still writes."""
    work = Work()
    pieces = iter([b"piece"])

    async def next_data() -> bytes:
        return next(pieces)

    task: asyncio.Task[object] = asyncio.create_task(pump(next_data, work, 100))
    await work.began.wait()

    await cancelled_twice(task)
    work.go_on.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.is_done
