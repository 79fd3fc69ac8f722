"""Resumable uploads as the crash tests make them: known bytes, and a note of each offset that was told."""

import base64
import hashlib
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


def checksum(data: bytes) -> dict[str, str]:
    return {"Upload-Checksum": f"sha256 {base64.b64encode(hashlib.sha256(data).digest()).decode()}"}


@dataclass
class Upload:
    """One client's upload; what is asserted here holds for every answer, whatever happened before."""

    path: str
    data: bytes
    told: int = 0  # the largest offset that an answer has had
    blob: str | None = None  # what it became, as an answer told
    sent: int = field(default=0)  # bytes that may have arrived

    @classmethod
    def create(cls, daemon: Daemon, data: bytes, brings: int = 0, **headers: str) -> "Upload":
        """A new upload, which `brings` so many of its bytes along."""
        own = {name.replace("_", "-"): value for name, value in headers.items()} | {"Upload-Length": str(len(data))}
        body, kind = (data[:brings], CHUNK) if brings else (None, VERSION)
        answer = ask(daemon, "POST", "/v1/uploads", body, kind | own)
        assert answer.status == 201, answer.body
        upload = cls(answer.headers["Location"], data, sent=brings)
        upload._heard(answer)
        return upload

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

    def patch(self, daemon: Daemon, offset: int, stop: int, *, is_checked: bool = False) -> Answer:
        self.sent = max(self.sent, stop)
        headers = CHUNK | {"Upload-Offset": str(offset)} | (checksum(self.data[offset:stop]) if is_checked else {})
        answer = ask(daemon, "PATCH", self.path, self.data[offset:stop], headers)
        if answer.status == 204:
            self._heard(answer)
        return answer

    def _heard(self, answer: Answer) -> int:
        assert answer.status in (200, 201, 204), (answer.status, answer.body)
        offset = int(answer.headers["Upload-Offset"])
        assert self.told <= offset <= self.sent, (self.told, offset, self.sent)
        self.told = offset
        blob = answer.headers["Casd-Blob"]
        assert self.blob in (None, blob), "what an upload became does not change"
        self.blob = blob
        assert (blob is not None) == (offset == len(self.data))
        return offset

    @contextmanager
    def unfinished_patch(self, daemon: Daemon, offset: int, stop: int, *, is_checked: bool = False) -> Iterator[None]:
        """While it lasts, a request waits for the rest of its body; the bytes up to `stop` have reached the file."""
        host, port = daemon.url.removeprefix("http://").rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT_S)
        connection.putrequest("PATCH", self.path)
        length = {"Upload-Offset": str(offset), "Content-Length": str(len(self.data) - offset)}
        more = checksum(self.data[offset:]) if is_checked else {}
        for name, value in (daemon.headers | CHUNK | length | more).items():
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
