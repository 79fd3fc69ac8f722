"""Places are handed out in turn between keys, and nobody waits for ever (casd/fair.py). The clock is the loop's own."""

import asyncio
from collections.abc import Sequence

import pytest

from casd.errors import Overloaded
from casd.fair import IDLE_S, Bounds, FairQueue, Place

NEVER_S = 60.0


def queue_of(limit: int, max_waiting: int = 1000, max_wait_s: float = NEVER_S) -> FairQueue:
    bounds = Bounds(limit, max_waiting, max_wait_s)
    return FairQueue(lambda: bounds)


def held(places: Sequence[Place]) -> list[int]:
    """Which of them have been given, by their numbers."""
    return [number for number, place in enumerate(places) if place.is_held]


async def test_without_a_limit_nobody_waits() -> None:
    queue = queue_of(0)

    for _ in range(100):
        await queue.ask("a").taken()

    assert (queue.active, queue.waiting) == (0, 0)


async def test_those_who_wait_are_served_in_turn_by_key_and_then_in_their_order() -> None:
    queue = queue_of(1)
    first = queue.ask("many")
    waiting = [queue.ask(key) for key in ("many", "many", "many", "one", "two", "one")]

    order = []
    last = first
    for _ in waiting:
        last.leave()
        (last,) = [place for place in waiting if place.is_held and place not in order]
        order.append(last)

    assert [waiting.index(place) for place in order] == [0, 3, 4, 1, 5, 2]
    last.leave()
    assert (queue.active, queue.waiting) == (0, 0)
    for place in waiting:
        await place.taken()


async def test_who_has_all_the_places_leaves_some_for_others() -> None:
    queue = queue_of(16)

    greedy = [queue.ask("greedy") for _ in range(500)]
    another = queue.ask("another")

    assert len(held(greedy)) == 14
    assert another.is_held
    assert queue.waiting == 486


async def test_a_wait_is_bounded_and_leaves_the_queue() -> None:
    queue = queue_of(1, max_wait_s=0.001)
    holder = queue.ask("a")

    with pytest.raises(Overloaded):
        await queue.ask("b").taken()

    assert (queue.active, queue.waiting, queue.refused) == (1, 0, 1)
    holder.leave()
    holder.leave()
    assert queue.active == 0


async def test_who_is_cancelled_while_waiting_leaves_the_queue() -> None:
    queue = queue_of(1)
    queue.ask("a")
    task = asyncio.create_task(queue.ask("b").taken())
    await asyncio.sleep(0)
    assert queue.waiting == 1

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert queue.waiting == 0


async def test_who_gives_up_is_not_waited_for() -> None:
    queue = queue_of(1)
    holder, gone, stays = queue.ask("a"), queue.ask("b"), queue.ask("b")

    gone.give_up()
    holder.leave()

    with pytest.raises(Overloaded):
        await gone.taken()
    await stays.taken()
    assert queue.active == 1


async def test_a_full_queue_sends_away_the_last_of_whoever_has_most_waiting() -> None:
    queue = queue_of(1, max_waiting=4)
    queue.ask("greedy")
    waiting = [queue.ask("greedy") for _ in range(4)]

    with pytest.raises(Overloaded):
        queue.ask("greedy")
    modest = queue.ask("modest")

    with pytest.raises(Overloaded):
        await waiting[3].taken()
    assert queue.waiting == 4
    assert queue.refused == 2
    modest.leave()
    assert queue.waiting == 3


async def test_a_place_whose_holder_waits_for_its_client_is_lent() -> None:
    queue = queue_of(1)
    slow = queue.ask("slow")

    with slow.idle():
        assert slow.idle_since is not None
        slow.idle_since -= IDLE_S
        other = queue.ask("other")
        await other.taken()
        assert queue.active == 1

    assert queue.active == 2  # nobody is sent away, so for a while there is one too many
    third = queue.ask("third")
    other.leave()
    assert not third.is_held
    slow.leave()
    assert third.is_held


async def test_who_waits_gets_a_place_that_becomes_idle_meanwhile() -> None:
    queue = queue_of(1)
    slow = queue.ask("slow")
    other = queue.ask("other")

    with slow.idle():
        await other.taken()  # nothing happens but that time goes by

    assert slow.is_lent is False


async def test_places_that_are_given_back_while_lent_are_counted_once() -> None:
    queue = queue_of(1)
    slow = queue.ask("slow")
    with slow.idle():
        assert slow.idle_since is not None
        slow.idle_since -= IDLE_S
        other = queue.ask("other")
        slow.leave()

    assert queue.active == 1
    other.leave()
    assert queue.active == 0


async def test_bounds_may_change_while_somebody_waits() -> None:
    bounds = Bounds(1)
    queue = FairQueue(lambda: bounds)
    queue.ask("a")
    waiting = [queue.ask("b") for _ in range(3)]

    bounds = Bounds(0)
    await waiting[-1].taken()

    assert held(waiting) == [0, 1, 2]
