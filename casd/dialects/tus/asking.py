"""What a tus request says: numbers, metadata, checksums, which others it joins, which client sends it."""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID

from aiohttp import hdrs, web

from casd.auth import Principal
from casd.errors import InvalidInput, NotFound, TooLarge
from casd.model import Digest, checked_name, checked_namespace
from casd.store import Description
from casd.uploads import NewUpload, Uploads
from casd.web.keys import LIMITS, UPLOADS
from casd.web.query import LONGEST_S, uuid_in_path
from casd.web.ranges import number
from casd.web.receive import checked_content_type, checked_text

CHUNK_TYPE = "application/offset+octet-stream"
CHECKSUMS = {"sha1": 20, "sha256": 32, "sha512": 64}  # bytes
JOINS = 1000  # at most; a head has room for 150

_DIGITS = re.compile(r"\d+", re.ASCII)
_KEY = re.compile(r"[\x21-\x2b\x2d-\x7e]+", re.ASCII)  # printable, no space and no comma
_SESSION = re.compile(r"[A-Za-z0-9_-]{8,64}", re.ASCII)
_XXH3_128 = re.compile(r"[0-9a-fA-F]{32}", re.ASCII)


def uploads_of(request: web.Request) -> Uploads:
    return request.app[UPLOADS]


def uuid_of(request: web.Request) -> UUID:
    return uuid_in_path(request.match_info["uuid"])


def driver_of(request: web.Request) -> str | None:
    """What the client calls itself: one transfer, one process. Raises InvalidInput."""
    text = request.headers.get("Casd-Session")
    if text is not None and not _SESSION.fullmatch(text):
        raise InvalidInput("Casd-Session is 8 to 64 letters, digits, - and _")
    return text


def header_number(request: web.Request, name: str) -> int:
    """Raises InvalidInput."""
    text = request.headers.get(name, "").strip()
    if not _DIGITS.fullmatch(text):
        raise InvalidInput(f"{name} is a number of bytes, not {text[:40]!r}")
    return number(text)


def told_size(request: web.Request) -> int | None:
    """`Upload-Length`, or None where it is to be told later. Raises InvalidInput, TooLarge."""
    deferred = request.headers.get("Upload-Defer-Length")
    if deferred is not None:
        if deferred.strip() != "1" or "Upload-Length" in request.headers:
            raise InvalidInput("Upload-Defer-Length is 1, and stands in the place of Upload-Length")
        return None
    size = header_number(request, "Upload-Length")
    limit = request.app[LIMITS].max_body_bytes
    if size > limit:
        raise TooLarge("the upload", limit)
    return size


def brings_chunk(request: web.Request) -> bool:
    """Whether the body is of the type in which tus sends bytes."""
    return request.headers.get(hdrs.CONTENT_TYPE, "").strip().lower() == CHUNK_TYPE


# -- checksums ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Checksum:
    """Of one chunk, as it was announced."""

    algorithm: str  # of hashlib's
    value: bytes


def checksum_of(request: web.Request) -> Checksum | None:
    """Raises InvalidInput, also for one that would come behind the body: aiohttp does not tell what stands there."""
    if "upload-checksum" in request.headers.get(hdrs.TRAILER, "").lower():
        raise InvalidInput("Upload-Checksum stands in the head of a request: casd does not take it behind the body")
    header = request.headers.get("Upload-Checksum")
    if header is None:
        return None
    algorithm, _, encoded = header.strip().partition(" ")
    if algorithm not in CHECKSUMS:
        raise InvalidInput(f"Upload-Checksum is of one of {', '.join(CHECKSUMS)}, not {algorithm[:40]!r}")
    try:
        value = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != CHECKSUMS[algorithm]:
        raise InvalidInput(f"an Upload-Checksum of {algorithm} is {CHECKSUMS[algorithm]} bytes in base64")
    return Checksum(algorithm, value)


def new_hash(algorithm: str) -> "hashlib._Hash":
    return hashlib.new(algorithm, usedforsecurity=False)


# -- what belongs together ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Concat:
    """`Upload-Concat`: whether the upload is a piece of another, or which pieces it joins."""

    is_partial: bool = False
    joins: tuple[UUID, ...] = ()


def concat_of(request: web.Request) -> Concat:
    """Raises InvalidInput, NotFound."""
    header = request.headers.get("Upload-Concat")
    if header is None:
        return Concat()
    kind, _, urls = header.strip().partition(";")
    if kind.strip() == "partial" and not urls:
        return Concat(is_partial=True)
    joins = tuple(upload_at(url) for url in urls.split())
    if kind.strip() != "final" or not joins:
        raise InvalidInput('Upload-Concat is "partial", or "final;" and the URLs of partial uploads')
    if len(joins) > JOINS or len(set(joins)) < len(joins):
        raise InvalidInput(f"an upload joins at most {JOINS} others, each once")
    if "Upload-Length" in request.headers or "Upload-Defer-Length" in request.headers:
        raise InvalidInput("an upload that joins others has their length: tell none")
    return Concat(joins=joins)


def upload_at(url: str) -> UUID:
    """Of a URL as `Location` told it, or as a proxy made of it. Raises InvalidInput, NotFound."""
    try:
        path = urlsplit(url).path
    except ValueError:
        path = ""
    parent, _, last = path.rpartition("/")
    if not parent.endswith("/v1/uploads"):
        raise InvalidInput("Upload-Concat names uploads of this daemon, by their URLs")
    try:
        return uuid_in_path(last)
    except NotFound:
        raise InvalidInput("Upload-Concat names uploads of this daemon, by their URLs") from None


# -- metadata -----------------------------------------------------------------------------------------------------


KNOWN = frozenset({"filename", "filetype", "namespace", "name", "sha512", "xxh3_128", "expires_in"})


def new_upload(principal: Principal, size: int | None, metadata: str, concat: Concat) -> NewUpload:
    """Raises InvalidInput."""
    told = {key: value for key, value in parsed_metadata(metadata).items() if key in KNOWN}
    texts = {key: text_of(key, value) for key, value in told.items()}
    filename, name, sha512 = texts.get("filename"), texts.get("name"), texts.get("sha512")
    return NewUpload(
        namespace=checked_namespace(texts.get("namespace", principal.home)),
        size=size,
        digest=None if sha512 is None else Digest.parse(sha512),
        name=None if name is None else checked_name(name),
        about=Description(
            checked_content_type(texts.get("filetype")),
            None if filename is None else checked_text(filename, "the filename in Upload-Metadata"),
        ),
        metadata=metadata,
        xxh3_128=xxh3_128_in(texts),
        expires_in_s=expiry_in(texts),
        is_partial=concat.is_partial,
        joins=concat.joins,
    )


def xxh3_128_in(texts: Mapping[str, str]) -> bytes | None:
    """Raises InvalidInput."""
    text = texts.get("xxh3_128")
    if text is not None and not _XXH3_128.fullmatch(text):
        raise InvalidInput("an XXH3-128 is written as 32 hex digits")
    return None if text is None else bytes.fromhex(text)


def expiry_in(texts: Mapping[str, str]) -> int | None:
    """Raises InvalidInput."""
    text = texts.get("expires_in")
    if text is None:
        return None
    if not _DIGITS.fullmatch(text) or not 1 <= number(text) <= LONGEST_S:
        raise InvalidInput(f"expires_in in Upload-Metadata is a number of seconds, at least 1 and at most {LONGEST_S}")
    return number(text)


def parsed_metadata(header: str) -> dict[str, bytes]:
    """Keys with their values: `key base64, key base64`, where a value may be missing. Raises InvalidInput."""
    found: dict[str, bytes] = {}
    for item in header.split(",") if header.strip(" \t") else ():
        key, _, encoded = item.strip(" \t").partition(" ")
        if not _KEY.fullmatch(key) or key in found:
            raise InvalidInput("Upload-Metadata is a list of different keys, each with a base64 value behind a space")
        try:
            found[key] = base64.b64decode(encoded.strip(" \t"), validate=True)
        except (binascii.Error, ValueError):
            raise InvalidInput(f"the value of {key[:40]} in Upload-Metadata is not base64") from None
    return found


def text_of(key: str, value: bytes) -> str:
    """Raises InvalidInput."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput(f"the value of {key} in Upload-Metadata is not UTF-8") from None
