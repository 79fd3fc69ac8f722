"""The catalogue in one SQLite file: WAL, synchronous=FULL, one writer, readers that never checkpoint.

`catalogue.py` keeps the contract and hands out: writes to `writer.py` (transactions in `blobs.py`, `names.py`,
`accounts.py`), point look-ups to `lookups.py`, pages to `listings.py`. `schema.py` opens and migrates the file.
"""

from casd.catalogue.sqlite.catalogue import SqliteCatalogue

__all__ = ["SqliteCatalogue"]
