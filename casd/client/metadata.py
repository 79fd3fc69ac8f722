"""Metadata, which a blob has and a name has: the same four operations on either."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from casd.client import values
from casd.client.errors import Refused
from casd.client.paths import name_path, segment
from casd.client.transport import Transport
from casd.client.values import NameInfo
from casd.model import JSON

ATTEMPTS = 20  # at changing a name that others change at the same time; each one lost is one of theirs won


class BlobMetadata:
    """The metadata of one blob. Each key is changed on its own."""

    def __init__(self, transport: Transport, uuid: UUID) -> None:
        self._transport = transport
        self._path = f"/v1/blobs/{uuid}/metadata"

    async def all(self) -> dict[str, JSON]:
        return values.parsed("metadata", dict, await self._transport.json("GET", self._path))

    async def get(self, key: str) -> JSON:
        """Raises Refused (`metadata-key-not-found`)."""
        answer = await self._transport.json("GET", f"{self._path}/{segment(key)}")
        value: JSON = values.parsed("metadata value", lambda answer: answer["value"], answer)
        return value

    async def set(self, key: str, value: JSON) -> None:
        await self._transport.json("PUT", f"{self._path}/{segment(key)}", body={"value": value})

    async def remove(self, key: str) -> None:
        """Raises Refused (`metadata-key-not-found`)."""
        await self._transport.json("DELETE", f"{self._path}/{segment(key)}")


class NameMetadata:
    """The metadata of one name, whatever its versions are.

    The daemon takes it as a whole, so a change is read, made and written with If-Match, and made again where
    somebody else was quicker: no key is lost to a change of another.
    """

    def __init__(self, transport: Transport, namespace: str, name: str) -> None:
        self._transport = transport
        self._path = name_path("/v1/name-info", namespace, name)
        self._name = name

    async def all(self) -> dict[str, JSON]:
        info, _ = await self._read()
        return dict(info.metadata)

    async def get(self, key: str) -> JSON:
        """Raises Refused (`metadata-key-not-found`)."""
        return self._present(await self.all(), key)[key]

    async def set(self, key: str, value: JSON) -> None:
        await self._change(lambda known: {**known, key: value})

    async def remove(self, key: str) -> None:
        """Raises Refused (`metadata-key-not-found`)."""
        await self._change(lambda known: {k: v for k, v in self._present(known, key).items() if k != key})

    def _present(self, known: dict[str, JSON], key: str) -> dict[str, JSON]:
        if key not in known:
            raise Refused(404, "metadata-key-not-found", f"{self._name} has no metadata {key!r}")
        return known

    async def _change(self, change: Callable[[dict[str, JSON]], dict[str, JSON]]) -> None:
        for attempt in range(ATTEMPTS):
            info, tag = await self._read()
            guard = {"If-Match": tag} if tag else {}
            try:
                body = {"metadata": change(dict(info.metadata))}
                await self._transport.json("PATCH", self._path, headers=guard, body=body)
                return
            except Refused as error:
                if error.status != 412 or attempt == ATTEMPTS - 1:
                    raise

    async def _read(self) -> tuple[NameInfo, str | None]:
        async with await self._transport.open("GET", self._path) as response:
            return values.name_info(await self._transport.read_json(response)), response.headers.get("ETag")
