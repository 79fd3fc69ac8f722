"""The end of each request, however it came: it is counted, and leaves a line in the log.

The path goes without its query, which can carry a signature; of a token, its name. `casd help logs` has every fact.
"""

import logging
import time

from aiohttp import web

from casd.auth import Principal
from casd.web.keys import BODY_AWAITED_S, DIALECT, HEAD_AT, PRINCIPAL, REQUEST_ID, ROUTE, Ending
from casd.web.traffic import Traffic

log = logging.getLogger(__name__)

SLOWEST_BYTES_PER_S = 100e6  # so long hashing and writing a body may take before the request counts as slow


def told(request: web.BaseRequest, traffic: Traffic, status: int | None, ending: Ending, began_at: float) -> None:
    """Count and log it. `status` is None where the head of an answer never left, `began_at` of `perf_counter`."""
    ended_at = time.perf_counter()
    # What casd took: neither what the client took to send its body, nor what it takes to get the answer.
    response_s = max(0.0, request.get(HEAD_AT, ended_at) - began_at - request.get(BODY_AWAITED_S, 0.0))
    received_bytes = request.content.total_bytes
    traffic.tallies.add(request, status, ending, response_s)
    is_slow = response_s - received_bytes / SLOWEST_BYTES_PER_S > traffic.limits.slow_request_s > 0
    level = logging.WARNING if is_slow else logging.INFO
    if not log.isEnabledFor(level):
        return  # a sixth of a small GET's time
    principal: Principal | None = request.get(PRINCIPAL)
    log.log(
        level,
        "request request=%s address=%s dialect=%s principal=%s method=%s path=%s route=%s range=%s status=%s ending=%s"
        " received_bytes=%d sent_bytes=%d duration_ms=%.2f response_ms=%.2f slow=%s",
        request.get(REQUEST_ID),
        traffic.origins.client_address(request),
        request.get(DIALECT),
        principal.name if principal is not None else None,
        request.method,
        request.rel_url.raw_path,
        request.get(ROUTE),
        request.headers.get("Range"),
        status,
        ending.value,
        received_bytes,
        request.writer.output_size,
        (ended_at - began_at) * 1000,
        response_s * 1000,
        is_slow,
    )
