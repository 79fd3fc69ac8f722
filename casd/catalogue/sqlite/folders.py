"""What stands directly in a folder: names are paths, and of all that lie deeper only the next folder is looked at.

One statement walks the index of visible names from one entry to the next, so a page costs what it shows, however many
names lie below each folder: 0.03 s for 100 folders of 10,000 names each, where a page of just 1000 names took 0.9 s.
"""

from typing import Any

from casd.catalogue.sqlite.rows import BLOB_COLUMNS, NEWEST
from casd.model import Version

# `:skip` is where the rest of a name starts, behind the prefix; both are counted in bytes, as names are BLOBs.
_SLASH = "instr(substr({name}, :skip), x'2F')"
_FOLDER = f"substr({{name}}, 1, :skip - 1 + {_SLASH})"  # with its slash
# 0xFF is in no UTF-8: past everything in the folder, and before whatever comes next.
_LAST = f"CASE WHEN {_SLASH} THEN CAST({_FOLDER} || x'FF' AS BLOB) ELSE {{name}} END"

_NEXT = """SELECT x.id FROM name x WHERE x.namespace_id = (SELECT id FROM namespace WHERE name = :namespace)
   AND x.hidden_at IS NULL AND x.name {beyond} AND x.name < :stop ORDER BY x.name LIMIT 1"""

IN_FOLDER = "entry CROSS JOIN name m"  # how the statement below is recognised among others


def entries_page(belongings: str) -> str:
    """The statement for the entries of `:namespace` from `:start` to `:stop`, each the first name that it stands for.

    Before the columns of a version with its blob and `belongings` comes the folder, NULL where the name itself is
    the entry; for a folder they are empty.
    """
    return f"""WITH RECURSIVE entry(id, name) AS (
      SELECT e.id, e.name FROM name e WHERE e.id = ({_NEXT.format(beyond=">= :start")})
      UNION ALL
      SELECT e.id, e.name FROM entry JOIN name e
        ON e.id = ({_NEXT.format(beyond="> " + _LAST.format(name="entry.name"))})
      LIMIT :limit)
    SELECT CASE WHEN {_SLASH.format(name="m.name")} THEN {_FOLDER.format(name="m.name")} END,
     n.name, m.name, v.number, v.created_at, v.published_by, v.protected OR m.protected, {BLOB_COLUMNS}, {belongings}
    FROM {IN_FOLDER} ON m.id = entry.id CROSS JOIN namespace n ON n.id = m.namespace_id
     LEFT JOIN version v ON v.name_id = m.id AND NOT {_SLASH.format(name="m.name")} AND {NEWEST}
     LEFT JOIN blob b ON b.id = v.blob_id LEFT JOIN payload p ON p.id = b.payload_id"""


def entry_values(namespace: str, prefix: bytes, start: bytes, stop: bytes) -> dict[str, Any]:
    return {"namespace": namespace, "skip": len(prefix) + 1, "start": start, "stop": stop}


def key_of(entry: Version | str) -> bytes:
    """What the next page starts behind."""
    return entry.encode() + b"\xff" if isinstance(entry, str) else entry.name.encode()
