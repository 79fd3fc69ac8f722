"""Payloads as files on a local disk.

    <root>/payloads/ab/cd/<128 hex>      ab, cd = the first four hex digits; the ab folders are made at the start
    <root>/incoming/<stage id>           staged bytes, same file system
    <root>/quarantine/<hex>.<UTC time>   damaged payloads, each with a .json beside it that says why

A payload gets its name by a rename of a synced file, always, then an fsync of its folder: that heals a damaged
copy, which comparing sizes would not, and no reader ever sees half a payload. Who may call what under which lock
stands in `payloads/base.py`; other processes are kept out by the daemon's lock on the data folder.
"""

import asyncio
import logging
import os
import stat
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from casd.errors import InvalidInput, PayloadMissing, PayloadUnreadable, StageMissing, StorageFailed
from casd.model import JSON, Digest, Quarantined, Stored
from casd.payloads import quarantine
from casd.payloads.base import Arrivals
from casd.payloads.folders import DurableFolders, disk_call, fsync_folder, storage_error
from casd.payloads.hashing import PayloadHasher
from casd.payloads.reading import UNREADABLE, Checkers, LocalPayload, identity_of
from casd.payloads.space import Claim, Space
from casd.payloads.staged import SMALL_BYTES, LocalStaged, Place
from casd.tasks import to_the_end

log = logging.getLogger(__name__)

DISK_THREADS = 32  # so many fsyncs can wait at once; a disk that merges them serves 32 clients in the time of a few
REMEMBERED = 1024  # hashers of suspended stages, 2 KiB each and 8 KiB a GiB: going on with one reads nothing again
KNOWN_WARM = 4096  # digests whose directory entry and inode were used lately: opening them inline takes 8 us
COPY_STEP_BYTES = 64 << 20

Args = TypeVarTuple("Args")
R = TypeVar("R")


class LocalPayloads:
    """See `payloads.base.PayloadStore`."""

    def __init__(self, root: Path, reserve_bytes: int | None) -> None:
        self._payloads = root / "payloads"
        self._incoming = root / "incoming"
        self._quarantine = root / "quarantine"
        self._folders = DurableFolders()
        self._space = Space(root, reserve_bytes)
        self._disk = ThreadPoolExecutor(DISK_THREADS, "casd-disk")
        self._hashing = ThreadPoolExecutor(os.cpu_count() or 1, "casd-hash")
        self._checkers = Checkers()
        self._hashers: OrderedDict[str, PayloadHasher] = OrderedDict()  # of stages that were suspended
        self._warm: OrderedDict[Digest, None] = OrderedDict()
        self.arrivals = Arrivals()

    @classmethod
    async def create(cls, root: Path, reserve_bytes: int | None = None) -> "LocalPayloads":
        """Return the store in `root`, which exists; its folders are there and survive a power cut.

        `reserve_bytes` stays free on the disk; None means the larger of 512 MiB and 1 %. Raises StorageFailed.
        """
        store = cls(root, reserve_bytes)
        try:
            await store._run(f"preparing {root}", store._prepare, root)
        except BaseException:
            await store.close()
            raise
        return store

    def _prepare(self, root: Path) -> None:
        try:
            fsync_folder(root.parent)
        except PermissionError:
            # systemd's StateDirectory: the parent is not ours to read, and whoever made the folder keeps it.
            log.info("data folder's parent is not readable path=%s", root.parent)
        self._folders.ensure_all(root, ["payloads", "incoming", "quarantine"])
        self._folders.ensure_all(self._payloads, [f"{shard:02x}" for shard in range(256)])

    # -- staging ------------------------------------------------------------------------------------------

    async def stage(
        self, id: str, size: int | None = None, *, is_kept: bool = False, owner: Hashable = None
    ) -> LocalStaged:
        return LocalStaged(id, self._place(), await self._claim(size or 0, owner), is_kept=is_kept)

    async def reopen(self, id: str, offset: int, size: int | None = None, *, owner: Hashable = None) -> LocalStaged:
        claim = await self._claim((size or offset) - offset, owner)
        try:
            file = await self._run(f"stage {id}", self._reopen, self._incoming / id, offset)
        except BaseException:
            claim.release()
            raise
        hasher = self._hashers.pop(id, None)
        if hasher is not None and hasher.size > offset:
            hasher.rewind(offset)
        return LocalStaged(id, self._place(), claim, is_kept=True, file=file, size=offset, hasher=hasher)

    async def _claim(self, size: int, owner: Hashable) -> Claim:
        """Raises StorageFull."""
        claim = Claim(self._space, owner)
        if size and (size > SMALL_BYTES or not self._space.surely_has(size)):
            free = await self._run("free space", self._space.free_bytes)
            self._space.check(size, claim, free)  # here on the loop, so that nobody claims between check and claim
        if size:
            claim.raise_to(size)
        return claim

    @staticmethod
    def _reopen(path: Path, offset: int) -> int:
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise StageMissing(f"stage {path.name} is not there any more") from None
        try:
            if os.fstat(file).st_size < offset:
                raise StageMissing(f"stage {path.name} is shorter than the {offset} bytes that were told")
            file = own_copy(file, path)
            os.ftruncate(file, offset)
            fsync_folder(path.parent)
        except BaseException:
            os.close(file)
            raise
        return file

    def _place(self) -> Place:
        return Place(self._incoming, self._commit, self._space, self._disk, self._hashing, self._remember)

    def _remember(self, id: str, hasher: PayloadHasher) -> None:
        hasher.forget_kept()
        self._hashers[id] = hasher
        if len(self._hashers) > REMEMBERED:
            self._hashers.popitem(last=False)

    def _commit(self, staged: Path, digest: Digest, is_kept: bool) -> Hashable:
        target = self._path(digest)
        self._folders.ensure(target.parent)
        source = staged.with_name(f"{staged.name}.commit") if is_kept else staged
        try:
            if is_kept:
                source.unlink(missing_ok=True)
                os.link(staged, source)
            found, is_known = os.stat(source), target.exists()
            os.replace(source, target)
        except FileNotFoundError:  # an operator tidied up empty folders: the next commit makes it anew
            self._folders.forget(target.parent)
            raise
        finally:
            if is_kept:
                source.unlink(missing_ok=True)  # a rename onto another name of the same file does nothing (POSIX)
        fsync_folder(target.parent)
        self.arrivals.add(found.st_size, is_known)
        return identity_of(found)

    async def has_stage(self, id: str, size: int) -> bool:
        return await self._run(f"stage {id}", self._has_stage, self._incoming / id, size)

    @staticmethod
    def _has_stage(path: Path, size: int) -> bool:
        try:
            return path.stat().st_size >= size
        except FileNotFoundError:
            return False

    async def read_stage(self, id: str, start: int, stop: int) -> bytes:
        return await self._run(f"stage {id}", self._read_stage, self._incoming / id, start, stop)

    @staticmethod
    def _read_stage(path: Path, start: int, stop: int) -> bytes:
        try:
            with path.open("rb", buffering=0) as file:
                data = os.pread(file.fileno(), stop - start, start)
        except FileNotFoundError:
            raise StageMissing(f"stage {path.name} is not there any more") from None
        if len(data) < stop - start:
            raise StageMissing(f"stage {path.name} ends at byte {start + len(data)}")
        return data

    async def drop_stage(self, id: str) -> None:
        self._hashers.pop(id, None)
        await self._run("removal of a stage", (self._incoming / id).unlink, True)

    async def clear_stages(self, keep: Collection[str] = ()) -> int:
        return await self._run("clearing incoming", self._clear_stages, frozenset(keep))

    def _clear_stages(self, keep: frozenset[str]) -> int:
        stale = [path for path in self._incoming.iterdir() if path.name not in keep]
        for path in stale:
            path.unlink()
        return len(stale)

    # -- payloads -----------------------------------------------------------------------------------------

    async def open(self, digest: Digest) -> LocalPayload:
        if digest in self._warm:
            self._warm.move_to_end(digest)
            return self._open(digest)
        payload = await self._run("open", self._open, digest)
        self._warm[digest] = None
        if len(self._warm) > KNOWN_WARM:
            self._warm.popitem(last=False)
        return payload

    def _open(self, digest: Digest) -> LocalPayload:
        try:
            file = os.open(self._text_path(digest), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            self._check_mounted(digest)
            raise PayloadMissing(f"payload {digest} has no file; store it again to heal it") from None
        except OSError as error:  # not by `disk_call`: a warm payload is opened on the loop, through here alone
            if error.errno in UNREADABLE:
                raise PayloadUnreadable(f"payload {digest} cannot be opened: {error.strerror}") from error
            raise storage_error(f"payload {digest} cannot be opened", error) from error
        return LocalPayload(digest, file, self._disk, self._checkers)

    def _check_mounted(self, digest: Digest) -> None:
        """Raise StorageFailed if a folder that the start made is gone: then more is wrong than one payload's file."""
        folder = self._payloads / digest.hex[:2]
        if not folder.is_dir():
            raise StorageFailed(f"{folder} is not there: is its file system mounted?")

    async def remove(self, digest: Digest) -> bool:
        self._warm.pop(digest, None)
        return await self._run_whole(f"removal of {digest.hex[:8]}", self._remove, digest)

    def _remove(self, digest: Digest) -> bool:
        try:
            self._path(digest).unlink()
        except FileNotFoundError:
            return False
        return True

    async def quarantine(self, digest: Digest, why: str, facts: Mapping[str, JSON] | None = None) -> bool:
        self._warm.pop(digest, None)
        source = self._path(digest)
        return await self._run_whole(
            f"quarantine of {digest.hex[:8]}", quarantine.move_in, self._quarantine, source, digest, why, facts or {}
        )

    async def quarantined(self, limit: int, after: str | None = None) -> list[Quarantined]:
        return await self._run("quarantine", quarantine.listed, self._quarantine, limit, after)

    async def in_quarantine(self, id: str) -> Quarantined | None:
        return await self._run("quarantine", quarantine.kept, self._quarantine, id)

    async def purge_quarantined(self, id: str) -> bool:
        return await self._run_whole("quarantine", quarantine.purge, self._quarantine, id)

    async def scan(self) -> AsyncIterator[Stored]:
        for shard in range(256):
            folder = self._payloads / f"{shard:02x}"
            for stored in await self._run(f"scan of {folder.name}", list_shard, folder):
                yield stored

    async def probe(self) -> None:
        await self._run("probe", write_probe, self._payloads.with_name("probe"))

    async def free_bytes(self) -> int:
        return max(0, await self._run("free space", self._space.free_bytes) - self._space.kept_from(None))

    @property
    def reserved_bytes(self) -> int:
        return self._space.claimed_bytes

    @property
    def reserve_bytes(self) -> int:
        return self._space.reserve_bytes

    async def close(self) -> None:
        await asyncio.to_thread(self._shut_pools)

    def _shut_pools(self) -> None:
        self._disk.shutdown()
        self._hashing.shutdown()
        self._checkers.pool.shutdown()

    def _path(self, digest: Digest) -> Path:
        return Path(self._text_path(digest))

    def _text_path(self, digest: Digest) -> str:
        name = digest.hex  # a Path for it takes 5 us to make, as long as opening the file
        return f"{self._payloads}/{name[:2]}/{name[2:4]}/{name}"

    async def _run(self, what: str, call: Callable[[*Args], R], *args: *Args) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._disk, lambda: disk_call(what, call, *args))

    async def _run_whole(self, what: str, call: Callable[[*Args], R], *args: *Args) -> R:
        """As `_run`, but a cancelled caller waits as well.

        It holds the digest's lock: a thread that unlinks after that is released removes what was stored meanwhile.
        """
        return await to_the_end(self._run(what, call, *args))


def write_probe(path: Path) -> None:
    """In place, so that a full disk takes it too, but for the first time."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(descriptor, b"casd wrote this to see that it can\n", 0)
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def own_copy(file: int, path: Path) -> int:
    """A descriptor whose file has no other name than `path`, so that a change to it changes no payload.

    A crash between a commit and its row leaves a stage that is a payload as well. Takes `file`, which is the same one
    where nothing had to be copied.
    """
    if os.fstat(file).st_nlink == 1:
        return file
    draft = path.with_name(f"{path.name}.copy")
    draft.unlink(missing_ok=True)
    copy = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        offset = 0
        while sent := os.sendfile(copy, file, offset, COPY_STEP_BYTES):
            offset += sent
        os.fsync(copy)
        os.replace(draft, path)
    except BaseException:
        os.close(copy)
        draft.unlink(missing_ok=True)
        raise
    os.close(file)
    return copy


def list_shard(folder: Path) -> list[Stored]:
    """The payloads below one first-level folder. What is not a payload in its place is not ours to judge."""
    found = []
    for shard in os.scandir(folder):
        if not shard.is_dir(follow_symlinks=False):
            continue
        for entry in os.scandir(shard.path):
            try:
                digest = Digest.parse(entry.name)
                facts = entry.stat(follow_symlinks=False)
            except (InvalidInput, FileNotFoundError):  # a stranger's file, or collected a moment ago
                continue
            if digest.hex != entry.name or not entry.name.startswith(folder.name + shard.name):
                continue
            if not stat.S_ISREG(facts.st_mode):  # a folder would make each collection fail at its unlink
                continue
            found.append(Stored(digest, facts.st_size, datetime.fromtimestamp(facts.st_mtime, UTC)))
    return found
