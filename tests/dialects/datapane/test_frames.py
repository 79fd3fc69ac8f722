"""Data frames: their shape as pyarrow tells it, and what they become as CSV, Excel and Arrow."""

import asyncio
import csv
import datetime
import http.client
import io
import signal
import struct
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import openpyxl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casd.dialects.datapane import DATAPANE, frames, tables
from casd.dialects.datapane.export import AT_ONCE, refusal
from casd.dialects.datapane.frames import Shape
from tests.conftest import Daemon
from tests.dialects.datapane.conftest import ARROW, FORM, OLD, User, arrow_file, facts_part, file_part, form, refused
from tests.web.house import loop_name as loop_name
from tests.web.house import open_house, run_on
from tests.web.wire import Answer, head, payload_file, raw, wait_until

CSV, EXCEL = "text/csv; charset=utf-8", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


TABLE = pa.table({"a": [1, 2, 3], "b": ["x", "=1+1", None], "c": [1.5, None, float("nan")]})


class InMemory:
    """A payload."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.file = None

    async def read(self, start: int, stop: int) -> bytes:
        assert 0 <= start <= stop <= self.size
        return self.data[start:stop]

    def read_now(self, start: int, stop: int) -> bytes | None:
        return None

    def is_cached(self, start: int, stop: int) -> bool:
        return False

    def close(self) -> None:
        pass


# -- the shape --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "how"),
    [
        (TABLE, {}),
        (TABLE, {"rows_in_batch": 1}),
        (TABLE, {"compression": "lz4"}),
        (TABLE, {"metadata_version": pa.ipc.MetadataVersion.V4, "use_legacy_format": True}),
        (TABLE.slice(0, 0), {}),
        (pa.table({}), {}),
        (pa.table({f"c{at}": [at] * 10 for at in range(2000)}), {}),
        (pa.table({"a": pa.array(["u", "v", "u"]).dictionary_encode(), "b": [{"x": [1]}, None, None]}), {}),
        (pa.table({"a": range(100_000)}), {"rows_in_batch": 1000}),
    ],
)
async def test_the_shape_is_what_pyarrow_says(table: pa.Table, how: dict[str, Any]) -> None:
    shape = await frames.shape_of(InMemory(arrow_file(table, **how)))

    assert shape == Shape(table.num_rows, table.num_columns)


async def test_too_many_pieces_have_no_shape() -> None:
    data = arrow_file(pa.table({"a": range(1000)}), rows_in_batch=1)

    assert await frames.shape_of(InMemory(data)) is None


@pytest.mark.parametrize("data", [b"", b"ARROW1", b"ARROW1\0\0" * 9, bytes(100), arrow_file(TABLE)[:-1]])
async def test_what_is_no_arrow_file_has_no_shape(data: bytes) -> None:
    assert await frames.shape_of(InMemory(data)) is None


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.data())
async def test_damage_is_never_more_than_a_wrong_shape(data: st.DataObject) -> None:
    good = bytearray(arrow_file(TABLE, rows_in_batch=2))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(good) - 1))
        good[at] = data.draw(st.integers(0, 255))

    shape = await frames.shape_of(InMemory(bytes(good)))

    assert shape is None or shape.num_rows >= 0


def test_a_frame_tells_its_shape(us: User) -> None:
    blob = us.upload("df", arrow_file(TABLE), ARROW)

    found = us.lookup("name=df").json

    for told in (blob, found, us.ask("GET", f"/api/blobs/{blob['id']}/").json):
        assert (told["num_rows"], told["num_columns"], told["cells"]) == (3, 3, 9)
        assert told["content_type"] == ARROW


def test_what_only_says_that_it_is_a_frame_has_no_shape(us: User) -> None:
    blob = us.upload("df", b"no frame", ARROW)

    assert "num_rows" not in blob
    assert us.follow(blob["data_url"]).body == b"no frame"


# -- export -----------------------------------------------------------------------------------------------------------


def exported(us: User, data: bytes, as_format: str, kind: str = ARROW) -> Answer:
    blob = us.upload("the frame", data, kind)
    return us.follow(f"{blob['export_url']}&export_format={as_format}")


def test_as_csv(us: User) -> None:
    answer = exported(us, arrow_file(TABLE, rows_in_batch=2), "CSV")

    assert (answer.status, answer["Content-Type"]) == (200, CSV)
    assert answer["Content-Disposition"] == 'attachment; filename="the frame.csv"'
    assert answer.body == b"a,b,c\n1,x,1.5\n2,=1+1,\n3,,\n"


def test_as_excel(us: User) -> None:
    answer = exported(us, arrow_file(TABLE), "EXCEL")

    assert (answer.status, answer["Content-Type"]) == (200, EXCEL)
    sheet = openpyxl.load_workbook(io.BytesIO(answer.body)).active
    rows = [[cell.value for cell in row] for row in sheet.rows]
    assert rows == [["a", "b", "c"], [1, "x", 1.5], [2, "=1+1", None], [3, None, None]]
    assert sheet["B3"].data_type == "s"  # text, and no formula


def test_as_arrow(us: User) -> None:
    data = arrow_file(TABLE)

    answer = exported(us, data, "ARROW")

    assert (answer.status, answer["Content-Type"], answer.body) == (200, ARROW, data)
    assert answer["Content-Disposition"] == 'attachment; filename="the frame.arrow"'


DAY = datetime.datetime(2020, 1, 2, 3, 4, 5)
TYPES: list[tuple[pa.Array, str, Any]] = [
    (pa.array([True]), "True", True),
    (pa.array(['ü, "q"\nline']), 'ü, "q"\nline', 'ü, "q"\nline'),
    (pa.array(["\x01"]), "\x01", "\ufffd"),
    (pa.array([1 << 60]), str(1 << 60), 1 << 60),
    (pa.array([1e300]), "1e+300", 1e300),
    (pa.array([float("inf")]), "inf", "inf"),
    (pa.array([Decimal("1.50")]), "1.50", 1.5),
    (pa.array([b"ab\xff"]), "ab\ufffd", "ab\ufffd"),
    (pa.array([DAY], pa.timestamp("ns")), "2020-01-02 03:04:05", DAY),
    (pa.array([1577934245000000001], pa.timestamp("ns")), "2020-01-02 03:04:05.000000001", None),
    (pa.array([DAY], pa.timestamp("us", "UTC")), "2020-01-02 03:04:05+00:00", "2020-01-02 03:04:05+00:00"),
    (pa.array([datetime.datetime(1700, 1, 1)], pa.timestamp("us")), "1700-01-01 00:00:00", "1700-01-01 00:00:00"),
    (pa.array([DAY.date()]), "2020-01-02", datetime.datetime(2020, 1, 2)),
    (pa.array([DAY.time()], pa.time64("ns")), "03:04:05", DAY.time()),
    (pa.array([datetime.timedelta(days=1)], pa.duration("ns")), "1 day, 0:00:00", "1 day, 0:00:00"),
    (pa.array(["u"]).dictionary_encode(), "u", "u"),
    (pa.array([[1, None]]), "[1, null]", "[1, null]"),
    (pa.array([{"x": DAY.date()}]), '{"x": "2020-01-02"}', '{"x": "2020-01-02"}'),
    (pa.nulls(1), "", None),
]


def run_program(kind: str, data: bytes, folder: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    (folder / "frame").write_bytes(data)
    command = [sys.executable, "-I", *options, tables.__file__, kind, str(folder / "frame")]
    return subprocess.run(command, capture_output=True, timeout=120)


def test_every_type_has_a_text_and_a_cell(tmp_path: Path) -> None:
    table = pa.table({f"c{at}": column for at, (column, _, _) in enumerate(TYPES)} | {"last": ["x"]})
    data = arrow_file(table)

    text = run_program("csv", data, tmp_path)
    book = run_program("excel", data, tmp_path)

    assert (text.returncode, book.returncode) == (0, 0), text.stderr + book.stderr
    _, row = csv.reader(io.StringIO(text.stdout.decode(), newline=""))
    assert row == [wanted for _, wanted, _ in TYPES] + ["x"]
    sheet = openpyxl.load_workbook(io.BytesIO(book.stdout)).active
    cells = [cell.value for cell in sheet[2]]
    assert cells == [
        wanted if wanted is not None else cell for (*_, wanted), cell in zip(TYPES, cells, strict=False)
    ] + ["x"]


@pytest.mark.parametrize("kind", ["csv", "excel"])
def test_a_frame_without_rows_has_its_names(kind: str, tmp_path: Path) -> None:
    done = run_program(kind, arrow_file(TABLE.slice(0, 0)), tmp_path)

    assert done.returncode == 0
    if kind == "csv":
        assert done.stdout == b"a,b,c\n"


@pytest.mark.parametrize("options", [("-S",)])  # without site-packages
@pytest.mark.parametrize("kind", ["csv", "excel"])
def test_without_the_extra_it_says_so(kind: str, options: tuple[str, ...], tmp_path: Path) -> None:
    done = run_program(kind, arrow_file(TABLE), tmp_path, *options)

    assert (done.returncode, done.stdout) == (tables.NOT_INSTALLED, b"")
    assert b"pyarrow is not installed" in done.stderr


def test_a_daemon_without_the_extra_says_how_to_get_it(
    tmp_path: Path, loop_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # without site-packages
    bare.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(bare))

    async def work() -> tuple[int, dict[str, str]]:
        async with open_house(tmp_path / "data", dialects=(DATAPANE,)) as house, aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{house.port}"
            headers = {"Authorization": f"Token {house.secret}"}
            body = form(file_part(arrow_file(TABLE), ARROW, None), facts_part(name="df"))
            async with session.post(f"{url}/api/blobs/", data=body, headers=FORM | headers) as answer:
                link = (await answer.json())["export_url"]
            async with session.get(f"{url}{link}&export_format=CSV") as answer:
                return answer.status, await answer.json()

    status, told = run_on(loop_name, work())

    assert (status, told["code"]) == (501, "export-not-installed")
    assert "pip install 'casd[dataframes]'" in told["detail"]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pa.table({f"c{at}": [1] for at in range(tables.EXCEL_COLUMNS + 1)}), "16384 columns"),
        (pa.table({"a": pa.nulls(tables.EXCEL_ROWS)}), "1048576 rows"),  # and one for the names
    ],
    ids=["wide", "long"],
)
def test_a_sheet_has_its_limits(us: User, table: pa.Table, said: str) -> None:
    answer = exported(us, arrow_file(table), "EXCEL")

    assert (answer.status, refused(answer)) == (422, "export-refused")
    assert said in answer.json["detail"]
    assert "CSV" in answer.json["detail"]


WITH_BOUNDS = """
import sys
sys.path.insert(0, sys.argv[1])
import tables
setattr(tables, sys.argv[2], int(sys.argv[3]))
sys.exit(tables.main(sys.argv[4:]))
"""


def run_bounded(kind: str, data: bytes, folder: Path, bound: str, value: int) -> subprocess.CompletedProcess[bytes]:
    """The program with another bound than it has."""
    (folder / "frame").write_bytes(data)
    program = str(Path(tables.__file__).parent)
    command = [sys.executable, "-I", "-c", WITH_BOUNDS, program, bound, str(value), kind, str(folder / "frame")]
    return subprocess.run(command, capture_output=True, timeout=120, env={"TMPDIR": str(folder)})


def test_a_long_frame_takes_the_memory_of_a_few_rows(tmp_path: Path) -> None:
    rows = 3_000_000  # in one batch; all of them as Python's integers and texts take 350 MB

    done = run_bounded("csv", arrow_file(pa.table({"a": range(rows)})), tmp_path, "MEMORY_BYTES", 250 << 20)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"\n") == rows + 1


def test_temporary_files_are_bounded(tmp_path: Path) -> None:
    data = arrow_file(pa.table({"a": ["x" * 100] * 10_000}))

    done = run_bounded("excel", data, tmp_path, "TEMPORARY_BYTES", 100_000)

    assert (done.returncode, done.stdout) == (tables.TOO_LARGE, b"")
    assert b"temporary files" in done.stderr


async def test_who_takes_too_long_is_stopped_and_told_why(tmp_path: Path) -> None:
    data = arrow_file(pa.table({"a": range(3_000_000)}))

    done = run_bounded("csv", data, tmp_path, "CPU_S", 1)

    assert done.returncode == -signal.SIGXCPU
    command = "import os, signal; os.kill(os.getpid(), signal.SIGXCPU)"
    ended = await asyncio.create_subprocess_exec(sys.executable, "-c", command, stderr=asyncio.subprocess.PIPE)
    refused = await refusal(ended)
    assert (refused.status, refused.code) == (422, "export-refused")
    assert "300 s of a processor" in str(refused)


def test_two_are_converted_at_a_time_and_the_others_wait(
    tmp_path: Path, loop_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"a": range(100_000)})
    running, most = set(), 0
    start = asyncio.create_subprocess_exec

    async def counted(*arguments: Any, **options: Any) -> asyncio.subprocess.Process:
        nonlocal most
        running.difference_update([process for process in running if process.returncode is not None])
        process = await start(*arguments, **options)
        running.add(process)
        most = max(most, len(running))
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", counted)

    async def work() -> list[int]:
        async with open_house(tmp_path / "data", dialects=(DATAPANE,)) as house, aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{house.port}"
            headers = {"Authorization": f"Token {house.secret}"}
            body = form(file_part(arrow_file(table), ARROW, None), facts_part(name="df"))
            async with session.post(f"{url}/api/blobs/", data=body, headers=FORM | headers) as answer:
                link = (await answer.json())["export_url"]

            async def export() -> int:
                async with session.get(f"{url}{link}&export_format=CSV") as answer:
                    return (await answer.read()).count(b"\n")

            return await asyncio.gather(*(export() for _ in range(5)))

    assert run_on(loop_name, work()) == [table.num_rows + 1] * 5
    assert most == AT_ONCE == 2


def test_memory_is_bounded(tmp_path: Path) -> None:
    """A compressed buffer begins with the size that it says to have: memory is taken before the lie is found."""
    data = arrow_file(pa.table({"a": [7] * 123_457}), compression="zstd")
    honest, lie = struct.pack("<q", 8 * 123_457), struct.pack("<q", 8 << 30)
    assert data.count(honest) == 1

    done = run_program("csv", data.replace(honest, lie), tmp_path)

    assert (done.returncode, done.stdout) == (tables.TOO_LARGE, b"")


@pytest.mark.parametrize("as_format", ["CSV", "EXCEL"])
@pytest.mark.parametrize("data", [b"", b"no frame", arrow_file(TABLE)[:-20]])
def test_what_cannot_be_read_is_422(us: User, data: bytes, as_format: str) -> None:
    answer = exported(us, data, as_format)

    assert (answer.status, refused(answer)) == (422, "export-refused")


def test_a_failure_on_the_way_cuts_the_connection(us: User) -> None:
    table = pa.table({"a": ["x" * 1000] * 4000})
    data = bytearray(arrow_file(table, rows_in_batch=1000))
    data[3_000_000:3_010_000] = b"\xff" * 10_000  # no UTF-8, in the last batches

    blob = us.upload("df", bytes(data), ARROW)

    with pytest.raises(http.client.IncompleteRead):
        us.follow(f"{blob['export_url']}&export_format=CSV")

    assert "Traceback" not in us.daemon.log


def test_a_client_that_hangs_up_ends_the_conversion(us: User) -> None:
    blob = us.upload("df", arrow_file(pa.table({"a": range(3_000_000)})), ARROW)
    with raw(us.daemon) as hasty:
        hasty.send(head(us.daemon, f"GET {blob['export_url']}&export_format=CSV", token=None))
        assert hasty.head()[0] == 200

    wait_until(lambda: not programs_of(us.daemon), "no program is at work")
    assert us.follow(f"{blob['export_url']}&export_format=ARROW").status == 200
    assert "Traceback" not in us.daemon.log


def programs_of(daemon: Daemon) -> list[str]:
    return Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()


def test_the_head_of_an_export_has_no_body(us: User) -> None:
    link = us.upload("df", arrow_file(TABLE), ARROW)["export_url"]

    answer = us.wire.ask("HEAD", f"{link}&export_format=EXCEL")

    assert (answer.status, answer["Content-Type"], answer.body) == (200, EXCEL, b"")
    assert us.listed() == ["df"]  # on the same connection


@pytest.mark.parametrize("query", ["", "&export_format=", "&export_format=PARQUET"])
def test_other_formats_are_400(us: User, query: str) -> None:
    blob = us.upload("df", arrow_file(TABLE), ARROW)

    answer = us.follow(blob["export_url"] + query)

    assert (answer.status, refused(answer)) == (400, "invalid-input")


def test_what_is_no_frame_is_not_exported(us: User) -> None:
    answer = exported(us, b"a,b\n", "CSV", "text/csv")

    assert (answer.status, refused(answer)) == (400, "invalid-input")


def test_the_link_of_an_export_opens_that_alone(us: User) -> None:
    one, two = us.upload("one", arrow_file(TABLE), ARROW), us.upload("two", arrow_file(TABLE), ARROW)
    signature = one["export_url"].partition("?")[2]

    for bad in (
        f"/api/blobs/{two['id']}/export/?{signature}&export_format=CSV",
        f"/api/blobs/{one['id']}/data/?{signature}",
        f"{one['export_url']}&export_format=CSV&more=1",
        f"/api/blobs/{one['id']}/export/?{one['data_url'].partition('?')[2]}&export_format=CSV",
    ):
        assert us.follow(bad).status == 401
    assert us.ask("GET", f"/api/blobs/{one['id']}/export/?export_format=ARROW").status == 200


def test_old_clients_get_no_file_where_there_is_an_error(us: User) -> None:
    us.upload("df", b"no frame", ARROW)
    old = us.ask("GET", "/api/blobs/lookup/?name=df", headers=OLD).json

    with pytest.raises(http.client.IncompleteRead):
        us.follow(f"{old['export_url']}&export_format=CSV")


def test_a_damaged_payload_is_an_error(us: User) -> None:
    data = arrow_file(pa.table({"only here": [us.name]}))
    blob = us.upload("df", data, ARROW)
    Path(payload_file(us.daemon, data)).write_bytes(data[:100])

    answer = us.follow(f"{blob['export_url']}&export_format=CSV")

    assert (answer.status, refused(answer)) == (500, "payload-damaged")
    assert "num_rows" not in us.lookup("name=df").json
