"""What SDKs do beyond their page; prints what it saw as JSON. `habits.py TASK ARGUMENT...`, set up as `page.py`."""

import hashlib
import io
import json
import os
import sys
from typing import Any

from craft_ai_sdk import CraftAiSdk
from craft_ai_sdk.exceptions import SdkException


def outcome(call: Any, *arguments: Any) -> list[Any]:
    try:
        return ["succeeded", call(*arguments)]
    except SdkException as error:
        return [error.status_code, error.name, error.message]
    except Exception as error:
        return [type(error).__name__]


def leave(sdk: CraftAiSdk, name: str) -> Any:
    sdk.upload_data_store_object(io.BytesIO(f"of {name}".encode()), name)


def read(sdk: CraftAiSdk, *names: str) -> Any:
    return {name: fetched(sdk, name).decode() for name in names}


def fetched(sdk: CraftAiSdk, name: str) -> bytes:
    buffer = io.BytesIO()
    sdk.download_data_store_object(name, buffer)
    return buffer.getvalue()


def large(sdk: CraftAiSdk, size: str) -> Any:
    """With the SDK's own part size and threshold."""
    data = os.urandom(int(size))
    sdk.upload_data_store_object(io.BytesIO(data), "large")
    return [hashlib.sha512(data).hexdigest(), hashlib.sha512(fetched(sdk, "large")).hexdigest()]


def everything(sdk: CraftAiSdk, name: str) -> Any:
    """Each call once, on something that another has stored, and what comes of it."""
    return {
        "me": outcome(sdk.who_am_i),
        "list": outcome(sdk.list_data_store_objects),
        "information": outcome(sdk.get_data_store_object_information, name),
        "download": outcome(lambda: len(fetched(sdk, name))),
        "upload": outcome(sdk.upload_data_store_object, io.BytesIO(b"mine"), name),
        "delete": outcome(sdk.delete_data_store_object, name),
    }


def renews(sdk: CraftAiSdk) -> Any:
    """An access token that is no good any more: that call fails, the next one has a new one."""
    first = outcome(sdk.list_data_store_objects)
    sdk._access_token = sdk._access_token[:-4] + "AAAA"
    return [first, outcome(sdk.list_data_store_objects)[0], outcome(sdk.list_data_store_objects)]


def listed(sdk: CraftAiSdk) -> Any:
    return [item["path"] for item in sdk.list_data_store_objects()]


def attempt(sdk: CraftAiSdk, task: str, *arguments: str) -> Any:
    return outcome(TASKS[task], sdk, *arguments)


TASKS: dict[str, Any] = {task.__name__: task for task in (leave, read, large, everything, renews, listed, attempt)}

print(json.dumps(TASKS[sys.argv[1]](CraftAiSdk(), *sys.argv[2:])))
