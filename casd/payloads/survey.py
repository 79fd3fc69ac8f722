"""What lies in a data folder's `payloads/`: for tools that look at a store which no daemon has, and for its start."""

from pathlib import Path

from casd.payloads.local import list_shard


def holds_payloads(root: Path) -> bool:
    """Whether there is any payload below `root`, whose folders may be missing. Raises OSError."""
    payloads = root / "payloads"
    return payloads.is_dir() and any(list_shard(folder) for folder in payloads.iterdir() if folder.is_dir())
