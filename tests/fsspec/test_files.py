"""casd://namespace/name: what is there, reading, writing, and what cannot be."""

import asyncio
import gzip
import pickle
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha512
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import fsspec
import pytest

from casd.fsspec import CasdFileSystem
from tests.conftest import Daemon
from tests.fsspec.conftest import Connect
from tests.web.wire import ask

ODD = ["a b", "ünï/日本", "1+1=2&x", "50%", "%41", "what?", "a?version=3", "x#y", "a::b", "a\\b", "~", "[x]", "*"]


@pytest.fixture
def party(shared_daemon: Daemon) -> Callable[..., str]:
    """Makes a token."""

    def token(role: str, *namespaces: str) -> str:
        body = {"name": "fs", "role": role, "namespaces": namespaces}
        answer = ask(shared_daemon, "POST", "/v1/tokens", body)
        assert answer.status == 201
        return str(answer.json["token"])

    return token


# -- what is there ------------------------------------------------------------------------------------------------


def test_info_tells_what_the_daemon_knows_of_a_name(fs: Any, fs_path: str) -> None:
    before = datetime.now(UTC)
    fs.pipe_file(f"{fs_path}/a.txt", b"one")
    fs.pipe_file(f"{fs_path}/a.txt", b"three")

    info = fs.info(f"casd://{fs_path}/a.txt")

    digest = sha512(b"three").hexdigest()
    assert info == info | {"name": f"{fs_path}/a.txt", "type": "file", "size": 5, "version": 2, "sha512": digest}
    assert (info["ETag"], info["content_type"], len(info["uuid"])) == (f'"{digest}"', "text/plain", 36)
    assert fs.created(info["name"]) == fs.modified(info["name"]) == info["created"] >= before
    assert fs.ukey(info["name"]) == digest
    assert fs.checksum(info["name"]) == int(digest, 16)


def test_folders_are_what_slashes_make(fs: Any, fs_path: str) -> None:
    for name in ("a", "a/1", "a/2/3", "a-b", "b/c/d"):
        fs.pipe_file(f"{fs_path}/{name}", name.encode())

    def names(found: Any) -> list[str]:
        return [name.removeprefix(f"{fs_path}/") for name in found]

    assert names(fs.ls(fs_path, detail=False)) == ["a", "a", "a-b", "b"]
    assert [(info["type"], info["size"]) for info in fs.ls(fs_path)] == [
        ("file", 1),
        ("directory", 0),
        ("file", 3),
        ("directory", 0),
    ]
    assert names(fs.ls(f"{fs_path}/a", detail=False)) == ["a/1", "a/2"]
    assert names(fs.ls(f"{fs_path}/a-b", detail=False)) == ["a-b"]
    assert names(fs.find(fs_path)) == ["a", "a-b", "a/1", "a/2/3", "b/c/d"]
    assert names(fs.find(f"{fs_path}/a")) == ["a/1", "a/2/3"]
    assert names(fs.find(fs_path, maxdepth=2)) == ["a", "a-b", "a/1"]
    assert names(fs.find(fs_path, withdirs=True))[1:] == ["a", "a-b", "a/1", "a/2", "a/2/3", "b", "b/c", "b/c/d"]
    assert names(fs.glob(f"{fs_path}/a*")) == ["a", "a-b"]
    assert names(fs.glob(f"{fs_path}/**/[0-9]")) == ["a/1", "a/2", "a/2/3"]
    assert names(fs.glob(f"{fs_path}/*/1")) == ["a/1"]
    assert fs.du(fs_path) == 1 + 3 + 3 + 5 + 5
    assert (fs.isfile(f"{fs_path}/a"), fs.isdir(f"{fs_path}/a")) == (True, False)
    assert (fs.isfile(f"{fs_path}/b"), fs.isdir(f"{fs_path}/b")) == (False, True)
    assert [fs.exists(f"{fs_path}/{name}") for name in ("b/c", "b/x", "a//1", "..")] == [True, False, False, False]


def test_a_folder_of_many_names_is_asked_for_once(fs: Any, fs_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from casd.client.transport import Transport

    fs.pipe({f"{fs_path}/deep/{index}/{number}": b"" for index in range(3) for number in range(3)})
    asked: list[str] = []
    (open_,) = (Transport.open,)

    async def counting(self: Any, method: str, path: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(f"{method} {path}")
        return await open_(self, method, path, *args, **kwargs)

    monkeypatch.setattr(Transport, "open", counting)

    assert len(fs.ls(f"{fs_path}/deep")) == 3
    assert len(asked) == 1
    assert len(fs.find(fs_path)) == 9
    assert len(asked) == 2


def test_namespaces_are_the_top(fs: Any, fs_path: str) -> None:
    fs.pipe_file(f"{fs_path}/x", b"x")

    assert "default" in fs.ls("casd://", detail=False)
    assert fs.info("")["type"] == fs.info("casd://default")["type"] == "directory"
    assert fs.isdir("default")
    assert not fs.exists("no-such-namespace")


@pytest.mark.parametrize("name", ODD)
def test_a_name_is_taken_letter_for_letter(fs: Any, fs_path: str, name: str) -> None:
    path = f"{fs_path}/{name}"
    with fs.open(f"casd://{path}", "wb") as file:
        file.write(name.encode())

    assert fs.cat_file(path) == name.encode()
    assert fs.info(path)["name"] == path
    assert fs.find(fs_path) == [path]
    with fs.open(path) as file:
        assert file.read() == name.encode()
    fs.rm_file(path)
    assert not fs.exists(path)


# -- versions -----------------------------------------------------------------------------------------------------


def test_a_version_is_read_as_long_as_it_is_there(fs: Any, connect: Connect, fs_path: str) -> None:
    path = f"{fs_path}/a"
    for data in (b"one", b"two", b"three"):
        fs.pipe_file(path, data)
    fs.rm_file(path)
    fs.pipe_file(path, b"five")

    assert [info["version"] for info in fs.versions(path)] == [1, 2, 3, 5]
    assert fs.cat_file(path, version=2) == b"two"
    assert fs.cat_file(path, 1, 3, version=3) == b"hr"
    assert fs.info(path, version=1)["size"] == 3
    with fs.open(path, version=1) as file:
        assert file.read() == b"one"
    for version in (4, 6):
        with pytest.raises(FileNotFoundError):
            fs.cat_file(path, version=version)
    aware = connect(version_aware=True)
    assert aware.cat(f"casd://{path}?version=2") == b"two"
    assert aware.info(f"{path}?version=2")["version"] == 2
    assert aware.cat_file(f"{path}?version=x") if aware.exists(f"{path}?version=x") else True
    with pytest.raises(FileNotFoundError):
        fs.cat_file(f"{path}?version=2")


def test_an_open_file_goes_on_with_the_version_that_it_was_opened_for(fs: Any, fs_path: str) -> None:
    path = f"{fs_path}/a"
    fs.pipe_file(path, b"1" * 3_000_000)
    with fs.open(path) as file:
        assert file.read(10) == b"1" * 10
        fs.pipe_file(path, b"2" * 3_000_000)
        again = pickle.loads(pickle.dumps(file))

        assert set(file.read()) == set(again.read()) == {ord("1")}
        assert again.tell() == 3_000_000


# -- writing ------------------------------------------------------------------------------------------------------


def test_nothing_is_seen_of_a_file_before_it_is_closed(fs: Any, fs_path: str) -> None:
    path = f"{fs_path}/a"
    with fs.open(path, "wb") as file:
        for _ in range(20):
            file.write(bytes(1 << 20))
        assert not fs.exists(path)

    assert fs.info(path)["size"] == 20 << 20


@pytest.mark.parametrize("how", ["with fs.open", "with fsspec.open", "text", "gzip", "transaction", "forgotten"])
@pytest.mark.filterwarnings("ignore:.*not closed:ResourceWarning")
def test_what_is_written_before_an_error_is_thrown_away(connect: Connect, fs: Any, fs_path: str, how: str) -> None:
    path = f"{fs_path}/a"

    def write() -> None:
        if how == "with fs.open":
            with fs.open(path, "wb") as file:
                file.write(bytes(3 << 20))
                raise RuntimeError
        if how in ("with fsspec.open", "text", "gzip"):
            mode, data = ("wt", "x" * 999) if how == "text" else ("wb", bytes(3 << 20))
            compression = "gzip" if how == "gzip" else None
            with fsspec.core.OpenFile(fs, path, mode, compression=compression) as file:
                file.write(data)
                raise RuntimeError
        if how == "transaction":
            with fs.transaction:
                with fs.open(path, "wb") as file:
                    file.write(bytes(3 << 20))
                raise RuntimeError
        if how == "forgotten":
            file = fs.open(path, "wb")
            file.write(bytes(3 << 20))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()

    assert not fs.exists(path)


def test_a_file_that_is_closed_while_an_older_error_is_handled_is_kept(fs: Any, fs_path: str) -> None:
    try:
        raise RuntimeError
    except RuntimeError:
        with fsspec.core.OpenFile(fs, f"{fs_path}/a", "wb") as file:
            file.write(b"of the error")
    file = fs.open(f"{fs_path}/b", "wb")
    try:
        file.write(b"all that came")
        raise RuntimeError
    except RuntimeError:
        file.close()

    assert fs.cat_file(f"{fs_path}/a") == b"of the error"
    assert fs.cat_file(f"{fs_path}/b") == b"all that came"


def test_a_transaction_publishes_at_its_end(fs: Any, fs_path: str) -> None:
    with fs.transaction:
        for name in "ab":
            with fs.open(f"{fs_path}/{name}", "wb") as file:
                file.write(name.encode() * (9 << 20))
        assert fs.find(fs_path) == []

    assert [fs.info(path)["size"] for path in fs.find(fs_path)] == [9 << 20] * 2
    assert fs.cat_file(f"{fs_path}/b", 0, 3) == b"bbb"


def test_a_file_is_appended_to_as_a_new_version(fs: Any, fs_path: str) -> None:
    path = f"{fs_path}/a"
    for data in (b"one", b"two"):
        with fs.open(path, "ab") as file:
            file.write(data)
            assert file.tell() == (3 if data == b"one" else 6)

    assert fs.cat_file(path) == b"onetwo"
    assert fs.cat_file(path, version=1) == b"one"


def test_who_is_slower_to_make_a_new_file_is_told(fs: Any, fs_path: str) -> None:
    path = f"{fs_path}/a"
    file = fs.open(path, "xb")
    file.write(b"slow")
    fs.pipe_file(path, b"quick", mode="create")

    with pytest.raises(FileExistsError):
        file.close()
    with pytest.raises(FileExistsError):
        fs.open(path, "xb")
    assert fs.cat_file(path) == b"quick"
    assert len(fs.versions(path)) == 1


def test_gzip_and_text_go_through(fs: Any, fs_path: str) -> None:
    with fsspec.core.OpenFile(fs, f"{fs_path}/a.gz", "wt", compression="infer", encoding="utf-8") as file:
        file.write("zeile\n" * 1000)

    assert gzip.decompress(fs.cat_file(f"{fs_path}/a.gz")) == b"zeile\n" * 1000
    with fs.open(f"{fs_path}/a.gz", "rt", compression="gzip", encoding="utf-8") as file:
        assert sum(1 for _ in file) == 1000


# -- moving about -------------------------------------------------------------------------------------------------


def test_a_copy_is_the_same_blob(fs: Any, fs_path: str) -> None:
    fs.pipe_file(f"{fs_path}/a", b"abc", content_type="text/x-special")

    fs.cp_file(f"{fs_path}/a", f"{fs_path}/b")
    fs.mv(f"{fs_path}/a", f"{fs_path}/c/d")

    assert fs.find(fs_path) == [f"{fs_path}/b", f"{fs_path}/c/d"]
    b, d = fs.info(f"{fs_path}/b"), fs.info(f"{fs_path}/c/d")
    assert b["uuid"] == d["uuid"]
    assert b["content_type"] == "text/x-special"


def test_a_copy_out_of_a_namespace_that_is_only_readable_moves_the_bytes(
    shared_daemon: Daemon, connect: Connect, party: Callable[..., str], fs: Any, fs_path: str
) -> None:
    ours, theirs = (f"n{fs_path[-12:]}{letter}" for letter in "ab")
    token = party("writer", ours)
    assert ask(shared_daemon, "PUT", f"/v1/namespaces/{theirs}", {"readers": [ours]}).status == 200
    fs.pipe_file(f"{theirs}/a.txt", b"x" * 3_000_000)

    connect(token=token).cp_file(f"{theirs}/a.txt", f"{ours}/b")

    assert fs.cat_file(f"{ours}/b") == b"x" * 3_000_000
    assert fs.info(f"{ours}/b")["content_type"] == "text/plain"


def test_touch_makes_an_empty_file_or_a_younger_one(fs: Any, fs_path: str) -> None:
    path = f"{fs_path}/a"
    fs.touch(path)
    assert fs.info(path)["size"] == 0
    fs.pipe_file(path, b"abc")
    before = fs.modified(path)

    fs.touch(path, truncate=False)

    assert fs.cat_file(path) == b"abc"
    assert fs.modified(path) > before


def test_removed_is_hidden(fs: Any, fs_path: str) -> None:
    fs.pipe({f"{fs_path}/{name}": b"x" for name in ("a", "b/c", "b/d/e", "b")})

    fs.rm(f"{fs_path}/b", recursive=True)

    assert fs.find(fs_path) == [f"{fs_path}/a"]
    fs.rm_file(f"{fs_path}/a")
    assert fs.cat_file(f"{fs_path}/a", version=1) == b"x"
    with pytest.raises(FileNotFoundError):
        fs.rm(f"{fs_path}/a")


def test_files_come_and_go_with_progress(fs: Any, fs_path: str, tmp_path: Path) -> None:
    data = bytes(range(256)) * 20_000
    (tmp_path / "a.bin").write_bytes(data)
    put, get = fsspec.callbacks.Callback(), fsspec.callbacks.Callback()

    fs.put_file(str(tmp_path / "a.bin"), f"{fs_path}/a.bin", callback=put)
    fs.get_file(f"{fs_path}/a.bin", str(tmp_path / "new" / "b.bin"), callback=get)

    assert (tmp_path / "new" / "b.bin").read_bytes() == data
    assert (put.size, put.value, get.size, get.value) == (len(data),) * 4


def test_a_signed_url_needs_no_token(fs: Any, fs_path: str) -> None:
    fs.pipe_file(f"{fs_path}/a b", b"abc")

    with urlopen(fs.sign(f"{fs_path}/a b", expiration=60)) as answer:
        assert answer.read() == b"abc"


# -- what cannot be -----------------------------------------------------------------------------------------------


def test_failures_are_those_of_files(
    connect: Connect, party: Callable[..., str], fs: Any, fs_path: str, tmp_path: Path
) -> None:
    fs.pipe_file(f"{fs_path}/folder/a", b"x")
    reader = connect(token=party("reader", "default"))
    stranger = connect(token="nobody-knows-this-token")
    target = str(tmp_path / "x")

    for call in (
        fs.info,
        fs.cat_file,
        fs.open,
        fs.ls,
        fs.rm_file,
        fs.rm,
        fs.modified,
        lambda p: fs.get_file(p, target),
    ):
        with pytest.raises(FileNotFoundError) as caught:
            call(f"{fs_path}/none")
        assert "none" in str(caught.value)
    for call in (fs.cat_file, fs.open, fs.rm_file, fs.rm, fs.modified, lambda p: fs.open(p, "rb")):
        with pytest.raises(IsADirectoryError):
            call(f"{fs_path}/folder")
    with pytest.raises(IsADirectoryError):
        fs.open("default", "wb")
    for write in (
        lambda: reader.pipe_file(f"{fs_path}/a", b"x"),
        lambda: reader.rm_file(f"{fs_path}/folder/a"),
        lambda: stranger.cat_file(f"{fs_path}/folder/a"),
        lambda: stranger.ls(fs_path),
    ):
        with pytest.raises(PermissionError) as refused:
            write()
        assert "nobody-knows-this-token" not in str(refused.value)
    with pytest.raises(FileExistsError):
        fs.pipe_file(f"{fs_path}/folder/a", b"x", mode="create")
    with pytest.raises(OSError, match="name"):
        fs.pipe_file(f"{fs_path}//a", b"x")
    with pytest.raises(ConnectionError):
        connect("http://127.0.0.1:1").info("default/a")
    with pytest.raises(ValueError, match="maxdepth"):
        fs.find(fs_path, maxdepth=0)
    with fs.open(f"{fs_path}/folder/a") as file, pytest.raises(ValueError, match="write mode"):
        file.write(b"x")


def test_the_token_is_not_shown(fs: Any, fs_path: str) -> None:
    token = fs.storage_options["token"]
    shown = [repr(fs), str(fs), repr(fs.open(f"{fs_path}/a", "xb").discard()), fs.to_json(include_password=False)]

    assert [text for text in shown if token in text] == []


def test_anybody_reads_what_is_open_to_anybody(shared_daemon: Daemon, connect: Connect, fs: Any, fs_path: str) -> None:
    namespace = f"n{fs_path[-12:]}"
    assert ask(shared_daemon, "PUT", f"/v1/namespaces/{namespace}", {"anonymous_read": True}).status == 200
    fs.pipe_file(f"{namespace}/a", b"abc")
    nobody = connect(token=None)

    assert nobody.cat_file(f"{namespace}/a", 1) == b"bc"
    assert nobody.info(f"{namespace}/a")["size"] == 3
    assert nobody.ukey(f"{namespace}/a") == sha512(b"abc").hexdigest()
    with pytest.raises(PermissionError):
        nobody.ls(namespace)


# -- instances ----------------------------------------------------------------------------------------------------


def test_fsspec_finds_it_by_its_entry_point() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    module, _, name = project["entry-points"]["fsspec.specs"]["casd"].partition(":")

    assert getattr(import_module(module), name) is CasdFileSystem
    assert "fsspec" in project["optional-dependencies"]


def test_equal_instances_are_one_and_survive_pickling(shared_daemon: Daemon, fs_path: str) -> None:
    fs = CasdFileSystem(endpoint_url=shared_daemon.url, token=shared_daemon.token)
    fs.pipe_file(f"{fs_path}/a", b"abc")

    assert CasdFileSystem(endpoint_url=shared_daemon.url, token=shared_daemon.token) is fs
    assert pickle.loads(pickle.dumps(fs)) is fs
    assert CasdFileSystem(endpoint_url=shared_daemon.url, token="other") != fs
    CasdFileSystem.clear_instance_cache()
    again = pickle.loads(pickle.dumps(fs))
    assert again is not fs
    assert again.cat_file(f"{fs_path}/a") == b"abc"
    CasdFileSystem.clear_instance_cache()


async def test_it_works_on_a_loop_of_the_callers(connect: Connect, fs_path: str) -> None:
    fs = connect(asynchronous=True)
    await fs._pipe_file(f"{fs_path}/a", b"abc")

    assert await fs._cat_file(f"{fs_path}/a", 1, 2) == b"b"
    assert await fs._ls(fs_path, detail=False) == [f"{fs_path}/a"]
    assert await fs._cat_ranges([f"{fs_path}/a"] * 2, [0, -1], [1, None]) == [b"a", b"c"]
    await fs._rm(fs_path, recursive=True)
    assert not await fs._exists(f"{fs_path}/a")
    await fs.aclose()


def test_it_works_on_one_loop_after_the_other(connect: Connect, fs_path: str) -> None:
    fs = connect(asynchronous=True)

    async def once(data: bytes) -> bytes:
        await fs._pipe_file(f"{fs_path}/a", data)
        found: bytes = await fs._cat_file(f"{fs_path}/a")
        await fs.aclose()
        return found

    assert [asyncio.run(once(data)) for data in (b"one", b"two")] == [b"one", b"two"]
