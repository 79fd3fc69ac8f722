"""The exit codes of `casd`, which failure ends in which, and what is said about it."""

import errno
import os

from casd.errors import CasdError, InvalidInput, NotFound
from casd.finding import NoLocalDaemon

FAILED = 1
USAGE = 2  # click's own
NOT_FOUND = 3
NOT_ALLOWED = 4
UNREACHABLE = 5
DAMAGED = 6
REPAIRED = 7
INTERRUPTED = 130  # 128 + SIGINT, as shells have it

LEGEND = """\
Exit codes: 0 done; 1 failed; 2 wrong usage; 3 not found; 4 not allowed, or no valid token; 5 the daemon was not
reached, or the connection was lost for good; 6 the bytes are not those of their digest, or something is wrong with a
store; 7 it was, and is repaired; 130 interrupted."""


_HEALING = "`casd put FILE` with the right bytes heals it; `casd help quarantine` tells more"
_HINTS = {  # by the code of a daemon's refusal
    "unauthenticated": "CASD_TOKEN_FILE names a file with a token of that daemon, or CASD_TOKEN holds one; of the "
    "daemon on this machine it is found where neither --url nor CASD_URL is given",
    "name-not-found": "`casd ls` shows the names there are; -r goes with a folder of them, --version N with a version",
    "forbidden": "an admin makes a token that may: `casd token create NAME --role ROLE --namespace NS`",
    "namespace-not-found": "`casd namespace ls` lists those that your token may read in; an admin makes one with "
    "`casd namespace create NS`",
    "quota-exceeded": "`casd namespace show NS` tells what is used; who deletes needs the role writer",
    "payload-damaged": _HEALING,
    "payload-missing": _HEALING,
    "collection-refused": "`casd gc --force` insists",
}


def exit_code(error: CasdError | OSError) -> int:
    """The exit code for a failure that casd knows."""
    from casd.client.errors import ConnectionLost, DigestDiffers, Refused, Unreachable

    if isinstance(error, Refused):
        return _for_answer(error.status, error.code)
    if isinstance(error, DigestDiffers):
        return DAMAGED
    if isinstance(error, NoLocalDaemon | Unreachable | ConnectionLost):
        return UNREACHABLE
    if isinstance(error, NotFound):
        return NOT_FOUND
    if isinstance(error, InvalidInput):
        return USAGE
    return FAILED


def message(error: CasdError | OSError) -> str:
    """What went wrong, for people."""
    if isinstance(error, OSError):
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        return f"{where}{error.strerror or error}"
    return str(error)


def is_hopeless(error: CasdError | OSError) -> bool:
    """Whether every other file would fail as this one did: no daemon, no permission, no space."""
    from casd.client.errors import ConnectionLost, Refused, UnknownPath, Unreachable

    if isinstance(error, Refused):
        return error.status in (401, 403, 507) or error.code in ("namespace-not-found", "quota-exceeded")
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
    return isinstance(error, NoLocalDaemon | Unreachable | ConnectionLost | UnknownPath)


def hints(error: CasdError | OSError) -> list[str]:
    """What to do about a failure, where its own message cannot know."""
    from casd.client.errors import Refused, Unreachable

    if isinstance(error, Refused):
        hint = _HINTS.get("unauthenticated" if error.status == 401 else error.code)
        if hint is None and error.status >= 500 and error.request_id:
            hint = f"the daemon's log tells more under request {error.request_id}"
        return [hint] if hint else []
    if isinstance(error, Unreachable):
        return ["is the daemon running? `casd serve` starts one here, CASD_URL names another"]
    return []


def _for_answer(status: int, code: str) -> int:
    if code in ("digest-mismatch", "payload-damaged", "payload-missing", "payload-unreadable"):
        return DAMAGED
    return {400: USAGE, 401: NOT_ALLOWED, 403: NOT_ALLOWED, 404: NOT_FOUND, 410: NOT_FOUND}.get(status, FAILED)
