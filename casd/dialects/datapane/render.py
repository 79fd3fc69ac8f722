"""What Datapane's clients are told of a blob, and the links by which they fetch it without a credential."""

from aiohttp import web

from casd.dialects.datapane import frames
from casd.errors import CasdError, StorageFailed
from casd.model import JSON, Blob, Namespace, Version
from casd.store import BlobStore
from casd.web.answers import json_response, time_text
from casd.web.keys import ORIGINS, REQUEST_ID, principal_of, store_of
from casd.web.links import link_end
from casd.web.signed import READ, Target, sign

EXPORT = "datapane-export"  # the purpose of a signature; the format is not part of what is signed: the client adds it
LINK_S = 86_400  # a Blob object in a notebook keeps its link for as long as it is held
# Clients up to 0.9 write this header's name with underscores, and save whatever a link answers without a look at its
# status: their links ask for errors that cannot pass for a file.
UNCHECKED_HEADER = "Datapane_API_Version"
UNCHECKED = "unchecked"


async def blob_json(request: web.Request, version: Version) -> dict[str, JSON]:
    """The version as a Blob, with its shape if it is a data frame."""
    store, blob = store_of(request), version.blob
    assert blob is not None
    newest = await store.catalogue.version(version.namespace, version.name)
    told = await summary_json(request, version, version.number if newest is None else newest.number)
    shape = await shape_of(store, blob)
    if shape is not None:
        rows, columns = shape.num_rows, shape.num_columns
        told |= {"num_rows": rows, "num_columns": columns, "cells": rows * columns}
    return told


async def summary_json(request: web.Request, version: Version, newest_number: int) -> dict[str, JSON]:
    """The version as a Blob of a listing."""
    store, principal, blob = store_of(request), principal_of(request), version.blob
    assert blob is not None
    base = request.app[ORIGINS].base_url(request)
    ends_at = await link_end(request, LINK_S)
    path = f"/api/blobs/{blob.uuid}/"
    query = f"?{UNCHECKED}=1" if UNCHECKED_HEADER in request.headers else ""
    data_url = base + await sign(store, principal.token, READ, Target.of(f"{path}data/{query}"), ends_at)
    return {
        "id": str(blob.uuid),
        "url": base + path,
        "web_url": base + path,
        "name": version.name,
        "title": version.name,
        "owner": version.namespace,
        "group": version.namespace,
        "visibility": visibility_of(await store.namespace(version.namespace)),
        "version": version.number,
        "versions": newest_number,
        "created": time_text(version.created_at),
        "content_type": blob.content_type,
        "size_bytes": blob.size,
        "data_url": data_url,
        "gcs_signed_url": data_url,
        "export_url": await sign(store, principal.token, EXPORT, Target.of(f"{path}export/{query}"), ends_at),
    }


def visibility_of(namespace: Namespace) -> str:
    """Who may read, in Datapane's words: an operator decides that for all blobs of a namespace."""
    if namespace.anonymous_read or "*" in namespace.readers:
        return "PUBLIC"
    return "ORG" if namespace.readers else "PRIVATE"


async def shape_of(store: BlobStore, blob: Blob) -> frames.Shape | None:
    """None for what is no data frame, or cannot be read now."""
    if blob.content_type != frames.CONTENT_TYPE:
        return None
    try:
        payload = await store.open_payload(blob)
    except StorageFailed:
        return None  # who fetches it will hear of that
    try:
        return await frames.shape_of(payload)
    except StorageFailed:
        return None
    finally:
        payload.close()


# -- errors -------------------------------------------------------------------------------------------------------


def render_error(request: web.Request, status: int, error: CasdError) -> web.Response:
    answer = json_response({"detail": str(error), "code": error.code, "request_id": request[REQUEST_ID]}, status)
    if request.method == "GET" and UNCHECKED in request.query:
        return Unfinished(request, answer)
    return answer


class Unfinished(web.Response):
    """A response whose body comes whole and never ends: the connection is closed before its last chunk.

    Who looks at the status sees it; who takes any body for the file has an error instead, and no spoiled file.
    """

    def __init__(self, request: web.Request, answer: web.Response) -> None:
        super().__init__(status=answer.status, headers=answer.headers)
        self.enable_chunked_encoding()
        self._request = request
        self._text = answer.body

    async def write_eof(self, data: bytes = b"") -> None:
        assert isinstance(self._text, bytes)
        await self.write(self._text)
        if self._request.transport is not None:
            self._request.transport.close()
