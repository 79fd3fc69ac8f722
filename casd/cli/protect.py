"""`casd protect` and `casd unprotect`: what stays, whatever is asked and whatever rules there are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from casd.cli.arguments import namespace_option
from casd.cli.connection import Invocation, pass_invocation

if TYPE_CHECKING:
    from casd.client import Client

_VERSION = re.compile(r"(.+)@([1-9][0-9]{0,17})", re.DOTALL | re.ASCII)

what_argument = click.argument("what", metavar="NAME[@N]")


@click.command()
@what_argument
@namespace_option
@pass_invocation
def protect(invocation: Invocation, what: str, namespace: str | None) -> None:
    """Protect NAME as it is, or its version N alone.

    Of a protected name nothing is removed, hidden or renamed, by nobody and no rule, and no version is added. A
    protected version stays, and its name is not hidden, purged or renamed; newer versions may follow.
    """
    _set(invocation, what, namespace, protected=True)


@click.command()
@what_argument
@namespace_option
@pass_invocation
def unprotect(invocation: Invocation, what: str, namespace: str | None) -> None:
    """Let NAME, or its version N, be changed and removed again."""
    _set(invocation, what, namespace, protected=False)


def _set(invocation: Invocation, what: str, namespace: str | None, *, protected: bool) -> None:
    numbered = _VERSION.fullmatch(what)
    name, version = (numbered[1], int(numbered[2])) if numbered else (what, None)

    async def change(client: Client) -> None:
        owner = namespace or await client.accounts.home()
        await client.update_name(owner, name, {"protected": protected}, version=version)

    invocation.run(change)
    click.echo(f"{what} is {'protected' if protected else 'no longer protected'}", err=True)
