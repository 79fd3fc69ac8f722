"""Keys that people choose for a namespace. They can be guessed, so scrypt is kept of them, and they open nothing by
themselves: a dialect takes one for a token's secret when a client logs in, and hands out something short-lived.

A key speaks for a token of its own, whose secret nobody knows. It is revoked with the key, and with it everything that
was handed out; admins see it among the tokens.
"""

import asyncio
import hmac
import secrets

from casd import auth
from casd.model import NamedKey, Role, Token
from casd.store import BlobStore

HASHES_AT_ONCE = 2  # 16 MiB and a core each: whoever guesses keeps nobody but other guessers waiting
SALT_BYTES = 16


class NamedKeys:
    """The named keys of one store."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._slots = asyncio.Semaphore(HASHES_AT_ONCE)

    async def set(self, namespace: str, name: str, key: str, role: Role) -> NamedKey:
        """The key is good from now on, and one that had the name is not. Raises NamespaceNotFound."""
        catalogue, now = self._store.catalogue, self._store.now()
        known = await catalogue.named_keys(namespace)
        # One salt for all keys of a namespace, so that a log-in costs one hash however many there are.
        salt = known[0].salt if known else secrets.token_bytes(SALT_BYTES)
        hash = await self._hash(key, salt)
        token = Token(self._store.new_uuid(), f"key {name}", role, (namespace,), now, None)
        named = NamedKey(namespace, name, salt, hash, token.uuid, now)
        await catalogue.set_named_key(named, token, auth.secret_hash(auth.new_secret()))
        return named

    async def token(self, namespace: str, key: str) -> Token | None:
        """The token that the key speaks for; None if it is no key of the namespace."""
        known = await self._store.catalogue.named_keys(namespace)
        for salt in {one.salt for one in known}:
            hash = await self._hash(key, salt)
            for one in known:
                if one.salt == salt and hmac.compare_digest(one.hash, hash):
                    return await self._store.catalogue.token_by_id(one.token)
        return None

    async def _hash(self, key: str, salt: bytes) -> bytes:
        async with self._slots:
            return await asyncio.to_thread(auth.key_hash, key, salt)
