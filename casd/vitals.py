"""Whether what is sent would be stored: asked by `/readyz`, and before each sign of life to systemd.

What hangs cannot be asked to stop, so a question that has no answer yet is not asked again: however many want to know,
each check is under way once.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from casd.catalogue.base import Catalogue
from casd.errors import CasdError, StorageFailed, StorageFull, StorageStuck
from casd.payloads.base import PayloadStore

log = logging.getLogger(__name__)

PATIENCE_S = 10.0  # a disk under full load takes a second for a sync, a large checkpoint two
PROBE_PAUSE_S = 1.0  # whoever asks without end does not keep the disk busy with it


class Vitals:
    """Asks the two halves of the store how they are."""

    def __init__(
        self,
        payloads: PayloadStore,
        catalogue: Catalogue,
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._payloads = payloads
        self._patience_s = patience_s
        self._clock = clock
        self._probed_at: float | None = None  # the last time that it went well
        self._checks: dict[str, Callable[[], Awaitable[None]]] = {
            "free space": self._check_space,
            "disk": self._probe,
            "catalogue": catalogue.check,
            "catalogue's writer": catalogue.check_writer,
        }
        self._under_way: dict[str, asyncio.Task[CasdError | None]] = {}

    async def ailments(self) -> list[CasdError]:
        """What is wrong, the worst first; empty if all is well. Takes no longer than `patience_s`."""
        found = await asyncio.gather(*(self._asked(what) for what in self._checks))
        return sorted((error for error in found if error is not None), key=lambda error: isinstance(error, StorageFull))

    async def close(self) -> None:
        """Wait for nothing that hangs."""
        for task in self._under_way.values():
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    async def _asked(self, what: str) -> CasdError | None:
        task = self._under_way.get(what)
        if task is None or task.done():
            task = self._under_way[what] = asyncio.create_task(self._answer(what))
        done, _ = await asyncio.wait([task], timeout=self._patience_s)
        if not done:
            return StorageStuck(f"the {what} has not answered for {self._patience_s:g} seconds")
        return task.result()

    async def _answer(self, what: str) -> CasdError | None:
        try:
            await self._checks[what]()
        except CasdError as error:
            return error
        except Exception as error:  # whoever watches must not end by it
            log.exception("unexpected error check=%s", what)
            return StorageFailed(f"the {what} cannot be checked: {error}")
        return None

    async def _check_space(self) -> None:
        if await self._payloads.free_bytes() == 0:
            raise StorageFull("the disk is full down to its reserve")

    async def _probe(self) -> None:
        if self._probed_at is not None and self._clock() - self._probed_at < PROBE_PAUSE_S:
            return
        await self._payloads.probe()
        self._probed_at = self._clock()
