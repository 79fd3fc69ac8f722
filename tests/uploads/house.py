"""Uploads over a real folder and a real catalogue, whose process can die and come back."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from casd.auth import Principal
from casd.catalogue.sqlite import SqliteCatalogue
from casd.locks import DigestLocks
from casd.model import Digest, Role, Upload
from casd.payloads.local import LocalPayloads
from casd.store import BlobStore
from casd.uploads import Appending, NewUpload, Uploads
from tests.contracts.oracle import digest_of
from tests.fakes import Clock, counting_uuids

LIFETIME = timedelta(days=7)
LIMIT_PER_TOKEN = 20


def principal(number: int, namespace: str, role: Role = Role.WRITER) -> Principal:
    return Principal(UUID(int=number << 100), f"token {number}", role, (namespace,))


ALICE, HER_OTHER, BOB = principal(1, "alice"), principal(2, "alice"), principal(3, "bob")
ALICE_READS = principal(4, "alice", Role.READER)


@dataclass
class House:
    """One process after the other over the same folder."""

    root: Path
    payloads: LocalPayloads
    catalogue: SqliteCatalogue
    clock: Clock = field(default_factory=Clock)
    locks: DigestLocks = field(default_factory=DigestLocks)

    def __post_init__(self) -> None:
        new_uuid = counting_uuids()
        grace = timedelta(hours=1)
        self.store = BlobStore(
            self.payloads,
            self.catalogue,
            self.locks,
            now=self.clock,
            new_uuid=new_uuid,
            grace=grace,
            share_by_uuid=True,
        )
        self.uploads = self._new_uploads()

    def _new_uploads(self) -> Uploads:
        return Uploads(self.store, lifetime=LIFETIME, limit_per_token=LIMIT_PER_TOKEN)

    async def restart(self) -> None:
        """The process dies between two requests, and the next one starts."""
        for session in self.uploads._sessions._sessions.values():
            staged: Any = session.staged
            if staged is not None:
                await staged._staged._behind.stop()  # no thread may read from a descriptor that is somebody else's next
        self.die()
        await self.uploads.start()

    def die(self) -> None:
        """Descriptors close; nothing else is done. No request may be under way."""
        sessions = self.uploads._sessions
        for session in list(sessions._sessions.values()):
            sessions.drop(session)
            staged: Any = session.staged
            if staged is not None:
                staged.claim.release()
                staged._staged._claim.release()
                staged._staged._file.close()
        self.uploads = self._new_uploads()

    # -- requests -----------------------------------------------------------------------------------------

    async def create(self, size: int | None = None, who: Principal = ALICE, **facts: Any) -> Upload:
        return await self.uploads.create(who, NewUpload("alice", size, **facts))

    async def append(
        self,
        upload: Upload,
        data: bytes,
        at: int | None = None,
        who: Principal = ALICE,
        driver: str | None = None,
    ) -> Upload:
        """Append where the upload ends, unless told where."""
        offset = (await self.uploads.upload(who, upload.uuid, driver)).offset if at is None else at
        async with self.uploads.appending(who, upload.uuid, offset, driver) as appending:
            await take(appending, data)
        return appending.upload

    async def told(self, upload: Upload, who: Principal = ALICE) -> int:
        return (await self.uploads.upload(who, upload.uuid)).offset

    async def complete(self, upload: Upload, who: Principal = ALICE) -> Upload:
        return await self.uploads.complete(who, upload.uuid)

    # -- what there is ------------------------------------------------------------------------------------

    async def recorded(self, upload: Upload) -> Upload | None:
        """What the next process would find."""
        return await self.catalogue.upload(upload.uuid)

    async def became(self, upload: Upload) -> bytes:
        """The bytes of the blob that the upload has become."""
        assert upload.blob is not None
        blob = await self.store.readable_blob(ALICE, upload.blob)
        payload = await self.store.open_payload(blob)
        try:
            data = await payload.read(0, payload.size)
        finally:
            payload.close()
        assert (blob.digest, upload.digest) == (digest_of(data), digest_of(data))
        return data

    def staged(self) -> list[str]:
        return sorted(os.listdir(self.root / "incoming"))

    def stage_of(self, upload: Upload) -> Path:
        return self.root / "incoming" / str(upload.uuid)

    def descriptors(self) -> int:
        """How many stages are open."""
        count = 0
        for entry in os.scandir("/proc/self/fd"):
            with suppress(FileNotFoundError):  # the one that lists them
                count += "/incoming/" in os.readlink(entry.path)
        return count

    def files(self) -> set[Digest]:
        return {Digest.parse(path.name) for path in (self.root / "payloads").rglob("*") if path.is_file()}


async def take(appending: Appending, data: bytes) -> None:
    """As `web.receive` does it: a piece that has arrived is taken to its end, also when the request is cut off."""
    writing = asyncio.create_task(appending.append(data))
    try:
        await asyncio.shield(writing)
    finally:
        await asyncio.wait([writing])
        writing.exception()


class Sender:
    """A request that is under way: it takes pieces until it is told to end, and then says how it ended."""

    def __init__(
        self, house: House, upload: Upload, offset: int, who: Principal = ALICE, driver: str | None = None
    ) -> None:
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._house = house
        self._driver = driver
        self._began = asyncio.Event()
        self.task = asyncio.create_task(self._run(upload, offset, who))

    async def _run(self, upload: Upload, offset: int, who: Principal) -> int:
        async with self._house.uploads.appending(who, upload.uuid, offset, self._driver) as appending:
            self._began.set()
            while (piece := await self._pieces.get()) is not None:
                await take(appending, piece)
                self._pieces.task_done()
        return appending.upload.offset

    async def began(self) -> "Sender":
        """Return once the request has the upload in hand, or has ended."""
        waiting = asyncio.create_task(self._began.wait())
        await asyncio.wait([waiting, self.task], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        return self

    async def send(self, data: bytes) -> None:
        """Return once the bytes are taken; raises what the request raises."""
        self._pieces.put_nowait(data)
        taken = asyncio.create_task(self._pieces.join())
        await asyncio.wait([taken, self.task], return_when=asyncio.FIRST_COMPLETED)
        taken.cancel()
        if self.task.done():
            await self.task

    async def end(self) -> int:
        """Send nothing more; the offset that is told, or what was raised."""
        self._pieces.put_nowait(None)
        return await self.task


async def eventually(is_so: Callable[[], bool]) -> None:
    """Return when it is so: for what happens behind a request, of which nobody is told."""
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0)
