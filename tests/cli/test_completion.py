"""Completion, in the shells that people use: what Tab offers, and that it never hurts."""

import http.server
import json
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from casd.cli.topics import TOPICS
from tests.cli.conftest import RunInside, made
from tests.conftest import skip_loudly

# In each shell: casd's script is read, and asked as Tab asks. Zsh hands what it found to two builtins that want a
# terminal, so functions take their place.
SCRIPTS = {
    "bash": """
source <(casd completion bash)
COMP_WORDS=(casd {words}) COMP_CWORD={last}
_casd_completion casd
printf '%s\\n' "${{COMPREPLY[@]}}"
""",
    "zsh": """
compdef() {{ }}
_describe() {{ print -l -- ${{${{(P)3}}%%:*}} }}
compadd() {{ print -l -- ${{(P)5}} }}
source <(casd completion zsh)
words=(casd {words}) CURRENT=$(({last} + 1))
_casd_completion
""",
    "fish": """
casd completion fish | source
complete -C "casd {text}"
""",
}
OPTIONS = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}

Offered = Callable[..., list[str]]


@pytest.fixture
def environment(daemon: Any, folder: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**daemon.env, "PATH": path, "HOME": str(folder), "TERM": "dumb"}


@pytest.fixture
def offered(folder: Path, environment: dict[str, str]) -> Offered:
    """What a shell offers for the last of these words."""

    def ask(shell: str, *words: str, **more: str) -> list[str]:
        if shutil.which(shell) is None:
            skip_loudly(f"{shell} is not installed")
        quoted = " ".join(f"'{word}'" for word in words)
        script = SCRIPTS[shell].format(words=quoted, last=len(words), text=" ".join(words))
        done = subprocess.run(
            [shell, *OPTIONS[shell], "-c", script],
            env=environment | more,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.stderr == ""
        return [line.partition("\t")[0] for line in done.stdout.splitlines() if line]

    return ask


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_shell_offers_commands_topics_names_and_uuids(
    inside: RunInside, folder: Path, offered: Offered, shell: str
) -> None:
    (folder / "file").write_text(shell)
    uuid = made(inside, "put", str(folder / "file"), f"tab/{shell}/one.img")["blob"]["uuid"]
    made(inside, "put", str(folder / "file"), f"tab/{shell}/two.img")

    assert offered(shell, "sta") == ["stat", "status"]
    assert offered(shell, "help", "dura") == ["durability"]
    assert offered(shell, "get", f"tab/{shell}/") == [f"tab/{shell}/one.img", f"tab/{shell}/two.img"]
    assert offered(shell, "stat", uuid[:20]) == [uuid]
    assert "default" in offered(shell, "ls", "--namespace", "def")


@pytest.fixture
def words(environment: dict[str, str]) -> Offered:
    """The same without a shell between: what `casd` answers to one."""

    def ask(*words: str, **more: str) -> list[str]:
        asked = {"_CASD_COMPLETE": "fish_complete", "COMP_WORDS": " ".join(["casd", *words]), "COMP_CWORD": words[-1]}
        done = subprocess.run(["casd"], env=environment | asked | more, capture_output=True, text=True, timeout=120)
        assert done.stderr == ""
        return [line.partition(",")[2].partition("\t")[0] for line in done.stdout.splitlines() if line]

    return ask


def test_what_a_shell_would_read_otherwise_is_not_offered(inside: RunInside, folder: Path, words: Offered) -> None:
    (folder / "file").write_text("x")
    for name in ("$(id)", "a b", "`id`", "x;id", "-r", "x'y", "~", "good.img"):
        made(inside, "put", str(folder / "file"), f"hostile/{name}")

    assert words("get", "hostile/") == ["hostile/-r", "hostile/good.img"]


def test_without_a_daemon_nothing_is_offered_and_nothing_said(words: Offered, tmp_path: Path) -> None:
    assert words("get", "x", CASD_STORAGE__DATA=str(tmp_path)) == []
    assert words("get", "x", CASD_URL="http://127.0.0.1:1") == []
    assert words("get", "x", CASD_URL="no url at all") == []


def test_who_does_not_answer_is_not_waited_for(words: Offered) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert words("get", "x", CASD_URL=f"http://127.0.0.1:{silent.getsockname()[1]}") == []


@pytest.fixture
def liar() -> Iterator[str]:
    """A server that answers what no daemon does."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'["x"]' if "whoami" in self.path else b"\xff"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_what_answers_otherwise_offers_nothing(words: Offered, liar: str) -> None:
    assert words("get", "x", CASD_URL=liar) == []
    assert words("ls", "--namespace", "x", CASD_URL=liar) == []


def test_topics_and_commands_are_offered(words: Offered) -> None:
    assert words("help", "res") == ["resuming", "restore"]
    assert "resuming" in TOPICS


def test_a_daemon_on_a_unix_socket_is_asked_there(words: Offered) -> None:
    class Server(socketserver.ThreadingUnixStreamServer):
        def get_request(self) -> Any:
            request, _ = super().get_request()
            return request, ("unix", 0)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"namespaces": ["x"]} if "whoami" in self.path else {"items": [{"name": "it"}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with tempfile.TemporaryDirectory() as short, Server(f"{short}/s", Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            assert words("versions", "i", CASD_URL=f"unix://{short}/s") == ["it"]
        finally:
            server.shutdown()
            thread.join()
