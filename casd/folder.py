"""The data folder as other processes of this machine see it: where it is by default, and what may be read in it.

Standard library only: both the daemon and the command line, which must start quickly, use it.
"""

import fcntl
import os
from pathlib import Path

ADDRESS = "address"  # the running daemon's base URL, one line; absent while none runs
ADMIN_TOKEN = "admin.token"  # 0600; made on first start
LOCK = "lock"  # flock: one daemon per data folder
CATALOGUE = "catalogue.sqlite3"


def default_data_folder() -> Path:
    """The folder that `casd serve` uses when nothing names one (XDG Base Directory Specification)."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "casd"


def local_address(data: Path) -> str | None:
    """The base URL of the daemon that runs on `data`, without a trailing slash; None if none runs.

    A daemon that was killed leaves its address behind, and whoever listens there now must not be sent the admin
    token: the address counts while a daemon holds the folder's lock.
    """
    try:
        text = (data / ADDRESS).read_text("utf-8").strip()
        return text if text and is_locked(data / LOCK) else None
    except OSError:
        return None


def is_locked(lock: Path) -> bool:
    """Whether some process holds the lock. Looks by trying, for a moment: `casd serve` tries more than once."""
    descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def local_admin_token(data: Path) -> str | None:
    """The admin token of `data`; None where there is none or it is not ours to read."""
    try:
        return (data / ADMIN_TOKEN).read_text("utf-8").strip() or None
    except OSError:
        return None
