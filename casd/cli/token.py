"""`casd token`: who may do what. For admins."""

from __future__ import annotations

import re
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from casd.cli.arguments import expires_in_option, json_option
from casd.cli.connection import Invocation, pass_invocation
from casd.cli.parameters import overlap
from casd.cli.secrets import SecretFile, output_option, tell
from casd.cli.text import echo_json, echo_listing, printable, utc

if TYPE_CHECKING:
    from casd.client import Client, NewToken, Token


def beginning(text: str) -> str:
    """An id of a token, or four characters and more of its beginning. Raises BadParameter."""
    if not re.fullmatch(r"[0-9a-f-]{4,36}", text.lower()):
        raise click.BadParameter(f"{text!r} is no ID; `casd token ls` shows the IDs, of which four characters may do.")
    return text.lower()


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
@output_option
@json_option
@pass_invocation
def create(
    invocation: Invocation,
    name: str,
    role: str,
    namespaces: tuple[str, ...],
    expires_in: int | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Make a token called NAME and print its secret, which is shown only this once.

    Nothing else goes to standard output: `TOKEN=$(casd token create ...)`. `> FILE` would leave the secret readable
    for others, `--output FILE` does not. NAME is for people, and need not be unique.
    """

    async def make(client: Client) -> NewToken:
        return await client.accounts.create_token(name, role, namespaces, expires_in_s=expires_in)

    with ExitStack() as stack:
        file = stack.enter_context(SecretFile(output, replaces=False)) if output else None
        made = invocation.run(make)
        tell(dict(made.token.json), made.secret, file, as_json=as_json)
    where = f"in {output}" if output else "shown only this once"
    if not as_json:
        click.echo(f"casd: the secret is {where}; `casd token revoke {made.token.id}` ends the token", err=True)


@token.command("rotate")
@click.argument("begun", metavar="ID", type=beginning)
@click.option(
    "--overlap",
    "overlap_s",
    type=overlap,
    default="1h",
    show_default=True,
    metavar="SPAN",
    help="How long the old secret works yet, such as 10m or 7d; 0 ends it at once, and what runs with it.",
)
@expires_in_option(help="How long the token is good from now on; what it was unless given.")
@output_option
@json_option
@pass_invocation
def rotate(
    invocation: Invocation,
    begun: str,
    overlap_s: int,
    expires_in: int | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Give a token another secret and print it, once; --output replaces FILE as a whole.

    It stays the same token: its uploads, its signed URLs and its name in the audit log go on.
    """

    async def renew(client: Client) -> NewToken:
        return await client.accounts.rotate_token(
            await whole_id(client, begun), overlap_s=overlap_s, expires_in_s=expires_in
        )

    with ExitStack() as stack:
        file = stack.enter_context(SecretFile(output, replaces=True)) if output else None
        made = invocation.run(renew)
        tell(dict(made.token.json), made.secret, file, as_json=as_json)
    if not as_json:
        until = utc(datetime.fromisoformat(made.token.json["old_secret_until"]))
        ends = f"works until {until}" if overlap_s else "works no more"
        where = f"in {output}" if output else "shown only this once"
        click.echo(f"casd: the secret is {where}; the old one {ends}", err=True)


@token.command("ls")
@json_option
@pass_invocation
def list_tokens(invocation: Invocation, as_json: bool) -> None:
    """List all tokens: id, role, how long they are good, when they were used last, namespaces and name."""

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
    used = f"used {utc(token.last_used_at)}" if token.last_used_at else "never used"
    return f"{token.id}  {token.role:<6}  {_state(token, now):<26}  {used:<25}  {where}  {printable(token.name)}"


def _state(token: Token, now: datetime) -> str:
    if token.revoked_at:
        return f"revoked {utc(token.revoked_at)}"
    if token.expires_at is None:
        return "good"
    return f"{'good until' if token.expires_at > now else 'expired'} {utc(token.expires_at)}"


@token.command("revoke")
@click.argument("begun", metavar="ID", type=beginning)
@json_option
@pass_invocation
def revoke(invocation: Invocation, begun: str, as_json: bool) -> None:
    """End a token at once, by the ID that `casd token ls` shows, or its beginning.

    For the admin token in the data folder, the daemon makes a new one when it starts again.
    """

    async def end(client: Client) -> UUID:
        id = await whole_id(client, begun)
        await client.accounts.revoke_token(id)
        return id

    id = invocation.run(end)
    if as_json:
        echo_json({"revoked": str(id)})
    else:
        click.echo(f"revoked {id}")


async def whole_id(client: Client, begun: str) -> UUID:
    """The id of the one token whose id begins so. Raises UsageError."""
    with suppress(ValueError):
        return UUID(begun)
    found = [token.id async for token in client.accounts.tokens() if str(token.id).startswith(begun)]
    if len(found) != 1:
        raise click.UsageError(f"{len(found)} tokens' IDs begin with {begun!r}; `casd token ls` shows the IDs.")
    return found[0]
