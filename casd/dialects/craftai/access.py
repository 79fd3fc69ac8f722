"""Who asks: the SDK trades its token for a JWT, which it sends until that expires.

The JWT carries the token's id and is good only while that token is: it is looked up at each use. The token itself is
taken as well, for clients that are not the SDK.
"""

import hmac
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
from aiohttp import web

from casd.auth import Principal, principal_of
from casd.errors import InvalidInput, StorageFailed, Unauthenticated
from casd.model import SigningKey
from casd.store import BlobStore
from casd.web import keys
from casd.web.answers import json_response
from casd.web.dialect import by_token
from casd.web.keys import store_of
from casd.web.receive import read_json

LIFETIME = timedelta(hours=1)  # newer SDKs renew it two minutes before its end, older ones half a minute
ALGORITHM = "HS256"
_KID = re.compile(r"[0-9]{1,18}", re.ASCII)  # no longer: SQLite's integers end there
REFUSAL = "this access token is not good, or its time is over: refresh it"


async def refresh(request: web.Request) -> web.StreamResponse:
    secret = (await read_json(request)).get("refresh_token")
    if not isinstance(secret, str):
        raise InvalidInput('the body is {"refresh_token": ...}')
    principal = await by_token(request, secret)
    return json_response({"access_token": await issue(store_of(request), principal)})


async def me(request: web.Request) -> web.StreamResponse:
    principal = keys.principal_of(request)
    return json_response({"id": str(principal.token), "name": principal.name, "email": ""})  # a token has no address


async def identify(request: web.Request, secret: str) -> Principal:
    """Whom a JWT, or a token itself, speaks for. Raises Unauthenticated."""
    if secret.count(".") != 2:
        return await by_token(request, secret)
    return await opened(store_of(request), secret)


async def issue(store: BlobStore, principal: Principal) -> str:
    """A JWT for an hour, or as long as the token lives."""
    key, now = await store.catalogue.signing_key(), store.now()
    token = await store.catalogue.token_by_id(principal.token)
    if key is None or token is None:
        raise StorageFailed("the catalogue has lost its signing keys: start casd again, which makes one")
    ends_at = now + LIFETIME if token.expires_at is None else min(now + LIFETIME, token.expires_at)
    claims = {"sub": str(token.uuid), "iat": int(now.timestamp()), "exp": int(ends_at.timestamp())}
    return jwt.encode(claims, secret_of(key), ALGORITHM, headers={"kid": str(key.id)})


async def opened(store: BlobStore, text: str) -> Principal:
    """Whom the JWT speaks for. Raises Unauthenticated."""
    try:
        claims = verified(text, await key_of(store, jwt.get_unverified_header(text).get("kid")))
        token, ends_at = UUID(claims["sub"]), datetime.fromtimestamp(claims["exp"], UTC)
    except (jwt.InvalidTokenError, ValueError, OverflowError, TypeError, AttributeError):
        raise Unauthenticated(REFUSAL) from None
    if ends_at <= store.now():
        raise Unauthenticated(REFUSAL)
    return principal_of(await store.catalogue.token_by_id(token), store.now())


async def key_of(store: BlobStore, kid: object) -> SigningKey | None:
    """The key that a header names, None if there is none."""
    if not isinstance(kid, str) or not _KID.fullmatch(kid):
        return None
    return await store.catalogue.signing_key(int(kid))


def verified(text: str, key: SigningKey | None) -> dict[str, Any]:
    """Its claims; time is the caller's to judge. Raises jwt.InvalidTokenError."""
    if key is None:
        raise jwt.InvalidTokenError
    options: Any = {"require": ["sub", "exp"], "verify_exp": False, "verify_iat": False}
    return jwt.decode(text, secret_of(key), [ALGORITHM], options)


def secret_of(key: SigningKey) -> bytes:
    """A key of its own, so that what is signed here is nothing to whoever else signs with the catalogue's."""
    return hmac.digest(key.secret, b"craftai access token", "sha256")
