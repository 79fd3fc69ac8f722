"""How long a signed link lasts that is made for a request."""

from datetime import datetime

from aiohttp import web

from casd.web.keys import LIMITS, principal_of, store_of
from casd.web.query import seconds_from


async def link_end(request: web.Request, wanted_s: object, what: str = "") -> datetime:
    """When a link ends that is made now for so many seconds: no later than any may, or than the caller's token.

    Raises InvalidInput for what is no such number; `what` is its name.
    """
    store = store_of(request)
    now, longest_s = store.now(), request.app[LIMITS].signed_url_max_s
    ends_at = min(seconds_from(wanted_s, what, now), seconds_from(longest_s, "", now))
    token = await store.catalogue.token_by_id(principal_of(request).token)
    return ends_at if token is None or token.expires_at is None else min(ends_at, token.expires_at)
