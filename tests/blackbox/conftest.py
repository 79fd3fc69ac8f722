"""An outsider's view: DESIGN.md 8 walked over HTTP, by somebody who has that text, a daemon and a client.

Nothing here imports casd, nor does what it stands on: `test_outside.py` holds that.
"""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.conftest import Daemon, serving
from tests.web.party import Party, parties
from tests.web.party import them as them
from tests.web.party import us as us
from tests.web.wire import Wire

# The same examples in every run: what CI finds, everybody finds.
settings.register_profile(
    "outside",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for all of this."""
    with serving(tmp_path_factory.mktemp("outside") / "data") as running:
        yield running


@pytest.fixture
def wire(service: Daemon) -> Iterator[Wire]:
    """The admin's connection."""
    with Wire(service) as opened:
        yield opened


@pytest.fixture
def make_party(service: Daemon) -> Iterator[Callable[..., Party]]:
    """Parties with a namespace each: `us` and `them` are two of them."""
    with parties(service) as make:
        yield make
