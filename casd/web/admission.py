"""Who may go on now: few large transfers and few small requests at a time, each client in its turn, none too often.

A request has its place from its credential's check to the end of its handler, or waits for one in a queue that is fair
between tokens (addresses, for nobody in particular). Health checks and what else needs no credential is never asked.
"""

import asyncio
from collections.abc import Hashable
from typing import TYPE_CHECKING, cast

from aiohttp import web

from casd.auth import Principal
from casd.fair import FairQueue
from casd.web.keys import PRINCIPAL
from casd.web.traffic import TRAFFIC
from casd.web.waiting import PLACE, place_of

if TYPE_CHECKING:
    from casd.web.protocol import Connection

TRANSFER_BYTES = 64 << 10  # what is smaller leaves or arrives at once, and is a small request


async def admit(request: web.Request, principal: Principal | None) -> None:
    """The request may go on; whoever calls gives `request[PLACE]` back. Raises RateLimited, Overloaded."""
    traffic = request.app[TRAFFIC]
    limits = traffic.limits
    if limits.requests_per_s:
        now = asyncio.get_running_loop().time()
        traffic.rates.spend(key_of(request, principal), limits.requests_per_s, max(1, limits.requests_burst), now)
    if has_large_body(request):
        await _take(request, traffic.transfers, key_of(request, principal))
    elif limits.requests.limit:
        await _take(request, traffic.requests, key_of(request, principal))


async def admit_transfer(request: web.Request) -> None:
    """The request may send more than a little: its place among the small ones is given back. Raises Overloaded."""
    transfers = request.app[TRAFFIC].transfers
    if place_of(request).queue is not transfers:
        place_of(request).leave()
        await _take(request, transfers, key_of(request, request.get(PRINCIPAL)))


def key_of(request: web.Request, principal: Principal | None) -> Hashable:
    """Whose turn it is."""
    if principal is not None:
        return principal.token
    origins = request.app[TRAFFIC].origins
    return origins.counted(origins.client_address(request))


def has_large_body(request: web.Request) -> bool:
    if not request.body_exists:
        return False
    size = request.content_length
    return size is None or size > TRANSFER_BYTES


async def _take(request: web.Request, queue: FairQueue, key: Hashable) -> None:
    place = queue.ask(key)
    request[PLACE] = place
    if place.turn is not None:
        connection = cast("Connection", request.protocol)
        connection.awaited = place  # so that a client that hangs up leaves the queue
        try:
            await place.taken()
        finally:
            connection.awaited = None
