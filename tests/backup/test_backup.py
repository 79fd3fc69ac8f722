"""`casd backup`: a copy of one moment, of a store that runs or stands still, whatever happens on the way."""

import contextlib
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest

from casd import folder
from casd.backup import NoPin, save
from casd.cli import backup as backup_command
from casd.cli.backup import DaemonPin
from casd.client.operations import Pin
from casd.errors import CasdError
from casd.payloads import duplicating
from tests.backup.conftest import (
    BIG,
    LIMIT_S,
    NewDaemon,
    assert_serves_all,
    back_up,
    casd,
    got,
    put,
    sha512,
    tree,
)
from tests.conftest import Daemon, skip_loudly
from tests.crash.asking import ask, post
from tests.crash.folder import CATALOGUE, everything, payload_files, payload_path


class NoProgress:
    def expect(self, total_bytes: int) -> None:
        pass

    def moved(self, count: int) -> None:
        pass


def restored(dest: Path, new_daemon: NewDaemon, *flags: str) -> Daemon:
    """A daemon that serves what the backup has."""
    daemon = new_daemon()
    ran = casd("restore", dest, daemon.data, *flags)
    assert ran.code == 0, ran
    return daemon.start()


def rows(catalogue: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(f"{catalogue.as_uri()}?mode=ro", uri=True)) as db:
        return db.execute(sql).fetchall()


# -- what is in it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_running", [True, False])
def test_what_a_backup_has_is_served_again_with_its_names_tokens_and_metadata(
    new_daemon: NewDaemon, dest: Path, is_running: bool
) -> None:
    daemon = new_daemon().start()
    version = put(daemon, "n", b"bytes")
    uuid = version["blob"]["uuid"]
    ask(daemon, "PUT", f"/v1/blobs/{uuid}/metadata/os", b'{"value": "debian"}')
    about = b'{"name": "w", "role": "writer", "namespaces": ["default"]}'
    writer = {"Authorization": f"Bearer {ask(daemon, 'POST', '/v1/tokens', about).json['token']}"}
    signed = ask(daemon, "POST", "/v1/signed-urls", f'{{"path": "/v1/blobs/{uuid}/data", "expires_in": 999}}'.encode())
    if not is_running:
        assert daemon.stop() == 0

    told = back_up(daemon, dest)
    again = restored(dest, new_daemon)

    assert (told["payloads"], told["bytes"], told["lost"]) == (1, 5, [])
    assert ask(again, "GET", f"/v1/blobs/{uuid}", headers=writer).json["metadata"] == {"os": "debian"}
    assert ask(again, "GET", "/v1/names/default/n", headers=writer).body == b"bytes"
    assert ask(again, "PUT", "/v1/names/default/n", b"more", headers=writer).json["version"] == 2
    path = signed.json["url"].partition("/v1/")[2]
    assert ask(again, "GET", f"/v1/{path}", headers={"Authorization": ""}).status in (200, 401)
    assert got(again, "n", "?version=1") == b"bytes"  # by the admin token that the new daemon has made


def test_a_backup_of_a_store_that_was_killed_has_what_was_acknowledged_and_touches_nothing(
    new_daemon: NewDaemon, dest: Path
) -> None:
    daemon = new_daemon().start()
    put(daemon, "n", b"bytes")
    daemon.kill()
    assert (daemon.data / f"{CATALOGUE}-wal").stat().st_size > 0
    before = everything(daemon.data)

    back_up(daemon, dest)

    assert everything(daemon.data) == before
    assert got(restored(dest, new_daemon), "n") == b"bytes"


def test_a_backup_shares_no_file_with_the_store_and_shows_no_secret_to_others(stopped: Daemon, dest: Path) -> None:
    back_up(stopped, dest)

    ours = {path.stat().st_ino for path in stopped.data.rglob("*")}
    copies = [path for path in dest.rglob("*") if path.is_file()]
    assert payload_files(dest) == payload_files(stopped.data)
    assert not ours & {path.stat().st_ino for path in copies}
    assert {path.stat().st_nlink for path in copies} == {1}
    assert {path.stat().st_mode & 0o077 for path in dest.rglob("*")} == {0}
    assert not (dest / "admin.token").exists()


def test_unfinished_uploads_are_not_in_a_backup(new_daemon: NewDaemon, dest: Path) -> None:
    daemon = new_daemon().start()
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "10"}
    begun = ask(daemon, "POST", "/v1/uploads", headers=tus)
    assert begun.status == 201

    back_up(daemon, dest)

    assert rows(dest / CATALOGUE, "SELECT count(*) FROM upload") == [(0,)]
    assert rows(dest / CATALOGUE, "SELECT count(*) FROM backup_pin") == [(0,)]
    assert rows(dest / CATALOGUE, "PRAGMA journal_mode") == [("delete",)]  # one file


# -- again and again ------------------------------------------------------------------------------------------------


def test_a_second_run_copies_only_what_is_new(stopped: Daemon, dest: Path) -> None:
    back_up(stopped, dest)
    before = tree(dest / "payloads")
    stopped.start()
    put(stopped, "new", b"something new")
    put(stopped, "b", b"of b")

    told = back_up(stopped, dest)

    assert (told["copied_payloads"], told["copied_bytes"], told["payloads"]) == (1, 13, 5)
    after = tree(dest / "payloads")
    assert before.items() <= after.items()
    assert len(after) == len(before) + 1


def test_what_only_older_backups_knew_goes_when_it_is_pruned(stopped: Daemon, dest: Path) -> None:
    stopped.settings["CASD_UPKEEP__GRACE_S"] = "0"
    back_up(stopped, dest)
    stopped.start()
    assert ask(stopped, "DELETE", "/v1/names/default/big?purge=1").status == 204
    assert ask(stopped, "POST", "/v1/upkeep/collect-garbage?force=1").json["payloads"] == 1

    kept = back_up(stopped, dest)
    still_there = payload_path(dest, sha512(BIG)).exists()
    pruned = back_up(stopped, dest, "--prune")

    assert (kept["pruned_payloads"], pruned["pruned_payloads"]) == (0, 1)
    assert still_there
    assert payload_files(dest) == payload_files(stopped.data)


def test_a_copy_of_the_wrong_size_is_made_anew(stopped: Daemon, dest: Path) -> None:
    back_up(stopped, dest)
    os.truncate(payload_path(dest, sha512(BIG)), 1000)

    told = back_up(stopped, dest)

    assert told["copied_payloads"] == 1
    assert sha512(BIG) in payload_files(dest)


# -- what stands in the way -----------------------------------------------------------------------------------------


def refused(data: Path, dest: Path) -> str:
    ran = casd("backup", dest, "--data", data)
    assert ran.code == 1, ran
    (line,) = ran.err.splitlines()
    return line


def test_a_folder_that_is_something_else_is_no_place_for_a_backup(stopped: Daemon, dest: Path) -> None:
    dest.mkdir()
    (dest / "letter.txt").write_text("dear")

    assert "neither empty nor a backup" in refused(stopped.data, dest)
    assert "lie in each other" in refused(stopped.data, stopped.data / "backup")
    assert "lie in each other" in refused(stopped.data, stopped.data.parent)
    assert "is no data folder" in refused(stopped.data / "absent", dest)
    assert [path.name for path in dest.iterdir()] == ["letter.txt"]
    assert not (stopped.data / "backup").exists()


def test_the_backup_of_another_store_is_not_overwritten(stopped: Daemon, new_daemon: NewDaemon, dest: Path) -> None:
    other = new_daemon().start()
    put(other, "n", b"theirs")
    assert other.stop() == 0
    back_up(other, dest)
    before = tree(dest)

    assert "is the backup of another store" in refused(stopped.data, dest)

    assert tree(dest) == before


def test_a_backup_whose_catalogue_was_damaged_gets_a_new_one(stopped: Daemon, dest: Path) -> None:
    back_up(stopped, dest)
    (dest / CATALOGUE).write_bytes(b"garbage!" * 1000)

    told = back_up(stopped, dest)

    assert (told["payloads"], told["copied_payloads"]) == (4, 0)
    assert casd("fsck", "--data", dest, "--deep").code == 0


def test_a_copy_that_went_bad_in_the_backup_is_found_there_and_made_anew(stopped: Daemon, dest: Path) -> None:
    back_up(stopped, dest)
    flipped(payload_path(dest, sha512(BIG)))
    assert back_up(stopped, dest)["copied_payloads"] == 0  # what is there is believed

    assert casd("fsck", "--data", dest, "--deep", "--repair").code == 6
    told = back_up(stopped, dest)

    assert told["copied_payloads"] == 1
    assert casd("fsck", "--data", dest, "--deep").code == 0
    assert payload_files(dest) == payload_files(stopped.data)


def test_two_backups_into_one_folder_at_once_are_not_made(stopped: Daemon, dest: Path) -> None:
    back_up(stopped, dest)

    with folder.held(dest, "backup"):
        assert "casd backup (process" in refused(stopped.data, dest)


def test_a_damaged_catalogue_does_not_take_the_place_of_a_good_backup(stopped: Daemon, dest: Path) -> None:
    back_up(stopped, dest)
    before = (dest / CATALOGUE).read_bytes()
    pages = stopped.data / CATALOGUE
    with pages.open("r+b") as file:
        file.seek(pages.stat().st_size - 3 * 4096)
        file.write(random.Random(1).randbytes(3 * 4096))

    assert "is damaged" in refused(stopped.data, dest)

    assert (dest / CATALOGUE).read_bytes() == before


# -- damage in the store --------------------------------------------------------------------------------------------


def flipped(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(2_000_000)
        byte = file.read(1)
        file.seek(2_000_000)
        file.write(bytes([byte[0] ^ 1]))


def shortened(path: Path) -> None:
    os.truncate(path, 2_000_000)


def removed(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (flipped, "has other bytes than it was stored with"),
        (shortened, "has other bytes than it was stored with"),
        (removed, "has no file"),
    ],
)
def test_a_damaged_payload_is_told_with_whom_it_hits_and_left_out(
    stopped: Daemon, dest: Path, new_daemon: NewDaemon, damage: Any, why: str
) -> None:
    damage(payload_path(stopped.data, sha512(BIG)))

    ran = casd("backup", dest, "--data", stopped.data, "--json")
    for_people = casd("backup", dest, "--data", stopped.data)

    assert ran.code == for_people.code == 6
    (loss,) = ran.json["lost"]
    assert (loss["sha512"], loss["why"], loss["blob_count"]) == (sha512(BIG), why, 1)
    assert loss["names"] == [{"namespace": "default", "name": "big", "version": 1}]
    assert f"payload {sha512(BIG)} (3.1 MiB) {why}\n  default/big version 1\n" in for_people.out
    assert payload_files(dest) == {sha512(data) for data in (b"old", b"new" * 1000, b"of b")}
    assert os.listdir(dest / "incoming") == []


def test_a_backup_that_lacks_a_payload_is_restored_only_when_told_to(
    stopped: Daemon, dest: Path, new_daemon: NewDaemon
) -> None:
    removed(payload_path(stopped.data, sha512(BIG)))
    assert casd("backup", dest, "--data", stopped.data).code == 6
    daemon = new_daemon()

    strict = casd("restore", dest, daemon.data)
    with pytest.raises(RuntimeError, match="was not finished"):
        daemon.start()
    partial = casd("restore", dest, daemon.data, "--partial", "--json")
    daemon.start()

    assert (strict.code, partial.code) == (6, 6)
    assert "--partial" in strict.out
    assert partial.json["is_complete"]
    assert got(daemon, "b") == b"of b"
    lost = ask(daemon, "GET", "/v1/versions/default/big").json["items"][0]["blob"]
    assert lost["state"] == "error"
    assert ask(daemon, "GET", f"/v1/blobs/{lost['uuid']}/data").status >= 500
    put(daemon, "healing", BIG)
    assert got(daemon, "big") == BIG


# -- while it happens -----------------------------------------------------------------------------------------------


class Writers:
    """Threads that store, delete and collect without a pause, and remember what was acknowledged."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self.living: dict[str, bytes] = {}  # by UUID: acknowledged, and no deletion begun
        self.collected = 0
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._run, args=(seed,)) for seed in range(3)]
        self._threads.append(threading.Thread(target=self._collect))

    def __enter__(self) -> "Writers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def known(self) -> dict[str, bytes]:
        with self._lock:
            return dict(self.living)

    def _run(self, seed: int) -> None:
        pick = random.Random(seed)
        mine: list[str] = []
        while not self._is_over.is_set():
            data = pick.choice([pick.randbytes(pick.choice([10, 5000, 300_000])), b"shared by all", bytes(1000)])
            answer = post(self._daemon, data)
            if answer.status != 201:
                self.failures.append(str(answer))
                return
            uuid = answer.json["uuid"]
            with self._lock:
                self.living[uuid] = data
            mine.append(uuid)
            if len(mine) > 3 and pick.random() < 0.7:
                gone = mine.pop(pick.randrange(len(mine)))
                with self._lock:
                    del self.living[gone]
                ask(self._daemon, "DELETE", f"/v1/blobs/{gone}")

    def _collect(self) -> None:
        while not self._is_over.is_set():
            answer = ask(self._daemon, "POST", "/v1/upkeep/collect-garbage?force=1")
            if answer.status != 200:
                self.failures.append(str(answer))
                return
            self.collected += answer.json["payloads"]


def test_backups_while_writers_and_collection_run_have_what_was_acknowledged(
    new_daemon: NewDaemon, dest: Path, tmp_path: Path
) -> None:
    daemon = new_daemon(CASD_UPKEEP__GRACE_S="0").start()
    with Writers(daemon) as writers:
        for number in range(4):
            before = writers.known()
            back_up(daemon, dest, *(["--prune"] if number == 2 else []))
            after = writers.known()
    kept = {uuid: data for uuid, data in before.items() if uuid in after}

    again = restored(dest, new_daemon)

    assert writers.failures == []
    assert writers.collected > 0
    assert kept
    for uuid, data in kept.items():
        assert ask(again, "GET", f"/v1/blobs/{uuid}/data").body == data
    listed = rows(again.data / CATALOGUE, "SELECT count(*), count(quarantined_at) FROM payload")
    assert listed == [(len(payload_files(dest) & payload_files(again.data)), 0)]


def test_a_backup_that_is_killed_anywhere_is_finished_by_the_next(stopped: Daemon, dest: Path, tmp_path: Path) -> None:
    """Not to wait for anything: a kill comes when it comes. A run takes about 0.6 s, 0.3 of them to import."""
    moments = random.Random(5)
    stopped.start()
    for number in range(6):
        put(stopped, f"more{number}", moments.randbytes(2_000_000))
        if number == 1:
            back_up(stopped, dest)
        command = [sys.executable, "-m", "casd", "backup", str(dest), "--data", str(stopped.data)]
        with subprocess.Popen(command, env=stopped.env, stdout=subprocess.DEVNULL) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(moments.uniform(0.3, 0.8))
            process.kill()
        if number > 1:  # the one before is whole
            shutil.rmtree(tmp_path / "trial", ignore_errors=True)
            assert casd("restore", dest, tmp_path / "trial").code == 0

    told = back_up(stopped, dest)

    assert told["payloads"] == 10
    assert payload_files(dest) == payload_files(stopped.data)
    assert os.listdir(dest / "incoming") == []


def test_a_full_disk_ends_a_backup_and_with_room_the_next_goes_on(stopped: Daemon, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(disk)], capture_output=True, text=True)
    if done.returncode:
        skip_loudly(f"mount is not permitted here: {done.stderr.strip()}")
    try:
        dest = disk / "backup"
        back_up(stopped, dest)
        before = (dest / CATALOGUE).read_bytes()
        stopped.start()
        put(stopped, "new", random.Random(3).randbytes(4_000_000))

        said = refused(stopped.data, dest)

        assert f"{dest} is full: make room there, and a next run goes on" in said
        assert (dest / CATALOGUE).read_bytes() == before
        assert casd("restore", dest, tmp_path / "trial").code == 0
        subprocess.run(["mount", "-o", "remount,size=40m", str(disk)], check=True)
        assert back_up(stopped, dest)["copied_payloads"] == 1
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_ctrl_c_ends_a_backup_quietly_and_lets_its_pin_go(new_daemon: NewDaemon, dest: Path) -> None:
    daemon = new_daemon(CASD_UPKEEP__GRACE_S="0").start()
    for number in range(20):
        put(daemon, str(number), random.Random(number).randbytes(3_000_000))
    command = [sys.executable, "-m", "casd", "backup", str(dest), "--data", str(daemon.data)]
    process = subprocess.Popen(
        command,
        env=daemon.env,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )
    while not (dest / "incoming").exists() or not os.listdir(dest / "incoming"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)

    _, said = process.communicate(timeout=LIMIT_S)

    assert process.returncode == 130, said
    assert said == "casd: interrupted\n"
    assert not (dest / CATALOGUE).exists()
    assert rows(daemon.data / CATALOGUE, "SELECT count(*) FROM backup_pin") == [(0,)]


# -- the pin --------------------------------------------------------------------------------------------------------


class LostPin(NoPin):
    """Ends before its time, once, and then a collection takes what nothing refers to any more."""

    def __init__(self, collect: Any) -> None:
        self._collect = collect
        self.losses = 0

    def keep(self) -> None:
        if self.losses == 0:  # for the first time when the catalogue is copied, and no payload
            self.losses = 1
            self._collect()


def forget_big(data: Path) -> None:
    """As a delete and a collection would, in plain SQL."""
    with closing(sqlite3.connect(data / CATALOGUE)) as db:
        db.execute("PRAGMA foreign_keys = ON")
        (payload,) = db.execute("SELECT id FROM payload WHERE hex(digest) = ?", (sha512(BIG).upper(),)).fetchone()
        db.execute("DELETE FROM version WHERE blob_id IN (SELECT id FROM blob WHERE payload_id = ?)", (payload,))
        db.execute("DELETE FROM name WHERE name = CAST('big' AS BLOB)")
        db.execute("DELETE FROM blob WHERE payload_id = ?", (payload,))
        db.execute("DELETE FROM payload WHERE id = ?", (payload,))
        db.commit()
    payload_path(data, sha512(BIG)).unlink()


def test_what_was_collected_while_the_pin_was_lost_is_looked_up_in_a_newer_catalogue(
    stopped: Daemon, dest: Path
) -> None:
    saved = save(stopped.data, dest, LostPin(lambda: forget_big(stopped.data)), NoProgress())

    assert saved.losses == []
    assert saved.payloads == 3
    assert rows(dest / CATALOGUE, "SELECT count(*) FROM payload") == [(3,)]


def test_what_is_missing_although_it_was_pinned_is_lost(stopped: Daemon, dest: Path) -> None:
    payload_path(stopped.data, sha512(BIG)).unlink()

    saved = save(stopped.data, dest, NoPin(), NoProgress())

    assert [(loss.digest.hex, loss.why) for loss in saved.losses] == [(sha512(BIG), "has no file")]


# -- how bytes are copied -------------------------------------------------------------------------------------------


def test_a_file_system_that_shares_blocks_is_asked_to(
    stopped: Daemon, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ext4 and tmpfs cannot: what FICLONE does elsewhere is done here by a copy."""
    asked: list[int] = []

    def ioctl(copy: int, request: int, original: int) -> int:
        asked.append(request)
        os.write(copy, os.pread(original, os.fstat(original).st_size, 0))
        return 0

    monkeypatch.setattr(duplicating.fcntl, "ioctl", ioctl)

    saved = save(stopped.data, dest, NoPin(), NoProgress())

    assert saved.cloned == saved.copied == 4
    assert set(asked) == {0x40049409}
    assert payload_files(dest) == payload_files(stopped.data)


def test_where_the_kernel_cannot_copy_by_itself_bytes_are_read_and_written(
    stopped: Daemon, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuse)

    assert save(stopped.data, dest, NoPin(), NoProgress()).copied == 4
    assert payload_files(dest) == payload_files(stopped.data)


def test_a_copy_that_comes_out_wrong_is_not_kept(stopped: Daemon, dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel, a cable or memory that spoils bytes: the copy itself is read back."""

    def spoil(original: int, copy: int, count: int) -> int:
        data = os.read(original, count)
        return os.write(copy, bytes([data[0] ^ 1]) + data[1:]) if data else 0

    monkeypatch.setattr(os, "copy_file_range", spoil)

    saved = save(stopped.data, dest, NoPin(), NoProgress())

    assert len(saved.losses) == 4
    assert payload_files(dest) == set()


def test_restoring_again_after_all_serves_everything(stopped: Daemon, dest: Path, new_daemon: NewDaemon) -> None:
    back_up(stopped, dest)

    assert_serves_all(restored(dest, new_daemon))


# -- a daemon's pin -------------------------------------------------------------------------------------------------


class Desk:
    """The daemon's side of pins, as `DaemonPin` asks it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.failure: CasdError | None = None

    def begin_backup(self) -> Pin:
        self.asked.append("begin")
        return Pin(UUID(int=len(self.asked)), datetime.now(UTC))

    def renew_backup(self, id: UUID) -> Pin:
        self.asked.append(f"renew {id.int}")
        if self.failure is not None:
            raise self.failure
        return Pin(id, datetime.now(UTC))

    def end_backup(self, id: UUID) -> None:
        self.asked.append(f"end {id.int}")


def refusal(code: str) -> CasdError:
    error = CasdError("no")
    error.code = code
    return error


def test_a_pin_is_renewed_once_a_minute_and_taken_anew_when_it_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    now, desk = 1000.0, Desk()
    monkeypatch.setattr(backup_command.time, "monotonic", lambda: now)
    pin = DaemonPin(cast(Any, desk))

    pin.keep()
    now += 60
    pin.keep()
    pin.keep()
    desk.failure, now = refusal("unreachable"), now + 60
    pin.keep()
    kept = pin.losses
    desk.failure, now = refusal("pin-not-found"), now + 60
    pin.keep()
    pin.end()

    assert desk.asked == ["begin", "renew 1", "renew 1", "renew 1", "begin", "end 5"]
    assert (kept, pin.losses) == (0, 1)


# -- a power cut ----------------------------------------------------------------------------------------------------


def test_the_catalogue_gets_its_name_when_all_it_knows_is_on_the_disk(stopped: Daemon, dest: Path) -> None:
    """In the order of the system calls: each payload synced and named, each folder synced, then the catalogue."""
    if shutil.which("strace") is None:
        skip_loudly("strace is not installed")
    trace = dest.parent / "trace"
    command = ["strace", "-f", "-y", "-o", str(trace), "-e", "trace=fsync,fdatasync,rename,renameat,renameat2"]
    command += [sys.executable, "-m", "casd", "backup", str(dest), "--data", str(stopped.data)]
    assert subprocess.run(command, env=stopped.env, capture_output=True).returncode == 0

    calls = [line.partition(" ")[2].strip() for line in trace.read_text().splitlines()]
    renames = {match[2]: number for number, line in enumerate(calls) if (match := RENAME.match(line))}
    end = renames[str(dest / CATALOGUE)]

    # One that another thread's call interrupts in the trace is followed in its own thread by what relies on it.
    def synced(path: Path, after: int, before: int) -> bool:
        return any(re.match(rf"f(data)?sync\(\d+<{re.escape(str(path))}>[) ]", line) for line in calls[after:before])

    payloads = [payload_path(dest, digest) for digest in payload_files(dest)]
    assert len(payloads) == 4
    for path in payloads:
        named = renames[str(path)]
        assert synced(dest / "incoming" / path.name, 0, named)
        assert all(synced(parent, named, end) for parent in (path.parent, path.parent.parent))
    assert synced(dest / "payloads", 0, end)
    assert synced(dest / f"{CATALOGUE}.new", 0, end)
    assert synced(dest, end, len(calls))


RENAME = re.compile(r'rename(?:at2?)?\((?:AT_FDCWD<[^>]*>, )?"([^"]+)", (?:AT_FDCWD<[^>]*>, )?"([^"]+)"')
