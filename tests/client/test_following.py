"""What is done with blocks beside the connection that brings them."""

import asyncio
import threading

from casd.client.blocks import Block
from casd.client.following import WAITING, Lane
from casd.tasks import to_the_end


async def test_what_several_give_to_a_full_lane_is_done_in_the_order_given() -> None:
    lane, gate, done = Lane(), threading.Event(), []

    def work(block: Block) -> None:
        gate.wait()
        done.append(block.start)

    async def give_after_it(earlier: asyncio.Future[None], start: int) -> None:
        await asyncio.wait([earlier])  # so that this runs just before those who waited for room
        await lane.give(work, Block(start, []))

    for start in range(WAITING):
        await lane.give(work, Block(start, []))
    late = asyncio.create_task(give_after_it(lane._given[0], WAITING + 1))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(lane.give(work, Block(WAITING, [])))
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(late, waiting)
    await lane.emptied()
    await lane.close()

    assert done == list(range(WAITING + 2))


async def test_what_a_cancelled_caller_gave_is_done_before_a_lane_is_closed() -> None:
    lane, gate, done = Lane(), threading.Event(), []

    def work(block: Block) -> None:
        gate.wait()
        done.append(block.start)

    async def give() -> None:
        try:
            for start in range(WAITING + 1):
                await lane.give(work, Block(start, []))
        finally:
            await to_the_end(lane.close())

    giving = asyncio.create_task(give())
    while len(lane._given) <= WAITING:
        await asyncio.sleep(0)
    giving.cancel()
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(giving, return_exceptions=True)

    assert giving.cancelled()
    assert done == list(range(WAITING + 1))
