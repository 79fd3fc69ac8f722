"""Which daemon is meant where nobody says so, and the token for it.

Standard library only: the command line, which must start quickly, and the Python client both ask here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from casd import folder
from casd.errors import CasdError, TokenFileUnusable


class NoLocalDaemon(CasdError):
    """No daemon runs on the data folder, and no other was named."""

    code = "no-local-daemon"


@dataclass(frozen=True, slots=True)
class Found:
    """A daemon's address, and the token that is for it."""

    url: str
    token: str | None = field(repr=False)


def daemon(url: str | None = None, data: Path | None = None, environment: Mapping[str, str] | None = None) -> Found:
    """The daemon at `url`, or the one that CASD_URL names, or the local one on a data folder.

    Raises NoLocalDaemon, TokenFileUnusable. The admin token is for the local daemon alone; CASD_TOKEN or
    CASD_TOKEN_FILE belongs to CASD_URL where both are set, so `data` then
    leaves both aside.
    """
    known = os.environ if environment is None else environment
    environment_url, environment_token = known.get("CASD_URL") or None, given_token(known)
    url = url or (environment_url if data is None else None)
    if url:
        return Found(url, environment_token)
    data = data_folder(data, known)
    address = folder.local_address(data)
    if address is None:
        raise NoLocalDaemon(f"no daemon runs on {data}; start one with `casd serve`, or set CASD_URL")
    if environment_token and not environment_url:
        return Found(address, environment_token)
    return Found(address, folder.local_admin_token(data))


def given_token(environment: Mapping[str, str]) -> str | None:
    """The token in CASD_TOKEN, or in the file that CASD_TOKEN_FILE names. Raises TokenFileUnusable."""
    token, file = environment.get("CASD_TOKEN"), environment.get("CASD_TOKEN_FILE")
    if token or not file:
        return token or None
    try:
        text = Path(file).read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise TokenFileUnusable(f"CASD_TOKEN_FILE: {file} cannot be read: {reason}") from None
    if not text or len(text.split()) > 1:
        raise TokenFileUnusable(f"CASD_TOKEN_FILE: {file} holds no token: one line, with nothing else, is wanted")
    return text


def data_folder(data: Path | None = None, environment: Mapping[str, str] | None = None) -> Path:
    """That folder, or the one in CASD_STORAGE__DATA, or the default."""
    known = os.environ if environment is None else environment
    named = data or known.get("CASD_STORAGE__DATA")
    return Path(named) if named else folder.default_data_folder()
