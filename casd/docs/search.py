"""Looking for words in the reference and the guides."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from casd.docs.frame import frame
from casd.docs.guides import text_of, titles
from casd.docs.markup import Html, h, phrase
from casd.docs.reference import operations, verb

QUERY_LIMIT = 200  # characters


def found(document: Mapping[str, Any], query: str) -> str:
    """The page of what has all words of the query; what has them in its title comes first."""
    words = query[:QUERY_LIMIT].lower().split()
    hits = sorted([*_operations(document, words), *_guides(words)], key=lambda hit: hit[0])
    items = [h("li", hit) for _, hit in hits]
    told = f"{len(items)} found" if items else "Nothing found. Try one word, such as range, resume, token or quota."
    main = (
        h("h1", "Search: ", h("q", query[:QUERY_LIMIT])),
        h("p", told, class_="muted"),
        h("ul", items, class_="hits"),
    )
    return frame("Search", main, titles(), here="search", query=query[:QUERY_LIMIT])


def _rank(words: list[str], title: str, text: str) -> int | None:
    """0 where the title has all words, 1 where the text has; None for neither."""
    if all(word in title.lower() for word in words):
        return 0
    return 1 if all(word in text.lower() for word in words) else None


def _operations(document: Mapping[str, Any], words: list[str]) -> Iterator[tuple[int, Html]]:
    for method, path, operation in operations(document):
        title = f"{operation['summary']} {path}"
        parts = [each["name"] + " " + each["description"] for each in operation.get("parameters", ())]
        rank = _rank(words, title, " ".join([title, operation.get("description", ""), *parts]))
        if rank is not None:
            name = h("strong", operation["summary"])
            place = h("code", path)
            about = phrase(_first_line(operation.get("description", "")))
            link = h("a", verb(method), " ", name, href=f"/docs#{operation['operationId']}")
            yield rank, h("div", link, " ", place, h("p", about, class_="muted"))


def _guides(words: list[str]) -> Iterator[tuple[int, Html]]:
    for name, title in titles().items():
        text = text_of(name)
        rank = _rank(words, title, text)
        if rank is not None:
            link = h("a", h("span", "guide", class_="verb guide"), " ", h("strong", title), href=f"/docs/{name}")
            yield rank, h("div", link, h("p", phrase(_passage(text, words)), class_="muted"))


def _first_line(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())


def _passage(text: str, words: list[str]) -> str:
    """The paragraph that has the first of the words."""
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)[1:]]
    return next(
        (part for part in paragraphs if words and words[0] in part.lower()), paragraphs[0] if paragraphs else ""
    )
