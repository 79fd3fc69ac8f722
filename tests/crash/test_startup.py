"""Starting on whatever a folder may hold: a clear refusal that touches nothing, or a start that loses nothing."""

import contextlib
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from casd import folder
from tests.conftest import Daemon, skip_loudly
from tests.crash.asking import ask, data_of, listed_blobs, post
from tests.crash.folder import CATALOGUE, check_catalogue, everything, incoming, payload_files, payload_path, sha512
from tests.crash.tracing import Nursery

PAYLOADS = [b"first", b"second" * 5000]
START_LIMIT_S = 60
PAGE_BYTES = 4096

Damage = Callable[[Path], None]
NewDaemon = Callable[..., Daemon]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a daemon that was stopped, with payloads in it."""
    daemon = Daemon(tmp_path_factory.mktemp("model") / "data").start()
    for data in PAYLOADS:
        assert post(daemon, data).status == 201
    assert daemon.stop() == 0
    return daemon.data


@pytest.fixture
def stopped(model: Path, new_daemon: NewDaemon) -> Daemon:
    """A daemon that is not started yet, on a copy of that folder."""
    daemon = new_daemon()
    shutil.copytree(model, daemon.data)
    return daemon


@pytest.fixture
def running(new_daemon: NewDaemon) -> Daemon:
    return new_daemon().start()


def refusal(daemon: Daemon, *flags: str) -> str:
    """What the daemon says on stderr when it does not start: one line."""
    command = [sys.executable, "-m", "casd", "serve", "--port", "0", *flags]
    ended = subprocess.run(command, env=daemon.env, capture_output=True, text=True, timeout=START_LIMIT_S)
    assert ended.returncode == 1, ended
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("casd: ")
    return line


def uuids_of(daemon: Daemon) -> dict[str, str]:
    return {blob["sha512"]: blob["uuid"] for blob in listed_blobs(daemon)}


def assert_serves(daemon: Daemon, payloads: list[bytes]) -> None:
    """All payloads are there and no other; more can be stored."""
    uuids = uuids_of(daemon)
    assert uuids.keys() == {sha512(data) for data in payloads}
    for data in payloads:
        assert data_of(daemon, uuids[sha512(data)]).body == data
    assert post(daemon, b"one more").status == 201


# -- refusals -------------------------------------------------------------------------------------------------------


def test_a_second_daemon_on_the_same_folder_is_refused_and_the_first_serves_on(running: Daemon) -> None:
    assert post(running, PAYLOADS[0]).status == 201
    before = beside_the_catalogue(running.data)

    said = refusal(running)

    assert "another casd serves" in said
    assert str(running.data) in said
    assert "--data" in said
    assert beside_the_catalogue(running.data) == before
    assert_serves(running, PAYLOADS[:1])


def beside_the_catalogue(data: Path) -> dict[str, str]:
    """Everything but the catalogue's files: the first daemon folds its WAL back when it is idle."""
    return {name: content for name, content in everything(data).items() if not name.startswith("catalogue.")}


def garbage_header(catalogue: Path) -> None:
    overwrite(catalogue, 0, b"garbage!" * 16)


def truncated(catalogue: Path) -> None:
    os.truncate(catalogue, catalogue.stat().st_size - PAGE_BYTES)


def truncated_within_its_header(catalogue: Path) -> None:
    os.truncate(catalogue, 50)


def zeroed_schema_page(catalogue: Path) -> None:
    """The schema has outgrown its first page, which names its others (SQLite's file format, 1.6)."""
    first = catalogue.read_bytes()[:PAGE_BYTES]
    assert first[100] == 5, "not an interior page of a table"
    (child,) = struct.unpack(">I", first[108:112])
    overwrite(catalogue, (child - 1) * PAGE_BYTES, bytes(PAGE_BYTES))


def missing(catalogue: Path) -> None:
    catalogue.unlink()


def empty(catalogue: Path) -> None:
    os.truncate(catalogue, 0)


def newer_schema(catalogue: Path) -> None:
    sql(catalogue, "INSERT INTO schema_migration (number, name, applied_at) VALUES (9999, 'of the future', 0)")


def without_a_schema_record(catalogue: Path) -> None:
    sql(catalogue, "DELETE FROM schema_migration")


def foreign(catalogue: Path) -> None:
    catalogue.unlink()
    sql(catalogue, "CREATE TABLE bookmarks (url TEXT)", "INSERT INTO bookmarks VALUES ('https://example.org')")


def foreign_with_a_wal(catalogue: Path) -> None:
    catalogue.unlink()
    sql(catalogue, "PRAGMA journal_mode = WAL", "CREATE TABLE bookmarks (url TEXT)")


def without_a_table(catalogue: Path) -> None:
    catalogue.unlink()
    sql(catalogue, "CREATE TABLE t (a)", "DROP TABLE t")


def a_folder(catalogue: Path) -> None:
    catalogue.unlink()
    catalogue.mkdir()


def a_link(catalogue: Path) -> None:
    """SQLite would keep its WAL where the link points to, where nobody looks for it."""
    elsewhere = catalogue.parent.parent / "elsewhere.sqlite3"
    catalogue.rename(elsewhere)
    catalogue.symlink_to(elsewhere)


def a_link_to_nowhere(catalogue: Path) -> None:
    catalogue.unlink()
    catalogue.symlink_to("nowhere")


def a_pipe(catalogue: Path) -> None:
    """Nobody writes into it: whoever opens it to read waits for ever."""
    catalogue.unlink()
    os.mkfifo(catalogue)


def of_somebody_else(catalogue: Path) -> None:
    if os.geteuid() != 0:
        skip_loudly("only root can give files away")
    os.chown(catalogue, 12345, 12345)


def with_a_wal_that_is_a_folder(catalogue: Path) -> None:
    catalogue.with_name(catalogue.name + "-wal").mkdir()


def without_its_folders(catalogue: Path) -> None:
    """A refusal makes none of them."""
    shutil.rmtree(catalogue.parent / "incoming")
    shutil.rmtree(catalogue.parent / "quarantine")
    garbage_header(catalogue)


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def sql(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
            db.commit()


DAMAGES = [
    (garbage_header, "restore it from a backup"),
    (truncated, "restore it from a backup"),
    (truncated_within_its_header, "restore it from a backup"),
    (zeroed_schema_page, "restore it from a backup"),
    (missing, "restore it from a backup"),
    (empty, "restore it from a backup"),
    (without_a_table, "restore it from a backup"),
    (without_a_schema_record, "restore it from a backup"),
    (newer_schema, "start the newer casd again"),
    (foreign, "point [storage] data elsewhere"),
    (foreign_with_a_wal, "point [storage] data elsewhere"),
    (a_folder, "is a folder: casd wants the file itself"),
    (a_link, "is a symbolic link: casd wants the file itself"),
    (a_link_to_nowhere, "is a symbolic link"),
    (a_pipe, "is a pipe"),
    (of_somebody_else, "belongs to user 12345, casd runs as root: run it as user 12345, or"),
    (without_its_folders, "restore it from a backup"),
]


@pytest.mark.parametrize(("damage", "advice"), DAMAGES)
def test_an_unusable_catalogue_is_refused_with_advice_and_nothing_is_touched(
    stopped: Daemon, damage: Damage, advice: str
) -> None:
    damage(stopped.data / CATALOGUE)
    before, times = everything(stopped.data), touched_at(stopped.data)

    said = refusal(stopped)

    assert said.startswith(f"casd: {stopped.data / CATALOGUE} ")
    assert advice in said
    assert "-wal" not in said
    assert everything(stopped.data) == before
    assert touched_at(stopped.data) == times


def touched_at(data: Path) -> dict[str, tuple[int, ...]]:
    """Kind, mode, owner, size and time of each entry, the folder's own too."""
    facts = {str(path): path.lstat() for path in (data, *data.rglob("*"))}
    return {path: (it.st_mode, it.st_uid, it.st_size, it.st_mtime_ns) for path, it in facts.items()}


def test_a_catalogue_that_is_lost_names_both_ways_out(stopped: Daemon) -> None:
    missing(stopped.data / CATALOGUE)

    said = refusal(stopped)

    assert "`casd help backup`" in said
    assert "`casd fsck --rebuild`" in said


def test_a_wal_without_its_catalogue_is_refused_and_kept(new_daemon: NewDaemon) -> None:
    """SQLite would empty it, and with it what was acknowledged last. There need be no payload: tokens are in it too."""
    daemon = new_daemon().start()
    daemon.kill()
    wal = daemon.data / f"{CATALOGUE}-wal"
    assert wal.stat().st_size > 0
    missing(daemon.data / CATALOGUE)
    before, times = everything(daemon.data), touched_at(daemon.data)

    said = refusal(daemon)

    assert f"{CATALOGUE} is missing, but {wal.name} is there" in said
    assert everything(daemon.data) == before
    assert touched_at(daemon.data) == times


def test_a_wal_that_is_no_file_is_refused(stopped: Daemon) -> None:
    with_a_wal_that_is_a_folder(stopped.data / CATALOGUE)
    times = touched_at(stopped.data)

    said = refusal(stopped)

    assert f"{CATALOGUE}-wal is a folder" in said
    assert touched_at(stopped.data) == times


def test_payloads_that_may_not_be_read_are_told(stopped: Daemon) -> None:
    """Run as somebody who may not: root reads everything."""
    if os.geteuid() != 0:
        skip_loudly("only root can become somebody else")
    for path in (stopped.data, *stopped.data.rglob("*")):
        os.chown(path, 12345, 12345)
    os.chown(stopped.data / "payloads", 0, 0)
    command = [sys.executable, "-c", AS_SOMEBODY_ELSE, str(stopped.data)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=START_LIMIT_S)

    assert ended.stdout == "payloads cannot be read: Permission denied\n", ended.stderr


AS_SOMEBODY_ELSE = """
import os, sys
from pathlib import Path
from casd.daemon.data_folder import check_before_touching
from casd.errors import FolderUnusable
os.chdir(sys.argv[1])  # pytest keeps its own folders to their owner
os.setgid(12345)
os.setuid(12345)
try:
    check_before_touching(Path("."))
except FolderUnusable as error:
    print(error)
"""


def test_a_backup_is_not_served(stopped: Daemon) -> None:
    (stopped.data / "backup.json").write_text("{}")
    times = touched_at(stopped.data)

    said = refusal(stopped)

    assert "is a backup" in said
    assert f"`casd restore {stopped.data} FOLDER`" in said
    assert touched_at(stopped.data) == times


def test_a_folder_that_a_tool_is_at_work_on_is_refused_by_the_tools_name(stopped: Daemon) -> None:
    with folder.held(stopped.data, "fsck"):
        said = refusal(stopped)

    assert f"casd fsck (process {os.getpid()}) is at work on {stopped.data}" in said
    assert_serves(stopped.start(), PAYLOADS)


@pytest.mark.parametrize("damage", [garbage_header, truncated_within_its_header, missing, empty])
def test_a_catalogue_damaged_after_a_kill_is_refused_and_its_wal_is_kept(running: Daemon, damage: Damage) -> None:
    assert post(running, PAYLOADS[0]).status == 201
    running.kill()
    assert (running.data / f"{CATALOGUE}-wal").stat().st_size > 0
    damage(running.data / CATALOGUE)
    before = everything(running.data)

    said = refusal(running)

    assert "restore it from a backup, after moving catalogue.sqlite3-wal and catalogue.sqlite3-shm away" in said
    assert everything(running.data) == before


def test_the_advice_against_a_stale_wal_is_needed_and_works(running: Daemon, tmp_path: Path) -> None:
    """SQLite plays what is left of the lost catalogue into the restored one, which is no longer the backup then."""
    backup = tmp_path / "backup"
    with closing(sqlite3.connect(running.data / CATALOGUE)) as source, closing(sqlite3.connect(backup)) as copy:
        source.backup(copy)
    assert post(running, PAYLOADS[0]).status == 201
    running.kill()
    missing(running.data / CATALOGUE)
    assert "-wal" in refusal(running)
    for suffix in ("-wal", "-shm"):
        (running.data / f"{CATALOGUE}{suffix}").rename(tmp_path / f"lost{suffix}")
    shutil.copy(backup, running.data / CATALOGUE)

    running.start()

    assert_serves(running, [])


def test_another_program_that_looks_into_the_catalogue_costs_nothing(running: Daemon) -> None:
    """SQLite removes the WAL with the last connection; which one is the last it knows by locks on the file."""
    assert post(running, PAYLOADS[0]).status == 201

    with closing(sqlite3.connect(running.data / CATALOGUE)) as db:
        assert db.execute("SELECT count(*) FROM blob").fetchone() == (1,)

    assert (running.data / f"{CATALOGUE}-wal").exists()
    assert post(running, PAYLOADS[1]).status == 201
    running.kill()
    running.start()
    assert_serves(running, PAYLOADS)


def test_a_host_that_is_none_is_refused(stopped: Daemon) -> None:
    before = everything(stopped.data)

    for host in ("a" * 300, "nowhere.invalid"):
        assert f"cannot listen on {host}:0: " in refusal(stopped, "--host", host)

    assert everything(stopped.data) == before


def test_a_wrong_key_is_refused_before_the_folder_is_looked_at(new_daemon: NewDaemon) -> None:
    daemon = new_daemon(CASD_LIMITS__HEAD_TIMEOUT_S="0")

    said = refusal(daemon)

    assert said.startswith("casd: [limits] head_timeout_s: ")
    assert said.endswith("(from CASD_LIMITS__HEAD_TIMEOUT_S)")
    assert not daemon.data.exists()


# -- descriptors ----------------------------------------------------------------------------------------------------


def with_descriptors(daemon: Daemon, soft: int, hard: int) -> Daemon:
    daemon.prefix = (sys.executable, "-c", LIMITED, str(soft), str(hard))
    return daemon.start()


LIMITED = """
import resource, subprocess, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
sys.exit(subprocess.call(sys.argv[3:]))
"""


@pytest.mark.parametrize(("connections", "is_enough"), [("100", True), ("2000", False)])
def test_the_daemon_takes_all_descriptors_it_is_let_and_warns_if_they_are_too_few(
    new_daemon: NewDaemon, connections: str, is_enough: bool
) -> None:
    daemon = with_descriptors(new_daemon(CASD_LIMITS__MAX_CONNECTIONS=connections), 256, 1000)

    limits = Path(f"/proc/{daemon.pid}/limits").read_text()

    assert re.search(r"Max open files +1000 +1000 ", limits)
    assert ("too few file descriptors" not in daemon.log) == is_enough
    assert daemon.stop() == 0


def test_a_data_folder_that_must_exist_is_not_made(new_daemon: NewDaemon) -> None:
    daemon = new_daemon(CASD_STORAGE__MUST_EXIST="true")

    said = refusal(daemon)

    assert "must_exist" in said
    assert "mounted?" in said
    assert not daemon.data.exists()


def test_a_read_only_folder_is_refused(stopped: Daemon) -> None:
    mount("--bind", str(stopped.data), str(stopped.data))
    try:
        mount("-o", "remount,bind,ro", str(stopped.data))
        before = everything(stopped.data)

        said = refusal(stopped)

        assert "Read-only file system" in said
        assert "--data" in said
        assert everything(stopped.data) == before
    finally:
        subprocess.run(["umount", str(stopped.data)], check=True)


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode:
        skip_loudly(f"mount is not permitted here: {done.stderr.strip()}")


def test_a_disk_that_is_full_at_the_start_is_told_and_costs_nothing(model: Path, tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "small" / "data")
    daemon.data.parent.mkdir()
    mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", str(daemon.data.parent))
    try:
        shutil.copytree(model, daemon.data)
        filler = daemon.data.parent / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        before = everything(daemon.data)

        said = refusal(daemon)

        assert "full" in said or "No space" in said
        kept = {name: content for name, content in everything(daemon.data).items() if not name.endswith("-wal")}
        assert kept == before
        filler.unlink()
        assert_serves(daemon.start(), PAYLOADS)
        assert daemon.stop() == 0
    finally:
        subprocess.run(["umount", "-l", str(daemon.data.parent)], check=True)


def test_a_data_folder_that_is_a_file_is_refused(new_daemon: NewDaemon) -> None:
    daemon = new_daemon()
    daemon.data.write_text("not a folder")

    said = refusal(daemon)

    assert "Not a directory" in said
    assert "--data" in said
    assert daemon.data.read_text() == "not a folder"


def test_a_port_that_is_taken_is_refused(stopped: Daemon) -> None:
    before = everything(stopped.data)
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        said = refusal(stopped, "--port", port)

    assert f"127.0.0.1:{port}" in said
    assert "--port" in said
    assert everything(stopped.data) == before


# -- starts ---------------------------------------------------------------------------------------------------------


def test_a_folder_that_was_refused_starts_once_its_catalogue_is_restored(stopped: Daemon, model: Path) -> None:
    missing(stopped.data / CATALOGUE)
    refusal(stopped)
    shutil.copy(model / CATALOGUE, stopped.data / CATALOGUE)

    stopped.start()

    assert_serves(stopped, PAYLOADS)


def test_leftovers_of_uploads_are_removed_at_the_start_and_payloads_are_not(stopped: Daemon) -> None:
    (stopped.data / "incoming" / "01900000-0000-7000-8000-000000000000").write_bytes(b"half an uploa")
    (stopped.data / "incoming" / "another").write_bytes(b"")
    orphan = payload_path(stopped.data, sha512(b"orphan"))
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"orphan")

    stopped.start()

    assert incoming(stopped.data) == []
    assert orphan.read_bytes() == b"orphan"
    assert_serves(stopped, PAYLOADS)


def test_the_address_of_a_killed_daemon_does_not_stand_in_the_way(running: Daemon) -> None:
    assert running.process is not None
    os.kill(running.pid, signal.SIGKILL)
    running.process.wait(timeout=START_LIMIT_S)
    stale = running.url

    running.start()

    assert running.url != stale
    assert ask(running, "GET", "/readyz").status == 200
    assert running.stop() == 0
    assert not (running.data / "address").exists()


def test_a_deleted_admin_token_is_made_anew_and_works(stopped: Daemon) -> None:
    token = stopped.data / "admin.token"
    old = token.read_text()
    token.unlink()

    stopped.start()

    assert token.read_text() != old
    assert token.stat().st_mode & 0o777 == 0o600
    assert_serves(stopped, PAYLOADS)


def test_an_admin_token_that_was_revoked_is_made_anew(stopped: Daemon) -> None:
    stopped.start()
    old = stopped.token
    [listed] = ask(stopped, "GET", "/v1/tokens").json["items"]
    assert ask(stopped, "DELETE", f"/v1/tokens/{listed['id']}").status == 204
    assert ask(stopped, "GET", "/v1/tokens").status == 401
    assert stopped.stop() == 0

    stopped.start()

    assert stopped.token != old
    assert_serves(stopped, PAYLOADS)


def test_a_kill_leaves_everything_acknowledged_to_a_start_without_shm_files(running: Daemon, tmp_path: Path) -> None:
    for data in PAYLOADS:
        assert post(running, data).status == 201
    running.kill()
    (running.data / f"{CATALOGUE}-shm").unlink()  # what a power cut may leave of it is worth nothing

    check_catalogue(running.data, tmp_path / "copy")
    running.start()

    assert_serves(running, PAYLOADS)


@pytest.mark.parametrize(
    ("calls", "step"),
    [("fdatasync,fsync,ftruncate,unlink", 1), ("pwrite64", 4)],  # most writes are alike: frames of one transaction
)
def test_a_kill_at_any_disk_call_of_the_first_migration_leaves_a_startable_catalogue(
    tmp_path: Path, calls: str, step: int
) -> None:
    """Only the catalogue's part of a start: a whole daemon takes too long for so many."""
    folder = tmp_path / "data"
    nursery = Nursery(
        "from pathlib import Path\nfrom casd.catalogue.sqlite.schema import open_writer",
        f"open_writer(Path({str(folder / CATALOGUE)!r}), False).close()",
    )
    with closing(nursery):
        number = 1
        folder.mkdir()
        while nursery.run_killed(calls, number) == -signal.SIGKILL:
            assert nursery.run() == 0, f"killed at call {number} of {calls}"
            number += step
            shutil.rmtree(folder)
            folder.mkdir()

    assert number > 8


def test_a_daemon_killed_anywhere_in_its_first_start_starts_again(new_daemon: NewDaemon) -> None:
    moments = random.Random(7)
    for _ in range(6):
        daemon = new_daemon()
        with subprocess.Popen(
            [sys.executable, "-m", "casd", "serve", "--port", "0"], env=daemon.env, stderr=subprocess.DEVNULL
        ) as process:
            # Not to wait for anything: a kill comes when it comes. A start takes about 0.3 s.
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(moments.uniform(0.15, 0.4))
            process.kill()
        (daemon.data / "address").unlink(missing_ok=True)

        daemon.start()

        assert post(daemon, b"stored").status == 201
        assert daemon.stop() == 0
        assert payload_files(daemon.data) == {sha512(b"stored")}
