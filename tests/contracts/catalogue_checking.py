"""What was checked when, what is damaged, and whom that hits."""

from datetime import timedelta

import pytest

from casd.errors import InvalidInput
from casd.model import BlobState, Digest
from tests.contracts.desk import ALICE, BOB, Desk, every_page
from tests.contracts.oracle import digest_of, receipt_of


async def unchecked(desk: Desk, *, is_deep: bool = False) -> list[Digest]:
    """All that was not checked at this moment, fetched with pages of two."""
    now = desk.clock()
    pages = await every_page(lambda limit, after: desk.catalogue.unchecked(now, limit, after, is_deep=is_deep))
    return [item.digest for item in pages]


async def three(desk: Desk) -> list[Digest]:
    """Three payloads, an hour apart."""
    digests = []
    for data in (b"one", b"two", b"three"):
        digests.append((await desk.add(data)).digest)
        desk.clock.move(hours=1)
    return digests


class CheckingContract:
    """Subclasses give the fixture `desk`."""

    async def test_what_was_stored_counts_as_checked_then(self, desk: Desk) -> None:
        digests = await three(desk)
        start = desk.clock() - timedelta(hours=3)

        assert await unchecked(desk) == await unchecked(desk, is_deep=True) == digests
        assert await desk.catalogue.oldest_checks() == (start, start)
        page = await desk.catalogue.unchecked(start + timedelta(hours=1), 10, None)
        assert [(item.digest, item.size) for item in page.items] == [(digests[0], 3)]

    async def test_the_longest_unchecked_is_the_first(self, desk: Desk) -> None:
        one, two, three_ = await three(desk)

        await desk.catalogue.set_checked([one, two], desk.clock(), is_deep=False)
        desk.clock.move(hours=1)
        await desk.catalogue.set_checked([one], desk.clock(), is_deep=True)
        desk.clock.move(hours=1)

        assert await unchecked(desk) == [three_, two, one]
        assert await unchecked(desk, is_deep=True) == [two, three_, one]

    async def test_a_check_is_never_older_than_one_before(self, desk: Desk) -> None:
        digests = await three(desk)
        before = await desk.catalogue.oldest_checks()

        await desk.catalogue.set_checked(digests, desk.clock() - timedelta(days=9), is_deep=True)

        assert await desk.catalogue.oldest_checks() == before

    async def test_many_that_were_stored_at_one_moment_are_all_listed(self, desk: Desk) -> None:
        digests = {(await desk.add(f"{number}".encode())).digest for number in range(7)}
        desk.clock.move(seconds=1)

        listed = await unchecked(desk)

        assert (len(listed), set(listed)) == (7, digests)

    async def test_a_cursor_of_another_listing_is_refused(self, desk: Desk) -> None:
        with pytest.raises(InvalidInput):
            await desk.catalogue.unchecked(desk.clock(), 10, b"abc")

    async def test_an_empty_catalogue_has_no_oldest_check(self, desk: Desk) -> None:
        assert await desk.catalogue.oldest_checks() == (None, None)

    async def test_what_is_damaged_is_not_checked_but_listed_for_repair(self, desk: Desk) -> None:
        one, two, _ = await three(desk)
        for digest in (one, two):
            await desk.catalogue.set_quarantined(digest, desk.clock())
        await desk.catalogue.set_checked([one], desk.clock(), is_deep=True)

        damaged = await every_page(lambda limit, after: desk.catalogue.damaged(limit, after))

        assert one not in await unchecked(desk)
        assert sorted(damaged, key=lambda digest: digest.raw) == sorted((one, two), key=lambda digest: digest.raw)
        assert damaged == sorted(damaged, key=lambda digest: digest.raw)

    async def test_what_nothing_refers_to_is_not_repaired(self, desk: Desk) -> None:
        blob = await desk.add()
        await desk.drop(blob)
        await desk.catalogue.set_quarantined(blob.digest, desk.clock())

        assert (await desk.catalogue.damaged(10, None)).items == ()

    async def test_healing_makes_all_blobs_good_and_refers_to_no_more_than_before(self, desk: Desk) -> None:
        blobs = [await desk.add(), await desk.add(namespace=BOB)]
        await desk.catalogue.set_quarantined(blobs[0].digest, desk.clock())
        assert [(await desk.blob(blob.uuid)).state for blob in blobs] == [BlobState.ERROR] * 2  # type: ignore[union-attr]
        before = await desk.catalogue.totals()
        desk.clock.move(hours=1)

        assert await desk.catalogue.heal(receipt_of(b"abc"), desk.clock())

        assert [(await desk.blob(blob.uuid)).state for blob in blobs] == [BlobState.CREATED] * 2  # type: ignore[union-attr]
        assert await desk.catalogue.oldest_checks() == (desk.clock(), desk.clock())
        after = await desk.catalogue.totals()
        assert (after.blobs, after.payloads, after.quarantined_payloads) == (before.blobs, before.payloads, 0)

    async def test_what_is_not_known_is_not_healed(self, desk: Desk) -> None:
        assert not await desk.catalogue.heal(receipt_of(b"unknown"), desk.clock())
        assert await desk.catalogue.known_payloads([digest_of(b"unknown")]) == set()

    async def test_a_hit_names_blobs_and_versions_up_to_a_limit_and_counts_them_all(self, desk: Desk) -> None:
        blobs = [await desk.add() for _ in range(25)]
        for number in range(25):
            await desk.bind(blobs[0], f"name {number}")
        await desk.add(b"another")

        hit = await desk.catalogue.hit(blobs[0].digest)

        assert (hit.blob_count, hit.version_count) == (25, 25)
        assert (len(hit.blobs), len(hit.versions)) == (20, 20)
        assert set(hit.blobs) <= {(blob.uuid, ALICE) for blob in blobs}
        assert (await desk.catalogue.hit(digest_of(b"unknown"))).blob_count == 0

    async def test_a_sound_catalogue_has_no_problems(self, desk: Desk) -> None:
        await three(desk)

        assert await desk.catalogue.problems() == []
