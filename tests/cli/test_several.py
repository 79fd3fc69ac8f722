"""`casd put` and `casd get` of several files and names that were given one by one."""

import json
import os
import re
from pathlib import Path

import pytest

from tests.cli.conftest import RunInside, made, sha512
from tests.cli.test_folders import listed, read, written


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    written(folder, {"a.txt": b"a", "b.txt": b"bb", "sub/c.txt": b"ccc"})
    return folder


@pytest.mark.usefixtures("here")
def test_several_files_go_below_a_prefix(inside: RunInside, name: str) -> None:
    ran = inside("put", "a.txt", "b.txt", "sub/c.txt", f"{name}/")
    to = inside("put", "--to", f"{name}/to", "a.txt", "sub/c.txt")

    assert (ran.code, to.code) == (0, 0), ran.err + to.err
    assert listed(inside, name) == dict.fromkeys(["a.txt", "b.txt", "c.txt", "to/a.txt", "to/c.txt"], 1)
    assert sorted(ran.lines)[0] == f"put          1 B  {name}/a.txt@1"
    assert ran.lines[-1].startswith("stored 3 files (6 B")


@pytest.mark.usefixtures("here")
def test_one_file_goes_below_a_prefix_too(inside: RunInside, name: str) -> None:
    assert made(inside, "put", "sub/c.txt", f"{name}/")["name"] == f"{name}/c.txt"
    assert made(inside, "put", "--to", name, "a.txt")["name"] == f"{name}/a.txt"


@pytest.mark.usefixtures("here")
def test_two_arguments_are_a_file_and_a_name_even_if_both_are_files(inside: RunInside) -> None:
    ran = inside("put", "a.txt", "b.txt", "--json")
    same = inside("put", "sub/../a.txt", "a.txt")

    assert (ran.json["name"], ran.json["blob"]["sha512"]) == ("b.txt", sha512(b"a"))
    assert ran.err.startswith("casd: b.txt is taken for the NAME of a.txt, and is not stored itself")
    assert same.err == ""


@pytest.mark.usefixtures("here")
def test_several_files_become_blobs_without_names(inside: RunInside) -> None:
    told = [json.loads(line) for line in inside("put", "--no-name", "a.txt", "b.txt", "--json").lines]
    shown = inside("put", "--no-name", "a.txt", "b.txt").out

    assert {each["path"]: each["sha512"] for each in told} == {"a.txt": sha512(b"a"), "b.txt": sha512(b"bb")}
    assert all(made(inside, "stat", each["uuid"])["holds_itself"] for each in told)
    for uuid in re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", shown):
        assert made(inside, "stat", uuid)["filename"] in ("a.txt", "b.txt")


@pytest.mark.usefixtures("here")
def test_one_file_that_fails_leaves_the_others_alone(inside: RunInside, name: str) -> None:
    ran = inside("put", "a.txt", "absent.txt", "sub", "b.txt", f"{name}/")

    assert ran.code == 1
    assert sorted(ran.err.splitlines()) == [
        "casd: absent.txt: No such file or directory",
        "casd: sub: is a folder; -r stores folders",
    ]
    assert listed(inside, name).keys() == {"a.txt", "b.txt"}
    assert ran.lines[-1].endswith(", 2 failed")


@pytest.mark.usefixtures("here")
def test_several_names_go_into_a_folder(inside: RunInside, name: str) -> None:
    inside("put", "a.txt", "b.txt", "sub/c.txt", f"{name}/")
    digest = sha512(b"ccc")
    Path("got").mkdir()

    ran = inside("get", f"{name}/a.txt", f"{name}/b.txt", digest, "got")
    to = inside("get", "--to", "got", f"{name}/c.txt")

    assert (ran.code, to.code) == (0, 0), ran.err + to.err
    assert read(Path("got")) == {"a.txt": b"a", "b.txt": b"bb", "c.txt": b"ccc"}
    assert len(ran.lines) == 4


@pytest.mark.usefixtures("here")
def test_one_name_that_is_not_there_leaves_the_others_alone(inside: RunInside, name: str) -> None:
    inside("put", "a.txt", "b.txt", f"{name}/")
    Path("got").mkdir()

    ran = inside("get", f"{name}/a.txt", f"{name}/absent", f"{name}/b.txt", "got")

    assert ran.code == 3
    assert ran.err.startswith(f"casd: there is no name default/{name}/absent; ")
    assert "-r goes with a folder" in ran.err
    assert read(Path("got")) == {"a.txt": b"a", "b.txt": b"bb"}


@pytest.mark.usefixtures("here")
def test_two_names_are_not_fetched_into_one_file(inside: RunInside, name: str) -> None:
    inside("put", "a.txt", f"{name}/1/x")
    inside("put", "b.txt", f"{name}/2/x")
    Path("got").mkdir()

    ran = inside("get", f"{name}/1/x", f"{name}/2/x", "got", "-j", "1")

    assert ran.code == 1
    assert read(Path("got")) == {"x": b"a"}
    assert f"{name}/1/x goes to" in ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["put", "a.txt", "b.txt", "c"], "such as c/"),
        (["put", "a.txt", "b.txt", "sub/c.txt"], "--no-name"),
        (["put", "a.txt", "sub/../a.txt", "p/"], "would both be stored as p/a.txt"),
        (["put", "a.txt", "-", "p/"], "standard input"),
        (["put", "-", "p/"], "standard input"),
        (["put", "--no-name", "--to", "p", "a.txt"], "give one of them"),
        (["put", "a.txt", "b.txt", "p/", "--filename", "x"], "one FILE"),
        (["put", "sub"], "casd put -r sub PREFIX"),
        (["get", "a", "b", "absent"], "absent is none"),
        (["get", "a", "b", "a.txt"], "a.txt is none"),
        (["get", "--to", "absent", "a"], "no folder"),
        (["get", "a", "b", "sub", "--version=1"], "one WHAT"),
        (["get", "a", "b", "sub", "--range=0-1"], "one WHAT"),
    ],
)
@pytest.mark.usefixtures("here")
def test_wrong_usage_ends_in_2_and_says_what_to_write(inside: RunInside, arguments: list[str], said: str) -> None:
    before = sorted(os.listdir())

    ran = inside(*arguments)

    assert ran.code == 2, ran.out
    assert said in " ".join(ran.err.split())
    assert sorted(os.listdir()) == before
