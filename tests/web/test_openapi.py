"""`/openapi.json`: every route is described, by one document that holds together (issue 8)."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from casd.daemon.composition import DIALECTS
from casd.web.dialect import Route
from casd.web.openapi import Document, plain
from tests.web.party import Party

DESCRIBED = [route for dialect in DIALECTS for route in dialect.routes if dialect.name in ("native", "tus")]
METHODS = {"get", "head", "post", "put", "patch", "delete", "options"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return Document(tuple(DESCRIBED)).value


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """All objects in it, itself included."""
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(child)


@pytest.mark.parametrize("route", DESCRIBED, ids=lambda route: f"{route.method} {plain(route.path)}")
def test_every_route_says_what_it_is(route: Route) -> None:
    assert route.about is not None, "give the Route an `about=`: casd/dialects/native/about/"
    assert route.about.answers


def test_the_document_has_the_routes_and_nothing_else(document: dict[str, Any]) -> None:
    routes = {(route.method.lower(), plain(route.path)) for route in DESCRIBED}
    heads = {("head", plain(route.path)) for route in DESCRIBED if route.about and route.about.has_head}

    assert {(method, path) for method, path, _ in operations(document)} == routes | heads


def test_no_two_operations_have_one_id(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]

    assert len(set(ids)) == len(ids)
    assert [each for each in ids if not re.fullmatch(r"[a-z][A-Za-z]+", each)] == []


def test_whatever_is_referred_to_is_there(document: dict[str, Any]) -> None:
    ids = {operation["operationId"] for _, _, operation in operations(document)}
    tags = {tag["name"] for tag in document["tags"]}
    refs = {node["$ref"] for node in nodes(document) if isinstance(node.get("$ref"), str)}
    links = {link["operationId"] for node in nodes(document) for link in dict(node.get("links") or {}).values()}

    for ref in refs:
        place: Any = document
        for step in ref.removeprefix("#/").split("/"):
            place = place[step]
    assert links <= ids
    assert {tag for _, _, operation in operations(document) for tag in operation["tags"]} == tags


def test_a_link_tells_parameters_that_its_operation_has(document: dict[str, Any]) -> None:
    taken = {
        operation["operationId"]: {f"{each['in']}.{each['name']}" for each in operation.get("parameters", ())}
        for _, _, operation in operations(document)
    }

    for node in nodes(document["paths"]):
        for link in dict(node.get("links") or {}).values():
            assert set(link["parameters"]) <= taken[link["operationId"]]


def test_every_operation_says_how_it_may_be_refused(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        answers = operation["responses"]
        assert {"400", "405", "500", "503"} <= set(answers), (method, path)
        assert ("401" in answers) == bool(operation["security"]), (method, path)
        assert any(status < "400" for status in answers), (method, path)


def test_the_document_is_the_same_each_time(document: dict[str, Any]) -> None:
    again = Document(tuple(DESCRIBED)).value

    assert json.dumps(again) == json.dumps(document)


def test_it_is_open_to_all_and_kept_by_its_tag(us: Party) -> None:
    first = us.nobody.ask("GET", "/openapi.json")
    again = us.nobody.ask("GET", "/openapi.json", headers={"If-None-Match": str(first["ETag"])})
    stale = us.nobody.ask("GET", "/openapi.json", headers={"If-None-Match": '"of yesterday"'})

    assert (first.status, first["Cache-Control"], first.json["openapi"]) == (200, "no-cache", "3.1.0")
    assert (again.status, again.body, again["ETag"]) == (304, b"", first["ETag"])
    assert (stale.status, stale.body) == (200, first.body)
