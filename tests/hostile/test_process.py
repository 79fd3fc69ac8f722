"""What others on the same machine can see of the daemon: its files, and what a crash would leave."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Daemon
from tests.hostile.conftest import TUS
from tests.web.wire import Wire, stored


def test_nobody_else_reads_the_data_folder_whatever_the_umask(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon()
    daemon.prefix = ("sh", "-c", 'umask 000; "$@"; exit $?', "sh")
    daemon.start()
    with Wire(daemon) as wire:
        stored(wire, b"x" * 100_000)
        assert wire.ask("PUT", "/v1/names/default/a", b"x").status == 201
        assert wire.ask("POST", "/v1/uploads", b"", TUS | {"Upload-Length": "10"}).status == 201

    open_to_others = {str(path): oct(mode) for path in tree(daemon.data) if (mode := mode_of(path)) & 0o077}

    assert daemon.stop() == 0
    assert {path for path in open_to_others if not path.endswith("/address")} == set()


def tree(root: Path) -> list[Path]:
    return [Path(folder, name) for folder, folders, files in os.walk(root) for name in (*folders, *files)]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_crash_leaves_no_memory_behind(daemon: Daemon) -> None:
    lines = Path(f"/proc/{daemon.pid}/limits").read_text().splitlines()

    (limit,) = [line for line in lines if line.startswith("Max core file size")]
    assert limit.split()[4] == "0"


def test_a_link_in_the_data_folder_leads_nowhere(new_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    """Whoever could put one there for a payload: it is not followed out of the folder."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"not a payload")
    daemon = new_daemon().start()
    with Wire(daemon) as wire:
        blob = stored(wire, b"mine, not it").json
        digest = blob["sha512"]
        path = daemon.data / "payloads" / digest[:2] / digest[2:4] / digest
        path.unlink()
        path.symlink_to(outside)
        answer = wire.ask("GET", f"/v1/blobs/{blob['uuid']}/data")
        again = stored(wire, b"mine, not it")

        assert answer.status == 500
        assert b"not a payload" not in answer.body
        assert again.status == 201
        assert wire.ask("GET", f"/v1/blobs/{blob['uuid']}/data").body == b"mine, not it"
    assert outside.read_bytes() == b"not a payload"
    assert not path.is_symlink()
    assert daemon.stop() == 0
