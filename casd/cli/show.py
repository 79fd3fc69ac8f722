"""Blobs and versions for people: a line each in listings, a block where one was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from casd.cli.text import human_size, printable, utc

if TYPE_CHECKING:
    from casd.client import Blob, Version


def version_line(version: Version) -> str:
    """Size, time, number and name."""
    size = human_size(version.blob.size) if version.blob else "deleted"
    return f"{size:>9}  {utc(version.created_at)}  {f'@{version.number}':>5}  {printable(version.name)}"


def blob_line(blob: Blob) -> str:
    """Size, time, UUID and what it is called."""
    called = [f"{ref.namespace}/{ref.name}@{ref.number}" for ref in blob.names] or [blob.filename or ""]
    shown = printable(", ".join(called))
    return f"{human_size(blob.size):>9}  {utc(blob.created_at)}  {blob.uuid}  {shown}".rstrip()


def echo_version(version: Version) -> None:
    """The version and its blob, a fact a line."""
    _echo_facts(
        {
            "name": version.name,
            "version": f"{version.number}",
            "published": utc(version.created_at),
            "deleted": "yes: a delete marker" if version.is_marker else None,
        }
    )
    if version.blob:
        echo_blob(version.blob)


def echo_blob(blob: Blob) -> None:
    """The blob, a fact a line; facts that it does not have are left out."""
    _echo_facts(
        {
            "uuid": str(blob.uuid),
            "namespace": blob.namespace,
            "size": f"{blob.size} ({human_size(blob.size)})",
            "sha512": blob.digest.hex,
            "sha256": blob.sha256,
            "xxh3-128": blob.xxh3_128,
            "type": blob.content_type,
            "filename": blob.filename,
            "state": blob.state,
            "created": utc(blob.created_at),
            "expires": utc(blob.expires_at) if blob.expires_at else None,
            "held by": ", ".join(_holders(blob)) or None,
            **{f"metadata {key}": json.dumps(value, ensure_ascii=False) for key, value in blob.metadata.items()},
        }
    )


def _holders(blob: Blob) -> Iterator[str]:
    if blob.holds_itself:
        yield "itself"
    for ref in blob.names:
        yield f"{ref.namespace}/{ref.name}@{ref.number}"


def _echo_facts(facts: dict[str, str | None]) -> None:
    for key, value in facts.items():
        if value is not None:
            click.echo(f"{printable(key):<10} {printable(value)}")
