"""`casd completion`: what a shell has to read once so that Tab completes casd's words."""

from __future__ import annotations

import click

VARIABLE = "_CASD_COMPLETE"  # click's own: a shell that completes runs `casd` with it


@click.command(short_help="Print what makes Tab complete casd's words.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that SHELL reads to complete commands, options, names, namespaces, UUIDs and help topics.

    \b
      bash: casd completion bash > ~/.local/share/bash-completion/completions/casd
      zsh:  casd completion zsh > ~/.zfunc/_casd      (a folder of your fpath)
      fish: casd completion fish > ~/.config/fish/completions/casd.fish

    Or for one session: eval "$(casd completion bash)". What the daemon has is asked for when Tab is pressed.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # these three are click's own
    click.echo(kind(ctx.find_root().command, {}, "casd", VARIABLE).source())
