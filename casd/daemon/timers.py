"""Upkeep that runs by the timer, for ever. What it does is `casd/upkeep.py`."""

import asyncio
import logging

from casd.audit import UPKEEP, acting
from casd.config import Config
from casd.errors import CasdError, CollectionRefused
from casd.upkeep import Upkeep

log = logging.getLogger(__name__)


async def keep_up(upkeep: Upkeep, config: Config) -> None:
    """Expire and collect by the timer, for ever; a failing run is logged and tried again at its next time."""
    loop = asyncio.get_running_loop()
    next_scan = loop.time()
    while True:
        await asyncio.sleep(config.upkeep.interval_s)
        is_scan_due = loop.time() >= next_scan
        try:
            with acting(UPKEEP):
                await upkeep.expire(scan=is_scan_due)
                await upkeep.collect_garbage(scan=is_scan_due)
        except CollectionRefused as error:
            log.warning("collection refused, casd gc --force insists reason=%s", error)
        except CasdError as error:
            log.error("upkeep failed error=%s", error)
        if is_scan_due:
            next_scan = loop.time() + config.upkeep.scan_interval_s


async def keep_whole(upkeep: Upkeep, config: Config) -> None:
    """Read what is due by the timer, and repair what is damaged, for ever; beside `keep_up`, because it takes long."""
    loop = asyncio.get_running_loop()
    next_scan = loop.time()
    while True:
        await asyncio.sleep(config.upkeep.interval_s)
        is_scan_due = loop.time() >= next_scan
        try:
            with acting(UPKEEP):
                await upkeep.scrub_due()
                await upkeep.repair_due(is_scan_due=is_scan_due)
        except CasdError as error:
            log.error("upkeep failed error=%s", error)
        if is_scan_due:
            next_scan = loop.time() + config.upkeep.scan_interval_s


async def cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
