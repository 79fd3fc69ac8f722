"""`casd quarantine`: what was found damaged, and what was kept of it. For admins."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from casd.cli.arguments import json_option
from casd.cli.connection import Invocation, pass_invocation
from casd.cli.show import blob_line, echo_facts
from casd.cli.text import counted, echo_json, echo_listing, human_size, printable, utc

if TYPE_CHECKING:
    from casd.client import Blob, Client, Quarantined

ID_LENGTH = len("f" * 128 + ".20260101T000000.000000Z")
HEALING = {
    "damaged": "damaged: store its bytes again to heal it, as by `casd put FILE`",
    "healed": "healed: its bytes were stored again",
    "unwanted": "unwanted: nothing refers to it any more",
}


@click.group()
def quarantine() -> None:
    """List, inspect and purge payloads that were found damaged (role admin).

    Bytes that are not what was stored are moved out of the readers' way, and never deleted. Storing the right ones
    again heals all blobs that refer to them at once.
    """


@quarantine.command("ls")
@json_option
@pass_invocation
def list_quarantined(invocation: Invocation, as_json: bool) -> None:
    """List what is in quarantine: when, how large, how its payload stands now, its ID."""

    async def listing(client: Client) -> None:
        found = client.operations.quarantine()
        if as_json:
            await echo_listing(item.json async for item in found)
            return
        async for item in found:
            click.echo(f"{utc(item.quarantined_at)}  {_size(item):>9}  {item.state:<8}  {printable(item.id)}")

    invocation.run(listing)


def _size(item: Quarantined) -> str:
    return "no bytes" if item.size is None else human_size(item.size)


@quarantine.command("show")
@click.argument("id", metavar="ID")
@json_option
@pass_invocation
def show(invocation: Invocation, id: str, as_json: bool) -> None:
    """Show one of them: what was found, and which blobs it hits. Of an ID its beginning is enough."""

    async def ask(client: Client) -> tuple[Quarantined, tuple[Blob, ...]]:
        return await client.operations.quarantined(await whole_id(client, id))

    item, blobs = invocation.run(ask)
    if as_json:
        echo_json(item.json)
        return
    echo_facts(
        {
            "id": item.id,
            "sha512": item.digest.hex,
            "kept": _size(item),
            "state": HEALING.get(item.state, item.state),
            "found": item.why,
            "since": utc(item.quarantined_at),
            **{key.replace("_", " "): _fact(value) for key, value in item.facts.items()},
        }
    )
    for blob in blobs:
        click.echo(blob_line(blob))


async def whole_id(client: Client, begun: str) -> str:
    """The one id that begins so; the text itself where there is none. Raises UsageError where there are several."""
    if len(begun) == ID_LENGTH:
        return begun
    found = [item.id async for item in client.operations.quarantine() if item.id.startswith(begun)]
    if len(found) > 1:
        raise click.UsageError(f"{len(found)} IDs begin with {begun}: give more of it.")
    return found[0] if found else begun


def _fact(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@quarantine.command("purge")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--healed", is_flag=True, help="Purge all whose payload was healed, or is not referred to any more.")
@click.option("--force", is_flag=True, help="Purge even what may be all that is left of a payload.")
@json_option
@pass_invocation
def purge(invocation: Invocation, ids: tuple[str, ...], healed: bool, force: bool, as_json: bool) -> None:
    """Delete what is in quarantine, by the IDs that `casd quarantine ls` shows, or their beginnings.

    What belongs to a payload that is still damaged is kept, unless --force insists: a part of its bytes may be right.
    """
    if not ids and not healed:
        raise click.UsageError("name IDs, or --healed.")

    async def delete(client: Client) -> list[str]:
        chosen = [await whole_id(client, id) for id in ids]
        if healed:
            chosen += [item.id async for item in client.operations.quarantine() if item.state in ("healed", "unwanted")]
        chosen = list(dict.fromkeys(chosen))
        for id in chosen:
            await client.operations.purge_quarantined(id, force=force)
        return chosen

    purged = invocation.run(delete)
    if as_json:
        echo_json({"purged": purged})
    else:
        click.echo(f"purged {counted(len(purged), 'payload')} from quarantine")
