"""`casd status` and `casd gc`: how the daemon is, and upkeep now. For admins."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from casd.cli.arguments import json_option
from casd.cli.connection import Invocation, pass_invocation
from casd.cli.show import echo_facts
from casd.cli.text import counted, echo_json, human_size, human_span, printable, utc

if TYPE_CHECKING:
    from casd.client import Client, Collected, Expired, Run, Status


@click.command(short_help="Show how the daemon is (role admin).")
@click.option("--watch", is_flag=True, help="Show it anew every two seconds, with what moves in a second; Ctrl-C ends.")
@json_option
@pass_invocation
def status(invocation: Invocation, watch: bool, as_json: bool) -> None:
    """Show how the daemon is: what it holds, what moves, what upkeep did (role admin)."""
    if watch:
        if as_json or not sys.stdout.isatty():
            raise click.UsageError("--watch is for a terminal, and goes without --json.")
        from casd.cli.watching import watched

        with suppress(KeyboardInterrupt):  # how it is meant to end
            invocation.run(lambda client: watched(client, status_facts))
        return

    async def ask(client: Client) -> Status:
        return await client.operations.status()

    known = invocation.run(ask)
    if as_json:
        echo_json(known.json)
    else:
        echo_facts(status_facts(known))


def status_facts(status: Status) -> dict[str, str | None]:
    """A fact a line; None for what there is nothing to tell of."""
    totals, garbage, disk, queues = status.totals, status.garbage, status.disk, status.queues
    quarantined = totals["quarantined_payloads"]
    return {
        "daemon": f"casd {status.version}, up {human_span(status.uptime_s)}, since {utc(status.started_at)}",
        "blobs": f"{counted(totals['blobs'], 'blob')}, {human_size(totals['logical_bytes'])} as they are read",
        "payloads": f"{counted(totals['payloads'], 'payload')}, {human_size(totals['physical_bytes'])} on disk",
        "damaged": f"{counted(quarantined, 'payload')}: `casd quarantine ls` tells which; `casd put FILE` heals them"
        if quarantined
        else None,
        "garbage": f"{counted(garbage['payloads'], 'payload')}, {human_size(garbage['bytes'])}: `casd gc` collects them"
        if garbage["payloads"]
        else "none that a collection would remove now",
        "disk": f"{human_size(disk['free_bytes'])} free above the reserve, "
        f"{human_size(disk['reserved_bytes'])} announced by transfers",
        "uploads": _uploads_told(status.uploads),
        "load": f"{counted(queues['connections'], 'connection')}, {counted(queues['requests'], 'request')}, "
        f"{counted(queues['transfers'], 'transfer')}, {counted(queues['catalogue_writes'], 'catalogue write')} waiting",
        "quotas": _quotas_told(status),
        "tokens": _tokens_told(status),
        "signing key": _signing_key_told(status),
        "checked": _checked_told(status),
        **{f"last {kind}": _run_told(run) for kind, run in status.upkeep.items()},
    }


def _quotas_told(status: Status) -> str | None:
    """The namespaces that are nearly full."""
    told = []
    for full in status.json.get("quotas", []):
        shares = [
            f"{100 * (full[f'used_{what}'] + full[f'reserved_{what}']) // quota} % of its {what}"
            if (quota := full[f"quota_{what}"])
            else f"its quota of no {what}"
            for what in ("bytes", "blobs")
            if full[f"quota_{what}"] is not None
        ]
        told.append(f"{full['namespace']} at {' and '.join(shares)}")
    return "; ".join(told) or None


def _tokens_told(status: Status) -> str | None:
    """Those that end before long."""
    soon = status.json.get("credentials", {}).get("expiring", [])
    told = [f"{printable(token['name'])} ends {utc(datetime.fromisoformat(token['expires_at']))}" for token in soon[:5]]
    more = [f"and {len(soon) - 5} more"] if len(soon) > 5 else []
    return f"{', '.join(told + more)}: `casd token rotate` gives them longer" if soon else None


def _signing_key_told(status: Status) -> str | None:
    key = status.json.get("credentials", {}).get("signing_key")
    return None if key is None else f"number {key['id']}, {human_span(key['age_s'])} old"


def _checked_told(status: Status) -> str | None:
    """How old the oldest check is: until then at least, all was right."""
    ages = {
        "": status.scrub.get("oldest_checked_at"),
        "by SHA-512 within ": status.scrub.get("oldest_deep_checked_at"),
    }
    now = status.started_at + timedelta(seconds=status.uptime_s)
    told = [f"{what}{human_span((now - at).total_seconds())}" for what, at in ages.items() if at is not None]
    return f"all payloads within {', '.join(told)}" if told else None


def _uploads_told(uploads: Mapping[str, int]) -> str:
    if not uploads["open"]:
        return "none open"
    arrived, announced = human_size(uploads["received_bytes"]), human_size(uploads["announced_bytes"])
    return f"{uploads['open']} open, {uploads['active']} of them active, {arrived} of {announced} there"


def _run_told(run: Run | None) -> str:
    if run is None:
        return "not since the daemon started"
    if run.error is not None:
        return f"{utc(run.started_at)}: failed: {run.error}"
    report = run.report or {}
    if run.ended_at is None:
        return f"runs since {utc(run.started_at)}" + (f": {_counts(report)} so far" if report else "")
    return f"{utc(run.started_at)}: {_counts(report)}"


def _counts(report: Mapping[str, Any]) -> str:
    """The figures of a report that are not zero."""
    told = [
        human_size(value) if key == "bytes" else f"{value} {key}"
        for key, value in report.items()
        if isinstance(value, int) and not isinstance(value, bool) and value
    ]
    return ", ".join(told) or "nothing to do"


@click.command(short_help="End what is past its time, collect bytes (role admin).")
@click.option("--dry-run", is_flag=True, help="Say what would end and be removed now, and change nothing.")
@click.option("--force", is_flag=True, help="Collect even where that is more than half of the store.")
@json_option
@pass_invocation
def gc(invocation: Invocation, dry_run: bool, force: bool, as_json: bool) -> None:
    """End what is past its time, then collect the bytes that nothing refers to (role admin).

    The daemon does both by itself. Bytes are kept for a grace ([upkeep] grace_s) after nothing refers to them, so
    what was removed a moment ago is not collected yet.
    """

    async def keep_up(client: Client) -> tuple[Expired, Collected]:
        expired = await client.operations.expire(dry_run=dry_run)
        return expired, await client.operations.collect_garbage(dry_run=dry_run, force=force)

    expired, collected = invocation.run(keep_up)
    if as_json:
        echo_json({"expire": expired.json, "collect-garbage": collected.json})
        return
    kinds = {
        "blob": expired.blobs,
        "name": expired.names,
        "version": expired.versions,
        "upload": expired.uploads,
        "token": expired.tokens,
    }
    ended = [counted(count, kind) for kind, count in kinds.items()]
    click.echo(f"{'would expire' if dry_run else 'expired':<13} {', '.join(ended)}")
    done = "would collect" if dry_run else "collected"
    orphans = f", {collected.orphans} of them unknown to the catalogue" if collected.orphans else ""
    if collected.pinned:
        click.echo(f"{'kept':<13} {counted(collected.pinned, 'payload')}: a backup is under way")
    click.echo(f"{done:<13} {counted(collected.payloads, 'payload')}, {human_size(collected.bytes)}{orphans}")
