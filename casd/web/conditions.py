"""Conditional requests (RFC 9110, 13): what the validators of a payload allow. No I/O.

An ETag is the SHA-512 in quotes, always strong. On a name a date never proves anything but equality: two versions
can share a second, and a name can go back to an older one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from enum import Enum, auto

from casd.errors import InvalidInput
from casd.model import Digest, Guard

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_TAG_LIST = re.compile(rf"[ \t,]*(?:{_TAG.pattern}[ \t]*(?:,[ \t,]*|$))+")


class Outcome(Enum):
    GO_ON = auto()
    NOT_MODIFIED = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Validators:
    """What a representation is compared by."""

    etag: str  # without quotes
    modified_at: datetime
    is_name: bool  # dates prove nothing but equality

    @property
    def last_modified(self) -> str:
        return format_datetime(self.modified_at.replace(microsecond=0), usegmt=True)


def evaluate(headers: Mapping[str, str], validators: Validators) -> Outcome:
    """The preconditions in RFC 9110's order (13.2.2), for GET and HEAD."""
    modified_at = validators.modified_at.replace(microsecond=0)
    if "If-Match" in headers:
        if not _matches(headers["If-Match"], validators.etag, strong=True):
            return Outcome.FAILED
    elif (since := http_date(headers.get("If-Unmodified-Since"))) is not None and modified_at > since:
        return Outcome.FAILED
    if "If-None-Match" in headers:
        if _matches(headers["If-None-Match"], validators.etag, strong=False):
            return Outcome.NOT_MODIFIED
    elif (since := http_date(headers.get("If-Modified-Since"))) is not None:
        is_same = modified_at == since if validators.is_name else modified_at <= since
        if is_same:
            return Outcome.NOT_MODIFIED
    return Outcome.GO_ON


def may_change(headers: Mapping[str, str], etag: str) -> bool:
    """Whether If-Match lets happen a change of what has this tag (RFC 9110, 13.1.1)."""
    return "If-Match" not in headers or _matches(headers["If-Match"], etag, strong=True)


def is_unchanged(headers: Mapping[str, str], validators: Validators) -> bool:
    """Whether all preconditions let a deletion happen: there is no fresh copy that it could be answered with."""
    return evaluate(headers, validators) is Outcome.GO_ON


def was_seen(headers: Mapping[str, str], etag: str) -> bool:
    """Whether If-None-Match says that the client has what has this tag."""
    return "If-None-Match" in headers and _matches(headers["If-None-Match"], etag, strong=False)


def range_applies(if_range: str | None, validators: Validators) -> bool:
    """Whether If-Range lets the Range stand (RFC 9110, 13.1.5): the same strong tag, or exactly the same date."""
    if if_range is None:
        return True
    tag = _TAG.fullmatch(if_range.strip(" \t"))
    if tag is not None:
        return tag[1] is None and tag[2] == validators.etag
    date = http_date(if_range)
    return not validators.is_name and date == validators.modified_at.replace(microsecond=0)


def _matches(header: str, etag: str, *, strong: bool) -> bool:
    if header.strip(" \t") == "*":
        return True
    return any(tag[2] == etag and not (strong and tag[1]) for tag in _TAG.finditer(header))


def http_date(text: str | None) -> datetime | None:
    """A date of RFC 9110, 5.6.7, aware; None for none, and for what is no date, which is ignored."""
    if text is None:
        return None
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date


def guard_of(headers: Mapping[str, str]) -> Guard:
    """If-Match and If-None-Match of a write to a name. Raises InvalidInput where one does not parse."""
    return Guard(
        match=_tags(headers, "If-Match", strong=True),
        match_any=headers.get("If-Match", "").strip() == "*",
        none_match=_tags(headers, "If-None-Match", strong=False),
        none_match_any=headers.get("If-None-Match", "").strip() == "*",
    )


def _tags(headers: Mapping[str, str], name: str, *, strong: bool) -> frozenset[Digest] | None:
    """The digests among the tags; a tag that is no digest of ours matches nothing, nor does a weak one if `strong`."""
    text = headers.get(name)
    if text is None or text.strip() == "*":
        return None
    if not _TAG_LIST.fullmatch(text):
        raise InvalidInput(f'{name} is * or a list of tags like "<sha512>"')
    found = set()
    for tag in _TAG.finditer(text):
        if strong and tag[1]:
            continue
        try:
            found.add(Digest.parse(tag[2]))
        except InvalidInput:
            continue
    return frozenset(found)
