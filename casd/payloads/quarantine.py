"""Where damaged payloads are kept, each with a note that says why: nothing here is ever deleted unless it is asked for.

    <root>/quarantine/<hex>.<UTC time>        the bytes, if there were any
    <root>/quarantine/<hex>.<UTC time>.json   what is known of them

Blocking functions, for threads.
"""

import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from casd.model import JSON, Digest, Quarantined
from casd.payloads.folders import fsync_folder

NOTE = ".json"
_TIME = "%Y%m%dT%H%M%S.%fZ"
_ID = re.compile(r"([0-9a-f]{128})\.(\d{8}T\d{6}\.\d{6}Z)", re.ASCII)


def move_in(folder: Path, source: Path, digest: Digest, why: str, facts: Mapping[str, JSON]) -> bool:
    """The file `source` lies in quarantine, durably, and so does a note; returns whether there was a file."""
    moved_at = datetime.now(UTC)
    target = folder / f"{digest.hex}.{moved_at.strftime(_TIME)}"
    note = {"sha512": digest.hex, "why": why, "quarantined_at": moved_at.isoformat(), **facts}
    _write(target.with_name(target.name + NOTE), json.dumps(note, indent=1) + "\n")
    try:
        os.replace(source, target)
    except FileNotFoundError:
        return False
    finally:
        fsync_folder(folder)
    fsync_folder(source.parent)
    return True


def _write(path: Path, text: str) -> None:
    with os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w", encoding="utf-8"
    ) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def listed(folder: Path, limit: int, after: str | None) -> list[Quarantined]:
    """By id. What does not bear a name of quarantine is somebody else's."""
    ids = sorted({name.removesuffix(NOTE) for name in os.listdir(folder)})
    found = (kept(folder, id) for id in ids if after is None or id > after)
    return [item for item, _ in zip((item for item in found if item is not None), range(limit), strict=False)]


def kept(folder: Path, id: str) -> Quarantined | None:
    """What is known of one; a note that is lost or does not read takes nothing away but its facts."""
    match = _ID.fullmatch(id)
    if match is None:
        return None
    file, note = folder / id, folder / (id + NOTE)
    size = file.lstat().st_size if file.exists() else None
    if size is None and not note.exists():
        return None
    facts = _facts(note)
    why = facts.pop("why", None)
    for told_elsewhere in ("sha512", "quarantined_at"):
        facts.pop(told_elsewhere, None)
    at = datetime.strptime(match[2], _TIME).replace(tzinfo=UTC)
    return Quarantined(id, Digest.parse(match[1]), why if isinstance(why, str) else "its note is lost", at, size, facts)


def _facts(note: Path) -> dict[str, JSON]:
    try:
        facts = json.loads(note.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def purge(folder: Path, id: str) -> bool:
    """Delete it, bytes first: a note without them is true."""
    if kept(folder, id) is None:
        return False
    (folder / id).unlink(missing_ok=True)
    (folder / (id + NOTE)).unlink(missing_ok=True)
    return True
