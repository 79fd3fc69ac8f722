"""What holds a blob, and what else has its bytes."""

from collections.abc import Collection
from datetime import timedelta

from casd.catalogue.values import NO_GUARD, Holders
from casd.model import Blob, VersionRef
from tests.contracts.desk import ALICE, BOB, GRACE, Desk


async def holders(
    desk: Desk, blob: Blob, namespaces: Collection[str] | None = (ALICE,), limit: int = 100
) -> Holders | None:
    return await desk.catalogue.holders(blob.uuid, namespaces, limit, desk.clock())


def held_by(found: Holders | None) -> list[tuple[VersionRef, bool]]:
    assert found is not None
    return [(held.ref, held.hidden_at is not None) for held in found.versions]


class HoldingContract:
    """Subclasses give the fixture `desk`."""

    async def test_a_blob_is_held_by_itself_and_by_versions_hidden_ones_too(self, desk: Desk) -> None:
        blob = await desk.add(b"one")
        await desk.bind(blob, "b")
        await desk.bind(blob, "a")
        desk.clock.move(seconds=1)
        await desk.hide("a")

        found = await holders(desk, blob)

        assert held_by(found) == [(VersionRef(ALICE, "b", 1), False), (VersionRef(ALICE, "a", 1), True)]
        assert found is not None
        assert (found.blob.holds_itself, found.blob.version_count) == (True, 2)
        assert [held.hidden_at for held in found.versions][1] == desk.clock()

    async def test_holders_are_shown_up_to_a_limit_and_counted_beyond_it(self, desk: Desk) -> None:
        blob = await desk.add()
        for _ in range(3):
            await desk.bind(blob, "name")

        found = await holders(desk, blob, limit=2)

        assert held_by(found) == [(VersionRef(ALICE, "name", number), False) for number in (1, 2)]
        assert found is not None
        assert found.blob.version_count == 3

    async def test_other_blobs_of_the_bytes_are_counted_where_the_caller_may_look(self, desk: Desk) -> None:
        blob = await desk.add(b"same")
        await desk.add(b"same")
        await desk.add(b"same", BOB)
        await desk.add(b"same", expires_in_s=60)
        await desk.add(b"other")
        desk.clock.move(seconds=60)

        counted = [await holders(desk, blob, where) for where in ((ALICE,), (BOB,), (ALICE, BOB), (), None)]

        assert [found.other_blobs if found else None for found in counted] == [1, 1, 2, 0, 2]

    async def test_the_lease_is_that_of_the_payload(self, desk: Desk) -> None:
        stored_at = desk.clock()
        blob = await desk.add(b"same")
        first = await holders(desk, blob)
        desk.clock.move(minutes=5)
        await desk.add(b"same", BOB)

        found = await holders(desk, blob)

        assert first is not None
        assert found is not None
        assert first.keep_until == stored_at + GRACE
        assert found.keep_until == stored_at + timedelta(minutes=5) + GRACE

    async def test_what_is_gone_has_no_holders(self, desk: Desk) -> None:
        blob = await desk.add(expires_in_s=60)
        assert await holders(desk, blob) is not None

        desk.clock.move(seconds=60)

        assert await holders(desk, blob) is None

    async def test_a_hold_that_is_past_its_time_is_not_told(self, desk: Desk) -> None:
        blob = await desk.add(expires_in_s=60)
        await desk.bind(blob, "name")
        desk.clock.move(seconds=60)

        found = await holders(desk, blob)

        assert found is not None
        assert (found.blob.holds_itself, found.blob.expires_at) == (False, None)

    async def test_a_copy_that_is_bound_has_its_own_type_and_filename_and_only_its_version(self, desk: Desk) -> None:
        blob = await desk.add(b"same")
        new = desk.new_blob(content_type="a/new", filename="new.bin")

        version = await desk.catalogue.bind(
            blob.uuid, new, "name", NO_GUARD, None, desk.clock(), desk.keep_until, as_new=True
        )

        copy = version.blob
        assert copy is not None
        assert (copy.uuid, copy.digest) == (new.uuid, blob.digest)
        assert (copy.content_type, copy.filename) == ("a/new", "new.bin")
        assert (copy.holds_itself, copy.was_let_go, copy.version_count) == (False, False, 1)
        assert (await desk.blob(blob.uuid)).version_count == 0
