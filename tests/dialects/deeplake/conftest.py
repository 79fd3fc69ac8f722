"""Two namespaces, on each event loop."""

from tests.web.party import make_party as make_party
from tests.web.party import them as them
from tests.web.party import us as us
