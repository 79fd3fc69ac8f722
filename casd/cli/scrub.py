"""`casd scrub` and `casd repair`: read all that is stored, and fetch anew what is damaged. For admins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from casd.cli import exits
from casd.cli.arguments import json_option
from casd.cli.connection import Invocation, pass_invocation
from casd.cli.counting import hit_lines
from casd.cli.text import counted, echo_json, human_size, printable
from casd.errors import InvalidInput
from casd.model import Digest

if TYPE_CHECKING:
    from casd.client import Client, Damage, Repaired, Scrubbed


@click.command(short_help="Read all bytes, find what is damaged (role admin).")
@click.option("--deep", is_flag=True, help="Compare the SHA-512 of each payload, and check the catalogue itself too.")
@click.option("--dry-run", is_flag=True, help="Read and tell, and change nothing.")
@json_option
@pass_invocation
@click.pass_context
def scrub(context: click.Context, invocation: Invocation, deep: bool, dry_run: bool, as_json: bool) -> None:
    """Read everything that is stored, and tell whose bytes are damaged (role admin).

    The daemon does it by itself, within [upkeep] scrub_days. What is damaged is moved to quarantine, never deleted,
    and fetched anew where [repair] sources are configured. It reads no faster than [upkeep] scrub_bytes_per_s, and
    goes on when this command is interrupted: `casd status` tells how far it is.
    """

    async def run(client: Client) -> tuple[Scrubbed, int]:
        report = await client.operations.scrub(deep=deep, dry_run=dry_run)
        return report, (await client.operations.status()).totals["quarantined_payloads"]

    report, left = invocation.run(run)
    if as_json:
        echo_json(report.json)
    else:
        _tell_scrubbed(report, left)
    is_bad = left or report.hurt > report.repaired or report.failed or report.catalogue_problems
    context.exit(exits.DAMAGED if is_bad else exits.REPAIRED if report.hurt else 0)


def _tell_scrubbed(report: Scrubbed, left: int) -> None:
    """`left` payloads are marked as damaged now, those that were before this run included."""
    for problem in report.catalogue_problems:
        click.echo(f"the catalogue is damaged: {printable(problem)}")
    for finding in report.findings:
        _tell_finding(finding)
    counts = {
        "damaged": report.damaged,
        "missing": report.missing,
        "unreadable": report.unreadable,
        "wrong block lists rewritten": report.rewritten,
        "not judged, the daemon's log tells why": report.failed,
        "repaired": report.repaired,
        "known as damaged already": max(0, left - report.hurt + report.repaired) if not report.is_dry_run else left,
    }
    found = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    read = f"{counted(report.payloads, 'payload')}, {human_size(report.bytes)} read"
    click.echo(f"{read}; {found or 'nothing wrong'}")
    if left:
        click.echo("`casd quarantine ls` shows what was kept; storing the bytes again, or `casd repair`, heals them")


def _tell_finding(finding: Damage) -> None:
    click.echo(f"{finding.found:<10} payload {finding.digest.hex}")
    click.echo(f"           {printable(finding.why)}")
    for line in hit_lines(finding):
        click.echo(f"           {line}")


@click.command(short_help="Fetch damaged payloads from other stores (role admin).")
@click.argument("digests", metavar="[DIGEST]...", nargs=-1)
@json_option
@pass_invocation
@click.pass_context
def repair(context: click.Context, invocation: Invocation, digests: tuple[str, ...], as_json: bool) -> None:
    """Fetch payloads that are damaged from the configured [repair] sources (role admin).

    Without a DIGEST (the hex of a SHA-512), all that are damaged. What comes is stored only if it has that SHA-512, and
    heals all blobs that refer to it.
    """
    try:
        chosen = [Digest.parse(text) for text in digests]
    except InvalidInput as error:
        raise click.BadParameter(str(error)) from None

    async def run(client: Client) -> Repaired:
        return await client.operations.repair(chosen or None)

    report = invocation.run(run)
    if as_json:
        echo_json(report.json)
    else:
        _tell_repaired(report)
    context.exit(exits.DAMAGED if report.failed else 0)


def _tell_repaired(report: Repaired) -> None:
    for digest, why in report.failures.items():
        click.echo(f"not repaired payload {digest.hex}")
        click.echo(f"             {printable(why)}")
    told = [f"{report.repaired} repaired, {human_size(report.bytes)}"]
    told += [f"{report.good} were good"] if report.good else []
    told += [f"{report.failed} not repaired"] if report.failed else []
    click.echo(f"{counted(report.payloads, 'payload')}: {', '.join(told)}" if report.payloads else "nothing is damaged")
