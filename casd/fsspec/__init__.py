"""casd for fsspec: `casd://namespace/name` wherever pandas, pyarrow, dask, DuckDB and their like take a URL.

    fs = fsspec.filesystem("casd", endpoint_url="http://127.0.0.1:8080", token=token)
    fs.ls("default/tables")
    pandas.read_parquet("casd://default/tables/sales.parquet", columns=["price"])

Needs `pip install 'casd[fsspec]'`. `casd help fsspec` tells the rest.
"""

from casd.fsspec.filesystem import CasdFileSystem

__all__ = ["CasdFileSystem"]
