"""The part of the contract in `base.py` about who may do what, and who did: namespaces, tokens, keys, the audit log."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from casd.audit import AuditFilter, Entry, Told
from casd.model import NamedKey, Namespace, Page, SigningKey, Token


class CatalogueCredentials(Protocol):
    # -- namespaces and tokens -------------------------------------------------------------------------------

    async def ensure_namespace(self, name: str, now: datetime) -> Namespace:
        """The namespace, made if it was not there."""

    async def update_namespace(self, name: str, changes: Mapping[str, object], now: datetime) -> Namespace:
        """Make it if it was not there and set any of its fields; None sets back to the default."""

    async def add_token(self, token: Token, secret_hash: bytes) -> None:
        """Keep a token; its namespaces are made if they are not there."""

    async def revoke_token(self, uuid: UUID, now: datetime) -> None:
        """From now on the token opens nothing. Raises TokenNotFound; revoking twice is no error."""

    async def rotate_token(
        self, uuid: UUID, secret_hash: bytes, now: datetime, old_until: datetime, changes: Mapping[str, object]
    ) -> Token:
        """The token has another secret; its old ones are good until then at most.

        All else stays but what is among `changes`: `expires_at`, and `revoked_at` as None for one that was revoked,
        which is a Conflict otherwise. Raises TokenNotFound.
        """

    async def tokens_used(self, used: Mapping[UUID, datetime]) -> None:
        """When tokens were used last. Those that are gone are left out."""

    async def set_named_key(self, key: NamedKey, token: Token, secret_hash: bytes) -> None:
        """Keep a key with its token. One that had the name is replaced, and its token revoked.

        Raises NamespaceNotFound.
        """

    async def remove_named_key(self, namespace: str, name: str, now: datetime) -> None:
        """The key is gone and its token revoked. Raises NamedKeyNotFound."""

    async def add_signing_key(self, secret: bytes, now: datetime, *, revoke_older: bool = False) -> SigningKey:
        """The newest key from now on. With `revoke_older` no other is left."""

    async def retire_signing_key(self, id: int) -> None:
        """What it signed opens nothing any more. Raises SigningKeyNotFound, and Conflict for the one that signs."""

    async def expire_credentials(self, now: datetime, signed_before: datetime) -> int:
        """Forget replaced secrets that have ended, and signing keys that no URL needs any more; how many of these.

        `signed_before`: whatever was signed before then has ended.
        """

    # -- the audit log: each write tells of itself in its own transaction, as done by `audit.actor()` ---------

    async def record(self, told: Sequence[Told]) -> None:
        """Rows of what changed nothing here: what was denied, read, signed."""

    async def audit(self, only: AuditFilter, limit: int, after: bytes | None) -> Page[Entry]:
        """Rows that are all of that, newest first. Raises InvalidInput for a bad `after`."""

    async def forget_audit(self, before: datetime, limit: int) -> int:
        """Remove the oldest rows that are older than that, at most `limit`; returns how many. The newest row stays."""
