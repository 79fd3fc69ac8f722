"""Stopped stores to damage: as in the tests of backups."""

from tests.backup.conftest import dest, model, stopped

__all__ = ["dest", "model", "stopped"]
