"""Craft AI's page, 4.3, as its reader would follow it; prints what it saw as JSON.

Runs where craft-ai-sdk is installed, with the three CRAFT_AI_ variables set as its documentation says.
"""

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

from craft_ai_sdk import CraftAiSdk
from craft_ai_sdk.exceptions import SdkException

NAMES = [
    "plain",
    "with spaces/in it.txt",
    "ünï/cödé 雪.bin",
    "a+b",
    "a&b",
    "50%",
    "100%25",
    "a#b",
    "a?b=c",
    "x%2Fy",
    "~;,'",
]

sdk = CraftAiSdk()
told: dict[str, Any] = {"me": sdk.who_am_i()}
data = os.urandom(70_001)
Path("local.bin").write_bytes(data)


def got(path: str) -> bytes:
    buffer = io.BytesIO()
    sdk.download_data_store_object(path, buffer)
    return buffer.getvalue()


def failure(call: Any, *arguments: Any) -> list[Any]:
    try:
        return ["succeeded", call(*arguments)]
    except SdkException as error:
        return [error.status_code, error.name, error.message, error.request_id]


# 4.3.4: a path, or a file object with read()
told["uploaded"] = [
    sdk.upload_data_store_object("local.bin", "folder/by path.bin"),
    sdk.upload_data_store_object(io.BytesIO(data), "folder/by buffer.bin"),
]
with open("local.bin", "rb") as file:
    file.read(100)  # the SDK starts from the beginning all the same
    sdk.upload_data_store_object(filepath_or_buffer=file, object_path_in_datastore="folder/by file.bin")

# 4.3.5: a path, or a file object with write()
told["downloaded"] = [
    sdk.download_data_store_object("folder/by path.bin", "back.bin"),
    sdk.download_data_store_object("folder/by buffer.bin", buffer := io.BytesIO()),
]
told["same"] = [
    Path("back.bin").read_bytes() == data,
    buffer.read() == data,  # the SDK has rewound it
    got("folder/by file.bin") == data,
]

# 4.3.3 and 4.3.2
told["information"] = sdk.get_data_store_object_information("folder/by path.bin")
told["listed"] = sdk.list_data_store_objects()

# uploading again replaces; nothing at all is an object too
sdk.upload_data_store_object(io.BytesIO(b"new"), "folder/by path.bin")
told["replaced"] = got("folder/by path.bin").decode()
sdk.upload_data_store_object(io.BytesIO(b""), "empty")
told["empty"] = [len(got("empty")), sdk.get_data_store_object_information("empty")["size"]]

# any name
told["names"] = []
for name in NAMES:
    sdk.upload_data_store_object(io.BytesIO(name.encode()), name)
    information = sdk.get_data_store_object_information(name)
    told["names"].append([name, information["path"], got(name).decode(), sdk.delete_data_store_object(name)["path"]])

# 4.3.6
told["deleted"] = sdk.delete_data_store_object("folder/by path.bin")
told["left"] = [item["path"] for item in sdk.list_data_store_objects()]
told["gone"] = [
    failure(got, "folder/by path.bin"),
    failure(sdk.get_data_store_object_information, "folder/by path.bin"),
    failure(sdk.delete_data_store_object, "folder/by path.bin"),
]
told["refused"] = failure(sdk.upload_data_store_object, io.BytesIO(b"x"), "a/../b")

# paths as the oldest SDKs cleaned them
sdk.upload_data_store_object(io.BytesIO(b"slashes"), "/a//b/")
told["slashes"] = [got("/a//b/").decode(), sdk.delete_data_store_object("/a//b/")["path"]]

if "iter" in sys.argv:
    told["folder"] = [item["path"] for item in sdk.iter_data_store_objects("folder")]

# in parts, where this SDK can
if "parts" in sys.argv:
    type(sdk)._MULTIPART_THRESHOLD, type(sdk)._MULTIPART_PART_SIZE = 10_000, 4_000
    told["parts"] = {}
    for size in (10_000, 12_000, 12_001, 13_999):
        outcome = failure(sdk.upload_data_store_object, io.BytesIO(data[:size]), f"parts/{size}")
        whole = outcome[0] == "succeeded" and got(f"parts/{size}") == data[:size]
        told["parts"][size] = [whole, *outcome]

print(json.dumps(told))
