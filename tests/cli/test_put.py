"""`casd put` against the real daemon."""

import asyncio
import os
import random
import shlex
import signal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.cli.conftest import PATIENCE_S, Remote, Run, Start, ended, sha512, stored
from tests.proxy import Fault, Proxy


async def test_put_tells_uuid_digest_and_size(casd: Run, folder: Path, data: bytes) -> None:
    (folder / "notes.txt").write_bytes(data)

    ran = await casd("put", "notes.txt")

    facts = dict(line.split(None, 1) for line in ran.lines)
    assert ran.code == 0
    assert UUID(facts["uuid"])
    assert facts["sha512"] == sha512(data)
    assert facts["size"].startswith(f"{len(data)} ")


async def test_put_remembers_the_filename_and_guesses_the_type(casd: Run, folder: Path) -> None:
    (folder / "notes.txt").write_bytes(b"hello")

    guessed = (await casd("put", "notes.txt", "--json")).json
    told = (await casd("put", "notes.txt", "--content-type", "a/b", "--filename", "c.d", "--json")).json

    assert (guessed["content_type"], guessed["filename"]) == ("text/plain", "notes.txt")
    assert (told["content_type"], told["filename"]) == ("a/b", "c.d")


async def test_put_of_an_odd_filename_remembers_what_can_be_told(casd: Run, folder: Path, name: str) -> None:
    odd = os.fsdecode(b"odd\n\x1b[31m \xff.txt")
    (folder / odd).write_bytes(b"hello")

    ran = await casd("put", odd, name, "--json")

    assert ran.code == 0, ran.err
    assert ran.json["blob"]["filename"] == "odd__[31m \ufffd.txt"


@pytest.mark.parametrize("option", ["--content-type=a\r\nX-Header: b", "--namespace=a/b", "--filename=\udcff"])
async def test_put_refuses_what_cannot_be_sent(casd: Run, option: str) -> None:
    ran = await casd("put", "-", option)

    assert ran.code == 2
    assert ran.err


async def test_put_under_a_name_makes_its_versions(casd: Run, folder: Path, name: str) -> None:
    first = await stored(casd, folder, b"one", name)
    second = await stored(casd, folder, b"two", name)

    assert (first["name"], first["version"], second["version"]) == (name, 1, 2)
    assert (await casd("get", name, "-")).out == "two"
    assert (await casd("get", name, "-", "--version", "1")).out == "one"
    assert (await casd("get", name, "-", "--as-of", first["created_at"])).out == "one"


async def test_put_stores_standard_input(casd: Run, data: bytes) -> None:
    ran = await casd("put", "-", "--json", stdin=data)

    assert ran.json["sha512"] == sha512(data)


async def test_put_stores_an_empty_file(casd: Run, folder: Path) -> None:
    assert (await stored(casd, folder, b""))["size"] == 0


async def test_put_of_what_the_namespace_has_sends_nothing(
    casd: Run, daemon: Any, remote: Remote, folder: Path, data: bytes, name: str
) -> None:
    await stored(casd, folder, data, name)
    (folder / "same.img").write_bytes(data)

    async with Proxy(daemon.url) as proxy:
        told = await casd("put", "same.img", f"{name}/again", "--json", env=remote(proxy.url))
        said = await casd("put", "same.img", env=remote(proxy.url))

    assert sum(seen.sent for seen in proxy.seen) < 20_000
    assert (told.json["already_there"], told.json["blob"]["sha512"]) == (True, sha512(data))
    assert said.lines[-1] == "sent       nothing: the daemon had these bytes already"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_an_interrupted_put_goes_on_in_the_next_run(
    casd: Run, start: Start, daemon: Any, remote: Remote, folder: Path, name: str, number: int
) -> None:
    data = random.Random(number).randbytes(12_000_000)
    (folder / "disk.img").write_bytes(data)

    async with Proxy(daemon.url, *[Fault("stall", after=8_000_000, of="requests")] * 2) as proxy:
        process = await start("put", "disk.img", name, env=remote(proxy.url))
        await proxy.stalled()
        process.send_signal(number)
        await process.wait()
        interrupted = await ended(process)
    async with Proxy(daemon.url) as proxy:
        again = await casd("put", "disk.img", name, "--json", env=remote(proxy.url))

    if number == signal.SIGINT:
        assert interrupted.code == 130
        assert interrupted.err.endswith(f"go on with: casd put disk.img {shlex.quote(name)}\n")
    assert again.code == 0, again.err
    assert (again.json["version"], again.json["blob"]["sha512"]) == (1, sha512(data))
    assert sum(seen.sent for seen in proxy.seen) < 6_000_000


async def test_put_of_what_is_not_there_names_it(casd: Run) -> None:
    ran = await casd("put", "no-such-file")

    assert ran.code == 1
    assert ran.err == "casd: no-such-file: No such file or directory\n"


async def test_interrupting_a_silent_input_ends_it(start: Start, daemon: Any, remote: Remote) -> None:
    async with Proxy(daemon.url, Fault("stall", after=1_000_000, of="requests")) as proxy:
        process = await start("put", "-", env=remote(proxy.url))
        assert process.stdin is not None
        process.stdin.write(bytes(17 << 20))  # two pieces and more: the first goes when the second is there
        await proxy.stalled()  # what there was has been sent: now more input is waited for
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), PATIENCE_S)  # while its standard input stays open
        ran = await ended(process)

    assert ran.code == 130
    assert ran.err == "casd: interrupted\n"


@pytest.mark.parametrize("name", ["01a1fc04-fa4a-7f48-a858-f09f33011e90", "ab" * 64, "sha512:" + "ab" * 64])
async def test_a_name_that_other_commands_would_not_take_for_one_is_refused(
    casd: Run, name: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")

    ran = await casd("put", str(tmp_path / "file"), name)

    assert ran.code == 2
    assert "would be taken for" in ran.err
