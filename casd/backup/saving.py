"""`casd backup`: the catalogue of one moment and every payload that it knows, each proven on the way.

The order makes it consistent without a lock: pin, copy the catalogue, copy what it knows and what is not there yet,
and rename the catalogue into place last. What is there already is not touched, so an interrupted run costs nothing
and the backup before it stays whole.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from casd import folder
from casd.backup.places import Filling, is_empty, make_folder
from casd.catalogue.sqlite.copying import copy_catalogue
from casd.catalogue.sqlite.offline import birth_of, bytes_of, hit, payloads, reading
from casd.catalogue.values import Hit, KnownPayload
from casd.errors import FolderUnusable, PayloadDamaged, PayloadMissing, StorageFull
from casd.model import Digest
from casd.payloads.duplicating import duplicate
from casd.payloads.folders import FULL, fsync_folder, write_durably
from casd.payloads.local import list_shard
from casd.payloads.proving import Progress, Tell, pieces, side_by_side
from casd.payloads.survey import payload_path

FORMAT = 1
ROUNDS = 3  # each wants the pin to be lost in the one before


class Pin(Protocol):
    """What keeps the store's payloads from collection while they are copied."""

    def keep(self) -> None:
        """Show that the backup is alive; called often, from several threads."""

    @property
    def losses(self) -> int:
        """How often it has ended before its time, so that payloads may have been collected."""


class NoPin:
    """Nothing collects: no daemon runs."""

    losses = 0

    def keep(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Loss:
    """A payload that is not in the backup, and whom that hits."""

    digest: Digest
    size: int
    why: str
    hit: Hit


@dataclass(slots=True)
class Saved:
    """What a run has done."""

    finished_at: datetime | None = None
    payloads: int = 0  # in the backup, as its catalogue knows them
    bytes: int = 0
    copied: int = 0  # by this run; an earlier one had the others
    copied_bytes: int = 0
    cloned: int = 0  # of the copied, those that share blocks with the store's
    pruned: int = 0
    losses: list[Loss] = field(default_factory=list)


def save(data: Path, dest: Path, pin: Pin, progress: Progress, *, prune: bool = False) -> Saved:
    """`dest` has everything that `data` had at one moment, but for the losses told; it is on the disk.

    The caller has `pin` from before, and keeps a stopped store's folder held. With `prune` payloads are removed that
    only older catalogues knew. Raises FolderUnusable, FolderInUse, CatalogueUnusable, StorageFull, OSError; then the
    backup is as it was before, and a next run goes on.
    """
    make_folder(dest, other=data)
    if not is_empty(dest, but=(folder.LOCK,)) and not (dest / folder.BACKUP).exists():
        raise FolderUnusable(f"{dest} is neither empty nor a backup: name another folder, or empty it")
    with folder.held(dest, "backup"):
        return _Run(data, dest, pin, progress).save(prune=prune)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How the copying of one payload went; `why` it is not there, if it is not."""

    why: str | None = None
    is_clone: bool = False
    is_missing: bool = False


class _Run:
    """One run, the lock on the backup's folder held."""

    def __init__(self, data: Path, dest: Path, pin: Pin, progress: Progress) -> None:
        self._data = data
        self._dest = dest
        self._pin = pin
        self._progress = progress
        self._filling = Filling(dest)
        self._catalogue = dest / folder.CATALOGUE
        self._draft = dest / f"{folder.CATALOGUE}.new"
        self._birth = birth_of(data / folder.CATALOGUE)
        self._saved = Saved()

    def save(self, *, prune: bool) -> Saved:
        before = state_of(self._dest)
        if before.get("store") not in (None, self._birth):
            raise FolderUnusable(f"{self._dest} is the backup of another store: name another folder")
        was_finished = before.get("finished_at") is not None
        self._write_state()
        self._filling.prepare(all_anew=not was_finished)
        for _ in range(ROUNDS):
            losses_before = self._pin.losses
            copy_catalogue(self._data / folder.CATALOGUE, self._draft, self._pin.keep)
            absent = self._copy_payloads()
            self._pin.keep()
            # What is missing although it was pinned is lost. Otherwise it may have been collected, and then a newer
            # catalogue does not know it.
            if self._pin.losses == losses_before or not any(outcome.is_missing for _, outcome in absent):
                break
        self._saved.losses = self._losses(absent)
        self._filling.sync()
        self._draft.replace(self._catalogue)
        fsync_folder(self._dest)
        self._saved.finished_at = datetime.now(UTC)
        self._write_state()
        if prune:
            self._prune()
        return self._saved

    def _write_state(self) -> None:
        saved = self._saved
        state = {
            "format": FORMAT,
            "of": str(self._data.resolve()),
            "store": self._birth,
            "finished_at": saved.finished_at.isoformat() if saved.finished_at else None,
            "payloads": saved.payloads,
            "bytes": saved.bytes,
            "lost": [loss.digest.hex for loss in saved.losses],
        }
        write_durably(self._dest / folder.BACKUP, json.dumps(state, indent=1) + "\n")

    # -- payloads -----------------------------------------------------------------------------------------

    def _copy_payloads(self) -> list[tuple[KnownPayload, _Outcome]]:
        """Everything that the draft knows is there, but for what is returned."""
        saved, absent = self._saved, []
        saved.payloads = saved.bytes = 0
        with reading(self._draft) as db:
            self._progress.expect(bytes_of(db))
            for known, outcome in side_by_side(self._copy, self._wanted(payloads(db)), self._moved):
                if outcome.why is not None:
                    absent.append((known, outcome))
                    continue
                saved.payloads, saved.bytes = saved.payloads + 1, saved.bytes + known.size
                saved.copied, saved.copied_bytes = saved.copied + 1, saved.copied_bytes + known.size
                saved.cloned += outcome.is_clone
        return absent

    def _wanted(self, known: Iterator[KnownPayload]) -> Iterator[KnownPayload]:
        """Those that are not there yet."""
        for payload in known:
            if self._filling.size_of(payload.digest) == payload.size:
                self._saved.payloads, self._saved.bytes = self._saved.payloads + 1, self._saved.bytes + payload.size
                self._moved(payload.size)
            else:
                yield payload

    def _moved(self, count: int) -> None:
        self._progress.moved(count)
        self._pin.keep()

    def _copy(self, known: KnownPayload, tell: Tell) -> _Outcome:
        digest = known.digest
        source = payload_path(self._data, digest)
        self._filling.touch(digest)
        try:
            is_clone = duplicate(source, self._filling.draft(digest), self._filling.path(digest), digest, tell)
            return _Outcome(is_clone=is_clone)
        except PayloadMissing:
            return _Outcome("is in quarantine" if known.is_quarantined else "has no file", is_missing=True)
        except PayloadDamaged:
            return _Outcome("has other bytes than it was stored with")
        except OSError as error:
            if error.errno in FULL:
                raise StorageFull(f"{self._dest} is full: make room there, and a next run goes on") from error
            if (why := unreadable(source, tell)) is None:
                raise
            return _Outcome(f"cannot be read: {why}")

    def _losses(self, absent: list[tuple[KnownPayload, _Outcome]]) -> list[Loss]:
        with reading(self._draft) as db:
            return [
                Loss(known.digest, known.size, outcome.why or "", hit(db, known.digest)) for known, outcome in absent
            ]

    def _prune(self) -> None:
        """Only what the catalogue knows is left of the payloads."""
        with reading(self._catalogue) as db:
            for number in range(256):
                known = {payload.digest for payload in payloads(db, number)}
                for stored in list_shard(self._dest / "payloads" / f"{number:02x}"):
                    if stored.digest not in known:
                        payload_path(self._dest, stored.digest).unlink()
                        self._saved.pruned += 1


def state_of(backup: Path) -> dict[str, object]:
    """What its last run has told of itself; nothing if that does not read."""
    try:
        state = json.loads((backup / folder.BACKUP).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def unreadable(source: Path, tell: Tell) -> str | None:
    """Why the file cannot be read to its end; None if it can."""
    try:
        for _ in pieces(source, tell):
            pass
    except OSError as error:
        return error.strerror
    return None
