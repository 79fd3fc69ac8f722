"""Bytes on their way to a name, and what fsspec's callbacks are told of it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

from fsspec.callbacks import DEFAULT_CALLBACK

from casd.client import Client, ClientError, DigestDiffers, OnProgress, Progress, Refused, Source, Version, guessed_type
from casd.fsspec.places import Info, Place
from casd.model import Digest

PASSING_S = 3600  # how long a blob lives that is to become a new name, if we die in between


async def stored(
    client: Client,
    place: Place,
    source: Source,
    content_type: str | None = None,
    *,
    is_new: bool = False,
    progress: OnProgress | None = None,
) -> Version:
    """The next version of the name. With `is_new` the first: Refused (412) if somebody was quicker."""
    kind = content_type or guessed_type(place.name)
    if not is_new:
        return await client.put_name(place.namespace, place.name, source, content_type=kind, progress=progress)
    # An upload that names its target cannot be guarded: a blob is made, and bound if the name is still free.
    blob = await client.put_blob(
        source, namespace=place.namespace, content_type=kind, expires_in_s=PASSING_S, progress=progress
    )
    try:
        return await client.tree.bind(blob.uuid, place.namespace, place.name, is_new=True)
    finally:
        with suppress(ClientError):
            await client.delete_blob(blob.uuid)  # its own hold; the version's stays


async def copied(client: Client, source: Place, info: Info, target: Place) -> None:
    """The blob that `info` tells of is under the other name too: no byte moves, unless it is of a namespace that we
    may only read."""
    if "uuid" in info:
        try:
            await client.tree.bind(UUID(info["uuid"]), target.namespace, target.name)
            return
        except Refused as error:
            if error.code != "blob-not-found":
                raise
    async with client.download_name(source.namespace, source.name, version=info["version"]) as download:
        pieces = Source(download.pieces(), download.content.size)
        version = await stored(client, target, pieces, info["content_type"])
    if version.blob is not None and version.blob.digest.hex != info["sha512"]:
        raise DigestDiffers(f"{target.path}, as it arrived", Digest.parse(info["sha512"]), version.blob.digest)


def told(callback: Any) -> OnProgress | None:
    """Tells fsspec's callback how many bytes are where they are to be. None where nobody listens."""
    if callback is None or callback is DEFAULT_CALLBACK:
        return None

    def tell(progress: Progress) -> None:
        if progress.step == "moving":
            if progress.total is not None and callback.size != progress.total:
                callback.set_size(progress.total)
            callback.absolute_update(progress.done)

    return tell
