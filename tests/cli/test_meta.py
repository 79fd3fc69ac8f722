"""`casd meta` and `casd name` against the real daemon."""

from typing import Any

import pytest

from casd.cli.meta import parsed_value
from tests.cli.conftest import RunInside, made

NOWHERE = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(params=["a blob", "a name"])
def what(request: pytest.FixtureRequest, inside: RunInside, name: str) -> str:
    """Something that has metadata, as the command line takes it."""
    if request.param == "a name":
        made(inside, "put", __file__, name)
        return name
    return str(made(inside, "put", __file__)["uuid"])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-0.5", -0.5),
        ("true", True),
        ("null", None),
        ('"3"', "3"),
        ('{"a": [1, "ü"]}', {"a": [1, "ü"]}),
        ("debian", "debian"),
        ("", ""),
        ("03", "03"),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("1e999", "1e999"),
        ("{'a': 1}", "{'a': 1}"),
        ("[" * 100_000, "[" * 100_000),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_a_value_is_json_if_it_can_be_read_as_such(text: str, value: Any) -> None:
    assert parsed_value(text) == value
    assert type(parsed_value(text)) is type(value)


def test_what_was_set_is_listed_and_got(inside: RunInside, what: str) -> None:
    inside("meta", "set", what, "os", "debian 12")
    inside("meta", "set", what, "size", "3")
    inside("meta", "set", what, "tags", '["a", "ü"]')

    assert inside("meta", "ls", what).lines == ['os  "debian 12"', "size  3", 'tags  ["a", "ü"]']
    assert made(inside, "meta", "ls", what) == {"os": "debian 12", "size": 3, "tags": ["a", "ü"]}
    assert inside("meta", "get", what, "os").out == "debian 12\n"
    assert inside("meta", "get", what, "os", "--json").out == '"debian 12"\n'
    assert made(inside, "meta", "get", what, "tags") == ["a", "ü"]


def test_set_tells_how_the_value_was_understood(inside: RunInside, what: str) -> None:
    assert inside("meta", "set", what, "version", "3").out == "version  3\n"
    assert inside("meta", "set", what, "version", "3", "--string").out == 'version  "3"\n'
    assert inside("meta", "set", what, "version", "--", "-3").out == "version  -3\n"
    assert made(inside, "meta", "ls", what) == {"version": -3}


def test_a_key_is_removed_once(inside: RunInside, what: str) -> None:
    inside("meta", "set", what, "a", "1")
    inside("meta", "set", what, "b", "2")

    assert inside("meta", "rm", what, "a").out == "removed a\n"
    assert inside("meta", "rm", what, "a").code == 3
    assert inside("meta", "get", what, "a").code == 3
    assert made(inside, "meta", "ls", what) == {"b": 2}


@pytest.mark.parametrize("key", ["a/b", ".", "..", "50% + ü #?&", "a%2Fb"])
def test_a_key_is_any_text(inside: RunInside, what: str, key: str) -> None:
    assert inside("meta", "set", what, key, "x").code == 0
    assert made(inside, "meta", "ls", what) == {key: "x"}
    assert inside("meta", "get", what, key).out == "x\n"
    assert inside("meta", "rm", what, key).code == 0


@pytest.mark.parametrize(("key", "value"), [("", "x"), ("a\nb", "x"), ("\udcff", "x"), ("key", "\udcff")])
def test_what_cannot_be_metadata_is_wrong_usage(inside: RunInside, what: str, key: str, value: str) -> None:
    ran = inside("meta", "set", what, key, value)

    assert ran.code == 2
    assert len(ran.err.splitlines()) == 1


def test_metadata_of_what_is_absent_ends_in_3(inside: RunInside, name: str) -> None:
    for what in (NOWHERE, name):
        assert inside("meta", "ls", what).code == 3
        assert inside("meta", "get", what, "key").code == 3
        assert inside("meta", "set", what, "key", "value").code == 3
        assert inside("meta", "rm", what, "key").code == 3


def test_the_settings_of_a_name_change_one_by_one(inside: RunInside, name: str) -> None:
    made(inside, "put", __file__, name)
    inside("meta", "set", name, "os", "debian")

    fresh = made(inside, "name", "show", name)
    kept = made(inside, "name", "set", name, "--keep-versions", "2", "--shared")
    taken_back = made(inside, "name", "set", name, "--keep-versions", "none", "--protected")

    assert (fresh["keep_versions"], fresh["shared"], fresh["protected"]) == (None, False, False)
    assert (kept["keep_versions"], kept["shared"], kept["protected"]) == (2, True, False)
    assert (taken_back["keep_versions"], taken_back["shared"], taken_back["protected"]) == (None, True, True)
    assert taken_back["metadata"] == {"os": "debian"}


def test_a_name_that_keeps_two_versions_keeps_two(inside: RunInside, name: str) -> None:
    made(inside, "put", __file__, name)
    inside("name", "set", name, "--keep-versions", "2")

    for _ in range(3):
        made(inside, "put", __file__, name)

    assert [item["version"] for item in made(inside, "versions", name)["items"]] == [3, 4]


def test_show_tells_people_what_a_name_is(inside: RunInside, name: str) -> None:
    made(inside, "put", __file__, name)
    inside("meta", "set", name, "os", "debian")
    inside("rm", name)

    lines = inside("name", "show", name).lines

    assert f"name          {name}" in lines
    assert "keep versions as the namespace says" in lines
    assert 'metadata os   "debian"' in lines
    assert any(line.startswith("hidden        since 2") for line in lines)
