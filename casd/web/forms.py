"""multipart/form-data (RFC 7578), taken apart while it arrives: parts of any size, nothing of payload size in memory.

aiohttp's own reader copies in pieces of 8 KiB, takes a part that is itself multipart apart, and raises what is not for
clients (AssertionError, RuntimeError) on forms that are broken.
"""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from aiohttp import hdrs, web

from casd.errors import InvalidInput, TooLarge, UnsupportedEncoding
from casd.store import Description
from casd.web.keys import LIMITS
from casd.web.receive import (
    Sink,
    announced_size,
    checked_content_type,
    checked_text,
    next_piece,
    proceed,
    pump,
)

HEAD_LIMIT_BYTES = 16 << 10  # of one part
PARTS_LIMIT = 100
FRAMES_LIMIT_BYTES = 64 << 10  # what is beside the file in forms of real clients: fields, boundaries, heads
TEXT_LIMIT_BYTES = 1 << 20  # of a part that is read into memory

_BOUNDARY = re.compile(
    r"""multipart/form-data[ \t]*;.*?\bboundary=(?:"([^"]{1,70})"|([^\s";,]{1,70})(?![^\s;,]))""", re.I | re.S
)
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*?)[ \t]*")
_PARAMETER = re.compile(r""";[ \t]*([A-Za-z0-9!#$&+.^_`|~*-]+)=("(?:[^"\\]|\\.)*"|[^;"]*)""")


@dataclass(slots=True)
class Part:
    """One field of a form. What is not read of it is skipped."""

    headers: Mapping[str, str]  # names in lower case
    _form: "Form" = field(repr=False)

    @property
    def name(self) -> str | None:
        return disposition(self.headers).get("name")

    @property
    def filename(self) -> str | None:
        """As it was sent, without a folder: some clients send whole paths."""
        text = disposition(self.headers).get("filename")
        return re.split(r"[\\/]", text)[-1] or None if text else None

    @property
    def content_type(self) -> str | None:
        return self.headers.get("content-type")

    def description(self) -> Description:
        """What its sender says of a file. Raises InvalidInput."""
        filename = self.filename
        return Description(
            checked_content_type(self.content_type),
            None if filename is None else checked_text(filename, "the filename"),
        )

    async def next_piece(self) -> bytes:
        """What has arrived of it, empty at its end. Raises as `receive.next_piece`, InvalidInput."""
        return await self._form.next_of_part()

    async def receive(self, into: Sink) -> None:
        """Append the whole part. Raises UnsupportedEncoding for one that is encoded, and as `pump`."""
        for name in ("content-encoding", "content-transfer-encoding"):
            encoding = self.headers.get(name, "binary").lower()
            if encoding not in ("binary", "8bit", "7bit", "identity"):
                raise UnsupportedEncoding(f"{name} {encoding[:40]!r} of a part: casd stores the bytes as they are sent")
        await pump(self.next_piece, into, self._form.limit_bytes)

    async def text(self, limit_bytes: int = TEXT_LIMIT_BYTES) -> str:
        """The whole part as UTF-8. Raises TooLarge, InvalidInput."""
        body = bytearray()
        while data := await self.next_piece():
            body += data
            if len(body) > limit_bytes:
                raise TooLarge(f"the part {self.name or ''}", limit_bytes)
        try:
            return body.decode("utf-8")
        except UnicodeDecodeError:
            raise InvalidInput(f"the part {self.name or ''} is UTF-8") from None


class Form:
    """A request's form, part by part: `async for part in form`."""

    def __init__(self, request: web.Request) -> None:
        """Raises InvalidInput for a body that is no form, and as `announced_size`."""
        match = _BOUNDARY.match(request.headers.get(hdrs.CONTENT_TYPE, ""))
        if match is None:
            raise InvalidInput("the body is multipart/form-data with a boundary of 1 to 70 characters")
        self.size = announced_size(request)  # of all parts with their frames; None where it is not announced
        self.limit_bytes: int = request.app[LIMITS].max_body_bytes
        self._request = request
        self._delimiter = b"\r\n--" + (match[1] or match[2]).encode("utf-8", "surrogateescape")
        self._buffer = bytearray(b"\r\n")  # so that the first boundary looks like the others
        self._is_in_part = False

    @property
    def least_size(self) -> int:
        """What is surely payload of all that is announced: beside its files a form has little."""
        return max(0, (self.size or 0) - FRAMES_LIMIT_BYTES)

    async def __aiter__(self) -> AsyncIterator[Part]:
        await proceed(self._request)
        self._is_in_part = True  # the preamble ends like a part
        for _ in range(PARTS_LIMIT):
            while await self.next_of_part():
                pass
            if await self._is_last_boundary():
                return
            part = Part(await self._head(), self)
            self._is_in_part = True
            yield part
        raise InvalidInput(f"a form has at most {PARTS_LIMIT} parts")

    async def next_of_part(self) -> bytes:
        """Bytes up to the next boundary as they come, empty there."""
        while self._is_in_part:
            at = self._buffer.find(self._delimiter)
            # What may be the beginning of a boundary waits for more.
            stop = at if at >= 0 else len(self._buffer) - len(self._delimiter) + 1
            if at >= 0:
                self._is_in_part = False
            if stop > 0:
                piece = bytes(memoryview(self._buffer)[:stop])
                del self._buffer[:stop]
                return piece
            if at < 0:
                await self._fill()
        return b""

    async def _is_last_boundary(self) -> bool:
        """Step over the boundary that comes next; whether it is the last one."""
        start = len(self._delimiter)
        while len(self._buffer) < start + 2:
            await self._fill()
        if self._buffer[start : start + 2] == b"--":
            while await next_piece(self._request):  # an epilogue says nothing
                pass
            return True
        line_end = await self._find(b"\r\n", start, HEAD_LIMIT_BYTES)
        if self._buffer[start:line_end].strip(b" \t"):
            raise InvalidInput("the form's framing is broken: a boundary is a line of its own")
        del self._buffer[: line_end + 2]
        return False

    async def _head(self) -> dict[str, str]:
        """The part's headers. Raises InvalidInput."""
        headers: dict[str, str] = {}
        while True:
            line_end = await self._find(b"\r\n", 0, HEAD_LIMIT_BYTES)
            line = bytes(self._buffer[:line_end])
            del self._buffer[: line_end + 2]
            if not line:
                return headers
            match = _HEADER.fullmatch(line)
            if match is None or len(headers) > 20:
                raise InvalidInput("the form's framing is broken: a part begins with a few header lines")
            headers[match[1].decode().lower()] = text_of(match[2])

    async def _find(self, wanted: bytes, start: int, limit: int) -> int:
        while (at := self._buffer.find(wanted, start, start + limit)) < 0:
            if len(self._buffer) - start > limit:
                raise InvalidInput(f"a line of a part's headers has at most {limit} bytes")
            await self._fill()
        return at

    async def _fill(self) -> None:
        data = await next_piece(self._request)
        if not data:
            raise InvalidInput("the form ends before its last boundary")
        self._buffer += data


def text_of(raw: bytes) -> str:
    """A header's text: UTF-8 as all clients send it now, else what older ones mean by their bytes."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def disposition(headers: Mapping[str, str]) -> dict[str, str]:
    """The parameters of Content-Disposition, as browsers, urllib3 and curl write them."""
    found: dict[str, str] = {}
    for name, value in _PARAMETER.findall(headers.get("content-disposition", "")):
        if value.startswith('"'):
            # HTML writes a quote as %22, RFC 2183 with a backslash.
            value = re.sub(r'\\(["\\])', r"\1", value[1:-1]).replace("%22", '"').replace("%0D", "_").replace("%0A", "_")
        found.setdefault(name.lower(), value.strip())
    return found | extended(found)


def extended(found: Mapping[str, str]) -> dict[str, str]:
    """Parameters in their extended form (RFC 8187), which older clients use for what is not ASCII."""
    plain = {}
    for name, value in found.items():
        charset, quote, text = value.partition("''")
        if name.endswith("*") and quote and charset.lower() == "utf-8":
            plain[name[:-1]] = unquote(text, errors="replace")
    return plain
