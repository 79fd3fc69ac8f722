"""The `casd` group: loads a command when it is called, and turns each known failure into a line and a code."""

from __future__ import annotations

import io
import shlex
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from casd import __version__
from casd.cli import exits
from casd.cli.connection import Invocation
from casd.cli.parameters import Folder
from casd.cli.text import printable
from casd.errors import CasdError

COMMANDS = {
    "serve": "casd.cli.serve:serve",
    "put": "casd.cli.put:put",
    "get": "casd.cli.get:get",
    "sync": "casd.cli.sync:sync",
    "blob": "casd.cli.blob:blob",
    "ls": "casd.cli.browse:ls",
    "versions": "casd.cli.browse:versions",
    "stat": "casd.cli.browse:stat",
    "find": "casd.cli.browse:find",
    "why": "casd.cli.why:why",
    "rm": "casd.cli.remove:rm",
    "undelete": "casd.cli.remove:undelete",
    "meta": "casd.cli.meta:meta",
    "name": "casd.cli.name:name_",
    "protect": "casd.cli.protect:protect",
    "unprotect": "casd.cli.protect:unprotect",
    "sign": "casd.cli.sign:sign",
    "signing-key": "casd.cli.sign:signing_key",
    "token": "casd.cli.token:token",
    "namespace": "casd.cli.namespace:namespace",
    "status": "casd.cli.operate:status",
    "audit": "casd.cli.audit:audit",
    "gc": "casd.cli.operate:gc",
    "scrub": "casd.cli.scrub:scrub",
    "repair": "casd.cli.scrub:repair",
    "fsck": "casd.cli.fsck:fsck",
    "backup": "casd.cli.backup:backup",
    "restore": "casd.cli.restore:restore",
    "quarantine": "casd.cli.quarantine:quarantine",
    "completion": "casd.cli.completion:completion",
    "help": "casd.cli.topics:help_",
}


_ARGUMENTS = "casd.arguments"  # all of the command line, in a context's meta


class LazyGroup(click.Group):
    """A group whose commands stand in COMMANDS as `module:attribute`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a name may hold what the terminal's charset lacks
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # `casd ls | head` is not a failure to report; click ends quietly
        except KeyboardInterrupt:
            _say("; ".join(["interrupted", *_kept(ctx)]))
            ctx.exit(exits.INTERRUPTED)
        except (CasdError, OSError) as error:
            for line in [exits.message(error), *exits.hints(error), *_kept(ctx)]:
                _say(line)
            ctx.exit(exits.exit_code(error))


def _say(line: str) -> None:
    # Details come from the daemon, and names in them from whoever stored something there.
    click.echo(f"casd: {printable(line)}", err=True)


def _kept(ctx: click.Context) -> list[str]:
    """What an interrupted transfer has left, and the command that goes on with it: the one that was given."""
    invocation = ctx.find_object(Invocation)
    if invocation is None or invocation.kept is None:
        return []
    return [f"{invocation.kept}; go on with: {shlex.join(['casd', *ctx.meta[_ARGUMENTS]])}"]


@click.group(cls=LazyGroup, epilog=exits.LEGEND, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="casd %(version)s")
@click.option("--url", metavar="URL", help="The daemon's address, instead of CASD_URL.")
@click.option(
    "--data",
    type=Folder(),
    metavar="DIR",
    help="The local daemon that runs on this data folder, instead of CASD_STORAGE__DATA.",
)
@click.pass_context
def main(ctx: click.Context, url: str | None, data: Path | None) -> None:
    """Store payloads by their content, and find them again by UUID, name or digest.

    The daemon on this machine is found by itself. CASD_URL names another one, CASD_TOKEN_FILE a file
    with the token for it; CASD_TOKEN may hold the token itself.
    """
    if url and data:
        raise click.UsageError("--url and --data name two daemons; give one of them.")
    ctx.obj = Invocation(url, data)
