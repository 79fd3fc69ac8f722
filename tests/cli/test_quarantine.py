"""`casd quarantine` against a real daemon whose files are spoiled."""

import os
from pathlib import Path
from uuid import uuid4

import pytest

from tests.cli.conftest import RunInside, made
from tests.conftest import Daemon
from tests.payloads.local_backend import path_of


@pytest.fixture
def damaged(inside: RunInside, daemon: Daemon, folder: Path, name: str) -> tuple[str, str]:
    """The name and the entry in quarantine of a payload that was found short."""
    (folder / "file").write_bytes(uuid4().bytes)
    blob = made(inside, "put", str(folder / "file"), name)["blob"]
    os.truncate(path_of(daemon.data, blob["sha512"]), 5)
    refused = inside("get", name, str(folder / "copy"))
    assert refused.code != 0
    assert "casd put FILE" in refused.err
    items = made(inside, "quarantine", "ls")["items"]
    return name, next(item["id"] for item in items if item["sha512"] == blob["sha512"])


def test_what_is_damaged_is_listed_and_shown(inside: RunInside, damaged: tuple[str, str]) -> None:
    name, id = damaged

    (line,) = [line for line in inside("quarantine", "ls").lines if line.endswith(id)]
    shown = inside("quarantine", "show", id)

    assert line.split()[1:4] == ["5", "B", "damaged"]
    assert "store its bytes again" in shown.out
    assert "has 5 of 16 bytes" in shown.out
    assert name in shown.lines[-1]
    assert made(inside, "quarantine", "show", id)["id"] == id
    assert made(inside, "quarantine", "show", id[:40])["id"] == id  # a beginning that no other has


def test_status_tells_of_it(inside: RunInside, damaged: tuple[str, str]) -> None:
    assert "casd quarantine ls" in inside("status").out


def test_what_is_still_damaged_is_purged_by_force_only(inside: RunInside, damaged: tuple[str, str]) -> None:
    _, id = damaged

    refused = inside("quarantine", "purge", id)
    forced = inside("quarantine", "purge", "--force", id)

    assert refused.code != 0
    assert "--force" in refused.err
    assert forced.out == "purged 1 payload from quarantine\n"
    assert inside("quarantine", "show", id).code != 0


def test_storing_it_again_heals_it_and_what_is_healed_is_purged(
    inside: RunInside, folder: Path, damaged: tuple[str, str]
) -> None:
    name, id = damaged
    made(inside, "put", str(folder / "file"), name + "-again")

    purged = made(inside, "quarantine", "purge", "--healed")["purged"]

    assert id in purged
    assert inside("get", name, str(folder / "copy")).code == 0
    assert (folder / "copy").read_bytes() == (folder / "file").read_bytes()


def test_purging_nothing_is_a_mistake(inside: RunInside) -> None:
    assert inside("quarantine", "purge").code == 2
