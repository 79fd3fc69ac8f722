"""`casd meta`: metadata of blobs and of names."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING
from uuid import UUID

import click

from casd.cli import completing
from casd.cli.arguments import blob_or_name, json_option, namespace_option
from casd.cli.connection import Invocation, pass_invocation
from casd.cli.show import value_line
from casd.cli.text import echo_json, printable

if TYPE_CHECKING:
    from casd.client import BlobMetadata, Client, NameMetadata
    from casd.model import JSON

what_argument = click.argument("what_text", metavar="WHAT", shell_complete=completing.things)
key_argument = click.argument("key", metavar="KEY")


@click.group(short_help="Read and change metadata of a blob or a name.")
def meta() -> None:
    """Read and change metadata of WHAT: a blob by its UUID, or a name.

    A key has one JSON value. A name's metadata belongs to the name, and stays while its versions change.
    """


@meta.command("ls")
@what_argument
@namespace_option
@json_option
@pass_invocation
def list_keys(invocation: Invocation, what_text: str, namespace: str | None, as_json: bool) -> None:
    """List all keys of WHAT with their values, as JSON."""
    wanted = blob_or_name(what_text)

    async def ask(client: Client) -> dict[str, JSON]:
        return await (await _metadata(client, wanted, namespace)).all()

    known = invocation.run(ask)
    if as_json:
        echo_json(known)
        return
    for key in sorted(known):
        click.echo(value_line(key, known[key]))


@meta.command("get", short_help="Print the value of one KEY.")
@what_argument
@key_argument
@namespace_option
@json_option
@pass_invocation
def get(invocation: Invocation, what_text: str, key: str, namespace: str | None, as_json: bool) -> None:
    """Print the value of one KEY: text as it is, anything else as JSON (with --json text too)."""
    wanted = blob_or_name(what_text)

    async def ask(client: Client) -> JSON:
        return await (await _metadata(client, wanted, namespace)).get(key)

    value = invocation.run(ask)
    if as_json or not isinstance(value, str):
        echo_json(value)
    else:
        click.echo(printable(value) if sys.stdout.isatty() else value)


@meta.command("set")
@what_argument
@key_argument
@click.argument("value_text", metavar="VALUE")
@click.option("--string", "is_string", is_flag=True, help="VALUE is text, even if it could be read as JSON.")
@namespace_option
@json_option
@pass_invocation
def set_value(
    invocation: Invocation,
    what_text: str,
    key: str,
    value_text: str,
    is_string: bool,
    namespace: str | None,
    as_json: bool,
) -> None:
    """Set KEY to VALUE and print them; other keys stay as they are.

    VALUE is JSON if it can be read as such (3, true, null, [1, 2], "text"), and text otherwise. One that starts
    with a dash goes behind `--`, as in `casd meta set WHAT KEY -- -3`.
    """
    wanted = blob_or_name(what_text)
    value = value_text if is_string else parsed_value(value_text)

    async def change(client: Client) -> None:
        await (await _metadata(client, wanted, namespace)).set(key, value)

    invocation.run(change)
    if as_json:
        echo_json({key: value})
    else:
        click.echo(value_line(key, value))


@meta.command("rm")
@what_argument
@key_argument
@namespace_option
@json_option
@pass_invocation
def remove(invocation: Invocation, what_text: str, key: str, namespace: str | None, as_json: bool) -> None:
    """Remove one KEY and its value."""
    wanted = blob_or_name(what_text)

    async def change(client: Client) -> None:
        await (await _metadata(client, wanted, namespace)).remove(key)

    invocation.run(change)
    if as_json:
        echo_json({"removed": key})
    else:
        click.echo(f"removed {printable(key)}")


async def _metadata(client: Client, wanted: UUID | str, namespace: str | None) -> BlobMetadata | NameMetadata:
    if isinstance(wanted, UUID):
        return client.blob_metadata(wanted)
    return client.name_metadata(namespace or await client.accounts.home(), wanted)


def parsed_value(text: str) -> JSON:
    """The JSON value that the text is, or else the text."""
    try:
        value: JSON = json.loads(text, parse_constant=_refuse)
        json.dumps(value, allow_nan=False)  # 1e999 was read as an infinity
    except (ValueError, RecursionError):
        return text
    return value


def _refuse(constant: str) -> None:
    raise ValueError(constant)  # NaN and Infinity, which JSON does not have
