"""What a daemon has acknowledged to one client, kept by the client: the oracle of `test_kill.py`.

Each client has a namespace of its own and does one thing after the other, so at every moment there are at most two
states that the namespace may be in: that before the operation under way, and that after it.
"""

import copy
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

Answer = dict[str, Any]
Ask = Callable[["Operation"], Awaitable[tuple[int, Any]]]  # the status, and what the answer says


@dataclass
class Blob:
    digest: str
    holds_itself: bool
    metadata: dict[str, str] = field(default_factory=dict)
    is_for_ever: bool = True  # it has no `expires_at`


@dataclass
class State:
    """A namespace: blobs by UUID, and names as version number → UUID, None for a delete marker."""

    blobs: dict[str, Blob] = field(default_factory=dict)
    names: dict[str, dict[int, str | None]] = field(default_factory=dict)
    described: dict[str, dict[str, str]] = field(default_factory=dict)  # names' own metadata, where they have some

    def holders(self, uuid: str) -> set[tuple[str, int]]:
        return {(name, number) for name, held in self.names.items() for number, of in held.items() if of == uuid}

    def settle(self) -> None:
        """What nothing holds is gone: names without a blob, then blobs without a hold (DESIGN.md 3)."""
        self.names = {name: held for name, held in self.names.items() if any(held.values())}
        self.described = {name: facts for name, facts in self.described.items() if name in self.names}
        self.blobs = {uuid: blob for uuid, blob in self.blobs.items() if blob.holds_itself or self.holders(uuid)}


@dataclass
class Operation:
    """A request, and what it makes of a state if it happens; `new_uuid` is that of the blob that it makes."""

    method: str
    path: str
    change: Callable[[State, str], None]
    body: bytes | None = None
    is_chunked: bool = False
    may_be_absent: bool = False  # what it needs is another client's, who may have deleted it
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = ""  # for the report
    prepare: "Callable[[Ask], Awaitable[Operation]] | None" = None  # requests without effect, and then this one

    def after(self, state: State, new_uuid: str) -> State:
        after = copy.deepcopy(state)
        self.change(after, new_uuid)
        after.settle()
        return after


class Ledger:
    """One client's namespace as it was acknowledged, and the operation under way."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.state = State()
        self.last_numbers: Counter[str] = Counter()  # of names, which outlive them
        self.under_way: Operation | None = None
        self.gone: set[str] = set()  # UUIDs that were there once
        self.uploads: set[str] = set()  # paths of those that may not be finished
        self.acknowledged: Counter[str] = Counter()  # operations by kind, for the report

    def begin(self, operation: Operation) -> None:
        self.under_way = operation

    def end(self, answer: Answer | None) -> None:
        """The operation under way has happened."""
        assert self.under_way is not None
        self._become(self.under_way.after(self.state, uuid_in(answer)))
        self.acknowledged[self.under_way.kind] += 1
        self.under_way = None

    def end_without_effect(self) -> None:
        self.under_way = None

    def settle(self, seen: State) -> bool:
        """Take `seen`, after a crash, for the state if it may be that; returns whether an operation is resolved by it.

        Asserts that it is the state before the operation under way or the one after it, nothing between.
        """
        if self.under_way is None or seen == self.state:
            assert seen == self.state, self.namespace
            self.under_way = None
            return False
        new = seen.blobs.keys() - self.state.blobs.keys()
        after = self.under_way.after(self.state, new.pop() if new else "")
        assert seen == after, (self.namespace, self.under_way)
        self._become(after)
        self.under_way = None
        return True

    def _become(self, state: State) -> None:
        self.gone |= self.state.blobs.keys() - state.blobs.keys()
        self.state = state
        for name, held in state.names.items():
            self.last_numbers[name] = max(self.last_numbers[name], *held)


def uuid_in(answer: Answer | None) -> str:
    """Of the blob that an answer describes, or of the blob of the version that it describes."""
    uuid: str = (answer or {}).get("uuid") or ((answer or {}).get("blob") or {}).get("uuid", "")
    return uuid
