"""The Python client of a casd daemon. It speaks the native HTTP API and imports nothing of the server.

async with Client("http://127.0.0.1:8080", token) as client:
    await client.upload_file("disk.img", "images/disk")
    handle = await client.get("images/disk", version=1)
    await handle.download_file("copy.img")

`casd.client.sync` has the same without `async` and `await`.
"""

from casd.client.accounts import Accounts, Identity, Namespace, NamespaceRules, NewToken, Token
from casd.client.client import Client, NameSettings
from casd.client.describing import guessed_type, own_filename
from casd.client.download import Download
from casd.client.errors import (
    AddressInvalid,
    BlockDiffers,
    ClientError,
    ConnectionLost,
    ContentChanged,
    DigestDiffers,
    PackageMissing,
    Refused,
    SourceChanged,
    TargetBusy,
    UnexpectedAnswer,
    Unreachable,
    Unreadable,
)
from casd.client.handle import Handle
from casd.client.holding import Missing
from casd.client.metadata import BlobMetadata, NameMetadata
from casd.client.operations import Collected, Expired, Operations, Quarantined, Run, Status
from casd.client.partial import partial_path, synced
from casd.client.progress import OnProgress, Progress, Step
from casd.client.reader import Reader
from casd.client.remote import Content
from casd.client.reports import Damage, Repaired, Scrubbed
from casd.client.retry import Retry
from casd.client.saving import save, stream
from casd.client.signing import SignedUrl, Signing, SigningKey
from casd.client.source import Source, from_file, open_descriptor, open_path
from casd.client.telling import AuditRow
from casd.client.values import Blob, Holders, HoldingVersion, NameInfo, Version

__all__ = [
    "Accounts",
    "AddressInvalid",
    "AuditRow",
    "Blob",
    "BlobMetadata",
    "BlockDiffers",
    "Client",
    "ClientError",
    "Collected",
    "ConnectionLost",
    "Content",
    "ContentChanged",
    "Damage",
    "DigestDiffers",
    "Download",
    "Expired",
    "Handle",
    "Holders",
    "HoldingVersion",
    "Identity",
    "Missing",
    "NameInfo",
    "NameMetadata",
    "NameSettings",
    "Namespace",
    "NamespaceRules",
    "NewToken",
    "OnProgress",
    "Operations",
    "PackageMissing",
    "Progress",
    "Quarantined",
    "Reader",
    "Refused",
    "Repaired",
    "Retry",
    "Run",
    "Scrubbed",
    "SignedUrl",
    "Signing",
    "SigningKey",
    "Source",
    "SourceChanged",
    "Status",
    "Step",
    "TargetBusy",
    "Token",
    "UnexpectedAnswer",
    "Unreachable",
    "Unreadable",
    "Version",
    "from_file",
    "guessed_type",
    "open_descriptor",
    "open_path",
    "own_filename",
    "partial_path",
    "save",
    "stream",
    "synced",
]
