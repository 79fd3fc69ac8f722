"""Whatever is to be stored, by the way that suits it: what can be read again, or what comes once."""

from __future__ import annotations

from uuid import UUID

from casd.client.piping import Piping
from casd.client.progress import Gauge, OnProgress
from casd.client.retry import Notice, Patience, Retry
from casd.client.source import Source
from casd.client.transport import Transport
from casd.client.tus import Destination
from casd.client.uploading import Uploading


async def store(
    transport: Transport,
    source: Source,
    destination: Destination,
    retry: Retry,
    *,
    progress: OnProgress | None = None,
    notice: Notice | None = None,
    is_missing: bool | None = None,
) -> tuple[UUID, int | None]:
    """The blob that the source's bytes became, and the version of the destination's name. Raises as `Uploading.run`."""
    patience, gauge = Patience(retry, notice), Gauge(source.size, progress)
    if source.again is None:
        return await Piping(transport, source, destination, patience, gauge).run()
    return await Uploading(transport, source.again, destination, patience, gauge).run(is_missing)
