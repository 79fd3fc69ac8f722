"""Checking a data folder that no daemon serves: the catalogue against itself and against the files, and mending it.

Repair does only what loses nothing. Like `casd.daemon` this names concrete backends: it looks at their files.
"""

from casd.fsck.checking import Checked, check
from casd.fsck.findings import Finding, Outcome
from casd.fsck.rebuilding import Rebuilt, rebuild

__all__ = ["Checked", "Finding", "Outcome", "Rebuilt", "check", "rebuild"]
