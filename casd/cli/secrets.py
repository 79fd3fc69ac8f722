"""Where a new secret goes: to standard output, or into a file that nobody else may read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from casd.cli.text import echo_json

output_option = click.option(
    "--output",
    "output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Put the secret there, for your eyes alone (mode 0600), instead of printing it.",
)


class SecretFile:
    """A file that gets a secret. Made before the secret is: a secret that cannot be kept is asked for in vain."""

    def __init__(self, file: Path, *, replaces: bool) -> None:
        """Raises ClickException where it cannot be written, or is there and not to be replaced."""
        self._file = file
        self._draft = file.with_name(f".{file.name}.new")
        if file.exists() and not replaces:
            raise click.ClickException(f"{file} is there already: name another file, or remove it")
        try:
            self._draft.unlink(missing_ok=True)
            self._descriptor = os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise click.ClickException(f"{file} cannot be written: {error.strerror}") from None

    def __enter__(self) -> SecretFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
        self._draft.unlink(missing_ok=True)

    def put(self, secret: str) -> None:
        os.write(self._descriptor, secret.encode() + b"\n")
        os.fsync(self._descriptor)
        self._draft.replace(self._file)


def tell(made: dict[str, Any], secret: str, file: SecretFile | None, *, as_json: bool) -> None:
    """Give out what was made: the secret to the file, if there is one, or else to standard output."""
    if file is not None:
        file.put(secret)
        made = {key: value for key, value in made.items() if key != "token"}
    if as_json:
        echo_json(made)
    elif file is None:
        click.echo(secret)
