"""`casd restore`: a data folder from a backup."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from casd.cli import exits
from casd.cli.arguments import json_option
from casd.cli.counting import Counting, echo_losses, loss_json
from casd.cli.parameters import Folder
from casd.cli.progress import bar
from casd.cli.text import counted, echo_json, human_size


@click.command(short_help="Make a data folder from a backup.")
@click.argument("backup", metavar="BACKUP", type=Folder(exists=True, file_okay=False))
@click.argument("data", metavar="DATA", type=Folder(file_okay=False))
@click.option("--partial", is_flag=True, help="Go without payloads that BACKUP lacks: their blobs have state error.")
@json_option
def restore(backup: Path, data: Path, partial: bool, as_json: bool) -> None:
    """Make the data folder DATA, new or empty, from BACKUP, and prove each payload by reading it back.

    Unless everything is right, no daemon starts on DATA, and the exit code is 6. A run that was interrupted goes on
    when it is run again.
    """
    from casd.backup import restore as run

    with bar("restore", drawn=not as_json) as drawn:
        restored = run(backup, data, Counting(drawn), partial=partial)
    if as_json:
        echo_json(
            {
                "data": str(data),
                "is_complete": restored.is_complete,
                "payloads": restored.payloads,
                "bytes": restored.bytes,
                "cloned_payloads": restored.cloned,
                "lost": [loss_json(loss) for loss in restored.losses],
            }
        )
    else:
        echo_losses(restored.losses)
        click.echo(f"{counted(restored.payloads, 'payload')} restored and proven, {human_size(restored.bytes)}")
        if restored.is_complete:
            click.echo(f"`casd serve --data {data}` serves them; it makes a new admin token")
        else:
            click.echo(
                f"{counted(len(restored.losses), 'payload')} lost: no daemon starts on {data}. Run it again with "
                "--partial to go without, or with another backup into another folder"
            )
    sys.exit(exits.DAMAGED if restored.losses else 0)
