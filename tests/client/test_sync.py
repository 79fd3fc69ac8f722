"""The blocking client: the async one under the same names, on a loop in a thread beside."""

import gc
import inspect
import io
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest

import casd.client
from casd.client import ClientError, Refused, Retry, from_file, sync
from tests.client.conftest import Payload
from tests.conftest import Daemon

FACES = [getattr(sync, name) for name in sync.__all__ if inspect.isclass(getattr(sync, name))]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon, for its loop is not the point here."""
    running = Daemon(tmp_path_factory.mktemp("sync") / "data").start()
    yield running
    assert running.stop() == 0, running.log


@pytest.fixture
def client(daemon: Daemon) -> Iterator[sync.Client]:
    with sync.Client(daemon.url, daemon.token) as client:
        yield client


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "casd-client"]


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


# -- the same names ---------------------------------------------------------------------------------------------------


def test_every_class_with_async_methods_has_a_blocking_face() -> None:
    is_async = {
        name
        for name, kind in vars(casd.client).items()
        if inspect.isclass(kind)
        and any(inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each) for each in vars(kind).values())
    }

    assert is_async - {"Retry"} == {face.__name__ for face in FACES}


@pytest.mark.parametrize("face", FACES)
def test_a_face_has_the_same_names_with_the_same_parameters(face: type) -> None:
    inner = getattr(casd.client, face.__name__)

    assert public(face) == public(inner) | ({"content"} if face is sync.Download else set()) | own(face)
    for name in public(inner):
        if callable(getattr(inner, name)):
            assert parameters(face, name) == parameters(inner, name)
            assert getattr(face, name).__doc__ == getattr(inner, name).__doc__
    assert parameters(face, "__init__") == parameters(inner, "__init__") or face is not sync.Client


def own(face: type) -> set[str]:
    """What the async class has on its instances only."""
    return {"info", "version", "metadata"} if face is sync.Handle else set()


def parameters(kind: type, name: str) -> list[tuple[str, object, object]]:
    found = inspect.signature(getattr(kind, name)).parameters.values()
    return [(each.name, each.kind, each.default) for each in found]


@pytest.mark.parametrize("face", FACES)
def test_nothing_of_a_face_is_to_be_awaited(face: type) -> None:
    for name in public(face):
        method = inspect.getattr_static(face, name)
        code = getattr(method, "__code__", None)
        assert code is None or not code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR), name


def test_functions_have_the_same_parameters() -> None:
    for name in ("save", "stream"):
        theirs = inspect.signature(getattr(casd.client, name)).parameters
        assert list(inspect.signature(getattr(sync, name)).parameters) == list(theirs)


# -- what the four pages show -----------------------------------------------------------------------------------------


def test_a_file_a_frame_and_an_object_go_and_come_back(
    client: sync.Client, tmp_path: Path, payload: Payload, name: str
) -> None:
    (tmp_path / "disk.img").write_bytes(payload.data)
    df = pd.DataFrame({"a": [1, 2]})

    client.upload_file(tmp_path / "disk.img", name)
    client.upload_df(df, name)
    third = client.upload_obj([1, 2, 3], name)

    client.get(name, version=1).download_file(tmp_path / "copy.img")
    assert (tmp_path / "copy.img").read_bytes() == payload.data
    pd.testing.assert_frame_equal(client.get(name, owner="default", version=2).download_df(), df)
    assert client.get(name).download_obj() == third.download_obj() == [1, 2, 3]
    assert third.version is not None
    assert (third.version.number, third.info.uuid) == (3, third.uuid)
    assert str(third.uuid) in repr(third)


def test_listing_finding_describing_and_deleting(client: sync.Client, name: str) -> None:
    data = uuid4().bytes
    handle = client.upload_file(io.BytesIO(data), name)

    handle.metadata.set("os", "debian")
    client.name_metadata("default", name).set("team", 7)

    assert [version.number for version in client.names(prefix=name)] == [1]
    assert [blob.uuid for blob in client.find(sha512=handle.info.digest)] == [handle.uuid]
    assert client.blob_metadata(handle.uuid).all() == {"os": "debian"}
    assert client.name_metadata("default", name).get("team") == 7
    assert b"".join(client.get_blob_data(handle.uuid, offset=4)) == data[4:]
    client.delete(name)
    assert list(client.names(prefix=name)) == []
    assert client.accounts.home() == "default"
    assert client.operations.status().totals["blobs"] > 0
    assert client.signing.blob(handle.uuid, expires_in_s=9).url.startswith("http")


def test_a_download_is_read_piece_by_piece_or_saved(
    client: sync.Client, tmp_path: Path, payload: Payload, name: str
) -> None:
    version = client.put_name("default", name, from_file(io.BytesIO(payload.data)))

    with client.download_name("default", name) as download:
        assert (download.content.digest, download.content.version) == (payload.digest, version.number)
        assert b"".join(download.pieces(1_000_000)) == payload.data[1_000_000:]
    with client.download_payload(payload.digest) as download:
        sync.save(download, tmp_path / "saved")
    out = io.BytesIO()
    with client.get(name).download() as download:
        sync.stream(download, out)

    assert (tmp_path / "saved").read_bytes() == out.getvalue() == payload.data


def test_the_topic_works_when_pasted(
    client: sync.Client, daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    topic = (Path(casd.client.__file__).parent.parent / "cli" / "help" / "python.md").read_text()
    code = textwrap.dedent("\n".join(line for line in topic.splitlines() if line.startswith("    ") or not line))
    known = {"token": daemon.token, "df": pd.DataFrame({"a": [1]})}
    monkeypatch.chdir(tmp_path)
    Path("disk.img").write_bytes(bytes(2000))
    client.accounts.update_namespace("linus", {})
    known["uuid"] = client.upload_file("disk.img", "images/disk", owner="linus").uuid
    known["digest"] = client.get("images/disk", "linus").info.digest

    exec(code.replace("http://127.0.0.1:8080", daemon.url), known)

    assert Path("copy.img").read_bytes() == bytes(2000)
    told = capsys.readouterr().out
    assert told.startswith(f"2000 {known['digest']}")
    assert str(known["uuid"]) in told
    assert len(client.get("lists/one").download_obj()) == 3


# -- the thread -------------------------------------------------------------------------------------------------------


def test_there_is_one_thread_while_the_client_is_used_and_none_after(daemon: Daemon) -> None:
    before = len(threads())

    with sync.Client(daemon.url, daemon.token) as client, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: client.upload_obj(number).download_obj(), range(30)))
        during = len(threads())

    assert (found, during - before, len(threads()) - before) == (list(range(30)), 1, 0)


def test_a_client_can_be_used_again(daemon: Daemon) -> None:
    client = sync.Client(daemon.url, daemon.token)

    for _ in range(2):
        with client:
            assert client.accounts.home() == "default"


@pytest.mark.parametrize("when", ["before", "after"])
def test_outside_of_with_it_says_so(daemon: Daemon, when: str) -> None:
    client = sync.Client(daemon.url, daemon.token)
    if when == "after":
        with client:
            pass

    with pytest.raises(RuntimeError, match="with"):
        client.get("x")
    with pytest.raises(RuntimeError, match="with"):
        next(client.blobs())


def test_entering_twice_is_refused(client: sync.Client) -> None:
    with pytest.raises(RuntimeError):
        client.__enter__()

    assert client.accounts.home() == "default"


def test_errors_are_those_of_the_async_client(client: sync.Client, daemon: Daemon) -> None:
    with pytest.raises(Refused, match="no name"):
        client.get("absent")
    with pytest.raises(ClientError), sync.Client("http://127.0.0.1:1", retry=Retry(attempts=1)) as nobody:
        nobody.operations.status()


def test_a_callback_that_uses_the_client_is_told_instead_of_waited_for(client: sync.Client) -> None:
    def progress(count: int) -> None:
        client.accounts.home()

    with pytest.raises(RuntimeError, match="callbacks"):
        client.upload_file(io.BytesIO(b"x"), progress=progress)


def test_progress_is_told(client: sync.Client, payload: Payload) -> None:
    told: list[casd.client.Progress] = []

    client.upload_file(io.BytesIO(payload.data), progress=told.append)

    assert told[-1].done == len(payload.data)


def test_a_listing_that_is_not_read_to_its_end_is_closed(client: sync.Client, payload: Payload) -> None:
    uuid = client.upload_file(io.BytesIO(payload.data)).uuid

    pieces = client.get_blob_data(uuid)
    assert payload.data.startswith(next(pieces))
    pieces.close()
    forgotten = client.get_blob_data(uuid)
    next(forgotten)
    del forgotten
    gc.collect()

    assert list(pieces) == []
    assert client.accounts.home() == "default"


def test_what_other_threads_wait_for_ends_with_the_client(daemon: Daemon) -> None:
    has_begun, never = threading.Event(), threading.Event()

    class Silent:
        def read(self, size: int, /) -> bytes:
            has_begun.set()
            never.wait()
            return b""

    client = sync.Client(daemon.url, daemon.token)
    with ThreadPoolExecutor(1) as pool:
        with client:
            waiting = pool.submit(client.upload_file, Silent())
            has_begun.wait()
            threading.Timer(0.0, never.set).start()  # a thread that reads cannot be cancelled: it ends by itself
        with pytest.raises((RuntimeError, ClientError)):
            waiting.result()


INTERRUPTED = """
import sys, threading
from casd.client.sync import Client

class Silent:
    def read(self, size):
        print("reading", flush=True)
        go_on.wait()
        return b""

go_on = threading.Event()
with Client(sys.argv[1], sys.argv[2]) as client:
    try:
        client.upload_file(Silent(), "interrupted")
    except KeyboardInterrupt:
        go_on.set()
        print("interrupted", client.accounts.home(), len(list(client.names(prefix="interrupted"))), flush=True)
"""


def test_ctrl_c_ends_the_call_and_not_the_client(daemon: Any) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, daemon.url, daemon.token],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A run that was begun in the background ignores Ctrl-C, and so would all that it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()

    assert (out, err, process.returncode) == ("interrupted default 0\n", "", 0)
