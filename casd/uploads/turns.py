"""Which request has an upload in hand, and what is kept in memory of it between two requests.

One request at a time has its *turn*; of an upload in parts, one for each part, or one for the whole. A newer one of the
same client (the token, and the session where both tell theirs) cuts an older one off; any other may when nothing has
arrived for TAKE_OVER_S, so that no connection that died unseen keeps anybody waiting. Between two turns the stage stays
open, with the state of its hashes, until it has rested for REST_S, or too many others have rested for less: then
descriptor and reservation go.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from casd.counted import CountedStage
from casd.errors import UploadBusy
from casd.model import ByteRange, Upload, UploadPart

TAKE_OVER_S = 10.0  # without a byte: then whoever comes next may take over
REST_S = 120.0  # between two turns; a client that reconnects within it costs no second read
RESTING = 256  # at most: a descriptor each


@dataclass(frozen=True, slots=True)
class Asker:
    """Who is behind a request."""

    token: UUID
    session: str | None = None  # what one running client calls itself, if it says so

    def is_same(self, other: "Asker") -> bool:
        """Whether both are one client, as far as anybody can tell."""
        return self.token == other.token and (None in (self.session, other.session) or self.session == other.session)


@dataclass(slots=True)
class Turn:
    """One request that has an upload in hand."""

    asker: Asker
    progressed_at: float
    takes_bytes: bool  # from a client, who may never send them; other work ends by itself
    is_cut_off: bool = False
    is_ended_early: bool = False  # it was cut off while bytes were waited for
    deadline: asyncio.Timeout | None = None  # while bytes are waited for; what else it does is short, or must end whole
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    place: ByteRange | None = None  # of the part that it takes

    def yields_to(self, asker: Asker) -> bool:
        """Whether a request of that client may have the upload as soon as this turn has ended."""
        if not self.takes_bytes or asker.is_same(self.asker):
            return True
        return asyncio.get_running_loop().time() - self.progressed_at >= TAKE_OVER_S

    def cut_off(self) -> None:
        """Make way for a newer request."""
        if not self.is_cut_off:
            self.is_cut_off = True
            self.give_way()

    def give_way(self) -> None:
        """End the wait for bytes if the turn was cut off."""
        if self.is_cut_off and self.deadline is not None:
            self.deadline.reschedule(asyncio.get_running_loop().time())

    def progressed(self) -> float:
        """Bytes have arrived now; returns when that is."""
        self.progressed_at = asyncio.get_running_loop().time()
        return self.progressed_at

    @asynccontextmanager
    async def waiting_for_bytes(self) -> AsyncIterator[None]:
        """The block ends at once when the turn is cut off, without an error: look at `is_ended_early` behind it."""
        try:
            async with asyncio.timeout(None) as self.deadline:
                self.give_way()  # if it was cut off before it began
                yield
        except TimeoutError:
            if not self.is_cut_off:
                raise
            self.is_ended_early = True
        finally:
            self.deadline = None


@dataclass(slots=True)
class Session:
    """An upload in memory: its row as it was last recorded, and its stage while that is open."""

    upload: Upload
    staged: CountedStage | None = None
    turn: Turn | None = None
    part_turns: dict[int, Turn] = field(default_factory=dict)
    parts: dict[int, UploadPart] | None = None  # of an upload in parts, as recorded; None: not looked up yet
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # of the stage, where several turns share it
    rest: asyncio.TimerHandle | None = None
    writing: asyncio.Task[None] | None = None
    recording: asyncio.Task[None] | None = None
    recorded_at: float = 0.0  # or tried to
    tried_offset: int = 0  # in this turn, while more arrived

    @property
    def turns(self) -> Sequence[Turn]:
        """All that are under way."""
        return [*([self.turn] if self.turn is not None else []), *self.part_turns.values()]

    def in_the_way(self, part: int | None) -> Sequence[Turn]:
        """Turns that must end before the part's turn, or the whole upload's, can begin."""
        if part is None:
            return self.turns
        return [turn for turn in (self.turn, self.part_turns.get(part)) if turn is not None]


class Sessions:
    """The sessions of all uploads that were used lately."""

    def __init__(self, limit_resting: int) -> None:
        self._limit_resting = limit_resting
        self._sessions: dict[UUID, Session] = {}
        self._resting: dict[UUID, Session] = {}  # the longest first
        self._suspending: set[asyncio.Task[None]] = set()

    def get(self, uuid: UUID) -> Session | None:
        return self._sessions.get(uuid)

    def of(self, upload: Upload) -> Session:
        """The upload's session; a new one starts from the row that is given."""
        return self._sessions.setdefault(upload.uuid, Session(upload))

    def add(self, upload: Upload, staged: CountedStage) -> None:
        """The session of a new upload, at rest."""
        self._start_rest(self._sessions.setdefault(upload.uuid, Session(upload, staged)))

    def drop(self, session: Session) -> None:
        """Forget it; the caller has taken care of its stage."""
        self._sessions.pop(session.upload.uuid, None)
        self._stop_rest(session)

    def has_turn(self, uuid: UUID) -> bool:
        session = self._sessions.get(uuid)
        return session is not None and bool(session.turns)

    def is_receiving(self, uuid: UUID) -> bool:
        """Whether a client is sending bytes to the upload."""
        session = self._sessions.get(uuid)
        return session is not None and any(turn.takes_bytes for turn in session.turns)

    @property
    def active(self) -> int:
        """Uploads that a request has in hand."""
        return sum(bool(session.turns) for session in self._sessions.values())

    async def free(self, session: Session, asker: Asker, part: int | None = None) -> None:
        """Return when the turns that were in the way have ended; somebody else may be first to take the next.

        Raises UploadBusy.
        """
        older = session.in_the_way(part)
        if not all(turn.yields_to(asker) for turn in older):
            raise UploadBusy("another client is sending this upload", session.upload.offset)
        for turn in older:
            turn.cut_off()
        for turn in older:
            await turn.ended.wait()

    @asynccontextmanager
    async def hold(
        self, session: Session, asker: Asker, part: int | None = None, *, takes_bytes: bool = False
    ) -> AsyncIterator[Turn]:
        """Have the upload, or one part of it, in hand; nobody is in the way."""
        assert not session.in_the_way(part)
        now = asyncio.get_running_loop().time()
        turn = Turn(asker, now, takes_bytes)
        if part is None:
            session.turn = turn
        else:
            session.part_turns[part] = turn
        session.recorded_at, session.tried_offset = now, 0
        self._stop_rest(session)
        try:
            yield turn
        finally:
            if part is None:
                session.turn = None
            else:
                del session.part_turns[part]
            turn.ended.set()
            if self._sessions.get(session.upload.uuid) is session and not session.turns:
                self._start_rest(session)

    async def let_rest_go(self) -> None:
        """Give back what all resting uploads have: descriptors are short."""
        for session in list(self._resting.values()):
            self._suspend(session)
        if self._suspending:
            await asyncio.wait(set(self._suspending))

    async def close(self) -> None:
        """Let go of all stages; no turn may begin. One that is under way is ending: whoever had it was cancelled."""
        while turns := [turn for session in self._sessions.values() for turn in session.turns]:
            await turns[0].ended.wait()
        for session in list(self._sessions.values()):
            self._suspend(session)
        while self._suspending:
            await asyncio.wait(self._suspending)

    def _start_rest(self, session: Session) -> None:
        session.rest = asyncio.get_running_loop().call_later(REST_S, self._suspend, session)
        self._resting[session.upload.uuid] = session
        if len(self._resting) > min(self._limit_resting, RESTING):
            self._suspend(next(iter(self._resting.values())))

    def _stop_rest(self, session: Session) -> None:
        self._resting.pop(session.upload.uuid, None)
        if session.rest is not None:
            session.rest.cancel()
            session.rest = None

    def _suspend(self, session: Session) -> None:
        """Give back descriptor, reservation and memory."""
        self.drop(session)
        staged, session.staged = session.staged, None
        if staged is not None:
            task = asyncio.create_task(staged.suspend())
            self._suspending.add(task)
            task.add_done_callback(self._suspending.discard)
