"""Uploads that are refused or acknowledged, and what must be true of the disk in each case."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Daemon
from tests.crash.asking import Answer, ask, chunks, data_of, listed_blobs, post
from tests.crash.folder import CATALOGUE, incoming, payload_path, sha512
from tests.crash.tracing import Call, recording

Upload = Callable[[Daemon, bytes], Answer]


def as_blob(daemon: Daemon, data: bytes) -> Answer:
    return post(daemon, data)


def in_chunks(daemon: Daemon, data: bytes) -> Answer:
    return post(daemon, chunks(data))


def as_name(daemon: Daemon, data: bytes) -> Answer:
    return ask(daemon, "PUT", f"/v1/names/default/{sha512(data)}", data)


def new_bytes(daemon: Daemon, size: int) -> bytes:
    """Random bytes whose shard folder is not there yet."""
    while True:
        data = os.urandom(size)
        if not payload_path(daemon.data, sha512(data)).parent.exists():
            return data


def is_known(daemon: Daemon, digest: str) -> bool:
    """Whether the payload is to be had by its digest, found by it, or listed."""
    by_digest = ask(daemon, "GET", f"/v1/payloads/sha512/{digest}").status == 200
    found = ask(daemon, "GET", f"/v1/checksums/sha512/{digest}").json["items"]
    listed = [blob for blob in listed_blobs(daemon) if blob["sha512"] == digest]
    assert by_digest == bool(found) == bool(listed)
    return by_digest


def open_stages(daemon: Daemon) -> list[str]:
    """Descriptors of staged files that the daemon still holds."""
    links = []
    for entry in Path(f"/proc/{daemon.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed a moment ago
            links.append(os.readlink(entry))
    return [link for link in links if "/incoming/" in link]


def assert_refused(answer: Answer, status: int) -> None:
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["code"] == ("storage-full" if status == 507 else "storage-failed")


def assert_untouched(daemon: Daemon, data: bytes) -> None:
    """The refused upload is nowhere to be seen, and the daemon goes on serving."""
    assert not is_known(daemon, sha512(data))
    assert incoming(daemon.data) == []
    assert open_stages(daemon) == []
    assert ask(daemon, "GET", "/healthz").status == 200
    assert ask(daemon, "GET", "/readyz").status == 200


def assert_durable(calls: list[Call], daemon: Daemon, data: bytes, *, is_first_in_shard: bool) -> None:
    """The record of an upload shows each sync that its 201 promises, finished before the next step began."""
    target = payload_path(daemon.data, sha512(data))
    wal = daemon.data / f"{CATALOGUE}-wal"
    rename = only(calls, lambda call: call.name.startswith("rename") and call.text.endswith(f'"{target}"'))
    staged = rename.text.split('"')[1]
    answer = only(calls, lambda call: '"HTTP/1.1 201 ' in call.text)

    file_sync = last(calls, "fsync", staged, rename)
    if data:
        assert last(calls, "pwrite64", staged, rename).ended < file_sync.began
    folder_sync = last(calls, "fsync", str(target.parent), answer)
    assert rename.ended < folder_sync.began
    if is_first_in_shard:
        last(calls, "fsync", str(target.parent.parent), rename)
    frames = last(calls, "pwrite64", str(wal), answer)
    assert folder_sync.ended < frames.began
    commit = last(calls, "fdatasync", str(wal), answer)
    assert frames.ended < commit.began


def only(calls: list[Call], fits: Callable[[Call], bool]) -> Call:
    (found,) = [call for call in calls if fits(call) and call.is_good]
    return found


def last(calls: list[Call], name: str, path: str, before: Call) -> Call:
    """The last such call on the path that had succeeded when `before` began."""
    fitting = [call for call in calls if call.name == name and f"<{path}>" in call.text and call.ended < before.began]
    assert fitting, f"no {name} of {path} before {before}"
    assert fitting[-1].is_good
    return fitting[-1]


def retry_durably(daemon: Daemon, upload: Upload, data: bytes, record: Path, *, is_first_in_shard: bool) -> None:
    """The same upload without the fault is acknowledged, and rightly so."""
    with recording(daemon, record) as calls:
        answer = upload(daemon, data)
    assert answer.status == 201
    assert_durable(calls, daemon, data, is_first_in_shard=is_first_in_shard)
    assert data_of(daemon, answer.headers["Casd-Blob"]).body == data
    assert payload_path(daemon.data, sha512(data)).read_bytes() == data
