"""What a payload of the shelf must come with, worked out from its bytes and from the daemon's own JSON."""

import hashlib
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import quote

from tests.web.conftest import STAMP, Item
from tests.web.wire import Answer, sha512_field

Shelf = dict[str, Item]

YEAR = "max-age=31536000"


def second_of(item: Item, kind: str) -> datetime:
    """When the representation was made, by the daemon's own JSON, without the fraction."""
    made = item.blob if kind in ("uuid", "digest") else item.version
    return datetime.fromisoformat(str(made["created_at"])).replace(microsecond=0)


def http_date(at: datetime) -> str:
    return format_datetime(at, usegmt=True)


def etag_of(data: bytes) -> str:
    return f'"{hashlib.sha512(data).hexdigest()}"'


def expected_headers(item: Item, kind: str) -> dict[str, str]:
    """Of a plain 200, but for Date and the request's id."""
    by_name = kind in ("name", "version")
    segment = str(item.version["name"]).rpartition("/")[2]
    plain = segment.replace("%", "_").replace("ü", "_")
    found = {
        "Content-Type": STAMP,
        "Content-Disposition": "attachment",
        "Cache-Control": f"private, immutable, {YEAR}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Accel-Buffering": "no",
        "ETag": etag_of(item.data),
        "Last-Modified": http_date(second_of(item, kind)),
        "Accept-Ranges": "bytes",
        "Repr-Digest": sha512_field(item.data),
        "Content-Length": str(len(item.data)),
        "Server": "casd",
    }
    if by_name:
        found["Content-Disposition"] = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(segment)}"
        found["Cache-Control"] = "no-cache"
        found["Content-Location"] = item.url("version")
    return found


def shown(answer: Answer) -> dict[str, str]:
    assert answer["Date"]
    assert answer["X-Request-ID"]
    return {name: value for name, value in answer.headers.items() if name not in ("Date", "X-Request-ID")}


STALE = '"' + "0" * 128 + '"'  # nobody's tag
