"""The API's reference: a page made of the OpenAPI document."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Any

from casd.docs import examples
from casd.docs.frame import frame
from casd.docs.guides import titles
from casd.docs.markup import Child, Html, h, join, phrase, prose
from casd.docs.schemas import kind_of, schema_tables

ACCESS = {  # what an operation's security amounts to
    (): ("open", "Open to all"),
    ("bearer",): ("token", "Token"),
    ("bearer", "none"): ("token", "Token, or anybody where a namespace lets them"),
    ("bearer", "signedUrl", "none"): ("token", "Token, signed URL, or anybody where a namespace lets them"),
}


def reference(document: Mapping[str, Any]) -> str:
    sections = []
    for tag in document["tags"]:
        inside = sorted((each for each in operations(document) if tag["name"] in each[2]["tags"]), key=itemgetter(1))
        sections.append((tag["name"], tag["description"], inside))
    beside = [
        (name, [(operation["operationId"], operation["summary"]) for _, _, operation in inside])
        for name, _, inside in sections
    ]
    main = (
        _opening(document),
        [
            h(
                "section",
                h("h2", h("a", name, href=f"#{name.lower()}"), id=name.lower()),
                h("p", about, class_="lead"),
                [operation_article(document, *each) for each in inside],
            )
            for name, about, inside in sections
        ],
        _errors(document),
        schema_tables(document),
    )
    return frame("API reference", main, titles(), sections=[*beside, ("Objects", _objects(document))])


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Method, path and operation; a HEAD that only repeats its GET is left out."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if not (method == "head" and "get" in item):
                yield method, path, operation


def _opening(document: Mapping[str, Any]) -> Html:
    info = document["info"]
    return h(
        "section",
        h("h1", "casd API"),
        h("p", info["summary"], " Version ", info["version"], ".", class_="lead"),
        prose(info["description"]),
        examples.tasks(),
        class_="opening",
    )


def _objects(document: Mapping[str, Any]) -> list[tuple[str, Child]]:
    return [(f"object-{name}", name) for name in document["components"]["schemas"] if name != "JsonValue"]


# -- an operation ---------------------------------------------------------------------------------------------------


def verb(method: str) -> Html:
    return h("span", method.upper(), class_=f"verb {method}")


def operation_article(document: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]) -> Html:
    name = operation["operationId"]
    also = " · also HEAD" if "head" in document["paths"][path] and method == "get" else ""
    return h(
        "article",
        h("h3", h("a", operation["summary"], href=f"#{name}"), id=name),
        h("p", verb(method), " ", h("code", _breakable(path), class_="path"), class_="call"),
        h("p", _access(operation), also, class_="access"),
        prose(operation["description"]) if "description" in operation else None,
        h("pre", h("code", examples.curl(method, path, operation)), tabindex="0", aria_label="Example with curl"),
        _parameters(operation),
        _body(operation),
        _answers(operation),
        _refusals(document, operation),
        class_="operation",
    )


def _breakable(path: str) -> Html:
    """The path, with places where a narrow screen may break it."""
    return Html("/<wbr>".join(join([part]) for part in path.split("/")))


def _access(operation: Mapping[str, Any]) -> str:
    ways = tuple(next(iter(way), "none") for way in operation["security"])
    return ACCESS[ways][1]


def _parameters(operation: Mapping[str, Any]) -> Html | None:
    told = operation.get("parameters", ())
    if not told:
        return None
    return h(
        "table",
        h("caption", "Parameters"),
        h("tbody", [_parameter(each) for each in told]),
    )


def _parameter(parameter: Mapping[str, Any]) -> Html:
    required = h("span", "required", class_="required") if parameter.get("required") else None
    return h(
        "tr",
        h("th", h("code", parameter["name"]), " ", required, scope="row"),
        h("td", h("span", f"{parameter['in']} · ", kind_of(parameter["schema"]), class_="kind")),
        h("td", phrase(parameter["description"])),
    )


def _body(operation: Mapping[str, Any]) -> Html | None:
    body = operation.get("requestBody")
    if body is None:
        return None
    ((media, content),) = body["content"].items()
    example = content.get("example")
    return h(
        "div",
        h("h4", "Body"),
        h("p", phrase(body["description"]), " ", h("span", _content(media, content), class_="kind")),
        h("pre", h("code", json.dumps(example, indent=2)), tabindex="0", aria_label="Example of the body")
        if example
        else None,
    )


def _content(media: str, content: Mapping[str, Any]) -> Child:
    schema = content.get("schema")
    return [kind_of(schema), f" as {media}"] if schema else media.replace("*/*", "bytes of any type")


def _answers(operation: Mapping[str, Any]) -> Html:
    rows = []
    for status, answer in operation["responses"].items():
        if "$ref" in answer or status >= "400":
            continue
        content = [[", " if at else None, _content(*each)] for at, each in enumerate(answer.get("content", {}).items())]
        fields = [h("code", name) for name in answer["headers"] if name != "X-Request-ID"]
        rows.append(
            h(
                "tr",
                h("th", h("span", status, class_="status ok"), scope="row"),
                h("td", h("span", content or "no body", class_="kind")),
                h(
                    "td",
                    phrase(answer["description"]),
                    h("p", "Header fields: ", [[" ", each] for each in fields], class_="fields") if fields else None,
                ),
            )
        )
    return h("table", h("caption", "Answers"), h("tbody", rows))


def _refusals(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Html | None:
    """The codes that not almost every operation can give."""
    usual = _usual(document)
    items = []
    for status, answer in operation["responses"].items():
        codes = [code for code in _codes(document, answer) if code not in usual] if status >= "400" else []
        if codes:
            links = [[" ", h("a", code, href=f"#error-{code}")] for code in codes]
            items.append(h("li", h("span", status, class_="status"), links))
    return h("div", h("h4", "Refusals"), h("ul", items, class_="codes")) if items else None


def _usual(document: Mapping[str, Any]) -> set[str]:
    """Codes of three operations in four, which would only hide the others."""
    told = [
        {code for answer in operation["responses"].values() for code in _codes(document, answer)}
        for _, _, operation in operations(document)
    ]
    counts = Counter(code for codes in told for code in codes)
    return {code for code, count in counts.items() if count * 4 >= len(told) * 3}


def _codes(document: Mapping[str, Any], answer: Mapping[str, Any]) -> list[str]:
    if "$ref" in answer:
        answer = document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    schema = answer.get("content", {}).get("application/problem+json", {}).get("schema", {})
    return list(schema["allOf"][1]["properties"]["code"]["enum"]) if "allOf" in schema else []


# -- errors -----------------------------------------------------------------------------------------------------------


def _errors(document: Mapping[str, Any]) -> Html:
    """Every code once, with what it means."""
    known: dict[str, tuple[str, str]] = {}
    for key, answer in document["components"]["responses"].items():
        status = key.partition(".")[0]
        for line in answer["description"].splitlines():
            if line.startswith("- `"):
                code, _, about = line.removeprefix("- `").partition("`: ")
                known.setdefault(code, (status, about))
    rows = [
        h(
            "tr",
            h("th", h("code", code), scope="row", id=f"error-{code}"),
            h("td", h("span", status, class_="status")),
            h("td", phrase(about)),
        )
        for code, (status, about) in sorted(known.items(), key=lambda item: (item[1][0], item[0]))
    ]
    return h(
        "section",
        h("h2", h("a", "Errors", href="#errors"), id="errors"),
        h(
            "p",
            "Each is application/problem+json; programs test its code. Nearly any operation may answer with ",
            [[", " if at else None, h("code", code)] for at, code in enumerate(sorted(_usual(document)))],
            ".",
            class_="lead",
        ),
        h("table", h("caption", "Codes"), h("tbody", rows)),
    )
