"""What a file's own name says about it: the filename to remember, and a media type."""

from __future__ import annotations

import mimetypes
import os
import re

from casd.errors import InvalidInput

ANY_TYPE = "application/octet-stream"
_ENCODED_TYPES = {  # mimetypes tells these apart from a type; the bytes as they are have no other
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "compress": "application/x-compress",
}


def guessed_type(filename: str) -> str:
    """The media type that a filename suggests, of the bytes as they are: that of `a.tar.gz` is gzip's."""
    media_type, encoding = mimetypes.guess_type(f"./{filename}")  # "./": never read as a data: URL
    if encoding:
        return _ENCODED_TYPES.get(encoding, ANY_TYPE)
    return media_type or ANY_TYPE


def own_filename(path: str | os.PathLike[str]) -> str | None:
    """The last part of a path as it can be remembered: on disk it is any bytes, in JSON and headers it is not."""
    text = os.fsencode(os.path.basename(path)).decode("utf-8", "replace")
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "_", text) or None


def checked_type(text: str) -> str:
    """A media type that can stand in a header. Raises InvalidInput."""
    if not text.isascii() or not text.isprintable():
        raise InvalidInput(f"{text!r} is not a media type; one looks like text/plain")
    return text
