"""Transfers through a proxy that cuts them, with `requests` as Deep Lake's page uses it; where and as whom by argv."""

import json
import sys

import requests

API_URL, TOKEN, WORKSPACE, FILE = sys.argv[1:5]
auth_headers = {"Authorization": f"Bearer {TOKEN}"}
files_url = f"{API_URL}/workspaces/{WORKSPACE}/files"
told = {}


def upload() -> requests.Response:
    with open("photo.png", "rb") as f:
        return requests.post(files_url, headers=auth_headers, files={"file": ("photo.png", f, "image/png")})


def whole() -> bytes:
    return requests.get(f"{files_url}/{FILE}/content", headers=auth_headers).content


def streamed() -> bytes:
    with requests.get(f"{files_url}/{FILE}/content", headers=auth_headers, stream=True) as res:
        return b"".join(res.iter_content(1 << 16))


for transfer in (upload, whole, streamed):
    try:
        transfer()
    except requests.RequestException as error:
        told[transfer.__name__] = type(error).__name__

print(json.dumps(told | {"listed": requests.get(files_url, headers=auth_headers).json()["data"]}))
