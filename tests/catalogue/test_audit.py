"""The audit log in the catalogue: each write tells of itself, in its own transaction; rows go by age alone."""

import asyncio
import inspect
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from casd.audit import LOCAL, Actor, AuditFilter, Deed, Entry, Result, Told, Verb, acting, verbs_like
from casd.catalogue.base import Catalogue
from casd.catalogue.reads import CatalogueReads
from casd.catalogue.sqlite import SqliteCatalogue, audit, schema
from casd.catalogue.sqlite.copying import copy_catalogue
from casd.catalogue.values import NO_GUARD
from casd.errors import Conflict, InvalidInput, StorageFailed
from casd.model import Blob, Role, Token
from tests.catalogue.plans import objections, plan
from tests.contracts.catalogue_sharing import add_key
from tests.contracts.catalogue_transfers import begin_again
from tests.contracts.desk import ALICE, BOB, NAME, Desk, every_page
from tests.contracts.oracle import receipt_of
from tests.fakes import NOW, counting_uuids

ALL = AuditFilter()
CI = Actor("ci", UUID(int=77), "writer", "192.0.2.7", "native", "r1")


@pytest.fixture
async def desk(path: Path) -> AsyncIterator[Desk]:
    """Its catalogue goes by its clock."""
    desk = Desk(None)  # type: ignore[arg-type]  # the catalogue needs the clock first
    desk.catalogue = await SqliteCatalogue.open(path, counting_uuids(), payloads_exist=False, now=desk.clock)
    await desk.open()
    yield desk
    await desk.catalogue.close()


async def entries(desk: Desk, only: AuditFilter = ALL) -> list[Entry]:
    """Newest first."""
    return list((await desk.catalogue.audit(only, 1000, None)).items)


async def deeds_of(desk: Desk, work: Coroutine[Any, Any, object]) -> list[Deed]:
    """What is told of it, in its order."""
    known = len(await entries(desk))
    await work
    return [entry.told.deed for entry in (await entries(desk))[: -known or None][::-1]]


async def token(desk: Desk) -> Token:
    made = Token(desk.new_uuid(), "node", Role.READER, (ALICE,), desk.clock(), None)
    await desk.catalogue.add_token(made, made.uuid.bytes)
    return made


# -- each operation -----------------------------------------------------------------------------------------------

SILENT = {  # what changes nothing that anybody did to a thing
    "set_upload_offset": "progress; the upload is told when it begins, and when it becomes a blob or is let go",
    "set_upload_size": "progress",
    "add_upload_part": "progress",
    "remove_upload_part": "progress",
    "forget_payload": "bytes that nothing refers to; the run that collected them is told",
    "keep_payload": "a lease",
    "keep_held": "a lease",
    "renew_pin": "a sign of life",
    "tokens_used": "who asks for nothing leaves no row",
    "set_checked": "what scrub found right",
    "set_good": "what scrub found right; that it was damaged before is told as set_quarantined",
    "heal": "told by whoever stores the bytes again",
    "record": "is the log itself",
    "forget_audit": "is the log itself",
    "close": "changes nothing",
    "check": "changes nothing",
    "upload_totals": "a look",
    "expirable": "a look",
    "unreferenced": "a look",
    "unreferenced_totals": "a look",
    "payload_states": "a look",
    "known_payloads": "a look",
    "pinned_until": "a look",
    "totals": "a look",
    "use": "a look",
    "spared": "a look",
    "check_writer": "a look",
    "workings": "a look",
    "audit": "a look",
}


def verbs(deeds: list[Deed]) -> list[Verb]:
    return [deed.verb for deed in deeds]


async def test_blobs_tell(desk: Desk) -> None:
    catalogue, later = desk.catalogue, desk.keep_until
    (made,) = await deeds_of(desk, desk.add())
    uuid = made.blob
    assert uuid is not None
    assert made == Deed(Verb.BLOB_CREATE, ALICE, blob=uuid)
    copied = await deeds_of(desk, catalogue.copy_blob(uuid, desk.new_blob(BOB), desk.clock(), later))
    assert (copied[0].verb, copied[0].namespace, copied[0].note) == (Verb.BLOB_CREATE, BOB, f"of the bytes of {uuid}")
    (told,) = await deeds_of(desk, catalogue.set_metadata(uuid, "k", "secret", 1000, desk.clock()))
    assert told == Deed(Verb.METADATA_SET, ALICE, blob=uuid, note="key k")  # never the value
    (told,) = await deeds_of(desk, catalogue.delete_metadata(uuid, "k", desk.clock()))
    assert told == Deed(Verb.METADATA_DELETE, ALICE, blob=uuid, note="key k")
    (told,) = await deeds_of(desk, catalogue.drop_own_hold(uuid, desk.clock(), later))
    assert told == Deed(Verb.BLOB_DELETE, ALICE, blob=uuid)


async def test_names_tell(desk: Desk) -> None:
    catalogue, now, later = desk.catalogue, desk.clock(), desk.keep_until

    def of(verb: Verb, version: int | None, blob: Blob | None = None, note: str | None = None) -> Deed:
        return Deed(verb, ALICE, NAME, version, None if blob is None else blob.uuid, note=note)

    (told,) = await deeds_of(desk, desk.publish())
    first = (await desk.catalogue.version(ALICE, NAME)).blob  # type: ignore[union-attr]  # it was just made
    assert told == of(Verb.NAME_PUBLISH, 1, first)
    other = await desk.add(namespace=BOB)
    (told,) = await deeds_of(desk, desk.bind(other))
    second = (await desk.catalogue.version(ALICE, NAME)).blob  # type: ignore[union-attr]
    assert told == of(Verb.NAME_BIND, 2, second, f"of blob {other.uuid}")
    assert await deeds_of(desk, desk.hide()) == [of(Verb.NAME_HIDE, 3)]
    told_twice = await deeds_of(desk, desk.undelete())
    assert told_twice == [of(Verb.VERSION_REMOVE, 3), of(Verb.NAME_UNDELETE, 2, second)]
    assert await deeds_of(desk, desk.remove(1)) == [of(Verb.VERSION_REMOVE, 1, first)]
    assert second is not None
    assert verbs(await deeds_of(desk, catalogue.withdraw(second.uuid, None, now, later))) == [Verb.VERSION_REMOVE]
    await desk.publish()
    for is_protected, note in ((True, "protected"), (False, "unprotected")):
        (told,) = await deeds_of(desk, catalogue.update_name(ALICE, NAME, {"protected": is_protected}))
        assert told == of(Verb.NAME_SETTINGS, None, note=note)
    secrets = {"source_url": "https://x/?key=geheim", "metadata": {"k": "geheim"}}  # never their values
    (told,) = await deeds_of(
        desk, catalogue.update_name(ALICE, NAME, {"shared": True, "keep_versions": None} | secrets)
    )
    assert told == of(Verb.NAME_SETTINGS, None, note="keep_versions=null, metadata, shared=true, source_url")
    newest = (await catalogue.version(ALICE, NAME)).number  # type: ignore[union-attr]
    for is_protected, note in ((True, "protected"), (False, "unprotected")):
        (told,) = await deeds_of(desk, catalogue.protect_version(ALICE, NAME, newest, is_protected))
        assert told == of(Verb.NAME_SETTINGS, newest, note=note)
    assert verbs(await deeds_of(desk, catalogue.limit_versions(ALICE, NAME, 1, now, later))) == [Verb.NAME_SETTINGS]
    (told,) = await deeds_of(desk, catalogue.set_name_metadata(ALICE, NAME, "k", 1, 1000))
    assert told == of(Verb.METADATA_SET, None, note="key k")
    (told,) = await deeds_of(desk, catalogue.delete_name_metadata(ALICE, NAME, "k"))
    assert told == of(Verb.METADATA_DELETE, None, note="key k")
    renamed = await deeds_of(desk, catalogue.rename_name(ALICE, NAME, "other"))
    assert [(deed.verb, deed.name, deed.note) for deed in renamed] == [
        (Verb.NAME_RENAME, NAME, "to other"),
        (Verb.NAME_RENAME, "other", f"from {NAME}"),
    ]
    assert verbs(await deeds_of(desk, desk.purge("other"))) == [Verb.VERSION_REMOVE, Verb.NAME_PURGE]


async def test_accounts_and_keys_tell(desk: Desk) -> None:
    catalogue, now = desk.catalogue, desk.clock()
    assert await deeds_of(desk, catalogue.ensure_namespace("new", now)) == [
        Deed(Verb.NAMESPACE_SET, "new", note="made")
    ]
    assert await deeds_of(desk, catalogue.ensure_namespace("new", now)) == []
    (told,) = await deeds_of(desk, catalogue.update_namespace("new", {"quota_bytes": 7, "readers": ["x"]}, now))
    assert told == Deed(Verb.NAMESPACE_SET, "new", note="quota_bytes=7, readers")
    (told,) = await deeds_of(desk, token(desk))
    assert (told.verb, told.note) == (Verb.TOKEN_CREATE, f"node: reader of {ALICE}")
    assert told.subject is not None
    uuid = UUID(told.subject.removeprefix("token "))
    (told,) = await deeds_of(desk, catalogue.rotate_token(uuid, b"new", now, now, {}))
    assert told == Deed(Verb.TOKEN_ROTATE, subject=f"token {uuid}", note="node")
    (told,) = await deeds_of(desk, catalogue.revoke_token(uuid, now))
    assert told == Deed(Verb.TOKEN_REVOKE, subject=f"token {uuid}", note="node")
    assert await deeds_of(desk, catalogue.revoke_token(uuid, now)) == []
    keyed = await deeds_of(desk, add_key(desk))
    assert verbs(keyed) == [Verb.TOKEN_CREATE, Verb.NAMED_KEY_SET]
    keyed = await deeds_of(desk, catalogue.remove_named_key(ALICE, "door", now))
    assert verbs(keyed) == [Verb.TOKEN_REVOKE, Verb.NAMED_KEY_DELETE]
    (told,) = await deeds_of(desk, catalogue.add_signing_key(b"s" * 32, now))
    assert (told.verb, told.subject) == (Verb.SIGNING_KEY_CREATE, "signing key 1")
    signing = await deeds_of(desk, catalogue.add_signing_key(b"t" * 32, now, revoke_older=True))
    assert verbs(signing) == [Verb.SIGNING_KEY_RETIRE, Verb.SIGNING_KEY_CREATE]
    await catalogue.add_signing_key(b"u" * 32, now)
    (told,) = await deeds_of(desk, catalogue.retire_signing_key(2))
    assert told == Deed(Verb.SIGNING_KEY_RETIRE, subject="signing key 2")
    await catalogue.add_signing_key(b"v" * 32, now)
    later = now + timedelta(days=1)
    assert verbs(await deeds_of(desk, catalogue.expire_credentials(later, later))) == [Verb.SIGNING_KEY_RETIRE]


async def test_uploads_and_backups_tell(desk: Desk) -> None:
    catalogue, now, later = desk.catalogue, desk.clock(), desk.keep_until
    (told,) = await deeds_of(desk, begin_again(desk, name="n"))
    assert (told.verb, told.namespace, told.name) == (Verb.UPLOAD_CREATE, ALICE, "n")
    assert told.subject is not None
    upload = UUID(told.subject.removeprefix("upload "))
    (told,) = await deeds_of(desk, catalogue.remove_upload(upload))
    assert told == Deed(Verb.UPLOAD_DELETE, ALICE, "n", subject=f"upload {upload}")
    pin = desk.new_uuid()
    (told,) = await deeds_of(desk, catalogue.pin_payloads(pin, later, now))
    assert told == Deed(Verb.BACKUP_BEGIN, subject=f"backup {pin}")
    (told,) = await deeds_of(desk, catalogue.unpin_payloads(pin))
    assert told == Deed(Verb.BACKUP_END, subject=f"backup {pin}")


async def test_upkeep_tells_what_it_ended(desk: Desk) -> None:
    blob = await desk.add(expires_in_s=1)
    await desk.publish(name="hidden")
    await desk.hide("hidden")
    ended = await token(desk)
    await desk.catalogue.revoke_token(ended.uuid, desk.clock())
    await desk.publish(data=b"one")
    await desk.publish(data=b"two")
    await desk.catalogue.update_namespace(ALICE, {"keep_versions": 1}, desk.clock())
    desk.clock.move(days=40)

    told = await deeds_of(desk, desk.expire())
    kept = await deeds_of(desk, desk.retain())
    digest = blob.digest
    marked = await deeds_of(desk, desk.catalogue.set_quarantined(digest, desk.clock()))

    assert told[0] == Deed(Verb.BLOB_EXPIRE, ALICE, blob=blob.uuid)
    again = await desk.add(expires_in_s=1)
    desk.clock.move(days=1)
    ended_now = await deeds_of(desk, desk.catalogue.expire_in(ALICE, desk.clock(), desk.keep_until))
    assert ended_now == [Deed(Verb.BLOB_EXPIRE, ALICE, blob=again.uuid)]
    assert verbs(told[1:]) == [Verb.VERSION_REMOVE, Verb.VERSION_REMOVE, Verb.NAME_PURGE, Verb.TOKEN_FORGET]
    assert [(deed.verb, deed.name, deed.version, deed.note) for deed in kept] == [
        (Verb.VERSION_REMOVE, NAME, 1, "retention")
    ]
    assert marked == [Deed(Verb.PAYLOAD_QUARANTINE, subject=f"sha512 {digest.hex}")]


def test_each_operation_tells_or_is_silent_for_a_reason() -> None:
    """Which operations tell is what the tests above call; a new one must be called there, or be listed as silent."""
    looks = {name for name in dir(CatalogueReads) if not name.startswith("_")}
    known = {name for name in dir(Catalogue) if inspect.iscoroutinefunction(getattr(Catalogue, name))} - looks
    source = Path(__file__).read_text() + Path(__file__).parent.parent.joinpath("contracts/desk.py").read_text()
    called = {name for name in known if f"catalogue.{name}(" in source or f"catalogue.{name}," in source}

    assert SILENT.keys() <= known
    assert known - SILENT.keys() <= called | {"set_named_key", "add_upload"}  # by `add_key` and `begin_again`


# -- who, when, and only with the change --------------------------------------------------------------------------


async def test_a_row_says_who_acted_from_where_and_when(desk: Desk) -> None:
    with acting(CI):
        await desk.publish()

    (entry,) = await entries(desk, AuditFilter(verbs=frozenset({Verb.NAME_PUBLISH})))
    assert (entry.told.actor, entry.told.at, entry.told.result, entry.told.count) == (CI, NOW, Result.DONE, 1) or (
        entry.told.at - NOW < timedelta(milliseconds=1)  # rows of one moment follow each other
    )
    assert [entry.told.actor for entry in await entries(desk, AuditFilter(namespace=BOB))] == [LOCAL]


async def test_what_fails_leaves_no_row(desk: Desk) -> None:
    blob = await desk.add()
    version = await desk.bind(blob)
    await desk.drop(blob)

    with pytest.raises(Conflict):  # versions are all it has
        await desk.drop(blob)

    told = [deed.verb for deed in [entry.told.deed for entry in await entries(desk)][:2]]
    assert told == [Verb.BLOB_DELETE, Verb.NAME_BIND]
    assert version.number == 1


async def test_a_change_whose_row_cannot_be_written_does_not_happen(desk: Desk, path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TRIGGER no BEFORE INSERT ON audit BEGIN SELECT raise(ABORT, 'no'); END")
        db.commit()

    with pytest.raises(StorageFailed, match="no"):
        await desk.publish()

    assert await desk.newest() is None


async def test_without_a_log_nothing_is_told(path: Path) -> None:
    catalogue = await SqliteCatalogue.open(path, counting_uuids(), payloads_exist=False, is_audited=False)
    desk = await Desk(catalogue).open()
    await desk.publish()

    assert await entries(desk) == []
    await catalogue.close()


async def test_a_backups_copy_of_the_catalogue_has_the_log(desk: Desk, path: Path, tmp_path: Path) -> None:
    await desk.publish()
    copy = tmp_path / "copy.sqlite3"
    await asyncio.to_thread(copy_catalogue, path, copy, lambda: None)

    restored = await SqliteCatalogue.open(copy, counting_uuids(), payloads_exist=True)

    assert (await restored.audit(ALL, 1000, None)).items == tuple(await entries(desk))
    await restored.close()


async def test_rows_never_run_backwards(desk: Desk) -> None:
    await desk.add()
    desk.clock.move(days=-1)
    await desk.add()

    found = [entry.id for entry in await entries(desk)]

    assert found == sorted(set(found), reverse=True)


async def test_what_is_told_late_stands_at_its_own_time(desk: Desk) -> None:
    await desk.add()
    before = await entries(desk)
    refused = Told(NOW, CI, Deed(Verb.ACCESS_DENIED), Result.DENIED, "forbidden")
    later = [replace(refused, at=NOW + timedelta(seconds=1)) for _ in range(3)]
    desk.clock.move(seconds=2)
    await desk.add()
    await desk.catalogue.record([refused, *later])
    await desk.catalogue.record(later[:1])

    found = await entries(desk)

    late = [entry.told.at - NOW for entry in found if entry.told.result is Result.DENIED]
    assert found[0].told.at >= NOW + timedelta(seconds=2)
    assert late == [
        *(timedelta(seconds=1, microseconds=taken) for taken in (3, 2, 1, 0)),
        timedelta(microseconds=len(before)),  # those are at NOW, and just after it
    ]
    assert await every_page(lambda limit, after: desk.catalogue.audit(ALL, limit, after)) == found
    assert await desk.catalogue.forget_audit(NOW + timedelta(seconds=2), 100) == len(before) + 5


# -- append-only --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("UPDATE audit SET principal = 'nobody'", "not rewritten"),
        ("DELETE FROM audit", "old end alone"),
        ("DELETE FROM audit WHERE at = (SELECT max(at) FROM audit)", "old end alone"),
        ("DELETE FROM audit WHERE action = 'blob.create'", "old end alone"),
        ("INSERT OR REPLACE INTO audit SELECT * FROM audit ORDER BY at DESC LIMIT 1", "old end alone"),
    ],
)
async def test_rows_are_not_rewritten_and_go_from_the_old_end_alone(
    desk: Desk, path: Path, sql: str, said: str
) -> None:
    await desk.add()
    before = await entries(desk)

    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA recursive_triggers = ON")  # or REPLACE would not ask
        with pytest.raises(sqlite3.Error, match=said):
            db.execute(sql)

    assert await entries(desk) == before


async def test_old_rows_go_a_batch_at_a_time_and_the_newest_stays(desk: Desk) -> None:
    for _ in range(4):
        await desk.add()
    desk.clock.move(days=1)
    kept = (await entries(desk))[0]

    assert await desk.catalogue.forget_audit(desk.clock() - timedelta(days=2), 100) == 0
    assert await desk.catalogue.forget_audit(desk.clock(), 3) == 3
    assert await desk.catalogue.forget_audit(desk.clock(), 100) == 2
    assert await desk.catalogue.forget_audit(desk.clock(), 100) == 0
    assert await entries(desk) == [kept]


# -- reading ------------------------------------------------------------------------------------------------------


async def test_each_filter_finds_its_rows_newest_first_and_page_by_page(desk: Desk) -> None:
    other = Actor("other", UUID(int=78), "admin", "192.0.2.8")
    for number, who in enumerate([CI, other, CI, other, CI]):
        with acting(who):
            desk.clock.move(seconds=1)
            await desk.publish(name=f"n{number % 2}", data=b"%d" % number)
            await desk.add(namespace=BOB)
    blob = (await desk.newest("n1")).blob  # type: ignore[union-attr]  # it was published
    assert blob is not None
    everything = await entries(desk)
    filters: dict[str, tuple[AuditFilter, Callable[[Told], bool]]] = {
        "principal": (AuditFilter(principal="ci"), lambda told: told.actor.principal == "ci"),
        "token": (AuditFilter(token=UUID(int=78)), lambda told: told.actor.token == UUID(int=78)),
        "address": (AuditFilter(address="192.0.2.8"), lambda told: told.actor.address == "192.0.2.8"),
        "verb": (AuditFilter(verbs=frozenset({Verb.BLOB_CREATE})), lambda told: told.deed.verb is Verb.BLOB_CREATE),
        "verbs": (AuditFilter(verbs=verbs_like("name.")), lambda told: told.deed.verb.startswith("name.")),
        "many": (
            AuditFilter(verbs=verbs_like("name.") | verbs_like("blob.")),
            lambda told: told.deed.verb.startswith(("name.", "blob.")),
        ),
        "none": (AuditFilter(verbs=frozenset()), lambda told: False),
        "namespace": (AuditFilter(namespace=BOB), lambda told: told.deed.namespace == BOB),
        "name": (AuditFilter(namespace=ALICE, name="n1"), lambda told: told.deed.name == "n1"),
        "blob": (AuditFilter(blob=blob.uuid), lambda told: told.deed.blob == blob.uuid),
        "since": (AuditFilter(since=NOW + timedelta(seconds=3)), lambda told: told.at >= NOW + timedelta(seconds=3)),
        "until": (AuditFilter(until=NOW + timedelta(seconds=3)), lambda told: told.at < NOW + timedelta(seconds=3)),
        "all": (
            AuditFilter(
                principal="other", namespace=ALICE, verbs=verbs_like("name."), until=NOW + timedelta(seconds=4)
            ),
            lambda told: (
                told.actor is not CI
                and told.actor.principal == "other"
                and told.deed.verb.startswith("name.")
                and told.at < NOW + timedelta(seconds=4)
            ),
        ),
    }
    for label, (only, holds) in filters.items():
        expected = [entry for entry in everything if holds(entry.told)]
        assert (expected != []) == (label != "none"), label
        assert await every_page(lambda limit, after, only=only: desk.catalogue.audit(only, limit, after)) == expected
    with pytest.raises(InvalidInput):
        await desk.catalogue.audit(ALL, 2, b"short")


FILTERS = [
    AuditFilter(),
    AuditFilter(since=NOW, until=NOW),
    AuditFilter(principal="ci"),
    AuditFilter(token=UUID(int=1)),
    AuditFilter(address="a"),
    AuditFilter(verbs=frozenset({Verb.BLOB_CREATE})),
    AuditFilter(verbs=verbs_like("name.")),
    AuditFilter(namespace="a"),
    AuditFilter(namespace="a", name="n"),
    AuditFilter(blob=UUID(int=1)),
    AuditFilter(subject="token x"),
    AuditFilter(principal="ci", verbs=verbs_like("name."), since=NOW, namespace="a", blob=UUID(int=1)),
]
SORTS_A_PAGE_OF_EACH_VERB = {"UNION ALL": "each verb's rows are a range in order; a page of each is merged"}


@pytest.mark.parametrize("only", FILTERS, ids=[str(number) for number in range(len(FILTERS))])
def test_each_filter_is_a_range_of_an_index(tmp_path: Path, only: AuditFilter) -> None:
    path = tmp_path / "catalogue.sqlite3"
    schema.open_writer(path, payloads_exist=False).close()
    sql, values = audit.page(only, 100, audit.ALL)

    lines = plan(path, sql, values)

    assert objections(sql, lines, SORTS_A_PAGE_OF_EACH_VERB) == []
    searches = [line for line in lines if line.startswith("SEARCH audit")]
    assert searches
    assert all("INTEGER PRIMARY KEY" in line or "USING INDEX" in line for line in searches)
    if only.blob is not None:
        assert "audit_blob" in searches[0]


async def test_a_page_costs_the_same_in_a_long_log(path: Path, desk: Desk) -> None:
    """Steps of SQLite's machine, which do not depend on how busy the computer is."""
    with acting(CI):
        await desk.catalogue.record(
            [Told(NOW, CI, Deed(Verb.BLOB_CREATE, ALICE, blob=UUID(int=number))) for number in range(20_000)]
        )
    for only in (AuditFilter(principal="ci"), AuditFilter(verbs=verbs_like("blob.")), AuditFilter(blob=UUID(int=7))):
        sql, values = audit.page(only, 101, audit.ALL)
        steps = 0

        def count() -> int:
            nonlocal steps
            steps += 100
            return 0

        with closing(sqlite3.connect(path)) as db:
            db.set_progress_handler(count, 100)
            db.execute(sql, values).fetchall()
        assert steps < 15_000, only  # 20,000 rows would take half a million


def test_only_known_verbs_and_their_beginnings_stand_for_verbs() -> None:
    assert verbs_like("token.revoke") == {Verb.TOKEN_REVOKE}
    assert verbs_like("token.") == {Verb.TOKEN_CREATE, Verb.TOKEN_ROTATE, Verb.TOKEN_REVOKE, Verb.TOKEN_FORGET}
    assert verbs_like("token") == verbs_like("") == verbs_like(".") == frozenset()


async def test_a_crash_keeps_change_and_row_or_neither(desk: Desk) -> None:
    """What committed together is read together, also where several operations share one commit."""
    new = desk.new_blob()
    await desk.catalogue.publish(new, receipt_of(b"x"), NAME, NO_GUARD, "ci", desk.clock(), desk.keep_until)

    (entry,) = await entries(desk, AuditFilter(blob=new.uuid))

    assert entry.told.deed.version == 1
