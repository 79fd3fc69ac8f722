"""`casd fsck`: a stopped store is checked, mended, or given a new catalogue."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from casd import folder
from casd.cli import exits
from casd.cli.arguments import json_option
from casd.cli.connection import Invocation, pass_invocation
from casd.cli.counting import Counting, hit_json, hit_lines
from casd.cli.parameters import Folder
from casd.cli.progress import bar
from casd.cli.text import counted, echo_json, human_size, printable
from casd.errors import FolderUnusable

if TYPE_CHECKING:
    from casd.fsck import Checked, Finding, Rebuilt


@click.command(short_help="Check a stopped store, and mend it.")
@click.option("--data", type=Folder(), metavar="DIR", help="The data folder, or a backup.")
@click.option("--deep", is_flag=True, help="Read every payload and compare it with its SHA-512.")
@click.option("--repair", is_flag=True, help="Mend what can be mended without losing anything.")
@click.option("--rebuild", is_flag=True, help="Make a new catalogue, when it is lost, from the payloads alone.")
@json_option
@pass_invocation
def fsck(invocation: Invocation, data: Path | None, deep: bool, repair: bool, rebuild: bool, as_json: bool) -> None:
    """Check the store on this machine, while no daemon serves it: the catalogue, and the files against it.

    Without --repair nothing is changed. The exit code is 0 if all is well, 6 if something is wrong and still is,
    7 if all that was wrong is repaired. `casd help fsck` tells more.
    """
    if rebuild and (repair or deep):
        raise click.UsageError("--rebuild reads every payload and mends nothing else; give it alone.")
    store = data or invocation.data_folder()
    if not store.is_dir():
        raise FolderUnusable(f"{store} is no data folder: name it with --data")
    with folder.held(store, "fsck"):
        if (store / folder.RESTORING).exists():
            raise FolderUnusable(f"a restore into {store} was not finished: run `casd restore` again, which goes on")
        code = _rebuild(store, as_json) if rebuild else _check(store, repair, deep, as_json)
    sys.exit(code)


def _check(store: Path, repair: bool, deep: bool, as_json: bool) -> int:
    from casd.fsck import Outcome, check

    findings = 0

    def found(finding: Finding) -> None:
        nonlocal findings
        if as_json:
            click.echo((",\n" if findings else '{"findings": [\n') + json.dumps(_json(finding)), nl=False)
        else:
            _tell(finding, repair)
        findings += 1

    with bar("reading", drawn=deep and not as_json) as drawn:
        checked = check(store, Counting(drawn), found, for_repair=repair, is_deep=deep)
    if as_json:
        click.echo(("" if findings else '{"findings": [') + "\n], " + json.dumps(_summary(checked))[1:])
    else:
        _tell_summary(checked, repair)
    if not checked.is_whole:
        return exits.DAMAGED
    return exits.REPAIRED if checked.outcomes[Outcome.REPAIRED] else 0


def _tell(finding: Finding, repair: bool) -> None:
    click.echo(f"{finding.outcome.value:<9} {printable(finding.what)}")
    click.echo(f"          {printable(finding.means)}")
    if finding.hit is not None and finding.hit.blob_count:
        for line in hit_lines(finding.hit):
            click.echo(f"          {line}")
    if not repair or finding.outcome.value == "left":
        click.echo(f"          to mend it: {printable(finding.way_out)}")


def _tell_summary(checked: Checked, repair: bool) -> None:
    counts = ", ".join(f"{count} {outcome.value}" for outcome, count in checked.outcomes.items() if count)
    click.echo(
        f"{counted(checked.payloads, 'payload')}, {human_size(checked.bytes)}, {counted(checked.blobs, 'blob')}; "
        f"{counted(checked.read_payloads, 'payload')} read; {counts or 'nothing found'}"
    )


def _summary(checked: Checked) -> Mapping[str, Any]:
    return {
        "is_whole": checked.is_whole,
        "payloads": checked.payloads,
        "bytes": checked.bytes,
        "blobs": checked.blobs,
        "read_payloads": checked.read_payloads,
        **{outcome.value: count for outcome, count in checked.outcomes.items()},
    }


def _json(finding: Finding) -> Mapping[str, Any]:
    known = {} if finding.digest is None else {"sha512": finding.digest.hex}
    return {
        "code": finding.code,
        "outcome": finding.outcome.value,
        "what": finding.what,
        "means": finding.means,
        "repair": finding.way_out,
        **known,
        **({} if finding.hit is None else hit_json(finding.hit)),
    }


def _rebuild(store: Path, as_json: bool) -> int:
    from casd.fsck import rebuild

    with bar("reading", drawn=not as_json) as drawn:
        rebuilt = rebuild(store, Counting(drawn))
    if as_json:
        echo_json(
            {
                "payloads": rebuilt.payloads,
                "bytes": rebuilt.bytes,
                "damaged": [digest.hex for digest in rebuilt.damaged],
                "lost_catalogue": [str(path) for path in rebuilt.lost_files],
                "stages": rebuilt.stages,
            }
        )
    else:
        _tell_rebuilt(rebuilt)
    return exits.DAMAGED if rebuilt.damaged else exits.REPAIRED


def _tell_rebuilt(rebuilt: Rebuilt) -> None:
    for digest in rebuilt.damaged:
        click.echo(f"payload {digest} is damaged: it is in quarantine now")
    for path in rebuilt.lost_files:
        click.echo(f"the old catalogue is kept as {path}")
    if rebuilt.stages:
        click.echo(f"{counted(rebuilt.stages, 'unfinished upload')} cannot go on: a daemon removes them when it starts")
    click.echo(
        f"a new catalogue knows {counted(rebuilt.payloads, 'payload')}, {human_size(rebuilt.bytes)}, each a blob in "
        "the namespace `recovered`: `casd find` finds them by content. Names, tokens and metadata are lost"
    )
