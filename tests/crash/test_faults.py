"""Disk calls that fail: nothing is acknowledged, nothing is left half done, and what is tried again is really durable.

The faults are made by strace, at the system call (`tracing.py`), so everything above it is the real daemon.
"""

import http.client
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import Daemon
from tests.crash.asking import Answer, ask, collect, data_of, eventually, listed_blobs
from tests.crash.beside import DAMAGES
from tests.crash.folder import (
    CATALOGUE,
    check_catalogue,
    incoming,
    payload_files,
    payload_names,
    payload_path,
    sha512,
)
from tests.crash.promises import (
    Upload,
    as_blob,
    as_name,
    assert_durable,
    assert_refused,
    assert_untouched,
    in_chunks,
    new_bytes,
    only,
    open_stages,
    retry_durably,
)
from tests.crash.tracing import Call, failing, meddling, parse, recording, require_strace

RENAMES = "rename,renameat,renameat2"
MKDIRS = "mkdir,mkdirat"
SMALL, LARGE = 1000, 3 << 20  # one is kept in memory until it is sealed, the other is written as it comes


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def faulty(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A running daemon whose disk is made to fail; each test stores bytes of its own."""
    settings = {"CASD_SERVER__EVENT_LOOP": request.param, "CASD_UPKEEP__GRACE_S": "0"}
    daemon = Daemon(tmp_path_factory.mktemp("faulty") / "data", settings).start()
    yield daemon
    assert daemon.stop() == 0, daemon.log


def put_metadata(daemon: Daemon, uuid: str, value: str) -> Answer:
    return ask(daemon, "PUT", f"/v1/blobs/{uuid}/metadata/key", b'{"value": "%s"}' % value.encode())


def describe(daemon: Daemon, name: str) -> Answer:
    headers = {"Content-Type": "application/json"}
    return ask(daemon, "PATCH", f"/v1/name-info/default/{name}", b'{"metadata": {"key": "new"}}', headers)


# -- the payload's side ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("upload", [as_blob, in_chunks, as_name])
@pytest.mark.parametrize("size", [0, SMALL, LARGE])
def test_an_acknowledged_upload_was_synced_step_by_step(
    faulty: Daemon, tmp_path: Path, upload: Upload, size: int
) -> None:
    data = new_bytes(faulty, size) if size else b""
    is_first_in_shard = not payload_path(faulty.data, sha512(data)).parent.exists()

    with recording(faulty, tmp_path / "record") as calls:
        assert upload(faulty, data).status == 201

    assert_durable(calls, faulty, data, is_first_in_shard=is_first_in_shard)


def test_the_folder_and_its_catalogue_are_durable_before_the_first_answer(
    new_daemon: Callable[..., Daemon], tmp_path: Path
) -> None:
    require_strace()
    daemon = new_daemon()
    for start in ("first", "second"):  # a WAL is made at each: the last connection of a daemon removes it
        record = tmp_path / start
        traced = "trace=openat,fsync,fdatasync,sendto,write"
        daemon.prefix = ("strace", "-f", "--seccomp-bpf", "-y", "-o", str(record), "-e", traced)
        daemon.start()
        assert as_blob(daemon, b"first").status == 201
        assert daemon.stop() == 0
        calls = parse(record.read_text("utf-8", "replace"))

        answer = only(calls, lambda call: '"HTTP/1.1 201 ' in call.text)
        wal = made_in(calls, daemon.data / f"{CATALOGUE}-wal")
        assert any(wal.ended < call.began and call.ended < answer.began for call in syncs(calls, daemon.data))
        assert any(call.ended < answer.began for call in syncs(calls, daemon.data.parent))
        assert any(call.ended < answer.began for call in syncs(calls, daemon.data / "payloads"))


def made_in(calls: list[Call], path: Path) -> Call:
    """The first call that opened the file and would have made it."""
    return next(call for call in calls if call.name == "openat" and f'"{path}"' in call.text and "O_CREAT" in call.text)


def syncs(calls: list[Call], folder: Path) -> list[Call]:
    return [
        call for call in calls if call.name in ("fsync", "fdatasync") and f"<{folder}>" in call.text and call.is_good
    ]


@pytest.mark.parametrize(("upload", "size"), [(as_name, SMALL), (in_chunks, LARGE)])
@pytest.mark.parametrize(
    ("call", "error", "status"),
    [
        ("fsync", "EIO", 500),  # of the staged file: the first there is
        ("fsync", "ENOSPC", 507),
        ("fsync", "EDQUOT", 507),
        ("pwrite64", "EIO", 500),
        ("pwrite64", "ENOSPC", 507),
        (MKDIRS, "EIO", 500),
        (MKDIRS, "ENOSPC", 507),
        (RENAMES, "EIO", 500),
        (RENAMES, "ENOSPC", 507),
    ],
)
def test_an_upload_whose_disk_call_fails_is_refused_and_leaves_nothing_behind(
    faulty: Daemon, tmp_path: Path, upload: Upload, size: int, call: str, error: str, status: int
) -> None:
    data = new_bytes(faulty, size)

    with failing(faulty, call, error):
        answer = upload(faulty, data)

    assert_refused(answer, status)
    assert_untouched(faulty, data)
    assert not payload_path(faulty.data, sha512(data)).exists()
    retry_durably(faulty, upload, data, tmp_path / "record", is_first_in_shard=call != RENAMES)


@pytest.mark.parametrize("upload", [as_blob, as_name])
def test_a_payload_whose_folder_is_not_synced_is_not_acknowledged_and_is_collected_later(
    faulty: Daemon, tmp_path: Path, upload: Upload
) -> None:
    data = new_bytes(faulty, SMALL)
    digest = sha512(data)
    shard = payload_path(faulty.data, digest).parent

    with failing(faulty, "fsync", "EIO", shard):
        answer = upload(faulty, data)

    assert_refused(answer, 500)
    assert_untouched(faulty, data)
    assert payload_path(faulty.data, digest).read_bytes() == data  # renamed already, and no row knows it
    assert collect(faulty)["orphans"] == 1
    assert not payload_path(faulty.data, digest).exists()
    retry_durably(faulty, upload, data, tmp_path / "record", is_first_in_shard=False)


def test_a_new_shard_counts_as_safe_only_after_its_parents_fsync_has_succeeded(faulty: Daemon, tmp_path: Path) -> None:
    data = new_bytes(faulty, SMALL)
    shard = payload_path(faulty.data, sha512(data)).parent

    for _ in range(2):
        with failing(faulty, "fsync", "EIO", shard.parent):
            answer = as_blob(faulty, data)
        assert_refused(answer, 500)
        assert_untouched(faulty, data)

    retry_durably(faulty, as_blob, data, tmp_path / "record", is_first_in_shard=True)


def test_a_shard_that_an_earlier_process_made_is_synced_once_more(
    new_daemon: Callable[..., Daemon], tmp_path: Path
) -> None:
    daemon = new_daemon(CASD_UPKEEP__GRACE_S="0").start()
    data = os.urandom(SMALL)
    assert as_blob(daemon, data).status == 201
    daemon.kill()
    daemon.start()

    retry_durably(daemon, as_blob, data, tmp_path / "first", is_first_in_shard=True)
    retry_durably(daemon, as_blob, data, tmp_path / "second", is_first_in_shard=False)


def test_uploads_into_one_new_shard_whose_parent_is_synced_now_and_then_leave_it_usable(faulty: Daemon) -> None:
    payloads = contents_of_one_shard(8)
    targets = [payload_path(faulty.data, sha512(data)) for data in payloads]
    # Every second sync of a thread fails, late, and renames wait: what one upload gives up another has just found good.
    faults = ["fsync:error=EIO:delay_enter=20000:when=1+2", f"{RENAMES}:delay_enter=50000"]

    with ThreadPoolExecutor(len(payloads)) as clients:
        with meddling(faulty, faults, targets[0].parent.parent, *targets):
            answers = list(clients.map(lambda data: as_blob(faulty, data), payloads))
        retried = list(clients.map(lambda data: as_blob(faulty, data), payloads))

    assert {answer.status for answer in answers} <= {201, 500}
    assert {answer.status for answer in retried} == {201}
    for answer, data in zip(answers + retried, payloads * 2, strict=True):
        assert answer.status == 500 or data_of(faulty, answer.headers["Casd-Blob"]).body == data


def contents_of_one_shard(count: int) -> list[bytes]:
    """Different contents whose digests share their first four digits."""
    found: dict[str, list[bytes]] = {}
    while True:
        data = os.urandom(16)
        group = found.setdefault(sha512(data)[:4], [])
        group.append(data)
        if len(group) == count:
            return group


def test_when_every_sync_fails_all_uploads_at_once_are_refused(faulty: Daemon) -> None:
    payloads = [os.urandom(size) for size in (SMALL, LARGE) * 8]
    before = payload_names(faulty.data)

    with failing(faulty, "fsync,fdatasync", "EIO"), ThreadPoolExecutor(len(payloads)) as clients:
        answers = list(clients.map(lambda data: as_blob(faulty, data), payloads))

    assert {answer.status for answer in answers} == {500}
    assert payload_names(faulty.data) == before
    assert incoming(faulty.data) == []
    assert open_stages(faulty) == []


def test_a_refused_version_takes_no_number(faulty: Daemon) -> None:
    data = new_bytes(faulty, SMALL)
    name = f"/v1/names/default/{sha512(data)}"

    for call, path in (("fsync", ()), ("fdatasync", (faulty.data / f"{CATALOGUE}-wal",))):
        with failing(faulty, call, "EIO", *path):
            assert_refused(as_name(faulty, data), 500)
        assert ask(faulty, "GET", name).status == 404

    assert as_name(faulty, data).json["version"] == 1
    assert as_name(faulty, data).json["version"] == 2


def test_a_stage_that_cannot_be_removed_is_removed_at_the_next_start(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon().start()

    with failing(daemon, "fsync,unlink,unlinkat", "EIO"):
        answer = as_blob(daemon, os.urandom(LARGE))

    assert_refused(answer, 500)
    assert len(incoming(daemon.data)) == 1
    assert open_stages(daemon) == []
    daemon.kill()
    daemon.start()
    assert incoming(daemon.data) == []


def test_a_payload_whose_removal_fails_is_removed_by_the_next_collection(faulty: Daemon) -> None:
    data = new_bytes(faulty, SMALL)
    digest = sha512(data)
    uuid = as_blob(faulty, data).headers["Casd-Blob"]
    assert ask(faulty, "DELETE", f"/v1/blobs/{uuid}").status == 204

    with failing(faulty, "unlink,unlinkat", "EIO", payload_path(faulty.data, digest)):
        answer = ask(faulty, "POST", "/v1/upkeep/collect-garbage?force=1")

    assert_refused(answer, 500)
    assert payload_path(faulty.data, digest).exists()
    collect(faulty)
    assert not payload_path(faulty.data, digest).exists()


def test_a_payload_that_is_being_committed_is_no_orphan(faulty: Daemon) -> None:
    data = new_bytes(faulty, SMALL)
    target = payload_path(faulty.data, sha512(data))

    # Between its rename and its row a payload looks like one: here for half a second, while collection looks.
    with meddling(faulty, ["fsync:delay_enter=500000"], target.parent), ThreadPoolExecutor(1) as clients:
        upload = clients.submit(as_blob, faulty, data)
        eventually(target.exists)
        collect(faulty)
        answer = upload.result()

    assert answer.status == 201
    assert data_of(faulty, answer.headers["Casd-Blob"]).body == data


def test_a_download_that_cannot_be_read_on_never_looks_complete(faulty: Daemon) -> None:
    data = new_bytes(faulty, LARGE)
    uuid = as_blob(faulty, data).headers["Casd-Blob"]

    with failing(faulty, "sendfile", "EIO"), pytest.raises((http.client.IncompleteRead, ConnectionError)):
        data_of(faulty, uuid)

    assert data_of(faulty, uuid).body == data


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    ("calls", "error"), [(RENAMES, "EIO"), ("fsync", "EIO"), ("fsync", "ENOSPC"), ("fdatasync", "EIO")]
)
def test_a_damaged_payload_that_cannot_be_put_away_is_never_sent_and_heals_by_storing_it_again(
    faulty: Daemon, tmp_path: Path, calls: str, error: str, damage: Callable[[Path], None]
) -> None:
    data = new_bytes(faulty, SMALL)
    uuid = as_blob(faulty, data).headers["Casd-Blob"]
    damage(payload_path(faulty.data, sha512(data)))

    with failing(faulty, calls, error):
        assert data_of(faulty, uuid).status >= 500
        assert data_of(faulty, uuid).status >= 500
    assert data_of(faulty, uuid).status >= 500

    retry_durably(faulty, as_blob, data, tmp_path / "record", is_first_in_shard=False)
    assert data_of(faulty, uuid).body == data
    assert ask(faulty, "GET", f"/v1/blobs/{uuid}").json["state"] == "created"


# -- the catalogue's side -------------------------------------------------------------------------------------------

COMMIT_FAULTS = [("fdatasync", "EIO", 500), ("pwrite64", "EIO", 500), ("pwrite64", "ENOSPC", 507)]


@pytest.mark.parametrize(("call", "error", "status"), COMMIT_FAULTS)
def test_what_was_in_a_commit_that_failed_did_not_happen(faulty: Daemon, call: str, error: str, status: int) -> None:
    uuid, hidden = as_blob(faulty, os.urandom(SMALL)).headers["Casd-Blob"], sha512(os.urandom(SMALL))
    assert put_metadata(faulty, uuid, "old").status == 200
    assert ask(faulty, "PUT", f"/v1/names/default/{hidden}?blob={uuid}").status == 201
    data = new_bytes(faulty, SMALL)
    name = sha512(data)
    writes = [
        lambda: as_blob(faulty, data),
        lambda: as_name(faulty, data),
        lambda: ask(faulty, "PUT", f"/v1/names/default/{name}?blob={uuid}"),
        lambda: ask(faulty, "POST", f"/v1/blobs?blob={uuid}&namespace=default"),
        lambda: put_metadata(faulty, uuid, "new"),
        lambda: describe(faulty, hidden),
        lambda: ask(faulty, "DELETE", f"/v1/blobs/{uuid}"),
        lambda: ask(faulty, "DELETE", f"/v1/names/default/{hidden}"),
        lambda: ask(faulty, "DELETE", f"/v1/names/default/{hidden}?purge=1"),
    ]

    wal = faulty.data / f"{CATALOGUE}-wal"
    # Late, so that all but the first come together in one batch, and some find what others did in it.
    with meddling(faulty, [f"{call}:error={error}:delay_enter=50000"], wal), ThreadPoolExecutor(len(writes)) as clients:
        answers = [client.result() for client in [clients.submit(write) for write in writes]]

    for answer in answers:
        assert_refused(answer, status)
    assert_untouched(faulty, data)
    assert ask(faulty, "GET", f"/v1/names/default/{name}").status == 404
    assert ask(faulty, "GET", f"/v1/names/default/{hidden}").status == 200
    blob = ask(faulty, "GET", f"/v1/blobs/{uuid}").json
    assert blob["holds_itself"]
    assert blob["metadata"] == {"key": "old"}
    assert ask(faulty, "GET", f"/v1/name-info/default/{hidden}").json["metadata"] == {}
    assert [other["uuid"] for other in listed_blobs(faulty) if other["sha512"] == blob["sha512"]] == [uuid]


@pytest.mark.parametrize(("call", "error", "status"), COMMIT_FAULTS)
def test_writes_after_a_failed_commit_are_durable(
    faulty: Daemon, tmp_path: Path, call: str, error: str, status: int
) -> None:
    data = new_bytes(faulty, SMALL)

    with failing(faulty, call, error, faulty.data / f"{CATALOGUE}-wal"):
        assert_refused(as_blob(faulty, data), status)

    retry_durably(faulty, as_blob, data, tmp_path / "record", is_first_in_shard=False)
    check_catalogue(faulty.data, tmp_path / "copy")


@pytest.mark.parametrize(("call", "error", "status"), COMMIT_FAULTS)
def test_writes_after_a_failed_commit_survive_a_kill(
    new_daemon: Callable[..., Daemon], tmp_path: Path, call: str, error: str, status: int
) -> None:
    daemon = new_daemon(CASD_UPKEEP__GRACE_S="0").start()
    refused, stored = os.urandom(SMALL), os.urandom(SMALL)
    with failing(daemon, call, error, daemon.data / f"{CATALOGUE}-wal"):
        assert_refused(as_name(daemon, refused), status)
    assert as_name(daemon, stored).status == 201

    daemon.kill()
    check_catalogue(daemon.data, tmp_path / "copy")
    daemon.start()

    assert [blob["sha512"] for blob in listed_blobs(daemon)] == [sha512(stored)]
    assert ask(daemon, "GET", f"/v1/names/default/{sha512(stored)}").body == stored
    assert payload_files(daemon.data) == {sha512(refused), sha512(stored)}
    assert collect(daemon)["orphans"] == 1
    assert payload_files(daemon.data) == {sha512(stored)}


@pytest.mark.parametrize(("call", "error", "status"), COMMIT_FAULTS)
def test_a_failed_commit_does_not_come_back_without_its_payload(
    new_daemon: Callable[..., Daemon], tmp_path: Path, call: str, error: str, status: int
) -> None:
    daemon = new_daemon(CASD_UPKEEP__GRACE_S="0").start()
    # The frames of a commit whose fsync failed lie whole in the page cache, so a restart after a kill finds them good;
    # by then collection has taken the payload that no row held.
    with failing(daemon, call, error, daemon.data / f"{CATALOGUE}-wal"):
        assert_refused(as_blob(daemon, os.urandom(SMALL)), status)
    assert collect(daemon)["orphans"] == 1

    daemon.kill()
    check_catalogue(daemon.data, tmp_path / "copy")
    daemon.start()

    assert listed_blobs(daemon) == []


def test_orphans_are_not_collected_while_a_failed_commit_may_come_back(
    new_daemon: Callable[..., Daemon], tmp_path: Path
) -> None:
    daemon = new_daemon(CASD_UPKEEP__GRACE_S="0").start()
    data = os.urandom(SMALL)
    with failing(daemon, "fdatasync", "EIO", daemon.data / f"{CATALOGUE}-wal"):
        assert_refused(as_blob(daemon, data), 500)
        assert_refused(ask(daemon, "POST", "/v1/upkeep/collect-garbage?force=1"), 500)
        daemon.kill()

    check_catalogue(daemon.data, tmp_path / "copy")
    daemon.start()

    for blob in listed_blobs(daemon):  # whole or absent: nobody was told
        assert data_of(daemon, blob["uuid"]).body == data


def test_a_checkpoint_that_fails_loses_nothing(new_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    daemon = new_daemon().start()
    payloads = [os.urandom(SMALL) for _ in range(3)]

    with failing(daemon, "fdatasync,fsync,pwrite64", "EIO", daemon.data / CATALOGUE):
        assert as_blob(daemon, payloads[0]).status == 201
        eventually(lambda: "checkpoint failed" in daemon.log)
        assert as_blob(daemon, payloads[1]).status == 201
    assert as_blob(daemon, payloads[2]).status == 201
    daemon.kill()
    check_catalogue(daemon.data, tmp_path / "copy")
    daemon.start()

    assert {blob["sha512"] for blob in listed_blobs(daemon)} == {sha512(data) for data in payloads}


def test_a_payload_whose_row_could_not_be_deleted_is_kept(faulty: Daemon) -> None:
    data = new_bytes(faulty, SMALL)
    uuid = as_blob(faulty, data).headers["Casd-Blob"]
    assert ask(faulty, "DELETE", f"/v1/blobs/{uuid}").status == 204

    with failing(faulty, "fdatasync", "EIO", faulty.data / f"{CATALOGUE}-wal"):
        answer = ask(faulty, "POST", "/v1/upkeep/collect-garbage?force=1")

    assert_refused(answer, 500)
    assert payload_path(faulty.data, sha512(data)).read_bytes() == data
    collect(faulty)
    assert not payload_path(faulty.data, sha512(data)).exists()
