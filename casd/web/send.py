"""Handing out a payload: the one function that does it for every dialect (DESIGN.md 6).

aiohttp's FileResponse is not used: it replaces our ETag with one of mtime and size, answers a stale If-Range with 206,
which spoils a resumed download, and several ranges with 416 (all measured, aiohttp 3.14.5).
"""

import asyncio
import hashlib
import logging
import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from typing import TypeAlias
from urllib.parse import quote

from aiohttp import web

from casd.errors import CasdError, PreconditionFailed, RangeNotSatisfiable, Unauthenticated
from casd.model import Blob, ByteRange, Digest
from casd.verified import VerifiedPayload, check_unmarked
from casd.web.acting import tell_read
from casd.web.admission import admit_transfer
from casd.web.conditions import Outcome, Validators, evaluate, range_applies
from casd.web.digest_fields import member, wanted
from casd.web.keys import ENDING, REQUEST_ID, SIGNED_UNTIL, TRANSMITTER, Ending, store_of
from casd.web.ranges import requested_ranges, requested_window
from casd.web.validity import check_still_good

log = logging.getLogger(__name__)

INLINE_BYTES = 64 << 10  # up to here headers and body leave in one write; a copy of 64 KiB costs 8 us
CONTENT_DIGEST_LIMIT_BYTES = 8 << 20  # a range up to here is hashed before it is sent, if the client wants it
CONTENT_DIGEST_STEP_BYTES = 1 << 20
KNOWN_FACTS = 4096  # representations, about 1 KiB each
YEAR_S = 31_536_000
IMMUTABLE = f"private, immutable, max-age={YEAR_S}"
IMMUTABLE_PUBLIC = f"public, immutable, max-age={YEAR_S}"
REVALIDATE = "no-cache"

# Shown in a browser when asked for; HTML, SVG and PDF can run scripts and never are.
HARMLESS = frozenset(f"image/{kind}" for kind in ("png", "jpeg", "gif", "webp", "avif", "bmp")) | {"text/plain"}
HARMLESS_GROUPS = ("audio/", "video/")
SAFETY = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Accel-Buffering": "no",  # nginx would write a large download to its own disk first
}

# What turns the writing round or ends a line: "exe.jpg" that is a gpj.exe. Folders are for who saves it to leave out
# (RFC 6266, 4.3), the more so as the name that is meant here may hold them.
_MISLEADING = re.compile("[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")

Window: TypeAlias = Callable[[Mapping[str, str], int], ByteRange | None]
"""From a query and a payload's size to the bytes that are asked for; None for all, where Range decides."""


@dataclass(frozen=True, slots=True)
class Representation:
    """How a blob's payload is to be presented."""

    blob: Blob
    modified_at: datetime
    cache_control: str
    filename: str | None
    is_name: bool = False  # reached by a name, which may mean other bytes tomorrow
    content_location: str | None = None  # of the exact version
    window: Window = requested_window  # what a query asks for beside Range
    is_chunked: bool = False  # framing that no HTTP/1.1 client can mistake for complete when it is cut


async def send(request: web.Request, representation: Representation) -> web.StreamResponse:
    """Answer a GET or HEAD with the payload, or the part that is asked for.

    Raises PreconditionFailed, RangeNotSatisfiable, InvalidInput, PayloadMissing, PayloadDamaged, all before the first
    byte; afterwards a failure cuts the connection, so that a short body never looks complete.
    """
    blob, size = representation.blob, representation.blob.size
    window = representation.window(request.query, size)
    headers = _common_headers(request, representation)
    if window is not None:  # another representation, without a validator of the whole
        return await _respond(request, representation, 200, headers, (window,))

    validators, facts = unchanging(blob.digest, representation.modified_at, representation.is_name)
    headers.update(facts)
    match evaluate(request.headers, validators):
        case Outcome.FAILED:
            raise PreconditionFailed(f"this is {validators.etag}, which is not what the precondition says")
        case Outcome.NOT_MODIFIED:
            return web.Response(status=304, headers={key: headers[key] for key in headers if key in KEPT_BY_304})

    ranges: Sequence[ByteRange] = ()
    if request.method == "GET" and range_applies(request.headers.get("If-Range"), validators):
        ranges = requested_ranges(request.headers.get("Range"), size)
    if not ranges:
        return await _respond(request, representation, 200, headers, (ByteRange(0, size),))
    if len(ranges) > 1:
        return await _respond_multipart(request, representation, headers, ranges)
    headers["Content-Range"] = content_range(ranges[0], size)
    return await _respond(request, representation, 206, headers, ranges)


@lru_cache(KNOWN_FACTS)
def unchanging(digest: Digest, modified_at: datetime, is_name: bool) -> tuple[Validators, Mapping[str, str]]:
    """What a representation is compared by, and the fields that say so; making them takes 6 us."""
    validators = Validators(digest.hex, modified_at, is_name)
    return validators, {
        "ETag": f'"{validators.etag}"',
        "Last-Modified": validators.last_modified,
        "Accept-Ranges": "bytes",
        "Repr-Digest": member("sha-512", digest.raw),
    }


KEPT_BY_304 = frozenset({"ETag", "Last-Modified", "Cache-Control", "Content-Location"})  # RFC 9110, 15.4.5


def content_range(part: ByteRange, size: int) -> str:
    return f"bytes {part.start}-{part.stop - 1}/{size}"


def unsatisfied(error: RangeNotSatisfiable) -> dict[str, str]:
    """What a 416 tells beside its body (RFC 9110, 15.5.17)."""
    return {"Content-Range": f"bytes */{error.size}"}


def _common_headers(request: web.Request, representation: Representation) -> dict[str, str]:
    blob = representation.blob
    headers = {
        "Content-Type": blob.content_type,
        "Content-Disposition": disposition(request.query, blob.content_type, representation.filename),
        "Cache-Control": cache_policy(request, representation.cache_control),
        **SAFETY,
    }
    if representation.content_location is not None:
        headers["Content-Location"] = representation.content_location
    return headers


def cache_policy(request: web.Request, policy: str) -> str:
    """The policy, for no longer than the signed URL lives that led here, and then for nobody else."""
    ends_at = request.get(SIGNED_UNTIL)
    if ends_at is None or policy == REVALIDATE:
        return policy
    left_s = (ends_at - store_of(request).now()).total_seconds()
    return f"private, immutable, max-age={min(YEAR_S, max(0, int(left_s)))}"


def disposition(query: Mapping[str, str], content_type: str, filename: str | None) -> str:
    """Content-Disposition (RFC 6266): a download, unless it is asked for inline and cannot do harm in a browser."""
    kind = content_type.partition(";")[0].strip().lower()
    is_harmless = kind in HARMLESS or kind.startswith(HARMLESS_GROUPS)
    value = "inline" if query.get("inline") == "1" and is_harmless else "attachment"
    if filename is None:
        return value
    shown = _MISLEADING.sub("_", filename)
    plain = "".join(char if " " <= char <= "~" and char not in '"\\%/' else "_" for char in shown)
    if plain == filename:
        return f'{value}; filename="{plain}"'
    return f"{value}; filename=\"{plain}\"; filename*=UTF-8''{quote(shown, safe='')}"


async def _respond(
    request: web.Request,
    representation: Representation,
    status: int,
    headers: dict[str, str],
    parts: Sequence[ByteRange],
) -> web.StreamResponse:
    """Answer with one run of bytes."""
    (part,) = parts
    if request.method == "HEAD":
        check_unmarked(representation.blob)  # as GET would; what nobody has read yet is not read for it
        return web.Response(status=status, headers=headers | {"Content-Length": str(part.size)})
    is_small = part.size <= INLINE_BYTES and not representation.is_chunked
    if not is_small:
        await admit_transfer(request)
    payload = await store_of(request).open_payload(representation.blob)
    tell_read(request, representation.blob)
    try:
        algorithm = wanted(request.headers.get("Want-Content-Digest"))
        if algorithm and status == 206 and part.size <= CONTENT_DIGEST_LIMIT_BYTES:
            headers["Content-Digest"] = await _content_digest(algorithm, payload, part)
        if is_small:
            return web.Response(status=status, headers=headers, body=await payload.read(part.start, part.stop))
        response = web.StreamResponse(status=status, headers=headers)
        if representation.is_chunked and request.version >= (1, 1):
            response.enable_chunked_encoding()
        else:
            response.content_length = part.size
        await _send_parts(request, response, payload, [(b"", part)], b"")
        return response
    finally:
        payload.close()


async def _respond_multipart(
    request: web.Request, representation: Representation, headers: dict[str, str], ranges: Sequence[ByteRange]
) -> web.StreamResponse:
    """Answer with several ranges as multipart/byteranges (RFC 9110, 14.6)."""
    boundary = secrets.token_hex(16)
    size, content_type = representation.blob.size, headers["Content-Type"]
    pieces = []
    for part in ranges:
        fields = f"Content-Type: {content_type}\r\nContent-Range: {content_range(part, size)}"
        pieces.append((f"\r\n--{boundary}\r\n{fields}\r\n\r\n".encode(), part))
    end = f"\r\n--{boundary}--\r\n".encode()
    headers["Content-Type"] = f"multipart/byteranges; boundary={boundary}"
    response = web.StreamResponse(status=206, headers=headers)
    response.content_length = sum(len(head) + part.size for head, part in pieces) + len(end)
    await admit_transfer(request)
    payload = await store_of(request).open_payload(representation.blob)
    tell_read(request, representation.blob)
    try:
        await _send_parts(request, response, payload, pieces, end)
    finally:
        payload.close()
    return response


async def _send_parts(
    request: web.Request,
    response: web.StreamResponse,
    payload: VerifiedPayload,
    pieces: Sequence[tuple[bytes, ByteRange]],
    end: bytes,
) -> None:
    """Send the headers and the body; whatever fails then cuts the connection, and is not raised."""
    transmitter, still_good = request.app[TRANSMITTER], partial(check_still_good, request)
    first = pieces[0][1]  # what is damaged at the start still gets a proper answer
    await payload.check(first.start, min(first.stop, first.start + INLINE_BYTES))
    await response.prepare(request)
    async with cutting_failures(request):
        for head, part in pieces:
            if head:
                await response.write(head)
            await transmitter.send(request, response, payload, part.start, part.stop, still_good)
        await response.write_eof(end)


@asynccontextmanager
async def cutting_failures(request: web.Request) -> AsyncIterator[None]:
    """Whatever fails within an answer's body cuts the connection, and is not raised."""
    try:
        yield
    except ConnectionError:
        cut(request, Ending.HUNG_UP)
    except TimeoutError:
        cut(request, Ending.STALLED)
    except Unauthenticated:
        log.info("transfer ended with its token request=%s", request[REQUEST_ID])
        cut(request, Ending.REVOKED)
    except CasdError as error:
        log.error("transfer failed request=%s error=%s", request[REQUEST_ID], error)
        cut(request, Ending.FAILED)
    except BaseException:
        cut(request, Ending.FAILED)
        raise


def cut(request: web.Request, ending: Ending) -> None:
    """End the connection so that no client takes the body for complete."""
    request[ENDING] = ending
    if request.transport is not None:
        request.transport.abort()


async def _content_digest(algorithm: str, payload: VerifiedPayload, part: ByteRange) -> str:
    """Content-Digest of the bytes about to be sent (RFC 9530)."""
    hasher = hashlib.new(algorithm.replace("-", ""))
    for start in range(part.start, part.stop, CONTENT_DIGEST_STEP_BYTES):
        data = await payload.read(start, min(part.stop, start + CONTENT_DIGEST_STEP_BYTES))
        await asyncio.to_thread(hasher.update, data)
    return member(algorithm, hasher.digest())
