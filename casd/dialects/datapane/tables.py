"""A program: writes an Arrow file's rows to standard output as CSV or as an Excel sheet. `export.py` runs it.

    python tables.py csv|excel FILE

It is a process of its own because native code reads here what strangers sent: it can be stopped, its memory and time
are bounded, and if it falls it takes nobody along. It imports nothing of casd. Exit codes: 0, or one of those below
with a message on standard error; what was written by then is not whole.
"""

import decimal
import errno
import json
import math
import resource
import sys
from collections.abc import Iterator
from typing import Any

MEMORY_BYTES = 1 << 30  # beside the file itself, which is mapped
CPU_S = 300
TEMPORARY_BYTES = 4 << 30  # of any file that it writes: a sheet is written once before it is packed
CELLS_AT_ONCE = 262_144
EXCEL_ROWS, EXCEL_COLUMNS, EXCEL_CHARACTERS = 1_048_576, 16_384, 32_767  # what a sheet can hold

NOT_INSTALLED, UNREADABLE, TOO_LARGE = 3, 4, 5
FULL = (errno.EFBIG, errno.ENOSPC, errno.EDQUOT)


class Refused(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def main(arguments: list[str]) -> int:
    kind, path = arguments
    bound()
    try:
        import pyarrow as pa

        pa.set_cpu_count(1)  # each thread's stack would count as memory
        with pa.memory_map(path) as file:
            reader = open_file(pa, file)
            if kind == "csv":
                write_csv(reader)
            else:
                write_excel(reader)
    except ImportError as error:
        return refuse(NOT_INSTALLED, f"{error.name} is not installed")
    except Refused as error:
        return refuse(error.code, str(error))
    except MemoryError:
        return refuse(TOO_LARGE, f"it takes more than {MEMORY_BYTES} bytes of memory")
    except OSError as error:
        if error.errno not in FULL:
            raise
        return refuse(TOO_LARGE, f"it takes more than {TEMPORARY_BYTES} bytes, or than there are, of temporary files")
    except (ValueError, ArithmeticError, NotImplementedError) as error:  # a value that Python has no type for
        return refuse(UNREADABLE, str(error))
    return 0


def bound() -> None:
    # The hard limit a second later: at both at once the kernel kills, and nobody is told why.
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 1))
    for limit, value in (
        (resource.RLIMIT_DATA, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, TEMPORARY_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))


def refuse(code: int, message: str) -> int:
    print(message, file=sys.stderr)  # noqa: T201  # this is a program
    return code


def open_file(pa: Any, file: Any) -> Any:
    try:
        return pa.ipc.open_file(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise Refused(UNREADABLE, f"it does not read as an Arrow file: {error}") from error


def pieces(reader: Any) -> Iterator[Any]:
    """The record batches, checked and cut, so that a frame of any length takes the memory of a few rows."""
    import pyarrow as pa

    rows = max(1, CELLS_AT_ONCE // max(1, len(reader.schema.names)))
    for index in range(reader.num_record_batches):
        try:
            batch = reader.get_batch(index)
            batch.validate(full=True)
        except (pa.ArrowInvalid, OSError) as error:
            raise Refused(UNREADABLE, f"its data is damaged: {error}") from error
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


# -- CSV ------------------------------------------------------------------------------------------------------------


def write_csv(reader: Any) -> None:
    """As pandas writes it: what is missing is empty, True and False, times as ISO 8601 with a space."""
    import csv
    import io

    names = reader.schema.names
    checked = pieces(reader)
    first = next(checked, None)  # what is wrong with it is found before anything is written
    out = io.TextIOWrapper(sys.stdout.buffer, "utf-8", "replace", newline="", write_through=False)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    while first is not None:
        columns = [[csv_value(value) for value in column.to_pylist()] for column in plain_columns(first)]
        writer.writerows(zip(*columns, strict=True) if columns else [[] for _ in range(first.num_rows)])
        first = next(checked, None)
    out.flush()


def csv_value(value: object) -> object:
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    return text_of(value)


def plain_columns(batch: Any) -> list[Any]:
    """Its columns; nanoseconds as text, for a datetime has none."""
    import pyarrow as pa

    found = []
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if getattr(column.type, "unit", None) == "ns":
            column = narrowed(column)
        found.append(column)
    return found


def narrowed(column: Any) -> Any:
    """The column in microseconds if that loses nothing, else as text; durations in microseconds."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_duration(kind):
        return column.cast(pa.duration("us"), safe=False)
    coarser = pa.timestamp("us", kind.tz) if pa.types.is_timestamp(kind) else pa.time64("us")
    try:
        return column.cast(coarser)
    except pa.ArrowInvalid:
        return column.cast(pa.string())


def text_of(value: object) -> object:
    """Text, numbers and booleans as they are; everything else as text; None as nothing."""
    if value is None:
        return ""
    if isinstance(value, str | int | float | decimal.Decimal):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list | dict | tuple):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)


# -- Excel ----------------------------------------------------------------------------------------------------------


def write_excel(reader: Any) -> None:
    import openpyxl
    from openpyxl.cell import WriteOnlyCell

    if len(reader.schema.names) > EXCEL_COLUMNS:
        raise Refused(TOO_LARGE, f"an Excel sheet has at most {EXCEL_COLUMNS} columns: export it as CSV")
    if hasattr(reader, "count_rows"):  # of newer pyarrows; it reads no data
        check_rows(reader.count_rows())
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Sheet1")

    def cell(value: object) -> object:
        value = excel_value(value)
        if isinstance(value, str) and value.startswith("="):  # text, and no formula
            made = WriteOnlyCell(sheet, value)
            made.data_type = "s"
            return made
        return value

    sheet.append([cell(name) for name in reader.schema.names])
    rows = 0
    for batch in pieces(reader):
        rows += batch.num_rows
        check_rows(rows)
        columns = [column.to_pylist() for column in plain_columns(batch)]
        for row in zip(*columns, strict=True):
            sheet.append([cell(value) for value in row])
    book.save(sys.stdout.buffer)


def check_rows(count: int) -> None:
    """Raise Refused if a sheet has not room for so many and the columns' names."""
    if count >= EXCEL_ROWS:
        raise Refused(TOO_LARGE, f"an Excel sheet has at most {EXCEL_ROWS} rows: export it as CSV")


def excel_value(value: object) -> object:
    """What a cell can hold: control characters are not among it, nor times with a zone, nor what is not a number."""
    import datetime

    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    if value is None or isinstance(value, bool | int | decimal.Decimal):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else (None if math.isnan(value) else str(value))
    if isinstance(value, datetime.datetime | datetime.time):
        has_zone = value.tzinfo is not None
        is_early = isinstance(value, datetime.datetime) and value.year < 1900
        return str(value) if has_zone or is_early else value
    if isinstance(value, datetime.date):
        return str(value) if value.year < 1900 else value
    text = str(text_of(value))
    return ILLEGAL_CHARACTERS_RE.sub("\ufffd", text)[:EXCEL_CHARACTERS]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
