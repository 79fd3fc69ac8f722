"""Names and their versions, as they are asked for one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime

from casd.client import values
from casd.client.errors import Refused
from casd.client.paths import items, name_path, namespace_path, pages, which
from casd.client.remote import pinned_version
from casd.client.transport import Transport
from casd.client.values import Blob, NameInfo, Version
from casd.model import checked_name

QUESTIONS_AT_ONCE = 8  # of one call here


async def latest_version(transport: Transport, namespace: str, name: str) -> Version:
    """The latest version of a name: of all that start with it, a name itself comes first."""
    path = namespace_path("/v1/names", namespace)
    answer = await transport.json("GET", path, {"prefix": checked_name(name), "limit": 1})
    for item in items(answer):
        version = values.version(item)
        if version.name == name:
            return version
    raise Refused(404, "name-not-found", f"there is no name {name} in namespace {namespace}")


async def numbered_version(transport: Transport, namespace: str, name: str, number: int) -> Version:
    """That version. A daemon that does not know `newer_than` tells all before it."""
    path = name_path("/v1/versions", namespace, name)
    answer = await transport.json("GET", path, {"newer_than": max(0, number - 1), "limit": 1})
    for item in items(answer):
        version = values.version(item)
        if version.number == number:
            return version
        if version.number < number:
            async for each in pages(transport, path, {}, values.version):
                if each.number == number:
                    return each
    raise Refused(404, "version-not-found", f"{name} in namespace {namespace} has no version {number}")


async def version_number(transport: Transport, namespace: str, name: str, as_of: datetime | str | None) -> int | None:
    """Which version a name has, or had at that time."""
    path, query = name_path("/v1/names", namespace, name), which(None, as_of)
    try:
        async with await transport.open("HEAD", path, query) as response:
            return pinned_version(response)
    except Refused as error:
        if error.status == 500 and as_of is None:  # its bytes are damaged, which is no reason to hide what it is
            return (await latest_version(transport, namespace, name)).number
    # The answer to a HEAD has no body to say why: it is asked for again, with a byte.
    async with await transport.open("GET", path, query, {"Range": "bytes=0-0"}) as response:
        return pinned_version(response)


async def name_info(transport: Transport, namespace: str, name: str) -> NameInfo:
    return values.name_info(await transport.json("GET", name_path("/v1/name-info", namespace, name)))


async def hidden_names(transport: Transport, blobs: Iterable[Blob]) -> frozenset[tuple[str, str]]:
    """Those of the names (namespace and name) that these blobs tell of which are hidden, or gone since."""
    gate = asyncio.Semaphore(QUESTIONS_AT_ONCE)

    async def is_hidden(namespace: str, name: str) -> bool:
        try:
            async with gate:
                return (await name_info(transport, namespace, name)).hidden_at is not None
        except Refused as error:
            if error.status != 404:
                raise
            return True

    told = sorted({(ref.namespace, ref.name) for blob in blobs for ref in blob.names})
    answers = await asyncio.gather(*(is_hidden(*each) for each in told))
    return frozenset(each for each, hidden in zip(told, answers, strict=True) if hidden)
