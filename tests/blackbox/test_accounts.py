"""Section 8, the rows of tokens and namespaces."""

import time
from typing import Any
from uuid import uuid4

import pytest

from tests.blackbox.shapes import (
    SETTINGS,
    Shape,
    is_text,
    is_uuid,
    items_of,
    list_of,
    oddities,
    one_of,
    or_null,
    refusal,
)
from tests.web.party import Party, is_time, listed
from tests.web.wire import PATIENCE_S, Wire

TOKEN: Shape = {
    "id": is_uuid,
    "name": is_text,
    "role": one_of("reader", "append-only", "writer", "admin"),
    "namespaces": list_of(is_text),
    "created_at": is_time,
    "expires_at": or_null(is_time),
    "revoked_at": or_null(is_time),
    "last_used_at": or_null(is_time),
    "rotated_at": or_null(is_time),
}


def status_with(party: Party, secret: str) -> int:
    return party.nobody.ask("GET", "/v1/blobs", headers={"Authorization": f"Bearer {secret}"}).status


@pytest.mark.parametrize("role", ["reader", "writer", "admin"])
def test_a_token_is_made_listed_and_revoked(us: Party, role: str) -> None:
    body = {"name": "ci ü", "role": role, "namespaces": [us.namespace, "other"], "expires_in": 3600}

    made = us.admin.ask("POST", "/v1/tokens", body)

    secret = made.json["token"]
    told = {key: value for key, value in made.json.items() if key != "token"}
    assert made.status == 201
    assert made["Location"] == f"/v1/tokens/{told['id']}"
    assert not oddities(TOKEN, told)
    assert told == told | {"name": "ci ü", "role": role, "namespaces": [us.namespace, "other"], "revoked_at": None}
    assert is_time(told["expires_at"])
    items = listed(us.admin, "/v1/tokens?limit=1000")
    assert told in items
    assert all(not oddities(TOKEN, item) for item in items)  # a secret is shown once
    assert status_with(us, secret) == 200
    revoked = us.admin.ask("DELETE", f"/v1/tokens/{told['id'].upper()}")
    assert (revoked.status, revoked.body) == (204, b"")
    assert status_with(us, secret) == 401  # at once


def test_a_token_that_names_no_time_never_ends(us: Party) -> None:
    for more in ({}, {"expires_in": None}):
        body = {"name": "x", "role": "reader", "namespaces": [us.namespace]} | more
        assert us.admin.ask("POST", "/v1/tokens", body).json["expires_at"] is None


def test_an_expired_token_opens_nothing(us: Party) -> None:
    secret = us.token("writer", expires_in=1)
    deadline = time.monotonic() + PATIENCE_S

    while status_with(us, secret) == 200:
        assert time.monotonic() < deadline
        time.sleep(0.02)

    with Wire(us.daemon, secret) as wire:
        assert refusal(wire.ask("POST", "/v1/blobs", b"x")) == (401, "unauthenticated")
        assert refusal(wire.ask("GET", us.name()))[0] == 401


BAD_TOKENS: list[Any] = [
    {},
    {"name": "x"},
    {"name": "x", "role": "reader"},
    {"name": "x", "role": "reader", "namespaces": []},
    {"name": "x", "role": "reader", "namespaces": "default"},
    {"name": "x", "role": "reader", "namespaces": ["a/b"]},
    {"name": "x", "role": "reader", "namespaces": [""]},
    {"name": "x", "role": "reader", "namespaces": ["a", 1]},
    {"name": "x", "role": "reader", "namespaces": ["a", None]},
    {"name": "x", "role": "reader", "namespaces": ["*"]},
    {"name": "x", "role": "reader", "namespaces": {"a": 1}},
    {"name": "x", "role": "Reader", "namespaces": ["a"]},
    {"name": "x", "role": "", "namespaces": ["a"]},
    {"name": "x", "role": 1, "namespaces": ["a"]},
    {"name": "x", "role": ["reader"], "namespaces": ["a"]},
    {"name": "", "role": "reader", "namespaces": ["a"]},
    {"name": "a\x00b", "role": "reader", "namespaces": ["a"]},
    {"name": "x" * 5000, "role": "reader", "namespaces": ["a"]},
    {"name": None, "role": "reader", "namespaces": ["a"]},
    {"name": "x", "role": "reader", "namespaces": ["a"], "expires_in": 0},
    {"name": "x", "role": "reader", "namespaces": ["a"], "expires_in": -5},
    {"name": "x", "role": "reader", "namespaces": ["a"], "expires_in": "60"},
    {"name": "x", "role": "reader", "namespaces": ["a"], "expires_in": True},
    {"name": "x", "role": "reader", "namespaces": ["a"], "expires_in": 10**400},
    {"name": "x", "role": "reader", "namespaces": ["a"], "expires_in": 1e300},
    {"name": "x", "role": "reader", "namespaces": ["a"], "secret": "mine"},
    [],
    "x",
    1,
]


@pytest.mark.parametrize("body", BAD_TOKENS, ids=lambda body: repr(body)[:60])
def test_a_token_that_is_none_is_400(us: Party, body: Any) -> None:
    assert refusal(us.admin.ask("POST", "/v1/tokens", body)) == (400, "invalid-input")


@pytest.mark.parametrize("id", ["01890000-0000-7000-8000-000000000000", "x", "1", "%00", "0" * 32])
def test_a_token_that_is_not_there_is_404(us: Party, id: str) -> None:
    assert refusal(us.admin.ask("DELETE", f"/v1/tokens/{id}"))[0] == 404


def test_a_namespace_exists_from_its_first_token_or_put(us: Party) -> None:
    by_token, by_put = f"t-{uuid4()}", f"p-{uuid4()}"
    for name in (by_token, by_put):
        assert us.admin.ask("GET", f"/v1/namespaces/{name}").status == 404
        assert us.admin.ask("POST", f"/v1/blobs?namespace={name}", b"x").status == 404
        assert us.admin.ask("GET", f"/v1/names/{name}").status == 404

    us.admin.ask("POST", "/v1/tokens", {"name": "x", "role": "reader", "namespaces": [us.namespace, by_token]})
    us.admin.ask("PUT", f"/v1/namespaces/{by_put}", {})

    names = [item["name"] for item in listed(us.admin, "/v1/namespaces?limit=1000")]
    assert {by_token, by_put} <= set(names)
    assert names == sorted(names)
    for name in (by_token, by_put):
        assert us.admin.ask("POST", f"/v1/blobs?namespace={name}", b"x").status == 201
        assert items_of(us.admin.ask("GET", f"/v1/names/{name}")) == []


def test_a_namespace_s_settings_are_told_and_changed_one_by_one(us: Party) -> None:
    us.settings()
    url = f"/v1/namespaces/{us.namespace}"
    fresh = us.admin.ask("GET", url).json
    assert not oddities(SETTINGS, {key: fresh[key] for key in SETTINGS})
    assert {key: value for key, value in fresh.items() if value} == {"name": us.namespace}
    changes: list[dict[str, Any]] = [
        {"readers": ["a", "b"]},
        {"readers": ["*"]},
        {"anonymous_read": True},
        {"share_by_uuid": False},
        {"share_by_uuid": True},
        {"quota_bytes": 10**15},
        {"quota_blobs": 10**6},
        {"keep_versions": 3},
        {"max_age_s": 86400},
        {"readers": [], "anonymous_read": False, "share_by_uuid": None, "quota_bytes": None},
        {"quota_blobs": None, "keep_versions": None, "max_age_s": None},
    ]
    expected = fresh

    for change in changes:
        put = us.admin.ask("PUT", url, change)

        expected = expected | change
        assert (put.status, put.json) == (200, expected)
        assert us.admin.ask("GET", url).json == expected
        assert us.reader.ask("GET", url).json == expected
    assert expected == fresh


@pytest.mark.parametrize(
    "body",
    [{"readers": value} for value in ("*", "a", [1], [None], [[]], ["a b"], {"a": 1}, ["a"] * 1 + ["\ud7ff"])]
    + [{"anonymous_read": value} for value in (0, 1, "true", [], {})]
    + [{"share_by_uuid": value} for value in (0, "false", [])]
    + [{key: value} for key in ("quota_bytes", "quota_blobs") for value in (-1, 1.5, "1", True, 1 << 63, 10**400)]
    + [{key: value} for key in ("keep_versions", "max_age_s") for value in (0, -1, 0.5, "1", True, 1 << 63)]
    + [{"unknown": 1}, {"name": "other"}, [], "x", 1],
    ids=lambda body: repr(body)[:40],
)
def test_settings_that_are_none_are_400(us: Party, body: Any) -> None:
    us.settings()
    url = f"/v1/namespaces/{us.namespace}"
    before = us.admin.ask("GET", url).json

    assert refusal(us.admin.ask("PUT", url, body)) == (400, "invalid-input")

    assert us.admin.ask("GET", url).json == before


def test_a_member_sees_its_own_namespaces_alone(us: Party, them: Party) -> None:
    them.settings(readers=["*"], anonymous_read=True)
    both = {"Authorization": f"Bearer {us.token('writer', 'default')}"}

    assert [item["name"] for item in items_of(us.reader.ask("GET", "/v1/namespaces"))] == [us.namespace]
    assert refusal(us.reader.ask("GET", f"/v1/namespaces/{them.namespace}"))[0] == 404
    names = [item["name"] for item in items_of(us.nobody.ask("GET", "/v1/namespaces", headers=both))]
    assert names == sorted(["default", us.namespace])
