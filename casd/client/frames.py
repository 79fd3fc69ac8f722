"""Data frames as Arrow files, which is how Datapane's clients store them too. All of it blocks.

pyarrow does the work and pandas is what most people want back: both are imported where they are needed, for the client
needs neither for anything else.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import IO, Any

from casd.client.errors import PackageMissing, Unreadable
from casd.errors import InvalidInput

CONTENT_TYPE = "application/vnd.apache.arrow+binary"
SAFE_PYARROW = (14, 0, 1)  # an older one runs code that stands in the file it reads (CVE-2023-47248)


def write_frame(frame: object, file: IO[bytes]) -> None:
    """The frame stands in `file` as an Arrow file: of pandas, of pyarrow, or whatever else Arrow can read.

    Raises InvalidInput, PackageMissing.
    """
    pa = package("pyarrow")
    try:
        table = _table(pa, frame)
        with pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InvalidInput(f"this {type(frame).__name__} cannot be written as an Arrow file: {error}") from error


def read_table(file: IO[bytes]) -> Any:
    """The pyarrow.Table in an Arrow file, checked through and through. Raises Unreadable, PackageMissing."""
    pa = package("pyarrow")
    if tuple(map(int, re.findall(r"\d+", pa.__version__)[:3])) < SAFE_PYARROW:
        raise PackageMissing(f"pyarrow {pa.__version__} runs code that it finds in what it reads: take 14.0.1 or newer")
    try:
        table = pa.ipc.open_file(file).read_all()
        table.validate(full=True)  # offsets of a spoiled file point anywhere, and nothing behind this looks again
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Unreadable(f"this does not read as an Arrow file: {error}") from error
    return table


def package(name: str) -> Any:
    """The package. Raises PackageMissing."""
    try:
        return import_module(name)
    except ImportError as error:
        raise PackageMissing(f"data frames need {name}: pip install 'casd[dataframes]' pandas ({error})") from error


def _table(pa: Any, frame: object) -> Any:
    if isinstance(frame, pa.Table):
        return frame
    if type(frame).__module__.partition(".")[0] == "pandas":  # keeps what its index was, for whoever has pandas too
        return pa.Table.from_pandas(frame)
    return pa.table(frame)
