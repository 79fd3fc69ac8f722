"""Resumable uploads through kill -9, power cuts and full disks: an offset once told is never less afterwards.

CASD_KILL_ROUNDS and CASD_KILL_SEED as in `test_kill.py`.
"""

import base64
import json
import os
import random
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Daemon
from tests.crash.asking import ask, data_of, listed_blobs
from tests.crash.folder import CATALOGUE, check_catalogue, hash_of, incoming, payload_files, payload_path, sha512
from tests.crash.promises import last, only, open_stages
from tests.crash.test_full_disk import disk as disk
from tests.crash.test_full_disk import fill, fill_to_the_last_byte, free_bytes
from tests.crash.test_full_disk import small as small
from tests.crash.test_full_disk import unreserved as unreserved
from tests.crash.test_kill import SEED, CutOff, bury
from tests.crash.tracing import Call, meddling, recording
from tests.crash.uploading import CHUNK, VERSION, Upload, new_upload

MIB = 1 << 20
ROUNDS = int(os.environ.get("CASD_KILL_ROUNDS", "4"))
CLIENTS = 4
ANSWERS = (5, 60)  # how many there are before a kill


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that tests kill and start again."""
    daemon = Daemon(tmp_path_factory.mktemp("mortal") / "data", {"CASD_UPKEEP__GRACE_S": "0"}).start()
    yield daemon
    assert daemon.stop() == 0, daemon.log
    assert "Traceback" not in daemon.log


# -- kill -9 ----------------------------------------------------------------------------------------------------------


class Client(threading.Thread):
    """Works on uploads, one after the other, until the daemon is gone."""

    def __init__(self, daemon: Daemon, uploads: list[Upload], choice: random.Random, answered: Callable[[], None]):
        super().__init__()
        self._daemon = daemon
        self._uploads = uploads
        self._choice = choice
        self._answered = answered
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while True:
                self._go_on()
                self._answered()
        except (*CutOff, OSError):
            pass
        except BaseException as error:
            self.failure = error

    def _go_on(self) -> None:
        if not self._uploads or self._uploads[-1].blob is not None:
            # None of no bytes: of one whose answer was lost nobody would know the blob that it became at once.
            size = self._choice.choice([1, 100_000, 3 * MIB])
            self._uploads.append(Upload.create(self._daemon, self._choice.randbytes(size)))
        upload = self._uploads[-1]
        offset = upload.head(self._daemon)
        if upload.blob is None:
            stop = min(len(upload.data), offset + self._choice.choice([0, 1, 50_000, MIB]))
            assert upload.patch(self._daemon, offset, stop).status == 204


def work_until_killed(daemon: Daemon, uploads: list[list[Upload]], choice: random.Random) -> None:
    enough = threading.Semaphore(0)
    clients = [Client(daemon, own, random.Random(choice.random()), enough.release) for own in uploads]
    for client in clients:
        client.start()
    for _ in range(choice.randint(*ANSWERS)):
        assert enough.acquire(timeout=60)
    daemon.kill()
    for client in clients:
        client.join()
        assert client.failure is None, client.failure


def test_kill_at_any_moment_takes_no_offset_back(mortal: Daemon, tmp_path: Path) -> None:
    print(f"CASD_KILL_SEED={SEED}")
    choice = random.Random(SEED)
    uploads: list[list[Upload]] = [[] for _ in range(CLIENTS)]

    for _ in range(ROUNDS):
        work_until_killed(mortal, uploads, choice)
        check_catalogue(mortal.data, tmp_path / "copy")
        mortal.start()
        unfinished = {upload.id for own in uploads for upload in own if upload.blob is None}
        for own in uploads:
            for upload in own:
                upload.head(mortal)  # which asserts it
        # A creation whose answer was lost has a row and no file.
        assert set(incoming(mortal.data)) <= unfinished

    everything = [upload for own in uploads for upload in own]
    for upload in everything:
        upload.finish(mortal)
    print(f"rounds={ROUNDS} uploads={len(everything)}")
    assert {sha512(upload.data) for upload in everything} == payload_files(mortal.data)
    assert len(listed_blobs(mortal)) == len(everything)


def test_bytes_that_were_under_way_at_a_kill_are_cut_back_to_what_is_recorded(mortal: Daemon) -> None:
    upload = new_upload(mortal, MIB)
    upload.patch(mortal, 0, 300_000)

    with upload.unfinished_patch(mortal, 300_000, 900_000):
        mortal.kill()
    assert upload.stage_size(mortal) == 900_000
    mortal.start()

    assert upload.head(mortal) == 300_000
    upload.finish(mortal)


def test_of_a_chunk_with_a_checksum_nothing_counts_that_was_under_way_at_a_kill(mortal: Daemon) -> None:
    upload = new_upload(mortal, MIB)
    upload.patch(mortal, 0, 300_000, is_checked=True)

    with upload.unfinished_patch(mortal, 300_000, 900_000, is_checked=True):
        mortal.kill()
    mortal.start()

    assert upload.head(mortal) == 300_000
    upload.finish(mortal)


# What disk calls a request makes whose upload has no known name yet: in incoming/, in payloads/, in the catalogue.
PLACES = {
    "entry": ("fsync", lambda daemon, data: daemon.data / "incoming"),
    "payload": ("fsync", lambda daemon, data: payload_path(daemon.data, sha512(data)).parent),
    "commit": ("fdatasync", lambda daemon, data: daemon.data / f"{CATALOGUE}-wal"),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_creation_that_is_repeated_after_a_kill_leaves_one_blob(mortal: Daemon, tmp_path: Path, place: str) -> None:
    data = os.urandom(200_000)
    told = f"sha512 {base64.b64encode(sha512(data).encode()).decode()}"
    facts = {"Upload_Metadata": told, "Casd_Session": f"a-session-{place}"}
    before = len(listed_blobs(mortal))
    call, where = PLACES[place]

    with meddling(mortal, [f"{call}:signal=KILL"], where(mortal, data)):
        with pytest.raises(CutOff):
            Upload.create(mortal, data, len(data), **facts)
        bury(mortal)
    check_catalogue(mortal.data, tmp_path / "copy")
    mortal.start()

    Upload.create(mortal, data, len(data), **facts).finish(mortal)
    assert len(listed_blobs(mortal)) == before + 1
    assert incoming(mortal.data) == []


@pytest.mark.parametrize("place", PLACES)
def test_uploads_that_are_joined_again_after_a_kill_leave_one_blob(mortal: Daemon, tmp_path: Path, place: str) -> None:
    data = os.urandom(3 * MIB)
    before = len(listed_blobs(mortal))
    parts = []
    for part in (data[: 2 * MIB], data[2 * MIB :]):
        headers = CHUNK | {"Upload-Length": str(len(part)), "Upload-Concat": "partial"}
        parts.append(ask(mortal, "POST", "/v1/uploads", part, headers).headers["Location"])
    final = VERSION | {"Upload-Concat": f"final;{' '.join(parts)}"}
    call, where = PLACES[place]

    with meddling(mortal, [f"{call}:signal=KILL"], where(mortal, data)):
        with pytest.raises(CutOff):
            ask(mortal, "POST", "/v1/uploads", None, final)
        bury(mortal)
    check_catalogue(mortal.data, tmp_path / "copy")
    mortal.start()

    answer = ask(mortal, "POST", "/v1/uploads", None, final)
    assert answer.status == 201, answer.body
    assert data_of(mortal, answer.headers["Casd-Blob"]).body == data
    assert len(listed_blobs(mortal)) == before + 1
    assert incoming(mortal.data) == []
    assert ask(mortal, "HEAD", parts[0], None, VERSION).status == 404


MOMENTS = [
    ("pwrite64", lambda daemon, upload: upload.stage(daemon)),
    ("fdatasync", lambda daemon, upload: upload.stage(daemon)),
    ("fsync", lambda daemon, upload: daemon.data / "incoming"),
    ("fsync", lambda daemon, upload: upload.stage(daemon)),
    ("link,linkat", lambda daemon, upload: upload.stage(daemon)),
    ("rename,renameat,renameat2", lambda daemon, upload: Path(f"{upload.stage(daemon)}.commit")),
    ("fsync", lambda daemon, upload: payload_path(daemon.data, sha512(upload.data)).parent),
    ("fdatasync", lambda daemon, upload: daemon.data / f"{CATALOGUE}-wal"),
]


@pytest.mark.parametrize(
    ("calls", "where"), MOMENTS, ids=[f"{number}-{call[0]}" for number, call in enumerate(MOMENTS)]
)
def test_a_kill_at_any_disk_call_of_a_last_piece_leaves_one_blob_in_the_end(
    mortal: Daemon, tmp_path: Path, calls: str, where: Callable[[Daemon, Upload], Path]
) -> None:
    upload = new_upload(mortal, 200_000)
    before = len(listed_blobs(mortal))

    with meddling(mortal, [f"{calls}:signal=KILL"], where(mortal, upload)):
        with pytest.raises(CutOff):
            upload.patch(mortal, 0, len(upload.data))
        bury(mortal)
    check_catalogue(mortal.data, tmp_path / "copy")
    mortal.start()

    upload.finish(mortal)
    assert len(listed_blobs(mortal)) == before + 1
    assert hash_of(payload_path(mortal.data, sha512(upload.data))) == sha512(upload.data)
    assert incoming(mortal.data) == []


# -- a power cut ------------------------------------------------------------------------------------------------------


def answers(calls: list[Call]) -> list[Call]:
    """Answers that tell an offset, in their order."""
    return [
        call for call in calls if '"HTTP/1.1 20' in call.text and call.name in ("sendto", "write", "sendmsg", "writev")
    ]


def stops_of(calls: list[Call], file: Path) -> list[tuple[Call, int]]:
    """The writes to a file, each with the offset behind what it wrote."""
    found = []
    for call in calls:
        if call.name == "pwrite64" and f"<{file}>" in call.text and call.is_good:
            found.append((call, int(call.text.rpartition(", ")[2]) + int(call.result)))
    return found


def synced_size(calls: list[Call], file: Path, *, until: int) -> int:
    """How many bytes of a file that only grows had survived a power cut when line `until` of the record was made."""
    syncs = [
        call
        for call in calls
        if call.name in ("fsync", "fdatasync") and f"<{file}>" in call.text and call.is_good and call.ended < until
    ]
    covered = [stop for write, stop in stops_of(calls, file) if any(write.ended < sync.began for sync in syncs)]
    return max(covered, default=0)


def test_what_is_told_was_synced_and_recorded_before_in_this_order(mortal: Daemon, tmp_path: Path) -> None:
    upload = new_upload(mortal, 3 * MIB)
    wal = mortal.data / f"{CATALOGUE}-wal"
    offsets = [1, 1000, MIB, 3 * MIB - 1]

    with recording(mortal, tmp_path / "record") as calls:
        for start, stop in zip([0, *offsets], offsets, strict=False):
            assert upload.patch(mortal, start, stop).status == 204

    stage = upload.stage(mortal)
    made = only(calls, lambda call: call.name == "openat" and f'"{stage}"' in call.text)
    told = answers(calls)
    assert len(told) == len(offsets)
    last_frames: Call | None = None
    for answer, offset in zip(told, offsets, strict=True):
        write = next(call for call, stop in stops_of(calls, stage) if stop >= offset)
        sync = next(call for call in calls if is_sync(call, stage) and call.began > write.ended)
        entry = last(calls, "fsync", str(mortal.data / "incoming"), answer)
        frames = next(call for call in calls if is_write(call, wal) and call.began > write.ended)
        commit = last(calls, "fdatasync", str(wal), answer)
        assert made.ended < entry.began
        assert sync.ended < frames.began
        assert entry.ended < frames.began
        assert frames.ended < commit.began
        assert last_frames is None or last_frames.ended < frames.began
        last_frames = frames


def is_sync(call: Call, file: Path) -> bool:
    return call.name in ("fsync", "fdatasync") and f"<{file}>" in call.text and call.is_good


def is_write(call: Call, file: Path) -> bool:
    return call.name == "pwrite64" and f"<{file}>" in call.text and call.is_good


@pytest.mark.parametrize("is_checked", [False, True], ids=["plain", "checked"])
@pytest.mark.parametrize("rest", ["nothing", "garbage"])
def test_after_a_power_cut_what_was_told_is_there(
    mortal: Daemon, new_daemon: Callable[..., Daemon], tmp_path: Path, rest: str, is_checked: bool
) -> None:
    """A daemon starts on a folder of what had been synced; a disk may have lost the rest, or something else there."""
    data = os.urandom(2 * MIB)
    told = {"Upload_Metadata": f"sha512 {base64.b64encode(sha512(data).encode()).decode()}"}
    finished = new_upload(mortal, MIB)
    with recording(mortal, tmp_path / "record") as calls:
        upload = Upload.create(mortal, data, 1000, **told)
        finished.patch(mortal, 0, 1000)
        finished.patch(mortal, 1000, MIB)
        upload.patch(mortal, 1000, MIB, is_checked=is_checked)
        with upload.unfinished_patch(mortal, MIB, 2 * MIB - 1, is_checked=is_checked):
            mortal.kill()

    after = new_daemon()
    lose_power(mortal, calls, after.data, upload, rest)
    mortal.start()
    after.start()

    assert after.token == mortal.token
    assert upload.told == upload.head(after) == MIB
    adopt(after, upload)
    assert finished.head(after) == MIB
    finished.check(after)
    assert after.stop() == 0
    ask(mortal, "DELETE", upload.path, None, VERSION)


def adopt(daemon: Daemon, upload: Upload) -> None:
    """Somebody else, who has nothing but the file, finds the upload and goes on with it."""
    body = {"name": "another", "role": "writer", "namespaces": ["default"]}
    token = ask(daemon, "POST", "/v1/tokens", json.dumps(body).encode()).json["token"]
    other = {"Authorization": f"Bearer {token}"}
    query = f"sha512={sha512(upload.data)}&size={len(upload.data)}"
    (item,) = ask(daemon, "GET", f"/v1/uploads?{query}", None, other).json["items"]
    assert (item["url"], item["prefix_sha512"]) == (upload.path, sha512(upload.data[: item["offset"]]))

    headers = other | CHUNK | {"Upload-Offset": str(item["offset"])}
    answer = ask(daemon, "PATCH", item["url"], upload.data[item["offset"] :], headers)

    assert answer.status == 204
    upload.sent = len(upload.data)
    upload.finish(daemon)


def lose_power(daemon: Daemon, calls: list[Call], into: Path, upload: Upload, rest: str) -> None:
    """Copy the dead daemon's folder without what the record does not show as synced."""
    shutil.copytree(daemon.data, into)
    # The catalogue: whatever stands in its WAL was synced after it was written, so it is there as it is.
    wal = daemon.data / f"{CATALOGUE}-wal"
    frames = [call for call in calls if is_write(call, wal)]
    assert any(sync.began > frames[-1].ended for sync in calls if is_sync(sync, wal))
    # Each entry in payloads/ was made by a rename whose folder was synced afterwards.
    for rename in (call for call in calls if call.name.startswith("rename") and call.is_good):
        target = Path(re.findall(r'"([^"]+)"', rename.text)[-1])
        assert any(sync.began > rename.ended for sync in calls if is_sync(sync, target.parent)), target
    # The stage: what was synced, and behind it what the disk happens to have.
    stage = upload.stage(daemon)
    kept = synced_size(calls, stage, until=1 << 60)
    assert kept < stage.stat().st_size == 2 * MIB - 1
    lost = stage.stat().st_size - kept
    behind = {"nothing": b"", "garbage": os.urandom(lost)}[rest]
    (into / "incoming" / upload.id).write_bytes(upload.data[:kept] + behind)
    made = only(calls, lambda call: call.name == "openat" and f'"{stage}"' in call.text)
    assert any(sync.began > made.ended for sync in calls if is_sync(sync, daemon.data / "incoming"))


# -- no room ----------------------------------------------------------------------------------------------------------


def test_an_upload_on_a_disk_that_runs_full_goes_on_when_there_is_room(small: Daemon) -> None:
    upload = new_upload(small, 12 * MIB)
    upload.patch(small, 0, 2 * MIB)
    # Somebody else takes the room that was reserved: what is left above the reserve is less than what is missing.
    filler = fill(small.data, 8 * MIB + 3 * MIB)

    answer = upload.patch(small, 2 * MIB, 12 * MIB)

    assert (answer.status, answer.json["code"]) == (507, "storage-full")
    assert open_stages(small) == []
    assert upload.head(small) >= 2 * MIB
    assert free_bytes(small.data) >= 7 * MIB
    filler.unlink()
    upload.finish(small)


def test_a_catalogue_without_room_tells_no_offset(unreserved: Daemon) -> None:
    upload = new_upload(unreserved, 100_000)
    assert upload.patch(unreserved, 0, 10_000).status == 204
    filler = fill_to_the_last_byte(unreserved)

    answer = upload.patch(unreserved, 10_000, 10_001)  # in a block that the file has already

    assert (answer.status, answer.json["code"]) == (507, "storage-full")
    assert upload.head(unreserved) == 10_000
    assert ask(unreserved, "DELETE", upload.path, None, VERSION).status == 507
    filler.unlink()
    upload.finish(unreserved)
