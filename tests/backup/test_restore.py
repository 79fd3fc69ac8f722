"""`casd restore`: a folder that serves what the backup has, or one that nothing starts on."""

import contextlib
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.backup.conftest import BIG, NewDaemon, assert_serves_all, back_up, casd, sha512, tree
from tests.backup.test_backup import flipped, removed, shortened
from tests.conftest import Daemon, skip_loudly
from tests.crash.folder import CATALOGUE, check_catalogue, payload_files, payload_path


@pytest.fixture
def backed_up(stopped: Daemon, dest: Path) -> Path:
    back_up(stopped, dest)
    return dest


def test_a_restored_folder_serves_everything(
    backed_up: Path, stopped: Daemon, new_daemon: NewDaemon, tmp_path: Path
) -> None:
    daemon = new_daemon()

    ran = casd("restore", backed_up, daemon.data, "--json")

    assert ran.code == 0
    assert (ran.json["payloads"], ran.json["is_complete"], ran.json["lost"]) == (4, True, [])
    assert payload_files(daemon.data) == payload_files(stopped.data)
    assert {path.stat().st_mode & 0o077 for path in daemon.data.rglob("*")} == {0}
    check_catalogue(daemon.data, tmp_path / "scratch")
    assert_serves_all(daemon.start())


def test_a_backup_is_not_changed_by_restoring_it(backed_up: Path, tmp_path: Path) -> None:
    before = tree(backed_up)

    assert casd("restore", backed_up, tmp_path / "new").code == 0

    assert tree(backed_up) == before


def test_a_folder_that_is_not_empty_is_refused(backed_up: Path, stopped: Daemon, tmp_path: Path) -> None:
    before = tree(stopped.data)

    for target in (stopped.data, backed_up.parent):
        ran = casd("restore", backed_up, target)
        assert ran.code == 1
        assert "not empty" in ran.err or "lie in each other" in ran.err
    assert tree(stopped.data) == before


def test_a_backup_that_was_never_finished_is_refused(backed_up: Path, tmp_path: Path) -> None:
    (backed_up / CATALOGUE).unlink()

    ran = casd("restore", backed_up, tmp_path / "new")

    assert (ran.code, "no backup into it was ever finished" in ran.err) == (1, True)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (flipped, "is damaged in the backup"),
        (shortened, "is damaged in the backup"),
        (removed, "is not in the backup"),
    ],
)
def test_a_damaged_backup_restores_nothing_that_a_daemon_starts_on(
    backed_up: Path, new_daemon: NewDaemon, damage: object, why: str
) -> None:
    assert callable(damage)
    damage(payload_path(backed_up, sha512(BIG)))
    daemon = new_daemon()

    ran = casd("restore", backed_up, daemon.data, "--json")

    assert ran.code == 6
    assert not ran.json["is_complete"]
    assert [(loss["sha512"], loss["why"]) for loss in ran.json["lost"]] == [(sha512(BIG), why)]
    with pytest.raises(RuntimeError, match="was not finished"):
        daemon.start()


def test_a_backup_with_a_damaged_catalogue_is_refused(backed_up: Path, new_daemon: NewDaemon) -> None:
    catalogue = backed_up / CATALOGUE
    with catalogue.open("r+b") as file:
        file.seek(5 * 4096)
        file.write(random.Random(1).randbytes(8 * 4096))
    daemon = new_daemon()

    ran = casd("restore", backed_up, daemon.data)

    assert ran.code == 1
    assert "damaged" in ran.err
    with pytest.raises(RuntimeError, match="was not finished"):
        daemon.start()


def test_a_restore_that_is_killed_anywhere_goes_on_when_it_is_run_again(backed_up: Path, new_daemon: NewDaemon) -> None:
    moments = random.Random(5)
    daemon = new_daemon()
    for _ in range(5):
        command = [sys.executable, "-m", "casd", "restore", str(backed_up), str(daemon.data)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            # Not to wait for anything: a kill comes when it comes. A run takes about 0.5 s, 0.3 of them to import.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(moments.uniform(0.25, 0.5))
            process.kill()
        if process.returncode == 0:
            shutil.rmtree(daemon.data)  # it was quicker than the kill
    marker = daemon.data / "restore.unfinished"
    marker.parent.mkdir(exist_ok=True)
    marker.touch()  # as after a kill, should all of them have come too early or too late
    with pytest.raises(RuntimeError, match="was not finished"):
        daemon.start()

    assert casd("restore", backed_up, daemon.data).code == 0
    assert_serves_all(daemon.start())


def test_what_an_interrupted_restore_left_is_proven_too(backed_up: Path, new_daemon: NewDaemon) -> None:
    daemon = new_daemon()
    assert casd("restore", backed_up, daemon.data).code == 0
    (daemon.data / "restore.unfinished").touch()
    flipped(payload_path(daemon.data, sha512(BIG)))

    assert casd("restore", backed_up, daemon.data).code == 0

    assert_serves_all(daemon.start())


def test_a_full_disk_ends_a_restore(backed_up: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True, text=True)
    if done.returncode:
        skip_loudly(f"mount is not permitted here: {done.stderr.strip()}")
    try:
        ran = casd("restore", backed_up, disk / "data")

        assert ran.code == 1
        assert f"{disk / 'data'} is full" in ran.err
        assert (disk / "data" / "restore.unfinished").exists()
        assert not (disk / "data" / CATALOGUE).exists()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_backup_on_a_read_only_disk_is_restored(backed_up: Path, new_daemon: NewDaemon) -> None:
    for arguments in (["--bind", str(backed_up), str(backed_up)], ["-o", "remount,bind,ro", str(backed_up)]):
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
        if done.returncode:
            skip_loudly(f"mount is not permitted here: {done.stderr.strip()}")
    try:
        daemon = new_daemon()

        assert casd("restore", backed_up, daemon.data).code == 0

        assert_serves_all(daemon.start())
        assert os.listdir(daemon.data / "incoming") == []
    finally:
        subprocess.run(["umount", "-l", str(backed_up)], check=True)
