"""How payloads are handed out, described: parameters, answers and refusals of each route that `send.py` serves."""

from casd.web.fields import NUMBER, TEXT
from casd.web.operation import ANY_TYPE, Answer, Parameter

QUERY = (
    Parameter("offset", "Only the bytes from here on; `Range` is ignored then.", NUMBER),
    Parameter("length", "At most so many bytes, together with `offset`.", NUMBER),
    Parameter("inline", "1: shown in a browser, if the type is a harmless one.", TEXT),
)
PRECONDITIONS = (
    Parameter("If-Match", "ETags that it must be: 412 otherwise.", TEXT),
    Parameter("If-Unmodified-Since", "412 if it is newer.", TEXT),
)
HEADERS = (
    Parameter(
        "Range",
        "One range, or up to 16 (RFC 9110): `bytes=0-511`, `bytes=1048576-`, `bytes=-512`. What does not parse is "
        "ignored.",
        TEXT,
        example="bytes=0-511",
    ),
    Parameter("If-Range", "The ETag that the first bytes came with: if it is stale, all bytes are sent.", TEXT),
    Parameter("If-None-Match", "ETags that you have: 304 if it is one of them.", TEXT),
    Parameter("If-Modified-Since", "304 if it is as old.", TEXT),
    *PRECONDITIONS,
    Parameter("Want-Content-Digest", "`sha-512=1`: the digest of one range of at most 8 MiB (RFC 9530).", TEXT),
)
ABOUT = """\
The stored bytes, never compressed. Ranges, conditions and entity tags are those of RFC 9110: `curl -C -`, wget,
aria2c, rclone and browsers resume here. If something fails after the head, the connection is cut, so that a short
body never looks complete.
"""


def answers(*headers: str) -> tuple[Answer, ...]:
    """`headers`: further fields of this route's answers."""
    told = ("Content-Disposition", "Cache-Control", *headers)
    whole = ("ETag", "Last-Modified", "Repr-Digest", "Accept-Ranges")  # not of a window, which is another thing
    return (
        Answer(200, "All bytes, or those of `?offset=`.", media=(ANY_TYPE,), headers=told, maybe=whole),
        Answer(
            206,
            "The range that was asked for; several come as multipart/byteranges, each with its Content-Range.",
            media=(ANY_TYPE, "multipart/byteranges"),
            headers=(*told, *whole),
            maybe=("Content-Range", "Content-Digest"),
        ),
        Answer(304, "You have it already.", headers=("ETag", "Cache-Control"), maybe=("Last-Modified", *headers)),
    )
