"""`casd get`: bytes from the daemon, checked: one payload, a part of it, several, or all below a prefix."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import UUID

import click

from casd.cli import completing
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
from casd.cli.parameters import Part, part
from casd.cli.pool import jobs_option
from casd.cli.progress import Display, Moving, display
from casd.cli.sync import Ways, lines_option, mirrored
from casd.cli.text import echo_json, human_size, printable
from casd.model import Digest

if TYPE_CHECKING:
    from casd.client import Client, Content, Download

_FILENAME_LIMIT_BYTES = 200  # leaves room under the usual 255 for what a partial's name adds


@click.command(short_help="Fetch blobs, payloads or names into files.")
@click.argument("arguments", metavar="WHAT... [TARGET]", nargs=-1, required=True, shell_complete=completing.things)
@click.option("-r", "--recursive", is_flag=True, help="Fetch every name below a prefix into a folder.")
@click.option("-t", "--to", metavar="FOLDER", help="Fetch all WHATs into this folder.")
@click.option(
    "--range",
    "part",
    type=part,
    metavar="START-STOP",
    help="Only these bytes, counted as HTTP does: 0-99 is the first hundred, 100- the rest, -100 the last.",
)
@namespace_option
@version_option
@as_of_option
@jobs_option
@lines_option
@json_option
@click.pass_context
@pass_invocation
def get(
    invocation: Invocation,
    ctx: click.Context,
    arguments: tuple[str, ...],
    recursive: bool,
    to: str | None,
    part: Part | None,
    namespace: str | None,
    version: int | None,
    as_of: datetime | None,
    jobs: int,
    verbose: bool,
    as_json: bool,
) -> None:
    """Fetch WHAT (a UUID, a SHA-512 digest or a name) into TARGET ('-' is standard output).

    \b
      casd get images/debian.img copy.img
      casd get images/a.img images/b.img folder
      casd get -r web/site site             every name below web/site/
      casd get --range 0-511 images/debian.img | xxd

    An interrupted download goes on where it stopped, in a later run too. TARGET is replaced only by a complete
    payload whose SHA-512 was checked. Without TARGET, or with a folder, the last part of the name is taken, or
    else the filename that the daemon remembers; a --range goes to standard output.
    """
    if version and as_of:
        raise click.UsageError("--version and --as-of name two versions; give one of them.")
    if recursive:
        given = {"--to": to, "--range": part, "--version": version, "--as-of": as_of}
        prefix, folder = _prefix_and_folder(arguments, given)
        ways = Ways(jobs=jobs, has_lines=verbose, as_json=as_json)
        ctx.exit(mirrored(invocation, "down", folder, prefix, namespace, ways))
    wanted, target = _wanted_and_target(arguments, to)
    for each in wanted:
        only_for_names(what(each), version=version, as_of=as_of)
    if len(wanted) == 1:
        if part and target is None:
            target = STANDARD_STREAM
        fetch(invocation, wanted[0], target, namespace, version, as_of, part, as_json=as_json)
        return
    if version or part:
        raise click.UsageError(f"{'--version' if version else '--range'} is for one WHAT.")
    assert target is not None  # several have one
    from casd.cli.several import get_several

    ctx.exit(get_several(invocation, wanted, target, namespace, as_of, jobs=jobs, as_json=as_json))


def _wanted_and_target(arguments: tuple[str, ...], to: str | None) -> tuple[list[str], str | None]:
    """Raises UsageError."""
    if to is not None:
        if not Path(to).is_dir():
            raise click.UsageError(f"{to} is no folder; make it first.")
        return list(arguments), to
    if len(arguments) == 1:
        return [arguments[0]], None
    *wanted, target = arguments
    if len(wanted) > 1 and not Path(target).is_dir():
        raise click.UsageError(f"several WHATs go into a folder, and {target} is none; make it first.")
    return wanted, target


def _prefix_and_folder(arguments: tuple[str, ...], given: dict[str, Any]) -> tuple[str, str]:
    for option, value in given.items():
        if value:
            raise click.UsageError(f"{option} does not go with -r.")
    if len(arguments) != 2:
        raise click.UsageError("-r takes a prefix and a folder: casd get -r PREFIX FOLDER; / is the whole namespace.")
    if arguments[1] == STANDARD_STREAM:
        raise click.UsageError("many files do not go to standard output; give a folder.")
    return arguments[0], arguments[1]


# -- one ----------------------------------------------------------------------------------------------------------


def fetch(
    invocation: Invocation,
    what_text: str,
    target: str | None,
    namespace: str | None,
    version: int | None,
    as_of: datetime | None,
    part: Part | None,
    *,
    as_json: bool,
) -> None:
    """WHAT is in TARGET, and that is told. Raises UsageError."""
    wanted = what(what_text)
    if as_json and target == STANDARD_STREAM:
        raise click.UsageError("--json and a payload cannot both go to standard output.")
    _check_target(target)

    async def move(client: Client) -> tuple[Path | None, Content]:
        is_drawn = target != STANDARD_STREAM or not os.isatty(1)
        with display(drawn=is_drawn) as shown, shown.transfer(what_text) as moving:
            async with await opened(client, wanted, namespace, version, as_of, shown) as download:
                path = landing_path(target, wanted, download.content)
                await _deliver(invocation, download, path, part, moving)
                return path, download.content

    path, content = invocation.run(move)
    if as_json:
        echo_json(_facts(path, content, part))
    elif path is not None:
        start, stop = part.of(content.size) if part else (0, content.size)
        said = f"bytes {start}-{stop - 1} of {content.size}, checked" if part else "SHA-512 checked"
        click.echo(f"{printable(str(path))}: {human_size(stop - start)}, {said}")


def _check_target(target: str | None) -> None:
    """Raises UsageError before anything is fetched that could not be put there."""
    if target is None or target == STANDARD_STREAM or Path(target).is_dir():
        return
    folder = Path(target).parent
    if target.endswith("/") or not folder.is_dir():
        raise click.UsageError(f"the folder of {target} does not exist; make it first.")


async def opened(
    client: Client,
    wanted: UUID | Digest | str,
    namespace: str | None,
    version: int | None,
    as_of: datetime | None,
    shown: Display,
) -> Download:
    """The download of what a WHAT means."""
    if isinstance(wanted, UUID):
        return client.download_blob(wanted, notice=shown.retrying)
    if isinstance(wanted, Digest):
        return client.download_payload(wanted, notice=shown.retrying)
    where = namespace or await client.accounts.home()
    return client.download_name(where, wanted, version=version, as_of=as_of, notice=shown.retrying)


def landing_path(target: str | None, wanted: UUID | Digest | str, content: Content) -> Path | None:
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


async def _deliver(
    invocation: Invocation, download: Download, path: Path | None, part: Part | None, moving: Moving
) -> None:
    from casd.client import TargetBusy, save, stream

    start, stop = part.of(download.content.size) if part else (0, None)
    if path is None:
        await stream(download, sys.stdout.buffer, moving.at, start=start, stop=stop)
        return
    if _is_device(path):
        with _opened(path) as device:
            await stream(download, device, moving.at, start=start, stop=stop)
        return
    if part is not None:
        with _beside(path) as file:
            await stream(download, file, moving.at, start=start, stop=stop)
        return
    try:
        await save(download, path, moving.at)
    except TargetBusy:
        raise
    except BaseException:
        invocation.kept = _kept(path, download.content)
        raise


def _is_device(path: Path) -> bool:
    """Whether `path` is a pipe or the like of /dev/null: it is written to, never replaced."""
    return path.exists() and not path.is_file()


@contextmanager
def _beside(target: Path) -> Iterator[BinaryIO]:
    """A file that becomes `target` when it is complete, and is gone otherwise."""
    made = target.with_name(f".{target.name[:100]}.{os.getpid()}.casd-range")
    try:
        with made.open("xb") as file:
            yield file
        made.replace(target)
    except BaseException:
        made.unlink(missing_ok=True)
        raise


def _opened(path: Path) -> BinaryIO:
    return path.open("wb")


def _kept(target: Path, content: Content) -> str | None:
    from casd.client import partial_path

    try:
        size = partial_path(target, content.digest).stat().st_size
    except FileNotFoundError:
        return None
    return f"{human_size(size)} of {human_size(content.size)} are kept"


def _facts(path: Path | None, content: Content, part: Part | None) -> dict[str, Any]:
    facts = {
        "path": str(path),
        "sha512": content.digest.hex,
        "size": content.size,
        "content_type": content.content_type,
        "version": content.version,
    }
    if part:
        facts["start"], facts["stop"] = part.of(content.size)
    return facts
