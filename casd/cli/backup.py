"""`casd backup`: a copy of the local store, running or not."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from casd import folder
from casd.cli import exits
from casd.cli.arguments import json_option
from casd.cli.connection import Invocation, pass_invocation
from casd.cli.counting import Counting, echo_losses, loss_json
from casd.cli.parameters import Folder
from casd.cli.progress import bar
from casd.cli.text import counted, echo_json, human_size, utc
from casd.errors import CasdError, FolderInUse, FolderUnusable

if TYPE_CHECKING:
    from casd.backup import Pin, Saved
    from casd.client.sync import Operations

RENEWED_S = 60.0  # of the ten minutes that a pin lasts


@click.command(short_help="Copy the local store, running or not.")
@click.argument("dest", metavar="DEST", type=Folder(file_okay=False))
@click.option("--data", type=Folder(), metavar="DIR", help="The data folder to copy.")
@click.option("--prune", is_flag=True, help="Then remove payloads from DEST that the store does not know any more.")
@json_option
@pass_invocation
def backup(invocation: Invocation, dest: Path, data: Path | None, prune: bool, as_json: bool) -> None:
    """Copy the store on this machine to the folder DEST, as it is at one moment; it may be serving.

    A later run copies what is new. Each payload is proven on the way: one that is damaged is told and left out, the
    rest goes on, and the exit code is 6. `casd help backup` tells more.
    """
    from casd.backup import save

    source = data or invocation.data_folder()
    with pinned(source) as pin, bar("backup", drawn=not as_json) as drawn:
        saved = save(source, dest, pin, Counting(drawn), prune=prune)
    if as_json:
        echo_json(_json(dest, saved))
    else:
        _tell(dest, saved)
    sys.exit(exits.DAMAGED if saved.losses else 0)


def _tell(dest: Path, saved: Saved) -> None:
    echo_losses(saved.losses)
    assert saved.finished_at is not None
    new = f"{counted(saved.copied, 'payload')} new ({human_size(saved.copied_bytes)})"
    click.echo(f"{dest} has {counted(saved.payloads, 'payload')}, {human_size(saved.bytes)}, {new}")
    if saved.pruned:
        click.echo(f"{counted(saved.pruned, 'payload')} pruned")
    if saved.losses:
        click.echo(f"{counted(len(saved.losses), 'payload')} not in it: `casd help backup` tells what to do")
    click.echo(f"finished at {utc(saved.finished_at)}")


def _json(dest: Path, saved: Saved) -> dict[str, object]:
    return {
        "backup": str(dest),
        "finished_at": saved.finished_at.isoformat() if saved.finished_at else None,
        "payloads": saved.payloads,
        "bytes": saved.bytes,
        "copied_payloads": saved.copied,
        "copied_bytes": saved.copied_bytes,
        "cloned_payloads": saved.cloned,
        "pruned_payloads": saved.pruned,
        "lost": [loss_json(loss) for loss in saved.losses],
    }


@contextmanager
def pinned(data: Path) -> Iterator[Pin]:
    """The store's payloads stay while this lasts: a daemon is asked for it, and none can start where none runs."""
    from casd.backup import NoPin

    if not data.is_dir():
        raise FolderUnusable(f"{data} is no data folder: name it with --data")
    with ExitStack() as stack:
        try:
            stack.enter_context(folder.held(data, "backup"))
            pin: Pin = NoPin()
        except FolderInUse:
            pin = stack.enter_context(_pinned_by_daemon(data))
        yield pin


@contextmanager
def _pinned_by_daemon(data: Path) -> Iterator[Pin]:
    from casd.client.sync import Client

    address = folder.local_address(data)
    if address is None:
        raise FolderInUse(f"{folder.tool_at_work(data) or 'a daemon that is starting'} has {data}; try again later")
    with Client(address, folder.local_admin_token(data)) as client:
        pin = DaemonPin(client.operations)
        try:
            yield pin
        finally:
            pin.end()


class DaemonPin:
    """See casd.backup.Pin. Times are the daemon's, which runs on this machine."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._lock = threading.Lock()
        self._pin = operations.begin_backup()
        self._renewed = time.monotonic()
        self.losses = 0

    def keep(self) -> None:
        with self._lock:
            if time.monotonic() - self._renewed >= RENEWED_S:
                self._renewed = time.monotonic()
                self._renew()

    def _renew(self) -> None:
        try:
            self._pin = self._operations.renew_backup(self._pin.id)
        except CasdError as error:
            # A daemon that does not answer collects nothing, and one that has started since knows the pin.
            if error.code == "pin-not-found":
                self.losses += 1
                with suppress(CasdError):
                    self._pin = self._operations.begin_backup()

    def end(self) -> None:
        with suppress(CasdError):  # it ends by itself
            self._operations.end_backup(self._pin.id)
