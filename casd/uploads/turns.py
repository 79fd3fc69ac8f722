"""Which request has an upload in hand, and what is kept in memory of it between two requests.

One request at a time has its *turn*. A newer one of the same token cuts an older one off, any other may when nothing
has arrived for TAKE_OVER_S, so that no connection that died unseen keeps anybody waiting. Between two turns the stage
stays open, with the state of its hashes, until it has rested for REST_S, or RESTING others have rested for less: then
descriptor and reservation go.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from casd.errors import UploadBusy
from casd.model import Upload
from casd.payloads.base import Staged

TAKE_OVER_S = 10.0  # without a byte: then whoever comes next may take over
REST_S = 120.0  # between two turns; a client that reconnects within it costs no second read
RESTING = 256  # at most: a descriptor each, where a process has 1024 unless somebody raised that


@dataclass(slots=True)
class Turn:
    """One request that has an upload in hand."""

    token: UUID
    progressed_at: float
    takes_bytes: bool  # from a client, who may never send them; other work ends by itself
    is_cut_off: bool = False
    deadline: asyncio.Timeout | None = None  # while bytes are waited for; what else it does is short, or must end whole
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def yields_to(self, token: UUID) -> bool:
        """Whether a request of that token may have the upload as soon as this turn has ended."""
        if not self.takes_bytes or token == self.token:
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


@dataclass(slots=True)
class Session:
    """An upload in memory: its row as it was last recorded, and its stage while that is open."""

    upload: Upload
    staged: Staged | None = None
    turn: Turn | None = None
    rest: asyncio.TimerHandle | None = None
    writing: asyncio.Task[None] | None = None
    recording: asyncio.Task[None] | None = None
    recorded_at: float = 0.0  # or tried to
    tried_offset: int = 0  # in this turn, while more arrived


class Sessions:
    """The sessions of all uploads that were used lately."""

    def __init__(self) -> None:
        self._sessions: dict[UUID, Session] = {}
        self._resting: dict[UUID, Session] = {}  # the longest first
        self._suspending: set[asyncio.Task[None]] = set()

    def get(self, uuid: UUID) -> Session | None:
        return self._sessions.get(uuid)

    def of(self, upload: Upload) -> Session:
        """The upload's session; a new one starts from the row that is given."""
        return self._sessions.setdefault(upload.uuid, Session(upload))

    def add(self, upload: Upload, staged: Staged) -> None:
        """The session of a new upload, at rest."""
        self._start_rest(self._sessions.setdefault(upload.uuid, Session(upload, staged)))

    def drop(self, session: Session) -> None:
        """Forget it; the caller has taken care of its stage."""
        self._sessions.pop(session.upload.uuid, None)
        self._stop_rest(session)

    def has_turn(self, uuid: UUID) -> bool:
        session = self._sessions.get(uuid)
        return session is not None and session.turn is not None

    @property
    def active(self) -> int:
        """Uploads that a request has in hand."""
        return sum(session.turn is not None for session in self._sessions.values())

    async def free(self, session: Session, token: UUID) -> None:
        """Return when the turn that was under way, if any, has ended; somebody else may be first to take the next.

        Raises UploadBusy.
        """
        if session.turn is not None:
            if not session.turn.yields_to(token):
                raise UploadBusy("another client is sending this upload", session.upload.offset)
            session.turn.cut_off()
            await session.turn.ended.wait()

    @asynccontextmanager
    async def hold(self, session: Session, token: UUID, *, takes_bytes: bool = False) -> AsyncIterator[Turn]:
        """Have the upload in hand, which nobody has."""
        assert session.turn is None
        now = asyncio.get_running_loop().time()
        turn = session.turn = Turn(token, now, takes_bytes)
        session.recorded_at, session.tried_offset = now, 0
        self._stop_rest(session)
        try:
            yield turn
        finally:
            session.turn = None
            turn.ended.set()
            if self._sessions.get(session.upload.uuid) is session:
                self._start_rest(session)

    async def close(self) -> None:
        """Let go of all stages; no turn may begin. One that is under way is ending: whoever had it was cancelled."""
        while turns := [session.turn for session in self._sessions.values() if session.turn is not None]:
            await turns[0].ended.wait()
        for session in list(self._sessions.values()):
            self._suspend(session)
        while self._suspending:
            await asyncio.wait(self._suspending)

    def _start_rest(self, session: Session) -> None:
        session.rest = asyncio.get_running_loop().call_later(REST_S, self._suspend, session)
        self._resting[session.upload.uuid] = session
        if len(self._resting) > RESTING:
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
