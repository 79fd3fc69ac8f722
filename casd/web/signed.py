"""Signed URLs: a link that opens one path for a while, without a credential of its own (DESIGN.md 8).

A signature carries a key's id, the id of the token that it speaks for, and the time it ends; it covers these, what it
may be used for, the path and the query. At use the token is looked up: what is revoked, expired or may not read any
more opens nothing. It travels as one query parameter, so that one thing is to be kept out of logs.
"""

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote_to_bytes
from uuid import UUID

from casd.auth import Principal, principal_of
from casd.errors import StorageFailed, Unauthenticated
from casd.model import SigningKey
from casd.store import BlobStore

PARAMETER = "casd-signature"
READ = "read"  # GET and HEAD

_FACTS = struct.Struct(">BIQ16s")  # format, key id, end in microseconds, token
_FORMAT = 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REFUSAL = "this link's signature is not good, or its time is over: ask for a new one"


@dataclass(frozen=True, slots=True)
class Target:
    """A path and a query, decoded, so that it does not matter how a client writes them."""

    path: bytes
    query: tuple[tuple[bytes, bytes], ...]  # sorted, without the signature

    @classmethod
    def of(cls, raw: str) -> "Target":
        """From a request's target, percent-encoded as it came."""
        path, _, query = raw.partition("?")
        pairs = [pair.partition("=") for pair in query.split("&") if pair]
        decoded = [(unquote_to_bytes(name), unquote_to_bytes(value.replace("+", " "))) for name, _, value in pairs]
        return cls(unquote_to_bytes(path), tuple(sorted(pair for pair in decoded if pair[0] != PARAMETER.encode())))

    @property
    def url(self) -> str:
        """As a path with its query, percent-encoded."""
        pairs = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in self.query)
        return quote(self.path) + (f"?{pairs}" if pairs else "")


async def sign(store: BlobStore, token: UUID, purpose: str, target: Target, ends_at: datetime) -> str:
    """The path and query that `purpose` opens until `ends_at`, for whom `token` may. Raises StorageFailed."""
    text = await signature(store, token, purpose, target, ends_at)
    return f"{target.url}{'&' if target.query else '?'}{PARAMETER}={text}"


async def signature(store: BlobStore, token: UUID, purpose: str, target: Target, ends_at: datetime) -> str:
    """What `opened` takes back. Raises StorageFailed."""
    key = await store.catalogue.signing_key()
    if key is None:
        raise StorageFailed("the catalogue has lost its signing keys: start casd again, which makes one")
    facts = _FACTS.pack(_FORMAT, key.id, (ends_at - _EPOCH) // timedelta(microseconds=1), token.bytes)
    return base64.urlsafe_b64encode(facts + _mac(key, facts, purpose, target)).decode().rstrip("=")


async def opened(store: BlobStore, text: str, purpose: str, target: Target) -> tuple[Principal, datetime]:
    """Whom a signature speaks for, and until when. Raises Unauthenticated."""
    facts, mac = _parsed(text)
    _, key_id, micros, token_id = _FACTS.unpack(facts)
    key = await store.catalogue.signing_key(key_id)
    if key is None or not hmac.compare_digest(mac, _mac(key, facts, purpose, target)):
        raise Unauthenticated(_REFUSAL)
    ends_at = _EPOCH + timedelta(microseconds=micros)
    if ends_at <= store.now():
        raise Unauthenticated(_REFUSAL)
    return principal_of(await store.catalogue.token_by_id(UUID(bytes=token_id)), store.now()), ends_at


def _parsed(text: str) -> tuple[bytes, bytes]:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise Unauthenticated(_REFUSAL) from None
    facts, mac = raw[: _FACTS.size], raw[_FACTS.size :]
    if len(facts) != _FACTS.size or facts[0] != _FORMAT or len(mac) != hashlib.sha256().digest_size:
        raise Unauthenticated(_REFUSAL)
    return facts, mac


def _mac(key: SigningKey, facts: bytes, purpose: str, target: Target) -> bytes:
    pairs = [part for pair in target.query for part in pair]
    return hmac.digest(key.secret, _framed([facts, purpose.encode(), target.path, *pairs]), "sha256")


def _framed(parts: Sequence[bytes]) -> bytes:
    """Each part behind its length, so that no two lists of parts are the same bytes."""
    return b"".join(len(part).to_bytes(4) + part for part in parts)
