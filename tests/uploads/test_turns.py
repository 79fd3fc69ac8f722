"""One request at a time has an upload in hand: a newer one cuts an older one off, and nothing that was told is lost."""

import asyncio
from typing import Any

import pytest

from casd.errors import OffsetConflict, UploadBusy, UploadNotFound
from casd.model import Upload
from casd.uploads import turns
from tests.catalogue.faults import writer_held
from tests.contracts.oracle import some_bytes
from tests.contracts.payload_store import turns as loop_turns
from tests.payloads.disk_spy import DiskSpy
from tests.uploads.house import ALICE, HER_OTHER, House, Sender

DATA = some_bytes(600_000)


async def is_cut_off(sender: Sender, at: int) -> None:
    with pytest.raises(UploadBusy) as raised:
        await sender.task
    assert raised.value.offset == at


# -- the newer one has it -----------------------------------------------------------------------------------------


async def test_asking_for_the_offset_cuts_off_an_older_request_whose_bytes_count(house: House) -> None:
    upload = await house.create(len(DATA))
    older = await Sender(house, upload, 0).began()
    await older.send(DATA[:300_000])

    offset = await house.told(upload)

    assert offset == 300_000
    row = await house.recorded(upload)
    assert row is not None
    assert row.offset == offset
    await is_cut_off(older, offset)
    await house.append(upload, DATA[offset:], at=offset)
    assert await house.became(await house.complete(upload)) == DATA


async def test_a_newer_request_goes_on_where_the_older_one_was_cut_off(house: House) -> None:
    upload = await house.create(len(DATA))
    older = await Sender(house, upload, 0).began()
    await older.send(DATA[:300_000])

    await house.append(upload, DATA[300_000:], at=300_000)

    await is_cut_off(older, 300_000)
    assert await house.became(await house.complete(upload)) == DATA


async def test_a_newer_request_that_goes_on_elsewhere_is_told_where(house: House) -> None:
    upload = await house.create()
    older = await Sender(house, upload, 0).began()
    await older.send(b"abc")

    with pytest.raises(OffsetConflict) as raised:
        await house.append(upload, b"abc", at=0)

    assert raised.value.offset == 3
    await is_cut_off(older, 3)


async def test_bytes_on_their_way_to_the_disk_are_waited_for(house: House, spy: DiskSpy) -> None:
    upload = await house.create()
    older = await Sender(house, upload, 0).began()
    plan = spy.hold("pwrite", "incoming/*")
    sending = asyncio.create_task(older.send(DATA))
    await asyncio.to_thread(plan.wait)

    asking = asyncio.create_task(house.told(upload))
    await loop_turns(20)
    assert not asking.done()
    plan.go_on.set()
    offset = await asking

    assert offset == len(DATA)
    await asyncio.wait([sending])
    await is_cut_off(older, offset)
    await house.append(upload, DATA[offset:], at=offset)
    assert await house.became(await house.complete(upload)) == DATA
    with pytest.raises(UploadBusy):
        await sending


async def test_a_request_that_is_cut_off_before_it_began_takes_nothing(house: House, spy: DiskSpy) -> None:
    upload = await house.create()
    await house.append(upload, b"abc")
    await house.restart()
    plan = spy.hold("ftruncate", "incoming/*")
    older = Sender(house, upload, 3)
    await asyncio.to_thread(plan.wait)

    asking = asyncio.create_task(house.told(upload))
    await loop_turns(20)
    plan.go_on.set()

    assert await asking == 3
    await is_cut_off(older, 3)


async def test_of_many_requests_one_at_a_time_has_the_upload_and_all_bytes_count_once(house: House) -> None:
    upload = await house.create(len(DATA))

    async def insist(number: int) -> None:
        """Ask where to go on and send one piece, until all is there: whoever is cut off tries again."""
        while (offset := await house.told(upload)) < len(DATA):
            assert house.uploads.active <= 1
            try:
                await house.append(upload, DATA[offset : offset + 7_001], at=offset)
            except (OffsetConflict, UploadBusy):
                continue
            if number:
                return  # the first one sees to it that all arrives

    await asyncio.gather(*(insist(number) for number in range(12)))

    assert await house.became(await house.complete(upload)) == DATA


async def test_an_upload_can_be_cut_back_or_ended_while_bytes_arrive(house: House) -> None:
    upload = await house.create()
    older = await Sender(house, upload, 0).began()
    await older.send(b"abcdef")

    assert (await house.uploads.truncate(ALICE, upload.uuid, 2)).offset == 2

    await is_cut_off(older, 6)  # which it was then
    newer = await Sender(house, upload, 2).began()
    await newer.send(b"xyz")
    await house.uploads.terminate(ALICE, upload.uuid)
    with pytest.raises(UploadBusy):
        await newer.task
    assert house.staged() == []


# -- another client -----------------------------------------------------------------------------------------------


async def test_another_client_is_told_what_is_recorded_and_may_not_interfere(house: House) -> None:
    upload = await house.create()
    sender = await Sender(house, upload, 0).began()
    await sender.send(b"abc")

    assert await house.told(upload, HER_OTHER) == 0
    for interfering in (
        house.append(upload, b"x", at=0, who=HER_OTHER),
        house.uploads.truncate(HER_OTHER, upload.uuid, 0),
        house.uploads.terminate(HER_OTHER, upload.uuid),
        house.complete(upload, HER_OTHER),
    ):
        with pytest.raises(UploadBusy) as raised:
            await interfering
        assert raised.value.offset == 0

    assert await sender.end() == 3


async def test_who_asks_is_told_though_another_client_was_quicker_to_go_on(house: House) -> None:
    upload = await house.create()
    older = await Sender(house, upload, 0).began()
    await older.send(b"abc")
    quicker = Sender(house, upload, 3, driver="quicker")
    await loop_turns(10)

    asked = await house.uploads.upload(ALICE, upload.uuid, "asking")

    await is_cut_off(older, 3)
    assert asked.offset == 3
    await quicker.send(b"def")
    assert await quicker.end() == 6


async def test_another_client_takes_over_when_nothing_has_arrived_for_some_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await house.create()
    silent = await Sender(house, upload, 0).began()
    await silent.send(b"abc")

    monkeypatch.setattr(turns, "TAKE_OVER_S", 0.0)

    assert await house.told(upload, HER_OTHER) == 3
    await is_cut_off(silent, 3)
    await house.append(upload, b"def", who=HER_OTHER)
    assert await house.became(await house.complete(upload)) == b"abcdef"


# -- two clients of one token -----------------------------------------------------------------------------------------


async def test_a_running_client_is_not_cut_off_by_another_of_its_token(house: House) -> None:
    upload = await house.create()
    sender = await Sender(house, upload, 0, driver="one").began()
    await sender.send(b"abc")

    assert (await house.uploads.upload(ALICE, upload.uuid, "two")).offset == 0
    for interfering in (
        house.append(upload, b"x", at=0, driver="two"),
        house.uploads.terminate(ALICE, upload.uuid, "two"),
        house.uploads.complete(ALICE, upload.uuid, driver="two"),
        house.uploads.announce(ALICE, upload.uuid, 9, "two"),
    ):
        with pytest.raises(UploadBusy):
            await interfering

    assert await sender.end() == 3
    await house.append(upload, b"def", at=3, driver="two")
    assert await house.became(await house.complete(upload)) == b"abcdef"


@pytest.mark.parametrize(("older", "newer"), [("one", "one"), ("one", None), (None, "one")])
async def test_who_is_the_same_client_or_does_not_say_cuts_the_older_request_off(
    house: House, older: str | None, newer: str | None
) -> None:
    upload = await house.create()
    sender = await Sender(house, upload, 0, driver=older).began()
    await sender.send(b"abc")

    assert (await house.uploads.upload(ALICE, upload.uuid, newer)).offset == 3

    await is_cut_off(sender, 3)


async def test_another_client_of_the_token_takes_over_when_nothing_has_arrived_for_some_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await house.create()
    silent = await Sender(house, upload, 0, driver="one").began()
    await silent.send(b"abc")

    monkeypatch.setattr(turns, "TAKE_OVER_S", 0.0)

    await house.append(upload, b"def", at=3, driver="two")
    await is_cut_off(silent, 3)


async def test_of_ten_clients_that_send_the_same_nobody_is_cut_off_while_bytes_arrive(house: House) -> None:
    upload = await house.create(len(DATA))
    sender = await Sender(house, upload, 0, driver="the first").began()

    async def try_once(number: int) -> None:
        with pytest.raises(UploadBusy):
            await house.append(upload, DATA[:10], at=0, driver=f"client {number}")

    for start in range(0, len(DATA), 100_000):
        await sender.send(DATA[start : start + 100_000])
        await asyncio.gather(*(try_once(number) for number in range(9)))

    assert await sender.end() == len(DATA)
    assert await house.became(await house.complete(upload)) == DATA


# -- what is being completed --------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", [ALICE, HER_OTHER])
async def test_whoever_asks_for_an_upload_that_is_being_completed_waits_and_hears_what_it_became(
    house: House, spy: DiskSpy, who: Any
) -> None:
    upload = await house.create(len(DATA))
    await house.append(upload, DATA)
    plan = spy.hold("fsync", "incoming/*")
    completing = asyncio.create_task(house.complete(upload))
    await asyncio.to_thread(plan.wait)

    asking = [
        asyncio.create_task(call)
        for call in (
            house.uploads.upload(who, upload.uuid),
            house.complete(upload, who),
            house.append(upload, b"", at=len(DATA), who=who),
        )
    ]
    await loop_turns(20)
    assert not any(task.done() for task in asking)
    plan.go_on.set()
    done = await completing

    assert [await task for task in asking[:2]] == [done, done]
    with pytest.raises(OffsetConflict):
        await asking[2]
    assert (await house.catalogue.totals()).blobs == 1


async def test_who_waits_for_an_upload_that_is_then_terminated_hears_that_it_is_gone(
    house: House, spy: DiskSpy
) -> None:
    upload = await house.create()
    await house.append(upload, b"abc")
    plan = spy.hold("unlink", "incoming/*")
    terminating = asyncio.create_task(house.uploads.terminate(ALICE, upload.uuid))
    await asyncio.to_thread(plan.wait)

    asking = [asyncio.create_task(call) for call in (house.append(upload, b"d", at=3), house.complete(upload))]
    plan.go_on.set()
    await terminating

    for task in asking:
        with pytest.raises(UploadNotFound):
            await task


async def test_a_completion_whose_caller_is_cancelled_comes_to_its_end(house: House, spy: DiskSpy) -> None:
    upload = await house.create()
    await house.append(upload, b"abc")
    plan = spy.hold("fsync", "incoming/*")
    completing = asyncio.create_task(house.complete(upload))
    await asyncio.to_thread(plan.wait)

    completing.cancel()
    plan.go_on.set()
    await asyncio.wait([completing])

    assert completing.cancelled()
    assert await house.became(await house.uploads.upload(ALICE, upload.uuid)) == b"abc"


# -- cancelled anywhere -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", range(12))
async def test_a_request_that_is_cancelled_early_leaves_an_upload_that_goes_on(house: House, step: int) -> None:
    upload = await house.create(len(DATA))
    await house.append(upload, DATA[:1000])
    if step % 2:
        await house.restart()  # so that it begins with opening the stage again

    task = asyncio.create_task(send_the_rest(house, upload))
    await loop_turns(step)
    task.cancel()
    await asyncio.wait([task])

    await check_that_it_goes_on(house, upload)


@pytest.mark.parametrize(
    ("call", "path"),
    [
        ("ftruncate", "incoming/*"),  # of opening it again
        ("pwrite", "incoming/*"),
        ("fdatasync", "incoming/*"),
        ("fsync", "incoming/*"),
        ("link", "incoming/*"),
        ("replace", "payloads/*"),
        ("fsync", "payloads/??/??"),
        ("unlink", "incoming/????????-????-????-????-????????????"),
    ],
)
@pytest.mark.parametrize("times", [1, 3])
async def test_a_request_that_is_cancelled_while_the_disk_works_leaves_an_upload_that_goes_on(
    house: House, spy: DiskSpy, call: str, path: str, times: int
) -> None:
    upload = await house.create(len(DATA))
    await house.append(upload, DATA[:1000])
    await house.restart()
    plan = spy.hold(call, path)

    task = asyncio.create_task(send_the_rest(house, upload))
    await asyncio.to_thread(plan.wait)
    for _ in range(times):  # by a newer request, and by the end of the daemon
        task.cancel()
        await loop_turns(5)
    assert not task.done(), "what it does to the disk is not waited for"
    plan.go_on.set()
    await asyncio.wait([task])

    assert task.cancelled()
    await check_that_it_goes_on(house, upload)


async def test_a_request_that_is_cancelled_while_its_offset_is_recorded_leaves_an_upload_that_goes_on(
    house: House,
) -> None:
    upload = await house.create(len(DATA))
    await house.append(upload, DATA[:1000])

    async with writer_held(house.catalogue) as queue:
        await queue.put(send_the_rest(house, upload))
        queue.tasks[0].cancel()
        await loop_turns(5)
        assert not queue.tasks[0].done()
    await asyncio.wait(queue.tasks)

    assert await house.told(upload) == len(DATA)
    await check_that_it_goes_on(house, upload)


async def send_the_rest(house: House, upload: Upload) -> None:
    async with house.uploads.appending(ALICE, upload.uuid, 1000) as appending:
        for start, stop in ((1000, 2000), (2000, 400_000), (400_000, 600_000)):
            await appending.append(DATA[start:stop])
    await house.complete(upload)


async def check_that_it_goes_on(house: House, upload: Upload) -> None:
    assert house.uploads.active == 0
    offset = await house.told(upload)
    assert offset in (1000, 2000, 400_000, 600_000)
    row = await house.recorded(upload)
    assert row is not None
    assert row.offset == offset
    if row.blob is None:
        await house.append(upload, DATA[offset:], at=offset)
    assert await house.became(await house.complete(upload)) == DATA
    assert (await house.catalogue.totals()).blobs == 1


@pytest.mark.parametrize("step", range(6))
async def test_a_creation_that_is_cancelled_anywhere_leaves_no_stage(house: House, step: int) -> None:
    task = asyncio.create_task(house.create(1000))
    await loop_turns(step)
    task.cancel()
    await asyncio.wait([task])

    if task.cancelled():
        assert (house.staged(), house.payloads.reserved_bytes) == ([], 0)
