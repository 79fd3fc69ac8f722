"""Keys that people choose, under somebody who guesses: what a guess costs, and what it tells."""

import asyncio
import hashlib
import threading
from pathlib import Path

import pytest

from casd import auth
from casd.errors import Overloaded
from casd.model import Role
from casd.named_keys import WAITING, NamedKeys
from tests.web.house import open_house


class Hashes:
    """Stands for scrypt: counts, and waits where told to."""

    def __init__(self) -> None:
        self.count = 0
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def __call__(self, key: str, salt: bytes) -> bytes:
        self.count += 1
        assert self.may_go_on.wait(60)
        return hashlib.sha256(salt + key.encode()).digest()


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> Hashes:
    counting = Hashes()
    monkeypatch.setattr(auth, "key_hash", counting)
    return counting


async def test_a_wrong_key_costs_the_same_whether_there_are_keys_or_a_namespace_or_not(
    tmp_path: Path, hashes: Hashes
) -> None:
    async with open_house(tmp_path / "data") as house:
        keys = NamedKeys(house.store)
        for name in ("one", "two"):
            await keys.set("default", name, f"key {name}", Role.WRITER)
        await house.store.catalogue.ensure_namespace("keyless", house.store.now())
        costs = []
        for namespace in ("default", "keyless", "absent"):
            before = hashes.count
            assert await keys.token(namespace, "wrong") is None
            costs.append(hashes.count - before)

        found = await keys.token("default", "key two")

    assert costs == [1, 1, 1]
    assert found is not None
    assert found.name == "key two"


async def test_guesses_wait_for_each_other_and_too_many_are_turned_away(tmp_path: Path, hashes: Hashes) -> None:
    async with open_house(tmp_path / "data") as house:
        keys = NamedKeys(house.store)
        hashes.may_go_on.clear()
        guesses = [asyncio.create_task(keys.token("default", f"guess {at}")) for at in range(WAITING + 5)]

        arrivals = asyncio.as_completed(guesses)
        turned_away = [await asyncio.gather(next(arrivals), return_exceptions=True) for _ in range(5)]
        begun = hashes.count
        hashes.may_go_on.set()
        ended = await asyncio.gather(*guesses, return_exceptions=True)

    assert [type(error) for (error,) in turned_away] == [Overloaded] * 5
    assert begun <= 1
    assert sum(result is None for result in ended) == WAITING
