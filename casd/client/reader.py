"""Any range of one payload, as often as it is wanted: for whoever reads a file here and there."""

from __future__ import annotations

from contextlib import aclosing
from typing import Self

from casd.client.download import Download
from casd.client.progress import Gauge
from casd.client.remote import Content
from casd.client.saving import checked_parts, sums_of
from casd.errors import InvalidInput


class Reader:
    """Used as `async with reader`; then `content` is known, and does not change. Made by Client, and raises as it does.

    Several reads at once are fine; each is tried again like a download.
    """

    def __init__(self, download: Download) -> None:
        self._download = download

    async def __aenter__(self) -> Self:
        await self._download.__aenter__()
        self._sums = sums_of(self._download)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._download.__aexit__(*exc_info)

    @property
    def content(self) -> Content:
        return self._download.content

    async def read(self, start: int, stop: int | None = None, *, is_checked: bool = True) -> bytes:
        """The bytes from `start` to `stop`, fewer where the payload ends before.

        They are checked by the whole blocks of 1 MiB that they lie in, which are fetched for it. With
        `is_checked=False` just they are fetched, and not checked. Raises InvalidInput for a range that cannot be,
        BlockDiffers, ContentChanged, and as `Download.pieces`.
        """
        size = self.content.size
        stop = size if stop is None else min(stop, size)
        if start < 0 or (stop < start and start < size):
            raise InvalidInput(f"bytes {start} to {stop} are no range")
        if start >= stop:
            return b""
        if is_checked:
            checked = checked_parts(self._download, Gauge(None), start, stop, self._sums)
            async with aclosing(checked) as parts:
                return b"".join([piece async for part in parts for piece in part])
        async with aclosing(self._download.pieces(start, stop)) as pieces:
            return b"".join([piece async for piece in pieces])
