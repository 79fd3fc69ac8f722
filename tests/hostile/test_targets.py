"""Whom a request asks, and for what: absolute forms against Host."""

import json

from tests.conftest import Daemon
from tests.hostile.conftest import Target
from tests.hostile.sender import heard
from tests.web.wire import Wire


async def test_the_host_in_an_absolute_form_counts_and_not_the_other(target: Target) -> None:
    """RFC 9112, 3.2.2: so that a proxy that looks at one and casd that looks at the other mean the same."""
    answer = await heard(target.daemon, signing(target.daemon, "http://inner.test:8080/v1/signed-urls", "outer.test"))

    (url,) = [json.loads(line)["url"] for line in answer.raw.splitlines() if line.startswith(b"{")]
    assert url.startswith("http://inner.test:8080/v1/names/default/known?")


async def test_an_absolute_form_keeps_its_query(target: Target) -> None:
    own = f"Authorization: Bearer {target.daemon.token}\r\nConnection: close"

    answer = await heard(target.daemon, f"GET http://a?/v1/whoami HTTP/1.1\r\nHost: a\r\n{own}\r\n\r\n".encode())

    with Wire(target.daemon) as wire:
        root = wire.ask("GET", "/?/v1/whoami")
    assert answer.statuses == [root.status]
    assert root.body in answer.raw


def signing(daemon: Daemon, form: str, host: str) -> bytes:
    body = json.dumps({"path": "/v1/names/default/known", "expires_in": 60})
    lines = [f"POST {form} HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {daemon.token}"]
    return "\r\n".join([*lines, "Connection: close", f"Content-Length: {len(body)}", "", body]).encode()
