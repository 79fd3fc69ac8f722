"""What a daemon has acknowledged to one client, kept by the client: the oracle of `test_kill.py`.

Each client has a namespace of its own and does one thing after the other, so at every moment there are at most two
states that the namespace may be in: that before the operation under way, and that after it.
"""

import copy
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Answer = dict[str, Any]


@dataclass
class Blob:
    digest: str
    holds_itself: bool
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass
class State:
    """A namespace: blobs by UUID, and names as version number → UUID, None for a delete marker."""

    blobs: dict[str, Blob] = field(default_factory=dict)
    names: dict[str, dict[int, str | None]] = field(default_factory=dict)

    def holders(self, uuid: str) -> set[tuple[str, int]]:
        return {(name, number) for name, held in self.names.items() for number, of in held.items() if of == uuid}

    def settle(self) -> None:
        """What nothing holds is gone: names without a blob, then blobs without a hold (DESIGN.md 3)."""
        self.names = {name: held for name, held in self.names.items() if any(held.values())}
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
        self.acknowledged: Counter[str] = Counter()  # operations by method, for the report

    def begin(self, operation: Operation) -> None:
        self.under_way = operation

    def end(self, answer: Answer | None) -> None:
        """The operation under way has happened."""
        assert self.under_way is not None
        self._become(self.under_way.after(self.state, uuid_in(answer)))
        self.acknowledged[self.under_way.method] += 1
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


# -- what a client may do next --------------------------------------------------------------------------------------


def next_operation(ledger: Ledger, others: list[Ledger], contents: "Contents", choice: random.Random) -> Operation:
    """Something that must succeed in the ledger's state, whatever the others do."""
    state = ledger.state
    possible = [store, publish]
    if len(state.blobs) > 12:
        possible = [delete, purge, remove_version]
    kinds = [*possible * 2, bind, bind_foreign, delete, hide, unhide, remove_version, purge, set_metadata]
    while True:
        operation = choice.choice(kinds)(ledger, others, contents, choice)
        if operation is not None:
            return operation


class Contents:
    """Bytes to store: some are stored again and again by everybody, others only once."""

    def __init__(self, choice: random.Random, digest_of: Callable[[bytes], str]) -> None:
        self._choice = choice
        self._digest_of = digest_of
        self._common = [choice.randbytes(size) for size in (1, 100, 5_000, 100_000, 300_000)]

    def next(self) -> tuple[bytes, str, bool]:
        """The bytes, their digest, and whether they are to be sent in chunks."""
        kind = self._choice.random()
        if kind < 0.4:
            data = self._choice.choice(self._common)
        elif kind < 0.8:
            data = self._choice.randbytes(self._choice.randrange(40_000))
        else:
            data = self._choice.randbytes(self._choice.randrange(1 << 20, 5 << 20 if kind < 0.9 else 2 << 20))
        return data, self._digest_of(data), self._choice.random() < 0.3


NAMES = ("first", "second/with a slash", "third")


def store(ledger: Ledger, others: list[Ledger], contents: Contents, choice: random.Random) -> Operation | None:
    data, digest, is_chunked = contents.next()

    def change(state: State, uuid: str) -> None:
        state.blobs[uuid] = Blob(digest, holds_itself=True)

    return Operation("POST", f"/v1/blobs?namespace={ledger.namespace}", change, data, is_chunked)


def publish(ledger: Ledger, others: list[Ledger], contents: Contents, choice: random.Random) -> Operation | None:
    data, digest, is_chunked = contents.next()
    name = choice.choice(NAMES)
    number = ledger.last_numbers[name] + 1

    def change(state: State, uuid: str) -> None:
        state.blobs[uuid] = Blob(digest, holds_itself=False)
        state.names.setdefault(name, {})[number] = uuid

    return Operation("PUT", name_path(ledger, name), change, data, is_chunked)


def bind(ledger: Ledger, others: list[Ledger], contents: Contents, choice: random.Random) -> Operation | None:
    if not ledger.state.blobs:
        return None
    held, name = choice.choice(list(ledger.state.blobs)), choice.choice(NAMES)
    number = ledger.last_numbers[name] + 1

    def change(state: State, uuid: str) -> None:
        state.names.setdefault(name, {})[number] = held

    return Operation("PUT", f"{name_path(ledger, name)}?blob={held}", change)


def bind_foreign(ledger: Ledger, others: list[Ledger], contents: Contents, choice: random.Random) -> Operation | None:
    """Makes a blob of its own in this namespace."""
    other = choice.choice(others)
    if other is ledger or not other.state.blobs:
        return None
    foreign, blob = choice.choice(list(other.state.blobs.items()))
    digest, name = blob.digest, choice.choice(NAMES)
    number = ledger.last_numbers[name] + 1

    def change(state: State, uuid: str) -> None:
        state.blobs[uuid] = Blob(digest, holds_itself=False)
        state.names.setdefault(name, {})[number] = uuid

    path = f"{name_path(ledger, name)}?blob={foreign}"
    return Operation("PUT", path, change, may_be_absent=True)


def delete(ledger: Ledger, others: list[Ledger], contents: Contents, choice: random.Random) -> Operation | None:
    own = [uuid for uuid, blob in ledger.state.blobs.items() if blob.holds_itself]
    if not own:
        return None
    dropped = choice.choice(own)

    def change(state: State, uuid: str) -> None:
        state.blobs[dropped].holds_itself = False

    return Operation("DELETE", f"/v1/blobs/{dropped}", change)


def hide(ledger: Ledger, others: list[Ledger], contents: Contents, choice: random.Random) -> Operation | None:
    visible = [name for name, held in ledger.state.names.items() if held[max(held)] is not None]
    if not visible:
        return None
    name = choice.choice(visible)
    number = ledger.last_numbers[name] + 1

    def change(state: State, uuid: str) -> None:
        state.names[name][number] = None

    return Operation("DELETE", name_path(ledger, name), change)


def unhide(ledger: Ledger, others: list[Ledger], contents: Contents, choice: random.Random) -> Operation | None:
    """Removing the newest marker; there is one after the other where the version between them was removed."""
    hidden = [name for name, held in ledger.state.names.items() if held[max(held)] is None]
    return removal(ledger, name := choice.choice(hidden), max(ledger.state.names[name])) if hidden else None


def remove_version(ledger: Ledger, others: list[Ledger], contents: Contents, choice: random.Random) -> Operation | None:
    if not ledger.state.names:
        return None
    name = choice.choice(list(ledger.state.names))
    return removal(ledger, name, choice.choice(list(ledger.state.names[name])))


def removal(ledger: Ledger, name: str, number: int) -> Operation:
    def change(state: State, uuid: str) -> None:
        del state.names[name][number]

    return Operation("DELETE", f"{name_path(ledger, name)}?version={number}", change)


def purge(ledger: Ledger, others: list[Ledger], contents: Contents, choice: random.Random) -> Operation | None:
    if not ledger.state.names:
        return None
    name = choice.choice(list(ledger.state.names))

    def change(state: State, uuid: str) -> None:
        del state.names[name]

    return Operation("DELETE", f"{name_path(ledger, name)}?purge=1", change)


def set_metadata(ledger: Ledger, others: list[Ledger], contents: Contents, choice: random.Random) -> Operation | None:
    if not ledger.state.blobs:
        return None
    of, key, value = choice.choice(list(ledger.state.blobs)), choice.choice("ab"), str(choice.random())

    def change(state: State, uuid: str) -> None:
        state.blobs[of].metadata[key] = value

    return Operation("PUT", f"/v1/blobs/{of}/metadata/{key}", change, b'{"value": "%s"}' % value.encode())


def name_path(ledger: Ledger, name: str) -> str:
    return f"/v1/names/{ledger.namespace}/{name.replace(' ', '%20')}"
