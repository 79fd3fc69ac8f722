"""What long work on a data folder says while it runs, and the payloads that it could not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from casd.cli.progress import Moving
from casd.cli.text import counted, human_size, printable

if TYPE_CHECKING:
    from casd.backup import Loss
    from casd.catalogue.values import Hit
    from casd.client import Damage


class Counting:
    """Tells a bar how far it is."""

    def __init__(self, bar: Moving) -> None:
        self._bar = bar
        self._count = 0

    def expect(self, total_bytes: int) -> None:
        self._count = 0
        self._bar.expect(total_bytes)

    def moved(self, count: int) -> None:
        self._count += count
        self._bar.reach(self._count)


def echo_losses(losses: Sequence[Loss]) -> None:
    for loss in losses:
        click.echo(f"payload {loss.digest} ({human_size(loss.size)}) {loss.why}")
        for line in hit_lines(loss.hit):
            click.echo(f"  {line}")


def hit_lines(hit: Hit | Damage) -> list[str]:
    """Whom it hits, a line each: names where there are some, or else blobs."""
    if not hit.blob_count:
        return ["nothing refers to it"]
    lines = [f"{ref.namespace}/{printable(ref.name)} version {ref.number}" for ref in hit.versions]
    if hit.version_count > len(hit.versions):
        lines.append(f"and {counted(hit.version_count - len(hit.versions), 'more version')}")
    lines += [f"blob {uuid} of {namespace}" for uuid, namespace in hit.blobs]
    if hit.blob_count > len(hit.blobs):
        lines.append(f"and {counted(hit.blob_count - len(hit.blobs), 'more blob')}")
    return lines


def loss_json(loss: Loss) -> Mapping[str, Any]:
    return {"sha512": loss.digest.hex, "size": loss.size, "why": loss.why, **hit_json(loss.hit)}


def hit_json(hit: Hit) -> dict[str, Any]:
    return {
        "blobs": [{"uuid": str(uuid), "namespace": namespace} for uuid, namespace in hit.blobs],
        "names": [{"namespace": ref.namespace, "name": ref.name, "version": ref.number} for ref in hit.versions],
        "blob_count": hit.blob_count,
        "version_count": hit.version_count,
    }
