"""The console as HTTP: who gets it at `/`, how its files are cached, and what a browser may do with them."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from casd.console.assets import STATIC
from tests.conftest import Daemon
from tests.web.wire import Answer, Wire

PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
VENDORED = sorted((STATIC / "vendor").iterdir())


@pytest.fixture
def nobody(store: Daemon) -> Iterator[Wire]:
    wire = Wire(store, None)
    yield wire
    wire.connection.close()


def page(nobody: Wire) -> Answer:
    return nobody.ask("GET", "/", None, PAGE)


def linked(nobody: Wire) -> list[str]:
    return ["/" + path for path in re.findall(r'(?:href|src)="([^"]+)"', page(nobody).body.decode())]


def test_a_browser_gets_a_page(nobody: Wire) -> None:
    answer = page(nobody)

    assert (answer.status, answer["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "Accept" in (answer["Vary"] or "")


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/plain", ""])
def test_others_get_the_words(nobody: Wire, accept: str) -> None:
    answer = nobody.ask("GET", "/", None, {"Accept": accept})

    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert b"Capabilities" in answer.body
    assert "Accept" in (answer["Vary"] or "")


def test_all_that_the_page_links_is_there_for_good(nobody: Wire) -> None:
    answers = [nobody.ask("GET", path) for path in linked(nobody)]

    assert len(answers) > 10
    assert {answer.status for answer in answers} == {200}
    assert {answer["Cache-Control"] for answer in answers} == {"public, immutable, max-age=31536000"}


def test_a_file_is_asked_about_again_where_its_path_has_no_version(nobody: Wire) -> None:
    first = nobody.ask("GET", "/console/base.css")
    again = nobody.ask("GET", "/console/base.css", None, {"If-None-Match": first["ETag"] or ""})

    assert (first.status, first["Cache-Control"]) == (200, "no-cache")
    assert (again.status, again.body) == (304, b"")


def test_the_page_is_asked_about_again(nobody: Wire) -> None:
    tag = page(nobody)["ETag"] or ""

    assert nobody.ask("GET", "/", None, PAGE | {"If-None-Match": tag}).status == 304


def test_files_are_sent_compressed_to_who_takes_that(nobody: Wire) -> None:
    plain = nobody.ask("GET", "/console/console.css")
    packed = nobody.ask("GET", "/console/console.css", None, {"Accept-Encoding": "gzip, br"})

    assert packed["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 2


@pytest.mark.parametrize("path", ["/", "/console/app.js", "/console/base.css", "/console/drop/hash-worker.js"])
def test_nothing_but_the_daemon_itself_is_trusted(nobody: Wire, path: str) -> None:
    answer = nobody.ask("GET", path, None, PAGE)

    policy = dict(part.split(" ", 1) for part in (answer["Content-Security-Policy"] or "").split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert {policy[kind] for kind in ("style-src", "connect-src", "img-src", "media-src")} == {"'self'"}
    assert {policy[kind] for kind in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
    assert policy["require-trusted-types-for"] == "'script'"
    assert answer["Referrer-Policy"] == "no-referrer"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Set-Cookie"] is None


@pytest.mark.parametrize(
    "path", ["nothing.js", "../daemon.py", "%2e%2e/assets.py", "assets.py", "0000/app.js", "vendor/"]
)
def test_what_is_no_file_of_the_console_is_not_found(nobody: Wire, path: str) -> None:
    answer = nobody.ask("GET", f"/console/{path}")

    assert (answer.status, answer.code) == (404, "not-found")


def test_no_file_has_inline_script_or_style() -> None:
    text = (STATIC / "index.html").read_text()

    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", text)


@pytest.mark.parametrize("file", [f for f in STATIC.rglob("*.js") if "vendor" not in f.parts], ids=lambda f: f.name)
def test_no_module_makes_markup_of_text(file: Path) -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|DOMParser", file.read_text())


@pytest.mark.parametrize("folder", VENDORED, ids=lambda folder: folder.name)
def test_what_others_wrote_stands_beside_its_licence_and_version(folder: Path) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", (folder / "VERSION").read_text())
    assert "Permission is hereby granted" in (folder / "LICENSE").read_text()
