"""tus-js-client, unmodified, in a folder of its own that npm fills once; each run of it is a process of node."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.conftest import Daemon
from tests.tools.shop import PATIENCE_S, tool

PACKAGE = "tus-js-client@4.3.1"

# Says where it goes on before it does. A stream is what a program makes while it sends; its length comes last. The
# client cannot begin in the middle of one ("currently not implemented"), but in a buffer.
SCRIPT = """
const fs = require("node:fs")
const { PassThrough } = require("node:stream")
const tus = require("tus-js-client")

const task = JSON.parse(fs.readFileSync(0))
const inputs = {
  file: () => fs.createReadStream(task.file),
  stream: () => fs.createReadStream(task.file).pipe(new PassThrough()),
  buffer: () => fs.readFileSync(task.file),
}
const upload = new tus.Upload(inputs[task.input](), {
  endpoint: task.endpoint,
  headers: { Authorization: `Bearer ${task.token}` },
  metadata: task.metadata,
  urlStorage: new tus.FileUrlStorage(task.storage),
  fingerprint: () => Promise.resolve(task.file),
  removeFingerprintOnSuccess: true,
  ...task.options,
  onError(error) { console.error(String(error)); process.exit(1) },
  onSuccess(payload) {
    console.log(JSON.stringify({ url: upload.url, blob: payload.lastResponse.getHeader("Casd-Blob") }))
  },
})
upload.findPreviousUploads().then((previous) => {
  if (previous.length) upload.resumeFromPreviousUpload(previous[0])
  console.log(JSON.stringify(previous.map((one) => one.uploadUrl || one.parallelUploadUrls)))
  upload.start()
})
"""


@pytest.fixture(scope="session")
def tus_js(npm_environment: Callable[..., Path]) -> Path:
    """The folder whose node_modules has it."""
    return npm_environment(PACKAGE)


@dataclass
class Client:
    """Runs of tus-js-client with one file, one endpoint, and one memory of where its uploads are."""

    folder: Path
    daemon: Daemon
    endpoint: str
    file: Path
    storage: Path
    name: str
    options: dict[str, Any] = field(default_factory=dict)  # of tus.Upload, as its page shows them
    input: Literal["file", "stream", "buffer"] = "file"

    async def start(self) -> asyncio.subprocess.Process:
        task = {
            "endpoint": f"{self.endpoint}/v1/uploads",
            "token": self.daemon.token,
            "storage": str(self.storage),
            "file": str(self.file),
            "input": self.input,
            "metadata": {"filename": self.file.name, "name": self.name},
            "options": {"retryDelays": None} | self.options,
        }
        process = await asyncio.create_subprocess_exec(
            *(tool("node"), "-e", SCRIPT),
            cwd=self.folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(task).encode())
        process.stdin.close()
        return process

    @staticmethod
    async def end(process: asyncio.subprocess.Process) -> tuple[int, list[Any], str]:
        """Exit code, what it said line by line, and what went wrong."""
        async with asyncio.timeout(PATIENCE_S):
            said, wrong = await process.communicate()
        lines = [json.loads(line) for line in said.splitlines()]
        return process.returncode or 0, lines, wrong.decode("utf-8", "replace")[-2000:]

    async def run(self) -> tuple[int, list[Any], str]:
        return await self.end(await self.start())
