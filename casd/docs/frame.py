"""What all pages have around them."""

from collections.abc import Iterable, Mapping, Sequence

from casd.docs.markup import Child, Html, h

STYLES = ("/console/base.css", "/docs/style.css")


def frame(
    title: str,
    main: Iterable[Child],
    guides: Mapping[str, str],
    *,
    here: str = "",
    sections: Sequence[tuple[str, Sequence[tuple[str, Child]]]] = (),
    query: str = "",
) -> str:
    """A whole page. `sections` are headings and, below each, anchors with what they are called."""
    head = h(
        "head",
        h("meta", charset="utf-8"),
        h("meta", name="viewport", content="width=device-width, initial-scale=1"),
        h("meta", name="color-scheme", content="light dark"),
        h("title", f"{title} · casd" if title != "casd" else "casd"),
        [h("link", rel="stylesheet", href=style) for style in STYLES],
    )
    body = h(
        "body",
        h("a", "Skip to the text", href="#main", class_="skip"),
        _top(query),
        h(
            "div",
            h("main", *main, id="main", tabindex="-1"),
            _contents(guides, here, sections),
            class_="page",
        ),
    )
    return "<!doctype html>\n" + h("html", head, body, lang="en") + "\n"


def _top(query: str) -> Html:
    return h(
        "header",
        h("a", h("strong", "casd"), " docs", href="/docs", class_="brand"),
        h("a", "Contents", href="#contents", class_="to-contents"),
        h(
            "form",
            h(
                "input",
                type="search",
                name="q",
                value=query,
                placeholder="Search: range, resume, token …",
                aria_label="Search the docs",
            ),
            h("button", "Search"),
            action="/docs",
            role="search",
        ),
        h("nav", h("a", "Console", href="/"), h("a", "openapi.json", href="/openapi.json"), aria_label="Elsewhere"),
        class_="top",
    )


def _contents(
    guides: Mapping[str, str], here: str, sections: Sequence[tuple[str, Sequence[tuple[str, Child]]]]
) -> Html:
    """Beside the text where there is room; where there is not, below it, and the top leads there."""
    return h(
        "nav",
        h("p", "Guides", class_="group"),
        _links([(f"/docs/{name}", text) for name, text in guides.items()], f"/docs/{here}"),
        h("p", h("a", "API reference", href="/docs", aria_current=None if here else "page"), class_="group"),
        [
            h("details", h("summary", name), _links([(f"/docs#{target}", text) for target, text in items]), open=True)
            for name, items in sections
        ],
        id="contents",
        class_="contents",
        aria_label="Contents",
    )


def _links(items: Iterable[tuple[str, Child]], here: str = "") -> Html:
    return h(
        "ul",
        [h("li", h("a", text, href=href, aria_current="page" if href == here else None)) for href, text in items],
    )
