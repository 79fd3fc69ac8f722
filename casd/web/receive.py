"""Taking a body: into a stage, or as bounded JSON (DESIGN.md 7).

`100 Continue` is sent here, when a handler begins to read: by then credentials, limits and preconditions have passed.
"""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from aiohttp import hdrs, web

from casd.errors import BodyTimeout, InvalidInput, TooLarge, UnsupportedEncoding
from casd.model import JSON
from casd.store import DEFAULT_CONTENT_TYPE
from casd.tasks import to_the_end
from casd.web.keys import BODY_AWAITED_S, EXPECTATION, LIMITS
from casd.web.ranges import number
from casd.web.traffic import TRAFFIC
from casd.web.validity import check_still_good
from casd.web.waiting import PROGRESS, Progress, place_of

JSON_LIMIT_BYTES = 1 << 20
JSON_DEPTH = 64
_WHOLE = re.compile(r"bytes 0-(\d+)/(\d+)", re.ASCII)


def announced_size(request: web.Request) -> int | None:
    """The body's Content-Length, None where it is not announced; checked before anything is read.

    Raises TooLarge, UnsupportedEncoding, and InvalidInput for a part of a body: curl's `-C N -T` sends the tail with a
    Content-Range, and that tail must not become a payload.
    """
    encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower()
    if encoding != "identity":
        raise UnsupportedEncoding(f"Content-Encoding {encoding[:40]!r}: casd stores the bytes as they are sent")
    if request.headers.get(hdrs.TRANSFER_ENCODING, "chunked").strip().lower() != "chunked":
        raise UnsupportedEncoding("casd takes no other Transfer-Encoding than chunked")  # it would store coded bytes
    size = request.content_length
    limit = request.app[LIMITS].max_body_bytes
    if size is not None and size > limit:
        raise TooLarge("the body", limit)
    partial = request.headers.get(hdrs.CONTENT_RANGE)
    if partial is not None:
        whole = _WHOLE.fullmatch(partial.strip())
        if whole is None or number(whole[1]) + 1 != number(whole[2]) or size not in (None, number(whole[2])):
            raise InvalidInput("Content-Range: this takes whole bodies only; resume with /v1/uploads")
    return size


class Sink(Protocol):
    """What a body goes into: a stage, or a resumable upload."""

    def append(self, data: bytes) -> Coroutine[Any, Any, None]: ...


async def receive(request: web.Request, into: Sink) -> None:
    """Append the whole body. Raises as `pump` and `next_piece`."""
    await proceed(request)
    await pump(lambda: next_piece(request), into, request.app[LIMITS].max_body_bytes)


async def pump(next_data: Callable[[], Awaitable[bytes]], into: Sink, limit_bytes: int) -> None:
    """Append what comes until it is empty, one batch while the next arrives.

    A batch is what arrived while the one before was being hashed and written, so batches grow as the disk falls behind,
    and what waits is bounded by the connection's buffer alone: a batch more in hand made nothing quicker. Raises
    TooLarge, StorageFailed, and ConnectionError if the client hangs up.
    """
    size = 0
    while data := await next_data():
        size += len(data)
        if size > limit_bytes:
            raise TooLarge("the body", limit_bytes)
        # To its end, also for a request that is cut off: what has arrived counts in a resumable upload.
        await to_the_end(into.append(data))


async def next_piece(request: web.Request) -> bytes:
    """What has arrived of the body, empty at its end. Raises BodyTimeout, InvalidInput, Unauthenticated."""
    idle_timeout_s = request.app[LIMITS].body_idle_timeout_s
    progress = request.setdefault(PROGRESS, Progress())
    pace = request.app[TRAFFIC].limits.pace
    began_at = time.perf_counter()
    try:
        with place_of(request).idle():
            async with asyncio.timeout(idle_timeout_s):
                data = await request.content.readany()
    except TimeoutError:
        raise BodyTimeout(f"no byte of the body arrived for {idle_timeout_s:g} s") from None
    except web.RequestPayloadError as error:  # chunks that do not parse, or a body that ends too early
        raise InvalidInput("the body's framing is broken") from error
    finally:
        waited_s = time.perf_counter() - began_at
        request[BODY_AWAITED_S] = request.get(BODY_AWAITED_S, 0.0) + waited_s
    if data and progress.is_too_slow(pace, waited_s, len(data)):
        raise BodyTimeout(f"less than {pace.bytes_per_s:g} bytes a second of the body arrived for {pace.window_s:g} s")
    await check_still_good(request)
    return data


async def proceed(request: web.Request) -> None:
    """Tell a client that waits for it to go on (RFC 9110, 10.1.1)."""
    if request.get(EXPECTATION):
        request[EXPECTATION] = ""
        if request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def read_json(request: web.Request) -> dict[str, Any]:
    """The body's JSON object. Raises InvalidInput, TooLarge, BodyTimeout, UnsupportedEncoding."""
    value = await read_json_value(request)
    if not isinstance(value, dict):
        raise InvalidInput("the body is a JSON object")
    return value


async def read_json_value(request: web.Request) -> JSON:
    return parse_json(await read_body(request, "the JSON body", JSON_LIMIT_BYTES))


async def read_body(request: web.Request, what: str, limit_bytes: int) -> bytes:
    """The whole body. Raises InvalidInput, TooLarge, BodyTimeout, UnsupportedEncoding."""
    announced_size(request)
    await proceed(request)
    body = bytearray()
    while data := await next_piece(request):
        body += data
        if len(body) > limit_bytes:
            raise TooLarge(what, limit_bytes)
    return bytes(body)


def parse_json(body: bytes) -> JSON:
    """Strict JSON: UTF-8, no NaN or Infinity, no lone surrogates, bounded depth. Raises InvalidInput."""
    try:
        value: JSON = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
        _check_depth(value)
        # What cannot be written again: a lone surrogate does not encode, and 1e999 was read as an infinity.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError) as error:  # UnicodeError and JSONDecodeError are ValueErrors
        raise InvalidInput(f"the body is not JSON as casd takes it: {error}") from None
    return value


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _check_depth(value: JSON) -> None:
    level: list[JSON] = [value]
    for _ in range(JSON_DEPTH + 1):
        level = [
            child
            for item in level
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return
    raise ValueError(f"nested deeper than {JSON_DEPTH}")


# -- what a client says beside its bytes ----------------------------------------------------------------------------

_CONTENT_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]*(?:;[\x20-\x7e\t]*)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
TEXT_LIMIT_BYTES = 1024


def checked_content_type(text: str | None) -> str:
    """The media type as it was sent, parameters and all. Raises InvalidInput."""
    if text is None or not text.strip():
        return DEFAULT_CONTENT_TYPE
    text = text.strip()
    if len(text) > 255 or not _CONTENT_TYPE.fullmatch(text):
        raise InvalidInput("Content-Type is type/subtype, of at most 255 characters")
    return text


def checked_text(text: str, what: str, limit_bytes: int = TEXT_LIMIT_BYTES) -> str:
    """Text that is safe to keep and to show: UTF-8, not empty, bounded, without control characters.

    Raises InvalidInput.
    """
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise InvalidInput(f"{what} must be valid UTF-8") from None
    if not 1 <= size <= limit_bytes or _CONTROL.search(text):
        raise InvalidInput(f"{what} has 1 to {limit_bytes} bytes of UTF-8 and no control characters")
    return text
