"""`casd put`: bytes to the daemon."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from casd.cli.arguments import STANDARD_STREAM, json_option, namespace_option, what
from casd.cli.connection import Invocation, pass_invocation
from casd.cli.parameters import filename as checked_filename
from casd.cli.progress import bar
from casd.cli.show import echo_facts
from casd.cli.text import echo_json, human_size

if TYPE_CHECKING:
    from casd.client import Blob, Client, Source, Version


@click.command(short_help="Store a file as a blob, or as the next version of a name.")
@click.argument("file", metavar="FILE")
@click.argument("name", metavar="[NAME]", required=False)
@namespace_option
@click.option("--content-type", metavar="TYPE", help="Its media type; guessed from the filename unless given.")
@click.option("--filename", type=checked_filename, metavar="F", help="The filename to remember, instead of FILE's own.")
@json_option
@pass_invocation
def put(
    invocation: Invocation,
    file: str,
    name: str | None,
    namespace: str | None,
    content_type: str | None,
    filename: str | None,
    as_json: bool,
) -> None:
    """Store FILE ('-' is standard input) as a blob, or as the next version of NAME.

    Its SHA-512 is computed on the way and compared with what the daemon stored.
    """
    stored = store(invocation, file, name, namespace, content_type, filename)
    if as_json:
        echo_json(stored.json)
    else:
        _echo_stored(stored)


def store(
    invocation: Invocation,
    file: str,
    name: str | None,
    namespace: str | None,
    content_type: str | None,
    filename: str | None,
) -> Blob | Version:
    """FILE is stored, with a bar while it goes. Raises UsageError for a name that no command would take for one."""
    from casd.client import guessed_type, own_filename

    if name is not None and not isinstance(what(name), str):
        raise click.UsageError(
            f"{name} would be taken for a UUID or a digest by every other command; name it otherwise."
        )
    if filename is None and file != STANDARD_STREAM:
        filename = own_filename(file)
    content_type = content_type or guessed_type(filename or name or "")

    async def send(client: Client) -> Blob | Version:
        where = namespace or await client.accounts.home()
        with bar(filename or "standard input") as progress:
            async with _source(file) as source:
                progress.expect(source.size)
                if name is None:
                    return await client.put_blob(
                        source,
                        namespace=where,
                        filename=filename,
                        content_type=content_type,
                        progress=progress.watch,
                    )
                return await client.put_name(
                    where,
                    name,
                    source,
                    filename=filename,
                    content_type=content_type,
                    progress=progress.watch,
                )

    return invocation.run(send)


def _source(file: str) -> AbstractAsyncContextManager[Source]:
    from casd.client import open_descriptor, open_path

    return open_descriptor(0) if file == STANDARD_STREAM else open_path(Path(file))


def _echo_stored(stored: Blob | Version) -> None:
    from casd.client import Version

    blob = stored.blob if isinstance(stored, Version) else stored
    echo_facts(
        {
            "uuid": str(blob.uuid) if blob else None,
            "sha512": blob.digest.hex if blob else None,
            "size": f"{blob.size} ({human_size(blob.size)})" if blob else None,
            "namespace": stored.namespace,
            "name": f"{stored.name}@{stored.number}" if isinstance(stored, Version) else None,
        }
    )
