"""The data folder as processes of this machine see it: where it is by default, what may be read in it, who has it.

Standard library only: both the daemon and the command line, which must start quickly, use it.
"""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from casd.errors import FolderInUse, FolderUnusable

ADDRESS = "address"  # the running daemon's base URL, one line; absent while none runs
ADMIN_TOKEN = "admin.token"  # 0600; made on first start
SOCKET = "socket"  # for clients of this machine, while all other listeners speak TLS
LOCK = "lock"  # flock: one daemon, or one tool, per data folder
CATALOGUE = "catalogue.sqlite3"
BACKUP = "backup.json"  # only in a folder that `casd backup` has made
RESTORING = "restore.unfinished"  # while `casd restore` fills the folder

LOCK_TRIES = 5
LOCK_PAUSE_S = 0.05


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
        return text if text and is_locked(data / LOCK) and tool_at_work(data) is None else None
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


@contextlib.contextmanager
def held(data: Path, tool: str | None = None) -> Iterator[None]:
    """Hold the data folder, which is there; the daemon alone names no `tool`.

    Others learn which tool it is, and nothing else of the folder is touched. Raises FolderUnusable, FolderInUse.
    """
    lock = _open_lock(data, tool)
    try:
        if lock is not None and not _take(lock):
            raise FolderInUse(_in_use(data, tool))
        if lock is not None and tool is not None:
            _sign(lock, f"casd {tool} {os.getpid()}\n")
        try:
            yield
        finally:
            if lock is not None and tool is not None:
                _sign(lock, "")
    finally:
        if lock is not None:
            os.close(lock)


def tool_at_work(data: Path) -> str | None:
    """What holds the folder, such as `casd fsck (process 4711)`; None if that is a daemon, or nobody.

    A tool that was killed leaves its signature behind.
    """
    try:
        words = (data / LOCK).read_text("utf-8").split()
    except (OSError, ValueError):
        return None
    if len(words) != 3 or not words[2].isdigit() or not Path("/proc", words[2]).exists():
        return None
    return f"{words[0]} {words[1]} (process {words[2]})"


def _open_lock(data: Path, tool: str | None) -> int | None:
    """For a tool that may only read: None where there is none, for no daemon can run there then."""
    try:
        return os.open(data / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.EROFS and tool is not None:
            with contextlib.suppress(FileNotFoundError):
                return os.open(data / LOCK, os.O_RDONLY | os.O_CLOEXEC)
            return None
        raise FolderUnusable(
            f"{data} cannot be used: {error.strerror}; casd wants a folder it may write: name another with --data"
        ) from error


def _take(lock: int) -> bool:
    """Hold the lock; returns whether it was free. A client may have it for a moment (`is_locked`)."""
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_PAUSE_S)
        else:
            return True
    return False


def _sign(lock: int, text: str) -> None:
    """Best effort: on a full disk the lock still holds, unsigned."""
    with contextlib.suppress(OSError):
        os.ftruncate(lock, 0)
        os.pwrite(lock, text.encode(), 0)


def _in_use(data: Path, tool: str | None) -> str:
    other = tool_at_work(data)
    if other is not None:
        return f"{other} is at work on {data}; wait for its end, or name another folder with --data"
    if tool is None:
        return f"another casd serves {data}; stop it, or name another folder with --data"
    return f"a daemon serves {data}: stop it first (SIGTERM, or `systemctl stop casd`), then run `casd {tool}` again"


def local_admin_token(data: Path) -> str | None:
    """The admin token of `data`; None where there is none or it is not ours to read."""
    try:
        return (data / ADMIN_TOKEN).read_text("utf-8").strip() or None
    except OSError:
        return None
