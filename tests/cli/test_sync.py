"""`casd sync` against the real daemon: both ways, what differs and nothing else."""

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from casd.cli import digests, errand
from tests.cli.conftest import Ran, Remote, Run, RunInside
from tests.cli.test_folders import listed, read, written
from tests.conftest import Daemon
from tests.proxy import Proxy

FILES = {"index.html": b"<p>", "img/logo.png": b"png" * 1000, "a/b/c": b"c", "a-b": b"-"}


@pytest.fixture
def prefix(name: str) -> str:
    return name


@pytest.fixture
def site(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a few files, beside which the commands run."""
    monkeypatch.chdir(folder)
    written(folder / "site", FILES)
    return folder / "site"


@pytest.fixture
def synced(inside: RunInside, site: Path, prefix: str) -> Path:
    """The folder, equal to the prefix."""
    ran = inside("sync", "site", f"casd:{prefix}")
    assert (ran.code, ran.err) == (0, ""), ran
    return site


def actions(ran: Ran) -> dict[str, str]:
    """What was done to each name or path, as far as something was."""
    told = [json.loads(line) for line in ran.lines]
    return {
        (each["path"] or each["name"]).removeprefix("site/"): f"{each['action']} {each['state']}"
        for each in told
        if each["action"] != "none"
    }


# -- up ------------------------------------------------------------------------------------------------------------


def test_a_prefix_becomes_equal_to_a_folder(inside: RunInside, synced: Path, prefix: str) -> None:
    assert listed(inside, prefix) == dict.fromkeys(FILES, 1)


def test_the_prefix_need_not_be_marked_behind_a_folder(inside: RunInside, site: Path, prefix: str) -> None:
    assert inside("sync", "site", prefix).code == 0

    assert listed(inside, prefix) == dict.fromkeys(FILES, 1)


def test_only_what_differs_is_stored(inside: RunInside, synced: Path, prefix: str) -> None:
    (synced / "index.html").write_bytes(b"<q>")
    (synced / "a-b").write_bytes(b"longer")
    (synced / "new").write_bytes(b"new")

    ran = inside("sync", "site", f"casd:{prefix}", "--json")

    assert actions(ran) == {"index.html": "put done", "a-b": "put done", "new": "put done"}
    assert listed(inside, prefix) == {**dict.fromkeys(FILES, 1), "index.html": 2, "a-b": 2, "new": 1}


def test_nothing_is_deleted_unless_asked_for(inside: RunInside, synced: Path, prefix: str) -> None:
    (synced / "index.html").unlink()

    ran = inside("sync", "site", f"casd:{prefix}")

    assert (ran.code, ran.out) == (0, "nothing to do: 3 files the same on both sides\n")
    assert "index.html" in listed(inside, prefix)


def test_names_without_a_file_are_hidden_when_asked_for_and_come_back(
    inside: RunInside, synced: Path, prefix: str
) -> None:
    shutil.rmtree(synced / "a")

    ran = inside("sync", "site", f"casd:{prefix}", "--delete")

    assert ran.out == "hid 1 name, 3 the same already\n"
    assert listed(inside, prefix).keys() == FILES.keys() - {"a/b/c"}
    assert inside("undelete", f"{prefix}/a/b/c").code == 0
    assert inside("get", f"{prefix}/a/b/c", "back").code == 0
    assert Path("back").read_bytes() == b"c"


def test_names_beside_the_prefix_are_left_alone(inside: RunInside, synced: Path, prefix: str) -> None:
    inside("put", "site/index.html", f"{prefix}-other")
    inside("put", "site/index.html", f"{prefix}")

    ran = inside("sync", "site", f"casd:{prefix}", "--delete", "--json")

    assert actions(ran) == {}


def test_a_dry_run_tells_and_does_nothing(inside: RunInside, synced: Path, prefix: str) -> None:
    (synced / "index.html").write_bytes(b"<q>")
    (synced / "a-b").unlink()
    (synced / "new").write_bytes(b"new")
    before = inside("ls", prefix, "--json").json

    dry = inside("sync", "site", f"casd:{prefix}", "--delete", "--dry-run")
    as_json = inside("sync", "site", f"casd:{prefix}", "--delete", "-n", "--json")

    assert inside("ls", prefix, "--json").json == before
    assert dry.code == 0
    assert sorted(dry.lines[:-1]) == [
        f"hide              {prefix}/a-b",
        f"put          3 B  {prefix}/index.html",
        f"put          3 B  {prefix}/new",
    ]
    assert dry.lines[-1] == "would store 2 files (6 B), hide 1 name, 2 the same already"
    assert actions(as_json) == {
        "index.html": "put planned",
        "new": "put planned",
        f"{prefix}/a-b": "hide planned",
    }


def test_an_empty_folder_deletes_nothing_unless_that_is_meant(inside: RunInside, synced: Path, prefix: str) -> None:
    shutil.rmtree(synced)
    synced.mkdir()

    refused = inside("sync", "site", f"casd:{prefix}", "--delete")
    kept = listed(inside, prefix)
    meant = inside("sync", "site", f"casd:{prefix}", "--delete-all")

    assert (refused.code, meant.code) == (1, 0)
    assert "nothing was deleted; --delete-all insists" in refused.err
    assert kept.keys() == FILES.keys()
    assert listed(inside, prefix) == {}


def test_nothing_is_deleted_when_something_could_not_be_taken_along(
    inside: RunInside, synced: Path, prefix: str
) -> None:
    (synced / "index.html").unlink()
    (synced / os.fsdecode(b"bad\xff")).mkdir()

    ran = inside("sync", "site", f"casd:{prefix}", "--delete")

    assert ran.code == 1
    assert "nothing was deleted" in ran.err
    assert listed(inside, prefix).keys() == FILES.keys()


# -- down ----------------------------------------------------------------------------------------------------------


def test_a_folder_becomes_equal_to_a_prefix(inside: RunInside, synced: Path, prefix: str) -> None:
    ran = inside("sync", f"casd:{prefix}", "copy")

    assert ran.code == 0, ran.err
    assert read(Path("copy")) == FILES


def test_only_what_differs_is_fetched(inside: RunInside, synced: Path, prefix: str) -> None:
    (synced / "index.html").write_bytes(b"<q>")
    (synced / "a-b").unlink()
    (synced / "mine").write_bytes(b"mine")

    ran = inside("sync", f"casd:{prefix}", "site", "--json")

    assert actions(ran) == {"index.html": "get done", "a-b": "get done"}
    assert read(synced) == {**FILES, "mine": b"mine"}


def test_files_without_a_name_are_removed_when_asked_for(inside: RunInside, synced: Path, prefix: str) -> None:
    written(synced, {"x/y/mine": b"mine", "a/mine": b"mine"})
    (synced / "link").symlink_to("index.html")

    ran = inside("sync", f"casd:{prefix}", "site", "--delete")

    assert ran.code == 0, ran.err
    assert ran.out == "removed 2 files, 4 the same already\n"
    assert read(synced) == {**FILES, "link": b"<p>"}
    assert not (synced / "x").exists()


def test_a_file_makes_place_for_a_folder_and_a_folder_for_a_file(inside: RunInside, synced: Path, prefix: str) -> None:
    written(Path("other"), {"index.html/now/a/folder": b"1", "a": b"now a file"})

    ran = inside("sync", "other", f"casd:{prefix}", "--delete")
    assert ran.code == 0, ran.err
    blocked = inside("sync", f"casd:{prefix}", "site")
    ran = inside("sync", f"casd:{prefix}", "site", "--delete")

    assert blocked.code == 1
    assert (ran.code, ran.err) == (0, "")
    assert read(synced) == read(Path("other"))


def test_a_dry_run_downwards_makes_nothing(inside: RunInside, synced: Path, prefix: str) -> None:
    (synced / "mine").write_bytes(b"mine")
    (synced / "a-b").unlink()

    ran = inside("sync", f"casd:{prefix}", "site", "--delete", "-n", "--json")
    new = inside("sync", f"casd:{prefix}", "copy", "-n")

    assert actions(ran) == {"mine": "remove planned", "a-b": "get planned"}
    assert read(synced) == {**{k: v for k, v in FILES.items() if k != "a-b"}, "mine": b"mine"}
    assert new.lines[-1] == "would fetch 4 files (2.9 KiB)"
    assert not Path("copy").exists()


def test_a_prefix_without_names_empties_no_folder(inside: RunInside, synced: Path, prefix: str) -> None:
    ran = inside("sync", f"casd:{prefix}/mistyped", "site", "--delete")

    assert ran.code == 1
    assert f"there is no name below {prefix}/mistyped/" in ran.err
    assert read(synced) == FILES


# -- what it costs -------------------------------------------------------------------------------------------------


async def test_a_second_sync_sends_nothing_and_asks_once(
    casd: Run, daemon: Daemon, remote: Remote, folder: Path, prefix: str
) -> None:
    source = random.Random(3)
    written(folder / "site", {f"{number}": source.randbytes(5000) for number in range(150)})
    assert (await casd("sync", "site", f"casd:{prefix}")).code == 0

    for arguments in (["site", f"casd:{prefix}"], [f"casd:{prefix}", "site"]):
        async with Proxy(daemon.url) as proxy:
            ran = await casd("sync", *arguments, env=remote(proxy.url))

        assert ran.out == "nothing to do: 150 files the same on both sides\n"
        requests = b"".join(seen.requests for seen in proxy.seen)
        assert requests.count(b"HTTP/1.1\r\n") == 2  # whose token it is, and the names
        assert requests.count(b"GET /v1/names/") == 1


def test_a_second_sync_need_not_read_what_has_not_changed(
    inside: RunInside, site: Path, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "SETTLED_NS", -1)
    inside("sync", "site", f"casd:{prefix}")
    (site / "index.html").write_bytes(b"<q>")
    read_files: list[str] = []
    true_sha512_of = errand.sha512_of

    async def sha512_of(path: Path, moving: Any) -> Any:
        read_files.append(path.name)
        return await true_sha512_of(path, moving)

    monkeypatch.setattr(errand, "sha512_of", sha512_of)

    assert actions(inside("sync", "site", f"casd:{prefix}", "--json")) == {"index.html": "put done"}
    assert read_files == ["index.html"]
    inside("sync", "site", f"casd:{prefix}", "--rehash")
    assert len(read_files) == 1 + len(FILES)


# -- usage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["casd:a", "casd:b"], "one of the two is a folder"),
        (["casd://default/a", "site"], "--namespace"),
        (["absent", "casd:a"], "absent is no folder"),
        (["a", "site"], "casd sync casd:a site"),
        (["site/index.html", "casd:a"], "is no folder"),
        (["site", "casd:"], "1 to 1024 bytes"),
        (["site", ""], "1 to 1024 bytes"),
        (["casd:a", "site/index.html"], "is no folder"),
        (["casd:a", "absent/site"], "make it first"),
        (["casd:a", "site", "-L"], "--follow-links"),
    ],
)
def test_wrong_usage_ends_in_2_and_says_what_to_write(
    inside: RunInside, site: Path, arguments: list[str], said: str
) -> None:
    ran = inside("sync", *arguments)

    assert ran.code == 2, ran.out
    assert said in ran.err
