"""What a route takes and what it answers, as values. `openapi.py` makes the document of them, `/docs` the page.

An answer's model describes it, and tests hold real answers against it; a body's model is what validates it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic import BaseModel

from casd.errors import CasdError

Schema: TypeAlias = Mapping[str, Any]
BYTES = "application/octet-stream"
ANY_TYPE = "*/*"  # bytes of whatever type they were stored with


@dataclass(frozen=True, slots=True)
class Refusal:
    """A status and code that no error class stands for."""

    status: int
    code: str
    about: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """Something in a query, or a header field of a request."""

    name: str
    about: str
    schema: Schema
    is_required: bool = False
    example: object = None


@dataclass(frozen=True, slots=True)
class Body:
    about: str
    model: type[BaseModel] | None = None  # JSON of that form; without one, bytes
    media: str = BYTES
    is_required: bool = True
    example: object = None


@dataclass(frozen=True, slots=True)
class Link:
    """An operation that goes on from an answer, and where in that answer its parameters stand."""

    to: str  # the other's id
    parameters: Mapping[str, str]  # `path.uuid`, `query.cursor`, `header.If-Match` to OpenAPI's runtime expressions
    about: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """One that is not an error."""

    status: int
    about: str
    model: type[BaseModel] | None = None  # JSON of that form
    media: tuple[str, ...] = ()  # of what else it may be; without these and a model there is no body
    headers: tuple[str, ...] = ()  # always there; names in `fields.HEADERS`
    maybe: tuple[str, ...] = ()  # header fields that are there at times
    links: tuple[Link, ...] = ()
    example: object = None


@dataclass(frozen=True, slots=True)
class Operation:
    id: str  # stable: generated clients name their functions by it
    tag: str
    summary: str
    answers: tuple[Answer, ...]
    about: str = ""  # CommonMark
    query: tuple[Parameter, ...] = ()
    headers: tuple[Parameter, ...] = ()
    body: Body | None = None
    errors: tuple[type[CasdError] | Refusal, ...] = ()  # beside those that any route of its access and body can give
    has_head: bool = False  # HEAD is worth a description of its own: every GET answers it
    path: Mapping[str, Schema] = field(default_factory=dict)  # elements of the path that mean something else here
