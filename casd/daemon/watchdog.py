"""Signs of life for systemd's watchdog (WatchdogSec=), as long as the daemon is worth leaving alone.

A process that is there proves nothing. It is fed while the event loop is quick, the disk takes and syncs a few bytes,
and the catalogue answers and writes. A full disk is no reason to start again: whoever deletes must be served.
"""

import asyncio
import logging

from casd.daemon.systemd import Notifier
from casd.errors import CasdError, StorageFull
from casd.vitals import Vitals

log = logging.getLogger(__name__)

FEEDS = 4  # for each interval of systemd's, so that one that is left out does not matter
TICKS = 5  # for each feed: how often the loop is looked at
LAG_LIMIT_S = 2.0  # the worst that was measured under load is 0.2 s; for intervals below a minute a share of them


async def keep_fed(notifier: Notifier, vitals: Vitals, interval_s: float) -> None:
    """Tell systemd that all is well, for ever; say nothing for as long as it is not, which ends this process."""
    pause_s = interval_s / FEEDS
    lag_limit_s = min(LAG_LIMIT_S, pause_s / 2)
    while True:
        lag_s = await worst_lag(pause_s)
        reasons = [f"the event loop stood still for {lag_s:.1f} s"] if lag_s > lag_limit_s else []
        reasons += [str(error) for error in await vitals.ailments() if is_fatal(error)]
        if reasons:
            log.error("watchdog not fed, systemd will start casd again unless this ends reason=%s", "; ".join(reasons))
        else:
            notifier.alive()


def is_fatal(error: CasdError) -> bool:
    return not isinstance(error, StorageFull)


async def worst_lag(duration_s: float) -> float:
    """How much later than it wanted this task came to its turn, at worst, within that time."""
    loop = asyncio.get_running_loop()
    worst_s = 0.0
    for _ in range(TICKS):
        due = loop.time() + duration_s / TICKS
        await asyncio.sleep(duration_s / TICKS)
        worst_s = max(worst_s, loop.time() - due)
    return worst_s
