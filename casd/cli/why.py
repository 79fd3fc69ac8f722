"""`casd why`: what keeps a blob, and what its end would free."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import click

from casd.cli import completing
from casd.cli.arguments import blob_or_name, json_option, namespace_option, only_for_names, version_option
from casd.cli.connection import Invocation, pass_invocation
from casd.cli.show import echo_facts
from casd.cli.text import counted, echo_json, human_size, printable, utc
from casd.errors import NameNotFound

if TYPE_CHECKING:
    from casd.client import Client, Holders

VERSIONS_SHOWN = 20


@click.command(short_help="Show what keeps a blob, and what deleting it would free.")
@click.argument("what_text", metavar="UUID|NAME", shell_complete=completing.things)
@namespace_option
@version_option
@json_option
@pass_invocation
def why(invocation: Invocation, what_text: str, namespace: str | None, version: int | None, as_json: bool) -> None:
    """Show what keeps a blob, given by UUID or NAME: itself, versions, a lease; and what its end would free.

    A blob lives while it holds itself or a version holds it. Its bytes stay until no blob has them and their lease
    is over; bytes that other blobs have too are not freed.
    """
    wanted = blob_or_name(what_text)
    only_for_names(wanted, version=version)

    async def ask(client: Client) -> Holders:
        if isinstance(wanted, UUID):
            return await client.holders(wanted)
        known = await client.version(namespace or await client.accounts.home(), wanted, number=version)
        if known.blob is None:
            raise NameNotFound(f"version {known.number} of {wanted} is a delete marker: it has no blob")
        return await client.holders(known.blob.uuid)

    holders = invocation.run(ask)
    if as_json:
        echo_json(holders.json)
    else:
        _echo(holders)


def _echo(holders: Holders) -> None:
    echo_facts({"uuid": str(holders.uuid), "namespace": holders.namespace})
    for index, line in enumerate(_held_by(holders)):
        click.echo(f"{'' if index else 'held by':<10} {printable(line)}")
    freed = f"{human_size(holders.frees_bytes)}, once nothing holds it"
    others = f"nothing: {counted(holders.other_blobs, 'other blob')} with the same bytes"
    echo_facts(
        {
            "lease": f"its bytes stay until {utc(holders.lease_until)} in any case",
            "would free": others if holders.other_blobs else freed,
        }
    )


def _held_by(holders: Holders) -> list[str]:
    told = []
    if holders.holds_itself:
        told.append(f"itself, until {utc(holders.expires_at)}" if holders.expires_at else "itself, until it is deleted")
    for held in holders.versions[:VERSIONS_SHOWN]:
        hidden = f" (hidden since {utc(held.hidden_at)})" if held.hidden_at else ""
        told.append(f"{held.ref.namespace}/{held.ref.name}@{held.ref.number}{hidden}")
    if holders.version_count > VERSIONS_SHOWN:
        told.append(f"and {holders.version_count - VERSIONS_SHOWN} versions more")
    return told
