"""Keys that people choose for a namespace. They can be guessed, so scrypt is kept of them, and they open nothing by
themselves: a dialect takes one for a token's secret when a client logs in, and hands out something short-lived.

A key speaks for a token of its own, whose secret nobody knows. It is revoked with the key, and with it everything that
was handed out; admins see it among the tokens.
"""

import asyncio
import hmac
import secrets

from casd import auth
from casd.errors import Overloaded
from casd.model import NamedKey, Role, Token
from casd.store import BlobStore

# 16 MiB and 0.2 s of a core each: one at a time, so that who guesses keeps nobody but other guessers waiting, and those
# who wait are so few that each is answered before its client gives up.
WAITING = 32
SALT_BYTES = 16


class NamedKeys:
    """The named keys of one store."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._turn = asyncio.Lock()
        self._waiting = 0

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
        """The token that the key speaks for; None if it is no key of the namespace. Raises Overloaded.

        It takes as long where there are no keys, or no such namespace: how long would tell which there are.
        """
        known = await self._store.catalogue.named_keys(namespace)
        for salt in {one.salt for one in known} or {bytes(SALT_BYTES)}:
            hash = await self._hash(key, salt)
            for one in known:
                if one.salt == salt and hmac.compare_digest(one.hash, hash):
                    return await self._store.catalogue.token_by_id(one.token)
        return None

    async def _hash(self, key: str, salt: bytes) -> bytes:
        if self._waiting >= WAITING:
            raise Overloaded("too many keys are being compared already: ask again in a few seconds")
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(auth.key_hash, key, salt)
        finally:
            self._waiting -= 1
