"""What Datapane's page on blobs shows, as it stands, run by the client's own Python; where and as whom by argv.

Names and owners are the page's. It shows three downloads of one name, which are of three kinds of blobs: before each
one its kind is stored under that name.
"""

# fmt: off

import json
import sys
from pathlib import Path

import datapane as dp
import pandas as pd

SERVER, TOKEN = sys.argv[1:3]
told = {"username": dp.login(token=TOKEN, server=SERVER, env="page", cli_login=False), "release": dp.__version__}
df = pd.DataFrame({"number": [1, 2, 3], "text": ["a", "b", "ü"], "real": [0.5, 1.5, 2.5]})
Path("~").mkdir()  # the client takes the page's path as it stands
Path("~/my_dataset.csv").write_text("a,b\n1,2\n")

# Upload a DataFrame
b = dp.Blob.upload_df(df, name='my_df')
told["frame"] = [b.num_rows, b.num_columns, b.cells, b.content_type]

# Upload a file
b = dp.Blob.upload_file("~/my_dataset.csv", name='my_ds')
told["file"] = [b.size_bytes, b.content_type]

# Upload an object
b = dp.Blob.upload_obj([1,2,3], name='my_list')

dp.Blob.upload_df(df, name="blob_id")

# Download a DataFrame
blob = dp.Blob.get(name="blob_id")

# Download a DataFrame
b = blob.download_df()
told["frames are equal"] = b.to_dict("list") == df.to_dict("list")

# Download a file
b = blob.download_file("~/my_dataset.csv")
# 0.12 leaves it to pandas to write the file, which takes ~ for HOME: that is this folder.
saved = pd.read_csv("my_dataset.csv" if Path("my_dataset.csv").exists() else Path("~/my_dataset.csv").absolute())
told["frame as a file"] = saved.to_dict("list") == df.to_dict("list")
dp.Blob.upload_file(__file__, name="blob_id")
blob = dp.Blob.get(name="blob_id")
b = blob.download_file("~/my_dataset.csv")
told["files are equal"] = Path("~/my_dataset.csv").read_bytes() == Path(__file__).read_bytes()

# Download an object
dp.Blob.upload_obj([1,2,3], name="blob_id")
blob = dp.Blob.get(name="blob_id")
b = blob.download_obj()
told["object"] = b
told["my list"] = dp.Blob.get(name="my_list").download_obj()

# of somebody else
told["foo"] = dp.Blob.get(name='foo', owner='linus').download_obj()
blob = dp.Blob.get(name='myblob', owner='khuyentran')

# Retrieve blob
b = blob.download_df() # Or download_file(), download_obj()
told["theirs"] = b.to_dict("list")

print(json.dumps(told))
