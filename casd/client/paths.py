"""Paths of the native API, percent-encoded, and its listings page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import UUID

from casd.client.errors import UnexpectedAnswer
from casd.client.transport import Query, Transport
from casd.errors import InvalidInput
from casd.model import checked_name, checked_namespace

PAGE = 200  # items a request; the daemon allows 1000, but each may carry 1 MiB of metadata

T = TypeVar("T")


def namespace_path(root: str, namespace: str) -> str:
    """A namespace below `root`. Raises InvalidInput for what no namespace is called."""
    return f"{root}/{segment(checked_namespace(namespace))}"


def name_path(root: str, namespace: str, name: str) -> str:
    """A name of a namespace below `root`. Raises InvalidInput."""
    return f"{namespace_path(root, namespace)}/{quote(checked_name(name), safe='/')}"


def segment(text: str) -> str:
    """Any text as one segment of a path. Raises InvalidInput for what is empty or not UTF-8."""
    if not text:
        raise InvalidInput("an empty text stands for nothing here")
    try:
        quoted = quote(text, safe="")
    except UnicodeEncodeError:  # from an argument that was not UTF-8 on the command line
        raise InvalidInput(f"{text!r} is not UTF-8") from None
    return quoted.replace(".", "%2E") if quoted in (".", "..") else quoted


def uuid_of(text: UUID | str) -> UUID:
    """Raises InvalidInput."""
    try:
        return text if isinstance(text, UUID) else UUID(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is not a UUID") from None


def which(version: int | None, as_of: datetime | str | None) -> Query:
    """The query that picks a version of a name."""
    return {"version": version, "as_of": as_of.isoformat() if isinstance(as_of, datetime) else as_of}


async def pages(transport: Transport, path: str, query: Query, parse: Callable[[Any], T]) -> AsyncIterator[T]:
    """Every item of a listing. Raises UnexpectedAnswer for one that is none, or does not end."""
    cursor: str | None = None
    while True:
        answer = await transport.json("GET", path, {**query, "limit": PAGE, "cursor": cursor})
        for item in items(answer):
            yield parse(item)
        following = answer.get("next")
        if following is None:
            return
        if not isinstance(following, str) or following == cursor:
            raise UnexpectedAnswer(f"{path}: the listing does not go on ({following!r})")
        cursor = following


def items(answer: Any) -> list[Any]:
    """The items of one page. Raises UnexpectedAnswer."""
    found = answer.get("items") if isinstance(answer, Mapping) else None
    if not isinstance(found, list):
        raise UnexpectedAnswer("the answer is not a casd listing")
    return found
