"""What whoever watches the daemon asks for: its numbers now, and how it stood during the last day."""

from aiohttp import web

from casd.errors import Unauthenticated
from casd.web.answers import json_response, time_text
from casd.web.keys import ORIGINS, anyone, principal_of
from casd.web.metrics import METRICS
from casd.web.query import check_parameters, time_in
from casd.web.samples import INTERVAL_S
from casd.web.scrape import scraped


async def metrics(request: web.Request) -> web.StreamResponse:
    """For any token, and for programs on this machine.

    A proxy on this machine hands on what others ask: whatever was forwarded wants a token.
    """
    if anyone(request) is None and not request.app[ORIGINS].is_local(request):
        raise Unauthenticated("metrics are for programs on the daemon's machine, and for any token")
    text, content_type = await scraped(request.app[METRICS], request.headers.get("Accept", ""))
    return web.Response(body=text, headers={"Content-Type": content_type, "Cache-Control": "no-store"})


async def samples(request: web.Request) -> web.StreamResponse:
    """All of them, or those later than `?since=`; of each series a column, null where there was nothing to tell."""
    principal_of(request).check_admin()
    check_parameters(request, "since")
    since = request.query.get("since")
    kept = request.app[METRICS].samples
    found = kept.since(None if since is None else time_in(since, "?since="))
    return json_response(
        {
            "interval_s": INTERVAL_S,
            "times": [time_text(sample.at) for sample in found],
            "series": {name: [sample.values[at] for sample in found] for at, name in enumerate(kept.names)},
        }
    )
