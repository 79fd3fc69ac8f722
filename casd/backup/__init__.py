"""Backups of a store, running or not, and data folders made of them.

    <backup>/backup.json           says that it is one, and how its last run went
    <backup>/catalogue.sqlite3     a copy of one moment; renamed into place when all its payloads are there
    <backup>/payloads/ab/cd/<hex>  as in a data folder
    <backup>/incoming/             copies on their way

A backup is a data folder that is not served. Like `casd.daemon` this names concrete backends: it copies their files.
"""

from casd.backup.restoring import Restored, restore
from casd.backup.saving import Loss, NoPin, Pin, Saved, save

__all__ = ["Loss", "NoPin", "Pin", "Restored", "Saved", "restore", "save"]
