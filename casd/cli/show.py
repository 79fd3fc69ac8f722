"""Blobs and versions for people: a line each in listings, a block where one was asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from typing import TYPE_CHECKING, TypeAlias

import click

from casd.cli.text import human_size, printable, utc

if TYPE_CHECKING:
    from casd.client import Blob, Version
    from casd.model import JSON

Hidden: TypeAlias = Set[tuple[str, str]]  # namespaces and names


def version_line(version: Version) -> str:
    """Size, time, number and name."""
    size = human_size(version.blob.size) if version.blob else "deleted"
    told = f"{size:>9}  {utc(version.created_at)}  {f'@{version.number}':>5}  {printable(version.name)}"
    return told + _protected(version)


def history_line(version: Version) -> str:
    """Number, size, time and UUID."""
    size, uuid = (human_size(version.blob.size), f"{version.blob.uuid}") if version.blob else ("deleted", "-")
    return f"{f'@{version.number}':>5}  {size:>9}  {utc(version.created_at)}  {uuid}{_protected(version)}"


def _protected(version: Version) -> str:
    return "  (protected)" if version.protected else ""


def blob_line(blob: Blob, hidden: Hidden = frozenset()) -> str:
    """Size, time, UUID and what it is called."""
    nameless = f"(no name; filename {blob.filename})" if blob.filename else "(no name)"
    called = printable(", ".join(_references(blob, hidden)) or nameless)
    return f"{human_size(blob.size):>9}  {utc(blob.created_at)}  {blob.uuid}  {called}"


def echo_version(version: Version, hidden: Hidden = frozenset()) -> None:
    """The version and its blob, a fact a line."""
    echo_facts(
        {
            "name": version.name,
            "version": f"{version.number}",
            "published": utc(version.created_at),
            "deleted": "yes: a delete marker" if version.is_marker else None,
            "protected": "yes: `casd unprotect` it before it is changed" if version.protected else None,
        }
    )
    if version.blob:
        echo_blob(version.blob, hidden)


def echo_blob(blob: Blob, hidden: Hidden = frozenset()) -> None:
    """The blob, a fact a line; facts that it does not have are left out."""
    echo_facts(
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
            "held by": ", ".join((["itself"] if blob.holds_itself else []) + _references(blob, hidden)) or None,
            **{f"metadata {key}": json.dumps(value, ensure_ascii=False) for key, value in blob.metadata.items()},
        }
    )


def echo_facts(facts: Mapping[str, str | None]) -> None:
    """A fact a line, those left out that are None."""
    shown = {printable(key): printable(value) for key, value in facts.items() if value is not None}
    width = max(map(len, shown), default=0)
    for key, value in shown.items():
        click.echo(f"{key:<{max(width, 10)}} {value}")


def value_line(key: str, value: JSON) -> str:
    """A metadata key and its value, as JSON."""
    return printable(f"{key}  {json.dumps(value, ensure_ascii=False)}")


def _references(blob: Blob, hidden: Hidden) -> list[str]:
    """The versions that hold the blob, as far as the caller may know them."""
    return [
        f"{ref.namespace}/{ref.name}@{ref.number}" + (" (hidden)" if (ref.namespace, ref.name) in hidden else "")
        for ref in blob.names
    ]
