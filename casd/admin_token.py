"""The admin token that a daemon has from its start: its own, in the data folder, or one that is given from outside.

Its own is made where there is none that is good, and kept in a file of mode 0600, where the command line of this
machine finds it. One from outside (`[auth] admin_token_file`, or systemd's credential `admin.token`) is only read; the
catalogue keeps its hash, the file may change, and where none is given any more it is revoked.
"""

import asyncio
import contextlib
import logging
import os
import stat
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from uuid import UUID

from casd import auth, folder
from casd.errors import CasdError, TokenFileUnusable, TokenNotFound, Unauthenticated
from casd.model import Role, Token
from casd.store import BlobStore

log = logging.getLogger(__name__)

FIRST_HOME = "default"
FROM_OUTSIDE = UUID("ca5d0000-0000-7000-8000-000000000001")  # whatever its secret is
LEAST_CHARACTERS = 32  # its hash is a plain SHA-256: nobody must be able to guess it
READ_AGAIN_S = 10.0
CREDENTIAL = "admin.token"  # `LoadCredential=admin.token:/etc/casd/admin.token`


class AdminToken:
    """Of one store."""

    def __init__(self, store: BlobStore, data: Path, given: Path | None, write: Callable[[Path, str], None]) -> None:
        """`write` puts a secret into a file durably, for its owner's eyes alone; it blocks. Raises StorageFailed."""
        self._store = store
        self._write_file = write
        self._file = data / folder.ADMIN_TOKEN
        self._data = data
        self._given = given
        self._own: UUID | None = None

    async def ensure(self) -> None:
        """There is one that is good. Raises TokenFileUnusable for a file from outside that holds none."""
        if self._given is None:
            with contextlib.suppress(TokenNotFound):
                await self._store.catalogue.revoke_token(FROM_OUTSIDE, self._store.now())
            await self._ensure_own()
        await self.look_again()

    async def rotated(self, token: UUID, secret: str) -> None:
        """If that token is the one in the data folder, its file has the new secret."""
        if token == self._own:
            await self._write(secret)
            log.info("admin token rotated file=%s", self._file)

    async def follow(self) -> None:
        """Take what the file from outside holds whenever that changes, for ever; one that is no token is logged."""
        failure = ""
        while self._given is not None:
            await asyncio.sleep(READ_AGAIN_S)
            try:
                await self.look_again()
                failure = ""
            except CasdError as error:
                if str(error) != failure:  # once, not each time
                    log.error("admin token not replaced error=%s", error)
                failure = str(error)

    async def look_again(self) -> None:
        """What the file from outside holds is the admin token. Raises TokenFileUnusable, StorageFailed."""
        if self._given is not None:
            await self._take(await asyncio.to_thread(given_secret, self._given))

    # -- its own ------------------------------------------------------------------------------------------

    async def _ensure_own(self) -> None:
        """The secret is shown once on a terminal, otherwise only where its file is."""
        secret = folder.local_admin_token(self._data)
        now, catalogue = self._store.now(), self._store.catalogue
        if secret is not None:
            with contextlib.suppress(Unauthenticated):  # revoked, or of another catalogue
                self._own = auth.principal_of(await catalogue.token(auth.secret_hash(secret)), now).token
                return
        secret = auth.new_secret()
        token = Token(self._store.new_uuid(), "admin", Role.ADMIN, (FIRST_HOME,), now, None)
        await catalogue.add_token(token, auth.secret_hash(secret))
        await self._write(secret)
        self._own = token.uuid
        log.info("admin token made file=%s", self._file)
        if sys.stderr.isatty():
            print(f"admin token: {secret}", file=sys.stderr)  # noqa: T201  # shown once, never logged

    async def _write(self, secret: str) -> None:
        await asyncio.to_thread(self._write_file, self._file, secret + "\n")

    # -- from outside -------------------------------------------------------------------------------------

    async def _take(self, secret: str) -> None:
        """Raises TokenFileUnusable for one that was revoked here, or that another token has."""
        catalogue, now = self._store.catalogue, self._store.now()
        hash = auth.secret_hash(secret)
        known, holder = await catalogue.token_by_id(FROM_OUTSIDE), await catalogue.token(hash)
        if holder is not None and holder.uuid != FROM_OUTSIDE:
            raise TokenFileUnusable(f"{self._given} holds the secret of the token {holder.name!r}: it wants its own")
        if known is None:
            token = Token(FROM_OUTSIDE, "admin from outside", Role.ADMIN, (FIRST_HOME,), now, None)
            await catalogue.add_token(token, hash)
        elif holder is None:
            await self._replace(hash, now)
        elif known.revoked_at is not None:
            raise TokenFileUnusable(f"the token in {self._given} was revoked: put another secret there")

    async def _replace(self, hash: bytes, now: datetime) -> None:
        """The old secret ends now: who replaces the file may want just that."""
        await self._store.catalogue.rotate_token(FROM_OUTSIDE, hash, now, now, {"expires_at": None, "revoked_at": None})
        log.info("admin token replaced file=%s", self._given)


def given_file(configured: Path | None, environment: Mapping[str, str]) -> Path | None:
    """Where an admin token is given from outside: as configured, or as systemd's credential."""
    if configured is not None:
        return configured
    credentials = environment.get("CREDENTIALS_DIRECTORY")
    file = Path(credentials, CREDENTIAL) if credentials else None
    return file if file is not None and file.exists() else None


def given_secret(file: Path) -> str:
    """Raises TokenFileUnusable."""
    try:
        with file.open("rb") as opened:
            is_open_to_all = bool(os.fstat(opened.fileno()).st_mode & stat.S_IROTH)
            text = opened.read(4096).decode("ascii", "replace").strip()
    except OSError as error:
        raise TokenFileUnusable(f"the admin token's file {file} cannot be read: {error.strerror}") from None
    if len(text) < LEAST_CHARACTERS or not text.isprintable() or not text.isascii() or " " in text:
        raise TokenFileUnusable(
            f"{file} holds no admin token: one line of at least {LEAST_CHARACTERS} ASCII characters without spaces, "
            "such as `openssl rand -hex 32` prints"
        )
    if is_open_to_all:
        log.warning("everybody on this machine may read the admin token file=%s", file)
    return text
