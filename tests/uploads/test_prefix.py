"""What is there of an upload has a digest, by which another client knows its own file."""

import asyncio

import pytest

from casd.model import Upload
from casd.payloads import staged as staged_module
from tests.contracts.oracle import digest_of, some_bytes
from tests.contracts.payload_store import turns as loop_turns
from tests.payloads.disk_spy import DiskSpy
from tests.uploads.house import ALICE, House

DATA = some_bytes(600_000)


async def known(house: House, upload: Upload) -> Upload:
    row = await house.recorded(upload)
    assert row is not None
    return row


async def test_each_offset_that_is_told_has_its_digest(house: House) -> None:
    upload = await house.create(len(DATA))
    assert (await known(house, upload)).prefix == digest_of(b"")

    for start, stop in ((0, 1), (1, 300_000), (300_000, 599_999)):
        await house.append(upload, DATA[start:stop], at=start)
        assert (await known(house, upload)).prefix == digest_of(DATA[:stop])


async def test_what_is_cut_back_has_a_digest_when_it_grows_again(house: House) -> None:
    upload = await house.create(len(DATA))
    await house.append(upload, DATA[:300_000])

    await house.uploads.truncate(ALICE, upload.uuid, 200_000)
    assert (await known(house, upload)).prefix is None
    await house.append(upload, DATA[200_000:250_000])

    assert (await known(house, upload)).prefix == digest_of(DATA[:250_000])


@pytest.fixture
def behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restart nothing is so short that it is hashed at once."""
    monkeypatch.setattr(staged_module, "CATCH_UP_BYTES", 0)


@pytest.mark.usefixtures("behind")
async def test_a_digest_that_a_restart_left_unknown_is_found_out(house: House, spy: DiskSpy) -> None:
    upload = await house.create(len(DATA))
    await house.append(upload, DATA[:300_000])
    await house.restart()
    plan = spy.hold("pread", "incoming/*")
    await house.append(upload, DATA[300_000:500_000])
    assert (await known(house, upload)).prefix is None
    plan.go_on.set()

    told = await house.uploads.with_prefix(ALICE, await known(house, upload))

    assert (told.offset, told.prefix) == (500_000, digest_of(DATA[:500_000]))
    assert await known(house, upload) == told
    await house.append(upload, DATA[500_000:])
    assert await house.became(await house.complete(upload)) == DATA


@pytest.mark.usefixtures("behind")
@pytest.mark.parametrize("end", ["another", "cancel"])
async def test_whoever_goes_on_does_not_wait_for_a_digest_that_somebody_asks_for(
    house: House, spy: DiskSpy, end: str
) -> None:
    upload = await house.create(len(DATA))
    await house.append(upload, DATA[:300_000])
    await house.restart()
    plan = spy.hold("pread", "incoming/*")
    await house.append(upload, DATA[300_000:500_000])
    asking = asyncio.create_task(house.uploads.with_prefix(ALICE, await known(house, upload)))
    await asyncio.to_thread(plan.wait)
    await loop_turns(20)

    if end == "cancel":
        asking.cancel()
    await house.append(upload, DATA[500_000:550_000], at=500_000)

    await asyncio.wait([asking])
    assert asking.cancelled() or asking.result().prefix is None
    assert (await known(house, upload)).prefix is None
    plan.go_on.set()
    await house.append(upload, DATA[550_000:])
    assert await house.became(await house.complete(upload)) == DATA


async def test_a_stage_that_rests_long_is_not_read_again(
    house: House, spy: DiskSpy, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await house.create(len(DATA))
    await house.append(upload, DATA[:300_000])
    await house.uploads._sessions.let_rest_go()
    assert house.descriptors() == 0

    await house.append(upload, DATA[300_000:])

    assert (await known(house, upload)).prefix == digest_of(DATA)
    assert await house.became(await house.complete(upload)) == DATA
    assert [path for _, path in spy.named("pread") if path.startswith("incoming/")] == []
