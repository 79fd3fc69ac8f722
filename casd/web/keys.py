"""Where shared objects stand: typed keys of the application and of a request."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from aiohttp import web

from casd.admin_token import AdminToken
from casd.auth import Principal
from casd.named_keys import NamedKeys
from casd.store import BlobStore
from casd.trail import Trail
from casd.upkeep import Upkeep
from casd.uploads import Uploads
from casd.vitals import Vitals
from casd.web.origin import Origins
from casd.web.transmit import Transmitter


@dataclass(slots=True)
class Limits:
    """What a client may send, how long it may take between two signs of life, and how long a link may last.

    A reload sets them anew, so whoever asks reads them then and there.
    """

    max_body_bytes: int
    body_idle_timeout_s: float
    signed_url_max_s: float


class Ending(StrEnum):
    """How a request ended."""

    ANSWERED = "answered"  # whole; by a refusal too
    HUNG_UP = "hung-up"  # by the client, before it had the whole answer
    STALLED = "stalled"  # the client took nothing of its answer for too long
    REVOKED = "revoked"  # the token that opened it opens nothing any more
    CUT_OFF = "cut-off"  # by the drain deadline
    FAILED = "failed"  # within the answer; the log has more under the request's id


STORE = web.AppKey("store", BlobStore)
UPLOADS = web.AppKey("uploads", Uploads)
NAMED_KEYS = web.AppKey("named_keys", NamedKeys)
UPKEEP = web.AppKey("upkeep", Upkeep)
TRANSMITTER = web.AppKey("transmitter", Transmitter)
ORIGINS = web.AppKey("origins", Origins)
LIMITS = web.AppKey("limits", Limits)
ADMIN_TOKEN = web.AppKey("admin_token", AdminToken)
TRAIL = web.AppKey("trail", Trail)
VITALS = web.AppKey("vitals", Vitals)
STARTED_AT = web.AppKey("started_at", datetime)
# What browsers get at `/`.
FRONT_PAGE: web.AppKey[Callable[[web.Request], Awaitable[web.StreamResponse]]] = web.AppKey("front_page")
WORDS: web.AppKey[tuple[str, ...]] = web.AppKey("words", tuple)  # of all dialects, for `GET /`

PRINCIPAL: web.RequestKey[Any] = web.RequestKey("principal", object)  # a Principal, or None for nobody in particular
SECRET_HASH = web.RequestKey("secret_hash", bytes)  # of the token that came, where it came itself
SIGNED_UNTIL = web.RequestKey("signed_until", datetime)  # when a signed URL ends, on requests that came by one
REQUEST_ID = web.RequestKey("request_id", str)
DIALECT = web.RequestKey("dialect", str)  # the name of the one whose path was asked
ROUTE = web.RequestKey("route", str)  # the pattern of its path; absent where no route is the request's
ENDING = web.RequestKey("ending", Ending)  # how the request ended, where that is known before its answer's end
HEAD_AT: web.RequestKey[float] = web.RequestKey("head_at", float)  # when the answer began, of `perf_counter`
BODY_AWAITED_S: web.RequestKey[float] = web.RequestKey("body_awaited_s", float)  # how long its client was waited for
EXPECTATION = web.RequestKey("expectation", str)  # of an Expect header that is not answered yet, else empty


def store_of(request: web.Request) -> BlobStore:
    return request.app[STORE]  # there is one application, and `config_dict` looks for others: 3 us, several times over


def anyone(request: web.Request) -> Principal | None:
    """Who asks, None for nobody in particular; on routes that are open to anyone."""
    principal: Principal | None = request[PRINCIPAL]
    return principal


def principal_of(request: web.Request) -> Principal:
    """Who asks, on routes that want a token."""
    principal: Principal = request[PRINCIPAL]
    return principal
