"""Who does not see, or sees little, or uses no mouse: axe-core finds no serious fault on any page."""

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Daemon
from tests.console.browser import LAPTOP, PHONE, Browser, Tab
from tests.web.party import Party


@pytest.fixture(params=[("light", LAPTOP), ("dark", PHONE)], ids=["light-laptop", "dark-phone"])
def looked_at(browser: Browser, store: Daemon, request: pytest.FixtureRequest) -> Any:
    scheme, viewport = request.param
    with browser.tab(store.url, colorScheme=scheme, viewport=viewport) as tab:
        yield tab


def faults(tab: Tab, modules: Path) -> list[str]:
    """Serious and critical ones, each with what it is about."""
    tab.run((modules / "axe-core" / "axe.min.js").read_text())
    found = tab.run("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    grave = [one for one in found if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {[node['html'][:120] for node in one['nodes'][:3]]}" for one in grave]


def test_no_page_has_a_serious_fault(looked_at: Tab, us: Party, modules: Path) -> None:
    tab = looked_at
    us.publish("folder/table.csv", b"a,b\n1,2\n")
    us.publish("text.txt", b"one")
    blob = us.publish("text.txt", b"two")["blob"]["uuid"]
    us.writer.ask("PUT", f"/v1/blobs/{blob}/metadata/os", {"value": "debian"})
    us.publish("gone.txt")
    us.writer.ask("DELETE", us.name("gone.txt"))
    pages = {
        "#/": ".listing",
        f"#/ns/{us.namespace}/": ".listing",
        f"#/ns/{us.namespace}/none/": ".empty",
        f"#/name/{us.namespace}/text.txt": ".preview pre",
        f"#/name/{us.namespace}/folder/table.csv": ".preview table",
        f"#/name/{us.namespace}/gone.txt": ".note",
        f"#/blob/{blob}": ".holders",
        "#/find": ".teach",
        "#/find/text": "main > *",
    }

    tab.open()
    tab.label("Token").wait()
    assert faults(tab, modules) == []
    tab.sign_in(us.token("writer"))
    for hash, sign in pages.items():
        tab.open(hash)
        tab.css(sign).first.wait()
        assert (hash, faults(tab, modules)) == (hash, [])


def test_dialogs_and_uploads_have_no_serious_fault(looked_at: Tab, us: Party, modules: Path) -> None:
    tab = looked_at
    us.publish("text.txt")
    tab.sign_in(us.token("writer"))

    tab.drop("new.txt", "not here")
    tab.text("does not have it yet").wait()
    assert faults(tab, modules) == []
    tab.css(".tray").role("button", "Close").click()
    tab.open(f"#/name/{us.namespace}/text.txt")
    tab.role("button", "Delete", exact=True).click()
    tab.css("dialog .effect").wait()
    assert faults(tab, modules) == []


def test_all_can_be_reached_by_keys(writer: Tab) -> None:
    writer.key("Tab")
    assert writer.run("document.activeElement.textContent") == "Skip to the content"
    writer.key("Enter")

    assert writer.run("document.activeElement.id") == "main"


def test_who_wants_no_motion_gets_none(browser: Browser, store: Daemon) -> None:
    with browser.tab(store.url, reducedMotion="reduce") as tab:
        tab.sign_in(store.token)
        moving = "[...document.querySelectorAll('*')].some((one) => getComputedStyle(one).transitionDuration !== '0s')"

        assert tab.run(moving) is False
