"""The catalogue against a model of dicts: any sequence of writes, compared after each in all that can be read.

The model keeps rows as DESIGN.md section 3 describes holds: a blob lives while it holds itself or a version does; what
is past its expiry is dead at once, and its row goes when upkeep, or the end of its last version, comes by.
"""

import asyncio
import sqlite3
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from casd.catalogue.sqlite import SqliteCatalogue
from casd.catalogue.values import NO_GUARD
from casd.errors import (
    BlobNotFound,
    CasdError,
    Conflict,
    NameNotFound,
    PreconditionFailed,
    VersionNotFound,
)
from casd.model import BlobState, Digest, Guard
from tests.contracts.desk import ALICE, BOB, GRACE, Desk
from tests.contracts.oracle import digest_of
from tests.fakes import Clock, counting_uuids

MICROSECOND = timedelta(microseconds=1)
HIDDEN = timedelta(hours=2)
CONTENTS = (b"", b"one", b"four")
RECENT = 4  # blobs that were made last are acted upon: so few that several things happen to one of them
Key = tuple[str, str]  # namespace and name
KEYS: tuple[Key, ...] = ((ALICE, "a"), (ALICE, "b"), (BOB, "a"))


@dataclass
class BlobRow:
    namespace: str
    data: bytes
    is_own: bool  # holds itself
    was_own: bool  # from the start
    expires_at: datetime | None
    versions: int = 0

    def lives(self, now: datetime) -> bool:
        return self.versions > 0 or (self.is_own and (self.expires_at is None or self.expires_at > now))


@dataclass
class VersionRow:
    number: int
    created_at: datetime
    blob: UUID | None


@dataclass
class NameRow:
    versions: list[VersionRow] = field(default_factory=list)
    keep_versions: int | None = None
    hidden_at: datetime | None = None


class Model:
    """What should be there."""

    def __init__(self, now: Clock) -> None:
        self.now = now
        self.blobs: dict[UUID, BlobRow] = {}
        self.names: dict[Key, NameRow] = {}
        self.counters: dict[Key, tuple[int, datetime]] = {}
        self.payloads: dict[bytes, datetime] = {}  # contents with a row, and their keep-until
        self.quarantined: set[bytes] = set()
        self.keep_versions: dict[str, int | None] = {ALICE: None, BOB: None}

    def keep(self, data: bytes) -> None:
        self.payloads[data] = max(self.payloads[data], self.now() + GRACE)

    def store(self, data: bytes) -> None:
        self.payloads.setdefault(data, self.now() + GRACE)
        self.keep(data)
        self.quarantined.discard(data)

    def living(self, uuid: UUID) -> BlobRow | None:
        row = self.blobs.get(uuid)
        return row if row is not None and row.lives(self.now()) else None

    def newest(self, key: Key) -> VersionRow | None:
        return self.names[key].versions[-1] if key in self.names else None

    def newest_data(self, key: Key) -> bytes | None:
        version = self.newest(key)
        return self.blobs[version.blob].data if version and version.blob else None

    def sweep(self, uuid: UUID) -> None:
        """The blob's row goes if nothing holds it."""
        if not self.blobs[uuid].lives(self.now()):
            self.keep(self.blobs.pop(uuid).data)

    def add_version(self, key: Key, blob: UUID | None) -> int:
        last_number, last_time = self.counters.get(key, (0, self.now() - MICROSECOND))
        self.counters[key] = (last_number + 1, max(self.now(), last_time + MICROSECOND))
        name = self.names.setdefault(key, NameRow())
        name.versions.append(VersionRow(*self.counters[key], blob))
        if blob is not None:
            self.blobs[blob].versions += 1
            keep = self.keep_versions[key[0]] if name.keep_versions is None else name.keep_versions
            real = [version.number for version in name.versions if version.blob is not None]
            if keep is not None and len(real) > keep:
                self.remove(key, [version for version in name.versions if version.number < real[-keep]])
        self.settle(key)
        return self.counters[key][0]

    def remove(self, key: Key, gone: list[VersionRow]) -> None:
        name = self.names[key]
        name.versions = [version for version in name.versions if version not in gone]
        for version in gone:
            if version.blob is not None:
                self.blobs[version.blob].versions -= 1
                self.sweep(version.blob)

    def settle(self, key: Key) -> None:
        """Gone without a version that has a blob; hidden while the newest is a marker, from when that came to be."""
        name = self.names[key]
        if not any(version.blob for version in name.versions):
            del self.names[key]
        elif name.versions[-1].blob is not None:
            name.hidden_at = None
        elif name.hidden_at is None:
            name.hidden_at = max(name.versions[-1].created_at, self.now())


class CatalogueMachine(RuleBasedStateMachine):
    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "catalogue.sqlite3"
        self.runner = asyncio.Runner()
        catalogue = self.run(SqliteCatalogue.open(self.path, counting_uuids(), payloads_exist=False))
        self.desk = Desk(catalogue)
        self.run(self.desk.open())
        self.model = Model(self.desk.clock)
        self.made: list[UUID] = []  # every blob there ever was

    def teardown(self) -> None:
        if hasattr(self, "desk"):
            self.run(self.desk.catalogue.close())
            self.runner.close()
            self.folder.cleanup()

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(call)

    def fails(self, call: Coroutine[Any, Any, Any], error: type[CasdError]) -> None:
        with pytest.raises(CasdError) as caught:
            self.run(call)
        assert type(caught.value) is error

    # -- blobs --------------------------------------------------------------------------------------------

    @rule(
        namespace=st.sampled_from([ALICE, BOB]),
        data=st.sampled_from(CONTENTS),
        expires_in_s=st.sampled_from([None, 0, 60, 600]),
    )
    def add(self, namespace: str, data: bytes, expires_in_s: int | None) -> None:
        blob = self.run(self.desk.add(data, namespace, expires_in_s=expires_in_s))

        self.made.append(blob.uuid)
        self.model.blobs[blob.uuid] = BlobRow(namespace, data, True, True, blob.expires_at)
        self.model.store(data)

    @precondition(lambda self: self.made)
    @rule(pick=st.integers(1, RECENT))
    def drop_own_hold(self, pick: int) -> None:
        uuid = self.made[-min(pick, len(self.made))]
        row, now = self.model.living(uuid), self.desk.clock()
        call = self.desk.catalogue.drop_own_hold(uuid, now, self.desk.keep_until)
        if row is None:
            self.fails(call, BlobNotFound)
        elif not row.is_own or (row.expires_at is not None and row.expires_at <= now):
            self.fails(call, Conflict)
        else:
            left = self.run(call)
            row.is_own, row.expires_at = False, None
            assert (left is not None) == (row.versions > 0)
            self.model.sweep(uuid)

    # -- names --------------------------------------------------------------------------------------------

    @rule(key=st.sampled_from(KEYS), data=st.sampled_from(CONTENTS), kind=st.sampled_from(["none", "match", "absent"]))
    def publish(self, key: Key, data: bytes, kind: str) -> None:
        newest = self.model.newest_data(key)
        guard = {
            "none": NO_GUARD,
            "match": Guard(match=frozenset({digest_of(CONTENTS[1])})),
            "absent": Guard(none_match_any=True),
        }[kind]
        call = self.desk.publish(key[1], data, key[0], guard=guard)
        if (kind == "match" and newest != CONTENTS[1]) or (kind == "absent" and newest is not None):
            self.fails(call, PreconditionFailed)
            return
        version = self.run(call)
        self.made.append(version.blob.uuid)
        self.model.blobs[version.blob.uuid] = BlobRow(key[0], data, False, False, None)
        self.model.store(data)
        assert version.number == self.model.add_version(key, version.blob.uuid)

    @precondition(lambda self: self.made)
    @rule(key=st.sampled_from(KEYS), pick=st.integers(1, RECENT))
    def bind(self, key: Key, pick: int) -> None:
        uuid = self.made[-min(pick, len(self.made))]
        row, now = self.model.living(uuid), self.desk.clock()
        new = self.desk.new_blob(key[0])
        call = self.desk.catalogue.bind(uuid, new, key[1], NO_GUARD, None, now, self.desk.keep_until)
        if row is None:
            self.fails(call, BlobNotFound)
            return
        version = self.run(call)
        bound = uuid
        if row.namespace != key[0]:
            bound = new.uuid
            self.made.append(bound)
            self.model.blobs[bound] = BlobRow(key[0], row.data, False, False, None)
        assert version.blob.uuid == bound
        assert version.number == self.model.add_version(key, bound)

    @rule(key=st.sampled_from(KEYS))
    def hide(self, key: Key) -> None:
        newest = self.model.newest(key)
        call = self.desk.hide(key[1], key[0])
        if newest is None or newest.blob is None:
            self.fails(call, NameNotFound)
        else:
            assert self.run(call).number == self.model.add_version(key, None)

    @rule(key=st.sampled_from(KEYS))
    def undelete(self, key: Key) -> None:
        newest = self.model.newest(key)
        call = self.desk.undelete(key[1], key[0])
        if newest is None:
            self.fails(call, NameNotFound)
        elif newest.blob is not None:
            self.fails(call, Conflict)
        else:
            shown = self.run(call)
            while (marker := self.model.names[key].versions[-1]).blob is None:
                self.model.remove(key, [marker])
            self.model.settle(key)
            assert (shown.number, shown.blob.uuid) == (marker.number, marker.blob)

    @rule(key=st.sampled_from(KEYS), back=st.integers(0, 4))
    def remove_version(self, key: Key, back: int) -> None:
        number = self.model.counters.get(key, (0, None))[0] - back
        name = self.model.names.get(key)
        gone = [version for version in name.versions if version.number == number] if name else []
        call = self.desk.remove(number, key[1], key[0])
        if not gone:
            self.fails(call, VersionNotFound)
        else:
            assert self.run(call).number == number
            self.model.remove(key, gone)
            self.model.settle(key)

    @rule(key=st.sampled_from(KEYS))
    def purge(self, key: Key) -> None:
        name = self.model.names.get(key)
        call = self.desk.purge(key[1], key[0])
        if name is None:
            self.fails(call, NameNotFound)
        else:
            self.run(call)
            self.model.remove(key, name.versions)
            del self.model.names[key]

    @rule(key=st.sampled_from(KEYS), keep=st.sampled_from([None, 1, 2, 3]))
    def rule_of_a_name(self, key: Key, keep: int | None) -> None:
        call = self.desk.catalogue.update_name(*key, {"keep_versions": keep})
        if key not in self.model.names:
            self.fails(call, NameNotFound)
        else:
            self.run(call)
            self.model.names[key].keep_versions = keep

    @rule(namespace=st.sampled_from([ALICE, BOB]), keep=st.sampled_from([None, 1, 2]))
    def rule_of_a_namespace(self, namespace: str, keep: int | None) -> None:
        self.run(self.desk.catalogue.update_namespace(namespace, {"keep_versions": keep}, self.desk.clock()))
        self.model.keep_versions[namespace] = keep

    # -- time and upkeep ----------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([-90, 0.000_001, 1, 60, 600, 4000, 9000]))
    def move_the_clock(self, seconds: float) -> None:
        self.desk.clock.move(seconds=seconds)

    @rule()
    def expire(self) -> None:
        now = self.desk.clock()
        over = [uuid for uuid, row in self.model.blobs.items() if row.expires_at is not None and row.expires_at <= now]
        hidden = [key for key, name in self.model.names.items() if name.hidden_at and name.hidden_at < now - HIDDEN]

        done = self.run(self.desk.expire(HIDDEN))

        assert (done.blobs, done.names) == (len(over), len(hidden))
        for uuid in over:
            self.model.blobs[uuid].is_own, self.model.blobs[uuid].expires_at = False, None
            self.model.sweep(uuid)
        for key in hidden:
            self.model.remove(key, self.model.names[key].versions)
            del self.model.names[key]

    @rule(data=st.sampled_from(CONTENTS))
    def forget_payload(self, data: bytes) -> None:
        is_referred = any(row.data == data for row in self.model.blobs.values())
        keep_until = self.model.payloads.get(data)
        is_due = not is_referred and keep_until is not None and keep_until <= self.desk.clock()

        assert self.run(self.desk.catalogue.forget_payload(digest_of(data), self.desk.clock())) == is_due

        if is_due:
            del self.model.payloads[data]
            self.model.quarantined.discard(data)

    @rule(data=st.sampled_from(CONTENTS))
    def quarantine(self, data: bytes) -> None:
        self.run(self.desk.catalogue.set_quarantined(digest_of(data), self.desk.clock()))
        if data in self.model.payloads:
            self.model.quarantined.add(data)

    # -- what can be read ---------------------------------------------------------------------------------

    @invariant()
    def every_blob_is_found_as_the_model_has_it(self) -> None:
        now = self.desk.clock()
        for uuid in self.made:
            row, found = self.model.living(uuid), self.run(self.desk.blob(uuid))
            assert (row is None) == (found is None)
            if row is not None:
                is_own = row.is_own and (row.expires_at is None or row.expires_at > now)
                assert (found.namespace, found.digest, found.size) == (
                    row.namespace,
                    digest_of(row.data),
                    len(row.data),
                )
                assert (found.holds_itself, found.version_count) == (is_own, row.versions)
                assert found.was_let_go == (row.was_own and not is_own)
                assert found.expires_at == (row.expires_at if is_own else None)
                assert (found.state is BlobState.ERROR) == (row.data in self.model.quarantined)

    @invariant()
    def listings_have_the_living_blobs_and_the_visible_names(self) -> None:
        now = self.desk.clock()
        for namespace in (ALICE, BOB):
            rows = self.model.blobs.items()
            living = {uuid for uuid, row in rows if row.namespace == namespace and row.lives(now)}
            assert set(self.run(self.desk.listed(namespace))) == living
            visible = [
                name for (owner, name), row in self.model.names.items() if owner == namespace and not row.hidden_at
            ]
            assert self.run(self.desk.names(namespace=namespace)) == sorted(visible)

    @invariant()
    def every_name_has_the_versions_of_the_model(self) -> None:
        for key in KEYS:
            newest = self.run(self.desk.newest(key[1], key[0]))
            info = self.run(self.desk.catalogue.name_info(*key))
            name = self.model.names.get(key)
            if name is None:
                assert (newest, info) == (None, None)
                continue
            page = self.run(self.desk.catalogue.versions(*key, 1000, None, self.desk.clock()))
            found = [VersionRow(item.number, item.created_at, item.blob and item.blob.uuid) for item in page.items]
            assert found == name.versions
            assert newest.number == name.versions[-1].number
            assert (newest.blob and newest.blob.version_count) == (
                self.model.blobs[name.versions[-1].blob].versions if name.versions[-1].blob else None
            )
            assert (info.hidden_at, info.keep_versions) == (name.hidden_at, name.keep_versions)
            at = name.versions[len(name.versions) // 2]
            assert self.run(self.desk.as_of(at.created_at, key[1], key[0])).number == at.number

    @invariant()
    def payloads_and_garbage_are_those_of_the_model(self) -> None:
        referred = {row.data for row in self.model.blobs.values()}
        garbage = {
            digest_of(data)
            for data, keep_until in self.model.payloads.items()
            if data not in referred and keep_until <= self.desk.clock()
        }
        assert self.run(self.desk.garbage()) == garbage

    @invariant()
    def kept_counts_are_those_of_a_recount(self) -> None:
        db = sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True)
        try:
            wrong = [line for recount in RECOUNTS for line in db.execute(recount)]
            kept = {Digest(digest): keep_until for digest, keep_until in db.execute(KEEP_UNTIL)}
        finally:
            db.close()
        assert wrong == []
        epoch = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
        expected = {digest_of(data): (at - epoch) // MICROSECOND for data, at in self.model.payloads.items()}
        assert kept == expected
        totals = self.run(self.desk.catalogue.totals())
        rows = self.model.blobs.values()
        assert (totals.payloads, totals.physical_bytes) == (
            len(self.model.payloads),
            sum(map(len, self.model.payloads)),
        )
        assert (totals.blobs, totals.logical_bytes) == (len(rows), sum(len(row.data) for row in rows))


KEEP_UNTIL = "SELECT digest, keep_until FROM payload"
RECOUNTS = (
    """SELECT 'payload.blob_count', id FROM payload
       WHERE blob_count <> (SELECT count(*) FROM blob WHERE payload_id = payload.id)""",
    """SELECT 'namespace.blob_count', name FROM namespace
       WHERE blob_count <> (SELECT count(*) FROM blob WHERE namespace_id = namespace.id)""",
    """SELECT 'namespace.logical_bytes', name FROM namespace
       WHERE logical_bytes <> (SELECT coalesce(sum(p.size), 0) FROM blob b JOIN payload p ON p.id = b.payload_id
                               WHERE b.namespace_id = namespace.id)""",
    """SELECT 'blob.version_count', id FROM blob
       WHERE version_count <> (SELECT count(*) FROM version WHERE blob_id = blob.id)""",
    """SELECT 'blob without a hold', id FROM blob WHERE NOT holds_itself AND version_count = 0""",
    """SELECT 'blob that let go and holds', id FROM blob WHERE let_go AND (holds_itself OR expires_at IS NOT NULL)""",
    """SELECT 'name without a blob', id FROM name
       WHERE NOT EXISTS (SELECT 1 FROM version WHERE name_id = name.id AND blob_id IS NOT NULL)""",
    """SELECT 'version of another namespace', v.id FROM version v JOIN name m ON m.id = v.name_id
       JOIN blob b ON b.id = v.blob_id WHERE b.namespace_id <> m.namespace_id""",
)


class TestCatalogueAgainstAModel(CatalogueMachine.TestCase):
    settings = settings(
        max_examples=40,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
