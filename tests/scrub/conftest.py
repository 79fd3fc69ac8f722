"""A store to be scrubbed, and what can happen to its files."""

import itertools
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from casd.judging import Judge
from casd.model import Blob
from casd.scrub import Pace, Scrub, ScrubReport
from tests.verified.conftest import House, house, module_root, root, spy

__all__ = ["house", "module_root", "root", "spy"]

MIB = 1 << 20
SMALL, LARGE = 500, 9 * MIB + 5  # the second has more blocks than are compared in one go


def some_data(size: int, seed: int = 0) -> bytes:
    return (b"%d " % seed + os.urandom(4096) * (size // 4096 + 1))[:size]


def swap(house: House, blob: Blob, other: Blob) -> None:
    first, second, between = house.path(blob), house.path(other), house.root / "between"
    first.rename(between)
    second.rename(first)
    between.rename(second)


def cut(path: Path, by: int) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + by)


# What can happen to the file of a payload.
KINDS: dict[str, Callable[[House, Blob], object]] = {
    "first bit": lambda house, blob: house.flip(blob, 0),
    "last bit": lambda house, blob: house.flip(blob, blob.size - 1),
    "middle bit": lambda house, blob: house.flip(blob, blob.size // 2),
    "cut": lambda house, blob: cut(house.path(blob), -1),
    "longer": lambda house, blob: cut(house.path(blob), 1),
    "empty": lambda house, blob: cut(house.path(blob), -blob.size),
    "removed": lambda house, blob: house.path(blob).unlink(),
    "zeroes": lambda house, blob: house.path(blob).write_bytes(bytes(blob.size)),
}


class Ticking:
    """A clock of seconds that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


def at_once() -> Pace:
    return Pace(1 << 60, lambda: False, itertools.count().__next__)


def a_scrub(house: House, *, is_deep: bool = False, pace: Pace | None = None, **how: Any) -> Scrub:
    """A run over everything that was not checked in the last second."""
    judge: Judge = house.store.judge
    before = how.pop("before", house.clock.move(seconds=1))
    return Scrub(
        house.payloads, house.catalogue, judge, pace or at_once(), house.clock, before=before, is_deep=is_deep, **how
    )


@pytest.fixture
def scrubbed(house: House) -> Callable[..., Any]:
    async def run(**how: Any) -> ScrubReport:
        return await a_scrub(house, **how).run()

    return run


DAY = timedelta(days=1)
