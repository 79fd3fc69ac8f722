"""What every catalogue must do for resumable uploads and for signed URLs."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from casd.catalogue.values import NO_GUARD, UploadTotals
from casd.errors import NamespaceNotFound, PreconditionFailed, TooManyUploads, UploadNotFound
from casd.model import ByteRange, Guard, Naming, Page, Role, Token, Upload, UploadPart
from tests.contracts.desk import ALICE, BOB, NAME, Desk
from tests.contracts.oracle import digest_of, receipt_of

TOKEN = UUID(int=7 << 100)
NOBODYS = UUID(int=9 << 100)
DAY = timedelta(days=1)


async def begin(desk: Desk, limit: int = 100, **facts: Any) -> Upload:
    begun = await begin_again(desk, limit, **facts)
    assert begun.created_at == desk.clock()
    return begun


async def begin_again(desk: Desk, limit: int = 100, **facts: Any) -> Upload:
    upload = Upload(
        uuid=desk.new_uuid(),
        namespace=facts.pop("namespace", ALICE),
        token=facts.pop("token", TOKEN),
        size=facts.pop("size", 3),
        offset=0,
        digest=facts.pop("digest", None),
        name=facts.pop("name", None),
        content_type="text/plain",
        filename=facts.pop("filename", None),
        metadata=facts.pop("metadata", ""),
        created_at=desk.clock(),
        expires_at=desk.clock() + DAY,
        **facts,
    )
    return await desk.catalogue.add_upload(upload, limit)


class TransferContract:
    """Subclasses give the fixture `desk`."""

    # -- uploads ------------------------------------------------------------------------------------------

    async def test_an_upload_is_found_as_it_was_added(self, desk: Desk) -> None:
        plain = await begin(desk)
        told = await begin(
            desk, size=None, digest=digest_of(b"abc"), name="ein Fünftel/½", filename="½.txt", metadata="name eA=="
        )

        assert await desk.catalogue.upload(plain.uuid) == plain
        assert await desk.catalogue.upload(told.uuid) == told
        assert await desk.catalogue.upload(NOBODYS) is None
        assert await desk.catalogue.unfinished_uploads() == {plain.uuid, told.uuid}
        assert await desk.catalogue.upload_totals() == UploadTotals(2, 0, 3)

    async def test_an_upload_in_an_absent_namespace_is_refused(self, desk: Desk) -> None:
        with pytest.raises(NamespaceNotFound):
            await begin(desk, namespace="nobody")

    async def test_a_token_has_only_so_many_unfinished_uploads(self, desk: Desk) -> None:
        first, second = await begin(desk, limit=2), await begin(desk, limit=2)

        with pytest.raises(TooManyUploads):
            await begin(desk, limit=2)
        await begin(desk, limit=2, token=NOBODYS)  # each token has its own
        await desk.catalogue.remove_upload(first.uuid)
        await begin(desk, limit=2)
        await desk.catalogue.add_blob(desk.new_blob(), receipt_of(b"abc"), desk.clock(), desk.keep_until, second.uuid)
        await begin(desk, limit=2)  # a finished one does not count

    async def test_an_offset_moves_and_so_does_the_end(self, desk: Desk) -> None:
        upload = await begin(desk)

        await desk.catalogue.set_upload_offset(upload.uuid, 2, desk.clock() + 2 * DAY, digest_of(b"ab"))

        moved = replace(upload, offset=2, prefix=digest_of(b"ab"), expires_at=desk.clock() + 2 * DAY)
        assert await desk.catalogue.upload(upload.uuid) == moved
        await desk.catalogue.set_upload_offset(upload.uuid, 3, desk.clock() + 2 * DAY)
        assert await desk.catalogue.upload(upload.uuid) == replace(moved, offset=3, prefix=None)
        await desk.catalogue.set_upload_offset(upload.uuid, 2, desk.clock() + 2 * DAY)
        assert (await desk.catalogue.upload_totals()).received_bytes == 2

    async def test_a_blob_finishes_its_upload_in_one_transaction(self, desk: Desk) -> None:
        upload, new = await begin(desk), desk.new_blob()

        blob = await desk.catalogue.add_blob(new, receipt_of(b"abc"), desk.clock(), desk.keep_until, upload.uuid)

        digest = digest_of(b"abc")
        finished = replace(upload, offset=3, size=3, digest=digest, prefix=digest, blob=blob.uuid)
        assert await desk.catalogue.upload(upload.uuid) == finished
        assert await desk.catalogue.unfinished_uploads() == set()
        assert await desk.catalogue.upload_totals() == UploadTotals(0, 0, 0)

    async def test_a_version_finishes_its_upload_in_one_transaction(self, desk: Desk) -> None:
        upload, new = await begin(desk, name=NAME), desk.new_blob()

        await desk.catalogue.publish(
            new, receipt_of(b"abc"), NAME, NO_GUARD, None, desk.clock(), desk.keep_until, upload.uuid
        )

        finished = await desk.catalogue.upload(upload.uuid)
        assert finished is not None
        assert (finished.blob, finished.version) == (new.uuid, 1)

    @pytest.mark.parametrize("state", ["absent", "finished"])
    async def test_nothing_is_made_of_an_upload_that_is_absent_or_finished(self, desk: Desk, state: str) -> None:
        uuid = NOBODYS
        if state == "finished":
            uuid = (await begin(desk)).uuid
            await desk.catalogue.add_blob(desk.new_blob(), receipt_of(b"abc"), desk.clock(), desk.keep_until, uuid)
        before = await desk.catalogue.totals()

        with pytest.raises(UploadNotFound):
            await desk.catalogue.add_blob(desk.new_blob(), receipt_of(b"x"), desk.clock(), desk.keep_until, uuid)
        with pytest.raises(UploadNotFound):
            await desk.catalogue.publish(
                desk.new_blob(), receipt_of(b"x"), NAME, NO_GUARD, None, desk.clock(), desk.keep_until, uuid
            )
        with pytest.raises(UploadNotFound):
            await desk.catalogue.set_upload_offset(uuid, 1, desk.clock())

        assert await desk.catalogue.totals() == before
        assert await desk.newest() is None

    async def test_a_version_that_is_refused_leaves_its_upload_unfinished(self, desk: Desk) -> None:
        upload = await begin(desk, name=NAME)

        with pytest.raises(PreconditionFailed):
            await desk.catalogue.publish(
                desk.new_blob(),
                receipt_of(b"abc"),
                NAME,
                Guard(match_any=True),
                None,
                desk.clock(),
                desk.keep_until,
                upload.uuid,
            )

        assert await desk.catalogue.upload(upload.uuid) == upload

    async def test_an_upload_that_was_removed_is_gone(self, desk: Desk) -> None:
        upload = await begin(desk)

        await desk.catalogue.remove_upload(upload.uuid)

        assert await desk.catalogue.upload(upload.uuid) is None
        with pytest.raises(UploadNotFound):
            await desk.catalogue.remove_upload(upload.uuid)

    async def test_uploads_past_their_time_are_listed_oldest_first(self, desk: Desk) -> None:
        first = await begin(desk)
        desk.clock.move(hours=1)
        second = await begin(desk)
        await desk.catalogue.add_blob(desk.new_blob(), receipt_of(b"abc"), desk.clock(), desk.keep_until, second.uuid)

        assert await desk.catalogue.expired_uploads(first.expires_at - timedelta(microseconds=1), 9) == []
        assert await desk.catalogue.expired_uploads(first.expires_at, 9) == [first]
        late = await desk.catalogue.expired_uploads(second.expires_at, 9)
        assert [upload.uuid for upload in late] == [first.uuid, second.uuid]
        assert await desk.catalogue.expired_uploads(second.expires_at, 1) == [first]

    async def test_a_size_can_be_told_later(self, desk: Desk) -> None:
        upload = await begin(desk, size=None)

        await desk.catalogue.set_upload_size(upload.uuid, 9)

        assert await desk.catalogue.upload(upload.uuid) == replace(upload, size=9)
        await desk.catalogue.remove_upload(upload.uuid)
        with pytest.raises(UploadNotFound):
            await desk.catalogue.set_upload_size(upload.uuid, 9)

    # -- uploads that are looked for ----------------------------------------------------------------------

    async def test_unfinished_uploads_are_found_by_what_they_announced(self, desk: Desk) -> None:
        digest, quick = digest_of(b"abc"), b"q" * 16
        short, long = await begin(desk, digest=digest), await begin(desk, digest=digest, xxh3_128=quick, token=NOBODYS)
        await desk.catalogue.set_upload_offset(long.uuid, 2, long.expires_at)
        for others in (
            {"size": 4},
            {"namespace": BOB},
            {"is_in_parts": True},
            {"is_partial": True},
            {"joins": (TOKEN,)},
        ):
            await begin(desk, **{"digest": digest, "xxh3_128": quick} | others)
        done = await begin(desk, digest=digest)
        await desk.catalogue.add_blob(desk.new_blob(), receipt_of(b"abc"), desk.clock(), desk.keep_until, done.uuid)

        async def found(algorithm: str, value: bytes, limit: int = 9) -> list[UUID]:
            uploads = await desk.catalogue.uploads_of_content(ALICE, algorithm, value, 3, desk.clock(), limit)
            return [upload.uuid for upload in uploads]

        assert await found("sha512", digest.raw) == [long.uuid, short.uuid]
        assert await found("sha512", digest.raw, 1) == [long.uuid]
        assert await found("xxh3-128", quick) == [long.uuid]
        assert await found("xxh3-128", b"x" * 16) == []
        desk.clock.move(days=1)
        assert await found("sha512", digest.raw) == []

    async def test_open_uploads_are_listed_by_age_in_pages(self, desk: Desk) -> None:
        first, second, bobs = [await begin(desk, **facts) for facts in ({}, {"is_in_parts": True}, {"namespace": BOB})]
        done = await begin(desk)
        await desk.catalogue.add_blob(desk.new_blob(), receipt_of(b"abc"), desk.clock(), desk.keep_until, done.uuid)

        async def found(namespaces: list[str] | None, limit: int = 9, after: bytes | None = None) -> Page[Upload]:
            return await desk.catalogue.open_uploads(namespaces, limit, after, desk.clock())

        assert await found([ALICE]) == Page((first, second), None)
        assert await found(None) == Page((first, second, bobs), None)
        page = await found(None, 2)
        assert page.items == (first, second)
        assert await found(None, 2, page.next) == Page((bobs,), None)
        assert (await found([])).items == ()
        desk.clock.move(days=1)
        assert (await found(None)).items == ()

    async def test_a_creation_whose_answer_was_lost_is_not_done_twice(self, desk: Desk) -> None:
        facts = {"session": "12345678", "digest": digest_of(b"abc"), "metadata": "a eA=="}
        first = await begin(desk, **facts)

        for others in ({"session": "87654321"}, {"token": NOBODYS}, {"size": 4}, {"metadata": ""}, {"digest": None}):
            assert (await begin_again(desk, **facts | others)).uuid != first.uuid
        assert await begin_again(desk, **facts) == first
        await desk.catalogue.add_blob(desk.new_blob(), receipt_of(b"abc"), desk.clock(), desk.keep_until, first.uuid)
        assert (await begin_again(desk, limit=0, **facts)).uuid == first.uuid

    async def test_what_joins_others_takes_them_along_when_it_is_finished(self, desk: Desk) -> None:
        parts = [await begin(desk, is_partial=True) for _ in range(3)]
        joins = (parts[1].uuid, parts[0].uuid)
        joining = await begin(desk, joins=joins)
        assert await desk.catalogue.upload_joining(ALICE, joins) == joining
        assert await desk.catalogue.upload_joining(BOB, joins) is None
        assert await desk.catalogue.upload_joining(ALICE, joins[::-1]) is None
        assert await begin_again(desk, joins=joins) == joining

        await desk.catalogue.add_blob(desk.new_blob(), receipt_of(b"abc"), desk.clock(), desk.keep_until, joining.uuid)

        assert [await desk.catalogue.upload(part.uuid) for part in parts] == [None, None, parts[2]]
        finished = await desk.catalogue.upload_joining(ALICE, joins)
        assert finished is not None
        assert (finished.uuid, finished.blob is None) == (joining.uuid, False)

    # -- uploads in parts ---------------------------------------------------------------------------------

    async def test_parts_are_kept_by_number_and_the_offset_is_where_the_last_ends(self, desk: Desk) -> None:
        upload = await begin(desk, size=None, is_in_parts=True, keep_versions=1, name=NAME)
        later = desk.clock() + 2 * DAY
        third, first = UploadPart(3, ByteRange(20, 25), "c"), UploadPart(1, ByteRange(0, 10), "a")

        await desk.catalogue.add_upload_part(upload.uuid, third, None, later)
        await desk.catalogue.add_upload_part(upload.uuid, first, None, desk.clock() + DAY)

        assert await desk.catalogue.upload_parts(upload.uuid) == [first, third]
        assert await desk.catalogue.upload(upload.uuid) == replace(upload, offset=25)
        assert await desk.catalogue.upload_parts(NOBODYS) == []

    async def test_a_part_replaces_the_one_with_its_number(self, desk: Desk) -> None:
        upload = await begin(desk, size=None, is_in_parts=True)
        shorter = UploadPart(1, ByteRange(0, 5), "b")

        await desk.catalogue.add_upload_part(upload.uuid, UploadPart(1, ByteRange(0, 9), "a"), 9, desk.clock() + DAY)
        await desk.catalogue.add_upload_part(upload.uuid, shorter, None, desk.clock() + DAY)

        assert await desk.catalogue.upload_parts(upload.uuid) == [shorter]
        assert await desk.catalogue.upload(upload.uuid) == replace(upload, offset=5, size=9)

    async def test_a_part_that_is_forgotten_takes_the_size_along_if_it_was_the_last(self, desk: Desk) -> None:
        upload = await begin(desk, size=None, is_in_parts=True)
        first, last = UploadPart(1, ByteRange(0, 5), "a"), UploadPart(2, ByteRange(5, 9), "b")
        await desk.catalogue.add_upload_part(upload.uuid, first, None, desk.clock() + DAY)
        await desk.catalogue.add_upload_part(upload.uuid, last, 9, desk.clock() + DAY)

        await desk.catalogue.remove_upload_part(upload.uuid, 1)
        assert await desk.catalogue.upload(upload.uuid) == replace(upload, offset=9, size=9)
        await desk.catalogue.remove_upload_part(upload.uuid, 2)

        assert await desk.catalogue.upload(upload.uuid) == upload
        assert await desk.catalogue.upload_parts(upload.uuid) == []

    @pytest.mark.parametrize("state", ["absent", "finished"])
    async def test_an_upload_that_is_absent_or_finished_has_no_more_parts(self, desk: Desk, state: str) -> None:
        uuid = NOBODYS
        if state == "finished":
            uuid = (await begin(desk, is_in_parts=True)).uuid
            await desk.catalogue.add_blob(desk.new_blob(), receipt_of(b"abc"), desk.clock(), desk.keep_until, uuid)

        with pytest.raises(UploadNotFound):
            await desk.catalogue.add_upload_part(uuid, UploadPart(1, ByteRange(0, 1), "a"), None, desk.clock())
        with pytest.raises(UploadNotFound):
            await desk.catalogue.remove_upload_part(uuid, 1)

    @pytest.mark.parametrize("end", ["removed", "finished"])
    async def test_parts_go_with_their_upload(self, desk: Desk, end: str) -> None:
        upload = await begin(desk, size=None, is_in_parts=True)
        await desk.catalogue.add_upload_part(upload.uuid, UploadPart(1, ByteRange(0, 1), "a"), None, desk.clock())

        if end == "removed":
            await desk.catalogue.remove_upload(upload.uuid)
        else:
            receipt = receipt_of(b"a")
            await desk.catalogue.add_blob(desk.new_blob(), receipt, desk.clock(), desk.keep_until, upload.uuid)

        assert await desk.catalogue.upload_parts(upload.uuid) == []

    async def test_the_rule_that_storing_brings_is_for_names_that_it_makes(self, desk: Desk) -> None:
        for _ in range(2):
            await desk.publish("old")
            for name in ("old", "new"):
                new = desk.new_blob()
                await desk.catalogue.publish(
                    new, receipt_of(b"x"), name, NO_GUARD, None, desk.clock(), desk.keep_until, naming=Naming(1)
                )

        assert await desk.numbers("old") == [1, 2, 3, 4]
        assert await desk.numbers("new") == [2]

    # -- what signs URLs ----------------------------------------------------------------------------------

    async def test_the_newest_key_signs_and_older_ones_are_still_known(self, desk: Desk) -> None:
        assert await desk.catalogue.signing_key() is None

        first = await desk.catalogue.add_signing_key(b"1" * 32, desk.clock())
        assert await desk.catalogue.signing_key() == first
        second = await desk.catalogue.add_signing_key(b"2" * 32, desk.clock.move(hours=1))

        assert await desk.catalogue.signing_key() == second
        assert await desk.catalogue.signing_key(first.id) == first
        assert await desk.catalogue.signing_keys() == [first, second]
        assert (second.secret, second.created_at) == (b"2" * 32, desk.clock())

    async def test_a_key_that_revokes_is_the_only_one_left_and_no_id_comes_back(self, desk: Desk) -> None:
        first = await desk.catalogue.add_signing_key(b"1" * 32, desk.clock())
        assert await desk.catalogue.signing_key(first.id) == first

        second = await desk.catalogue.add_signing_key(b"2" * 32, desk.clock(), revoke_older=True)

        assert await desk.catalogue.signing_key(first.id) is None
        assert await desk.catalogue.signing_keys() == [second]
        assert second.id > first.id

    async def test_a_token_is_known_by_its_id_and_at_once_as_revoked(self, desk: Desk) -> None:
        token = Token(TOKEN, "node 7", Role.READER, (ALICE,), desk.clock(), None)
        await desk.catalogue.add_token(token, b"hash")

        assert await desk.catalogue.token_by_id(TOKEN) == token
        assert await desk.catalogue.token_by_id(NOBODYS) is None
        await desk.catalogue.revoke_token(TOKEN, desk.clock())

        assert await desk.catalogue.token_by_id(TOKEN) == replace(token, revoked_at=desk.clock())
