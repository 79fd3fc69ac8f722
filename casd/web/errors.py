"""The only table from what casd raises to HTTP statuses. Dialects choose the body, never the status."""

import json
from http import HTTPStatus

from aiohttp import web

from casd import errors
from casd.errors import CasdError
from casd.web.keys import REQUEST_ID

# The nearest class in a raised error's own line of descent decides.
STATUS: dict[type[CasdError], int] = {
    errors.CasdError: 500,
    errors.NotFound: 404,
    errors.InvalidInput: 400,
    errors.SizeMismatch: 400,  # fewer or more bytes than Content-Length is a broken request, not a wrong digest
    errors.DigestMismatch: 422,
    errors.UploadMismatch: 460,  # tus 1.0's own: Checksum Mismatch
    errors.ChunkMismatch: 460,
    errors.TooLarge: 413,
    errors.QuotaExceeded: 507,
    errors.UnsupportedEncoding: 415,
    errors.RangeNotSatisfiable: 416,
    errors.UnknownExpectation: 417,
    errors.BodyTimeout: 408,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.Conflict: 409,
    errors.UploadBusy: 423,
    errors.TooManyUploads: 429,
    errors.TooManyFetches: 429,
    errors.SourceFailed: 502,
    errors.SourceTimeout: 504,
    errors.Overloaded: 503,
    errors.RateLimited: 429,
    errors.PreconditionFailed: 412,
    errors.StorageFailed: 500,
    errors.OutOfDescriptors: 503,
    errors.StorageFull: 507,  # RFC 4918: the server cannot store what is needed; reads and deletes go on
}


class RouteError(CasdError):
    """What the router or aiohttp refuses: no such path, a method that is not allowed, a head that does not parse."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers or {}


class InternalError(CasdError):
    """Something that casd did not foresee; the log has the traceback under the request's id."""

    code = "internal-error"


def status_of(error: CasdError) -> int:
    if isinstance(error, RouteError):
        return error.status
    return status_of_kind(type(error))


def status_of_kind(kind: type[CasdError]) -> int:
    return next(STATUS[base] for base in kind.__mro__ if base in STATUS)


TITLES = {
    400: "Bad request",
    401: "Unauthenticated",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Request timeout",
    409: "Conflict",
    412: "Precondition failed",
    413: "Too large",
    415: "Unsupported media type",
    416: "Range not satisfiable",
    417: "Expectation failed",
    422: "Digest mismatch",
    423: "Busy",
    429: "Too many",
    460: "Digest mismatch",
    500: "Internal error",
    502: "Bad gateway",
    503: "Busy",
    504: "Gateway timeout",
    507: "Insufficient storage",
}


def problem(request: web.BaseRequest, status: int, error: CasdError) -> web.Response:
    """application/problem+json (RFC 9457)."""
    return web.Response(
        status=status,
        body=_problem_body(status, error, request.get(REQUEST_ID, "")),
        headers={"Content-Type": "application/problem+json", "Cache-Control": "no-store"},
    )


def bare_problem(error: RouteError, request_id: str, *fields: str) -> bytes:
    """The same as it goes over the wire, with these header fields, for a connection that is closed behind it."""
    body = _problem_body(error.status, error, request_id)
    head = [
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}",
        "Content-Type: application/problem+json",
        "Cache-Control: no-store",
        f"Content-Length: {len(body)}",
        "Server: casd",
        "X-Content-Type-Options: nosniff",
        f"X-Request-ID: {request_id}",
        "Connection: close",
        *fields,
    ]
    return "\r\n".join([*head, "", ""]).encode("ascii") + body


def _problem_body(status: int, error: CasdError, request_id: str) -> bytes:
    body = {
        "type": "about:blank",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": str(error),
        "code": error.code,
        "request_id": request_id,
    }
    return (json.dumps(body, ensure_ascii=False) + "\n").encode("utf-8", "replace")
