"""The Python client of a casd daemon. It speaks the native HTTP API and imports nothing of the server.

async with Client("http://127.0.0.1:8080", token) as client:
    async with open_path(Path("disk.img")) as source:
        version = await client.put_name("default", "images/disk", source)
    async with client.download_name("default", "images/disk") as download:
        await save(download, Path("copy.img"))
"""

from casd.client.accounts import Accounts, Identity, Namespace, NamespaceRules, NewToken, Token
from casd.client.client import Client, NameSettings
from casd.client.download import Content, Download
from casd.client.errors import (
    ClientError,
    ConnectionLost,
    DigestDiffers,
    Refused,
    SourceChanged,
    TargetBusy,
    UnexpectedAnswer,
    Unreachable,
)
from casd.client.metadata import BlobMetadata, NameMetadata
from casd.client.operations import Collected, Expired, Operations, Run, Status
from casd.client.retry import Retry
from casd.client.saving import partial_path, save, stream
from casd.client.signing import SignedUrl, Signing, SigningKey
from casd.client.source import Source, open_descriptor, open_path
from casd.client.values import Blob, NameInfo, Version

__all__ = [
    "Accounts",
    "Blob",
    "BlobMetadata",
    "Client",
    "ClientError",
    "Collected",
    "ConnectionLost",
    "Content",
    "DigestDiffers",
    "Download",
    "Expired",
    "Identity",
    "NameInfo",
    "NameMetadata",
    "NameSettings",
    "Namespace",
    "NamespaceRules",
    "NewToken",
    "Operations",
    "Refused",
    "Retry",
    "Run",
    "SignedUrl",
    "Signing",
    "SigningKey",
    "Source",
    "SourceChanged",
    "Status",
    "TargetBusy",
    "Token",
    "UnexpectedAnswer",
    "Unreachable",
    "Version",
    "open_descriptor",
    "open_path",
    "partial_path",
    "save",
    "stream",
]
