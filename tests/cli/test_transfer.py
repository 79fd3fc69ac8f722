"""`casd put` and `casd get` against the real daemon."""

import asyncio
import hashlib
import os
import pty
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from casd.client import Client, open_path
from tests.cli.conftest import PATIENCE_S, Run, Start, ended
from tests.conftest import Daemon
from tests.proxy import Fault, Proxy

Remote = Callable[[str], dict[str, str]]


def sha512(data: bytes) -> str:
    return hashlib.sha512(data).hexdigest()


async def stored(casd: Run, folder: Path, data: bytes, *arguments: str) -> Any:
    """The daemon's JSON on a file `disk.img` that was put."""
    (folder / "disk.img").write_bytes(data)
    ran = await casd("put", "disk.img", *arguments, "--json")
    assert ran.code == 0, ran.err
    (folder / "disk.img").unlink()
    return ran.json


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
    assert len(ran.err.splitlines()) == 1


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


async def test_put_of_what_is_not_there_names_it(casd: Run) -> None:
    ran = await casd("put", "no-such-file")

    assert ran.code == 1
    assert ran.err == "casd: no-such-file: No such file or directory\n"


async def test_interrupting_a_silent_input_ends_it(start: Start, daemon: Any, remote: Remote) -> None:
    async with Proxy(daemon.url, Fault("stall", after=1_000_000, of="requests")) as proxy:
        process = await start("put", "-", env=remote(proxy.url))
        assert process.stdin is not None
        process.stdin.write(bytes(1 << 20))
        await proxy.stalled()  # what there was has been sent: now more input is waited for
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), PATIENCE_S)  # while its standard input stays open
        ran = await ended(process)

    assert ran.code == 130
    assert ran.err == "casd: interrupted\n"


async def test_get_fetches_by_uuid_digest_and_name(casd: Run, folder: Path, data: bytes, name: str) -> None:
    version = await stored(casd, folder, data, name)

    for what in (version["blob"]["uuid"], sha512(data), f"sha512:{sha512(data).upper()}", name):
        ran = await casd("get", what, "out")
        assert ran.code == 0, ran.err
        assert (folder / "out").read_bytes() == data
        (folder / "out").unlink()


async def test_without_a_target_names_and_filenames_are_taken(casd: Run, folder: Path, name: str) -> None:
    version = await stored(casd, folder, b"hello", f"{name}/last")
    (folder / "sub").mkdir()

    await casd("get", f"{name}/last")
    await casd("get", version["blob"]["uuid"], "sub")
    await casd("get", sha512(b"hello"))

    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert "last" in found
    assert len(found) == 3
    assert all((folder / path).read_bytes() == b"hello" for path in found)


async def test_a_filename_from_elsewhere_stays_in_the_folder(casd: Run, folder: Path) -> None:
    (folder / "x").write_bytes(b"hello")
    blob = (await casd("put", "x", "--filename", "../../.profile", "--json")).json
    (folder / "x").unlink()

    ran = await casd("get", blob["uuid"])

    assert ran.code == 0, ran.err
    [made] = folder.iterdir()
    assert not made.name.startswith(".")


async def test_get_as_json_tells_where_and_what(casd: Run, folder: Path, data: bytes, name: str) -> None:
    await stored(casd, folder, data, name)

    ran = await casd("get", name, "out", "--json")

    assert ran.json["path"] == str(folder / "out")
    assert (ran.json["sha512"], ran.json["size"], ran.json["version"]) == (sha512(data), len(data), 1)


async def test_get_goes_on_by_itself_after_a_cut(
    casd: Run, daemon: Any, remote: Remote, folder: Path, data: bytes, name: str
) -> None:
    await stored(casd, folder, data, name)

    async with Proxy(daemon.url, Fault("cut", after=1_000_000), Fault("cut", after=1_000_000)) as proxy:
        ran = await casd("get", name, "out", env=remote(proxy.url))

    assert ran.code == 0
    assert (folder / "out").read_bytes() == data
    assert ran.err.count("trying again") == 2
    assert len(proxy.seen) == 3


async def test_get_goes_on_after_the_daemon_was_killed_and_started_again(
    start: Start, new_daemon: Callable[[], Daemon], remote: Remote, folder: Path, data: bytes
) -> None:
    daemon = await asyncio.to_thread(new_daemon().start)
    async with Client(daemon.url, daemon.token) as client, open_path(written(folder / "disk.img", data)) as source:
        blob = await client.put_blob(source)

    async with Proxy(daemon.url, Fault("stall", after=1_000_000)) as proxy:
        process = await start("get", str(blob.uuid), "out", env={"CASD_URL": proxy.url, "CASD_TOKEN": daemon.token})
        await proxy.stalled()
        await asyncio.to_thread(daemon.kill)
        await asyncio.to_thread(daemon.start)
        await proxy.retarget(daemon.url)
        ran = await ended(process)

    assert ran.code == 0, ran.err
    assert (folder / "out").read_bytes() == data


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


async def test_get_to_standard_output_goes_on_in_the_middle(
    casd: Run, daemon: Any, remote: Remote, folder: Path, name: str
) -> None:
    text = b"".join(b"line %06d\n" % number for number in range(200_000))
    await stored(casd, folder, text, name)

    async with Proxy(daemon.url, Fault("cut", after=1_000_000)) as proxy:
        ran = await casd("get", name, "-", env=remote(proxy.url))

    assert ran.code == 0
    assert ran.out.encode() == text
    assert len(proxy.seen) == 2


async def test_an_interrupted_get_goes_on_in_the_next_run(
    casd: Run, start: Start, daemon: Any, remote: Remote, folder: Path, data: bytes, name: str
) -> None:
    await stored(casd, folder, data, name)

    async with Proxy(daemon.url, Fault("stall", after=1_000_000)) as proxy:
        process = await start("get", name, "out", env=remote(proxy.url))
        await proxy.stalled()
        await bytes_kept(folder)
        process.send_signal(signal.SIGINT)
        interrupted = await ended(process)
        [partial] = folder.iterdir()
        kept = partial.stat().st_size
        again = await casd("get", name, "out", env=remote(proxy.url))

    assert interrupted.code == 130
    assert len(interrupted.err.splitlines()) == 1
    assert "are kept; the same command goes on from there" in interrupted.err
    assert again.code == 0
    assert b"Range: bytes=%d-" % kept in proxy.seen[2].requests
    assert (folder / "out").read_bytes() == data
    assert [path.name for path in folder.iterdir()] == ["out"]


async def bytes_kept(folder: Path) -> None:
    """Returns once a partial holds bytes."""
    async with asyncio.timeout(30):
        while not any(path.stat().st_size for path in folder.iterdir()):
            await asyncio.sleep(0)


async def test_get_replaces_a_file_and_follows_a_link_to_it(casd: Run, folder: Path, name: str) -> None:
    await stored(casd, folder, b"new", name)
    (folder / "real").write_text("old")
    (folder / "link").symlink_to("real")

    ran = await casd("get", name, "link")

    assert ran.code == 0
    assert (folder / "link").is_symlink()
    assert (folder / "real").read_text() == "new"


async def test_get_writes_into_a_pipe_and_leaves_it_there(casd: Run, folder: Path, name: str) -> None:
    await stored(casd, folder, b"hello", name)
    os.mkfifo(folder / "pipe")
    reading = os.open(folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)

    ran = await casd("get", name, "pipe")

    assert ran.code == 0
    assert os.read(reading, 100) == b"hello"
    assert (folder / "pipe").is_fifo()
    os.close(reading)


async def test_get_ends_quietly_when_nobody_reads_on(start: Start, folder: Path, casd: Run, name: str) -> None:
    await stored(casd, folder, bytes(3_000_000), name)
    process = await start("get", name, "-")
    assert process.stdout is not None

    await process.stdout.readexactly(1000)
    process.stdout._transport.close()  # type: ignore[attr-defined]  # as `| head -c 1000` does
    await process.wait()

    assert process.stderr is not None
    assert await process.stderr.read() == b""
    assert process.returncode == 1


async def test_a_bar_is_drawn_on_a_terminal_only(casd: Run, daemon: Any, folder: Path, data: bytes, name: str) -> None:
    (folder / "disk.img").write_bytes(data)

    elsewhere = await casd("put", "disk.img", name)
    drawn = await asyncio.to_thread(_on_terminal, ["put", "disk.img", name], daemon.env, folder)

    assert elsewhere.err == ""
    assert b"disk.img" in drawn
    assert b"\x1b[" in drawn


def _on_terminal(arguments: list[str], environment: dict[str, str], folder: Path) -> bytes:
    """What a run draws on its standard error, a terminal."""
    import subprocess
    import sys

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "casd", *arguments],
        cwd=folder,
        env={**environment, "TERM": "xterm"},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    drawn = b""
    try:
        while part := os.read(ours, 4096):
            drawn += part
    except OSError:  # Linux tells so that the other side was closed
        pass
    finally:
        os.close(ours)
    assert process.wait() == 0
    return drawn
