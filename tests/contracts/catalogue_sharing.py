"""What artifacts and keys of their own need: equal bytes add no version, limits bite at once, named keys."""

from datetime import timedelta
from typing import Any

import pytest

from casd.catalogue.values import NO_GUARD
from casd.errors import MetadataKeyNotFound, NamedKeyNotFound, NameNotFound, NamespaceNotFound, TooLarge
from casd.model import NamedKey, NameInfo, Naming, Role, Token, Version
from tests.contracts.desk import ALICE, BOB, NAME, Desk, every_page
from tests.contracts.oracle import receipt_of


async def publish_unless_same(desk: Desk, data: bytes, name: str = NAME, **more: Any) -> Version:
    new = desk.new_blob()
    return await desk.catalogue.publish(
        new,
        receipt_of(data),
        name,
        NO_GUARD,
        None,
        desk.clock(),
        desk.keep_until,
        naming=Naming(unless_same=True, **more),
    )


async def infos(desk: Desk, namespace: str | None) -> list[tuple[str, str]]:
    found: list[NameInfo] = await every_page(lambda limit, after: desk.catalogue.name_infos(namespace, limit, after))
    return [(info.namespace, info.name) for info in found]


async def add_key(desk: Desk, name: str = "door", namespace: str = ALICE, hash: bytes = b"h" * 32) -> Token:
    """A named key and its token, whose secret hashes to the token's own UUID."""
    token = Token(desk.new_uuid(), f"key {name}", Role.WRITER, (namespace,), desk.clock(), None)
    key = NamedKey(namespace, name, b"s" * 16, hash, token.uuid, desk.clock())
    await desk.catalogue.set_named_key(key, token, token.uuid.bytes)
    return token


class SharingContract:
    """Subclasses give the fixture `desk`."""

    # -- equal bytes --------------------------------------------------------------------------------------

    async def test_bytes_that_the_newest_version_has_add_none_where_that_is_asked(self, desk: Desk) -> None:
        first = await publish_unless_same(desk, b"one")

        again = await publish_unless_same(desk, b"one")

        assert again == first
        assert await desk.numbers() == [1]
        assert (await desk.catalogue.totals()).blobs == 1
        assert (await publish_unless_same(desk, b"two")).number == 2
        assert (await publish_unless_same(desk, b"one")).number == 3  # the newest decides, not any

    async def test_without_asking_equal_bytes_are_a_version_each(self, desk: Desk) -> None:
        await desk.publish(data=b"one")

        assert (await desk.publish(data=b"one")).number == 2

    async def test_what_storing_says_of_the_name_holds_with_the_version_and_with_equal_bytes_too(
        self, desk: Desk
    ) -> None:
        async def known() -> tuple[str | None, bool, int | None]:
            info = await desk.catalogue.name_info(ALICE, NAME)
            assert info is not None
            return info.source_url, info.shared, info.keep_versions

        await publish_unless_same(desk, b"one", source_url_if_new="http://first", keep_versions=2)
        assert await known() == ("http://first", False, 2)
        await publish_unless_same(desk, b"two", source_url_if_new="http://again", keep_versions=3)
        assert await known() == ("http://first", False, 2)
        await publish_unless_same(desk, b"two", source_url="http://other", shared=True)
        assert await known() == ("http://other", True, 2)
        assert await desk.numbers() == [1, 2]
        await publish_unless_same(desk, b"three")
        assert await known() == ("http://other", True, 2)

    async def test_what_binding_says_of_the_name_holds_with_the_version(self, desk: Desk) -> None:
        blob = await desk.add()

        for naming in (Naming(source_url="http://x"), Naming(unless_same=True, shared=True)):
            await desk.catalogue.bind(
                blob.uuid, desk.new_blob(), NAME, NO_GUARD, None, desk.clock(), desk.keep_until, naming=naming
            )

        info = await desk.catalogue.name_info(ALICE, NAME)
        assert info is not None
        assert (info.source_url, info.shared) == ("http://x", True)
        assert await desk.numbers() == [1]

    async def test_equal_bytes_un_hide_a_name(self, desk: Desk) -> None:
        await publish_unless_same(desk, b"one")
        await desk.hide()

        version = await publish_unless_same(desk, b"one")

        assert (version.number, version.is_marker) == (3, False)

    async def test_binding_a_blob_of_equal_bytes_adds_none_where_that_is_asked(self, desk: Desk) -> None:
        first = await desk.publish(data=b"one")
        same, other, foreign = await desk.add(b"one"), await desk.add(b"two"), await desk.add(b"two", BOB)

        async def bound(blob: Any) -> Version:
            new = desk.new_blob()
            return await desk.catalogue.bind(
                blob.uuid, new, NAME, NO_GUARD, None, desk.clock(), desk.keep_until, naming=Naming(unless_same=True)
            )

        assert await bound(same) == first
        assert (await bound(other)).number == 2
        assert (await bound(foreign)).number == 2
        assert await desk.numbers() == [1, 2]

    async def test_binding_sets_the_rule_of_a_name_that_it_makes_and_of_no_other(self, desk: Desk) -> None:
        blob = await desk.add()
        await desk.publish("there")

        for name in ("made", "there"):
            await desk.catalogue.bind(
                blob.uuid,
                desk.new_blob(),
                name,
                NO_GUARD,
                None,
                desk.clock(),
                desk.keep_until,
                naming=Naming(keep_versions=2),
            )

        assert (await desk.catalogue.name_info(ALICE, "made")).keep_versions == 2
        assert (await desk.catalogue.name_info(ALICE, "there")).keep_versions is None

    # -- limits -------------------------------------------------------------------------------------------

    async def test_a_limit_removes_older_versions_at_once_and_holds_from_then_on(self, desk: Desk) -> None:
        versions = [await desk.publish(data=b"%d" % number) for number in range(4)]

        info = await desk.catalogue.limit_versions(ALICE, NAME, 2, desk.clock(), desk.keep_until)

        assert info.keep_versions == 2
        assert await desk.numbers() == [3, 4]
        assert await desk.blob(versions[0].blob.uuid) is None
        await desk.publish(data=b"five")
        assert await desk.numbers() == [4, 5]

    async def test_versions_are_listed_from_a_number_on(self, desk: Desk) -> None:
        for number in range(4):
            await desk.publish(data=b"%d" % number)

        for newer_than, expected in ((-5, [1, 2, 3, 4]), (2, [3, 4]), (4, [])):
            found: list[Version] = await every_page(
                lambda limit, after, newer_than=newer_than: desk.catalogue.versions(
                    ALICE, NAME, limit, after, desk.clock(), newer_than
                )
            )
            assert [version.number for version in found] == expected

    # -- names by other things than their name ------------------------------------------------------------

    async def test_a_name_is_found_by_its_uuid_and_by_where_it_came_from(self, desk: Desk) -> None:
        await desk.publish()
        info = await desk.catalogue.update_name(ALICE, NAME, {"source_url": "http://x"})

        assert await desk.catalogue.name_by_uuid(info.uuid) == info
        assert await desk.catalogue.name_by_uuid(desk.new_uuid()) is None
        assert await desk.catalogue.name_by_source_url(ALICE, "http://x") == info
        assert await desk.catalogue.name_by_source_url(BOB, "http://x") is None
        assert await desk.catalogue.name_by_source_url(ALICE, "http://y") is None

    async def test_names_of_a_namespace_and_shared_ones_are_listed_without_hidden_ones(self, desk: Desk) -> None:
        for namespace in (BOB, ALICE):
            for name in ("c", "a/ä", "b", "hidden"):
                await desk.publish(name, namespace=namespace)
        await desk.hide("hidden")
        for name in ("b", "a/ä", "hidden"):
            await desk.catalogue.update_name(ALICE, name, {"shared": True})
        await desk.catalogue.update_name(BOB, "c", {"shared": True})

        assert await infos(desk, ALICE) == [(ALICE, "a/ä"), (ALICE, "b"), (ALICE, "c")]
        assert await infos(desk, None) == [(ALICE, "a/ä"), (ALICE, "b"), (BOB, "c")]
        assert await infos(desk, "nobody") == []

    # -- named keys ---------------------------------------------------------------------------------------

    async def test_a_named_key_is_kept_with_its_token(self, desk: Desk) -> None:
        token = await add_key(desk)

        (key,) = await desk.catalogue.named_keys(ALICE)

        assert (key.namespace, key.name, key.salt, key.hash) == (ALICE, "door", b"s" * 16, b"h" * 32)
        assert (key.token, key.created_at) == (token.uuid, desk.clock())
        assert await desk.catalogue.token_by_id(token.uuid) == token
        assert await desk.catalogue.named_keys(BOB) == []

    async def test_a_key_that_is_replaced_or_removed_takes_its_token_along(self, desk: Desk) -> None:
        first, other = await add_key(desk), await add_key(desk, "other")
        desk.clock.move(seconds=1)
        second = await add_key(desk, hash=b"i" * 32)

        assert [key.token for key in await desk.catalogue.named_keys(ALICE)] == [second.uuid, other.uuid]
        assert (await desk.catalogue.token_by_id(first.uuid)).revoked_at == desk.clock()

        await desk.catalogue.remove_named_key(ALICE, "door", desk.clock() + timedelta(seconds=1))

        assert [key.name for key in await desk.catalogue.named_keys(ALICE)] == ["other"]
        assert (await desk.catalogue.token_by_id(second.uuid)).revoked_at is not None
        assert (await desk.catalogue.token_by_id(other.uuid)).revoked_at is None

    async def test_a_key_needs_its_namespace_and_an_absent_one_cannot_be_removed(self, desk: Desk) -> None:
        with pytest.raises(NamespaceNotFound):
            await add_key(desk, namespace="nobody")
        with pytest.raises(NamedKeyNotFound):
            await desk.catalogue.remove_named_key(ALICE, "door", desk.clock())

    # -- a name's metadata, key by key --------------------------------------------------------------------

    async def test_a_name_s_metadata_is_set_and_deleted_key_by_key(self, desk: Desk) -> None:
        await desk.publish()
        catalogue = desk.catalogue

        for key, value in (("a", 1), ("b", {"c": [None]}), ("a", "ä")):
            await catalogue.set_name_metadata(ALICE, NAME, key, value, 100)

        assert (await catalogue.name_info(ALICE, NAME)).metadata == {"a": "ä", "b": {"c": [None]}}
        await catalogue.delete_name_metadata(ALICE, NAME, "a")
        assert (await catalogue.name_info(ALICE, NAME)).metadata == {"b": {"c": [None]}}
        with pytest.raises(MetadataKeyNotFound):
            await catalogue.delete_name_metadata(ALICE, NAME, "a")
        with pytest.raises(TooLarge):
            await catalogue.set_name_metadata(ALICE, NAME, "a", "x" * 100, 100)
        with pytest.raises(NameNotFound):
            await catalogue.set_name_metadata(ALICE, "absent", "a", 1, 100)
