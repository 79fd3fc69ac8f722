"""`casd token` and `casd namespace` against the real daemon."""

import re
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from click import BadParameter

from casd.cli.parameters import duration, size
from tests.cli.conftest import RunInside, made


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses, and that is not there yet."""
    return f"n{uuid4().hex}"


def token(inside: RunInside, role: str, *namespaces: str) -> dict[str, str]:
    """The environment of somebody with a new token."""
    ran = inside("token", "create", f"a {role}", "--role", role, *(f"--namespace={each}" for each in namespaces))
    assert ran.code == 0, ran.err
    return {"CASD_TOKEN": ran.out.strip()}


def test_a_tokens_secret_is_all_that_create_prints(inside: RunInside, namespace: str) -> None:
    ran = inside("token", "create", "node 7", "--role", "writer", "--namespace", namespace)

    assert re.fullmatch(r"casd_[\w-]{40,}\n", ran.out)
    [listed] = [line for line in inside("token", "ls").lines if namespace in line]
    assert listed.split(None, 6)[1:] == ["writer", "good", "never", "used", namespace, "node 7"]
    assert listed.split()[0] in ran.err
    assert ran.out.strip() not in inside("token", "ls", "--json").out


def test_a_token_may_what_its_role_may(inside: RunInside, namespace: str, name: str) -> None:
    writer, reader = token(inside, "writer", namespace), token(inside, "reader", namespace)

    stored = inside("put", __file__, name, "--namespace", namespace, env=writer)
    read = inside("ls", "--namespace", namespace, env=reader)
    refused = inside("put", __file__, name, "--namespace", namespace, env=reader)
    listed = inside("token", "ls", env=writer)

    assert (stored.code, read.code, refused.code, listed.code) == (0, 0, 4, 4)
    assert "needs the role writer" in refused.err
    assert "needs the role admin" in listed.err
    assert "casd token create" in refused.err


def test_a_token_expires_when_it_was_told_to(inside: RunInside, namespace: str) -> None:
    before = datetime.now(UTC)

    told = made(inside, "token", "create", "t", "--role", "reader", "--namespace", namespace, "--expires-in", "30d")

    assert 0 <= (datetime.fromisoformat(told["expires_at"]) - before).total_seconds() - 30 * 86400 < 600
    assert told["token"].startswith("casd_")


def test_a_revoked_token_opens_nothing(inside: RunInside, namespace: str) -> None:
    told = made(inside, "token", "create", "t", "--role", "reader", "--namespace", namespace)
    mine = {"CASD_TOKEN": told["token"]}
    assert inside("ls", "--namespace", namespace, env=mine).code == 0

    assert inside("token", "revoke", told["id"]).out == f"revoked {told['id']}\n"

    assert inside("ls", "--namespace", namespace, env=mine).code == 4
    [line] = [line for line in inside("token", "ls").lines if told["id"] in line]
    assert " revoked 2" in line
    assert inside("token", "revoke", str(uuid4())).code == 3


def test_a_namespace_that_is_not_there_says_how_to_make_one(inside: RunInside, namespace: str, name: str) -> None:
    for arguments in (["put", __file__, name], ["ls"], ["put", __file__]):
        ran = inside(*arguments, "--namespace", namespace)
        assert ran.code == 3
        assert "casd namespace create" in ran.err


def test_a_namespace_is_made_and_listed(inside: RunInside, namespace: str, name: str) -> None:
    fresh = made(inside, "namespace", "create", namespace)

    assert fresh["readers"] == []
    assert fresh["anonymous_read"] is False
    assert namespace in inside("namespace", "ls").lines
    assert namespace in [item["name"] for item in made(inside, "namespace", "ls")["items"]]
    assert inside("put", __file__, name, "--namespace", namespace).code == 0


def test_rules_of_a_namespace_change_one_by_one(inside: RunInside, namespace: str) -> None:
    made(inside, "namespace", "create", namespace, "--readers", "a, b", "--keep-versions", "3")

    def change(*options: str) -> Any:
        return made(inside, "namespace", "set", namespace, *options)

    more = change("--anonymous-read", "--share-by-uuid", "no", "--max-age", "2w", "--quota-bytes", "10GiB")
    assert (more["readers"], more["keep_versions"]) == (["a", "b"], 3)
    assert (more["anonymous_read"], more["share_by_uuid"]) == (True, False)
    assert (more["max_age_s"], more["quota_bytes"]) == (14 * 86400, 10 << 30)
    less = change("--readers", "none", "--no-anonymous-read", "--share-by-uuid", "default", "--quota-blobs", "0")
    assert (less["readers"], less["anonymous_read"], less["share_by_uuid"]) == ([], False, None)
    assert (less["quota_blobs"], less["quota_bytes"]) == (0, 10 << 30)
    assert change("--keep-versions", "none", "--max-age", "none")["keep_versions"] is None
    assert made(inside, "namespace", "show", namespace)["quota_bytes"] == 10 << 30


def test_show_tells_people_who_may_read(inside: RunInside, namespace: str) -> None:
    def shown(readers: str) -> list[str]:
        inside("namespace", "create", namespace, "--readers", readers)
        return inside("namespace", "show", namespace).lines

    assert "readers        its members" in shown("none")
    assert "readers        its members, and those of a, b" in shown("a,b")
    assert "readers        its members, and any other token (*)" in shown("*")


def test_setting_rules_of_a_mistyped_namespace_makes_none(inside: RunInside, namespace: str) -> None:
    assert inside("namespace", "set", namespace, "--keep-versions", "3").code == 3
    assert inside("namespace", "show", namespace).code == 3


@pytest.mark.parametrize("readers", ["a,,b", "a b", "*,/"])
def test_readers_that_are_no_namespaces_are_wrong_usage(inside: RunInside, namespace: str, readers: str) -> None:
    assert inside("namespace", "create", namespace, "--readers", readers).code == 2


def test_the_beginning_of_a_tokens_id_will_do(inside: RunInside, namespace: str) -> None:
    id = made(inside, "token", "create", "node 7", "--role", "reader", "--namespace", namespace)["id"]

    assert inside("token", "rotate", id[:24]).code == 0
    assert inside("token", "revoke", id[:24]).out == f"revoked {id}\n"
    for no_id in ("node 7", id[:3], ""):
        wrong = inside("token", "revoke", no_id)
        assert wrong.code == 2
        assert "`casd token ls` shows the IDs" in wrong.err


def test_a_full_namespace_names_what_tells_of_its_use(inside: RunInside, namespace: str, name: str) -> None:
    inside("namespace", "create", namespace, "--quota-bytes", "10")

    refused = inside("put", __file__, name, "--namespace", namespace)

    assert refused.code in (1, 4)
    assert "casd namespace show NS" in refused.err


def test_with_a_wrong_token_both_variables_are_named(inside: RunInside) -> None:
    refused = inside("ls", env={"CASD_TOKEN": "casd_wrong"})

    assert refused.code == 4
    assert "CASD_TOKEN_FILE names" in refused.err
    assert "CASD_TOKEN holds" in refused.err


def test_only_an_admin_changes_namespaces(inside: RunInside, namespace: str) -> None:
    mine = token(inside, "writer", namespace)

    shown = inside("namespace", "show", namespace, env=mine)
    refused = inside("namespace", "set", namespace, "--keep-versions", "3", env=mine)

    assert shown.code == 0
    assert refused.code == 4
    assert "needs the role admin" in refused.err


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000), ("2w", 1_209_600)]
)
def test_a_time_span_has_a_unit(text: str, seconds: int) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("1000", 1000), ("7B", 7), ("1KiB", 1024), ("500 MiB", 500 << 20), ("2TiB", 2 << 40), ("2T", 2 << 40)],
)
def test_a_size_has_a_unit(text: str, count: int) -> None:
    assert size(text) == count


@pytest.mark.parametrize("text", ["", "T", "2 tons", "2TB", "2t", "-1", "1.5G", "iB", "2iB"])
def test_what_is_no_size_is_wrong_usage(text: str) -> None:
    with pytest.raises(BadParameter, match="500MiB or 2T"):
        size(text)
