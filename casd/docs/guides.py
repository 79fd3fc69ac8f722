"""The help topics, as `casd help` shows them, as pages."""

import re
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

import casd
from casd.docs.frame import frame
from casd.docs.markup import Html, h

TOPICS_FOLDER = Path(casd.__file__).parent / "cli" / "help"
FIRST = "start"

_MENTION = re.compile(r"casd help ([a-z-]+)")


def titles() -> dict[str, str]:
    """Topics with their titles: the first steps first, the others by the alphabet."""
    names = sorted((path.stem for path in TOPICS_FOLDER.glob("*.md")), key=lambda name: (name != FIRST, name))
    return {name: text_of(name).partition("\n")[0].removeprefix("# ").replace("`", "") for name in names}


def text_of(topic: str) -> str:
    return (TOPICS_FOLDER / f"{topic}.md").read_text("utf-8")


def guide(topic: str) -> str:
    known = titles()
    parser = MarkdownIt("commonmark", {"html": False})
    tokens = parser.parse(text_of(topic))
    for token in tokens:
        _link_mentions(token, known)
    body = Html(parser.renderer.render(tokens, parser.options, {}))
    names = list(known)
    at = names.index(topic)
    around = h(
        "nav",
        _step(known, names[at - 1], "Before") if at else None,
        _step(known, names[at + 1], "Next") if at + 1 < len(names) else None,
        class_="around",
        aria_label="Other topics",
    )
    main = h("article", body, class_="guide"), around
    return frame(known[topic], main, known, here=topic)


def _step(known: dict[str, str], topic: str, word: str) -> Html:
    return h("a", h("small", word), " ", known[topic], href=f"/docs/{topic}", class_=word.lower())


def _link_mentions(token: Token, known: dict[str, str]) -> None:
    """`casd help TOPIC` leads to the topic's page."""
    children = token.children or []
    for at, child in reversed(list(enumerate(children))):
        match = _MENTION.fullmatch(child.content) if child.type == "code_inline" else None
        if match is not None and match[1] in known:
            opening = Token("link_open", "a", 1, attrs={"href": f"/docs/{match[1]}"})
            children[at : at + 1] = [opening, child, Token("link_close", "a", -1)]
