"""`casd blob`: a file under a name, up and down, in the words of those who come from Datapane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from casd.cli.arguments import json_option, namespace_option, only_for_names, version_option, what
from casd.cli.connection import Invocation, pass_invocation
from casd.cli.get import fetch
from casd.cli.put import store
from casd.cli.show import echo_facts
from casd.cli.text import echo_json, human_size

if TYPE_CHECKING:
    from casd.client import Blob


@click.group(short_help="Upload a file under a name, and download it again.")
def blob() -> None:
    """Files under names. `casd put` and `casd get` do the same, and more: blobs without names, folders, digests."""


@blob.command(short_help="Store a file as the next version of a name.")
@click.argument("name", metavar="NAME")
@click.argument("filename", metavar="FILENAME")
@namespace_option
@json_option
@pass_invocation
def upload(invocation: Invocation, name: str, filename: str, namespace: str | None, as_json: bool) -> None:
    """Store FILENAME ('-' is standard input) as the next version of NAME, and tell its UUID and URL.

    The URL is for whoever has a token; `casd sign` makes one for everybody, for a while.
    """
    from casd.client import Version

    done = store(invocation, filename, name, namespace, None, None)
    stored = done.result
    assert isinstance(stored, Version)  # it has a name
    assert stored.blob is not None  # the client looked
    url = _url(invocation, stored.blob)
    if as_json:
        echo_json({**done.json, "url": url})
        return
    echo_facts(
        {
            "uuid": str(stored.blob.uuid),
            "url": url,
            "namespace": stored.namespace,
            "name": f"{stored.name}@{stored.number}",
            "size": f"{stored.blob.size} ({human_size(stored.blob.size)})",
            "sha512": stored.blob.digest.hex,
        }
    )


@blob.command(short_help="Fetch a name into a file.")
@click.argument("name", metavar="NAME")
@click.argument("filename", metavar="FILENAME")
@namespace_option
@version_option
@json_option
@pass_invocation
def download(
    invocation: Invocation, name: str, filename: str, namespace: str | None, version: int | None, as_json: bool
) -> None:
    """Fetch the latest version of NAME, or that version, into FILENAME ('-' is standard output).

    An interrupted download goes on where it stopped, in a later run too. FILENAME is replaced only by a complete
    payload whose SHA-512 was checked.
    """
    only_for_names(what(name), version=version)
    fetch(invocation, name, filename, namespace, version, None, None, as_json=as_json)


def _url(invocation: Invocation, blob: Blob) -> str:
    address, _ = invocation.daemon()
    return f"{address.rstrip('/')}/v1/blobs/{blob.uuid}/data"
