"""Heads that aiohttp 3.14.5 takes for what they are not: other versions of HTTP, and wishes for another protocol."""

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


def refuse_versions(messages: deque[Message]) -> None:
    """A head of another HTTP is none: aiohttp would answer `HTTP/0.9 200 OK`."""
    for at, (message, _) in enumerate(messages):
        if not isinstance(message, _ErrInfo) and message.version not in VERSIONS:
            refusal = _ErrInfo(400, BadStatusLine("a version of HTTP that casd does not speak"), "")
            while len(messages) > at:
                messages.pop()
            messages.append((refusal, EMPTY_PAYLOAD))
            return


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
