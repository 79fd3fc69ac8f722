"""What users do beside the page, run by the client's own Python; where and as whom by argv."""

import json
import sys
from pathlib import Path

import datapane as dp
import pandas as pd
from requests import HTTPError

SERVER, TOKEN, STRANGER = sys.argv[1:4]
HAS_VERSIONS = dp.__version__.startswith("0.8")
dp.login(token=TOKEN, server=SERVER, env="habits", cli_login=False)
told = {}


def status_of(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except HTTPError as error:
        return error.response.status_code
    return None


# names
names = ["with spaces", "ünï 名", "50% + & # ? =", "plain"]
for name in names:
    Path("file.bin").write_bytes(name.encode())
    dp.Blob.upload_file("file.bin", name=name)
contents = []
for name in names:
    dp.Blob.get(name=name).download_file("out.bin")
    contents.append(Path("out.bin").read_bytes().decode())
told["names"] = contents == names
told["listed"] = sorted(item["name"] for item in dp.Blob.list()) == sorted(names)
told["fields"] = sorted({key for item in dp.Blob.list() for key in item})

# files of all kinds, and their filenames
kinds = {}
for filename in ("a.csv", "a.json", "a.png", "a.tar.gz", "a.unknown", "ü b.txt", "none"):
    Path(filename).write_bytes(b"\x1f\x8b not gzip")
    blob = dp.Blob.upload_file(filename, name="kinds")
    dp.Blob.get(name="kinds").download_file("out.bin")
    assert Path("out.bin").read_bytes() == b"\x1f\x8b not gzip"
    kinds[filename] = blob.content_type
told["kinds"] = kinds
Path("empty").write_bytes(b"")
told["empty"] = dp.Blob.upload_file("empty", name="empty").size_bytes
dp.Blob.get(name="empty").download_file("out.bin")
told["empty is empty"] = Path("out.bin").read_bytes() == b""

# objects
told["objects"] = []
for how in ({}, {"as_json": True}):
    blob = dp.Blob.upload_obj({"a": [1, None]}, name="object", **how)
    told["objects"].append([dp.Blob.get(name="object").download_obj(), blob.content_type])

# a data frame in each format
times = pd.to_datetime(["2020-01-02 03:04", "2021-01-01 05:06"])
df = pd.DataFrame({"number": [1, 2], "text": ["=1+1", "ü"], "at": times})
blob = dp.Blob.upload_df(df, name="frame")
for suffix in ("csv", "xlsx", "arrow"):
    blob.download_file(f"frame.{suffix}")
told["csv"] = pd.read_csv("frame.csv", parse_dates=["at"]).to_dict("list") == df.to_dict("list")
told["xlsx numbers"] = pd.read_excel("frame.xlsx")["number"].tolist()
told["xlsx text"] = pd.read_excel("frame.xlsx")["text"].fillna("?").tolist()

# versions
first = dp.Blob.upload_obj(1, name="counted")
second = dp.Blob.upload_obj(1, name="counted")
third = dp.Blob.upload_obj(3, name="counted")
told["ids"] = len({first.id, second.id, third.id})
told["held"] = [blob.download_obj() for blob in (first, second, third)]
told["by id"] = [dp.Blob.by_id(first.id).download_obj(), dp.Blob.by_id(third.url).download_obj()]
if HAS_VERSIONS:
    told["by version"] = [dp.Blob.get(name="counted", version=number).download_obj() for number in (1, 2, 3)]
    told["no version"] = status_of(dp.Blob.get, name="counted", version=9)
told["newest"] = dp.Blob.get(name="counted").download_obj()

# changing
third.update(name="counted anew")
told["renamed"] = [third.name, dp.Blob.get(name="counted anew").id == third.id, status_of(dp.Blob.get, name="counted")]
third.refresh()
third.delete()
told["deleted"] = [
    status_of(dp.Blob.get, name="counted anew"),
    status_of(dp.Blob.by_id, third.id),
    status_of(third.delete),
    first.download_obj(),
]
gone = Path("gone.bin")
plain = dp.Blob.upload_file("file.bin", name="soon gone")
plain.delete()
try:
    plain.download_file(gone)
except Exception as error:
    told["a dead link"] = type(error).__name__

# what others have
told["foreign"] = [
    status_of(dp.Blob.get, name="secret"),
    status_of(dp.Blob.get, name="secret", owner="stranger"),
    status_of(dp.Blob.by_id, STRANGER),
]
theirs = dp.Blob()
theirs.url = STRANGER
told["foreign"] += [status_of(theirs.delete), status_of(theirs.update, name="mine")]
told["absent"] = [
    status_of(dp.Blob.get, name="absent"),
    status_of(dp.Blob.by_id, "00000000-0000-7000-8000-000000000000"),
]

print(json.dumps(told))
