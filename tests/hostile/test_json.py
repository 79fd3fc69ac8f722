"""Every route that takes JSON, or parameters in its query, given any JSON and any text under the names that it knows.

The routes are the daemon's own; the names of fields are all that any of them knows, found in casd's source, so that a
new one is tried without being written here.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import casd
from casd.daemon.composition import DIALECTS
from casd.web.dialect import Route
from tests.hostile.case import UUID, ZEROS
from tests.hostile.conftest import Target
from tests.web.wire import Wire

# A word in quotes, or a field of a model: most are none of a body or query, and do no harm there.
WORD = re.compile(r'"([a-z][a-z0-9_]{1,40})"|^    ([a-z][a-z0-9_]*): ', re.MULTILINE)
SOURCES = [path for part in ("dialects", "web") for path in sorted((Path(casd.__file__).parent / part).rglob("*.py"))]
NAMES = sorted({one or two for path in SOURCES for one, two in WORD.findall(path.read_text())})
TEXTS = [
    "default",
    "known",
    UUID,
    ZEROS,
    "writer",
    "reader",
    "/v1/names/default/known",
    "*",
    "a/b",
    "2026-01-01T00:00:00Z",
]

texts = st.sampled_from(TEXTS) | st.text(st.characters(codec="utf-8"), max_size=20)
numbers = (
    st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0, 1, -1, 1 << 31, 1 << 63])
)
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
objects = st.dictionaries(st.sampled_from(NAMES) | texts, values, max_size=6)
queries = st.dictionaries(st.sampled_from(NAMES), scalars.map(str), max_size=4)

CHANGING = {"POST", "PUT", "PATCH", "DELETE"}
ELEMENT = re.compile(r"\{(\w+)(?::(?:[^{}]|\{[^{}]*\})*)?\}")
# Not asked: these would take away what the other tests look at, or run for long.
SPARED = ("/v1/upkeep/", "/v1/signing-keys", "/metrics")


def routes() -> Iterator[Any]:
    for dialect in DIALECTS:
        for route in dialect.routes:
            if not route.path.startswith(SPARED):
                yield pytest.param(dialect.name, route, id=f"{dialect.name} {route.method} {route.path}")


def target_of(route: Route, text: str) -> str:
    """The route's path with that text for each element."""
    return ELEMENT.sub(lambda match: quote(text, safe=""), re.sub(r"\{s\d+:/\+\}|\{end:/\*\}", "/", route.path))


@pytest.mark.parametrize(("dialect", "route"), list(routes()))
@settings(deadline=None, max_examples=6, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(body=objects | values, query=queries, text=texts)
def test_any_json_and_any_query_is_answered(
    target: Target, dialect: str, route: Route, body: Any, query: dict[str, str], text: str
) -> None:
    scheme = "Token" if dialect == "datapane" else "Bearer"
    path = target_of(route, text)
    if route.method in CHANGING and "known" in path:
        path = path.replace("known", "other")  # what is known has to be there in the end
    asked = f"{path}?{urlencode(query)}" if query else path
    headers = {"Authorization": f"{scheme} {target.daemon.token}", "Content-Type": "application/json"}
    with Wire(target.daemon, None) as wire:
        answer = wire.ask(route.method, asked, body if route.method in CHANGING else None, headers)

    assert answer.status < 500 or answer.status == 507, answer.body
    assert b"Traceback" not in answer.body
