"""What there is: a name or folder, what a folder shows, all files below it; each asked of the daemon now."""

from __future__ import annotations

from collections.abc import AsyncIterator

from casd.client import Client, Content, Refused
from casd.fsspec.failures import translated
from casd.fsspec.places import Info, Place, file_info, folder_info


async def found(client: Client, place: Place) -> Info:
    """A name, which hides a folder of the same name, or a folder. Raises FileNotFoundError, and as the client."""
    try:
        first = await client.tree.first(place.namespace, place.name)
        if first is not None and first.name == place.name:
            return file_info(first)
        if first is not None and not first.name.startswith(place.below):
            first = await client.tree.first(place.namespace, place.below)  # "a-b" comes before "a/b"
    except Refused as error:
        if error.status not in (401, 404):
            raise
        # A namespace that anybody may read, but only its members may list.
        async with client.reader_name(place.namespace, place.name) as reader:
            return content_info(place, reader.content)
    if first is None:
        raise FileNotFoundError(f"there is nothing at {place.path}")
    return folder_info(place.path)


def content_info(place: Place, content: Content) -> Info:
    """What the bytes themselves tell of a name."""
    return {
        "name": place.path,
        "type": "file",
        "size": content.size,
        "sha512": content.digest.hex,
        "ETag": f'"{content.digest}"',
        "version": content.version,
        "content_type": content.content_type,
    }


async def entries(client: Client, place: Place, prefix: str = "") -> AsyncIterator[Info]:
    """What is directly in a folder and starts with `prefix` there. Raises OSError."""
    with translated(place.path):
        if not place.namespace:
            async for namespace in client.accounts.namespaces():
                if namespace.name.startswith(prefix):
                    yield folder_info(namespace.name)
            return
        async for entry in client.tree.entries(place.namespace, place.below + prefix):
            if isinstance(entry, str):
                yield folder_info(f"{place.namespace}/{entry[:-1]}")
            else:
                yield file_info(entry)


async def below(client: Client, place: Place, prefix: str = "") -> AsyncIterator[Info]:
    """All files at any depth whose path in the folder starts with `prefix`, each folder before what is in it.

    One listing, page by page. Raises OSError.
    """
    root, folders = place.below, set[str]()
    with translated(place.path):
        async for version in client.names(place.namespace, root + prefix):
            at = version.name.find("/", len(root))
            while at >= 0:
                if (folder := version.name[:at]) not in folders:
                    folders.add(folder)
                    yield folder_info(f"{place.namespace}/{folder}")
                at = version.name.find("/", at + 1)
            yield file_info(version)
