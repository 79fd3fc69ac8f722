"""A dialect is a value: routes, where its credential stands, how its errors look, which paths are its own."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from aiohttp import web

from casd.auth import Principal, principal_of, secret_hash
from casd.errors import CasdError
from casd.web.keys import SECRET_HASH, TRAIL, store_of
from casd.web.operation import Operation
from casd.web.signed import READ

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def by_token(request: web.Request, secret: str) -> Principal:
    """Whom a token's secret speaks for. Raises Unauthenticated."""
    store = store_of(request)
    hash = secret_hash(secret)
    principal = principal_of(await store.catalogue.token(hash), store.now())
    request[SECRET_HASH] = hash
    request.app[TRAIL].used(principal.token)  # here too: who trades a token for another credential uses it
    return principal


class Access(Enum):
    """Whom a route is open to, before any question of namespaces."""

    TOKEN = auto()  # a valid token
    ANYONE = auto()  # also nobody in particular; the store decides by namespace
    OPEN = auto()  # no credential is looked at


@dataclass(frozen=True, slots=True)
class Route:
    method: str  # a GET route answers HEAD too
    path: str
    handler: Handler
    access: Access = Access.TOKEN
    is_signable: bool = False  # a signed URL opens it
    purpose: str = READ  # what that must be signed for
    about: Operation | None = None  # how the API's document describes it; None: it does not


@dataclass(frozen=True, slots=True)
class Dialect:
    """One product's HTTP, translated to calls on the core."""

    name: str
    prefixes: tuple[str, ...]  # whose errors, 404 and 405 included, this dialect renders; "/" is everybody else's
    routes: tuple[Route, ...]
    credential: Callable[[web.Request], str | None]  # the secret a request carries
    render_error: Callable[[web.Request, int, CasdError], web.Response]
    identify: Callable[[web.Request, str], Awaitable[Principal]] = by_token  # whom a secret speaks for
    words: tuple[str, ...] = ()  # what `GET /` says that this daemon can do, for clients that look there
    prepare: Callable[[web.Application], None] | None = None  # puts in what its handlers share

    def owns(self, path: str) -> int:
        """How long the prefix is by which the path is this dialect's; 0 if it is not."""
        return max((len(prefix) for prefix in self.prefixes if is_below(path, prefix)), default=0)


def is_below(path: str, prefix: str) -> bool:
    return prefix == "/" or path == prefix or path.startswith(prefix + "/")


def bearer(request: web.Request) -> str | None:
    """The secret of `Authorization: Bearer` (RFC 6750)."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" and secret.strip() else None
