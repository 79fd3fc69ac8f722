"""`casd put`: bytes to the daemon, of one file, of several, or of a folder."""

from __future__ import annotations

import os
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from casd.cli.arguments import STANDARD_STREAM, json_option, namespace_option
from casd.cli.connection import Invocation, pass_invocation
from casd.cli.parameters import filename as checked_filename
from casd.cli.pool import jobs_option
from casd.cli.progress import display
from casd.cli.show import echo_facts
from casd.cli.sync import Ways, lines_option, links_option, mirrored
from casd.cli.text import echo_json, human_size, printable

if TYPE_CHECKING:
    from casd.client import Blob, Client, Source, Version


@click.command(short_help="Store files as blobs, or as the next versions of names.")
@click.argument("files", metavar="FILE... [NAME]", nargs=-1, required=True)
@click.option("-r", "--recursive", is_flag=True, help="Store every file of a folder below a prefix.")
@click.option("-t", "--to", "prefix", metavar="PREFIX", help="Store all FILEs below this prefix.")
@click.option("--no-name", is_flag=True, help="Store all FILEs as blobs without names.")
@namespace_option
@click.option("--content-type", metavar="TYPE", help="Its media type; guessed from the filename unless given.")
@click.option("--filename", type=checked_filename, metavar="F", help="The filename to remember, instead of FILE's own.")
@jobs_option
@links_option
@lines_option
@json_option
@click.pass_context
@pass_invocation
def put(
    invocation: Invocation,
    ctx: click.Context,
    files: tuple[str, ...],
    recursive: bool,
    prefix: str | None,
    no_name: bool,
    namespace: str | None,
    content_type: str | None,
    filename: str | None,
    jobs: int,
    follow_links: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Store FILE ('-' is standard input) as a blob, or as the next version of NAME.

    \b
      casd put disk.img images/debian.img
      casd put a.img b.img images/          as images/a.img and images/b.img
      casd put -r site web/site             every file of the folder, as web/site/...

    What the daemon has already is not sent; what was interrupted goes on when the same command is given again. With -r,
    a name whose latest version is equal to its file stays as it is; symbolic links are left out unless -L is given.
    """
    if recursive:
        given = {"--to": prefix, "--no-name": no_name, "--filename": filename, "--content-type": content_type}
        folder, below = _folder_and_prefix(files, given)
        ways = Ways(jobs=jobs, follow_links=follow_links, has_lines=verbose, as_json=as_json)
        ctx.exit(mirrored(invocation, "up", folder, below, namespace, ways))
    if follow_links:
        raise click.UsageError("--follow-links goes with -r; a FILE that is a link is followed.")
    placed = places(files, prefix, has_names=not no_name)
    if len(placed) == 1:
        [(file, name)] = placed
        _warn_of_second_file(files)
        stored = store(invocation, file, name, namespace, content_type, filename)
        echo_json(stored.json) if as_json else _echo_stored(stored)
        return
    if filename is not None:
        raise click.UsageError("--filename is for one FILE.")
    from casd.cli.several import put_several

    ctx.exit(put_several(invocation, placed, namespace, content_type, jobs=jobs, as_json=as_json))


def places(files: tuple[str, ...], prefix: str | None, *, has_names: bool) -> list[tuple[str, str | None]]:
    """Each file, and the name that it is stored under. Raises UsageError."""
    if not has_names:
        if prefix is not None:
            raise click.UsageError("--to gives names, and --no-name takes none; give one of them.")
        return _alone_if_standard([(file, None) for file in files])
    if prefix is None:
        if len(files) <= 2 and not (len(files) == 2 and files[1].endswith("/")):
            return [(files[0], files[1] if len(files) == 2 else None)]
        *sources, prefix = files
        if not prefix.endswith("/"):
            raise click.UsageError(
                f"with several files the last one is the prefix that they are stored below, such as {prefix}/ "
                "with a slash at its end; or give --to PREFIX, or --no-name."
            )
        files = tuple(sources)
    below = "" if prefix == "/" else prefix.rstrip("/") + "/"
    named: dict[str, str] = {}
    for file in files:
        name = below + os.path.basename(os.path.abspath(file))
        if name in named:
            raise click.UsageError(f"{named[name]} and {file} would both be stored as {name}.")
        named[name] = file
    return _alone_if_standard([(file, name) for name, file in named.items()])


def _warn_of_second_file(files: tuple[str, ...]) -> None:
    """Two files are more often meant to be stored both, as by a shell's `*.img`, than one under the other's name."""
    if len(files) == 2 and os.path.isfile(files[1]) and os.path.basename(files[0]) != os.path.basename(files[1]):
        click.echo(
            f"casd: {printable(files[1])} is taken for the NAME of {printable(files[0])}, and is not stored itself; "
            "several files need a PREFIX/ behind them",
            err=True,
        )


def _alone_if_standard(placed: list[tuple[str, str | None]]) -> list[tuple[str, str | None]]:
    if any(file == STANDARD_STREAM and (len(placed) > 1 or name) for file, name in placed):
        raise click.UsageError("standard input has no filename: store it alone, as `casd put - NAME`.")
    return placed


def _folder_and_prefix(files: tuple[str, ...], given: dict[str, Any]) -> tuple[str, str]:
    for option, value in given.items():
        if value:
            raise click.UsageError(f"{option} does not go with -r.")
    if len(files) != 2:
        raise click.UsageError("-r takes a folder and a prefix: casd put -r FOLDER PREFIX; / is the whole namespace.")
    return files[0], files[1]


# -- one ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stored:
    """One file that is in the store."""

    result: Blob | Version
    was_there: bool  # no byte had to be sent

    @property
    def json(self) -> dict[str, Any]:
        """As the daemon tells it, and one fact more."""
        return {**self.result.json, "already_there": self.was_there}


def store(
    invocation: Invocation,
    file: str,
    name: str | None,
    namespace: str | None,
    content_type: str | None,
    filename: str | None,
) -> Stored:
    """FILE is stored, with a bar while it goes. Raises InvalidInput for a name that no command would take for one."""
    from casd.cli.errand import Described, checked, send, was_there
    from casd.client import Refused, guessed_type, own_filename
    from casd.client.uploading import SMALL_BYTES

    if name is not None:
        checked(name)
    if file != STANDARD_STREAM and Path(file).is_dir():
        raise click.UsageError(f"{file} is a folder; -r stores all of it: casd put -r {file} PREFIX")
    if filename is None and file != STANDARD_STREAM:
        filename = own_filename(file)
    described = Described(name, filename, content_type or guessed_type(filename or name or ""))

    async def run(client: Client) -> Stored:
        where = namespace or await client.accounts.home()
        with display() as shown, shown.transfer(filename or "standard input") as moving:
            try:
                async with _source(file) as source:
                    result = await send(client, where, source, described, shown, moving)
            except BaseException as error:
                is_refused = isinstance(error, Refused) and error.status < 500  # which keeps nothing
                if moving.arrived and moving.total and moving.total > SMALL_BYTES and not is_refused:
                    invocation.kept = f"{human_size(moving.arrived)} of {human_size(moving.total)} were sent"
                raise
            return Stored(result, was_there(moving))

    return invocation.run(run)


def _source(file: str) -> AbstractAsyncContextManager[Source]:
    from casd.client import open_descriptor, open_path

    return open_descriptor(0) if file == STANDARD_STREAM else open_path(Path(file))


def _echo_stored(stored: Stored) -> None:
    from casd.client import Version

    result = stored.result
    blob = result.blob if isinstance(result, Version) else result
    echo_facts(
        {
            "uuid": str(blob.uuid) if blob else None,
            "sha512": blob.digest.hex if blob else None,
            "size": f"{blob.size} ({human_size(blob.size)})" if blob else None,
            "namespace": result.namespace,
            "name": f"{result.name}@{result.number}" if isinstance(result, Version) else None,
            "sent": "nothing: the daemon had these bytes already" if stored.was_there else None,
        }
    )
