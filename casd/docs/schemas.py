"""JSON objects as tables."""

from collections.abc import Mapping
from typing import Any

from casd.docs.markup import Child, Html, h, phrase

WORDS = {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false", "null": "null"}
FORMATS = {"uuid": "UUID", "date-time": "time"}


def kind_of(schema: Mapping[str, Any] | None) -> Child:
    """What a value of this schema is, in a few words."""
    if not schema:
        return "any JSON"
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return "any JSON" if name == "JsonValue" else h("a", name, href=f"#object-{name}")
    if "anyOf" in schema:
        return [[" or " if at else None, kind_of(each)] for at, each in enumerate(schema["anyOf"])]
    if "enum" in schema:
        return " or ".join(str(each) for each in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    kind = schema.get("type")
    if kind == "array":
        return ["list of ", kind_of(schema.get("items"))]
    if kind == "object":
        inside = schema.get("additionalProperties")
        return ["object of ", kind_of(inside)] if isinstance(inside, Mapping) and inside else "object"
    return FORMATS.get(schema.get("format", ""), WORDS.get(str(kind), "any JSON")) + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    least = schema.get("minimum")
    return f" ≥ {least}" if least else ""


def schema_tables(document: Mapping[str, Any]) -> Html:
    schemas = document["components"]["schemas"]
    return h(
        "section",
        h("h2", h("a", "Objects", href="#objects"), id="objects"),
        h("p", "What bodies and answers are made of.", class_="lead"),
        [_table(name, schema) for name, schema in schemas.items() if name != "JsonValue"],
    )


def _table(name: str, schema: Mapping[str, Any]) -> Html:
    wanted = set(schema.get("required", ()))
    rows = [
        h(
            "tr",
            h(
                "th",
                h("code", field),
                " ",
                None if field in wanted else h("span", "optional", class_="kind"),
                scope="row",
            ),
            h("td", h("span", kind_of(about), class_="kind")),
            h("td", phrase(about.get("description", ""))),
        )
        for field, about in schema.get("properties", {}).items()
    ]
    return h(
        "article",
        h("h3", h("a", name, href=f"#object-{name}"), id=f"object-{name}"),
        h("p", phrase(schema.get("description", ""))),
        h("table", h("caption", "Fields"), h("tbody", rows)) if rows else None,
        class_="object",
    )
