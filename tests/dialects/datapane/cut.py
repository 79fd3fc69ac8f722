"""Transfers through a proxy that cuts them, run by the client's own Python; where and as whom by argv."""

import json
import sys

import datapane as dp
from requests import RequestException

SERVER, TOKEN = sys.argv[1:3]
dp.login(token=TOKEN, server=SERVER, env="cut", cli_login=False)
told = {}

try:
    dp.Blob.upload_file("f.bin", name="cut")
except RequestException as error:
    told["upload"] = type(error).__name__
told["listed"] = list(dp.Blob.list())

dp.Blob.upload_file("f.bin", name="cut")
blob = dp.Blob.get(name="cut")
try:
    blob.download_file("out.bin")
except RequestException as error:
    told["download"] = type(error).__name__

print(json.dumps(told))
