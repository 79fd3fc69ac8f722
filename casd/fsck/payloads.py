"""Payloads: each row against its file, each file against its row, and deep, each byte against its SHA-512."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from casd.catalogue.sqlite.stopped import StoppedCatalogue
from casd.catalogue.values import KnownPayload
from casd.fsck.findings import Finding, Outcome, Task
from casd.model import Digest, Receipt
from casd.payloads import quarantine
from casd.payloads.folders import fsync_folder
from casd.payloads.proving import Tell, receipt_of, side_by_side
from casd.payloads.survey import OF_OTHERS, Lying, Stray, lying, payload_path, strays

STORE_AGAIN = "store its bytes again, or restore them from a backup"
CONTAIN = "moves it to quarantine and gives its blobs state error; " + STORE_AGAIN


@dataclass(frozen=True, slots=True)
class Reading:
    """A payload's file that is to be read whole; without a row if the catalogue does not know it."""

    digest: Digest
    path: Path
    known: KnownPayload | None
    has_wrong_list: bool  # by its length, or how it is cut into rows


class Payloads:
    """One pass over all payloads, a 256th at a time."""

    def __init__(self, task: Task, catalogue: StoppedCatalogue) -> None:
        self._task = task
        self._catalogue = catalogue
        self.read_count = 0

    def check(self) -> None:
        for stray in strays(self._task.data):
            self._check_stray(stray)
        self._task.progress.expect(self._catalogue.counts()[1] if self._task.is_deep else 0)
        for reading, result in side_by_side(read, self._readings(), self._task.progress.moved):
            self.read_count += 1
            self._judge(reading, result)

    # -- what lies where it should not --------------------------------------------------------------------

    def _check_stray(self, stray: Stray) -> None:
        if stray.digest is None:
            self._task.tell(
                "foreign-file",
                f"{stray.path}: {stray.why}",
                "casd did not put it there, and never touches it",
                "leaves it to you",
                is_note=True,
            )
            return
        digest = stray.digest
        home = payload_path(self._task.data, digest)
        self._task.tell(
            "misplaced-payload",
            f"{stray.path} has the name of a payload, and lies elsewhere than in {home.parent}",
            "it is not found there",
            "moves it where it belongs, unless another is there or its bytes are not those of its name",
            lambda: bring_home(stray.path, home, digest),
            is_note=home.exists(),
        )

    # -- rows and files -----------------------------------------------------------------------------------

    def _readings(self) -> Iterator[Reading]:
        """Tells of what shows without reading, and gives what has to be read."""
        for first_byte in range(256):
            files = lying(self._task.data, first_byte)
            wrong_lists = self._catalogue.wrong_lists(first_byte)
            for known in self._catalogue.payloads(first_byte):
                file = files.pop(known.digest, None)
                if file is None:
                    self._tell_missing(known)
                    continue
                self._check_mode(file)
                has_wrong_list = known.digest in wrong_lists
                if self._must_read(known, file, has_wrong_list):
                    yield Reading(known.digest, file.path, known, has_wrong_list)
            for digest, file in files.items():
                if self._task.is_deep or self._task.for_repair:
                    yield Reading(digest, file.path, None, False)
                else:
                    self._tell_unknown(file.path, Outcome.NOTED)

    def _must_read(self, known: KnownPayload, file: Lying, has_wrong_list: bool) -> bool:
        """A file that seems wrong is always read: SHA-512 decides."""
        return self._task.is_deep or file.size != known.size or known.is_quarantined or has_wrong_list

    def _tell_missing(self, known: KnownPayload) -> None:
        if known.is_quarantined:
            self._tell_lost(known.digest, "quarantined", "is in quarantine, or gone", STORE_AGAIN, Outcome.LEFT)
            return
        outcome = Outcome.LEFT
        if self._task.for_repair:
            self._catalogue.mark_lost(known.digest, self._task.now())
            outcome = Outcome.CONTAINED
        way_out = "gives its blobs state error; " + STORE_AGAIN
        self._tell_lost(known.digest, "missing", "has no file", way_out, outcome)

    def _tell_lost(self, digest: Digest, code: str, what: str, way_out: str, outcome: Outcome) -> None:
        hit = self._catalogue.hit(digest)
        means = "its blobs cannot be read" if hit.blob_count else "nothing refers to it"
        self._task.found(Finding(code, f"payload {digest} {what}", means, way_out, outcome, digest, hit))

    def _tell_unknown(self, path: Path, outcome: Outcome) -> None:
        self._task.found(
            Finding(
                "unknown-payload",
                f"{path} is not known to the catalogue",
                "a crash, or an older catalogue in a newer one's place, leaves such; collection removes it",
                "makes it known, and keeps it for 30 days",
                outcome,
            )
        )

    def _check_mode(self, file: Lying) -> None:
        if not file.mode & OF_OTHERS:
            return

        def protect() -> bool:
            file.path.chmod(file.mode & ~OF_OTHERS)
            return True

        self._task.tell(
            "writable-by-others",
            f"{file.path} may be written by others than its owner (mode {file.mode:o})",
            "payloads never change; who writes into one spoils it",
            "takes that right away",
            protect,
        )

    # -- what reading tells -------------------------------------------------------------------------------

    def _judge(self, reading: Reading, result: Receipt | OSError) -> None:
        digest, known = reading.digest, reading.known
        if isinstance(result, OSError):
            self._contain(reading, "unreadable", f"cannot be read: {result.strerror}")
        elif result.digest != digest:
            self._contain(reading, "damaged", f"has other bytes: their SHA-512 is {result.digest}")
        elif known is None:
            outcome = Outcome.NOTED
            if self._task.for_repair:
                self._catalogue.set_right(result, self._task.now())
                outcome = Outcome.REPAIRED
            self._tell_unknown(reading.path, outcome)
        else:
            self._compare(known, result, reading.has_wrong_list)

    def _contain(self, reading: Reading, code: str, why: str) -> None:
        outcome = Outcome.LEFT
        if self._task.for_repair:
            folder = self._task.data / "quarantine"
            folder.mkdir(mode=0o700, exist_ok=True)
            # The mark first: a crash in between must not leave a blob that seems good without its bytes.
            self._catalogue.mark_lost(reading.digest, self._task.now())
            quarantine.move_in(folder, reading.path, reading.digest, f"fsck: {why}", {})
            outcome = Outcome.CONTAINED
        self._tell_lost(reading.digest, code, why, CONTAIN, outcome)

    def _compare(self, known: KnownPayload, receipt: Receipt, has_wrong_list: bool) -> None:
        """The bytes are right; what is said of them need not be."""
        has_wrong_list = has_wrong_list or self._catalogue.blocks(known.digest) != receipt.blocks
        wrong = [
            what
            for what, is_wrong in (
                ("size", known.size != receipt.size),
                ("SHA-256", known.sha256 != receipt.sha256),
                ("XXH3-128", known.xxh3_128 != receipt.xxh3_128),
                ("block checksums", has_wrong_list),
                ("state", known.is_quarantined),
            )
            if is_wrong
        ]
        if not wrong:
            return

        def set_right() -> bool:
            self._catalogue.set_right(receipt, self._task.now())
            return True

        self._task.tell(
            "wrong-facts",
            f"payload {known.digest} is good, but the catalogue is wrong about its {', '.join(wrong)}",
            "its blobs have state error" if known.is_quarantined else "it would be taken for damaged, or not be found",
            "goes by the bytes, which their SHA-512 proves",
            set_right,
        )


def read(reading: Reading, tell: Tell) -> Receipt | OSError:
    """Every checksum of the file; read again past the page cache if it seems damaged."""
    try:
        receipt = receipt_of(reading.path, tell)
        if receipt.digest != reading.digest:
            drop_cached(reading.path)
            receipt = receipt_of(reading.path, tell)
        return receipt
    except OSError as error:
        return error


def drop_cached(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)


def bring_home(path: Path, home: Path, digest: Digest) -> bool:
    """Move a payload where it belongs, durably, if nothing is there and its bytes are right; returns whether."""
    if home.exists() or receipt_of(path, lambda _: None).digest != digest:
        return False
    home.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.replace(path, home)
    for folder in (home.parent, home.parent.parent, path.parent):
        fsync_folder(folder)
    return True
