"""Where a secret must never stand: answers, logs, the data folder, and what other processes can read of the daemon."""

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from tests.conftest import Daemon
from tests.web.wire import Answer, Wire


class Attentive(Wire):
    """Keeps what it was answered."""

    def __init__(self, daemon: Daemon, token: str | None = "") -> None:
        super().__init__(daemon, token)
        self.answers: list[Answer] = []

    def ask(self, method: str, target: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        answer = super().ask(method, target, body, headers)
        self.answers.append(answer)
        return answer


def leaks(daemon: Daemon, answers: Iterable[Answer], secrets: Iterable[str]) -> list[str]:
    """Each secret that is found where it should not be, and where. The daemon runs, so its WAL is there too."""
    wanted = [secret.encode() for secret in secrets]
    assert all(len(secret) > 8 for secret in wanted), "what is found by chance says nothing"
    told = ((f"answer {answer.status}", answer.headers.as_bytes() + answer.body) for answer in answers)
    found = chain(told, places(daemon))
    return [f"{secret.decode()} in {place}" for place, data in found for secret in wanted if secret in data]


JSON = ("application/json", "application/problem+json")  # with nosniff, nothing that a browser would run


def dangers(answers: Iterable[Answer]) -> list[str]:
    """Answers with which somebody's bytes could run in a browser, or be taken for another type than they have."""
    found = []
    for answer in answers:
        kind = (answer["Content-Type"] or "").partition(";")[0]
        is_boxed = answer["Content-Security-Policy"] == "default-src 'none'; sandbox"
        is_file = is_boxed and (answer["Content-Disposition"] or "").startswith("attachment")
        is_safe = not answer.body or kind in JSON or is_file or (kind == "application/xml" and is_boxed)
        if not is_safe or (answer["X-Content-Type-Options"] != "nosniff" and answer.status != 304):
            found.append(f"{answer.status} {answer.headers.items()} {answer.body[:80]!r}")
    return found


def places(daemon: Daemon) -> Iterator[tuple[str, bytes]]:
    for folder, _, names in os.walk(daemon.data):
        for name in names:
            path = Path(folder, name)
            if path.name != "admin.token":  # its own place, and nobody else may read it
                yield str(path), str(path).encode() + path.read_bytes()
    yield "the log", daemon.log.encode()
    for process in (daemon.pid, *children(daemon.pid)):
        for name in ("cmdline", "environ"):
            yield f"{name} of {process}", Path(f"/proc/{process}/{name}").read_bytes()


def children(process: int) -> list[int]:
    return [
        int(child) for path in Path(f"/proc/{process}/task").glob("*/children") for child in path.read_text().split()
    ]
