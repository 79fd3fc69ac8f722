"""`casd ls`, `casd versions`, `casd stat` and `casd find`: what is there."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from casd.cli import completing
from casd.cli.arguments import (
    as_of_option,
    json_option,
    namespace_option,
    only_for_names,
    version_option,
    what,
)
from casd.cli.connection import Invocation, pass_invocation
from casd.cli.progress import display
from casd.cli.show import Hidden, blob_line, echo_blob, echo_version, history_line, version_line
from casd.cli.text import echo_json, echo_listing
from casd.errors import PayloadNotFound
from casd.model import Digest

if TYPE_CHECKING:
    from casd.client import Blob, Client, Version

_ALGORITHMS = {"sha512": 128, "sha256": 64, "xxh3-128": 32}  # by the daemon's names; digits of hex
_CHECKSUM = re.compile(r"(?:(sha-?512|sha-?256|xxh3[-_]?128):)?([0-9a-fA-F]+)", re.ASCII)


@click.command(short_help="List names, or blobs.")
@click.argument("prefix", metavar="[PREFIX]", default="", shell_complete=completing.names)
@namespace_option
@click.option("--blobs", is_flag=True, help="List blobs, of all your namespaces unless one is given.")
@json_option
@pass_invocation
def ls(invocation: Invocation, prefix: str, namespace: str | None, blobs: bool, as_json: bool) -> None:
    """List the names that start with PREFIX: size, time and number of the latest version."""
    if blobs and prefix:
        raise click.UsageError("PREFIX is one of names, so it does not go with --blobs.")

    async def listing(client: Client) -> None:
        if blobs:
            await _list_blobs(client.blobs(namespace), as_json)
        else:
            await _list_names(client.names(namespace or await client.accounts.home(), prefix), as_json)

    invocation.run(listing)


async def _list_blobs(blobs: AsyncIterator[Blob], as_json: bool) -> None:
    if as_json:
        await echo_listing(blob.json async for blob in blobs)
        return
    async for blob in blobs:
        click.echo(blob_line(blob))


async def _list_names(names: AsyncIterator[Version], as_json: bool) -> None:
    if as_json:
        await echo_listing(version.json async for version in names)
        return
    async for version in names:
        click.echo(version_line(version))


@click.command(short_help="List all versions of a name.")
@click.argument("name", metavar="NAME", shell_complete=completing.names)
@namespace_option
@json_option
@pass_invocation
def versions(invocation: Invocation, name: str, namespace: str | None, as_json: bool) -> None:
    """List all versions of NAME: number, size, time and the blob's UUID.

    A version without a blob is a delete marker: while it is the newest, the name is hidden.
    """

    async def listing(client: Client) -> None:
        found = client.versions(namespace or await client.accounts.home(), name)
        if as_json:
            await echo_listing(version.json async for version in found)
            return
        async for version in found:
            click.echo(history_line(version))

    invocation.run(listing)


@click.command(short_help="Show what is known of a blob, a digest or a name.")
@click.argument("what_text", metavar="WHAT", shell_complete=completing.things)
@namespace_option
@version_option
@as_of_option
@json_option
@pass_invocation
def stat(
    invocation: Invocation,
    what_text: str,
    namespace: str | None,
    version: int | None,
    as_of: datetime | None,
    as_json: bool,
) -> None:
    """Show what is known of WHAT: a blob's UUID, a name, or a SHA-512 digest and all blobs of it."""
    wanted = what(what_text)
    only_for_names(wanted, version=version, as_of=as_of)

    async def ask(client: Client) -> tuple[Version | None, list[Blob], Hidden]:
        known = None
        if isinstance(wanted, UUID):
            blobs = [await client.blob(wanted)]
        elif isinstance(wanted, Digest):
            blobs = await _found(client, "sha512", wanted.hex)
        else:
            where = namespace or await client.accounts.home()
            known = await client.version(where, wanted, number=version, as_of=as_of)
            blobs = [known.blob] if known.blob else []
        return known, blobs, frozenset() if as_json else await client.hidden_names(blobs)

    known, blobs, hidden = invocation.run(ask)
    if as_json and isinstance(wanted, Digest):
        echo_json({"items": [blob.json for blob in blobs]})
    elif as_json:
        echo_json((known or blobs[0]).json)
    elif known:
        echo_version(known, hidden)
    else:
        for index, blob in enumerate(blobs):
            if index:
                click.echo()
            echo_blob(blob, hidden)


@click.command()
@click.argument("wanted", metavar="DIGEST|FILE")
@json_option
@pass_invocation
def find(invocation: Invocation, wanted: str, as_json: bool) -> None:
    """Find the blobs of some content, and the names that have them.

    Content is given by its SHA-512, SHA-256 or XXH3-128 (128, 64 or 32 hex digits; `sha256:` and the like may
    precede), or by a FILE that is hashed here and not sent. Names that are deleted, but not purged yet, are marked
    as hidden.
    """
    given = checksum(wanted)
    if given is None and not Path(wanted).is_file():
        raise click.UsageError(f"{wanted} is neither a digest that casd keeps nor a file.")

    async def search(client: Client) -> tuple[list[Blob], Hidden]:
        algorithm, digest = given or ("sha512", await _hashed(Path(wanted)))
        blobs = await _found(client, algorithm, digest)
        return blobs, frozenset() if as_json else await client.hidden_names(blobs)

    blobs, hidden = invocation.run(search)
    if as_json:
        echo_json({"items": [blob.json for blob in blobs]})
        return
    for blob in blobs:
        click.echo(blob_line(blob, hidden))


def checksum(text: str) -> tuple[str, str] | None:
    """The algorithm, as the daemon calls it, and the hex digits of a checksum; None for any other text."""
    match = _CHECKSUM.fullmatch(text)
    if match is None:
        return None
    stated, digits = match.groups()
    for algorithm, length in _ALGORITHMS.items():
        same = stated is None or re.sub("[-_]", "", stated) == algorithm.replace("-", "")
        if same and len(digits) == length:
            return algorithm, digits.lower()
    return None


async def _found(client: Client, algorithm: str, digest: str) -> list[Blob]:
    blobs = await client.checksums(algorithm, digest)
    if not blobs:
        raise PayloadNotFound(f"no blob in your namespaces has {algorithm} {digest}")
    return blobs


async def _hashed(path: Path) -> str:
    from casd.cli.errand import sha512_of

    with display() as shown, shown.transfer(path.name) as moving:
        return (await sha512_of(path, moving)).hex
