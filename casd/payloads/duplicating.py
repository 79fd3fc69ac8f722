"""A payload's second copy on a disk: cloned where the file system can share blocks, copied otherwise, then proven.

Never a hard link: a link shares its fate with the original. Blocking, for tools.
"""

import errno
import fcntl
import os
from pathlib import Path

from casd.errors import PayloadDamaged, PayloadMissing
from casd.model import Digest
from casd.payloads.proving import READ_BYTES, Tell, sha512_of

FICLONE = 0x40049409  # linux/fs.h
COPY_STEP_BYTES = 64 << 20  # between two looks at whether to go on
CANNOT_CLONE = (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM)


def duplicate(source: Path, draft: Path, target: Path, digest: Digest, tell: Tell) -> bool:
    """`target` has the bytes of `source`, which are those of `digest` and on the disk; its folder is not synced.

    They go by way of `draft`, of the same file system. Returns whether they share blocks. Raises PayloadMissing and
    PayloadDamaged, and then there is no target; OSError for a disk that fails.
    """
    try:
        original = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise PayloadMissing(f"payload {digest} has no file") from None
    try:
        draft.unlink(missing_ok=True)
        copy = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            is_clone = _fill(original, copy, tell)
            os.fsync(copy)
            # Out of the page cache, so that the proof is of what the disk has.
            os.posix_fadvise(copy, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(copy)
        prove(draft, digest, tell)
        os.replace(draft, target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    finally:
        os.close(original)
    return is_clone


def prove(path: Path, digest: Digest, tell: Tell) -> None:
    """Raise PayloadDamaged unless the file's bytes are those of `digest`."""
    found = sha512_of(path, tell)
    if found != digest:
        raise PayloadDamaged(f"payload {digest} has other bytes: their SHA-512 is {found}")


def _fill(original: int, copy: int, tell: Tell) -> bool:
    try:
        fcntl.ioctl(copy, FICLONE, original)
        return True
    except OSError as error:
        if error.errno not in CANNOT_CLONE:
            raise
    try:
        while os.copy_file_range(original, copy, COPY_STEP_BYTES):
            tell(0)
        if os.fstat(copy).st_size == os.fstat(original).st_size:  # some file systems just stop
            return False
    except OSError as error:
        if error.errno not in CANNOT_CLONE:
            raise
    _copy_plainly(original, copy, tell)
    return False


def _copy_plainly(original: int, copy: int, tell: Tell) -> None:
    for file in (original, copy):
        os.lseek(file, 0, os.SEEK_SET)
    while piece := os.read(original, READ_BYTES):
        _write(copy, piece)
        tell(0)


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
