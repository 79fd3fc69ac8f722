"""HTML as values: whatever is no `Html` is text, and is escaped."""

from collections.abc import Iterable
from html import escape
from typing import TypeAlias

from markdown_it import MarkdownIt

_PROSE = MarkdownIt("commonmark", {"html": False})


class Html(str):
    """Markup, not text."""

    __slots__ = ()


Child: TypeAlias = "str | Iterable[Child] | None"
VOID = frozenset({"input", "link", "meta"})


def h(tag: str, *children: Child, **attributes: str | bool | None) -> Html:
    """An element. `class_` is class, `aria_label` aria-label; None and False leave an attribute out."""
    told = "".join(
        f" {name.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(value)}"')
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    return Html(f"<{tag}{told}>" if tag in VOID else f"<{tag}{told}>{join(children)}</{tag}>")


def join(children: Iterable[Child]) -> Html:
    return Html("".join(_markup(child) for child in children))


def _markup(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    return escape(child, quote=False) if isinstance(child, str) else join(child)


def prose(text: str) -> Html:
    """CommonMark, in which HTML is text."""
    return Html(_PROSE.render(text))


def phrase(text: str) -> Html:
    """The same of one line, without a paragraph around it."""
    return Html(_PROSE.renderInline(text))
