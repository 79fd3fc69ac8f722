"""`casd put -r` and `casd get -r` against the real daemon: whole folders, there and back."""

import asyncio
import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from casd.client import Client
from tests.cli.conftest import PATIENCE_S, Ran, Remote, Run, RunInside, Start, ended
from tests.conftest import Daemon
from tests.proxy import Fault, Proxy

NASTY = {
    "plain.txt": b"plain",
    "empty": b"",
    "with space/and more  spaces.txt": b"spaces",
    "50% & more/+plus #hash ?query %2F.bin": b"percent",
    "ünïcode/日本語/😀": b"unicode",
    "e\u0301 decomposed": b"nfd",
    "\u00e9 composed": b"nfc",
    "a/b": b"a/b",
    "a-b": b"a-b",
    "a.b": b"a.b",
    "back\\slash": b"backslash",
    "-rf": b"dash",
    "~": b"tilde",
    "'quote\" `$(echo)": b"quotes",
    ".hidden/.file": b"hidden",
    "x" * 200: b"long",
    "/".join(["deep"] * 60): b"deep",
    "01a1fc04-fa4a-7f48-a858-f09f33011e90": b"uuid",
}


@pytest.fixture
def prefix(name: str) -> str:
    return name


@pytest.fixture
def site(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a few files, beside which the commands run."""
    monkeypatch.chdir(folder)
    path = folder / "site"
    index = os.urandom(8)  # which no other test has stored
    written(path, {"index.html": index, "img/logo.png": index * 400, "img/big.png": b"big" + index * 400})
    return path


def written(folder: Path, files: dict[str, bytes]) -> None:
    for place, data in files.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def read(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def lines(ran: Ran) -> list[Any]:
    return [json.loads(line) for line in ran.lines]


def listed(inside: RunInside, prefix: str) -> dict[str, int]:
    """Names below the prefix and the numbers of their latest versions."""
    items = inside("ls", f"{prefix}/", "--json").json["items"]
    return {item["name"].removeprefix(f"{prefix}/"): item["version"] for item in items}


# -- there and back ------------------------------------------------------------------------------------------------


async def test_a_folder_of_nasty_names_comes_back_as_it_was(casd: Run, folder: Path, prefix: str) -> None:
    written(folder / "nasty", NASTY)

    up = await casd("put", "-r", "nasty", prefix)
    down = await casd("get", "-r", prefix, "copy")

    assert (up.code, up.err, down.code, down.err) == (0, "", 0, "")
    assert read(folder / "copy") == NASTY
    assert up.out.startswith(f"stored {len(NASTY)} files (")
    assert down.out.startswith(f"fetched {len(NASTY)} files (")


def test_names_are_the_paths_below_the_folder(inside: RunInside, site: Path, prefix: str) -> None:
    ran = inside("put", "-r", "site", prefix)

    assert ran.code == 0, ran.err
    assert listed(inside, prefix) == {"index.html": 1, "img/logo.png": 1, "img/big.png": 1}


def test_a_slash_at_an_end_changes_nothing(inside: RunInside, site: Path, prefix: str) -> None:
    assert inside("put", "-r", "site/", f"{prefix}/").code == 0
    assert inside("get", "-r", f"{prefix}/", "copy/").code == 0

    assert read(Path("copy")) == read(site)


def test_a_prefix_ends_at_a_segment(inside: RunInside, site: Path, prefix: str) -> None:
    inside("put", "site/index.html", f"{prefix}-other")
    inside("put", "-r", "site", prefix)

    assert inside("get", "-r", prefix, "copy").code == 0
    assert read(Path("copy")) == read(site)


def test_the_whole_namespace_is_a_slash(inside: RunInside, site: Path) -> None:
    assert inside("namespace", "create", "whole").code == 0

    assert inside("put", "-r", "site", "/", "--namespace=whole").code == 0
    assert inside("get", "-r", "/", "copy", "--namespace=whole").code == 0

    assert read(Path("copy")) == read(site)


def test_filenames_and_types_are_remembered(inside: RunInside, site: Path, prefix: str) -> None:
    inside("put", "-r", "site", prefix)

    blob = inside("stat", f"{prefix}/img/logo.png", "--json").json["blob"]

    assert (blob["filename"], blob["content_type"]) == ("logo.png", "image/png")


def test_a_second_put_makes_no_version_of_what_is_equal(inside: RunInside, site: Path, prefix: str) -> None:
    inside("put", "-r", "site", prefix)
    (site / "index.html").write_bytes(os.urandom(8))  # of the same size

    again = inside("put", "-r", "site", prefix, "--json")

    assert listed(inside, prefix) == {"index.html": 2, "img/logo.png": 1, "img/big.png": 1}
    assert {each["name"].removeprefix(f"{prefix}/"): each["action"] for each in lines(again)} == {
        "img/big.png": "none",
        "img/logo.png": "none",
        "index.html": "put",
    }


def test_a_second_get_fetches_what_differs(inside: RunInside, site: Path, prefix: str) -> None:
    inside("put", "-r", "site", prefix)
    inside("get", "-r", prefix, "copy")
    Path("copy/index.html").write_bytes(os.urandom(8))
    Path("copy/img/big.png").unlink()

    again = inside("get", "-r", prefix, "copy")

    assert again.out.startswith("fetched 2 files (")
    assert again.out.endswith(", 1 the same already\n")
    assert read(Path("copy")) == read(site)


def test_each_file_is_an_object_of_json(inside: RunInside, site: Path, prefix: str) -> None:
    (site / "link").symlink_to("index.html")

    up = lines(inside("put", "-r", "site", prefix, "--json"))
    down = lines(inside("get", "-r", prefix, "copy", "--json"))

    [index] = [each for each in up if each["path"] == "site/index.html"]
    assert (index["action"], index["state"], index["name"]) == ("put", "done", f"{prefix}/index.html")
    assert (index["size"], index["version"], index["already_there"]) == (8, 1, False)
    assert len(index["sha512"]) == 128
    assert sorted((each["state"], each["path"]) for each in up if each["path"] == "site/link") == [
        ("skipped", "site/link")
    ]
    assert {each["path"]: each["sha512"] for each in down}["copy/index.html"] == index["sha512"]
    assert len(down) == 3


def test_lines_are_printed_when_asked_for(inside: RunInside, site: Path, prefix: str) -> None:
    ran = inside("put", "-r", "site", prefix, "-v")

    assert f"put          8 B  {prefix}/index.html@1" in ran.lines
    assert len(ran.lines) == 4


def test_bytes_that_the_namespace_has_are_not_sent(inside: RunInside, site: Path, prefix: str) -> None:
    inside("put", "site/img/logo.png", f"{prefix}/elsewhere")

    ran = inside("put", "-r", "site", f"{prefix}/site", "--json")

    assert {each["name"].rpartition("/")[2]: each["already_there"] for each in lines(ran)} == {
        "index.html": False,
        "logo.png": True,
        "big.png": False,
    }


# -- what has no place ---------------------------------------------------------------------------------------------


def test_what_is_no_file_is_left_out_with_a_notice(inside: RunInside, site: Path, prefix: str) -> None:
    (site / "link").symlink_to("index.html")
    (site / "none").mkdir()
    os.mkfifo(site / "pipe")

    ran = inside("put", "-r", "site", prefix)

    assert ran.code == 0
    assert listed(inside, prefix).keys() == {"index.html", "img/logo.png", "img/big.png"}
    assert ran.err.splitlines() == [
        "casd: left out 1 symbolic link (site/link); --follow-links takes what they lead to",
        "casd: left out 1 empty folder (site/none)",
        "casd: left out 1 pipe (site/pipe)",
    ]


def test_links_are_followed_when_asked_for(inside: RunInside, site: Path, prefix: str) -> None:
    (site / "link").symlink_to("img")

    ran = inside("put", "-r", "-L", "site", prefix)

    assert ran.code == 0, ran.err
    assert {"link/logo.png", "img/logo.png"} <= listed(inside, prefix).keys()


@pytest.mark.parametrize("filename", [b"not utf-8 \xff", b"new\nline", b"escape\x1b[2J", b"\xc2\x85"])
def test_a_filename_that_is_no_name_fails_alone(inside: RunInside, site: Path, prefix: str, filename: bytes) -> None:
    (site / os.fsdecode(filename)).write_bytes(b"x")

    ran = inside("put", "-r", "site", prefix)

    assert ran.code in (1, 2)
    assert len(ran.err.splitlines()) == 1
    assert "\x1b" not in ran.err
    assert "UTF-8" in ran.err or "control characters" in ran.err
    assert ran.out.startswith("stored 3 files (")
    assert ran.out.endswith(", 1 failed\n")


def test_a_name_that_is_too_long_fails_alone(inside: RunInside, site: Path, prefix: str) -> None:
    written(site, {"/".join(["x" * 200] * 5): b"x"})

    ran = inside("put", "-r", "site", prefix, "--json")

    [failed] = [each for each in lines(ran) if each["state"] == "failed"]
    assert failed["error"]["code"] == "invalid-input"
    assert "1024 bytes" in failed["error"]["message"]
    assert sum(each["state"] == "done" for each in lines(ran)) == 3


def test_a_name_that_is_file_and_folder_is_refused_and_the_rest_fetched(
    inside: RunInside, site: Path, prefix: str
) -> None:
    for place in ("a", "a/b", "a-b"):
        inside("put", "site/index.html", f"{prefix}/{place}")

    ran = inside("get", "-r", prefix, "copy")

    assert ran.code == 1
    index = (site / "index.html").read_bytes()
    assert read(Path("copy")) == {"a": index, "a-b": index}
    assert f"casd: {prefix}/a/b: a is a name itself" in ran.err


def test_nothing_is_written_through_a_link(inside: RunInside, site: Path, prefix: str, folder: Path) -> None:
    inside("put", "-r", "site", prefix)
    outside = folder / "outside"
    outside.mkdir()
    (outside / "mine").write_bytes(b"mine")
    (folder / "copy").mkdir()
    (folder / "copy/img").symlink_to(outside)
    (folder / "copy/index.html").symlink_to(outside / "mine")

    ran = inside("get", "-r", prefix, "copy")

    assert ran.code == 1
    assert ran.err.count("symbolic link") == 3
    assert read(outside) == {"mine": b"mine"}


def test_a_daemon_that_lists_a_way_out_is_not_followed(
    inside: RunInside, site: Path, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside("put", "-r", "site", prefix)
    true_names = Client.names

    async def names(self: Client, namespace: str | None = None, prefix: str = "") -> Any:
        async for version in true_names(self, namespace, prefix):
            object.__setattr__(version, "name", f"{prefix}../escaped")
            yield version

    monkeypatch.setattr(Client, "names", names)

    ran = inside("get", "-r", prefix, "copy")

    assert ran.code == 1
    assert "where no name below" in ran.err
    assert not Path("escaped").exists()


# -- failures ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_cannot_be_read_fails_alone(inside: RunInside, site: Path, prefix: str) -> None:
    (site / "index.html").chmod(0)

    ran = inside("put", "-r", "site", prefix)

    assert ran.code == 1
    assert ran.err == "casd: site/index.html: Permission denied\n"
    assert listed(inside, prefix).keys() == {"img/logo.png", "img/big.png"}


async def test_a_token_that_may_not_write_ends_it_at_once(casd: Run, daemon: Any, site: Path, prefix: str) -> None:
    secret = (await casd("token", "create", "r", "--role", "reader", "--namespace", "default")).out.strip()

    ran = await casd("put", "-r", "site", prefix, env={"CASD_URL": daemon.url, "CASD_TOKEN": secret})

    assert ran.code == 4
    assert "go on with: casd put -r site" in ran.err
    assert len(ran.err.splitlines()) <= 3


def test_a_prefix_without_names_is_not_found(inside: RunInside, site: Path, prefix: str) -> None:
    ran = inside("get", "-r", prefix, "copy")

    assert ran.code == 3
    assert ran.err == f"casd: there is no name below {prefix}/\n"
    assert not Path("copy").exists()


def test_filenames_that_are_in_the_folder_already_do_not_matter_to_a_get(
    inside: RunInside, site: Path, prefix: str
) -> None:
    inside("put", "-r", "site", prefix)
    (site / os.fsdecode(b"not utf-8 \xff")).mkdir()

    ran = inside("get", "-r", prefix, "site")

    assert (ran.code, ran.err, ran.out) == (0, "", "nothing to do: 3 files the same on both sides\n")


def test_bytes_that_are_in_quarantine_are_stored_again(
    inside: RunInside, site: Path, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside("put", "-r", "site", prefix)
    true_names = Client.names

    async def names(self: Client, namespace: str | None = None, prefix: str = "") -> Any:
        async for version in true_names(self, namespace, prefix):
            if version.name.endswith("index.html"):
                object.__setattr__(version.blob, "state", "error")
            yield version

    monkeypatch.setattr(Client, "names", names)

    ran = inside("put", "-r", "site", prefix)

    assert ran.out.startswith("stored 1 file (")


def test_a_folder_without_files_is_put_and_said_to_be_empty(inside: RunInside, folder: Path, prefix: str) -> None:
    (folder / "none").mkdir()

    ran = inside("put", "-r", str(folder / "none"), prefix)

    assert (ran.code, ran.out) == (0, "no files\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["put", "-r", "site"],
        ["put", "-r", "site", "a", "b"],
        ["put", "-r", "site", ""],
        ["put", "-r", "site", "a//b"],
        ["put", "-r", "site", "../a"],
        ["put", "-r", "absent", "a"],
        ["put", "-r", "site/index.html", "a"],
        ["put", "-r", "site", "a", "--no-name"],
        ["put", "-r", "site", "a", "--filename=x"],
        ["put", "site", "a"],
        ["put", "-L", "site/index.html"],
        ["get", "-r", "a"],
        ["get", "-r", "a", "site/index.html"],
        ["get", "-r", "a", "absent/copy"],
        ["get", "-r", "a", "copy", "--version=1"],
        ["get", "-r", "a", "copy", "--range=0-1"],
        ["get", "-r", "", "copy"],
        ["get", "-r", "a", "-"],
        ["put", "-j", "0", "-r", "site", "a"],
    ],
)
def test_wrong_usage_ends_in_2_and_makes_nothing(inside: RunInside, site: Path, arguments: list[str]) -> None:
    before = sorted(os.listdir())

    ran = inside(*arguments)

    assert ran.code == 2, ran.err
    assert sorted(os.listdir()) == before


# -- interrupted ---------------------------------------------------------------------------------------------------


@pytest.fixture
def many(folder: Path) -> dict[str, bytes]:
    """Two hundred files, and one that takes a while."""
    source = random.Random(uuid4().int)  # the daemon has none of it: what it has is not sent
    files = {f"{number % 7}/{number}": source.randbytes(3000) for number in range(200)}
    files["9/large"] = source.randbytes(20_000_000)
    written(folder / "many", files)
    return files


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_an_interrupted_put_goes_on(
    casd: Run,
    start: Start,
    daemon: Daemon,
    remote: Remote,
    folder: Path,
    many: dict[str, bytes],
    prefix: str,
    number: int,
) -> None:
    # Whichever connection has the large file stalls; what is asked for before comes through.
    faults = [Fault("stall", after=600_000, of="requests")] * 8
    async with Proxy(daemon.url, *faults) as proxy:
        process = await start("put", "-r", "many", prefix, env=remote(proxy.url))
        await proxy.stalled()
        async with asyncio.timeout(PATIENCE_S):
            while len((await casd("ls", f"{prefix}/")).lines) < 100:  # the others do not wait for the large one
                pass
        process.send_signal(number)
        if number == signal.SIGINT:
            interrupted = await ended(process)
            assert interrupted.code == 130
            assert f"go on with: casd put -r many {prefix!r}" in interrupted.err
        else:
            await process.wait()

    again = await casd("put", "-r", "many", prefix, "--json")
    versions = await casd("ls", f"{prefix}/", "--json")

    assert again.code == 0, again.err
    assert {each["version"] for each in versions.json["items"]} == {1}
    assert len(versions.json["items"]) == len(many)
    assert any(each["action"] == "none" for each in map(json.loads, again.lines))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_an_interrupted_get_goes_on(
    casd: Run,
    start: Start,
    daemon: Daemon,
    remote: Remote,
    folder: Path,
    many: dict[str, bytes],
    prefix: str,
    number: int,
) -> None:
    assert (await casd("put", "-r", "many", prefix)).code == 0
    faults = [Fault("stall", after=600_000)] * 8
    async with Proxy(daemon.url, *faults) as proxy:
        process = await start("get", "-r", prefix, "copy", env=remote(proxy.url))
        await proxy.stalled()
        process.send_signal(number)
        if number == signal.SIGINT:
            interrupted = await ended(process)
            assert interrupted.code == 130
            assert f"go on with: casd get -r {prefix!r} copy" in interrupted.err
        else:
            await process.wait()

    again = await casd("get", "-r", prefix, "copy", "--json")

    assert again.code == 0, again.err
    assert read(folder / "copy") == many
    assert any(each["action"] == "none" for each in map(json.loads, again.lines))


STUCK = """
import asyncio, threading
from casd.cli.connection import Invocation
async def stuck(client):
    print("ready", flush=True)
    await asyncio.to_thread(threading.Event().wait)
Invocation(url="http://127.0.0.1:1").run(stuck)
"""


async def test_a_second_interrupt_ends_at_once_what_the_first_has_to_wait_for() -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", STUCK),
        stdout=pipe,
        stderr=pipe,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"

    async with asyncio.timeout(PATIENCE_S):
        while process.returncode is None:  # two that come at once would count as one
            process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.05)
    ran = await ended(process)

    assert ran.code == 130
    assert ran.err == "casd: interrupted twice; what has arrived is kept\n"


async def test_files_are_moved_at_the_same_time(
    casd: Run, daemon: Daemon, remote: Remote, folder: Path, many: dict[str, bytes], prefix: str
) -> None:
    connections = []
    for jobs in ("1", "8"):
        async with Proxy(daemon.url) as proxy:
            ran = await casd("put", "-r", "-j", jobs, "many", f"{prefix}/{jobs}", env=remote(proxy.url))
            connections.append(len(proxy.seen))
        assert ran.code == 0, ran.err

    assert connections[0] <= 4  # one to ask, one to send; and one for each answer that overtakes the end of its body
    assert connections[1] >= 6
