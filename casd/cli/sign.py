"""`casd sign` and `casd signing-key`: URLs that read one payload without a token, and the keys behind them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import click

from casd.cli import completing
from casd.cli.arguments import (
    as_of_option,
    expires_in_option,
    json_option,
    namespace_option,
    only_for_names,
    version_option,
    what,
)
from casd.cli.connection import Invocation, pass_invocation
from casd.cli.text import echo_json, echo_listing, utc
from casd.model import Digest

if TYPE_CHECKING:
    from casd.client import Client, SignedUrl, SigningKey


@click.command(short_help="Print a URL that fetches something without a token.")
@click.argument("what_text", metavar="WHAT", shell_complete=completing.things)
@expires_in_option(default="1h", show_default=True, help="How long the URL is good, such as 10m, 12h or 7d.")
@namespace_option
@version_option
@as_of_option
@json_option
@pass_invocation
def sign(
    invocation: Invocation,
    what_text: str,
    expires_in: int,
    namespace: str | None,
    version: int | None,
    as_of: datetime | None,
    as_json: bool,
) -> None:
    """Print a URL with which anybody can fetch WHAT (a UUID, a SHA-512 digest or a name) without a token.

    Until when is told on standard error: the daemon may allow less than was asked, and no URL outlives the token
    that it was made with. One of a name brings its latest version, unless --version or --as-of is given.
    """
    wanted = what(what_text)
    only_for_names(wanted, version=version, as_of=as_of)
    if version and as_of:
        raise click.UsageError("--version and --as-of name two versions; give one of them.")

    async def make(client: Client) -> SignedUrl:
        if isinstance(wanted, UUID):
            return await client.signing.blob(wanted, expires_in_s=expires_in)
        if isinstance(wanted, Digest):
            return await client.signing.payload(wanted, expires_in_s=expires_in)
        where = namespace or await client.accounts.home()
        return await client.signing.name(where, wanted, version=version, as_of=as_of, expires_in_s=expires_in)

    signed = invocation.run(make)
    if as_json:
        echo_json(signed.json)
        return
    click.echo(signed.url)
    click.echo(f"casd: good until {utc(signed.expires_at)}{_shortened(signed.expires_at, expires_in)}", err=True)


def _shortened(expires_at: datetime, expires_in_s: int) -> str:
    """What to say of a URL that is good for less than was asked."""
    missing_s = expires_in_s - (expires_at - datetime.now(UTC)).total_seconds()
    if missing_s < 60:  # clocks differ
        return ""
    return ", which is less than was asked: the daemon's [auth] signed_url_max_s, or your token, ends then"


@click.group("signing-key")
def signing_key() -> None:
    """See and replace the keys that sign URLs (role admin)."""


@signing_key.command("ls")
@json_option
@pass_invocation
def list_keys(invocation: Invocation, as_json: bool) -> None:
    """List the keys whose URLs are good: id and time. The newest one signs."""

    async def listing(client: Client) -> None:
        found = client.signing.keys()
        if as_json:
            await echo_listing(key.json async for key in found)
            return
        async for key in found:
            click.echo(f"{key.id:>5}  {utc(key.created_at)}")

    invocation.run(listing)


@signing_key.command("retire")
@click.argument("id", metavar="ID", type=click.IntRange(min=1))
@json_option
@pass_invocation
def retire(invocation: Invocation, id: int, as_json: bool) -> None:
    """Forget one key: every URL that it signed is dead at once. Not for the newest, which signs.

    Old keys go by themselves when nothing that they signed can be good any more.
    """

    async def end(client: Client) -> None:
        await client.signing.retire_key(id)

    invocation.run(end)
    if as_json:
        echo_json({"retired": id})
    else:
        click.echo(f"retired key {id}; every URL that it signed is dead")


@signing_key.command("rotate")
@click.option("--revoke", is_flag=True, help="Forget all older keys: every URL that was signed so far is dead at once.")
@json_option
@pass_invocation
def rotate(invocation: Invocation, revoke: bool, as_json: bool) -> None:
    """Sign with a new key from now on. URLs that are out stay good until they expire."""

    async def make(client: Client) -> SigningKey:
        return await client.signing.new_key(revoke_older=revoke)

    key = invocation.run(make)
    if as_json:
        echo_json(key.json)
    elif revoke:
        click.echo(f"key {key.id} signs from now on; every URL that was signed before is dead")
    else:
        click.echo(f"key {key.id} signs from now on; older URLs stay good until they expire")
