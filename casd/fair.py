"""Who may go first when there is not room for all: places for so many at a time, handed out in turn between keys.

A key is whoever shall not be starved by the others: a token, an address. Whoever waits holds nothing but its place in
the queue, which is bounded in length and in time; a place whose holder waits for its own client is lent to others.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from casd.errors import Overloaded

IDLE_S = 1.0  # so long a holder may wait for its client before its place counts as free
KEPT_SHARE = 8  # one part in so many of the places is out of reach for whoever has all the others


@dataclass(frozen=True, slots=True)
class Bounds:
    limit: int  # of holders at a time; 0: any number
    max_waiting: int = 1000
    max_wait_s: float = 30.0


UNBOUNDED = Bounds(0)


@dataclass(eq=False, slots=True)
class Place:
    """One holder's, or who waits to be one. `leave` gives it back, however it stands."""

    queue: "FairQueue | None"  # None: nobody counts
    key: Hashable
    is_held: bool = True
    is_lent: bool = False
    idle_since: float | None = None
    turn: asyncio.Future[Overloaded | None] | None = None  # while it waits

    async def taken(self) -> None:
        """Return when the place is had. Raises Overloaded when that takes too long, or nobody waits any more."""
        if self.turn is None or self.queue is None:
            return
        max_wait_s = self.queue.bounds().max_wait_s
        try:
            async with asyncio.timeout(max_wait_s):
                refusal = await self.turn
        except TimeoutError:
            self.queue.refused += 1
            raise Overloaded(f"there was no room for this within {max_wait_s:g} s: come back later") from None
        else:
            if refusal is not None:  # not as the future's exception, which nobody may be there to hear
                raise refusal
        finally:
            if not self.is_held:
                self.leave()
            self.turn = None

    def give_up(self) -> None:
        """Whoever waits for the place has gone, as far as can be told."""
        if self.turn is not None and not self.turn.done():
            self.turn.set_result(Overloaded("the client sends no more, and there is no room for this now"))

    def leave(self) -> None:
        """Give it back; a second time changes nothing."""
        if self.queue is not None:
            self.queue.left(self)

    @contextmanager
    def idle(self) -> Iterator[None]:
        """Meanwhile the holder waits for its client, and costs nobody anything."""
        if self.queue is None:
            yield
            return
        self.idle_since = asyncio.get_running_loop().time()
        try:
            yield
        finally:
            self.idle_since = None
            if self.is_lent:
                self.queue.back(self)


NOWHERE = Place(None, None)


@dataclass(eq=False, slots=True)
class FairQueue:
    """Places for those who want one, as many at a time as `bounds` says; it may say something else each time."""

    bounds: Callable[[], Bounds]
    refused: int = 0  # so far
    active: int = 0  # holders, but for those whose place is lent
    _held: Counter[Hashable] = field(default_factory=Counter)  # active ones by key
    _places: set[Place] = field(default_factory=set)
    _waiting: OrderedDict[Hashable, deque[Place]] = field(default_factory=OrderedDict)  # the next key first
    _tick: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    def ask(self, key: Hashable) -> Place:
        """A place for the key; await its `taken`, and `leave` it. Raises Overloaded where too many wait already."""
        if not self.bounds().limit:
            return NOWHERE
        place = Place(self, key)
        if not self._waiting and self._has_room_for(key):
            self._give(place)
            return place
        self._make_way_for(key)
        place.is_held = False
        place.turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(place)
        self._serve()
        return place

    def left(self, place: Place) -> None:
        if place in self._places:
            self._places.discard(place)
            if not place.is_lent:
                self._uncount(place)
        elif not place.is_held and (others := self._waiting.get(place.key)) is not None and place in others:
            others.remove(place)
            if not others:
                del self._waiting[place.key]
        self._serve()

    def back(self, place: Place) -> None:
        """Its client moves again. Nobody is sent away for it, so that there may be one too many for a while."""
        place.is_lent = False
        if place in self._places:
            self._count(place)

    def _has_room_for(self, key: Hashable) -> bool:
        limit = self.bounds().limit
        return not limit or (self.active < limit and self._held[key] < limit - limit // KEPT_SHARE)

    def _give(self, place: Place) -> None:
        place.is_held = True
        self._places.add(place)
        self._count(place)

    def _count(self, place: Place) -> None:
        self.active += 1
        self._held[place.key] += 1

    def _uncount(self, place: Place) -> None:
        self.active -= 1
        self._held[place.key] -= 1
        if not self._held[place.key]:
            del self._held[place.key]

    def _make_way_for(self, key: Hashable) -> None:
        """There is room for one more to wait: whoever has the most waiting gives way, its last one first."""
        if self.waiting < self.bounds().max_waiting:
            return
        self.refused += 1
        refusal = Overloaded("too many wait already: come back later")
        greediest = max(self._waiting, key=lambda other: len(self._waiting[other]), default=None)
        if greediest is None or len(self._waiting[greediest]) <= len(self._waiting.get(key, ())) + 1:
            raise refusal
        last = self._waiting[greediest].pop()
        if last.turn is not None and not last.turn.done():
            last.turn.set_result(refusal)

    def _serve(self) -> None:
        """Give the places that are free to those who wait, one for each key in turn."""
        is_anybody_let_in = True
        while self._waiting and is_anybody_let_in:
            is_anybody_let_in = False
            if self.active >= self.bounds().limit:
                self._lend()
            for key in list(self._waiting):
                if self._has_room_for(key):
                    self._admit_first_of(key)
                    is_anybody_let_in = True
        if self._waiting and self._tick is None:
            self._tick = asyncio.get_running_loop().call_later(IDLE_S, self._look_again)

    def _admit_first_of(self, key: Hashable) -> None:
        places = self._waiting[key]
        while places:
            place = places.popleft()
            if place.turn is not None and not place.turn.done():
                place.turn.set_result(None)
                self._give(place)
                break
        if places:
            self._waiting.move_to_end(key)
        else:
            del self._waiting[key]

    def _look_again(self) -> None:
        self._tick = None
        self._serve()

    def _lend(self) -> None:
        """Places whose holders wait for their clients count no more until those move."""
        long_ago = asyncio.get_running_loop().time() - IDLE_S
        for place in self._places:
            if not place.is_lent and place.idle_since is not None and place.idle_since <= long_ago:
                place.is_lent = True
                self._uncount(place)
