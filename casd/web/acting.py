"""Who acts in a request, for the audit log, and what it is told of one that was refused."""

from uuid import UUID

from aiohttp import web

from casd.audit import ANONYMOUS, Actor, Deed, Verb
from casd.auth import Principal
from casd.errors import CasdError, Forbidden, NotFound, Unauthenticated
from casd.model import Blob
from casd.web.errors import RouteError
from casd.web.keys import DIALECT, ORIGINS, PRINCIPAL, REQUEST_ID, TRAIL
from casd.web.signed import PARAMETER

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
TEXT_LIMIT = 1024


def actor_of(request: web.Request) -> Actor:
    principal: Principal | None = request.get(PRINCIPAL)
    where = (request.app[ORIGINS].client_address(request) or None, request.get(DIALECT), request.get(REQUEST_ID))
    if principal is None:
        return Actor(ANONYMOUS, None, None, *where)
    return Actor(principal.name, principal.token, principal.role.value, *where)


def tell_refusal(request: web.Request, error: CasdError) -> None:
    """The log is told of bad credentials, of what was not allowed, and of changes that did not happen.

    Who asks for nothing but bytes, without a credential or for what is not there, is not worth a row; and of writes,
    what is absent and what is another's look alike here too.
    """
    is_write, trail = request.method not in SAFE, request.app[TRAIL]
    if isinstance(error, RouteError) or request.match_info.route.resource is None:
        return
    if isinstance(error, Unauthenticated):
        if is_write or "Authorization" in request.headers or PARAMETER in request.query:
            trail.denied(Deed(Verb.AUTH_DENIED, subject=route_of(request)), error.code)
    elif isinstance(error, Forbidden) or (isinstance(error, NotFound) and is_write):
        trail.denied(refused(request, Verb.ACCESS_DENIED), error.code)
    elif is_write:
        trail.failed(refused(request, Verb.REQUEST_FAILED), error.code)


def tell_read(request: web.Request, blob: Blob) -> None:
    """Bytes of the blob are sent."""
    trail = request.app[TRAIL]
    if trail.tells_reads:
        name = shown(request.match_info.get("name"))
        trail.read(Deed(Verb.BLOB_READ, blob.namespace, name, blob=blob.uuid))


def refused(request: web.Request, verb: Verb) -> Deed:
    """What the request's path names."""
    facts = request.match_info
    namespace, name = shown(facts.get("namespace")), shown(facts.get("name"))
    blob = None
    if "/blobs/" in request.path:
        try:
            blob = UUID(facts.get("uuid", ""))
        except ValueError:
            blob = None
    return Deed(verb, namespace, name, blob=blob, subject=route_of(request))


def route_of(request: web.Request) -> str:
    """The route, not the path: that may hold anything."""
    resource = request.match_info.route.resource
    return f"{request.method} {resource.canonical if resource is not None else ''}".strip()


def shown(text: str | None) -> str | None:
    """Text from a path if it is one that a thing may be called."""
    return text if text and text.isprintable() and len(text) <= TEXT_LIMIT else None
