"""`casd get` against the real daemon."""

import asyncio
import os
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from casd.client import Client, open_path
from tests.cli.conftest import Remote, Run, Start, ended, sha512, stored
from tests.client.test_download import ranges
from tests.conftest import Daemon
from tests.proxy import Fault, Proxy


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
    assert len(ranges(proxy)) == 2


async def test_an_interrupted_get_goes_on_in_the_next_run(
    casd: Run, start: Start, daemon: Any, remote: Remote, folder: Path, data: bytes, name: str
) -> None:
    await stored(casd, folder, data, name)

    async with Proxy(daemon.url, Fault("stall", after=1_500_000)) as proxy:
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
    assert interrupted.err.endswith(f" of 2.9 MiB are kept; go on with: casd get {shlex.quote(name)} out\n")
    assert again.code == 0
    assert ranges(proxy)[-1] == (kept, None)
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
