"""`casd fsck --rebuild`: a new catalogue from the payloads alone, when the old one is lost.

Names, versions, tokens and metadata were in the old one only. Each payload that is what its name says becomes a blob
in the namespace `recovered`, so that it is found by its digest and is not collected. The old file stays beside.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from casd import folder
from casd.catalogue.sqlite.stopped import RECOVERED, StoppedCatalogue, is_sound
from casd.errors import CatalogueUnusable
from casd.fsck.payloads import Reading, bring_home, read
from casd.model import Digest, NewBlob
from casd.payloads import quarantine
from casd.payloads.folders import fsync_folder
from casd.payloads.proving import Progress, side_by_side
from casd.payloads.survey import lying, payload_path, strays
from casd.uuids import new_uuid

BATCH = 500  # blobs to a commit
CONTENT_TYPE = "application/octet-stream"


@dataclass(slots=True)
class Rebuilt:
    """What came of it."""

    payloads: int = 0
    bytes: int = 0
    damaged: list[Digest] = field(default_factory=list)  # in quarantine now
    lost_files: list[Path] = field(default_factory=list)  # where the old catalogue is
    stages: int = 0  # of unfinished uploads that nobody can go on with


def rebuild(data: Path, progress: Progress, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Rebuilt:
    """The store can be served: a catalogue is in place that knows every good payload. The caller holds the folder.

    Raises CatalogueUnusable, with nothing changed, where the old one is sound or not casd's; OSError.
    """
    path = data / folder.CATALOGUE
    if is_sound(path):
        raise CatalogueUnusable(f"{path} is sound: a rebuilt one would have no names, tokens or metadata")
    draft = data / f"{folder.CATALOGUE}.rebuilt"
    for suffix in ("", "-journal", "-wal", "-shm"):
        draft.with_name(draft.name + suffix).unlink(missing_ok=True)
    rebuilt = Rebuilt()
    catalogue = StoppedCatalogue.create(draft)
    try:
        _fill(data, catalogue, progress, rebuilt, now)
    finally:
        catalogue.close()
    _put_in_place(draft, path, now(), rebuilt)
    incoming = data / "incoming"
    rebuilt.stages = sum(1 for _ in incoming.iterdir()) if incoming.is_dir() else 0
    return rebuilt


def _fill(
    data: Path, catalogue: StoppedCatalogue, progress: Progress, rebuilt: Rebuilt, now: Callable[[], datetime]
) -> None:
    for stray in strays(data):
        if stray.digest is not None:
            bring_home(stray.path, payload_path(data, stray.digest), stray.digest)
    progress.expect(sum(file.size for number in range(256) for file in lying(data, number).values()))
    for reading, result in side_by_side(read, _readings(data), progress.moved):
        if isinstance(result, OSError) or result.digest != reading.digest:
            why = f"cannot be read: {result.strerror}" if isinstance(result, OSError) else "has other bytes"
            folder = data / "quarantine"
            folder.mkdir(mode=0o700, exist_ok=True)
            quarantine.move_in(folder, reading.path, reading.digest, f"rebuild: {why}", {})
            rebuilt.damaged.append(reading.digest)
            continue
        catalogue.recover(NewBlob(new_uuid(), RECOVERED, CONTENT_TYPE), result, now())
        rebuilt.payloads, rebuilt.bytes = rebuilt.payloads + 1, rebuilt.bytes + result.size
        if rebuilt.payloads % BATCH == 0:
            catalogue.flush()
    catalogue.flush()


def _readings(data: Path) -> Iterator[Reading]:
    for number in range(256):
        for digest, file in lying(data, number).items():
            yield Reading(digest, file.path, None, has_wrong_list=False)


def _put_in_place(draft: Path, path: Path, at: datetime, rebuilt: Rebuilt) -> None:
    """The old files get names of their own first: a -wal must never lie beside a catalogue that is not its."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        old = path.with_name(path.name + suffix)
        if os.path.lexists(old):
            lost = path.with_name(f"{path.name}.lost-{at:%Y%m%dT%H%M%SZ}{suffix}")
            old.rename(lost)
            rebuilt.lost_files.append(lost)
    fsync_folder(path.parent)
    draft.rename(path)
    fsync_folder(path.parent)
