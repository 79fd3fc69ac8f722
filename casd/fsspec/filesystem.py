"""casd as a file system of fsspec: names are files, their slashes make folders, each write is a new version.

Everything is asked of the daemon, nothing is remembered: neither listings nor what a name means. A path is
`namespace/name`, letter for letter.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fsspec.asyn import AsyncFileSystem, sync, sync_wrapper
from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.utils import isfilelike, stringify_path

from casd.client import (
    Client,
    Download,
    Reader,
    Source,
    Version,
    from_file,
    open_path,
    save,
    stream,
)
from casd.fsspec import looking
from casd.fsspec.failures import exists_already, is_a_folder, translated
from casd.fsspec.files import CasdFile
from casd.fsspec.moving import copied, stored, told
from casd.fsspec.places import Info, Place, file_info, folder_info, has_version, place_of
from casd.fsspec.ranges import limits, many_ranges
from casd.fsspec.session import Session

AT_ONCE = 16  # transfers and questions of one call; each transfer holds a few MiB


class CasdFileSystem(AsyncFileSystem):
    """The names of one daemon, as `casd://namespace/name`.

    `endpoint_url` and `token` are those of the daemon; without the first, it is the one that `Client()` finds. With
    `version_aware`, `?version=3` at the end of a path means that version of the name; otherwise a path is nothing but
    a name, and `version=3` says it wherever a file is read.

    Raises OSError: FileNotFoundError, PermissionError, IsADirectoryError, FileExistsError, ConnectionError where they
    say it. With `asynchronous=True` use the methods with an underscore, on one event loop, and `aclose` in the end.
    """

    protocol = "casd"

    def __init__(
        self,
        *,
        endpoint_url: str | None = None,
        token: str | None = None,
        version_aware: bool = False,
        client_options: dict[str, Any] | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        """`client_options` are those of casd.client.Client: deadlines, and how often something is tried again."""
        super().__init__(batch_size=batch_size or AT_ONCE, **kwargs)
        self.version_aware = version_aware
        self._url = endpoint_url  # not `url`: fsspec's own url_to_fs has a parameter of that name
        self._session = Session(self, lambda: Client(endpoint_url, token, **(client_options or {})))

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        return super()._strip_protocol(stringify_path(path)).lstrip("/")

    def to_dict(self, *, include_password: bool = True) -> dict[str, Any]:
        found: dict[str, Any] = super().to_dict(include_password=include_password)
        if not include_password:
            found.pop("token", None)
        return found

    # -- the daemon -------------------------------------------------------------------------------------------

    async def _client(self) -> Client:
        with translated(self._url or "casd://"):
            return await self._session.client()

    async def aclose(self) -> None:
        """No connection is open. The next use opens one again."""
        await self._session.close()

    def _place(self, path: str, version: int | None = None) -> Place:
        return place_of(self._strip_protocol(path), version_aware=self.version_aware, version=version)

    # -- looking ----------------------------------------------------------------------------------------------

    async def _info(self, path: str, *, version: int | None = None, **kwargs: Any) -> Info:
        place = self._place(path, version)
        if not place.namespace:
            return folder_info("")
        client = await self._client()
        with translated(place.path):
            if not place.name:
                await client.tree.first(place.namespace)
                return folder_info(place.namespace)
            if place.version is not None:
                return file_info(await client.version(place.namespace, place.name, number=place.version))
            return await looking.found(client, place)

    async def _ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Info] | list[str]:
        place, client = self._place(path), await self._client()
        found = [info async for info in looking.entries(client, place)] if place.version is None else []
        if not found and place.name:
            found = [await self._info(path)]  # a file, or nothing
        found.sort(key=lambda info: str(info["name"]))
        return found if detail else [info["name"] for info in found]

    async def _find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, **kwargs: Any
    ) -> list[str] | dict[str, Info]:
        """One listing by prefix, not one a folder."""
        place, prefix = self._place(path), str(kwargs.pop("prefix", "") or "")
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        if not place.namespace or place.version is not None or (maxdepth or 1) > 1:
            return await super()._find(path, maxdepth=maxdepth, withdirs=withdirs, **kwargs)
        listing = looking.entries if maxdepth == 1 else looking.below
        found = [info async for info in listing(await self._client(), place, prefix)]
        out = {info["name"]: info for info in found if withdirs or info["type"] == "file"}
        if not found and not prefix and place.name:
            with suppress(FileNotFoundError):
                out[place.path] = await self._info(path)
        elif withdirs and not prefix:
            out[place.path] = folder_info(place.path)
        return {name: out[name] for name in sorted(out)} if kwargs.get("detail") else sorted(out)

    async def _du(self, path: str, total: bool = True, maxdepth: int | None = None, **kwargs: Any) -> Any:
        found: Any = await self._find(path, maxdepth=maxdepth, detail=True, **kwargs)
        sizes = {name: info["size"] for name, info in found.items()}
        return sum(sizes.values()) if total else sizes

    async def _expand_path(self, path: Any, *args: Any, **kwargs: Any) -> list[str]:
        """The `?` before a version is no wildcard."""
        paths = [path] if isinstance(path, str) else list(path)
        exact = [self._strip_protocol(each) for each in paths if self.version_aware and has_version(str(each))]
        rest = [each for each in paths if not (self.version_aware and has_version(str(each)))]
        return sorted({*exact, *(await super()._expand_path(rest, *args, **kwargs) if rest else ())})

    async def _versions(self, path: str) -> list[Info]:
        """Every version of a name that has bytes, oldest first."""
        place = self._place(path)
        client = await self._client()
        with translated(place.path):
            found = [version async for version in client.versions(place.namespace, place.name)]
        return [file_info(each) for each in sorted(found, key=lambda each: each.number) if not each.is_marker]

    async def _modified(self, path: str) -> Any:
        """When this version was stored."""
        info = await self._info(path)
        if info["type"] == "directory":
            raise is_a_folder(path)
        return info["created"]

    async def _ukey(self, path: str) -> str:
        """The SHA-512 of the bytes: it changes when they do."""
        info = await self._info(path)
        if info["type"] == "directory":
            raise is_a_folder(path)
        return str(info["sha512"])

    async def _checksum(self, path: str) -> int:
        return int(await self._ukey(path), 16)

    async def _sign(self, path: str, expiration: int = 100, **kwargs: Any) -> str:
        """A URL that reads this without a token, for so many seconds."""
        place = self._place(path, kwargs.get("version"))
        client = await self._client()
        with translated(place.path):
            signed = await client.signing.name(
                place.namespace, place.name, version=place.version, expires_in_s=int(expiration)
            )
        return signed.url

    # -- reading ----------------------------------------------------------------------------------------------

    async def _reader(self, place: Place) -> Reader:
        """Of one version, looked up now."""
        client = await self._client()
        async with self._as_file(place):
            return await client.reader_name(place.namespace, place.name, version=place.version).__aenter__()

    async def _reader_at(self, path: str) -> Reader:
        return await self._reader(self._place(path))

    @asynccontextmanager
    async def _as_file(self, place: Place) -> AsyncIterator[None]:
        """What the client raises as OSError: IsADirectoryError where there is no name, but a folder."""
        if not place.name:
            raise is_a_folder(place.path)
        try:
            with translated(place.path):
                yield
        except FileNotFoundError:
            if await self._isdir(place.path):
                raise is_a_folder(place.path) from None
            raise

    async def _cat_file(
        self, path: str, start: int | None = None, end: int | None = None, *, version: int | None = None, **kwargs: Any
    ) -> bytes:
        place = self._place(path, version)
        if start is None and end is None:
            buffer = io.BytesIO()
            await self._fetched(place, lambda download: stream(download, buffer))
            return buffer.getvalue()
        reader = await self._reader(place)
        with translated(place.path):
            return await reader.read(*limits(start, end, reader.content.size))

    async def _cat_ranges(
        self,
        paths: list[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        batch_size: int | None = None,
        on_error: str = "return",
        **kwargs: Any,
    ) -> list[bytes | OSError]:
        """What lies in the same blocks, or no more than `max_gap` bytes apart, comes with one request."""
        if not isinstance(paths, list):
            raise TypeError("cat_ranges takes a list of paths")
        starts = starts if isinstance(starts, Iterable) else [starts] * len(paths)
        ends = ends if isinstance(ends, Iterable) else [ends] * len(paths)
        wanted = list(zip(paths, starts, ends, strict=True))
        found = await many_ranges(self._reader_at, wanted, max_gap or 0, batch_size or self.batch_size)
        if on_error != "return" and (errors := [each for each in found if isinstance(each, OSError)]):
            raise errors[0]
        return found

    async def _get_file(
        self, rpath: str, lpath: Any, callback: Any = DEFAULT_CALLBACK, *, version: int | None = None, **kwargs: Any
    ) -> None:
        """The file is there, whole and checked, or as it was; what a broken transfer left is gone on with."""
        place, progress = self._place(rpath, version), told(callback)
        if isfilelike(lpath):
            await self._fetched(place, lambda download: stream(download, lpath, progress))
            return

        async def saved(download: Download) -> None:
            await asyncio.to_thread(os.makedirs, os.path.dirname(lpath) or ".", exist_ok=True)
            await save(download, Path(lpath), progress)

        try:
            await self._fetched(place, saved)
        except IsADirectoryError:
            await asyncio.to_thread(os.makedirs, lpath, exist_ok=True)

    async def _fetched(self, place: Place, fetch: Callable[[Download], Awaitable[None]]) -> None:
        client = await self._client()
        async with (
            self._as_file(place),
            client.download_name(place.namespace, place.name, version=place.version) as download,
        ):
            await fetch(download)

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        *,
        version: int | None = None,
        content_type: str | None = None,
        size: int | None = None,
        **kwargs: Any,
    ) -> CasdFile:
        """For reading, one version of it; for writing (wb, xb, ab) the next. To append, all of it is sent again."""
        place = self._place(path, version)
        if mode == "rb":
            return CasdFile(self, place, mode, block_size=block_size, cache_options=cache_options, **kwargs)
        if place.version is not None:
            raise ValueError("a version cannot be written, only the next one of its name")
        if not place.name:
            raise is_a_folder(place.path)
        if mode == "xb":
            sync(self.loop, self._check_new, place)

        async def store(source: Source) -> Version:
            return await stored(await self._client(), place, source, content_type, is_new=mode == "xb")

        return CasdFile(self, place, mode, store=store, block_size=block_size, autocommit=autocommit, **kwargs)

    # -- writing ----------------------------------------------------------------------------------------------

    async def _check_new(self, place: Place) -> None:
        if await self._isfile(place.path):
            raise exists_already(place.path)

    async def _publish(self, place: Place, source: Source, mode: str, content_type: str | None, callback: Any) -> None:
        if not place.name:
            raise is_a_folder(place.path)
        if mode == "create":
            await self._check_new(place)
        client = await self._client()
        with translated(place.path, is_new=True):
            await stored(client, place, source, content_type, is_new=mode == "create", progress=told(callback))

    async def _put_file(
        self,
        lpath: str,
        rpath: str,
        callback: Any = DEFAULT_CALLBACK,
        mode: str = "overwrite",
        *,
        content_type: str | None = None,
        **kwargs: Any,
    ) -> None:
        """What the daemon has is not sent; what a broken transfer left is gone on with."""
        if await asyncio.to_thread(os.path.isdir, lpath):
            return
        async with open_path(Path(lpath)) as source:
            await self._publish(self._place(rpath), source, mode, content_type, callback)

    async def _pipe_file(
        self, path: str, value: bytes, mode: str = "overwrite", *, content_type: str | None = None, **kwargs: Any
    ) -> None:
        source = from_file(io.BytesIO(value))
        await self._publish(self._place(path), source, mode, content_type, DEFAULT_CALLBACK)

    async def _cp_file(self, path1: str, path2: str, *, version: int | None = None, **kwargs: Any) -> None:
        """The same blob under both names: no byte moves, unless it is of a namespace that we may only read."""
        source, target = self._place(path1, version), self._place(path2)
        info = await self._info(path1, version=version)
        if info["type"] == "directory":
            return
        client = await self._client()
        with translated(target.path, is_new=True):
            await copied(client, source, info, target)

    async def _touch(self, path: str, truncate: bool = True, **kwargs: Any) -> None:
        """An empty version; without `truncate` the same bytes once more, as a version of now."""
        if truncate or not await self._exists(path):
            await self._pipe_file(path, b"")
        else:
            await self._cp_file(path, path)

    async def _rm_file(self, path: str, *, version: int | None = None, **kwargs: Any) -> None:
        """A delete marker hides the name, and its versions stay as long as the daemon keeps them; of a version, that
        one is gone."""
        place = self._place(path, version)
        client = await self._client()
        async with self._as_file(place):
            await client.delete_name(place.namespace, place.name, version=place.version)

    async def _rm(
        self,
        path: str | list[str],
        recursive: bool = False,
        batch_size: int | None = None,
        maxdepth: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Folders go with what is in them. What somebody else removed meanwhile is no error."""
        paths = await self._expand_path(path, recursive=recursive, maxdepth=maxdepth)
        gate = asyncio.Semaphore(batch_size or self.batch_size)

        async def remove(each: str) -> None:
            async with gate:
                try:
                    await self._rm_file(each, **kwargs)
                except (FileNotFoundError, IsADirectoryError):
                    if not recursive:
                        raise

        await asyncio.gather(*(remove(each) for each in paths))

    modified = sync_wrapper(_modified)
    created = sync_wrapper(_modified)
    ukey = sync_wrapper(_ukey)
    checksum = sync_wrapper(_checksum)
    sign = sync_wrapper(_sign)
    versions = sync_wrapper(_versions)
    touch = sync_wrapper(_touch)
