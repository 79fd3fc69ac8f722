"""Heads that aiohttp 3.14.5 takes for what they are not: other versions of HTTP, targets and hosts that are none, and
wishes for another protocol."""

import re
from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

from aiohttp import hdrs
from aiohttp.http_exceptions import BadStatusLine
from aiohttp.http_parser import RawRequestMessage
from aiohttp.http_writer import HttpVersion10, HttpVersion11
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import _ErrInfo

Message: TypeAlias = tuple[RawRequestMessage | _ErrInfo, StreamReader]

VERSIONS = (HttpVersion10, HttpVersion11)


# RFC 3986, 3.2.2 and 3.2.3. There is no user in a Host, and nobody is to send a password in a target.
_HOST = r"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?"
_HOST_FIELD = re.compile(_HOST, re.ASCII)
_ABSOLUTE = re.compile(rf"https?://(?=[^/?:])({_HOST})(/[^?]*)?(?:\?(.*))?", re.ASCII | re.IGNORECASE | re.DOTALL)


def refuse(messages: deque[Message]) -> None:
    """A head that is not HTTP/1.0 or 1.1 is none, nor is one that leaves open whom it asks, and nothing counts behind.

    aiohttp would answer `HTTP/0.9 200 OK`, and takes any Host, or two.
    """
    for at, (message, _) in enumerate(messages):
        if not isinstance(message, _ErrInfo) and not is_readable(message):
            refusal = _ErrInfo(400, BadStatusLine("a head that casd does not read"), "")
            while len(messages) > at:
                messages.pop()
            messages.append((refusal, EMPTY_PAYLOAD))
            return


def is_readable(message: RawRequestMessage) -> bool:
    """Whether version, target and Host are as RFC 9112 has them (2.3, 3.2)."""
    if message.version not in VERSIONS:
        return False
    is_absolute = not message.path.startswith(("/", "*")) and message.method != hdrs.METH_CONNECT
    if is_absolute and absolute_form(message.path) is None:
        return False
    hosts = message.headers.getall(hdrs.HOST, ())
    if len(hosts) != 1:
        return not hosts and message.version == HttpVersion10
    return _HOST_FIELD.fullmatch(hosts[0]) is not None


def absolute_form(target: str) -> tuple[str, str, str] | None:
    """Host, path and query of a target that names them all; None for any other."""
    match = _ABSOLUTE.fullmatch(target)
    return (match[1], match[2] or "/", match[3] or "") if match else None


def hides_what_follows(messages: Sequence[Message], known: int, data: bytes) -> bool:
    """Whether no request may be taken behind the newest, of those beyond `known` that were parsed out of `data`.

    So it is with one that asks for another protocol, unless surely none has come yet: aiohttp's parser stops there,
    and forgets what else stood in `data` (but for WebSocket). Nobody could tell where the next head begins.
    """
    message, body = messages[-1]
    if isinstance(message, _ErrInfo) or not message.upgrade or message.method == hdrs.METH_CONNECT:
        return False
    if message.headers.get(hdrs.UPGRADE, "").lower() == "websocket":
        return False
    is_last_in_data = data[:1] not in (b"\r", b"\n") and data.find(b"\r\n\r\n") == len(data) - 4
    return not (is_last_in_data and body is EMPTY_PAYLOAD and len(messages) == known + 1)
