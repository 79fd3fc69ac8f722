"""A hundred thousand names: what is asked for and drawn is what is looked at, counted, not timed."""

import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from casd import folder
from tests.conftest import Daemon, serving
from tests.console.browser import Browser, Tab
from tests.web.wire import ask

COUNT = 100_000
NODES = 2500  # a page of a hundred rows, and the frame


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    data = tmp_path_factory.mktemp("many") / "data"
    with serving(data) as daemon:
        assert ask(daemon, "PUT", "/v1/names/default/many/first", b"x").status == 201
    fill(data)
    with serving(data) as daemon:
        yield daemon


def fill(data: Path) -> None:
    """As if each had been published with the same bytes; through the API that takes minutes."""
    db = sqlite3.connect(data / folder.CATALOGUE)
    name, blob, namespace, at = db.execute(
        "SELECT n.id, v.blob_id, n.namespace_id, v.created_at FROM name n JOIN version v ON v.name_id = n.id"
    ).fetchone()
    start = name + 1
    names = [(start + i, uuid.uuid4().bytes, namespace, f"many/name {i:06}".encode(), at) for i in range(COUNT)]
    db.executemany("INSERT INTO name (id, uuid, namespace_id, name, created_at) VALUES (?, ?, ?, ?, ?)", names)
    versions = [(start + i, blob, at) for i in range(COUNT)]
    db.executemany("INSERT INTO version (name_id, number, blob_id, created_at) VALUES (?, 1, ?, ?)", versions)
    db.execute("INSERT INTO name_counter SELECT namespace_id, name, 1, created_at FROM name WHERE id >= ?", (start,))
    db.execute("UPDATE blob SET version_count = version_count + ? WHERE id = ?", (COUNT, blob))
    db.commit()
    db.close()


@pytest.fixture
def tab(browser: Browser, large: Daemon) -> Iterator[Tab]:
    with browser.tab(large.url) as tab:
        tab.sign_in(large.token)
        yield tab
        assert tab.unexpected_complaints() == []


def listed(tab: Tab) -> int:
    return len([request for request in tab.requests() if "/v1/names/" in request["url"]])


def nodes(tab: Tab) -> int:
    count: int = tab.run("document.querySelectorAll('*').length")
    return count


def test_a_folder_of_so_many_is_opened_by_one_request(tab: Tab) -> None:
    tab.open("#/ns/default/many/")
    tab.role("link", "name 000000").wait()

    assert listed(tab) == 1
    assert tab.css("[data-row]").count() == 100
    assert nodes(tab) < NODES


def test_the_next_page_is_asked_for_at_the_end_of_this_one(tab: Tab) -> None:
    tab.open("#/ns/default/many/")
    tab.role("link", "name 000000").wait()

    tab.css("[data-row]").at("last").do("scrollIntoViewIfNeeded")
    tab.role("link", "name 000150").wait()

    assert tab.css("[data-row]").count() == 200
    assert listed(tab) == 2


def test_typing_finds_one_of_them_by_one_more_request(tab: Tab) -> None:
    tab.open("#/ns/default/many/")
    tab.role("link", "name 000000").wait()

    tab.label("Names here that begin with").fill("name 07777")
    tab.role("link", "name 077770").wait()
    tab.role("link", "name 000000").wait("detached")

    assert tab.css("[data-row]").count() == 10
    assert listed(tab) == 2


def test_the_folder_above_shows_one_row(tab: Tab) -> None:
    tab.open("#/ns/default/")
    tab.role("link", "many/").wait()

    assert tab.css("[data-row]").count() == 1
    assert listed(tab) == 1


def test_a_blob_that_so_many_names_hold_is_opened(tab: Tab) -> None:
    tab.open("#/name/default/many/name 050000")
    tab.css(".preview pre").wait()

    assert nodes(tab) < NODES
