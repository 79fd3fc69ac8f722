"""What look-ups and listings of every catalogue must do."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from casd.catalogue.values import BlobFilter
from casd.errors import InvalidInput, NameNotFound
from casd.model import Blob, BlobState, Namespace, Receipt, Role, Token, VersionRef
from tests.contracts.desk import ALICE, BOB, NAME, NO_FILTER, Desk, every_page
from tests.contracts.oracle import digest_of, receipt_of, some_bytes
from tests.fakes import NOW

ABSENT = UUID(int=1 << 100)
MICROSECOND = timedelta(microseconds=1)


def token_of(number: int, **about: Any) -> Token:
    token = Token(UUID(int=number), f"token-{number}", Role.WRITER, (ALICE,), created_at=NOW, expires_at=None)
    return replace(token, **about)


def having(*metadata: tuple[str, str], content_type: str | None = None) -> BlobFilter:
    return BlobFilter(content_type, metadata)


class LookupContract:
    """Subclasses give the fixture `desk`."""

    async def test_a_blob_is_found_with_all_its_facts(self, desk: Desk) -> None:
        receipt = receipt_of(b"abc")

        added = await desk.add(b"abc", filename="ä file", content_type="image/png", expires_in_s=60)

        assert await desk.blob(added.uuid) == added
        assert added == Blob(
            uuid=added.uuid,
            namespace=ALICE,
            digest=receipt.digest,
            sha256=receipt.sha256,
            xxh3_128=receipt.xxh3_128,
            size=3,
            content_type="image/png",
            filename="ä file",
            state=BlobState.CREATED,
            holds_itself=True,
            was_let_go=False,
            version_count=0,
            created_at=desk.clock(),
            expires_at=desk.clock() + timedelta(seconds=60),
        )

    async def test_times_keep_their_microseconds(self, desk: Desk) -> None:
        desk.clock.move(microseconds=123_457)

        added = await desk.add(expires_in_s=0.000_001)

        blob = await desk.blob(added.uuid)
        assert blob is not None
        assert (blob.created_at, blob.expires_at) == (desk.clock(), desk.clock() + MICROSECOND)

    async def test_what_was_never_there_is_none(self, desk: Desk) -> None:
        catalogue, now = desk.catalogue, desk.clock()

        assert await catalogue.blob(ABSENT, now) is None
        assert await catalogue.view(ABSENT, now) is None
        assert await catalogue.version(ALICE, NAME) is None
        assert await catalogue.version(ALICE, NAME, 1) is None
        assert await catalogue.version("nobody", NAME) is None
        assert await catalogue.version_as_of(ALICE, NAME, now) is None
        assert await catalogue.blob_of_payload(digest_of(b"absent"), None, now) is None
        assert await catalogue.namespace("nobody") is None
        assert await catalogue.token(bytes(32)) is None
        assert await catalogue.name_info(ALICE, NAME) is None
        assert await catalogue.block_checksums(digest_of(b"absent"), 0, 1) is None
        assert await catalogue.holding_versions(ABSENT, 10) == ()

    async def test_a_blob_is_gone_at_its_expiry_and_not_a_microsecond_before(self, desk: Desk) -> None:
        blob = await desk.add(expires_in_s=60)

        desk.clock.move(seconds=60, microseconds=-1)
        assert await desk.blob(blob.uuid) == blob
        desk.clock.move(microseconds=1)

        assert await desk.blob(blob.uuid) is None
        assert await desk.catalogue.view(blob.uuid, desk.clock()) is None

    async def test_a_version_is_found_newest_first_or_by_number(self, desk: Desk) -> None:
        first = await desk.publish(data=b"one", by="a token")
        second = await desk.publish(data=b"two")

        assert await desk.newest() == second
        assert await desk.catalogue.version(ALICE, NAME, 1) == first
        assert await desk.catalogue.version(ALICE, NAME, 3) is None
        assert await desk.catalogue.version(ALICE, NAME, 0) is None
        assert (first.published_by, second.published_by) == ("a token", None)

    async def test_a_look_up_sees_every_write_that_returned(self, desk: Desk) -> None:
        """Each look-up before a write puts the value into whatever cache there is."""
        blob = await desk.add()
        await desk.bind(blob)
        assert (await desk.newest()).blob.holds_itself

        await desk.drop(blob)
        assert not (await desk.newest()).blob.holds_itself
        assert not (await desk.blob(blob.uuid)).holds_itself
        await desk.bind(blob)
        assert (await desk.blob(blob.uuid)).version_count == 2
        assert (await desk.newest()).blob.version_count == 2
        await desk.remove(2)
        assert (await desk.newest()).number == 1
        await desk.hide()
        assert (await desk.newest()).is_marker
        await desk.undelete()
        assert (await desk.newest()).number == 1
        await desk.catalogue.set_quarantined(blob.digest, desk.clock())
        assert (await desk.blob(blob.uuid)).state is BlobState.ERROR
        assert (await desk.newest()).blob.state is BlobState.ERROR
        await desk.publish("another", b"abc")
        assert (await desk.blob(blob.uuid)).state is BlobState.CREATED
        await desk.purge()
        assert await desk.newest() is None
        assert await desk.blob(blob.uuid) is None

    async def test_the_oldest_living_blob_of_a_payload_is_found_in_the_given_namespaces(self, desk: Desk) -> None:
        oldest = await desk.add(b"same", BOB, expires_in_s=60)
        desk.clock.move(seconds=1)
        mine = await desk.add(b"same", ALICE)
        await desk.add(b"same", ALICE)

        async def found(namespaces: list[str] | None) -> UUID | None:
            blob = await desk.catalogue.blob_of_payload(digest_of(b"same"), namespaces, desk.clock())
            return blob.uuid if blob else None

        assert await found(None) == oldest.uuid
        assert await found([ALICE]) == mine.uuid
        assert await found([ALICE, BOB, "nobody"]) == oldest.uuid
        assert await found([]) is None
        desk.clock.move(seconds=60)
        assert await found(None) == mine.uuid
        assert await found([BOB]) is None

    async def test_block_checksums_are_found_across_the_gib_that_they_are_kept_by(self, desk: Desk) -> None:
        blocks = some_bytes(8 * 2051)  # of two GiB and three MiB
        receipt = Receipt(digest_of(b"large"), bytes(32), bytes(16), 2051 << 20, blocks)
        await desk.catalogue.add_blob(desk.new_blob(), receipt, desk.clock(), desk.keep_until)

        for start, stop in ((0, 1), (0, 2051), (1023, 1025), (1024, 1025), (1000, 2050), (2048, 2051), (7, 7)):
            found = await desk.catalogue.block_checksums(receipt.digest, start, stop)
            assert found == blocks[8 * start : 8 * stop], (start, stop)

    async def test_block_checksums_past_the_end_are_nothing(self, desk: Desk) -> None:
        receipt = receipt_of(some_bytes(1000))
        await desk.add(some_bytes(1000))
        await desk.add(b"")

        assert await desk.catalogue.block_checksums(receipt.digest, 0, 5000) == receipt.blocks
        assert await desk.catalogue.block_checksums(receipt.digest, 3000, 5000) == b""
        assert await desk.catalogue.block_checksums(digest_of(b""), 0, 1) == b""

    async def test_storing_again_replaces_the_block_checksums(self, desk: Desk) -> None:
        wrong = replace(receipt_of(b"abc"), blocks=bytes(8 * 1030))
        await desk.catalogue.add_blob(desk.new_blob(), wrong, desk.clock(), desk.keep_until)

        await desk.add(b"abc")

        found = await desk.catalogue.block_checksums(digest_of(b"abc"), 0, 2000)
        assert found == receipt_of(b"abc").blocks

    async def test_a_view_has_metadata_and_the_versions_that_hold_the_blob(self, desk: Desk) -> None:
        blob = await desk.add()
        await desk.set_metadata(blob, "k", [1, {"x": None}])
        await desk.bind(blob, "b")
        await desk.bind(blob, "a")
        await desk.bind(blob, "b", BOB)

        view = await desk.catalogue.view(blob.uuid, desk.clock())

        assert view.blob == await desk.blob(blob.uuid)
        assert view.metadata == {"k": [1, {"x": None}]}
        assert view.names == (VersionRef(ALICE, "b", 1), VersionRef(ALICE, "a", 1))
        assert await desk.catalogue.holding_versions(blob.uuid, 10) == view.names

    async def test_a_view_shows_a_hundred_names_at_most(self, desk: Desk) -> None:
        blob = await desk.add()
        for number in range(102):
            await desk.bind(blob, f"name {number:03}")

        view = await desk.catalogue.view(blob.uuid, desk.clock())

        assert [ref.name for ref in view.names] == [f"name {number:03}" for number in range(100)]
        assert len(await desk.catalogue.holding_versions(blob.uuid, 1000)) == 102
        assert len(await desk.catalogue.holding_versions(blob.uuid, 1)) == 1


class ListingContract:
    """Subclasses give the fixture `desk`."""

    async def test_blobs_are_listed_by_namespace_then_uuid(self, desk: Desk) -> None:
        added = [await desk.add(namespace=namespace) for namespace in (BOB, ALICE, BOB, ALICE, ALICE)]
        uuids = [blob.uuid for blob in added]

        everything = [uuids[1], uuids[3], uuids[4], uuids[0], uuids[2]]
        assert await desk.listed() == everything
        assert await desk.listed(BOB, ALICE, BOB, "nobody") == everything
        assert await desk.listed(BOB) == [uuids[0], uuids[2]]
        assert await desk.listed("nobody") == []

    @pytest.mark.parametrize("limit", [1, 2, 3, 4, 100])
    async def test_pages_of_any_size_give_each_blob_once(self, desk: Desk, limit: int) -> None:
        added = {(await desk.add(namespace=namespace)).uuid for namespace in (ALICE, BOB, ALICE, BOB)}

        views = await every_page(
            lambda limit, after: desk.catalogue.blobs(None, NO_FILTER, limit, after, desk.clock()), limit
        )

        assert [view.blob.uuid for view in views] == sorted(added, key=lambda uuid: (uuid.int % 2 == 0, uuid))

    async def test_a_page_is_resumed_where_it_ended_although_its_last_blob_is_gone(self, desk: Desk) -> None:
        blobs = [await desk.add() for _ in range(5)]
        page = await desk.catalogue.blobs([ALICE], NO_FILTER, 2, None, desk.clock())
        await desk.drop(blobs[1])
        await desk.drop(blobs[2])

        rest = await desk.catalogue.blobs([ALICE], NO_FILTER, 9, page.next, desk.clock())

        assert [view.blob for view in rest.items] == blobs[3:]
        assert rest.next is None

    @pytest.mark.parametrize("listing", ["blobs", "checksum", "names", "folder", "versions"])
    async def test_a_page_of_blobs_with_much_metadata_is_shorter_and_none_is_left_out(
        self, desk: Desk, listing: str
    ) -> None:
        """Else a page of 1000 could be a GiB."""
        catalogue, now = desk.catalogue, desk.clock()
        uuids = []
        for number in range(12):
            name = NAME if listing == "versions" else f"name {number:02}"
            namespace = BOB if listing == "blobs" and number > 5 else ALICE  # a page goes from one to the next
            blob = (await desk.publish(name, namespace=namespace)).blob
            await desk.set_metadata(blob, "k", "x" * (1 << 20), limit_bytes=2 << 20)
            uuids.append(blob.uuid)
        fetch: dict[str, Any] = {
            "blobs": lambda after: catalogue.blobs([ALICE, BOB], NO_FILTER, 100, after, now),
            "checksum": lambda after: catalogue.blobs_by_checksum(
                "sha512", digest_of(b"abc").raw, None, 100, after, now
            ),
            "names": lambda after: catalogue.names(ALICE, "", 100, after, now),
            "folder": lambda after: catalogue.folder(ALICE, "", 100, after, now),
            "versions": lambda after: catalogue.versions(ALICE, NAME, 100, after, now),
        }

        first = await fetch[listing](None)
        rest = await fetch[listing](first.next)

        assert 8 <= len(first.items) <= 10
        assert [item.blob.uuid for item in (*first.items, *rest.items)] == uuids
        assert rest.next is None

    async def test_expired_blobs_are_not_listed_and_those_held_by_a_version_hold_themselves_no_more(
        self, desk: Desk
    ) -> None:
        await desk.add(b"one", expires_in_s=60)
        held = await desk.add(b"two", expires_in_s=60)
        await desk.bind(held)
        desk.clock.move(seconds=60)

        page = await desk.catalogue.blobs([ALICE], NO_FILTER, 9, None, desk.clock())
        found = await desk.catalogue.blobs_by_checksum("sha512", held.digest.raw, None, 9, None, desk.clock())

        assert page == found
        assert [(view.blob.uuid, view.blob.holds_itself, view.blob.expires_at) for view in page.items] == [
            (held.uuid, False, None)
        ]

    async def test_blobs_are_narrowed_to_a_content_type(self, desk: Desk) -> None:
        png = [(await desk.add(content_type="image/png", namespace=ns)).uuid for ns in (ALICE, ALICE, ALICE, BOB)]
        await desk.add(content_type="image/jpeg")

        assert await desk.listed(only=BlobFilter("image/png")) == png
        assert await desk.listed(BOB, only=BlobFilter("image/png")) == png[3:]
        assert await desk.listed(only=BlobFilter("image/PNG")) == []

    @pytest.mark.parametrize(
        ("text", "values"),
        [
            ("blue", ["blue"]),
            ("5", [5, "5"]),
            ("true", [True, "true"]),
            ("null", [None, "null"]),
            ("[1,2]", [[1, 2], "[1,2]"]),
            ('{"a":"ü"}', [{"a": "ü"}]),
            ('"5"', ['"5"']),
            ('"blue"', []),
            ("", [""]),
            ("[1, 2]", []),
        ],
    )
    async def test_metadata_matches_a_strings_text_or_other_json_in_compact_form(
        self, desk: Desk, text: str, values: list[Any]
    ) -> None:
        blobs = {}
        for value in ("blue", 5, "5", True, "true", None, "null", [1, 2], "[1,2]", {"a": "ü"}, '"5"', ""):
            blob = await desk.add()
            await desk.set_metadata(blob, "key", value)
            await desk.set_metadata(blob, "other key", text)
            blobs[blob.uuid] = value

        found = await desk.listed(ALICE, only=having(("key", text)))

        assert [blobs[uuid] for uuid in found] == values

    async def test_metadata_and_content_type_narrow_together(self, desk: Desk) -> None:
        blobs = [await desk.add(content_type=kind) for kind in ("a/a", "a/b", "a/a", "a/a")]
        for blob in blobs[:3]:
            await desk.set_metadata(blob, "k", "v")

        found = await desk.listed(only=having(("k", "v"), content_type="a/a"))

        assert found == [blobs[0].uuid, blobs[2].uuid]

    async def test_several_keys_of_metadata_must_all_match(self, desk: Desk) -> None:
        blobs = [await desk.add() for _ in range(4)]
        for blob, color, size in zip(blobs, ("red", "red", "blue", "red"), (1, 2, 1, 1), strict=True):
            await desk.set_metadata(blob, "color", color)
            await desk.set_metadata(blob, "size", size)

        found = await desk.listed(only=having(("color", "red"), ("size", "1")))

        assert found == [blobs[0].uuid, blobs[3].uuid]
        assert await desk.listed(only=having(("color", "red"), ("size", "1"), ("shape", "round"))) == []

    async def test_metadata_that_was_changed_or_deleted_matches_no_more(self, desk: Desk) -> None:
        blob = await desk.add()
        await desk.set_metadata(blob, "k", "old")
        await desk.set_metadata(blob, "k", "new")

        assert await desk.listed(only=having(("k", "old"))) == []
        assert await desk.listed(only=having(("k", "new"))) == [blob.uuid]
        await desk.catalogue.delete_metadata(blob.uuid, "k", desk.clock())
        assert await desk.listed(only=having(("k", "new"))) == []

    @pytest.mark.parametrize("algorithm", ["sha512", "sha256", "xxh3-128"])
    async def test_blobs_are_found_by_checksum_page_by_page(self, desk: Desk, algorithm: str) -> None:
        receipt = receipt_of(b"same")
        value = {"sha512": receipt.digest.raw, "sha256": receipt.sha256, "xxh3-128": receipt.xxh3_128}[algorithm]
        same = [(await desk.add(b"same", namespace)).uuid for namespace in (ALICE, BOB, ALICE, BOB, ALICE)]
        await desk.add(b"other")

        async def found(namespaces: list[str] | None, value: bytes = value) -> list[UUID]:
            views = await every_page(
                lambda limit, after: desk.catalogue.blobs_by_checksum(
                    algorithm, value, namespaces, limit, after, desk.clock()
                )
            )
            return [view.blob.uuid for view in views]

        assert await found(None) == same
        assert await found([BOB]) == same[1::2]
        assert await found([]) == []
        assert await found(None, bytes(len(value))) == []

    @pytest.mark.parametrize(
        ("prefix", "found"),
        [
            ("", ["Z", "a", "a%b", "a/b", "a/c", "a_b", "ab", "b", "é", "日本"]),
            ("a", ["a", "a%b", "a/b", "a/c", "a_b", "ab"]),
            ("a/", ["a/b", "a/c"]),
            ("a%", ["a%b"]),
            ("a_", ["a_b"]),
            ("é", ["é"]),
            ("日", ["日本"]),
            ("A", []),
            ("a/b/c", []),
        ],
    )
    async def test_names_are_listed_by_their_bytes_below_a_prefix(
        self, desk: Desk, prefix: str, found: list[str]
    ) -> None:
        for name in ("日本", "b", "a/c", "a", "ab", "a/b", "Z", "é", "a_b", "a%b"):
            await desk.publish(name)
        await desk.publish("a/bobs", namespace=BOB)

        assert await desk.names(prefix) == found

    @pytest.mark.parametrize("limit", [1, 2, 100])
    @pytest.mark.parametrize(
        ("prefix", "found"),
        [
            ("", ["Z", "a", "a b/", "a/", "a0", "b/", "é/", "日本"]),
            ("a", ["a", "a b/", "a/", "a0"]),
            ("a/", ["a/b", "a/b/", "a/c/", "a/d"]),
            ("a/b", ["a/b", "a/b/"]),
            ("a/b/", ["a/b/1", "a/b/2"]),
            ("é/", ["é/é/"]),
            ("a/x", []),
            ("A", []),
        ],
    )
    async def test_a_folder_shows_its_names_and_the_folders_in_it(
        self, desk: Desk, prefix: str, found: list[str], limit: int
    ) -> None:
        for name in ("日本", "b/1/2/3", "a/c/d", "a", "a0", "a/b", "a/d", "Z", "é/é/é", "a/b/1", "a/b/2", "a b/c"):
            await desk.publish(name)
        for name in ("hidden/a", "a/b/0", "a/a"):
            await desk.publish(name)
            await desk.hide(name)
        await desk.publish("bobs/1", namespace=BOB)

        assert await desk.folder(prefix, limit=limit) == found

    async def test_what_a_folder_shows_of_a_name_is_what_the_names_show(self, desk: Desk) -> None:
        await desk.publish("a")
        await desk.publish("a", b"two")
        await desk.publish("b/c")

        shown = await desk.catalogue.folder(ALICE, "", 9, None, desk.clock())
        names = await desk.catalogue.names(ALICE, "", 9, None, desk.clock())

        assert shown.items == (names.items[0], "b/")
        assert (await desk.catalogue.folder("nobody", "", 9, None, desk.clock())).items == ()

    async def test_names_come_with_their_newest_version_and_without_the_hidden(self, desk: Desk) -> None:
        await desk.publish("a")
        newest = await desk.publish("a", b"two")
        await desk.publish("hidden")
        await desk.hide("hidden")
        await desk.publish("shown again")
        await desk.hide("shown again")
        shown = await desk.undelete("shown again")

        page = await desk.catalogue.names(ALICE, "", 9, None, desk.clock())

        assert page.items == (newest, shown)

    async def test_names_of_an_absent_namespace_are_none(self, desk: Desk) -> None:
        assert (await desk.catalogue.names("nobody", "", 9, None, desk.clock())).items == ()

    async def test_a_listing_sees_every_write_that_returned_while_others_are_under_way(self, desk: Desk) -> None:
        for number in range(100):
            await desk.publish(f"a/{number:03}")
        done = asyncio.Event()

        async def list_on() -> None:
            while not done.is_set():
                await desk.catalogue.names(ALICE, "a/", 100, None, desk.clock())

        readers = [asyncio.create_task(list_on()) for _ in range(4)]
        try:
            for number in range(50):
                version = await desk.publish(f"b/{number}")
                page = await desk.catalogue.versions(ALICE, version.name, 1, None, desk.clock())
                assert [each.number for each in page.items] == [version.number]
        finally:
            done.set()
            await asyncio.gather(*readers)

    async def test_versions_are_listed_with_their_markers(self, desk: Desk) -> None:
        await desk.publish()
        await desk.hide()
        await desk.publish()

        assert await desk.numbers() == [1, -2, 3]
        page = await desk.catalogue.versions(ALICE, NAME, 9, None, desk.clock())
        assert [version.blob is None for version in page.items] == [False, True, False]
        assert page.items[2] == await desk.newest()

    async def test_a_listed_version_has_its_blob_with_all_that_belongs_to_it(self, desk: Desk) -> None:
        version = await desk.publish()
        assert version.blob is not None
        await desk.catalogue.set_metadata(version.blob.uuid, "os", ["linux"], 1000, desk.clock())

        by_name = (await desk.catalogue.names(ALICE, "", 9, None, desk.clock())).items[0].view
        by_number = (await desk.catalogue.versions(ALICE, NAME, 9, None, desk.clock())).items[0].view

        assert by_name == by_number == await desk.catalogue.view(version.blob.uuid, desk.clock())
        assert by_name is not None
        assert by_name.metadata == {"os": ["linux"]}

    async def test_versions_of_an_absent_name_are_not_found(self, desk: Desk) -> None:
        await desk.publish()

        for namespace, name in ((ALICE, "absent"), (BOB, NAME), ("nobody", NAME)):
            with pytest.raises(NameNotFound):
                await desk.catalogue.versions(namespace, name, 9, None, desk.clock())

    async def test_a_page_after_the_last_version_is_empty(self, desk: Desk) -> None:
        for _ in range(3):
            await desk.publish()
        page = await desk.catalogue.versions(ALICE, NAME, 2, None, desk.clock())
        await desk.remove(3)

        assert (await desk.catalogue.versions(ALICE, NAME, 2, page.next, desk.clock())).items == ()

    async def test_namespaces_are_all_or_those_that_are_open_to_somebody(self, desk: Desk) -> None:
        for name, readers in (("open", {"*"}), ("for-bob", {BOB, "x"}), ("closed", {"nobody"})):
            await desk.catalogue.update_namespace(name, {"readers": readers}, desk.clock())

        everything = [namespace.name for namespace in await desk.catalogue.namespaces(None)]
        bobs = [namespace.name for namespace in await desk.catalogue.namespaces([BOB])]

        assert everything == [ALICE, BOB, "closed", "for-bob", "open"]
        assert bobs == [BOB, "for-bob", "open"]
        assert [namespace.name for namespace in await desk.catalogue.namespaces([])] == ["open"]
        assert (await desk.catalogue.namespace("for-bob")) == Namespace("for-bob", frozenset({BOB, "x"}))

    async def test_tokens_are_listed_page_by_page(self, desk: Desk) -> None:
        tokens = [token_of(number) for number in (5, 3, 4, 1, 2)]
        for number, token in enumerate(tokens):
            await desk.catalogue.add_token(token, bytes([number]) * 32)

        assert await every_page(desk.catalogue.tokens) == tokens

    @pytest.mark.parametrize("after", [b"", b"x", b"not a cursor", b"\xff" * 40])
    async def test_a_cursor_that_no_listing_gave_is_refused(self, desk: Desk, after: bytes) -> None:
        await desk.publish()
        catalogue, now = desk.catalogue, desk.clock()
        listings = [
            lambda: catalogue.blobs(None, NO_FILTER, 9, after, now),
            lambda: catalogue.blobs([ALICE], NO_FILTER, 9, after, now),
            lambda: catalogue.blobs_by_checksum("sha256", bytes(32), None, 9, after, now),
            lambda: catalogue.versions(ALICE, NAME, 9, after, now),
            lambda: catalogue.tokens(9, after),
            lambda: catalogue.unreferenced(now, 9, after),
        ]

        for listing in listings:
            with pytest.raises(InvalidInput):
                await listing()

    async def test_blobs_that_hold_themselves_are_listed_by_number(self, desk: Desk) -> None:
        mine = [await desk.add(b"%d" % at) for at in range(5)]
        await desk.add(namespace=BOB)
        await desk.publish()  # held by its version alone
        short = await desk.add(expires_in_s=60)
        desk.clock.move(minutes=1)
        (gone, *kept) = mine
        await desk.drop(gone)

        async def listed(limit: int, offset: int) -> list[Blob]:
            return await desk.catalogue.own_blobs(ALICE, limit, offset, desk.clock())

        assert await listed(10, 0) == kept
        assert await listed(2, 1) == kept[1:3]
        assert await listed(2, 4) == await listed(2, 1 << 62) == []
        assert short not in await listed(10, 0)
        assert await desk.catalogue.own_blobs("nobody", 1, 0, desk.clock()) == []
