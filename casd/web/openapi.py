"""The OpenAPI 3.1 document of all routes that say what they are.

Everything in it comes from the routes: their operations, their access, the models of bodies and answers, the errors'
own table of statuses. It is the same, byte for byte, for the same code.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from inspect import cleandoc
from typing import Any

from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from casd import __version__, errors
from casd.errors import CasdError
from casd.web.dialect import Access, Route
from casd.web.errors import TITLES, InternalError, status_of_kind
from casd.web.fields import HEADERS, PATHS
from casd.web.models import Problem
from casd.web.operation import Answer, Body, Operation, Parameter, Refusal
from casd.web.pages import Page
from casd.web.signed import PARAMETER

OPENAPI = "3.1.0"
JSON_TYPE, PROBLEM_TYPE = "application/json", "application/problem+json"
REF = "#/components/schemas/{model}"
SIGNED = "signedUrl"

TITLE = "casd"
SUMMARY = "A content-addressed storage daemon: payloads by SHA-512, UUIDs, names with versions, resumable transfers."
ABOUT = """\
Bytes are stored once, by their SHA-512. A *blob* is a UUID with facts about such bytes; a *name* has numbered versions,
each of them a blob. Both live in *namespaces*, to which *tokens* belong: `Authorization: Bearer <token>`.

- What is not there and what is not yours answer alike, with 404. 403 means that your role is too small.
- Errors are `application/problem+json`; test `code`, show `detail`.
- Every GET answers HEAD with the same header fields. Times are RFC 3339 in UTC, sizes are bytes.
- Listings are paged: `next` is the `?cursor=` of the page that follows, and null on the last.
- Answers may gain fields: let pass what you do not know.
"""

TAGS = {
    "Blobs": "Bytes with a UUID.",
    "Metadata": "What is noted about a blob, key by key.",
    "Payloads": "Bytes by what they are.",
    "Names": "Names with numbered versions.",
    "Uploads": "Resumable uploads: tus 1.0.",
    "Links": "URLs that need no token.",
    "Tokens": "Who may what.",
    "Namespaces": "Who owns blobs and names, and the rules for them.",
    "Daemon": "Is it alive, can it store, how does it stand.",
    "Audit": "Who did what.",
    "Upkeep": "What otherwise runs by itself.",
    "Backups": "Backups that are under way.",
    "Quarantine": "Bytes that were found damaged.",
}

# What any route can be refused with, beside what it says itself.
ALWAYS: tuple[type[CasdError] | Refusal, ...] = (
    errors.InvalidInput,
    Refusal(400, "unreadable-request", "The head is not HTTP/1.1 as casd reads it."),
    Refusal(405, "method-not-allowed", "The path does not take this method."),
    errors.UnknownExpectation,
    errors.StorageFailed,
    errors.OutOfDescriptors,
    errors.RateLimited,
    errors.Overloaded,
    Refusal(503, "too-many-connections", "The daemon has all the connections it may have."),
    InternalError,
)
WITH_BODY: tuple[type[CasdError] | Refusal, ...] = (
    errors.TooLarge,
    errors.UnsupportedEncoding,
    errors.BodyTimeout,
)
HEADERS_OF_STATUS = {401: ("WWW-Authenticate",), 405: ("Allow",), 416: ("Content-Range",), 503: ("Retry-After",)}
MAYBE_OF_STATUS = {429: ("Retry-After",)}
_ELEMENT = re.compile(r"\{(\w+)(?::(?:[^{}]|\{[^{}]*\})*)?\}")


@dataclass(frozen=True)
class Document:
    """What `/openapi.json` gives: made when it is first asked for, which takes 50 ms."""

    routes: tuple[Route, ...]

    @cached_property
    def value(self) -> dict[str, Any]:
        return document(self.routes)

    @cached_property
    def page(self) -> Page:
        return Page(
            JSON_TYPE, lambda: json.dumps(self.value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        )


DOCUMENT = web.AppKey("document", Document)


def plain(path: str) -> str:
    """The path as OpenAPI writes it: without the patterns of its elements."""
    return _ELEMENT.sub(r"{\1}", path)


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """Every route with an operation, in the order of the table."""
    told = [(route, route.about) for route in routes if route.about is not None]
    parts = Parts.of([operation for _, operation in told])
    paths: dict[str, dict[str, Any]] = {}
    for route, operation in told:
        item = paths.setdefault(plain(route.path), {})
        item[route.method.lower()] = operation_json(route, operation, parts)
        if operation.has_head:
            item["head"] = head_json(route, operation, parts)
    return {
        "openapi": OPENAPI,
        "info": {
            "title": TITLE,
            "version": __version__,
            "summary": SUMMARY,
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": about} for name, about in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(parts.schemas.items())),
            "responses": dict(sorted(parts.responses.items())),
            "headers": {name: header_json(name) for name in HEADERS},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token: `casd token create`."},
                SIGNED: {
                    "type": "apiKey",
                    "in": "query",
                    "name": PARAMETER,
                    "description": "The signature in a link of `POST /v1/signed-urls`, which reads that one path.",
                },
            },
        },
    }


@dataclass(frozen=True)
class Parts:
    """What operations refer to."""

    schemas: Mapping[str, Any]
    refs: Mapping[type[BaseModel], Any]
    responses: dict[str, Any]  # filled while the operations are written

    @classmethod
    def of(cls, operations: Iterable[Operation]) -> "Parts":
        bodies = [operation.body.model for operation in operations if operation.body is not None]
        answers = [answer.model for operation in operations for answer in operation.answers]
        models = dict.fromkeys(model for model in (Problem, *bodies, *answers) if model is not None)
        refs, schema = models_json_schema([(model, "validation") for model in models], ref_template=REF)
        return cls(schema["$defs"], {model: refs[model, "validation"] for model in models}, {})


def operation_json(route: Route, operation: Operation, parts: Parts) -> dict[str, Any]:
    facts: dict[str, Any] = {"operationId": operation.id, "tags": [operation.tag], "summary": operation.summary}
    if operation.about:
        facts["description"] = cleandoc(operation.about)
    facts["security"] = security_of(route)
    parameters = [path_json(name, operation) for name in _ELEMENT.findall(route.path)]
    parameters += [parameter_json(parameter, "query") for parameter in operation.query]
    parameters += [parameter_json(parameter, "header") for parameter in operation.headers]
    if parameters:
        facts["parameters"] = parameters
    if operation.body is not None:
        facts["requestBody"] = body_json(operation.body, parts)
    answers = {str(answer.status): answer_json(answer, parts) for answer in operation.answers}
    facts["responses"] = answers | refusals_json(refusals_of(route, operation), parts, answers)
    return facts


def head_json(route: Route, operation: Operation, parts: Parts) -> dict[str, Any]:
    """The same without bodies; a Range is for GET."""
    facts = operation_json(route, operation, parts)
    facts["operationId"] = f"{operation.id}Head"
    facts["summary"] = f"{operation.summary}: the head alone"
    answers = {}
    for status, answer in facts["responses"].items():
        if status == "206":
            continue
        if "$ref" in answer:
            answer = parts.responses[answer["$ref"].rpartition("/")[2]]
        answers[status] = {key: value for key, value in answer.items() if key not in ("content", "links")}
    facts["responses"] = answers
    return facts


def security_of(route: Route) -> list[dict[str, list[str]]]:
    """Ways in, any one of which is enough; an empty one: none is needed."""
    if route.access is Access.OPEN:
        return []
    ways: list[dict[str, list[str]]] = [{"bearer": []}]
    if route.is_signable:
        ways.append({SIGNED: []})
    if route.access is Access.ANYONE:
        ways.append({})
    return ways


# -- what goes in ---------------------------------------------------------------------------------------------------


def path_json(name: str, operation: Operation) -> dict[str, Any]:
    element = PATHS[name]
    facts = parameter_json(element, "path") | {"required": True}
    if name in operation.path:
        facts["schema"] = dict(operation.path[name])
        facts.pop("example", None)
    return facts


def parameter_json(parameter: Parameter, place: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": parameter.name, "in": place, "description": parameter.about}
    if parameter.is_required:
        facts["required"] = True
    facts["schema"] = dict(parameter.schema)
    if parameter.example is not None:
        facts["example"] = parameter.example
    return facts


def body_json(body: Body, parts: Parts) -> dict[str, Any]:
    if body.model is None:
        media, content = body.media, {}
    else:
        media, content = JSON_TYPE, {"schema": parts.refs[body.model]}
    if body.example is not None:
        content["example"] = body.example
    return {"description": body.about, "required": body.is_required, "content": {media: content}}


# -- what comes out ---------------------------------------------------------------------------------------------------


def header_json(name: str) -> dict[str, Any]:
    about, schema = HEADERS[name]
    return {"description": about, "schema": dict(schema)}


def headers_json(always: Sequence[str], maybe: Sequence[str] = ()) -> dict[str, Any]:
    found: dict[str, Any] = {name: header_json(name) | {"required": True} for name in always}
    return found | {name: {"$ref": f"#/components/headers/{name}"} for name in maybe}


def answer_json(answer: Answer, parts: Parts) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "description": answer.about,
        "headers": headers_json(("X-Request-ID", *answer.headers), answer.maybe),
    }
    if answer.model is not None:
        content: dict[str, Any] = {"schema": parts.refs[answer.model]}
        if answer.example is not None:
            content["example"] = answer.example
        facts["content"] = {JSON_TYPE: content}
    if answer.media:
        facts.setdefault("content", {}).update({media: {} for media in answer.media})
    if answer.links:
        facts["links"] = {
            link.to: {"operationId": link.to, "parameters": dict(link.parameters)}
            | ({"description": link.about} if link.about else {})
            for link in answer.links
        }
    return facts


def refusals_of(route: Route, operation: Operation) -> list[Refusal]:
    """All codes that the operation can give, each once."""
    kinds = [*ALWAYS, *operation.errors]
    if route.access is not Access.OPEN:
        kinds.append(errors.Unauthenticated)
    if operation.body is not None:
        kinds += WITH_BODY
    found: dict[tuple[int, str], Refusal] = {}
    for kind in kinds:
        refusal = kind if isinstance(kind, Refusal) else Refusal(status_of_kind(kind), kind.code, meaning(kind))
        found.setdefault((refusal.status, refusal.code), refusal)
    return [found[key] for key in sorted(found)]


def meaning(kind: type[CasdError]) -> str:
    """The first paragraph of what the class says of itself, or its base does."""
    text = next((base.__doc__ for base in kind.__mro__ if base.__doc__), "") or ""
    return " ".join(cleandoc(text).partition("\n\n")[0].split())


def refusals_json(refusals: Iterable[Refusal], parts: Parts, answers: Mapping[str, Any]) -> dict[str, Any]:
    """A response for each status, by reference: many operations share them."""
    by_status: dict[int, list[Refusal]] = {}
    for refusal in refusals:
        by_status.setdefault(refusal.status, []).append(refusal)
    found = {}
    for status, those in by_status.items():
        if str(status) in answers:
            continue  # it says itself what this means
        key = ".".join([str(status), *(refusal.code for refusal in those)])
        parts.responses[key] = refusal_json(status, those, parts)
        found[str(status)] = {"$ref": f"#/components/responses/{key}"}
    return found


def refusal_json(status: int, refusals: Sequence[Refusal], parts: Parts) -> dict[str, Any]:
    codes = "\n".join(f"- `{refusal.code}`: {refusal.about}" for refusal in refusals)
    wanted = {"status": {"const": status}, "code": {"enum": [refusal.code for refusal in refusals]}}
    schema = {"allOf": [parts.refs[Problem], {"properties": wanted}]}
    return {
        "description": f"{TITLES[status]}\n\n{codes}",
        "headers": headers_json(("X-Request-ID", *HEADERS_OF_STATUS.get(status, ())), MAYBE_OF_STATUS.get(status, ())),
        "content": {PROBLEM_TYPE: {"schema": schema}},
    }
