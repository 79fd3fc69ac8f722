"""Many uploads at once: descriptors, memory, commits, and what an operator does to their files."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from casd.catalogue.sqlite.writer import Writer
from casd.errors import OutOfDescriptors, UploadNotFound
from tests.conftest import Daemon
from tests.contracts.oracle import some_bytes
from tests.payloads.disk_spy import DiskSpy
from tests.uploads.house import ALICE, HER_OTHER, House, Sender
from tests.web.party import Party
from tests.web.tus import CHUNK, VERSION, created, patch, tus
from tests.web.wire import head

DATA = some_bytes(300_000)
MIB = 1 << 20


# -- files that somebody removed --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", ["open", "suspended", "restart"])
@pytest.mark.parametrize("harm", ["removed", "cut short"])
async def test_an_upload_whose_file_was_harmed_says_so_at_once(house: House, rest: str, harm: str) -> None:
    upload = await house.create(len(DATA))
    await house.append(upload, DATA[:200_000])
    if rest == "suspended":
        await house.uploads._sessions.let_rest_go()
    elif rest == "restart":
        await house.restart()

    if harm == "removed":
        house.stage_of(upload).unlink()
    else:
        os.truncate(house.stage_of(upload), 100_000)

    with pytest.raises(UploadNotFound):
        await house.told(upload)
    assert await house.recorded(upload) is None
    assert house.staged() == []


async def test_an_upload_that_is_finished_needs_no_file(house: House) -> None:
    upload = await house.create(len(DATA))
    await house.append(upload, DATA)
    finished = await house.complete(upload)

    assert (await house.uploads.upload(ALICE, upload.uuid)).blob == finished.blob


# -- descriptors ------------------------------------------------------------------------------------------------------


async def test_uploads_at_rest_give_their_descriptors_to_one_that_needs_them(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    resting = [await house.create(6) for _ in range(5)]
    for upload in resting:
        await house.append(upload, b"abc")
    await house.uploads._sessions.let_rest_go()
    for upload in resting[1:]:
        await house.append(upload, b"d")
    assert house.descriptors() == 4
    real, calls = os.open, []

    def open_none_at_first(path: object, *args: int) -> int:
        calls.append(path)
        if len(calls) == 1:
            raise OSError(errno.EMFILE, "Too many open files")
        return real(path, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", open_none_at_first)
    await house.append(resting[0], b"def")
    monkeypatch.undo()

    assert house.descriptors() == 1
    assert await house.became(await house.complete(resting[0])) == b"abcdef"


async def test_without_a_descriptor_nothing_is_told_and_the_next_try_has_room(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    resting, upload = await house.create(6), await house.create(6)
    await house.append(resting, b"abc")

    def open_none(*args: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", open_none)
    with pytest.raises(OutOfDescriptors):
        await house.append(upload, b"abc", at=0)
    monkeypatch.undo()

    assert house.descriptors() == 0
    assert await house.told(upload) == 0
    await house.append(upload, b"abcdef", at=0)
    assert await house.became(await house.complete(upload)) == b"abcdef"


@pytest.fixture
def narrow(new_daemon: Callable[..., Daemon]) -> Daemon:
    """A daemon that may open 160 files."""
    daemon = new_daemon()
    daemon.prefix = ("sh", "-c", 'ulimit -n 160; "$@"; exit $?', "sh")
    return daemon.start()


def test_more_uploads_than_descriptors_are_no_error(narrow: Daemon) -> None:
    party = Party(narrow)
    uploads = [created(party.writer, len(DATA)) for _ in range(250)]

    for start, stop in ((0, 1000), (1000, len(DATA))):
        for upload in uploads:
            answer = patch(party.writer, upload, start, DATA[start:stop])
            assert (answer.status, answer["Upload-Offset"]) == (204, str(stop))

    assert len(os.listdir(f"/proc/{narrow.pid}/fd")) < 160
    assert " 500 " not in narrow.log
    party.close()


# -- memory -----------------------------------------------------------------------------------------------------------


def high_water_mib(daemon: Daemon) -> float:
    lines = Path(f"/proc/{daemon.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


@pytest.mark.parametrize(
    ("count", "size"),
    [(60, 300_000), pytest.param(200, 8 * MIB, marks=pytest.mark.slow)],
)
def test_many_uploads_over_slow_links_all_finish_in_little_memory(
    new_daemon: Callable[..., Daemon], count: int, size: int
) -> None:
    """A slow link: each upload gets a few KiB in its turn, so that all are under way until the last round."""
    daemon = new_daemon().start()
    party = Party(daemon)
    datas = [number.to_bytes(4) + some_bytes(size - 4, 7) for number in range(count)]
    uploads = [created(party.writer, size) for _ in range(count)]
    token = party.writer._token

    before = high_water_mib(daemon)
    answers = send_in_turns(daemon, token, uploads, datas, 48 << 10)

    assert {answer[:12] for answer in answers} == {b"HTTP/1.1 204"}
    for upload in uploads:
        assert tus(party.writer, "HEAD", upload)["Casd-Blob"]
    print(f"uploads={count} size={size} before_mib={before:.0f} high_water_mib={high_water_mib(daemon):.0f}")
    assert high_water_mib(daemon) < 200
    party.close()


def send_in_turns(daemon: Daemon, token: str, uploads: list[str], datas: list[bytes], step: int) -> list[bytes]:
    """The answers to PATCHes of all uploads, whose bodies are sent side by side, `step` bytes of each at a time."""
    host, port = daemon.url.removeprefix("http://").rsplit(":", 1)
    links = [socket.create_connection((host, int(port)), timeout=60) for _ in uploads]
    try:
        for link, upload, data in zip(links, uploads, datas, strict=True):
            fields = VERSION | CHUNK | {"Upload-Offset": "0", "Content-Length": str(len(data))}
            own = [f"{name}: {value}" for name, value in fields.items()]
            link.sendall(head(daemon, f"PATCH {upload}", *own, token=token).encode("latin-1"))
        for start in range(0, max(map(len, datas)), step):
            for link, data in zip(links, datas, strict=True):
                link.sendall(data[start : start + step])
        return [link.recv(4096) for link in links]
    finally:
        for link in links:
            link.close()


# -- commits ----------------------------------------------------------------------------------------------------------


async def test_offsets_that_are_told_at_once_share_commits(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = 0
    real = Writer._commit

    def counting(self: Writer, batch: list[object]) -> None:
        nonlocal commits
        commits += 1
        real(self, batch)  # type: ignore[arg-type]

    people = [ALICE, HER_OTHER] * 16
    uploads = await asyncio.gather(*(house.create(100_000, who=who) for who in people))
    monkeypatch.setattr(Writer, "_commit", counting)

    for start in range(0, 100_000, 10_000):
        sending = [(upload, who) for upload, who in zip(uploads, people, strict=True)]
        await asyncio.gather(*(house.append(upload, DATA[:10_000], at=start, who=who) for upload, who in sending))

    print(f"offsets=320 commits={commits}")
    assert commits <= 160


# -- a chunk that comes twice -----------------------------------------------------------------------------------------


async def test_a_chunk_that_is_sent_twice_at_once_is_stored_once(house: House, spy: DiskSpy) -> None:
    upload = await house.create(len(DATA))
    first = await Sender(house, upload, 0).began()
    await first.send(DATA[:100_000])
    second = await Sender(house, upload, 0).began()

    ends = await asyncio.gather(first.task, second.task, return_exceptions=True)

    assert [type(end).__name__ for end in ends] == ["UploadBusy", "OffsetConflict"]
    assert await house.told(upload) == house.stage_of(upload).stat().st_size == 100_000
    await house.append(upload, DATA[100_000:])
    assert await house.became(await house.complete(upload)) == DATA
