"""What must hold within the catalogue beside what SQLite itself checks, and how to put it right where nothing is lost.

Each invariant is a statement that finds what breaks it, and statements that mend all of that at once.
"""

import itertools
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from casd.catalogue.sqlite.rows import match_hash

SHOWN = 100  # of each kind: a wrong rule would otherwise tell of a million rows


@dataclass(frozen=True, slots=True)
class Invariant:
    """`select` gives a row for each breach, `what` is filled with its columns; `mend` is empty where nothing can."""

    code: str
    select: str
    what: str
    means: str
    way_out: str
    mend: tuple[str, ...] = ()


# In this order: each relies on those before it.
INVARIANTS = (
    Invariant(
        "version-count",
        """SELECT lower(hex(uuid)), version_count, (SELECT count(*) FROM version WHERE blob_id = blob.id) AS held
           FROM blob WHERE version_count <> held""",
        "blob {} is said to be held by {} versions, and {} hold it",
        "it would end too early or never",
        "counts them again",
        (
            """UPDATE blob SET version_count = (SELECT count(*) FROM version WHERE blob_id = blob.id)
               WHERE version_count <> (SELECT count(*) FROM version WHERE blob_id = blob.id)""",
        ),
    ),
    Invariant(
        "blob-without-hold",
        "SELECT lower(hex(uuid)) FROM blob WHERE holds_itself = 0 AND version_count = 0",
        "nothing holds blob {}, and yet it is there",
        "it cannot be read, and its bytes are kept for ever",
        "lets it hold itself, so that it can be read, and deleted",
        ("UPDATE blob SET holds_itself = 1 WHERE holds_itself = 0 AND version_count = 0",),
    ),
    Invariant(
        "blob-count",
        """SELECT lower(hex(digest)), blob_count, (SELECT count(*) FROM blob WHERE payload_id = payload.id) AS found
           FROM payload WHERE blob_count <> found""",
        "payload {} is said to have {} blobs, and has {}",
        "its bytes would be kept for ever, or be taken for garbage",
        "counts them again; what has none is kept for 30 days more",
        (
            """UPDATE payload SET keep_until = max(keep_until, :keep_until),
                 blob_count = (SELECT count(*) FROM blob WHERE payload_id = payload.id)
               WHERE blob_count <> (SELECT count(*) FROM blob WHERE payload_id = payload.id)""",
        ),
    ),
    Invariant(
        "namespace-totals",
        """SELECT n.name, n.blob_count, count(b.id) AS blobs, n.logical_bytes, coalesce(sum(p.size), 0) AS bytes
           FROM namespace n LEFT JOIN blob b ON b.namespace_id = n.id LEFT JOIN payload p ON p.id = b.payload_id
           GROUP BY n.id HAVING n.blob_count <> blobs OR n.logical_bytes <> bytes""",
        "namespace {0} is said to have {1} blobs of {3} bytes, and has {2} of {4}",
        "its quota is judged wrong",
        "counts them again",
        (
            """UPDATE namespace SET blob_count = (SELECT count(*) FROM blob WHERE namespace_id = namespace.id),
                 logical_bytes = (SELECT coalesce(sum(p.size), 0) FROM blob b JOIN payload p ON p.id = b.payload_id
                                  WHERE b.namespace_id = namespace.id)""",
        ),
    ),
    Invariant(
        "name-counter",
        """SELECT n.name, CAST(m.name AS TEXT), max(v.number), c.last_number
           FROM version v JOIN name m ON m.id = v.name_id JOIN namespace n ON n.id = m.namespace_id
           LEFT JOIN name_counter c ON c.namespace_id = m.namespace_id AND c.name = m.name
           GROUP BY m.id HAVING c.last_number IS NULL OR max(v.number) > c.last_number
             OR max(v.created_at) > c.last_created_at""",
        "name {}/{} has a version {}, or a later one, than its counter knows: {}",
        "a number or a time could be used twice",
        "raises the counter",
        (
            """INSERT INTO name_counter (namespace_id, name, last_number, last_created_at)
               SELECT m.namespace_id, m.name, max(v.number), max(v.created_at)
               FROM version v JOIN name m ON m.id = v.name_id GROUP BY m.id HAVING true
               ON CONFLICT (namespace_id, name) DO UPDATE SET
                 last_number = max(last_number, excluded.last_number),
                 last_created_at = max(last_created_at, excluded.last_created_at)""",
        ),
    ),
    Invariant(
        "hidden",
        """SELECT n.name, CAST(m.name AS TEXT), iif(m.hidden_at IS NULL, 'visible', 'hidden')
           FROM name m JOIN namespace n ON n.id = m.namespace_id JOIN version v ON v.name_id = m.id
           WHERE v.number = (SELECT max(number) FROM version WHERE name_id = m.id)
             AND (m.hidden_at IS NULL) <> (v.blob_id IS NOT NULL)""",
        "name {}/{} is listed as {}, and its newest version says otherwise",
        "listings show what is not there, or leave out what is; a hidden name is purged in the end",
        "goes by the newest version; what is hidden is so from now on",
        (
            """UPDATE name SET hidden_at = (
                 SELECT iif(blob_id IS NULL, coalesce(name.hidden_at, :now), NULL) FROM version
                 WHERE name_id = name.id ORDER BY number DESC LIMIT 1)
               WHERE EXISTS (SELECT 1 FROM version WHERE name_id = name.id)""",
        ),
    ),
    Invariant(
        "metadata-owner",
        """SELECT lower(hex(b.uuid)), m.key FROM blob_metadata m JOIN blob b ON b.id = m.blob_id
           WHERE m.namespace_id <> b.namespace_id OR m.uuid <> b.uuid""",
        "metadata of blob {} under the key {} is filed under another blob",
        "a search by metadata misses the blob, or finds a wrong one",
        "files it again",
        (
            """UPDATE blob_metadata SET (namespace_id, uuid) =
                 (SELECT b.namespace_id, b.uuid FROM blob b WHERE b.id = blob_id)
               WHERE EXISTS (SELECT 1 FROM blob b WHERE b.id = blob_id
                             AND (b.namespace_id <> blob_metadata.namespace_id OR b.uuid <> blob_metadata.uuid))""",
        ),
    ),
    Invariant(
        "metadata-index",
        """SELECT lower(hex(uuid)), key FROM blob_metadata
           WHERE json_valid(value) AND match_hash <> casd_match_hash(json_type(value), value)""",
        "metadata of blob {} under the key {} is indexed wrong",
        "a search by metadata misses the blob",
        "indexes it again",
        (
            """UPDATE blob_metadata SET match_hash = casd_match_hash(json_type(value), value)
               WHERE json_valid(value) AND match_hash <> casd_match_hash(json_type(value), value)""",
        ),
    ),
    Invariant(
        "metadata-value",
        "SELECT lower(hex(uuid)), key FROM blob_metadata WHERE NOT json_valid(value)",
        "metadata of blob {} under the key {} is no JSON",
        "the blob's metadata cannot be shown",
        "cannot know what it was: set it again with `casd meta set`",
    ),
    Invariant(
        "upload-parts",
        """SELECT lower(hex(uuid)), durable_size, (SELECT coalesce(max(stop), 0) FROM upload_part WHERE upload_id = id)
             AS arrived FROM upload WHERE is_in_parts AND blob_uuid IS NULL AND durable_size <> arrived""",
        "upload {} is said to have {} bytes, and its parts end at {}",
        "parts that arrived could be cut off",
        "goes by the parts",
        (
            """UPDATE upload SET durable_size = (SELECT coalesce(max(stop), 0) FROM upload_part WHERE upload_id = id)
               WHERE is_in_parts AND blob_uuid IS NULL""",
        ),
    ),
    Invariant(
        "upload-size",
        "SELECT lower(hex(uuid)), durable_size, size FROM upload WHERE NOT is_in_parts AND durable_size > size",
        "upload {} is said to have {} of {} bytes",
        "it can never be finished",
        "cannot know which is right: its client begins again, and it expires",
    ),
    Invariant(
        "empty-name",
        """SELECT n.name, CAST(m.name AS TEXT) FROM name m JOIN namespace n ON n.id = m.namespace_id
           WHERE NOT EXISTS (SELECT 1 FROM version v WHERE v.name_id = m.id AND v.blob_id IS NOT NULL)""",
        "name {}/{} has no version with a blob",
        "its versions are lost; it should be gone with the last of them",
        "leaves it for you to see: `casd rm --purge` removes it",
    ),
    Invariant(
        "version-number",
        """SELECT n.name, CAST(m.name AS TEXT), v.number FROM version v JOIN name m ON m.id = v.name_id
           JOIN namespace n ON n.id = m.namespace_id WHERE v.number < 1""",
        "name {}/{} has a version {}",
        "versions count from 1",
        "cannot know which it was",
    ),
    Invariant(
        "version-order",
        """SELECT n.name, CAST(m.name AS TEXT), v.number FROM version v JOIN name m ON m.id = v.name_id
           JOIN namespace n ON n.id = m.namespace_id
           WHERE v.created_at <= (SELECT w.created_at FROM version w WHERE w.name_id = v.name_id AND w.number < v.number
                                  ORDER BY w.number DESC LIMIT 1)""",
        "version {2} of name {0}/{1} is not later than the one before it",
        "what the name was at some time is told wrong",
        "cannot know when it was",
    ),
    Invariant(
        "version-namespace",
        """SELECT n.name, CAST(m.name AS TEXT), v.number FROM version v JOIN name m ON m.id = v.name_id
           JOIN namespace n ON n.id = m.namespace_id JOIN blob b ON b.id = v.blob_id
           WHERE b.namespace_id <> m.namespace_id""",
        "version {2} of name {0}/{1} holds a blob of another namespace",
        "whoever may read the one need not be allowed to read the other",
        "leaves it for you to judge: `casd rm --version` removes the version",
    ),
    Invariant(
        "named-key",
        """SELECT n.name, k.name FROM named_key k JOIN namespace n ON n.id = k.namespace_id
           WHERE NOT EXISTS (SELECT 1 FROM token t WHERE t.uuid = k.token)""",
        "key {1} of namespace {0} speaks for a token that is not there",
        "it opens nothing",
        "cannot make the token: set the key again",
    ),
)


def define_functions(db: sqlite3.Connection) -> None:
    """What the statements above call, beside SQLite's own."""
    db.create_function("casd_match_hash", 2, _match_hash, deterministic=True)


def _match_hash(kind: str, value: str) -> int:
    return match_hash(json.loads(value) if kind == "text" else value)


def breaches(db: sqlite3.Connection, invariant: Invariant) -> Iterator[str]:
    """What breaks it, a sentence each; the last one counts those that are not shown."""
    rows = db.execute(invariant.select)
    for row in itertools.islice(rows, SHOWN):
        yield invariant.what.format(*row)
    if more := sum(1 for _ in rows):
        yield f"and {more} more of the same kind"


def mend(db: sqlite3.Connection, invariant: Invariant, now: int, keep_until: int) -> None:
    """Afterwards nothing breaks it; one transaction."""
    db.execute("BEGIN IMMEDIATE")
    try:
        for statement in invariant.mend:
            db.execute(statement, {"now": now, "keep_until": keep_until})
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
