"""Reads what casd's own client stored and stores what it is to read, run by Datapane's Python; where and as whom by
argv."""

import json
import sys
from pathlib import Path

import datapane as dp
import pandas as pd

dp.login(token=sys.argv[2], server=sys.argv[1], env="both", cli_login=False)
df = dp.Blob.get(name="our frame").download_df()
dp.Blob.get(name="our file").download_file("out.bin")
told = {
    "frame": df.to_dict("list"),
    "object": dp.Blob.get(name="our object").download_obj(),
    "pickle": dp.Blob.get(name="our pickle").download_obj() == {(1, 2): {3}},
    "file": Path("out.bin").read_bytes().hex(),
}

dp.Blob.upload_df(pd.DataFrame({"number": [1, 2], "text": ["a", "ü"]}), name="their frame")
dp.Blob.upload_obj({"a": [1, None]}, name="their object", as_json=True)
dp.Blob.upload_obj({(1, 2): {3}}, name="their pickle")
dp.Blob.upload_file("out.bin", name="their file")
print(json.dumps(told))
