"""The audit log's words: who did what to which thing. Knows no HTTP and no SQL.

A catalogue operation tells what it did where it does it, in its own transaction: a change and its row are committed
together or not at all, with one fsync. It does not know who asked. Who acts is said once, where a request (or a run of
upkeep) begins, and stands in a context variable: it follows every await and every task that is begun on the way, and
the catalogue takes it at the one place through which all writes go. Handing it down as an argument instead would put
it into some forty signatures, each a place to forget it or to pass on a wrong one.

No secret, no signature and no query ever belongs into a row.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

NOTE_LIMIT = 200  # characters


class Verb(StrEnum):
    """What was done. No others are ever told, so that a prefix such as `token.` is a short list of them."""

    BLOB_CREATE = "blob.create"
    BLOB_DELETE = "blob.delete"  # its own hold was dropped
    BLOB_EXPIRE = "blob.expire"
    BLOB_READ = "blob.read"  # with `[audit] reads`
    NAME_PUBLISH = "name.publish"
    NAME_BIND = "name.bind"  # a version of bytes that were there
    NAME_HIDE = "name.hide"
    NAME_UNDELETE = "name.undelete"
    NAME_RENAME = "name.rename"
    NAME_PURGE = "name.purge"
    NAME_SETTINGS = "name.settings"
    VERSION_REMOVE = "version.remove"  # by request, by retention, or with its name
    METADATA_SET = "metadata.set"
    METADATA_DELETE = "metadata.delete"
    UPLOAD_CREATE = "upload.create"
    UPLOAD_DELETE = "upload.delete"
    NAMESPACE_SET = "namespace.set"
    TOKEN_CREATE = "token.create"
    TOKEN_ROTATE = "token.rotate"
    TOKEN_REVOKE = "token.revoke"
    TOKEN_FORGET = "token.forget"  # long after its end
    NAMED_KEY_SET = "named-key.set"
    NAMED_KEY_DELETE = "named-key.delete"
    SIGNING_KEY_CREATE = "signing-key.create"
    SIGNING_KEY_RETIRE = "signing-key.retire"
    URL_SIGN = "url.sign"
    UPKEEP_RUN = "upkeep.run"  # on request
    PAYLOAD_QUARANTINE = "payload.quarantine"
    QUARANTINE_PURGE = "quarantine.purge"
    BACKUP_BEGIN = "backup.begin"
    BACKUP_END = "backup.end"
    AUTH_DENIED = "auth.denied"  # a credential that is not good
    ACCESS_DENIED = "access.denied"  # a good one that may not do this, or does not find what it would change
    REQUEST_FAILED = "request.failed"  # a change that was allowed, and did not happen


class Result(StrEnum):
    DONE = "done"
    DENIED = "denied"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and from where."""

    principal: str  # a token's name, or one of those below
    token: UUID | None = None
    role: str | None = None
    address: str | None = None
    dialect: str | None = None
    request_id: str | None = None


LOCAL = Actor("local")  # the daemon itself, as it starts and stops
UPKEEP = Actor("upkeep")  # its timers
ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class Deed:
    """What was done to what. `subject` is what is neither blob nor name: a token's id, a route, a digest."""

    verb: Verb
    namespace: str | None = None
    name: str | None = None
    version: int | None = None
    blob: UUID | None = None
    subject: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A deed with all that is known of it; `count` of the same kind."""

    at: datetime
    actor: Actor
    deed: Deed
    result: Result = Result.DONE
    code: str | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the log. Its id is unique and grows with time."""

    id: int
    told: Told


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What all rows must be; None stands for anything."""

    principal: str | None = None
    token: UUID | None = None
    verbs: frozenset[Verb] | None = None
    blob: UUID | None = None
    namespace: str | None = None
    name: str | None = None
    address: str | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None  # not itself


class Touched(set[object]):
    """What a write left behind beside its rows: keys of cached look-ups that it made stale, and deeds to be told."""

    __slots__ = ("deeds",)

    def __init__(self) -> None:
        super().__init__()
        self.deeds: list[Deed] = []

    def tell(
        self,
        verb: Verb,
        *,
        namespace: str | None = None,
        name: str | None = None,
        version: int | None = None,
        blob: UUID | None = None,
        subject: str | None = None,
        note: str | None = None,
    ) -> None:
        """The audit log has this in the transaction that is under way."""
        self.deeds.append(Deed(verb, namespace, name, version, blob, subject, note and note[:NOTE_LIMIT]))


def changes_told(changes: Mapping[str, object]) -> str:
    """Settings, each with its new value if that is a number or a switch: texts and metadata may hold a secret."""
    return ", ".join(_change_told(key, changes[key]) for key in sorted(changes))


def _change_told(key: str, value: object) -> str:
    if key == "protected":
        return "protected" if value else "unprotected"
    return f"{key}={json.dumps(value)}" if value is None or isinstance(value, (bool, int)) else key


# -- who acts -----------------------------------------------------------------------------------------------------


def _local() -> Actor:
    return LOCAL


# A context variable, not a global: each request's and each run's task has its own value. What it holds is asked only
# where something is told, because most requests change nothing, and judging a client's address costs a few us.
_WHO: ContextVar[Callable[[], Actor]] = ContextVar("casd actor", default=_local)


def actor() -> Actor:
    """Who acts in this task."""
    return _WHO.get()()


def act(who: Callable[[], Actor]) -> None:
    """From now on `who()` acts in this task, and in those that it begins."""
    _WHO.set(who)


@contextmanager
def acting(someone: Actor) -> Iterator[None]:
    """Meanwhile `someone` acts."""
    before = _WHO.set(lambda: someone)
    try:
        yield
    finally:
        _WHO.reset(before)


def verbs_like(text: str) -> frozenset[Verb]:
    """The verb, or where the text ends in a dot those that begin with it; none where there is no such verb."""
    return frozenset(verb for verb in Verb if verb == text or (text.endswith(".") and verb.startswith(text)))
