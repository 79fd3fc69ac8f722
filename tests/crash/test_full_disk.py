"""A disk without room: uploads are told so, and everything that needs none goes on (DESIGN.md 5.1)."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Daemon, skip_loudly
from tests.crash.asking import Answer, ask, chunks, collect, data_of, eventually, listed_blobs, post
from tests.crash.folder import CATALOGUE, check_catalogue, incoming, payload_files, sha512

MIB = 1 << 20
DISK_BYTES = 64 * MIB
RESERVE_BYTES = 8 * MIB
START_LIMIT_S = 60


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A data folder that is a small file system of its own."""
    folder = tmp_path / "data"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        skip_loudly(f"mount is not permitted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def serving(disk: Path, reserve_bytes: int, event_loop: str = "asyncio") -> Iterator[Daemon]:
    settings = {
        "CASD_STORAGE__RESERVE_BYTES": str(reserve_bytes),
        "CASD_UPKEEP__GRACE_S": "0",
        "CASD_SERVER__EVENT_LOOP": event_loop,
    }
    daemon = Daemon(disk, settings).start()
    try:
        yield daemon
    finally:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.kill()


@pytest.fixture(params=["asyncio", "uvloop"])
def small(request: pytest.FixtureRequest, disk: Path) -> Iterator[Daemon]:
    """A daemon on it, with a reserve."""
    with serving(disk, RESERVE_BYTES, request.param) as daemon:
        yield daemon


@pytest.fixture
def unreserved(disk: Path) -> Iterator[Daemon]:
    """A daemon on it that keeps nothing back."""
    with serving(disk, 0) as daemon:
        yield daemon


def free_bytes(disk: Path) -> int:
    now = os.statvfs(disk)
    return now.f_bavail * now.f_frsize


def fill(disk: Path, leave: int) -> Path:
    """A file that leaves so many bytes free, to the last one."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        if size := free_bytes(disk) - leave:
            os.posix_fallocate(file.fileno(), 0, size)
    assert free_bytes(disk) == leave
    return filler


def fill_to_the_last_byte(daemon: Daemon) -> Path:
    """The same for a daemon that has folded back its WAL, so that it finds no room in there."""
    wal = daemon.data / f"{CATALOGUE}-wal"
    eventually(lambda: wal.stat().st_size == 0)
    return fill(daemon.data, 0)


def in_chunks(daemon: Daemon, data: bytes) -> Answer:
    return post(daemon, chunks(data))


def assert_full(answer: Answer) -> None:
    assert answer.status == 507, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["status"] == 507
    assert answer.json["code"] == "storage-full"


# -- down to the reserve --------------------------------------------------------------------------------------------


def test_on_a_full_disk_uploads_are_refused_and_everything_else_goes_on(small: Daemon, tmp_path: Path) -> None:
    kept, dropped = os.urandom(MIB), os.urandom(2 * MIB)
    uuid, garbage = post(small, kept).headers["Casd-Blob"], post(small, dropped).headers["Casd-Blob"]
    assert ask(small, "PUT", f"/v1/names/default/name?blob={uuid}").status == 201
    fill(small.data, RESERVE_BYTES - MIB)  # the catalogue's part of it comes and goes with its WAL

    for size in (1, 1000, MIB):
        assert_full(post(small, os.urandom(size)))
        assert_full(in_chunks(small, os.urandom(size)))
        assert_full(ask(small, "PUT", "/v1/names/default/name", os.urandom(size)))
    assert incoming(small.data) == []
    assert free_bytes(small.data) <= RESERVE_BYTES

    ready = ask(small, "GET", "/readyz")
    assert (ready.status, ready.json["code"]) == (503, "storage-full")
    assert ask(small, "GET", "/healthz").status == 200

    assert data_of(small, uuid).body == kept
    assert ask(small, "GET", "/v1/names/default/name").body == kept
    assert ask(small, "GET", f"/v1/payloads/sha512/{sha512(kept)}").body == kept
    assert ask(small, "PUT", f"/v1/blobs/{uuid}/metadata/key", b'{"value": 1}').status == 200
    assert ask(small, "DELETE", "/v1/names/default/name").status == 204  # a delete marker
    assert ask(small, "GET", "/v1/names/default/name").status == 404
    assert ask(small, "DELETE", "/v1/names/default/name?version=2").status == 204  # un-hides
    assert ask(small, "DELETE", f"/v1/blobs/{garbage}").status == 204
    assert collect(small)["payloads"] == 1

    assert ask(small, "GET", "/readyz").status == 200
    again = dropped[: MIB // 2]
    stored = post(small, again)
    assert stored.status == 201
    assert data_of(small, stored.headers["Casd-Blob"]).body == again
    assert payload_files(small.data) == {sha512(kept), sha512(again)}
    assert incoming(small.data) == []
    check_catalogue(small.data, tmp_path / "copy")


def test_an_upload_of_unknown_length_that_fills_the_disk_gives_its_space_back(small: Daemon) -> None:
    fill(small.data, RESERVE_BYTES + 8 * MIB)

    assert_full(in_chunks(small, os.urandom(16 * MIB)))

    assert incoming(small.data) == []
    assert payload_files(small.data) == set()
    assert free_bytes(small.data) >= RESERVE_BYTES + 7 * MIB  # less what the catalogue and the log of it took
    assert ask(small, "GET", "/readyz").status == 200
    assert in_chunks(small, os.urandom(6 * MIB)).status == 201


def test_uploads_of_unknown_length_that_fill_the_disk_together_leave_the_reserve_alone(small: Daemon) -> None:
    async def upload() -> int:
        answer = await asyncio.to_thread(in_chunks, small, os.urandom(10 * MIB))
        return answer.status

    async def together() -> list[int]:
        return await asyncio.gather(*(upload() for _ in range(12)))

    statuses = asyncio.run(together())

    assert set(statuses) <= {201, 507}
    assert 507 in statuses
    assert len(payload_files(small.data)) == statuses.count(201)
    assert incoming(small.data) == []
    assert free_bytes(small.data) > RESERVE_BYTES * 0.5


# -- reservations ---------------------------------------------------------------------------------------------------


@dataclass
class Announced:
    """An upload whose length was announced, and that waits for its answer before it sends a byte."""

    size: int
    status: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def finish(self) -> int:
        """Send the body; returns the status of the answer."""
        self.writer.write(os.urandom(self.size))
        await self.writer.drain()
        return await status_in(self.reader)

    async def hang_up(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


async def announce(daemon: Daemon, size: int) -> Announced:
    host, port = daemon.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /v1/blobs HTTP/1.1\r\nHost: casd\r\nContent-Length: {size}\r\nExpect: 100-continue\r\n"
    writer.write(f"{head}Authorization: Bearer {daemon.token}\r\n\r\n".encode())
    return Announced(size, await status_in(reader), reader, writer)


async def status_in(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    return int(head.split()[1])


async def test_only_as_many_announced_uploads_are_let_in_as_fit_and_all_of_those_succeed(small: Daemon) -> None:
    size = 10 * MIB
    room = (free_bytes(small.data) - RESERVE_BYTES) // size

    uploads = await asyncio.gather(*(announce(small, size) for _ in range(32)))

    admitted = [upload for upload in uploads if upload.status == 100]
    assert {upload.status for upload in uploads} == {100, 507}
    assert len(admitted) == room
    assert await asyncio.gather(*(upload.finish() for upload in admitted)) == [201] * room
    assert len(payload_files(small.data)) == room
    assert free_bytes(small.data) >= RESERVE_BYTES - MIB  # the catalogue has its part of it
    assert incoming(small.data) == []
    for upload in uploads:
        await upload.hang_up()


async def test_what_is_announced_is_kept_free_from_uploads_of_unknown_length(small: Daemon) -> None:
    upload = await announce(small, 40 * MIB)

    assert_full(await asyncio.to_thread(in_chunks, small, os.urandom(30 * MIB)))

    assert await upload.finish() == 201
    await upload.hang_up()


async def test_an_announced_upload_that_is_given_up_frees_what_it_had_reserved(small: Daemon) -> None:
    size = 40 * MIB
    for sent in (0, 1000, 20 * MIB):
        given_up = await announce(small, size)
        assert given_up.status == 100
        given_up.writer.write(os.urandom(sent))
        await given_up.writer.drain()
        await given_up.hang_up()

        deadline = asyncio.get_running_loop().time() + START_LIMIT_S
        while (upload := await announce(small, size)).status != 100:  # the daemon learns of it in its own time
            assert asyncio.get_running_loop().time() < deadline, "never freed"
            await upload.hang_up()
        await upload.hang_up()

    assert post(small, os.urandom(size)).status == 201
    assert len(payload_files(small.data)) == 1


# -- to the last byte -----------------------------------------------------------------------------------------------


def test_a_catalogue_without_room_refuses_writes_and_answers_reads(unreserved: Daemon, tmp_path: Path) -> None:
    data = os.urandom(MIB)
    uuid = post(unreserved, data).headers["Casd-Blob"]
    assert ask(unreserved, "PUT", f"/v1/names/default/name?blob={uuid}").status == 201
    filler = fill_to_the_last_byte(unreserved)

    for method, path, body in (
        ("POST", "/v1/blobs", b"tiny"),
        ("PUT", "/v1/names/default/other", b"tiny"),
        ("PUT", f"/v1/names/default/other?blob={uuid}", None),
        ("PUT", f"/v1/blobs/{uuid}/metadata/key", b'{"value": "%s"}' % (b"x" * 60_000)),
        ("DELETE", "/v1/names/default/name", None),
        ("DELETE", f"/v1/blobs/{uuid}", None),
    ):
        assert_full(ask(unreserved, method, path, body))
    assert ask(unreserved, "GET", "/readyz").status == 503
    assert ask(unreserved, "GET", "/healthz").status == 200
    assert data_of(unreserved, uuid).body == data
    assert ask(unreserved, "GET", "/v1/names/default/name").body == data
    assert ask(unreserved, "GET", f"/v1/blobs/{uuid}").json["metadata"] == {}
    assert [blob["uuid"] for blob in listed_blobs(unreserved)] == [uuid]
    assert incoming(unreserved.data) == []

    filler.unlink()
    assert ask(unreserved, "GET", "/readyz").status == 200
    assert ask(unreserved, "DELETE", "/v1/names/default/name").status == 204
    assert ask(unreserved, "DELETE", f"/v1/blobs/{uuid}").status == 204
    assert post(unreserved, b"tiny").status == 201
    unreserved.kill()
    check_catalogue(unreserved.data, tmp_path / "copy")


def test_what_was_acknowledged_before_the_disk_ran_full_survives_a_kill(unreserved: Daemon, tmp_path: Path) -> None:
    data = os.urandom(1000)
    uuid = post(unreserved, data).headers["Casd-Blob"]
    filler = fill_to_the_last_byte(unreserved)
    assert_full(post(unreserved, b"refused"))

    unreserved.kill()
    check_catalogue(unreserved.data, tmp_path / "copy")
    filler.unlink()
    unreserved.start()

    assert [blob["uuid"] for blob in listed_blobs(unreserved)] == [uuid]
    assert data_of(unreserved, uuid).body == data


def test_a_daemon_that_was_killed_on_a_full_disk_starts_there_and_answers_reads(unreserved: Daemon) -> None:
    data = os.urandom(1000)
    uuid = post(unreserved, data).headers["Casd-Blob"]
    fill(unreserved.data, 0)

    unreserved.kill()
    unreserved.start()  # the WAL that is folded back makes room for the little that a start needs

    assert data_of(unreserved, uuid).body == data
    assert ask(unreserved, "GET", "/readyz").status == 200


def test_a_start_for_which_there_is_no_room_asks_for_room_and_not_for_a_backup(unreserved: Daemon) -> None:
    uuid = post(unreserved, b"stored").headers["Casd-Blob"]
    assert unreserved.stop() == 0
    filler = fill(unreserved.data, 0)

    command = [sys.executable, "-m", "casd", "serve", "--port", "0"]
    ended = subprocess.run(command, env=unreserved.env, capture_output=True, text=True, timeout=START_LIMIT_S)

    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("casd: ")
    assert "disk full" in line
    assert "backup" not in line
    filler.unlink()
    unreserved.start()
    assert data_of(unreserved, uuid).body == b"stored"
