"""Who holds a blob, and what a name remembers: DESIGN.md section 3, sentence by sentence."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from casd.catalogue.sqlite import SqliteCatalogue
from casd.errors import Conflict, NameNotFound, VersionNotFound
from casd.model import BlobState
from tests.contracts.desk import ALICE, BOB, NAME, Desk
from tests.contracts.oracle import digest_of
from tests.fakes import counting_uuids

MICROSECOND = timedelta(microseconds=1)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    catalogue = await SqliteCatalogue.open(tmp_path / "catalogue.sqlite3", counting_uuids(), payloads_exist=False)
    yield await Desk(catalogue).open()
    await catalogue.close()


# -- holds --------------------------------------------------------------------------------------------------------


async def test_a_blob_that_was_added_holds_itself(desk: Desk) -> None:
    blob = await desk.add()

    assert (blob.holds_itself, blob.version_count) == (True, 0)


async def test_a_blob_that_was_stored_under_a_name_is_held_by_its_version_alone(desk: Desk) -> None:
    blob = (await desk.publish()).blob

    assert (blob.holds_itself, blob.version_count) == (False, 1)


async def test_a_blob_may_be_held_by_itself_and_by_versions_of_several_names(desk: Desk) -> None:
    blob = await desk.add()
    for name in ("one", "two", "two"):
        await desk.bind(blob, name)

    held = await desk.blob(blob.uuid)

    assert (held.holds_itself, held.version_count) == (True, 3)


async def test_a_blob_that_a_version_holds_stays_readable_without_its_own_hold(desk: Desk) -> None:
    blob = await desk.add(expires_in_s=60)
    await desk.bind(blob)

    left = await desk.drop(blob)

    assert left == await desk.blob(blob.uuid)
    assert (left.holds_itself, left.expires_at, left.version_count) == (False, None, 1)
    assert left.was_let_go
    assert (await desk.bind(blob)).blob.was_let_go  # one version more does not take that back
    assert not (await desk.bind(blob, namespace=BOB)).blob.was_let_go  # a blob of its own, which nobody has deleted


async def test_a_blob_that_only_versions_held_from_the_start_has_no_hold_to_drop(desk: Desk) -> None:
    blob = (await desk.publish()).blob

    with pytest.raises(Conflict):
        await desk.drop(blob)

    assert await desk.blob(blob.uuid) == blob


async def test_a_blob_that_lost_its_own_hold_cannot_lose_it_again(desk: Desk) -> None:
    blob = await desk.add()
    await desk.bind(blob)
    await desk.drop(blob)

    with pytest.raises(Conflict):
        await desk.drop(blob)


@pytest.mark.parametrize("upkeep_ran", [True, False])
async def test_a_blob_whose_own_hold_expired_has_no_hold_to_drop_whether_upkeep_ran_or_not(
    desk: Desk, upkeep_ran: bool
) -> None:
    blob = await desk.add(expires_in_s=60)
    await desk.bind(blob)
    desk.clock.move(seconds=60)
    if upkeep_ran:
        await desk.expire()

    with pytest.raises(Conflict):
        await desk.drop(blob)


async def test_with_the_last_version_the_blob_goes(desk: Desk) -> None:
    blob = (await desk.publish()).blob
    await desk.bind(blob, "another")

    await desk.purge("another")
    assert await desk.blob(blob.uuid) is not None
    await desk.purge()

    assert await desk.blob(blob.uuid) is None


async def test_a_blob_outlives_its_versions_if_it_holds_itself(desk: Desk) -> None:
    blob = await desk.add()
    await desk.bind(blob)

    await desk.purge()

    assert await desk.blob(blob.uuid) == blob


# -- expiry -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("upkeep_ran", [True, False])
async def test_past_its_expiry_a_blob_is_gone_at_once_whether_upkeep_ran_or_not(desk: Desk, upkeep_ran: bool) -> None:
    blob = await desk.add(expires_in_s=60)
    await desk.set_metadata(blob, "k", "v")
    desk.clock.move(seconds=60)
    if upkeep_ran:
        await desk.expire()

    assert await desk.blob(blob.uuid) is None
    assert await desk.catalogue.view(blob.uuid, desk.clock()) is None
    assert await desk.listed() == []
    assert await desk.catalogue.blob_of_payload(blob.digest, None, desk.clock()) is None


@pytest.mark.parametrize("upkeep_ran", [True, False])
async def test_expiry_ends_a_blobs_own_hold_and_no_versions(desk: Desk, upkeep_ran: bool) -> None:
    blob = await desk.add(expires_in_s=60)
    await desk.bind(blob)
    desk.clock.move(seconds=60)
    if upkeep_ran:
        await desk.expire()

    left = await desk.blob(blob.uuid)

    assert (left.holds_itself, left.expires_at, left.version_count) == (False, None, 1)
    assert left.was_let_go
    assert (await desk.newest()).blob.at(desk.clock()).was_let_go
    assert (await desk.catalogue.view(blob.uuid, desk.clock())).blob == left


@pytest.mark.parametrize("upkeep_ran", [True, False])
async def test_an_expired_blob_goes_with_its_last_version(desk: Desk, upkeep_ran: bool) -> None:
    blob = await desk.add(expires_in_s=60)
    await desk.bind(blob)
    desk.clock.move(seconds=60)
    if upkeep_ran:
        await desk.expire()

    await desk.remove(1)

    assert await desk.blob(blob.uuid) is None
    assert (await desk.catalogue.totals()).blobs == 0


async def test_a_blob_bound_before_its_expiry_stays_for_ever(desk: Desk) -> None:
    blob = await desk.add(expires_in_s=60)
    await desk.bind(blob)

    desk.clock.move(days=1000)
    await desk.expire()

    assert (await desk.newest()).blob.uuid == blob.uuid


# -- binding ------------------------------------------------------------------------------------------------------


async def test_binding_in_the_blobs_own_namespace_holds_that_very_blob(desk: Desk) -> None:
    blob = await desk.add()

    version = await desk.bind(blob)

    assert version.blob.uuid == blob.uuid


async def test_binding_in_another_namespace_makes_a_new_blob_of_the_same_payload_there(desk: Desk) -> None:
    blob = await desk.add(b"abc", ALICE)

    copy = (await desk.bind(blob, namespace=BOB)).blob

    assert copy.uuid != blob.uuid
    assert (copy.namespace, copy.digest, copy.size) == (BOB, blob.digest, 3)
    assert (copy.holds_itself, copy.version_count) == (False, 1)
    assert (await desk.blob(blob.uuid)).version_count == 0
    assert (await desk.catalogue.totals()).payloads == 1


async def test_binding_in_another_namespace_copies_content_type_and_filename_and_no_metadata(desk: Desk) -> None:
    blob = await desk.add(content_type="image/png", filename="a.png")
    await desk.set_metadata(blob, "secret", "of alice")

    copy = (await desk.bind(blob, namespace=BOB)).blob

    assert (copy.content_type, copy.filename) == ("image/png", "a.png")
    assert (await desk.catalogue.view(copy.uuid, desk.clock())).metadata == {}
    assert (await desk.catalogue.view(blob.uuid, desk.clock())).metadata == {"secret": "of alice"}


async def test_a_copy_in_another_namespace_outlives_its_original(desk: Desk) -> None:
    blob = await desk.add(expires_in_s=60)
    copy = (await desk.bind(blob, namespace=BOB)).blob

    await desk.drop(blob)
    desk.clock.move(days=9)
    await desk.expire()

    assert (await desk.blob(copy.uuid)).expires_at is None
    assert await desk.garbage() == set()


async def test_the_same_blob_may_be_bound_to_one_name_twice(desk: Desk) -> None:
    blob = await desk.add()

    versions = [await desk.bind(blob) for _ in range(2)]

    assert [version.number for version in versions] == [1, 2]
    await desk.drop(blob)
    await desk.remove(1)
    assert (await desk.blob(blob.uuid)).version_count == 1


# -- numbers and times --------------------------------------------------------------------------------------------


async def test_versions_count_from_one_and_a_number_is_not_used_again_after_its_removal(desk: Desk) -> None:
    for _ in range(3):
        await desk.publish()

    await desk.remove(3)
    await desk.remove(1)

    assert (await desk.publish()).number == 4
    assert await desk.numbers() == [2, 4]


async def test_a_delete_marker_takes_the_next_number(desk: Desk) -> None:
    await desk.publish()
    await desk.hide()
    await desk.publish()

    assert await desk.numbers() == [1, -2, 3]


async def test_a_purged_name_that_is_made_again_has_a_new_uuid_and_goes_on_counting(desk: Desk) -> None:
    await desk.publish()
    await desk.publish()
    await desk.catalogue.update_name(ALICE, NAME, {"shared": True, "keep_versions": 1, "metadata": {"k": 1}})
    before = await desk.catalogue.name_info(ALICE, NAME)
    await desk.purge()
    assert await desk.catalogue.name_info(ALICE, NAME) is None

    version = await desk.publish()

    after = await desk.catalogue.name_info(ALICE, NAME)
    assert version.number == 3
    assert after.uuid != before.uuid
    assert (after.shared, after.keep_versions, after.metadata) == (False, None, {})


async def test_the_last_number_and_time_outlive_every_purge(desk: Desk) -> None:
    times = []
    for number in range(1, 4):
        version = await desk.publish()
        assert version.number == number
        times.append(version.created_at)
        await desk.purge()

    assert times == sorted(set(times))


async def test_a_name_in_another_namespace_counts_for_itself(desk: Desk) -> None:
    await desk.publish()

    assert (await desk.publish(namespace=BOB)).number == 1


async def test_times_within_a_name_grow_although_the_clock_stands_still(desk: Desk) -> None:
    versions = [await desk.publish(), await desk.hide(), await desk.publish()]

    assert [version.created_at - desk.clock() for version in versions] == [
        0 * MICROSECOND,
        MICROSECOND,
        2 * MICROSECOND,
    ]


async def test_times_within_a_name_grow_although_the_clock_goes_back(desk: Desk) -> None:
    first = await desk.publish()
    desk.clock.move(hours=-5)

    second = await desk.publish()

    assert second.created_at == first.created_at + MICROSECOND
    assert (await desk.newest()).number == 2


# -- markers ------------------------------------------------------------------------------------------------------


async def test_a_delete_marker_hides_the_name_and_keeps_its_versions(desk: Desk) -> None:
    blob = (await desk.publish()).blob

    marker = await desk.hide()

    assert (marker.number, marker.is_marker) == (2, True)
    assert await desk.newest() == marker
    assert await desk.names() == []
    assert (await desk.catalogue.version(ALICE, NAME, 1)).blob == blob
    assert (await desk.catalogue.name_info(ALICE, NAME)).hidden_at == marker.created_at


async def test_a_hidden_name_cannot_be_hidden_again(desk: Desk) -> None:
    await desk.publish()
    await desk.hide()

    with pytest.raises(NameNotFound):
        await desk.hide()

    assert await desk.numbers() == [1, -2]


async def test_a_new_version_shows_a_hidden_name_again(desk: Desk) -> None:
    await desk.publish()
    await desk.hide()

    await desk.publish()

    assert await desk.names() == [NAME]
    assert (await desk.catalogue.name_info(ALICE, NAME)).hidden_at is None


async def test_removing_the_newest_marker_shows_the_name_again(desk: Desk) -> None:
    version = await desk.publish()
    await desk.hide()

    removed = await desk.remove(2)

    assert (removed.number, removed.is_marker) == (2, True)
    assert await desk.newest() == version
    assert await desk.names() == [NAME]


async def test_undelete_removes_the_newest_marker_and_gives_the_newest_version(desk: Desk) -> None:
    version = await desk.publish()
    await desk.hide()

    assert await desk.undelete() == version
    assert await desk.numbers() == [1]
    assert (await desk.publish()).number == 3


async def test_undelete_shows_the_name_also_where_removals_left_several_markers_at_its_end(desk: Desk) -> None:
    first = await desk.publish()
    await desk.hide()
    await desk.publish()
    await desk.hide()
    await desk.remove(3)

    assert await desk.undelete() == first
    assert await desk.numbers() == [1]
    assert await desk.names() == [NAME]


async def test_undelete_of_a_name_that_is_shown_changes_nothing(desk: Desk) -> None:
    await desk.publish()
    await desk.hide()
    await desk.publish()

    with pytest.raises(Conflict):
        await desk.undelete()

    assert await desk.numbers() == [1, -2, 3]


async def test_removing_the_newest_version_shows_the_one_before(desk: Desk) -> None:
    first, second = await desk.publish(data=b"one"), await desk.publish(data=b"two")

    assert await desk.remove(2) == second

    assert await desk.newest() == first
    assert await desk.blob(second.blob.uuid) is None


async def test_removing_the_version_above_a_marker_hides_the_name_from_now_on(desk: Desk) -> None:
    """Not since the marker was made: upkeep would purge the older versions the next moment."""
    await desk.publish()
    await desk.hide()
    await desk.publish()
    desk.clock.move(days=30)

    await desk.remove(3)

    assert await desk.names() == []
    assert (await desk.catalogue.name_info(ALICE, NAME)).hidden_at == desk.clock()
    assert (await desk.expire(hidden=timedelta(days=7))).names == 0
    assert (await desk.undelete()).number == 1


async def test_a_name_whose_last_version_with_a_blob_is_removed_is_gone_with_its_markers(desk: Desk) -> None:
    await desk.publish()
    await desk.hide()

    await desk.remove(1)

    assert await desk.catalogue.name_info(ALICE, NAME) is None
    assert await desk.newest() is None
    with pytest.raises(VersionNotFound):
        await desk.remove(2)
    assert (await desk.publish()).number == 3


async def test_a_name_hidden_for_longer_than_the_rule_is_purged_and_goes_on_counting_later(desk: Desk) -> None:
    blob = (await desk.publish()).blob
    await desk.hide()
    desk.clock.move(days=8)

    await desk.expire(hidden=timedelta(days=7))

    assert await desk.blob(blob.uuid) is None
    assert (await desk.publish()).number == 3


# -- as of --------------------------------------------------------------------------------------------------------


async def test_as_of_gives_the_newest_of_that_time_inclusive_and_sees_markers(desk: Desk) -> None:
    start = desk.clock()
    versions = []
    for act in (desk.publish, desk.hide, desk.publish):
        versions.append(await act())
        desk.clock.move(hours=1)

    async def number_at(at: timedelta) -> int | None:
        version = await desk.as_of(start + at)
        return version and version.number

    hour = timedelta(hours=1)
    assert await number_at(-MICROSECOND) is None
    assert await number_at(0 * hour) == 1
    assert await number_at(hour - MICROSECOND) == 1
    assert await number_at(hour) == 2
    assert (await desk.as_of(start + hour)).is_marker
    assert await number_at(2 * hour) == 3
    assert await number_at(99 * hour) == 3


async def test_as_of_sees_only_versions_that_are_still_there(desk: Desk) -> None:
    await desk.publish()
    at = desk.clock.move(hours=1)
    await desk.publish()

    await desk.remove(2)

    assert (await desk.as_of(at)).number == 1


async def test_as_of_tells_versions_of_one_microsecond_apart(desk: Desk) -> None:
    versions = [await desk.publish() for _ in range(3)]

    found = [await desk.as_of(version.created_at) for version in versions]

    assert [version.number for version in found] == [1, 2, 3]


# -- retention ----------------------------------------------------------------------------------------------------


async def test_without_a_rule_every_version_is_kept(desk: Desk) -> None:
    for _ in range(5):
        await desk.publish()

    assert await desk.numbers() == [1, 2, 3, 4, 5]


async def test_a_namespaces_rule_keeps_so_many_versions_of_each_name(desk: Desk) -> None:
    await desk.catalogue.update_namespace(ALICE, {"keep_versions": 2}, desk.clock())
    for name in ("one", "two"):
        for _ in range(4):
            await desk.publish(name)

    assert (await desk.numbers("one"), await desk.numbers("two")) == ([3, 4], [3, 4])


async def test_a_names_own_rule_goes_over_its_namespaces(desk: Desk) -> None:
    await desk.catalogue.update_namespace(ALICE, {"keep_versions": 1}, desk.clock())
    await desk.publish()
    await desk.catalogue.update_name(ALICE, NAME, {"keep_versions": 3})

    for _ in range(4):
        await desk.publish()

    assert await desk.numbers() == [3, 4, 5]


async def test_a_name_whose_rule_is_taken_away_inherits_its_namespaces(desk: Desk) -> None:
    await desk.catalogue.update_namespace(ALICE, {"keep_versions": 2}, desk.clock())
    await desk.publish()
    await desk.catalogue.update_name(ALICE, NAME, {"keep_versions": 9})
    for _ in range(3):
        await desk.publish()
    await desk.catalogue.update_name(ALICE, NAME, {"keep_versions": None})

    await desk.publish()

    assert await desk.numbers() == [4, 5]


async def test_retention_counts_versions_with_a_blob_and_drops_the_markers_between_older_ones(desk: Desk) -> None:
    await desk.catalogue.update_namespace(ALICE, {"keep_versions": 2}, desk.clock())
    await desk.publish()
    await desk.hide()
    await desk.publish()
    await desk.hide()
    await desk.publish()

    assert await desk.numbers() == [3, -4, 5]


async def test_hiding_a_name_drops_no_version(desk: Desk) -> None:
    await desk.catalogue.update_namespace(ALICE, {"keep_versions": 1}, desk.clock())
    await desk.publish()

    await desk.hide()

    assert await desk.numbers() == [1, -2]


async def test_a_blob_that_retention_let_go_is_gone_unless_something_else_holds_it(desk: Desk) -> None:
    await desk.catalogue.update_namespace(ALICE, {"keep_versions": 1}, desk.clock())
    own = await desk.add(b"own")
    await desk.bind(own)
    pushed_out = (await desk.publish(data=b"two")).blob

    await desk.publish(data=b"three")

    assert await desk.blob(own.uuid) == own
    assert await desk.blob(pushed_out.uuid) is None


# -- states -------------------------------------------------------------------------------------------------------


async def test_a_quarantined_payload_shows_in_all_its_blobs_and_storing_it_again_heals_them_all(desk: Desk) -> None:
    blobs = [
        await desk.add(b"abc"),
        await desk.add(b"abc", BOB),
        (await desk.publish(data=b"abc")).blob,
    ]
    await desk.catalogue.set_quarantined(digest_of(b"abc"), desk.clock())
    damaged = [(await desk.blob(blob.uuid)).state for blob in blobs]

    await desk.publish("healing", b"abc", BOB)

    assert damaged == [BlobState.ERROR] * 3
    assert [(await desk.blob(blob.uuid)).state for blob in blobs] == [BlobState.CREATED] * 3


async def test_binding_a_damaged_blob_does_not_heal_it(desk: Desk) -> None:
    blob = await desk.add(b"abc")
    await desk.catalogue.set_quarantined(blob.digest, desk.clock())

    copy = (await desk.bind(blob, namespace=BOB)).blob

    assert copy.state is BlobState.ERROR
    assert (await desk.blob(blob.uuid)).state is BlobState.ERROR
