"""`casd restore`: a data folder from a backup, every payload of it read back and proven.

A marker keeps daemons from the folder until all is proven; a run that was interrupted goes on where it was.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from casd import folder
from casd.backup.places import Filling, is_empty, make_folder
from casd.backup.saving import Loss
from casd.catalogue.sqlite.copying import copy_catalogue, mark_lost
from casd.catalogue.sqlite.offline import bytes_of, hit, payloads, reading
from casd.catalogue.values import KnownPayload
from casd.errors import FolderUnusable, PayloadDamaged, PayloadMissing, StorageFull
from casd.payloads.duplicating import duplicate, prove
from casd.payloads.folders import FULL, fsync_folder, write_durably
from casd.payloads.proving import Progress, Tell, side_by_side
from casd.payloads.survey import payload_path


@dataclass(slots=True)
class Restored:
    """What came of it. Not complete: there were losses, and no leave to go without what is lost."""

    payloads: int = 0
    bytes: int = 0
    cloned: int = 0
    losses: list[Loss] = field(default_factory=list)
    is_complete: bool = False


def restore(backup: Path, data: Path, progress: Progress, *, partial: bool = False) -> Restored:
    """`data` can be served: it has what the backup has, proven by SHA-512 and on the disk.

    Payloads that the backup lacks or has damaged are told; with `partial` their blobs have state error, without it no
    daemon starts on `data`. Raises FolderUnusable, FolderInUse, CatalogueUnusable, StorageFull, OSError.
    """
    if not (backup / folder.CATALOGUE).exists():
        raise FolderUnusable(f"{backup} has no catalogue: no backup into it was ever finished")
    make_folder(data, other=backup)
    is_ours = (data / folder.RESTORING).exists()
    if not is_empty(data, but=(folder.LOCK,)) and not is_ours:
        raise FolderUnusable(f"{data} is not empty: name a new folder")
    with folder.held(backup, "restore"), folder.held(data, "restore"):
        return _Run(backup, data, progress).restore(partial=partial)


class _Run:
    def __init__(self, backup: Path, data: Path, progress: Progress) -> None:
        self._backup = backup
        self._data = data
        self._progress = progress
        self._filling = Filling(data)
        self._draft = data / f"{folder.CATALOGUE}.new"
        self._restored = Restored()

    def restore(self, *, partial: bool) -> Restored:
        marker = self._data / folder.RESTORING
        write_durably(marker, f"from {self._backup.resolve()}\n")
        self._filling.prepare(all_anew=True)
        copy_catalogue(self._backup / folder.CATALOGUE, self._draft, lambda: None)
        restored = self._restored
        restored.losses = self._copy_payloads()
        if restored.losses and not partial:
            return restored
        mark_lost(self._draft, [loss.digest for loss in restored.losses], datetime.now(UTC))
        self._filling.sync()
        self._draft.replace(self._data / folder.CATALOGUE)
        fsync_folder(self._data)
        marker.unlink()
        fsync_folder(self._data)
        restored.is_complete = True
        return restored

    def _copy_payloads(self) -> list[Loss]:
        restored, losses = self._restored, []
        with reading(self._draft) as db:
            self._progress.expect(bytes_of(db))
            for known, outcome in side_by_side(self._copy, self._all(payloads(db)), self._progress.moved):
                if isinstance(outcome, str):
                    losses.append(Loss(known.digest, known.size, outcome, hit(db, known.digest)))
                    continue
                restored.payloads, restored.bytes = restored.payloads + 1, restored.bytes + known.size
                restored.cloned += outcome
        return losses

    def _all(self, known: Iterator[KnownPayload]) -> Iterator[KnownPayload]:
        for payload in known:
            self._filling.touch(payload.digest)
            yield payload

    def _copy(self, known: KnownPayload, tell: Tell) -> bool | str:
        """Whether it shares blocks with the backup's, or why there is none."""
        digest = known.digest
        source, target = payload_path(self._backup, digest), self._filling.path(digest)
        try:
            if self._filling.size_of(digest) is not None:  # of a run that was interrupted
                try:
                    prove(target, digest, tell)
                    return False
                except PayloadDamaged:
                    target.unlink()
            return duplicate(source, self._filling.draft(digest), target, digest, tell)
        except PayloadMissing:
            return "was in quarantine" if known.is_quarantined else "is not in the backup"
        except PayloadDamaged:
            return "is damaged in the backup"
        except OSError as error:
            if error.errno in FULL:
                raise StorageFull(f"{self._data} is full: make room there, and run it again") from error
            raise
