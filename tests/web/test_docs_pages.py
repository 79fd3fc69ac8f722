"""`/docs`: the reference and the help topics as pages, for people (issue 8)."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from casd.cli.topics import TOPICS
from tests.web.party import Party
from tests.web.wire import Answer

ELSEWHERE = {"/", "/openapi.json", "/console/base.css"}


class Seen(HTMLParser):
    """What a page links to, which anchors it has, and what it should not have."""

    def __init__(self) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: list[str] = []
        self.suspicious: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.links |= {str(told[name]) for name in ("href", "src", "action") if name in told}
        self.anchors += [str(told["id"])] if "id" in told else []
        if tag in ("script", "style", "iframe", "img") or any(name == "style" or name[:2] == "on" for name in told):
            self.suspicious.append(self.get_starttag_text() or tag)


def read(us: Party, path: str) -> tuple[Answer, Seen]:
    answer, seen = us.nobody.ask("GET", path), Seen()
    assert answer.status == 200, path
    seen.feed(answer.body.decode())
    seen.close()
    return answer, seen


@pytest.fixture
def document(us: Party) -> dict[str, Any]:
    found: dict[str, Any] = us.nobody.ask("GET", "/openapi.json").json
    return found


def test_every_operation_has_its_place_on_the_page(us: Party, document: dict[str, Any]) -> None:
    _, seen = read(us, "/docs")
    ids = {
        operation["operationId"]
        for item in document["paths"].values()
        for method, operation in item.items()
        if not (method == "head" and "get" in item)
    }

    assert ids <= set(seen.anchors)
    assert len(set(seen.anchors)) == len(seen.anchors)


def test_every_help_topic_is_a_page_and_the_contents_list_it(us: Party) -> None:
    _, seen = read(us, "/docs")

    assert {link for link in seen.links if re.fullmatch("/docs/[a-z-]+", link)} == {f"/docs/{name}" for name in TOPICS}
    for name in TOPICS:
        answer, _ = read(us, f"/docs/{name}")
        assert answer["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("path", ["/docs", "/docs?q=a", *(f"/docs/{name}" for name in TOPICS)])
def test_a_page_leads_only_to_what_is_there(us: Party, path: str) -> None:
    _, seen = read(us, path)
    _, home = read(us, "/docs")
    pages = {"/docs", "/docs/style.css", *(f"/docs/{name}" for name in TOPICS)} | ELSEWHERE

    for link in seen.links:
        page, _, anchor = link.partition("#")
        assert not page or page in pages, link
        assert not anchor or anchor in (home.anchors if page == "/docs" else seen.anchors), link


@pytest.mark.parametrize("path", ["/docs", "/docs/resuming", "/docs?q=resume", "/docs/style.css"])
def test_a_page_runs_nothing_and_loads_nothing_from_elsewhere(us: Party, path: str) -> None:
    answer, seen = read(us, path)
    policy = str(answer["Content-Security-Policy"])

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert seen.suspicious == []
    assert b"@import" not in answer.body
    assert b"url(" not in answer.body


@pytest.mark.parametrize("path", ["/docs", "/docs/resuming", "/docs/style.css"])
def test_a_page_that_is_known_is_not_sent_again(us: Party, path: str) -> None:
    first = us.nobody.ask("GET", path)
    again = us.nobody.ask("GET", path, headers={"If-None-Match": str(first["ETag"])})

    assert first["Cache-Control"] == "no-cache"
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("resume", "/docs#readBlob"),
        ("resume upload", "/docs#headUpload"),
        ("make a token", "/docs#addToken"),
        ("interrupted", "/docs/resuming"),
        ("Upload-Offset", "/docs#appendUpload"),
        ("garbage", "/docs/operations"),
    ],
)
def test_what_people_look_for_is_found(us: Party, words: str, first: str) -> None:
    _, seen = read(us, "/docs?q=" + words.replace(" ", "+"))

    assert first in seen.links


def test_what_is_looked_for_stays_text(us: Party) -> None:
    answer, seen = read(us, "/docs?q=%3Cscript%3Ealert(1)%3C/script%3E%22%3E%3Cimg%20src=x%3E")

    assert seen.suspicious == []
    assert b"&lt;script&gt;" in answer.body
    assert b"Nothing found" in answer.body


@pytest.mark.parametrize("topic", ["nowhere", "START", "..%2f..%2fpyproject", "start.md"])
def test_what_is_no_topic_is_404(us: Party, topic: str) -> None:
    assert us.nobody.ask("GET", f"/docs/{topic}").status == 404


def test_a_newcomer_finds_the_three_things_at_the_top(us: Party) -> None:
    answer, _ = read(us, "/docs")
    top = answer.body.decode().partition('id="blobs"')[0]

    assert [text in top for text in ("Make a token", "Fetch a range", "Resume an upload", "curl -r 0-511")] == [
        True
    ] * 4
