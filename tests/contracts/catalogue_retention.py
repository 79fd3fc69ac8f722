"""Which versions and tokens upkeep ends: by count and age, never a name's newest, never a protected one."""

from datetime import timedelta
from uuid import UUID

import pytest

from casd.errors import Protected
from casd.model import NamedKey, Role, Token
from tests.contracts.desk import ALICE, BOB, NAME, Desk

DAY_S = 86400


async def publish_daily(desk: Desk, count: int, name: str = NAME, namespace: str = ALICE) -> None:
    for number in range(count):
        await desk.publish(name, f"{namespace} {name} {number}".encode(), namespace)
        desk.clock.move(days=1)


async def rule(desk: Desk, namespace: str = ALICE, **changes: object) -> None:
    await desk.catalogue.update_namespace(namespace, changes, desk.clock())


async def add_token(desk: Desk, *, expires_in: timedelta | None = None) -> Token:
    """A token whose secret hashes to its own UUID."""
    now = desk.clock()
    token = Token(desk.new_uuid(), "t", Role.WRITER, (ALICE,), now, None if expires_in is None else now + expires_in)
    await desk.catalogue.add_token(token, token.uuid.bytes)
    return token


async def known_tokens(desk: Desk) -> set[UUID]:
    return {token.uuid for token in (await desk.catalogue.tokens(100, None)).items}


class RetentionContract:
    """Subclasses give the fixture `desk`."""

    # -- versions -----------------------------------------------------------------------------------------

    async def test_without_a_rule_all_versions_stay(self, desk: Desk) -> None:
        await publish_daily(desk, 3)

        assert await desk.retain() == 0
        assert await desk.numbers() == [1, 2, 3]

    async def test_a_rule_made_later_bites_when_upkeep_runs(self, desk: Desk) -> None:
        await publish_daily(desk, 4)
        await publish_daily(desk, 4, namespace=BOB)
        await rule(desk, keep_versions=2)

        assert await desk.retain(dry_run=True) == 2
        assert await desk.numbers() == [1, 2, 3, 4]
        assert await desk.retain() == 2

        assert await desk.numbers() == [3, 4]
        assert await desk.numbers(namespace=BOB) == [1, 2, 3, 4]
        assert (await desk.catalogue.totals()).blobs == 6

    async def test_a_names_own_rule_goes_over_its_namespaces(self, desk: Desk) -> None:
        await publish_daily(desk, 4)
        await publish_daily(desk, 4, "other")
        await desk.catalogue.update_name(ALICE, NAME, {"keep_versions": 3})
        await rule(desk, keep_versions=1)

        assert await desk.retain() == 1 + 3

        assert await desk.numbers() == [2, 3, 4]
        assert await desk.numbers("other") == [4]

    async def test_versions_go_when_they_are_older_than_their_namespace_says(self, desk: Desk) -> None:
        await publish_daily(desk, 4)  # 4, 3, 2 and 1 days old
        await rule(desk, max_age_s=2 * DAY_S)

        assert await desk.retain() == 2
        assert await desk.numbers() == [3, 4]
        desk.clock.move(microseconds=1)
        assert await desk.retain() == 1

        assert await desk.numbers() == [4]

    async def test_the_newest_version_stays_whatever_its_age(self, desk: Desk) -> None:
        await publish_daily(desk, 2)
        await rule(desk, max_age_s=1)
        desk.clock.move(days=1000)

        assert await desk.retain() == 1
        assert await desk.retain() == 0

        assert await desk.numbers() == [2]

    async def test_of_a_hidden_name_the_newest_with_a_blob_stays_to_be_undeleted(self, desk: Desk) -> None:
        await publish_daily(desk, 2)
        await desk.hide()
        await rule(desk, max_age_s=1)
        desk.clock.move(days=1000)

        assert await desk.retain() == 1
        assert await desk.numbers() == [2, -3]

        assert (await desk.undelete()).number == 2

    async def test_the_rules_together_keep_what_both_keep(self, desk: Desk) -> None:
        await publish_daily(desk, 6)
        await rule(desk, keep_versions=4, max_age_s=3 * DAY_S)
        assert await desk.retain() == 3
        assert await desk.numbers() == [4, 5, 6]

        await rule(desk, keep_versions=2)

        assert await desk.retain() == 1
        assert await desk.numbers() == [5, 6]

    async def test_a_protected_name_keeps_all_its_versions(self, desk: Desk) -> None:
        await publish_daily(desk, 3)
        await desk.catalogue.update_name(ALICE, NAME, {"protected": True})
        await rule(desk, keep_versions=1, max_age_s=1)

        assert (await desk.retain(dry_run=True), await desk.retain()) == (0, 0)
        with pytest.raises(Protected):
            await desk.publish(data=b"one more")

        assert await desk.numbers() == [1, 2, 3]

    async def test_a_protected_version_stays_beside_what_the_rules_keep(self, desk: Desk) -> None:
        await publish_daily(desk, 3)
        assert (await desk.catalogue.protect_version(ALICE, NAME, 1, True)).protected
        await rule(desk, keep_versions=1, max_age_s=1)

        assert (await desk.retain(dry_run=True), await desk.retain()) == (1, 1)
        await desk.publish(data=b"one more")

        assert await desk.numbers() == [1, 4]
        for gone in (desk.hide(), desk.purge(), desk.catalogue.rename_name(ALICE, NAME, "other")):
            with pytest.raises(Protected):
                await gone

    async def test_what_a_removed_version_held_becomes_garbage(self, desk: Desk) -> None:
        kept = await desk.add(b"kept")
        await desk.bind(kept)
        gone = await desk.publish(data=b"gone")
        await desk.publish(data=b"newest")
        await rule(desk, keep_versions=1)

        assert await desk.retain() == 2

        assert gone.blob is not None
        assert await desk.blob(gone.blob.uuid) is None
        assert await desk.blob(kept.uuid) is not None

    # -- tokens -------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("ends", ["expires", "is revoked"])
    async def test_a_token_is_forgotten_some_time_after_it_ended(self, desk: Desk, ends: str) -> None:
        token = await add_token(desk, expires_in=timedelta(days=1) if ends == "expires" else None)
        stays = await add_token(desk)
        desk.clock.move(days=1)
        if ends == "is revoked":
            await desk.catalogue.revoke_token(token.uuid, desk.clock())
        ended = timedelta(days=30)
        desk.clock.move(days=30)
        assert (await desk.expire(ended=ended)).tokens == 0
        assert await known_tokens(desk) == {token.uuid, stays.uuid}
        desk.clock.move(microseconds=1)

        expirable = await desk.catalogue.expirable(desk.clock(), desk.clock(), desk.clock() - ended)
        assert (expirable.tokens, (await desk.expire(ended=ended)).tokens) == (1, 1)

        assert await known_tokens(desk) == {stays.uuid}
        assert await desk.catalogue.token(token.uuid.bytes) is None
        assert await desk.catalogue.token_by_id(token.uuid) is None

    async def test_a_token_counts_from_when_it_ended_first(self, desk: Desk) -> None:
        token = await add_token(desk, expires_in=timedelta(days=100))
        await desk.catalogue.revoke_token(token.uuid, desk.clock())
        desk.clock.move(days=2)

        assert (await desk.expire(ended=timedelta(days=1))).tokens == 1

    async def test_the_token_of_a_named_key_stays_with_it(self, desk: Desk) -> None:
        token = Token(desk.new_uuid(), "key", Role.WRITER, (ALICE,), desk.clock(), None)
        key = NamedKey(ALICE, "door", b"s" * 16, b"h" * 32, token.uuid, desk.clock())
        await desk.catalogue.set_named_key(key, token, token.uuid.bytes)
        await desk.catalogue.revoke_token(token.uuid, desk.clock())
        desk.clock.move(days=2)
        assert (await desk.expire(ended=timedelta(days=1))).tokens == 0

        await desk.catalogue.remove_named_key(ALICE, "door", desk.clock())

        assert (await desk.expire(ended=timedelta(days=1))).tokens == 1
