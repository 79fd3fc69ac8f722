"""What a shell offers where Tab is pressed: the names, blobs and namespaces that the daemon has.

Whoever presses Tab waits and cannot be told of an error: the daemon is given a moment, and what fails offers nothing.
Shells put what is offered into the line as it is, so a name is offered only if no shell reads anything else into it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

import click

from casd import finding
from casd.errors import CasdError

if TYPE_CHECKING:
    import http.client

PATIENCE_S = 1.0  # for each of two questions
OFFERED = 200
LOOKED_AT = 1000  # blobs, of which those are offered that begin so

_HARMLESS = re.compile(r"[\w./@+][\w./@+-]*")
_UUID_PREFIX = re.compile(r"[0-9a-fA-F-]{2,36}", re.ASCII)


def names(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Names that begin so."""
    namespace = _namespace(ctx)
    if namespace is None:
        return []
    found = _asked(ctx, f"/v1/names/{quote(namespace, safe='')}", prefix=begun, limit=OFFERED)
    return [item["name"] for item in found.get("items", ()) if _HARMLESS.fullmatch(item["name"])]


def things(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Names that begin so, and UUIDs of blobs where it could be one."""
    return names(ctx, parameter, begun) + (_uuids(ctx, begun.lower()) if _UUID_PREFIX.fullmatch(begun) else [])


def namespaces(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    found = _asked(ctx, "/v1/namespaces")
    return [item["name"] for item in found.get("items", ()) if item["name"].startswith(begun)]


def _uuids(ctx: click.Context, begun: str) -> list[str]:
    found = _asked(ctx, "/v1/blobs", namespace=_namespace(ctx), limit=LOOKED_AT)
    return [item["uuid"] for item in found.get("items", ()) if item["uuid"].startswith(begun)][:OFFERED]


def _namespace(ctx: click.Context) -> str | None:
    """The one that was given, or the token's first."""
    given: str | None = ctx.params.get("namespace")
    if given:
        return given
    mine: list[str] = _asked(ctx, "/v1/whoami").get("namespaces", [])
    return mine[0] if mine else None


def _asked(ctx: click.Context, path: str, **query: object) -> dict[str, Any]:
    """What the daemon answers; nothing if it does not, or not in time."""
    import http.client

    given = ctx.find_root().params
    try:
        daemon = finding.daemon(given.get("url"), given.get("data"))
        connection, base = _connection(daemon.url)
        try:
            headers = {"Authorization": f"Bearer {daemon.token}"} if daemon.token else {}
            connection.request("GET", f"{base}{path}?{urlencode(query)}", headers=headers)
            answer = connection.getresponse()
            found = json.loads(answer.read()) if answer.status == 200 else {}
        finally:
            connection.close()
    except (CasdError, OSError, ValueError, http.client.HTTPException):
        return {}
    return found if isinstance(found, dict) else {}


def _connection(url: str) -> tuple[http.client.HTTPConnection, str]:
    """To the daemon at that URL, and what its paths begin with. Raises ValueError."""
    import http.client
    import socket

    parts = urlsplit(url)
    if parts.scheme == "unix":
        local = http.client.HTTPConnection("localhost", timeout=PATIENCE_S)
        local.sock = socket.socket(socket.AF_UNIX)
        local.sock.settimeout(PATIENCE_S)
        try:
            local.sock.connect(parts.path)
        except OSError:
            local.close()
            raise
        return local, ""
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("this is no address")  # a token goes nowhere else
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname, parts.port, timeout=PATIENCE_S), parts.path.rstrip("/")
