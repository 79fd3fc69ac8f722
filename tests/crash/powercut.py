"""A disk as a power cut may leave it, rebuilt from the record of a daemon's file system calls.

What was fsynced has survived; a name has if its folder was fsynced after it was made. Of everything else a disk may
have kept all, nothing, or any part, and of a write the first few sectors. One rule holds on every file system that casd
knows: a rename is one step, so a file is never gone from its old place before it stands in the new one.
"""

import random
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.tracing import Call

SECTOR_BYTES = 512
NEVER = 1 << 60
_HEX = re.compile(r"\\x([0-9a-f]{2})")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_DESCRIPTOR = re.compile(r"^(?:AT_FDCWD|\d+)<((?:\\x[0-9a-f]{2})*)>(\(deleted\))?")
_PRIVATE = ("lock", "address")  # of one process; and SQLite makes the -shm anew


def read(text: str) -> bytes:
    return bytes.fromhex("".join(_HEX.findall(text)))


def texts(call: Call) -> list[bytes]:
    """The strings among the arguments."""
    return [read(found) for found in _TEXT.findall(call.text)]


def descriptor_path(call: Call) -> str | None:
    """Of the descriptor that is the first argument; None where it has no name any more."""
    found = _DESCRIPTOR.match(call.text)
    return read(found[1]).decode() if found and not found[2] else None


@dataclass
class Change:
    """Of a file's bytes: some are written, or (`data` is None) it is cut or grown to `offset`."""

    call: Call
    offset: int
    data: bytes | None
    safe_at: int = NEVER  # the line of the record at which it had been fsynced


@dataclass(eq=False)
class File:
    before: bytes = b""
    changes: list[Change] = field(default_factory=list)
    size: int = 0


@dataclass(eq=False)
class Entry:
    """Of a folder: from `call` on, `name` is `file`, a folder (""), or (None) nothing."""

    call: Call
    name: str
    file: "File | str | None"
    after: "Entry | None" = None  # the other half of a rename: this one is not seen without it
    safe_at: int = NEVER


class Recorded:
    """A data folder as it was, and each change to it since."""

    def __init__(self, before: Path, root: Path) -> None:
        """`before` is a copy of the folder from when the record began; the record tells of it as `root`."""
        self._root = root
        self._start: dict[str, dict[str, File | str]] = defaultdict(dict)  # by folder
        self._now: dict[str, dict[str, File | str]] = defaultdict(dict)
        self._entries: dict[str, list[Entry]] = defaultdict(list)
        for path in before.rglob("*"):
            place = str(root / path.relative_to(before).parent)
            data = b"" if path.is_dir() else path.read_bytes()
            found = "" if path.is_dir() else File(data, size=len(data))
            self._start[place][path.name] = self._now[place][path.name] = found

    def play(self, calls: list[Call]) -> None:
        """What the record shows; a call that had begun when it ended has happened since, and tells no result."""
        for call in calls:
            has_result = call.result != "?" or call.name == "ftruncate"
            if call.is_good and has_result and (act := ACTS.get(call.name)):
                act(self, call)

    # -- what the calls do --------------------------------------------------------------------------------

    def _within(self, path: str) -> bool:
        name = Path(path).name
        return path.startswith(f"{self._root}/") and name not in _PRIVATE and not name.endswith("-shm")

    def _file(self, call: Call) -> File | None:
        path = descriptor_path(call)
        if path is None or not self._within(path):
            return None
        folder, _, name = path.rpartition("/")
        found = self._now[folder][name]
        assert isinstance(found, File), call
        return found

    def _enter(self, call: Call, path: str, file: File | str | None, after: Entry | None = None) -> Entry | None:
        if not self._within(path):
            return None
        folder, _, name = path.rpartition("/")
        if file is None:
            del self._now[folder][name]
        else:
            self._now[folder][name] = file
        entry = Entry(call, name, file, after)
        self._entries[folder].append(entry)
        return entry

    def opened(self, call: Call) -> None:
        path = texts(call)[-1].decode()
        folder, _, name = path.rpartition("/")
        if "O_CREAT" in call.text and self._within(path) and name not in self._now[folder]:
            self._enter(call, path, File())
        elif "O_TRUNC" in call.text and self._within(path):
            raise AssertionError(f"a file that is cut as it is opened: {call}")

    def written(self, call: Call) -> None:
        if (file := self._file(call)) is None:
            return
        count = int(call.result)
        # write(2) has no offset: what casd writes so, it writes from the beginning to the end
        offset = int(call.text.rpartition(", ")[2]) if call.name == "pwrite64" else file.size
        (data,) = texts(call)
        assert len(data) >= count, "the record has no whole bytes"
        file.changes.append(Change(call, offset, data[:count]))
        file.size = max(file.size, offset + count)

    def cut(self, call: Call) -> None:
        if (file := self._file(call)) is not None:
            file.size = int(call.text.rpartition(", ")[2])
            file.changes.append(Change(call, file.size, None))

    def synced(self, call: Call) -> None:
        path = descriptor_path(call)
        if path is None:
            return
        folder, _, name = path.rpartition("/")
        file = self._now[folder].get(name)
        pending: list[Change] | list[Entry] = file.changes if isinstance(file, File) else self._entries[path]
        for item in pending:
            if item.call.ended < call.began:
                item.safe_at = min(item.safe_at, call.ended)

    def renamed(self, call: Call) -> None:
        source, target = (text.decode() for text in texts(call)[-2:])
        folder, _, name = source.rpartition("/")
        if self._within(source):
            entry = self._enter(call, target, self._now[folder][name])
            self._enter(call, source, None, entry)

    def linked(self, call: Call) -> None:
        source, target = (text.decode() for text in texts(call)[-2:])
        folder, _, name = source.rpartition("/")
        self._enter(call, target, self._now[folder][name])

    def removed(self, call: Call) -> None:
        self._enter(call, texts(call)[-1].decode(), None)

    def made(self, call: Call) -> None:
        self._enter(call, texts(call)[-1].decode(), "")

    # -- what a power cut leaves --------------------------------------------------------------------------

    def leave(self, into: Path, line: int, keep: "Keep") -> None:
        """The folder as it may be after a power cut when `line` of the record was written."""
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir(mode=0o700, parents=True)
        written: dict[File, Path] = {}
        for path, found in self._left(str(self._root), line, keep):
            target = into / Path(path).relative_to(self._root)
            if isinstance(found, str):
                target.mkdir(mode=0o700)
            elif found in written:
                target.hardlink_to(written[found])
            else:
                target.touch(0o600)
                target.write_bytes(bytes_left(found, line, keep))
                written[found] = target

    def _left(self, folder: str, line: int, keep: "Keep") -> Iterator[tuple[str, File | str]]:
        seen = dict(self._start.get(folder, {}))
        lost: set[str] = set()  # names whose later changes are lost as well: a folder's journal has an order
        for entry in self._entries.get(folder, []):
            if entry.call.ended >= line or entry.name in lost or not self._is_left(entry, line, keep):
                lost.add(entry.name) if entry.call.ended < line else None
            elif entry.file is None:
                seen.pop(entry.name, None)
            else:
                seen[entry.name] = entry.file
        for name, found in sorted(seen.items(), key=lambda item: item[0]):
            if name in _PRIVATE or name.endswith("-shm"):
                continue
            yield f"{folder}/{name}", found
            if isinstance(found, str):
                yield from self._left(f"{folder}/{name}", line, keep)

    def _is_left(self, entry: Entry, line: int, keep: "Keep") -> bool:
        if entry.after is not None and not self._is_left(entry.after, line, keep):
            return False
        return entry.safe_at < line or keep.name(entry)


def bytes_left(file: File, line: int, keep: "Keep") -> bytes:
    data = bytearray(file.before)
    for change in file.changes:
        if change.call.ended >= line:
            continue
        part = change.data if change.safe_at < line else keep.part(change)
        if part is None and change.data is None:
            del data[change.offset :]
            data.extend(bytes(change.offset - len(data)))
        elif part:
            data.extend(bytes(max(0, change.offset - len(data))))
            data[change.offset : change.offset + len(part)] = part
    return bytes(data)


class Keep:
    """What of the unsynced is kept: of names and of bytes, each by its chance; a write may be torn."""

    def __init__(self, names: float, data: float, seed: int = 0) -> None:
        self._names = names
        self._data = data
        self._choice = random.Random(seed)
        self._names_kept: dict[Entry, bool] = {}

    def name(self, entry: Entry) -> bool:
        if entry not in self._names_kept:
            self._names_kept[entry] = self._choice.random() < self._names
        return self._names_kept[entry]

    def part(self, change: Change) -> bytes | None:
        """Of a write its beginning, or nothing; a change of length happens, or (b"") does not."""
        is_kept = self._choice.random() < self._data
        if change.data is None:
            return None if is_kept else b""
        if not is_kept:
            return b""
        is_torn = 0 < self._data < 1 and self._choice.random() < 0.5
        return change.data[: self._choice.randrange(0, len(change.data) + 1, SECTOR_BYTES)] if is_torn else change.data


ACTS: dict[str, Callable[[Recorded, Call], None]] = {
    "openat": Recorded.opened,
    "pwrite64": Recorded.written,
    "write": Recorded.written,
    "ftruncate": Recorded.cut,
    "fsync": Recorded.synced,
    "fdatasync": Recorded.synced,
    **dict.fromkeys(("rename", "renameat", "renameat2"), Recorded.renamed),
    **dict.fromkeys(("link", "linkat"), Recorded.linked),
    **dict.fromkeys(("unlink", "unlinkat", "rmdir"), Recorded.removed),
    **dict.fromkeys(("mkdir", "mkdirat"), Recorded.made),
}
