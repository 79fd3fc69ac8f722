"""What counts against a namespace's quotas, each function inside a transaction of the writer.

Counted is each blob that is there, by its size: held by itself or by versions, once however many those are, and fully
although its payload may be shared. One whose time is over does not count: it is ended before anybody is refused.
"""

import sqlite3
from dataclasses import replace

from casd.audit import Touched
from casd.catalogue.claims import Use
from casd.catalogue.sqlite.rows import NAME_FROM

BATCH = 1000  # ended in one go: some 20 ms of the writer
USE_COLUMNS = "name, logical_bytes, blob_count, quota_bytes, quota_blobs"
SELECT_USES = f"SELECT {USE_COLUMNS} FROM namespace"
SELECT_EXPIRED = f"""
SELECT b.id, b.uuid FROM blob b JOIN namespace n ON n.id = b.namespace_id
WHERE n.name = :namespace AND b.expires_at IS NOT NULL AND b.expires_at <= :now LIMIT {BATCH}
"""
SELECT_EXPIRED_USE = """
SELECT coalesce(sum(p.size), 0), count(*) FROM blob b
JOIN namespace n ON n.id = b.namespace_id JOIN payload p ON p.id = b.payload_id
WHERE n.name = :namespace AND b.expires_at IS NOT NULL AND b.expires_at <= :now AND b.version_count = 0
"""
# Of a name that keeps so many versions those from the oldest kept one on go, of one with an age those that are older;
# with them go blobs that nothing else holds. SQLite knows no OFFSET from a column, hence the ranks.
SELECT_SPARED = f"""
SELECT coalesce(sum(p.size), 0), count(*) FROM (
  SELECT m.id AS id, coalesce(m.keep_versions, n.keep_versions) AS keep, n.max_age_s AS age FROM {NAME_FROM}
  WHERE n.name = :namespace AND m.name = :name AND NOT m.protected) r
JOIN (SELECT v.name_id, v.blob_id, v.created_at, v.protected,
        row_number() OVER (ORDER BY v.number DESC) AS rank
      FROM version v WHERE v.blob_id IS NOT NULL AND v.name_id = (
        SELECT m.id FROM {NAME_FROM} WHERE n.name = :namespace AND m.name = :name)) v ON v.name_id = r.id
JOIN blob b ON b.id = v.blob_id JOIN payload p ON p.id = b.payload_id
WHERE (v.rank >= max(r.keep, 1) OR v.created_at < :now - r.age * 1000000)
  AND NOT v.protected AND b.version_count = 1 AND NOT b.holds_itself
"""


def changed(db: sqlite3.Connection, touched: Touched, sql: str, values: dict[str, object]) -> None:
    """Run an update of one namespace, and have it known what it uses now."""
    row = db.execute(f"{sql} RETURNING {USE_COLUMNS}", values).fetchone()
    touched.add(replace(Use(*row), order=db.total_changes))


def use_of(db: sqlite3.Connection, namespace: int) -> Use:
    return Use(*db.execute(f"{SELECT_USES} WHERE id = ?", (namespace,)).fetchone())


def is_over(use: Use) -> bool:
    """Whether it has more than it may."""
    pairs = ((use.used_bytes, use.quota_bytes), (use.used_blobs, use.quota_blobs))
    return any(quota is not None and used > quota for used, quota in pairs)
