"""`casd rm` and `casd undelete`: names are hidden and come back; blobs and purged names do not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from uuid import UUID

import click

from casd.cli import completing
from casd.cli.arguments import (
    json_option,
    namespace_option,
    only_for_names,
    version_option,
    what,
)
from casd.cli.connection import Invocation, pass_invocation
from casd.cli.text import echo_json, printable
from casd.errors import VersionNotFound
from casd.model import Digest

if TYPE_CHECKING:
    from casd.client import Client, Version


@click.command()
@click.argument("what_text", metavar="WHAT", shell_complete=completing.things)
@namespace_option
@version_option
@click.option("--purge", is_flag=True, help="Remove every version of a name for good, instead of hiding it.")
@json_option
@pass_invocation
def rm(
    invocation: Invocation,
    what_text: str,
    namespace: str | None,
    version: int | None,
    purge: bool,
    as_json: bool,
) -> None:
    """Remove WHAT: a blob by its UUID, or a name.

    A name is only hidden: `casd undelete` brings it back, until upkeep purges it; what --version or --purge
    removes is gone. A blob that versions hold stays readable with them.
    """
    wanted = what(what_text)
    only_for_names(wanted, version=version, purge=purge)
    if version and purge:
        raise click.UsageError("--purge removes every version; give --version or --purge.")
    if isinstance(wanted, Digest):
        raise click.UsageError("a digest names bytes, not a blob; `casd find` tells the UUIDs of its blobs.")

    async def remove(client: Client) -> None:
        if isinstance(wanted, UUID):
            await client.delete_blob(wanted)
        else:
            await client.delete_name(namespace or await client.accounts.home(), wanted, version=version, purge=purge)

    invocation.run(remove)
    if as_json:
        echo_json({"removed": str(wanted), "version": version, "purged": purge})
    else:
        click.echo(_told(wanted, version, purge))


def _told(wanted: UUID | str, version: int | None, purge: bool) -> str:
    shown = printable(str(wanted))
    if isinstance(wanted, UUID):
        return f"removed {shown}"
    if version:
        return f"removed version {version} of {shown}"
    return f"purged {shown}" if purge else f"hid {shown}; `casd undelete` brings it back"


@click.command()
@click.argument("name", metavar="NAME", shell_complete=completing.names)
@namespace_option
@json_option
@pass_invocation
def undelete(invocation: Invocation, name: str, namespace: str | None, as_json: bool) -> None:
    """Bring a hidden name back, with all its versions."""

    async def bring_back(client: Client) -> tuple[Version, bool]:
        where = namespace or await client.accounts.home()
        latest, markers = await _state(client.versions(where, name))
        if latest is None:
            raise VersionNotFound(f"{name} has no version left that could come back")
        for marker in markers:
            await client.delete_name(where, name, version=marker)
        return latest, bool(markers)

    latest, was_hidden = invocation.run(bring_back)
    if as_json:
        echo_json(latest.json)
    elif was_hidden:
        click.echo(f"{printable(name)} is back, at version {latest.number}")
    else:
        click.echo(f"{printable(name)} is not hidden; its latest version is {latest.number}")


async def _state(versions: AsyncIterator[Version]) -> tuple[Version | None, list[int]]:
    """The newest version with a blob, and the numbers of the markers above it, newest first.

    There is more than one marker where the versions between two were removed.
    """
    latest: Version | None = None
    markers: list[int] = []
    async for version in versions:
        if version.is_marker:
            markers.append(version.number)
        elif latest is None or version.number > latest.number:
            latest = version
    floor = latest.number if latest else 0
    return latest, sorted((number for number in markers if number > floor), reverse=True)
