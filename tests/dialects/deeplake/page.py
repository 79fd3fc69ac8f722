"""What Deep Lake's page shows, with `requests`: run by the client's own Python, told where and as whom by argv."""

import io
import json
import sys

import requests
from PIL import Image

API_URL, TOKEN, WORKSPACE = sys.argv[1:4]
auth_headers = {"Authorization": f"Bearer {TOKEN}"}
files_url = f"{API_URL}/workspaces/{WORKSPACE}/files"

# a file
with open("photo.png", "rb") as f:
    res = requests.post(files_url, headers=auth_headers, files={"file": ("photo.png", f, "image/png")})
from_disk = res.json()["id"]

# from memory
buf = io.BytesIO()
Image.new("RGB", (256, 256), color=(40, 80, 200)).save(buf, format="PNG")
res = requests.post(
    files_url, headers=auth_headers, files={"file": ("generated.png", buf.getvalue(), "image/png")}, timeout=120
)
from_memory = res.json()["id"]

# back again
res = requests.get(f"{files_url}/{from_disk}/content", headers=auth_headers)
with open("downloaded.png", "wb") as f:
    f.write(res.content)
drawn = requests.get(f"{files_url}/{from_memory}/content", headers=auth_headers)

info = requests.get(f"{files_url}/{from_disk}", headers=auth_headers)
listed = requests.get(f"{files_url}?limit=20&offset=0", headers=auth_headers)
deleted = requests.delete(f"{files_url}/{from_memory}", headers=auth_headers)
gone = requests.get(f"{files_url}/{from_memory}", headers=auth_headers)

print(
    json.dumps(
        {
            "ids": [from_disk, from_memory],
            "type": res.headers["Content-Type"],
            "same": drawn.content == buf.getvalue(),
            "info": info.json(),
            "listed": [item["id"] for item in listed.json()["data"]],
            "deleted": deleted.status_code,
            "gone": [gone.status_code, gone.json()],
        }
    )
)
