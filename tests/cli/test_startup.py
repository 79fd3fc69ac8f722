"""`casd` before it talks to anybody: help, versions, usage."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from casd import __version__
from casd.cli.group import COMMANDS, main

HEAVY = {"aiohttp", "pydantic", "rich", "aiofiles", "xxhash", "aiosqlite", "asyncio"}


def imported(*arguments: str) -> set[str]:
    """The modules that a run has imported when it ends."""
    code = (
        "import sys; from casd.cli.group import main\n"
        f"try: main({list(arguments)!r})\nexcept SystemExit: print(*sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([command, "--help"] for command in COMMANDS)])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    assert not imported(*arguments) & HEAVY


def test_ctrl_c_while_it_loads_ends_it_quietly(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}

    ran = subprocess.run([sys.executable, "-m", "casd", "ls"], env=environment, capture_output=True, text=True)

    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "casd: interrupted\n")


def test_a_command_imports_only_its_own_module() -> None:
    modules = imported("rm", "--help")

    assert "casd.cli.remove" in modules
    assert "casd.cli.put" not in modules


def test_the_version_is_the_packages() -> None:
    assert CliRunner().invoke(main, ["--version"]).output == f"casd {__version__}\n"


def test_help_tells_every_command_and_the_exit_codes() -> None:
    text = CliRunner().invoke(main, ["--help"]).output

    assert all(command in text for command in COMMANDS)
    assert "3 not found" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["get"],
        ["get", "a/name", "no/such/folder/file"],
        ["get", "a/name", "--version", "0"],
        ["get", "a/name", "--version", "1", "--as-of", "2026-01-01T00:00:00Z"],
        ["get", "a/name", "-", "--json"],
        ["get", "0" * 128, "--version", "1"],
        ["stat", "00000000-0000-0000-0000-000000000000", "--as-of", "2026-01-01T00:00:00Z"],
        ["rm", "0" * 128],
        ["rm", "a/name", "--purge", "--version", "1"],
        ["rm", "00000000-0000-0000-0000-000000000000", "--purge"],
        ["ls", "--blobs", "prefix"],
        ["find", "neither-digest-nor-file"],
        ["find", "sha256:" + "0" * 128],
        ["--data", ".", "ls"],
        ["serve", "--port", "65536"],
        ["serve", "--data", ""],
        ["fsck", "--data", ""],
        ["restore", "", "there"],
        ["backup", ""],
        ["get", "a/name", "--as-of", "yesterday"],
        ["get", "a/name", "--as-of", "2026-01-01"],
        ["put", "f", "--filename", ""],
        ["put", "f", "--filename", "a\nb"],
        ["meta", "ls", "0" * 128],
        ["meta", "set", "a/name", "key"],
        ["meta", "set", "a/name", "key", "-3"],
        ["name", "set", "a/name"],
        ["name", "set", "a/name", "--keep-versions", "0"],
        ["name", "set", "a/name", "--keep-versions", "all"],
        ["token", "create", "t", "--role", "king", "--namespace", "a"],
        ["token", "create", "t", "--role", "reader"],
        ["token", "create", "t", "--role", "reader", "--namespace", "a", "--expires-in", "5y"],
        ["token", "create", "t", "--role", "reader", "--namespace", "a", "--expires-in", "0"],
        ["token", "revoke", "t"],
        ["namespace", "set", "a"],
        ["namespace", "set", "a", "--quota-bytes", "many"],
        ["namespace", "set", "a", "--share-by-uuid", "perhaps"],
        ["sign", "a/name", "--version", "1", "--as-of", "2026-01-01T00:00:00Z"],
        ["sign", "0" * 128, "--version", "1"],
        ["sign", "a/name", "--expires-in", "soon"],
        ["help", "nonsense"],
    ],
)
def test_wrong_usage_ends_in_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, ["--url", "http://127.0.0.1:1", *arguments])  # where nobody listens

    assert result.exit_code == 2, result.output


def test_an_empty_path_does_not_mean_the_current_folder() -> None:
    result = CliRunner().invoke(main, ["--data", "", "ls"])

    assert result.exit_code == 2
    assert "an empty path names no folder" in result.output
    assert "?" not in result.stderr  # the API's words, as in ?as_of=, help nobody here


@pytest.mark.parametrize(
    "url", ["localhost", "ftp://host", "http://", "http://a:b@host", "http://host:x", "http://h/?q"]
)
def test_an_address_that_is_none_is_told(url: str) -> None:
    result = CliRunner().invoke(main, ["--url", url, "ls"])

    assert result.exit_code == 2
    assert "address" in result.stderr


def test_a_name_that_cannot_be_is_wrong_usage() -> None:
    result = CliRunner().invoke(main, ["--url", "http://127.0.0.1:1", "get", "a//b"])

    assert result.exit_code == 2
    assert "segment" in result.stderr


def test_serve_hands_on_only_the_flags_that_were_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[Any] = []

    def serve(config: Path | None, overrides: dict[str, object]) -> int:
        calls.append((config, overrides))
        return 7

    def check(config: Path | None, overrides: dict[str, object]) -> int:
        calls.append(("check", config, overrides))
        return 8

    monkeypatch.setitem(sys.modules, "casd.daemon", SimpleNamespace(serve=serve, check=check))
    config = tmp_path / "config.toml"
    config.touch()

    codes = [
        CliRunner().invoke(main, arguments).exit_code
        for arguments in (
            ["serve"],
            ["serve", "--config", str(config), "--port", "0", "--host", "::1", "--data", "here"],
            ["--data", "there", "serve"],
            ["serve", "--check", "--config", str(config), "--port", "0"],
        )
    ]

    assert codes == [7, 7, 7, 8]
    assert calls == [
        (None, {}),
        (config, {"server.host": "::1", "server.port": 0, "storage.data": Path("here")}),
        (None, {"storage.data": Path("there")}),
        ("check", config, {"server.port": 0}),
    ]


# -- serve --check --------------------------------------------------------------------------------------------------


def checked(tmp_path: Path, text: str, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`casd serve --check` on a configuration file, as its own process."""
    (tmp_path / "config.toml").write_text(text)
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("CASD_", "XDG_"))}
    command = [sys.executable, "-m", "casd", "serve", "--check", "--config", str(tmp_path / "config.toml"), *flags]
    env = clean | {"HOME": str(tmp_path / "home")} | environment
    return subprocess.run(command, env=env, capture_output=True, text=True)


def test_a_check_prints_what_would_be_in_force_and_makes_nothing(tmp_path: Path) -> None:
    ran = checked(tmp_path, "[upkeep]\ngrace_s = 5\n", "--port", "0", CASD_SERVER__HOST="::1")

    assert (ran.returncode, ran.stderr) == (0, "")
    shown = tomllib.loads(ran.stdout)
    assert (shown["server"]["host"], shown["server"]["port"], shown["upkeep"]["grace_s"]) == ("::1", 0, 5.0)
    assert shown["storage"]["data"] == str(tmp_path / "home/.local/share/casd")
    assert ran.stdout.startswith(f"# The data folder {shown['storage']['data']} is not there: casd will make it.\n")
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]


def test_what_a_check_prints_can_be_checked_again(tmp_path: Path) -> None:
    first = checked(tmp_path, '[server]\npublic_url = "https://a/b"\ntrusted_proxies = ["::1"]\n').stdout

    again = checked(tmp_path, first)

    assert tomllib.loads(again.stdout) == tomllib.loads(first)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\nport = true\n", "casd: [server] port: "),
        ("[server]\nprot = 1\n", "casd: [server] prot: unknown; known: host, port, "),
    ],
)
def test_a_check_of_what_is_wrong_ends_in_1_and_names_the_key(tmp_path: Path, text: str, said: str) -> None:
    ran = checked(tmp_path, text)

    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(said)
    assert len(ran.stderr.splitlines()) == 1


def test_a_check_touches_no_data_folder_and_shows_no_secret(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "admin.token").write_text("casd_a-secret\n")
    before = data.stat().st_mtime_ns

    ran = checked(tmp_path, "", "--data", str(data))

    assert ran.stdout.startswith(f"# The data folder {data} is there.\n")
    assert "secret" not in ran.stdout + ran.stderr
    assert [path.name for path in data.iterdir()] == ["admin.token"]
    assert data.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("must_exist", "is_file", "state"),
    [
        (True, False, "is not there, and must_exist is set: casd will not start."),
        (False, True, "is not a folder: casd will not start."),
    ],
)
def test_a_check_says_what_a_start_would_find(tmp_path: Path, must_exist: bool, is_file: bool, state: str) -> None:
    data = tmp_path / "data"
    if is_file:
        data.touch()

    ran = checked(tmp_path, f"[storage]\nmust_exist = {str(must_exist).lower()}\n", CASD_STORAGE__DATA=str(data))

    assert (ran.returncode, ran.stdout.splitlines()[0]) == (0, f"# The data folder {data} {state}")
