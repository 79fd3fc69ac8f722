"""`casd audit`: who did what, and when. For admins."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from casd.cli.arguments import json_option
from casd.cli.connection import Invocation, pass_invocation
from casd.cli.parameters import moment
from casd.cli.text import echo_listing, json_line, printable, utc

if TYPE_CHECKING:
    from casd.client import AuditRow, Client

FOLLOW_S = 2.0
OVERLAP = timedelta(seconds=2)  # a refusal is written a moment after a change that came after it


@click.command(short_help="Show who did what (role admin).")
@click.option("--blob", type=click.UUID, metavar="UUID", help="Only what was done to this blob.")
@click.option("--namespace", metavar="NS", help="Only what was done in this namespace.")
@click.option("--name", metavar="NAME", help="Only what was done to this name of --namespace.")
@click.option("--principal", metavar="WHO", help="Only what this token's name did, or anonymous, upkeep, local.")
@click.option("--token", type=click.UUID, metavar="ID", help="Only what the token with this id did.")
@click.option("--action", metavar="VERB", help="Only this, such as blob.delete, or all that begin so: `token.`.")
@click.option("--target", metavar="TEXT", help="Only what was done to this, such as 'token ID' or 'signing key 3'.")
@click.option("--address", metavar="ADDRESS", help="Only what came from there.")
@click.option("--since", type=moment, metavar="TIME", help="Only what came since: a time, or a span such as 2h.")
@click.option("--until", type=moment, metavar="TIME", help="Only what came before that.")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="The newest so many.")
@click.option("--all", "is_all", is_flag=True, help="All rows that match.")
@click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--jsonl", "as_lines", is_flag=True, help="Print a JSON object a line.")
@json_option
@pass_invocation
def audit(
    invocation: Invocation,
    /,
    name: str | None,
    namespace: str | None,
    limit: int,
    is_all: bool,
    follow: bool,
    as_lines: bool,
    as_json: bool,
    **only: Any,
) -> None:
    """Show who did what to which blob, name, token or namespace, the newest last (role admin).

    A row for each change, refusal and failed change: when, who, from where, what, to what; refusals say why, and
    repeats within a minute are one row with a count. `casd help audit` tells more.
    """
    if name is not None and namespace is None:
        raise click.UsageError("--name is looked for in a namespace: add --namespace.")
    if follow and as_json:
        raise click.UsageError("--json is one document, which --follow never ends; take --jsonl.")
    only |= {"name": name, "namespace": namespace}
    most = None if is_all else limit

    import asyncio

    async def show(client: Client) -> None:
        if as_json:
            await echo_listing(row.json async for row in newest(client, only, most))
            return
        shown = [row async for row in newest(client, only, most)]
        echo_rows(shown, as_lines)
        while follow:
            await asyncio.sleep(FOLLOW_S)
            rows = await newer(client, only, shown)
            echo_rows(rows, as_lines)
            shown = recent(rows + shown)

    invocation.run(show)


async def newest(client: Client, only: dict[str, Any], most: int | None) -> AsyncIterator[AuditRow]:
    shown = 0
    async for row in client.operations.audit(**only):
        if shown == most:
            return
        shown += 1
        yield row


async def newer(client: Client, only: dict[str, Any], shown: list[AuditRow]) -> list[AuditRow]:
    """What came since those were shown, newest first."""
    known = {row.id for row in shown}
    if shown:
        # Of what is older than the first that was shown nothing is new: it was not asked for.
        only = only | {"since": max(shown[0].at - OVERLAP, shown[-1].at)}
    return [row async for row in client.operations.audit(**only) if row.id not in known]


def recent(shown: list[AuditRow]) -> list[AuditRow]:
    """Those among which another may still come, newest first, and one more."""
    shown = sorted(shown, key=lambda row: row.id, reverse=True)
    old = [at for at, row in enumerate(shown) if row.at < shown[0].at - OVERLAP]
    return shown[: old[0] + 1] if old else shown


def echo_rows(rows: list[AuditRow], as_lines: bool) -> None:
    """Print them, the newest last."""
    for row in reversed(rows):
        click.echo(json_line(row.json) if as_lines else line(row))


def line(row: AuditRow) -> str:
    times = f" x{row.count}" if row.count > 1 else ""
    ended = "" if row.result == "done" else f"  {row.result}: {row.code or 'see the log'}"
    about = f"  ({printable(row.note)})" if row.note else ""
    where = printable(row.address or "-")
    who, target = printable(row.principal), printable(row.target or "-")
    if row.result != "done":  # the target is the route that was asked
        target += f"  {printable(thing)}" if (thing := thing_of(row)) else ""
    return f"{utc(row.at)}  {where:<15}  {who:<12}  {row.action}{times}  {target}{ended}{about}"


def thing_of(row: AuditRow) -> str | None:
    """What a request was about."""
    if row.name is not None:
        return f"{row.namespace}/{row.name}"
    return f"blob {row.blob}" if row.blob is not None else row.namespace
