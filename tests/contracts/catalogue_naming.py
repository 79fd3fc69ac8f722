"""Renaming a name, and withdrawing what it shows: what happens to versions, numbers, UUIDs and the names beside."""

import pytest

from casd.errors import BlobNotFound, Conflict, NameNotFound
from casd.model import Blob, Version, VersionRef
from tests.contracts.desk import ALICE, BOB, NAME, Desk

OTHER = "another name"


def blob_of(version: Version) -> Blob:
    assert version.blob is not None
    return version.blob


class NamingContract:
    """Subclasses give the fixture `desk`."""

    # -- renaming -----------------------------------------------------------------------------------------

    async def test_a_renamed_name_keeps_all_that_it_had(self, desk: Desk) -> None:
        first, second = await desk.publish(data=b"one"), await desk.publish(data=b"two")
        before = await desk.catalogue.update_name(ALICE, NAME, {"keep_versions": 7, "metadata": {"k": 1}})

        await desk.catalogue.rename_name(ALICE, NAME, OTHER)

        assert await desk.names() == [OTHER]
        assert await desk.newest() is None
        after = await desk.catalogue.name_info(ALICE, OTHER)
        assert after is not None
        assert (after.uuid, after.keep_versions, after.metadata) == (before.uuid, 7, {"k": 1})
        assert await desk.numbers(OTHER) == [1, 2]
        for number, version in ((1, first), (2, second)):
            kept = await desk.catalogue.version(ALICE, OTHER, number)
            assert kept is not None
            assert (kept.blob, kept.created_at) == (version.blob, version.created_at)
        view = await desk.catalogue.view(blob_of(first).uuid, desk.clock())
        assert view is not None
        assert view.names == (VersionRef(ALICE, OTHER, 1),)

    async def test_both_names_go_on_counting_after_a_renaming(self, desk: Desk) -> None:
        await desk.publish()
        await desk.publish()
        await desk.catalogue.rename_name(ALICE, NAME, OTHER)

        assert (await desk.publish(OTHER)).number == 3
        assert (await desk.publish(NAME)).number == 3

    async def test_times_grow_within_the_new_name(self, desk: Desk) -> None:
        version = await desk.publish()
        await desk.catalogue.rename_name(ALICE, NAME, OTHER)

        assert (await desk.publish(OTHER)).created_at > version.created_at

    async def test_no_number_of_a_name_that_was_there_before_is_used_again(self, desk: Desk) -> None:
        for _ in range(3):
            await desk.publish(OTHER)
        await desk.purge(OTHER)
        version = await desk.publish(data=b"mine")
        await desk.publish()

        await desk.catalogue.rename_name(ALICE, NAME, OTHER)

        assert await desk.numbers(OTHER) == [4, 5]
        kept = await desk.catalogue.version(ALICE, OTHER, 4)
        assert kept is not None
        assert kept.blob == version.blob
        assert (await desk.publish(OTHER)).number == 6

    async def test_a_name_is_renamed_to_itself(self, desk: Desk) -> None:
        await desk.publish()

        await desk.catalogue.rename_name(ALICE, NAME, NAME)

        assert await desk.numbers() == [1]
        assert (await desk.publish()).number == 2

    @pytest.mark.parametrize("is_hidden", [False, True])
    async def test_a_name_is_not_renamed_over_another(self, desk: Desk, is_hidden: bool) -> None:
        await desk.publish()
        await desk.publish(OTHER)
        if is_hidden:
            await desk.hide(OTHER)

        with pytest.raises(Conflict):
            await desk.catalogue.rename_name(ALICE, NAME, OTHER)

        assert await desk.numbers() == [1]

    async def test_a_name_that_is_absent_or_hidden_is_not_renamed(self, desk: Desk) -> None:
        await desk.publish(namespace=BOB)
        await desk.publish("hidden")
        await desk.hide("hidden")

        for name in (NAME, "hidden"):
            with pytest.raises(NameNotFound):
                await desk.catalogue.rename_name(ALICE, name, OTHER)

    # -- withdrawing --------------------------------------------------------------------------------------

    async def withdraw(self, desk: Desk, version: Version) -> VersionRef:
        return await desk.catalogue.withdraw(blob_of(version).uuid, "who", desk.clock(), desk.keep_until)

    async def test_withdrawing_the_only_version_ends_name_and_blob(self, desk: Desk) -> None:
        version = await desk.publish()

        assert await self.withdraw(desk, version) == VersionRef(ALICE, NAME, 1)

        assert await desk.catalogue.name_info(ALICE, NAME) is None
        assert await desk.blob(blob_of(version).uuid) is None
        assert (await desk.publish()).number == 2

    async def test_no_older_version_takes_the_place_of_one_that_was_withdrawn(self, desk: Desk) -> None:
        older, newest = await desk.publish(), await desk.publish()

        await self.withdraw(desk, newest)

        assert await desk.numbers() == [1, -3]
        assert await desk.names() == []
        assert await desk.blob(blob_of(newest).uuid) is None
        assert await desk.blob(blob_of(older).uuid) is not None
        assert (await desk.undelete()).number == 1

    async def test_withdrawing_an_older_version_leaves_the_newest(self, desk: Desk) -> None:
        older, newest = await desk.publish(), await desk.publish()

        await self.withdraw(desk, older)

        assert await desk.numbers() == [2]
        assert await desk.newest() == newest

    async def test_a_version_of_a_hidden_name_is_withdrawn_too(self, desk: Desk) -> None:
        version = await desk.publish()
        await desk.hide()

        await self.withdraw(desk, version)

        assert await desk.catalogue.name_info(ALICE, NAME) is None

    async def test_a_blob_without_a_name_is_not_withdrawn(self, desk: Desk) -> None:
        blob = await desk.add()

        with pytest.raises(BlobNotFound):
            await desk.catalogue.withdraw(blob.uuid, None, desk.clock(), desk.keep_until)

        assert await desk.blob(blob.uuid) == blob

    async def test_a_blob_that_several_versions_hold_is_not_withdrawn(self, desk: Desk) -> None:
        version = await desk.publish()
        await desk.bind(blob_of(version), OTHER)

        with pytest.raises(Conflict):
            await self.withdraw(desk, version)

        assert await desk.names() == [OTHER, NAME]
