"""Several clients with two tokens, who hang up at any moment, on a disk that fails now and then: told is told."""

import asyncio
import errno
import os
import random
from typing import Any

import pytest

from casd.auth import Principal
from casd.errors import CasdError
from casd.model import Upload
from casd.payloads import staged
from casd.uploads import turns
from tests.contracts.oracle import some_bytes
from tests.uploads.house import ALICE, HER_OTHER, House, take

SEEDS = int(os.environ.get("CASD_CHAOS_SEEDS", "6"))
DATA = some_bytes(1_500_000)
TRIES = 25  # of each client
CALLS = ("pwrite", "fdatasync", "fsync", "ftruncate", "link", "replace")


class Chaos:
    def __init__(self, house: House, made: list[Upload], choice: random.Random) -> None:
        self.house = house
        self.made = made
        self.choice = choice
        self.told = {upload.uuid: 0 for upload in made}

    async def ask(self, upload: Upload, who: Principal) -> int:
        before = self.told[upload.uuid]
        offset = await self.house.told(upload, who)
        assert offset >= before, "less than was told before it was asked"
        self.told[upload.uuid] = max(self.told[upload.uuid], offset)
        return offset

    async def request(self) -> None:
        choice = self.choice
        upload, who = choice.choice(self.made), choice.choice([ALICE, HER_OTHER])
        offset = await self.ask(upload, who)
        if offset == len(DATA):
            await self.house.complete(upload, who)
            return
        async with self.house.uploads.appending(who, upload.uuid, offset) as appending:
            for _ in range(choice.randrange(4)):
                stop = offset + choice.choice([1, 5_000, 70_000, 300_000])
                await take(appending, DATA[offset:stop])
                offset = min(stop, len(DATA))
                await asyncio.sleep(0)
        self.told[upload.uuid] = max(self.told[upload.uuid], appending.upload.offset)

    async def client(self) -> None:
        for _ in range(TRIES):
            task = asyncio.create_task(self.request())
            for _ in range(self.choice.choice([0, 0, 1, 2])):  # twice: the daemon ends while it is cut off
                await turn_some(self.choice.randrange(60))
                task.cancel()
            await asyncio.wait([task])
            if not task.cancelled() and (error := task.exception()) and not isinstance(error, CasdError):
                raise error


async def turn_some(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def make_flaky(monkeypatch: pytest.MonkeyPatch, choice: random.Random, share: float) -> None:
    """Disk calls fail now and then."""

    def flaky(real: Any) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            if choice.random() < share:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real(*args, **more)

        return call

    for name in CALLS:
        monkeypatch.setattr(os, name, flaky(getattr(os, name)))


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_whatever_clients_and_the_disk_do_told_is_told_and_the_bytes_are_right(
    house: House, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    choice = random.Random(seed)
    with monkeypatch.context() as patched:
        patched.setattr(turns, "TAKE_OVER_S", choice.choice([0.0, 10.0]))
        patched.setattr(turns, "REST_S", choice.choice([0.0, 100.0]))
        patched.setattr(turns, "RESTING", choice.choice([0, 100]))
        patched.setattr("casd.uploads.appending.RECORD_S", choice.choice([0.0, 5.0]))
        patched.setattr(staged, "FLUSH_BYTES", choice.choice([100_000, 64 << 20]))
        make_flaky(patched, random.Random(seed), choice.choice([0.0, 0.02]))
        chaos = Chaos(house, [await house.create(len(DATA)) for _ in range(2)], choice)

        await asyncio.gather(*(chaos.client() for _ in range(5)))

    for upload in chaos.made:
        offset = await chaos.ask(upload, ALICE)
        if offset < len(DATA):
            await house.append(upload, DATA[offset:], at=offset)
        assert await house.became(await house.complete(upload)) == DATA
