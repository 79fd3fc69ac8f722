"""What Shaken Fist's clients are told: their views of blobs and artifacts, errors, and long lists.

Clients up to 0.8.2 take only 200 for success and parse every body as JSON, so every answer is both.
"""

import json
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from aiohttp import web

from casd.errors import CasdError
from casd.model import BlobState, BlobView, NameInfo, Version
from casd.web.answers import json_response
from casd.web.keys import REQUEST_ID, Ending
from casd.web.send import cut

log = logging.getLogger(__name__)

NODE = "casd"  # where everything is
BLOB_SCHEMA = 7  # the versions of the original's views that these are like
ARTIFACT_SCHEMA = 6
LABEL_URL = "sf://label/"


def render_error(request: web.Request, status: int, error: CasdError) -> web.Response:
    return json_response({"error": str(error), "status": status}, status)


def blob_view(view: BlobView) -> dict[str, Any]:
    """The command line wants every key that stands here, and `instances` and `transcodes` not to be null."""
    blob = view.blob
    created_at = blob.created_at.timestamp()
    return {
        "uuid": str(blob.uuid),
        "state": blob.state.value,
        "metadata": dict(view.metadata),
        "version": BLOB_SCHEMA,
        "size": blob.size,
        "modified": created_at,
        "fetched_at": created_at,
        "last_used": None,
        "depends_on": None,
        "transcodes": {},
        "locations": [NODE],
        "reference_count": references(view),
        "instances": [],
        "sha512": blob.digest.hex,
        "checksums": checksums(view),
        "mime-type": blob.content_type,
        "mime type": blob.content_type,
    }


def checksums(view: BlobView) -> dict[str, str]:
    blob = view.blob
    return {"sha512": blob.digest.hex, "sha256": blob.sha256.hex(), "xxh128": blob.xxh3_128.hex()}


def references(view: BlobView) -> int:
    """What holds the blob: versions, and the blob itself where nobody deleted it."""
    return view.blob.version_count + view.blob.holds_itself


def artifact_view(info: NameInfo, versions: list[Version]) -> dict[str, Any]:
    """The name with the versions that have a blob, oldest first."""
    views = {version.number: version.view for version in versions if version.view is not None}
    newest = views[max(views)] if views else None
    view: dict[str, Any] = {
        "uuid": str(info.uuid),
        "name": info.name,
        "state": "error" if newest is not None and newest.blob.state is BlobState.ERROR else "created",
        "metadata": dict(info.metadata),
        "version": ARTIFACT_SCHEMA,
        "artifact_type": "label" if (info.source_url or "").startswith(LABEL_URL) else "image",
        "source_url": info.source_url or upload_url(info.namespace, info.name),
        "max_versions": info.keep_versions or 0,  # 0: all of them
        "namespace": info.namespace,
        "shared": info.shared,
        "index": max(views, default=0),
        "blobs": {str(number): version_view(one) for number, one in views.items()},
    }
    return view if newest is None else view | {"blob_uuid": str(newest.blob.uuid)}


def version_view(view: BlobView) -> dict[str, Any]:
    return {
        "uuid": str(view.blob.uuid),
        "size": view.blob.size,
        "reference_count": references(view),
        "depends_on": None,
        "instances": [],
    }


def upload_url(namespace: str, name: str) -> str:
    """Where an artifact says it came from if nobody said anything else."""
    return f"sf://upload/{namespace}/{name}"


async def list_response(request: web.Request, items: AsyncGenerator[object]) -> web.StreamResponse:
    """A JSON array of any length, as it is read; what fails after its first item cuts the connection."""
    async with aclosing(items):
        first = await anext(items, None)
        if first is None:
            return json_response([])
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Cache-Control": "no-store"})
        await response.prepare(request)  # without a length: in chunks, or to the end of an HTTP/1.0 connection
        if request.method == "HEAD":
            return response
        try:
            await response.write(b"[" + text_of(first))
            async for item in items:
                await response.write(b"," + text_of(item))
            await response.write_eof(b"]\n")
        except ConnectionError:
            cut(request, Ending.HUNG_UP)
        except CasdError as error:
            log.error("listing failed request=%s error=%s", request[REQUEST_ID], error)
            cut(request, Ending.FAILED)
        return response


def text_of(item: object) -> bytes:
    return json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode()
