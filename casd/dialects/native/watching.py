"""What whoever watches the daemon asks for: how it stood during the last day."""

from aiohttp import web

from casd.web.answers import json_response, time_text
from casd.web.keys import principal_of
from casd.web.metrics import METRICS
from casd.web.query import check_parameters, time_in
from casd.web.samples import INTERVAL_S


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
