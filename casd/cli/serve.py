"""`casd serve`: the flags of the daemon. What it does is `casd/daemon/`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from casd.cli.connection import Invocation, pass_invocation
from casd.cli.parameters import Folder


@click.command()
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Read this TOML file; config.example.toml shows every key.",
)
@click.option("--data", type=Folder(file_okay=False), metavar="DIR", help="Keep everything in this folder.")
@click.option("--host", metavar="H", help="Listen on this address.")
@click.option("--port", type=click.IntRange(0, 65535), metavar="P", help="Listen on this port; 0 takes a free one.")
@click.option(
    "--check", is_flag=True, help="Print the configuration that would be in force, as TOML, and start nothing."
)
@pass_invocation
def serve(
    invocation: Invocation, config: Path | None, data: Path | None, host: str | None, port: int | None, check: bool
) -> None:
    """Run the daemon until SIGTERM or Ctrl-C.

    Without any configuration it listens on loopback, keeps its data in a folder of the user's, and makes an
    admin token on its first start. Flags win over CASD_SECTION__KEY in the environment, those over the file.
    """
    from casd.daemon import check as show
    from casd.daemon import serve as run

    flags = {"server.host": host, "server.port": port, "storage.data": data or invocation.data}
    sys.exit((show if check else run)(config, {key: value for key, value in flags.items() if value is not None}))
