"""LocalPayloads on a folder, and raw access to that folder."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from casd.model import Digest
from casd.payloads.base import PayloadStore, Staged
from casd.payloads.local import LocalPayloads


class LocalBackend:
    """See `contracts.payload_store.Backend`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    async def open(self) -> PayloadStore:
        return await LocalPayloads.create(self.root, reserve_bytes=0)

    def abandon(self, staged: Staged) -> None:
        staged._file.close()  # type: ignore[attr-defined] # the kernel does it for a process that dies

    def stages(self) -> set[str]:
        return set(os.listdir(self.root / "incoming"))

    def stored(self) -> dict[Digest, bytes]:
        files = [path for path in (self.root / "payloads").rglob("*") if path.is_file()]
        return {Digest.parse(path.name): path.read_bytes() for path in files}

    def damage(self, digest: Digest, data: bytes | None) -> None:
        if data is None:
            path_of(self.root, digest.hex).unlink()
        else:
            path_of(self.root, digest.hex).write_bytes(data)

    def add_strangers(self) -> None:
        """Whatever an operator or a tool may leave: none of it is a payload in its place."""
        payloads = self.root / "payloads"
        name = "ab" * 64
        shard = payloads / "ab" / "ab"
        shard.mkdir(exist_ok=True)
        elsewhere = payloads / "cd" / "cd"
        elsewhere.mkdir(exist_ok=True)
        (payloads / "README").write_text("of an operator")
        (payloads / "lost+found").mkdir()
        (payloads / "ab" / name).write_text("one level too high")
        (shard / "notes.txt").write_text("no digest")
        digits = payloads / "12" / "34"
        digits.mkdir(exist_ok=True)
        (digits / ("1234" + "AB" * 62)).write_text("not how casd writes a digest")
        (shard / name[:-1]).write_text("short")
        (elsewhere / name).write_text("in another digest's folder")
        (shard / ("abab" + "0" * 124)).mkdir()
        (shard / ("abab" + "1" * 124)).symlink_to("notes.txt")

    def quarantined(self) -> list[tuple[Digest, bytes, str]]:
        found = []
        for path in (self.root / "quarantine").iterdir():
            if path.suffix != ".json":
                note = json.loads(path.with_name(path.name + ".json").read_text("utf-8"))
                found.append((Digest.parse(path.name.partition(".")[0]), path.read_bytes(), note["why"]))
        return found


@contextmanager
def emptied(root: Path) -> Iterator[Path]:
    """An empty data folder, emptied again afterwards.

    Tests share the 256 first-level folders: making and removing them took three quarters of the suite's time.
    """
    root.mkdir(exist_ok=True)
    yield root
    (root / "probe").unlink(missing_ok=True)
    for top in root.iterdir():
        for entry in top.iterdir():
            is_shard = top.name == "payloads" and len(entry.name) == 2
            for path in entry.iterdir() if is_shard else [entry]:
                remove(path)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def path_of(root: Path, hex: str) -> Path:
    """Where DESIGN.md section 4 puts a payload."""
    return root / "payloads" / hex[0:2] / hex[2:4] / hex
