"""`casd get`: bytes from the daemon, checked, into a file or onto standard output."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import UUID

import click

from casd.cli.arguments import (
    STANDARD_STREAM,
    as_of_option,
    json_option,
    namespace_option,
    only_for_names,
    version_option,
    what,
)
from casd.cli.connection import Invocation, pass_invocation
from casd.cli.progress import Bar, bar
from casd.cli.text import echo_json, human_size, printable
from casd.model import Digest

if TYPE_CHECKING:
    from casd.client import Client, Content, Download

_FILENAME_LIMIT_BYTES = 200  # leaves room under the usual 255 for what a partial's name adds


@click.command(short_help="Fetch a blob, a payload or a name into a file.")
@click.argument("what_text", metavar="WHAT")
@click.argument("target", metavar="[TARGET]", required=False)
@namespace_option
@version_option
@as_of_option
@json_option
@pass_invocation
def get(
    invocation: Invocation,
    what_text: str,
    target: str | None,
    namespace: str | None,
    version: int | None,
    as_of: datetime | None,
    as_json: bool,
) -> None:
    """Fetch WHAT (a UUID, a SHA-512 digest or a name) into TARGET ('-' is standard output).

    An interrupted download goes on where it stopped, in a later run too. TARGET is replaced only by a complete
    payload whose SHA-512 was checked. Without TARGET, or with a folder, the last part of the name is taken, or
    else the filename that the daemon remembers.
    """
    wanted = what(what_text)
    only_for_names(wanted, version=version, as_of=as_of)
    if version and as_of:
        raise click.UsageError("--version and --as-of name two versions; give one of them.")
    if as_json and target == STANDARD_STREAM:
        raise click.UsageError("--json and a payload cannot both go to standard output.")
    _check_target(target)

    async def fetch(client: Client) -> tuple[Path | None, Content]:
        with bar(what_text, drawn=target != STANDARD_STREAM or not os.isatty(1)) as progress:
            async with await _download(client, wanted, namespace, version, as_of, progress) as download:
                progress.expect(download.content.size)
                path = _path(target, wanted, download.content)
                await _deliver(invocation, download, path, progress)
                return path, download.content

    path, content = invocation.run(fetch)
    if as_json:
        echo_json(_facts(path, content))
    elif path is not None:
        click.echo(f"{printable(str(path))}: {human_size(content.size)}, SHA-512 checked")


def _check_target(target: str | None) -> None:
    """Raises UsageError before anything is fetched that could not be put there."""
    if target is None or target == STANDARD_STREAM or Path(target).is_dir():
        return
    folder = Path(target).parent
    if target.endswith("/") or not folder.is_dir():
        raise click.UsageError(f"the folder of {target} does not exist; make it first.")


async def _download(
    client: Client,
    wanted: UUID | Digest | str,
    namespace: str | None,
    version: int | None,
    as_of: datetime | None,
    progress: Bar,
) -> Download:
    if isinstance(wanted, UUID):
        return client.download_blob(wanted, notice=progress.retrying)
    if isinstance(wanted, Digest):
        return client.download_payload(wanted, notice=progress.retrying)
    where = namespace or await client.accounts.home()
    return client.download_name(where, wanted, version=version, as_of=as_of, notice=progress.retrying)


def _path(target: str | None, wanted: UUID | Digest | str, content: Content) -> Path | None:
    """Where the payload goes, links followed: what they lead to is replaced, not they. None: standard output."""
    if target == STANDARD_STREAM:
        return None
    path = Path(target or ".")
    return (path / _own_name(wanted, content) if path.is_dir() else path).resolve()


def _own_name(wanted: UUID | Digest | str, content: Content) -> str:
    if isinstance(wanted, str):
        return wanted.rpartition("/")[2]
    return safe_filename(content.filename or "") or str(wanted)


def safe_filename(suggested: str) -> str:
    """What of a filename that somebody else chose may be made here: never a path, never hidden; may be empty."""
    last = suggested.replace("\\", "/").rpartition("/")[2]
    shown = "".join(c for c in last if c.isprintable()).strip().lstrip(".")
    return shown.encode("utf-8")[:_FILENAME_LIMIT_BYTES].decode("utf-8", "ignore")


async def _deliver(invocation: Invocation, download: Download, path: Path | None, progress: Bar) -> None:
    from casd.client import TargetBusy, save, stream

    if path is None:
        await stream(download, sys.stdout.buffer, progress.watch)
        return
    if _is_device(path):
        with _opened(path) as device:
            await stream(download, device, progress.watch)
        return
    try:
        await save(download, path, progress.watch)
    except TargetBusy:
        raise
    except BaseException:
        invocation.kept = _kept(path, download.content)
        raise


def _is_device(path: Path) -> bool:
    """Whether `path` is a pipe or the like of /dev/null: it is written to, never replaced."""
    return path.exists() and not path.is_file()


def _opened(path: Path) -> BinaryIO:
    return path.open("wb")


def _kept(target: Path, content: Content) -> str | None:
    from casd.client import partial_path

    try:
        size = partial_path(target, content.digest).stat().st_size
    except FileNotFoundError:
        return None
    return f"{human_size(size)} of {human_size(content.size)} are kept; the same command goes on from there"


def _facts(path: Path | None, content: Content) -> dict[str, Any]:
    return {
        "path": str(path),
        "sha512": content.digest.hex,
        "size": content.size,
        "content_type": content.content_type,
        "version": content.version,
    }
