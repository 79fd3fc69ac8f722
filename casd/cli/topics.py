"""`casd help`: the longer texts, a screen each. They stand in `help/`, a file a topic."""

from __future__ import annotations

from pathlib import Path

import click

TEXTS = Path(__file__).parent / "help"
TOPICS = (
    "start",
    "configuration",
    "names",
    "tokens",
    "quotas",
    "credentials",
    "audit",
    "resuming",
    "uploads",
    "folders",
    "durability",
    "integrity",
    "operations",
    "service",
    "proxy",
    "metrics",
    "logs",
    "quarantine",
    "backup",
    "fsck",
    "troubleshooting",
    "exit-codes",
    "python",
    "fsspec",
    "shakenfist",
    "deeplake",
    "datapane",
    "craftai",
)


def _begun(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    above = ctx.find_root()
    assert isinstance(above.command, click.Group)
    return [word for word in (*TOPICS, *above.command.list_commands(above)) if word.startswith(begun)]


@click.command("help", short_help="Read about a topic or a command.")
@click.argument("topic", metavar="[TOPIC]", required=False, shell_complete=_begun)
@click.pass_context
def help_(ctx: click.Context, topic: str | None) -> None:
    """Read about a TOPIC, or a command; without one, list the topics."""
    if topic is None:
        click.echo("`casd help TOPIC` shows one of these:\n")
        for each in TOPICS:
            click.echo(f"  {each:<15} {_title(each)}")
        click.echo("\n`casd help COMMAND` is the same as `casd COMMAND --help`.")
    elif topic in TOPICS:
        click.echo(_text(topic), nl=False)
    else:
        click.echo(_command_help(ctx, topic))


def _text(topic: str) -> str:
    return (TEXTS / f"{topic}.md").read_text("utf-8")


def _title(topic: str) -> str:
    return _text(topic).partition("\n")[0].removeprefix("# ")


def _command_help(ctx: click.Context, name: str) -> str:
    """Raises UsageError."""
    above = ctx.parent
    assert above is not None
    assert isinstance(above.command, click.Group)
    command = above.command.get_command(above, name)
    if command is None:
        raise click.UsageError(f"{name!r} is neither a topic nor a command; the topics are {', '.join(TOPICS)}.")
    with click.Context(command, info_name=name, parent=above) as of_command:
        return command.get_help(of_command)
