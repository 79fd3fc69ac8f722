"""What ails the store is found and named, and what hangs is waited for only so long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from casd.catalogue.base import Catalogue
from casd.errors import CasdError, StorageFailed, StorageFull
from casd.payloads.base import PayloadStore
from casd.vitals import Vitals

PATIENCE_S = 0.05


class Halves:
    """Payloads and catalogue at once; what is named in `ill` raises or hangs."""

    def __init__(self, **ill: CasdError | asyncio.Event) -> None:
        self.ill = ill
        self.asked: list[str] = []

    async def _answer(self, name: str) -> None:
        self.asked.append(name)
        how = self.ill.get(name)
        if isinstance(how, asyncio.Event):
            await how.wait()
        elif how is not None:
            raise how

    async def free_bytes(self) -> int:
        return 0 if "free_bytes" in self.ill else 1

    async def probe(self) -> None:
        await self._answer("probe")

    async def check(self) -> None:
        await self._answer("check")

    async def check_writer(self) -> None:
        await self._answer("check_writer")


@asynccontextmanager
async def vitals_of(halves: Halves, **options: Any) -> AsyncIterator[Vitals]:
    payloads, catalogue = cast(PayloadStore, halves), cast(Catalogue, halves)
    vitals = Vitals(payloads, catalogue, patience_s=PATIENCE_S, **options)
    yield vitals
    await vitals.close()


async def test_a_store_that_is_well_has_no_ailments() -> None:
    async with vitals_of(Halves()) as vitals:
        assert await vitals.ailments() == []


@pytest.mark.parametrize("name", ["probe", "check", "check_writer"])
async def test_what_fails_is_told_as_it_is(name: str) -> None:
    failure = StorageFailed("bad")
    async with vitals_of(Halves(**{name: failure})) as vitals:
        assert await vitals.ailments() == [failure]


async def test_a_check_that_breaks_is_an_ailment_too() -> None:
    async with vitals_of(Halves(check=cast(CasdError, ValueError("odd")))) as vitals:
        (found,) = await vitals.ailments()

    assert found.code == "storage-failed"
    assert str(found) == "the catalogue cannot be checked: odd"


@pytest.mark.parametrize(("name", "what"), [("probe", "disk"), ("check", "catalogue"), ("check_writer", "writer")])
async def test_what_hangs_is_told_and_asked_once_until_it_answers(name: str, what: str) -> None:
    hanging = asyncio.Event()
    halves = Halves(**{name: hanging})
    async with vitals_of(halves) as vitals:
        for _ in range(3):
            (found,) = await vitals.ailments()
            assert found.code == "storage-stuck"
            assert what in str(found)
        assert halves.asked.count(name) == 1

        hanging.set()

        assert await vitals.ailments() == []


async def test_a_full_disk_comes_last() -> None:
    failure = StorageFailed("bad")
    async with vitals_of(Halves(free_bytes=StorageFull(""), check_writer=failure)) as vitals:
        assert [error.code for error in await vitals.ailments()] == ["storage-failed", "storage-full"]


async def test_whoever_asks_without_end_keeps_no_disk_busy() -> None:
    now = [0.0]
    halves = Halves()
    async with vitals_of(halves, clock=lambda: now[0]) as vitals:
        for now[0] in (0.0, 0.5, 0.9, 1.5):
            assert await vitals.ailments() == []

    assert halves.asked.count("probe") == 2
    assert halves.asked.count("check_writer") == 4


async def test_closing_waits_for_nothing_that_hangs() -> None:
    async with vitals_of(Halves(probe=asyncio.Event())) as vitals:
        await vitals.ailments()
