"""A browser, a store to look at, and a tab whose complaints and foreign requests fail the test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Daemon, serving
from tests.console.browser import Browser, Tab
from tests.environments import npm_environment as npm_environment
from tests.web.party import Party

PLAYWRIGHT, AXE = "playwright-core@1.65.1", "axe-core@4.14.1"


@pytest.fixture(scope="session")
def modules(npm_environment: Callable[..., Path]) -> Path:
    return npm_environment(PLAYWRIGHT, AXE) / "node_modules"


@pytest.fixture(scope="session")
def browser(modules: Path) -> Iterator[Browser]:
    with Browser.running(modules) as browser:
        yield browser


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with serving(tmp_path_factory.mktemp("console") / "data") as daemon:
        yield daemon


@pytest.fixture
def us(store: Daemon) -> Iterator[Party]:
    party = Party(store)
    party.settings()
    yield party
    party.close()


@pytest.fixture
def tab(browser: Browser, store: Daemon) -> Iterator[Tab]:
    """Nobody is signed in yet. In the end no other host was asked, and the console had nothing to complain of."""
    with browser.tab(store.url) as tab:
        yield tab
        assert tab.foreign_requests() == []
        assert tab.unexpected_complaints() == []


@pytest.fixture
def writer(tab: Tab, us: Party) -> Tab:
    """A tab of who may write in our namespace."""
    tab.sign_in(us.token("writer"))
    return tab
