"""One application for all dialects: routes, who asks, and every error in the shape of the dialect that was asked."""

import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil

from aiohttp import web

from casd.admin_token import AdminToken
from casd.audit import act
from casd.auth import Principal
from casd.errors import (
    CasdError,
    InvalidInput,
    NotFound,
    Overloaded,
    QuotaExceeded,
    RangeNotSatisfiable,
    RateLimited,
    SourceFailed,
    Unauthenticated,
    UnknownExpectation,
)
from casd.named_keys import NamedKeys
from casd.store import BlobStore
from casd.trail import Trail
from casd.upkeep import Upkeep
from casd.uploads import Uploads
from casd.vitals import Vitals
from casd.web.acting import actor_of, tell_refusal
from casd.web.admission import admit
from casd.web.dialect import Access, Dialect, Handler, Route
from casd.web.errors import InternalError, RouteError, status_of
from casd.web.keys import (
    ADMIN_TOKEN,
    DIALECT,
    ENDING,
    EXPECTATION,
    HEAD_AT,
    LIMITS,
    NAMED_KEYS,
    ORIGINS,
    PRINCIPAL,
    REQUEST_ID,
    ROUTE,
    SIGNED_UNTIL,
    STARTED_AT,
    STORE,
    TRAIL,
    TRANSMITTER,
    UPKEEP,
    UPLOADS,
    VITALS,
    WORDS,
    Ending,
    Limits,
    store_of,
)
from casd.web.metrics import METRICS, Metrics
from casd.web.openapi import DOCUMENT, Document
from casd.web.origin import Origins
from casd.web.send import unsatisfied
from casd.web.signed import PARAMETER, Target, opened
from casd.web.traffic import TRAFFIC, Traffic
from casd.web.transmit import Transmitter
from casd.web.waiting import place_of

log = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)

# What a client can bring about as often as it likes: the request's own line in the log is enough of it.
NO_FAULT_OF_OURS = (Overloaded, QuotaExceeded, SourceFailed)


@dataclass(frozen=True, slots=True)
class Services:
    """What handlers work with."""

    store: BlobStore
    uploads: Uploads
    upkeep: Upkeep
    transmitter: Transmitter
    origins: Origins
    limits: Limits
    trail: Trail
    vitals: Vitals
    admin_token: AdminToken


def build(dialects: Sequence[Dialect], services: Services, traffic: Traffic) -> web.Application:
    """Return the application with every route of every dialect."""
    app = web.Application(middlewares=[front(tuple(dialects))])
    app.on_response_prepare.append(mark(traffic))
    app[STORE] = services.store
    app[UPLOADS] = services.uploads
    app[NAMED_KEYS] = NamedKeys(services.store)
    app[UPKEEP] = services.upkeep
    app[TRANSMITTER] = services.transmitter
    app[ORIGINS] = services.origins
    app[LIMITS] = services.limits
    app[TRAIL] = services.trail
    app[VITALS] = services.vitals
    app[ADMIN_TOKEN] = services.admin_token
    app[TRAFFIC] = traffic
    app[METRICS] = Metrics(
        services.store,
        services.uploads,
        services.upkeep,
        services.transmitter,
        traffic,
        [dialect.name for dialect in dialects],
    )
    app[STARTED_AT] = services.store.now()
    app[WORDS] = tuple(word for dialect in dialects for word in dialect.words)
    app[DOCUMENT] = Document(tuple(route for dialect in dialects for route in dialect.routes))
    for dialect in dialects:
        if dialect.prepare is not None:
            dialect.prepare(app)
        for route in dialect.routes:
            handler = guarded(dialect, route)
            app.router.add_route(route.method, route.path, handler)
            if route.method == "GET":
                app.router.add_route("HEAD", route.path, handler)
    return app


def dialect_of(dialects: Sequence[Dialect], path: str) -> Dialect:
    """Whose path it is: the longest prefix wins."""
    return max(dialects, key=lambda dialect: dialect.owns(path))


def guarded(dialect: Dialect, route: Route) -> Handler:
    """The route's handler behind the question who asks."""
    pattern = web.UrlDispatcher().add_resource(route.path).canonical

    async def handle(request: web.Request) -> web.StreamResponse:
        request[DIALECT] = dialect.name
        request[ROUTE] = pattern
        principal = None if route.access is Access.OPEN else await authenticate(request, dialect, route)
        if principal is None and route.access is Access.TOKEN:
            raise Unauthenticated("this needs a token")
        request[PRINCIPAL] = principal
        if principal is not None:
            request.app[TRAIL].used(principal.token)
        try:
            if route.access is not Access.OPEN:
                await admit(request, principal)
            return await route.handler(request)
        except NotFound:
            if principal is None and route.access is Access.ANYONE:
                raise Unauthenticated("this needs a token") from None  # whether it is there or not
            raise
        finally:
            place_of(request).leave()

    return handle


async def authenticate(request: web.Request, dialect: Dialect, route: Route) -> Principal | None:
    """Who asks; None without a credential. Raises Unauthenticated for one that is not good.

    Where a route can be signed, a signature decides: a URL that says for whom it speaks means it.
    """
    if route.is_signable and PARAMETER in request.query:
        principal, request[SIGNED_UNTIL] = await opened(
            store_of(request), request.query[PARAMETER], route.purpose, Target.of(request.raw_path)
        )
        return principal
    secret = dialect.credential(request)
    if secret is None:
        if "Authorization" in request.headers:
            raise Unauthenticated("this Authorization header is not one that casd takes")
        return None
    return await dialect.identify(request, secret)


def front(dialects: Sequence[Dialect]):  # type: ignore[no-untyped-def]  # aiohttp's Middleware type is private
    """The outermost middleware: a request id, and an answer in the right shape whatever happens inside."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        asked = request.headers.get("X-Request-ID", "")
        request[REQUEST_ID] = asked if _REQUEST_ID.fullmatch(asked) else secrets.token_hex(8)
        act(partial(actor_of, request))  # asked when something is told, and then it is known who it was
        try:
            response = await answer(request, handler)
        except CasdError as error:
            dialect = dialect_of(dialects, request.path)
            request[DIALECT] = dialect.name
            tell_refusal(request, error)
            response = render(request, dialect, error)
        return response

    return middleware


def mark(traffic: Traffic) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """What every response carries, whoever made it."""

    async def on_response_prepare(request: web.Request, response: web.StreamResponse) -> None:
        request[HEAD_AT] = time.perf_counter()
        response.headers["Server"] = "casd"
        response.headers["X-Request-ID"] = request[REQUEST_ID]
        if response.status != 304:
            response.headers["X-Content-Type-Options"] = "nosniff"  # errors repeat what was asked for
        # An expectation that was not met: the client may send its body or not, and nobody could tell what follows.
        if traffic.is_draining or request[EXPECTATION]:
            response.headers["Connection"] = "close"
            response.force_close()

    return on_response_prepare


async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The handler's response; everything that goes wrong comes out as a CasdError."""
    try:
        if request[EXPECTATION].lower() not in ("", "100-continue"):
            raise UnknownExpectation("the only expectation that casd knows is 100-continue")
        if "#" in request.raw_path:  # aiohttp ends path and query there, and would not see a `?version=` behind it
            raise InvalidInput("a # in a path or a query is written %23")
        return await handler(request)
    except CasdError:
        raise
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        message = f"{request.method} is not allowed here; allowed: {allowed}"
        raise RouteError(405, "method-not-allowed", message, {"Allow": allowed}) from None
    except web.HTTPNotFound:
        raise RouteError(404, "no-such-path", "there is nothing at this path") from None
    except web.HTTPException as error:
        raise RouteError(error.status, "http-error", error.reason) from None
    except ConnectionError:
        request[ENDING] = Ending.HUNG_UP
        return web.Response(status=400)  # the client is gone, nobody reads this
    except Exception as error:
        log.exception("unexpected error request=%s method=%s", request[REQUEST_ID], request.method)
        raise InternalError(f"this should not happen; the log has more under {request[REQUEST_ID]}") from error


def render(request: web.Request, dialect: Dialect, error: CasdError) -> web.Response:
    """The error as the dialect shows it, with the headers that its status asks for."""
    status = status_of(error)
    if status >= 500 and not isinstance(error, NO_FAULT_OF_OURS):
        log.error("request failed request=%s status=%d error=%s", request[REQUEST_ID], status, error)
    response = dialect.render_error(request, status, error)
    if isinstance(error, RangeNotSatisfiable):
        response.headers.update(unsatisfied(error))
    if isinstance(error, RouteError):
        response.headers.update(error.headers)
    if status == 408:  # the rest of the body may still come, and nobody waits for it
        response.force_close()
    if status == 503:
        response.headers["Retry-After"] = "1"
    if isinstance(error, RateLimited):
        response.headers["Retry-After"] = str(ceil(error.retry_after_s))
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="casd"'
    return response
