"""What a client of the kill -9 storm may do next: each kind of write that there is, as it must succeed then."""

import base64
import hashlib
import random
from collections.abc import Callable

from tests.crash.ledger import Ask, Blob, Ledger, Operation, State
from tests.crash.uploading import CHUNK, VERSION, checksum

Kind = Callable[[Ledger, list[Ledger], "Contents", random.Random], Operation | None]


def next_operation(ledger: Ledger, others: list[Ledger], contents: "Contents", choice: random.Random) -> Operation:
    """Something that must succeed in the ledger's state, whatever the others do."""
    state = ledger.state
    growing = [store, publish, store_for_a_while, upload_at_once, upload_in_pieces, upload_joined]
    shrinking = [delete, purge, remove_version] * 2
    possible: list[Kind] = shrinking if len(state.blobs) > 12 else growing
    others_blobs = [bind_foreign, copy_foreign]
    changing = [bind, *others_blobs, delete, hide, unhide, remove_version, purge, set_metadata, drop_metadata, describe]
    kinds = [*possible * 2, *changing]
    while True:
        kind = choice.choice(kinds)
        operation = kind(ledger, others, contents, choice)
        if operation is not None:
            operation.kind = kind.__name__
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


def store_for_a_while(
    ledger: Ledger, others: list[Ledger], contents: Contents, choice: random.Random
) -> Operation | None:
    """It expires long after the test."""
    data, digest, is_chunked = contents.next()

    def change(state: State, uuid: str) -> None:
        state.blobs[uuid] = Blob(digest, holds_itself=True, is_for_ever=False)

    return Operation("POST", f"/v1/blobs?namespace={ledger.namespace}&expires_in=86400", change, data, is_chunked)


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


def copy_foreign(ledger: Ledger, others: list[Ledger], contents: Contents, choice: random.Random) -> Operation | None:
    """A blob of its own over another's payload, without a name and without its bytes."""
    other = choice.choice(others)
    if not other.state.blobs:
        return None
    foreign, blob = choice.choice(list(other.state.blobs.items()))
    digest = blob.digest

    def change(state: State, uuid: str) -> None:
        state.blobs[uuid] = Blob(digest, holds_itself=True)

    path = f"/v1/blobs?blob={foreign}&namespace={ledger.namespace}"
    return Operation("POST", path, change, may_be_absent=other is not ledger)


def delete(ledger: Ledger, others: list[Ledger], contents: Contents, choice: random.Random) -> Operation | None:
    own = [uuid for uuid, blob in ledger.state.blobs.items() if blob.holds_itself]
    if not own:
        return None
    dropped = choice.choice(own)

    def change(state: State, uuid: str) -> None:
        state.blobs[dropped].holds_itself = False
        state.blobs[dropped].is_for_ever = True

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


def drop_metadata(ledger: Ledger, others: list[Ledger], contents: Contents, choice: random.Random) -> Operation | None:
    there = [(uuid, key) for uuid, blob in ledger.state.blobs.items() for key in blob.metadata]
    if not there:
        return None
    of, key = choice.choice(there)

    def change(state: State, uuid: str) -> None:
        del state.blobs[of].metadata[key]

    return Operation("DELETE", f"/v1/blobs/{of}/metadata/{key}", change)


def describe(ledger: Ledger, others: list[Ledger], contents: Contents, choice: random.Random) -> Operation | None:
    """A change of a name's own metadata."""
    if not ledger.state.names:
        return None
    name, value = choice.choice(list(ledger.state.names)), str(choice.random())

    def change(state: State, uuid: str) -> None:
        state.described[name] = {"key": value}

    path = name_path(ledger, name).replace("/v1/names/", "/v1/name-info/")
    body = b'{"metadata": {"key": "%s"}}' % value.encode()
    return Operation("PATCH", path, change, body, headers={"Content-Type": "application/json"})


# -- resumable uploads ------------------------------------------------------------------------------------------------


def upload_at_once(ledger: Ledger, others: list[Ledger], contents: Contents, choice: random.Random) -> Operation | None:
    """A creation that brings the whole upload along."""
    data, change, headers = an_upload(ledger, contents, choice)
    return Operation("POST", "/v1/uploads", change, data, headers=CHUNK | headers | length(data))


def upload_in_pieces(
    ledger: Ledger, others: list[Ledger], contents: Contents, choice: random.Random
) -> Operation | None:
    """Made by its last piece; each piece has a checksum."""
    data, change, headers = an_upload(ledger, contents, choice)
    start = choice.randrange(1, len(data))

    async def prepare(ask: Ask) -> Operation:
        path = await created(ledger, ask, None, VERSION | headers | length(data))
        first = CHUNK | {"Upload-Offset": "0"} | checksum(data[:start])
        status, answer = await ask(Operation("PATCH", path, nothing, data[:start], headers=first))
        assert status == 204, answer
        rest = CHUNK | {"Upload-Offset": str(start)} | checksum(data[start:])
        return Operation("PATCH", path, change, data[start:], headers=rest)

    return Operation("PATCH", "", nothing, prepare=prepare)


def upload_joined(ledger: Ledger, others: list[Ledger], contents: Contents, choice: random.Random) -> Operation | None:
    """Two partial uploads that are joined."""
    data, change, headers = an_upload(ledger, contents, choice)
    middle = choice.randrange(1, len(data))
    namespace = {"Upload-Metadata": metadata(namespace=ledger.namespace)}

    async def prepare(ask: Ask) -> Operation:
        parts = []
        for part in (data[:middle], data[middle:]):
            facts = CHUNK | namespace | length(part) | {"Upload-Concat": "partial"}
            parts.append(await created(ledger, ask, part, facts))
        final = VERSION | headers | {"Upload-Concat": f"final;{' '.join(parts)}"}
        return Operation("POST", "/v1/uploads", change, headers=final)

    return Operation("POST", "", nothing, prepare=prepare)


def an_upload(
    ledger: Ledger, contents: Contents, choice: random.Random
) -> tuple[bytes, Callable[[State, str], None], dict[str, str]]:
    """Two bytes or more, what they make of a state, and the headers that say so: a blob, or a version of a name."""
    data = contents.next()[0]
    data = data if len(data) > 1 else b"too small to be cut in two"
    digest = hashlib.sha512(data).hexdigest()
    name = choice.choice(NAMES) if choice.random() < 0.5 else None
    number = ledger.last_numbers[name] + 1 if name else 0

    def change(state: State, uuid: str) -> None:
        state.blobs[uuid] = Blob(digest, holds_itself=name is None)
        if name is not None:
            state.names.setdefault(name, {})[number] = uuid

    facts = {"namespace": ledger.namespace} | ({"name": name} if name else {})
    return data, change, {"Upload-Metadata": metadata(**facts)}


async def created(ledger: Ledger, ask: Ask, body: bytes | None, headers: dict[str, str]) -> str:
    status, answer = await ask(Operation("POST", "/v1/uploads", nothing, body, headers=headers))
    assert status == 201, answer
    path: str = answer["location"]
    ledger.uploads.add(path)
    return path


def nothing(state: State, uuid: str) -> None:
    """What a request makes of a state that has no effect on it."""


def metadata(**facts: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in facts.items())


def length(data: bytes) -> dict[str, str]:
    return {"Upload-Length": str(len(data))}


def name_path(ledger: Ledger, name: str) -> str:
    return f"/v1/names/{ledger.namespace}/{name.replace(' ', '%20')}"
