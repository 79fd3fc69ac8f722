"""The data folder as other processes see it."""

import fcntl
import os
from pathlib import Path

import pytest

from casd.errors import FolderInUse
from casd.folder import held, local_address, tool_at_work


def test_an_address_counts_while_a_daemon_holds_the_folder(tmp_path: Path) -> None:
    (tmp_path / "address").write_text("http://127.0.0.1:1234\n")
    lock = (tmp_path / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)

    while_held = local_address(tmp_path)
    lock.close()
    after_a_kill = local_address(tmp_path)

    assert while_held == "http://127.0.0.1:1234"
    assert after_a_kill is None


def test_an_address_that_a_killed_daemon_left_does_not_count_while_a_tool_holds_the_folder(tmp_path: Path) -> None:
    (tmp_path / "address").write_text("http://127.0.0.1:1234\n")

    with held(tmp_path, "fsck"):
        assert local_address(tmp_path) is None
        assert tool_at_work(tmp_path) == f"casd fsck (process {os.getpid()})"

    assert (tmp_path / "lock").read_text() == ""


def test_a_folder_is_held_by_one_alone(tmp_path: Path) -> None:
    with held(tmp_path), pytest.raises(FolderInUse, match="stop it first"), held(tmp_path, "fsck"):
        pass
    with held(tmp_path, "fsck"), pytest.raises(FolderInUse, match=r"casd fsck .* is at work"), held(tmp_path):
        pass


def test_the_signature_of_a_tool_that_was_killed_means_nothing(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("casd fsck 4194305\n")  # above Linux's highest process id

    with held(tmp_path), pytest.raises(FolderInUse, match="a daemon serves"), held(tmp_path, "backup"):
        pass


def test_a_folder_that_is_not_there_has_no_address(tmp_path: Path) -> None:
    assert local_address(tmp_path / "absent") is None
