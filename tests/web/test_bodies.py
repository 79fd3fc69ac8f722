"""What a JSON body is told that is not of its form; no daemon."""

from typing import Any

import pytest

from casd.dialects.native import bodies
from casd.errors import InvalidInput
from casd.web.bodies import RequestBody, checked

TOKEN = {"name": "x", "role": "reader", "namespaces": ["a"]}

WRONG: list[tuple[type[RequestBody], dict[str, Any], list[str]]] = [
    (bodies.TokenRequest, TOKEN | {"colour": 1}, ["unknown field 'colour'", "known: name, role, namespaces"]),
    (bodies.TokenRequest, {"name": "x", "role": "reader"}, ["namespaces is missing", "the first is the token's home"]),
    (bodies.TokenRequest, TOKEN | {"namespaces": ["a/b"]}, ["a namespace is 1 to 128 of"]),
    (bodies.TokenRequest, TOKEN | {"namespaces": ["a", 1]}, ["namespaces[1]", "string"]),
    (bodies.TokenRequest, TOKEN | {"expires_in": True}, ["expires_in", "number", "seconds"]),
    (bodies.TokenRequest, TOKEN | {"expires_in": "60"}, ["expires_in", "number", "seconds"]),
    (bodies.NamespaceChanges, {"quota_bytes": 1.0}, ["quota_bytes", "integer", "null for any"]),
    (bodies.NamespaceChanges, {"keep_versions": 0}, ["keep_versions", "greater than or equal to 1", "null for all"]),
    (bodies.MissingRequest, {}, ['{"sha512": [...]} or {"xxh3_128": [...]}']),
    (bodies.MissingRequest, {"sha512": [], "xxh3_128": []}, ['{"sha512": [...]} or {"xxh3_128": [...]}']),
    (bodies.MissingRequest, {"sha512": ["a" * 127]}, ["sha512[0]", "128 hex digits"]),
    (bodies.MetadataValue, {}, ["value is missing", "any JSON"]),
]


@pytest.mark.parametrize(("model", "body", "told"), WRONG)
def test_who_sends_a_wrong_body_is_told_what_and_which(
    model: type[RequestBody], body: dict[str, Any], told: list[str]
) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked(model, body)

    assert [part for part in told if part not in str(caught.value)] == []


def test_what_was_sent_is_told_apart_from_what_was_left_out() -> None:
    changes = checked(bodies.NamespaceChanges, {"quota_bytes": None, "readers": ["b", "b", "*"]})

    assert changes.told == {"quota_bytes": None, "readers": ["b", "*"]}
