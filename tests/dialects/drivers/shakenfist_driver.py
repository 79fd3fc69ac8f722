"""Shaken Fist's client, told by JSON on stdin what to store or read; set up by its environment variables."""

import hashlib
import io
import json
import sys
from pathlib import Path

from shakenfist_client import apiclient

client = apiclient.Client()
told = json.load(sys.stdin)
seen = {}
for item in told["store"]:
    upload = client.create_upload()
    client.send_upload_file(upload["uuid"], io.BytesIO(Path(item["file"]).read_bytes()))
    seen[item["name"]] = client.upload_artifact(item["name"], upload["uuid"])["blob_uuid"]
for item in told["read"]:
    data = b"".join(client.get_blob_data(item["uuid"]))
    seen[item["name"]] = hashlib.sha512(data).hexdigest()
print(json.dumps(seen))
