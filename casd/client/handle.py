"""One blob that is in the store, and how to fetch it: as a file, a data frame or an object."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias
from uuid import UUID

from casd.client import frames, objects
from casd.client.download import Download
from casd.client.errors import Unreadable
from casd.client.metadata import BlobMetadata
from casd.client.progress import OnProgress
from casd.client.reader import Reader
from casd.client.retry import Notice, Retry
from casd.client.saving import Writable, save, stream
from casd.client.source import Source, expanded, from_file
from casd.client.transport import Transport
from casd.client.values import Blob, Version
from casd.errors import InvalidInput

Receivable: TypeAlias = "str | os.PathLike[str] | Writable"
"""Where a download can go: a path (`~` is a home folder), or a file that is open for writing bytes."""


class Handle:
    """A blob, and the version of a name if it was reached by one. Made by Client, and raises as it does.

    It goes on meaning just these bytes, whatever the name means meanwhile. Everything that is fetched is checked
    against its SHA-512 before it is handed over, a transfer that breaks off goes on where it stopped, and nothing is
    held in memory but the frame or object that was asked for.
    """

    def __init__(self, transport: Transport, info: Blob, version: Version | None, retry: Retry) -> None:
        self.info = info
        self.version = version
        self.metadata = BlobMetadata(transport, info.uuid)
        self._transport = transport
        self._retry = retry

    def __repr__(self) -> str:
        at = f", {self.version.namespace}/{self.version.name}@{self.version.number}" if self.version else ""
        return f"<Handle of blob {self.uuid}{at}>"

    @property
    def uuid(self) -> UUID:
        return self.info.uuid

    def download(self, *, notice: Notice | None = None) -> Download:
        """The payload, to be read piece by piece."""
        path, expected = f"/v1/blobs/{self.uuid}/data", self.info.digest
        return Download(self._transport, path, expected=expected, retry=self._retry, notice=notice)

    def reader(self, *, notice: Notice | None = None) -> Reader:
        """The payload, to be read here and there."""
        path, expected = f"/v1/blobs/{self.uuid}/data", self.info.digest
        return Reader(
            Download(self._transport, path, expected=expected, retry=self._retry, notice=notice, in_parts=True)
        )

    async def download_file(
        self,
        target: Receivable,
        *,
        progress: OnProgress | None = None,
        notice: Notice | None = None,
        connections: int = 1,
    ) -> None:
        """The payload as it is stored is in `target`: a path, or a file that is open for writing bytes.

        What stands at a path is replaced by a complete payload or not at all, and an earlier attempt goes on where it
        stopped. An open file has all bytes before they are known to be right: DigestDiffers says that they are not.
        """
        if not isinstance(target, str | os.PathLike):
            async with self.download(notice=notice) as download:
                await stream(download, target, progress)
            return
        path = await asyncio.to_thread(_checked_target, target)
        async with self.download(notice=notice) as download:
            await save(download, path, progress, connections=connections)

    async def download_df(self) -> Any:
        """The pandas.DataFrame that was stored, by `upload_df` here or by Datapane's client.

        Raises Unreadable for what is none, PackageMissing without pyarrow and pandas.
        """
        frames.package("pandas")
        table = await self.download_table()
        return await asyncio.to_thread(table.to_pandas)

    async def download_table(self) -> Any:
        """The data frame as a pyarrow.Table. Raises as `download_df`, but needs no pandas."""
        frames.package("pyarrow")
        async with self._spooled() as file:
            return await asyncio.to_thread(frames.read_table, file)

    async def download_obj(self, *, allow_pickle: bool = False) -> Any:
        """The Python object that was stored, by `upload_obj` here or by Datapane's client.

        JSON, unless its content type says pickle. Loading a pickle runs whatever code its author put into it, as you,
        and no digest, token or content type says that the code means well. So it takes allow_pickle=True, for which
        you should trust everybody who may write in the blob's namespace. Raises Unreadable for a pickle without it,
        and for what is no JSON.
        """
        is_pickle = objects.is_pickle(self.info.content_type)
        if is_pickle and not allow_pickle:
            raise Unreadable(
                f"blob {self.uuid} is a pickle, and loading one runs whatever code its author put into it; "
                f"allow_pickle=True, if you trust everybody who may write in namespace {self.info.namespace}"
            )
        read = objects.load_pickle if is_pickle else objects.read_json
        async with self._spooled() as file:
            return await asyncio.to_thread(read, file)

    @asynccontextmanager
    async def _spooled(self) -> AsyncIterator[IO[bytes]]:
        """The payload in a file of no name, checked."""
        with await asyncio.to_thread(tempfile.TemporaryFile) as file:
            async with self.download() as download:
                await stream(download, file)
            file.seek(0)
            yield file


@asynccontextmanager
async def written(write: Callable[[Any, IO[bytes]], None], value: object) -> AsyncIterator[Source]:
    """What `write` makes of the value, ready to be sent, in a file of no name."""
    with await asyncio.to_thread(tempfile.TemporaryFile) as file:
        await asyncio.to_thread(write, value, file)
        file.seek(0)
        yield from_file(file)


def _checked_target(target: str | os.PathLike[str]) -> Path:
    """Links are followed: what they lead to is replaced, not they. Raises InvalidInput."""
    path = expanded(target).resolve()
    if path.exists() and not path.is_file():
        raise InvalidInput(f"{path} is no file that can be replaced")
    return path
