"""If-Match and If-None-Match of a write to a name: before the body, and again in the transaction (DESIGN.md 7)."""

import random
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.conftest import Daemon
from tests.web.expected import etag_of
from tests.web.wire import (
    Wire,
    ask,
    has_payload,
    head,
    incoming,
    raw,
    stored,
    wait_until,
)


def unique(size: int) -> bytes:
    """Bytes that no other test has."""
    return uuid4().bytes[:size] + random.randbytes(max(0, size - 16))


@pytest.fixture
def named(wire: Wire) -> Iterator[str]:
    """A name whose latest version is b"one"."""
    url = f"/v1/names/default/{uuid4()}"
    assert wire.ask("PUT", url, b"one").status == 201
    return url


ONE, TWO = etag_of(b"one"), etag_of(b"two")


@pytest.mark.parametrize(
    ("headers", "on_one", "on_none"),
    [
        ({"If-Match": ONE}, 201, 412),
        ({"If-Match": f"{TWO}, {ONE}"}, 201, 412),
        ({"If-Match": "*"}, 201, 412),
        ({"If-Match": TWO}, 412, 412),
        ({"If-Match": f"W/{ONE}"}, 412, 412),  # strong comparison (RFC 9110, 13.1.1)
        ({"If-None-Match": "*"}, 412, 201),
        ({"If-None-Match": ONE}, 412, 201),
        ({"If-None-Match": f"W/{ONE}"}, 412, 201),
        ({"If-None-Match": TWO}, 201, 201),
        ({"If-Match": ONE, "If-None-Match": TWO}, 201, 412),
        ({"If-Match": "junk"}, 400, 400),
        ({"If-None-Match": "junk"}, 400, 400),
    ],
)
def test_a_guard_decides_over_a_write(
    shared_daemon: Daemon, wire: Wire, named: str, headers: dict[str, str], on_one: int, on_none: int
) -> None:
    data = unique(20)

    refused_at = [wire.ask("PUT", url, data, headers) for url in (named, f"{named}-absent")]

    assert [answer.status for answer in refused_at] == [on_one, on_none]
    assert has_payload(shared_daemon, data) == (201 in (on_one, on_none))
    assert wire.ask("GET", named).body == (data if on_one == 201 else b"one")


def test_a_guard_sees_a_hidden_name_as_absent(wire: Wire, named: str) -> None:
    wire.ask("DELETE", named)

    assert wire.ask("PUT", named, b"x", {"If-Match": ONE}).status == 412
    assert wire.ask("PUT", named, b"x", {"If-None-Match": "*"}).status == 201


@pytest.mark.parametrize("header", ["If-None-Match: *", f"If-Match: {ONE}"])
def test_of_two_guarded_writers_at_once_one_wins(shared_daemon: Daemon, named: str, header: str) -> None:
    url = named if "If-Match" in header else f"{named}-new"
    winner, loser = unique(100_000), unique(100_000)
    with raw(shared_daemon) as slow:
        slow.send(head(shared_daemon, f"PUT {url}", "Content-Length: 100000", header))
        slow.send(loser[:99_999])
        wait_until(lambda: incoming(shared_daemon), "the slow writer has begun")
        name, _, value = header.partition(": ")

        first = ask(shared_daemon, "PUT", url, winner, {name: value})
        slow.send(loser[99_999:])
        second = slow.answer()

    assert first.status == 201
    assert (second.status, second.code) == (412, "precondition-failed")
    assert ask(shared_daemon, "GET", url).body == winner


def test_a_guard_in_two_lines_is_one_list(shared_daemon: Daemon, named: str) -> None:
    lines = f"If-None-Match: {TWO}", f"If-None-Match: {ONE}"
    with raw(shared_daemon) as connection:
        connection.send(head(shared_daemon, f"PUT {named}", "Content-Length: 1", *lines) + "x")

        assert connection.answer().status == 412


def test_a_guard_stands_before_a_binding_too(wire: Wire, named: str) -> None:
    uuid = stored(wire, b"bound").json["uuid"]

    assert wire.ask("PUT", f"{named}?blob={uuid}", headers={"If-None-Match": "*"}).status == 412
    assert wire.ask("PUT", f"{named}?blob={uuid}", headers={"If-Match": ONE}).status == 201


def test_a_guard_stands_before_a_delete_too(wire: Wire, named: str) -> None:
    assert wire.ask("DELETE", named, headers={"If-Match": TWO}).status == 412
    assert wire.ask("DELETE", named, headers={"If-Match": ONE}).status == 204
