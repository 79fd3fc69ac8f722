"""What the writes of every catalogue must do. How holds, markers and numbers play together: `test_data_model.py`."""

import asyncio
from collections.abc import Awaitable, Collection
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from casd.catalogue.values import BlobFilter
from casd.errors import (
    BlobNotFound,
    CasdError,
    Conflict,
    InvalidInput,
    MetadataKeyNotFound,
    NameNotFound,
    NamespaceNotFound,
    PinNotFound,
    PreconditionFailed,
    TokenNotFound,
    TooLarge,
    VersionNotFound,
)
from casd.model import BlobState, Guard, NameInfo, Namespace, Role
from tests.contracts.catalogue_reading import ABSENT, token_of
from tests.contracts.desk import ALICE, BOB, GRACE, NAME, Desk
from tests.contracts.oracle import checksum_of, digest_of, receipt_of, some_bytes

ABC = digest_of(b"abc")


async def outcome(call: Awaitable[Any]) -> type[Exception] | None:
    """The class of the error, None if there was none."""
    try:
        await call
    except CasdError as error:
        return type(error)
    return None


class WriteContract:
    """Subclasses give the fixture `desk`."""

    # -- blobs --------------------------------------------------------------------------------------------

    async def test_nothing_is_added_to_an_absent_namespace(self, desk: Desk) -> None:
        blob = await desk.add()

        for call in (desk.add(namespace="nobody"), desk.publish(namespace="nobody"), desk.bind(blob, NAME, "nobody")):
            with pytest.raises(NamespaceNotFound):
                await call

        assert (await desk.catalogue.totals()).blobs == 1

    async def test_a_uuid_is_taken_once(self, desk: Desk) -> None:
        new = desk.new_blob()
        await desk.catalogue.add_blob(new, receipt_of(b"one"), desk.clock(), desk.keep_until)

        with pytest.raises(CasdError):
            await desk.catalogue.add_blob(new, receipt_of(b"two"), desk.clock(), desk.keep_until)

        assert (await desk.blob(new.uuid)).digest == digest_of(b"one")
        assert await desk.catalogue.known_payloads([digest_of(b"two")]) == set()

    async def test_dropping_the_only_hold_ends_the_blob(self, desk: Desk) -> None:
        blob = await desk.add()

        assert await desk.drop(blob) is None

        assert await desk.blob(blob.uuid) is None
        with pytest.raises(BlobNotFound):
            await desk.drop(blob)

    async def test_dropping_the_hold_of_an_expired_blob_finds_none(self, desk: Desk) -> None:
        blob = await desk.add(expires_in_s=60)
        desk.clock.move(seconds=60)

        with pytest.raises(BlobNotFound):
            await desk.drop(blob)

    # -- metadata of blobs --------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "value", [None, True, 0, -(1 << 53), 1.5, "", "ü\u2028", [], {}, [[{"a": [None]}]], "x" * 70_000]
    )
    async def test_metadata_keeps_any_json_value(self, desk: Desk, value: Any) -> None:
        blob = await desk.add()

        await desk.set_metadata(blob, "ключ", value)

        assert (await desk.catalogue.view(blob.uuid, desk.clock())).metadata == {"ключ": value}

    async def test_metadata_is_replaced_key_by_key(self, desk: Desk) -> None:
        blob = await desk.add()
        await desk.set_metadata(blob, "a", 1)
        await desk.set_metadata(blob, "b", 2)

        await desk.set_metadata(blob, "a", 3)
        await desk.catalogue.delete_metadata(blob.uuid, "b", desk.clock())

        assert (await desk.catalogue.view(blob.uuid, desk.clock())).metadata == {"a": 3}

    async def test_metadata_is_limited_by_the_bytes_of_all_its_keys_and_values(self, desk: Desk) -> None:
        blob = await desk.add()
        await desk.set_metadata(blob, "a", "xyz", limit_bytes=6)  # a"xyz"

        assert await outcome(desk.set_metadata(blob, "b", 12, limit_bytes=8)) is TooLarge
        assert await outcome(desk.set_metadata(blob, "b", 12, limit_bytes=9)) is None
        assert await outcome(desk.set_metadata(blob, "a", "ü", limit_bytes=8)) is None  # replaces xyz; ü has two bytes
        assert await outcome(desk.set_metadata(blob, "a", "üü", limit_bytes=9)) is TooLarge
        assert (await desk.catalogue.view(blob.uuid, desk.clock())).metadata == {"a": "ü", "b": 12}

    async def test_metadata_of_what_is_not_there_is_not_found(self, desk: Desk) -> None:
        blob = await desk.add()
        gone = await desk.add(expires_in_s=1)
        desk.clock.move(seconds=1)
        catalogue, now = desk.catalogue, desk.clock()

        for uuid in (ABSENT, gone.uuid):
            assert await outcome(catalogue.set_metadata(uuid, "k", 1, 100, now)) is BlobNotFound
            assert await outcome(catalogue.delete_metadata(uuid, "k", now)) is BlobNotFound
        assert await outcome(catalogue.delete_metadata(blob.uuid, "k", now)) is MetadataKeyNotFound

    async def test_metadata_goes_with_its_blob(self, desk: Desk) -> None:
        blob = await desk.add()
        await desk.set_metadata(blob, "k", "v")

        await desk.drop(blob)

        assert await desk.listed(only=BlobFilter(metadata=(("k", "v"),))) == []

    # -- names --------------------------------------------------------------------------------------------

    async def test_a_publish_makes_a_blob_that_only_its_version_holds(self, desk: Desk) -> None:
        version = await desk.publish(data=b"abc", filename="f", content_type="image/png", by="a token")

        blob = version.blob
        assert (version.namespace, version.name, version.number) == (ALICE, NAME, 1)
        assert (version.created_at, version.published_by) == (desk.clock(), "a token")
        assert (blob.holds_itself, blob.was_let_go, blob.version_count, blob.expires_at) == (False, False, 1, None)
        assert (blob.digest, blob.size, blob.content_type, blob.filename) == (ABC, 3, "image/png", "f")
        assert await desk.blob(blob.uuid) == blob

    async def test_a_version_holds_its_blob_beyond_any_expiry(self, desk: Desk) -> None:
        version = await desk.publish(expires_in_s=60)
        desk.clock.move(days=1)
        await desk.expire()

        assert version.blob.expires_at is None
        assert await desk.blob(version.blob.uuid) == version.blob

    async def test_what_is_not_there_cannot_be_bound(self, desk: Desk) -> None:
        blob = await desk.add(expires_in_s=60)
        await desk.drop(dropped := await desk.add())
        desk.clock.move(seconds=60)

        for gone in (blob, dropped):
            with pytest.raises(BlobNotFound):
                await desk.bind(gone)

        assert await desk.newest() is None

    @pytest.mark.parametrize("concurrent", [64])
    async def test_concurrent_publishes_are_numbered_without_a_gap(self, desk: Desk, concurrent: int) -> None:
        versions = await asyncio.gather(*(desk.publish(data=str(number).encode()) for number in range(concurrent)))

        assert sorted(version.number for version in versions) == list(range(1, concurrent + 1))
        assert await desk.numbers() == list(range(1, concurrent + 1))
        in_order = sorted(versions, key=lambda version: version.number)
        assert [version.created_at for version in in_order] == sorted({version.created_at for version in versions})

    GUARDS = [
        (Guard(match=frozenset({ABC})), {"same": None, "other": PreconditionFailed, "absent": PreconditionFailed}),
        (Guard(match_any=True), {"same": None, "other": None, "absent": PreconditionFailed}),
        (Guard(none_match=frozenset({ABC})), {"same": PreconditionFailed, "other": None, "absent": None}),
        (Guard(none_match_any=True), {"same": PreconditionFailed, "other": PreconditionFailed, "absent": None}),
        (Guard(), {"same": None, "other": None, "absent": None}),
    ]

    @pytest.mark.parametrize("state", ["same", "other", "absent", "hidden"])
    @pytest.mark.parametrize(
        ("guard", "outcomes"), GUARDS, ids=["match", "match_any", "none_match", "none_any", "none"]
    )
    async def test_a_guard_is_judged_against_the_newest_version(
        self, desk: Desk, guard: Guard, outcomes: dict[str, Any], state: str
    ) -> None:
        bound = await desk.add()
        if state != "absent":
            await desk.publish(data=b"other" if state == "other" else b"abc")
        if state == "hidden":
            await desk.hide()
        expected = outcomes["absent" if state == "hidden" else state]
        before = await desk.newest()

        assert await outcome(desk.publish(data=b"new", guard=guard)) is expected
        if expected is not None:
            assert await desk.newest() == before
            assert await desk.catalogue.known_payloads([digest_of(b"new")]) == set()
            assert await outcome(desk.bind(bound, guard=guard)) is expected
            assert await desk.newest() == before

    async def test_a_guard_is_judged_in_the_transaction(self, desk: Desk) -> None:
        """Of many that saw the same state, one wins."""
        await desk.publish(data=b"abc")
        guard = Guard(match=frozenset({ABC}))

        outcomes = await asyncio.gather(
            *(outcome(desk.publish(data=str(number).encode(), guard=guard)) for number in range(20))
        )

        assert sorted(outcomes, key=str) == [PreconditionFailed] * 19 + [None]
        assert await desk.numbers() == [1, 2]

    async def test_hiding_is_guarded_too(self, desk: Desk) -> None:
        await desk.publish(data=b"abc")

        assert await outcome(desk.hide(guard=Guard(match=frozenset({digest_of(b"old")})))) is PreconditionFailed
        assert await outcome(desk.hide(guard=Guard(match=frozenset({ABC})))) is None

    async def test_a_removal_is_guarded_by_what_it_removes(self, desk: Desk) -> None:
        await desk.publish(data=b"old")
        await desk.publish(data=b"abc")
        old, new = Guard(match=frozenset({digest_of(b"old")})), Guard(match=frozenset({ABC}))

        assert await outcome(desk.purge(guard=old)) is PreconditionFailed
        assert await outcome(desk.remove(1, guard=new)) is PreconditionFailed
        assert await desk.numbers() == [1, 2]
        assert await outcome(desk.remove(1, guard=old)) is None
        assert await outcome(desk.purge(guard=new)) is None

    async def test_names_and_versions_that_are_not_there_are_not_found(self, desk: Desk) -> None:
        catalogue, now, keep = desk.catalogue, desk.clock(), desk.keep_until
        await desk.publish("there")

        assert await outcome(desk.hide()) is NameNotFound
        assert await outcome(desk.undelete()) is NameNotFound
        assert await outcome(desk.purge()) is NameNotFound
        assert await outcome(desk.remove(1)) is VersionNotFound
        assert await outcome(desk.remove(2, "there")) is VersionNotFound
        assert await outcome(catalogue.update_name(ALICE, NAME, {"shared": True})) is NameNotFound
        assert await outcome(catalogue.purge_name("nobody", NAME, now, keep)) is NameNotFound
        assert await outcome(desk.undelete("there")) is Conflict

    async def test_a_name_is_made_with_its_first_version(self, desk: Desk) -> None:
        await desk.publish()

        info = await desk.catalogue.name_info(ALICE, NAME)

        assert info == NameInfo(
            uuid=info.uuid,
            namespace=ALICE,
            name=NAME,
            metadata={},
            shared=False,
            protected=False,
            keep_versions=None,
            source_url=None,
            created_at=desk.clock(),
            hidden_at=None,
        )

    async def test_what_belongs_to_a_name_is_changed_field_by_field(self, desk: Desk) -> None:
        await desk.publish()
        update = desk.catalogue.update_name
        await update(ALICE, NAME, {"metadata": {"old": 1}, "protected": True})

        info = await update(
            ALICE, NAME, {"shared": True, "keep_versions": 3, "source_url": "http://x", "metadata": {"a": [1]}}
        )

        assert (info.shared, info.protected, info.keep_versions, info.source_url) == (True, True, 3, "http://x")
        assert info.metadata == {"a": [1]}
        assert info == await desk.catalogue.name_info(ALICE, NAME)
        assert (await update(ALICE, NAME, {"keep_versions": None})).keep_versions is None

    async def test_a_name_that_is_not_as_expected_is_not_changed(self, desk: Desk) -> None:
        await desk.publish()
        update = desk.catalogue.update_name
        before = await update(ALICE, NAME, {"metadata": {"a": 1}, "shared": True})
        asked: list[NameInfo] = []

        def refuse(info: NameInfo) -> bool:
            asked.append(info)
            return False

        assert await outcome(update(ALICE, NAME, {"metadata": {}, "shared": False}, refuse)) is PreconditionFailed
        assert await outcome(update(ALICE, "absent", {"shared": False}, refuse)) is NameNotFound

        assert asked == [before]
        assert await desk.catalogue.name_info(ALICE, NAME) == before
        assert (await update(ALICE, NAME, {"shared": False}, lambda info: info.shared)).shared is False

    async def test_a_field_that_a_name_does_not_have_is_refused(self, desk: Desk) -> None:
        await desk.publish()

        assert await outcome(desk.catalogue.update_name(ALICE, NAME, {"uuid": 1})) is InvalidInput
        assert await outcome(desk.catalogue.update_namespace(ALICE, {"name": "x"}, desk.clock())) is InvalidInput

    @pytest.mark.parametrize("name", ["a", "with space +&%#?", "ä/日本/\U0001f600", "x" * 1024, "a'b\"c", "%2F"])
    async def test_names_are_kept_as_they_are(self, desk: Desk, name: str) -> None:
        await desk.publish(name)

        assert await desk.names() == [name]
        assert (await desk.newest(name)).name == name

    # -- namespaces and tokens ----------------------------------------------------------------------------

    async def test_a_namespace_is_made_once_and_keeps_its_rules(self, desk: Desk) -> None:
        await desk.catalogue.update_namespace("new", {"keep_versions": 2}, desk.clock())

        assert await desk.catalogue.ensure_namespace("new", desk.clock()) == Namespace("new", keep_versions=2)

    async def test_the_rules_of_a_namespace_are_changed_field_by_field_and_set_back_by_none(self, desk: Desk) -> None:
        rules = {
            "readers": frozenset({"*", BOB}),
            "anonymous_read": True,
            "share_by_uuid": False,
            "quota_bytes": 1 << 60,
            "quota_blobs": 5,
            "keep_versions": 2,
            "max_age_s": 60,
        }
        update = desk.catalogue.update_namespace

        assert await update(ALICE, rules, desk.clock()) == Namespace(ALICE, **rules)
        assert (await update(ALICE, {"readers": []}, desk.clock())).readers == frozenset()
        changed = await update(ALICE, {"quota_bytes": None, "share_by_uuid": None}, desk.clock())
        assert (changed.quota_bytes, changed.share_by_uuid, changed.quota_blobs) == (None, None, 5)
        assert await desk.catalogue.namespace(ALICE) == changed

    async def test_a_token_is_found_by_its_secrets_hash_with_its_namespaces_in_order(self, desk: Desk) -> None:
        token = token_of(1, role=Role.ADMIN, namespaces=("zoo", ALICE, "new"), expires_at=desk.clock())

        await desk.catalogue.add_token(token, b"h" * 32)

        assert await desk.catalogue.token(b"h" * 32) == token
        assert (await desk.catalogue.namespace("zoo")) == Namespace("zoo")

    async def test_revoking_marks_the_token_once(self, desk: Desk) -> None:
        token = token_of(1)
        await desk.catalogue.add_token(token, b"h" * 32)
        assert (await desk.catalogue.token(b"h" * 32)).revoked_at is None

        await desk.catalogue.revoke_token(token.uuid, desk.clock())
        first = desk.clock()
        await desk.catalogue.revoke_token(token.uuid, desk.clock.move(seconds=5))

        assert (await desk.catalogue.token(b"h" * 32)).revoked_at == first
        assert await outcome(desk.catalogue.revoke_token(UUID(int=9), first)) is TokenNotFound


class UpkeepContract:
    """Subclasses give the fixture `desk`."""

    async def test_expiry_ends_own_holds_and_purges_what_was_hidden_long_enough(self, desk: Desk) -> None:
        await desk.add(b"one", expires_in_s=60)
        held = await desk.add(b"two", expires_in_s=60)
        await desk.bind(held, "holding")
        await desk.publish("hidden")
        await desk.hide("hidden")

        desk.clock.move(seconds=59)
        before = await desk.expire(hidden=timedelta(seconds=60))
        desk.clock.move(seconds=1)
        at_expiry = await desk.expire(hidden=timedelta(seconds=60))
        desk.clock.move(microseconds=1)  # versions of a name never share a time: the marker's is one later
        hidden_so_long = await desk.expire(hidden=timedelta(seconds=60))
        desk.clock.move(microseconds=1)
        expirable = await desk.catalogue.expirable(
            desk.clock(), desk.clock() - timedelta(seconds=60), desk.clock() - timedelta(days=30)
        )
        longer = await desk.expire(hidden=timedelta(seconds=60))

        assert expirable == longer
        runs = (before, at_expiry, hidden_so_long, longer)
        assert [(done.blobs, done.names) for done in runs] == [(0, 0), (2, 0), (0, 0), (0, 1)]
        assert (await desk.catalogue.totals()).blobs == 1
        assert (await desk.blob(held.uuid)).expires_at is None
        assert await desk.catalogue.name_info(ALICE, "hidden") is None

    async def test_one_run_of_expiry_ends_at_most_so_many(self, desk: Desk) -> None:
        for number in range(5):
            await desk.add(expires_in_s=number)
            await desk.publish(str(number))
            await desk.hide(str(number))
        desk.clock.move(days=30)

        runs = [await desk.expire(limit=2) for _ in range(4)]

        assert [(done.blobs, done.names) for done in runs] == [(2, 2), (2, 2), (1, 1), (0, 0)]

    async def test_a_payload_is_unreferenced_once_its_last_blob_is_gone_and_its_keep_until_has_passed(
        self, desk: Desk
    ) -> None:
        one, other = await desk.add(b"same"), await desk.add(b"same", BOB)
        desk.clock.move(hours=5)
        await desk.drop(one)
        await desk.drop(other)

        desk.clock.move(minutes=59)
        assert await desk.garbage() == set()
        desk.clock.move(minutes=1)

        assert await desk.garbage() == {digest_of(b"same")}
        assert await desk.catalogue.unreferenced_totals(desk.clock()) == (1, 4)

    async def test_unreferenced_payloads_are_listed_page_by_page(self, desk: Desk) -> None:
        for number in range(7):
            await desk.drop(await desk.add(bytes(number)))
            desk.clock.move(seconds=number % 2)
        await desk.add(b"held")
        desk.clock.move(days=1)

        assert await desk.garbage() == {digest_of(bytes(number)) for number in range(7)}
        assert await desk.catalogue.unreferenced_totals(desk.clock()) == (7, sum(range(7)))

    async def test_a_payload_is_forgotten_only_without_reference_and_past_its_keep_until(self, desk: Desk) -> None:
        forget = desk.catalogue.forget_payload
        blob = await desk.add()
        assert not await forget(ABC, desk.clock() + timedelta(days=9))
        await desk.drop(blob)

        assert not await forget(ABC, desk.keep_until - timedelta(microseconds=1))
        assert await forget(ABC, desk.keep_until)
        assert not await forget(ABC, desk.keep_until)
        assert await desk.catalogue.known_payloads([ABC]) == set()
        assert await desk.catalogue.block_checksums(ABC, 0, 1) is None

    async def test_a_payload_that_a_backup_has_pinned_is_not_forgotten(self, desk: Desk) -> None:
        await desk.drop(await desk.add())
        desk.clock.move(days=1)
        pin, other, now = desk.new_uuid(), desk.new_uuid(), desk.clock()
        minute = timedelta(minutes=1)
        await desk.catalogue.pin_payloads(pin, now + minute, now)
        await desk.catalogue.pin_payloads(other, now + 2 * minute, now)

        assert await desk.catalogue.pinned_until(now) == now + 2 * minute
        assert not await desk.catalogue.forget_payload(ABC, now)
        await desk.catalogue.unpin_payloads(other)
        with pytest.raises(PinNotFound):
            await desk.catalogue.unpin_payloads(other)
        assert not await desk.catalogue.forget_payload(ABC, now + minute - timedelta(microseconds=1))
        await desk.catalogue.renew_pin(pin, now + 3 * minute, now)
        assert not await desk.catalogue.forget_payload(ABC, now + 2 * minute)
        assert await desk.catalogue.pinned_until(now + 3 * minute) is None
        assert await desk.catalogue.forget_payload(ABC, now + 3 * minute)

    async def test_a_pin_that_ended_is_not_renewed(self, desk: Desk) -> None:
        pin, now = desk.new_uuid(), desk.clock()
        later = now + timedelta(minutes=1)
        await desk.catalogue.pin_payloads(pin, later, now)

        for uuid, at in ((pin, later), (desk.new_uuid(), now)):
            with pytest.raises(PinNotFound):
                await desk.catalogue.renew_pin(uuid, later + timedelta(minutes=1), at)

        assert await desk.catalogue.pinned_until(now) == later

    async def test_keep_until_is_only_ever_raised(self, desk: Desk) -> None:
        blob = await desk.add()
        late = desk.clock() + timedelta(days=2)
        assert await desk.catalogue.keep_payload(ABC, late)
        assert await desk.catalogue.keep_payload(ABC, desk.clock())

        await desk.add()
        await desk.drop(blob)

        assert not await desk.catalogue.keep_payload(digest_of(b"absent"), late)
        desk.clock.move(days=1)
        await desk.expire()
        assert not await desk.catalogue.forget_payload(ABC, late)  # another blob
        for uuid in await desk.listed():
            await desk.drop(await desk.blob(uuid))
        assert not await desk.catalogue.forget_payload(ABC, late - timedelta(microseconds=1))
        assert await desk.catalogue.forget_payload(ABC, late)

    async def test_every_way_to_lose_the_last_hold_raises_keep_until(self, desk: Desk) -> None:
        """Else a payload that was stored long ago would be collected the moment it is let go."""
        by_expiry = await desk.add(b"1", expires_in_s=3600 * 24)
        by_drop = await desk.add(b"2")
        await desk.publish("removed", b"3")
        await desk.publish("removed", b"and kept")
        await desk.publish("purged", b"4")
        await desk.publish("pushed out", b"5")
        await desk.catalogue.update_name(ALICE, "pushed out", {"keep_versions": 1})
        desk.clock.move(days=2)

        await desk.expire()
        await desk.drop(by_drop)
        await desk.remove(1, "removed")
        await desk.purge("purged")
        await desk.publish("pushed out", b"and kept")

        assert await desk.blob(by_expiry.uuid) is None
        desk.clock.move(minutes=59)
        assert await desk.garbage() == set()
        desk.clock.move(minutes=1)
        assert await desk.garbage() == {digest_of(data) for data in (b"1", b"2", b"3", b"4", b"5")}

    async def test_known_payloads_are_those_with_a_row(self, desk: Desk) -> None:
        await desk.add(b"known")
        await desk.drop(await desk.add(b"unreferenced"))
        asked = [digest_of(data) for data in (b"known", b"unreferenced", b"unknown")]

        assert await desk.catalogue.known_payloads(asked) == set(asked[:2])
        assert await desk.catalogue.known_payloads([]) == set()

    @pytest.mark.parametrize("algorithm", ["sha512", "sha256", "xxh3-128"])
    async def test_what_is_held_is_told_and_kept(self, desk: Desk, algorithm: str) -> None:
        datas = b"ours", b"theirs", b"expired", b"damaged", b"absent"
        values = dict(zip((checksum_of(data, algorithm) for data in datas), datas, strict=True))
        ours, _ = await desk.add(b"ours"), await desk.add(b"theirs", BOB)
        await desk.add(b"expired", expires_in_s=1)
        damaged = await desk.add(b"damaged")
        await desk.catalogue.set_quarantined(damaged.digest, desk.clock())
        desk.clock.move(seconds=1)
        until = desk.clock() + 9 * GRACE

        async def held(namespaces: Collection[str] | None) -> set[bytes]:
            found = await desk.catalogue.keep_held(algorithm, values, namespaces, desk.clock(), until)
            return {values[value] for value in found}

        assert await held([]) == set()
        assert await held([ALICE]) == {b"ours"}
        assert await held([ALICE, BOB, "nobody"]) == await held(None) == {b"ours", b"theirs"}

        await desk.drop(ours)
        desk.clock.at = until - timedelta(microseconds=1)
        assert ours.digest not in await desk.garbage()
        desk.clock.at = until
        assert ours.digest in await desk.garbage()

    async def test_a_copy_holds_itself_and_its_bytes(self, desk: Desk) -> None:
        blob = await desk.add(b"abc", filename="a")
        new = desk.new_blob(BOB, content_type="a/b", expires_in_s=60)

        copy = await desk.catalogue.copy_blob(blob.uuid, new, desk.clock(), desk.keep_until)

        assert (copy.uuid, copy.namespace, copy.content_type, copy.filename) == (new.uuid, BOB, "a/b", None)
        assert (copy.digest, copy.size, copy.holds_itself) == (blob.digest, 3, True)
        assert copy.expires_at == desk.clock() + timedelta(seconds=60)
        await desk.drop(blob)
        assert await desk.blob(copy.uuid) == copy
        with pytest.raises(BlobNotFound):
            await desk.catalogue.copy_blob(blob.uuid, desk.new_blob(), desk.clock(), desk.keep_until)
        with pytest.raises(NamespaceNotFound):
            await desk.catalogue.copy_blob(copy.uuid, desk.new_blob("nobody"), desk.clock(), desk.keep_until)

    async def test_a_quarantined_payload_puts_all_its_blobs_into_the_error_state(self, desk: Desk) -> None:
        blobs = [await desk.add(namespace=namespace) for namespace in (ALICE, BOB)]
        other = await desk.add(b"other")

        await desk.catalogue.set_quarantined(ABC, desk.clock())
        damaged = [(await desk.blob(blob.uuid)).state for blob in (*blobs, other)]
        await desk.catalogue.set_quarantined(ABC, None)

        assert damaged == [BlobState.ERROR, BlobState.ERROR, BlobState.CREATED]
        assert {(await desk.blob(blob.uuid)).state for blob in blobs} == {BlobState.CREATED}

    async def test_marking_a_payload_says_whether_that_is_news(self, desk: Desk) -> None:
        await desk.add()
        later = desk.clock() + timedelta(days=1)

        said = [await desk.catalogue.set_quarantined(ABC, at) for at in (None, desk.clock(), later, None, None)]

        assert said == [False, True, False, True, False]
        assert await desk.catalogue.set_quarantined(digest_of(b"unknown"), later) is False

    async def test_the_states_of_payloads_are_those_of_their_blobs(self, desk: Desk) -> None:
        await desk.add()
        await desk.add(b"damaged")
        await desk.catalogue.set_quarantined(digest_of(b"damaged"), desk.clock())
        asked = [ABC, digest_of(b"damaged"), digest_of(b"unknown")]

        assert await desk.catalogue.payload_states(asked) == {
            ABC: BlobState.CREATED,
            digest_of(b"damaged"): BlobState.ERROR,
        }
        assert await desk.catalogue.payload_states([]) == {}

    @pytest.mark.parametrize("blocks", [0, 1, 1024, 1025, 3000])
    async def test_a_payload_that_is_found_good_has_its_mark_taken_and_its_block_list_replaced(
        self, desk: Desk, blocks: int
    ) -> None:
        blob = await desk.add()
        await desk.catalogue.set_quarantined(ABC, desk.clock())
        listed = some_bytes(8 * blocks)

        said = [await desk.catalogue.set_good(ABC, listed, desk.clock()) for _ in range(2)]

        assert said == [True, False]
        assert (await desk.blob(blob.uuid)).state is BlobState.CREATED
        assert await desk.catalogue.block_checksums(ABC, 0, 5000) == listed
        assert await desk.catalogue.set_good(digest_of(b"unknown"), listed, desk.clock()) is False

    async def test_totals_count_a_payload_once_and_its_blobs_each(self, desk: Desk) -> None:
        await desk.add(b"12345")
        await desk.publish("a", b"12345", BOB)
        await desk.drop(await desk.add(b"123"))

        totals = await desk.catalogue.totals()

        assert (totals.payloads, totals.physical_bytes) == (2, 8)
        assert (totals.blobs, totals.logical_bytes) == (2, 10)

    async def test_a_catalogue_that_works_passes_its_checks(self, desk: Desk) -> None:
        assert await outcome(desk.catalogue.check()) is None
        assert await outcome(desk.catalogue.check_writer()) is None
