"""`casd sync`, and what it shares with `put -r` and `get -r`: a folder and a prefix made equal."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from casd.cli.arguments import json_option, namespace_option
from casd.cli.connection import Invocation, pass_invocation
from casd.cli.pool import jobs_option

if TYPE_CHECKING:
    from casd.cli.mirror import Direction, Mirror
    from casd.cli.report import Report
    from casd.client import Client

MARK = "casd:"

links_option = click.option(
    "-L", "--follow-links", is_flag=True, help="Take what symbolic links lead to, instead of leaving them out."
)
lines_option = click.option("-v", "--verbose", is_flag=True, help="Print a line for each file that is moved.")


@dataclass(frozen=True, slots=True)
class Ways:
    """How a folder and a prefix are made equal."""

    jobs: int
    follow_links: bool = False
    has_lines: bool = False
    as_json: bool = False
    is_dry: bool = False
    deletes: bool = False
    deletes_all: bool = False  # even where the source holds nothing
    is_fresh: bool = False  # no digest is believed from an earlier run


@click.command(short_help="Make a prefix equal to a folder, or a folder to a prefix.")
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@namespace_option
@click.option("--delete", is_flag=True, help="Delete what SOURCE does not have: names are hidden, files are removed.")
@click.option("--delete-all", is_flag=True, help="As --delete, and even where SOURCE holds nothing at all.")
@click.option("-n", "--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@click.option("--rehash", is_flag=True, help="Read every file, even one that has not changed since it was last read.")
@links_option
@jobs_option
@lines_option
@json_option
@click.pass_context
@pass_invocation
def sync(
    invocation: Invocation,
    ctx: click.Context,
    source: str,
    target: str,
    namespace: str | None,
    delete: bool,
    delete_all: bool,
    dry_run: bool,
    rehash: bool,
    follow_links: bool,
    jobs: int,
    verbose: bool,
    as_json: bool,
) -> None:
    """Make TARGET equal to SOURCE; one is a folder, the other a prefix of names, marked by `casd:`.

    \b
      casd sync site casd:web/site     from the folder into the namespace
      casd sync casd:web/site site     from the namespace into the folder

    `casd sync FOLDER PREFIX` is the first of these. Files are compared by digest: what is equal stays, what differs is
    moved, what only TARGET has stays too unless --delete is given. A deleted name is hidden: `casd undelete` brings it
    back. Interrupted and given again, it goes on. `casd:/` is the whole namespace.
    """
    direction, folder, prefix = endpoints(source, target)
    if direction == "down" and follow_links:
        raise click.UsageError("--follow-links is for links in a SOURCE folder.")
    ways = Ways(
        jobs=jobs,
        follow_links=follow_links,
        has_lines=verbose,
        as_json=as_json,
        is_dry=dry_run,
        deletes=delete or delete_all,
        deletes_all=delete_all,
        is_fresh=rehash,
    )
    ctx.exit(mirrored(invocation, direction, folder, prefix, namespace, ways))


def endpoints(source: str, target: str) -> tuple[Direction, str, str]:
    """Which way, the folder and the prefix as it was written. Raises UsageError."""
    if any(text.startswith(f"{MARK}//") for text in (source, target)):
        raise click.UsageError(f"write the prefix as {MARK}web/site; its namespace goes to --namespace.")
    if source.startswith(MARK):
        if target.startswith(MARK):
            raise click.UsageError("one of the two is a folder; both are marked as prefixes.")
        return "down", target, source.removeprefix(MARK)
    return "up", source, target.removeprefix(MARK)


def mirrored(
    invocation: Invocation, direction: Direction, folder: str, prefix: str, namespace: str | None, ways: Ways
) -> int:
    """The target is equal to the source as far as that could be done; the exit code. Raises UsageError."""
    from casd.cli.digests import Digests
    from casd.cli.errand import Errand
    from casd.cli.mirror import Mirror
    from casd.cli.pairing import as_prefix
    from casd.cli.progress import display
    from casd.cli.report import Report

    below = as_prefix(prefix)
    is_there = _is_there(direction, folder, prefix)
    was_made = not is_there and not ways.is_dry
    if was_made:
        os.mkdir(folder)
    digests = Digests(is_asked=not ways.is_fresh)

    async def make_equal(client: Client) -> Report:
        where = namespace or await client.accounts.home()
        with display() as shown:
            report = Report(shown, as_json=ways.as_json, has_lines=ways.has_lines, is_dry=ways.is_dry)
            errand = Errand(client, where, shown, report, is_dry=ways.is_dry)
            try:
                mirror = Mirror(errand, folder, below, digests, ways.follow_links, is_there or was_made)
                await _both_steps(mirror, direction, ways)
            except BaseException:
                invocation.kept = report.so_far(shown.expected_files if shown.is_all_known else None)
                raise
            return report

    try:
        report = invocation.run(make_equal)
    finally:
        digests.close()
        if was_made:
            with suppress(OSError):  # nothing came into it
                os.rmdir(folder)
    _refuse_nothing(report, direction, below)
    return report.close()


async def _both_steps(mirror: Mirror, direction: Direction, ways: Ways) -> None:
    """Up, deletions come last: a file that moved is never absent. Down, first: they make place for what comes."""
    from casd.cli.mirror import down, up

    if direction == "down":
        await _deletions(mirror, direction, ways)
        await down(mirror, ways.jobs)
    else:
        await up(mirror, ways.jobs)
        await _deletions(mirror, direction, ways)


async def _deletions(mirror: Mirror, direction: Direction, ways: Ways) -> None:
    from casd.cli.mirror import NothingDeleted, delete_extras

    report = mirror.errand.report
    if not ways.deletes:
        return
    try:
        if report.failures:
            raise NothingDeleted("nothing was deleted, because not every file could be stored")
        await delete_extras(mirror, direction, ways.jobs, even_all=ways.deletes_all)
    except NothingDeleted as error:
        report.failed(error, "hide" if direction == "up" else "remove", None, None)


def _is_there(direction: Direction, folder: str, prefix: str) -> bool:
    """Whether the folder is there; one that is fetched into can be made. Raises UsageError."""
    path = Path(folder)
    if path.is_dir():
        return True
    if direction == "up":
        hint = f" To fetch a prefix: casd sync {MARK}{folder} {prefix}" if not path.exists() else ""
        raise click.UsageError(f"{folder} is no folder.{hint}")
    if path.exists() or path.is_symlink():
        raise click.UsageError(f"{folder} is no folder.")
    if not Path(os.path.abspath(folder)).parent.is_dir():
        raise click.UsageError(f"the folder that {folder} would be made in does not exist; make it first.")
    return False


def _refuse_nothing(report: Report, direction: Direction, prefix: str) -> None:
    """Raises NameNotFound: a prefix without names is more often one that was mistyped."""
    from casd.errors import NameNotFound

    if direction == "down" and not report.dealt_with and not report.failures:
        raise NameNotFound(f"there is no name below {prefix}" if prefix else "the namespace has no names")
