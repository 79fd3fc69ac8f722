"""The catalogue of a store that no daemon serves: looked at whole, and mended where nothing is lost by it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from casd.audit import Touched
from casd.catalogue.sqlite import blobs, offline, schema
from casd.catalogue.sqlite.copying import copy_catalogue
from casd.catalogue.sqlite.invariants import INVARIANTS, Invariant, breaches, define_functions, mend
from casd.catalogue.sqlite.rows import micros
from casd.catalogue.values import Hit, KnownPayload, KnownUpload
from casd.errors import CatalogueForeign, CatalogueUnusable
from casd.model import BLOCK_SIZE, Digest, NewBlob, Receipt

MENDED_KEEP = timedelta(days=30)  # what repair has found or counted anew is not collected before
RECOVERED = "recovered"  # the namespace of what a rebuilt catalogue knows
OF_INDEXES = ("missing from index", "wrong # of entries in index", "non-unique entry in index")

WRONG_LISTS = """
SELECT p.digest FROM payload p LEFT JOIN payload_blocks k ON k.payload_id = p.id
WHERE p.digest > :after AND p.digest < :stop GROUP BY p.id
HAVING coalesce(sum(length(k.xxh3)), 0) <> (p.size + :block - 1) / :block * 8
  OR max(k.gib) IS NOT NULL AND (min(k.gib) <> 0 OR max(k.gib) <> count(*) - 1 OR count(*) <> (p.size - 1) / :gib + 1)
"""
SELECT_BLOCKS = """
SELECT k.xxh3 FROM payload_blocks k JOIN payload p ON p.id = k.payload_id WHERE p.digest = ? ORDER BY k.gib
"""


class StoppedCatalogue:
    """One connection, in one thread. Without leave to write, nothing is changed."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._path = path
        define_functions(db)

    @classmethod
    @contextmanager
    def opened(cls, path: Path, *, for_repair: bool) -> Iterator["StoppedCatalogue"]:
        """Raises CatalogueUnusable, also where damage shows later. For repair, its schema is brought to this casd's."""
        if for_repair:
            with cls._writing(path) as catalogue:
                yield catalogue
            return
        with offline.reading(path) as db:
            is_older = schema.schema_number(db, path) < len(list(schema.migrations()))
            if not is_older:
                yield cls(db, path)
        if is_older:  # its tables are others: a copy is brought up, and looked at instead
            with TemporaryDirectory(prefix="casd-fsck-") as scratch:
                copy = Path(scratch, path.name)
                copy_catalogue(path, copy, lambda: None, leave_out=())
                with cls._writing(copy) as catalogue:
                    yield catalogue

    @classmethod
    @contextmanager
    def _writing(cls, path: Path) -> Iterator["StoppedCatalogue"]:
        db = schema.open_writer(path, payloads_exist=True)
        try:
            yield cls(db, path)
        except sqlite3.DatabaseError as error:
            raise schema.unusable(path, error) from error
        finally:
            db.close()

    @classmethod
    def create(cls, path: Path) -> "StoppedCatalogue":
        """An empty one, to be closed by `close`."""
        return cls(schema.open_writer(path, payloads_exist=False), path)

    def close(self) -> None:
        """In one file, and none beside it."""
        self._db.execute("PRAGMA journal_mode = DELETE").fetchall()
        self._db.close()

    # -- the file itself ----------------------------------------------------------------------------------

    def problems(self) -> list[str]:
        """What SQLite finds wrong; reads all of it."""
        return offline.problems_of(self._db)

    def mend_indexes(self, problems: list[str]) -> bool:
        """Make all indexes anew if they alone are wrong; returns whether nothing is wrong then."""
        if not all(any(sign in problem for sign in OF_INDEXES) for problem in problems):
            return False
        try:
            self._db.execute("REINDEX")
        except sqlite3.Error:
            return False
        return not self.problems()

    def dangling(self) -> list[tuple[str, str, int]]:
        """Rows that refer to one that is not there: their table, the other one, and how many."""
        return offline.dangling(self._db)

    def breaches(self) -> Iterator[tuple[Invariant, list[str]]]:
        """What breaks each invariant, in the order in which they must be mended."""
        for invariant in INVARIANTS:
            if found := list(breaches(self._db, invariant)):
                yield invariant, found

    def mend(self, invariant: Invariant, now: datetime) -> bool:
        """Returns whether nothing breaks it any more."""
        mend(self._db, invariant, micros(now), micros(now + MENDED_KEEP))
        return not any(breaches(self._db, invariant))

    # -- payloads -----------------------------------------------------------------------------------------

    def counts(self) -> tuple[int, int, int]:
        """Payloads, their bytes, blobs."""
        payloads, size = self._db.execute("SELECT count(*), coalesce(sum(size), 0) FROM payload").fetchone()
        (blob_count,) = self._db.execute("SELECT count(*) FROM blob").fetchone()
        return payloads, size, blob_count

    def payloads(self, first_byte: int) -> Iterator[KnownPayload]:
        return offline.payloads(self._db, first_byte)

    def hit(self, digest: Digest) -> Hit:
        return offline.hit(self._db, digest)

    def wrong_lists(self, first_byte: int) -> set[Digest]:
        """Payloads whose list of block checksums cannot be right by its length alone."""
        values = {**offline.digests_from(first_byte), "block": BLOCK_SIZE, "gib": 1 << 30}
        return {Digest(raw) for (raw,) in self._db.execute(WRONG_LISTS, values)}

    def blocks(self, digest: Digest) -> bytes:
        return b"".join(xxh3 for (xxh3,) in self._db.execute(SELECT_BLOCKS, (digest.raw,)))

    def mark_lost(self, digest: Digest, now: datetime) -> None:
        """Its blobs have state error."""
        self._db.execute(
            "UPDATE payload SET quarantined_at = coalesce(quarantined_at, ?) WHERE digest = ?",
            (micros(now), digest.raw),
        )

    def set_right(self, receipt: Receipt, now: datetime) -> None:
        """The row, made if there is none, tells what the receipt does; its blobs are good again."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            until = micros(now + MENDED_KEEP)
            blobs.store_payload(self._db, Touched(), receipt, micros(now), until)
            self._db.execute(
                "UPDATE payload SET size = ?, sha256 = ?, xxh3_128 = ? WHERE digest = ?",
                (receipt.size, receipt.sha256, receipt.xxh3_128, receipt.digest.raw),
            )
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def recover(self, new: NewBlob, receipt: Receipt, now: datetime) -> None:
        """A blob that holds itself, of a payload that was found. Commits now and then: see `flush`."""
        if not self._db.in_transaction:
            self._db.execute("BEGIN")
            self._db.execute(
                "INSERT OR IGNORE INTO namespace (name, created_at) VALUES (?, ?)", (new.namespace, micros(now))
            )
        blobs.add_blob(self._db, Touched(), new, receipt, micros(now), micros(now + MENDED_KEEP), None)

    def flush(self) -> None:
        if self._db.in_transaction:
            self._db.execute("COMMIT")

    # -- uploads ------------------------------------------------------------------------------------------

    def unfinished_uploads(self) -> list[KnownUpload]:
        rows = self._db.execute("SELECT uuid, durable_size, is_in_parts FROM upload WHERE blob_uuid IS NULL")
        return [KnownUpload(UUID(bytes=uuid), offset, bool(in_parts)) for uuid, offset, in_parts in rows]

    def cut_upload(self, uuid: UUID, size: int) -> None:
        """The upload has no more than its first `size` bytes; parts that reach further have not arrived."""
        values = {"uuid": uuid.bytes, "size": size}
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(
            "DELETE FROM upload_part WHERE stop > :size AND upload_id = (SELECT id FROM upload WHERE uuid = :uuid)",
            values,
        )
        self._db.execute(
            """UPDATE upload SET prefix_sha512 = NULL, durable_size = iif(is_in_parts,
                 (SELECT coalesce(max(stop), 0) FROM upload_part WHERE upload_id = upload.id), :size)
               WHERE uuid = :uuid""",
            values,
        )
        self._db.execute("COMMIT")


def is_sound(path: Path) -> bool:
    """Whether a catalogue is there that a daemon would start on, and that SQLite finds nothing wrong with.

    Raises CatalogueForeign for one that may be whole, but that this casd cannot judge.
    """
    try:
        with StoppedCatalogue.opened(path, for_repair=False) as catalogue:
            return not catalogue.problems()
    except CatalogueForeign:
        raise
    except CatalogueUnusable:
        return False
