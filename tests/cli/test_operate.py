"""`casd sign`, `casd signing-key`, `casd status` and `casd gc` against the real daemon."""

import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from casd.cli.operate import status_facts
from casd.client.operations import _status
from tests.cli.conftest import RunInside, made
from tests.conftest import Daemon

CONTENT = Path(__file__).read_bytes()


def fetched(url: str) -> tuple[int, bytes]:
    """What anybody gets who has nothing but the URL."""
    try:
        with urllib.request.urlopen(url) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, b""


# -- signed URLs --------------------------------------------------------------------------------------------------


def test_a_signed_url_is_all_that_sign_prints_and_all_that_a_reader_needs(inside: RunInside, name: str) -> None:
    blob = made(inside, "put", __file__, name)["blob"]

    for what in (name, blob["uuid"], blob["sha512"]):
        ran = inside("sign", what)
        assert re.fullmatch(r"http://\S+\n", ran.out)
        assert re.fullmatch(r"casd: good until \S+Z\n", ran.err)
        assert fetched(ran.out.strip()) == (200, CONTENT)


def test_a_signed_url_lives_for_an_hour_or_as_was_asked(inside: RunInside, name: str) -> None:
    made(inside, "put", __file__, name)
    before = datetime.now(UTC)

    def seconds(*options: str) -> float:
        until = datetime.fromisoformat(made(inside, "sign", name, *options)["expires_at"])
        return (until - before).total_seconds()

    assert 0 <= seconds() - 3600 < 600
    assert 0 <= seconds("--expires-in", "2d") - 2 * 86400 < 600
    assert 0 <= seconds("--expires-in", "52w") - 604_800 < 600  # [auth] signed_url_max_s


def test_a_version_is_signed_and_stays_that_version(inside: RunInside, name: str, folder: Path) -> None:
    first = made(inside, "put", __file__, name)
    (folder / "second").write_bytes(b"second")
    urls = [
        inside("sign", name, *options).out.strip()
        for options in ([], ["--version", "1"], ["--as-of", first["created_at"]])
    ]

    made(inside, "put", str(folder / "second"), name)

    assert [fetched(url)[1] for url in urls] == [b"second", CONTENT, CONTENT]


def test_what_is_absent_is_not_signed(inside: RunInside, name: str) -> None:
    for what in (name, "00000000-0000-0000-0000-000000000000", "0" * 128):
        ran = inside("sign", what)
        assert (ran.code, ran.out) == (3, "")


def test_a_new_key_leaves_older_urls_good_until_they_are_revoked(inside: RunInside, name: str) -> None:
    made(inside, "put", __file__, name)
    url = inside("sign", name).out.strip()

    rotated = inside("signing-key", "rotate")
    still = fetched(url)[0]
    revoked = made(inside, "signing-key", "rotate", "--revoke")
    afterwards = fetched(url)[0]

    assert (rotated.code, still) == (0, 200)
    assert 400 <= afterwards < 500
    assert inside("signing-key", "ls").lines[0].split()[0] == str(revoked["id"])
    assert [key["id"] for key in made(inside, "signing-key", "ls")["items"]] == [revoked["id"]]
    assert fetched(inside("sign", name).out.strip()) == (200, CONTENT)


# -- status and upkeep --------------------------------------------------------------------------------------------


@pytest.fixture
def own(new_daemon: Callable[..., Daemon], inside: RunInside) -> Iterator[RunInside]:
    """Runs `casd` against a daemon whose grace is over at once, and whose timer does nothing meanwhile."""
    daemon = new_daemon(CASD_UPKEEP__GRACE_S="0", CASD_UPKEEP__INTERVAL_S="86400").start()

    def run(*arguments: str) -> Any:
        return inside("--data", str(daemon.data), *arguments)

    yield run
    assert daemon.stop() == 0


def test_gc_says_what_it_would_remove_refuses_most_of_it_and_removes_it_by_force(own: RunInside, name: str) -> None:
    blob = made(own, "put", __file__)
    own("rm", blob["uuid"])

    dry = own("gc", "--dry-run", "--force")
    before = own("status")
    refused = own("gc")
    forced = own("gc", "--force")
    after = own("status")

    assert dry.lines == [
        "would expire  0 blobs, 0 names, 0 versions, 0 uploads, 0 tokens",
        f"would collect 1 payload, {before_size(before.out)}",
    ]
    assert "garbage              1 payload" in before.out
    assert "last collect-garbage not since the daemon started" in before.out  # a dry run is none
    assert refused.code == 1
    assert "`casd gc --force` insists" in refused.err
    assert forced.lines == [
        "expired       0 blobs, 0 names, 0 versions, 0 uploads, 0 tokens",
        f"collected     1 payload, {before_size(before.out)}",
    ]
    assert "garbage              none" in after.out
    assert "payloads             0 payloads, 0 B on disk" in after.lines
    assert re.search(r"last collect-garbage 2\S+Z: 1 payloads", after.out)
    assert made(own, "status")["upkeep"]["collect-garbage"]["report"]["payloads"] == 1
    assert made(own, "gc", "--dry-run") == {
        "expire": {"blobs": 0, "names": 0, "versions": 0, "uploads": 0, "tokens": 0},
        "collect-garbage": {"payloads": 0, "bytes": 0, "orphans": 0, "dry_run": True},
    }


def before_size(status: str) -> str:
    """How the status writes the size of all payloads."""
    found = re.search(r"payloads +1 payload, (.*) on disk", status)
    assert found is not None
    return found[1]


def test_status_and_gc_want_an_admin(inside: RunInside) -> None:
    token = made(inside, "token", "create", "t", "--role", "writer", "--namespace", "default")["token"]

    for arguments in (["status"], ["gc"], ["gc", "--dry-run"], ["signing-key", "ls"], ["signing-key", "rotate"]):
        ran = inside(*arguments, env={"CASD_TOKEN": token})
        assert ran.code == 4, arguments
        assert "needs the role admin" in ran.err


def test_status_tells_people_of_quarantine_uploads_and_failures(inside: RunInside) -> None:
    answer = made(inside, "status")
    answer["totals"]["quarantined_payloads"] = 2
    answer["uploads"] = {"open": 3, "active": 1, "received_bytes": 1 << 30, "announced_bytes": 3 << 30}
    at = {"started_at": "2026-11-21T08:00:00.000000Z", "ended_at": None}
    answer["upkeep"] = {
        "expire": at | {"report": None, "error": None},
        "collect-garbage": at | {"report": None, "error": "refused"},
    }

    facts = status_facts(_status(answer))

    assert facts["damaged"] == "2 payloads: `casd quarantine ls` tells which; `casd put FILE` heals them"
    assert facts["uploads"] == "3 open, 1 of them active, 1.0 GiB of 3.0 GiB there"
    assert facts["last expire"] == "runs since 2026-11-21T08:00:00Z"
    assert facts["last collect-garbage"] == "2026-11-21T08:00:00Z: failed: refused"
