"""What can be done with a resumable upload, and who may."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from casd.auth import Principal
from casd.errors import (
    Conflict,
    Forbidden,
    NamespaceNotFound,
    OffsetConflict,
    TooLarge,
    TooManyUploads,
    UploadMismatch,
    UploadNotFound,
)
from casd.model import Upload
from casd.store import Description
from casd.uploads import NewUpload, turns, uploads
from tests.contracts.oracle import digest_of, some_bytes
from tests.uploads.house import ALICE, ALICE_READS, BOB, HER_OTHER, LIFETIME, LIMIT_PER_TOKEN, House, Sender, eventually

DATA = some_bytes(300_000)


# -- from beginning to end --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, len(DATA)])
async def test_pieces_become_a_blob(house: House, size: int | None) -> None:
    upload = await house.create(size, about=Description("text/plain", "a.txt"))
    assert (upload.offset, upload.size, upload.expires_at) == (0, size, house.clock() + LIFETIME)

    for start, stop in ((0, 1), (1, 1), (1, 200_000), (200_000, 300_000)):
        grown = await house.append(upload, DATA[start:stop], at=start)
        assert grown.offset == stop
        assert await house.recorded(upload) == grown
    done = await house.complete(upload)

    assert (done.offset, done.size) == (len(DATA), len(DATA))
    assert await house.became(done) == DATA
    assert done.blob is not None
    blob = await house.store.readable_blob(ALICE, done.blob)
    assert (blob.content_type, blob.filename, blob.holds_itself) == ("text/plain", "a.txt", True)
    assert house.staged() == []
    assert house.payloads.reserved_bytes == 0


async def test_an_upload_with_a_name_becomes_its_next_version(house: House) -> None:
    for number in (1, 2):
        upload = await house.create(3, name="a/b")
        await house.append(upload, b"abc")
        done = await house.complete(upload)

        version, blob = await house.store.readable_version(ALICE, "alice", "a/b")
        assert (version.number, blob.uuid, blob.holds_itself) == (number, done.blob, False)


async def test_an_upload_of_no_bytes_is_complete_at_once(house: House) -> None:
    done = await house.complete(await house.create(0))

    assert await house.became(done) == b""


async def test_completing_again_changes_nothing(house: House) -> None:
    upload = await house.create(3)
    await house.append(upload, b"abc")
    done = await house.complete(upload)

    assert await house.complete(upload) == done
    await house.restart()
    assert await house.complete(upload) == done
    assert await house.uploads.upload(ALICE, upload.uuid) == done
    assert (await house.catalogue.totals()).blobs == 1


async def test_a_finished_upload_takes_no_more_bytes_and_cannot_be_cut(house: House) -> None:
    upload = await house.create()
    await house.append(upload, b"abc")
    await house.complete(upload)

    for offset in (0, 3):
        with pytest.raises(OffsetConflict):
            await house.append(upload, b"more", at=offset)
        with pytest.raises(OffsetConflict):
            await house.uploads.truncate(ALICE, upload.uuid, offset)


async def test_an_upload_with_bytes_missing_cannot_be_completed(house: House) -> None:
    upload = await house.create(4)
    await house.append(upload, b"abc")

    with pytest.raises(Conflict):
        await house.complete(upload)

    await house.append(upload, b"d")
    assert await house.became(await house.complete(upload)) == b"abcd"


@pytest.mark.parametrize("offset", [0, 2, 4, 1 << 63])
async def test_bytes_that_do_not_follow_are_refused_and_the_answer_says_where_to_go_on(
    house: House, offset: int
) -> None:
    upload = await house.create(10)
    await house.append(upload, b"abc")

    with pytest.raises(OffsetConflict) as raised:
        await house.append(upload, b"xyz", at=offset)

    assert raised.value.offset == 3
    assert await house.told(upload) == 3


async def test_more_than_was_announced_is_refused_and_what_came_before_is_kept(house: House) -> None:
    upload = await house.create(5)

    sender = await Sender(house, upload, 0).began()
    await sender.send(b"abc")
    with pytest.raises(TooLarge):
        await sender.send(b"def")

    assert await house.told(upload) == 3
    await house.append(upload, b"de")
    assert await house.became(await house.complete(upload)) == b"abcde"


async def test_equal_bytes_of_two_uploads_are_stored_once(house: House) -> None:
    first, second = await house.create(len(DATA)), await house.create(len(DATA))
    for upload in (first, second):
        await house.append(upload, DATA)

    done = await asyncio.gather(house.complete(first), house.complete(second))

    assert [await house.became(upload) for upload in done] == [DATA, DATA]
    assert done[0].blob != done[1].blob
    assert house.files() == {digest_of(DATA)}


@pytest.mark.parametrize("name", [None, "a/b"])
async def test_bytes_that_are_not_the_announced_ones_are_gone_with_their_upload(house: House, name: str | None) -> None:
    upload = await house.create(3, digest=digest_of(b"abc"), name=name)
    await house.append(upload, b"abd")

    with pytest.raises(UploadMismatch):
        await house.complete(upload)

    with pytest.raises(UploadNotFound):
        await house.told(upload)
    assert await house.recorded(upload) is None
    assert (house.staged(), house.files()) == ([], set())
    assert (await house.catalogue.totals()).blobs == 0


# -- cutting back, ending -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_resting", [False, True])
@pytest.mark.parametrize("size", [0, 1, 100_000, 200_000])
async def test_an_upload_that_was_cut_back_goes_on_from_there(house: House, size: int, is_resting: bool) -> None:
    upload = await house.create()
    await house.append(upload, DATA[:200_000])
    if is_resting:
        await house.restart()

    cut = await house.uploads.truncate(ALICE, upload.uuid, size)

    assert cut.offset == size
    assert await house.recorded(upload) == cut
    await house.append(upload, DATA[::-1])
    assert await house.became(await house.complete(upload)) == DATA[:size] + DATA[::-1]


async def test_an_upload_cannot_be_cut_to_more_than_it_has(house: House) -> None:
    upload = await house.create()
    await house.append(upload, b"abc")

    with pytest.raises(OffsetConflict):
        await house.uploads.truncate(ALICE, upload.uuid, 4)


async def test_a_terminated_upload_is_gone_with_its_bytes(house: House) -> None:
    upload = await house.create(len(DATA))
    await house.append(upload, DATA[:1000])

    await house.uploads.terminate(ALICE, upload.uuid)

    assert house.staged() == []
    assert house.payloads.reserved_bytes == 0
    with pytest.raises(UploadNotFound):
        await house.uploads.terminate(ALICE, upload.uuid)


async def test_what_a_terminated_upload_became_stays(house: House) -> None:
    upload = await house.create()
    await house.append(upload, b"abc")
    done = await house.complete(upload)

    await house.uploads.terminate(ALICE, upload.uuid)

    assert await house.became(done) == b"abc"
    with pytest.raises(UploadNotFound):
        await house.told(upload)


# -- expiry -------------------------------------------------------------------------------------------------------


async def test_an_upload_ends_some_time_after_its_last_byte(house: House) -> None:
    upload = await house.create()
    house.clock.move(days=6)
    await house.append(upload, b"abc")
    house.clock.move(days=6)
    assert await house.uploads.expire() == 0
    assert await house.told(upload) == 3

    house.clock.move(days=1)

    with pytest.raises(UploadNotFound):  # at once, whether upkeep ran or not
        await house.append(upload, b"d", at=3)
    assert await house.uploads.expire() == 1
    assert house.staged() == []
    assert await house.recorded(upload) is None


async def test_a_finished_upload_is_forgotten_in_the_end_and_its_blob_stays(house: House) -> None:
    upload = await house.create()
    await house.append(upload, b"abc")
    done = await house.complete(upload)
    house.clock.move(days=7)

    assert await house.uploads.expire() == 1

    assert await house.recorded(upload) is None
    assert await house.became(done) == b"abc"


async def test_an_upload_that_a_request_has_in_hand_does_not_expire(house: House) -> None:
    upload = await house.create()
    sender = await Sender(house, upload, 0).began()
    house.clock.move(days=8)

    assert await house.uploads.expire() == 0

    await sender.send(b"abc")
    assert await sender.end() == 3
    assert await house.told(upload) == 3


async def test_an_upload_that_goes_on_while_expired_ones_are_looked_up_is_spared(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await house.create()
    sender = await Sender(house, upload, 0).began()
    house.clock.move(days=7)
    lookup = house.catalogue.expired_uploads

    async def and_meanwhile(*args: Any) -> list[Upload]:
        found = await lookup(*args)
        if not sender.task.done():
            await sender.send(b"abc")
            assert await sender.end() == 3
        return found

    monkeypatch.setattr(house.catalogue, "expired_uploads", and_meanwhile)

    assert await house.uploads.expire() == 0
    assert await house.told(upload) == 3


async def test_many_expired_uploads_end_in_one_run(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "EXPIRY_BATCH", 3)
    made = [await house.create(who=ALICE) for _ in range(7)]
    busy = await Sender(house, made[0], 0).began()
    house.clock.move(days=7)

    assert await house.uploads.expire() == 6

    assert await house.catalogue.unfinished_uploads() == {made[0].uuid}
    assert await busy.end() == 0


async def test_a_clock_that_goes_back_hurts_nobody(house: House) -> None:
    upload = await house.create()
    house.clock.move(days=-300)

    await house.append(upload, b"abc")

    assert (await house.uploads.upload(ALICE, upload.uuid)).expires_at == house.clock() + LIFETIME
    assert await house.became(await house.complete(upload)) == b"abc"


# -- who may ------------------------------------------------------------------------------------------------------


def calls(house: House, who: Principal, upload: Upload) -> list[Callable[[], Coroutine[Any, Any, Any]]]:
    return [
        lambda: house.uploads.upload(who, upload.uuid),
        lambda: house.append(upload, b"d", at=3, who=who),
        lambda: house.uploads.truncate(who, upload.uuid, 1),
        lambda: house.uploads.complete(who, upload.uuid),
        lambda: house.uploads.terminate(who, upload.uuid),
    ]


@pytest.mark.parametrize(("who", "error"), [(BOB, UploadNotFound), (ALICE_READS, Forbidden)])
async def test_only_writers_of_its_namespace_have_to_do_with_an_upload(
    house: House, who: Principal, error: type[Exception]
) -> None:
    upload = await house.create()
    before = await house.append(upload, b"abc")

    for call in calls(house, who, upload):
        with pytest.raises(error):
            await call()

    assert await house.recorded(upload) == before


async def test_an_upload_can_be_begun_only_where_one_may_write(house: House) -> None:
    for who, error in ((BOB, NamespaceNotFound), (ALICE_READS, Forbidden)):
        with pytest.raises(error):
            await house.uploads.create(who, NewUpload("alice"))

    assert await house.catalogue.unfinished_uploads() == set()


async def test_another_token_of_the_namespace_goes_on(house: House) -> None:
    upload = await house.create(6)
    await house.append(upload, b"abc")

    await house.append(upload, b"def", who=HER_OTHER)

    assert await house.became(await house.complete(upload, HER_OTHER)) == b"abcdef"


async def test_a_token_has_only_so_many_unfinished_uploads(house: House) -> None:
    made = [await house.create(100) for _ in range(LIMIT_PER_TOKEN)]
    reserved = house.payloads.reserved_bytes

    with pytest.raises(TooManyUploads):
        await house.create(100)

    assert house.payloads.reserved_bytes == reserved
    await house.create(who=HER_OTHER)
    await house.uploads.terminate(ALICE, made[0].uuid)
    await house.create()


# -- what it costs to keep one ------------------------------------------------------------------------------------


async def test_what_was_announced_is_reserved_until_it_has_arrived(house: House) -> None:
    upload = await house.create(len(DATA))
    assert house.payloads.reserved_bytes == len(DATA)

    await house.append(upload, DATA[:200_000])

    assert house.payloads.reserved_bytes == len(DATA) - 200_000


@pytest.mark.parametrize("had", [0, 1, 200_000])
async def test_an_upload_that_rests_gives_back_what_it_holds_and_goes_on_with_equal_bytes(
    house: House, monkeypatch: pytest.MonkeyPatch, had: int
) -> None:
    monkeypatch.setattr(turns, "REST_S", 0.0)
    upload = await house.create(len(DATA))
    if had:
        await house.append(upload, DATA[:had])

    await eventually(lambda: house.descriptors() == 0 and house.payloads.reserved_bytes == 0)
    assert await house.told(upload) == had
    await house.append(upload, DATA[had:])
    assert await house.became(await house.complete(upload)) == DATA


async def test_only_so_many_resting_uploads_are_kept_open(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "RESTING", 3)
    made = [await house.create(6) for _ in range(10)]

    for upload in made:
        await house.append(upload, b"abc")
    await eventually(lambda: house.descriptors() == 3 and house.payloads.reserved_bytes == 3 * 3)
    for upload in made:
        await house.append(upload, b"def")
        assert await house.became(await house.complete(upload)) == b"abcdef"


async def test_letting_go_of_all_keeps_what_was_told(house: House) -> None:
    made = [await house.create() for _ in range(3)]
    for upload in made:
        await house.append(upload, DATA)

    await house.uploads.close()

    assert house.staged() == sorted(str(upload.uuid) for upload in made)
    await house.restart()
    assert [await house.told(upload) for upload in made] == [len(DATA)] * 3


async def test_closing_waits_for_the_request_that_has_an_upload_in_hand(house: House) -> None:
    upload = await house.create()
    sender = await Sender(house, upload, 0).began()
    await sender.send(DATA)
    sender.task.cancel()

    await house.uploads.close()

    recorded = await house.recorded(upload)
    assert recorded is not None
    assert recorded.offset == len(DATA)
    await asyncio.wait([sender.task])


# -- the next process ---------------------------------------------------------------------------------------------


async def test_after_a_restart_exactly_what_was_told_is_there(house: House) -> None:
    upload = await house.create(len(DATA))
    await house.append(upload, DATA[:100_000])
    with house.stage_of(upload).open("ab") as file:
        file.write(b"and bytes that nobody was told of")

    await house.restart()

    assert await house.told(upload) == 100_000
    await house.append(upload, DATA[100_000:])
    assert await house.became(await house.complete(upload)) == DATA


async def test_a_start_removes_what_belongs_to_no_unfinished_upload(house: House) -> None:
    kept, finished = await house.create(), await house.create()
    for upload in (kept, finished):
        await house.append(upload, b"abc")
    await house.complete(finished)
    for name in ("of-nobody", str(finished.uuid), f"{kept.uuid}.commit"):
        (house.root / "incoming" / name).write_bytes(b"left behind")

    await house.restart()

    assert house.staged() == [str(kept.uuid)]


@pytest.mark.parametrize("left", [None, b"", b"ab"])
@pytest.mark.parametrize("call", ["append", "complete"])
async def test_an_upload_whose_bytes_somebody_removed_is_gone_for_good(
    house: House, left: bytes | None, call: str
) -> None:
    upload = await house.create()
    await house.append(upload, b"abc")
    house.die()
    if left is None:
        house.stage_of(upload).unlink()
    else:
        house.stage_of(upload).write_bytes(left)

    with pytest.raises(UploadNotFound, match="begin again"):
        await (house.append(upload, b"d") if call == "append" else house.complete(upload))

    with pytest.raises(UploadNotFound):
        await house.told(upload)
    assert house.staged() == []


async def test_an_upload_without_bytes_needs_no_stage(house: House) -> None:
    upload = await house.create(3)
    await house.restart()
    assert house.staged() == []

    await house.append(upload, b"abc")

    assert await house.became(await house.complete(upload)) == b"abc"


# -- when offsets are recorded ------------------------------------------------------------------------------------


async def test_on_a_slow_line_what_has_arrived_is_recorded_now_and_then(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("casd.uploads.appending.RECORD_S", 0.0)
    upload = await house.create()
    sender = await Sender(house, upload, 0).began()

    await sender.send(b"abc")
    await eventually_recorded(house, upload, 3)

    assert await sender.end() == 3


async def test_on_a_fast_line_what_a_flush_has_made_durable_is_recorded(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from casd.payloads import staged

    monkeypatch.setattr(staged, "FLUSH_BYTES", 100_000)
    upload = await house.create()
    sender = await Sender(house, upload, 0).began()

    for start in range(0, len(DATA), 50_000):
        await sender.send(DATA[start : start + 50_000])
    await eventually_recorded(house, upload, 100_000)

    assert await sender.end() == len(DATA)
    assert await house.became(await house.complete(upload)) == DATA


async def eventually_recorded(house: House, upload: Upload, least: int) -> None:
    """Return when the catalogue knows of so many bytes: what is recorded behind a request tells nobody."""
    async with asyncio.timeout(30):
        while (row := await house.recorded(upload)) is not None and row.offset < least:
            await asyncio.sleep(0)


async def test_an_upload_lives_on_while_bytes_come(house: House) -> None:
    upload = await house.create()
    for size in range(1, 4):
        house.clock.move(days=5)
        grown = await house.append(upload, b"x")
        assert (grown.offset, grown.expires_at) == (size, house.clock() + timedelta(days=7))
    assert os.path.getsize(house.stage_of(upload)) == 3
