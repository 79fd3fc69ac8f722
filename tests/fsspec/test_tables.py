"""Programs that read tables through fsspec: pandas, pyarrow and DuckDB; fsspec's own caches; and much at once."""

import asyncio
import io
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import fsspec
import numpy
import pandas
import pyarrow
import pyarrow.parquet
import pytest

from casd.fsspec import CasdFileSystem
from tests.conftest import Daemon
from tests.fsspec.conftest import Connect
from tests.proxy import Proxy

ROWS = 400_000
COLUMNS = {f"c{index}": numpy.random.default_rng(index).random(ROWS) for index in range(10)}


@pytest.fixture(scope="module")
def parquet() -> bytes:
    """Ten columns in four row groups, 32 MB: a column of a group is 0.8 MB."""
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(COLUMNS), file, row_group_size=ROWS // 4, compression="none")
    return file.getvalue()


@pytest.fixture
def table(fs: Any, fs_path: str, parquet: bytes) -> str:
    fs.pipe_file(f"{fs_path}/table.parquet", parquet)
    return f"{fs_path}/table.parquet"


@pytest.fixture(autouse=True)
def known() -> Iterator[None]:
    """`casd://` as it is known where casd is installed with its entry point."""
    fsspec.register_implementation("casd", CasdFileSystem, clobber=True)
    yield
    CasdFileSystem.clear_instance_cache()


def options(daemon: Daemon, url: str | None = None) -> dict[str, Any]:
    return {"endpoint_url": url or daemon.url, "token": daemon.token}


def moved(proxy: Proxy) -> int:
    return sum(seen.answers for seen in proxy.seen)


async def test_pandas_fetches_the_columns_that_it_is_asked_for(
    shared_daemon: Daemon, table: str, parquet: bytes
) -> None:
    async with Proxy(shared_daemon.url) as proxy:
        far = options(shared_daemon, proxy.url)
        frame = await asyncio.to_thread(pandas.read_parquet, f"casd://{table}", columns=["c3"], storage_options=far)
        print("pandas: 1 of 10 columns", moved(proxy), "of", len(parquet))
        assert moved(proxy) < len(parquet) / 2

    assert list(frame.columns) == ["c3"]
    assert (frame["c3"].to_numpy() == COLUMNS["c3"]).all()


def test_pandas_writes_tables(shared_daemon: Daemon, fs: Any, fs_path: str) -> None:
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    for name, write, read in (
        ("t.parquet", frame.to_parquet, pandas.read_parquet),
        ("t.csv.gz", lambda path, **more: frame.to_csv(path, index=False, **more), pandas.read_csv),
    ):
        write(f"casd://{fs_path}/{name}", storage_options=options(shared_daemon))
        found = read(f"casd://{fs_path}/{name}", storage_options=options(shared_daemon))
        assert found.equals(frame)
        assert len(fs.versions(f"{fs_path}/{name}")) == 1


async def test_pyarrow_fetches_one_column_of_one_row_group(
    shared_daemon: Daemon, connect: Connect, table: str, parquet: bytes
) -> None:
    def read() -> Any:
        with far.open(table) as file:
            return pyarrow.parquet.ParquetFile(file).read_row_group(2, columns=["c7"])

    async with Proxy(shared_daemon.url) as proxy:
        far = connect(proxy.url)
        found = await asyncio.to_thread(read)
        print("pyarrow: 1 of 40 chunks", moved(proxy), "of", len(parquet))
        assert moved(proxy) < len(parquet) / 5

    assert (found["c7"].to_numpy() == COLUMNS["c7"][ROWS // 2 : ROWS * 3 // 4]).all()


def test_pyarrow_reads_a_folder_as_one_table(fs: Any, fs_path: str) -> None:
    whole = pyarrow.table({"a": range(100), "part": [index % 4 for index in range(100)]})
    pyarrow.parquet.write_to_dataset(whole, f"{fs_path}/set", partition_cols=["part"], filesystem=fs)

    found = pyarrow.parquet.read_table(f"{fs_path}/set", filesystem=fs, filters=[("part", "=", 3)])

    assert sorted(found["a"].to_pylist()) == list(range(3, 100, 4))


async def test_duckdb_queries_a_column(shared_daemon: Daemon, connect: Connect, table: str, parquet: bytes) -> None:
    duckdb = pytest.importorskip("duckdb")

    def query() -> Any:
        with duckdb.connect() as db:
            db.register_filesystem(far)
            return db.sql(f"SELECT count(*), sum(c3) FROM 'casd://{table}'").fetchall()

    async with Proxy(shared_daemon.url) as proxy:
        far = connect(proxy.url)
        found = await asyncio.to_thread(query)
        print("duckdb: 1 of 10 columns", moved(proxy), "of", len(parquet))
        assert moved(proxy) < len(parquet) / 2

    assert found == [(ROWS, pytest.approx(COLUMNS["c3"].sum()))]


# -- fsspec's caches ----------------------------------------------------------------------------------------------


def test_filecache_notices_a_new_version_and_fetches_nothing_twice(
    shared_daemon: Daemon, fs: Any, fs_path: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    get_file = CasdFileSystem._get_file

    async def counting(self: Any, path: str, *args: Any, **kwargs: Any) -> None:
        fetched.append(path)
        await get_file(self, path, *args, **kwargs)

    monkeypatch.setattr(CasdFileSystem, "_get_file", counting)

    def read() -> Any:
        cache = {"cache_storage": str(tmp_path), "check_files": True}
        url = f"filecache::casd://{fs_path}/a"
        with fsspec.open(url, casd=options(shared_daemon), filecache=cache) as file:
            return file.read()

    for data in (b"one", b"two"):
        fs.pipe_file(f"{fs_path}/a", data)
        assert [read(), read()] == [data] * 2
    fs.touch(f"{fs_path}/a", truncate=False)  # a version of the same bytes
    assert read() == b"two"
    assert fetched == [f"{fs_path}/a"] * 2


def test_simplecache_keeps_each_version_and_writes_through(
    shared_daemon: Daemon, fs: Any, fs_path: str, tmp_path: Any
) -> None:
    far = options(shared_daemon) | {"version_aware": True}

    def open_(path: str, mode: str = "rb") -> Any:
        url = f"simplecache::casd://{path}"
        return fsspec.open(url, mode, casd=far, simplecache={"cache_storage": str(tmp_path)})

    for data in (b"one", b"two"):
        with open_(f"{fs_path}/a", "wb") as file:
            file.write(data)
    for number, data in ((1, b"one"), (2, b"two"), (1, b"one")):
        with open_(f"{fs_path}/a?version={number}") as file:
            assert file.read() == data
    assert len(list(tmp_path.iterdir())) == 3  # each version, and what was written last


# -- much ---------------------------------------------------------------------------------------------------------

WRITE = """
import re, sys
from pathlib import Path
from casd.fsspec import CasdFileSystem
url, token, path, size = sys.argv[1:]
fs = CasdFileSystem(endpoint_url=url, token=token)
def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
fs.exists(path)
before = peak()
with fs.open(path, "wb") as file:
    for index in range(int(size)):
        file.write(index.to_bytes(4) * (1 << 18))
with fs.open(path) as file:
    for index in range(int(size)):
        assert file.read(1 << 20) == index.to_bytes(4) * (1 << 18)
print(peak() - before)
"""
FLAT_KIB = 100 << 10  # pieces of 8 MiB on their way, some copies of them; not the 300 MiB that are written


def test_memory_is_flat_whatever_is_written_and_read(shared_daemon: Daemon, fs: Any, fs_path: str) -> None:
    arguments = [shared_daemon.url, shared_daemon.token, f"{fs_path}/large", "300"]
    done = subprocess.run([sys.executable, "-c", WRITE, *arguments], capture_output=True, text=True, timeout=300)

    assert done.returncode == 0, done.stderr
    print("KiB more for 300 MiB:", done.stdout)
    assert int(done.stdout) < FLAT_KIB
    assert fs.info(f"{fs_path}/large")["size"] == 300 << 20
