"""What the daemon has already: asked for by checksum, and taken without sending a byte."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from casd.client import values
from casd.client.errors import ConnectionLost, Refused, UnknownPath
from casd.client.paths import name_path, pages
from casd.client.retry import Patience
from casd.client.transport import Query, Transport
from casd.client.tus import Destination
from casd.client.values import Blob, parsed, time_or_none
from casd.model import Digest

ASKED_AT_ONCE = 1000  # the daemon's own limit
TRIED = 5  # blobs of the same bytes; those of a namespace that we may only read cannot be bound


@dataclass(frozen=True, slots=True)
class Missing:
    """What a daemon would have to be sent."""

    digests: frozenset[str]  # hex, as they were asked for, in lower case
    lease_until: datetime | None  # what it has is kept that long


async def missing(transport: Transport, algorithm: str, digests: Iterable[str]) -> Missing:
    """Of any number of checksums: sha512, or xxh3_128. Raises as `Transport.json`."""
    found: set[str] = set()
    until: datetime | None = None
    for some in batches(sorted({digest.lower() for digest in digests})):
        answer = await transport.json("POST", "/v1/payloads/missing", body={algorithm: list(some)})
        lacking, lease = parsed("list of what is missing", _missing, answer)
        found.update(lacking)
        until = min(until, lease) if until and lease else lease or until
    return Missing(frozenset(found), until)


def batches(digests: Sequence[str]) -> Iterable[Sequence[str]]:
    return (digests[at : at + ASKED_AT_ONCE] for at in range(0, len(digests), ASKED_AT_ONCE))


def _missing(answer: Any) -> tuple[list[str], datetime | None]:
    return [str(each) for each in answer["missing"]], time_or_none(answer["lease_until"])


class Holdings:
    """The blobs of one daemon, for one transfer that may do with one of them."""

    def __init__(self, transport: Transport, patience: Patience) -> None:
        self._transport = transport
        self._patience = patience

    async def missing(self, algorithm: str, digests: Iterable[str]) -> frozenset[str]:
        """A daemon that cannot tell lacks all of them."""
        asked = list(digests)
        try:
            return (await missing(self._transport, algorithm, asked)).digests
        except UnknownPath:
            return frozenset(asked)

    async def bound(self, digest: Digest, destination: Destination) -> tuple[UUID, int | None] | None:
        """A blob of that digest is what was to be stored: its UUID, and its version of the name. None: it is not there.

        Tried again like any transfer: a bind whose answer was lost is looked for before it is asked for again.
        """
        known = await self._blobs(digest)
        fit = sorted(known, key=lambda blob: not _is_alike(blob, destination))
        for blob in fit[:TRIED]:
            try:
                if destination.name is None:
                    return (await self._copied(blob, destination, known)).uuid, None
                return await self._named(blob, destination, destination.name)
            except Refused as error:
                if error.status != 404:  # of a namespace that we may only read, or gone since
                    raise
        return None

    async def _named(self, blob: Blob, destination: Destination, name: str) -> tuple[UUID, int | None]:
        namespace, path = destination.namespace, name_path("/v1/names", destination.namespace, name)
        query: dict[str, str | int | None] = {"blob": str(blob.uuid)}
        headers = {}
        if not _is_alike(blob, destination):  # the version gets a blob of its own, with filename and type as told here
            query["copy"], query["filename"] = 1, destination.filename
            headers["Content-Type"] = destination.content_type
        before = await self._versions(blob.digest, namespace, name)
        while True:
            try:
                version = values.version(await self._transport.json("PUT", path, query, headers))
                return (version.blob or blob).uuid, version.number
            except ConnectionLost as error:
                await self._patience.after(error)
                after = await self._versions(blob.digest, namespace, name)
                if fresh := sorted(after.keys() - before.keys()):
                    return after[fresh[0]], fresh[0]

    async def _versions(self, digest: Digest, namespace: str, name: str) -> Mapping[int, UUID]:
        """The versions of the name that are of that content, each with its blob."""
        return {
            ref.number: blob.uuid
            for blob in await self._blobs(digest)
            for ref in blob.names
            if (ref.namespace, ref.name) == (namespace, name)
        }

    async def _copied(self, blob: Blob, destination: Destination, known: Sequence[Blob]) -> Blob:
        """A new blob of the same bytes. One whose answer was lost is found among those that were not known before."""
        while True:
            try:
                return await self._post(blob, destination, destination.expires_in_s)
            except ConnectionLost as error:
                await self._patience.after(error)
                before = {each.uuid for each in known}
                for each in await self._blobs(blob.digest):
                    if each.uuid not in before and each.holds_itself and _is_alike(each, destination):
                        return each

    async def _post(self, blob: Blob, destination: Destination, expires_in_s: int | None) -> Blob:
        query: Query = {
            "blob": str(blob.uuid),
            "namespace": destination.namespace,
            "filename": destination.filename,
            "expires_in": expires_in_s,
        }
        headers = {"Content-Type": destination.content_type}
        return values.blob(await self._transport.json("POST", "/v1/blobs", query, headers))

    async def _blobs(self, digest: Digest) -> list[Blob]:
        """Those that can be read: in quarantine is not there."""
        path = f"/v1/checksums/sha512/{digest}"
        found = [blob async for blob in pages(self._transport, path, {}, values.blob)]
        return [blob for blob in found if blob.state == "created"]


def _is_alike(blob: Blob, destination: Destination) -> bool:
    """Whether it is what is to be stored, its bytes aside."""
    return (
        blob.namespace == destination.namespace
        and blob.content_type == destination.content_type
        and destination.filename in (None, blob.filename)
    )
