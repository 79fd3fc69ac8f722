"""`casd name`: what belongs to a name as a whole, beside its versions and metadata."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from casd.cli import completing
from casd.cli.arguments import json_option, namespace_option
from casd.cli.connection import Invocation, pass_invocation
from casd.cli.parameters import count_from, given, or_none
from casd.cli.show import echo_facts
from casd.cli.text import echo_json, utc, yes_or_no

if TYPE_CHECKING:
    from casd.client import Client, NameInfo, NameSettings

name_argument = click.argument("name", metavar="NAME", shell_complete=completing.names)


@click.group("name")
def name_() -> None:
    """See and change the settings of a name."""


@name_.command("show")
@name_argument
@namespace_option
@json_option
@pass_invocation
def show(invocation: Invocation, name: str, namespace: str | None, as_json: bool) -> None:
    """Show the settings and the metadata of NAME, which may be hidden."""

    async def ask(client: Client) -> NameInfo:
        return await client.name_info(namespace or await client.accounts.home(), name)

    _echo(invocation.run(ask), as_json)


@name_.command("set")
@name_argument
@click.option(
    "--keep-versions",
    type=or_none(count_from(1)),
    metavar="N|none",
    help="Keep the newest N versions; none: what the namespace says. Applied from the next version on.",
)
@click.option("--shared/--not-shared", default=None, help="A mark that programs read; casd itself does not.")
@click.option("--protected/--not-protected", default=None, help="As `casd protect` and `casd unprotect`.")
@namespace_option
@json_option
@pass_invocation
def set_(invocation: Invocation, /, name: str, namespace: str | None, as_json: bool, **options: Any) -> None:
    """Change settings of NAME; those that are not given stay as they are."""
    settings: NameSettings = given(**options)  # type: ignore[assignment]  # the options are its keys
    if not settings:
        raise click.UsageError("say what to set: --keep-versions, --shared or --protected.")

    async def change(client: Client) -> NameInfo:
        return await client.update_name(namespace or await client.accounts.home(), name, settings)

    _echo(invocation.run(change), as_json)


def _echo(info: NameInfo, as_json: bool) -> None:
    if as_json:
        echo_json(info.json)
        return
    echo_facts(
        {
            "name": info.name,
            "namespace": info.namespace,
            "uuid": str(info.uuid),
            "created": utc(info.created_at),
            "hidden": f"since {utc(info.hidden_at)}; `casd undelete` brings it back" if info.hidden_at else None,
            "keep versions": str(info.keep_versions) if info.keep_versions else "as the namespace says",
            "shared": yes_or_no(info.shared),
            "protected": yes_or_no(info.protected),
            **{f"metadata {key}": json.dumps(value, ensure_ascii=False) for key, value in info.metadata.items()},
        }
    )
