"""`casd token`: who may do what. For admins."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import click

from casd.cli.arguments import expires_in_option, json_option
from casd.cli.connection import Invocation, pass_invocation
from casd.cli.text import echo_json, echo_listing, printable, utc

if TYPE_CHECKING:
    from casd.client import Client, NewToken, Token


@click.group()
def token() -> None:
    """Make, list and revoke tokens (role admin)."""


@token.command("create")
@click.argument("name", metavar="NAME")
@click.option(
    "--role",
    type=click.Choice(["reader", "append-only", "writer", "admin"]),
    required=True,
    help="reader: read in its namespaces; append-only: and add there, but change, hide or delete nothing; "
    "writer: and change things there; admin: everything, everywhere.",
)
@click.option(
    "--namespace",
    "namespaces",
    metavar="NS",
    multiple=True,
    required=True,
    help="Where it is at home; again for more. A namespace that is not there is made.",
)
@expires_in_option(help="How long it is good, such as 12h or 30d; for ever unless given.")
@json_option
@pass_invocation
def create(
    invocation: Invocation,
    name: str,
    role: str,
    namespaces: tuple[str, ...],
    expires_in: int | None,
    as_json: bool,
) -> None:
    """Make a token called NAME and print its secret, which is shown only this once.

    Nothing else goes to standard output: `TOKEN=$(casd token create ...)`. NAME is for people, and need not be
    unique.
    """

    async def make(client: Client) -> NewToken:
        return await client.accounts.create_token(name, role, namespaces, expires_in_s=expires_in)

    made = invocation.run(make)
    if as_json:
        echo_json(made.token.json)
        return
    click.echo(made.secret)
    click.echo(
        f"casd: the secret is shown only this once; `casd token revoke {made.token.id}` ends the token", err=True
    )


@token.command("ls")
@json_option
@pass_invocation
def list_tokens(invocation: Invocation, as_json: bool) -> None:
    """List all tokens: id, role, how long they are good, namespaces (the first is home) and name."""

    async def listing(client: Client) -> None:
        found = client.accounts.tokens()
        if as_json:
            await echo_listing(token.json async for token in found)
            return
        async for token in found:
            click.echo(_line(token, datetime.now(UTC)))

    invocation.run(listing)


def _line(token: Token, now: datetime) -> str:
    where = ",".join(token.namespaces)
    return f"{token.id}  {token.role:<6}  {_state(token, now):<26}  {where}  {printable(token.name)}"


def _state(token: Token, now: datetime) -> str:
    if token.revoked_at:
        return f"revoked {utc(token.revoked_at)}"
    if token.expires_at is None:
        return "good"
    return f"{'good until' if token.expires_at > now else 'expired'} {utc(token.expires_at)}"


@token.command("revoke")
@click.argument("id", metavar="ID", type=click.UUID)
@json_option
@pass_invocation
def revoke(invocation: Invocation, id: UUID, as_json: bool) -> None:
    """End a token at once, by the ID that `casd token ls` shows.

    For the admin token in the data folder, the daemon makes a new one when it starts again.
    """

    async def end(client: Client) -> None:
        await client.accounts.revoke_token(id)

    invocation.run(end)
    if as_json:
        echo_json({"revoked": str(id)})
    else:
        click.echo(f"revoked {id}")
