"""Names as a tree of folders, and one blob under several names: what a file system asks of a daemon."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from casd.client import values
from casd.client.errors import UnexpectedAnswer
from casd.client.paths import PAGE, items, name_path, namespace_path
from casd.client.transport import Transport
from casd.client.values import Version


class Tree:
    """The names of one daemon by their slashes. Made by Client, and raises as it does."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def entries(self, namespace: str, prefix: str = "") -> AsyncIterator[Version | str]:
        """The names that start with `prefix` and have no slash behind it, by their latest versions; and the folders
        that all others lie in, up to and with their slash. Page by page, each in no promised order."""
        path = namespace_path("/v1/names", namespace)
        cursor: str | None = None
        while True:
            query = {"prefix": prefix or None, "delimiter": "/", "limit": PAGE, "cursor": cursor}
            answer = await self._transport.json("GET", path, query)
            for entry in _entries(answer):
                yield entry
            following = answer.get("next")
            if following is None:
                return
            if not isinstance(following, str) or following == cursor:
                raise UnexpectedAnswer(f"{path}: the listing does not go on ({following!r})")
            cursor = following

    async def first(self, namespace: str, prefix: str = "") -> Version | None:
        """The first of the names that start with `prefix`, by their bytes: that name itself, if there is one."""
        query = {"prefix": prefix or None, "limit": 1}
        found = items(await self._transport.json("GET", namespace_path("/v1/names", namespace), query))
        return values.version(found[0]) if found else None

    async def bind(self, blob: UUID, namespace: str, name: str, *, is_new: bool = False) -> Version:
        """The next version of the name is that blob; nothing is sent. With `is_new` only where the name is not there:
        else Refused (412)."""
        guard = {"If-None-Match": "*"} if is_new else None
        path = name_path("/v1/names", namespace, name)
        return values.version(await self._transport.json("PUT", path, {"blob": str(blob)}, guard))


def _entries(answer: Any) -> list[Version | str]:
    versions: list[Version | str] = [values.version(item) for item in items(answer)]
    folders = answer.get("folders")
    if not isinstance(folders, list) or not all(isinstance(folder, str) for folder in folders):
        raise UnexpectedAnswer("the daemon tells no folders; is it older than this client?")
    return versions + folders
