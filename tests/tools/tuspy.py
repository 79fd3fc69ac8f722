"""tuspy, unmodified, in a virtual environment of its own; each run of it is a process."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Daemon

REQUIREMENT = "tuspy==1.1.0"
PATIENCE_S = 120

# Says where it goes on before it does, so that a test can compare that with what was told before.
SCRIPT = """
import json, sys
from tusclient.client import TusClient
from tusclient.storage.filestorage import FileStorage

task = json.load(sys.stdin)
client = TusClient(task["endpoint"], headers={"Authorization": "Bearer " + task["token"]})
more = {"chunk_size": task["chunk_size"]} if task["chunk_size"] else {}
if task["url"]:
    more["url"] = task["url"]
else:
    more |= {"store_url": True, "url_storage": FileStorage(task["storage"])}
uploader = client.uploader(task["file"], metadata=task["metadata"], **more)
print(uploader.offset, flush=True)
uploader.upload()
print(uploader.url, flush=True)
"""


@pytest.fixture(scope="session")
def tuspy(client_environment: Callable[..., Path]) -> Path:
    """The interpreter that has it."""
    return client_environment("tuspy", [REQUIREMENT]) / "python"


@dataclass
class Client:
    """Runs of tuspy with one file, one endpoint, and one memory of where its uploads are."""

    python: Path
    daemon: Daemon
    endpoint: str
    file: Path
    storage: Path
    name: str
    chunk_size: int = 0  # 0: tuspy's own, which is everything at once
    url: str = ""  # instead of what the storage remembers

    async def start(self) -> asyncio.subprocess.Process:
        task = {
            "endpoint": f"{self.endpoint}/v1/uploads",
            "token": self.daemon.token,
            "chunk_size": self.chunk_size,
            "url": self.url,
            "storage": str(self.storage),
            "file": str(self.file),
            "metadata": {"filename": self.file.name, "name": self.name},
        }
        process = await asyncio.create_subprocess_exec(
            *(str(self.python), "-c", SCRIPT),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(task).encode())
        process.stdin.close()
        return process

    @staticmethod
    async def end(process: asyncio.subprocess.Process) -> tuple[int, list[str], str]:
        """Exit code, what it said line by line, and what went wrong."""
        async with asyncio.timeout(PATIENCE_S):
            said, wrong = await process.communicate()
        return process.returncode or 0, said.decode().split(), wrong.decode("utf-8", "replace")[-2000:]
