"""Which versions the rules of names and namespaces keep. The rules stand in one expression, for readers and the writer.

A name keeps so many newest versions with a blob (its own rule, or its namespace's), and none older than its namespace
says; the newest with a blob stays in any case, and so does what is protected, beside what the rules keep.
"""

import sqlite3

from casd.catalogue.sqlite.rows import NAME_FROM

SPAN = 1000  # names looked at in one go: 15 ms of the listings' thread, so 14 s for a million names with rules

# The number of the oldest version that is kept. SQLite knows no OFFSET from a column, hence the ranks; numbers and
# times of a name grow together.
FIRST_KEPT = """iif(m.protected, 0, max(
  iif(coalesce(m.keep_versions, n.keep_versions) IS NULL, 0, coalesce((SELECT number FROM (
    SELECT number, row_number() OVER (ORDER BY number DESC) AS rank FROM version
    WHERE name_id = m.id AND blob_id IS NOT NULL) WHERE rank = max(coalesce(m.keep_versions, n.keep_versions), 1)), 0)),
  iif(n.max_age_s IS NULL, 0, coalesce(min(
    (SELECT max(number) FROM version WHERE name_id = m.id AND blob_id IS NOT NULL),
    (SELECT coalesce(min(number), 1 << 62) FROM version
     WHERE name_id = m.id AND created_at >= :now - n.max_age_s * 1000000)), 0))))"""
SELECT_FIRST_KEPT = f"SELECT {FIRST_KEPT} FROM {NAME_FROM} WHERE m.id = :name"
SELECT_SPAN = "SELECT max(id), count(*) FROM (SELECT id FROM name WHERE id > :after ORDER BY id LIMIT :span)"
SELECT_OVERDUE = f"""
SELECT o.id, (SELECT count(*) FROM version v
  WHERE v.name_id = o.id AND v.number < o.first_kept AND NOT v.protected) AS overdue FROM (
  SELECT m.id AS id, {FIRST_KEPT} AS first_kept FROM {NAME_FROM} WHERE m.id > :after AND m.id <= :last) o
WHERE o.first_kept > 0 AND overdue > 0 ORDER BY o.id
"""


def first_kept(db: sqlite3.Connection, name_id: int, now: int) -> int:
    """The number below which the name's versions go; 0 if all stay, or the name is gone."""
    row = db.execute(SELECT_FIRST_KEPT, {"name": name_id, "now": now}).fetchone()
    return 0 if row is None else int(row[0])
