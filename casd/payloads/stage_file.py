"""The file of a stage, in blocking calls for threads: its bytes, and its entry in incoming/."""

import os
from pathlib import Path

from casd.errors import StorageFailed
from casd.payloads.folders import fsync_folder
from casd.payloads.space import Claim, Space

# One write. A longer one makes the kernel take large folios, which a virtual machine seems to fetch from its host anew:
# 1.8 CPU seconds per GiB with 1 MiB, 0.4 with 64 KiB (ext4, Linux 6.18).
WRITE_BYTES = 64 << 10


class StageFile:
    """Open, not made yet, or closed. One call at a time changes it."""

    def __init__(self, path: Path, space: Space, claim: Claim, descriptor: int | None) -> None:
        """`descriptor` is of a file that is there and whose entry is durable; None: it is made later."""
        self.path = path
        self.descriptor = descriptor
        self.has_entry = descriptor is not None  # there is a file in incoming/
        self.is_named = descriptor is not None  # that entry is durable
        self._space = space
        self._claim = claim

    @property
    def is_open(self) -> bool:
        return self.descriptor is not None

    @property
    def opened(self) -> int:
        """The descriptor, of a file that is open."""
        assert self.descriptor is not None
        return self.descriptor

    def create(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self.descriptor = os.open(self.path, flags, 0o600)
        self.has_entry = True

    def write(self, offset: int, data: bytes) -> None:
        self._space.check(len(data), self._claim)
        view = memoryview(data)
        while view:
            written = os.pwrite(self.opened, view[:WRITE_BYTES], offset)
            offset += written
            view = view[written:]

    def read(self, start: int, most: int) -> bytes:
        """Some bytes, at most so many. Raises StorageFailed at the file's end."""
        data = os.pread(self.opened, most, start)
        if not data:
            raise StorageFailed(f"stage {self.path.name} ends at byte {start}: it is shorter than what was written")
        return data

    def truncate(self, size: int) -> None:
        os.ftruncate(self.opened, size)

    def flush(self) -> None:
        """The bytes survive a power cut; whether the entry does is not known."""
        os.fdatasync(self.opened)

    def sync(self) -> None:
        """Bytes and entry survive a power cut."""
        self.flush()
        if not self.is_named:
            fsync_folder(self.path.parent)
            self.is_named = True

    def seal(self) -> None:
        """As `sync` but for the entry, which gets another name; then it is closed."""
        os.fsync(self.opened)
        self.close()

    def close(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def drop(self) -> None:
        self.close()
        self.path.unlink(missing_ok=True)
        self.has_entry = False
