"""Downloads that end in a file: what is kept on the way, and what the target holds at each moment."""

import asyncio
import errno
import fcntl
import os
import resource
import signal
import stat
import threading
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from casd.client import (
    Blob,
    Client,
    ConnectionLost,
    DigestDiffers,
    Download,
    Progress,
    Retry,
    TargetBusy,
    partial_path,
    save,
)
from casd.client.errors import ClientError
from tests.client.conftest import Connect, Payload
from tests.client.test_download import CUT, starts
from tests.proxy import Fault, Proxy

NO_RETRY = Retry(attempts=1)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "disk.img"


async def cut_short(daemon: Any, connect: Connect, blob: Blob, target: Path) -> None:
    """An earlier run that was cut: its bytes are in the partial."""
    async with (
        Proxy(daemon.url, CUT) as proxy,
        connect(proxy.url, retry=NO_RETRY) as client,
        client.download_blob(blob.uuid) as download,
    ):
        with pytest.raises(ConnectionLost):
            await save(download, target)


async def saved_through(proxy: Proxy, connect: Connect, blob: Blob, target: Path) -> None:
    async with connect(proxy.url) as client, client.download_blob(blob.uuid) as download:
        await save(download, target)


async def test_a_saved_payload_leaves_only_its_target(
    client: Client, blob: Blob, payload: Payload, target: Path
) -> None:
    async with client.download_blob(blob.uuid) as download:
        await save(download, target)

    assert target.read_bytes() == payload.data
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("size", [3_000_000, 4096])
@pytest.mark.parametrize("sync_folder", [True, False])
async def test_a_payload_is_synced_before_and_after_it_takes_its_place(
    client: Client, target: Path, monkeypatch: pytest.MonkeyPatch, size: int, sync_folder: bool
) -> None:
    blob = await client.put_blob(Payload(os.urandom(size)).source())
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        calls.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def noted_replace(source: Path, destination: Path) -> None:
        calls.append("rename")
        replace(source, destination)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    async with client.download_blob(blob.uuid) as download:
        await save(download, target, sync_folder=sync_folder)

    assert calls == ["file", "rename", *(["folder"] if sync_folder else [])]


async def test_a_full_disk_is_told_with_its_place(client: Client, blob: Blob, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write past the limit fails instead
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        async with client.download_blob(blob.uuid) as download:
            with pytest.raises(OSError, match="target") as caught:
                await save(download, tmp_path / "target")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)

    assert caught.value.errno == errno.EFBIG


async def test_an_empty_payload_makes_an_empty_file(client: Client, target: Path) -> None:
    blob = await client.put_blob(Payload(b"").source())

    async with client.download_blob(blob.uuid) as download:
        await save(download, target)

    assert target.read_bytes() == b""


async def test_the_target_is_as_readable_as_the_umask_allows(client: Client, blob: Blob, target: Path) -> None:
    before = os.umask(0o027)
    try:
        async with client.download_blob(blob.uuid) as download:
            await save(download, target)
    finally:
        os.umask(before)

    assert stat.S_IMODE(target.stat().st_mode) == 0o640


async def test_a_later_run_goes_on_where_an_earlier_one_was_cut(
    daemon: Any, connect: Connect, blob: Blob, payload: Payload, target: Path
) -> None:
    await cut_short(daemon, connect, blob, target)
    kept = partial_path(target, payload.digest).stat().st_size

    async with Proxy(daemon.url) as proxy:
        await saved_through(proxy, connect, blob, target)

    assert target.read_bytes() == payload.data
    assert kept > 0
    assert starts(proxy) == [0, kept]
    assert list(target.parent.iterdir()) == [target]


async def test_the_target_stays_as_it_was_until_all_is_there(
    daemon: Any, connect: Connect, blob: Blob, target: Path
) -> None:
    target.write_text("the old content")

    await cut_short(daemon, connect, blob, target)

    assert target.read_text() == "the old content"


async def test_what_is_kept_of_another_payload_is_not_continued(
    daemon: Any, connect: Connect, client: Client, blob: Blob, payload: Payload, target: Path
) -> None:
    other = Payload(payload.data[::-1])
    other_blob = await client.put_blob(other.source())
    await cut_short(daemon, connect, blob, target)

    async with client.download_blob(other_blob.uuid) as download:
        await save(download, target)

    assert target.read_bytes() == other.data


@pytest.mark.parametrize("size", [1_000_000, 3_000_000, 3_000_001])
async def test_spoiled_bytes_of_an_earlier_run_are_fetched_again(
    client: Client, blob: Blob, payload: Payload, target: Path, size: int
) -> None:
    partial_path(target, payload.digest).write_bytes(bytes(size))

    async with client.download_blob(blob.uuid) as download:
        await save(download, target)

    assert target.read_bytes() == payload.data


async def test_a_complete_partial_needs_no_more_bytes(
    daemon: Any, connect: Connect, blob: Blob, payload: Payload, target: Path
) -> None:
    partial_path(target, payload.digest).write_bytes(payload.data)

    async with Proxy(daemon.url) as proxy:
        await saved_through(proxy, connect, blob, target)

    assert target.read_bytes() == payload.data
    assert starts(proxy) == [0]


async def test_a_second_download_of_the_same_is_kept_out(
    client: Client, blob: Blob, payload: Payload, target: Path
) -> None:
    with partial_path(target, payload.digest).open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        async with client.download_blob(blob.uuid) as download:
            with pytest.raises(TargetBusy):
                await save(download, target)


async def test_a_partial_that_became_a_target_meanwhile_is_not_written_to(
    client: Client, blob: Blob, payload: Payload, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def late_flock(file: BinaryIO, operation: int) -> None:
        """Between our opening the partial and locking it, its owner ends and renames it."""
        monkeypatch.setattr(fcntl, "flock", flock)
        partial_path(target, payload.digest).rename(target)
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late_flock)
    async with client.download_blob(blob.uuid) as download:
        await save(download, target)

    assert target.read_bytes() == payload.data
    assert list(target.parent.iterdir()) == [target]


async def test_a_link_in_the_place_of_a_partial_is_not_followed(
    client: Client, blob: Blob, payload: Payload, target: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    partial_path(target, payload.digest).symlink_to(victim)

    async with client.download_blob(blob.uuid) as download:
        with pytest.raises((OSError, ClientError)):
            await save(download, target)

    assert victim.read_text() == "precious"


async def test_a_target_with_a_very_long_name_is_saved(
    client: Client, blob: Blob, payload: Payload, tmp_path: Path
) -> None:
    target = tmp_path / ("ü" * 127)

    async with client.download_blob(blob.uuid) as download:
        await save(download, target)

    assert target.read_bytes() == payload.data


async def test_progress_ends_at_the_size(client: Client, blob: Blob, payload: Payload, target: Path) -> None:
    told: list[Progress] = []

    async with client.download_blob(blob.uuid) as download:
        await save(download, target, told.append)

    counts = [each.done for each in told]

    assert counts == sorted(counts)
    assert counts[-1] == len(payload.data)


async def test_what_a_thread_writes_for_a_download_that_was_cancelled_is_kept(
    client: Client, blob: Blob, payload: Payload, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_written, may_go_on = threading.Event(), threading.Event()
    pwritev = os.pwritev

    def slow_pwritev(descriptor: int, pieces: Any, at: int) -> int:
        """Holds the thread between the file, which has the piece, and the end of its work."""
        written = pwritev(descriptor, pieces, at)
        has_written.set()
        may_go_on.wait()
        return written

    monkeypatch.setattr(os, "pwritev", slow_pwritev)
    async with client.download_blob(blob.uuid) as download:
        saving = asyncio.create_task(save(download, target))
        await asyncio.to_thread(has_written.wait)
        saving.cancel()
        await asyncio.wait([saving], timeout=0)  # it waits for its thread, however often it is cancelled
        saving.cancel()
        may_go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await saving

    kept = partial_path(target, blob.digest).read_bytes()
    assert kept
    assert payload.data.startswith(kept)


# -- small ones, which are written at once -------------------------------------------------------------------------


@pytest.fixture
async def small(client: Client) -> Payload:
    return Payload(os.urandom(40_000))


async def test_a_small_payload_that_is_cut_for_good_leaves_everything_as_it_was(
    daemon: Any, client: Client, connect: Connect, small: Payload, target: Path
) -> None:
    blob = await client.put_blob(small.source())
    target.write_bytes(b"old")

    async with (
        Proxy(daemon.url, Fault("cut", after=20_000)) as proxy,
        connect(proxy.url, retry=NO_RETRY) as cut,
        cut.download_blob(blob.uuid) as download,
    ):
        with pytest.raises(ConnectionLost):
            await save(download, target)

    assert target.read_bytes() == b"old"
    assert list(target.parent.iterdir()) == [target]


async def test_a_small_payload_goes_on_after_a_cut(
    daemon: Any, client: Client, connect: Connect, small: Payload, target: Path
) -> None:
    blob = await client.put_blob(small.source())

    async with Proxy(daemon.url, Fault("cut", after=20_000)) as proxy:
        await saved_through(proxy, connect, blob, target)

    assert target.read_bytes() == small.data
    assert starts(proxy)[0] == 0
    assert starts(proxy)[1] > 15_000


async def test_a_small_payload_takes_the_place_of_its_own_partial(client: Client, small: Payload, target: Path) -> None:
    blob = await client.put_blob(small.source())
    partial_path(target, blob.digest).write_bytes(b"spoiled" * 10_000)

    async with client.download_blob(blob.uuid) as download:
        await save(download, target)

    assert target.read_bytes() == small.data
    assert list(target.parent.iterdir()) == [target]


async def test_a_small_payload_that_arrives_spoiled_is_not_kept(
    client: Client, small: Payload, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = await client.put_blob(small.source())
    true_pieces = Download.pieces

    async def pieces(self: Download, *bounds: Any) -> Any:
        async for piece in true_pieces(self, *bounds):
            yield bytes([piece[0] ^ 1]) + piece[1:]

    monkeypatch.setattr(Download, "pieces", pieces)
    async with client.download_blob(blob.uuid) as download:
        with pytest.raises(DigestDiffers):
            await save(download, target)

    assert list(target.parent.iterdir()) == []
