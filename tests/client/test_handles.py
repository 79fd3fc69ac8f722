"""Files, data frames and objects against the real daemon: stored, found again, fetched, each in its own way."""

import asyncio
import gc
import io
import json
import os
import pickle
import sys
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pandas as pd
import pyarrow as pa
import pytest

from casd.client import (
    Client,
    ClientError,
    DigestDiffers,
    Handle,
    PackageMissing,
    Refused,
    Source,
    Unreadable,
    from_file,
)
from casd.errors import InvalidInput
from casd.finding import NoLocalDaemon
from tests.client.conftest import Connect, Payload, Script
from tests.conftest import Daemon
from tests.proxy import Fault, Proxy

ARROW = "application/vnd.apache.arrow+binary"
PICKLE = "application/vnd.pickle+binary"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon, for its loop is not the point here."""
    running = Daemon(tmp_path_factory.mktemp("handles") / "data").start()
    yield running
    assert running.stop() == 0, running.log


def frame() -> pd.DataFrame:
    return pd.DataFrame({"number": [1, 2, 3], "text": ["a", None, "ü"], "at": pd.to_datetime(["2026-01-02"] * 3)})


async def stored(handle: Handle) -> bytes:
    """The bytes of the blob, as they are in the store."""
    async with handle.download() as download:
        return b"".join([piece async for piece in download.pieces()])


# -- files ----------------------------------------------------------------------------------------------------------


async def test_a_file_comes_back_by_its_name(client: Client, tmp_path: Path, payload: Payload, name: str) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(payload.data)

    await client.upload_file(path, name)
    handle = await client.get(name)
    await handle.download_file(tmp_path / "copy.img")

    assert (tmp_path / "copy.img").read_bytes() == payload.data
    assert (handle.info.digest, handle.info.size, handle.info.filename) == (payload.digest, 3_000_000, "disk.img")


async def test_a_tilde_is_a_home_folder(
    client: Client, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.csv").write_text("a,b\n")

    handle = await client.upload_file("~/mine.csv", name)
    await handle.download_file("~/copy.csv")

    assert (tmp_path / "copy.csv").read_text() == "a,b\n"
    assert handle.info.content_type == "text/csv"


async def test_an_open_file_is_read_from_where_it_stands_and_stays_open(client: Client) -> None:
    file = io.BytesIO(b"head and tail")
    file.seek(9)

    handle = await client.upload_file(file, filename="t.png", content_type="image/png")
    out = io.BytesIO()
    await handle.download_file(out)

    assert out.getvalue() == b"tail"
    assert not file.closed
    assert (handle.info.filename, handle.info.content_type, handle.version) == ("t.png", "image/png", None)


async def test_a_file_that_only_reads_and_one_that_only_writes_will_do(client: Client, payload: Payload) -> None:
    rest = io.BytesIO(payload.data)
    took = bytearray()

    class Reads:
        def read(self, size: int, /) -> bytes:
            return rest.read(min(size, 100_000))

    class TakesLittle:
        def write(self, data: bytes, /) -> int:
            took.extend(data[:70_000])
            return min(len(data), 70_000)

    handle = await client.upload_file(Reads())
    await handle.download_file(TakesLittle())

    assert bytes(took) == payload.data


async def test_a_file_of_text_is_refused(client: Client, name: str) -> None:
    with pytest.raises(InvalidInput, match="binary"):
        await client.upload_file(io.StringIO("text"), name)  # type: ignore[arg-type]

    with pytest.raises(Refused):
        await client.get(name)


async def test_a_folder_is_not_replaced(client: Client, tmp_path: Path) -> None:
    handle = await client.upload_file(io.BytesIO(b"x"))

    with pytest.raises(InvalidInput):
        await handle.download_file(tmp_path)

    assert list(tmp_path.iterdir()) == []


async def test_a_link_leads_to_what_is_replaced(client: Client, tmp_path: Path) -> None:
    handle = await client.upload_file(io.BytesIO(b"new"))
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")

    await handle.download_file(tmp_path / "link")

    assert (tmp_path / "file").read_text() == "new"
    assert (tmp_path / "link").is_symlink()


async def test_an_empty_file_is_one(client: Client, name: str, tmp_path: Path) -> None:
    await client.upload_file(io.BytesIO(), name)
    await (await client.get(name)).download_file(tmp_path / "empty")

    assert (tmp_path / "empty").read_bytes() == b""


async def test_nothing_of_payload_size_stands_in_memory(client: Client, tmp_path: Path) -> None:
    size = 48 << 20
    with (tmp_path / "large").open("wb") as file:
        file.truncate(size)
    gc.collect()
    tracemalloc.start()
    try:
        handle = await client.upload_file(tmp_path / "large")
        await handle.download_file(tmp_path / "copy")
        with (tmp_path / "copy2").open("wb") as file:
            await handle.download_file(file)
        async with aclosing(client.get_blob_data(handle.uuid, offset=1)) as pieces:
            count = sum([len(piece) async for piece in pieces])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (count, (tmp_path / "copy2").stat().st_size) == (size - 1, size)
    assert peak < size / 4


# -- by name, owner, version, UUID, checksum --------------------------------------------------------------------------


async def test_a_handle_goes_on_meaning_its_version(client: Client, name: str) -> None:
    handles = [await client.upload_obj(number, name) for number in (1, 2)]
    latest = await client.get(name)
    first = await client.get(name, version=1)

    assert [await handle.download_obj() for handle in (*handles, latest, first)] == [1, 2, 2, 1]
    assert [handle.version and handle.version.number for handle in (*handles, latest, first)] == [1, 2, 2, 1]
    assert first.uuid == handles[0].uuid


async def test_the_latest_is_not_that_of_a_longer_name(client: Client, name: str) -> None:
    await client.upload_obj("longer", f"{name}/longer")

    with pytest.raises(Refused) as caught:
        await client.get(name)

    assert (caught.value.status, caught.value.code) == (404, "name-not-found")


async def test_what_is_deleted_is_not_there(client: Client, name: str) -> None:
    await client.upload_obj(1, name)
    await client.delete(name)

    for version, code in ((None, "name-not-found"), (2, "version-not-found"), (3, "version-not-found")):
        with pytest.raises(Refused) as caught:
            await client.get(name, version=version)
        assert caught.value.code == code
    assert await (await client.get(name, version=1)).download_obj() == 1


async def test_an_owner_is_a_namespace(client: Client, connect: Connect, name: str) -> None:
    owner = f"linus-{uuid4()}"
    token = await client.accounts.create_token("linus", "writer", [owner])

    async with connect(token=token.secret) as linus:
        made = await linus.upload_obj("his", name)
        nameless = await linus.upload_obj("nameless")
        names = [version.name async for version in linus.names()]
    handle = await client.get(name, owner=owner)

    assert await handle.download_obj() == "his"
    assert handle.uuid == made.uuid
    assert (made.info.namespace, nameless.info.namespace, names) == (owner, owner, [name])
    with pytest.raises(Refused):
        await client.get(name)


async def test_what_is_stored_for_another_owner_is_theirs(client: Client, name: str) -> None:
    owner = f"team-{uuid4()}"
    await client.accounts.update_namespace(owner, {})

    await client.upload_obj(1, name, owner=owner)
    nameless = await client.upload_obj(2, owner=owner)

    assert nameless.info.namespace == owner
    assert await (await client.get(name, owner)).download_obj() == 1
    await client.delete(name, owner, purge=True)
    with pytest.raises(Refused):
        await client.get(name, owner)


async def test_names_are_listed_by_path_with_what_is_known_of_them(client: Client, name: str) -> None:
    for path, text in (("b", "12"), ("a", "1"), ("c/d", "123")):
        await client.upload_file(io.BytesIO(text.encode()), f"{name}/{path}")

    listed = [version async for version in client.names(prefix=f"{name}/")]

    assert [(version.name.removeprefix(name), version.blob and version.blob.size) for version in listed] == [
        ("/a", 1),
        ("/b", 2),
        ("/c/d", 3),
    ]


async def test_a_blob_is_known_by_its_uuid(client: Client) -> None:
    made = await client.upload_obj([1])

    handle = await client.get_blob(str(made.uuid))

    assert await handle.download_obj() == [1]
    assert handle.version is None
    assert str(made.uuid) in repr(handle)


@pytest.mark.parametrize("uuid", ["nonsense", "../names/default/x", ""])
async def test_what_is_no_uuid_is_not_sent(connect: Connect, uuid: str) -> None:
    async with connect("http://127.0.0.1:1") as client:
        with pytest.raises(InvalidInput):
            await client.get_blob(uuid)
        with pytest.raises(InvalidInput):
            await anext(client.get_blob_data(uuid))


async def test_data_goes_on_from_an_offset(client: Client, payload: Payload) -> None:
    handle = await client.upload_file(io.BytesIO(payload.data))

    for offset in (0, 1, 1_500_000, len(payload.data)):
        got = b"".join([piece async for piece in client.get_blob_data(str(handle.uuid), offset=offset)])
        assert got == payload.data[offset:]
    for offset in (-1, len(payload.data) + 1):
        with pytest.raises(InvalidInput, match="offset"):
            await anext(client.get_blob_data(handle.uuid, offset=offset))


async def test_data_from_an_offset_goes_on_after_a_cut(daemon: Any, connect: Connect, payload: Payload) -> None:
    async with Proxy(daemon.url, Fault("cut", after=1_000_000)) as proxy, connect(proxy.url) as client:
        async with connect() as direct:
            uuid = (await direct.upload_file(io.BytesIO(payload.data))).uuid
        got = b"".join([piece async for piece in client.get_blob_data(uuid, offset=7)])

    assert got == payload.data[7:]


async def test_a_blob_is_found_by_each_checksum(client: Client) -> None:
    made = await client.upload_file(io.BytesIO(uuid4().bytes))

    for asked in (
        {"sha512": made.info.digest},
        {"sha512": made.info.digest.hex},
        {"sha256": made.info.sha256},
        {"xxh3_128": made.info.xxh3_128},
    ):
        assert [blob.uuid for blob in await client.find(**asked)] == [made.uuid]  # type: ignore[arg-type]
    assert await client.find(sha512="ab" * 64) == []


@pytest.mark.parametrize("asked", [{}, {"sha512": "ab" * 64, "sha256": "ab" * 32}])
async def test_one_checksum_finds(client: Client, asked: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        await client.find(**asked)  # type: ignore[arg-type]


async def test_a_handle_has_the_metadata_of_its_blob(client: Client, name: str) -> None:
    handle = await client.upload_obj(1, name)

    await handle.metadata.set("os", {"name": "debian"})

    assert await (await client.get(name)).metadata.all() == {"os": {"name": "debian"}}


# -- data frames ------------------------------------------------------------------------------------------------------


async def test_a_data_frame_comes_back_with_its_types_and_index(client: Client, name: str) -> None:
    df = frame().set_index("text")

    await client.upload_df(df, name)
    handle = await client.get(name)

    pd.testing.assert_frame_equal(await handle.download_df(), df)
    assert handle.info.content_type == ARROW


async def test_a_data_frame_is_stored_as_datapane_reads_it_and_read_as_datapane_stores_it(client: Client) -> None:
    ours = await client.upload_df(frame())
    file = io.BytesIO()
    table = pa.Table.from_pandas(frame(), preserve_index=False)
    with pa.RecordBatchFileWriter(file, table.schema) as writer:
        writer.write_table(table)
    theirs = await client.upload_file(io.BytesIO(file.getvalue()), content_type=ARROW)

    pd.testing.assert_frame_equal(pa.ipc.open_file(await stored(ours)).read_pandas(), frame())
    pd.testing.assert_frame_equal(await theirs.download_df(), frame())


async def test_a_table_needs_no_pandas(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"a": [1, None], "b": ["x", "y"]})
    handle = await client.upload_df(table)
    monkeypatch.setitem(sys.modules, "pandas", None)

    assert (await handle.download_table()).equals(table)
    with pytest.raises(PackageMissing, match="pip install"):
        await handle.download_df()


async def test_without_pyarrow_it_is_named(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = await client.upload_df(frame())
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(PackageMissing, match="pyarrow"):
        await client.upload_df(frame())
    with pytest.raises(PackageMissing, match="pyarrow"):
        await handle.download_table()


@pytest.mark.parametrize("version", ["9.0.0", "13.0.0", "14.0.0"])
async def test_a_pyarrow_that_runs_what_it_reads_reads_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    handle = await client.upload_df(frame())
    monkeypatch.setattr(pa, "__version__", version)

    with pytest.raises(PackageMissing, match="or newer"):
        await handle.download_table()


async def test_what_arrow_cannot_write_is_refused(client: Client) -> None:
    with pytest.raises(InvalidInput, match="Arrow"):
        await client.upload_df(pd.DataFrame({"mixed": [1, "text", object()]}))
    with pytest.raises(InvalidInput, match="Arrow"):
        await client.upload_df(object())


@pytest.mark.parametrize("data", [b"", b"a,b\n1,2\n", b"ARROW1\0\0" + bytes(100) + b"ARROW1"])
async def test_what_is_no_data_frame_is_not_read_as_one(client: Client, data: bytes) -> None:
    handle = await client.upload_file(io.BytesIO(data), content_type=ARROW)

    with pytest.raises(Unreadable, match="Arrow"):
        await handle.download_df()


# -- objects ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("obj", [[1, 2, 3], {"ü": [None, True, 1.5, {}]}, "text", 1, None, 10**400])
async def test_an_object_is_json_and_comes_back(client: Client, obj: object) -> None:
    handle = await client.upload_obj(obj)

    assert await handle.download_obj() == obj
    assert handle.info.content_type == "application/json"
    assert json.loads(await stored(handle)) == obj


@pytest.mark.parametrize("obj", [(1, 2), {1: "a"}, {1, 2}, b"bytes", float("nan"), object(), "\ud800", {"a": (1,)}])
async def test_what_json_would_change_is_refused(client: Client, name: str, obj: object) -> None:
    with pytest.raises(InvalidInput, match="as_pickle"):
        await client.upload_obj(obj, name)

    with pytest.raises(Refused):
        await client.get(name)


async def test_a_pickle_is_made_and_loaded_on_request(client: Client) -> None:
    obj = {(1, 2): {3}, "at": UUID(int=7)}

    handle = await client.upload_obj(obj, as_pickle=True)

    assert handle.info.content_type == PICKLE
    assert await handle.download_obj(allow_pickle=True) == obj
    assert pickle.loads(await stored(handle)) == obj


class Attack:
    """A pickle of it makes a folder where it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("content_type", [PICKLE, f"{PICKLE}; charset=x", PICKLE.upper(), "application/json", "a/b"])
async def test_a_pickle_that_nobody_asked_for_is_not_loaded(client: Client, tmp_path: Path, content_type: str) -> None:
    data = pickle.dumps(Attack(tmp_path / "proof"))
    handle = await client.upload_file(io.BytesIO(data), content_type=content_type)

    with pytest.raises(Unreadable):
        await handle.download_obj()

    assert not (tmp_path / "proof").exists()


async def test_the_attack_is_one(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Attack(tmp_path / "proof")))

    assert (tmp_path / "proof").exists()


async def test_what_cannot_be_pickled_is_refused(client: Client) -> None:
    with pytest.raises(InvalidInput, match="pickled"):
        await client.upload_obj(lambda: None, as_pickle=True)


async def test_json_that_is_none_is_told(client: Client) -> None:
    handle = await client.upload_file(io.BytesIO(b"{"), content_type="application/json")

    with pytest.raises(Unreadable, match="JSON"):
        await handle.download_obj(allow_pickle=True)


# -- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["download_obj", "download_file"])
async def test_bytes_of_another_digest_are_not_handed_over(
    script: Script, client: Client, tmp_path: Path, how: str
) -> None:
    from aiohttp import web

    real = await client.upload_obj("real")
    told = web.json_response(dict(real.info.json))
    tag = {"ETag": f'"{real.info.digest}"'}
    liar = await script(lambda _: told, lambda _: web.Response(body=b'"fake"', headers=tag))
    handle = await liar.get_blob(real.uuid)

    with pytest.raises(DigestDiffers):
        await (handle.download_obj() if how == "download_obj" else handle.download_file(tmp_path / "f"))
    assert list(tmp_path.iterdir()) == []


async def test_an_upload_that_is_given_up_stores_nothing(
    daemon: Any, connect: Connect, payload: Payload, name: str
) -> None:
    cuts = [Fault("cut", after=0)] * 9
    first = Fault("cut", after=1_000_000, of="requests")
    async with Proxy(daemon.url, first, *cuts) as proxy, connect(proxy.url) as client:
        with pytest.raises(ClientError):
            await client.upload_file(io.BytesIO(uuid4().bytes * 200_000), name, owner="default")

    async with connect() as client:
        with pytest.raises(Refused):
            await client.get(name)


async def test_a_source_is_sent_as_it_is(client: Client) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.sleep(0)
        yield b"b"

    assert await stored(await client.upload_file(Source(pieces()))) == b"ab"
    assert from_file(io.BytesIO(b"abc")).size == 3


# -- where the daemon is ----------------------------------------------------------------------------------------------


async def test_address_and_token_come_from_the_environment(daemon: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASD_URL", daemon.url)
    monkeypatch.setenv("CASD_TOKEN", daemon.token)

    async with Client() as client:
        assert (await client.accounts.whoami()).role == "admin"


async def test_the_environments_token_is_for_the_environments_daemon_alone(
    daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASD_TOKEN", daemon.token)

    async with Client(daemon.url) as client:
        with pytest.raises(Refused) as caught:
            await client.accounts.whoami()

    assert caught.value.status == 401


async def test_without_an_address_the_daemon_of_this_machine_is_found(
    daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CASD_URL", raising=False)
    monkeypatch.delenv("CASD_TOKEN", raising=False)
    monkeypatch.setenv("CASD_STORAGE__DATA", str(daemon.data))

    async with Client() as client:
        assert (await client.accounts.whoami()).role == "admin"


async def test_the_admin_token_of_this_machine_is_for_no_other_daemon(
    daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASD_URL", daemon.url)
    monkeypatch.delenv("CASD_TOKEN", raising=False)
    monkeypatch.setenv("CASD_STORAGE__DATA", str(daemon.data))

    async with Client() as client:
        with pytest.raises(Refused) as caught:
            await client.accounts.whoami()

    assert caught.value.status == 401


async def test_without_an_address_it_says_how_to_give_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CASD_URL", raising=False)
    monkeypatch.setenv("CASD_STORAGE__DATA", str(tmp_path))

    with pytest.raises(NoLocalDaemon, match="CASD_URL"):
        Client()
