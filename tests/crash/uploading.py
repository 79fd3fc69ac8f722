"""Resumable uploads as the crash tests make them: known bytes, and a note of each offset that was told."""

import http.client
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import Daemon
from tests.crash.asking import TIMEOUT_S, Answer, ask, data_of, eventually

VERSION = {"Tus-Resumable": "1.0.0"}
CHUNK = VERSION | {"Content-Type": "application/offset+octet-stream"}


@dataclass
class Upload:
    """One client's upload; what is asserted here holds for every answer, whatever happened before."""

    path: str
    data: bytes
    told: int = 0  # the largest offset that an answer has had
    blob: str | None = None  # what it became, as an answer told
    sent: int = field(default=0)  # bytes that may have arrived

    @classmethod
    def create(cls, daemon: Daemon, data: bytes) -> "Upload":
        answer = ask(daemon, "POST", "/v1/uploads", None, VERSION | {"Upload-Length": str(len(data))})
        assert answer.status == 201, answer.body
        return cls(answer.headers["Location"], data)

    @property
    def id(self) -> str:
        return self.path.rpartition("/")[2]

    def stage(self, daemon: Daemon) -> Path:
        return daemon.data / "incoming" / self.id

    def stage_size(self, daemon: Daemon) -> int:
        return self.stage(daemon).stat().st_size if self.stage(daemon).exists() else 0

    def head(self, daemon: Daemon) -> int:
        """Where to go on: never less than was told, never more than was sent."""
        return self._heard(ask(daemon, "HEAD", self.path, None, VERSION))

    def patch(self, daemon: Daemon, offset: int, stop: int) -> Answer:
        self.sent = max(self.sent, stop)
        answer = ask(daemon, "PATCH", self.path, self.data[offset:stop], CHUNK | {"Upload-Offset": str(offset)})
        if answer.status == 204:
            self._heard(answer)
        return answer

    def _heard(self, answer: Answer) -> int:
        assert answer.status in (200, 204), (answer.status, answer.body)
        offset = int(answer.headers["Upload-Offset"])
        assert self.told <= offset <= self.sent, (self.told, offset, self.sent)
        self.told = offset
        blob = answer.headers["Casd-Blob"]
        assert self.blob in (None, blob), "what an upload became does not change"
        self.blob = blob
        assert (blob is not None) == (offset == len(self.data))
        return offset

    @contextmanager
    def unfinished_patch(self, daemon: Daemon, offset: int, stop: int) -> Iterator[None]:
        """While it lasts, a request waits for the rest of its body; the bytes up to `stop` have reached the file."""
        host, port = daemon.url.removeprefix("http://").rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT_S)
        connection.putrequest("PATCH", self.path)
        length = {"Upload-Offset": str(offset), "Content-Length": str(len(self.data) - offset)}
        for name, value in (daemon.headers | CHUNK | length).items():
            connection.putheader(name, value)
        connection.endheaders(self.data[offset:stop])
        self.sent = max(self.sent, stop)
        eventually(lambda: self.stage_size(daemon) >= stop)
        try:
            yield
        finally:
            with suppress(OSError):
                connection.close()

    def finish(self, daemon: Daemon) -> None:
        """Send what is missing; what it has become is what was sent."""
        offset = self.head(daemon)
        if offset < len(self.data):
            answer = self.patch(daemon, offset, len(self.data))
            assert answer.status == 204, answer.body
        self.check(daemon)

    def check(self, daemon: Daemon) -> None:
        assert self.blob is not None
        answer = data_of(daemon, self.blob)
        assert answer.status == 200
        assert answer.body == self.data


def new_upload(daemon: Daemon, size: int) -> Upload:
    return Upload.create(daemon, os.urandom(size))
