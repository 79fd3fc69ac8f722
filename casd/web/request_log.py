"""The line that each request leaves in the log, however it ended.

The path goes without its query, which can carry a signature; of a token, its name.
"""

import logging

from aiohttp import web

from casd.auth import Principal
from casd.web.keys import DIALECT, PRINCIPAL, REQUEST_ID, Ending
from casd.web.origin import Origins

log = logging.getLogger(__name__)


def told(request: web.BaseRequest, origins: Origins, status: int | None, ending: Ending, duration_s: float) -> None:
    """Log it. `status` is None where the head of an answer never left."""
    if not log.isEnabledFor(logging.INFO):
        return  # a sixth of a small GET's time
    principal: Principal | None = request.get(PRINCIPAL)
    log.info(
        "request request=%s address=%s method=%s path=%s status=%s ending=%s"
        " sent_bytes=%d duration_ms=%.2f principal=%s dialect=%s",
        request.get(REQUEST_ID),
        origins.client_address(request),
        request.method,
        request.rel_url.raw_path,
        status,
        ending.value,
        request.writer.output_size,
        duration_s * 1000,
        principal.name if principal is not None else None,
        request.get(DIALECT),
    )
