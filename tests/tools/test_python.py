"""What Python programs read the web with: fsspec, pandas and pyarrow over it, and obstore, each as its page shows."""

import hashlib
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Daemon
from tests.proxy import Fault, Proxy
from tests.tools.shop import CUT, RESET, SIZE, STALL, Shop, ran

PACKAGES = ["fsspec[http]==2026.9.0", "obstore==0.12.1", "pandas==3.1.1", "pyarrow==26.0.1"]
ROWS = 60_000

# fsspec does not ask again by itself; a program that means to survive a bad line does.
PRELUDE = """
import json, sys
URL, AUTH, FILE = sys.argv[1:]

def again(work, *arguments, **options):
    for _ in range(30):
        try:
            return work(*arguments, **options)
        except (OSError, EOFError, aiohttp.ClientError, TimeoutError) as error:
            print(type(error).__name__, file=sys.stderr)
    raise SystemExit("thirty times in vain")
"""
OPEN_WEB = """
import aiohttp, fsspec
timeout = aiohttp.ClientTimeout(sock_read=2)
web = fsspec.filesystem("http", headers={"Authorization": AUTH}, client_kwargs={"timeout": timeout})
"""
READ_BLOCKS = """
with web.open(URL, block_size=200_000) as source, open(FILE, "wb") as target:
    source.seek(3_000_000)
    middle = again(source.read, 1000)
    source.seek(0)
    while piece := again(source.read, 150_000):
        target.write(piece)
print(json.dumps({"size": source.size, "middle": middle.hex()}))
"""
GET_FILE = """
again(web.get_file, URL, FILE)
info = web.info(URL)
parts = again(web.cat_ranges, [URL] * 3, [0, 1_000_000, -10], [5, 1_300_000, None], on_error="raise")
print(json.dumps({"info": info, "parts": [part.hex() for part in parts]}))
"""
PANDAS = """
import pandas
frame = again(pandas.read_parquet, URL, columns=["number", "word"], filesystem=web)
print(json.dumps({"columns": list(frame.columns), "sum": int(frame["number"].sum()), "last": frame["word"].iloc[-1]}))
"""
PYARROW = """
import pyarrow.parquet
again(pyarrow.parquet.read_table, URL, filesystem=web, columns=["number"])
with web.open(URL, block_size=1 << 16) as source:
    found = again(lambda: pyarrow.parquet.ParquetFile(source).read_row_group(7, columns=["word"]))
print(json.dumps({"words": found["word"].to_pylist()}))
"""
OBSTORE = """
import obstore
from obstore.store import HTTPStore

folder, _, leaf = URL.rpartition("/")
options = {"default_headers": {"Authorization": AUTH}, "allow_http": True, "timeout": "3s"}
store = HTTPStore.from_url(folder, client_options=options)
with open(FILE, "wb") as target:
    for piece in obstore.get(store, leaf).stream():
        target.write(piece)
told = obstore.head(store, leaf)
parts = obstore.get_ranges(store, leaf, starts=[5, 2_000_000], lengths=[10, 100_000])
suffix = obstore.get(store, leaf, options={"range": {"suffix": 9}}).bytes()
try:
    obstore.get(store, leaf, options={"if_none_match": told["e_tag"]})
    is_known = False
except obstore.exceptions.NotModifiedError:
    is_known = True
found = [bytes(part).hex() for part in [*parts, suffix]]
print(json.dumps({"size": told["size"], "tag": told["e_tag"], "parts": found, "is_known": is_known}))
"""


@pytest.fixture(scope="session")
def python(client_environment: Callable[..., Path]) -> Path:
    return client_environment("python-readers", PACKAGES) / "python"


@pytest.fixture(scope="module")
def shop(one_daemon: Daemon) -> Shop:
    return Shop(one_daemon)


@pytest.fixture(scope="module")
def words() -> list[str]:
    chance = random.Random("words")
    return [f"{chance.randrange(1 << 80):020x}" for _ in range(ROWS)]


@pytest.fixture(scope="module")
def table(one_daemon: Daemon, words: list[str]) -> Shop:
    """A Parquet file of twelve row groups."""
    file = io.BytesIO()
    columns = {"number": list(range(ROWS)), "half": [row / 2 for row in range(ROWS)], "word": words}
    pq.write_table(pa.table(columns), file, row_group_size=ROWS // 12, compression="none")
    return Shop(one_daemon, file.getvalue())


async def told(python: Path, script: str, url: str, shop: Shop, file: Path) -> Any:
    """The last line that the script prints."""
    code, said = await ran(python, "-W", "ignore", "-c", script, url, shop.auth.partition(": ")[2], file)
    assert code == 0
    return json.loads(said.splitlines()[-1])


async def test_fsspec_reads_a_file_block_by_block(python: Path, shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "file"
    async with Proxy(shop.daemon.url, CUT, RESET, STALL, then=CUT) as proxy:
        found = await told(python, PRELUDE + OPEN_WEB + READ_BLOCKS, proxy.url + shop.name, shop, file)

    assert found == {"size": SIZE, "middle": shop.data[3_000_000:3_001_000].hex()}
    assert file.read_bytes() == shop.data
    assert len(proxy.seen) >= 3


async def test_fsspec_fetches_a_file_and_pieces_of_it(python: Path, shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "file"
    async with Proxy(shop.daemon.url, CUT, RESET, STALL) as proxy:
        found = await told(python, PRELUDE + OPEN_WEB + GET_FILE, proxy.url + shop.blob, shop, file)

    assert file.read_bytes() == shop.data
    assert found["info"]["size"] == SIZE
    assert found["info"]["ETag"] == f'"{hashlib.sha512(shop.data).hexdigest()}"'
    parts = [shop.data[:5], shop.data[1_000_000:1_300_000], shop.data[-10:]]
    assert found["parts"] == [part.hex() for part in parts]


EARLY = (Fault("cut", 100_000), Fault("reset", 100_000), Fault("stall", 100_000))


async def test_pandas_reads_columns(python: Path, table: Shop, words: list[str], tmp_path: Path) -> None:
    async with Proxy(table.daemon.url, *EARLY) as proxy:
        found = await told(python, PRELUDE + OPEN_WEB + PANDAS, proxy.url + table.name, table, tmp_path / "none")

    assert found == {"columns": ["number", "word"], "sum": ROWS * (ROWS - 1) // 2, "last": words[-1]}
    assert len(proxy.ranges) >= 2


async def test_pyarrow_reads_a_row_group(python: Path, table: Shop, words: list[str], tmp_path: Path) -> None:
    async with Proxy(table.daemon.url, *EARLY) as proxy:
        found = await told(python, PRELUDE + OPEN_WEB + PYARROW, proxy.url + table.blob, table, tmp_path / "none")

    count = ROWS // 12
    assert found["words"] == words[7 * count : 8 * count]
    assert len(proxy.ranges) >= 3


async def test_obstore_goes_on_by_itself(python: Path, shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "file"
    async with Proxy(shop.daemon.url, CUT, STALL) as proxy:
        found = await told(python, PRELUDE + OBSTORE, proxy.url + shop.name, shop, file)

    assert file.read_bytes() == shop.data
    assert found["size"] == SIZE
    assert found["tag"] == f'"{hashlib.sha512(shop.data).hexdigest()}"'
    parts = [shop.data[5:15], shop.data[2_000_000:2_100_000], shop.data[-9:]]
    assert found["parts"] == [part.hex() for part in parts]
    assert found["is_known"]
    assert len(proxy.ranges) >= 4
