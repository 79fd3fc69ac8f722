"""The data folder as other processes see it."""

import fcntl
from pathlib import Path

from casd.folder import local_address


def test_an_address_counts_while_a_daemon_holds_the_folder(tmp_path: Path) -> None:
    (tmp_path / "address").write_text("http://127.0.0.1:1234\n")
    lock = (tmp_path / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)

    while_held = local_address(tmp_path)
    lock.close()
    after_a_kill = local_address(tmp_path)

    assert while_held == "http://127.0.0.1:1234"
    assert after_a_kill is None


def test_a_folder_that_is_not_there_has_no_address(tmp_path: Path) -> None:
    assert local_address(tmp_path / "absent") is None
