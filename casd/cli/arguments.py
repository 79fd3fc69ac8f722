"""Arguments and options that several commands share, and what the text of a WHAT means."""

from __future__ import annotations

import functools
import re
from uuid import UUID

import click

from casd.cli import completing
from casd.cli.parameters import duration, point_in_time
from casd.model import Digest

STANDARD_STREAM = "-"  # as a FILE standard input, as a TARGET standard output

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_SHA512 = re.compile(r"(?:sha-?512:)?([0-9a-fA-F]{128})", re.ASCII)

namespace_option = click.option(
    "--namespace",
    metavar="NS",
    envvar="CASD_NAMESPACE",
    show_envvar=True,
    shell_complete=completing.namespaces,
    help="The namespace; your token's first one unless given.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
version_option = click.option("--version", type=click.IntRange(min=1), metavar="N", help="That version of a name.")
as_of_option = click.option(
    "--as-of", type=point_in_time, metavar="TIME", help="The version a name had then, such as 2026-11-21T08:00:00Z."
)
expires_in_option = functools.partial(click.option, "--expires-in", type=duration, metavar="SPAN")


def what(text: str) -> UUID | Digest | str:
    """A blob's UUID, a payload's digest (128 hex digits, `sha512:` may precede), or else a name."""
    if _UUID.fullmatch(text):
        return UUID(text)
    if digest := _SHA512.fullmatch(text):
        return Digest.parse(digest[1])
    return text


def only_for_names(what: UUID | Digest | str, **options: object) -> None:
    """Raises UsageError where an option that only names know was given for something else."""
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value]
    if given and not isinstance(what, str):
        raise click.UsageError(f"{given[0]} goes with a name, and {what} is none.")


def blob_or_name(text: str) -> UUID | str:
    """What a text names, where a digest is no answer. Raises UsageError."""
    wanted = what(text)
    if isinstance(wanted, Digest):
        raise click.UsageError("a digest names bytes, not a blob; `casd find` tells the UUIDs of its blobs.")
    return wanted
