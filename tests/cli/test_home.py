"""Where names are when no namespace is named, and what two commands at once do to a name's metadata."""

import asyncio
from typing import Any
from uuid import uuid4

from casd.client import Client
from tests.cli.conftest import RunInside, made


def test_names_are_in_the_tokens_home(inside: RunInside, name: str) -> None:
    home, other = f"h{uuid4().hex}", f"a{uuid4().hex}"
    mine = {
        "CASD_TOKEN": made(inside, *f"token create t --role writer --namespace {home} --namespace {other}".split())[
            "token"
        ]
    }

    def there(*arguments: str) -> list[str]:
        ran = inside(*arguments, env=mine)
        assert ran.code == 0, ran.err
        return ran.lines

    there("put", __file__, name)
    there("meta", "set", name, "key", "value")

    assert made(inside, "stat", name, "--namespace", home)["namespace"] == home
    assert len(there("ls")) == len(there("versions", name)) == 1
    assert there("meta", "get", name, "key") == ["value"]
    assert there("rm", name)
    assert there("undelete", name) == [f"{name} is back, at version 1"]
    assert there("get", name, "-")[0].startswith('"""Where names are')
    assert there("ls", "--namespace", other) == []


async def test_two_changes_at_once_lose_nothing(inside: RunInside, daemon: Any, name: str) -> None:
    await asyncio.to_thread(made, inside, "put", __file__, name)

    async with Client(daemon.url, daemon.token) as client:
        metadata = client.name_metadata("default", name)
        await asyncio.gather(*(metadata.set(f"key {number}", number) for number in range(8)))
        known = await metadata.all()

    assert known == {f"key {number}": number for number in range(8)}
