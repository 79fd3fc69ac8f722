"""What lies beside the payloads: stages of uploads, the quarantine, and who may read what is secret."""

import json
import stat
from datetime import datetime
from pathlib import Path

from casd import folder
from casd.catalogue.sqlite.stopped import StoppedCatalogue
from casd.catalogue.values import KnownUpload
from casd.fsck.findings import Task
from casd.payloads import quarantine


def check_incoming(task: Task, catalogue: StoppedCatalogue) -> None:
    """Each unfinished upload has its bytes, and no other bytes are there."""
    folder = task.data / "incoming"
    uploads = {str(upload.uuid): upload for upload in catalogue.unfinished_uploads()}
    there = {path.name: path for path in folder.iterdir()} if folder.is_dir() else {}
    for name, upload in uploads.items():
        _check_upload(task, catalogue, upload, there.get(name))
    for name in sorted(there.keys() - uploads.keys()):
        path = there[name]

        def remove(path: Path = path) -> bool:
            path.unlink()
            return True

        is_file = stat.S_ISREG(path.lstat().st_mode)
        task.tell(
            "stale-stage",
            f"{path} belongs to no upload",
            "a crash leaves such; a daemon removes it when it starts" if is_file else "casd did not put it there",
            "removes it" if is_file else "leaves it to you: a daemon would not start on it",
            remove if is_file else None,
            is_note=is_file,
        )


def _check_upload(task: Task, catalogue: StoppedCatalogue, upload: KnownUpload, stage: Path | None) -> None:
    size = stage.lstat().st_size if stage is not None else 0
    if size >= upload.offset:
        return

    def cut() -> bool:
        catalogue.cut_upload(upload.uuid, size)
        return True

    task.tell(
        "short-stage",
        f"upload {upload.uuid} was told to have {upload.offset} bytes, and {size} are there",
        "its client would go on after bytes that are lost",
        f"tells it {'the parts that are there' if upload.is_in_parts else f'to go on at {size}'}",
        cut,
    )


def check_quarantine(task: Task) -> None:
    """Each payload in quarantine has a note that says why."""
    folder = task.data / "quarantine"
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    for name in sorted(names):
        kept = quarantine.kept(folder, name.removesuffix(quarantine.NOTE))
        if kept is None:
            task.tell(
                "foreign-file",
                f"{folder / name} has no name of a payload in quarantine",
                "casd did not put it there, and never touches it",
                "leaves it to you",
                is_note=True,
            )
        elif name + quarantine.NOTE not in names and not name.endswith(quarantine.NOTE):
            sha512, at = kept.digest.hex, kept.quarantined_at

            def write(name: str = name, sha512: str = sha512, at: datetime = at) -> bool:
                note = {"sha512": sha512, "why": "not known: its note was lost", "quarantined_at": at.isoformat()}
                path = folder / (name + quarantine.NOTE)
                path.write_text(json.dumps(note, indent=1) + "\n", "utf-8")
                path.chmod(0o600)
                return True

            task.tell(
                "no-note",
                f"{folder / name} has no note",
                "nobody knows why it is there",
                "writes one that says so",
                write,
            )


def check_secrets(task: Task) -> None:
    """What holds secrets is for its owner's eyes alone."""
    for name in (folder.CATALOGUE, f"{folder.CATALOGUE}-wal", folder.ADMIN_TOKEN):
        path = task.data / name
        mode = stat.S_IMODE(path.lstat().st_mode) if path.exists() else 0

        def protect(path: Path = path) -> bool:
            path.chmod(0o600)
            return True

        if mode & 0o077:
            task.tell(
                "readable-by-others",
                f"{path} is open to others than its owner (mode {mode:o})",
                "it holds secrets: keys of signed URLs, or the admin token",
                "closes it to them",
                protect,
            )
