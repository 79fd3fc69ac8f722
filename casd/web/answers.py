"""What dialects answer in JSON, and how a time is written in it."""

import json
from datetime import datetime
from typing import overload
from urllib.parse import quote

from aiohttp import web


def json_response(value: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"
    base = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return web.Response(status=status, body=text.encode("utf-8"), headers=base | (headers or {}))


@overload
def time_text(at: datetime) -> str: ...
@overload
def time_text(at: None) -> None: ...
def time_text(at: datetime | None) -> str | None:
    """RFC 3339, UTC, microseconds always written out."""
    return None if at is None else at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def path_of_version(namespace: str, name: str, number: int) -> str:
    """Where exactly this version is."""
    return f"/v1/names/{namespace}/{quote(name, safe='/')}?version={number}"
