"""casd's failures as those that a program expects of files: OSError, and the kinds of it that tell something."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from casd.client import ClientError, ConnectionLost, Refused, Unreachable
from casd.errors import InvalidInput

_KINDS = {
    401: errno.EACCES,
    403: errno.EACCES,
    404: errno.ENOENT,
    409: errno.EBUSY,
    412: errno.EEXIST,
    413: errno.EFBIG,
    423: errno.EBUSY,
    507: errno.ENOSPC,
}


@contextmanager
def translated(path: str, *, is_new: bool = False) -> Iterator[None]:
    """OSError with the path, and what the daemon said, for whatever the client raises.

    A name that cannot be is not there; with `is_new`, where it is to become one, it is an invalid argument.
    """
    try:
        yield
    except InvalidInput as error:
        raise OSError(errno.EINVAL if is_new else errno.ENOENT, str(error), path) from error
    except Refused as error:
        raise _refused(error, path) from error
    except (Unreachable, ConnectionLost) as error:
        raise ConnectionError(f"{path}: {error}") from error
    except ClientError as error:
        raise OSError(errno.EIO, str(error), path) from error


def _refused(error: Refused, path: str) -> OSError:
    kind = _KINDS.get(error.status, errno.EINVAL if error.status < 500 else errno.EIO)
    return OSError(kind, error.detail, path)  # which is PermissionError, FileNotFoundError … by its number


def is_a_folder(path: str) -> OSError:
    return IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)


def exists_already(path: str) -> OSError:
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
