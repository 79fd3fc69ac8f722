"""Craft AI's SDK, told by JSON on stdin what to store or read; set up by its environment variables."""

import hashlib
import io
import json
import sys

from craft_ai_sdk import CraftAiSdk

sdk = CraftAiSdk()
told = json.load(sys.stdin)
seen = {}
for item in told["store"]:
    sdk.upload_data_store_object(item["file"], item["name"])
    seen[item["name"]] = None  # it knows no UUIDs
for item in told["read"]:
    buffer = io.BytesIO()
    sdk.download_data_store_object(item["name"], buffer)
    seen[item["name"]] = hashlib.sha512(buffer.getvalue()).hexdigest()
print(json.dumps(seen))
