"""The data folder before it is served: is it fit, is it ours alone, and what a first start puts into it."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from casd import folder
from casd.catalogue.sqlite.schema import check_usable
from casd.config import Config
from casd.errors import FolderUnusable
from casd.payloads.folders import disk_call, make_durable_tree, write_durably
from casd.payloads.survey import holds_payloads
from casd.store import BlobStore


def folder_state(config: Config) -> str:
    """What a start would find where the data folder is."""
    data = config.storage.data.absolute()
    if data.is_dir():
        may = os.access(data, os.R_OK | os.W_OK | os.X_OK)
        found = "is there" if may else "is there, but this user may not write it: casd will not start"
    elif data.exists():
        found = "is not a folder: casd will not start"
    elif config.storage.must_exist:
        found = "is not there, and must_exist is set: casd will not start"
    else:
        found = "is not there: casd will make it"
    return f"The data folder {ascii(str(data))[1:-1]} {found}."


@contextlib.contextmanager
def locked_folder(config: Config) -> Iterator[None]:
    """Hold the data folder, made if it may be, and found fit to be served.

    Raises FolderUnusable, FolderInUse, CatalogueUnusable; nothing is touched then.
    """
    data = config.storage.data
    if config.storage.must_exist and not data.is_dir():
        raise FolderUnusable(f"{data} is not there and [storage] must_exist is set: is its file system mounted?")
    try:
        make_durable_tree(data)
    except OSError as error:
        raise FolderUnusable(
            f"{data} cannot be used: {error.strerror}; casd wants a folder it may write: name another with --data"
        ) from error
    with folder.held(data):
        check_before_touching(data)
        yield


def check_before_touching(data: Path) -> None:
    """Raise CatalogueUnusable, FolderUnusable for a folder that must not, or cannot, be served as it is."""
    if (data / folder.BACKUP).exists():
        raise FolderUnusable(
            f"{data} is a backup, which serving would change: `casd restore {data} FOLDER` makes a data folder of it"
        )
    if (data / folder.RESTORING).exists():
        raise FolderUnusable(
            f"a restore into {data} was not finished: run `casd restore` again, which goes on, or remove the folder"
        )
    try:
        payloads_exist = holds_payloads(data)
    except OSError as error:  # of a folder that is not ours to read, or a disk that fails
        raise FolderUnusable(f"{error.filename or data} cannot be read: {error.strerror}") from error
    check_usable(data / folder.CATALOGUE, payloads_exist)


@contextlib.contextmanager
def announced(data: Path, address: str) -> Iterator[None]:
    """While it lasts, clients on this machine find the address in the data folder."""
    file = data / folder.ADDRESS
    disk_call(f"writing {file}", write_durably, file, address + "\n")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def write_secret(file: Path, text: str) -> None:
    """For its owner's eyes alone, durably. Blocking. Raises StorageFailed."""
    disk_call(f"writing {file}", write_durably, file, text)


async def ensure_signing_key(store: BlobStore) -> None:
    if await store.catalogue.signing_key() is None:
        await store.catalogue.add_signing_key(secrets.token_bytes(32), store.now())
